// The aligner behind its encoder - projector, Q-Former and its three losses - against LAVIS' Blip2Qformer, small. The
// reference pads its texts and makes four calls; the toolkit packs them and makes two passes. Hard negatives are given.
// Gates as in test_chexbert_golden.c: (a) one step from the reference's weights, each loss alone and their sum, in f32
// on the CPU and in double on the oracle; (b) free-running in double. Golden values: scripts/golden/bert.py.
#include "models/bert_weights.h"
#include "optim/adamw.h"
#include "tests/models/helper_learner.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS = 127 };
static const double weight_decay = 0.05;
static const char *const part_kinds[PARTS][4] = {{"itc"}, {"itm"}, {"lm"}, {"itc", "itm", "lm"}};

// --- calls one by one ---------------------------------------------------------------------------
static tensor *calls_body(reference_model *m, void *context) {
    learner *l = context;
    tape *t = &m->tape;
    const qformer *q = &l->model.qformer;
    qformer_sight sight;
    l->tokens = aligner_tokens(t, &l->model, learner_features(l));
    qformer_look(t, q, l->tokens, &sight);
    qformer_run(t, q, &l->batch.contrast, &sight, NULL, NULL, true, &l->states);
    l->image_features = qformer_image_features(t, q, l->states.queries);
    l->text_features = qformer_text_features(t, q, l->states.texts);
    l->image_to_text = divide_by(t, max_similarity(t, l->image_features, l->text_features, false), q->temp);
    l->text_to_image = divide_by(t, max_similarity(t, l->image_features, l->text_features, true), q->temp);
    return l->tokens;
}

// Each text's [CLS], of all rows that the reference has.
static void judge_first_rows(verdict *v, const learner *l, const safetensors *file, double limit) {
    int32_t ids[BERT_MOST * BERT_LONGEST], first[BERT_MOST + 1];
    int64_t n, D = learner_config.qformer.bert.width;
    int count = bert_texts(l->step, LEARNER_VOCABULARY, ids, first);
    double *all = golden_tensor(file, "text.hidden", -1, &n), *got = reference_values(l->states.texts);
    ck_assert_int_eq(n, first[count] * D);
    ck_assert_int_eq(tensor_count(l->states.texts), count * D);
    for (int i = 0; i < count; i++) memmove(all + i * D, all + first[i] * D, (size_t)D * sizeof *all);
    judge(v, &v->value, reference_error(got, all, count * D), limit, "text.hidden");
    mem_free(all);
    mem_free(got);
}

static void judge_calls(verdict *v, const learner *l, const safetensors *file, double limit) {
    const reference_model *m = &l->base;
    char name[64];
    judge_value(v, m, file, "image.tokens", l->tokens, limit);
    judge_value(v, m, file, "image.hidden", l->states.queries, limit);
    for (int i = 0; i < LEARNER_LAYERS; i++) {
        snprintf(name, sizeof name, "image.key.%d", i);
        judge_value(v, m, file, name, l->states.k[i], limit);
        snprintf(name, sizeof name, "image.value.%d", i);
        judge_value(v, m, file, name, l->states.v[i], limit);
    }
    judge_first_rows(v, l, file, limit);
    judge_value(v, m, file, "image.features", l->image_features, limit);
    judge_value(v, m, file, "text.features", l->text_features, limit);
    judge_value(v, m, file, "similarity.image_to_text", l->image_to_text, limit);
    judge_value(v, m, file, "similarity.text_to_image", l->text_to_image, limit);
}

static verdict run_calls(bool oracle, layout how) {
    safetensors *file = golden_open("qformer.safetensors");
    learner l;
    verdict v = {0};
    learner_open(&l, oracle, how);
    learner_load(&l, 0);
    reference_run(&l.base, calls_body, &l, false);
    judge_calls(&v, &l, file, oracle ? bert_double.value : bert_f32.value);
    learner_close(&l);
    safetensors_close(file);
    return v;
}

// Images alone, as `radialog embed` asks: a batch of empty texts.
static tensor *embed_body(reference_model *m, void *context) {
    learner *l = context;
    tensor *tokens = aligner_tokens(&m->tape, &l->model, learner_features(l));
    return aligner_embed(&m->tape, &l->model, &l->batch.contrast, tokens);
}

static verdict run_embed(bool oracle) {
    static const int32_t none[1], first[BERT_MOST + 1];
    safetensors *file = golden_open("qformer.safetensors");
    learner l;
    verdict v = {0};
    learner_open(&l, oracle, ALONE);
    l.count = BERT_MOST;
    aligner_batch_load(&l.batch, &(aligner_texts){.ids = none, .text_first = first, .own = l.count, .all = l.count});
    tensor *x = reference_run(&l.base, embed_body, &l, false);
    judge_value(&v, &l.base, file, "image.hidden", x, oracle ? bert_double.value : bert_f32.value);
    learner_close(&l);
    safetensors_close(file);
    return v;
}

// --- steps --------------------------------------------------------------------------------------
static void run_part(learner *l, part which, rule_mutation *change) {
    l->part = which;
    l->base.tape.training = true;
    l->base.tape.observe = rule_mutate;
    l->base.tape.observe_context = change;
    reference_run(&l->base, learner_loss, l, true);
}

// All losses of row STEP.
static void judge_losses(verdict *v, const learner *l, const safetensors *file, int64_t step, double limit) {
    const aligner_losses *x = &l->losses;
    tensor *const loss[PARTS] = {x->contrast, x->match, x->caption, x->sum};
    int64_t n;
    double *want = golden_tensor(file, "losses", step, &n), sum = want[CONTRAST] + want[MATCH] + want[CAPTION];
    ck_assert_int_eq(n, SUM);
    for (int i = 0; i < PARTS; i++) {
        double *got = reference_values(loss[i]);
        judge_loss(v, got[0], i < SUM ? want[i] : sum, limit, part_names[i]);
        mem_free(got);
    }
    mem_free(want);
}

static verdict gate_a(bool oracle, layout how, part which, rule_mutation change) {
    safetensors *file = golden_open("qformer.safetensors"), *gradients = golden_open("qformer_gradients.safetensors");
    const limits *most = oracle ? &bert_double : &bert_f32;
    learner l;
    verdict v = {0};
    learner_open(&l, oracle, how);
    learner_load(&l, 0);
    run_part(&l, which, &change);
    judge_losses(&v, &l, file, 0, most->loss);
    judge_value(&v, &l.base, file, "match.logits", l.losses.match_logits, most->value);
    v.compared = 0;
    judge_gradients(&v, &l.base, gradients, part_kinds[which], most->gradient);
    learner_close(&l);
    safetensors_close(gradients);
    safetensors_close(file);
    return v;
}

// LAVIS' rule for what decays.
static int slices_of(const reference_model *m, optim_slice *slices) {
    int n = 0;
    for (size_t i = 0; i < m->params.count; i++) {
        const param *q = m->params.item[i];
        if (q->frozen || q->role != PARAM_WEIGHT || !q->grad.written) continue;
        bool spared = q->file_rank < 2 || strstr(q->name, "bias") || strstr(q->name, "ln") || strstr(q->name, "bn");
        slices[n++] = (optim_slice){q->offset, tensor_count(&q->value), 1, spared ? 0 : weight_decay};
    }
    return n;
}

static verdict gate_b(layout how, rule_mutation change) {
    safetensors *file = golden_open("qformer.safetensors");
    optim_slice slices[TENSORS];
    learner l;
    adamw o;
    verdict v = {0};
    learner_open(&l, true, how);
    params *p = &l.base.params;
    adamw_options options = adamw_defaults(ADAMW_TORCH);
    options.eps = bert_eps;
    void *start = values_copy(&l.base);
    if (adamw_init(&o, l.base.device, p->trainable, options)) die("%s", status_text());
    for (int step = 0; step < BERT_STEPS; step++) {
        learner_load(&l, step);
        run_part(&l, SUM, &change);
        judge_losses(&v, &l, file, step, bert_free_loss);
        adamw_set_lr(&o, l.base.device, bert_lr);
        adamw_step(&o, l.base.device, p->values, p->gradients, slices, slices_of(&l.base, slices));
    }
    v.compared = 0;
    judge_updates(&v, &l.base, file, start, bert_free_update);
    mem_free(start);
    adamw_free(&o, l.base.device);
    learner_close(&l);
    safetensors_close(file);
    return v;
}

// --- tests --------------------------------------------------------------------------------------
static void expect_green(const char *what, bool oracle, const char *detail, const verdict *v) {
    char title[96];
    snprintf(title, sizeof title, "%s, %s, %s", what, oracle ? "double" : "f32", detail);
    verdict_show(title, v);
    ck_assert_msg(!verdict_red(v), "%s: %s", title, v->worst);
}

START_TEST(calls_one_by_one) {
    for (int oracle = 0; oracle < 2; oracle++) {
        for (layout how = 0; how < LAYOUTS; how++) {
            verdict v = run_calls(oracle, how);
            expect_green("calls", oracle, layout_names[how], &v);
            ck_assert_int_eq(v.compared, 2 + 2 * LEARNER_LAYERS + 5);
        }
        verdict v = run_embed(oracle);
        expect_green("embed", oracle, "", &v);
    }
}
END_TEST

START_TEST(a_step_from_the_reference) {
    for (int oracle = 0; oracle < 2; oracle++)
        for (layout how = 0; how < LAYOUTS; how++)
            for (part which = 0; which < PARTS; which++) {
                verdict v = gate_a(oracle, how, which, (rule_mutation){0});
                expect_green(part_names[which], oracle, layout_names[how], &v);
                if (which == SUM) ck_assert_int_eq(v.compared, TENSORS);
            }
}
END_TEST

START_TEST(free_running_in_double) {
    for (layout how = 0; how < LAYOUTS; how++) {
        verdict v = gate_b(how, (rule_mutation){0});
        expect_green("(b)", true, layout_names[how], &v);
        ck_assert_int_eq(v.compared, TENSORS);
    }
}
END_TEST

START_TEST(mutations_turn_both_gates_red) {
    static const char *const expected[] = {"linear", "layer_norm", "gelu", "attention_rows", "cross_entropy", "add",
                                           "embedding", "max_similarity", "l2_normalise", "divide_by", "mean_tokens",
                                           "linear_cross_entropy"};
    learner l;
    rules all = {0};
    learner_open(&l, true, RANKS);
    learner_load(&l, 0);
    l.part = SUM;
    l.base.tape.training = true;
    l.base.tape.observe = rules_collect;
    l.base.tape.observe_context = &all;
    reference_run(&l.base, learner_loss, &l, true);
    learner_close(&l);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        ck_assert_msg(rules_have(&all, expected[i]), "%s is not on the tape", expected[i]);
    for (int i = 0; i < all.count; i++) {
        verdict a = gate_a(false, RANKS, SUM, all.item[i]), b = gate_b(RANKS, all.item[i]);
        verdict_show(all.item[i].op, &a);
        verdict_show(all.item[i].op, &b);
        ck_assert_msg(verdict_red(&a) && verdict_red(&b), "%s, input %d: not caught", all.item[i].op,
                      all.item[i].input);
    }
}
END_TEST

// --- full size ----------------------------------------------------------------------------------
static const aligner_config full = {
    .encoder = {.image_size = 448,
                .stem = 64,
                .stages = 4,
                .width = {64, 128, 256, 512},
                .blocks = {3, 4, 6, 3},
                .vit_width = 256,
                .pooler_blocks = 3,
                .pooler_heads = 8,
                .joint_width = 1408},
    .qformer = {.bert = {.vocabulary = 30523,
                         .positions = 512,
                         .width = 768,
                         .layers = 12,
                         .heads = 12,
                         .inner = 3072},
                .queries = 32,
                .image_width = 1408,
                .cross_every = 2,
                .projection = 256,
                .smoothing = 0.1},
    .channel_runs = true,
};

// The projector and what stands for a previous image; the trunk is not needed.
static void read_frozen(learner *l, const safetensors *inputs) {
    params *p = &l->base.params;
    for (size_t i = 0; i < safetensors_count(inputs); i++) {
        const safetensors_entry *e = safetensors_at(inputs, i);
        param *q = params_find(p, e->name);
        int64_t n;
        if (!q) continue;
        double *values = golden_tensor(inputs, e->name, -1, &n);
        ck_assert_int_eq(n, tensor_count(&q->value));
        if (param_write_f64(p, q, param_block(p, q), values)) die("%s", status_text());
        mem_free(values);
    }
}

static void judge_full(verdict *v, learner *l, const bert_full *f) {
    static const char *const kinds[] = {"gradient", NULL};
    const aligner_losses *x = &l->losses;
    reference_run(&l->base, calls_body, l, false);
    judge_value(v, &l->base, f->expected, "image.hidden", l->states.queries, bert_f32.value);
    judge_value(v, &l->base, f->expected, "similarity.image_to_text", l->image_to_text, bert_f32.value);
    judge_value(v, &l->base, f->expected, "similarity.text_to_image", l->text_to_image, bert_f32.value);
    run_part(l, SUM, &(rule_mutation){0});
    judge_losses(v, l, f->expected, -1, bert_f32.loss);
    judge_value(v, &l->base, f->expected, "image.features", x->image_features, bert_f32.value);
    judge_value(v, &l->base, f->expected, "text.features", x->text_features, bert_f32.value);
    judge_value(v, &l->base, f->expected, "match.logits", x->match_logits, bert_f32.value);
    v->compared = 0;
    judge_gradients(v, &l->base, f->expected, kinds, bert_f32.gradient);
}

// At the paper's size, in f32: scripts/check_bert.sh.
START_TEST(full_size) {
    bert_full f;
    learner l;
    verdict v = {0};
    int64_t n;
    bool whole;
    bert_full_open(&f, "qformer");
    const aligner_batch_limits most = {.own = f.count, .all = f.count, .most = f.most, .alone = true};
    learner_make(&l, reference_device(false), &full, &most);
    if (aligner_load(&l.base.params, f.weights, &whole)) die("%s", status_text());
    read_frozen(&l, f.inputs);
    l.inputs = f.inputs;
    l.count = f.count;
    int32_t *image = bert_full_whole(&f, "negative.image", &n), *text = bert_full_whole(&f, "negative.text", &n);
    aligner_batch_load(&l.batch, &(aligner_texts){.ids = f.ids,
                                                  .text_first = f.first,
                                                  .wrong_image = image,
                                                  .wrong_text = text,
                                                  .own = f.count,
                                                  .all = f.count,
                                                  .begin = full.qformer.bert.vocabulary - 1});
    judge_full(&v, &l, &f);
    expect_green("full size", false, "", &v);
    ck_assert_int_eq(v.compared, 343);
    mem_free(image);
    mem_free(text);
    learner_close(&l);
    bert_full_close(&f);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("qformer_golden");
    TCase *tests = tcase_create("qformer");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, calls_one_by_one);
    tcase_add_test(tests, a_step_from_the_reference);
    tcase_add_test(tests, free_running_in_double);
    tcase_add_test(tests, mutations_turn_both_gates_red);
    if (bert_full_wanted()) tcase_add_test(tests, full_size);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
