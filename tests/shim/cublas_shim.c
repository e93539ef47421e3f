// cuBLASLt's wrapper in plain loops in double: what core/cuda/cublas.h promises, for the host shim. A sum goes
// through in memory order, so factors are taken as doubles once.
#include "core/cuda/cublas.h"
#include "core/e4m3.h"
#include "core/memory.h"

static double *as_doubles(const void *x, int64_t rows, int64_t columns, int64_t row, int64_t type) {
    double *out;
    if (mem_new(&out, rows * columns + 1, "doubles")) die("%s", status_text());
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            out[r * columns + c] = type == DTYPE_U8 ? (double)e4m3_value(((const uint8_t *)x)[r * row + c])
                                                    : element_get(x, r * row + c, (dtype)type);
    return out;
}

static void scale_rows(double *x, const float *scale, int64_t rows, int64_t columns) {
    for (int64_t i = 0; i < rows * columns; i++) x[i] *= (double)scale[i / columns];
}

static void run(void *out, const double *a, const double *b, const float *bias, const cublas_product *z) {
    for (int64_t m = 0; m < z->M; m++)
        for (int64_t n = 0; n < z->N; n++) {
            double sum = bias ? (double)bias[n] : 0;
            for (int64_t k = 0; k < z->K; k++)
                sum += a[z->a_transposed ? k * z->M + m : m * z->K + k] *
                       b[z->b_transposed ? n * z->K + k : k * z->N + n];
            int64_t at = m * (z->out_row ? z->out_row : z->N) + n;
            element_put(out, at, sum + (z->acc ? element_get(out, at, (dtype)z->out_type) : 0),
                        (dtype)z->out_type);
        }
}

void cublas_product_run(void *out, const void *a, const void *b, void *side, void *side2,
                        const cublas_product *z, stream *s) {
    (void)s;
    const int64_t rows = z->a_transposed ? z->K : z->M, columns = z->a_transposed ? z->M : z->K;
    double *A = as_doubles(a, rows, columns, z->a_row ? z->a_row : columns, z->type);
    double *B = as_doubles(b, 1, z->K * z->N, 0, z->type);
    if (z->epilogue != CUBLAS_PLAIN && z->epilogue != CUBLAS_BIAS && z->epilogue != CUBLAS_BIAS_GRADIENT &&
        z->epilogue != CUBLAS_SCALED)
        die("cublas_shim: epilogue %lld", (long long)z->epilogue);
    if ((z->epilogue == CUBLAS_PLAIN) != !side || (z->epilogue == CUBLAS_SCALED) != !!side2)
        die("cublas_shim: an epilogue and its sides belong together");
    if (z->epilogue == CUBLAS_SCALED) scale_rows(A, side, z->M, z->K), scale_rows(B, side2, z->N, z->K);
    run(out, A, B, z->epilogue == CUBLAS_BIAS ? side : NULL, z);
    for (int64_t m = 0; z->epilogue == CUBLAS_BIAS_GRADIENT && m < z->M; m++) {
        double sum = 0;
        for (int64_t k = 0; k < z->K; k++) sum += A[z->a_transposed ? k * z->M + m : m * z->K + k];
        ((float *)side)[m] = (float)sum;
    }
    mem_free(A);
    mem_free(B);
}

// As the library documents: no bias that is wider than the result; E4M3 in rows of whole 16 bytes, both factors with
// the sum along their rows.
bool cublas_product_takes(const cublas_product *z, stream *s) {
    (void)s;
    if (z->epilogue == CUBLAS_SCALED)
        return z->type == DTYPE_U8 && !z->a_transposed && z->b_transposed && z->K % 16 == 0 && z->N % 16 == 0;
    return z->epilogue == CUBLAS_PLAIN || z->out_type == z->side_type;
}

void cublas_product_prepare(const cublas_product *z, stream *s) {
    (void)z, (void)s;
}
