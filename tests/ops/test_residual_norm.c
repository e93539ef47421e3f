#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"
#include "tests/oracle/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 300 };

// Rows of texts of 3, with a filler here and there and at the end.
static void make_rows(int32_t (*rows)[2], int64_t count) {
    for (int64_t r = 0; r < count; r++) {
        rows[r][0] = r % 8 == 5 || (count > 2 && r == count - 1) ? -1 : (int32_t)(200 - r / 3);
        rows[r][1] = (int32_t)(r % 3);
    }
}

typedef struct norm_case {
    int64_t rows, D;
    double rate;
    bool map; // even where nothing is dropped
} norm_case;

static tensor *run(tape *t, tensor **in, const void *context) {
    const norm_case *c = context;
    int32_t rows[MOST_ROWS][2];
    tensor map;
    make_rows(rows, c->rows);
    if (c->map) map = constant_i32(rows[0], 2, (int64_t[]){c->rows, 2});
    return residual_norm(t, in[0], in[1], c->map ? &map : NULL, c->rate, in[2], in[3], 1e-5);
}

static op_case case_of(const norm_case *c) {
    op_case k = {.op = "residual_norm", .inputs = 4, .run = run, .context = c};
    k.input[0] = k.input[1] = (op_input){.rank = 2, .dim = {c->rows, c->D}, .gradient = true};
    k.input[2] = (op_input){.rank = 1, .dim = {c->D}, .gradient = true, .low = 0.5, .high = 1.5};
    k.input[3] = (op_input){.rank = 1, .dim = {c->D}, .gradient = true};
    k.tolerance = 1e-5;
    k.training = true;
    return k;
}

// Rows that are no whole packs, wider than what is drawn at once, and more of them than blocks in
// the sums; on the GPU one thread to eight packs of it, and groups of a warp and of a block.
START_TEST(residual_norm_shapes) {
    static const norm_case cases[] = {
        {1, 5, 0, false},     {7, 17, 0.2, true},   {9, 48, 0.1, true},
        {70, 33, 0.5, true},  {300, 40, 0.1, true}, {21, 768, 0.1, true},
        {5, 2304, 0.1, true}, {3, 1999, 0.3, true}, {6, 301, 0, true}};
    op_case k = case_of(&cases[_i]);
    op_check(&k);
}
END_TEST

// Every choice of gradients that are wanted.
START_TEST(residual_norm_wanted) {
    static const norm_case c = {11, 19, 0.2, true};
    op_case k = case_of(&c);
    for (int i = 0; i < 4; i++) k.input[i].gradient = _i >> i & 1;
    op_check(&k);
}
END_TEST

static tensor *run_twin(tape *t, tensor **in, const void *context) {
    return run(t, (tensor *[]){in[0], in[0], in[1], in[2]}, context);
}

// x and y are one tensor: its gradient is the sum of both.
START_TEST(residual_norm_twin) {
    static const norm_case cases[] = {{7, 24, 0, false}, {13, 21, 0.3, true}};
    op_case k = case_of(&cases[_i]);
    k.inputs = 3;
    k.input[1] = k.input[2];
    k.input[2] = k.input[3];
    k.run = run_twin;
    op_check(&k);
}
END_TEST

// Not in training: nothing is dropped, with a map or without.
START_TEST(residual_norm_inference) {
    static const norm_case cases[] = {{7, 24, 0.5, false}, {7, 24, 0.5, true}};
    op_case k = case_of(&cases[_i]);
    k.training = false;
    op_check(&k);
}
END_TEST

// --- beside the ops it is made of
// ------------------------------------------------------------------
enum { OUT, DX, DY, DWEIGHT, DBIAS, RESULTS };
enum { N = 131, D = 96 };

typedef struct net {
    tensor in[4]; // x, y, weight, bias
    gradient g[4];
    double value[4][N * D], dvalue[4][N * D]; // of any type
    double *result[RESULTS];                  // as doubles
    size_t activations;
} net;

static const int64_t counts[RESULTS] = {N * D, N *D, N *D, D, D};

static double *doubles_of(const void *data, dtype type, int64_t count) {
    double *out = malloc((size_t)count * sizeof *out);
    for (int64_t i = 0; i < count; i++) out[i] = element_get(data, i, type);
    return out;
}

static void net_open(net *n, dtype type) {
    for (int i = 0; i < 4; i++) {
        dtype own = i < 2 ? type : dtype_wide(type);
        n->in[i] = tensor_over(n->value[i], own, i < 2 ? 2 : 1,
                               i < 2 ? (int64_t[]){N, D} : (int64_t[]){D});
        float *x = random_floats(N * D, (uint32_t)i + 1, i == 2 ? 0.5 : -2, 2);
        for (int64_t k = 0; k < tensor_count(&n->in[i]); k++)
            element_put(n->value[i], k, (double)x[k], own);
        free(x);
        tensor_want(&n->in[i], &n->g[i], n->dvalue[i]);
    }
}

static tensor *parts(tape *t, tensor *in, tensor *map) {
    tensor *sum = add(t, &in[0], dropout_rows(t, &in[1], map, 0.3));
    return layer_norm(t, sum, &in[2], &in[3], 1e-5);
}

// One step on DEVICE, fused or in parts, the loss a fixed random sum of the output.
static void net_run(net *n, device *d, bool fused, bool record) {
    static int32_t rows[N][2];
    static comm *single;
    device *dry;
    tape t;
    if (!single) ck_assert_int_eq(comm_open_single(&single), 0);
    ck_assert_int_eq(device_open_dry(&dry, d), 0);
    ck_assert_int_eq(tape_init(&t, d, dry, single), 0);
    ck_assert_int_eq(tape_allocate(&t, (tape_size){1 << 20, 1 << 20}), 0);
    tape_begin(&t, record);
    t.training = true;
    t.seed = 4, t.step = 6;
    make_rows(rows, N);
    net_open(n, d->type);
    tensor map = tensor_over(rows, DTYPE_I32, 2, (int64_t[]){N, 2});
    tensor *out =
        fused ? residual_norm(&t, &n->in[0], &n->in[1], &map, 0.3, &n->in[2], &n->in[3], 1e-5)
              : parts(&t, n->in, &map);
    n->result[OUT] = doubles_of(out->data, out->type, N * D);
    if (record) {
        tensor *flat = tape_view(&t, out, 2, (int64_t[]){1, N * D});
        static double weights[N * D];
        tensor weight = tensor_over(weights, d->type, 2, (int64_t[]){1, N * D});
        float *w = random_floats(N * D, 9, -1, 1);
        for (int64_t i = 0; i < N * D; i++) element_put(weights, i, (double)w[i], d->type);
        free(w);
        double one;
        element_put(&one, 0, 1, d->type);
        tape_backward_from(&t, linear(&t, flat, &weight, NULL), &one);
    }
    for (int i = 0; i < 4 && record; i++) {
        ck_assert(n->g[i].written);
        n->result[DX + i] = doubles_of(n->dvalue[i], n->in[i].type, counts[DX + i]);
    }
    n->activations = tape_used(&t).activations;
    ck_assert_int_eq(tape_failed(&t), STATUS_OK);
    tape_free(&t);
    device_close(dry);
}

static void net_close(net *n) {
    for (int i = 0; i < RESULTS; i++) free(n->result[i]);
    memset(n->result, 0, sizeof n->result);
}

static double distance(const double *a, const double *b, int64_t count) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    if (!isfinite(difference) || !(size > 0)) return INFINITY;
    return sqrt(difference / size);
}

// In double the same bits; in narrower types what roundings leave (in bf16 the parts round twice
// more).
START_TEST(residual_norm_equals_parts) {
    static const struct {
        int device;
        double tolerance;
    } cases[] = {{ON_ORACLE, 0}, {ON_CPU, 1e-6}, {ON_CPU_BF16, 1e-2}};
    static net a, b;
    device *d = test_device(cases[_i].device);
    if (!d) return;
    net_run(&a, d, true, true);
    net_run(&b, d, false, true);
    for (int i = 0; i < RESULTS; i++) {
        double error = distance(a.result[i], b.result[i], counts[i]);
        ck_assert_msg(error <= cases[_i].tolerance, "result %d is off by %g", i, error);
    }
    ck_assert_uint_lt(a.activations, b.activations); // one copy of the sum and none of dropout(y)
    net_close(&a);
    net_close(&b);
}
END_TEST

// Without a backward pass the sum is not kept, and the output is the same bit by bit.
START_TEST(residual_norm_keeps_nothing) {
    static net a, b;
    device *d = test_device(_i);
    if (!d) return;
    net_run(&a, d, true, true);
    net_run(&b, d, true, false);
    ck_assert(!memcmp(a.result[OUT], b.result[OUT], N * D * sizeof(double)));
    ck_assert_uint_lt(b.activations + N * D * dtype_size(d->type), a.activations + 1);
    net_close(&a);
    net_close(&b);
}
END_TEST

// The same bits with any number of threads.
START_TEST(residual_norm_threads) {
    static net one, n;
    for (int threads = 1; threads < 8; threads++) {
        device *d;
        ck_assert_int_eq(device_open_cpu(&d, threads), 0);
        d->ops = &op_kernels_cpu;
        net_run(threads == 1 ? &one : &n, d, true, true);
        device_close(d);
        if (threads == 1) continue;
        for (int i = 0; i < RESULTS; i++)
            ck_assert(!memcmp(one.result[i], n.result[i], (size_t)counts[i] * sizeof(double)));
        net_close(&n);
    }
    net_close(&one);
}
END_TEST

// More rows than the CPU takes at once, in its forward pass and in a block of its sums; adding and
// writing.
START_TEST(residual_norm_tiles) {
    enum { ROWS = 201, WIDE = 8192, COUNT = ROWS * WIDE };
    static int32_t rows[ROWS][2];
    int acc = _i;
    float *x = random_floats(COUNT, 1, -1, 1), *y = random_floats(COUNT, 2, -1, 1);
    float *w = random_floats(WIDE, 3, 0.5, 1.5), *b = random_floats(WIDE, 4, -1, 1);
    float *f[7]; // out, sum, dx, dy, dweight, mean, rstd; what there is before is 1 to 2
    double *e[7], *X = to_doubles(x, COUNT), *Y = to_doubles(y, COUNT);
    double *W = to_doubles(w, WIDE), *B = to_doubles(b, WIDE);
    for (int i = 0; i < 7; i++) {
        f[i] = random_floats(COUNT, 5, 1, 2);
        e[i] = to_doubles(f[i], COUNT);
    }
    for (int r = 0; r < ROWS; r++) rows[r][0] = r / 9, rows[r][1] = r % 9;
    dropout_shape z = {.samples = ROWS,
                       .per_sample = WIDE,
                       .group = 1,
                       .rate = 0.2,
                       .key = {1, 2, 3},
                       .rows = rows[0]};
    device *d = test_device(ON_CPU);
    void *scratch = malloc(residual_norm_scratch_cpu(ROWS, WIDE, DTYPE_F32, d->stream));
    residual_norm_forward_cpu(f[0], f[1], f[5], f[6], x, y, w, b, &z, 1e-5, DTYPE_F32, d->stream);
    residual_norm_forward_oracle(e[0], e[1], e[5], e[6], X, Y, W, B, &z, 1e-5, DTYPE_F64, NULL);
    residual_norm_backward_cpu(f[2], f[3], f[4], NULL, y, f[1], f[5], f[6], w, &z, acc, acc, acc, 0,
                               DTYPE_F32, scratch, d->stream);
    residual_norm_backward_oracle(e[2], e[3], e[4], NULL, Y, e[1], e[5], e[6], W, &z, acc, acc, acc,
                                  0, DTYPE_F64, NULL, NULL);
    for (int i = 0; i < 5; i++)
        ck_assert_double_le(relative_distance(f[i], e[i], i == 4 ? WIDE : COUNT), 2e-6);
    for (int i = 0; i < 7; i++) free(f[i]), free(e[i]);
    free(x), free(y), free(w), free(b), free(X), free(Y), free(W), free(B), free(scratch);
}
END_TEST

// No rows: gradients of parameters are zero where they are the first and stay otherwise.
START_TEST(residual_norm_no_rows) {
    device *d = test_device(_i);
    if (!d) return;
    enum { WIDTH = 16 };
    const dropout_shape z = {.samples = 0, .per_sample = WIDTH, .group = 1};
    double host[WIDTH];
    dtype wide = dtype_wide(d->type);
    size_t bytes = WIDTH * dtype_size(wide);
    void *block[4], *scratch;
    size_t room = d->ops->residual_norm_scratch(0, WIDTH, d->type, d->stream);
    ck_assert_int_eq(d->take(d, room + 1, "a test", &scratch), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(d->take(d, bytes, "a test", &block[i]), 0);
        for (int k = 0; k < WIDTH; k++) element_put(host, k, 3, wide);
        d->upload(d, block[i], host, bytes);
    }
    d->ops->residual_norm_forward(block[0], block[0], block[0], block[0], block[0], block[0],
                                  block[1], block[1], &z, 1e-5, d->type, d->stream);
    d->ops->residual_norm_backward(block[0], block[0], block[2], block[3], block[0], block[0],
                                   block[0], block[0], block[1], &z, 0, 0, 0, 1, d->type, scratch,
                                   d->stream);
    for (int i = 0; i < 4; i++) {
        d->download(d, host, block[i], bytes);
        for (int k = 0; k < WIDTH; k++) ck_assert(element_get(host, k, wide) == (i == 2 ? 0 : 3));
        d->release(d, block[i]);
    }
    d->release(d, scratch);
    ck_assert_int_eq(device_failed(d), STATUS_OK);
}
END_TEST

// --- wrong calls ---------------------------------------------------------------------------------
static tensor *matrix(tape *t, int64_t rows, int64_t columns) {
    return tape_tensor(t, 2, (int64_t[]){rows, columns});
}

static void other_y(tape *t) {
    tensor *w = tape_tensor(t, 1, (int64_t[]){4});
    residual_norm(t, matrix(t, 3, 4), matrix(t, 4, 4), NULL, 0, w, w, 1e-5);
}

static void no_rows(tape *t) {
    tensor *w = tape_tensor(t, 1, (int64_t[]){4});
    t->training = true;
    residual_norm(t, matrix(t, 3, 4), matrix(t, 3, 4), NULL, 0.1, w, w, 1e-5);
}

static void short_rows(tape *t) {
    tensor *w = tape_tensor(t, 1, (int64_t[]){4});
    tensor *map = tape_tensor_of(t, DTYPE_I32, 2, (int64_t[]){2, 2});
    residual_norm(t, matrix(t, 3, 4), matrix(t, 3, 4), map, 0, w, w, 1e-5);
}

static void rate_of_one(tape *t) {
    tensor *w = tape_tensor(t, 1, (int64_t[]){4});
    residual_norm(t, matrix(t, 3, 4), matrix(t, 3, 4), NULL, 1, w, w, 1e-5);
}

START_TEST(residual_norm_wrong_calls) {
    expect_death(other_y, "residual_norm y: has shape (4, 4), expected (3, 4)");
    expect_death(no_rows, "residual_norm: dropout without rows");
    expect_death(short_rows, "residual_norm rows: has shape (2, 2), expected (3, 2)");
    expect_death(rate_of_one, "residual_norm: the rate is 1");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("residual_norm");
    TCase *tests = tcase_create("residual_norm");
    tcase_set_timeout(tests, 600);
    tcase_add_loop_test(tests, residual_norm_shapes, 0, 9);
    tcase_add_loop_test(tests, residual_norm_wanted, 1, 16);
    tcase_add_loop_test(tests, residual_norm_twin, 0, 2);
    tcase_add_loop_test(tests, residual_norm_inference, 0, 2);
    tcase_add_loop_test(tests, residual_norm_equals_parts, 0, 3);
    tcase_add_loop_test(tests, residual_norm_keeps_nothing, ON_CPU, ON_CPU_BF16 + 1);
    tcase_add_test(tests, residual_norm_threads);
    tcase_add_loop_test(tests, residual_norm_tiles, 0, 2);
    tcase_add_loop_test(tests, residual_norm_no_rows, 0, TEST_DEVICES);
    tcase_add_test(tests, residual_norm_wrong_calls);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
