// Formulas are those of attention_cached.c. A task is a row's queries of one key head on SPLIT
// positions; what tasks of a row find is merged in the order of positions. Blocks of positions begin
// at multiples of STEP wherever the prefix ends, so that sharing it changes no bit. Built with fused
// multiply-adds (CMakeLists.txt).
#include "models/ops/kernels.h"
#include "models/ops/math_cpu.h"
#include "models/ops/ops_cpu.h"
#include "models/ops/product_cpu.h"

#include <float.h>

enum { SPLIT = 512, STEP = 64, SLICE = 256, WIDEST = CACHED_WIDEST };

// What a task found: the sum of exp(score - largest) times values, and without values.
typedef struct part {
    float largest, total;
    float *sum; // (D)
} part;

static bool is_there(const cached_shape *z, int64_t n) {
    return z->slot[n] >= 0 && z->slot[n] < z->slots && z->position[n] >= 0 &&
           z->position[n] < z->most;
}

static void expect_arguments(const cached_shape *z, dtype type, stream *s) {
    cpu_expect("attention_cached", type);
    for (int64_t n = 0; n < z->N; n++) {
        if (z->slot[n] < 0 || is_there(z, n)) continue;
        stream_fail(s, status_fail(STATUS_FORMAT,
                                   "attention_cached: row %lld is at position %d of slot %d, and "
                                   "the cache has %lld slots of %lld positions",
                                   (long long)n, z->position[n], z->slot[n], (long long)z->slots,
                                   (long long)z->most));
        return;
    }
}

static int64_t place_of(const cached_shape *z, int64_t slot, int64_t h, int64_t position) {
    return ((slot * z->HK + h) * z->P + position) * z->D;
}

// --- writing ------------------------------------------------------------------------------------
void cache_write_cpu(void *k_cache, void *v_cache, const void *k, const void *v,
                     const cached_shape *z, dtype type, stream *s) {
    const size_t bytes = (size_t)z->D * dtype_size(type);
    expect_arguments(z, type, s);
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < z->N; n++)
        for (int64_t h = 0; h < z->HK && is_there(z, n); h++) {
            const int64_t to = place_of(z, z->slot[n], h, z->position[n]);
            const int64_t from = (n * z->HK + h) * z->D;
            memcpy(element(k_cache, to, type), element(k, from, type), bytes);
            memcpy(element(v_cache, to, type), element(v, from, type), bytes);
        }
}

// --- reading ------------------------------------------------------------------------------------
static void copy_floats(float *to, const void *data, int64_t at, int64_t n, dtype type) {
    const float *from = row_read(to, data, at, n, type);
    if (from != to && n) memcpy(to, from, (size_t)n * sizeof *to);
}

// Rows FROM to FROM + COUNT of head H as row N sees them, in place or in BUFFER.
static const float *rows_of(float *buffer, const void *cache, const cached_shape *z, int64_t n,
                            int64_t h, int64_t from, int64_t count, dtype type) {
    const int64_t own = place_of(z, z->slot[n], h, from),
                  shared = place_of(z, z->prefix_slot, h, from);
    if (from >= z->prefix) return row_read(buffer, cache, own, count * z->D, type);
    if (from + count <= z->prefix) return row_read(buffer, cache, shared, count * z->D, type);
    const int64_t first = (z->prefix - from) * z->D;
    copy_floats(buffer, cache, shared, first, type);
    copy_floats(buffer + first, cache, own + first, count * z->D - first, type);
    return buffer;
}

// --- arithmetic ---------------------------------------------------------------------------------
// q . k for KEYS rows of keys; called with constants.
INLINE void dots(float *score, int keys, const float *q, const float *k, int64_t D) {
    vector sum[4] = {0};
    int64_t d = 0;
    for (; d + VECTOR <= D; d += VECTOR)
        for (int i = 0; i < keys; i++)
            sum[i] += *(const vector *)(q + d) * *(const vector *)(k + i * D + d);
    for (int i = 0; i < keys; i++) {
        float rest = 0;
        for (int64_t e = d; e < D; e++) rest += q[e] * k[i * D + e];
        score[i] = lanes_sum(sum[i]) + rest;
    }
}

static void scores_of(float *score, const float *q, const float *k, int64_t count, int64_t D) {
    int64_t j = 0;
    for (; j + 4 <= count; j += 4) dots(score + j, 4, q, k + j * D, D);
    for (; j < count; j++) dots(score + j, 1, q, k + j * D, D);
}

// sum += the WIDTH vectors from D0 on of COUNT rows of V, weighted; called with constants.
INLINE void add_columns(float *sum, int width, const float *weight, const float *v, int64_t count,
                        int64_t D) {
    vector add[4];
    for (int i = 0; i < width; i++) add[i] = *(const vector *)(sum + i * VECTOR);
    for (int64_t j = 0; j < count; j++)
        for (int i = 0; i < width; i++)
            add[i] += weight[j] * *(const vector *)(v + j * D + i * VECTOR);
    for (int i = 0; i < width; i++) *(vector *)(sum + i * VECTOR) = add[i];
}

static void add_values(float *sum, const float *weight, const float *v, int64_t count, int64_t D) {
    int64_t d = 0;
    for (; d + 4 * VECTOR <= D; d += 4 * VECTOR) add_columns(sum + d, 4, weight, v + d, count, D);
    for (; d + VECTOR <= D; d += VECTOR) add_columns(sum + d, 1, weight, v + d, count, D);
    for (; d < D; d++)
        for (int64_t j = 0; j < count; j++) sum[d] += weight[j] * v[j * D + d];
}

// One query on COUNT more keys.
static void take_in(part *p, const float *q, const float *k, const float *v, int64_t count,
                    int64_t D) {
    float score[STEP], largest = p->largest;
    scores_of(score, q, k, count, D);
    for (int64_t j = 0; j < count; j++) largest = score[j] > largest ? score[j] : largest;
    const float shrink = cpu_exp(p->largest - largest);
    for (int64_t j = 0; j < count; j++) score[j] = cpu_exp(score[j] - largest);
    for (int64_t d = 0; d < D; d++) p->sum[d] *= shrink;
    p->total *= shrink;
    for (int64_t j = 0; j < count; j++) p->total += score[j];
    p->largest = largest;
    add_values(p->sum, score, v, count, D);
}

// --- tasks --------------------------------------------------------------------------------------
typedef struct call {
    const void *q, *k, *v;
    void *out;
    const cached_shape *z;
    dtype type;
    int64_t splits;
    float *parts; // (rows of a slice, HQ, splits, 2 + D)
} call;

static int64_t splits_of(const cached_shape *z) {
    return (z->most + SPLIT - 1) / SPLIT;
}

static part part_of(const call *c, int64_t row, int64_t split) {
    float *at = c->parts + (row * c->splits + split) * (c->z->D + 2);
    return (part){at[0], at[1], at + 2};
}

// Row N, the R-th of its slice: the queries that key head H serves, on positions of split SPLIT.
static void run_task(const call *c, int64_t n, int64_t r, int64_t h, int64_t split) {
    const cached_shape *z = c->z;
    const int64_t group = z->HQ / z->HK, D = z->D, first = split * SPLIT;
    const int64_t keys = z->position[n] + 1, end = keys < first + SPLIT ? keys : first + SPLIT;
    float k_buffer[STEP * WIDEST], v_buffer[STEP * WIDEST], query[WIDEST];
    for (int64_t from = first; from < end; from += STEP) {
        const int64_t count = end - from < STEP ? end - from : STEP;
        const float *k = rows_of(k_buffer, c->k, z, n, h, from, count, c->type);
        const float *v = rows_of(v_buffer, c->v, z, n, h, from, count, c->type);
        for (int64_t g = h * group; g < (h + 1) * group; g++) {
            float *at = c->parts + ((r * z->HQ + g) * c->splits + split) * (D + 2);
            part p = {from > first ? at[0] : -FLT_MAX, from > first ? at[1] : 0, at + 2};
            if (from == first) memset(p.sum, 0, (size_t)D * sizeof *p.sum);
            const float *q = row_read(query, c->q, (n * z->HQ + g) * D, D, c->type);
            float scaled[WIDEST];
            for (int64_t d = 0; d < D; d++) scaled[d] = q[d] * (float)z->scale;
            take_in(&p, scaled, k, v, count, D);
            at[0] = p.largest, at[1] = p.total;
        }
    }
}

// Query G of row N out of its parts.
static void merge(const call *c, int64_t n, int64_t r, int64_t g) {
    const cached_shape *z = c->z;
    const int64_t D = z->D, at = (n * z->HQ + g) * D, row = r * z->HQ + g;
    const int64_t parts = is_there(z, n) ? z->position[n] / SPLIT + 1 : 0;
    float buffer[WIDEST], *y = row_begin(buffer, c->out, at, D, 0, c->type), total = 0;
    float largest = -FLT_MAX;
    for (int64_t i = 0; i < parts; i++) {
        const part p = part_of(c, row, i);
        largest = p.largest > largest ? p.largest : largest;
    }
    for (int64_t d = 0; d < D; d++) y[d] = 0;
    for (int64_t i = 0; i < parts; i++) {
        const part p = part_of(c, row, i);
        const float weight = cpu_exp(p.largest - largest);
        total += weight * p.total;
        for (int64_t d = 0; d < D; d++) y[d] += weight * p.sum[d];
    }
    for (int64_t d = 0; d < D && parts; d++) y[d] /= total;
    row_end(c->out, at, y, D, c->type);
}

void attention_cached_forward_cpu(void *out, const void *q, const void *k_cache,
                                  const void *v_cache, const cached_shape *z, dtype type,
                                  void *scratch, stream *s) {
    const call c = {q, k_cache, v_cache, out, z, type, splits_of(z), scratch};
    expect_arguments(z, type, s);
    for (int64_t first = 0; first < z->N; first += SLICE) {
        const int64_t rows = z->N - first < SLICE ? z->N - first : SLICE;
        const int64_t tasks = rows * z->HK * c.splits;
#pragma omp parallel for schedule(dynamic)
        for (int64_t i = 0; i < tasks; i++) {
            const int64_t r = i / (z->HK * c.splits), h = i / c.splits % z->HK;
            if (is_there(z, first + r)) run_task(&c, first + r, r, h, i % c.splits);
        }
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < rows * z->HQ; i++) merge(&c, first + i / z->HQ, i / z->HQ, i % z->HQ);
    }
}

size_t attention_cached_scratch_cpu(const cached_shape *z, dtype type, stream *s) {
    const int64_t rows = z->N < SLICE ? z->N : SLICE;
    (void)type, (void)s;
    return (size_t)(rows * z->HQ * splits_of(z) * (z->D + 2)) * sizeof(float);
}
