// One training run: what the loop, the stages and the checkpoints share.
#pragma once
#include "core/config.h"
#include "data/dataset.h"
#include "eval/table.h"
#include "models/nn/params.h"
#include "optim/adamw.h"
#include "optim/schedule.h"

typedef struct stage stage;

enum { RUN_PARTS = 3 };

// The best checkpoint so far, by the stage's score (greater is better).
typedef struct best_score {
    bool known;
    double score;
    int64_t step;
    int64_t stale; // validations since then
} best_score;

typedef struct run {
    const stage *stage;
    config *config; // borrowed; a stage sets what its plan is to decide (train/pack_choice.h)
    char dir[4096];
    bool resumed;

    device *device, *dry;
    comm *comm;
    struct buckets *buckets; // train/buckets.h; NULL for a single rank
    params params;
    tape tape;
    adamw optimizer;
    schedule schedule;
    optim_slice *slices; // room for one per parameter
    struct step_result *result; // on the device: of the step at hand (train/step.h)
    struct step_graph *graphs;  // recorded steps
    uint64_t seed;

    int64_t step;            // optimizer steps done
    int64_t max_steps;       // to do in all
    int64_t steps_per_epoch; // set by the stage
    int64_t samples;         // of the latest global batch; in a dry run of the largest; set by the stage
    int64_t own_samples;     // of them this rank's
    int64_t tokens;          // of the latest global batch, where the stage counts them
    int64_t kind;            // set by the stage: batches of equal samples and kind have equal shapes
    const char *data_hash;   // changes when the data do, no path in it; borrowed; set by the stage
    size_t batch_bytes;      // on the device, of what a step reads; set by the stage
    size_t validation_bytes; // of what validation alone needs, beside the tape; set by the stage
    size_t loader_bytes;     // in host memory, of reading ahead; set by the stage
    best_score best;
    tensor *part[RUN_PARTS]; // of the loss, wide scalars: set by the stage's loss
    char batch_note[2][512]; // names the batches of this step and the one before, for errors

    void *state; // the stage's own
} run;

// A training stage: a few functions that one loop drives.
struct stage {
    const char *name;
    bool varies;              // batches differ in size: in their texts' lengths
    const char *const *parts; // names of run.part, ended by NULL; NULL: the loss has none
    // Opens the data, declares the model's parameters in r->params, freezes what the configuration
    // says, calls run_build, and prints what the data holds.
    status (*setup)(run *r);
    // The same for `radialog plan` (train/memory_plan.h): model and batch take their places on r->device, which
    // counts them only; no data are opened and no value is set.
    status (*plan)(run *r);
    // Prepares what needs the final weights and the tape's memory, before the first step. May be NULL.
    status (*ready)(run *r);
    // Takes the batch of step r->step to where the step reads it on the device; says how many samples it
    // holds and where this rank's begin (tape.first_sample). Not called in dry runs.
    status (*batch)(run *r);
    // A step may go through its batch in pieces, of which only one is in memory at a time: losses and
    // gradients add up. How many the batch at hand has, at least 1, and taking number I to the device
    // (batch has taken number 0), from what is in host memory. NULL: a single one.
    int64_t (*pieces)(const run *r);
    void (*piece)(run *r, int64_t i);
    // Records the step's loss (rank 0) from what is on the device alone: it may be replayed.
    tensor *(*loss)(run *r);
    // Scores the validation split: appends a JSON object to OUT and sets *SCORE. In a dry run it only
    // goes through the model once with its largest batch.
    status (*validate)(run *r, buffer *out, double *score);
    // Writes the model's configuration for a checkpoint, so that it can be used without its run.
    void (*save)(const run *r, buffer *config_json);
    // The vocabulary that checkpoints then hold, borrowed. NULL: the stage has none.
    const buffer *(*vocabulary)(const run *r);
    const char *(*vocabulary_file)(const run *r); // its name there; NULL: vocab.txt
    void (*free)(run *r);
    // Says what was learned, once training has ended. May be NULL.
    status (*report)(run *r);
};

// Opens device, communicator and parameters from the configuration.
status run_open(run *r, const stage *s, config *c);
// The same on a device and with ranks that are there: both belong to the run from now on, also in failure.
status run_open_on(run *r, const stage *s, config *c, device *d, comm *ranks);
void run_close(run *r);
// Allocates and begins the declared parameters.
status run_build(run *r);

// Writes TEXT, a JSON object, and a line feed as test.json into the run's folder: what the report says, for
// machines.
status run_write_scores(const run *r, buffer *text);

// Names the records of this rank's slice of the step's batch, for errors.
void run_note_batch(run *r, const dataset *set, const int64_t *record, int64_t count);

// Trains until r->max_steps, early stopping or a signal (INTERRUPTED, after a checkpoint).
status train_loop(run *r);
