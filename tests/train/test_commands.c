// The program as its users meet it: exit statuses, error lines, outputs.
#include "tests/train/helper_program.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/stat.h>

static char work[256];

static void setup(void) {
    workspace_make(work);
    small_shards(work, 40);
}

static void teardown(void) { workspace_remove(work); }

// One line on stderr that says all of PARTS ('|' between them), and the exit status.
static void expect_error(int code, const char *parts, const char *words) {
    char list[512], *rest = list;
    outcome o = program("%s", words);
    ck_assert_msg(o.exit == code, "radialog %s: exit %d, expected %d: %s", words, o.exit, code, o.err);
    snprintf(list, sizeof list, "%s", parts);
    for (char *part; (part = strsep(&rest, "|"));)
        ck_assert_msg(strstr(o.err, part) != NULL, "radialog %s: no '%s' in: %s", words, part, o.err);
    ck_assert_msg(count_text(o.err, "radialog") >= 1, "%s", o.err);
    outcome_free(&o);
}

START_TEST(usage_errors) {
    static const struct {
        const char *words, *parts;
    } cases[] = {
        {"synht x", "unknown command 'synht'|radialog synth"},
        {"train clasifier", "unknown command|train classifier"},
        {"synth", "OUT is missing"},
        {"synth a b", "unexpected argument 'b'"},
        {"synth x --studis 3", "unknown option --studis|--studies"},
        {"synth x --sed=/a/long/value", "unknown option --sed;|did you mean --seed?"},
        {"synth x --studies", "--studies needs a value"},
        {"synth x --studies three", "--studies takes a whole number|three"},
        {"synth x --studies 0", "from 1"},
        {"synth x --quiet=yes", "--quiet takes no value"},
        {"ingest x", "--out DIR is missing"},
        {"ingest x --out y --source mimci", "--source mimci|mimic"},
        {"ingest x --out y --source folder --test 1.5", "--test takes a fraction"},
        {"train classifier --set optim.lrr=1", "lrr|optim.lr"},
        {"train classifier --set optim.lr=fast", "optim.lr"},
        {"train classifier --set optim.lr=-1", "optim.lr"},
        {"train classifier --set model.widths=[1,2]", "four numbers"},
        {"train classifier --set data.size=64", "data.size 64|model.pool"},
        {"train classifier --device cuda", "--device cuda|cpu"},
        {"train classifier --precision fp16", "--precision fp16|f32 or bf16"},
        {"train classifier --precision bf8", "run.precision|f32|bf16"},
        {"classify x", "--checkpoint PATH is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[2048];
        snprintf(words, sizeof words, "%s", cases[i].words);
        // Sizes are judged once the data are open.
        if (strstr(words, "--set model") || strstr(words, "--set data"))
            snprintf(words, sizeof words, "%s --quiet --set data.shards=%s/shards --set run.dir=%s/usage",
                     cases[i].words, work, work);
        expect_error(2, cases[i].parts, words);
    }
}
END_TEST

START_TEST(world_errors) {
    char words[1024];
    expect_error(1, "/nowhere", "inspect /nowhere");
    expect_error(1, "/nowhere", "ingest /nowhere --out /tmp/nothing-is-made");
    snprintf(words, sizeof words, "train classifier --set data.shards=/nowhere --set run.dir=%s/e1", work);
    expect_error(1, "/nowhere", words);
    snprintf(words, sizeof words, "train classifier --config /nowhere.json");
    expect_error(1, "/nowhere.json", words);
    snprintf(words, sizeof words, "classify %s/shards --checkpoint %s", work, work);
    expect_error(1, "config.json", words);
    snprintf(words, sizeof words, "inspect %s", work);
    expect_error(1, "neither a shard directory nor a checkpoint", words);
}
END_TEST

START_TEST(help_tells_everything) {
    outcome o = program("train classifier --help");
    ck_assert_int_eq(o.exit, 0);
    ck_assert_ptr_nonnull(strstr(o.out, "--fresh"));
    ck_assert_ptr_nonnull(strstr(o.out, "weight_decay"));
    outcome_free(&o);
    o = program("--help");
    ck_assert_int_eq(o.exit, 0);
    ck_assert_ptr_nonnull(strstr(o.out, "classify"));
    outcome_free(&o);
}
END_TEST

static void train(const char *run, const char *extra, int exit) {
    program_expect(exit, "train classifier %s --quiet --set data.shards=%s/shards --set run.dir=%s/%s %s",
                   tiny_settings, work, work, run, extra);
}

START_TEST(train_classify_inspect) {
    char path[512], copy[1024];
    train("run", "--set run.max_steps=6", 0);
    outcome o = program("classify %s/shards --split test --checkpoint %s/run", work, work);
    ck_assert_msg(o.exit == 0, "%s", o.err);
    int lines = count_text(o.out, "\n");
    ck_assert_int_gt(lines, 0);
    ck_assert_int_eq(count_text(o.out, "{\"dicom_id\":\""), lines);
    ck_assert_int_eq(count_text(o.out, "\"findings\":["), lines);
    outcome_free(&o);

    // A radiograph's file gives the same as its stored square.
    o = program("classify %s/shards --split test --limit 1 --checkpoint %s/run/checkpoints/best", work, work);
    ck_assert_int_eq(o.exit, 0);
    char id[64] = {0};
    sscanf(o.out, "{\"dicom_id\":\"%63[^\"]", id);
    snprintf(path, sizeof path, "find '%s/data' -name '%s.jpg'", work, id);
    FILE *f = popen(path, "r");
    ck_assert_ptr_nonnull(fgets(path, sizeof path, f));
    pclose(f);
    path[strcspn(path, "\n")] = 0;
    outcome again = program("classify %s --checkpoint %s/run", path, work);
    ck_assert_int_eq(again.exit, 0);
    ck_assert_str_eq(o.out, again.out);
    outcome_free(&o);
    outcome_free(&again);

    o = program("inspect %s/run", work);
    ck_assert_int_eq(o.exit, 0);
    ck_assert_ptr_nonnull(strstr(o.out, "biovil_encoder.encoder.missing_previous_emb"));
    outcome_free(&o);
    o = program("inspect %s/shards --json", work);
    ck_assert_int_eq(o.exit, 0);
    ck_assert_ptr_nonnull(strstr(o.out, "\"records\":"));
    outcome_free(&o);
    // A model's folder as others leave it: weights without a manifest of ours.
    snprintf(copy, sizeof copy, "mkdir %s/other && cp %s/run/checkpoints/best/model.safetensors %s/other", work, work, work);
    ck_assert_int_eq(system(copy), 0);
    o = program("inspect %s/other", work);
    ck_assert_msg(o.exit == 0 && strstr(o.out, "biovil_encoder.encoder.missing_previous_emb"), "%s", o.err);
    outcome_free(&o);
}
END_TEST

START_TEST(files_of_weights) {
    char words[2048];
    outcome o = program("inspect %s/torch/torch2_flat.pt", TEST_DATA);
    ck_assert_msg(o.exit == 0, "%s", o.err);
    ck_assert_ptr_nonnull(strstr(o.out, "(PyTorch zip): 22 tensors, 459 numbers, 1638 bytes\n"));
    outcome_free(&o);
    o = program("inspect %s/torch/torch1_single.pt --json", TEST_DATA);
    ck_assert_int_eq(o.exit, 0);
    ck_assert_ptr_nonnull(strstr(o.out, "\"format\":\"PyTorch zip\",\"tensors\":[\n{\"name\":\"tensor\","
                                        "\"type\":\"F32\",\"shape\":[2,3],\"bytes\":24,\"crc32\":\""));
    ck_assert_ptr_nonnull(strstr(o.out, "\"count\":1,\"elements\":6,\"bytes\":24}\n"));
    outcome_free(&o);

    // Weights alone, with the sizes from the command line, classify as their checkpoint does.
    char sizes[1024];
    snprintf(sizes, sizeof sizes, "%s", tiny_settings);
    memset(strstr(sizes, "--set optim.lr=1e-3"), ' ', strlen("--set optim.lr=1e-3")); // not a key of classify
    train("weights", "--set run.max_steps=2", 0);
    o = program("classify %s/shards --split test --checkpoint %s/weights", work, work);
    outcome again = program("classify %s/shards --split test --checkpoint %s/weights/checkpoints/best/"
                            "model.safetensors %s", work, work, sizes);
    ck_assert_msg(again.exit == 0, "%s", again.err);
    ck_assert_str_eq(o.out, again.out);
    outcome_free(&again);
    // Other weights, other answers.
    train("others", "--set run.max_steps=2 --set run.seed=7", 0);
    again = program("classify %s/shards --split test --checkpoint %s/others", work, work);
    ck_assert_int_eq(again.exit, 0);
    ck_assert_str_ne(o.out, again.out);
    outcome_free(&o);
    outcome_free(&again);
    snprintf(words, sizeof words, "--set run.max_steps=1 --set model.init=%s/weights/checkpoints/best", work);
    train("begun", words, 0);
    snprintf(words, sizeof words, "train classifier --quiet %s --set data.shards=%s/shards --set run.dir=%s/not "
             "--set model.init=%s/torch/torch1_single.pt", tiny_settings, work, work, TEST_DATA);
    expect_error(1, "verdict|missing|not in the model|they do not fit the model", words);
    snprintf(words, sizeof words, "train classifier %s --set model.init_projector=fiel", tiny_settings);
    expect_error(2, "model.init_projector|random", words);
}
END_TEST

START_TEST(bad_image_among_good_ones) {
    char bad[512];
    train("mixed", "--set run.max_steps=1", 0);
    snprintf(bad, sizeof bad, "%s/bad.jpg", work);
    FILE *f = fopen(bad, "w");
    fputs("this is no picture", f);
    fclose(f);
    char found[512];
    snprintf(found, sizeof found, "find '%s/data' -name '*.jpg' | sort | head -n 1", work);
    f = popen(found, "r");
    ck_assert_ptr_nonnull(fgets(found, sizeof found, f));
    pclose(f);
    found[strcspn(found, "\n")] = 0;
    outcome o = program("classify %s %s --checkpoint %s/mixed", bad, found, work);
    ck_assert_int_eq(o.exit, 1);
    ck_assert_ptr_nonnull(strstr(o.err, "bad.jpg"));
    ck_assert_int_eq(count_text(o.out, "\n"), 1);
    outcome_free(&o);
    // A name that is a UID has no ending.
    char copy[2048];
    snprintf(copy, sizeof copy, "cp %s %s/1.2.840.15", found, work);
    ck_assert_int_eq(system(copy), 0);
    o = program("classify %s/1.2.840.15 --checkpoint %s/mixed", work, work);
    ck_assert_msg(!o.exit && strstr(o.out, "{\"dicom_id\":\"1.2.840.15\""), "%s%s", o.out, o.err);
    outcome_free(&o);
}
END_TEST

START_TEST(splits_that_are_not) {
    static const char *const wrong[] = {"exam", "", ",", "test,", "test,exam"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        outcome o = program("classify %s/shards --checkpoint %s/run --split=%s", work, work, wrong[i]);
        ck_assert_msg(o.exit == 2 && strstr(o.err, "there are train, validate and test"), "%s: %d, %s", wrong[i],
                      o.exit, o.err);
        outcome_free(&o);
    }
}
END_TEST

// What would be silent failures elsewhere.
START_TEST(training_fails_loudly) {
    char words[2048], path[512];
    // No positive label at all.
    snprintf(path, sizeof path, "%s/nolabels.csv", work);
    FILE *f = fopen(path, "w");
    fputs("dicom_id,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,"
          "Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,"
          "Support Devices\n", f);
    fclose(f);
    program_expect(0, "ingest %s/data --out %s/nolabels --labels %s --quiet", work, work, path);
    snprintf(words, sizeof words, "train classifier %s --set data.shards=%s/nolabels --set run.dir=%s/n1",
             tiny_settings, work, work);
    expect_error(1, "no training record has a positive label", words);
    // A learning rate that destroys the model: stops, names the step and the batch.
    snprintf(words, sizeof words,
             "train classifier %s --set data.shards=%s/shards --set run.dir=%s/n2 --set optim.warmup_steps=0 "
             "--set run.max_steps=30 --set optim.lr=99 --set optim.weight_decay=10", tiny_settings, work, work);
    expect_error(1, "the loss is |the update was left out and the latest checkpoint is sound. Lower optim.lr", words);
    // A configuration that no longer fits the run's checkpoints.
    train("fits", "--set run.max_steps=2", 0);
    snprintf(words, sizeof words,
             "train classifier %s --set data.shards=%s/shards --set run.dir=%s/fits --set model.hidden=9",
             tiny_settings, work, work);
    expect_error(1, "do not fit the model|fc1", words);
    // --fresh begins beside it.
    train("fits", "--fresh --set run.max_steps=1 --set model.hidden=9", 0);
    struct stat info;
    snprintf(path, sizeof path, "%s/fits-2/checkpoints", work);
    ck_assert_int_eq(stat(path, &info), 0);
}
END_TEST

// A damaged shard stops training with its name; data.skip_bad goes on.
START_TEST(damaged_shard) {
    char path[512], words[2048];
    program_expect(0, "ingest %s/data --out %s/damaged --compression none --quiet", work, work);
    snprintf(path, sizeof path, "%s/damaged/train-00000.h5", work);
    size_t size;
    char *bytes = read_file(path, &size);
    ck_assert_ptr_nonnull(bytes);
    FILE *f = fopen(path, "r+b"); // in the middle of the pixels
    fseek(f, (long)(size / 2), SEEK_SET);
    fputc(bytes[size / 2] ^ 0x55, f);
    fclose(f);
    free(bytes);
    snprintf(words, sizeof words,
             "train classifier %s --set data.shards=%s/damaged --set run.dir=%s/d1 --set run.max_steps=8",
             tiny_settings, work, work);
    expect_error(1, "train-00000.h5", words);
    strcat(words, " --fresh --set data.skip_bad=true");
    outcome o = program("%s", words);
    ck_assert_msg(o.exit == 0, "%s", o.err);
    ck_assert_ptr_nonnull(strstr(o.err, "train-00000.h5"));
    outcome_free(&o);
}
END_TEST

// Threads wait for a moment only, unless the user says how: libgomp tells what it was started with.
START_TEST(threads_do_not_spin) {
    const char *given = getenv("OMP_WAIT_POLICY");
    char *before = given ? strdup(given) : NULL;
    setenv("OMP_DISPLAY_ENV", "VERBOSE", 1);
    for (int own = 0; own < 2; own++) {
        if (own)
            setenv("OMP_WAIT_POLICY", "passive", 1);
        else
            unsetenv("OMP_WAIT_POLICY");
        outcome o = program("classify --help");
        ck_assert_int_eq(o.exit, 0);
        ck_assert_msg((strstr(o.err, "GOMP_SPINCOUNT = '2000'") != NULL) == !own, "%s", o.err);
        outcome_free(&o);
    }
    unsetenv("OMP_DISPLAY_ENV");
    unsetenv("OMP_WAIT_POLICY");
    if (before) setenv("OMP_WAIT_POLICY", before, 1);
    free(before);
}
END_TEST

// Libraries of MPI and CUDA must not make every small command wait. Under 50 ms, in the best of a few: others
// use this machine too. Sanitizers have a start of their own.
START_TEST(starts_quickly) {
#ifdef __SANITIZE_ADDRESS__
    const double limit = 0.5;
#else
    const double limit = 0.05;
#endif
    double best = 1e9;
    for (int i = 0; i < 20; i++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        program_expect(0, "--help");
        clock_gettime(CLOCK_MONOTONIC, &end);
        double seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
        if (seconds < best) best = seconds;
    }
    ck_assert_msg(best < limit, "radialog --help takes %g seconds", best);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("commands");
    TCase *tests = tcase_create("program");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, setup, teardown);
    tcase_add_test(tests, usage_errors);
    tcase_add_test(tests, world_errors);
    tcase_add_test(tests, help_tells_everything);
    tcase_add_test(tests, train_classify_inspect);
    tcase_add_test(tests, files_of_weights);
    tcase_add_test(tests, bad_image_among_good_ones);
    tcase_add_test(tests, splits_that_are_not);
    tcase_add_test(tests, training_fails_loudly);
    tcase_add_test(tests, damaged_shard);
    tcase_add_test(tests, threads_do_not_spin);
    tcase_add_test(tests, starts_quickly);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
