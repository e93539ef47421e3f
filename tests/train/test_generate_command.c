// radialog generate: lines for the records of a split in their order, gone on with, its ablations, a
// run's adapters, what it refuses. The base is drawn: only its sizes are read.
#include "core/files/fs.h"
#include "core/files/json.h"
#include "data/instruct.h"
#include "tests/train/helper_language.h"
#include "tests/train/helper_program.h"
#include "train/answer_source.h"
#include "train/config_keys.h"
#include "train/image_prompts.h"
#include "train/language_model.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void generate(const char *what, const char *out, const char *extra) {
    program_expect(0, "generate %s %s --quiet --set generate.max_new_tokens=12 --out %s %s", what,
                   common, in_work(out), extra);
}

// FORMAT with the work folder in both places.
static const char *words(const char *format) {
    static char text[1024];
    snprintf(text, sizeof text, format, work, work);
    return text;
}

static char *answers(const char *out) {
    char *text = read_file(in_work(out), NULL);
    ck_assert_ptr_nonnull(text);
    return text;
}

// Number KEY of line I; with KEY "text" its length.
static int64_t number_of(const char *out, int i, const char *key) {
    char *all = answers(out), *at = all;
    json *line;
    int64_t n = 0;
    const char *text;
    for (; i; i--) at = strchr(at, '\n') + 1;
    ck_assert(!json_parse(&line, out, at, strcspn(at, "\n"), 1));
    if (!strcmp(key, "text")) {
        ck_assert(!json_member_text(&text, json_root(line), key));
        n = (int64_t)strlen(text);
    } else
        ck_assert(!json_member_int(&n, json_root(line), key, 0, 1 << 20));
    json_close(line);
    free(all);
    return n;
}

START_TEST(a_line_for_each_record) {
    instruct_set *s;
    instruct_record r;
    ck_assert(!instruct_open(&s, in_work("records")));
    generate("", "a.jsonl", "");
    char *all = answers("a.jsonl"), *at = all;
    const int64_t count = instruct_count(s, SPLIT_TEST);
    ck_assert_int_gt(count, 3);
    for (int64_t i = 0; i < count; i++) {
        char begin[256];
        ck_assert(!instruct_read(s, SPLIT_TEST, i, &r));
        snprintf(begin, sizeof begin, "{\"dicom_id\":\"%s\",\"prompt_tokens\":%d,", r.id, r.span[0]);
        ck_assert_msg(!strncmp(at, begin, strlen(begin)), "%.200s", at);
        at = strchr(at, '\n') + 1;
    }
    ck_assert_int_eq(*at, 0);
    ck_assert_int_gt(number_of("a.jsonl", 0, "text"), 0);
    ck_assert_ptr_null(strstr(all, "ASSISTANT"));
    free(all);
    instruct_close(s);
}
END_TEST

START_TEST(slots_and_prefix_do_not_matter) {
    generate("", "one.jsonl", "--set generate.slots=1");
    generate("", "many.jsonl", "--set generate.slots=12 --set generate.share_prefix=false");
    ck_assert(same_files(in_work("one.jsonl"), in_work("many.jsonl")));
    outcome o = program("generate %s --quiet --set generate.max_new_tokens=12 --limit 2", common);
    char *all = answers("one.jsonl");
    ck_assert_msg(o.exit == 0 && count_text(o.out, "\n") == 2 && !strncmp(o.out, all, strlen(o.out)),
                  "%s%s", o.out, o.err);
    outcome_free(&o);
    free(all);
}
END_TEST

// Two lines and a half are there: the same file comes of it.
START_TEST(goes_on_where_it_was) {
    generate("", "whole.jsonl", "--set generate.temperature=0.8 --set generate.top_p=0.9");
    char *all = answers("whole.jsonl"), *end = strchr(strchr(all, '\n') + 1, '\n') + 40;
    ck_assert(!file_write(in_work("part.jsonl"), all, (size_t)(end - all)));
    generate("", "part.jsonl", "--set generate.temperature=0.8 --set generate.top_p=0.9");
    ck_assert(same_files(in_work("whole.jsonl"), in_work("part.jsonl")));
    generate("", "part.jsonl", ""); // nothing is left to do
    ck_assert(same_files(in_work("whole.jsonl"), in_work("part.jsonl")));
    ck_assert(!file_write(in_work("other.jsonl"), "{\"dicom_id\":\"x\",\n", 17));
    program_expect(1, "generate %s --quiet --out %s", common, in_work("other.jsonl"));
    // A file without a line feed that is none of its own: not half a line, and not cut off.
    ck_assert(!file_write(in_work("mine.json"), "{\"mine\": 1}", 11));
    program_expect(1, "generate %s --quiet --out %s", common, in_work("mine.json"));
    free(all);
    all = answers("mine.json");
    ck_assert_str_eq(all, "{\"mine\": 1}");
    free(all);
}
END_TEST

START_TEST(ablations) {
    generate("", "given.jsonl", "");
    generate("", "blank.jsonl", "--set generate.images=blank");
    generate("", "removed.jsonl", "--set generate.findings=removed --set instruct.prompts=" SOURCE_ROOT
                                  "/configs/prompts/report.json");
    ck_assert(!same_files(in_work("given.jsonl"), in_work("blank.jsonl")));
    ck_assert_int_eq(number_of("given.jsonl", 0, "prompt_tokens"),
                     number_of("blank.jsonl", 0, "prompt_tokens"));
    const int64_t left = number_of("removed.jsonl", 0, "prompt_tokens");
    ck_assert_int_lt(left, number_of("given.jsonl", 0, "prompt_tokens"));
    for (int i = 1; i < 3; i++) // all ask the same then
        ck_assert_int_eq(number_of("removed.jsonl", i, "prompt_tokens"), left);
    // Without both nothing tells the records apart.
    generate("", "neither.jsonl", "--set generate.images=blank --set generate.findings=removed "
                                  "--set instruct.prompts=" SOURCE_ROOT "/configs/prompts/report.json");
    ck_assert(!same_files(in_work("removed.jsonl"), in_work("neither.jsonl")));
    for (int i = 1; i < 3; i++)
        ck_assert_int_eq(number_of("neither.jsonl", i, "text"), number_of("neither.jsonl", 0, "text"));
}
END_TEST

START_TEST(a_run_s_adapters) {
    program_expect(0,
                   "train lora %s --quiet --set run.dir=%s/run --set run.max_steps=3 "
                   "--set train.batch=4 --set optim.lr=0.05 --set optim.warmup_steps=0 "
                   "--set train.validate_first=false --set lora.rank=3 --set train.pack_tokens=2048",
                   common, work);
    generate("", "base.jsonl", "");
    generate(in_work("run"), "run.jsonl", "");
    generate(in_work("run"), "merged.jsonl", "--set generate.merge=true");
    ck_assert(!same_files(in_work("base.jsonl"), in_work("run.jsonl")));
    ck_assert(same_files(in_work("run.jsonl"), in_work("merged.jsonl")));
}
END_TEST

// --- images in files ----------------------------------------------------------------------------
static double distance(const float *a, const float *b) {
    double most = 0;
    for (int i = 0; i < QUERIES * 16; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

// An aligner that has hardly learned sees all pictures alike, so its numbers are compared as such.
static void expect_tokens(char *const path[2]) {
    image_prompts pictures;
    embeddings *file;
    tokenizer *t;
    config *c;
    int32_t image_token;
    float want[2][QUERIES * 16], got[QUERIES * 16];
    char aligner_path[512], prompts_path[512];
    snprintf(aligner_path, sizeof aligner_path, "%s/aligner", work);
    snprintf(prompts_path, sizeof prompts_path, "instruct.prompts=%s/configs/prompts/report.json", SOURCE_ROOT);
    const image_models models = {aligner_path, NULL, "cpu", {0}};
    ck_assert(!config_open(&c, generate_tables) && !config_set(c, prompts_path));
    ck_assert(!language_tokenizer(&t, TEST_DATA "/tokenizer/llama.model", "", &image_token));
    ck_assert_msg(!image_prompts_open(&pictures, (const char *const *)path, 2, &models, c, t), "%s", status_text());
    ck_assert(!embeddings_open(&file, in_work("seen.h5")));
    answer_source s = {.prompts = pictures.prompts, .pictures = pictures.tokens, .queries = QUERIES, .width = 16,
                       .first = 1};
    for (int i = 0; i < 2; i++) {
        ck_assert(!language_image_read(want[i], file, generate_prompts_name(&pictures.prompts, i)));
        ck_assert_double_le(distance(want[i], pictures.tokens + i * QUERIES * 16), 1e-5);
    }
    ck_assert_double_gt(distance(want[0], want[1]), 1e-4);
    ck_assert(!answer_source_images(&s, 0, QUERIES, got));
    ck_assert_double_le(distance(got, want[1]), 1e-5); // its job begins at 1
    ck_assert_int_eq(answer_source_images(&s, 0, QUERIES + 1, got), STATUS_FORMAT);
    image_prompts_close(&pictures);
    embeddings_close(file);
    tokenizer_close(t);
    config_close(c);
}

// The same pictures out of files and out of shards: the same prompts, the same reports.
START_TEST(images_in_files) {
    instruct_set *s;
    instruct_record r;
    char *path[2];
    language_train_seer();
    ck_assert(!instruct_open(&s, in_work("seen")));
    for (int i = 0; i < 2; i++) {
        ck_assert(!instruct_read(s, SPLIT_TEST, i, &r));
        path[i] = radiograph_file(r.id);
    }
    instruct_close(s);
    expect_tokens(path);
    generate(in_work("seer"), "records.jsonl", words("--set data.instruct=%s/seen --set data.embeddings=%s/seen.h5"));
    outcome o = program("generate %s/seer %s %s --quiet %s --set generate.max_new_tokens=12 --aligner %s/aligner "
                        "--classifier %s/classifier --set instruct.prompts=%s/configs/prompts/report.json",
                        work, path[0], path[1], common, work, work, SOURCE_ROOT);
    ck_assert_msg(!o.exit && count_text(o.out, "\n") == 2, "%s%s", o.out, o.err);
    char *all = answers("records.jsonl"), *want = all, *got = o.out;
    for (int i = 0; i < 2; i++) { // a picture's line says its findings as well
        const size_t length = (size_t)(strstr(got, ",\"findings\":\"") - got);
        ck_assert_msg(!strncmp(want, got, length), "%s\n%s", got, want);
        want = strchr(want, '\n') + 1;
        got = strchr(got, '\n') + 1;
    }
    free(all);
    outcome_free(&o);

    o = program("generate %s/seer %s --quiet %s", work, path[0], common);
    ck_assert_msg(o.exit == 2 && strstr(o.err, "--aligner PATH is missing"), "%d %s", o.exit, o.err);
    outcome_free(&o);
    o = program("generate %s/seer %s/none.jpg --quiet %s --aligner %s/aligner "
                "--set instruct.prompts=%s/configs/prompts/report.json", work, work, common, work, SOURCE_ROOT);
    ck_assert_msg(o.exit == 1 && strstr(o.err, "none.jpg: cannot open"), "%d %s", o.exit, o.err);
    outcome_free(&o);
    free(path[0]), free(path[1]);
}
END_TEST

START_TEST(refusals) {
    static const struct {
        const char *extra, *says;
        int exit;
    } wrong[] = {
        {"--set data.embeddings=", "data.embeddings: the conversations have images", 2},
        {"--split exam", "--split exam; there are train, validate and test", 2},
        {"--set data.instruct=nowhere", "nowhere", 1},
        {"--set model.base=", "model.base: name the language model", 2},
        {"--set generate.images=black", "generate.images", 2},
        {"--set generate.findings=removed --set instruct.prompts=" TEST_DATA "/../../configs/nothing",
         "configs/nothing", 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        outcome o = program("generate %s %s", common, wrong[i].extra);
        ck_assert_msg(o.exit == wrong[i].exit && strstr(o.err, wrong[i].says), "%s: %d, %s",
                      wrong[i].extra, o.exit, o.err);
        outcome_free(&o);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("generate_command");
    TCase *tests = tcase_create("generate_command");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, language_setup, language_teardown);
    tcase_add_test(tests, a_line_for_each_record);
    tcase_add_test(tests, slots_and_prefix_do_not_matter);
    tcase_add_test(tests, goes_on_where_it_was);
    tcase_add_test(tests, ablations);
    tcase_add_test(tests, a_run_s_adapters);
    tcase_add_test(tests, images_in_files);
    tcase_add_test(tests, refusals);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
