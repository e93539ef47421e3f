// A run's numbers as an event file of TensorBoard in its folder (core/files/tfevents.h), beside
// metrics.jsonl, which stays what counts: the file is made of it.
#pragma once
#include "train/run_record.h"

typedef struct tensorboard {
    int fd; // -1: not open
    char folder[4096];
    run_record record;
    int64_t *written; // (series): numbers that are in the file
    size_t room;
    double latest; // clock of the last look at metrics.jsonl
} tensorboard;

// Begins the file anew with what FOLDER's metrics.jsonl holds; where there is none, with nothing.
// IO, FORMAT, MEMORY.
status tensorboard_open(tensorboard *t, const char *folder);
// Adds what has come since. NOW false: only where the last look is some seconds ago.
status tensorboard_follow(tensorboard *t, bool now);
void tensorboard_close(tensorboard *t); // accepts what was never opened, if fd is -1
