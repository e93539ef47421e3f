#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <stdlib.h>

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

int main(void) {
    Suite *suite = suite_create("replace_rows");
    TCase *tests = tcase_create("replace_rows");
    tcase_add_test(tests, replace_rows_shapes);
    tcase_add_loop_test(tests, replace_rows_none, 0, TEST_DEVICES);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
