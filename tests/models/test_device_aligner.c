// The aligner behind its encoder, with its three losses, on the CUDA kernels (the shim, or the GPU where this is linked
// with tests/gpu/) and in bf16 on the CPU against the oracle, forward and backward. Hard negatives are given.
#include "tests/core/helper_check.h"
#include "tests/models/helper_learner.h"
#include "tests/models/helper_outcome.h"
#include "tests/shim/shim.h"

#include <check.h>
#include <math.h>

static layout how_laid; // of the models below

static void open_loaded(void *model, device *d) {
    learner *l = model;
    learner_open_on(l, d, how_laid);
    learner_load(l, 0);
    l->part = SUM;
}

static void take(outcome *o, void *model, rule_mutation *change) {
    learner *l = model;
    outcome_take(o, &l->base, learner_loss, l, &l->losses.match_logits, change);
}

static void close(void *model) {
    learner_close(model);
}

// A softmax over keys takes their biases out again.
static void compare(layout how, dtype type, bool on_cpu, const distance *limit) {
    learner want, got;
    how_laid = how;
    outcome_compare(&(outcome_case){.title = layout_names[how],
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

// Loss, logits of image-text matching, all gradients, the worst tensor's.
static const distance f32 = {1e-5, 1e-5, 1e-4, 1e-4, NULL}, f16 = {1e-3, 6e-3, 2e-2, 4e-2, NULL},
                      bf16 = {3e-3, 5e-2, 8e-2, 0.2, NULL}, tf32 = {1e-3, 6e-3, 2e-2, 4e-2, NULL};

START_TEST(each_layout) {
    compare((layout)_i, DTYPE_F32, false, shim_rounds_factors() ? &tf32 : &f32);
}
END_TEST

START_TEST(narrow) {
    compare(STEPPED, DTYPE_BF16, true, &bf16);
    if (shim_rounds_factors()) return;
    compare(STEPPED, DTYPE_BF16, false, &bf16);
    compare(STEPPED, DTYPE_F16, false, &f16);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("the aligner on the CUDA device");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 600);
    tcase_add_loop_test(all, each_layout, 0, LAYOUTS);
    tcase_add_test(all, narrow);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
