// What tests of training runs ask of a run's folder.
#pragma once
#include <stdbool.h>

// The last whole line's step in RUN/metrics.jsonl; 0 if there is none.
int run_last_step(const char *run);
// Fails unless steps 1 to STEPS stand in metrics.jsonl, each once.
void run_expect_steps(const char *run, int steps);
// A number of a step's line; fails if it is not there.
double run_metric(const char *run, int step, const char *key);
// Starts `radialog COMMAND --quiet`, which trains in RUN, and kills it once STEP is done.
void run_kill_at(const char *run, int step, const char *command);
// Fails unless the checkpoints of STEP hold the same files with the same bytes.
void run_expect_same(const char *a, const char *b, int step);
