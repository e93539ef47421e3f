#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"
#include "tests/oracle/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static tensor *run(tape *t, tensor **in, const void *context) {
    return attention(t, in[0], in[1], in[2], *(const double *)context);
}

static tensor *run_self(tape *t, tensor **in, const void *context) {
    return attention(t, in[0], in[0], in[0], *(const double *)context);
}

static const double rates[] = {0, 0.1, 0.4};

START_TEST(attention_shapes) {
    // B, TQ, TK, H, D
    static const int64_t dims[][5] = {{1, 1, 2, 1, 1},     {2, 3, 5, 2, 3},    {1, 7, 2, 3, 16},
                                      {2, 16, 16, 1, 8},   {1, 37, 33, 2, 5},  {2, 35, 67, 3, 20},
                                      {1, 19, 35, 1, 131}, {2, 9, 18, 1, 256}, {1, 10, 37, 1, 192}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        int64_t B = dims[i][0], TQ = dims[i][1], TK = dims[i][2], H = dims[i][3], D = dims[i][4];
        op_case c = {.op = "attention", .inputs = 3, .run = run, .training = true};
        c.input[0] = (op_input){.rank = 4, .dim = {B, TQ, H, D}, .low = -2, .high = 2};
        c.input[1] = (op_input){.rank = 4, .dim = {B, TK, H, D}, .low = -2, .high = 2};
        c.input[2] = (op_input){.rank = 4, .dim = {B, TK, H, D}};
        c.tolerance = 1e-5;
        for (int wanted = i < 2 ? 1 : 7; wanted < 8; wanted++) {
            c.context = &rates[i == 0 ? 0 : (wanted + (int)i) % 3];
            for (int k = 0; k < 3; k++) c.input[k].gradient = wanted >> k & 1;
            op_check(&c);
        }
    }
}
END_TEST

// One tensor as query, key and value: the three gradients meet in one place.
START_TEST(attention_of_itself) {
    for (int i = 0; i < 3; i++)
        op_check(&(op_case){
            .op = "attention",
            .input =
                {{.rank = 4, .dim = {2, 5 + 30 * i, 2, 5}, .gradient = true, .low = -2, .high = 2}},
            .inputs = 1,
            .run = run_self,
            .context = &rates[i],
            .training = true,
            .tolerance = 1e-5,
        });
}
END_TEST

typedef struct numbers {
    attention_shape z;
    int64_t queries, keys, rows; // counts of numbers in q, in k, in lse
    float *q, *k, *v, *dout;
    float *out, *lse, *dq, *dk, *dv;
} numbers;

static void numbers_open(numbers *n, attention_shape z, double size) {
    *n = (numbers){.z = z, .queries = z.B * z.TQ * z.H * z.D, .keys = z.B * z.TK * z.H * z.D};
    n->rows = z.B * z.H * z.TQ;
    n->q = random_floats(n->queries, 1, -size, size);
    n->k = random_floats(n->keys, 2, -size, size);
    n->v = random_floats(n->keys, 3, -1, 1);
    n->dout = random_floats(n->queries, 4, -1, 1);
    n->out = random_floats(n->queries, 5, 1, 2);
    n->lse = random_floats(n->rows, 5, 1, 2);
    n->dq = random_floats(n->queries, 5, 1, 2);
    n->dk = random_floats(n->keys, 5, 1, 2);
    n->dv = random_floats(n->keys, 5, 1, 2);
}

static attention_tensors tensors_of(const numbers *n) {
    return (attention_tensors){{n->out}, {n->lse}, {n->q}, {n->k}, {n->v}};
}

static attention_gradients gradients_of(const numbers *n) {
    return (attention_gradients){.dq = {n->dq}, .dk = {n->dk}, .dv = {n->dv}, .dout = {n->dout}};
}

static void numbers_run(numbers *n, device *d) {
    const attention_tensors x = tensors_of(n);
    const attention_gradients g = gradients_of(n);
    void *scratch = malloc(attention_scratch_cpu(&n->z, DTYPE_F32, d->stream));
    attention_forward_cpu(&x, &n->z, DTYPE_F32, scratch, d->stream);
    attention_backward_cpu(&g, &x, &n->z, DTYPE_F32, scratch, d->stream);
    free(scratch);
}

static void numbers_close(numbers *n) {
    free(n->q), free(n->k), free(n->v), free(n->dout);
    free(n->out), free(n->lse), free(n->dq), free(n->dk), free(n->dv);
}

// Sizes of the models, against the oracle alone.
START_TEST(attention_large) {
    static const attention_shape shapes[] = {
        {.B = 1, .TQ = 197, .TK = 131, .H = 2, .D = 32, .scale = 0.17},
        {.B = 2, .TQ = 32, .TK = 196, .H = 3, .D = 64, .scale = 0.125, .dropout = 0.1},
        {.B = 1, .TQ = 65, .TK = 47, .H = 1, .D = 129, .scale = 0.1, .first_sample = 5},
    };
    for (int i = 0; i < 3; i++) {
        numbers n;
        numbers_open(&n, shapes[i], 2);
        numbers_run(&n, test_device(false));
        double *q = to_doubles(n.q, n.queries), *k = to_doubles(n.k, n.keys);
        double *v = to_doubles(n.v, n.keys), *dout = to_doubles(n.dout, n.queries);
        double *out = to_doubles(n.out, n.queries), *lse = to_doubles(n.lse, n.rows);
        double *dq = to_doubles(n.dq, n.queries), *dk = to_doubles(n.dk, n.keys);
        double *dv = to_doubles(n.dv, n.keys);
        const attention_tensors x = {{out}, {lse}, {q}, {k}, {v}};
        const attention_gradients g = {.dq = {dq}, .dk = {dk}, .dv = {dv}, .dout = {dout}};
        attention_forward_oracle(&x, &n.z, DTYPE_F64, NULL, NULL);
        attention_backward_oracle(&g, &x, &n.z, DTYPE_F64, NULL, NULL);
        ck_assert_double_le(relative_distance(n.out, out, n.queries), 2e-6);
        ck_assert_double_le(relative_distance(n.lse, lse, n.rows), 1e-6);
        ck_assert_double_le(relative_distance(n.dq, dq, n.queries), 5e-6);
        ck_assert_double_le(relative_distance(n.dk, dk, n.keys), 5e-6);
        ck_assert_double_le(relative_distance(n.dv, dv, n.keys), 5e-6);
        free(q), free(k), free(v), free(dout), free(out), free(lse), free(dq), free(dk), free(dv);
        numbers_close(&n);
    }
}
END_TEST

// Rows of probabilities sum to 1: values of 1 give 1 everywhere.
START_TEST(attention_of_ones) {
    numbers n;
    numbers_open(&n, (attention_shape){.B = 2, .TQ = 33, .TK = 101, .H = 2, .D = 17, .scale = 1},
                 3);
    for (int64_t i = 0; i < n.keys; i++) n.v[i] = 1;
    numbers_run(&n, test_device(false));
    for (int64_t i = 0; i < n.queries; i++) ck_assert_float_le(fabsf(n.out[i] - 1), 1e-6f);
    numbers_close(&n);
}
END_TEST

// Scores of a million neither overflow nor lose the winner, whose value comes out.
START_TEST(attention_large_scores) {
    enum { T = 53, D = 11 };
    numbers n;
    numbers_open(&n, (attention_shape){.B = 1, .TQ = T, .TK = T, .H = 1, .D = D, .scale = 1}, 1000);
    numbers_run(&n, test_device(false));
    for (int i = 0; i < T; i++) {
        int winner = 0;
        double best = -INFINITY;
        for (int j = 0; j < T; j++) {
            double score = 0;
            for (int d = 0; d < D; d++) score += (double)n.q[i * D + d] * (double)n.k[j * D + d];
            if (score > best) best = score, winner = j;
        }
        ck_assert(!memcmp(n.out + i * D, n.v + winner * D, D * sizeof(float)));
        ck_assert_double_le(fabs((double)n.lse[i] / best - 1), 1e-6);
    }
    for (int64_t i = 0; i < n.queries; i++)
        ck_assert(isfinite(n.dq[i]) && isfinite(n.dk[i]) && isfinite(n.dv[i]));
    numbers_close(&n);
}
END_TEST

// With one key the probability is 1: the output is its value, and scores do not matter.
START_TEST(attention_of_one_key) {
    numbers n;
    numbers_open(&n, (attention_shape){.B = 2, .TQ = 3, .TK = 1, .H = 2, .D = 5, .scale = 1}, 1);
    numbers_run(&n, test_device(false));
    for (int64_t i = 0; i < n.queries; i++) {
        ck_assert(n.out[i] == n.v[i / 30 * 10 + i % 10]);
        ck_assert_float_le(fabsf(n.dq[i]), 1e-6f);
    }
    for (int64_t i = 0; i < n.keys; i++) ck_assert_float_le(fabsf(n.dk[i]), 1e-6f);
    numbers_close(&n);
}
END_TEST

START_TEST(attention_threads) {
    const attention_shape z = {
        .B = 3, .TQ = 45, .TK = 39, .H = 3, .D = 7, .scale = 1, .dropout = 0.2};
    numbers n, one;
    numbers_open(&n, z, 1);
    numbers_open(&one, z, 1);
    for (int threads = 1; threads < 6; threads++) {
        device *d;
        ck_assert_int_eq(device_open_cpu(&d, threads), 0);
        numbers_run(threads == 1 ? &one : &n, d);
        device_close(d);
        if (threads == 1) continue;
        ck_assert(!memcmp(n.out, one.out, (size_t)n.queries * sizeof(float)));
        ck_assert(!memcmp(n.dq, one.dq, (size_t)n.queries * sizeof(float)));
        ck_assert(!memcmp(n.dk, one.dk, (size_t)n.keys * sizeof(float)));
        ck_assert(!memcmp(n.dv, one.dv, (size_t)n.keys * sizeof(float)));
    }
    numbers_close(&n);
    numbers_close(&one);
}
END_TEST

// A sample loses the same probabilities wherever the batch is cut.
START_TEST(attention_split) {
    attention_shape z = {.B = 4, .TQ = 9, .TK = 13, .H = 2, .D = 3, .scale = 1, .dropout = 0.3};
    z.key = (rng_key){4, 5, 6};
    z.first_sample = 20;
    numbers whole, part;
    numbers_open(&whole, z, 1);
    numbers_run(&whole, test_device(false));
    z.B = 1;
    for (uint32_t b = 0; b < 4; b++) {
        z.first_sample = 20 + b;
        numbers_open(&part, z, 1);
        memcpy(part.q, whole.q + b * part.queries, (size_t)part.queries * sizeof(float));
        memcpy(part.k, whole.k + b * part.keys, (size_t)part.keys * sizeof(float));
        memcpy(part.v, whole.v + b * part.keys, (size_t)part.keys * sizeof(float));
        numbers_run(&part, test_device(false));
        ck_assert(
            !memcmp(part.out, whole.out + b * part.queries, (size_t)part.queries * sizeof(float)));
        numbers_close(&part);
    }
    numbers_close(&whole);
}
END_TEST

static void other_heads(tape *t) {
    tensor *q = tape_tensor(t, 4, (int64_t[]){2, 3, 4, 5}),
           *k = tape_tensor(t, 4, (int64_t[]){2, 7, 5, 4});
    attention(t, q, k, k, 0);
}

START_TEST(attention_wrong_shape) {
    expect_death(other_heads, "attention k: has shape (2, 7, 5, 4), expected (2, -1, 4, 5)");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("attention");
    TCase *tests = tcase_create("attention");
    tcase_add_test(tests, attention_shapes);
    tcase_add_test(tests, attention_of_itself);
    tcase_add_test(tests, attention_large);
    tcase_add_test(tests, attention_of_ones);
    tcase_add_test(tests, attention_large_scores);
    tcase_add_test(tests, attention_of_one_key);
    tcase_add_test(tests, attention_threads);
    tcase_add_test(tests, attention_split);
    tcase_add_test(tests, attention_wrong_shape);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
