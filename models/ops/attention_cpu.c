// Attention on the CPU: a thread takes one head of the segments that share their keys, lays keys
// and values side by side in scratch and goes over tiles of those segments' queries
// (attention_tile_cpu.c). All sums of a key are made by one thread in one order, so gradients do
// not depend on the threads.
#include "models/ops/attention_segments_cpu.h"
#include "models/ops/attention_tile_cpu.h"
#include "models/ops/ops_cpu.h"

#include <omp.h>
#include <string.h>

typedef struct call {
    const attention_tensors *x;
    const attention_gradients *g; // NULL: forward
    const attention_shape *z;
    dtype type;
    attention_groups groups;
    int64_t row; // from a row to the next: H * D
} call;

static void expect_arguments(const attention_shape *z, dtype type) {
    cpu_expect("attention", type);
    if (z->D > ROW)
        die("attention: heads of width %lld, expected at most %d", (long long)z->D, ROW);
}

// Scratch: the groups, then a tile for each thread.
static size_t groups_size(const attention_shape *z) {
    return (attention_groups_bytes(z) + 63) / 64 * 64;
}

size_t attention_scratch_cpu(const attention_shape *z, dtype type, stream *s) {
    (void)type;
    attention_tile unused;
    int64_t tile = attention_tile_layout(&unused, z->TK, z->D, NULL);
    return groups_size(z) + (size_t)(tile * stream_threads(s)) * sizeof(float);
}

static attention_tile tile_open(const attention_shape *z, void *scratch) {
    attention_tile t, unused;
    int64_t size = attention_tile_layout(&unused, z->TK, z->D, NULL);
    float *tiles = (float *)((char *)scratch + groups_size(z));
    attention_tile_layout(&t, z->TK, z->D, tiles + omp_get_thread_num() * size);
    t.limit = draw_limit(z->dropout);
    t.factor = (float)(1 / (1 - z->dropout));
    t.key = z->key;
    return t;
}

// --- copies in and out ---------------------------------------------------------------------------
// to (rows padded to PADDED, width) = factor * head H of the runs' rows; zeros around.
static void pack(const call *c, int64_t h, float *to, int64_t width, const void *const *from,
                 const attention_run *run, int runs, int64_t padded, float factor) {
    const int64_t D = c->z->D;
    float buffer[ROW];
    int64_t used = 0;
    for (int r = 0; r < runs; r++)
        for (int64_t i = 0; i < run[r].count; i++, used++) {
            const float *x =
                row_read(buffer, from[run[r].piece], (run[r].row + i) * c->row + h * D, D, c->type);
            float *y = to + used * width;
            for (int64_t d = 0; d < D; d++) y[d] = factor * x[d];
            for (int64_t d = D; d < width; d++) y[d] = 0;
        }
    memset(to + used * width, 0, (size_t)((padded - used) * width) * sizeof *to);
}

// Head H of the runs' rows, of those pieces that there are, = or += factor * from (rows, width).
static void unpack(const call *c, int64_t h, void *const *to, const int *acc, const float *from,
                   int64_t width, const attention_run *run, int runs, float factor) {
    const int64_t D = c->z->D;
    float buffer[ROW];
    for (int r = 0; r < runs; r++) {
        const int p = run[r].piece, add = acc ? acc[p] : 0;
        for (int64_t i = 0; to[p] && i < run[r].count; i++) {
            const int64_t at = (run[r].row + i) * c->row + h * D;
            const float *x = from + (run[r].at + i) * width;
            float *y = row_begin(buffer, to[p], at, D, add, c->type);
            for (int64_t d = 0; d < D; d++) y[d] = add ? y[d] + factor * x[d] : factor * x[d];
            row_end(to[p], at, y, D, c->type);
        }
    }
}

// Where the numbers of segment S's query in row ROW of piece P are: (B, H, TQ), or (H, rows) of the
// piece.
static float *number_of(const call *c, int64_t s, int64_t h, int p, int64_t row) {
    const attention_shape *z = c->z;
    int64_t at = z->segments ? h * z->q_rows[p] + row : (s * (z->H - 1) + h) * z->TQ + row;
    return (float *)c->x->lse[p] + at;
}

// --- a tile --------------------------------------------------------------------------------------
static void tile_begin(const call *c, attention_tile *t, const attention_segment *g, int64_t h,
                       int64_t first, const attention_run *run, int runs) {
    const int64_t queries = attention_queries(g);
    t->queries = first + TILE_QUERIES < queries ? TILE_QUERIES : queries - first;
    t->reach = g->causal ? first + t->keys - queries : t->keys;
    t->sample = (uint32_t)g->sample;
    t->element = attention_element(h, first, 0);
    pack(c, h, t->q, t->width, c->x->q, run, runs, TILE_QUERIES, (float)c->z->scale);
}

static void forward_tile(const call *c, attention_tile *t, int64_t s, int64_t h,
                         const attention_run *run, int runs) {
    attention_tile_forward(t);
    unpack(c, h, c->x->out, NULL, t->result, t->width, run, runs, 1);
    for (int r = 0; r < runs; r++)
        memcpy(number_of(c, s, h, run[r].piece, run[r].row), t->lse + run[r].at,
               (size_t)run[r].count * sizeof(float));
}

static float dot(const float *a, const float *b, int64_t n) {
    double lane[8] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++) lane[l] += (double)a[i + l] * (double)b[i + l];
    for (; i < n; i++) sum += (double)a[i] * (double)b[i];
    for (int l = 0; l < 8; l++) sum += lane[l];
    return (float)sum;
}

static void backward_tile(const call *c, attention_tile *t, int64_t s, int64_t h,
                          const attention_run *run, int runs) {
    const int64_t D = c->z->D;
    float buffer[ROW];
    memset(t->lse, 0, sizeof t->lse);
    memset(t->delta, 0, sizeof t->delta);
    pack(c, h, t->dout, t->width, c->g->dout, run, runs, TILE_QUERIES, 1);
    for (int r = 0; r < runs; r++) {
        const int p = run[r].piece;
        memcpy(t->lse + run[r].at, number_of(c, s, h, p, run[r].row),
               (size_t)run[r].count * sizeof(float));
        for (int64_t i = 0; i < run[r].count; i++) {
            const float *out =
                row_read(buffer, c->x->out[p], (run[r].row + i) * c->row + h * D, D, c->type);
            t->delta[run[r].at + i] = dot(out, t->dout + (run[r].at + i) * t->width, D);
        }
    }
    attention_tile_backward(t);
    unpack(c, h, c->g->dq, c->g->acc_q, t->result, t->width, run, runs, (float)c->z->scale);
}

// --- a group's head ------------------------------------------------------------------------------
static void segment_run(const call *c, attention_tile *t, int64_t s, int64_t h) {
    const attention_segment g = attention_segment_at(c->z, s);
    attention_run run[2];
    for (int64_t first = 0; first < attention_queries(&g); first += TILE_QUERIES) {
        int runs = attention_query_runs(run, &g, first, TILE_QUERIES);
        tile_begin(c, t, &g, h, first, run, runs);
        (c->g ? backward_tile : forward_tile)(c, t, s, h, run, runs);
    }
}

static void group_run(const call *c, attention_tile *t, int64_t group, int64_t h) {
    const int64_t leader = attention_group_first(&c->groups, group);
    const attention_segment g = attention_segment_at(c->z, leader);
    attention_run run[3];
    const int runs = attention_key_runs(run, &g);
    t->keys = attention_keys(&g);
    const int64_t padded = attention_padded(t->keys, TILE_KEYS);
    pack(c, h, t->k, t->width, c->x->k, run, runs, padded, 1);
    pack(c, h, t->v, t->width, c->x->v, run, runs, padded, 1);
    if (c->g) {
        memset(t->dk, 0, (size_t)(padded * t->width) * sizeof(float));
        memset(t->dv, 0, (size_t)(padded * t->width) * sizeof(float));
    }
    for (int64_t s = leader; s >= 0; s = attention_group_next(&c->groups, s))
        segment_run(c, t, s, h);
    if (!c->g) return;
    // After dq, so that one tensor may be query, key and value at once.
    unpack(c, h, c->g->dk, c->g->acc_k, t->dk, t->width, run, runs, 1);
    unpack(c, h, c->g->dv, c->g->acc_v, t->dv, t->width, run, runs, 1);
}

static void call_run(const call *c, void *scratch, stream *s) {
    const int64_t heads = c->z->H, work = c->groups.count * heads;
#pragma omp parallel num_threads(stream_threads(s))
    {
        attention_tile t = tile_open(c->z, scratch);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < work; i++) group_run(c, &t, i / heads, i % heads);
    }
}

// --- rows that nobody names ----------------------------------------------------------------------
static void clear_rows(const call *c, void *const *to, const int *acc, int32_t *const *owner,
                       const int64_t *rows, int pieces) {
    for (int p = 0; p < pieces && c->z->segments; p++)
        for (int64_t i = 0; to[p] && !(acc && acc[p]) && i < rows[p]; i++)
            if (owner[p][i] < 0)
                memset(element(to[p], i * c->row, c->type), 0,
                       (size_t)c->row * dtype_size(c->type));
}

void attention_forward_cpu(const attention_tensors *x, const attention_shape *z, dtype type,
                           void *scratch, stream *s) {
    expect_arguments(z, type);
    call c = {.x = x, .z = z, .type = type, .row = z->H * z->D};
    attention_groups_find(&c.groups, z, scratch);
    clear_rows(&c, x->out, NULL, c.groups.q_owner, z->q_rows, 2);
    call_run(&c, scratch, s);
}

void attention_backward_cpu(const attention_gradients *g, const attention_tensors *x,
                            const attention_shape *z, dtype type, void *scratch, stream *s) {
    expect_arguments(z, type);
    call c = {.x = x, .g = g, .z = z, .type = type, .row = z->H * z->D};
    attention_groups_find(&c.groups, z, scratch);
    clear_rows(&c, g->dq, g->acc_q, c.groups.q_owner, z->q_rows, 2);
    clear_rows(&c, g->dk, g->acc_k, c.groups.k_owner, z->k_rows, 3);
    clear_rows(&c, g->dv, g->acc_v, c.groups.k_owner, z->k_rows, 3);
    call_run(&c, scratch, s);
}
