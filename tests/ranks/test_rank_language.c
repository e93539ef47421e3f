// train lora on two ranks, each with its own folders: the same step as on one; no training on images of different
// aligners.
#include "core/files/fs.h"
#include "tests/core/helper_check.h"
#include "tests/ranks/helper_compare.h"
#include "tests/train/helper_language.h"
#include "tests/train/helper_program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The second rank's files.
static const char *const files[] = {"records", "images.h5"};

static void setup(void) {
    language_setup();
    ck_assert(!folder_make(in_work("there")));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char link[64];
        snprintf(link, sizeof link, "there/%s", files[i]);
        ck_assert_int_eq(symlink(in_work(files[i]), in_work(link)), 0);
    }
}

// Of a rank whose files are in FOLDER.
static const char *command(const char *run, const char *folder) {
    static char text[2][4096];
    static int next;
    next = !next;
    snprintf(text[next], sizeof text[next],
             "train lora --quiet --set data.instruct=%s/records --set data.embeddings=%s/images.h5 --set model.base=%s/base "
             "--set model.weights=random --set model.tokenizer=%s/tokenizer/llama.model --set run.threads=1 "
             "--set run.dir=%s --set run.max_steps=2 --set train.batch=6 --set train.micro_batch=2 --set lora.rank=3 "
             "--set optim.warmup_steps=0 --set train.validate_every=2",
             folder, folder, work, TEST_DATA, in_work(run));
    return text[next];
}

// The second rank with its files in FOLDER, and EXTRA.
static outcome train_apart(const char *run, const char *folder, const char *extra) {
    program_path = MPIRUN;
    outcome o = program("2 %s %s %s @ %s %s %s", BY_RANK, RADIALOG_PROGRAM, command(run, work), RADIALOG_PROGRAM,
                        command(run, folder), extra);
    program_path = RADIALOG_PROGRAM;
    return o;
}

START_TEST(folders_of_their_own) {
    program_expect(0, "%s", command("one", work));
    outcome o = train_apart("two", in_work("there"), "");
    ck_assert_msg(o.exit == 0, "%s", o.err);
    outcome_free(&o);
    compare_metrics(work, "one", "two", 1, "loss", 1e-5);
    compare_metrics(work, "one", "two", 1, "grad_norm", 1e-4);
}
END_TEST

START_TEST(images_of_different_aligners) {
    ck_assert_int_eq(unlink(in_work("there/images.h5")), 0);
    language_embeddings("there/images.h5", "another");
    outcome o = train_apart("apart", in_work("there"), "");
    ck_assert_int_ne(o.exit, 0);
    ck_assert_msg(count_text(o.err, "read different data") == 1, "%s", o.err);
    ck_assert_int_ne(access(in_work("apart/metrics.jsonl"), F_OK), 0);
    outcome_free(&o);
}
END_TEST

// Bases are not compared, so all ranks name one.
START_TEST(another_base) {
    outcome o = train_apart("bases", work, "--set model.base=elsewhere");
    ck_assert_int_ne(o.exit, 0);
    ck_assert_msg(count_text(o.err, "different values of model.base") == 1, "%s", o.err);
    outcome_free(&o);
}
END_TEST

// A relative name is another file in another folder. The second's tokenizer has a field more, which changes no token.
START_TEST(vocabularies_that_differ) {
    static const char field_200[] = "\xc0\x0c\x01";
    buffer model = {0};
    ck_assert(!file_read(TEST_DATA "/tokenizer/llama.model", 1 << 20, &model));
    ck_assert(!file_write(in_work("words.model"), model.data, model.length));
    buffer_append(&model, field_200, sizeof field_200 - 1);
    ck_assert(!file_write(in_work("there/words.model"), model.data, model.length));
    buffer_free(&model);
    char words[4096];
    snprintf(words, sizeof words,
             "train lm --quiet --set data.instruct=%s/records --set model.tokenizer=words.model --set run.threads=1 "
             "--set run.dir=%s --set run.max_steps=1 --set train.batch=4 --set model.width=32 --set model.layers=2 "
             "--set model.heads=4 --set model.inner=48 --set model.positions=2048", work, in_work("words"));
    program_path = MPIRUN;
    outcome o = program("2 %s /usr/bin/env -C %s %s %s @ /usr/bin/env -C %s/there %s %s", BY_RANK, work,
                        RADIALOG_PROGRAM, words, work, RADIALOG_PROGRAM, words);
    program_path = RADIALOG_PROGRAM;
    ck_assert_int_ne(o.exit, 0);
    ck_assert_msg(count_text(o.err, "read different vocabularies") == 1, "%s", o.err);
    outcome_free(&o);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("language");
    Suite *suite = suite_create("rank_language");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, setup, language_teardown);
    tcase_add_test(tests, folders_of_their_own);
    tcase_add_test(tests, images_of_different_aligners);
    tcase_add_test(tests, another_base);
    tcase_add_test(tests, vocabularies_that_differ);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
