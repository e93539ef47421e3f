// The language model against transformers' LlamaForCausalLM with PEFT's adapters, small. The
// reference pads its micro-batches, the toolkit packs the whole step. Gates as in
// test_chexbert_golden.c: (a) one step from the reference's weights, in f32 on the CPU and in
// double on the oracle, laid out in every way that must not matter; (b) free-running in double.
// Golden values: scripts/golden/llama.py. Every rule on the tape is also made wrong by a hundredth,
// and must turn both gates red.
//
// In double, cosines and sines of positions are the reference's: they are single numbers, and two
// libraries' differ in the last bit, which is above 1e-9. In f32 they are llama_fill's.
#include "tests/models/helper_llama.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"gradient", NULL};
// Tensors with gradients: of three layers, and of what is beside them.
static const int tensors[LLAMA_CASES] = {3 * 2 * 2 + 2, 3 * 7 * 2 + 2, 3 * 9 + 3, 3 * 9 + 2};

// How a step is laid out; the numbers must not depend on it.
typedef struct layout {
    const char *name;
    bool share, filler;
    int pieces;     // in how many batches, whose gradients add up
    int64_t region; // layers in a region that is run again
} layout;
static const layout layouts[] = {
    {.name = "packed", .pieces = 1},
    {.name = "shared prefix", .pieces = 1, .share = true},
    {.name = "in two pieces", .pieces = 2, .share = true},
    {.name = "one by one", .pieces = LLAMA_SAMPLES},
    {.name = "filler", .pieces = 1, .filler = true},
    {.name = "filler, shared prefix", .pieces = 1, .share = true, .filler = true},
    {.name = "regions of 1", .pieces = 1, .region = 1},
    {.name = "regions of 2, shared prefix", .pieces = 1, .share = true, .region = 2},
    {.name = "one region", .pieces = 1, .region = 3},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static void open_case(speaker *s, bool oracle, llama_case which, const layout *how,
                      const safetensors *file, double dropout) {
    llama_config c = llama_case_config(which);
    c.region_layers = how->region;
    c.lora.dropout = dropout;
    speaker_open(s, oracle, which, &c, oracle ? file : NULL);
    s->batch.steps = how->filler;
    tape_checkpointing(&s->base.tape, how->region > 0);
}

// --- steps --------------------------------------------------------------------------------------
// Gradients so far are added to SUM, which gets the next ones as the block of gradients.
static void add_gradients(speaker *s, double *sum) {
    const params *p = &s->base.params;
    device *d = s->base.device;
    const dtype wide = dtype_wide(d->type);
    const size_t bytes = (size_t)p->trainable * dtype_size(wide);
    char *raw;
    if (mem_take((void **)&raw, bytes, 1, "gradients")) die("%s", status_text());
    d->download(d, raw, p->gradients, bytes);
    d->wait(d);
    for (int64_t i = 0; i < p->trainable; i++) {
        sum[i] += element_get(raw, i, wide);
        element_put(raw, i, sum[i], wide);
    }
    d->upload(d, p->gradients, raw, bytes);
    d->wait(d);
    mem_free(raw);
}

static int trained(const params *p) {
    int n = 0;
    for (size_t i = 0; i < p->count; i++) n += p->item[i]->value.grad != NULL;
    return n;
}

// A step's loss; the gradients of all its pieces lie in the block.
static double run_step(speaker *s, const layout *how, int step, rule_mutation *change) {
    const int each = LLAMA_SAMPLES / how->pieces;
    double loss = 0, *sum;
    if (mem_new(&sum, s->base.params.trainable, "gradients")) die("%s", status_text());
    for (int first = 0; first < LLAMA_SAMPLES; first += each) {
        speaker_load(s, step, first, each, how->share);
        ck_assert((s->batch.ids.dim[0] > s->batch.tokens) == how->filler);
        loss += speaker_run(s, change);
        optim_slice slices[64];
        ck_assert_int_eq(speaker_slices(s, slices), trained(&s->base.params));
        add_gradients(s, sum);
    }
    mem_free(sum);
    return loss;
}

// Rows behind the last supervised token are filler.
static void judge_logits(verdict *v, speaker *s, const safetensors *file, double limit) {
    int64_t n;
    s->base.tape.training = false;
    tensor *x = reference_run(&s->base, speaker_logits, s, false);
    double *want = golden_tensor(file, "logits", -1, &n), *got = reference_values(x);
    ck_assert_int_eq(n, s->batch.targets * x->dim[1]);
    judge(v, &v->value, reference_error(got, want, n), limit, "logits");
    mem_free(got);
    mem_free(want);
}

// --- gates --------------------------------------------------------------------------------------
static verdict gate_a(bool oracle, llama_case which, const layout *how, rule_mutation change) {
    safetensors *file = llama_case_open(which);
    const limits *most = oracle ? &bert_double : &bert_f32;
    speaker s;
    verdict v = {0};
    int64_t n;
    open_case(&s, oracle, which, how, file, 0);
    if (how->pieces == 1) {
        speaker_load(&s, 0, 0, LLAMA_SAMPLES, how->share);
        judge_logits(&v, &s, file, most->value);
    }
    double *loss = golden_tensor(file, "loss", -1, &n);
    judge_loss(&v, run_step(&s, how, 0, &change), loss[0], most->loss, "loss");
    v.compared = 0;
    judge_gradients(&v, &s.base, file, kinds, most->gradient);
    ck_assert_int_eq(v.compared, tensors[which]);
    mem_free(loss);
    speaker_close(&s);
    safetensors_close(file);
    return v;
}

static verdict gate_b(llama_case which, const layout *how, rule_mutation change) {
    safetensors *file = llama_case_open(which);
    optim_slice slices[64];
    speaker s;
    adamw o;
    verdict v = {0};
    int64_t n;
    open_case(&s, true, which, how, file, 0);
    params *p = &s.base.params;
    adamw_options options = adamw_defaults(ADAMW_TORCH);
    options.eps = llama_eps;
    void *start = values_copy(&s.base);
    if (adamw_init(&o, s.base.device, p->trainable, options)) die("%s", status_text());
    double *losses = golden_tensor(file, "losses", -1, &n);
    ck_assert_int_eq(n, LLAMA_STEPS);
    for (int step = 0; step < LLAMA_STEPS; step++) {
        judge_loss(&v, run_step(&s, how, step, &change), losses[step], bert_free_loss, "loss");
        adamw_set_lr(&o, s.base.device, llama_lr);
        adamw_step(&o, s.base.device, p->values, p->gradients, slices, speaker_slices(&s, slices));
    }
    v.compared = 0;
    judge_updates(&v, &s.base, file, start, bert_free_update);
    ck_assert_int_eq(v.compared, tensors[which]);
    mem_free(losses);
    mem_free(start);
    adamw_free(&o, s.base.device);
    speaker_close(&s);
    safetensors_close(file);
    return v;
}

// --- tests --------------------------------------------------------------------------------------
static void expect_green(const char *gate, bool oracle, llama_case which, const char *detail,
                         const verdict *v) {
    char title[96];
    snprintf(title, sizeof title, "%s %s, %s, %s", gate, llama_case_names[which],
             oracle ? "double" : "f32", detail);
    verdict_show(title, v);
    ck_assert_msg(!verdict_red(v), "%s: %s", title, v->worst);
}

START_TEST(a_step_from_the_reference) {
    for (int oracle = 0; oracle < 2; oracle++)
        for (llama_case which = 0; which < LLAMA_CASES; which++)
            for (int i = 0; i < LAYOUTS; i++) {
                verdict v = gate_a(oracle, which, &layouts[i], (rule_mutation){0});
                expect_green("(a)", oracle, which, layouts[i].name, &v);
            }
}
END_TEST

START_TEST(free_running_in_double) {
    for (llama_case which = 0; which < LLAMA_CASES; which++)
        for (int i = 0; i < LAYOUTS; i++) {
            verdict v = gate_b(which, &layouts[i], (rule_mutation){0});
            expect_green("(b)", true, which, layouts[i].name, &v);
        }
}
END_TEST

// What differs between layouts, in f32: rounding alone. PLAIN: the plain layout's gradients, behind
// each other.
static void expect_equal(const speaker *s, const double *plain, const char *name) {
    const params *p = &s->base.params;
    // The library's products without AVX-512 sum in an order that depends more on where a row stands: 1.07e-5 there.
    const double most = __builtin_cpu_supports("avx512f") ? 1e-5 : 2e-5;
    for (size_t i = 0; i < p->count; i++) {
        const param *q = p->item[i];
        if (!q->value.grad) continue;
        double *got = reference_gradient(&s->base, q);
        const double error = reference_error(got, plain, tensor_count(&q->value));
        ck_assert_msg(error <= most, "%s, %s: %.2e from the plain layout", name, q->name, error);
        plain += tensor_count(&q->value);
        mem_free(got);
    }
}

static double *copy_gradients(const speaker *s) {
    const params *p = &s->base.params;
    double *out;
    int64_t at = 0;
    if (mem_new(&out, p->trainable, "gradients")) die("%s", status_text());
    for (size_t i = 0; i < p->count; i++) {
        const param *q = p->item[i];
        if (!q->value.grad) continue;
        double *x = reference_gradient(&s->base, q);
        memcpy(out + at, x, (size_t)tensor_count(&q->value) * sizeof *x);
        at += tensor_count(&q->value);
        mem_free(x);
    }
    return out;
}

// The plain layout's loss. Dropout's draws know samples and positions, not rows; only in a shared
// prefix is the same dropped for all.
static double compare_layouts(llama_case which, double dropout) {
    double *plain = NULL, first = 0;
    for (int i = 0; i < LAYOUTS; i++) {
        const layout *how = &layouts[i];
        speaker s;
        if (dropout > 0 && how->share) continue;
        open_case(&s, false, which, how, NULL, dropout);
        const double loss = run_step(&s, how, 0, &(rule_mutation){0});
        if (!plain) {
            plain = copy_gradients(&s);
            first = loss;
        }
        ck_assert_msg(fabs(loss - first) <= 1e-5 * first, "%s: loss %.9g, not %.9g", how->name,
                      loss, first);
        expect_equal(&s, plain, how->name);
        speaker_close(&s);
    }
    mem_free(plain);
    return first;
}

START_TEST(layouts_are_equal) {
    for (llama_case which = 0; which < LLAMA_CASES; which++) {
        const double loss = compare_layouts(which, 0);
        if (which < LLAMA_FULL) ck_assert(fabs(compare_layouts(which, 0.3) - loss) > 1e-2);
    }
}
END_TEST

START_TEST(mutations_turn_both_gates_red) {
    static const llama_case cases[] = {LLAMA_SEVEN, LLAMA_FULL};
    static const char *const expected[2][8] = {
        {"linear", "linear_lora", "rms_norm", "rotate_heads", "attention_rows", "swiglu",
         "replace_rows", "linear_cross_entropy"},
        {"linear", "rms_norm", "rotate_heads", "attention_rows", "swiglu", "embedding",
         "linear_cross_entropy"}};
    for (int k = 0; k < 2; k++) {
        const layout *how = &layouts[k ? 0 : 1];
        speaker s;
        rules all = {0};
        open_case(&s, true, cases[k], how, NULL, 0);
        speaker_load(&s, 0, 0, LLAMA_SAMPLES, how->share);
        s.base.tape.training = true;
        s.base.tape.observe = rules_collect;
        s.base.tape.observe_context = &all;
        reference_run(&s.base, speaker_loss, &s, true);
        speaker_close(&s);
        for (int i = 0; i < 8 && expected[k][i]; i++)
            ck_assert_msg(rules_have(&all, expected[k][i]), "%s is not on the tape",
                          expected[k][i]);
        for (int i = 0; i < all.count; i++) {
            verdict a = gate_a(false, cases[k], how, all.item[i]),
                    b = gate_b(cases[k], how, all.item[i]);
            verdict_show(all.item[i].op, &a);
            verdict_show(all.item[i].op, &b);
            ck_assert_msg(verdict_red(&a) && verdict_red(&b), "%s, input %d: not caught",
                          all.item[i].op, all.item[i].input);
        }
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("llama_golden");
    TCase *tests = tcase_create("llama");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, a_step_from_the_reference);
    tcase_add_test(tests, free_running_in_double);
    tcase_add_test(tests, layouts_are_equal);
    tcase_add_test(tests, mutations_turn_both_gates_red);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
