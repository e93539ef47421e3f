// The report labeler as the program trains it: what a run says, that it goes on where it was
// killed, its scores, what it refuses.
#include "tests/train/helper_program.h"
#include "tests/train/helper_run.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 12 };

static char work[256];

static const char *command(const char *run, const char *extra) {
    static char text[4096];
    snprintf(
        text, sizeof text,
        "train chexbert %s --set data.shards=%s/shards --set model.vocabulary=%s/vocab.txt --set "
        "run.dir=%s/%s "
        "--set run.max_steps=%d --set train.checkpoint_every=3 --set train.validate_every=6 %s",
        tiny_chexbert, work, work, work, run, STEPS, extra);
    return text;
}

static const char *in_work(const char *name) {
    static char text[2][1024];
    static int next;
    char *out = text[next++ % 2];
    snprintf(out, sizeof text[0], "%s/%s", work, name);
    return out;
}

static void setup(void) {
    workspace_make(work);
    small_shards(work, 60);
    small_vocabulary(work);
    program_expect(0, "%s --quiet", command("straight", ""));
}

static void teardown(void) {
    workspace_remove(work);
}

START_TEST(learns_and_says_so) {
    const char *run = in_work("straight");
    run_expect_steps(run, STEPS);
    ck_assert_double_lt(run_metric(run, STEPS, "loss"), 0.8 * run_metric(run, 1, "loss"));
    for (int step = 6; step <= STEPS; step += 6) {
        double accuracy = run_metric(run, step, "accuracy");
        ck_assert_msg(accuracy > 0.3 && accuracy <= 1, "step %d: accuracy %g", step, accuracy);
    }
    char *test = read_file(in_work("straight/test.json"), NULL);
    ck_assert_msg(test && strstr(test, "\"accuracy\":") && strstr(test, "Cardiomegaly"), "%s",
                  test);
    free(test);
}
END_TEST

START_TEST(killed_and_gone_on) {
    const char *run = in_work("killed");
    run_kill_at(run, 3, command("killed", ""));
    run_kill_at(run, 6, command("killed", ""));
    program_expect(0, "%s --quiet", command("killed", ""));
    run_expect_steps(run, STEPS);
    run_expect_same(in_work("straight"), run, STEPS);
}
END_TEST

// A run may begin from another: its first loss is that of a model which has learned.
START_TEST(begins_from_a_run) {
    char extra[600];
    snprintf(extra, sizeof extra, "--set model.init=%s/straight --quiet", work);
    program_expect(0, "%s", command("second", extra));
    ck_assert_double_lt(run_metric(in_work("second"), 1, "loss"),
                        0.8 * run_metric(in_work("straight"), 1, "loss"));
}
END_TEST

static void refused(int exit, const char *words, const char *part) {
    outcome o = program("%s", words);
    ck_assert_msg(o.exit == exit && strstr(o.err, part), "%s: exit %d, expected %d and '%s'\n%s",
                  words, o.exit, exit, part, o.err);
    outcome_free(&o);
}

START_TEST(wrong_inputs) {
    static const struct {
        int exit;
        const char *set, *part;
    } cases[] = {
        {2, "--set model.vocabulary=", "model.vocabulary"},
        {2, "--set data.max_tokens=65", "data.max_tokens"},
        {2, "--set model.heads=3", "model.width"},
        {2, "--set data.crop=64", "data.crop"}, // of images
        {1, "--set model.vocabulary=/none.txt", "/none.txt"},
        {1, "--set model.init=/none.pth", "/none.pth"},
        {1, "--set data.shards=/none", "/none"},
        {1, "--set train.batch=5000 --set train.drop_last=true", "make train.batch smaller"},
    };
    char extra[600];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].exit, command("wrong", cases[i].set), cases[i].part);
    snprintf(extra, sizeof extra, "sed 'h;$!{n;G};p' -n %s/vocab.txt > %s/other.txt", work, work);
    ck_assert_int_eq(system(extra), 0);
    snprintf(extra, sizeof extra, "--set model.vocabulary=%s/other.txt --set run.max_steps=20",
             work);
    refused(1, command("straight", extra),
            "vocab.txt: is not the vocabulary of this configuration (model.vocabulary)");
    ck_assert_int_eq(run_last_step(in_work("straight")), STEPS);
}
END_TEST

int main(void) {
    TCase *all = tcase_create("chexbert");
    tcase_set_timeout(all, 0);
    tcase_add_unchecked_fixture(all, setup, teardown);
    tcase_add_test(all, learns_and_says_so);
    tcase_add_test(all, killed_and_gone_on);
    tcase_add_test(all, begins_from_a_run);
    tcase_add_test(all, wrong_inputs);
    Suite *suite = suite_create("chexbert");
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
