// The arithmetic of attention on the CPU; formulas are those of attention.c. Built with fused
// multiply-adds (CMakeLists.txt), which double what the products reach.
#include "models/ops/attention_tile_cpu.h"
#include "models/ops/math_cpu.h"

#include <float.h>

// A vector of the machine, at any address, and the block of sums that fills its registers.
#if defined __AVX512F__
enum { VECTOR = 16, BLOCK_ROWS = 8 };
#elif defined __AVX__
enum { VECTOR = 8, BLOCK_ROWS = 4 };
#else
enum { VECTOR = 4, BLOCK_ROWS = 4 };
#endif
enum { LANES = TILE_LANES, STEP = TILE_QUERIES };
typedef float vector __attribute__((vector_size(VECTOR * 4), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

// --- products ------------------------------------------------------------------------------------
// BLOCK_ROWS x (VECTORS * VECTOR) sums; called with constants, so that all loops unroll.
INLINE void product_block(int vectors, float *c, int64_t c_row, const float *a, int64_t a_row,
                          int64_t a_column, const float *b, int64_t b_row, int64_t inner, int add) {
    vector sum[BLOCK_ROWS][2] = {0};
    for (int64_t k = 0; k < inner; k++)
        for (int r = 0; r < BLOCK_ROWS; r++)
            for (int v = 0; v < vectors; v++)
                sum[r][v] +=
                    a[r * a_row + k * a_column] * *(const vector *)(b + k * b_row + v * VECTOR);
    for (int r = 0; r < BLOCK_ROWS; r++)
        for (int v = 0; v < vectors; v++) {
            vector *to = (vector *)(c + r * c_row + v * VECTOR);
            if (add) sum[r][v] += *to;
            *to = sum[r][v];
        }
}

// c (rows, width) = a (rows, inner) b (inner, width), or += with ADD; rows in whole blocks, width
// in LANES.
INLINE void product(float *c, int64_t c_row, const float *a, int64_t a_row, int64_t a_column,
                    const float *b, int64_t b_row, int64_t rows, int64_t width, int64_t inner,
                    int add) {
    int64_t j = 0;
    for (; j + 2 * VECTOR <= width; j += 2 * VECTOR)
        for (int64_t i = 0; i < rows; i += BLOCK_ROWS)
            product_block(2, c + i * c_row + j, c_row, a + i * a_row, a_row, a_column, b + j, b_row,
                          inner, add);
    for (; j < width; j += VECTOR)
        for (int64_t i = 0; i < rows; i += BLOCK_ROWS)
            product_block(1, c + i * c_row + j, c_row, a + i * a_row, a_row, a_column, b + j, b_row,
                          inner, add);
}

// scores (keys, lanes) = keys (keys, width) turned (width, lanes).
static void scores_of(float *scores, const float *keys, const float *turned, int64_t count,
                      int64_t lanes, const attention_tile *t) {
    product(scores, STEP, keys, t->width, 1, turned, STEP, count, lanes, t->D, 0);
}

// sum (keys, width) += scores (keys, queries) rows (queries, width).
static void add_to_keys(float *sum, const float *scores, const float *rows, int64_t count,
                        const attention_tile *t) {
    product(sum, t->width, scores, STEP, 1, rows, t->width, count, t->width, t->queries, 1);
}

// result (queries, width) = scores (keys, queries), turned, times rows (keys, width).
static void sum_over_keys(const float *scores, const float *rows, int64_t count, int64_t lanes,
                          const attention_tile *t) {
    product(t->result, t->width, scores, 1, STEP, rows, t->width, lanes, t->width, count, 0);
}

// --- layout --------------------------------------------------------------------------------------
int64_t attention_tile_layout(attention_tile *t, int64_t most_keys, int64_t D, float *base) {
    int64_t keys = attention_padded(most_keys, TILE_KEYS), width = attention_padded(D, TILE_LANES);
    *t = (attention_tile){.D = D, .width = width, .most_keys = most_keys};
    float **const head[] = {&t->k, &t->v, &t->dk, &t->dv}, **const score[] = {&t->p, &t->dp};
    float **const tile[] = {&t->q, &t->dout, &t->result, &t->q_turned, &t->dout_turned};
    int64_t used = 0;
    for (int i = 0; i < 4; i++, used += keys * width) *head[i] = base ? base + used : NULL;
    for (int i = 0; i < 5; i++, used += STEP * width) *tile[i] = base ? base + used : NULL;
    for (int i = 0; i < 2; i++, used += STEP * keys) *score[i] = base ? base + used : NULL;
    return used;
}

// to (width, STEP) = from (lanes, width), turned.
static void turn(float *restrict to, const float *restrict from, int64_t lanes, int64_t width) {
    for (int64_t i = 0; i < lanes; i += LANES)
        for (int64_t d = 0; d < width; d++)
            for (int64_t l = i; l < i + LANES; l++) to[d * STEP + l] = from[l * width + d];
}

// What of the keys a tile sees: some query the first SOME, every query from a lane on the first
// ALL.
typedef struct sight {
    int64_t some, all;
} sight;

static int64_t within(int64_t x, int64_t most) {
    return x < 0 ? 0 : x < most ? x : most;
}

static sight sight_of(const attention_tile *t, int64_t lane) {
    return (sight){.some = within(t->queries + t->reach, t->keys),
                   .all = within(lane + 1 + t->reach, t->keys)};
}

// --- draws ---------------------------------------------------------------------------------------
// Philox 4x32-10 (core/rng.c) for LANES queries side by side: the words of keys J to J + 3, a key
// per row. The block of element e is e / 4; a query's elements begin at a multiple of 4.
static void draw_keys(uint32_t out[4][LANES], const attention_tile *t, int64_t lane, int64_t j) {
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    uint32_t k0 = (uint32_t)t->key.seed, k1 = (uint32_t)(t->key.seed >> 32);
    for (int l = 0; l < LANES; l++) {
        uint64_t block = (t->element + ((uint64_t)(lane + l) << 16) + (uint64_t)j) / 4;
        c0[l] = (uint32_t)block;
        c1[l] = t->sample;
        c2[l] = t->key.step;
        c3[l] = t->key.site ^ (uint32_t)(block >> 32);
    }
    for (int round = 0; round < 10; round++) {
#pragma omp simd
        for (int l = 0; l < LANES; l++) {
            uint64_t p0 = (uint64_t)c0[l] * 0xD2511F53u, p1 = (uint64_t)c2[l] * 0xCD9E8D57u;
            c0[l] = (uint32_t)(p1 >> 32) ^ c1[l] ^ k0;
            c1[l] = (uint32_t)p1;
            c2[l] = (uint32_t)(p0 >> 32) ^ c3[l] ^ k1;
            c3[l] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int l = 0; l < LANES; l++) {
        out[0][l] = c0[l];
        out[1][l] = c1[l];
        out[2][l] = c2[l];
        out[3][l] = c3[l];
    }
}

// x's rows, of keys from J on, with what is dropped at 0 and the rest times FACTOR. COUNT is at
// most 4.
static void drop_keys(float *x, const uint32_t words[4][LANES], const attention_tile *t,
                      int64_t count) {
    for (int64_t k = 0; k < count; k++)
        for (int l = 0; l < LANES; l++)
            x[k * STEP + l] = words[k][l] >> 8 >= t->limit ? x[k * STEP + l] * t->factor : 0;
}

// --- forward -------------------------------------------------------------------------------------
// The functions below take LANES queries, which begin at query LANE (0 or LANES); X is their column
// of scores. Query l of them sees key j if j - first <= l.
static void largest_of(float most[LANES], const float *x, sight s, int64_t first) {
    for (int l = 0; l < LANES; l++) most[l] = -FLT_MAX;
    for (int64_t j = 0; j < s.all; j++)
        for (int l = 0; l < LANES; l++)
            most[l] = x[j * STEP + l] > most[l] ? x[j * STEP + l] : most[l];
    for (int64_t j = s.all; j < s.some; j++)
        for (int l = 0; l < LANES; l++)
            most[l] = x[j * STEP + l] > most[l] && j - first <= l ? x[j * STEP + l] : most[l];
}

// x = exp(x - shift), 0 where a key is hidden; SUM is that over the keys.
static void exponentials(float sum[LANES], float *x, const float shift[LANES], sight s,
                         int64_t first) {
    for (int l = 0; l < LANES; l++) sum[l] = 0;
    for (int64_t j = 0; j < s.all; j++)
        for (int l = 0; l < LANES; l++) {
            x[j * STEP + l] = cpu_exp(x[j * STEP + l] - shift[l]);
            sum[l] += x[j * STEP + l];
        }
    for (int64_t j = s.all; j < s.some; j++)
        for (int l = 0; l < LANES; l++) {
            float e = cpu_exp(x[j * STEP + l] - shift[l]);
            x[j * STEP + l] = j - first <= l ? e : 0;
            sum[l] += x[j * STEP + l];
        }
}

static void drop_all(attention_tile *t, float *x, int64_t lane, int64_t keys) {
    uint32_t words[4][LANES];
    for (int64_t j = 0; j < keys; j += 4) {
        draw_keys(words, t, lane, j);
        drop_keys(x + j * STEP, words, t, within(keys - j, 4));
    }
}

void attention_tile_forward(attention_tile *t) {
    const int64_t lanes = attention_padded(t->queries, LANES), keys = sight_of(t, 0).some;
    float most[LANES], sum[LANES], part[TILE_QUERIES];
    turn(t->q_turned, t->q, lanes, t->width);
    scores_of(t->p, t->k, t->q_turned, attention_padded(keys, BLOCK_ROWS), lanes, t);
    for (int64_t lane = 0; lane < lanes; lane += LANES) {
        const sight s = sight_of(t, lane);
        largest_of(most, t->p + lane, s, t->reach + lane);
        exponentials(sum, t->p + lane, most, s, t->reach + lane);
        for (int l = 0; l < LANES; l++) {
            t->lse[lane + l] = sum[l] > 0 ? most[l] + logf(sum[l]) : 0;
            part[lane + l] = sum[l] > 0 ? 1 / sum[l] : 0;
        }
        if (t->limit) drop_all(t, t->p + lane, lane, keys);
    }
    sum_over_keys(t->p, t->v, keys, lanes, t);
    for (int64_t i = 0; i < t->queries; i++)
        for (int64_t d = 0; d < t->width; d++) t->result[i * t->width + d] *= part[i];
}

// --- backward ------------------------------------------------------------------------------------
// p = M(P) and dp = dS / scale, from the scores in P and dO V^T in DP.
static void gradients(attention_tile *t, int64_t lane) {
    const sight s = sight_of(t, lane);
    const float *lse = t->lse + lane, *delta = t->delta + lane;
    const int64_t first = t->reach + lane;
    uint32_t words[4][LANES];
    float unused[LANES];
    exponentials(unused, t->p + lane, lse, s, first);
    for (int64_t j = 0; j < s.some; j += 4) {
        float *p = t->p + j * STEP + lane, *dp = t->dp + j * STEP + lane;
        const int64_t count = within(s.some - j, 4);
        if (t->limit) {
            draw_keys(words, t, lane, j);
            drop_keys(dp, words, t, count);
        }
        for (int64_t k = 0; k < count; k++)
            for (int l = 0; l < LANES; l++)
                dp[k * STEP + l] = p[k * STEP + l] * (dp[k * STEP + l] - delta[l]);
        if (t->limit) drop_keys(p, words, t, count);
    }
}

void attention_tile_backward(attention_tile *t) {
    const int64_t lanes = attention_padded(t->queries, LANES), seen = sight_of(t, 0).some;
    const int64_t keys = attention_padded(seen, BLOCK_ROWS);
    turn(t->q_turned, t->q, lanes, t->width);
    turn(t->dout_turned, t->dout, lanes, t->width);
    scores_of(t->p, t->k, t->q_turned, keys, lanes, t);
    scores_of(t->dp, t->v, t->dout_turned, keys, lanes, t);
    for (int64_t lane = 0; lane < lanes; lane += LANES) gradients(t, lane);
    for (int64_t i = seen * STEP; i < keys * STEP; i++) t->p[i] = t->dp[i] = 0; // nobody's
    add_to_keys(t->dv, t->p, t->dout, keys, t);
    add_to_keys(t->dk, t->dp, t->q, keys, t); // q holds the scale
    sum_over_keys(t->dp, t->k, seen, lanes, t);
}
