// AdamW against a plain re-implementation in double and against torch and transformers; clipping,
// steps that are skipped, independence of threads, resuming, failures.
#include "core/rng.h"
#include "optim/adamw.h"
#include "tests/golden_text.h"
#include "tests/oracle/oracle.h"

#include <check.h>
#include <math.h>
#include <omp.h>

// --- a device, blocks of either type -------------------------------------------------------------

static device *open_device(dtype type, int threads) {
    device *d;
    if (device_open_cpu(&d, threads)) die("%s", status_text());
    d->type = type;
    d->optim = &optim_kernels_cpu;
    return d;
}

static void *block_new(dtype type, int64_t count) {
    void *block;
    if (mem_take(&block, (size_t)count, dtype_size(type), "a block")) die("%s", status_text());
    return block;
}

static double block_get(const void *block, dtype type, int64_t i) {
    return type == DTYPE_F32 ? (double)((const float *)block)[i] : ((const double *)block)[i];
}

static void block_set(void *block, dtype type, int64_t i, double value) {
    if (type == DTYPE_F32)
        ((float *)block)[i] = (float)value;
    else
        ((double *)block)[i] = value;
}

// A number that f32 holds exactly, so that both types start from the same.
static double draw(const char *site, uint32_t step, int64_t i) {
    return (double)rng_normal((rng_key){11, rng_site(site), step}, 0, (uint64_t)i);
}

// ||a - b|| <= tol ||b|| and b is not all zero; NaN fails.
static void expect_near(const void *a, dtype type, const double *b, int64_t count, double tol,
                        const char *what) {
    double error = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        double e = block_get(a, type, i) - b[i];
        error += e * e, size += b[i] * b[i];
    }
    ck_assert_msg(size > 0, "%s: the reference is zero", what);
    ck_assert_msg(sqrt(error) <= tol * sqrt(size), "%s: error %g of %g, %s, %lld elements", what,
                  sqrt(error / size), tol, dtype_name(type), (long long)count);
}

// --- the plain form ------------------------------------------------------------------------------

typedef struct plain {
    double *p, *m, *v;
    int t;
} plain;

static plain plain_new(int64_t n) {
    plain o = {block_new(DTYPE_F64, n), block_new(DTYPE_F64, n), block_new(DTYPE_F64, n), 0};
    return o;
}

static void plain_free(plain *o) {
    mem_free(o->p);
    mem_free(o->m);
    mem_free(o->v);
}

static double plain_step(plain *o, const void *grads, dtype type, const optim_slice *slices, int n,
                         adamw_options a, double lr) {
    double sum = 0;
    for (int k = 0; k < n; k++)
        for (int64_t i = slices[k].offset; i < slices[k].offset + slices[k].count; i++)
            sum += pow(block_get(grads, type, i), 2);
    double clip = 1;
    if (a.max_norm != 0 && a.max_norm / (sqrt(sum) + 1e-6) < 1)
        clip = a.max_norm / (sqrt(sum) + 1e-6);
    o->t++;
    double c1 = 1 - pow(a.beta1, o->t), c2 = 1 - pow(a.beta2, o->t);
    for (int k = 0; k < n; k++)
        for (int64_t i = slices[k].offset; i < slices[k].offset + slices[k].count; i++) {
            double g = block_get(grads, type, i) * clip, *p = &o->p[i];
            double rate = lr * slices[k].lr_scale, decay = slices[k].weight_decay;
            o->m[i] = a.beta1 * o->m[i] + (1 - a.beta1) * g;
            o->v[i] = a.beta2 * o->v[i] + (1 - a.beta2) * g * g;
            if (a.convention == ADAMW_TORCH) {
                *p *= 1 - rate * decay;
                *p -= rate * (o->m[i] / c1) / (sqrt(o->v[i] / c2) + a.eps);
            } else {
                *p -= rate * sqrt(c2) / c1 * o->m[i] / (sqrt(o->v[i]) + a.eps);
                *p -= rate * decay * *p;
            }
        }
    return sqrt(sum);
}

// Several settings, two slices that touch and are alike, and elements that no slice covers.
static int slices_make(optim_slice slices[4], int64_t n) {
    if (n < 7) {
        slices[0] = (optim_slice){0, n, 1, 0.1};
        return 1;
    }
    slices[0] = (optim_slice){0, n / 7, 1, 0.1};
    slices[1] = (optim_slice){n / 7, n / 3 - n / 7, 1, 0.1};
    slices[2] = (optim_slice){n / 3, n / 2 - n / 3, 0.5, 0.1}; // differs in lr alone
    slices[3] = (optim_slice){n / 2 + 1, n - n / 2 - 2, 2, 0.3};
    return 4;
}

static bool slices_cover(const optim_slice *slices, int n, int64_t i) {
    for (int k = 0; k < n; k++)
        if (i >= slices[k].offset && i < slices[k].offset + slices[k].count) return true;
    return false;
}

static void compare_with_plain(int64_t n, dtype type, adamw_options options) {
    enum { STEPS = 50 };
    const double tol = type == DTYPE_F32 ? 2e-6 : 1e-12,
                 update_tol = type == DTYPE_F32 ? 3e-5 : 1e-11;
    optim_slice slices[4];
    adamw o;
    device *d = open_device(type, 0);
    const int count = slices_make(slices, n);
    void *params = block_new(type, n), *grads = block_new(type, n);
    plain ref = plain_new(n);
    ck_assert_int_eq(adamw_init(&o, d, n, options), STATUS_OK);
    for (int64_t i = 0; i < n; i++) block_set(params, type, i, ref.p[i] = draw("start", 0, i));
    for (uint32_t step = 0; step < STEPS; step++) {
        for (int64_t i = 0; i < n; i++) block_set(grads, type, i, draw("grad", step, i));
        double lr = 1e-2 * (1 - step / 100.0);
        double norm = plain_step(&ref, grads, type, slices, count, options, lr);
        adamw_set_lr(&o, d, lr);
        adamw_step(&o, d, params, grads, slices, count);
        ck_assert(fabs(adamw_norm(&o, d) - norm) <= 1e-12 * norm);
    }
    ck_assert_int_eq(adamw_steps(&o, d), STEPS);
    expect_near(params, type, ref.p, n, tol, "parameters");
    expect_near(o.m, type, ref.m, n, tol, "m");
    expect_near(o.v, type, ref.v, n, tol, "v");
    for (int64_t i = 0; i < n; i++) {
        double start = draw("start", 0, i);
        if (!slices_cover(slices, count, i)) {
            ck_assert(block_get(params, type, i) == start);
            ck_assert(block_get(o.m, type, i) == 0 && block_get(o.v, type, i) == 0);
        }
        block_set(params, type, i, block_get(params, type, i) - start);
        ref.p[i] -= start;
    }
    expect_near(params, type, ref.p, n, update_tol, "updates");
    mem_free(params);
    mem_free(grads);
    plain_free(&ref);
    adamw_free(&o, d);
    device_close(d);
}

START_TEST(adamw_equals_plain_form) {
    static const int64_t sizes[] = {1, 7, 4096, 4097, 100003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int which = 0; which < 4; which++) {
            adamw_options options = adamw_defaults(which & 1 ? ADAMW_TRANSFORMERS : ADAMW_TORCH);
            if (which & 2) options.eps = 1e-2, options.max_norm = 0.9 * sqrt((double)sizes[i]);
            compare_with_plain(sizes[i], DTYPE_F32, options);
            compare_with_plain(sizes[i], DTYPE_F64, options);
        }
}
END_TEST

// --- golden values -------------------------------------------------------------------------------

typedef struct golden_case {
    const char *name;
    adamw_options options;
    double decay[2], factor;
} golden_case;

// As CASES in scripts/golden/adamw.py.
static const golden_case golden_cases[] = {
    {"torch", {0.9, 0.999, 1e-8, ADAMW_TORCH, 0}, {0.05, 0}, 1},
    {"torch_clip", {0.9, 0.999, 1e-8, ADAMW_TORCH, 1}, {0, 0}, 1},
    {"torch_groups", {0.8, 0.95, 1e-6, ADAMW_TORCH, 2.5}, {0.1, 0.3}, 0.25},
    {"transformers", {0.9, 0.999, 1e-6, ADAMW_TRANSFORMERS, 0}, {0, 0}, 1},
    {"transformers_decay", {0.9, 0.999, 1e-3, ADAMW_TRANSFORMERS, 0.7}, {0.3, 0.01}, 2},
};

// The golden values of NAME against BLOCK, both less START if that is not NULL.
static void expect_golden(const buffer *text, const char *prefix, const char *name,
                          const void *block, dtype type, const golden_values *start, double tol) {
    golden_values want = golden_part(text, prefix, name);
    void *got = block_new(type, (int64_t)want.count);
    for (size_t i = 0; i < want.count; i++) {
        double base = start ? start->value[i] : 0;
        block_set(got, type, (int64_t)i, block_get(block, type, (int64_t)i) - base);
        want.value[i] -= base;
    }
    expect_near(got, type, want.value, (int64_t)want.count, tol, name);
    mem_free(got);
    mem_free(want.value);
}

static void compare_with_golden(const buffer *text, const golden_case *c, dtype type, bool oracle) {
    // f32: both round at each step, in not quite the same places.
    const double tol = type == DTYPE_F32 ? 1e-6 : 1e-13,
                 update_tol = type == DTYPE_F32 ? 2e-5 : 1e-12;
    char prefix[64], name[64];
    golden_values start = golden_find(text, "start"), rates = golden_find(text, "lr");
    golden_values sizes = golden_find(text, "sizes");
    const int64_t a = (int64_t)sizes.value[0], n = (int64_t)start.count;
    const optim_slice slices[2] = {{0, a, 1, c->decay[0]}, {a, n - a, c->factor, c->decay[1]}};
    void *params = block_new(type, n), *grads = block_new(type, n);
    device *d = open_device(type, 0);
    adamw o;
    if (oracle) {
        device_close(d);
        ck_assert_int_eq(device_open_oracle(&d), STATUS_OK);
    }
    snprintf(prefix, sizeof prefix, "%s.%s", c->name, type == DTYPE_F32 ? "f32" : "f64");
    golden_values norms = golden_part(text, prefix, "norm");
    ck_assert_int_eq(adamw_init(&o, d, n, c->options), STATUS_OK);
    for (int64_t i = 0; i < n; i++) block_set(params, type, i, start.value[i]);
    for (size_t step = 0; step < rates.count; step++) {
        snprintf(name, sizeof name, "grad.%zu", step);
        golden_values grad = golden_find(text, name);
        for (int64_t i = 0; i < n; i++) block_set(grads, type, i, grad.value[i]);
        mem_free(grad.value);
        adamw_set_lr(&o, d, rates.value[step]);
        adamw_step(&o, d, params, grads, slices, 2);
        ck_assert(fabs(adamw_norm(&o, d) - norms.value[step]) <= tol * norms.value[step]);
        if (step != 0 && step != 1 && step != 9 && step != rates.count - 1) continue;
        snprintf(name, sizeof name, "param.%zu", step);
        expect_golden(text, prefix, name, params, type, NULL, tol);
        // The first update has lr 0 and moves nothing.
        if (step) expect_golden(text, prefix, name, params, type, &start, update_tol);
    }
    expect_golden(text, prefix, "m", o.m, type, NULL, tol);
    expect_golden(text, prefix, "v", o.v, type, NULL, tol);
    adamw_free(&o, d);
    device_close(d);
    mem_free(params);
    mem_free(grads);
    mem_free(norms.value);
    mem_free(sizes.value);
    mem_free(rates.value);
    mem_free(start.value);
}

START_TEST(adamw_equals_torch_and_transformers) {
    buffer text = golden_open(TEST_DATA "/adamw.txt");
    for (size_t i = 0; i < sizeof golden_cases / sizeof *golden_cases; i++) {
        compare_with_golden(&text, &golden_cases[i], DTYPE_F32, false);
        compare_with_golden(&text, &golden_cases[i], DTYPE_F64, false);
        compare_with_golden(&text, &golden_cases[i], DTYPE_F64, true);
    }
    buffer_free(&text);
}
END_TEST

// --- behaviour -----------------------------------------------------------------------------------

// A run of STEPS steps over N elements; gradients are drawn by step, times FACTOR.
typedef struct trial {
    device *d;
    adamw o;
    dtype type;
    int64_t n;
    void *params, *grads;
} trial;

static trial trial_open(dtype type, int64_t n, int threads, double max_norm) {
    adamw_options options = adamw_defaults(ADAMW_TORCH);
    options.max_norm = max_norm;
    trial r = {.d = open_device(type, threads), .type = type, .n = n};
    ck_assert_int_eq(adamw_init(&r.o, r.d, n, options), STATUS_OK);
    r.params = block_new(type, n);
    r.grads = block_new(type, n);
    for (int64_t i = 0; i < n; i++) block_set(r.params, type, i, draw("start", 0, i));
    return r;
}

static void trial_step(trial *r, uint32_t step, double factor) {
    optim_slice slices[4];
    int count = slices_make(slices, r->n);
    for (int64_t i = 0; i < r->n; i++)
        block_set(r->grads, r->type, i, draw("grad", step, i) * factor);
    adamw_set_lr(&r->o, r->d, 1e-2);
    adamw_step(&r->o, r->d, r->params, r->grads, slices, count);
}

static void trial_close(trial *r) {
    mem_free(r->params);
    mem_free(r->grads);
    adamw_free(&r->o, r->d);
    device_close(r->d);
}

static void expect_same_bits(const trial *a, const trial *b) {
    const size_t bytes = (size_t)a->n * dtype_size(a->type);
    ck_assert_mem_eq(a->params, b->params, bytes);
    ck_assert_mem_eq(a->o.m, b->o.m, bytes);
    ck_assert_mem_eq(a->o.v, b->o.v, bytes);
    ck_assert_mem_eq(&a->o.progress->norm, &b->o.progress->norm, sizeof(double));
    ck_assert_int_eq(a->o.progress->steps, b->o.progress->steps);
}

START_TEST(threads_change_no_bit) {
    for (int type = DTYPE_F32; type <= DTYPE_F64; type++)
        for (int threads = 2; threads <= 5; threads += 3) {
            trial one = trial_open((dtype)type, 100003, 1, 0.5);
            for (uint32_t step = 0; step < 3; step++) trial_step(&one, step, 1);
            trial many = trial_open((dtype)type, 100003, threads, 0.5);
            ck_assert_int_eq(omp_get_max_threads(), threads);
            for (uint32_t step = 0; step < 3; step++) trial_step(&many, step, 1);
            expect_same_bits(&one, &many);
            trial_close(&one);
            trial_close(&many);
        }
}
END_TEST

// Integers: their squares' sum is exact in any order, so nothing may be lost or counted twice.
START_TEST(sum_squares_counts_each_element_once) {
    enum { N = 3 * OPTIM_SUM_BLOCK + 123 };
    static const int64_t ranges[][2] = {{0, N},       {1, 1},      {4095, 2},
                                        {4096, 4096}, {17, 12000}, {N - 1, 1}};
    for (int type = DTYPE_F32; type <= DTYPE_F64; type++) {
        device *d = open_device((dtype)type, 2);
        void *grads = block_new((dtype)type, N);
        for (int64_t i = 0; i < N; i++) block_set(grads, (dtype)type, i, (double)(i % 13 - 6));
        for (size_t k = 0; k < sizeof ranges / sizeof *ranges; k++) {
            double partial[4] = {0.5, 0.5, 0.5, 0.5}, want[4] = {0.5, 0.5, 0.5, 0.5};
            int64_t offset = ranges[k][0], count = ranges[k][1];
            for (int64_t i = offset; i < offset + count; i++)
                want[i / OPTIM_SUM_BLOCK] += (double)((i % 13 - 6) * (i % 13 - 6));
            d->optim->sum_squares(partial, grads, offset, count, (dtype)type, d->stream);
            for (int b = 0; b < 4; b++) ck_assert(partial[b] == want[b]);
        }
        mem_free(grads);
        device_close(d);
    }
}
END_TEST

START_TEST(update_is_skipped_when_norm_is_not_finite) {
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int type = DTYPE_F32; type <= DTYPE_F64; type++)
        for (int k = 0; k < 3; k++) {
            const int64_t n = 9001;
            optim_slice all = {0, n, 1, 0.1};
            trial a = trial_open((dtype)type, n, 2, k == 1 ? 0 : 1),
                  b = trial_open((dtype)type, n, 2, k == 1 ? 0 : 1);
            trial_step(&a, 0, 1);
            trial_step(&b, 0, 1);
            block_set(a.grads, (dtype)type, 8000, bad[k]);
            adamw_set_lr(&a.o, a.d, 1e-2);
            adamw_step(&a.o, a.d, a.params, a.grads, &all, 1);
            ck_assert(!isfinite(adamw_norm(&a.o, a.d)));
            ck_assert_int_eq(adamw_steps(&a.o, a.d), 1);
            a.o.progress->norm = b.o.progress->norm;
            expect_same_bits(&a, &b);
            // And training goes on as if that step had not been.
            trial_step(&a, 1, 1);
            trial_step(&b, 1, 1);
            ck_assert(isfinite(adamw_norm(&a.o, a.d)));
            expect_same_bits(&a, &b);
            trial_close(&a);
            trial_close(&b);
        }
}
END_TEST

// A bad number outside all slices belongs to a parameter without gradient: it must not be read.
START_TEST(gaps_do_not_count) {
    trial a = trial_open(DTYPE_F32, 101, 2, 0);
    trial_step(&a, 0, 1);
    optim_slice slices[2] = {{0, 50, 1, 0}, {51, 50, 1, 0}};
    block_set(a.grads, DTYPE_F32, 50, NAN);
    adamw_set_lr(&a.o, a.d, 1e-2);
    adamw_step(&a.o, a.d, a.params, a.grads, slices, 2);
    ck_assert(isfinite(adamw_norm(&a.o, a.d)));
    ck_assert_int_eq(adamw_steps(&a.o, a.d), 2);
    trial_close(&a);
}
END_TEST

START_TEST(gradient_scale_is_undone_exactly) {
    trial a = trial_open(DTYPE_F32, 5000, 2, 1), b = trial_open(DTYPE_F32, 5000, 2, 1);
    adamw_set_scaler(&b.o, b.d, (scaler){.scale = 65536});
    for (uint32_t step = 0; step < 3; step++) {
        trial_step(&a, step, 1);
        trial_step(&b, step, 65536);
    }
    // The product 65536 c of the scale and the clipping coefficient is exact, so all bits agree.
    ck_assert(!(b.o.progress->unscale > 1.0 / 65536) && !(b.o.progress->unscale < 1.0 / 65536));
    expect_same_bits(&a, &b);
    trial_close(&a);
    trial_close(&b);
}
END_TEST

// The scale moves on the device as the host's rule says, and a step that it made overflow is left out.
START_TEST(loss_scale_follows_the_rule) {
    trial a = trial_open(DTYPE_F32, 101, 2, 1);
    scaler rule = {.scale = 1024, .growth = 2, .backoff = 0.5, .interval = 2};
    adamw_set_scaler(&a.o, a.d, rule);
    for (uint32_t step = 0; step < 7; step++) {
        bool finite = step != 3;
        trial_step(&a, step, finite ? rule.scale : (double)INFINITY);
        scaler_update(&rule, finite);
        scaler got = adamw_scaler(&a.o, a.d);
        ck_assert_mem_eq(&got, &rule, sizeof rule);
        ck_assert_double_eq_tol((double)a.o.progress->seed, rule.scale, 1e-9);
    }
    ck_assert_int_eq(adamw_steps(&a.o, a.d), 6);
    trial_close(&a);
}
END_TEST

START_TEST(resumed_run_equals_uninterrupted_run) {
    trial a = trial_open(DTYPE_F32, 5000, 2, 1), b = trial_open(DTYPE_F32, 5000, 2, 1);
    for (uint32_t step = 0; step < 5; step++) trial_step(&a, step, 1);
    for (uint32_t step = 0; step < 2; step++) trial_step(&b, step, 1);
    trial c = trial_open(DTYPE_F32, 5000, 2, 1);
    memcpy(c.params, b.params, 5000 * sizeof(float));
    memcpy(c.o.m, b.o.m, 5000 * sizeof(float));
    memcpy(c.o.v, b.o.v, 5000 * sizeof(float));
    adamw_set_steps(&c.o, c.d, adamw_steps(&b.o, b.d));
    for (uint32_t step = 2; step < 5; step++) trial_step(&c, step, 1);
    expect_same_bits(&a, &c);
    trial_close(&a);
    trial_close(&b);
    trial_close(&c);
}
END_TEST

START_TEST(bad_options_are_usage_errors) {
    device *d = open_device(DTYPE_F32, 1);
    adamw_options good = adamw_defaults(ADAMW_TORCH),
                  bad[7] = {good, good, good, good, good, good, good};
    adamw o;
    bad[0].beta1 = 1, bad[1].beta1 = NAN, bad[2].beta2 = -0.1, bad[3].eps = 0, bad[4].eps = NAN;
    bad[5].max_norm = -1, bad[6].max_norm = INFINITY;
    for (int i = 0; i < 7; i++) {
        ck_assert_int_eq(adamw_init(&o, d, 10, bad[i]), STATUS_USAGE);
        adamw_free(&o, d);
    }
    device_close(d);
}
END_TEST

START_TEST(failed_allocations_are_clean) {
    device *d = open_device(DTYPE_F32, 1);
    adamw o;
    status rc = STATUS_MEMORY;
    int failures = 0;
    for (int n = 1; rc; n++) {
        mem_fail_at(n);
        rc = adamw_init(&o, d, 10, adamw_defaults(ADAMW_TORCH));
        mem_fail_at(0);
        failures += rc != STATUS_OK;
        if (rc) ck_assert_int_eq(rc, STATUS_MEMORY);
        if (rc) ck_assert_ptr_null(o.m);
        adamw_free(&o, d);
    }
    ck_assert_int_eq(failures, 4);
    device_close(d);
}
END_TEST

START_TEST(dry_kernels_touch_nothing) {
    device *d = open_device(DTYPE_F32, 1);
    adamw o;
    optim_slice all = {0, 10, 1, 0.1};
    ck_assert_int_eq(adamw_init(&o, d, 10, adamw_defaults(ADAMW_TORCH)), STATUS_OK);
    d->optim = &optim_kernels_dry;
    adamw_set_lr(&o, d, 1e-2);
    adamw_step(&o, d, NULL, NULL, &all, 1);
    ck_assert_int_eq(adamw_steps(&o, d), 0);
    adamw_free(&o, d);
    device_close(d);
    ck_assert_str_eq(optim_kernel_names[0], "sum_squares");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("adamw");
    TCase *tests = tcase_create("adamw");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, adamw_equals_plain_form);
    tcase_add_test(tests, adamw_equals_torch_and_transformers);
    tcase_add_test(tests, threads_change_no_bit);
    tcase_add_test(tests, sum_squares_counts_each_element_once);
    tcase_add_test(tests, update_is_skipped_when_norm_is_not_finite);
    tcase_add_test(tests, gaps_do_not_count);
    tcase_add_test(tests, gradient_scale_is_undone_exactly);
    tcase_add_test(tests, loss_scale_follows_the_rule);
    tcase_add_test(tests, resumed_run_equals_uninterrupted_run);
    tcase_add_test(tests, bad_options_are_usage_errors);
    tcase_add_test(tests, failed_allocations_are_clean);
    tcase_add_test(tests, dry_kernels_touch_nothing);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
