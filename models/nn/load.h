// Weights from files into a model's parameters, under other names where the file has other ones.
//
// A recipe says how a kind of file names things. Tensors are compared as a whole first: what is missing,
// misshapen or unknown stands in one table, and nothing is loaded unless everything fits.
#pragma once
#include "core/buffer.h"
#include "core/files/weights.h"
#include "models/nn/params.h"

typedef struct load_name {
    const char *file, *model; // prefixes: FILE + rest is the file's name of the model's MODEL + rest
} load_name;

typedef struct load_recipe {
    const char *what;           // "a checkpoint of radialog", for messages
    const load_name *names;     // the first whose MODEL fits decides; ended by {0}
    const load_name *endings;   // other ends of names, tried where the file lacks the first; ended by {0}
    const char *const *grown;   // parameters that may have more rows than the file's: the rows behind begin as the
                                // model began them; NULL-ended
    // By a part of their names ("^" in front: by the beginning); NULL-ended.
    const char *const *keep;    // parameters that begin as the model began them
    const char *const *ignored; // tensors of the file that the model has no use for
    bool apart;                 // for the parameters that stand apart (params.h), which are left alone otherwise
    bool strict;                // a tensor that is neither used nor ignored is an error, not a notice
} load_recipe;

typedef struct load_counts {
    int64_t loaded, ignored, unknown, kept;
} load_counts;

// Loads every weight and buffer of P but those of recipe->keep. Numbers of all types are converted to f32.
// Errors: FORMAT when tensors are missing or misshapen (a table of at most LOAD_TABLE_ROWS rows goes to
// the log as a warning) or hold NaN or an infinity (named); IO; MEMORY. After an error in a tensor's
// numbers the tensors before it have been written: the parameters are then of no use.
enum { LOAD_TABLE_ROWS = 40 };
status params_load(params *p, weights *file, const load_recipe *recipe, load_counts *counts);
// The same, and a line in the log says what was loaded as what.
status params_load_told(params *p, weights *file, const load_recipe *recipe);
// Our own checkpoints, which have the model's names and no others.
extern const load_recipe load_own;

// Whether params_code can make all of P's coded parameters from FILE, as far as sizes tell: nothing is read.
status params_code_check(const params *p, const weights *file);
// The codes of the coded parameter Q from FILE, under the names that Q's parts have: to be closed by
// quantise_close, also after a failure. Errors: FORMAT where a part is missing, misshapen or holds NaN or an
// infinity, and as quantise_open has them; IO; MEMORY.
status params_code(quantise *out, weights *file, const param *q);
