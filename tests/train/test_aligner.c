// The aligner as the program trains it: what a run says, that it goes on where it was killed, its
// file of features, what it refuses; and the embeddings that it leaves.
#include "core/files/safetensors.h"
#include "data/embeddings.h"
#include "tests/train/helper_program.h"
#include "tests/train/helper_run.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEPS = 12, QUERIES = 4, WIDTH = 16 };

static char work[256];

static const char *command(const char *run, const char *extra) {
    static char text[4096];
    snprintf(
        text, sizeof text,
        "train aligner %s --set data.shards=%s/shards --set model.vocabulary=%s/vocab.txt --set "
        "run.dir=%s/%s "
        "--set run.max_steps=%d --set train.checkpoint_every=3 --set train.validate_every=6 %s",
        tiny_aligner, work, work, work, run, STEPS, extra);
    return text;
}

static const char *in_work(const char *name) {
    static char text[4][1024];
    static int next;
    char *out = text[next++ % 4];
    snprintf(out, sizeof text[0], "%s/%s", work, name);
    return out;
}

static void shell(const char *format, const char *a, const char *b) {
    char text[4096];
    snprintf(text, sizeof text, format, a, b);
    ck_assert_msg(system(text) == 0, "%s", text);
}

// A run that ended well, "straight", is what most tests look at.
static void setup(void) {
    workspace_make(work);
    small_shards(work, 60);
    small_vocabulary(work);
    program_expect(0, "%s --quiet", command("straight", ""));
}

static void teardown(void) {
    workspace_remove(work);
}

static void refused(int exit, const char *words, const char *part) {
    outcome o = program("%s", words);
    ck_assert_msg(o.exit == exit && strstr(o.err, part), "%s: exit %d, expected %d and '%s'\n%s",
                  words, o.exit, exit, part, o.err);
    outcome_free(&o);
}

// --- training -----------------------------------------------------------------------------------
START_TEST(losses_stand_in_the_metrics) {
    const char *run = in_work("straight");
    run_expect_steps(run, STEPS);
    for (int step = 1; step <= STEPS; step++) {
        double loss = run_metric(run, step, "loss"), sum = 0;
        const char *const parts[] = {"itc", "itm", "lm"};
        for (int i = 0; i < 3; i++) {
            double part = run_metric(run, step, parts[i]);
            ck_assert_msg(part > 0 && part < 20, "step %d: %s %g", step, parts[i], part);
            sum += part;
        }
        ck_assert_msg(fabs(sum - loss) <= 1e-5 * loss, "step %d: parts %.9g, loss %.9g", step, sum,
                      loss);
    }
    for (int step = 6; step <= STEPS; step += 6) {
        double recall = run_metric(run, step, "recall_10");
        ck_assert_msg(recall >= 0 && recall <= 1, "recall@10 %g", recall);
        ck_assert_double_gt(run_metric(run, step, "chance_1"), 0);
    }
    ck_assert_double_lt(run_metric(run, STEPS, "lm"), 0.9 * run_metric(run, 1, "lm"));
    char *test = read_file(in_work("straight/test.json"), NULL);
    ck_assert(test && strstr(test, "\"image_to_text\":{\"recall_1\":") &&
              strstr(test, "\"text_to_image\""));
    free(test);
}
END_TEST

START_TEST(killed_and_gone_on) {
    const char *run = in_work("killed");
    run_kill_at(run, 4, command("killed", ""));
    run_kill_at(run, 8, command("killed", ""));
    program_expect(0, "%s --quiet", command("killed", ""));
    run_expect_steps(run, STEPS);
    run_expect_same(in_work("straight"), run, STEPS);
    run_expect_same(in_work("straight"), run, 9);
}
END_TEST

// What is computed again in the backward pass, dropout included, is what was there.
START_TEST(recomputed) {
    program_expect(0, "%s", command("recomputed", "--set train.recompute=true --quiet"));
    run_expect_same(in_work("straight"), in_work("recomputed"), STEPS);
}
END_TEST

// --- validation ---------------------------------------------------------------------------------
// IN_WORK/few: five pairs to train on and a single one to validate with.
static void few_shards(void) {
    char text[2048], path[500];
    ck_assert_int_eq(mkdir(in_work("few"), 0700), 0);
    FILE *table = fopen(in_work("few/data.csv"), "w");
    snprintf(text, sizeof text, "find %s/data -name '*.jpg' | sort | head -6", work);
    FILE *f = popen(text, "r");
    ck_assert(f && table && fputs("image,split,findings\n", table) >= 0);
    for (int i = 0; i < 6 && fgets(path, sizeof path, f); i++) {
        path[strcspn(path, "\n")] = 0;
        fprintf(table, "..%s,%s,Finding number %d.\n", path + strlen(work),
                i == 5 ? "validate" : "train", i);
    }
    pclose(f);
    ck_assert_int_eq(fclose(table), 0);
    program_expect(0, "ingest --source folder %s/few --out %s/few/shards --quiet", work, work);
}

// A sample that is alone in its batch has no wrong image and no wrong text: nothing is decided
// about it but that it matches.
START_TEST(alone_in_its_batch) {
    char extra[600], line[64];
    few_shards();
    snprintf(extra, sizeof extra,
             "--set data.shards=%s/few/shards --set train.batch=4 --set run.max_steps=6 --quiet",
             work);
    program_expect(0, "%s", command("alone", extra));
    char *text = read_file(in_work("alone/metrics.jsonl"), NULL);
    char *at = text ? strstr(text, "\"validation\":{") : NULL;
    ck_assert_msg(at != NULL, "%s", text);
    ck_assert_msg(strstr(at, "\"itm\":0,") && strstr(at, "\"itm_balanced_accuracy\":null"), "%s",
                  at);
    double loss = 0, lm = 0;
    ck_assert_int_eq(
        sscanf(at, "\"validation\":{\"loss\":%lf,%63[^,],\"itm\":0,\"lm\":%lf", &loss, line, &lm),
        3);
    ck_assert_msg(fabs(loss - lm) <= 1e-6 * lm && lm > 0, "loss %.9g, caption %.9g", loss, lm);
    free(text);
}
END_TEST

// --- export -------------------------------------------------------------------------------------
static void expect_twin(const safetensors *s, const char *name, const char *of) {
    const safetensors_entry *a = safetensors_lookup(s, name), *b = safetensors_lookup(s, of);
    ck_assert(a && b && a->bytes == b->bytes);
    ck_assert_mem_eq(a->data, b->data, a->bytes);
}

// The names of LAVIS: tied weights under both of theirs, the table of positions, the projector too.
START_TEST(exported) {
    char words[1024];
    safetensors *s;
    const safetensors_entry *e;
    int64_t third;
    snprintf(words, sizeof words, "export %s/straight --format lavis --out %s/lavis.safetensors",
             work, work);
    program_expect(0, "%s --verify", words);
    ck_assert_int_eq(safetensors_open(&s, in_work("lavis.safetensors")), 0);
    expect_twin(s, "Qformer.cls.predictions.decoder.weight",
                "Qformer.bert.embeddings.word_embeddings.weight");
    expect_twin(s, "Qformer.cls.predictions.decoder.bias", "Qformer.cls.predictions.bias");
    e = safetensors_lookup(s, "Qformer.bert.embeddings.position_ids");
    ck_assert(e && e->type == DTYPE_I64 && e->rank == 2 && e->dim[0] == 1 && e->dim[1] > 3);
    memcpy(&third, (const char *)e->data + 2 * sizeof third, sizeof third);
    ck_assert_int_eq(third, 2);
    ck_assert(safetensors_lookup(s, "visual_encoder.projector.model.3.bias") &&
              safetensors_lookup(s, "query_tokens"));
    safetensors_close(s);
    refused(2, "export nowhere --format pft --out x", "there is lavis");
    snprintf(words, sizeof words, "export %s/vocab.txt --format lavis --out %s/again.safetensors",
             work, work);
    refused(1, words, "vocab.txt");
}
END_TEST

// --- features -----------------------------------------------------------------------------------
// The one file in the folder CACHE whose name begins so.
static void find_features(char out[1024], const char *cache, const char *split) {
    char text[2048];
    snprintf(text, sizeof text, "ls -d %s/features-%s-*.h5", in_work(cache), split);
    FILE *f = popen(text, "r");
    ck_assert(f && fgets(out, 1024, f));
    ck_assert_ptr_null(fgets(text, sizeof text, f));
    pclose(f);
    out[strcspn(out, "\n")] = 0;
}

START_TEST(features_are_made_once) {
    char extra[512], path[1024];
    struct stat first, second;
    snprintf(extra, sizeof extra, "--set data.cache=%s/cache --quiet", work);
    program_expect(0, "%s", command("one", extra));
    find_features(path, "cache", "train");
    ck_assert_int_eq(stat(path, &first), 0);
    program_expect(0, "%s", command("two", extra));
    find_features(path, "cache", "train");
    ck_assert_int_eq(stat(path, &second), 0);
    ck_assert(first.st_ino == second.st_ino && first.st_mtim.tv_sec == second.st_mtim.tv_sec &&
              first.st_mtim.tv_nsec == second.st_mtim.tv_nsec);
    run_expect_same(in_work("straight"), in_work("one"), STEPS);
    run_expect_same(in_work("one"), in_work("two"), STEPS);
    // Another encoder's features are beside them.
    program_expect(0, "%s --set run.seed=43", command("other_seed", extra));
    shell("test $(ls %s/features-train-*.h5 | wc -l) -eq 2%s", in_work("cache"), "");
}
END_TEST

START_TEST(pixels_give_the_same_losses) {
    program_expect(0, "%s", command("pixels", "--set data.cache=off --quiet"));
    for (int step = 1; step <= STEPS; step++) {
        double with = run_metric(in_work("straight"), step, "loss"),
               without = run_metric(in_work("pixels"), step, "loss");
        ck_assert_msg(fabs(with - without) <= 1e-5 * with, "step %d: %.9g, %.9g", step, with,
                      without);
    }
    shell("! ls %s/features-* 2>%s", in_work("pixels"), "/dev/null");
}
END_TEST

START_TEST(features_that_do_not_fit) {
    char extra[512], train[1024], validate[1024];
    snprintf(extra, sizeof extra, "--set data.cache=%s/bad", work);
    program_expect(0, "%s --quiet", command("three", extra));
    find_features(train, "bad", "train");
    find_features(validate, "bad", "validate");
    shell("cp %s %s.sound", train, train);
    shell("cp %s %s", validate, train);
    refused(1, command("four", extra), train);
    shell("cp %s.sound %s", train, train);
    shell("truncate -s -5 %s%s", train, "");
    refused(1, command("four", extra), train);
    shell("echo no features at all > %s%s", train, "");
    refused(1, command("four", extra), train);
    shell("cp %s.sound %s", train, train);
    program_expect(0, "%s --quiet", command("four", extra));
    run_expect_same(in_work("straight"), in_work("four"), STEPS);
}
END_TEST

// --- what it refuses ----------------------------------------------------------------------------
START_TEST(another_vocabulary) {
    char extra[600];
    shell("cp -r %s %s", in_work("straight"), in_work("swapped"));
    shell("sed -n 'h;$!{n;G};p' %s > %s", in_work("vocab.txt"),
          in_work("other.txt")); // pairs of lines change places
    shell("! cmp -s %s %s", in_work("vocab.txt"), in_work("other.txt"));
    snprintf(extra, sizeof extra, "--set model.vocabulary=%s/other.txt --set run.max_steps=20",
             work);
    refused(1, command("swapped", extra),
            "vocab.txt: is not the vocabulary of this configuration (model.vocabulary)");
    ck_assert_int_eq(run_last_step(in_work("swapped")), STEPS);
}
END_TEST

START_TEST(wrong_settings) {
    static const struct {
        const char *set, *part;
    } cases[] = {
        {"--set model.vocabulary=", "model.vocabulary"},
        {"--set train.batch=1", "train.batch"},
        {"--set data.max_tokens=65", "data.max_tokens"},
        {"--set model.heads=3", "model.width"},
        {"--set train.batch=5000", "train"},
        {"--set model.querys=4", "model.queries"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        refused(i == 4 ? 1 : 2, command("wrong", cases[i].set), cases[i].part);
    }
    refused(1, command("wrong", "--set model.vocabulary=/none.txt"), "/none.txt");
    refused(1, command("wrong", "--set model.encoder=/none.pt"), "/none.pt");
}
END_TEST

// --- embeddings ---------------------------------------------------------------------------------
static void embed(int exit, const char *run, const char *out, const char *more) {
    program_expect(exit, "embed --checkpoint %s/%s --out %s/%s %s --quiet", work, run, work, out,
                   more);
}

static embeddings *open_embeddings(const char *name) {
    embeddings *e = NULL;
    ck_assert_msg(embeddings_open(&e, in_work(name)) == STATUS_OK, "%s", status_text());
    ck_assert_int_eq(e->queries, QUERIES);
    ck_assert_int_eq(e->width, WIDTH);
    return e;
}

// Row I of A against that of the same image in B.
static void compare_row(const embeddings *a, int64_t i, const embeddings *b, double tolerance) {
    float x[QUERIES * WIDTH], y[QUERIES * WIDTH];
    int64_t j = embeddings_find(b, embeddings_id(a, i));
    ck_assert_msg(j >= 0, "%s is missing", embeddings_id(a, i));
    ck_assert(!embeddings_read(x, a, i) && !embeddings_read(y, b, j));
    for (int k = 0; k < QUERIES * WIDTH; k++) {
        double difference = fabs((double)x[k] - (double)y[k]);
        ck_assert_msg(difference <= tolerance, "%s, number %d: %.9g and %.9g", embeddings_id(a, i),
                      k, (double)x[k], (double)y[k]);
    }
}

// Images differ in their embeddings, or comparing rows would prove little.
static void expect_different_rows(const embeddings *e) {
    float x[QUERIES * WIDTH], y[QUERIES * WIDTH];
    double most = 0;
    ck_assert(!embeddings_read(x, e, 0) && !embeddings_read(y, e, 1));
    for (int k = 0; k < QUERIES * WIDTH; k++) most = fmax(most, fabs((double)x[k] - (double)y[k]));
    ck_assert_msg(most > 1e-4, "rows 0 and 1 differ by %g", most);
}

START_TEST(embeddings_of_all_records) {
    char more[512];
    snprintf(more, sizeof more, "%s/shards", work);
    embed(0, "straight", "all.h5", more);
    snprintf(more, sizeof more, "%s/shards --set train.batch=1", work);
    embed(0, "straight", "ones.h5", more);
    snprintf(more, sizeof more, "%s/shards --set train.batch=4", work);
    embed(0, "straight", "fours.h5", more);
    snprintf(more, sizeof more, "%s/shards --split test", work);
    embed(0, "straight", "test.h5", more);
    embeddings *all = open_embeddings("all.h5"), *ones = open_embeddings("ones.h5"),
               *fours = open_embeddings("fours.h5"), *test = open_embeddings("test.h5");
    ck_assert_int_gt(all->count, 50);
    expect_different_rows(all);
    ck_assert(ones->count == all->count && fours->count == all->count && test->count > 0 &&
              test->count < all->count);
    for (int64_t i = 0; i < all->count; i++) {
        compare_row(ones, i, fours, 1e-5);
        compare_row(all, i, fours, 1e-5);
    }
    for (int64_t i = 0; i < test->count; i++) compare_row(test, i, all, 1e-5);
    embeddings_close(all), embeddings_close(ones), embeddings_close(fours), embeddings_close(test);
}
END_TEST

// What a killed command leaves: the first rows, of which one is marked here.
static void leave_part(const embeddings *whole, const char *path, int64_t rows) {
    const char *ids[512];
    embeddings_writer *w = NULL;
    float row[QUERIES * WIDTH];
    ck_assert_int_lt(whole->count, 512);
    for (int64_t i = 0; i < whole->count; i++) ids[i] = embeddings_id(whole, i);
    const embeddings_facts facts = {
        whole->checkpoint, whole->model, whole->split, whole->plan, whole->count,
        QUERIES,           WIDTH,        whole->type,  ids};
    ck_assert_msg(!embeddings_create(&w, path, &facts), "%s", status_text());
    for (int64_t i = 0; i < rows; i++) {
        ck_assert(!embeddings_read(row, whole, i));
        if (i == 3) row[0] = 77;
        ck_assert(!embeddings_add(w, row, 1));
    }
    ck_assert(!embeddings_sync(w));
    embeddings_writer_close(w);
}

START_TEST(embedding_goes_on) {
    char more[512];
    float row[QUERIES * WIDTH], true_row[QUERIES * WIDTH];
    snprintf(more, sizeof more, "%s/shards --set train.batch=4", work);
    embed(0, "straight", "whole.h5", more);
    embeddings *whole = open_embeddings("whole.h5");
    leave_part(whole, in_work("part.h5"), 9); // in the middle of a batch
    embed(0, "straight", "part.h5", more);
    embeddings *part = open_embeddings("part.h5");
    for (int64_t i = 0; i < whole->count; i++) {
        ck_assert(!embeddings_read(row, part, i) && !embeddings_read(true_row, whole, i));
        if (i == 3) ck_assert_float_eq(row[0], 77); // not computed again
        row[0] = i == 3 ? true_row[0] : row[0];
        ck_assert_msg(!memcmp(row, true_row, sizeof row), "row %lld", (long long)i);
    }
    embeddings_close(part);
    leave_part(whole, in_work("foreign.h5"), 9);
    embeddings_close(whole);
    // Weights of another step begin nothing that others began, and overwrite nothing.
    program_expect(0, "%s --quiet", command("other", "--set run.seed=9 --set run.max_steps=3"));
    const char *const files[] = {"whole.h5", "foreign.h5"};
    for (int i = 0; i < 2; i++) {
        char words[2048];
        snprintf(words, sizeof words, "embed --checkpoint %s/other --out %s/%s %s", work, work,
                 files[i], more);
        refused(1, words, "checkpoint");
    }
    embed(0, "straight", "whole.h5", more);
    // Nor do another encoder (a run, as training takes it) or other pictures.
    char words[2048];
    program_expect(0,
                   "train classifier %s --set data.shards=%s/shards --set run.dir=%s/classifier "
                   "--set run.max_steps=1 --quiet",
                   tiny_settings, work, work);
    snprintf(
        words, sizeof words,
        "embed --checkpoint %s/straight --out %s/whole.h5 %s --set model.encoder=%s/classifier",
        work, work, more, work);
    refused(1, words, "checkpoint");
    snprintf(words, sizeof words,
             "embed --checkpoint %s/straight --out %s/whole.h5 %s --set data.crop=400", work, work,
             more);
    refused(1, words, "crop 512");
}
END_TEST

START_TEST(embeddings_of_image_files) {
    char more[2048], a[500], b[500];
    snprintf(more, sizeof more, "find %s/data -name '*.jpg' | sort", work);
    FILE *f = popen(more, "r");
    ck_assert(f && fgets(a, sizeof a, f) && fgets(b, sizeof b, f));
    while (fgets(more, sizeof more, f)) {
    } // find would end with a broken pipe
    pclose(f);
    a[strcspn(a, "\n")] = b[strcspn(b, "\n")] = 0;
    snprintf(more, sizeof more, "%s %s", a, b);
    embed(0, "straight", "files.h5", more);
    snprintf(more, sizeof more, "%s/shards", work);
    embed(0, "straight", "shards.h5", more);
    embeddings *files = open_embeddings("files.h5"), *shards = open_embeddings("shards.h5");
    ck_assert_int_eq(files->count, 2);
    expect_different_rows(files);
    // Shards keep pictures as they are read, so that names and numbers are those of the data set.
    for (int64_t i = 0; i < 2; i++) compare_row(files, i, shards, 1e-5);
    embeddings_close(files), embeddings_close(shards);
}
END_TEST

START_TEST(embedding_refuses) {
    char words[1024];
    snprintf(words, sizeof words, "embed --checkpoint %s/straight %s/shards", work, work);
    refused(2, words, "--out FILE is missing");
    snprintf(words, sizeof words, "embed --out %s/x.h5 %s/shards", work, work);
    refused(2, words, "--checkpoint PATH is missing");
    snprintf(words, sizeof words,
             "embed --checkpoint %s/straight --out %s/x.h5 --split all_of_it %s/shards", work, work,
             work);
    refused(2, words, "--split all_of_it");
    snprintf(words, sizeof words, "embed --checkpoint %s/straight --out %s/x.h5 %s/none.jpg", work,
             work, work);
    refused(1, words, "none.jpg");
    snprintf(words, sizeof words, "embed --checkpoint %s/none --out %s/x.h5 %s/shards", work, work,
             work);
    refused(1, words, "/none");
}
END_TEST

int main(void) {
    TCase *all = tcase_create("aligner");
    tcase_set_timeout(all, 0);
    tcase_add_unchecked_fixture(all, setup, teardown);
    tcase_add_test(all, losses_stand_in_the_metrics);
    tcase_add_test(all, killed_and_gone_on);
    tcase_add_test(all, recomputed);
    tcase_add_test(all, alone_in_its_batch);
    tcase_add_test(all, exported);
    tcase_add_test(all, features_are_made_once);
    tcase_add_test(all, pixels_give_the_same_losses);
    tcase_add_test(all, features_that_do_not_fit);
    tcase_add_test(all, another_vocabulary);
    tcase_add_test(all, wrong_settings);
    tcase_add_test(all, embeddings_of_all_records);
    tcase_add_test(all, embedding_goes_on);
    tcase_add_test(all, embeddings_of_image_files);
    tcase_add_test(all, embedding_refuses);
    Suite *suite = suite_create("aligner");
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
