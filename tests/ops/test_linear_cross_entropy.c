#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 64 };

typedef struct head_case {
    int64_t N, D, V;
    double smoothing;
    int rows;             // of a chunk where the head is frozen; 0: as many as the op takes
    bool plain, weighted; // without a bias; rows have weights
} head_case;

static int32_t target_of(int64_t r, int64_t V) {
    return r % 4 == 2 ? -1 : (int32_t)((r * r + r + 1) % V);
}

static tensor *run(tape *t, tensor **in, const void *context) {
    static int32_t targets[MAX_ROWS];
    const head_case *c = context;
    for (int64_t r = 0; r < c->N; r++) targets[r] = target_of(r, c->V);
    tensor target = constant_i32(targets, 1, &c->N);
    tensor *bias = c->plain ? NULL : in[2], *row_weight = c->weighted ? in[2 + !c->plain] : NULL;
    if (!c->rows)
        return linear_cross_entropy(t, in[0], in[1], bias, &target, row_weight, c->smoothing, 5);
    const size_t bytes = (size_t)(c->rows * c->V) * dtype_size(t->device->type);
    return linear_cross_entropy_within(t, in[0], in[1], bias, &target, row_weight, c->smoothing, 5,
                                       bytes);
}

// The embedding's table is the head's weight as well: its gradient is there before or after.
static tensor *run_tied(tape *t, tensor **in, const void *context) {
    static int32_t numbers[MAX_ROWS];
    const head_case *c = context;
    for (int64_t r = 0; r < c->N; r++) numbers[r] = (int32_t)(r * 3 % c->V);
    tensor index = constant_i32(numbers, 1, &c->N);
    tensor *x = add(t, in[0], embedding(t, in[1], &index));
    return run(t, (tensor *[]){x, in[1], in[2]}, context);
}

static op_case case_of(const head_case *c) {
    op_case k = {.op = "linear_cross_entropy",
                 .input = {{.rank = 2, .dim = {c->N, c->D}, .gradient = true},
                           {.rank = 2, .dim = {c->V, c->D}, .gradient = true, .weight = true}},
                 .inputs = 2,
                 .run = run,
                 .context = c,
                 .tolerance = 1e-5};
    if (!c->plain) k.input[k.inputs++] = (op_input){.rank = 1, .dim = {c->V}, .gradient = true};
    if (c->weighted)
        k.input[k.inputs++] = (op_input){.rank = 1, .dim = {c->N}, .low = 0, .high = 2};
    return k;
}

enum { CASES = 6 };
START_TEST(linear_cross_entropy_shapes) {
    static const head_case cases[CASES] = {{.N = 1, .D = 5, .V = 3},
                                           {.N = 2, .D = 3, .V = 7, .smoothing = 0.1},
                                           {.N = 7, .D = 16, .V = 33, .smoothing = 0.1},
                                           {.N = 5, .D = 8, .V = 64},
                                           {.N = 61, .D = 24, .V = 101, .smoothing = 0.1},
                                           {.N = 3, .D = 7, .V = 1031, .smoothing = 0.1}};
    op_case c = case_of(&cases[_i]);
    op_check(&c);
    for (int i = 0; i < 3; i++) c.input[i].gradient = i == _i % 3; // one alone
    op_check(&c);
}
END_TEST

// Without a bias, with weights of rows, and both; the head trains.
START_TEST(linear_cross_entropy_arguments) {
    static const head_case cases[] = {
        {.N = 9, .D = 5, .V = 13, .plain = true},
        {.N = 9, .D = 8, .V = 16, .weighted = true},
        {.N = 9, .D = 5, .V = 13, .plain = true, .weighted = true, .smoothing = 0.2}};
    const op_case k = case_of(&cases[_i]);
    op_check(&k);
}
END_TEST

// A frozen head: one row at a time, some with a rest, all; on the GPU whole packs and not.
START_TEST(linear_cross_entropy_frozen) {
    static const head_case cases[] = {
        {.N = 5, .D = 3, .V = 7, .rows = 1, .plain = true},
        {.N = 13, .D = 8, .V = 19, .rows = 5, .weighted = true, .smoothing = 0.1},
        {.N = 13, .D = 16, .V = 64, .rows = 4, .plain = true, .weighted = true},
        {.N = 12, .D = 5, .V = 11, .rows = 4},
        {.N = 12, .D = 9, .V = 11, .rows = 100, .weighted = true, .smoothing = 0.1}};
    op_case k = case_of(&cases[_i]);
    for (int i = 1; i < k.inputs; i++) k.input[i].gradient = false;
    op_check(&k);
}
END_TEST

START_TEST(linear_cross_entropy_tied) {
    static const head_case cases[] = {{.N = 3, .D = 4, .V = 5, .smoothing = 0.1},
                                      {.N = 17, .D = 12, .V = 40, .smoothing = 0.1}};
    op_case c = case_of(&cases[_i]);
    c.run = run_tied;
    c.input[0].gradient = false; // it reaches the op through others
    op_check(&c);
}
END_TEST

// A tape on a device with parameters of its type, in which gradients are NaN before they are
// written.
typedef struct net {
    device *device, *dry;
    tape t;
    comm *comm;
    tensor p[3]; // inp, weight, bias
    gradient g[3];
    tensor target;
} net;

static void net_open(net *n, int which, int64_t N, int64_t D, int64_t V, double scale) {
    static int32_t targets[MAX_ROWS];
    const int64_t dim[3][2] = {{N, D}, {V, D}, {V, 0}};
    device *d = n->device = test_device(which);
    ck_assert_int_eq(device_open_dry(&n->dry, d), 0);
    ck_assert_int_eq(comm_open_single(&n->comm), 0);
    ck_assert_int_eq(tape_init(&n->t, d, n->dry, n->comm), 0);
    for (int i = 0; i < 3; i++) {
        dtype type = i < 2 ? d->type : dtype_wide(d->type), wide = dtype_wide(d->type);
        n->p[i] = tensor_over(NULL, type, i < 2 ? 2 : 1, dim[i]);
        int64_t count = tensor_count(&n->p[i]);
        float *x = random_floats(count, (uint32_t)i, -scale, scale);
        double *numbers = calloc((size_t)count + 1, sizeof *numbers); // room for any type
        for (int64_t e = 0; e < count; e++) element_put(numbers, e, (double)x[e], type);
        n->p[i].data = device_hold(d, numbers, tensor_bytes(&n->p[i]));
        for (int64_t e = 0; e < count; e++) element_put(numbers, e, (double)NAN, i ? wide : type);
        size_t bytes = (size_t)count * dtype_size(i ? wide : type);
        tensor_want(&n->p[i], &n->g[i], device_hold(d, numbers, bytes));
        n->g[i].type = i ? wide : type;
        free(x), free(numbers);
    }
    for (int64_t r = 0; r < N; r++) targets[r] = target_of(r, V);
    n->target = tensor_over(device_hold(d, targets, (size_t)N * sizeof *targets), DTYPE_I32, 1, &N);
}

// Gradient I as doubles, to be freed.
static double *net_gradient(net *n, int i) {
    int64_t count = tensor_count(&n->p[i]);
    double *numbers = calloc((size_t)count + 1, sizeof *numbers);
    double *out = calloc((size_t)count + 1, sizeof *out);
    if (count)
        n->device->download(n->device, numbers, n->g[i].data,
                            (size_t)count * dtype_size(n->g[i].type));
    for (int64_t e = 0; e < count; e++) out[e] = element_get(numbers, e, n->g[i].type);
    free(numbers);
    return out;
}

static double net_loss(net *n, const tensor *loss) {
    double number = 0;
    n->device->download(n->device, &number, loss->data, dtype_size(loss->type));
    return element_get(&number, 0, loss->type);
}

static void net_close(net *n) {
    ck_assert_int_eq(tape_failed(&n->t), STATUS_OK);
    tape_free(&n->t);
    for (int i = 0; i < 3; i++) {
        device_fetch(n->device, NULL, n->p[i].data, 0);
        device_fetch(n->device, NULL, n->g[i].data, 0);
    }
    device_fetch(n->device, NULL, n->target.data, 0);
    comm_close(n->comm);
    device_close(n->dry);
}

static tensor *net_run(net *n, bool fused) {
    tape *t = &n->t;
    if (fused)
        return linear_cross_entropy(t, &n->p[0], &n->p[1], &n->p[2], &n->target, NULL, 0.1, 5);
    tensor *logits = linear(t, &n->p[0], &n->p[1], &n->p[2]);
    return cross_entropy(t, logits, &n->target, 0.1, 5);
}

// Dry, then real: one step.
static double net_step(net *n, bool fused, bool record, float scale) {
    tensor *loss = NULL;
    for (int real = 0; real < 2; real++) {
        if (real) ck_assert_int_eq(tape_allocate(&n->t, tape_used(&n->t)), 0);
        for (int i = 0; i < 3; i++) n->g[i].written = false;
        tape_begin(&n->t, record);
        loss = net_run(n, fused);
        if (record) tape_backward(&n->t, loss, scale);
    }
    return net_loss(n, loss);
}

// Bit by bit what cross_entropy of linear gives, with one tensor of the logits' size instead of
// two; rows that are left out get gradients of 0; without a tape that records, nothing but the loss
// stays.
START_TEST(linear_cross_entropy_is_both) {
    enum { N = 23, D = 20, V = 301 };
    net n[2];
    double loss[2], *gradients[2][3];
    tape_size size[2];
    for (int fused = 0; fused < 2; fused++) {
        net_open(&n[fused], _i, N, D, V, 1);
        loss[fused] = net_step(&n[fused], fused, true, 3);
        size[fused] = tape_used(&n[fused].t);
        for (int i = 0; i < 3; i++) gradients[fused][i] = net_gradient(&n[fused], i);
    }
    const size_t logits = N * V * dtype_size(n[0].device->type);
    ck_assert(loss[0] > 1 && !(loss[0] < loss[1]) && !(loss[0] > loss[1]));
    ck_assert(size[1].activations <= size[0].activations && size[1].gradients < 256);
    ck_assert(size[0].gradients >= logits);
    for (int i = 0; i < 3; i++)
        ck_assert(!memcmp(gradients[0][i], gradients[1][i],
                          (size_t)tensor_count(&n[0].p[i]) * sizeof(double)));
    for (int r = 0; r < N; r++)
        for (int d = 0; d < D; d++)
            ck_assert((target_of(r, V) < 0) == !(fabs(gradients[1][0][r * D + d]) > 0));
    for (int i = 0; i < 6; i++) free(gradients[i / 3][i % 3]);
    double again = net_step(&n[1], true, false, 0);
    ck_assert(!(again < loss[1]) && !(again > loss[1]));
    ck_assert_uint_le(n[1].t.activations.used, SPACE_ALIGNMENT);
    net_close(&n[0]), net_close(&n[1]);
}
END_TEST

// Gradients of logits that f16 cannot hold are held with a loss scale, as it comes in before they
// are rounded: p / count is 2e-8 here, and the smallest number of f16 6e-8.
START_TEST(linear_cross_entropy_loss_scale) {
    enum { N = 16, D = 8, V = 997 };
    net n;
    net_open(&n, ON_SHIM_F16, N, D, V, 1e-3);
    const float scale = 0x1p20f, count = 50000;
    tensor *loss = NULL;
    for (int real = 0; real < 2; real++) {
        if (real) ck_assert_int_eq(tape_allocate(&n.t, tape_used(&n.t)), 0);
        for (int i = 0; i < 3; i++) n.g[i].written = false;
        tape_begin(&n.t, true);
        loss = linear_cross_entropy(&n.t, &n.p[0], &n.p[1], &n.p[2], &n.target, NULL, 0,
                                    (double)count);
        tape_backward(&n.t, loss, scale);
    }
    double *bias = net_gradient(&n, 2), rows = 0;
    for (int r = 0; r < N; r++) rows += target_of(r, V) >= 0;
    for (int v = 0; v < V; v++) {
        double own = 0;
        for (int r = 0; r < N; r++) own += target_of(r, V) == v;
        double expected = (rows / V - own) / (double)count;
        ck_assert_msg(fabs(bias[v] / (double)scale - expected) <= 5e-3 * fabs(expected),
                      "class %d: %g, expected %g", v, bias[v] / (double)scale, expected);
    }
    free(bias);
    net_close(&n);
}
END_TEST

// What the gradient of row R of a net is for a loss's gradient of 1, from the definition, in
// double.
static void exact_gradient(double *dx, const net *n, int64_t r, double count) {
    const int64_t V = n->p[1].dim[0], width = n->p[1].dim[1];
    double *x = calloc((size_t)width, sizeof *x), *w = calloc((size_t)(V * width), sizeof *w);
    double *p = calloc((size_t)V, sizeof *p), sum = 0;
    const int64_t counts[] = {width, V * width};
    for (int i = 0; i < 2; i++) {
        const dtype type = n->p[i].type;
        double *raw = calloc((size_t)tensor_count(&n->p[i]) + 1, sizeof *raw);
        n->device->download(n->device, raw, n->p[i].data, tensor_bytes(&n->p[i]));
        for (int64_t e = 0; e < counts[i]; e++)
            (i ? w : x)[e] = element_get(raw, e + (i ? 0 : r * width), type);
        free(raw);
    }
    for (int64_t v = 0; v < V; v++) {
        double logit = 0;
        for (int64_t d = 0; d < width; d++) logit += x[d] * w[v * width + d];
        sum += p[v] = exp(logit);
    }
    for (int64_t d = 0; d < width; d++) {
        dx[d] = 0;
        for (int64_t v = 0; v < V && target_of(r, V) >= 0; v++)
            dx[d] += (p[v] / sum - (v == target_of(r, V))) * w[v * width + d] / count;
    }
    free(x), free(w), free(p);
}

// One step of a net with a frozen head, dry and real, in chunks of BYTES; RECORD: and back.
static double frozen_step(net *n, tensor *row_weight, double count, size_t bytes, bool record,
                          float scale) {
    tensor *loss = NULL;
    n->p[1].grad = n->p[2].grad = NULL;
    for (int real = 0; real < 2; real++) {
        if (real) ck_assert_int_eq(tape_allocate(&n->t, tape_used(&n->t)), 0);
        n->g[0].written = false;
        tape_begin(&n->t, record);
        loss = linear_cross_entropy_within(&n->t, &n->p[0], &n->p[1], NULL, &n->target, row_weight,
                                           0, count, bytes);
        if (record) tape_backward(&n->t, loss, scale);
    }
    return net_loss(n, loss);
}

// A frozen head's gradient is as good in the narrow types, where neither p / count (2e-8) nor a
// row's weight (down to 1e-6) could be inside of what is kept: both come after. They are undone by
// the loss's gradient, a number that comes last.
START_TEST(linear_cross_entropy_keeps_small_numbers) {
    enum { N = 16, D = 8, V = 997 };
    net n;
    net_open(&n, _i, N, D, V, 0.01);
    const double count = 50000;
    double weights[N] = {0}; // of any type
    const dtype wide = dtype_wide(n.device->type);
    for (int r = 0; r < N; r++) element_put(weights, r, r % 2 ? 1e-6 : 2e-6, wide);
    void *rows = device_hold(n.device, weights, N * dtype_size(wide));
    tensor row_weight = tensor_over(rows, wide, 1, (int64_t[]){N});
    frozen_step(&n, &row_weight, count, 5 * V * dtype_size(n.device->type), true, 1e12f);
    double *dx = net_gradient(&n, 0), tolerance = _i < ON_CPU_BF16 || _i == ON_SHIM ? 1e-5 : 1e-2;
    for (int r = 0; r < N; r++) {
        double exact[D], off = 0, size = 0;
        exact_gradient(exact, &n, r, count);
        for (int d = 0; d < D; d++) {
            const double e = exact[d] * 1e12 * (r % 2 ? 1e-6 : 2e-6);
            off += (dx[r * D + d] - e) * (dx[r * D + d] - e), size += e * e;
        }
        ck_assert_msg(sqrt(off) <= tolerance * sqrt(size), "row %d: off by %g of %g", r, sqrt(off),
                      sqrt(size));
    }
    free(dx);
    device_fetch(n.device, NULL, rows, 0);
    net_close(&n);
}
END_TEST

// Chunks give the loss and the gradient of the whole, in less memory; without a backward pass the
// same loss in chunks, too.
START_TEST(linear_cross_entropy_chunks) {
    enum { N = 61, D = 16, V = 300, COUNT = N * D };
    double loss[3], *dx[3], off = 0, size = 0;
    for (int run = 0; run < 3; run++) {
        net n;
        net_open(&n, ON_ORACLE, N, D, V, 1);
        const size_t bytes = (run ? (size_t)7 : N) * V * sizeof(double);
        loss[run] = frozen_step(&n, NULL, 5, bytes, run < 2, 3);
        dx[run] = net_gradient(&n, 0);
        if (run) ck_assert_uint_lt(tape_used(&n.t).activations, N * V * sizeof(double) / 4);
        net_close(&n);
    }
    ck_assert(loss[0] > 1);
    for (int run = 1; run < 3; run++)
        ck_assert_double_le(fabs(loss[run] - loss[0]), 1e-13 * loss[0]);
    for (int i = 0; i < COUNT; i++) {
        off += (dx[1][i] - dx[0][i]) * (dx[1][i] - dx[0][i]);
        size += dx[0][i] * dx[0][i];
    }
    ck_assert(size > 0 && sqrt(off) <= 1e-13 * sqrt(size));
    for (int run = 0; run < 3; run++) free(dx[run]);
}
END_TEST

// A frozen head without rows.
START_TEST(linear_cross_entropy_frozen_empty) {
    net n;
    net_open(&n, _i, 0, 4, 9, 1);
    n.p[1].grad = n.p[2].grad = NULL;
    ck_assert(!(fabs(net_step(&n, true, true, 1)) > 0));
    ck_assert(n.g[0].written);
    net_close(&n);
}
END_TEST

// Without rows: a loss of 0 and gradients of parameters that are 0, or stay what they were.
START_TEST(linear_cross_entropy_empty) {
    enum { D = 4, V = 9 };
    net n;
    net_open(&n, _i, 0, D, V, 1);
    ck_assert(!(fabs(net_step(&n, true, true, 1)) > 0));
    for (int twice = 0; twice < 2; twice++) {
        for (int i = 1; i < 3; i++) {
            double *d = net_gradient(&n, i);
            for (int64_t e = 0; e < tensor_count(&n.p[i]); e++)
                ck_assert(!(fabs(d[e]) > 0) && !isnan(d[e]));
            free(d);
        }
        tape_begin(&n.t, true);
        tape_backward(&n.t, net_run(&n, true), 1);
    }
    net_close(&n);
}
END_TEST

static void head_of(tape *t, dtype type, dtype bias, int64_t width, int64_t rows) {
    linear_cross_entropy(t, tape_tensor_of(t, type, 2, (int64_t[]){2, 5}),
                         tape_tensor(t, 2, (int64_t[]){7, width}),
                         tape_tensor_of(t, bias, 1, (int64_t[]){7}),
                         tape_tensor_of(t, DTYPE_I32, 1, &rows), NULL, 0.1, 3);
}
static void weights_of(tape *t, int64_t rows, gradient *g) {
    tensor *weights = tape_tensor(t, 1, &rows);
    weights->grad = g;
    linear_cross_entropy(t, tape_tensor(t, 2, (int64_t[]){2, 5}),
                         tape_tensor(t, 2, (int64_t[]){7, 5}), NULL,
                         tape_tensor_of(t, DTYPE_I32, 1, (int64_t[]){2}), weights, 0.1, 3);
}
static void many_weights(tape *t) {
    weights_of(t, 3, NULL);
}
static void trained_weights(tape *t) {
    gradient g = {.type = DTYPE_F32};
    weights_of(t, 2, &g);
}
static void other_type(tape *t) {
    head_of(t, DTYPE_BF16, DTYPE_F32, 5, 2);
}
static void narrow_bias(tape *t) {
    head_of(t, DTYPE_F32, DTYPE_BF16, 5, 2);
}
static void other_width(tape *t) {
    head_of(t, DTYPE_F32, DTYPE_F32, 6, 2);
}
static void many_targets(tape *t) {
    head_of(t, DTYPE_F32, DTYPE_F32, 5, 3);
}

START_TEST(linear_cross_entropy_wrong) {
    expect_death(other_type, "linear_cross_entropy inp: is BF16, expected F32");
    expect_death(narrow_bias, "linear_cross_entropy bias: is BF16, expected F32");
    expect_death(other_width, "linear_cross_entropy inp: has shape (2, 5), expected (-1, 6)");
    expect_death(many_targets, "linear_cross_entropy target: has shape (3), expected (2)");
    expect_death(many_weights, "linear_cross_entropy row_weight: has shape (3), expected (2)");
    expect_death(trained_weights, "linear_cross_entropy row_weight: wants a gradient");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("linear_cross_entropy");
    TCase *tests = tcase_create("linear_cross_entropy");
    tcase_add_loop_test(tests, linear_cross_entropy_shapes, 0, CASES);
    tcase_add_loop_test(tests, linear_cross_entropy_arguments, 0, 3);
    tcase_add_loop_test(tests, linear_cross_entropy_frozen, 0, 5);
    tcase_add_loop_test(tests, linear_cross_entropy_tied, 0, 2);
    tcase_add_loop_test(tests, linear_cross_entropy_keeps_small_numbers, 0, TEST_DEVICES);
    tcase_add_test(tests, linear_cross_entropy_chunks);
    tcase_add_loop_test(tests, linear_cross_entropy_frozen_empty, 0, TEST_DEVICES);
    tcase_add_loop_test(tests, linear_cross_entropy_is_both, 0, TEST_DEVICES);
    tcase_add_loop_test(tests, linear_cross_entropy_empty, 0, TEST_DEVICES);
    tcase_add_test(tests, linear_cross_entropy_loss_scale);
    tcase_add_test(tests, linear_cross_entropy_wrong);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
