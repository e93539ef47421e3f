#include "tests/cuda/helper_numbers.h"
#include "core/cuda/device_cuda.h"
#include "core/gpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- the GPU -------------------------------------------------------------------------------------
device *gpu;
static bool has_bf16;
const dtype types[TYPES] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};

bool is_missing(dtype type) {
    return type == DTYPE_BF16 && !has_bf16;
}

void open_gpu(bool tf32) {
    status rc = device_open_cuda(&gpu, &(cuda_options){0, DTYPE_F32, tf32});
    ck_assert_msg(!rc, "%s", status_text());
}

void close_gpu(void) {
    status rc = device_failed(gpu);
    ck_assert_msg(!rc, "%s", status_text());
    device_close(gpu);
    gpu = NULL;
}

int run_on_gpu(const char *name, const TTest *const *tests, size_t count) {
    char reason[256] = "";
    gpu_facts facts;
    if (!gpu_count(reason, sizeof reason)) {
        printf("skipped: no GPU (%s)\n", reason);
        return getenv("RADIALOG_REQUIRE_GPU") ? EXIT_FAILURE : 77;
    }
    if (gpu_describe(&facts, 0)) {
        printf("%s\n", status_text());
        return EXIT_FAILURE;
    }
    has_bf16 = facts.sm >= 80;
    Suite *suite = suite_create(name);
    TCase *cases = tcase_create(name);
    tcase_set_timeout(cases, 600);
    for (size_t i = 0; i < count; i++) tcase_add_test(cases, tests[i]);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); // CUDA does not live on in a child
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

// --- numbers -------------------------------------------------------------------------------------

static uint64_t next_bits(uint64_t *state) { // splitmix64
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static numbers take(device *d, int64_t count, dtype type) {
    numbers x = {.count = count, .type = type};
    ck_assert_int_eq(d->take(d, (size_t)count * dtype_size(type), "numbers", &x.data), STATUS_OK);
    ck_assert_int_eq(mem_new(&x.host, count, "numbers"), STATUS_OK);
    return x;
}

numbers numbers_random(device *d, int64_t count, dtype type, uint64_t seed) {
    numbers x = take(d, count, type);
    void *bytes;
    ck_assert_int_eq(mem_take(&bytes, (size_t)count, dtype_size(type), "numbers"), STATUS_OK);
    for (int64_t i = 0; i < count; i++) {
        element_put(bytes, i, (double)(next_bits(&seed) >> 11) * 0x1p-52 - 1, type);
        x.host[i] = element_get(bytes, i, type);
    }
    d->upload(d, x.data, bytes, (size_t)count * dtype_size(type));
    d->wait(d);
    mem_free(bytes);
    return x;
}

numbers numbers_unwritten(device *d, int64_t count, dtype type) {
    numbers x = take(d, count, type);
    void *bytes;
    ck_assert_int_eq(mem_take(&bytes, (size_t)count, dtype_size(type), "numbers"), STATUS_OK);
    memset(bytes, 0xff, (size_t)count * dtype_size(type)); // NaN in every type
    d->upload(d, x.data, bytes, (size_t)count * dtype_size(type));
    d->wait(d);
    mem_free(bytes);
    return x;
}

void numbers_free(device *d, numbers *x) {
    d->release(d, x->data);
    mem_free(x->host);
    *x = (numbers){0};
}

void *numbers_bytes(device *d, const numbers *x) {
    void *bytes;
    ck_assert_int_eq(mem_take(&bytes, (size_t)x->count, dtype_size(x->type), "numbers"), STATUS_OK);
    d->download(d, bytes, x->data, (size_t)x->count * dtype_size(x->type));
    status rc = device_failed(d);
    ck_assert_msg(!rc, "%s", status_text());
    return bytes;
}

void numbers_expect(device *d, const numbers *x, double tolerance, const char *what) {
    void *bytes = numbers_bytes(d, x);
    double error = 0, norm = 0;
    for (int64_t i = 0; i < x->count; i++) {
        const double got = element_get(bytes, i, x->type), wanted = x->host[i];
        error += (got - wanted) * (got - wanted);
        norm += wanted * wanted;
    }
    mem_free(bytes);
    ck_assert_msg(norm > 0, "%s: the reference is zero", what);
    const double relative = sqrt(error / norm);
    ck_assert_msg(relative <= tolerance, "%s: relative error %g, at most %g", what, relative,
                  tolerance);
}

void expect_same_twice(void (*act)(void *context), void *context, const numbers *out,
                       const char *what) {
    act(context);
    void *first = numbers_bytes(gpu, out);
    act(context);
    void *second = numbers_bytes(gpu, out);
    ck_assert_msg(!memcmp(first, second, (size_t)out->count * dtype_size(out->type)),
                  "%s: other bits", what);
    mem_free(first);
    mem_free(second);
}

double numbers_tolerance(dtype type) {
    return type == DTYPE_BF16 ? 4e-3 : type == DTYPE_F16 ? 5e-4 : 2e-6;
}
