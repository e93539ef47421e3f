// The program's commands, one list: main dispatches from it and prints its help.
#pragma once
#include "train/cli.h"

// X(variable) in the order of the help text.
#define COMMAND_LIST(X)                                                                            \
    X(command_synth)                                                                               \
    X(command_ingest)                                                                              \
    X(command_tokenizer_train)                                                                     \
    X(command_train_classifier)                                                                    \
    X(command_train_chexbert)                                                                      \
    X(command_train_aligner)                                                                       \
    X(command_train_lm)                                                                            \
    X(command_train_lora)                                                                          \
    X(command_label)                                                                               \
    X(command_classify)                                                                            \
    X(command_embed)                                                                               \
    X(command_instruct)                                                                            \
    X(command_generate)                                                                            \
    X(command_evaluate)                                                                            \
    X(command_export)                                                                              \
    X(command_inspect)                                                                             \
    X(command_plan)                                                                                \
    X(command_doctor)                                                                              \
    X(command_bench)

#define X(name) extern const command name;
COMMAND_LIST(X)
#undef X
