// What a training run has written about itself, read back: the numbers of metrics.jsonl as series
// over steps, what validations wrote as texts, and how far the run has to go. For report.html, the
// live view and other programs' files.
#pragma once
#include "core/buffer.h"
#include <stdbool.h>

// The numbers that lines have under one name. Members of members are joined by dots
// ("validation.classes.Edema.f1"); null is NaN.
typedef struct run_series {
    char *name;
    double *step, *value; // (count), by step
    int64_t count;
    size_t step_room, value_room;
} run_series;

// An answer that a validation wrote: member "sample" {"id", "text"} of "validation".
typedef struct run_sample {
    int64_t step;
    char *id, *text;
} run_sample;

typedef struct run_record {
    run_series *series; // (count), in the order of first appearance
    size_t count, room;
    run_sample *sample; // (samples)
    size_t samples, sample_room;
    int64_t step;  // the latest; 0: none yet
    int64_t total; // that there will be; 0: not known
    double ms;     // of all steps
    size_t read;   // bytes of metrics.jsonl that were read
} run_record;

// Reads FOLDER/metrics.jsonl, and out of its log.txt how many steps there will be. A line that is
// being written is left for later. IO (no such file), FORMAT (file and line), MEMORY. To be closed
// also after a failure.
status run_record_open(run_record *r, const char *folder);
// Reads what has come since. A file that has become shorter, of a run that resumed, is read from
// its beginning.
status run_record_more(run_record *r, const char *folder);
void run_record_close(run_record *r);

// The series NAME; NULL: none. Borrowed until the next call of the two above.
const run_series *run_record_find(const run_record *r, const char *name);
// Its latest value; NaN: none.
double run_record_latest(const run_record *r, const char *name);
