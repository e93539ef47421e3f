// Training in bf16 beside f32 master weights: near f32, whether its products are made in bf16 or in f32; exact on resume.
#include "core/onednn.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 40 };

static char work[256];

static void setup(void) {
    workspace_make(work);
    small_shards(work, 60);
}

static void teardown(void) {
    workspace_remove(work);
}

static const char *command(const char *run, int steps, const char *precision) {
    static char text[4096];
    snprintf(text, sizeof text,
             "train classifier %s --set data.shards=%s/shards --set run.dir=%s/%s --quiet "
             "--set run.max_steps=%d --set train.validate_every=20 --precision %s",
             tiny_settings, work, work, run, steps, precision);
    return text;
}

static void read_losses(const char *run, double loss[STEPS]) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s/metrics.jsonl", work, run);
    char *text = read_file(path, NULL), *at = text;
    for (int i = 0; i < STEPS; i++) {
        at = strstr(at, "\"loss\":");
        ck_assert_msg(at != NULL, "%s has no step %d", path, i + 1);
        at += strlen("\"loss\":");
        loss[i] = atof(at);
    }
    free(text);
}

// Rounding moves each step's loss by parts of a percent; a wrong gradient would part the curves.
static void expect_near_f32(const char *run) {
    double narrow[STEPS], wide[STEPS], distance = 0, way = 0;
    program_expect(0, "%s", command(run, STEPS, "bf16"));
    read_losses(run, narrow);
    read_losses("wide", wide);
    for (int i = 0; i < STEPS; i++) {
        distance += fabs(narrow[i] - wide[i]) / STEPS;
        way += fabs(wide[i] - wide[0]) / STEPS;
    }
    ck_assert_msg(distance <= 0.02 * fabs(wide[0]), "the curves are %g apart", distance);
    ck_assert_msg(distance > 0, "bf16 gives f32's numbers");
    ck_assert_msg(distance < 0.5 * way, "%g apart, where f32 moves by %g", distance, way);
}

START_TEST(curve_follows_f32) {
    program_expect(0, "%s", command("wide", STEPS, "f32"));
    expect_near_f32("narrow");
    if (!onednn_bf16_is_fast()) return;
    setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
    expect_near_f32("by_floats");
    unsetenv("ONEDNN_MAX_CPU_ISA");
}
END_TEST

START_TEST(resume_is_exact) {
    char a[512], b[512];
    program_expect(0, "%s", command("straight", STEPS, "bf16"));
    program_expect(0, "%s", command("stopped", STEPS / 2, "bf16"));
    program_expect(0, "%s", command("stopped", STEPS, "bf16"));
    static const char *const files[] = {"model.safetensors", "optimizer.safetensors"};
    for (int i = 0; i < 2; i++) {
        snprintf(a, sizeof a, "%s/straight/checkpoints/step-%08d/%s", work, STEPS, files[i]);
        snprintf(b, sizeof b, "%s/stopped/checkpoints/step-%08d/%s", work, STEPS, files[i]);
        ck_assert_msg(same_files(a, b), "%s and %s differ", a, b);
    }
}
END_TEST

// The masters are in the checkpoint, so another precision goes on from it and says so.
START_TEST(another_precision_goes_on) {
    program_expect(0, "%s", command("mixed", STEPS / 2, "bf16"));
    outcome o = program("%s", command("mixed", STEPS, "f32"));
    ck_assert_int_eq(o.exit, 0);
    ck_assert_msg(strstr(o.err, "was made in BF16, this run computes in F32") != NULL, "%s", o.err);
    outcome_free(&o);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("bf16");
    TCase *tests = tcase_create("classifier");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, setup, teardown);
    tcase_add_test(tests, curve_follows_f32);
    tcase_add_test(tests, resume_is_exact);
    tcase_add_test(tests, another_precision_goes_on);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    if (!onednn_bf16_is_fast()) puts("bf16: multiplied as f32 on this CPU; skipped: products in bf16");
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
