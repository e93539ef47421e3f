// Recorded steps of the CUDA device (core/device.h, graph_begin): a replay gives the bits of the launched step,
// reads what lies in its fixed places when it is replayed, and draws by the step it is told. Needs a GPU.
#include "tests/models/helper_reference.h"
#include "tests/shim/shim.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 6, CLASSES = 14 };

// What a step reads lies outside of its tape.
typedef struct fixture {
    reference_model m;
    tensor image, target, weight, mask, seed;
    tensor *loss;
} fixture;

static void place(device *d, tensor *x, dtype type, int rank, const int64_t *dim) {
    *x = (tensor){.type = type, .rank = rank};
    memcpy(x->dim, dim, (size_t)rank * sizeof *dim);
    if (d->take(d, tensor_bytes(x), "a test", &x->data)) die("%s", status_text());
}

static void put(device *d, const tensor *x, const char *name, bool whole) {
    char *raw;
    int64_t count = tensor_count(x);
    if (mem_take((void **)&raw, (size_t)count, dtype_size(x->type), name)) die("%s", status_text());
    for (int64_t i = 0; i < count; i++) {
        double u = reference_uniform(name, i);
        if (x->type == DTYPE_U8)
            raw[i] = u < 0.4;
        else
            element_put(raw, i, whole ? 1 : u, x->type);
    }
    d->upload(d, x->data, raw, tensor_bytes(x));
    mem_free(raw);
}

static void fixture_open(fixture *f, dtype type) {
    device *d = NULL;
    int64_t S = reference_small.encoder.image_size, C = CLASSES;
    if (device_open_shim(&d, type)) die("%s", status_text());
    reference_open_on(&f->m, d, &reference_small);
    place(d, &f->image, type, 4, (int64_t[]){BATCH, S, S, 1});
    place(d, &f->target, DTYPE_U8, 2, (int64_t[]){BATCH, C});
    place(d, &f->weight, DTYPE_F32, 1, &C);
    place(d, &f->mask, DTYPE_F32, 1, &C);
    place(d, &f->seed, DTYPE_F32, 1, (int64_t[]){1});
    put(d, &f->target, "target", false);
    put(d, &f->weight, "weight", false);
    put(d, &f->mask, "mask", true);
    put(d, &f->seed, "seed", true);
    f->m.tape.training = true;
}

static void fixture_close(fixture *f) {
    device *d = f->m.device;
    d->release(d, f->image.data);
    d->release(d, f->target.data);
    d->release(d, f->weight.data);
    d->release(d, f->mask.data);
    d->release(d, f->seed.data);
    reference_close(&f->m);
}

static void launch_step(fixture *f) {
    tape *t = &f->m.tape;
    tape_begin(t, true);
    params_begin(&f->m.params);
    tensor *logits = classifier_logits(t, &f->m.model, &f->image);
    f->loss = sigmoid_cross_entropy(t, logits, &f->target, &f->weight, &f->mask, BATCH * CLASSES);
    if (f->loss->type != DTYPE_F32) die("a loss in %s", dtype_name(f->loss->type));
    tape_backward_from(t, f->loss, f->seed.data);
}

// The loss and all gradients, as they lie in memory.
static char *result(fixture *f, size_t *size) {
    device *d = f->m.device;
    params *p = &f->m.params;
    char *out;
    size_t loss = tensor_bytes(f->loss), gradients = (size_t)p->trainable * dtype_size(dtype_wide(d->type));
    *size = loss + gradients;
    if (mem_take((void **)&out, *size, 1, "a result")) die("%s", status_text());
    d->download(d, out, f->loss->data, loss);
    d->download(d, out + loss, p->gradients, gradients);
    if (tape_failed(&f->m.tape)) die("%s", status_text());
    return out;
}

static void expect_same(const char *a, const char *b, size_t size, bool same, const char *what) {
    bool zero = true;
    for (size_t i = 0; i < size && zero; i++) zero = !a[i];
    ck_assert_msg(!zero, "%s: all zero", what);
    ck_assert_msg(!memcmp(a, b, size) == same, "%s: %s", what, same ? "differs" : "is the same");
}

static const dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};

START_TEST(replay_is_the_step) {
    fixture f = {0};
    size_t size;
    device_graph *graph = NULL;
    fixture_open(&f, types[_i]);
    device *d = f.m.device;
    launch_step(&f); // the dry run
    ck_assert_int_eq(tape_allocate(&f.m.tape, tape_used(&f.m.tape)), STATUS_OK);

    put(d, &f.image, "one", false);
    launch_step(&f); // libraries choose their algorithms
    char *one = result(&f, &size);
    put(d, &f.image, "two", false);
    launch_step(&f);
    char *two = result(&f, &size);
    expect_same(one, two, size, false, "another image");

    d->graph_begin(d);
    launch_step(&f);
    ck_assert_msg(!d->graph_end(d, &graph), "%s", status_text());
    static const char *const names[] = {"one", "two", "one"};
    for (int i = 0; i < 3; i++) {
        put(d, &f.image, names[i], false);
        d->zero(d, f.m.params.gradients, (size_t)f.m.params.trainable * dtype_size(dtype_wide(d->type)));
        d->graph_run(d, graph);
        char *replayed = result(&f, &size);
        expect_same(i % 2 ? two : one, replayed, size, true, names[i]);
        mem_free(replayed);
    }
    d->graph_close(d, graph);
    mem_free(one);
    mem_free(two);
    fixture_close(&f);
}
END_TEST

// --- draws ---------------------------------------------------------------------------------------------
enum { DROPPED = 4096 };

static tensor *drop(tape *t, tensor *x, uint32_t step) {
    tape_begin(t, false);
    t->training = true;
    t->seed = 11;
    t->step = step;
    return dropout(t, x, 0.3f);
}

static void read_numbers(device *d, float *out, const tensor *x) {
    d->download(d, out, x->data, DROPPED * sizeof *out);
}

START_TEST(replay_draws_by_its_step) {
    static float seven[DROPPED], eight[DROPPED], replayed[DROPPED];
    device *d = NULL, *dry = NULL;
    comm *alone = NULL;
    device_graph *graph = NULL;
    tape t;
    tensor x, *y;
    ck_assert_msg(!device_open_shim(&d, DTYPE_F32), "%s", status_text());
    ck_assert(!device_open_dry(&dry, d) && !comm_open_single(&alone) && !tape_init(&t, d, dry, alone));
    place(d, &x, DTYPE_F32, 2, (int64_t[]){64, DROPPED / 64});
    put(d, &x, "dropped", true);
    drop(&t, &x, 0);
    ck_assert_int_eq(tape_allocate(&t, tape_used(&t)), STATUS_OK);
    read_numbers(d, seven, drop(&t, &x, 7));
    read_numbers(d, eight, drop(&t, &x, 8));
    expect_same((char *)seven, (char *)eight, sizeof seven, false, "another step's draws");

    d->graph_begin(d);
    y = drop(&t, &x, 3); // what it was recorded with must not matter
    ck_assert_msg(!d->graph_end(d, &graph), "%s", status_text());
    for (uint32_t step = 7; step <= 8; step++) {
        d->graph_step(d, step, 0);
        d->graph_run(d, graph);
        read_numbers(d, replayed, y);
        expect_same(step == 7 ? (char *)seven : (char *)eight, (char *)replayed, sizeof replayed, true, "draws");
    }
    ck_assert_msg(!tape_failed(&t), "%s", status_text());
    d->graph_close(d, graph);
    d->release(d, x.data);
    tape_free(&t);
    comm_close(alone);
    device_close(dry);
    device_close(d);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("recorded steps");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, replay_is_the_step, 0, sizeof types / sizeof *types);
    tcase_add_test(all, replay_draws_by_its_step);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
