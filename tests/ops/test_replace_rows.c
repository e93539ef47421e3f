#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct places {
    const int32_t *index;
    int64_t count;
} places;

static tensor *run(tape *t, tensor **in, const void *context) {
    const places *p = context;
    tensor index = constant_i32(p->index, 1, &p->count);
    return replace_rows(t, in[0], in[1], &index);
}

static void check(int64_t N, int64_t D, const int32_t *index, int64_t M, bool x, bool y) {
    op_check(&(op_case){
        .op = "replace_rows",
        .input = {{.rank = 2, .dim = {N, D}, .gradient = x}, {.rank = 2, .dim = {M, D}, .gradient = y}},
        .inputs = 2,
        .run = run,
        .context = &(places){index, M},
    });
}

START_TEST(replace_rows_shapes) {
    static const int32_t ends[] = {0, 4}, mixed[] = {3, -1, 0, 6}, run_of[] = {5, 6, 7, 8, 9, 10};
    check(5, 3, ends, 2, true, true);
    check(7, 16, mixed, 4, true, true);
    check(11, 1025, run_of, 6, true, true);
    check(11, 64, run_of, 6, false, true); // a frozen embedding
    check(11, 64, run_of, 6, true, false);
    check(4, 8, (const int32_t[]){-1, -1}, 2, true, false); // nothing of it
    check(2, 8, (const int32_t[]){1, 0}, 2, false, true); // all of it
}
END_TEST

// A batch without images is x itself, and all of it gets its gradient; one without rows is nothing.
START_TEST(replace_rows_none) {
    enum { N = 3, D = 4, COUNT = N * D };
    device *d = test_device(_i);
    if (!d) return;
    const size_t bytes = COUNT * dtype_size(d->type);
    double host[COUNT], zero[COUNT] = {0}, back[COUNT];
    int32_t where[N] = {0};
    for (int i = 0; i < COUNT; i++) element_put(host, i, i + 1, d->type);
    for (int rows = N; rows >= 0; rows -= N) {
        void *x = device_hold(d, host, bytes), *out = device_hold(d, zero, bytes);
        void *dx = device_hold(d, zero, bytes), *put = device_hold(d, where, sizeof where);
        d->ops->replace_rows_forward(out, put, x, NULL, NULL, rows, 0, D, d->type, d->stream);
        d->ops->replace_rows_backward(dx, dx, x, put, NULL, rows, 0, D, 0, 0, d->type,
                                      d->stream);
        device_fetch(d, back, out, bytes);
        for (int i = 0; i < COUNT; i++)
            ck_assert(element_get(back, i, d->type) == (rows ? i + 1 : 0));
        device_fetch(d, back, dx, bytes);
        for (int i = 0; i < COUNT; i++)
            ck_assert(element_get(back, i, d->type) == (rows ? i + 1 : 0));
        device_fetch(d, NULL, x, 0), device_fetch(d, NULL, put, 0);
    }
    ck_assert_int_eq(device_failed(d), STATUS_OK);
}
END_TEST

// A row that x does not have is a failure of the step on the CPU and NaN in all rows on CUDA.
START_TEST(replace_rows_outside) {
    enum { N = 3, D = 4, M = 2 };
    static const int32_t wrong[] = {N, INT32_MAX};
    device *d = test_device(_i);
    if (!d || _i == ON_ORACLE) return;
    double x[N * D], y[M * D], out[N * D] = {0};
    for (int i = 0; i < N * D; i++) element_put(x, i, i + 1, d->type);
    for (int i = 0; i < M * D; i++) element_put(y, i, -1, d->type);
    for (int k = 0; k < 2; k++) {
        const size_t size = dtype_size(d->type);
        int32_t where[N] = {0}, index[M] = {1, wrong[k]};
        void *rows = device_hold(d, x, N * D * size), *put = device_hold(d, y, M * D * size);
        void *to = device_hold(d, out, N * D * size), *from = device_hold(d, where, sizeof where);
        void *at = device_hold(d, index, sizeof index);
        d->ops->replace_rows_forward(to, from, rows, put, at, N, M, D, d->type, d->stream);
        const status rc = device_failed(d);
        if (_i == ON_CPU || _i == ON_CPU_BF16) {
            ck_assert_int_eq(rc, STATUS_FORMAT);
            ck_assert_msg(strstr(status_text(), "number 1 goes to row") != NULL, "%s", status_text());
        }
        device_fetch(d, out, to, N * D * size);
        for (int r = 0; r < N && _i >= ON_SHIM; r++)
            ck_assert(isnan(element_get(out, r * D, d->type)));
        device_fetch(d, where, from, sizeof where);
        ck_assert(where[0] == -1 && where[1] == 0 && where[2] == -1);
        device_fetch(d, NULL, rows, 0), device_fetch(d, NULL, put, 0), device_fetch(d, NULL, at, 0);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("replace_rows");
    TCase *tests = tcase_create("replace_rows");
    tcase_add_test(tests, replace_rows_shapes);
    tcase_add_loop_test(tests, replace_rows_none, 0, TEST_DEVICES);
    tcase_add_loop_test(tests, replace_rows_outside, 0, TEST_DEVICES);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
