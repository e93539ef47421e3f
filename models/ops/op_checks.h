// What the ops' shape checks share beside tensor_expect. For models/ops/*.c only.
#pragma once
#include "core/tensor.h"

// Dies unless X is of TYPE. WHO is "op argument".
static inline void op_expect_type(const tensor *x, const char *who, dtype type) {
    if (x->type != type) die("%s: is %s, expected %s", who, dtype_name(x->type), dtype_name(type));
}

// Dies unless X has at least RANK dimensions. Returns the product of all but the last.
static inline int64_t op_rows(const tensor *x, const char *who, int rank) {
    char text[SHAPE_TEXT_SIZE];
    if (!x || x->rank < rank)
        die("%s: has shape %s, expected %d dimensions or more", who,
            x ? shape_text(text, x->rank, x->dim) : "NULL", rank);
    int64_t rows = 1;
    for (int i = 0; i < x->rank - 1; i++) rows *= x->dim[i];
    return rows;
}
