// What the ops share: shape checks beside tensor_expect, and a batch without rows. For models/ops/*.c only.
#pragma once
#include "models/tape/tape.h"

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

// The product of the dimensions of X (B, ..., C) between the first and the last.
static inline int64_t op_tokens(const tensor *x) {
    int64_t tokens = 1;
    for (int i = 1; i < x->rank - 1; i++) tokens *= x->dim[i];
    return tokens;
}

// The gradient D of parameter X from a batch without rows (a rank may have none of a small batch): nothing, but
// written where it is the first. Libraries' kernels are not called with empty sizes.
static inline void op_zero_gradient(tape *t, const tensor *x, void *d, int acc) {
    if (d && !acc) t->device->zero(t->device, d, (size_t)tensor_count(x) * dtype_size(x->grad->type));
}

// Where row R of rows of WIDTH numbers of TYPE begins; NULL where there are none.
static inline void *op_row(const void *data, int64_t r, int64_t width, dtype type) {
    return data ? (void *)((uintptr_t)data + (size_t)(r * width) * dtype_size(type)) : NULL;
}

// Dies unless a loss with label smoothing is asked for with numbers that make sense.
static inline void op_expect_smoothing(const char *op, double smoothing, double count) {
    if (!(smoothing >= 0 && smoothing <= 1))
        die("%s: the smoothing is %g, expected 0 to 1", op, smoothing);
    if (!(count > 0)) die("%s: the count is %g, expected more than 0", op, count);
}
