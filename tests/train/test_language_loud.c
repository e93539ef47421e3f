// train lm and train lora say what they learn and stop where they would learn nothing.
#include "core/files/fs.h"
#include "data/instruct.h"
#include "tests/train/helper_language.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const lora = "--quiet --set train.batch=2 --set optim.warmup_steps=0 --set train.validate_first=false "
                                "--set lora.rank=3";

static void expect_stop(const char *stop, const char *words) {
    outcome o = program("%s", words);
    ck_assert_msg(o.exit == 1 && strstr(o.err, stop), "exit %d: %s; expected %s", o.exit, o.err, stop);
    outcome_free(&o);
}

// Whether a record's answer begins with the LENGTH characters of TEXT.
static bool is_an_answer(const char *text, size_t length) {
    instruct_set *data;
    instruct_record r;
    bool found = false;
    ck_assert_int_eq(instruct_open(&data, in_work("records")), STATUS_OK);
    for (int64_t i = 0; i < instruct_count(data, SPLIT_TRAIN) && !found; i++) {
        ck_assert_int_eq(instruct_read(data, SPLIT_TRAIN, i, &r), STATUS_OK);
        found = !strncmp(r.answer, text, length);
    }
    instruct_close(data);
    return found;
}

// The log shows a conversation as the model sees it: the image's tokens, and the answer alone in brackets.
START_TEST(first_conversation) {
    int tokens = 0, learned = 0;
    program_expect(0, "train lora %s %s --set run.dir=%s --set run.max_steps=1", common, lora, in_work("shown"));
    char *log = read_file(in_work("shown/log.txt"), NULL), *at = strstr(log, "the first conversation, ");
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(sscanf(at, "the first conversation, %d tokens, of which the %d in", &tokens, &learned), 2);
    ck_assert(learned > 0 && learned < tokens);
    ck_assert_int_eq(count_text(at, "<4 image tokens>"), 1);
    char *begin = strstr(strchr(at, '\n'), "[["), *end = strstr(at, "]]\n");
    ck_assert(begin && end && begin < end);
    ck_assert_ptr_null(strstr(begin + 2, "[["));
    begin += 2;
    begin += strspn(begin, " "); // the blank before the answer may be learned with it
    ck_assert_msg(is_an_answer(begin, 20), "%.40s", begin);
    free(log);
}
END_TEST

// Image tokens that are all zeros teach the projection nothing.
START_TEST(projection_without_gradient) {
    char words[4096];
    language_embeddings_scaled("zeros.h5", "z", 0);
    snprintf(words, sizeof words, "train lora %s %s --set data.embeddings=%s/zeros.h5 --set run.dir=%s/zeros "
             "--set run.max_steps=3", common, lora, work, work);
    expect_stop("img_proj_layer.weight no gradient: nothing would be learned there", words);
}
END_TEST

START_TEST(not_finite) {
    char words[4096];
    language_embeddings_scaled("huge.h5", "h", INFINITY);
    snprintf(words, sizeof words, "train lora %s %s --set data.embeddings=%s/huge.h5 --set run.dir=%s/huge "
             "--set run.max_steps=3", common, lora, work, work);
    expect_stop("Lower optim.lr, or look at the batch: records ", words);
}
END_TEST

// Multiplies the final norm in the model at PATH, and with it all logits.
static void sharpen(const char *path, float factor) {
    size_t size, from, to;
    char *file = read_file(path, &size);
    uint64_t header;
    memcpy(&header, file, sizeof header);
    char *name = memmem(file, header, "\"model.norm.weight\"", 19);
    ck_assert_ptr_nonnull(name);
    ck_assert_int_eq(sscanf(strstr(name, "data_offsets"), "data_offsets\":[%zu,%zu]", &from, &to), 2);
    for (char *at = file + 8 + header + from; at < file + 8 + header + to; at += sizeof(float)) {
        float value;
        memcpy(&value, at, sizeof value);
        value *= factor;
        memcpy(at, &value, sizeof value);
    }
    ck_assert_int_eq(file_write(path, file, size), STATUS_OK);
    free(file);
}

// A model that knows its only conversation by heart, with logits so far apart that f32 has no rest.
START_TEST(loss_of_zero) {
    static const char *const settings =
        "--quiet --set data.limit=1 --set train.batch=1 --set optim.lr=0.02 --set optim.warmup_steps=0 "
        "--set optim.schedule=constant --set optim.weight_decay=0 --set train.validate_first=false "
        "--set model.width=32 --set model.layers=1 --set model.heads=2 --set model.inner=48 "
        "--set model.positions=2048 --set run.threads=2";
    char words[4096];
    snprintf(words, sizeof words, "train lm %s --set data.instruct=%s/records --set model.tokenizer=%s/tokenizer/"
             "llama.model --set run.dir=%s/heart --set run.max_steps=120 --set train.validate_every=120",
             settings, work, TEST_DATA, work);
    program_expect(0, "%s", words);
    sharpen(in_work("heart/checkpoints/step-00000120/model.safetensors"), 1000);
    ck_assert_int_eq(rename(in_work("heart/checkpoints/step-00000120"), in_work("knows")), 0);
    ck_assert_int_eq(unlink(in_work("knows/manifest.json")), 0); // its checksums
    snprintf(words, sizeof words, "train lm %s --set data.instruct=%s/records --set model.tokenizer=%s/tokenizer/"
             "llama.model --set run.dir=%s/zero --set run.max_steps=2 --set model.init=%s/knows",
             settings, work, TEST_DATA, work, work);
    expect_stop("step 1: the loss is 0", words);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("language_loud");
    TCase *tests = tcase_create("stops");
    tcase_set_timeout(tests, 300);
    tcase_add_unchecked_fixture(tests, language_setup, language_teardown);
    tcase_add_test(tests, first_conversation);
    tcase_add_test(tests, projection_without_gradient);
    tcase_add_test(tests, not_finite);
    tcase_add_test(tests, loss_of_zero);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
