// The base of an adapter that was trained beside FP8, int8 or NF4: its numbers as the training computed with them,
// made anew from the base's files matrix by matrix.
#pragma once
#include "core/files/weights.h"
#include "models/llama.h"
#include "models/nn/load.h"

typedef struct coded_base {
    device *device; // counts sizes alone: no parameter is allocated
    params params;
    llama model;
    weights *file;     // borrowed
    quantise codes;    // of the latest matrix
    const param *held; // that matrix; NULL: none yet
    float *row;        // of it
    const char *name;  // of the tensor that was asked for last; borrowed from the file
    const param *of;   // its parameter, NULL: it is plain; and its first row there
    int64_t first_row;
} coded_base;

// STORAGE as model.storage has it; "plain": nothing is coded. To be closed also after a failure. USAGE
// (NF4 where rows are no whole blocks), MEMORY.
status coded_base_open(coded_base *b, weights *file, const llama_config *c, const char *storage);
void coded_base_close(coded_base *b);
// Whether the tensor E of the file is kept in codes.
bool coded_base_has(coded_base *b, const weight_entry *e);
// Numbers FIRST to FIRST + COUNT - 1 of row ROW of the tensor E, which is. FORMAT, IO, MEMORY.
status coded_base_read(coded_base *b, const weight_entry *e, int64_t row, int64_t first, int64_t count,
                       double *out);
