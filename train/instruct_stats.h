// How many conversations of each task instruct data hold, how long they are, and how many were cut
// off.
#pragma once
#include "data/instruct.h"

// Of SPLIT, appended to OUT as a table with its title, or as a JSON object by tasks. Reads every
// record. Errors: IO, FORMAT, MEMORY.
status instruct_stats_show(buffer *out, instruct_set *s, int split, int32_t end);
status instruct_stats_json(buffer *out, instruct_set *s, int split, int32_t end);
