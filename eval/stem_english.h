// The stem of an English word by the algorithm that Snowball publishes as "English (Porter2)", in
// the form of 2002 to 2015 that METEOR 1.5 has. Called by eval/meteor.c.
#pragma once
#include <stddef.h>

// Replaces WORD (LENGTH bytes, lower-case UTF-8) by its stem, which is never longer; returns the
// stem's length. Characters beyond ASCII count as consonants.
size_t stem_english(char *word, size_t length);
