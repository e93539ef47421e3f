// ROUGE-L (Lin, 2004) of texts with one reference each, as pycocoevalcap computes it
// (REFERENCE 7.4): beta 1.2, the mean over texts. Pure functions on numbers of words; called by the
// evaluate command.
#pragma once
#include "eval/words.h"

// SCORE (TEXTS->count): of each text. Dies unless there are as many REFERENCES. A text without
// words counts as one empty word, which only another such text has. Errors: MEMORY.
status rouge_score(double *score, const word_lists *texts, const word_lists *references);
