// train/buckets.h against a communicator that writes down when which gradients are summed: in the backward pass, as
// soon as a bucket is complete, each number once.
#include "tests/models/helper_reference.h"
#include "train/buckets.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define OK(call) ck_assert_msg((call) == STATUS_OK, "%s", status_text())

enum { LAYERS = 4, WIDTH = 8, NUMBERS = WIDTH * WIDTH, MOST = 16 };

typedef struct started {
    const void *data;
    int64_t count;
    int ready; // parameters that were ready by then
} started;

static started list[MOST];
static int count, ready, finished;

static void note_start(comm *c, void *data, int64_t numbers, dtype type, device *d) {
    (void)c, (void)d;
    ck_assert_int_eq(type, DTYPE_F32);
    ck_assert_int_lt(count, MOST);
    list[count++] = (started){data, numbers, ready};
}

static void note_finish(comm *c, device *d) {
    (void)c, (void)d;
    finished++;
}

static void note_ready(void *context, gradient *g) {
    ready++;
    buckets_ready(context, g);
}

// LAYERS square matrices behind each other, the last of which is not used where SPARE.
typedef struct fixture {
    reference_model m;
    buckets *buckets;
    linear_layer layer[LAYERS];
    bool spare;
} fixture;

// A bucket holds LEAST numbers or more.
static void layers_open(fixture *f, int least, bool spare) {
    memset(f, 0, sizeof *f);
    f->spare = spare;
    reference_begin(&f->m, reference_device(false));
    for (int i = 0; i < LAYERS; i++) {
        const char name[] = {(char)('a' + i), 0};
        f->layer[i] = linear_make(&f->m.params, name, WIDTH, WIDTH, false, (init){INIT_ZERO, 0});
    }
    OK(params_allocate(&f->m.params));
    reference_fill(&f->m);
    OK(buckets_open(&f->buckets, &f->m.params, &f->m.tape, (size_t)least * sizeof(float)));
}

static void layers_close(fixture *f) {
    buckets_close(f->buckets);
    reference_close(&f->m);
}

// Forward and backward.
static void step(fixture *f) {
    static float numbers[WIDTH] = {1, 2, 3};
    static int32_t wanted[] = {2};
    tape *t = &f->m.tape;
    tensor *x = tape_tensor(t, 2, (int64_t[]){1, WIDTH});
    tensor target = {.data = wanted, .type = DTYPE_I32, .rank = 1, .dim = {1}};
    t->device->copy(t->device, x->data, numbers, sizeof numbers);
    for (int i = 0; i < LAYERS - f->spare; i++) x = linear_run(t, &f->layer[i], x);
    tape_backward(t, cross_entropy(t, x, &target, 0, 1), 1);
}

// The same with a dry run first, and sums over what takes notes.
static void step_noted(fixture *f) {
    static comm notes = {
        .name = "notes", .size = 2, .all_reduce_start = note_start, .all_reduce_finish = note_finish};
    tape *t = &f->m.tape;
    for (int real = 0; real < 2; real++) {
        tape_begin(t, true);
        params_begin(&f->m.params);
        t->comm = &notes;
        t->parameter_ready = note_ready;
        t->ready_context = f->buckets;
        buckets_begin(f->buckets);
        count = ready = finished = 0;
        step(f);
        if (!real) OK(tape_allocate(t, tape_used(t)));
    }
    OK(tape_failed(t));
}

static void expect_start(const fixture *f, int i, int first_layer, int layers, int at) {
    const float *gradients = f->m.params.gradients;
    ck_assert_msg(list[i].data == gradients + first_layer * NUMBERS, "sum %d begins elsewhere", i);
    ck_assert_int_eq(list[i].count, layers * NUMBERS);
    ck_assert_int_eq(list[i].ready, at);
}

// From the last layer to the first, each while those before it still wait.
START_TEST(in_the_backward_pass) {
    fixture f;
    layers_open(&f, NUMBERS, false);
    step_noted(&f);
    ck_assert_int_eq(count, LAYERS);
    for (int i = 0; i < LAYERS; i++) expect_start(&f, i, LAYERS - 1 - i, 1, i + 1);
    ck_assert_int_eq(finished, 0);
    const optim_slice all = {0, LAYERS * NUMBERS, 1, 0};
    buckets_finish(f.buckets, &all, 1);
    ck_assert_int_eq(count, LAYERS); // nothing was left
    ck_assert_int_eq(finished, 1);
    layers_close(&f);
}
END_TEST

// A bucket waits for all of its parameters.
START_TEST(neighbours_together) {
    fixture f;
    layers_open(&f, 2 * NUMBERS, false);
    step_noted(&f);
    ck_assert_int_eq(count, 2);
    expect_start(&f, 0, 2, 2, 2);
    expect_start(&f, 1, 0, 2, 4);
    layers_close(&f);
}
END_TEST

// One that holds a parameter which the step does not use goes at the end, with what the step has touched of it.
START_TEST(unused_at_the_end) {
    fixture f;
    layers_open(&f, 2 * NUMBERS, true);
    step_noted(&f);
    ck_assert_int_eq(count, 1);
    expect_start(&f, 0, 0, 2, 3);
    const optim_slice touched = {0, 3 * NUMBERS, 1, 0};
    buckets_finish(f.buckets, &touched, 1);
    ck_assert_int_eq(count, 2);
    expect_start(&f, 1, 2, 1, 3);
    layers_close(&f);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("buckets");
    TCase *tests = tcase_create("buckets");
    tcase_add_test(tests, in_the_backward_pass);
    tcase_add_test(tests, neighbours_together);
    tcase_add_test(tests, unused_at_the_end);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
