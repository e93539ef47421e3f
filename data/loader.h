// Batches for training, in the order that (seed, epoch) alone decides.
//
// Threads read records by pread, inflate, crop, resize and (if asked for) augment them ahead of the
// trainer; batches come out in order whatever the number of threads. Any step can be the first: a run
// that resumes in the middle of an epoch sees exactly the batches it would have seen.
#pragma once
#include "data/order.h"

typedef struct loader loader;

typedef struct loader_options {
    int split;           // of data/dataset.h
    int64_t batch;       // global batch
    int rank, ranks;     // this rank takes its slice of each global batch
    int crop;            // pixels of the stored 512 square that are used: 448, 488 or 512 (or any less)
    int size;            // the side of what comes out; smaller than crop: Pillow-exact resize
    uint64_t seed;
    bool shuffle;        // a new order each epoch; false: stored order
    bool drop_last;      // the last batch of an epoch is left out where it would be smaller
    bool augment;        // REFERENCE 1.5
    bool need_text;      // only records with
    record_text section; // this section
    bool skip_bad;       // reads every record first and leaves out the damaged ones, each with a warning;
                         // else a damaged one is loader_next's error
    int64_t limit;       // only the first LIMIT of those records; 0: all
    int threads;         // that read ahead
} loader_options;

typedef struct batch {
    int64_t count;         // records in this rank's slice; the last batch of an epoch may be smaller
    int64_t global_count;  // records in the global batch
    int64_t first_sample;  // place of this slice's first record in the epoch's order
    int64_t epoch, step;   // step counts from 0 over all epochs
    uint8_t *pixels;       // (count, size, size)
    float *lut;            // (count, 256): the value of each byte, v / 255 unless augmented
    int8_t *labels;        // (count, CLASS_COUNT): LABEL_... of data/labels.h
    int64_t *record;       // (count): number in the dataset, for dataset_text
    int64_t *global;       // (global_count): the same of the whole batch; RECORD is a part of it
} batch;

// SET is borrowed. Errors: FORMAT (no record is left, or with drop_last fewer than a batch), IO, MEMORY.
status loader_open(loader **out, const dataset *set, const loader_options *options);
void loader_close(loader *l); // accepts NULL

// Host memory that a loader with these options takes, but for what depends on the data (up to 12 bytes a
// record of the split and a packed image a thread) and 32 bytes for each record of the global batch.
size_t loader_bytes(const loader_options *options);

int64_t loader_records(const loader *l);         // of the split, after filters
int64_t loader_record(const loader *l, int64_t i); // number in the dataset of its i-th record, stored order
int64_t loader_steps_per_epoch(const loader *l); // a last partial batch counts unless dropped
int64_t loader_batch(const loader *l);           // the options'
// The next batch will be that of global STEP (0 at first).
status loader_seek(loader *l, int64_t step);
// The next batch, borrowed until the next call; waits for it. Never ends: epochs follow each other.
// Errors: FORMAT naming shard and dicom_id, IO.
status loader_next(loader *l, batch **out);
