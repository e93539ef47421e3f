// cuBLASLt behind a plain header: the matrix products of the CUDA device. No other file includes
// cuBLAS's headers. The library is opened with the device, not with the program.
//
// An algorithm is chosen once per set of sizes (the library's heuristics, deterministic ones only,
// no split over atomics) and kept, so that a step prepares nothing. Workspace belongs to the
// stream. Failures are kept in the stream (stream_fail).
#pragma once
#include "core/device.h"
#include "core/library.h"

typedef struct cublas cublas;

status cublas_open(cublas **out, stream *s);
void cublas_close(cublas *b); // accepts NULL
// Opens the library, without a GPU, to say where it is and which version.
status cublas_library(library_facts *out);

// What else a product does before it is written.
typedef enum cublas_epilogue {
    CUBLAS_PLAIN,
    CUBLAS_BIAS,          // adds side: bias (N)
    CUBLAS_BIAS_GELU,     // the same, then GELU in its tanh form; side2 (M, N) keeps what GELU saw
    CUBLAS_GELU_GRADIENT, // multiplies by GELU's derivative (tanh form) at side2 (M, N)
    CUBLAS_BIAS_GRADIENT, // side: (M) becomes the sum over K of a's rows (written, also where ACC)
    CUBLAS_SCALED,        // a (M, K) and b (N, K), B_TRANSPOSED, are E4M3 (TYPE is u8); element (m, n) of their
                          // product is multiplied by side[m] * side2[n], f32: Hopper's FP8 with cuBLAS 12.9 or later
} cublas_epilogue;

// out (M, N) = op(a) op(b), row-major, + what is in out if ACC. Sums run in f32.
//   a is (M, K), or (K, M) where A_TRANSPOSED; b is (K, N), or (N, K) where B_TRANSPOSED.
// Weights' gradients are f32 whatever the factors are: OUT_TYPE. All fields are as wide as the
// rest, so that sizes are compared byte by byte.
typedef struct cublas_product {
    int64_t M, N, K;
    int64_t a_transposed, b_transposed, acc;
    int64_t type, out_type; // a dtype each: f32, bf16, f16; u8 stands for E4M3
    int64_t epilogue;       // a cublas_epilogue
    int64_t side_type;      // of the bias or its gradient, a dtype; f32 where it is left out
    int64_t a_row, out_row; // from a row to the next in a longer one; 0: they lie behind each other
} cublas_product;

// Whether the library has an algorithm. It has one for every CUBLAS_PLAIN; what it documents beyond
// that: a bias or its gradient of the type of OUT, GELU for N divisible by 8. Ask before a bias in
// f32 is added to an OUT in bf16 or f16. The answer is kept with the algorithm; side2 has the type
// of OUT.
bool cublas_product_takes(const cublas_product *z, stream *s);

// SIDE and SIDE2 as the epilogue says, else NULL. Chooses the algorithm where that has not been
// done.
void cublas_product_run(void *out, const void *a, const void *b, void *side, void *side2,
                        const cublas_product *z, stream *s);
// Chooses the algorithm ahead of the first step (dry runs).
void cublas_product_prepare(const cublas_product *z, stream *s);
