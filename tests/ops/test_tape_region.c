// Regions: the same numbers with and without them, in inference and in training, and less memory.
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_toy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct result {
    tape_size size;
    float out[TOY_COUNT];
    float grad[TOY_PARAMETERS][TOY_MOST];
} result;

typedef struct mode {
    toy_regions regions;
    bool checkpointing, training;
    int blocks;
    bool record;
} mode;

static void open_tape(tape *t, device **dry, comm **single) {
    ck_assert_int_eq(device_open_dry(dry, test_device(false)), 0);
    ck_assert_int_eq(comm_open_single(single), 0);
    ck_assert_int_eq(tape_init(t, test_device(false), *dry, *single), 0);
}

// Each parameter that was used is ready once, with its final gradient.
static void check_ready(const toy_model *m, int blocks) {
    for (int p = 0; p < TOY_PARAMETERS; p++) {
        bool used = p < 2 * blocks || p == TOY_PARAMETERS - 1;
        ck_assert_int_eq(m->ready[p], used);
        ck_assert_int_eq(m->slot[p].uses, 0);
        if (used) ck_assert(!memcmp(m->at_ready[p], m->grad[p], sizeof m->grad[p]));
    }
}

// A dry run, then a real one in just as much memory.
static result run(toy_model *m, mode how) {
    result r;
    device *dry;
    comm *single;
    tape t;
    open_tape(&t, &dry, &single);
    t.parameter_ready = toy_ready;
    t.ready_context = m;
    t.seed = 3;
    tape_checkpointing(&t, how.checkpointing);
    for (int real = 0; real < 2; real++) {
        toy_clear(m);
        tape_begin(&t, how.record);
        t.training = how.training;
        t.first_sample = 40;
        tensor *y = toy_run(&t, m, how.regions, how.blocks);
        if (real) memcpy(r.out, y->data, sizeof r.out);
        tensor *loss = toy_sum(&t, y);
        // What a region draws by is what it saw, not what the step has come to.
        t.first_sample = 0;
        t.training = false;
        if (how.record) tape_backward(&t, loss, 1);
        tape_size used = tape_used(&t);
        if (real) ck_assert(!memcmp(&used, &r.size, sizeof used));
        r.size = used;
        if (!real) ck_assert_int_eq(tape_allocate(&t, used), 0);
    }
    ck_assert_int_eq(tape_failed(&t), STATUS_OK);
    if (how.record) check_ready(m, how.blocks);
    memcpy(r.grad, m->grad, sizeof r.grad);
    tape_free(&t);
    device_close(dry);
    comm_close(single);
    return r;
}

START_TEST(regions_in_training) {
    static toy_model m;
    toy_open(&m, false);
    for (int training = 0; training < 2; training++) {
        result plain = run(&m, (mode){TOY_PLAIN, false, training, TOY_BLOCKS, true});
        for (int regions = TOY_PLAIN; regions <= TOY_HALVES; regions++)
            for (int checkpointing = 0; checkpointing < 2; checkpointing++) {
                result r = run(
                    &m, (mode){(toy_regions)regions, checkpointing, training, TOY_BLOCKS, true});
                ck_assert(!memcmp(r.out, plain.out, sizeof r.out));
                for (int p = 0; p < TOY_PARAMETERS; p++) {
                    int count = p == TOY_PARAMETERS - 1 ? TOY_MOST : TOY_D;
                    for (int i = 0; i < count; i++) ck_assert(isfinite(r.grad[p][i]));
                    ck_assert(!memcmp(r.grad[p], plain.grad[p], (size_t)count * sizeof(float)));
                }
                if (checkpointing && regions != TOY_PLAIN)
                    ck_assert_uint_lt(r.size.activations, plain.size.activations / 2);
            }
    }
}
END_TEST

// A chain of blocks in inference: with a region to each block, the outputs and one block's inside;
// in halves of halves about two blocks; without regions all of it.
START_TEST(regions_in_inference) {
    static toy_model m;
    toy_open(&m, false);
    size_t output = TOY_COUNT * sizeof(float);
    result one = run(&m, (mode){TOY_PLAIN, false, false, 1, false});
    result plain = run(&m, (mode){TOY_PLAIN, false, false, TOY_BLOCKS, false});
    ck_assert_uint_ge(plain.size.activations, 10 * one.size.activations);
    for (int checkpointing = 0; checkpointing < 2; checkpointing++) {
        result flat = run(&m, (mode){TOY_FLAT, checkpointing, false, TOY_BLOCKS, false});
        result half = run(&m, (mode){TOY_HALVES, checkpointing, false, TOY_BLOCKS, false});
        ck_assert(!memcmp(flat.out, plain.out, sizeof flat.out));
        ck_assert(!memcmp(half.out, plain.out, sizeof half.out));
        ck_assert_uint_le(flat.size.activations, one.size.activations + (TOY_BLOCKS - 1) * output);
        ck_assert_uint_le(half.size.activations, 2 * one.size.activations);
        ck_assert_uint_eq(half.size.gradients, 0);
    }
}
END_TEST

// --- outputs of all kinds ------------------------------------------------------------------------
enum { N = 7 };

typedef struct counters {
    tensor *w;
    int runs, replays;
} counters;

// Out of order in memory, one twice, one a view, one an input, one a view of an input, one unused.
static void many_outputs(tape *t, const void *context, tensor **out, tensor *const *in) {
    counters *c = (counters *)(uintptr_t)context;
    c->runs++;
    c->replays += t->replaying;
    gelu(t, in[0]); // inside only
    tensor *a = toy_multiply(t, in[0], c->w), *pair[2];
    toy_split(t, pair, a);
    tensor *b = gelu(t, pair[1]);
    out[0] = b;
    out[1] = a;
    out[2] = tape_view(t, b, 2, (int64_t[]){N, 1});
    out[3] = in[0];
    out[4] = tape_view(t, in[0], 2, (int64_t[]){1, N});
    out[5] = pair[0];
    out[6] = b;
}

static void run_many(bool checkpointing, bool record, float *out, float *dw, float *dx, bool flip) {
    float wv[N], xv[N];
    gradient gw, gx;
    tape t;
    tape_open_large(&t, false);
    memset(t.gradient_block, 0xff, 1 << 16);
    tape_begin(&t, record);
    tape_checkpointing(&t, checkpointing);
    for (int i = 0; i < N; i++) wv[i] = 0.3f * (float)(i + 1), xv[i] = 1 - 0.2f * (float)i;
    tensor w = tensor_over(wv, DTYPE_F32, 1, (int64_t[]){N}),
           x = tensor_over(xv, DTYPE_F32, 1, (int64_t[]){N});
    tensor_want(&w, &gw, dw);
    tensor_want(&x, &gx, dx);
    counters c = {.w = &w};
    tensor *input = toy_multiply(&t, &x, &x), *y[7], *loss = NULL;
    tape_region(&t, many_outputs, &c, y, 7, &input, 1);
    for (int k = 0; k < 7; k++) {
        int i = flip ? 6 - k : k;
        memcpy(out + i * N, y[i]->data, N * sizeof *out);
        if (i == 5) continue;
        tensor *sum = toy_sum(&t, gelu(&t, y[i]));
        loss = loss ? add(&t, loss, sum) : sum;
    }
    if (record) tape_backward(&t, loss, 1);
    ck_assert_int_eq(tape_failed(&t), STATUS_OK);
    ck_assert_int_eq(c.runs, checkpointing && record ? 2 : 1);
    ck_assert_int_eq(c.replays, checkpointing && record ? 1 : 0);
    ck_assert(!t.replaying && gw.uses == 0 && gx.uses == 0);
    tape_free(&t);
}

START_TEST(outputs_of_all_kinds) {
    for (int flip = 0; flip < 2; flip++) {
        float out[3][7 * N], dw[2][N], dx[2][N], unused[N];
        run_many(false, true, out[0], dw[0], dx[0], flip);
        run_many(true, true, out[1], dw[1], dx[1], flip);
        run_many(true, false, out[2], unused, unused, flip);
        ck_assert(!memcmp(out[0], out[1], sizeof out[0]));
        ck_assert(!memcmp(out[0], out[2], sizeof out[0]));
        for (int i = 0; i < N; i++) {
            ck_assert(isfinite(dw[0][i]) && isfinite(dx[0][i]));
            ck_assert(fabsf(dw[0][i] - dw[1][i]) <= 1e-5f * fabsf(dw[0][i]));
            ck_assert(fabsf(dx[0][i] - dx[1][i]) <= 1e-5f * fabsf(dx[0][i]));
        }
    }
}
END_TEST

// An output much larger than what lies below it moves down by little: it stays, or moves in pieces.
static void far_outputs(tape *t, const void *context, tensor **out, tensor *const *in) {
    (void)in;
    const int64_t *sizes = context;
    tape_tensor(t, 1, &sizes[0]);
    out[0] = tape_tensor(t, 1, &sizes[1]);
    for (int64_t i = 0; i < sizes[1]; i++) ((float *)out[0]->data)[i] = (float)i;
}

START_TEST(outputs_move_down) {
    static const int64_t sizes[][2] = {{1, 10000}, {1, 100},  {1000, 1500},
                                       {5000, 7},  {16, 127}, {16, 129}};
    for (int i = 0; i < 6; i++) {
        tape t;
        tape_open_large(&t, false);
        tape_begin(&t, false);
        tensor *y;
        tape_region(&t, far_outputs, sizes[i], &y, 1, NULL, 0);
        for (int64_t k = 0; k < sizes[i][1]; k++) ck_assert(((float *)y->data)[k] == (float)k);
        size_t bytes = ((size_t)sizes[i][1] * sizeof(float) + 63) / 64 * 64;
        ck_assert_uint_le(t.activations.used, bytes + bytes / 8);
        tape_free(&t);
    }
}
END_TEST

// --- what is run again ---------------------------------------------------------------------------
static void multiply_body(tape *t, const void *context, tensor **out, tensor *const *in) {
    counters *c = (counters *)(uintptr_t)context;
    c->runs++;
    c->replays += t->replaying;
    out[0] = toy_multiply(t, in[0], c->w);
}

static void count_ready(void *context, gradient *g) {
    (void)g;
    ++*(int *)context;
}

// Frozen through and through: not recorded, not run again. With one parameter inside, or one input
// that wants a gradient, it is; a region that does not lead to the loss still ends its parameters'
// uses.
START_TEST(frozen_regions) {
    float wv[N] = {1, 2, 3}, xv[N] = {4, 5, 6}, d[2][N];
    for (int wanted = 0; wanted < 8; wanted++) {
        bool loss_here = wanted & 4;
        gradient g[2];
        int ready = 0;
        tape t;
        tape_open_large(&t, false);
        tape_checkpointing(&t, true);
        t.parameter_ready = count_ready;
        t.ready_context = &ready;
        tensor w = tensor_over(wv, DTYPE_F32, 1, (int64_t[]){N});
        tensor x = tensor_over(xv, DTYPE_F32, 1, (int64_t[]){N});
        if (wanted & 1) tensor_want(&w, &g[0], d[0]);
        if (wanted & 2) tensor_want(&x, &g[1], d[1]);
        counters c = {.w = &w};
        tensor *y, *in = &x;
        tape_region(&t, multiply_body, &c, &y, 1, &in, 1);
        ck_assert((wanted & 3) ? y->grad && t.last : !y->grad && !t.last);
        tape_backward(&t, toy_sum(&t, loss_here ? y : toy_multiply(&t, &x, &x)), 1);
        ck_assert_int_eq(c.runs, (wanted & 3) ? 2 : 1);
        ck_assert_int_eq(ready, (wanted & 1) + (wanted >> 1 & 1));
        for (int i = 0; i < N && loss_here && (wanted & 1); i++)
            ck_assert(d[0][i] == (float)(i % 3 + 1) * xv[i]);
        tape_free(&t);
    }
}
END_TEST

// A parameter that goes into nested regions as their input.
static void nested_body(tape *t, const void *context, tensor **out, tensor *const *in) {
    tape_region(t, multiply_body, context, out, 1, in, 1);
}

START_TEST(parameters_as_inputs) {
    float wv[N] = {1, 2, 3}, xv[N] = {4, 5, 6}, d[2][N];
    gradient g[2];
    int ready = 0;
    tape t;
    tape_open_large(&t, false);
    tape_checkpointing(&t, true);
    t.parameter_ready = count_ready;
    t.ready_context = &ready;
    tensor w = tensor_over(wv, DTYPE_F32, 1, (int64_t[]){N}),
           x = tensor_over(xv, DTYPE_F32, 1, (int64_t[]){N});
    tensor_want(&w, &g[0], d[0]);
    tensor_want(&x, &g[1], d[1]);
    counters c = {.w = &w};
    tensor *y[2], *in = &x;
    tape_region(&t, nested_body, &c, &y[0], 1, &in, 1);
    tape_region(&t, nested_body, &c, &y[1], 1, &in, 1);
    tape_backward(&t, toy_sum(&t, add(&t, y[0], y[1])), 1);
    ck_assert_int_eq(ready, 2);
    ck_assert(g[0].uses == 0 && g[1].uses == 0);
    ck_assert_int_eq(c.runs, 6); // per region: once, again in the outer one, again in the inner one
    ck_assert_int_eq(c.replays, 4);
    for (int i = 0; i < N; i++) {
        ck_assert(d[0][i] == 2 * (float)(i % 3 + 1) * xv[i]);
        ck_assert(d[1][i] == 2 * (float)(i % 3 + 1) * wv[i]);
    }
    tape_free(&t);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tape_region");
    TCase *tests = tcase_create("tape_region");
    tcase_add_test(tests, regions_in_training);
    tcase_add_test(tests, regions_in_inference);
    tcase_add_test(tests, outputs_of_all_kinds);
    tcase_add_test(tests, outputs_move_down);
    tcase_add_test(tests, frozen_regions);
    tcase_add_test(tests, parameters_as_inputs);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
