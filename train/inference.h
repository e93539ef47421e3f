// A trained model at work: what the commands that use a checkpoint share (classify, label, embed).
// The command declares its model in PARAMS, freezes and allocates it, and loads FILE.
#pragma once
#include "core/comm.h"
#include "core/config.h"
#include "models/nn/params.h"
#include "train/cli.h"

typedef struct inference {
    config *config;
    device *device, *dry;
    comm *comm;
    params params;
    tape tape;
    char folder[4096]; // of the checkpoint, or the file of weights itself
    char file[4096];   // of weights
} inference;

// The option for a command's list.
#define OPTION_CHECKPOINT                                                                          \
    {                                                                                              \
        "checkpoint", "PATH",                                                                      \
            "a run directory (its best checkpoint), a checkpoint folder, or a file of weights "    \
            "(sizes then come from "                                                               \
            "--config and --set, the paper's without)"                                             \
    }

// Finds --checkpoint; takes the configuration that it carries, then --config and --set; opens the
// device. USAGE, IO, FORMAT, MEMORY, DEVICE. To be closed also after a failure.
status inference_open(inference *s, const arguments *a, const config_key *const *tables);
// The same of the checkpoint at PATH, with nothing but what it carries, on the device WHERE (run.device).
status inference_open_at(inference *s, const char *path, const char *where,
                         const config_key *const *tables);
// The part of it behind the configuration: device, tape and an empty model.
status inference_open_device(inference *s);
void inference_close(inference *s);
// Freezes and allocates what was declared: nothing trains.
status inference_allocate(inference *s);
// model.vocabulary, or else the vocab.txt of the checkpoint, or beside the file of weights; "" there: none. PATH has
// PATH_SIZE bytes.
status inference_vocabulary(char *path, const inference *s);
