// This program once more, in a process of its own: so a stage of a pipeline has all of the memory, and when it is
// killed, the pipeline knows and says so.
#pragma once
#include "core/buffer.h"
#include <stdbool.h>

typedef struct child_options {
    const char *const *before; // what starts it, such as {"mpirun", "-n", "2", NULL}; NULL: nothing
    const char *output;        // a file that takes what it says on stdout; NULL: none
    bool quiet;                // and our own stdout does not
    bool mute;                 // its stderr goes nowhere
    buffer *said;              // appended to, may be NULL
} child_options;

// Runs `radialog ARGV` (ended by NULL) to its end. Signals are handed on to it, and it gets a SIGTERM when this
// process dies. USAGE, TRAINING ("exit status 1") or INTERRUPTED as it ended, having said why on stderr; TRAINING
// naming the signal that killed it; IO.
status child_run(const char *const *argv, const child_options *o);
