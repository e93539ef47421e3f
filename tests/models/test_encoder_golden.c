// The BioViL-T encoder against hi-ml-multimodal, full size and small, with and without a previous
// image. Golden values: scripts/golden/encoder.py. "Within t" is ||a - b|| <= t ||b|| for each half
// of the channels alone, since the stand-in for a previous image would hide errors of the other
// half.
#include "tests/models/helper_reference.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STRIDE = 97, SUMS = 32 }; // as in the script

typedef struct encoding {
    const char *name;
    int64_t B;
    bool prior, logits, training;
    tensor *patches, *projected, *pooled, *global, *scores;
} encoding;

static tensor *encode(reference_model *m, void *context) {
    encoding *e = context;
    tape *t = &m->tape;
    char name[64];
    const biovil_t *encoder = &m->model.encoder;
    snprintf(name, sizeof name, "%s.image", e->name);
    tensor *image = reference_image(m, name, e->B), *previous = NULL;
    snprintf(name, sizeof name, "%s.previous", e->name);
    if (e->prior) previous = reference_image(m, name, e->B);
    e->patches = biovil_t_patches(t, encoder, image, previous);
    e->pooled = biovil_t_pooled(t, e->patches);
    e->projected = biovil_t_project(t, encoder, e->patches);
    e->global = mean_tokens(t, e->projected);
    if (e->logits) e->scores = classifier_head(t, &m->model, e->projected);
    return e->scores;
}

static void expect(const double *a, const double *b, int64_t n, double tol, const char *name) {
    double error = reference_error(a, b, n);
    if (getenv("SHOW_ERRORS")) printf("%-60s %.2e of %.0e\n", name, error, tol);
    ck_assert_msg(error <= tol, "%s: off by %g, allowed %g", name, error, tol);
}

// One half of the channels of (rows, C), in place.
static int64_t half_of(double *x, int64_t count, int64_t C, int which) {
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        if (i % C / (C / 2) == which) x[n++] = x[i];
    return n;
}

// X (..., C) against all of the golden tensor, by halves of its channels if HALVES.
static void expect_tensor(const safetensors *file, const char *prefix, const char *part,
                          const tensor *x, bool halves, double tol) {
    char name[160], shown[192];
    snprintf(name, sizeof name, "%s.%s", prefix, part);
    for (int h = 0; h < (halves ? 2 : 1); h++) {
        int64_t n;
        double *got = reference_values(x), *want = golden_tensor(file, name, -1, &n);
        ck_assert_int_eq(n, tensor_count(x));
        if (halves) {
            half_of(got, n, x->dim[x->rank - 1], h);
            n = half_of(want, n, x->dim[x->rank - 1], h);
        }
        snprintf(shown, sizeof shown, "%s%s", name, halves ? h ? " (change)" : " (own)" : "");
        expect(got, want, n, tol, shown);
        mem_free(got);
        mem_free(want);
    }
}

// X against what the file knows of a large grid.
static void expect_digest(const safetensors *file, const char *prefix, const char *part,
                          const tensor *x, double tol) {
    char name[160], signs[32];
    int64_t n, count = tensor_count(x), C = x->dim[x->rank - 1];
    double *all = reference_values(x), *sample = reference_values(x), norms[2] = {0},
           sums[SUMS] = {0};
    for (int64_t i = 0; i < count; i++) norms[i % C / (C / 2)] += all[i] * all[i];
    for (int64_t i = 0; i < count; i += STRIDE) sample[i / STRIDE] = all[i];
    for (int k = 0; k < SUMS; k++) {
        snprintf(signs, sizeof signs, "signs.%d", k);
        for (int64_t i = 0; i < count; i++)
            sums[k] += reference_uniform(signs, i) < 0.5 ? -all[i] : all[i];
    }
    for (int h = 0; h < 2; h++) {
        snprintf(name, sizeof name, "%s.%s.norms", prefix, part);
        double *want = golden_tensor(file, name, -1, &n), norm = sqrt(norms[h]);
        expect(&norm, &want[h], 1, tol, name);
        mem_free(want);
    }
    snprintf(name, sizeof name, "%s.%s.sample", prefix, part);
    double *want = golden_tensor(file, name, -1, &n);
    ck_assert_int_eq(n, (count + STRIDE - 1) / STRIDE);
    expect(sample, want, n, tol, name);
    mem_free(want);
    snprintf(name, sizeof name, "%s.%s.sums", prefix, part);
    want = golden_tensor(file, name, -1, &n);
    ck_assert_int_eq(n, SUMS);
    expect(sums, want, n, tol, name);
    mem_free(want);
    mem_free(all);
    mem_free(sample);
}

static safetensors *golden_file(void) {
    safetensors *file;
    if (safetensors_open(&file, TEST_DATA "/encoder.safetensors")) die("%s", status_text());
    return file;
}

static void check_full(encoding e, int side) {
    safetensors *file = golden_file();
    reference_model m;
    classifier_config c = reference_full;
    char prefix[64];
    c.encoder.image_size = side;
    snprintf(prefix, sizeof prefix, "full.%s", e.name);
    reference_open(&m, false, &c);
    reference_run(&m, encode, &e, false);
    expect_digest(file, prefix, "patches", e.patches, 1e-4);
    expect_digest(file, prefix, "projected", e.projected, 1e-4);
    expect_tensor(file, prefix, "pooled", e.pooled, true, 1e-4);
    expect_tensor(file, prefix, "global", e.global, false, 1e-4);
    if (e.logits) expect_tensor(file, prefix, "logits", e.scores, false, 1e-4);
    reference_close(&m);
    safetensors_close(file);
}

START_TEST(full_size) {
    check_full((encoding){.name = "one", .B = 1}, 448);
}
END_TEST
START_TEST(full_size_with_previous) {
    check_full((encoding){.name = "two", .B = 2, .prior = true}, 448);
}
END_TEST
START_TEST(full_size_classifier) {
    check_full((encoding){.name = "classifier", .B = 1, .logits = true}, 488);
}
END_TEST

// --- small: whole tensors, and gradients -----------------------------------------------
static tensor *encode_loss(reference_model *m, void *context) {
    encoding *e = context;
    char name[64];
    encode(m, e);
    snprintf(name, sizeof name, "%s.target", e->name);
    return reference_loss(m, e->scores, name);
}

// The worst error of a parameter's gradient; WORST names it.
static double worst_gradient(const safetensors *file, const char *prefix, const reference_model *m,
                             bool prior, const char **worst) {
    double most = 0;
    int compared = 0;
    for (size_t i = 0; i < m->params.count; i++) {
        const param *q = m->params.item[i];
        char name[256];
        int64_t n;
        if (q->role != PARAM_WEIGHT) continue;
        snprintf(name, sizeof name, "%s.gradient.%s", prefix, q->name);
        bool there = safetensors_lookup(file, name) != NULL;
        bool unused = strstr(q->name, prior ? "missing_previous" : "vit_pooler") != NULL;
        ck_assert_msg(there == !unused && q->grad.written == !unused,
                      "%s: gradient %d, expected %d", q->name, q->grad.written, there);
        if (unused) continue;
        double *got = reference_gradient(m, q), *want = golden_tensor(file, name, -1, &n);
        ck_assert_int_eq(n, tensor_count(&q->value));
        double error = reference_error(got, want, n);
        if (!(error <= most)) most = error, *worst = q->name;
        mem_free(got);
        mem_free(want);
        compared++;
    }
    ck_assert_int_ge(compared, prior ? 80 : 55);
    return most;
}

// The reference keeps its position table in f32 even in double, and sums its angles in f32: it is
// right to about 1e-7, and so is the comparison in double where the table matters.
static const double table_tol = 5e-7;

static void check_small(bool oracle, bool prior) {
    safetensors *file = golden_file();
    const char *prefix = prior ? "small.prior" : "small.alone";
    encoding e = {.name = prior ? "prior" : "alone", .B = 3, .prior = prior, .logits = true};
    double tol = !oracle ? 1e-4 : prior ? table_tol : 1e-9;
    const char *worst = "";
    reference_model m;
    reference_open(&m, oracle, &reference_small);
    double *loss = reference_values(reference_run(&m, encode_loss, &e, true)), *want;
    int64_t n;
    want = golden_tensor(file, prior ? "small.prior.loss" : "small.alone.loss", -1, &n);
    expect(loss, want, 1, oracle ? tol : 1e-5, "loss");
    mem_free(loss);
    mem_free(want);
    expect_tensor(file, prefix, "patches", e.patches, true, tol);
    expect_tensor(file, prefix, "projected", e.projected, false, tol);
    expect_tensor(file, prefix, "pooled", e.pooled, true, tol);
    expect_tensor(file, prefix, "global", e.global, false, tol);
    double error = worst_gradient(file, prefix, &m, prior, &worst);
    if (getenv("SHOW_ERRORS")) printf("worst gradient %.2e of %.0e: %s\n", error, tol, worst);
    ck_assert_msg(error <= tol, "gradient of %s: off by %g, allowed %g", worst, error, tol);
    reference_close(&m);
    safetensors_close(file);
}

START_TEST(small_on_cpu) {
    check_small(false, false);
    check_small(false, true);
}
END_TEST
START_TEST(small_in_double) {
    check_small(true, false);
    check_small(true, true);
}
END_TEST

// Every rule that the tape of a previous image adds to those of test_classifier_golden.c.
static const rule_mutation mutations[] = {
    {"linear", 0},        {"linear", 1},        {"linear", 2},     {"attention", 0},
    {"attention", 1},     {"attention", 2},     {"layer_norm", 0}, {"layer_norm", 1},
    {"layer_norm", 2},    {"gelu", 0},          {"add", 0},        {"add", 1},
    {"add_table", 0},     {"add_table", 1},     {"embedding", 0},  {"slice_tokens", 0},
    {"concat_tokens", 0}, {"concat_tokens", 1}, {"conv2d", 0},     {"batch_norm", 0},
};

START_TEST(mutations_turn_gradients_red) {
    safetensors *file = golden_file();
    reference_model m;
    reference_open(&m, true, &reference_small);
    for (size_t i = 0; i < sizeof mutations / sizeof *mutations; i++) {
        encoding e = {.name = "prior", .B = 3, .prior = true, .logits = true};
        rule_mutation change = mutations[i];
        const char *worst = "";
        m.tape.observe = rule_mutate;
        m.tape.observe_context = &change;
        reference_run(&m, encode_loss, &e, true);
        double error = worst_gradient(file, "small.prior", &m, true, &worst);
        ck_assert_msg(!(error <= 1e-4), "%s, input %d: not caught", change.op, change.input);
    }
    reference_close(&m);
    safetensors_close(file);
}
END_TEST

// In training both images are one batch for the trunk's batch norms. (The pooler's dropout draws
// differ, so only the image's own half of the channels is compared.)
START_TEST(previous_image_joins_the_batch) {
    safetensors *file = golden_file();
    encoding e = {.name = "joint", .B = 3, .prior = true};
    reference_model m;
    int64_t n;
    int compared = 0;
    reference_open(&m, true, &reference_small);
    m.tape.training = true;
    reference_run(&m, encode, &e, false);
    double *got = reference_values(e.patches),
           *want = golden_tensor(file, "small.joint.patches", -1, &n);
    ck_assert_int_eq(n, tensor_count(e.patches));
    half_of(got, n, e.patches->dim[3], 0);
    n = half_of(want, n, e.patches->dim[3], 0);
    expect(got, want, n, 1e-9, "small.joint.patches (own)");
    mem_free(got);
    mem_free(want);
    for (size_t i = 0; i < m.params.count; i++) {
        const param *q = m.params.item[i];
        char name[256];
        snprintf(name, sizeof name, "small.joint.running.%s", q->name);
        if (q->role != PARAM_BUFFER || !strstr(q->name, "encoder.encoder")) continue;
        got = reference_values(&q->value), want = golden_tensor(file, name, -1, &n);
        expect(got, want, n, 1e-9, name);
        mem_free(got);
        mem_free(want);
        compared++;
    }
    ck_assert_int_eq(compared, 2 * (1 + 5 * 3 + 4));
    reference_close(&m);
    safetensors_close(file);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("encoder_golden");
    TCase *tests = tcase_create("encoder");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, small_on_cpu);
    tcase_add_test(tests, small_in_double);
    tcase_add_test(tests, mutations_turn_gradients_red);
    tcase_add_test(tests, previous_image_joins_the_batch);
    tcase_add_test(tests, full_size);
    tcase_add_test(tests, full_size_with_previous);
    tcase_add_test(tests, full_size_classifier);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
