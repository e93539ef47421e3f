// The stages that read reports on 1, 2 and 3 ranks, by the gates of the design: in double whole
// runs agree (losses 1e-9, updates 1e-6), in f32 a first step does (loss 1e-5, gradients 1e-4). The
// contrast of the aligner reads all ranks' samples, its negatives and dropout are drawn by the
// global sample. Batches do not divide by the ranks.
#include "tests/ranks/helper_compare.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 6 };

static char work[256];

static void setup(void) {
    workspace_make(work);
    small_shards(work, 60);
    small_vocabulary(work);
}

static void teardown(void) {
    workspace_remove(work);
}

static void remove_run(const char *name) {
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s/%s' '%s/%s.bin'", work, name, work, name);
    ck_assert_int_eq(system(command), 0);
}

static void train(const char *stage, const char *device, int ranks, const char *name, int steps,
                  const char *extra) {
    remove_run(name); // of the comparison before this one
    program_path = MPIRUN;
    program_expect(
        0,
        "%d %s %s %s %s/%s.bin %s --set data.shards=%s/shards --set model.vocabulary=%s/vocab.txt "
        "--set run.dir=%s/%s --set run.max_steps=%d --set data.limit=19 --set "
        "train.drop_last=false "
        "--set train.validate_every=3 --set run.threads=1 %s",
        ranks, RANK_TRAIN, stage, device, work, name,
        stage[0] == 'a' ? tiny_aligner : tiny_chexbert, work, work, work, name, steps, extra);
    program_path = RADIALOG_PROGRAM;
}

static void expect_equal_runs(const char *stage, const char *const *keys, const char *extra,
                              int tensors) {
    char still[512];
    snprintf(still, sizeof still,
             "%s --set optim.lr=0 --set optim.min_lr=0 --set optim.warmup_lr=0", extra);
    train(stage, "oracle", 1, "start", 1, still);
    train(stage, "oracle", 1, "one", STEPS, extra);
    for (int ranks = 2; ranks <= 3; ranks++) {
        train(stage, "oracle", ranks, "many", STEPS, extra);
        for (int k = 0; keys[k]; k++) compare_metrics(work, "one", "many", STEPS, keys[k], 1e-9);
        compare_metrics(work, "one", "many", STEPS, "grad_norm", 1e-6);
        compare_values(work, "one", "many", "start", 1e-6, tensors);
    }
}

// With a large epsilon, or Adam would make whole steps of gradients that are rounding alone.
static void expect_equal_step(const char *stage, int tensors) {
    static const char extra[] = "--set optim.eps=1e-4";
    train(stage, "cpu", 1, "single", 1, extra);
    for (int ranks = 2; ranks <= 3; ranks++) {
        train(stage, "cpu", ranks, "singles", 1, extra);
        compare_metrics(work, "single", "singles", 1, "loss", 1e-5);
        compare_values(work, "single", "singles", NULL, 1e-4, tensors);
    }
}

static const char *const aligner_numbers[] = {"loss", "itc", "itm", "lm", NULL},
                         *const labeler_numbers[] = {"loss", NULL};

// Features are kept in types that the GPU has: in double the encoder runs in every step.
START_TEST(aligner_in_double) {
    expect_equal_runs("aligner", aligner_numbers, "--set data.cache=off", 100);
    expect_equal_runs("aligner", aligner_numbers,
                      "--set data.augment=true --set loss.negatives=other_study", 100);
}
END_TEST

START_TEST(aligner_step_in_single) {
    expect_equal_step("aligner", 100);
}
END_TEST

// An epoch's last batch of one record: no negatives, and ranks that get nothing and then something
// again. Kept features. Weights stand still, so that all steps compare in f32.
START_TEST(ranks_without_rows) {
    static const char extra[] =
        "--set train.batch=3 --set optim.lr=0 --set optim.min_lr=0 --set optim.warmup_lr=0";
    train("aligner", "cpu", 1, "few", 9, extra); // 19 records: the seventh batch has one
    train("aligner", "cpu", 3, "fews", 9, extra);
    for (int k = 0; k < 3; k++) // not itc, which is 0 for one sample
        compare_metrics(work, "few", "fews", 9, (const char *const[]){"loss", "itm", "lm"}[k],
                        1e-5);
}
END_TEST

START_TEST(labeler_in_double) {
    expect_equal_runs("chexbert", labeler_numbers, "", 60);
}
END_TEST

START_TEST(labeler_step_in_single) {
    expect_equal_step("chexbert", 60);
}
END_TEST

// A shard that one rank cannot read, while features are made: nobody waits for its rows, and one line tells why.
START_TEST(damaged_shard) {
    char path[512];
    size_t size;
    snprintf(path, sizeof path, "%s/damaged/train-00000.h5", work);
    program_expect(0, "ingest %s/data --out %s/damaged --quiet", work, work);
    char *bytes = read_file(path, &size);
    FILE *f = fopen(path, "r+b"); // in the middle of the pixels
    ck_assert(bytes && f && !fseek(f, (long)(size / 2), SEEK_SET) && fputc(bytes[size / 2] ^ 0x55, f) >= 0 && !fclose(f));
    free(bytes);
    program_path = MPIRUN;
    outcome o = program("2 %s train aligner %s --set data.shards=%s/damaged --set model.vocabulary=%s/vocab.txt "
                        "--set run.dir=%s/apart --set run.watchdog=5 --set run.threads=1",
                        RADIALOG_PROGRAM, tiny_aligner, work, work, work);
    program_path = RADIALOG_PROGRAM;
    ck_assert_msg(o.exit == 1 && count_text(o.err, "train-00000.h5") == 1 && !strstr(o.err, "all_gather"), "%d %s", o.exit,
                  o.err);
    outcome_free(&o);
}
END_TEST

int main(void) {
    TCase *all = tcase_create("reports");
    tcase_add_unchecked_fixture(all, setup, teardown);
    tcase_set_timeout(all, 0);
    tcase_add_test(all, aligner_in_double);
    tcase_add_test(all, aligner_step_in_single);
    tcase_add_test(all, ranks_without_rows);
    tcase_add_test(all, labeler_in_double);
    tcase_add_test(all, labeler_step_in_single);
    tcase_add_test(all, damaged_shard);
    Suite *suite = suite_create("training of what reads reports on ranks");
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
