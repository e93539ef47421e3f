// attention_rows on every device: gradients, the same call in other ways, rows that nobody names.
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES = 8, MOST_SEGMENTS = 4 };

// A call on ROWS of q0, q1, k0, k1, k2 (-1: no such piece) of heads (H, D).
typedef struct rows_case {
    int64_t rows[5], H, D;
    int64_t most_queries, most_keys;
    double rate;
    segments_known known;
    int segments;
    attention_segment segment[MOST_SEGMENTS];
} rows_case;

static tensor table_of(const rows_case *c) {
    return constant_i32((const int32_t *)c->segment, 2, (int64_t[]){c->segments, 12});
}

static attention_rows_args args_of(const rows_case *c, tensor **in, tensor *table) {
    attention_rows_args a = {.segments = table,
                             .known = c->known,
                             .most_queries = c->most_queries,
                             .most_keys = c->most_keys,
                             .dropout = c->rate};
    for (int p = 0; p < 2; p++)
        if (c->rows[p] >= 0) a.q[p] = *in++;
    for (int p = 0; p < 3; p++)
        if (c->rows[2 + p] >= 0) a.k[p] = *in++, a.v[p] = *in++;
    return a;
}

// Both outputs behind each other, so that op_check sees them all; away from where the kernels'
// scratch was, whose end it would take for what is written behind the output.
static tensor *run(tape *t, tensor **in, const void *context) {
    enum { SCRATCH = 1 << 20 };
    const rows_case *c = context;
    tensor table = table_of(c), *out[2];
    const attention_rows_args a = args_of(c, in, &table);
    attention_rows(t, out, &a);
    for (int p = 0; p < 2; p++) {
        ck_assert((out[p] != NULL) == (a.q[p] != NULL));
        if (out[p]) out[p] = tape_view(t, out[p], 3, (int64_t[]){1, c->rows[p], c->H * c->D});
    }
    if (!out[0] || !out[1]) return out[0] ? out[0] : out[1];
    tape_tensor_of(t, DTYPE_U8, 1, (int64_t[]){SCRATCH});
    return concat_tokens(t, out[0], out[1]);
}

static op_case check_of(const rows_case *c) {
    op_case o = {
        .op = "attention_rows", .run = run, .context = c, .training = true, .tolerance = 1e-5};
    for (int p = 0; p < 5; p++)
        for (int twice = 0; twice < (p < 2 ? 1 : 2) && c->rows[p] >= 0; twice++)
            o.input[o.inputs++] = (op_input){.rank = 3,
                                             .dim = {c->rows[p], c->H, c->D},
                                             .gradient = true,
                                             .low = twice ? 0 : -2,
                                             .high = twice ? 0 : 2};
    return o;
}

static const rows_case cases[] = {
    // Queries and text of an image and its report, all of both, with filler rows between.
    {{9, 20, 9, 20, -1},
     2,
     5,
     17,
     21,
     0,
     SEGMENTS_ANY,
     3,
     {{{0, 0}, {3, 5}, {0, 0}, {3, 5}, 7, 0},
      {{6, 7}, {3, 12}, {6, 7}, {3, 12}, 8, 0},
      {{3, 19}, {3, 1}, {3, 19}, {3, 1}, 2, 0}}},
    // Text behind the queries that an image call has left: a prefix, then causal.
    {{-1, 17, -1, 17, 8},
     1,
     7,
     9,
     12,
     0.3,
     SEGMENTS_ANY,
     2,
     {{{0, 8}, {0, 9}, {0, 8, 5}, {0, 9, 3}, 70000, 1},
      {{0, 0}, {0, 7}, {0, 0, 0}, {0, 7, 4}, 5, 1}}},
    // Several texts on one image; a segment without queries, one without keys.
    {{14, -1, 13, -1, -1},
     2,
     3,
     4,
     9,
     0.2,
     SEGMENTS_ANY,
     4,
     {{{1}, {3}, {4}, {9}, 1, 0},
      {{9}, {0}, {0}, {4}, 2, 0},
      {{4}, {2}, {0}, {0}, 3, 0},
      {{6}, {4}, {4}, {9}, 4, 0}}},
    // One query, and one that sees fewer keys than there are queries: the first see none.
    {{6, -1, 7, -1, -1},
     1,
     1,
     5,
     4,
     0,
     SEGMENTS_ANY,
     2,
     {{{5}, {1}, {3}, {4}, 0, 0}, {{0}, {5}, {0}, {3}, 0, 1}}},
    // All pieces at once, shared, with bounds above what there is.
    {{7, 9, 4, 6, 5},
     2,
     4,
     30,
     40,
     0.25,
     SEGMENTS_ANY,
     3,
     {{{0, 0}, {2, 4}, {1, 2, 0}, {3, 4, 2}, 3, 0},
      {{2, 4}, {5, 1}, {1, 2, 0}, {3, 4, 2}, 9, 1},
      {{0, 5}, {0, 3}, {0, 0, 2}, {0, 1, 2}, 4, 0}}},
    // Several tiles of queries and keys, causal ones with and without a prefix.
    {{-1, 130, -1, 130, 20},
     1,
     20,
     75,
     90,
     0,
     SEGMENTS_ANY,
     3,
     {{{0, 0}, {0, 75}, {0, 0, 3}, {0, 75, 15}, 0, 1},
      {{0, 76}, {0, 41}, {0, 76, 0}, {0, 41, 0}, 1, 1},
      {{0, 118}, {0, 12}, {0, 118, 0}, {0, 12, 3}, 2, 1}}},
    // The same with dropout and two pieces of queries that meet inside of a tile.
    {{33, 60, 70, 40, -1},
     1,
     17,
     50,
     80,
     0.3,
     SEGMENTS_ANY,
     2,
     {{{3, 0}, {29, 21}, {0, 5}, {40, 33}, 11, 1}, {{0, 25}, {3, 30}, {41, 38}, {29, 2}, 12, 0}}},
    // The models' width.
    {{32, -1, 70, -1, -1},
     2,
     64,
     16,
     68,
     0.1,
     SEGMENTS_ANY,
     2,
     {{{0}, {16}, {2}, {68}, 1, 0}, {{16}, {16}, {2}, {68}, 2, 0}}},
    // Wide heads, of whole packs and not.
    {{20, 9, 9, -1, 21},
     1,
     128,
     21,
     30,
     0,
     SEGMENTS_ANY,
     2,
     {{{0, 0}, {15, 6}, {0, 0, 1}, {4, 0, 20}, 1, 1},
      {{15, 6}, {4, 3}, {4, 0, 0}, {5, 0, 0}, 2, 0}}},
    {{12, -1, 9, 18, -1}, 1, 131, 12, 27, 0, SEGMENTS_ANY, 1, {{{0}, {12}, {0, 0}, {9, 18}, 1, 1}}},
    {{11, -1, 9, 12, -1}, 1, 256, 11, 20, 0.2, SEGMENTS_ANY, 1, {{{0}, {11}, {1, 0}, {8, 12}, 1, 1}}},
    // What a library may take: whole packs, apart, and all causal (queries that see no key, a segment without queries,
    // one without keys) or none (both pieces of queries, more than a block copies).
    {{5, 60, 4, 62, 20},
     2,
     8,
     40,
     50,
     0,
     SEGMENTS_CAUSAL,
     4,
     {{{0, 0}, {5, 30}, {0, 1, 3}, {2, 31, 15}, 0, 1},
      {{0, 31}, {0, 6}, {0, 33}, {0, 3}, 1, 1},
      {{0, 40}, {0, 0}, {0, 40}, {0, 5}, 2, 1},
      {{0, 50}, {0, 7}, {0, 0}, {0, 0}, 3, 1}}},
    {{9, 70, 9, 80, -1},
     3,
     16,
     40,
     50,
     0,
     SEGMENTS_FULL,
     3,
     {{{0, 0}, {4, 36}, {0, 0}, {4, 40}, 0, 0},
      {{5, 37}, {4, 20}, {5, 41}, {4, 3}, 1, 0},
      {{0, 60}, {0, 10}, {0, 50}, {0, 30}, 2, 0}}},
};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(rows_of_all_kinds) {
    op_case c = check_of(&cases[_i]);
    op_check(&c);
}
END_TEST

// Pieces whose gradients nobody wants.
START_TEST(rows_partly_wanted) {
    op_case c = check_of(&cases[_i]);
    for (int wanted = 0; wanted < c.inputs; wanted++) {
        for (int i = 0; i < c.inputs; i++)
            c.input[i].gradient = i == wanted || i == (wanted + 3) % c.inputs;
        op_check(&c);
    }
}
END_TEST

// --- dense calls in segments ---------------------------------------------------------------------
// Numbers in a device's memory, and back.
static void *put(device *d, const float *x, int64_t count) {
    void *to, *host = calloc((size_t)count + 1, dtype_size(d->type));
    for (int64_t i = 0; i < count; i++) element_put(host, i, (double)x[i], d->type);
    ck_assert_int_eq(d->take(d, (size_t)count * dtype_size(d->type) + 1, "a test", &to), 0);
    d->upload(d, to, host, (size_t)count * dtype_size(d->type));
    free(host);
    return to;
}

static void *put_bytes(device *d, const void *x, size_t bytes) {
    void *to;
    ck_assert_int_eq(d->take(d, bytes + 1, "a test", &to), 0);
    d->upload(d, to, x, bytes);
    return to;
}

static void *take_back(device *d, void *from, size_t bytes) {
    void *host = malloc(bytes + 1);
    d->download(d, host, from, bytes);
    d->release(d, from);
    return host;
}

typedef struct buffers {
    attention_tensors x;
    attention_gradients g;
    void *scratch;
} buffers;

static void kernels_run(device *d, buffers *b, const attention_shape *z) {
    size_t bytes = d->ops->attention_scratch(z, d->type, d->stream);
    ck_assert_int_eq(d->take(d, bytes + 1, "a test", &b->scratch), 0);
    d->ops->attention_forward(&b->x, z, d->type, b->scratch, d->stream);
    d->ops->attention_backward(&b->g, &b->x, z, d->type, b->scratch, d->stream);
    d->release(d, b->scratch);
    ck_assert_int_eq(device_failed(d), 0);
}

enum { TQ = 37, TK = 45, HEADS = 2, WIDTH = 9, LINE = HEADS * WIDTH, MOST = 3 };
enum { DENSE, SEGMENTS, CAUSAL, CUT };

static void *moved(device *d, void *x, int64_t rows) {
    return (char *)x + rows * LINE * (int64_t)dtype_size(d->type);
}

// A sequence's first 5 keys as piece 2, the next 14 as piece 0, the rest as piece 1; 20 queries as
// piece 0.
static void cut(device *d, buffers *b, attention_shape *z, attention_segment *s, void *lse) {
    *s = (attention_segment){
        .q_count = {20, TQ - 20}, .k_count = {14, TK - 19, 5}, .sample = s->sample};
    const int at[] = {5, 19, 0};
    for (int p = 0; p < 2; p++) z->q_rows[p] = s->q_count[p];
    b->x.q[1] = moved(d, (void *)(uintptr_t)b->x.q[0], 20);
    b->x.out[1] = moved(d, b->x.out[0], 20);
    b->x.lse[1] = lse;
    b->g.dq[1] = moved(d, b->g.dq[0], 20);
    b->g.dout[1] = moved(d, (void *)(uintptr_t)b->g.dout[0], 20);
    for (int p = 2; p >= 0; p--) {
        z->k_rows[p] = s->k_count[p];
        b->x.k[p] = moved(d, (void *)(uintptr_t)b->x.k[0], at[p]);
        b->x.v[p] = moved(d, (void *)(uintptr_t)b->x.v[0], at[p]);
        b->g.dk[p] = moved(d, b->g.dk[0], at[p]);
        b->g.dv[p] = moved(d, b->g.dv[0], at[p]);
    }
}

// An attention of B sequences called in one way or another. Leaves out, dq, dk and dv as they lie;
// to be freed.
static char *run_as(device *d, int way, int B) {
    attention_shape z = {
        .B = B, .TQ = TQ, .TK = TK, .H = HEADS, .D = WIDTH, .scale = 0.4, .dropout = 0.3};
    z.key = (rng_key){1, 2, 3};
    z.first_sample = 20;
    const int64_t queries = B * TQ, keys = B * TK, count[] = {queries, queries, keys, keys};
    const size_t line = LINE * dtype_size(d->type);
    float *x[4];
    for (int i = 0; i < 4; i++) x[i] = random_floats(count[i] * LINE, (uint32_t)i, -2, 2);
    void *in[4], *to[4], *lse[2], *table;
    for (int i = 0; i < 4; i++)
        in[i] = put(d, x[i], count[i] * LINE), to[i] = put(d, x[i], count[i] * LINE);
    for (int i = 0; i < 2; i++)
        lse[i] = put_bytes(d, x[0], (size_t)(HEADS * queries) * sizeof(float));
    buffers b = {.x = {{to[0]}, {lse[0]}, {in[0]}, {in[2]}, {in[3]}},
                 .g = {.dq = {to[1]}, .dk = {to[2]}, .dv = {to[3]}, .dout = {in[1]}}};
    attention_segment s[MOST];
    for (int i = 0; i < B; i++)
        s[i] = (attention_segment){{i * TQ}, {TQ}, {i * TK}, {TK}, 20 + i, way == CAUSAL};
    z.q_rows[0] = queries, z.k_rows[0] = keys;
    if (way == CUT) cut(d, &b, &z, s, lse[1]);
    table = put_bytes(d, s, sizeof s);
    if (way != DENSE) z.segments = table;
    kernels_run(d, &b, &z);
    char *all = malloc(2 * (size_t)(queries + keys) * line), *end = all;
    for (int i = 0; i < 4; i++) {
        void *host = take_back(d, to[i], (size_t)count[i] * line);
        memcpy(end, host, (size_t)count[i] * line);
        end += (size_t)count[i] * line;
        free(host), free(x[i]);
        d->release(d, in[i]);
    }
    d->release(d, lse[0]), d->release(d, lse[1]), d->release(d, table);
    return all;
}

static bool same(device *d, int a, int b, int B) {
    char *first = run_as(d, a, B), *second = run_as(d, b, B);
    bool equal = !memcmp(first, second, 2 * (size_t)(B * (TQ + TK) * LINE) * dtype_size(d->type));
    free(first), free(second);
    return equal;
}

// A dense call, the same in segments, and in pieces give the same bits, with dropout.
START_TEST(dense_equals_segments) {
    device *d = test_device(_i);
    if (!d || _i == ON_ORACLE) return;
    ck_assert(same(d, DENSE, SEGMENTS, MOST));
    ck_assert(same(d, DENSE, CUT, 1));
    ck_assert(!same(d, DENSE, CAUSAL, MOST));
}
END_TEST

// --- rows of nobody ------------------------------------------------------------------------------
// A call on numbers that are NaN wherever no segment names the row.
typedef struct holes {
    attention_shape z;
    attention_segment s[2];
    float *q, *dout, *k, *v;
} holes;
enum { HOLE_ROWS = 11, HOLE_WIDTH = 8, HOLE_LINE = HEADS * HOLE_WIDTH };

static bool named(const holes *h, bool query, int64_t row) {
    for (int i = 0; i < 2; i++) {
        int first = query ? h->s[i].q_first[0] : h->s[i].k_first[0];
        int count = query ? h->s[i].q_count[0] : h->s[i].k_count[0];
        if (row >= first && row < first + count) return true;
    }
    return false;
}

// Named rows hold numbers up to SIZE.
static void *put_holes(device *d, const holes *h, bool query, uint32_t seed, float size) {
    float *x = random_floats(HOLE_ROWS * HOLE_LINE, seed, -size, size);
    for (int64_t i = 0; i < HOLE_ROWS * HOLE_LINE; i++)
        if (!named(h, query, i / HOLE_LINE)) x[i] = NAN;
    void *to = put(d, x, HOLE_ROWS * HOLE_LINE);
    free(x);
    return to;
}

// All rows, or those that nobody names, are WHAT; the others are numbers.
static void expect_holes(device *d, const holes *h, bool query, void *x, double what, bool all) {
    void *host = take_back(d, x, HOLE_ROWS * HOLE_LINE * dtype_size(d->type));
    for (int64_t i = 0; i < HOLE_ROWS * HOLE_LINE; i++) {
        double value = element_get(host, i, d->type);
        if (!all && named(h, query, i / HOLE_LINE))
            ck_assert(isfinite(value));
        else
            ck_assert_double_eq(value, what);
    }
    free(host);
}

// What nobody names is not read, and is zeros, or stays what it was where gradients are added: so do all, where what
// comes back is zeros.
START_TEST(rows_of_nobody) {
    for (int way = 0; way < 6; way++) {
        const int acc = way % 2;
        const segments_known known = (segments_known)(way / 2);
        device *d = test_device(_i);
        if (!d) return;
        holes h = {.s = {{{1}, {4}, {2}, {5}, 0, known != SEGMENTS_FULL},
                         {{7}, {3}, {8}, {2}, 0, known == SEGMENTS_CAUSAL}}};
        float threes[HOLE_ROWS * HOLE_LINE];
        for (int i = 0; i < HOLE_ROWS * HOLE_LINE; i++) threes[i] = 3;
        void *table = put_bytes(d, h.s, sizeof h.s),
             *lse = put_bytes(d, threes, 16 * HOLE_ROWS * HEADS);
        attention_shape z = {.B = 2, .TQ = 4, .TK = 5, .H = HEADS, .D = HOLE_WIDTH, .scale = 1};
        z.segments = table;
        z.known = known;
        z.q_rows[0] = z.k_rows[0] = HOLE_ROWS;
        void *in[4], *to[4];
        for (int i = 0; i < 4; i++) {
            in[i] = put_holes(d, &h, i < 2, (uint32_t)i, i == 1 ? 0 : 2);
            to[i] = put(d, threes, HOLE_ROWS * HOLE_LINE);
        }
        buffers b = {.x = {{to[0]}, {lse}, {in[0]}, {in[2]}, {in[3]}},
                     .g = {{to[1]}, {to[2]}, {to[3]}, {in[1]}, {acc}, {acc}, {acc}}};
        kernels_run(d, &b, &z);
        expect_holes(d, &h, true, to[0], 0, false);
        for (int i = 1; i < 4; i++) expect_holes(d, &h, i < 2, to[i], acc ? 3 : 0, true);
        for (int i = 0; i < 4; i++) d->release(d, in[i]);
        d->release(d, table), d->release(d, lse);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("attention_rows");
    TCase *tests = tcase_create("attention_rows");
    tcase_set_timeout(tests, 600);
    tcase_add_loop_test(tests, rows_of_all_kinds, 0, CASES);
    tcase_add_loop_test(tests, rows_partly_wanted, 4, 5);
    tcase_add_loop_test(tests, rows_partly_wanted, CASES - 2, CASES - 1);
    tcase_add_loop_test(tests, dense_equals_segments, 0, TEST_DEVICES);
    tcase_add_loop_test(tests, rows_of_nobody, 0, TEST_DEVICES);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
