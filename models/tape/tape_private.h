// Shared by the files of models/tape/ only.
#pragma once
#include "models/tape/tape.h"

// As tape_record, whether or not an input wants a gradient.
tape_node *tape_record_always(tape *t, const char *op, tape_rule rule, void *saved,
                              tensor *const *out, int outs, tensor *const *in, int ins);
// Gives X an empty gradient slot.
void tape_want_gradient(tape *t, tensor *x);
// Runs the rules of all nodes recorded after UNTIL, newest first, and forgets those nodes.
void tape_run_back(tape *t, const tape_node *until);
