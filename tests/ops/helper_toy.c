#include "tests/ops/helper_toy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// --- toy ops -------------------------------------------------------------------------------------
static void multiply_rule(tape *t, const tape_node *node) {
    const tensor *y = node->out[0];
    for (int i = 0; i < 2; i++) {
        int acc;
        float *dx = tape_gradient(t, node->in[i], &acc);
        const float *dy = tape_output_gradient(y), *other = node->in[1 - i]->data;
        if (!dx || t->device == t->dry) continue;
        for (int64_t e = 0; e < tensor_count(y); e++) dx[e] = (acc ? dx[e] : 0) + dy[e] * other[e];
    }
}

tensor *toy_multiply(tape *t, tensor *a, tensor *b) {
    tensor *y = tape_tensor(t, a->rank, a->dim);
    for (int64_t e = 0; e < tensor_count(y) && t->device != t->dry; e++)
        ((float *)y->data)[e] = ((float *)a->data)[e] * ((float *)b->data)[e];
    tape_record(t, "multiply", multiply_rule, NULL, &y, 1, (tensor *[]){a, b}, 2);
    return y;
}

static void split_rule(tape *t, const tape_node *node) {
    int acc;
    float *dx = tape_gradient(t, node->in[0], &acc);
    const float *d0 = tape_output_gradient(node->out[0]), *d1 = tape_output_gradient(node->out[1]);
    for (int64_t e = 0; e < tensor_count(node->in[0]) && t->device != t->dry; e++)
        dx[e] = (acc ? dx[e] : 0) + 2 * d0[e] + 3 * d1[e];
}

void toy_split(tape *t, tensor **out, tensor *x) {
    for (int i = 0; i < 2; i++) out[i] = tape_tensor(t, x->rank, x->dim);
    for (int64_t e = 0; e < tensor_count(x) && t->device != t->dry; e++)
        for (int i = 0; i < 2; i++)
            ((float *)out[i]->data)[e] = (float)(2 + i) * ((float *)x->data)[e];
    tape_record(t, "split", split_rule, NULL, out, 2, &x, 1);
}

static float weight(int64_t e) {
    return (float)(e % 3 + 1);
}

static void sum_rule(tape *t, const tape_node *node) {
    int acc;
    float *dx = tape_gradient(t, node->in[0], &acc);
    const float *dy = tape_output_gradient(node->out[0]);
    for (int64_t e = 0; e < tensor_count(node->in[0]) && t->device != t->dry; e++)
        dx[e] = (acc ? dx[e] : 0) + *dy * weight(e);
}

tensor *toy_sum(tape *t, tensor *x) {
    tensor *y = tape_tensor(t, 0, NULL);
    float sum = 0;
    for (int64_t e = 0; e < tensor_count(x) && t->device != t->dry; e++)
        sum += weight(e) * ((float *)x->data)[e];
    t->device->upload(t->device, y->data, &sum, sizeof sum);
    tape_record(t, "sum", sum_rule, NULL, &y, 1, &x, 1);
    return y;
}

// --- the toy network -----------------------------------------------------------------------------
void toy_open(toy_model *m, bool frozen) {
    const int64_t width = TOY_D;
    for (int p = 0; p < TOY_PARAMETERS; p++) {
        bool table = p == TOY_PARAMETERS - 1;
        float *values = random_floats(TOY_MOST, (uint32_t)p, p % 2 ? -1 : 0.5, p % 2 ? 1 : 1.5);
        memcpy(m->value[p], values, sizeof m->value[p]);
        free(values);
        m->parameter[p] = table ? tensor_over(m->value[p], DTYPE_F32, 2, (int64_t[]){TOY_T, TOY_D})
                                : tensor_over(m->value[p], DTYPE_F32, 1, &width);
        if (!frozen) tensor_want(&m->parameter[p], &m->slot[p], m->grad[p]);
    }
    float *x = random_floats(TOY_COUNT, 1000, -1, 1);
    memcpy(m->x, x, sizeof m->x);
    free(x);
    m->input = tensor_over(m->x, DTYPE_F32, 3, (int64_t[]){TOY_B, TOY_T, TOY_D});
    toy_clear(m);
}

void toy_clear(toy_model *m) {
    for (int p = 0; p < TOY_PARAMETERS; p++) {
        m->slot[p].written = false;
        m->slot[p].uses = 0;
        m->ready[p] = 0;
        for (int i = 0; i < TOY_MOST; i++) m->grad[p][i] = NAN;
    }
}

void toy_ready(void *context, gradient *g) {
    toy_model *m = context;
    int64_t p = g - m->slot;
    ck_assert(p >= 0 && p < TOY_PARAMETERS);
    m->ready[p]++;
    memcpy(m->at_ready[p], m->grad[p], sizeof m->grad[p]);
}

typedef struct part {
    const toy_model *m;
    int first, count;
} part;

static void block(tape *t, const void *context, tensor **out, tensor *const *in) {
    const part *p = context;
    tensor *const w = (tensor *)(uintptr_t)p->m->parameter;
    const int64_t heads[] = {TOY_B, TOY_T, 2, TOY_D / 2};
    tensor *x = in[0], *h = layer_norm(t, x, &w[2 * p->first], &w[2 * p->first + 1], 1e-5);
    h = add_table(t, h, &w[TOY_PARAMETERS - 1]);
    h = dropout(t, gelu(t, h), 0.3);
    h = tape_view(t, h, 4, heads);
    h = attention(t, h, h, h, 0.2);
    out[0] = add(t, x, tape_view(t, h, 3, x->dim));
}

static void halves(tape *t, const void *context, tensor **out, tensor *const *in) {
    const part *p = context;
    if (p->count == 1) {
        block(t, context, out, in);
        return;
    }
    part *half = tape_keep(t, 2 * sizeof *half);
    tensor *middle;
    half[0] = (part){p->m, p->first, p->count / 2};
    half[1] = (part){p->m, p->first + p->count / 2, p->count - p->count / 2};
    tape_region(t, halves, &half[0], &middle, 1, in, 1);
    tape_region(t, halves, &half[1], out, 1, &middle, 1);
}

tensor *toy_run(tape *t, const toy_model *m, toy_regions regions, int blocks) {
    tensor *x = (tensor *)(uintptr_t)&m->input;
    part *p = tape_keep(t, (size_t)blocks * sizeof *p);
    for (int i = 0; i < blocks && regions != TOY_HALVES; i++) {
        tensor *in = x;
        p[i] = (part){m, i, 1};
        if (regions == TOY_PLAIN)
            block(t, &p[i], &x, &in);
        else
            tape_region(t, block, &p[i], &x, 1, &in, 1);
    }
    p[0] = (part){m, 0, blocks};
    if (regions == TOY_HALVES) {
        tensor *in = x;
        tape_region(t, halves, p, &x, 1, &in, 1);
    }
    return x;
}
