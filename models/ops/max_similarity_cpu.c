#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

// A product is summed over LANES numbers side by side, in an order that the code fixes. TEXTS texts
// are multiplied at once with ROWS of an image's rows, so that what is read is used more than once.
enum { LANES = 16, TEXTS = 4, ROWS = 4 };

typedef float vector __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t words __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t halves __attribute__((vector_size(32), aligned(2), may_alias));

// LANES elements from AT on. Not as a result: how vectors are returned depends on the instruction
// set.
TYPED void vector_read(vector *to, const void *data, int64_t at, dtype type) {
    if (type == DTYPE_F32)
        *to = *(const vector *)((const float *)data + at);
    else
        *to =
            (vector)(__builtin_convertvector(*(const halves *)((const uint16_t *)data + at), words)
                     << 16);
}

// out[i][j] = the image's row i that begins at element X times the text j that begins at W.
TYPED void products(float out[ROWS][TEXTS], int rows, int count, const void *images, int64_t x,
                    const void *texts, int64_t w, int64_t E, dtype type) {
    vector sum[ROWS][TEXTS] = {0};
    int64_t whole = E / LANES * LANES;
    for (int64_t e = 0; e < whole; e += LANES)
        for (int j = 0; j < count; j++) {
            vector a, b;
            vector_read(&b, texts, w + j * E + e, type);
            for (int i = 0; i < rows; i++) {
                vector_read(&a, images, x + i * E + e, type);
                sum[i][j] += a * b;
            }
        }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < count; j++) {
            double total = 0;
            for (int l = 0; l < LANES; l++) total += (double)sum[i][j][l];
            for (int64_t e = whole; e < E; e++)
                total += (double)number_read(images, x + i * E + e, type) *
                         (double)number_read(texts, w + j * E + e, type);
            out[i][j] = (float)total;
        }
}

// Image N and COUNT texts from M on: NaN wins, and the first of equals.
TYPED void compare(float *best, int32_t *winner, int count, const void *images, const void *texts,
                   int64_t n, int64_t m, const similarity_shape *z, dtype type) {
    for (int64_t q = 0; q < z->Q;) {
        float product[ROWS][TEXTS];
        const int64_t x = (n * z->Q + q) * z->E, w = m * z->E;
        int rows = q + ROWS <= z->Q ? ROWS : 1;
        if (rows == ROWS)
            products(product, ROWS, count, images, x, texts, w, z->E, type);
        else
            products(product, 1, count, images, x, texts, w, z->E, type);
        for (int i = 0; i < rows; i++, q++)
            for (int j = 0; j < count; j++) {
                float p = product[i][j];
                if (q && !(p > best[j] || p != p)) continue;
                best[j] = p;
                winner[j] = (int32_t)q;
            }
    }
}

TYPED void compare_all(float *out, int32_t *winner, const void *images, const void *texts,
                       const similarity_shape *z, dtype type) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t n = 0; n < z->N; n++)
        for (int64_t first = 0; first < z->M; first += TEXTS)
            for (int64_t m = first; m < first + TEXTS && m < z->M;) {
                float best[TEXTS];
                int count = m + TEXTS <= z->M ? TEXTS : 1;
                if (count == TEXTS)
                    compare(best, winner + n * z->M + m, TEXTS, images, texts, n, m, z, type);
                else
                    compare(best, winner + n * z->M + m, 1, images, texts, n, m, z, type);
                for (int j = 0; j < count; j++, m++)
                    out[z->by_text ? m * z->N + n : n * z->M + m] = best[j];
            }
}

void max_similarity_forward_cpu(void *out, int32_t *winner, const void *images, const void *texts,
                                const similarity_shape *z, dtype type, stream *s) {
    cpu_expect("max_similarity", type);
    (void)s;
    if (type == DTYPE_F32)
        compare_all(out, winner, images, texts, z, DTYPE_F32);
    else
        compare_all(out, winner, images, texts, z, DTYPE_BF16);
}

// dx (N elements) += d x, which begins at element AT.
static void add_row(float *dx, float d, const void *data, int64_t at, int64_t n, dtype type) {
    float buffer[ROW];
    const float *x = row_read(buffer, data, at, n, type);
    for (int64_t i = 0; i < n; i++) dx[i] += d * x[i];
}

static float upstream(const void *dout, int64_t n, int64_t m, const similarity_shape *z) {
    return ((const float *)dout)[z->by_text ? m * z->N + n : n * z->M + m];
}

static void backward_image(void *dimages, const void *dout, const void *texts,
                           const int32_t *winner, int64_t n, int64_t q, const similarity_shape *z,
                           int acc, dtype type) {
    for (int64_t e = 0; e < z->E; e += ROW) {
        float buffer[ROW];
        int64_t count = row_length(e, z->E), at = (n * z->Q + q) * z->E + e;
        float *dx = row_begin(buffer, dimages, at, count, acc, type);
        for (int64_t i = 0; i < count && !acc; i++) dx[i] = 0;
        for (int64_t m = 0; m < z->M; m++)
            if (winner[n * z->M + m] == q)
                add_row(dx, upstream(dout, n, m, z), texts, m * z->E + e, count, type);
        row_end(dimages, at, dx, count, type);
    }
}

static void backward_text(void *dtexts, const void *dout, const void *images, const int32_t *winner,
                          int64_t m, const similarity_shape *z, int acc, dtype type) {
    for (int64_t e = 0; e < z->E; e += ROW) {
        float buffer[ROW];
        int64_t count = row_length(e, z->E), at = m * z->E + e;
        float *dw = row_begin(buffer, dtexts, at, count, acc, type);
        for (int64_t i = 0; i < count && !acc; i++) dw[i] = 0;
        for (int64_t n = 0; n < z->N; n++)
            add_row(dw, upstream(dout, n, m, z), images,
                    (n * z->Q + winner[n * z->M + m]) * z->E + e, count, type);
        row_end(dtexts, at, dw, count, type);
    }
}

// Every row is one thread's, which adds in order.
void max_similarity_backward_cpu(void *dimages, void *dtexts, const void *dout, const void *images,
                                 const void *texts, const int32_t *winner,
                                 const similarity_shape *z, int acc_images, int acc_texts,
                                 dtype type, stream *s) {
    cpu_expect("max_similarity", type);
    (void)s;
    const int64_t rows = dimages ? z->N * z->Q : 0, columns = dtexts ? z->M : 0;
#pragma omp parallel
    {
#pragma omp for schedule(static) nowait
        for (int64_t r = 0; r < rows; r++)
            backward_image(dimages, dout, texts, winner, r / z->Q, r % z->Q, z, acc_images, type);
#pragma omp for schedule(static)
        for (int64_t m = 0; m < columns; m++)
            backward_text(dtexts, dout, images, winner, m, z, acc_texts, type);
    }
}
