// Tensors: contiguous, row-major, at most five dimensions, living in a device's memory.
//
// Legend of sizes used everywhere: B batch, T tokens, Q queries, H heads (or height beside W width),
// C channels (O of them going out), D width of a token, N elements or classes.
// There are no strides: a view shares data and gradient with its base and has the same elements.
#pragma once
#include "core/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TENSOR_MAX_RANK = 5 };

//  X(name, bytes, name in safetensors files)
#define DTYPE_LIST(X)                                                                              \
    X(F32, 4, "F32")                                                                               \
    X(F64, 8, "F64")                                                                               \
    X(BF16, 2, "BF16")                                                                             \
    X(F16, 2, "F16")                                                                               \
    X(I64, 8, "I64")                                                                               \
    X(I32, 4, "I32")                                                                               \
    X(I8, 1, "I8")                                                                                 \
    X(U8, 1, "U8")

typedef enum dtype {
#define X(name, bytes, text) DTYPE_##name,
    DTYPE_LIST(X)
#undef X
    DTYPE_COUNT
} dtype;

size_t dtype_size(dtype type);
const char *dtype_name(dtype type);
// The type of vectors beside matrices of TYPE (biases, norm weights, statistics) and of all
// parameters' gradients: f64 beside f64 (the oracle), else f32.
dtype dtype_wide(dtype type);

// Where a tensor's gradient is. Views share it. First touch writes, later touches add.
typedef struct gradient {
    void *data;   // same shape as the tensor; NULL until first touched
    dtype type;   // activations: the tensor's; parameters: dtype_wide
    bool owned;   // true: taken from the tape's gradient arena and given back after its last use
    bool written; // whether this step has touched it
    int uses;     // recorded calls that have not yet run backward
} gradient;

// A frozen matrix (N, K) in few bits, in the device's memory (borrowed), as models/nn/quantise.h makes
// it.
//   INT8: w[n, k] = codes[n, k] * scale[n].
//   FP8: the same of numbers in E4M3 (core/e4m3.h), scales being powers of two. The other factor of a product, x or
//   the gradient of the output, is rounded to E4M3 as well, each of its rows with a scale of its own.
//   NF4 (Dettmers et al. 2023, QLoRA): numbers in the order of rows, in blocks of NF4_BLOCK, whose
//   largest sizes are coded too: w = table[code] * size, and of block b
//   size = table[16 + sizes[b]] * scale[b / NF4_SIZES] + offset.
//   Two codes are in a byte, the first in its upper half; rows are whole blocks.
typedef enum quantisation { QUANT_INT8, QUANT_NF4, QUANT_FP8 } quantisation;
enum { NF4_BLOCK = 64, NF4_SIZES = 256, NF4_TABLE = 16 + 256 };
typedef struct quantised {
    quantisation how;
    const void *codes;    // a byte each (N, K); NF4: two in a byte (N * K / 2)
    const float *scale;   // (N); NF4 (blocks / 256, rounded up)
    const uint8_t *sizes; // NF4 (N * K / 64)
    const float *table;   // NF4: the 16 values, then the 256 that code sizes
    float offset;
    int64_t tile; // rows that are made plain at once in long products; 0: as many as take 32 MB
} quantised;

typedef struct tensor {
    void *data;
    gradient *grad; // NULL: no gradient is wanted (inputs, frozen parameters)
    dtype type;
    int rank;
    int64_t dim[TENSOR_MAX_RANK]; // (dim[0], ..., dim[rank - 1])
    const quantised *quantised;   // of a linear layer's weight: its numbers are there, not in DATA
} tensor;

// Number of elements; 1 for rank 0.
int64_t tensor_count(const tensor *x);
size_t tensor_bytes(const tensor *x);
// "(2, 3, 4)" in TEXT, which is returned. Room for the 8 dimensions that files may have, of any size.
enum { SHAPE_TEXT_SIZE = 192 };
char *shape_text(char text[SHAPE_TEXT_SIZE], int rank, const int64_t *dim);
// Dies unless X has this rank and these sizes; a size of -1 fits anything. WHO is "op argument".
void tensor_expect(const tensor *x, const char *who, int rank, const int64_t *dim);

// Element I of numbers of TYPE (f64, f32, bf16 or f16) in host memory; putting rounds to the nearest.
double element_get(const void *data, int64_t i, dtype type);
void element_put(void *data, int64_t i, double value, dtype type);

// Rounds to nearest even.
uint16_t bf16_from_float(float value);
float bf16_to_float(uint16_t bits);
uint16_t f16_from_float(float value);
float f16_to_float(uint16_t bits);
