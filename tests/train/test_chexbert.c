// The report labeler as the program trains it: what a run says, that it goes on where it was
// killed, its scores, what it refuses.
#include "tests/train/helper_program.h"
#include "tests/train/helper_run.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

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
    char extra[1024];
    snprintf(extra, sizeof extra, "--set model.init=%s/straight --quiet", work);
    program_expect(0, "%s", command("second", extra));
    ck_assert_double_lt(run_metric(in_work("second"), 1, "loss"),
                        0.8 * run_metric(in_work("straight"), 1, "loss"));
}
END_TEST

// --- label --------------------------------------------------------------------------------------
// The line of TABLE that begins with ID, in OUT.
static void find_line(char out[512], const char *table, const char *id) {
    const char *at = strstr(table, id);
    ck_assert_msg(at != NULL, "%s is not in\n%s", id, table);
    snprintf(out, 512, "%.*s", (int)strcspn(at, "\n"), at);
}

static char *labels_of(const char *what, const char *options) {
    outcome o = program("label %s --checkpoint %s/straight %s", what, work, options);
    ck_assert_msg(o.exit == 0, "label %s: %s", what, o.err);
    free(o.err);
    return o.out;
}

static void write_text(const char *name, const char *text) {
    FILE *f = fopen(in_work(name), "w");
    ck_assert(f && fputs(text, f) >= 0 && !fclose(f));
}

// The same report has the same labels from every kind of file, alone or among others.
START_TEST(labels_of_files) {
    static const char report[] = "The heart is enlarged. There is no pneumothorax.";
    char text[512], from_csv[512], from_json[512];
    snprintf(text, sizeof text, "study_id,findings\ns1,Clear lungs.\ns2,%s\n", report);
    write_text("reports.csv", text);
    snprintf(text, sizeof text, "{\"dicom_id\": \"d9\", \"report\": \"%s\"}\n", report);
    write_text("reports.jsonl", text);
    write_text("report.txt", report);
    char *csv = labels_of(in_work("reports.csv"), ""),
         *json = labels_of(in_work("reports.jsonl"), "");
    char *plain = labels_of(in_work("report.txt"), "--set train.batch=1");
    ck_assert_int_eq(strncmp(csv, "study_id,No Finding,", 20), 0);
    ck_assert_int_eq(strncmp(json, "dicom_id,", 9), 0);
    ck_assert_int_eq(count_text(csv, "\n"), 3);
    find_line(from_csv, csv, "s2,");
    find_line(from_json, json, "d9,");
    ck_assert_str_eq(from_csv + 3, from_json + 3);
    ck_assert_ptr_nonnull(strstr(plain, from_csv + 2));
    free(csv);
    free(json);
    free(plain);
}
END_TEST

// The first signal is enough, and a table that would lack reports is not written. The program waits
// for its reports at a pipe, so that it is known to have begun.
START_TEST(label_stops) {
    int state;
    ck_assert_int_eq(mkfifo(in_work("pipe.csv"), 0600), 0);
    pid_t child = program_start("label %s/pipe.csv --checkpoint %s/straight --out %s/stopped.csv",
                                work, work, work);
    FILE *f = fopen(in_work("pipe.csv"), "w");
    ck_assert(f && fputs("study_id,findings\ns1,Clear lungs.\n", f) >= 0 && !fflush(f));
    ck_assert_int_eq(kill(child, SIGTERM), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert_msg(WIFEXITED(state) && WEXITSTATUS(state) == 143, "state %x", (unsigned)state);
    ck_assert_ptr_null(read_file(in_work("stopped.csv"), NULL));
}
END_TEST

// What label writes of shards, ingest reads as the records' labels.
START_TEST(labels_of_shards) {
    char out[300], text[2048];
    snprintf(out, sizeof out, "--out %s/labels.csv", work);
    free(labels_of(in_work("shards"), out));
    program_expect(0, "ingest --source mimic %s/data --labels %s/labels.csv --out %s/again --quiet",
                   work, work, work);
    char *first = read_file(in_work("labels.csv"), NULL);
    snprintf(out, sizeof out, "--out %s/relabelled.csv", work);
    free(labels_of(in_work("again"), out));
    char *second = read_file(in_work("relabelled.csv"), NULL);
    ck_assert_str_eq(first, second);
    outcome o =
        program("label %s/again --checkpoint %s/straight --out %s/third.csv", work, work, work);
    snprintf(text, sizeof text, "of the labels that the shards hold 100.00 %% are the same");
    ck_assert_msg(strstr(o.err, text) != NULL, "%s", o.err);
    outcome_free(&o);
    free(first);
    free(second);
}
END_TEST

// Weights alone find the vocab.txt that lies beside them.
START_TEST(vocabulary_beside_weights) {
    char to[400], from[400];
    write_text("few.csv", "study_id,findings\ns1,Clear lungs.\ns2,Large heart.\n");
    ck_assert_int_eq(mkdir(in_work("bare"), 0755), 0);
    snprintf(from, sizeof from, "%s/straight/checkpoints/best/model.safetensors", work);
    snprintf(to, sizeof to, "%s/bare/w.safetensors", work);
    ck_assert_int_eq(link(from, to), 0);
    outcome o = program("label %s/few.csv --checkpoint %s %s", work, to, tiny_chexbert);
    ck_assert_msg(o.exit == 2 && strstr(o.err, "model.vocabulary is not set"), "%s", o.err);
    outcome_free(&o);
    snprintf(from, sizeof from, "%s/vocab.txt", work);
    snprintf(to, sizeof to, "%s/bare/vocab.txt", work);
    ck_assert_int_eq(link(from, to), 0);
    o = program("label %s/few.csv --checkpoint %s/bare/w.safetensors %s", work, work, tiny_chexbert);
    char *same = labels_of(in_work("few.csv"), "");
    ck_assert_msg(o.exit == 0, "%s", o.err);
    ck_assert_str_eq(o.out, same);
    free(same);
    outcome_free(&o);
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
    char extra[1024];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].exit, command("wrong", cases[i].set), cases[i].part);
    snprintf(extra, sizeof extra, "sed 'h;$!{n;G};p' -n %s/vocab.txt > %s/other.txt", work, work);
    ck_assert_int_eq(system(extra), 0);
    snprintf(extra, sizeof extra, "--set model.vocabulary=%s/other.txt --set run.max_steps=20",
             work);
    refused(1, command("straight", extra),
            "vocab.txt: is not the vocabulary of this configuration (model.vocabulary)");
    ck_assert_int_eq(run_last_step(in_work("straight")), STEPS);
    // Where labels go is looked at before the labeler is.
    snprintf(extra, sizeof extra, "label %s/some.csv --checkpoint %s/none --out %s/none/l.csv", work, work, work);
    refused(1, extra, "none/l.csv");
}
END_TEST

int main(void) {
    TCase *all = tcase_create("chexbert");
    tcase_set_timeout(all, 0);
    tcase_add_unchecked_fixture(all, setup, teardown);
    tcase_add_test(all, learns_and_says_so);
    tcase_add_test(all, killed_and_gone_on);
    tcase_add_test(all, begins_from_a_run);
    tcase_add_test(all, labels_of_files);
    tcase_add_test(all, label_stops);
    tcase_add_test(all, labels_of_shards);
    tcase_add_test(all, vocabulary_beside_weights);
    tcase_add_test(all, wrong_inputs);
    Suite *suite = suite_create("chexbert");
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
