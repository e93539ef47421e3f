#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"
#include "tests/oracle/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 400, BASE = 3 };

// Rows of texts of 3, with a filler here and there.
static void make_rows(int32_t (*rows)[2], int64_t count) {
    for (int64_t r = 0; r < count; r++) {
        rows[r][0] = r % 8 == 5 ? -1 : (int32_t)(200 - r / 3);
        rows[r][1] = (int32_t)(r % 3);
    }
}

typedef struct lora_case {
    int64_t N, K, O;
    int parts;
    int64_t r[LORA_PARTS], first[LORA_PARTS], n[LORA_PARTS];
    double rate;
    bool bias;
} lora_case;

// Inputs: x, W, [b,] and A, B of each part.
static tensor *run(tape *t, tensor **in, const void *context) {
    const lora_case *c = context;
    int32_t rows[MOST_ROWS][2];
    tensor map;
    lora_set l = {.parts = c->parts, .dropout = c->rate};
    tensor **next = in + 2 + c->bias;
    for (int i = 0; i < c->parts; i++)
        l.part[i] = (lora_part){next[2 * i], next[2 * i + 1], c->first[i], 1.5 - i};
    make_rows(rows, c->N);
    if (c->rate > 0) {
        map = constant_i32(rows[0], 2, (int64_t[]){c->N, 2});
        l.rows = &map;
    }
    return linear_lora(t, in[0], in[1], c->bias ? in[2] : NULL, &l);
}

static op_case case_of(const lora_case *c) {
    op_case k = {.op = "linear_lora", .run = run, .context = c, .training = true};
    k.input[k.inputs++] = (op_input){.rank = 2, .dim = {c->N, c->K}, .gradient = true};
    k.input[k.inputs++] =
        (op_input){.rank = 2, .dim = {c->O, c->K}, .gradient = true, .weight = true};
    if (c->bias) k.input[k.inputs++] = (op_input){.rank = 1, .dim = {c->O}, .gradient = true};
    for (int i = 0; i < c->parts; i++) {
        k.input[k.inputs++] =
            (op_input){.rank = 2, .dim = {c->r[i], c->K}, .gradient = true, .weight = true};
        k.input[k.inputs++] =
            (op_input){.rank = 2, .dim = {c->n[i], c->r[i]}, .gradient = true, .weight = true};
    }
    return k;
}

// One number; whole packs and not; ranks below, at and beyond what is summed at once; more columns
// and rows than a tile of either device; one to four parts with ranks and columns of their own.
static const lora_case cases[] = {
    {1, 1, 1, 1, {1}, {0}, {1}, 0, false},
    {1, 40, 24, 1, {8}, {8}, {16}, 0, true},
    {13, 17, 11, 1, {3}, {4}, {5}, 0.3, true},
    {9, 24, 48, 2, {8, 8}, {0, 32}, {16, 16}, 0.1, false},
    {37, 53, 29, 2, {5, 9}, {20, 1}, {7, 13}, 0.2, true},
    {70, 48, 32, 3, {4, 16, 2}, {0, 8, 24}, {8, 16, 8}, 0.1, false},
    {21, 31, 40, 4, {1, 2, 3, 4}, {0, 10, 20, 30}, {10, 10, 10, 10}, 0.25, true},
    {6, 1100, 24, 1, {4}, {0}, {24}, 0.1, false},
    {5, 16, 1088, 2, {8, 4}, {0, 1064}, {1040, 24}, 0, false},
    {300, 19, 8, 1, {7}, {1}, {6}, 0.2, false},
    {4, 24, 16, 2, {70, 186}, {0, 8}, {8, 8}, 0.1, false},
};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(lora_shapes) {
    op_case k = case_of(&cases[_i]);
    op_check(&k);
}
END_TEST

// Every choice of gradients that are wanted: x, the base, A, B.
START_TEST(lora_wanted) {
    static const lora_case c = {11, 19, 14, 2, {3, 4}, {0, 8}, {6, 5}, 0.2, false};
    op_case k = case_of(&c);
    k.input[0].gradient = _i & 1;
    k.input[1].gradient = _i & 2;
    k.input[2].gradient = k.input[4].gradient = _i & 4;
    k.input[3].gradient = k.input[5].gradient = _i & 8;
    op_check(&k);
}
END_TEST

// Not in training nothing is dropped.
START_TEST(lora_inference) {
    static const lora_case c = {7, 12, 9, 1, {4}, {2}, {6}, 0.5, true};
    op_case k = case_of(&c);
    k.training = false;
    op_check(&k);
}
END_TEST

// --- numbers of one device
// ------------------------------------------------------------------------
enum { K = 40, O = 28, RANK = 6, PARTS = 2, SAMPLES = 4 };
static const int64_t firsts[PARTS] = {2, 15}, counts[PARTS] = {11, 13};

typedef struct net {
    device *real, *dry;
    comm *comm;
    tape t;
    dtype type;
    tensor *weight, *a[PARTS], *b[PARTS];
} net;

// Numbers in the device's memory, as an activation of the tape.
static tensor *numbers(net *n, uint32_t seed, int64_t rows, int64_t columns) {
    tensor *x = tape_tensor(&n->t, 2, (int64_t[]){rows, columns});
    float *values = random_floats(rows * columns, seed, -1, 1);
    double host[64 * K];
    for (int64_t i = 0; i < rows * columns; i++) element_put(host, i, (double)values[i], n->type);
    n->real->upload(n->real, x->data, host, tensor_bytes(x));
    free(values);
    return x;
}

static tensor *map_of(net *n, int32_t (*rows)[2], int64_t count) {
    tensor *map = tape_tensor_of(&n->t, DTYPE_I32, 2, (int64_t[]){count, 2});
    n->real->upload(n->real, map->data, rows, tensor_bytes(map));
    return map;
}

static void read_back(net *n, double *to, const tensor *x) {
    double host[64 * K];
    n->real->download(n->real, host, x->data, tensor_bytes(x));
    for (int64_t i = 0; i < tensor_count(x); i++) to[i] = element_get(host, i, x->type);
}

static void net_open(net *n, int which) {
    n->real = test_device(which);
    n->type = n->real->type;
    ck_assert_int_eq(device_open_dry(&n->dry, n->real), 0);
    ck_assert_int_eq(comm_open_single(&n->comm), 0);
    ck_assert_int_eq(tape_init(&n->t, n->real, n->dry, n->comm), 0);
    ck_assert_int_eq(tape_allocate(&n->t, (tape_size){1 << 20, 1 << 20}), 0);
    tape_begin(&n->t, false);
    n->t.training = true;
    n->t.seed = 9, n->t.step = 3;
    n->weight = numbers(n, 1, O, K);
    for (uint32_t i = 0; i < PARTS; i++) {
        n->a[i] = numbers(n, 2 + i, RANK, K);
        n->b[i] = numbers(n, 7 + i, counts[i], RANK);
    }
}

static void net_close(net *n) {
    ck_assert_int_eq(tape_failed(&n->t), STATUS_OK);
    tape_free(&n->t);
    device_close(n->dry);
    comm_close(n->comm);
}

static lora_set set_of(net *n, tensor *rows, double rate) {
    lora_set l = {.parts = PARTS, .dropout = rate, .rows = rows};
    for (int i = 0; i < PARTS; i++) l.part[i] = (lora_part){n->a[i], n->b[i], firsts[i], 2};
    return l;
}

static tensor *layer(net *n, tensor *x, tensor *rows, double rate) {
    const lora_set l = set_of(n, rows, rate);
    n->t.draws = 0;
    return linear_lora(&n->t, x, n->weight, NULL, &l);
}

// The numbers of a sample's token.
static uint32_t token_seed(int sample, int position) {
    return (uint32_t)(100 + sample * 10 + position);
}

// A sample's rows are the same wherever they stand among the rows, and whatever else does; but for the order in which
// the library sums the base's product there.
START_TEST(lora_any_packing) {
    enum { TOKENS = 10 };
    static net n;
    int32_t rows[2][TOKENS][2];
    double out[2][TOKENS * O];
    net_open(&n, _i);
    const double order = n.type == DTYPE_F64 ? 1e-15 : n.type == DTYPE_F32 ? 1e-6 : 0.02;
    for (int pack = 0; pack < 2; pack++) {
        tensor *tokens[TOKENS], *x = NULL;
        int count = 0;
        for (int i = 0; i < SAMPLES; i++) {
            const int sample = pack ? SAMPLES - 1 - i : i;
            for (int position = 0; position <= sample; position++, count++) {
                tokens[count] = numbers(&n, token_seed(sample, position), 1, K);
                rows[pack][count][0] = 30 + sample, rows[pack][count][1] = position;
            }
        }
        ck_assert_int_eq(count, TOKENS);
        for (int i = 0; i < TOKENS; i++) {
            tensor *row = tape_view(&n.t, tokens[i], 3, (int64_t[]){1, 1, K});
            x = x ? concat_tokens(&n.t, x, row) : row;
        }
        n.t.first_sample = pack ? 55 : 0; // rows say themselves where they are
        x = tape_view(&n.t, x, 2, (int64_t[]){TOKENS, K});
        read_back(&n, out[pack], layer(&n, x, map_of(&n, rows[pack], TOKENS), 0.4));
    }
    // Without AVX-512 the library's order depends on a row's place; what is above 1 may then differ by its own last bits.
    const bool exact = __builtin_cpu_supports("avx512f");
    for (int a = 0; a < TOKENS; a++)
        for (int b = 0; b < TOKENS; b++)
            for (int c = 0; c < O && !memcmp(rows[0][a], rows[1][b], sizeof rows[0][a]); c++) {
                const double y = out[0][a * O + c];
                ck_assert_double_eq_tol(y, out[1][b * O + c], exact ? order : order * fmax(1, fabs(y)));
            }
    net_close(&n);
}
END_TEST

// It is what the ops that it is made of are: each part's input dropped by a mask of its own.
START_TEST(lora_equals_parts) {
    static const double tolerance[TEST_DEVICES] = {1e-6, 1e-13, 1e-2, 1e-6, 1e-2, 2e-3};
    static net n;
    enum { N = 21 };
    int32_t rows[N][2];
    double expected[N * O], add[N * O], y[N * O], difference = 0, size = 0;
    net_open(&n, _i);
    make_rows(rows, N);
    tensor *in = numbers(&n, 77, N, K), *map = map_of(&n, rows, N);
    read_back(&n, expected, linear(&n.t, in, n.weight, NULL));
    n.t.draws = 0;
    for (int p = 0; p < PARTS; p++) {
        tensor *dropped = dropout_rows(&n.t, in, map, 0.3);
        read_back(&n, add, linear(&n.t, linear(&n.t, dropped, n.a[p], NULL), n.b[p], NULL));
        for (int64_t i = 0; i < N; i++)
            for (int64_t c = 0; c < counts[p]; c++)
                expected[i * O + firsts[p] + c] += 2 * add[i * counts[p] + c];
    }
    read_back(&n, y, layer(&n, in, map, 0.3));
    for (int i = 0; i < N * O; i++) {
        difference += (y[i] - expected[i]) * (y[i] - expected[i]);
        size += expected[i] * expected[i];
    }
    ck_assert_msg(sqrt(difference / size) <= tolerance[_i], "off by %g", sqrt(difference / size));
    net_close(&n);
}
END_TEST

// Without parts it is linear, bit by bit and of any rank; mid is kept only for a backward pass.
START_TEST(lora_no_parts) {
    static net n;
    net_open(&n, ON_CPU);
    tensor *in = numbers(&n, 77, 4, K);
    const lora_set none = {.parts = 0};
    const tensor *a = linear_lora(&n.t, in, n.weight, NULL, &none),
                 *b = linear(&n.t, in, n.weight, NULL);
    ck_assert(!memcmp(a->data, b->data, 4 * O * sizeof(float)));
    tensor *deep = tape_view(&n.t, in, 3, (int64_t[]){2, 2, K});
    ck_assert_int_eq(linear_lora(&n.t, deep, n.weight, NULL, &none)->rank, 3);
    const size_t before = n.t.activations.used;
    layer(&n, in, NULL, 0);
    ck_assert_uint_lt(n.t.activations.used - before, 4 * O * sizeof(float) + 65);
    net_close(&n);
}
END_TEST

// No rows: gradients of parameters are zero where they are the first, and stay otherwise.
START_TEST(lora_no_rows) {
    static net n;
    static double gradients[2 * PARTS + 1][O * K];
    gradient g[2 * PARTS + 1];
    int32_t nothing[1][2];
    net_open(&n, _i);
    n.t.recording = true;
    tensor *wanted[2 * PARTS + 1] = {n.weight};
    for (int i = 0; i < PARTS; i++) wanted[1 + 2 * i] = n.a[i], wanted[2 + 2 * i] = n.b[i];
    for (int i = 0; i < 2 * PARTS + 1; i++) tensor_want(wanted[i], &g[i], gradients[i]);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 2 * PARTS + 1; i++)
            for (int64_t e = 0; e < tensor_count(wanted[i]); e++)
                element_put(gradients[i], e, 3, g[i].type);
        tensor *y = layer(&n, numbers(&n, 5, 0, K), map_of(&n, nothing, 0), 0.3);
        ck_assert_int_eq(y->dim[0], 0);
        tensor *target = tape_tensor_of(&n.t, DTYPE_I32, 1, (int64_t[]){0});
        tape_backward(&n.t, cross_entropy(&n.t, y, target, 0, 1), 1);
        for (int i = 0; i < 2 * PARTS + 1; i++)
            for (int64_t e = 0; e < tensor_count(wanted[i]); e++)
                ck_assert(element_get(gradients[i], e, g[i].type) == (pass ? 3 : 0));
    }
    net_close(&n);
}
END_TEST

// The same bits with any number of threads.
START_TEST(lora_threads) {
    enum { N = 300 };
    static float y[N * O], dx[N * K], da[RANK * K], kept_y[N * O], kept_dx[N * K],
        kept_da[RANK * K];
    int32_t rows[N][2];
    float *x = random_floats(N * K, 5, -1, 1), *mid = random_floats(N * RANK, 6, -1, 1);
    float *a = random_floats(RANK * K, 7, -1, 1), *b = random_floats(O * RANK, 8, -1, 1);
    make_rows(rows, N);
    for (int threads = 1; threads < 6; threads++) {
        device *d;
        void *scratch;
        ck_assert_int_eq(device_open_cpu(&d, threads), 0);
        lora_shape z = {
            .parts = 1, .N = N, .K = K, .O = O, .R = RANK, .rate = 0.2, .rows = rows[0]};
        z.part[0] = (lora_factors){.a = a, .b = b, .da = da, .r = RANK, .n = O, .scale = 1.5};
        ck_assert_int_eq(d->take(d, lora_scratch_cpu(&z, DTYPE_F32, d->stream), "a test", &scratch),
                         0);
        memset(y, 0, sizeof y), memset(dx, 0, sizeof dx);
        lora_up_cpu(y, mid, &z, DTYPE_F32, scratch, d->stream);
        lora_down_backward_cpu(dx, mid, x, &z, DTYPE_F32, scratch, d->stream);
        if (threads == 1)
            memcpy(kept_y, y, sizeof y), memcpy(kept_dx, dx, sizeof dx),
                memcpy(kept_da, da, sizeof da);
        ck_assert(!memcmp(y, kept_y, sizeof y) && !memcmp(dx, kept_dx, sizeof dx) &&
                  !memcmp(da, kept_da, sizeof da));
        d->release(d, scratch);
        device_close(d);
    }
    free(x), free(mid), free(a), free(b);
}
END_TEST

// --- wrong calls ---------------------------------------------------------------------------------
static tensor *matrix(tape *t, int64_t rows, int64_t columns) {
    return tape_tensor(t, 2, (int64_t[]){rows, columns});
}

static void call(tape *t, int64_t a_width, int64_t rank, int64_t first, int64_t second,
                 double rate) {
    lora_set l = {.parts = 2, .dropout = rate};
    for (int i = 0; i < 2; i++)
        l.part[i] =
            (lora_part){matrix(t, rank, a_width), matrix(t, 4, rank), i ? second : first, 1};
    t->training = true;
    linear_lora(t, matrix(t, 3, 5), matrix(t, 9, 5), NULL, &l);
}

static void other_width(tape *t) {
    call(t, 6, 2, 0, 4, 0);
}
static void beyond(tape *t) {
    call(t, 5, 2, 0, 6, 0);
}
static void shared(tape *t) {
    call(t, 5, 2, 3, 0, 0);
}
static void too_wide(tape *t) {
    call(t, 5, 129, 0, 4, 0);
}
static void no_map(tape *t) {
    call(t, 5, 2, 0, 4, 0.1);
}
static void rate_of_one(tape *t) {
    call(t, 5, 2, 0, 4, 1);
}
static void many_parts(tape *t) {
    linear_lora(t, matrix(t, 3, 5), matrix(t, 9, 5), NULL, &(lora_set){.parts = 5});
}

START_TEST(lora_wrong_calls) {
    expect_death(other_width, "linear_lora a: has shape (2, 6), expected (-1, 5)");
    expect_death(beyond, "linear_lora: part 1 has columns 6 to 10 of 9");
    expect_death(shared, "linear_lora: parts 0 and 1 share columns");
    expect_death(too_wide, "linear_lora: the parts' ranks sum to more than 256");
    expect_death(no_map, "linear_lora: dropout without rows");
    expect_death(rate_of_one, "linear_lora: the rate is 1");
    expect_death(many_parts, "linear_lora: 5 parts");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("linear_lora");
    TCase *tests = tcase_create("linear_lora");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, lora_shapes, 0, CASES);
    tcase_add_loop_test(tests, lora_wanted, 1, 16);
    tcase_add_test(tests, lora_inference);
    tcase_add_loop_test(tests, lora_any_packing, 0, TEST_DEVICES);
    tcase_add_loop_test(tests, lora_equals_parts, 0, TEST_DEVICES);
    tcase_add_test(tests, lora_no_parts);
    tcase_add_loop_test(tests, lora_no_rows, 0, ON_CPU_BF16 + 1);
    tcase_add_test(tests, lora_threads);
    tcase_add_test(tests, lora_wrong_calls);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
