// What scores alone do not show of written reports: comparisons with films that the model never
// saw, and what a report that is always the same would reach. Pure functions on texts; called by
// the evaluate command.
#pragma once
#include "core/memory.h"
#include <stdbool.h>

// Whether a report speaks of an earlier film or of change since then. TOKENS as text_tokens gives
// them: lower-case, a blank between two. A list of words decides ("unchanged", "again", "new",
// ...), sentence by sentence; a sentence that says there is nothing to compare with ("no prior
// films") does not count. "Increased" and "decreased" are left out: they mostly describe what is
// seen. A model that is shown one film invents all of its comparisons.
bool control_compares(const char *tokens);

// The text that stands most often in TEXT (COUNT, at least 1), the first of those that stand
// equally often: written for every film, it is the constant report that a model must beat. Errors:
// MEMORY.
status control_commonest(int64_t *index, const char *const *text, int64_t count);
