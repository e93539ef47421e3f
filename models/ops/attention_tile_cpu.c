// The arithmetic of attention on the CPU; formulas are those of attention.c. Built with fused
// multiply-adds (CMakeLists.txt), which double what the products reach.
#include "models/ops/attention_tile_cpu.h"
#include "models/ops/kernels.h"
#include "models/ops/math_cpu.h"
#include "models/ops/product_cpu.h"

#include <float.h>
#include <string.h>

enum { LANES = TILE_LANES, STEP = TILE_QUERIES };

// Words of 32 bits that wait for their products of 64, as many as fill a vector.
enum { WORDS = VECTOR < 8 ? 2 : VECTOR / 2, GROUPS = LANES / WORDS };
typedef uint64_t words __attribute__((vector_size(WORDS * 8)));

// --- products ------------------------------------------------------------------------------------
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
    float **const head[] = {&t->k, &t->v, &t->dk, &t->dv},
                  **const score[] = {&t->p, &t->dp, &t->kept};
    float **const tile[] = {&t->q, &t->dout, &t->result, &t->q_turned, &t->dout_turned};
    int64_t used = 0;
    for (int i = 0; i < 4; i++, used += keys * width) *head[i] = base ? base + used : NULL;
    for (int i = 0; i < 5; i++, used += STEP * width) *tile[i] = base ? base + used : NULL;
    for (int i = 0; i < 3; i++, used += STEP * keys) *score[i] = base ? base + used : NULL;
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
// Philox 4x32-10 (core/rng.c) for LANES queries from LANE on side by side: the words of keys J to
// J + 3, a key per row, in the lower halves. The block of element e is e / 4; a query's elements
// begin at a multiple of 4.
INLINE void draw_keys(words c[4][GROUPS], const attention_tile *t, int64_t lane, int64_t j) {
    const uint64_t low = 0xffffffffu, query = ATTENTION_MOST_DRAWN / 4;
    uint64_t k0 = t->key.seed & low, k1 = t->key.seed >> 32;
    for (int g = 0; g < GROUPS; g++) {
        words block = {0};
        for (int w = 0; w < WORDS; w++) block[w] = (uint64_t)(g * WORDS + w) * query;
        block += (t->element + (uint64_t)j) / 4 + (uint64_t)lane * query;
        c[0][g] = block;
        c[1][g] = (words){0} + t->sample;
        c[2][g] = (words){0} + t->key.step;
        c[3][g] = (block >> 32) ^ t->key.site;
    }
    for (int round = 0; round < 10; round++) {
        for (int g = 0; g < GROUPS; g++) { // upper halves hold what nobody reads
            words p0 = (c[0][g] & low) * 0xD2511F53u, p1 = (c[2][g] & low) * 0xCD9E8D57u;
            c[0][g] = (p1 >> 32) ^ c[1][g] ^ k0;
            c[1][g] = p1;
            c[2][g] = (p0 >> 32) ^ c[3][g] ^ k1;
            c[3][g] = p0;
        }
        k0 = (k0 + 0x9E3779B9u) & low;
        k1 = (k1 + 0xBB67AE85u) & low;
    }
}

// kept = 0 where a probability is dropped, else FACTOR.
static void draw_tile(attention_tile *t, int64_t lanes, int64_t keys) {
    const int32_t limit = (int32_t)t->limit;
    const float factor = t->factor;
    for (int64_t j = 0; j < keys; j += 4)
        for (int64_t lane = 0; lane < lanes; lane += LANES) {
            words c[4][GROUPS];
            uint64_t word[4][LANES];
            draw_keys(c, t, lane, j);
            memcpy(word, c, sizeof word);
            for (int k = 0; k < 4; k++) {
                float *kept = t->kept + (j + k) * STEP + lane;
#pragma omp simd
                for (int l = 0; l < LANES; l++)
                    kept[l] = (int32_t)((uint32_t)word[k][l] >> 8) >= limit ? factor : 0;
            }
        }
}

// --- forward -------------------------------------------------------------------------------------
// The functions below take LANES queries, which begin at query LANE (0 or LANES); X is their column
// of scores. Query l of them sees key j if j - first <= l.
static void largest_of(float most[LANES], const float *x, sight s, int64_t first) {
    for (int l = 0; l < LANES; l++) most[l] = -FLT_MAX;
    for (int64_t j = 0; j < s.all; j++)
#pragma omp simd
        for (int l = 0; l < LANES; l++)
            most[l] = x[j * STEP + l] > most[l] ? x[j * STEP + l] : most[l];
    for (int64_t j = s.all; j < s.some; j++) {
        const int from = (int)(j - first);
#pragma omp simd
        for (int l = 0; l < LANES; l++)
            most[l] = x[j * STEP + l] > most[l] && from <= l ? x[j * STEP + l] : most[l];
    }
}

// x = exp(x - shift), 0 where a key is hidden; SUM is that over the keys.
static void exponentials(float sum[LANES], float *x, const float shift[LANES], sight s,
                         int64_t first) {
    for (int l = 0; l < LANES; l++) sum[l] = 0;
    for (int64_t j = 0; j < s.all; j++)
#pragma omp simd
        for (int l = 0; l < LANES; l++) {
            x[j * STEP + l] = cpu_exp(x[j * STEP + l] - shift[l]);
            sum[l] += x[j * STEP + l];
        }
    for (int64_t j = s.all; j < s.some; j++) {
        const int from = (int)(j - first);
#pragma omp simd
        for (int l = 0; l < LANES; l++) {
            float e = cpu_exp(x[j * STEP + l] - shift[l]);
            x[j * STEP + l] = from <= l ? e : 0;
            sum[l] += x[j * STEP + l];
        }
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
    }
    if (t->limit) {
        draw_tile(t, lanes, keys);
        for (int64_t j = 0; j < keys; j++)
            for (int64_t l = j * STEP; l < j * STEP + lanes; l++) t->p[l] *= t->kept[l];
    }
    sum_over_keys(t->p, t->v, keys, lanes, t);
    for (int64_t i = 0; i < t->queries; i++)
        for (int64_t d = 0; d < t->width; d++) t->result[i * t->width + d] *= part[i];
}

// --- backward ------------------------------------------------------------------------------------
// p = M(P) and dp = dS / scale, from the scores in P and dO V^T in DP.
static void gradients(attention_tile *t, int64_t lane) {
    const sight s = sight_of(t, lane);
    const float *delta = t->delta + lane;
    float unused[LANES];
    exponentials(unused, t->p + lane, t->lse + lane, s, t->reach + lane);
    for (int64_t j = 0; j < s.some; j++) {
        float *p = t->p + j * STEP + lane, *dp = t->dp + j * STEP + lane;
        const float *kept = t->kept + j * STEP + lane;
        if (t->limit)
#pragma omp simd
            for (int l = 0; l < LANES; l++) {
                dp[l] = p[l] * (dp[l] * kept[l] - delta[l]);
                p[l] *= kept[l];
            }
        else
#pragma omp simd
            for (int l = 0; l < LANES; l++) dp[l] = p[l] * (dp[l] - delta[l]);
    }
}

void attention_tile_backward(attention_tile *t) {
    const int64_t lanes = attention_padded(t->queries, LANES), seen = sight_of(t, 0).some;
    const int64_t keys = attention_padded(seen, BLOCK_ROWS);
    turn(t->q_turned, t->q, lanes, t->width);
    turn(t->dout_turned, t->dout, lanes, t->width);
    scores_of(t->p, t->k, t->q_turned, keys, lanes, t);
    scores_of(t->dp, t->v, t->dout_turned, keys, lanes, t);
    if (t->limit) draw_tile(t, lanes, seen);
    for (int64_t lane = 0; lane < lanes; lane += LANES) gradients(t, lane);
    for (int64_t i = seen * STEP; i < keys * STEP; i++) t->p[i] = t->dp[i] = 0; // nobody's
    add_to_keys(t->dv, t->p, t->dout, keys, t);
    add_to_keys(t->dk, t->dp, t->q, keys, t); // q holds the scale
    sum_over_keys(t->dp, t->k, seen, lanes, t);
}
