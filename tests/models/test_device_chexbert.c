// CheXbert on the CUDA kernels (the shim, or the GPU where this is linked with tests/gpu/) and in bf16 on the CPU against
// the oracle, forward and backward.
#include "tests/core/helper_check.h"
#include "tests/models/helper_labeler.h"
#include "tests/models/helper_outcome.h"
#include "tests/shim/shim.h"

#include <check.h>
#include <math.h>

// The first head's logits are a pass of their own.
static tensor *run_step(reference_model *m, void *context) {
    labeler_logits(m, context);
    return labeler_loss(m, context);
}

static void open_loaded(void *model, device *d) {
    labeler_open_on(model, d, &labeler_config, BERT_MOST, BERT_LONGEST);
    labeler_load(model, 0, true);
}

static void take(outcome *o, void *model, rule_mutation *change) {
    labeler *l = model;
    outcome_take(o, &l->base, run_step, l, &l->logits[0], change);
}

static void close(void *model) {
    labeler_close(model);
}

// A softmax over keys takes their biases out again.
static void compare(dtype type, bool on_cpu, const distance *limit) {
    labeler want, got;
    outcome_compare(&(outcome_case){.title = "CheXbert",
                                    .want = &want,
                                    .got = &got,
                                    .want_base = &want.base,
                                    .got_base = &got.base,
                                    .open = open_loaded,
                                    .take = take,
                                    .close = close,
                                    .idle = "key.bias",
                                    .wrong = "linear"},
                    type, on_cpu, limit);
}

// Loss, logits, all gradients, the worst tensor's.
static const distance f32 = {1e-5, 1e-5, 1e-4, 1e-4, NULL}, f16 = {1e-3, 6e-3, 2e-2, 4e-2, NULL},
                      bf16 = {3e-3, 5e-2, 8e-2, 0.2, NULL}, tf32 = {1e-3, 6e-3, 2e-2, 4e-2, NULL};

START_TEST(each_precision) {
    compare(DTYPE_BF16, true, &bf16);
    compare(DTYPE_F32, false, shim_rounds_factors() ? &tf32 : &f32);
    if (shim_rounds_factors()) return;
    compare(DTYPE_BF16, false, &bf16);
    compare(DTYPE_F16, false, &f16);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("CheXbert on the CUDA device");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 600);
    tcase_add_test(all, each_precision);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
