// The tape itself, on toy ops: who gets which gradient, what is recorded, memory and its end.
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_toy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 5 };

// A vector with values FIRST, FIRST + 1, ... and, with D, a gradient that starts as NaN.
static tensor vector(float *values, float first, gradient *g, float *d) {
    for (int i = 0; i < N; i++) {
        values[i] = first + (float)i;
        if (d) d[i] = NAN;
    }
    tensor x = tensor_over(values, DTYPE_F32, 1, (int64_t[]){N});
    if (d) tensor_want(&x, g, d);
    return x;
}

static float weight(int i) {
    return (float)(i % 3 + 1);
}

static void count_ready(void *context, gradient *g) {
    ck_assert_int_eq(g->uses, 0);
    ++*(int *)context;
}

// A parameter used twice: the first touch overwrites NaN, the second adds, and it is ready once.
START_TEST(first_writes_later_add) {
    float xv[N], zv[N], wv[N], dw[N];
    gradient g;
    int ready = 0;
    tape t;
    tape_open_large(&t, false);
    t.parameter_ready = count_ready;
    t.ready_context = &ready;
    tensor x = vector(xv, 1, NULL, NULL), z = vector(zv, 10, NULL, NULL), w = vector(wv, 3, &g, dw);
    tensor *y = add(&t, toy_multiply(&t, &x, &w), toy_multiply(&t, &w, &z));
    tensor *loss = toy_sum(&t, y);
    ck_assert_int_eq(g.uses, 2);
    tape_backward(&t, loss, 0.5f);
    for (int i = 0; i < N; i++) ck_assert(dw[i] == 0.5f * weight(i) * (xv[i] + zv[i]));
    ck_assert_int_eq(ready, 1);
    // The same tensor on both sides of one call: two uses, two parts.
    g = (gradient){.data = dw, .type = DTYPE_F32};
    tape_begin(&t, true);
    tape_backward(&t, toy_sum(&t, toy_multiply(&t, &w, &w)), 1);
    for (int i = 0; i < N; i++) ck_assert(dw[i] == weight(i) * (wv[i] + wv[i]));
    ck_assert_int_eq(ready, 2);
    ck_assert_int_eq(tape_failed(&t), STATUS_OK);
    tape_free(&t);
}
END_TEST

START_TEST(views_share) {
    float wv[N], dw[N];
    gradient g;
    tape t;
    tape_open_large(&t, false);
    tensor w = vector(wv, 3, &g, dw);
    tensor *y = toy_multiply(&t, &w, &w), *view = tape_view(&t, y, 2, (int64_t[]){1, N});
    ck_assert(view->data == y->data && view->grad == y->grad && view->rank == 2);
    tensor *loss = add(&t, toy_sum(&t, y), toy_sum(&t, view));
    tape_backward(&t, loss, 1);
    for (int i = 0; i < N; i++) ck_assert(dw[i] == 2 * weight(i) * 2 * wv[i]);
    // A view of a parameter is the parameter.
    g = (gradient){.data = dw, .type = DTYPE_F32};
    tape_begin(&t, true);
    tensor *seen = tape_view(&t, &w, 3, (int64_t[]){N, 1, 1});
    tape_backward(&t, add(&t, toy_sum(&t, seen), toy_sum(&t, &w)), 1);
    for (int i = 0; i < N; i++) ck_assert(dw[i] == 2 * weight(i));
    tape_free(&t);
}
END_TEST

// One call with two outputs: both matter, or one does and the other counts as 0, or none does.
START_TEST(several_outputs) {
    for (int used = 1; used < 4; used++) {
        float wv[N], dw[N];
        gradient g;
        tape t;
        tape_open_large(&t, false);
        memset(t.gradient_block, 0xff, 1 << 16); // NaN: what is not set to 0 shows
        tensor w = vector(wv, 3, &g, dw), *part[2], *loss = NULL;
        toy_split(&t, part, &w);
        for (int i = 0; i < 2; i++) {
            if (!(used >> i & 1)) continue;
            tensor *sum = toy_sum(&t, part[i]);
            loss = loss ? add(&t, loss, sum) : sum;
        }
        tape_backward(&t, loss, 1);
        float factor = (float)((used & 1 ? 2 : 0) + (used & 2 ? 3 : 0));
        for (int i = 0; i < N; i++) ck_assert(dw[i] == factor * weight(i));
        tape_free(&t);
    }
}
END_TEST

// A branch that does not lead to the loss is not run, but its parameters' uses end.
START_TEST(branch_without_loss) {
    float wv[N], dw[N], uv[N], du[N];
    gradient gw, gu;
    int ready = 0;
    tape t;
    tape_open_large(&t, false);
    t.parameter_ready = count_ready;
    t.ready_context = &ready;
    tensor w = vector(wv, 3, &gw, dw), u = vector(uv, 5, &gu, du);
    tensor *loss = toy_sum(&t, toy_multiply(&t, &w, &w));
    toy_multiply(&t, &w, &u);
    tape_backward(&t, loss, 1);
    for (int i = 0; i < N; i++) ck_assert(dw[i] == 2 * weight(i) * wv[i] && isnan(du[i]));
    ck_assert(!gu.written);
    ck_assert_int_eq(ready, 2);
    tape_free(&t);
}
END_TEST

START_TEST(what_is_recorded) {
    float xv[N], wv[N], dw[N];
    gradient g;
    tape t;
    tape_open_large(&t, false);
    tensor x = vector(xv, 1, NULL, NULL), w = vector(wv, 3, &g, dw);
    tensor *frozen = gelu(&t, toy_multiply(&t, &x, &x));
    ck_assert(!t.last && !frozen->grad);
    ck_assert(!tape_wants(&t, (tensor *[]){frozen, NULL}, 2));
    tensor *y = toy_multiply(&t, frozen, &w);
    ck_assert(t.last && y->grad && !frozen->grad);
    ck_assert(tape_wants(&t, (tensor *[]){NULL, y}, 2));
    int acc;
    ck_assert(!tape_gradient(&t, frozen, &acc) && !tape_gradient(&t, NULL, &acc));
    // Inference: same numbers, nothing remembered.
    float kept[N];
    memcpy(kept, y->data, sizeof kept);
    g.uses = 0;
    tape_begin(&t, false);
    y = toy_multiply(&t, gelu(&t, toy_multiply(&t, &x, &x)), &w);
    ck_assert(!t.last && !y->grad && g.uses == 0);
    ck_assert(!memcmp(kept, y->data, sizeof kept));
    tape_backward(&t, toy_sum(&t, y), 1);
    for (int i = 0; i < N; i++) ck_assert(isnan(dw[i]));
    tape_free(&t);
}
END_TEST

static void loss_of_five(tape *t) {
    tape_backward(t, tape_tensor(t, 1, (int64_t[]){5}), 1);
}

static void view_of_other_size(tape *t) {
    tape_view(t, tape_tensor(t, 2, (int64_t[]){2, 3}), 1, (int64_t[]){5});
}

// A matrix of parameters in bf16 has its gradient in f32; this op writes it in its input's type.
static void weight_where_none_is_taken(tape *t) {
    uint16_t data[6] = {0};
    float d[6];
    gradient g;
    tensor x = tensor_over(data, DTYPE_BF16, 2, (int64_t[]){2, 3});
    int accumulate;
    tensor_want(&x, &g, d);
    g.type = DTYPE_F32;
    tape_gradient(t, &x, &accumulate);
}

START_TEST(wrong_calls) {
    expect_death(weight_where_none_is_taken, "a rule writes BF16 where the gradient is F32");
    expect_death(loss_of_five, "the loss has 5 elements, expected 1");
    expect_death(view_of_other_size, "(2, 3) cannot be seen as (5)");
}
END_TEST

// --- memory --------------------------------------------------------------------------------------
enum { GUARD = 4096, MOST_BLOCKS = 4 };

static struct {
    unsigned char *block;
    size_t bytes;
} guarded[MOST_BLOCKS];

// Device memory with a guard around, so that what is written outside shows without a sanitizer.
static status guarded_take(device *d, size_t bytes, const char *what, void **out) {
    (void)d, (void)what;
    int i = 0;
    while (guarded[i].block) i++;
    guarded[i].bytes = (bytes + 63) / 64 * 64;
    guarded[i].block = aligned_alloc(64, guarded[i].bytes + 2 * GUARD);
    memset(guarded[i].block, 0xab, guarded[i].bytes + 2 * GUARD);
    *out = guarded[i].block + GUARD;
    return STATUS_OK;
}

static void guarded_release(device *d, void *block) {
    (void)d;
    for (int i = 0; i < MOST_BLOCKS && block; i++) {
        if (guarded[i].block + GUARD != block) continue;
        const unsigned char *end = (unsigned char *)block + guarded[i].bytes;
        for (int k = 0; k < GUARD; k++) ck_assert(guarded[i].block[k] == 0xab && end[k] == 0xab);
        free(guarded[i].block);
        guarded[i].block = NULL;
    }
}

static void step(tape *t, toy_model *m, int blocks) {
    toy_clear(m);
    tape_begin(t, true);
    t->training = true;
    tape_backward(t, toy_sum(t, toy_run(t, m, TOY_FLAT, blocks)), 1);
}

// The dry run counts what the real run uses, to the byte, and anything less is a failure that
// writes nothing outside of the blocks; the next, smaller step works.
START_TEST(too_little_memory) {
    static toy_model m, small;
    device real = *test_device(false), *dry;
    comm *single;
    tape t;
    real.take = guarded_take;
    real.release = guarded_release;
    ck_assert_int_eq(device_open_dry(&dry, &real), 0);
    ck_assert_int_eq(comm_open_single(&single), 0);
    toy_open(&m, false);
    toy_open(&small, false);
    for (int checkpointing = 0; checkpointing < 2; checkpointing++) {
        ck_assert_int_eq(tape_init(&t, &real, dry, single), 0);
        tape_checkpointing(&t, checkpointing);
        step(&t, &small, 2);
        tape_size least = tape_used(&t);
        step(&t, &m, 6);
        tape_size size = tape_used(&t);
        ck_assert(size.activations > least.activations);
        const tape_size tries[] = {size,
                                   {size.activations - 64, size.gradients},
                                   {size.activations, size.gradients - 64},
                                   {least.activations, size.gradients},
                                   {size.activations, least.gradients - 64},
                                   {0, 0}};
        for (int i = 0; i < 6; i++) {
            ck_assert_int_eq(tape_allocate(&t, tries[i]), 0);
            step(&t, &m, 6);
            ck_assert_int_eq(tape_failed(&t), i ? STATUS_MEMORY : STATUS_OK);
            tape_size used = tape_used(&t);
            if (i == 0) ck_assert(!memcmp(&used, &size, sizeof size));
            step(&t, &small, 2);
            bool fits =
                tries[i].activations >= least.activations && tries[i].gradients >= least.gradients;
            ck_assert_int_eq(tape_failed(&t), fits ? STATUS_OK : STATUS_MEMORY);
            for (int p = 0; fits && p < 4; p++) ck_assert(isfinite(small.grad[p][0]));
        }
        tape_free(&t);
    }
    device_close(dry);
    comm_close(single);
}
END_TEST

// Each allocation fails once: the tape says so, holds nothing, and the next try works.
START_TEST(no_memory_at_all) {
    static toy_model m;
    device *real = test_device(false), *dry;
    comm *single;
    tape t;
    ck_assert_int_eq(device_open_dry(&dry, real), 0);
    ck_assert_int_eq(comm_open_single(&single), 0);
    toy_open(&m, false);
    for (int fail = 1; fail <= 3; fail++) {
        ck_assert_int_eq(tape_init(&t, real, dry, single), 0);
        step(&t, &m, 3);
        tape_size size = tape_used(&t);
        mem_fail_at(fail);
        ck_assert_int_eq(tape_allocate(&t, size), STATUS_MEMORY);
        mem_fail_at(0);
        ck_assert(!t.activation_block && !t.gradient_block && t.device == dry);
        ck_assert_int_eq(tape_allocate(&t, size), STATUS_OK);
        step(&t, &m, 3);
        ck_assert_int_eq(tape_failed(&t), STATUS_OK);
        tape_free(&t);
    }
    device_close(dry);
    comm_close(single);
}
END_TEST

START_TEST(scratch_is_given_back) {
    tape t;
    tape_open_large(&t, false);
    size_t used = t.activations.used, mark = tape_scratch_begin(&t);
    ck_assert(!tape_scratch(&t, 0));
    char *a = tape_scratch(&t, 100), *b = tape_scratch(&t, 1);
    ck_assert(b == a + 128);
    tape_scratch_end(&t, mark);
    ck_assert_uint_eq(t.activations.used, used);
    ck_assert(tape_tensor(&t, 0, NULL)->data == a);
    tape_free(&t);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tape");
    TCase *tests = tcase_create("tape");
    tcase_add_test(tests, first_writes_later_add);
    tcase_add_test(tests, views_share);
    tcase_add_test(tests, several_outputs);
    tcase_add_test(tests, branch_without_loss);
    tcase_add_test(tests, what_is_recorded);
    tcase_add_test(tests, wrong_calls);
    tcase_add_test(tests, too_little_memory);
    tcase_add_test(tests, no_memory_at_all);
    tcase_add_test(tests, scratch_is_given_back);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
