// A whole language model on the CUDA kernels (the shim, or the GPU where this is linked with tests/gpu/) and in bf16 on
// the CPU against the oracle, forward and backward: adapters beside frozen weights with image tokens and a shared
// prefix, and everything trained.
#include "tests/core/helper_check.h"
#include "tests/models/helper_llama.h"
#include "tests/models/helper_outcome.h"
#include "tests/shim/shim.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct turn {
    speaker *speaker;
    tensor *logits;
} turn;

// Logits are a pass of their own: the loss does not make them.
static tensor *run_turn(reference_model *m, void *context) {
    turn *t = context;
    t->logits = speaker_logits(m, t->speaker);
    return speaker_loss(m, t->speaker);
}

// Of the models below.
static llama_case now;
static const llama_config *sizes;

static void open_loaded(void *model, device *d) {
    speaker_open_on(model, d, now, sizes, NULL);
    speaker_load(model, 0, 0, LLAMA_SAMPLES, now == LLAMA_LORA || now == LLAMA_SEVEN);
}

static void take(outcome *o, void *model, rule_mutation *change) {
    speaker *s = model;
    turn t = {.speaker = s};
    outcome_take(o, &s->base, run_turn, &t, &t.logits, change);
}

static void close(void *model) {
    speaker_close(model);
}

static void compare(llama_case which, const llama_config *c, dtype type, bool on_cpu, const distance *limit) {
    speaker want, got;
    char title[64];
    snprintf(title, sizeof title, "%s, %d key heads", llama_case_names[which], c->key_heads);
    now = which;
    sizes = c;
    outcome_compare(&(outcome_case){.title = title,
                                    .want = &want,
                                    .got = &got,
                                    .want_base = &want.base,
                                    .got_base = &got.base,
                                    .open = open_loaded,
                                    .take = take,
                                    .close = close,
                                    .wrong = which < LLAMA_FULL ? "linear_lora" : "linear"},
                    type, on_cpu, limit);
}

// Loss, logits, all gradients, the worst tensor's. With adapters on all layers and random weights roundings grow more.
typedef struct limits_of {
    distance f32, f16, bf16;
} limits_of;
static const limits_of tame = {.f32 = {1e-5, 1e-5, 1e-4, 1e-4, NULL},
                               .f16 = {1e-3, 6e-3, 2e-2, 3e-2, NULL},
                               .bf16 = {3e-3, 5e-2, 8e-2, 0.15, NULL}},
                       wild = {.f32 = {1e-5, 1e-5, 1e-4, 1e-4, NULL},
                               .f16 = {4e-3, 3e-2, 0.2, 0.25, NULL},
                               .bf16 = {3e-2, 0.25, 0.9, INFINITY, NULL}};
static const distance tf32 = {4e-3, 3e-2, 0.2, 0.25, NULL};

static bool on_gpu(void) {
    device *d = NULL;
    ck_assert_int_eq(device_open_shim(&d, DTYPE_F32), STATUS_OK);
    const bool gpu = !strcmp(d->name, "cuda");
    device_close(d);
    return gpu;
}

// The shim takes its time: narrow types once, which ops are tested in one by one.
static void compare_all(llama_case which, const llama_config *c) {
    const limits_of *most = which == LLAMA_SEVEN ? &wild : &tame;
    compare(which, c, DTYPE_F32, false, shim_rounds_factors() ? &tf32 : &most->f32);
    compare(which, c, DTYPE_BF16, true, &most->bf16);
    if (shim_rounds_factors() || (!on_gpu() && which != LLAMA_LORA)) return;
    compare(which, c, DTYPE_F16, false, &most->f16);
    compare(which, c, DTYPE_BF16, false, &most->bf16);
}

START_TEST(every_case) {
    const llama_config c = llama_case_config((llama_case)_i);
    compare_all((llama_case)_i, &c);
}
END_TEST

// Queries that share keys, as LLaMA 3's.
START_TEST(grouped_queries) {
    llama_config c = llama_case_config(LLAMA_SEVEN);
    c.key_heads = 2;
    compare_all(LLAMA_SEVEN, &c);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("language models on the CUDA device");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 600);
    tcase_add_loop_test(all, every_case, 0, LLAMA_CASES);
    tcase_add_test(all, grouped_queries);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
