// RUN/metrics.jsonl: one JSON object per optimizer step, each step once, whatever was killed when.
#pragma once
#include "core/buffer.h"

typedef struct metrics_log {
    int fd;
    char path[4096];
} metrics_log;

// Opens the file and drops the lines of steps after STEP (of a run that was killed after its latest
// checkpoint) and a torn last line.
status metrics_log_open(metrics_log *m, const char *run_dir, int64_t step);
// One line; the newline is added.
status metrics_log_write(metrics_log *m, const buffer *line);
// Makes the lines durable: before the checkpoint that counts on them.
status metrics_log_sync(metrics_log *m);
void metrics_log_close(metrics_log *m);
