// The optimizer's CUDA kernels, run by the host shim, against the CPU's on equal inputs: whole steps of both
// conventions, slices with gaps, steps that are left out, the loss scale, narrow copies; and the same bits with
// threads and blocks in reverse order.
#include "core/rng.h"
#include "optim/adamw.h"
#include "tests/shim/shim.h"

#include <check.h>
#include <math.h>
#include <string.h>

enum { N = 3 * OPTIM_SUM_BLOCK + 1237, STEPS = 4 };

typedef struct trial {
    device *d;
    adamw o;
    float *params, *grads; // (N)
} trial;

static trial trial_open(device *d, adamw_convention convention, double max_norm) {
    trial r = {.d = d};
    adamw_options options = adamw_defaults(convention);
    options.max_norm = max_norm;
    ck_assert_int_eq(adamw_init(&r.o, d, N, options), STATUS_OK);
    ck_assert_int_eq(mem_new(&r.params, N, "parameters"), STATUS_OK);
    ck_assert_int_eq(mem_new(&r.grads, N, "gradients"), STATUS_OK);
    for (int64_t i = 0; i < N; i++) r.params[i] = rng_normal((rng_key){1, 2, 0}, 0, (uint64_t)i);
    return r;
}

// Slices that begin at odd places, with different settings and a gap.
static void trial_step(trial *r, uint32_t step, double factor) {
    static const optim_slice slices[] = {{1, 4095, 1, 0.1}, {4096, 2001, 1, 0.1}, {6500, 3, 0.5, 0},
                                         {6503, N - 6503, 2, 0.02}};
    for (int64_t i = 0; i < N; i++)
        r->grads[i] = rng_normal((rng_key){1, 3, step}, 0, (uint64_t)i) * (float)factor;
    adamw_set_lr(&r->o, r->d, 1e-2 / (step + 1));
    adamw_step(&r->o, r->d, r->params, r->grads, slices, 4);
}

static void trial_close(trial *r) {
    mem_free(r->params);
    mem_free(r->grads);
    adamw_free(&r->o, r->d);
    device_close(r->d);
}

static device *open_cpu(void) {
    device *d = NULL;
    ck_assert_int_eq(device_open_cpu(&d, 2), STATUS_OK);
    d->optim = &optim_kernels_cpu;
    return d;
}

static device *open_shim(void) {
    device *d = NULL;
    ck_assert_int_eq(device_open_shim(&d, DTYPE_F32), STATUS_OK);
    return d;
}

static void expect_near(const void *a, const void *b, double tolerance, const char *what) {
    const float *x = a, *y = b;
    double error = 0, size = 0;
    for (int64_t i = 0; i < N; i++) {
        error += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        size += (double)y[i] * (double)y[i];
    }
    ck_assert_msg(size > 0 && sqrt(error) <= tolerance * sqrt(size), "%s is off by %g", what, sqrt(error / size));
}

START_TEST(steps_equal_the_cpus) {
    static const double max_norms[] = {0, 0.5, 1e6};
    trial a = trial_open(open_shim(), (adamw_convention)(_i % 2), max_norms[_i / 2]);
    trial b = trial_open(open_cpu(), (adamw_convention)(_i % 2), max_norms[_i / 2]);
    for (uint32_t step = 0; step < STEPS; step++) {
        trial_step(&a, step, 1);
        trial_step(&b, step, 1);
        ck_assert_double_le(fabs(adamw_norm(&a.o, a.d) / adamw_norm(&b.o, b.d) - 1), 1e-12);
    }
    expect_near(a.params, b.params, 1e-7, "a parameter");
    expect_near(a.o.m, b.o.m, 1e-6, "a first moment");
    expect_near(a.o.v, b.o.v, 1e-6, "a second moment");
    ck_assert_int_eq(adamw_steps(&a.o, a.d), STEPS);
    ck_assert(a.params[0] == rng_normal((rng_key){1, 2, 0}, 0, 0)); // outside of all slices
    trial_close(&a);
    trial_close(&b);
}
END_TEST

START_TEST(order_changes_no_bit) {
    trial a = trial_open(open_shim(), ADAMW_TORCH, 0.5), b = trial_open(open_shim(), ADAMW_TORCH, 0.5);
    for (uint32_t step = 0; step < 2; step++) trial_step(&a, step, 1);
    shim_reverse(true);
    for (uint32_t step = 0; step < 2; step++) trial_step(&b, step, 1);
    shim_reverse(false);
    ck_assert_mem_eq(a.params, b.params, N * sizeof(float));
    ck_assert_mem_eq(a.o.v, b.o.v, N * sizeof(float));
    ck_assert_mem_eq(&a.o.progress->norm, &b.o.progress->norm, sizeof(double));
    trial_close(&a);
    trial_close(&b);
}
END_TEST

// Also steps whose norm is not finite: they change nothing but the scale.
START_TEST(loss_scale_follows_the_rule) {
    trial a = trial_open(open_shim(), ADAMW_TORCH, 1);
    scaler rule = {.scale = 1024, .growth = 2, .backoff = 0.5, .interval = 2};
    float *before;
    ck_assert_int_eq(mem_new(&before, N, "a copy"), STATUS_OK);
    adamw_set_scaler(&a.o, a.d, rule);
    for (uint32_t step = 0; step < 7; step++) {
        bool finite = step != 3;
        memcpy(before, a.params, N * sizeof *before);
        trial_step(&a, step, finite ? rule.scale : (double)INFINITY);
        scaler_update(&rule, finite);
        scaler got = adamw_scaler(&a.o, a.d);
        ck_assert_mem_eq(&got, &rule, sizeof rule);
        ck_assert(a.o.progress->seed == (float)rule.scale);
        ck_assert_int_eq(!memcmp(before, a.params, N * sizeof *before), !finite);
    }
    ck_assert_int_eq(adamw_steps(&a.o, a.d), 6);
    mem_free(before);
    trial_close(&a);
}
END_TEST

// Below the smallest and above the largest scale there is none: the rule's limits.
START_TEST(loss_scale_stays_in_range) {
    static const scaler ends[] = {{.scale = 0x1p-126, .growth = 2, .backoff = 0.5, .interval = 1},
                                  {.scale = 0x1p127, .growth = 2, .backoff = 0.5, .interval = 1}};
    for (int i = 0; i < 2; i++) {
        trial a = trial_open(open_shim(), ADAMW_TORCH, 1);
        scaler rule = ends[i];
        adamw_set_scaler(&a.o, a.d, rule);
        trial_step(&a, 0, i ? 1 : (double)NAN);
        scaler_update(&rule, i);
        ck_assert(adamw_scaler(&a.o, a.d).scale == rule.scale && rule.scale == ends[i].scale);
        trial_close(&a);
    }
}
END_TEST

START_TEST(narrow_rounds_each_element) {
    enum { COUNT = 1031 };
    device *d = open_shim();
    float *wide;
    uint16_t *narrow;
    ck_assert_int_eq(mem_new(&wide, COUNT + 1, "numbers"), STATUS_OK);
    ck_assert_int_eq(mem_new(&narrow, COUNT + 2, "narrow numbers"), STATUS_OK);
    for (int i = 0; i <= COUNT; i++)
        wide[i] = rng_normal((rng_key){1, 2, 3}, 0, (uint64_t)i) * (i % 3 ? 1e-3f : 1e3f);
    for (int shift = 0; shift < 2; shift++) // the second time not aligned
        for (int k = 0; k < 2; k++) {
            narrow[shift + COUNT] = 0xabcd;
            d->optim->narrow(narrow + shift, wide + shift, COUNT, k ? DTYPE_F16 : DTYPE_BF16, d->stream);
            for (int i = 0; i < COUNT; i++)
                ck_assert_int_eq(narrow[shift + i],
                                 k ? f16_from_float(wide[shift + i]) : bf16_from_float(wide[shift + i]));
            ck_assert_int_eq(narrow[shift + COUNT], 0xabcd);
        }
    mem_free(wide);
    mem_free(narrow);
    device_close(d);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("adamw_cuda");
    TCase *tests = tcase_create("adamw_cuda");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, steps_equal_the_cpus, 0, 6);
    tcase_add_test(tests, order_changes_no_bit);
    tcase_add_test(tests, loss_scale_follows_the_rule);
    tcase_add_test(tests, loss_scale_stays_in_range);
    tcase_add_test(tests, narrow_rounds_each_element);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
