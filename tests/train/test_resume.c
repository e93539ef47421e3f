// A run that is killed and started again ends in the same bytes as one that is not.
#include "tests/train/helper_program.h"
#include "tests/train/helper_run.h"
#include "train/config_keys.h"
#include "train/stage_classifier.h"

#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STEPS = 40, EVERY = 5, KILLS = 5 };

static char work[256];

static void setup(void) {
    workspace_make(work);
    small_shards(work, 60);
}

static void teardown(void) { workspace_remove(work); }

static const char *command(const char *name, const char *extra) {
    static char text[4096];
    snprintf(text, sizeof text,
             "train classifier %s --set data.shards=%s/shards --set run.dir=%s/%s --set run.max_steps=%d "
             "--set train.checkpoint_every=%d --set train.validate_every=20 --set data.augment=true %s",
             tiny_settings, work, work, name, STEPS, EVERY, extra);
    return text;
}

// A path in the work folder; the latest two are valid.
static const char *in_work(const char *name) {
    static char path[2][512];
    static int next;
    next = !next;
    snprintf(path[next], sizeof path[next], "%s/%s", work, name);
    return path[next];
}

static void wait_until_step(const char *name, int step, pid_t child) {
    const struct timespec pause = {0, 2000000};
    for (int i = 0; i < 60000 && run_last_step(in_work(name)) < step; i++) {
        int state;
        if (waitpid(child, &state, WNOHANG) == child)
            ck_abort_msg("the run ended (%d) before step %d", state, step);
        nanosleep(&pause, NULL);
    }
}

// Where each of the COUNT starts of a run began, from its log.
static void read_starts(const char *name, int *starts, int count) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s/log.txt", work, name);
    char *log = read_file(path, NULL), *at = log;
    for (int i = 0; i < count; i++) {
        at = strstr(at, i ? "resuming from step " : "starting at step ");
        ck_assert_msg(at != NULL, "start %d is not in the log:\n%s", i, log);
        at = strstr(at, "step ") + 5;
        starts[i] = atoi(at);
    }
    ck_assert_ptr_null(strstr(at, "resuming from step "));
    free(log);
}

START_TEST(killed_five_times) {
    int reached[KILLS], starts[KILLS + 1], computed = STEPS;
    srand(7);
    program_expect(0, "%s", command("straight", "--quiet"));
    run_expect_steps(in_work("straight"), STEPS);
    for (int kills = 0; kills < KILLS; kills++) {
        pid_t child = program_start("%s", command("killed", "--quiet"));
        // Somewhere in the next steps, also in the middle of writing a checkpoint. The first kill comes
        // after the first checkpoint, so that each start but the first resumes.
        int first = kills ? run_last_step(in_work("killed")) + 1 : EVERY + 1;
        int target = first + rand() % (STEPS / KILLS - 1);
        wait_until_step("killed", target < STEPS ? target : STEPS - 1, child);
        usleep((useconds_t)(rand() % 20000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        reached[kills] = run_last_step(in_work("killed"));
    }
    program_expect(0, "%s", command("killed", "--quiet"));
    run_expect_steps(in_work("killed"), STEPS);
    run_expect_same(in_work("straight"), in_work("killed"), STEPS);
    read_starts("killed", starts, KILLS + 1);
    for (int kills = 0; kills < KILLS; kills++) {
        ck_assert_int_ge(reached[kills], starts[kills + 1]);
        computed += reached[kills] - starts[kills + 1];
    }
    ck_assert_int_lt(computed, STEPS + KILLS * EVERY);
}
END_TEST

START_TEST(stopped_by_a_signal) {
    program_expect(0, "%s", command("whole", "--quiet"));
    pid_t child = program_start("%s", command("stopped", "--quiet"));
    wait_until_step("stopped", 7, child);
    kill(child, SIGTERM);
    int state;
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state));
    ck_assert_int_eq(WEXITSTATUS(state), 143);
    program_expect(0, "%s", command("stopped", "--quiet"));
    run_expect_steps(in_work("stopped"), STEPS);
    run_expect_same(in_work("whole"), in_work("stopped"), STEPS);
}
END_TEST

// What was trained on other data goes on, but not in silence.
START_TEST(other_data) {
    program_expect(0, "%s --set run.max_steps=2", command("data", "--quiet"));
    program_expect(0, "%s --set run.max_steps=3", command("data", "--quiet"));
    char *log = read_file(in_work("data/log.txt"), NULL);
    ck_assert_ptr_null(strstr(log, "other data"));
    free(log);
    char other[512];
    snprintf(other, sizeof other, "%s/other", work);
    ck_assert_int_eq(mkdir(other, 0755), 0);
    small_shards(other, 61);
    program_expect(0, "%s --set run.max_steps=4 --set data.shards=%s/shards", command("data", "--quiet"), other);
    log = read_file(in_work("data/log.txt"), NULL);
    ck_assert_ptr_nonnull(strstr(log, "step-00000003 was made from other data"));
    free(log);
    run_expect_steps(in_work("data"), 4);
}
END_TEST

// A kill before or while an old checkpoint is removed leaves nothing for ever, not even where no step is left to do.
START_TEST(rest_of_a_removal) {
    char path[512], old[512];
    program_expect(0, "%s --set run.max_steps=2", command("rest", "--quiet"));
    snprintf(path, sizeof path, "%s/rest/checkpoints/removing.tmp", work);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/rest/checkpoints/removing.tmp/config.json", work);
    ck_assert_int_eq(close(open(path, O_CREAT | O_WRONLY, 0644)), 0);
    snprintf(old, sizeof old, "%s/rest/checkpoints/step-00000000", work);
    ck_assert_int_eq(mkdir(old, 0755), 0);
    program_expect(0, "%s --set run.max_steps=2 --set train.keep=1", command("rest", "--quiet"));
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_ne(access(old, F_OK), 0);
}
END_TEST

// A run that is complete does nothing more; one with a damaged newest checkpoint takes the one before.
START_TEST(damaged_checkpoint) {
    char path[512];
    program_expect(0, "%s", command("damaged", "--quiet"));
    program_expect(0, "%s", command("damaged", "--quiet"));
    run_expect_steps(in_work("damaged"), STEPS);
    program_expect(0, "%s", command("sound", "--quiet"));
    snprintf(path, sizeof path, "%s/damaged/checkpoints/step-%08d/model.safetensors", work, STEPS);
    FILE *f = fopen(path, "r+b");
    fseek(f, -3, SEEK_END);
    fputc(0x55, f);
    fclose(f);
    outcome o = program("%s", command("damaged", ""));
    ck_assert_int_eq(o.exit, 0);
    ck_assert_msg(strstr(o.err, "does not match the checkpoint's manifest") != NULL, "%s", o.err);
    ck_assert_msg(strstr(o.err, "resuming from step 35") != NULL, "%s", o.err);
    outcome_free(&o);
    run_expect_same(in_work("sound"), in_work("damaged"), STEPS);
    // A number in the manifest, which nothing else would contradict.
    snprintf(path, sizeof path, "%s/damaged/checkpoints/step-%08d/manifest.json", work, STEPS);
    char *text = read_file(path, NULL), *number = strstr(text, "\"updates\": ") + 11;
    f = fopen(path, "r+b");
    fseek(f, number - text, SEEK_SET);
    fputc(*number ^ 1, f);
    fclose(f);
    free(text);
    o = program("%s", command("damaged", ""));
    ck_assert_int_eq(o.exit, 0);
    ck_assert_msg(strstr(o.err, "manifest.json: is damaged") != NULL, "%s", o.err);
    outcome_free(&o);
    run_expect_same(in_work("sound"), in_work("damaged"), STEPS);
}
END_TEST

// --- scores --------------------------------------------------------------------------------------
static status score_at_last(run *r, buffer *out, double *score) {
    status rc = stage_classifier.validate(r, out, score);
    if (r->step == 2) *score = NAN;
    return rc;
}

// Trains the classifier, whose score at step 2 is no number, up to step STEPS.
static void train_scored(run *r, config *c, int steps) {
    static stage scored;
    char words[2048], *rest = words;
    scored = stage_classifier;
    scored.validate = score_at_last;
    snprintf(words, sizeof words,
             "%s --set train.validate_every=2 --set train.validate_first=false --set run.max_steps=%d "
             "--set data.shards=%s/shards --set run.dir=%s/scored", tiny_settings, steps, work, work);
    for (char *word; (word = strsep(&rest, " "));)
        if (strcmp(word, "--set")) ck_assert_msg(!config_set(c, word), "%s", status_text());
    ck_assert_msg(!run_open(r, &scored, c) && !train_loop(r), "%s", status_text());
}

// It is no best score, and the checkpoint is gone on with.
START_TEST(score_that_is_no_number) {
    for (int steps = 2; steps <= 4; steps += 2) {
        config *c;
        run r;
        ck_assert(!config_open(&c, classifier_tables));
        train_scored(&r, c, steps);
        ck_assert(r.resumed == (steps == 4) && r.best.known == (steps == 4));
        ck_assert_int_eq(r.best.step, steps == 4 ? 4 : 0);
        run_close(&r);
        config_close(c);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("resume");
    TCase *tests = tcase_create("classifier");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, setup, teardown);
    tcase_add_test(tests, killed_five_times);
    tcase_add_test(tests, stopped_by_a_signal);
    tcase_add_test(tests, other_data);
    tcase_add_test(tests, rest_of_a_removal);
    tcase_add_test(tests, damaged_checkpoint);
    tcase_add_test(tests, score_that_is_no_number);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
