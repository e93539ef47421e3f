#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"
#include "tests/oracle/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static tensor *run(tape *t, tensor **in, const void *context) {
    return layer_norm(t, in[0], in[1], in[2], *(const double *)context);
}

START_TEST(layer_norm_shapes) {
    // rows in two dimensions, D; 70 rows are more than there are blocks in the sums
    static const int64_t dims[][3] = {{1, 1, 2},  {2, 3, 5},   {1, 31, 17},
                                      {3, 7, 16}, {2, 35, 33}, {5, 41, 64}};
    static const double eps[] = {1e-6, 1e-5, 1e-12};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        op_case c = {.op = "layer_norm", .inputs = 3, .run = run, .context = &eps[i % 3]};
        c.input[0] = (op_input){.rank = 3, .dim = {dims[i][0], dims[i][1], dims[i][2]}};
        c.input[1] = (op_input){.rank = 1, .dim = {dims[i][2]}, .low = 0.5, .high = 1.5};
        c.input[2] = (op_input){.rank = 1, .dim = {dims[i][2]}};
        c.tolerance = 1e-5;
        // With two numbers a row only the sign of their difference is left, and no gradient.
        for (int wanted = 1; wanted < 8; wanted += i < 3 ? 1 : 6) {
            c.input[0].gradient = (wanted & 1) && dims[i][2] > 2;
            c.input[1].gradient = wanted & 2;
            c.input[2].gradient = wanted & 4;
            op_check(&c);
        }
    }
}
END_TEST

typedef struct numbers {
    int64_t rows, D;
    float *x, *w, *b, *dy;                  // given
    float *y, *mean, *rstd, *dx, *dw, *db;  // made on the CPU
    double *Y, *Mean, *Rstd, *DX, *DW, *DB; // made by the oracle
} numbers;

static void numbers_run(numbers *n, device *d) {
    void *scratch = malloc(layer_norm_scratch_cpu(n->rows, n->D, DTYPE_F32, d->stream));
    layer_norm_forward_cpu(n->y, n->mean, n->rstd, n->x, n->w, n->b, n->rows, n->D, 1e-6, DTYPE_F32,
                           d->stream);
    layer_norm_backward_cpu(n->dx, n->dw, n->db, n->dy, n->x, n->mean, n->rstd, n->w, n->rows, n->D,
                            0, 0, 0, DTYPE_F32, scratch, d->stream);
    free(scratch);
}

static void numbers_open(numbers *n, int64_t rows, int64_t D, double mean) {
    int64_t count = rows * D;
    *n = (numbers){.rows = rows, .D = D};
    n->x = random_floats(count, 1, mean - 2, mean + 2);
    n->w = random_floats(D, 2, 0.5, 1.5);
    n->b = random_floats(D, 3, -1, 1);
    n->dy = random_floats(count, 4, -1, 1);
    float **const out[] = {&n->y, &n->dx, &n->mean, &n->rstd, &n->dw, &n->db};
    double **const exact[] = {&n->Y, &n->DX, &n->Mean, &n->Rstd, &n->DW, &n->DB};
    for (int i = 0; i < 6; i++) {
        int64_t size = i < 2 ? count : i < 4 ? rows : D;
        *out[i] = random_floats(size, 5, 1, 2);
        *exact[i] = to_doubles(*out[i], size);
    }
    double *x = to_doubles(n->x, count), *w = to_doubles(n->w, D), *b = to_doubles(n->b, D);
    double *dy = to_doubles(n->dy, count);
    layer_norm_forward_oracle(n->Y, n->Mean, n->Rstd, x, w, b, rows, D, 1e-6, DTYPE_F64, NULL);
    layer_norm_backward_oracle(n->DX, n->DW, n->DB, dy, x, n->Mean, n->Rstd, w, rows, D, 0, 0, 0,
                               DTYPE_F64, NULL, NULL);
    free(x), free(w), free(b), free(dy);
}

static void numbers_close(numbers *n) {
    free(n->x), free(n->w), free(n->b), free(n->dy);
    free(n->y), free(n->mean), free(n->rstd), free(n->dx), free(n->dw), free(n->db);
    free(n->Y), free(n->Mean), free(n->Rstd), free(n->DX), free(n->DW), free(n->DB);
}

// A mean a thousand times the deviation costs no digits of the output; gradients keep what a mean
// rounded to float leaves.
START_TEST(layer_norm_large_mean) {
    static const double means[] = {0, 1e3, -1e5};
    for (int i = 0; i < 3; i++) {
        numbers n;
        numbers_open(&n, 67, 193, means[i]);
        numbers_run(&n, test_device(false));
        double rounding = 1e-6 + fabs(means[i]) * 0x1p-24;
        ck_assert_double_le(relative_distance(n.y, n.Y, 67 * 193), 1e-6);
        ck_assert_double_le(relative_distance(n.rstd, n.Rstd, 67), 1e-6);
        ck_assert_double_le(relative_distance(n.dx, n.DX, 67 * 193), rounding);
        ck_assert_double_le(relative_distance(n.dw, n.DW, 193), rounding);
        ck_assert_double_le(relative_distance(n.db, n.DB, 193), 1e-6);
        numbers_close(&n);
    }
}
END_TEST

// The same bits with any number of threads.
START_TEST(layer_norm_threads) {
    numbers n, one;
    numbers_open(&n, 401, 77, 0);
    numbers_open(&one, 401, 77, 0);
    for (int threads = 1; threads < 8; threads++) {
        device *d;
        ck_assert_int_eq(device_open_cpu(&d, threads), 0);
        numbers_run(threads == 1 ? &one : &n, d);
        device_close(d);
        if (threads == 1) continue;
        ck_assert(!memcmp(n.dx, one.dx, 401 * 77 * sizeof(float)));
        ck_assert(!memcmp(n.dw, one.dw, 77 * sizeof(float)));
        ck_assert(!memcmp(n.db, one.db, 77 * sizeof(float)));
    }
    numbers_close(&n);
    numbers_close(&one);
}
END_TEST

// Equal numbers: the deviation is 0, eps alone keeps the division finite. Width 1 is always so.
START_TEST(layer_norm_no_deviation) {
    static const int64_t widths[] = {1, 5, 48};
    for (int i = 0; i < 3; i++) {
        numbers n;
        numbers_open(&n, 3, widths[i], 0);
        for (int64_t k = 0; k < 3 * n.D; k++) n.x[k] = 7.3f;
        numbers_run(&n, test_device(false));
        for (int64_t k = 0; k < 3 * n.D; k++) {
            ck_assert(n.y[k] == n.b[k % n.D]);
            ck_assert(isfinite(n.dx[k]));
            ck_assert(n.D > 1 || n.dx[k] == 0);
        }
        for (int64_t k = 0; k < n.D; k++) ck_assert(n.dw[k] == 0);
        numbers_close(&n);
    }
}
END_TEST

static void narrow_weight(tape *t) {
    tensor *w = tape_tensor(t, 1, (int64_t[]){3});
    layer_norm(t, tape_tensor(t, 2, (int64_t[]){2, 4}), w, w, 1e-6);
}

START_TEST(layer_norm_wrong_shape) {
    expect_death(narrow_weight, "layer_norm weight: has shape (3), expected (4)");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("layer_norm");
    TCase *tests = tcase_create("layer_norm");
    tcase_add_test(tests, layer_norm_shapes);
    tcase_add_test(tests, layer_norm_large_mean);
    tcase_add_test(tests, layer_norm_threads);
    tcase_add_test(tests, layer_norm_no_deviation);
    tcase_add_test(tests, layer_norm_wrong_shape);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
