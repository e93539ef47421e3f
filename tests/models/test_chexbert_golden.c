// CheXbert against transformers' BertModel with CheXbert's heads and loss, labeler_config. Two gates, as in
// test_classifier_golden.c: (a) one step from the reference's weights, in f32 on the CPU and in
// double on the oracle; (b) free-running in double. The reference pads its texts, the toolkit packs
// them. Golden values: scripts/golden/bert.py. Every rule on the tape is also made wrong by a
// hundredth, and must turn both gates red.
#include "models/bert_weights.h"
#include "optim/adamw.h"
#include "tests/models/helper_labeler.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool with_filler; // rows are rounded up
static const char *const kinds[] = {"gradient", NULL};

static double run_loss(labeler *l, rule_mutation *change) {
    l->base.tape.training = true;
    l->base.tape.observe = rule_mutate;
    l->base.tape.observe_context = change;
    double *loss = reference_values(reference_run(&l->base, labeler_loss, l, true)), value = loss[0];
    mem_free(loss);
    return value;
}

// All heads' logits side by side, as the file has them: (B, 54).
static void judge_logits(verdict *v, labeler *l, const safetensors *file, double limit) {
    int64_t n, columns = 0, all = 0;
    l->base.tape.training = false;
    reference_run(&l->base, labeler_logits, l, false);
    double *want = golden_tensor(file, "logits", -1, &n), *got;
    if (mem_new(&got, n, "logits")) die("%s", status_text());
    for (int h = 0; h < CHEXBERT_HEADS; h++) all += l->logits[h]->dim[1];
    ck_assert_int_eq(n, all * l->count);
    for (int h = 0; h < CHEXBERT_HEADS; columns += l->logits[h]->dim[1], h++) {
        double *x = reference_values(l->logits[h]);
        for (int64_t i = 0, C = l->logits[h]->dim[1]; i < l->count * C; i++)
            got[i / C * all + columns + i % C] = x[i];
        mem_free(x);
    }
    judge(v, &v->value, reference_error(got, want, n), limit, "logits");
    mem_free(got);
    mem_free(want);
}

// --- gates --------------------------------------------------------------------------------------
static verdict gate_a(bool oracle, rule_mutation change) {
    safetensors *file = golden_open("chexbert.safetensors");
    const limits *most = oracle ? &bert_double : &bert_f32;
    labeler l;
    verdict v = {0};
    int64_t n;
    labeler_open(&l, oracle, &labeler_config, BERT_MOST, BERT_LONGEST);
    labeler_load(&l, 0, with_filler);
    judge_logits(&v, &l, file, most->value);
    double *loss = golden_tensor(file, "loss", -1, &n);
    judge_loss(&v, run_loss(&l, &change), loss[0], most->loss, "loss");
    judge_gradients(&v, &l.base, file, kinds, most->gradient);
    ck_assert_int_eq(v.compared, 2 + 5 + 2 * 16 + 2 * CHEXBERT_HEADS);
    mem_free(loss);
    labeler_close(&l);
    safetensors_close(file);
    return v;
}

static int slices_of(const reference_model *m, optim_slice *slices) {
    int n = 0;
    for (size_t i = 0; i < m->params.count; i++) {
        const param *q = m->params.item[i];
        if (q->grad.written) slices[n++] = (optim_slice){q->offset, tensor_count(&q->value), 1, 0};
    }
    return n;
}

static verdict gate_b(rule_mutation change) {
    safetensors *file = golden_open("chexbert.safetensors");
    optim_slice slices[256];
    labeler l;
    adamw o;
    verdict v = {0};
    int64_t n;
    labeler_open(&l, true, &labeler_config, BERT_MOST, BERT_LONGEST);
    params *p = &l.base.params;
    adamw_options options = adamw_defaults(ADAMW_TORCH);
    options.eps = bert_eps;
    void *start = values_copy(&l.base);
    if (adamw_init(&o, l.base.device, p->trainable, options)) die("%s", status_text());
    double *losses = golden_tensor(file, "losses", -1, &n);
    ck_assert_int_eq(n, BERT_STEPS);
    for (int step = 0; step < BERT_STEPS; step++) {
        labeler_load(&l, step, with_filler);
        judge_loss(&v, run_loss(&l, &change), losses[step], bert_free_loss, "loss");
        adamw_set_lr(&o, l.base.device, bert_lr);
        adamw_step(&o, l.base.device, p->values, p->gradients, slices, slices_of(&l.base, slices));
    }
    judge_updates(&v, &l.base, file, start, bert_free_update);
    mem_free(losses);
    mem_free(start);
    adamw_free(&o, l.base.device);
    labeler_close(&l);
    safetensors_close(file);
    return v;
}

// --- tests --------------------------------------------------------------------------------------
// Also with filler rows, as where steps are recorded.
START_TEST(a_step_from_the_reference) {
    for (int oracle = 0; oracle < 2; oracle++)
        for (int filler = 0; filler < 2; filler++) {
            with_filler = filler;
            verdict v = gate_a(oracle, (rule_mutation){0});
            with_filler = false;
            verdict_show(oracle ? "(a) in double" : "(a) in f32", &v);
            ck_assert_msg(!verdict_red(&v), "%s: %s", oracle ? "in double" : "in f32", v.worst);
        }
}
END_TEST

START_TEST(free_running_in_double) {
    verdict v = gate_b((rule_mutation){0});
    verdict_show("(b)", &v);
    ck_assert_msg(!verdict_red(&v), "%s", v.worst);
    ck_assert_int_eq(v.compared, BERT_STEPS + 5 + 2 * 16 + 2 * CHEXBERT_HEADS);
}
END_TEST

START_TEST(mutations_turn_both_gates_red) {
    static const char *const expected[] = {
        "linear", "layer_norm", "gelu", "attention_rows", "cross_entropy", "add", "embedding"};
    labeler l;
    labeler_open(&l, true, &labeler_config, BERT_MOST, BERT_LONGEST);
    rules all = {0};
    labeler_load(&l, 0, with_filler);
    l.base.tape.training = true;
    l.base.tape.observe = rules_collect;
    l.base.tape.observe_context = &all;
    reference_run(&l.base, labeler_loss, &l, true);
    labeler_close(&l);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        ck_assert_msg(rules_have(&all, expected[i]), "%s is not on the tape", expected[i]);
    for (int i = 0; i < all.count; i++) {
        verdict a = gate_a(false, all.item[i]), b = gate_b(all.item[i]);
        verdict_show(all.item[i].op, &a);
        verdict_show(all.item[i].op, &b);
        ck_assert_msg(verdict_red(&a) && verdict_red(&b), "%s, input %d: not caught",
                      all.item[i].op, all.item[i].input);
    }
}
END_TEST

// At the paper's size, in f32: scripts/check_bert.sh.
START_TEST(full_size) {
    static const bert_config full = {.vocabulary = 30522,
                                     .positions = 512,
                                     .token_types = 2,
                                     .width = 768,
                                     .layers = 12,
                                     .heads = 12,
                                     .inner = 3072};
    bert_full f;
    labeler l;
    verdict v = {0};
    int64_t n;
    bert_full_open(&f, "chexbert");
    labeler_open(&l, false, &full, f.count, f.most);
    if (chexbert_load(&l.base.params, f.weights, true)) die("%s", status_text());
    l.count = f.count;
    packed_texts_load(&l.texts, f.ids, f.first, f.count, 0);
    int32_t *target = bert_full_whole(&f, "target", &n);
    ck_assert_int_eq(n, CHEXBERT_HEADS * l.count);
    for (int h = 0; h < CHEXBERT_HEADS; h++)
        memcpy(packed_host(&l.targets, &l.target[h]), target + h * l.count,
               (size_t)l.count * sizeof *target);
    packed_send(&l.targets);
    judge_logits(&v, &l, f.expected, bert_f32.value);
    double *loss = golden_tensor(f.expected, "loss", -1, &n);
    judge_loss(&v, run_loss(&l, &(rule_mutation){0}), loss[0], bert_f32.loss, "loss");
    judge_gradients(&v, &l.base, f.expected, kinds, bert_f32.gradient);
    verdict_show("full size", &v);
    ck_assert_msg(!verdict_red(&v), "%s", v.worst);
    ck_assert_int_eq(v.compared, 2 + 5 + 12 * 16 + 2 * CHEXBERT_HEADS);
    mem_free(loss);
    mem_free(target);
    labeler_close(&l);
    bert_full_close(&f);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("chexbert_golden");
    TCase *tests = tcase_create("chexbert");
    tcase_set_timeout(tests, 600);
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
