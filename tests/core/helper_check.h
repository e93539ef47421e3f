// What the tests of floor 0 share: a runner, a scratch folder, errors as one line, deaths, a simple
// source of random numbers for fuzzing.
#pragma once
#include "core/buffer.h"
#include "core/status.h"
#include <check.h>

// Runs all tests of SUITE; the value for main to return.
int run_suite(Suite *suite);
// A suite of one case with these tests; ends with NULL.
Suite *suite_of(const char *name, const TTest *const *tests);

// PATH of NAME inside this program's scratch folder, which is emptied at the start and removed at
// the end. The text is valid for the next seven calls.
const char *scratch(const char *name);
void scratch_write(const char *path, const void *bytes, size_t count);

// RC is EXPECTED and the text is one line that holds PLACE and REASON (NULL: any). LABEL says which
// case.
void expect_failure(status rc, status expected, const char *label, const char *place,
                    const char *reason);
// The text of the latest failure is one line of 10 to 1022 bytes.
void expect_clean_text(const char *label);

// ACT stops the process by die (in a child).
void expect_death(void (*act)(void), const char *label);

// xorshift64*: seeded, so that every run is the same.
uint64_t fuzz_next(uint64_t *state);
// Changes, inserts, removes or repeats up to six bytes of B.
void fuzz_mutate(buffer *b, uint64_t *state);
