// A whole classifier on the CUDA kernels (the shim, or the GPU where this is linked with tests/gpu/) against the
// oracle and the CPU, forward and backward, in each precision. Weights and statistics are random.
#include "tests/models/helper_outcome.h"
#include "tests/shim/shim.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct pass {
    int64_t batch;
    bool prior; // with an image from before, which the temporal pooler reads
    tensor *logits;
} pass;

static tensor *run_pass(reference_model *m, void *context) {
    pass *p = context;
    tape *t = &m->tape;
    tensor *image = reference_image(m, "device.image", p->batch);
    tensor *before = p->prior ? reference_image(m, "device.before", p->batch) : NULL;
    tensor *patches = biovil_t_patches(t, &m->model.encoder, image, before);
    p->logits = classifier_head(t, &m->model, biovil_t_project(t, &m->model.encoder, patches));
    return reference_loss(m, p->logits, "device.target");
}

typedef enum other { ORACLE, CPU, CPU_BF16 } other;

static device *other_device(other kind) {
    return kind == ORACLE ? reference_device(true) : outcome_device(kind == CPU ? DTYPE_F32 : DTYPE_BF16, true);
}

static void compare_passes(const classifier_config *c, pass theirs, dtype type, other kind, distance limit) {
    static rule_mutation none, wrong = {.op = "linear", .input = 0};
    reference_model want, got;
    outcome w = {0}, g = {0}, m = {0};
    pass ours = theirs;
    // The same everywhere in an image, so batch norm takes it out: a gradient of zero but for roundings.
    const char *idle = theirs.prior ? "vit_pooler.norm_post.bias" : "missing_previous_emb";
    device *d = outcome_device(type, false);
    char title[128];
    reference_open_on(&want, other_device(kind), c);
    reference_open_on(&got, d, c);
    if (type == DTYPE_F16) got.scale = 4096; // as training scales: its gradients are below what f16 holds
    outcome_take(&w, &want, run_pass, &theirs, &theirs.logits, &none);
    outcome_take(&g, &got, run_pass, &ours, &ours.logits, &none);
    snprintf(title, sizeof title, "%s %s against %s %s, %d pixels", d->name, dtype_name(type),
             want.device->name, dtype_name(want.device->type), c->encoder.image_size);
    expect_near(&g, &w, &got.params, idle, &limit, title);
    if (limit.tensor < 1e-3) { // a rule that is 1 % off is seen
        outcome_take(&m, &got, run_pass, &ours, &ours.logits, &wrong);
        distance off = distance_between(&m, &w, &got.params, idle);
        ck_assert(!distance_within(&off, &limit));
        outcome_free(&m, &got);
    }
    outcome_free(&g, &got);
    outcome_free(&w, &want);
    reference_close(&got);
    reference_close(&want);
}

static void compare(const classifier_config *c, int64_t batch, dtype type, other kind, distance limit) {
    compare_passes(c, (pass){.batch = batch}, type, kind, limit);
}

// Roundings of narrow activations turn the signs of some before a ReLU: in double, gradients of single tensors
// are then far off, on any device. The loss, the logits and the gradient as a whole hold; and in bf16 each
// tensor's against the CPU, which rounds in the same places.
static const distance exact = {1e-5, 1e-4, 5e-4, 5e-4, NULL}, half = {2e-3, 1e-2, 0.3, INFINITY, NULL},
                      brain = {1e-2, 6e-2, 0.7, INFINITY, NULL}, alike = {1e-2, 1e-2, 0.1, 0.2, NULL};
// Random weights through 53 convolutions: the CPU's bf16 is 0.26 off in the logits and 1.3 in the gradient.
static const distance deep_half = {2e-3, 0.1, 0.5, INFINITY, NULL}, deep_alike = {1e-2, 0.1, 0.5, INFINITY, NULL};

START_TEST(small_model) {
    compare(&reference_small, 6, DTYPE_F32, ORACLE, shim_rounds_factors() ? half : exact);
}
END_TEST

START_TEST(small_model_narrow) {
    if (shim_rounds_factors()) return;
    compare(&reference_small, 6, DTYPE_F16, ORACLE, half);
    compare(&reference_small, 6, DTYPE_BF16, ORACLE, brain);
    compare(&reference_small, 6, DTYPE_BF16, CPU_BF16, alike);
}
END_TEST

// In bf16 more kinks lie on the way than gradients bear; what reaches the logits is held.
START_TEST(small_model_with_a_prior_image) {
    const pass prior = {.batch = 4, .prior = true};
    compare_passes(&reference_small, prior, DTYPE_F32, ORACLE, shim_rounds_factors() ? half : exact);
    if (shim_rounds_factors()) return;
    compare_passes(&reference_small, prior, DTYPE_BF16, ORACLE, (distance){1e-2, 6e-2, 1, INFINITY, NULL});
}
END_TEST

static classifier_config fused(const classifier_config *c) {
    classifier_config with = *c;
    with.encoder.fused_norms = true;
    return with;
}

// Norms inside convolutions, which cuDNN rounds otherwise in f16.
START_TEST(small_model_fused) {
    classifier_config small = fused(&reference_small);
    for (int i = 0; i < small.encoder.stages; i++) small.encoder.width[i] = i % 2 ? 16 : 8; // what cuDNN takes
    if (shim_rounds_factors()) return;
    compare(&small, 6, DTYPE_F32, ORACLE, exact);
    compare(&small, 6, DTYPE_F16, ORACLE, half);
}
END_TEST

// The paper's sizes, which plain loops would take minutes for.
START_TEST(full_model) {
    device *d = NULL;
    ck_assert_int_eq(device_open_shim(&d, DTYPE_F32), STATUS_OK);
    bool fast = !strcmp(d->name, "cuda");
    device_close(d);
    if (!fast) return;
    compare(&reference_full, 4, DTYPE_F32, CPU, shim_rounds_factors() ? deep_half : exact);
    if (shim_rounds_factors()) return;
    const classifier_config full = fused(&reference_full);
    compare(&reference_full, 4, DTYPE_F16, CPU, deep_half);
    compare(&full, 4, DTYPE_F16, CPU, deep_half);
    compare(&reference_full, 4, DTYPE_BF16, CPU_BF16, deep_alike);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("models on the CUDA device");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 600);
    tcase_add_test(all, small_model);
    tcase_add_test(all, small_model_narrow);
    tcase_add_test(all, small_model_with_a_prior_image);
    tcase_add_test(all, small_model_fused);
    tcase_add_test(all, full_model);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
