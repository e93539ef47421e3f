// The valid name that a mistyped one most likely means: used for configuration keys, commands and
// flags.
#pragma once

// The one of NAMES with the fewest edits (insert, delete, replace, swap of neighbours) from NAME;
// the first of equals. NULL only when COUNT is 0. Names are compared by their first 63 bytes.
const char *nearest_name(const char *name, const char *const *names, int count);
