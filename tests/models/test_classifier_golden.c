// Training of the findings classifier against hi-ml's encoder and transformers' AdamW. Two gates:
// (a) f32 on the CPU, each step from the reference's weights: loss within 1e-5, every gradient
// within
//     1e-4, running statistics within 1e-5; the optimizer alone on equal gradients within 1e-6.
// (b) free-running in double on the oracle: losses within 1e-9, updates (end - start) of every
// tensor
//     and of the running statistics within 1e-6.
// Golden values: scripts/golden/classifier.py. Both are also run with mutations, and must turn red.
#include "optim/adamw.h"
#include "tests/models/helper_reference.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 6 };
static const int64_t batches[STEPS] = {4, 6, 5, 4, 6, 5}; // as in the script

// --- mutations -------------------------------------------------------------------------
typedef struct mutation {
    rule_mutation rule;
    bool eps_place;        // AdamW's eps inside the bias correction, as torch's
    bool stale_statistics; // running statistics that the last step did not update
} mutation;

// --- what a gate found -----------------------------------------------------------------
typedef struct verdict {
    double loss, gradient, statistics, statistics_update, weights, moments, update; // worst errors
    bool red; // one was above its limit
} verdict;

static void judge(verdict *v, double *worst, double error, double limit) {
    if (!(error <= *worst)) *worst = error;
    if (!(error <= limit)) v->red = true;
}

// --- one step --------------------------------------------------------------------------
static tensor *step_loss(reference_model *m, void *context) {
    const int step = *(const int *)context;
    char name[64];
    snprintf(name, sizeof name, "step.%d.image", step);
    tensor *image = reference_image(m, name, batches[step]);
    tensor *logits = classifier_logits(&m->tape, &m->model, image);
    snprintf(name, sizeof name, "step.%d.target", step);
    return reference_loss(m, logits, name);
}

static double run_step(reference_model *m, int step, mutation *change) {
    m->tape.training = true;
    m->tape.observe = rule_mutate;
    m->tape.observe_context = &change->rule;
    double *loss = reference_values(reference_run(m, step_loss, &step, true)), value = loss[0];
    mem_free(loss);
    return value;
}

static adamw_options options_of(const mutation *change) {
    adamw_options options = adamw_defaults(change->eps_place ? ADAMW_TORCH : ADAMW_TRANSFORMERS);
    options.eps = 1e-6;
    return options;
}

// One slice for each parameter that has a gradient, as the training loop makes them.
static int slices_of(const reference_model *m, optim_slice *slices) {
    int n = 0;
    for (size_t i = 0; i < m->params.count; i++) {
        const param *q = m->params.item[i];
        if (q->role == PARAM_WEIGHT && q->grad.written)
            slices[n++] = (optim_slice){q->offset, tensor_count(&q->value), 1, 0};
    }
    return n;
}

// Which parts of the model training touches, and which the golden files therefore hold.
static bool trained(const param *q) {
    return q->role != PARAM_CONSTANT && !strstr(q->name, "vit_pooler");
}

// The stand-in for a previous image is the same at every cell, so the projector's batch norm takes
// it out again: its gradient is zero but for rounding.
static bool vanishes(const param *q) {
    return strstr(q->name, "missing_previous_emb") != NULL;
}

// --- gate (a) --------------------------------------------------------------------------
static double *row_of(const safetensors *file, const char *kind, const param *q, int64_t row) {
    char name[256];
    int64_t n;
    snprintf(name, sizeof name, "%s.%s", kind, q->name);
    double *out = golden_tensor(file, name, row, &n);
    ck_assert_int_eq(n, tensor_count(&q->value));
    return out;
}

static void write_row(reference_model *m, const safetensors *file, const char *kind, const param *q,
                      int64_t row, void *block) {
    double *values = row_of(file, kind, q, row);
    ck_assert_int_eq(param_write_f64(&m->params, q, block, values), STATUS_OK);
    mem_free(values);
}

static void restart(reference_model *m, const safetensors *file, int step) {
    for (size_t i = 0; i < m->params.count; i++) {
        const param *q = m->params.item[i];
        if (trained(q)) write_row(m, file, "state", q, step, param_block(&m->params, q));
    }
}

static double *read_block(const reference_model *m, const param *q, const void *block) {
    double *out;
    ck_assert_int_eq(mem_new(&out, tensor_count(&q->value), "values"), STATUS_OK);
    ck_assert_int_eq(param_read_f64(&m->params, q, block, out), STATUS_OK);
    return out;
}

// BLOCK's part of Q against row ROW of the file; both less BEFORE (freed here) if that is not NULL.
static double error_of(const reference_model *m, const safetensors *file, const char *kind,
                       const param *q, int64_t row, const void *block, double *before) {
    int64_t n = tensor_count(&q->value);
    double *got = read_block(m, q, block), *want = row_of(file, kind, q, row);
    for (int64_t i = 0; before && i < n; i++) got[i] -= before[i], want[i] -= before[i];
    double error = reference_error(got, want, n);
    mem_free(before);
    mem_free(got);
    mem_free(want);
    return error;
}

static double norm_of_block(const reference_model *m, const param *q, const void *block) {
    double *x = read_block(m, q, block), sum = 0;
    for (int64_t i = 0; i < tensor_count(&q->value); i++) sum += x[i] * x[i];
    mem_free(x);
    return sqrt(sum);
}

// Gradients and statistics of one step that started from the reference.
static int judge_step(verdict *v, const reference_model *m, const safetensors *file, int step) {
    int gradients = 0;
    for (size_t i = 0; i < m->params.count; i++) {
        const param *q = m->params.item[i];
        if (q->role == PARAM_WEIGHT) ck_assert_msg(q->grad.written == trained(q), "%s", q->name);
        if (!trained(q)) continue;
        if (q->role == PARAM_BUFFER) {
            judge(v, &v->statistics,
                  error_of(m, file, "state", q, step + 1, m->params.buffers, NULL), 1e-5);
            double *before = row_of(file, "state", q, step);
            judge(v, &v->statistics_update,
                  error_of(m, file, "state", q, step + 1, m->params.buffers, before), 1e-4);
        } else if (vanishes(q)) {
            judge(v, &v->gradient, norm_of_block(m, q, m->params.gradients), 1e-6);
        } else {
            judge(v, &v->gradient,
                  error_of(m, file, "gradient", q, step, m->params.gradients, NULL), 1e-4);
            gradients++;
        }
    }
    return gradients;
}

// The optimizer on the reference's gradients, from the reference's weights; its moments run on.
static void judge_optimizer(verdict *v, reference_model *m, adamw *o, const safetensors *file,
                            int step, double lr) {
    optim_slice slices[256];
    const params *p = &m->params;
    restart(m, file, step);
    for (size_t i = 0; i < p->count; i++)
        if (trained(p->item[i]) && p->item[i]->role == PARAM_WEIGHT)
            write_row(m, file, "gradient", p->item[i], step, p->gradients);
    adamw_set_lr(o, m->device, lr);
    adamw_step(o, m->device, p->values, p->gradients, slices, slices_of(m, slices));
    for (size_t i = 0; i < p->count; i++) {
        const param *q = p->item[i];
        if (!trained(q) || q->role != PARAM_WEIGHT) continue;
        judge(v, &v->weights, error_of(m, file, "state", q, step + 1, p->values, NULL), 1e-6);
        // Weights are rounded to f32 on both sides: an update of a hundredth of them keeps fewer
        // digits.
        if (!vanishes(q))
            judge(
                v, &v->update,
                error_of(m, file, "state", q, step + 1, p->values, row_of(file, "state", q, step)),
                1e-4);
        if (step < STEPS - 1) continue;
        judge(v, &v->moments, error_of(m, file, "m", q, -1, o->m, NULL), 1e-6);
        judge(v, &v->moments, error_of(m, file, "v", q, -1, o->v, NULL), 1e-6);
    }
}

static verdict gate_a(mutation change, int steps) {
    safetensors *file;
    reference_model m;
    adamw o;
    verdict v = {0};
    int64_t n;
    ck_assert_int_eq(safetensors_open(&file, TEST_DATA "/classifier_f32.safetensors"), STATUS_OK);
    reference_open(&m, false, &reference_small);
    ck_assert_int_eq(adamw_init(&o, m.device, m.params.trainable, options_of(&change)), STATUS_OK);
    double *losses = golden_tensor(file, "losses", -1, &n), *lr = golden_tensor(file, "lr", -1, &n);
    for (int step = 0; step < steps; step++) {
        restart(&m, file, step);
        double loss = run_step(&m, step, &change);
        judge(&v, &v.loss, fabs(loss - losses[step]) / fabs(losses[step]), 1e-5);
        if (change.stale_statistics)
            for (size_t i = 0; i < m.params.count; i++)
                if (m.params.item[i]->role == PARAM_BUFFER)
                    write_row(&m, file, "state", m.params.item[i], step, m.params.buffers);
        ck_assert_int_ge(judge_step(&v, &m, file, step), 55);
        judge_optimizer(&v, &m, &o, file, step, lr[0]);
    }
    mem_free(losses);
    mem_free(lr);
    adamw_free(&o, m.device);
    reference_close(&m);
    safetensors_close(file);
    return v;
}

// --- gate (b) --------------------------------------------------------------------------
// Ends of all tensors, as updates from where they started.
static int judge_ends(verdict *v, reference_model *m, const safetensors *file) {
    int compared = 0;
    reference_model start;
    reference_open(&start, true, &reference_small);
    for (size_t i = 0; i < m->params.count; i++) {
        const param *q = m->params.item[i];
        if (!trained(q)) continue;
        const void *block = param_block(&m->params, q);
        double *before = read_block(&start, start.params.item[i], param_block(&start.params, q));
        bool statistic = q->role == PARAM_BUFFER;
        if (vanishes(q)) {
            mem_free(before);
            judge(v, &v->weights, error_of(m, file, "end", q, -1, block, NULL), 1e-9);
        } else {
            judge(v, statistic ? &v->statistics_update : &v->update,
                  error_of(m, file, "end", q, -1, block, before), 1e-6);
        }
        compared++;
    }
    reference_close(&start);
    return compared;
}

static void put_back(reference_model *m, void *kept, bool save) {
    void *buffers = m->params.buffers;
    size_t bytes = m->params.buffer_bytes;
    memcpy(save ? kept : buffers, save ? buffers : kept, bytes);
}

static verdict gate_b(mutation change, int steps) {
    safetensors *file;
    reference_model m;
    adamw o;
    optim_slice slices[256];
    verdict v = {0};
    int64_t n;
    char *kept;
    ck_assert_int_eq(safetensors_open(&file, TEST_DATA "/classifier_f64.safetensors"), STATUS_OK);
    reference_open(&m, true, &reference_small);
    ck_assert_int_eq(adamw_init(&o, m.device, m.params.trainable, options_of(&change)), STATUS_OK);
    ck_assert_int_eq(o.type, DTYPE_F64);
    ck_assert_int_eq(mem_new(&kept, m.params.buffer_bytes, "statistics"), STATUS_OK);
    double *losses = golden_tensor(file, "losses", -1, &n), *lr = golden_tensor(file, "lr", -1, &n);
    for (int step = 0; step < steps; step++) {
        put_back(&m, kept, true);
        double loss = run_step(&m, step, &change);
        if (change.stale_statistics && step == STEPS - 1) put_back(&m, kept, false);
        judge(&v, &v.loss, fabs(loss - losses[step]) / fabs(losses[step]), 1e-9);
        adamw_set_lr(&o, m.device, lr[0]);
        adamw_step(&o, m.device, m.params.values, m.params.gradients, slices, slices_of(&m, slices));
    }
    if (steps == STEPS) ck_assert_int_ge(judge_ends(&v, &m, file), 90);
    mem_free(kept);
    mem_free(losses);
    mem_free(lr);
    adamw_free(&o, m.device);
    reference_close(&m);
    safetensors_close(file);
    return v;
}

// --- tests -----------------------------------------------------------------------------
static void show(const char *gate, const verdict *v) {
    if (getenv("SHOW_ERRORS"))
        printf(
            "%s: loss %.1e gradient %.1e statistics %.1e (update %.1e) weights %.1e moments %.1e "
            "update %.1e%s\n",
            gate, v->loss, v->gradient, v->statistics, v->statistics_update, v->weights, v->moments,
            v->update, v->red ? " RED" : "");
}

START_TEST(steps_from_the_reference) {
    verdict v = gate_a((mutation){0}, STEPS);
    show("(a)", &v);
    ck_assert_msg(
        !v.red,
        "loss %g, gradients %g, statistics %g (updates %g), weights %g, moments %g, updates %g",
        v.loss, v.gradient, v.statistics, v.statistics_update, v.weights, v.moments, v.update);
}
END_TEST

START_TEST(free_running_in_double) {
    verdict v = gate_b((mutation){0}, STEPS);
    show("(b)", &v);
    ck_assert_msg(!v.red, "losses %g, updates %g, of statistics %g, weights %g", v.loss, v.update,
                  v.statistics_update, v.weights);
}
END_TEST

// Every rule on the classifier's tape, input by input.
static const mutation mutations[] = {
    {.rule = {"sigmoid_cross_entropy", 0}},
    {.rule = {"linear", 0}},
    {.rule = {"linear", 1}},
    {.rule = {"linear", 2}},
    {.rule = {"relu", 0}},
    {.rule = {"channels_first", 0}},
    {.rule = {"avg_pool2d", 0}},
    {.rule = {"conv2d", 0}},
    {.rule = {"conv2d", 1}},
    {.rule = {"conv2d", 2}},
    {.rule = {"batch_norm", 0}},
    {.rule = {"batch_norm", 1}},
    {.rule = {"batch_norm", 2}},
    {.rule = {"batch_norm", 3}},
    {.rule = {"concat_vector", 0}},
    {.rule = {"max_pool2d", 0}},
    {.rule = {"sum_channels", 0}},
    {.eps_place = true},
    {.stale_statistics = true},
};

static const char *name_of(const mutation *c) {
    return c->rule.op ? c->rule.op : c->eps_place ? "the place of eps" : "stale statistics";
}

START_TEST(mutations_turn_gate_a_red) {
    for (size_t i = 0; i < sizeof mutations / sizeof *mutations; i++) {
        verdict v = gate_a(mutations[i], 1);
        show(name_of(&mutations[i]), &v);
        ck_assert_msg(v.red, "%s, input %d: not caught", name_of(&mutations[i]),
                      mutations[i].rule.input);
    }
}
END_TEST

START_TEST(mutations_turn_gate_b_red) {
    for (size_t i = 0; i < sizeof mutations / sizeof *mutations; i++) {
        verdict v = gate_b(mutations[i], mutations[i].stale_statistics ? STEPS : 2);
        show(name_of(&mutations[i]), &v);
        ck_assert_msg(v.red, "%s, input %d: not caught", name_of(&mutations[i]),
                      mutations[i].rule.input);
    }
}
END_TEST

// Which ops the tape of a step holds: the list above must name them all.
static void expect_listed(void *context, tape *t, const tape_node *node) {
    int *seen = context;
    (void)t;
    for (size_t i = 0; i < sizeof mutations / sizeof *mutations; i++)
        if (mutations[i].rule.op && !strcmp(mutations[i].rule.op, node->op)) {
            (*seen)++;
            return;
        }
    ck_abort_msg("no mutation of %s", node->op);
}

START_TEST(every_rule_is_mutated) {
    reference_model m;
    int step = 0, seen = 0;
    reference_open(&m, false, &reference_small);
    m.tape.training = true;
    m.tape.observe = expect_listed;
    m.tape.observe_context = &seen;
    reference_run(&m, step_loss, &step, true);
    ck_assert_int_gt(seen, 50);
    reference_close(&m);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("classifier_golden");
    TCase *tests = tcase_create("training");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, steps_from_the_reference);
    tcase_add_test(tests, free_running_in_double);
    tcase_add_test(tests, every_rule_is_mutated);
    tcase_add_test(tests, mutations_turn_gate_a_red);
    tcase_add_test(tests, mutations_turn_gate_b_red);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
