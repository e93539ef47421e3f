// A rank may get no rows of a batch that is smaller than the ranks: every op then gives no rows, a loss of 0,
// and gradients of parameters that are zero, written where nothing was before and left alone otherwise.
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>

enum { CONV, CONV_BIAS, TABLE, NORM, NORM_BIAS, LINEAR, LINEAR_BIAS, BN, BN_BIAS, MIDDLE, MIDDLE_NORM, MIDDLE_BIAS, PARAMETERS };
static const int64_t shape[PARAMETERS][4] = {{3, 3, 3, 2}, {3}, {16, 3}, {3}, {3}, {5, 48}, {5}, {3}, {3},
                                            {3, 3, 3, 3}, {3}, {3}};
static const int rank[PARAMETERS] = {4, 1, 2, 1, 1, 2, 1, 1, 1, 4, 1, 1};
enum { MOST = 240 };

typedef struct net {
    tensor p[PARAMETERS];
    gradient g[PARAMETERS];
    double value[PARAMETERS][MOST], dvalue[PARAMETERS][MOST]; // as f32 on the CPU
    double mean[3], var[3];
} net;

static void fill(void *to, double value, dtype type) {
    for (int64_t i = 0; i < MOST; i++) element_put(to, i, value, type);
}

static void net_open(net *n, dtype type) {
    for (int i = 0; i < PARAMETERS; i++) {
        n->p[i] = tensor_over(n->value[i], type, rank[i], shape[i]);
        fill(n->value[i], 0.5, type);
        fill(n->dvalue[i], (double)NAN, type);
        tensor_want(&n->p[i], &n->g[i], n->dvalue[i]);
    }
    for (int i = 0; i < 3; i++) element_put(n->mean, i, 0, type), element_put(n->var, i, 1, type);
}

static void trunk_body(tape *t, const void *context, tensor **out, tensor *const *in) {
    net *n = (net *)(uintptr_t)context;
    tensor *p = n->p;
    dtype wide = p[CONV].type;
    tensor mean = tensor_over(n->mean, wide, 1, shape[BN]), var = tensor_over(n->var, wide, 1, shape[BN]);
    tensor *x = conv2d(t, in[0], &p[CONV], &p[CONV_BIAS], 1, 1);
    x = batch_norm(t, x, (batch_norm_args){&p[BN], &p[BN_BIAS], &mean, &var, NULL, 1e-5, 0.1, false, true, NULL});
    tensor *sums;
    x = conv2d_sums(t, x, &p[MIDDLE], 1, 1, &sums);
    const batch_norm_args norm = {&p[MIDDLE_NORM], &p[MIDDLE_BIAS], &mean, &var, NULL, 1e-5, 0.1, true, true, sums};
    x = norm_conv2d(t, x, norm, &p[MIDDLE], 1, 1, &sums);
    out[0] = max_pool2d(t, x, 2, 2, 0);
}

// Another rank has 64 rows, whose sums and sums of squares are 64 as well.
static void sum_with_rows(comm *c, void *data, int64_t count, dtype type, device *d) {
    (void)c;
    for (int64_t i = 0; i < count && type == DTYPE_F64 && !d->dry; i++) ((double *)data)[i] += 64;
}

// Every kind of op that a classifier meets, on ROWS images, the first of them in a region.
static tensor *net_loss(tape *t, net *n, tensor *image, const uint8_t *labels) {
    tensor *p = n->p, *x;
    tape_region(t, trunk_body, n, &x, 1, &image, 1);
    x = avg_pool2d(t, x, 1, 1);
    tensor *tokens = tape_view(t, x, 3, (int64_t[]){image->dim[0], 16, 3});
    tokens = add_table(t, tokens, &p[TABLE]);
    tokens = layer_norm(t, tokens, &p[NORM], &p[NORM_BIAS], 1e-5);
    tensor *heads = tape_view(t, tokens, 4, (int64_t[]){image->dim[0], 16, 1, 3});
    tokens = tape_view(t, attention(t, heads, heads, heads, 0), 3, tokens->dim);
    tokens = concat_tokens(t, slice_tokens(t, tokens, 0, 8), slice_tokens(t, tokens, 8, 8));
    tokens = add(t, gelu(t, relu(t, tokens)), dropout(t, tokens, 0.5));
    tensor *pooled = mean_tokens(t, tokens);
    tensor *flat = tape_view(t, channels_first(t, tokens), 2, (int64_t[]){image->dim[0], 48});
    tensor *y = linear(t, flat, &p[LINEAR], &p[LINEAR_BIAS]);
    y = tape_view(t, concat_tokens(t, tape_view(t, y, 3, (int64_t[]){image->dim[0], 5, 1}),
                                   tape_view(t, pooled, 3, (int64_t[]){image->dim[0], 3, 1})),
                  2, (int64_t[]){image->dim[0], 8});
    static float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    tensor target = constant_u8(labels, 2, (int64_t[]){image->dim[0], 8});
    tensor weight = constant_f32(ones, 1, (int64_t[]){8}), mask = weight;
    return sigmoid_cross_entropy(t, y, &target, &weight, &mask, 7);
}

START_TEST(no_rows_no_gradient) {
    static net n;
    tape t;
    uint8_t labels[8] = {0};
    double nothing[1];
    tape_open_large(&t, _i % 2 == ON_ORACLE);
    tape_checkpointing(&t, _i / 2);
    dtype type = t.device->type;
    net_open(&n, type);
    t.training = true;
    comm two = *t.comm, *one = t.comm;
    two.size = 2;
    two.all_reduce_sum = sum_with_rows;
    t.comm = &two;
    tensor image = tensor_over(nothing, type, 4, (int64_t[]){0, 8, 8, 2});
    tensor *loss = net_loss(&t, &n, &image, labels);
    ck_assert_double_eq_tol(element_get(loss->data, 0, loss->type), 0, 1e-300);
    tape_backward(&t, loss, 1);
    ck_assert_int_eq(tape_failed(&t), STATUS_OK);
    for (int i = 0; i < PARAMETERS; i++) {
        ck_assert(n.g[i].written);
        for (int64_t j = 0; j < tensor_count(&n.p[i]); j++)
            ck_assert_msg(!(fabs(element_get(n.dvalue[i], j, type)) > 0) &&
                              !isnan(element_get(n.dvalue[i], j, type)),
                          "parameter %d, element %lld: gradient %g", i, (long long)j,
                          element_get(n.dvalue[i], j, type));
        fill(n.dvalue[i], 2, type);
    }
    // Again without a fresh start: what was there stays.
    tape_begin(&t, true);
    tape_backward(&t, net_loss(&t, &n, &image, labels), 1);
    for (int i = 0; i < PARAMETERS; i++)
        for (int64_t j = 0; j < tensor_count(&n.p[i]); j++)
            ck_assert_double_eq_tol(element_get(n.dvalue[i], j, type), 2, 1e-300);
    t.comm = one;
    tape_free(&t);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("empty batch");
    TCase *tcase = tcase_create("rows");
    tcase_add_loop_test(tcase, no_rows_no_gradient, 0, 4);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
