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
    check(2, 8, (const int32_t[]){1, 0}, 2, false, true); // all of it
}
END_TEST

int main(void) {
    Suite *suite = suite_create("replace_rows");
    TCase *tests = tcase_create("replace_rows");
    tcase_add_test(tests, replace_rows_shapes);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
