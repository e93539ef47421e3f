#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>

static tensor *run(tape *t, tensor **in, const void *context) {
    return max_similarity(t, in[0], in[1], *(const bool *)context);
}

// One query and many, one text and more than a block's, widths below and above a warp's and in
// packs.
enum { CASES = 10 };
START_TEST(max_similarity_shapes) {
    static const int64_t dims[CASES][4] = {
        // N, Q, M, E
        {7, 1, 1, 5},   {2, 3, 4, 5},  {3, 1, 2, 16},  {1, 7, 67, 8}, {3, 32, 3, 24},
        {2, 37, 5, 33}, {5, 2, 1, 64}, {2, 4, 3, 257}, {4, 5, 6, 48}, {1, 3, 2, 1100}};
    static const bool by_text[] = {false, true};
    const int64_t *d = dims[_i];
    op_check(&(op_case){.op = "max_similarity",
                        .input = {{.rank = 3, .dim = {d[0], d[1], d[3]}, .gradient = true},
                                  {.rank = 2, .dim = {d[2], d[3]}, .gradient = true}},
                        .inputs = 2,
                        .run = run,
                        .context = &by_text[_i % 2]});
    op_check(&(op_case){.op = "max_similarity",
                        .input = {{.rank = 3, .dim = {d[0], d[1], d[3]}},
                                  {.rank = 2, .dim = {d[2], d[3]}, .gradient = true}},
                        .inputs = 2,
                        .run = run,
                        .context = &by_text[1 - _i % 2]});
}
END_TEST

// Embeddings in host memory with what the kernels make of them on a device, in its type.
typedef struct comparison {
    similarity_shape z;
    void *images, *texts, *dout, *out; // (N, Q, E), (M, E), (N, M) or (M, N) twice
    void *dimages, *dtexts;
    int32_t *winner; // (N, M)
    int acc;
} comparison;

static void comparison_run(comparison *c, device *d) {
    const similarity_shape *z = &c->z;
    const size_t wide = dtype_size(dtype_wide(d->type)), size = dtype_size(d->type);
    const size_t pairs = (size_t)(z->N * z->M), x = (size_t)(z->N * z->Q * z->E) * size;
    const size_t w = (size_t)(z->M * z->E) * size;
    void *images = device_hold(d, c->images, x), *dimages = device_hold(d, c->dimages, x);
    void *texts = device_hold(d, c->texts, w), *dtexts = device_hold(d, c->dtexts, w);
    void *out = device_hold(d, c->out, pairs * wide), *dout = device_hold(d, c->dout, pairs * wide);
    void *winner = device_hold(d, c->winner, pairs * sizeof(int32_t));
    d->ops->max_similarity_forward(out, winner, images, texts, z, d->type, d->stream);
    d->ops->max_similarity_backward(dimages, dtexts, dout, images, texts, winner, z, c->acc, c->acc,
                                    d->type, d->stream);
    device_fetch(d, c->dimages, dimages, x);
    device_fetch(d, c->dtexts, dtexts, w);
    device_fetch(d, c->out, out, pairs * wide);
    device_fetch(d, c->winner, winner, pairs * sizeof(int32_t));
    device_fetch(d, NULL, images, 0);
    device_fetch(d, NULL, texts, 0);
    device_fetch(d, NULL, dout, 0);
}

// Whole numbers whose products are exact in any order: every winner is the first of equals, and
// gradients are exact sums. On the CPU with any number of threads.
typedef struct exact_case {
    similarity_shape z;
    float *images, *texts, *dout;
} exact_case;

static int32_t expected_winner(const exact_case *c, int64_t n, int64_t m, float *most) {
    const similarity_shape *z = &c->z;
    int32_t best = 0;
    for (int64_t q = 0; q < z->Q; q++) {
        float sum = 0;
        for (int64_t e = 0; e < z->E; e++)
            sum += c->images[(n * z->Q + q) * z->E + e] * c->texts[m * z->E + e];
        if (q && sum <= *most) continue;
        *most = sum;
        best = (int32_t)q;
    }
    return best;
}

static void check_exact(const exact_case *c, device *d) {
    const similarity_shape *z = &c->z;
    const int64_t pairs = z->N * z->M, rows = z->N * z->Q;
    float *out = calloc((size_t)pairs, sizeof *out);
    int32_t *winner = calloc((size_t)pairs, sizeof *winner);
    float *dx = random_integers(rows * z->E, 4, 9), *dw = random_integers(z->M * z->E, 5, 9);
    float *want_x = random_integers(rows * z->E, 4, 9),
          *want_w = random_integers(z->M * z->E, 5, 9);
    comparison k = {*z, c->images, c->texts, c->dout, out, dx, dw, winner, 1};
    comparison_run(&k, d);
    for (int64_t i = 0; i < pairs; i++) {
        int64_t n = i / z->M, m = i % z->M, at = z->by_text ? m * z->N + n : i;
        float most = 0;
        int32_t q = expected_winner(c, n, m, &most);
        ck_assert_int_eq(winner[i], q);
        ck_assert(out[at] == most);
        for (int64_t e = 0; e < z->E; e++) {
            want_x[(n * z->Q + q) * z->E + e] += c->dout[at] * c->texts[m * z->E + e];
            want_w[m * z->E + e] += c->dout[at] * c->images[(n * z->Q + q) * z->E + e];
        }
    }
    for (int64_t i = 0; i < rows * z->E; i++) ck_assert(dx[i] == want_x[i]); // 0 is -0 here
    for (int64_t i = 0; i < z->M * z->E; i++) ck_assert(dw[i] == want_w[i]);
    free(out), free(winner), free(dx), free(dw), free(want_x), free(want_w);
}

START_TEST(max_similarity_exact) {
    static const similarity_shape shapes[] = {
        {7, 9, 13, 37, 0}, {3, 35, 70, 19, 1}, {5, 32, 66, 8, 0}, {1, 1, 1, 1, 0}};
    for (int i = 0; i < 4; i++) {
        exact_case c = {.z = shapes[i]};
        c.images = random_integers(c.z.N * c.z.Q * c.z.E, 1, 2);
        c.texts = random_integers(c.z.M * c.z.E, 2, 2);
        c.dout = random_integers(c.z.N * c.z.M, 3, 9);
        for (int threads = 1; threads < 5; threads++) {
            device *d;
            ck_assert_int_eq(device_open_cpu(&d, threads), 0);
            d->ops = &op_kernels_cpu;
            check_exact(&c, d);
            device_close(d);
        }
        check_exact(&c, test_device(ON_SHIM));
        free(c.images), free(c.texts), free(c.dout);
    }
}
END_TEST

// NaN is the largest, wherever it stands: a loss must not look sound.
START_TEST(max_similarity_nan) {
    for (int place = 0; place < 3; place++) {
        float x[6] = {1, 2, 5, 6, 3, 4}, w[2] = {1, 1}, dx[6] = {0}, dw[2] = {0}, out = 0, dout = 1;
        int32_t winner = 9;
        x[2 * place] = NAN;
        comparison k = {{1, 3, 1, 2, 0}, x, w, &dout, &out, dx, dw, &winner, 0};
        comparison_run(&k, test_device(_i));
        ck_assert(isnan(out));
        ck_assert_int_eq(winner, place);
    }
}
END_TEST

// Without images, or without texts: nothing to compare, and gradients that are zero or left alone.
START_TEST(max_similarity_empty) {
    device *d = test_device(_i);
    double x[8] = {0}, w[4] = {0}, dx[8], dw[4], out = 5; // of either type
    int32_t winner = 9;
    for (int images = 0; images < 2; images++)
        for (int acc = 0; acc < 2; acc++) {
            comparison k = {{images, 2, !images, 4, 0}, x, w, &out, &out, dx, dw, &winner, acc};
            for (int i = 0; i < 8; i++) element_put(dx, i, 3, d->type);
            for (int i = 0; i < 4; i++) element_put(dw, i, 3, d->type);
            comparison_run(&k, d);
            ck_assert(out == 5 && winner == 9);
            for (int i = 0; i < 8; i++)
                ck_assert(element_get(dx, i, d->type) == (images && !acc ? 0.0 : 3.0));
            for (int i = 0; i < 4; i++)
                ck_assert(element_get(dw, i, d->type) == (!images && !acc ? 0.0 : 3.0));
        }
}
END_TEST

static void similarity_of(tape *t, dtype type, int64_t Q, int64_t width) {
    tensor *x = tape_tensor_of(t, type, 3, (int64_t[]){2, Q, 5});
    max_similarity(t, x, tape_tensor(t, 2, (int64_t[]){3, width}), false);
}
static void other_width(tape *t) {
    similarity_of(t, DTYPE_F32, 2, 4);
}
static void other_type(tape *t) {
    similarity_of(t, DTYPE_BF16, 2, 5);
}
static void no_queries(tape *t) {
    similarity_of(t, DTYPE_F32, 0, 5);
}

START_TEST(max_similarity_wrong) {
    expect_death(other_width, "max_similarity texts: has shape (3, 4), expected (-1, 5)");
    expect_death(other_type, "max_similarity images: is BF16, expected F32");
    expect_death(no_queries, "max_similarity images: no embedding to an image");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("max_similarity");
    TCase *tests = tcase_create("max_similarity");
    tcase_add_loop_test(tests, max_similarity_shapes, 0, CASES);
    tcase_add_test(tests, max_similarity_exact);
    tcase_add_test(tests, max_similarity_wrong);
    for (int which = ON_CPU; which <= ON_SHIM; which += ON_SHIM - ON_CPU)
        tcase_add_loop_test(tests, max_similarity_nan, which, which + 1);
    for (int i = 0; i < 3; i++) {
        static const int which[] = {ON_CPU, ON_ORACLE, ON_SHIM};
        tcase_add_loop_test(tests, max_similarity_empty, which[i], which[i] + 1);
    }
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
