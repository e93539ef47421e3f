// radialog generate: lines for the records of a split in their order, gone on with, its ablations, a
// run's adapters, what it refuses. The base is drawn: only its sizes are read.
#include "core/files/fs.h"
#include "core/files/json.h"
#include "data/instruct.h"
#include "tests/train/helper_language.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void generate(const char *what, const char *out, const char *extra) {
    program_expect(0, "generate %s %s --quiet --set generate.max_new_tokens=12 --out %s %s", what,
                   common, in_work(out), extra);
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

START_TEST(refusals) {
    static const struct {
        const char *extra, *says;
        int exit;
    } wrong[] = {
        {"--set data.embeddings=", "data.embeddings: the conversations have images", 2},
        {"--split exam", "--split exam; there are train, validate and test", 2},
        {"--set data.instruct=nowhere", "nowhere", 1},
        {"--set model.base=", "model.base: name the language model", 2},
        {"a b", "unexpected argument 'b'", 2},
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
    tcase_add_test(tests, refusals);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
