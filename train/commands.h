// The program's commands, one list: main dispatches from it and prints its help, pipelines (train/pipeline.h) are
// made of it.
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
    X(command_answer)                                                                              \
    X(command_instruct)                                                                            \
    X(command_generate)                                                                            \
    X(command_ask)                                                                                 \
    X(command_chat)                                                                                \
    X(command_serve)                                                                               \
    X(command_evaluate)                                                                            \
    X(command_export)                                                                              \
    X(command_report)                                                                              \
    X(command_watch)                                                                               \
    X(command_run)                                                                                 \
    X(command_inspect)                                                                             \
    X(command_plan)                                                                                \
    X(command_doctor)                                                                              \
    X(command_bench)

#define X(name) extern const command name;
COMMAND_LIST(X)
#undef X

extern const command *const all_commands[]; // in that order, ended by NULL

// The command that the first words of ARGV name, and how many words that is; NULL: none.
const command *command_find(int argc, const char *const *argv, int *words);
// USAGE, naming the nearest one.
status command_unknown(int argc, const char *const *argv);
