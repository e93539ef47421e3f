// Which records stand in which batch: an order that (seed, epoch) alone decides, cut into global
// batches, and each of these into the ranks' slices. Numbers only; reads neither pixels nor texts.
// For the loader, and for stages that have no images.
#pragma once
#include "data/dataset.h"

typedef struct batch_order batch_order;

typedef struct order_options {
    int64_t batch;   // global batch
    int rank, ranks; // this rank takes its slice of each global batch
    uint64_t seed;
    bool shuffle;   // a new order each epoch; false: that of the list
    bool drop_last; // the last batch of an epoch is left out where it would be smaller than the
                    // others
} order_options;

typedef struct order_step {
    int64_t step, epoch;  // step counts from 0 over all epochs
    int64_t first_sample; // place of the global batch's first record in the epoch's order
    int64_t global_count; // records in the global batch
    int64_t first,
        count; // this rank's slice of them (comm_share): records FIRST to FIRST + COUNT - 1
} order_step;

// The records of SPLIT in the dataset's order; only those that have the section NEED (a
// record_text; -1: all), and of these only the first LIMIT (0: all). To be freed with mem_free.
// Errors: MEMORY.
status order_list(int64_t **records, int64_t *count, const dataset *set, int split, int need,
                  int64_t limit);

// RECORDS (count) is borrowed. Errors: FORMAT (no record, or with drop_last fewer than a batch),
// MEMORY.
status order_open(batch_order **out, const int64_t *records, int64_t count,
                  const order_options *options);
void order_close(batch_order *o); // accepts NULL

int64_t order_steps_per_epoch(const batch_order *o);
int64_t order_most(const batch_order *o); // records of the largest global batch

// The batch of global STEP: any step, in any order, though a new epoch costs a shuffle. RECORD
// (order_most) receives the GLOBAL batch's global_count records in order. Not for two threads at
// once.
void order_batch(order_step *out, int64_t *record, batch_order *o, int64_t step);
