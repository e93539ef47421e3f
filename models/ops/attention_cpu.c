// Attention on the CPU: a thread takes one head of one sample, copies its keys and values into
// scratch (padded to whole vectors) and goes over tiles of queries. Scores exist for one tile at a
// time. All sums of a head are made by one thread in one order, so gradients do not depend on the
// threads.
#include "core/device.h"
#include "models/ops/draw_cpu.h"
#include "models/ops/math_cpu.h"
#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

#include <omp.h>

enum { TILE = 32, LANES = 16, ROWS = 4 };

// Sixteen floats at any address, on any instruction set (the compiler splits them where it must).
typedef float vector __attribute__((vector_size(64), aligned(4), may_alias));

// --- a small matrix product ----------------------------------------------------------------------
// ROWS_ x (VECTORS * LANES) sums in registers; called with constants, so that all loops unroll.
static inline __attribute__((always_inline)) void
product_block(int rows, int vectors, float *c, int64_t c_row, const float *a, int64_t a_row,
              int64_t a_col, const float *b, int64_t b_row, int64_t inner, int add) {
    vector sum[ROWS][2] = {0};
    for (int64_t k = 0; k < inner; k++)
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++)
                sum[r][v] +=
                    a[r * a_row + k * a_col] * *(const vector *)(b + k * b_row + v * LANES);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            vector *to = (vector *)(c + r * c_row + v * LANES);
            if (add) sum[r][v] += *to;
            *to = sum[r][v];
        }
}

// c (rows, width) = a (rows, inner) b (inner, width), or += with ADD. WIDTH is a multiple of LANES;
// a(i, k) = a[i * a_row + k * a_col], so that a may be read transposed.
static void product(float *c, int64_t c_row, const float *a, int64_t a_row, int64_t a_col,
                    const float *b, int64_t b_row, int64_t rows, int64_t width, int64_t inner,
                    int add) {
    for (int64_t j = 0; j < width; j += 2 * LANES) {
        int two = j + LANES < width;
        int64_t i = 0;
        for (; i + ROWS <= rows; i += ROWS) {
            float *to = c + i * c_row + j;
            const float *from = a + i * a_row;
            if (two)
                product_block(ROWS, 2, to, c_row, from, a_row, a_col, b + j, b_row, inner, add);
            else
                product_block(ROWS, 1, to, c_row, from, a_row, a_col, b + j, b_row, inner, add);
        }
        for (; i < rows; i++) {
            float *to = c + i * c_row + j;
            const float *from = a + i * a_row;
            if (two)
                product_block(1, 2, to, c_row, from, a_row, a_col, b + j, b_row, inner, add);
            else
                product_block(1, 1, to, c_row, from, a_row, a_col, b + j, b_row, inner, add);
        }
    }
}

// --- one thread's scratch ------------------------------------------------------------------------
typedef struct head {
    const attention_shape *z;
    int64_t row;                // from a token to the next: H * D
    int64_t b, h;               // which head
    int64_t keys, width;        // TK and D, padded to whole vectors
    float *k_turned, *v_turned; // (width, keys)
    float *k, *v;               // (keys, width)
    float *dk, *dv;             // (keys, width)
    float *q, *dout, *dq;       // (TILE, width)
    float *p, *dp;              // (TILE, keys)
    uint32_t *words;            // (TILE, TK): draws
    float factor;               // 1 / (1 - dropout)
    uint32_t limit;
    dtype type;
} head;

static void expect_arguments(const attention_shape *z, dtype type) {
    cpu_expect("attention", type);
    if (z->D > ROW) die("attention: heads of width %lld, expected at most %d", (long long)z->D, ROW);
}

static int64_t whole_vectors(int64_t n) {
    return (n + LANES - 1) / LANES * LANES;
}

// Lays H out in BASE (NULL: only counts); the number of floats.
static int64_t head_layout(head *h, const attention_shape *z, dtype type, float *base) {
    int64_t keys = whole_vectors(z->TK), width = whole_vectors(z->D), used = 0;
    *h = (head){.z = z, .row = z->H * z->D, .keys = keys, .width = width, .type = type};
    float **const large[] = {&h->k_turned, &h->v_turned, &h->k, &h->v, &h->dk, &h->dv};
    float **const tile[] = {&h->q, &h->dout, &h->dq}, **const score[] = {&h->p, &h->dp};
    for (int i = 0; i < 6; i++, used += keys * width) *large[i] = base ? base + used : NULL;
    for (int i = 0; i < 3; i++, used += TILE * width) *tile[i] = base ? base + used : NULL;
    for (int i = 0; i < 2; i++, used += TILE * keys) *score[i] = base ? base + used : NULL;
    h->words = base ? (uint32_t *)(base + used) : NULL;
    h->limit = draw_limit(z->dropout);
    h->factor = (float)(1 / (1 - z->dropout));
    return used + whole_vectors(TILE * z->TK);
}

size_t attention_scratch_cpu(const attention_shape *z, dtype type, stream *s) {
    head unused;
    return (size_t)(head_layout(&unused, z, type, NULL) * stream_threads(s)) * sizeof(float);
}

// --- copies in and out ---------------------------------------------------------------------------
// to (tokens padded to PADDED, width) = factor * this head's (tokens, D), which begin at element AT of
// FROM; zeros around.
static void pack(const head *h, float *to, const void *from, int64_t at, int64_t tokens,
                 int64_t padded, float factor) {
    int64_t D = h->z->D;
    float buffer[ROW];
    for (int64_t i = 0; i < tokens; i++) {
        const float *x = row_read(buffer, from, at + i * h->row, D, h->type);
        for (int64_t d = 0; d < D; d++) to[i * h->width + d] = factor * x[d];
        for (int64_t d = D; d < h->width; d++) to[i * h->width + d] = 0;
    }
    for (int64_t i = tokens * h->width; i < padded * h->width; i++) to[i] = 0;
}

// to (width, keys) = the transpose of from (keys, width).
static void turn(const head *h, float *to, const float *from) {
    for (int64_t i = 0; i < h->keys; i += LANES)
        for (int64_t d = 0; d < h->width; d++)
            for (int64_t l = i; l < i + LANES; l++) to[d * h->keys + l] = from[l * h->width + d];
}

// This head's (tokens, D), which begin at element AT of TO, = or += factor * from (tokens, width).
static void unpack(const head *h, void *to, int64_t at, const float *from, int64_t tokens,
                   float factor, int acc) {
    int64_t D = h->z->D;
    float buffer[ROW];
    for (int64_t i = 0; i < tokens; i++) {
        float *y = row_begin(buffer, to, at + i * h->row, D, acc, h->type);
        for (int64_t d = 0; d < D; d++) {
            float value = factor * from[i * h->width + d];
            y[d] = acc ? y[d] + value : value;
        }
        row_end(to, at + i * h->row, y, D, h->type);
    }
}

// Where the head's first token is in (B, T, H, D).
static int64_t head_start(const head *h, int64_t T) {
    return h->b * T * h->row + h->h * h->z->D;
}

// The draws of the probabilities of ROWS queries from FIRST on: one stretch, as rows follow each
// other.
static void draw_tile(const head *h, int64_t first, int64_t rows) {
    const attention_shape *z = h->z;
    if (z->dropout > 0)
        draw_words_cpu(h->words, z->key, z->first_sample + (uint32_t)h->b,
                       (uint64_t)((h->h * z->TQ + first) * z->TK), rows * z->TK);
}

// --- forward -------------------------------------------------------------------------------------
static float row_max(const float *x, int64_t n) {
    float lane[LANES], largest = x[0];
    for (int l = 0; l < LANES; l++) lane[l] = x[0];
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int l = 0; l < LANES; l++) lane[l] = x[j + l] > lane[l] ? x[j + l] : lane[l];
    for (; j < n; j++) largest = x[j] > largest ? x[j] : largest;
    for (int l = 0; l < LANES; l++) largest = lane[l] > largest ? lane[l] : largest;
    return largest;
}

// x[j] = exp(x[j] - shift) for j < n and 0 for the padding.
static void row_exp(float *x, float shift, int64_t n, int64_t padded) {
    for (int64_t j = 0; j < n; j++) x[j] = cpu_exp(x[j] - shift);
    for (int64_t j = n; j < padded; j++) x[j] = 0;
}

// Sums of LANES numbers side by side; X is padded with zeros.
static float row_sum(const float *x, int64_t padded) {
    float lane[LANES] = {0};
    for (int64_t j = 0; j < padded; j += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += x[j + l];
    double sum = 0;
    for (int l = 0; l < LANES; l++) sum += (double)lane[l];
    return (float)sum;
}

// X is the tile's row I.
static void drop_row(const head *h, float *x, int64_t i) {
    const uint32_t *words = h->words + i * h->z->TK;
    if (h->z->dropout > 0)
        for (int64_t j = 0; j < h->z->TK; j++)
            x[j] = words[j] >> 8 >= h->limit ? x[j] * h->factor : 0;
}

static void forward_tile(const head *h, void *out, float *lse, const void *q, int64_t at,
                         int64_t first, int64_t rows) {
    const attention_shape *z = h->z;
    pack(h, h->q, q, at, rows, rows, (float)z->scale);
    product(h->p, h->keys, h->q, h->width, 1, h->k_turned, h->keys, rows, h->keys, z->D, 0);
    draw_tile(h, first, rows);
    float part[TILE];
    for (int64_t i = 0; i < rows; i++) {
        float *p = h->p + i * h->keys, largest = row_max(p, z->TK);
        row_exp(p, largest, z->TK, h->keys);
        float sum = row_sum(p, h->keys);
        lse[i] = largest + logf(sum);
        part[i] = 1 / sum;
        drop_row(h, p, i);
    }
    product(h->dq, h->width, h->p, h->keys, 1, h->v, h->width, rows, h->width, z->TK, 0);
    for (int64_t i = 0; i < rows; i++)
        unpack(h, out, at + i * h->row, h->dq + i * h->width, 1, part[i], 0);
}

void attention_forward_cpu(void *out, void *lse, const void *q, const void *k, const void *v,
                           const attention_shape *z, dtype type, void *scratch, stream *s) {
    expect_arguments(z, type);
#pragma omp parallel num_threads(stream_threads(s))
    {
        head h, unused;
        int64_t size = head_layout(&unused, z, type, NULL);
        head_layout(&h, z, type, (float *)scratch + omp_get_thread_num() * size);
#pragma omp for schedule(static)
        for (int64_t bh = 0; bh < z->B * z->H; bh++) {
            h.b = bh / z->H, h.h = bh % z->H;
            int64_t query = head_start(&h, z->TQ), key = head_start(&h, z->TK);
            pack(&h, h.k, k, key, z->TK, h.keys, 1);
            pack(&h, h.v, v, key, z->TK, h.keys, 1);
            turn(&h, h.k_turned, h.k);
            for (int64_t i = 0; i < z->TQ; i += TILE) {
                int64_t rows = i + TILE < z->TQ ? TILE : z->TQ - i, at = query + i * h.row;
                forward_tile(&h, out, (float *)lse + bh * z->TQ + i, q, at, i, rows);
            }
        }
    }
}

// --- backward ------------------------------------------------------------------------------------
// p = M(P) and dp = dS / scale of the tile's row I, from the scores in P and dO V^T in DP.
static void backward_row(const head *h, float *p, float *dp, float lse, float delta, int64_t i) {
    row_exp(p, lse, h->z->TK, h->keys);
    drop_row(h, dp, i);
    for (int64_t j = 0; j < h->keys; j++) dp[j] = p[j] * (dp[j] - delta);
    drop_row(h, p, i);
}

typedef struct backward_arguments {
    void *dq;
    const void *dout, *out, *q;
    const float *lse;
    int acc_q;
} backward_arguments;

static void backward_tile(const head *h, const backward_arguments *a, int64_t at, int64_t first,
                          int64_t rows) {
    const attention_shape *z = h->z;
    int64_t width = h->width, keys = h->keys;
    pack(h, h->q, a->q, at, rows, rows, (float)z->scale);
    pack(h, h->dout, a->dout, at, rows, rows, 1);
    product(h->p, keys, h->q, width, 1, h->k_turned, keys, rows, keys, z->D, 0);
    product(h->dp, keys, h->dout, width, 1, h->v_turned, keys, rows, keys, z->D, 0);
    draw_tile(h, first, rows);
    const float *lse = a->lse + (h->b * z->H + h->h) * z->TQ + first;
    for (int64_t i = 0; i < rows; i++) {
        float buffer[ROW];
        const float *out = row_read(buffer, a->out, at + i * h->row, z->D, h->type);
        const float *dout = h->dout + i * width;
        double delta = 0;
        for (int64_t d = 0; d < z->D; d++) delta += (double)out[d] * (double)dout[d];
        backward_row(h, h->p + i * keys, h->dp + i * keys, lse[i], (float)delta, i);
    }
    product(h->dv, width, h->p, 1, keys, h->dout, width, z->TK, width, rows, 1);
    product(h->dk, width, h->dp, 1, keys, h->q, width, z->TK, width, rows, 1); // q holds the scale
    if (!a->dq) return;
    product(h->dq, width, h->dp, keys, 1, h->k, width, rows, width, z->TK, 0);
    unpack(h, a->dq, at, h->dq, rows, (float)z->scale, a->acc_q);
}

void attention_backward_cpu(void *dq, void *dk, void *dv, const void *dout, const void *out,
                            const void *lse, const void *q, const void *k, const void *v,
                            const attention_shape *z, int acc_q, int acc_k, int acc_v, dtype type,
                            void *scratch, stream *s) {
    expect_arguments(z, type);
    const backward_arguments a = {dq, dout, out, q, lse, acc_q};
#pragma omp parallel num_threads(stream_threads(s))
    {
        head h, unused;
        int64_t size = head_layout(&unused, z, type, NULL);
        head_layout(&h, z, type, (float *)scratch + omp_get_thread_num() * size);
#pragma omp for schedule(static)
        for (int64_t bh = 0; bh < z->B * z->H; bh++) {
            h.b = bh / z->H, h.h = bh % z->H;
            int64_t query = head_start(&h, z->TQ), key = head_start(&h, z->TK);
            pack(&h, h.k, k, key, z->TK, h.keys, 1);
            pack(&h, h.v, v, key, z->TK, h.keys, 1);
            turn(&h, h.k_turned, h.k);
            turn(&h, h.v_turned, h.v);
            for (int64_t i = 0; i < h.keys * h.width; i++) h.dk[i] = h.dv[i] = 0;
            for (int64_t i = 0; i < z->TQ; i += TILE)
                backward_tile(&h, &a, query + i * h.row, i, i + TILE < z->TQ ? TILE : z->TQ - i);
            // After dq, so that one tensor may be query, key and value at once.
            if (dk) unpack(&h, dk, key, h.dk, z->TK, 1, acc_k);
            if (dv) unpack(&h, dv, key, h.dv, z->TK, 1, acc_v);
        }
    }
}
