// radialog instruct: from shards and from JSON, out to JSON, its options, gone on with, what it
// refuses.
#include "core/files/fs.h"
#include "data/instruct.h"
#include "tests/train/helper_program.h"
#include "train/generate_prompts.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char work[256], common[1024];

static void setup(void) {
    workspace_make(work);
    small_shards(work, 40);
    snprintf(common, sizeof common,
             "--set instruct.tokenizer=%s/tokenizer/llama.model "
             "--set instruct.prompts=%s/configs/prompts/report.json "
             "--set instruct.cutoff=2000 --set instruct.image_tokens=4",
             TEST_DATA, SOURCE_ROOT);
}

static void teardown(void) {
    workspace_remove(work);
}

static const char *in_work(const char *name) {
    static char path[4][PATH_SIZE];
    static int next;
    next = (next + 1) % 4;
    ck_assert(!path_join(path[next], PATH_SIZE, work, name));
    return path[next];
}

static void write_text(const char *name, const char *text) {
    ck_assert(!file_write(in_work(name), text, strlen(text)));
}

static instruct_set *open_set(const char *name) {
    instruct_set *s;
    ck_assert_msg(!instruct_open(&s, in_work(name)), "%s", status_text());
    return s;
}

START_TEST(from_shards) {
    outcome o = program("instruct %s/shards --out %s/a %s", work, work, common);
    ck_assert_msg(o.exit == 0, "%s", o.err);
    ck_assert_ptr_nonnull(strstr(o.out, "shards written to"));
    ck_assert_ptr_nonnull(strstr(o.out, " are learned; "));
    ck_assert_ptr_nonnull(strstr(o.err, "hold the true labels"));
    outcome_free(&o);
    instruct_set *s = open_set("a");
    dataset *data;
    instruct_record r;
    ck_assert(!dataset_open(&data, in_work("shards")));
    for (int k = 0; k < SPLIT_COUNT; k++)
        ck_assert_int_eq(instruct_count(s, k), dataset_split_count(data, k));
    ck_assert(!instruct_read(s, SPLIT_TEST, 0, &r));
    ck_assert_str_eq(r.id, dataset_id(data, dataset_split_begin(data, SPLIT_TEST), ID_DICOM));
    ck_assert_ptr_nonnull(strstr(r.prompt, "ASSISTANT:"));
    ck_assert_ptr_nonnull(strstr(r.prompt, "<IMG><IMG><IMG><IMG>."));
    ck_assert_int_eq(instruct_facts_of(s)->queries, 4);
    ck_assert_str_eq(instruct_facts_of(s)->findings[0], "labels");
    ck_assert_str_eq(instruct_facts_of(s)->section, "findings");
    dataset_close(data);
    instruct_close(s);
    o = program("instruct %s/shards --out %s/a %s --json --quiet", work, work, common);
    ck_assert_msg(o.exit == 0 && strstr(o.out, "\"shards_made\":0}"), "%s%s", o.out, o.err);
    ck_assert_ptr_nonnull(strstr(o.out, "{\"records\":"));
    outcome_free(&o);
}
END_TEST

// A killed run leaves nothing that its successor does not finish to the same bytes.
START_TEST(one_thread_or_many) {
    static const char *const files[] = {"manifest.json", "skipped.csv", "train-00000.h5",
                                        "test-00000.h5"};
    program_expect(0, "instruct %s/shards --out %s/one %s --quiet --set run.threads=1", work, work,
                   common);
    program_expect(0, "instruct %s/shards --out %s/many %s --quiet --set run.threads=5", work, work,
                   common);
    unlink(in_work("many/test-00000.h5"));
    unlink(in_work("many/manifest.json"));
    program_expect(0, "instruct %s/shards --out %s/many %s --quiet --set run.threads=3", work, work,
                   common);
    for (int i = 0; i < 4; i++) {
        char a[PATH_SIZE], b[PATH_SIZE];
        ck_assert(!path_join(a, sizeof a, in_work("one"), files[i]) &&
                  !path_join(b, sizeof b, in_work("many"), files[i]));
        ck_assert_msg(same_files(a, b), "%s differs", files[i]);
    }
}
END_TEST

// Out as JSON, in again: the same ids; a split of its own.
START_TEST(json_there_and_back) {
    program_expect(0, "instruct %s/shards --out %s/c %s --quiet --split validate --to %s/c.json",
                   work, work, common, work);
    program_expect(0, "instruct %s/c.json --out %s/d %s --quiet --to %s/d.json", work, work, common,
                   work);
    ck_assert(same_files(in_work("c.json"), in_work("d.json")));
    instruct_set *a = open_set("c"), *b = open_set("d");
    ck_assert_int_eq(instruct_count(a, SPLIT_TRAIN), 0);
    ck_assert_int_gt(instruct_count(a, SPLIT_VALIDATE), 0);
    ck_assert_int_eq(instruct_count(a, SPLIT_VALIDATE), instruct_count(b, SPLIT_TRAIN));
    for (int64_t i = 0; i < instruct_count(b, SPLIT_TRAIN); i++) {
        instruct_record x, y;
        ck_assert(!instruct_read(a, SPLIT_VALIDATE, i, &x) &&
                  !instruct_read(b, SPLIT_TRAIN, i, &y));
        ck_assert(x.count == y.count && !memcmp(x.ids, y.ids, (size_t)x.count * sizeof *x.ids));
    }
    ck_assert_uint_eq(instruct_facts_of(b)->prompts, 0);
    ck_assert_str_eq(instruct_facts_of(b)->findings[0], "as given");
    instruct_close(a), instruct_close(b);
    program_expect(0, "instruct %s/c.json --out %s/e %s --quiet --split test", work, work, common);
    instruct_set *e = open_set("e");
    ck_assert_int_gt(instruct_count(e, SPLIT_TEST), 0);
    instruct_close(e);
}
END_TEST

// A conversation without image tokens is left out, or loses its first ids to them as in RaDialog's model.
START_TEST(imageless) {
    instruct_record r;
    write_text("n.json", "[{\"instruction\": \"What does a film of the chest show? ASSISTANT:\", \"input\": \"\", "
                         "\"output\": \"Air.\", \"dicom\": \"d1\"}]");
    outcome o = program("instruct %s/n.json --out %s/n %s", work, work, common);
    ck_assert_int_eq(o.exit, 1);
    ck_assert_msg(strstr(o.err, "record d1: 0 image tokens, an image has 4") != NULL, "%s", o.err);
    outcome_free(&o);
    program_expect(0, "instruct %s/n.json --out %s/kept %s --quiet --set instruct.imageless=overwrite", work, work,
                   common);
    instruct_set *s = open_set("kept");
    const instruct_facts *f = instruct_facts_of(s);
    ck_assert(f->overwrite);
    ck_assert(!instruct_read(s, SPLIT_TRAIN, 0, &r));
    for (int i = 0; i < r.count; i++) ck_assert_int_eq(r.ids[i] == f->image_token, i < 4);
    ck_assert_str_eq(r.image[0], "d1");
    tokenizer *t;
    int32_t token;
    generate_prompts p; // what is generated from has its image in the same place
    ck_assert(!tokenizer_open(&t, TEST_DATA "/tokenizer/llama.model"));
    ck_assert(!tokenizer_add(t, PROMPTS_IMAGE_TOKEN, true, &token));
    ck_assert(!generate_prompts_open(&p, s, SPLIT_TRAIN, 0, t, NULL));
    ck_assert_int_eq(generate_prompts_length(&p, 0), r.span[0]);
    ck_assert_mem_eq(p.ids.data, r.ids, (size_t)r.span[0] * sizeof *r.ids);
    generate_prompts_close(&p);
    tokenizer_close(t);
    instruct_close(s);
}
END_TEST

// What `radialog classify` prints, for validate and test; nothing of findings in training; a draw.
START_TEST(findings_and_draws) {
    dataset *data;
    buffer lines = {0};
    ck_assert(!dataset_open(&data, in_work("shards")));
    for (int64_t i = 0; i < dataset_records(data); i++) {
        buffer_text(&lines, "{\"dicom_id\":");
        buffer_json(&lines, dataset_id(data, i, ID_DICOM));
        buffer_text(&lines,
                    ",\"logits\":[],\"findings\":[\"No Finding\",\"Fracture\"],\"text\":\"x\"}\n");
    }
    write_text("found.jsonl", lines.data);
    buffer_free(&lines);
    outcome o = program("instruct %s/shards --out %s/f %s --set instruct.findings=none --set "
                        "instruct.findings_eval=%s/found.jsonl --set instruct.stratify=true --set "
                        "data.limit=20 --set run.seed=3",
                        work, work, common, work);
    ck_assert_msg(o.exit == 0 && !strstr(o.err, "true labels"), "%s", o.err);
    ck_assert_ptr_nonnull(strstr(o.err, "with findings twice"));
    outcome_free(&o);
    instruct_set *s = open_set("f");
    instruct_record r;
    ck_assert(!instruct_read(s, SPLIT_TRAIN, 0, &r));
    ck_assert_ptr_null(strstr(r.prompt, "Observations"));
    ck_assert(!instruct_read(s, SPLIT_TEST, 0, &r));
    ck_assert_ptr_nonnull(strstr(r.prompt, "classifier: fracture."));
    ck_assert(instruct_facts_of(s)->stratified);
    ck_assert_int_eq(instruct_facts_of(s)->limit, 20);
    ck_assert_ptr_eq(strstr(instruct_facts_of(s)->findings[2], "predictions "),
                     instruct_facts_of(s)->findings[2]);
    int64_t with = 0;
    for (int64_t i = 0; i < 20; i++) {
        const int8_t *labels = dataset_labels(data, i);
        bool any = false;
        for (int c = 1; c < CLASS_COUNT; c++) any |= labels[c] == 1;
        with += any && labels[0] != 1;
    }
    ck_assert_int_ge(instruct_count(s, SPLIT_TRAIN), 2 * with);
    ck_assert_int_le(instruct_count(s, SPLIT_TRAIN), 2 * with + 2 * with / 13);
    instruct_close(s);
    dataset_close(data);
}
END_TEST

// RaDialog's own files, with words of ours.
// Some of the training prompts say nothing of findings, always the same ones; those of other splits all do.
START_TEST(findings_unsaid) {
    static const char *const folders[] = {"unsaid", "unsaid_again", "said"};
    int silent[3][SPLIT_COUNT] = {{0}};
    for (int i = 0; i < 3; i++) {
        program_expect(0, "instruct %s/shards --quiet --out %s/%s %s --set instruct.findings_unsaid=%s", work,
                       work, folders[i], common, i < 2 ? "0.5" : "0");
        instruct_set *s = open_set(folders[i]);
        for (int k = 0; k < SPLIT_COUNT; k++)
            for (int64_t r = 0; r < instruct_count(s, k); r++) {
                instruct_record x;
                ck_assert(!instruct_read(s, k, r, &x));
                silent[i][k] += !strstr(x.prompt, "Observations of a classifier");
            }
        ck_assert_str_eq(instruct_facts_of(s)->findings[SPLIT_TRAIN],
                         i < 2 ? "labels, unsaid in 0.5" : "labels");
        instruct_close(s);
    }
    ck_assert_int_eq(silent[0][SPLIT_TRAIN], silent[1][SPLIT_TRAIN]);
    ck_assert_msg(silent[0][SPLIT_TRAIN] >= 8 && silent[0][SPLIT_TRAIN] <= 25, "%d", silent[0][SPLIT_TRAIN]);
    for (int k = 0; k < SPLIT_COUNT; k++) {
        ck_assert_int_eq(silent[2][k], 0);
        if (k != SPLIT_TRAIN) ck_assert_int_eq(silent[0][k], 0);
    }
    ck_assert(same_files(in_work("unsaid/train-00000.h5"), in_work("unsaid_again/train-00000.h5")));
}
END_TEST

START_TEST(radialog_prompts) {
    instruct_record r;
    write_text("v.json", "{\"img_matching_examples_ig2_noexamples_IMG_findings\": \"I: "
                         "<IMG><IMG><IMG><IMG>. F: {findings}.\"}");
    write_text("t.json",
               "{\"prompt_no_input\": \"{instruction}\", \"response_split\": \"ASSISTANT:\"}");
    write_text("s.txt", "Two talk.\n");
    program_expect(0,
                   "instruct %s/shards --out %s/g %s --quiet --set instruct.prompts=%s/v.json "
                   "--set instruct.system=%s/s.txt "
                   "--set instruct.template=%s/t.json",
                   work, work, common, work, work, work);
    instruct_set *s = open_set("g");
    ck_assert(!instruct_read(s, SPLIT_TRAIN, 0, &r));
    ck_assert_ptr_eq(strstr(r.prompt, "Two talk. USER: I: <IMG><IMG><IMG><IMG>. F: "), r.prompt);
    ck_assert_str_eq(r.prompt + strlen(r.prompt) - 12, ". ASSISTANT:");
    instruct_close(s);
}
END_TEST

START_TEST(refusals) {
    static const struct {
        int exit;
        const char *words, *says; // %s: the work folder
    } cases[] = {
        {2, "%s/shards", "--out DIR is missing"},
        {2, "%s/shards --out %s/z --split dev",
         "--split dev; there are train, validate, test and all"},
        {2, "%s/shards --out %s/z --set instruct.tokenizer=\"\"", "instruct.tokenizer is not set"},
        {2, "%s/shards --out %s/z --set instruct.findings=\"\"", "instruct.findings is not set"},
        {2, "%s/shards --out %s/z --set instruct.cutof=3", "instruct.cutoff"},
        {2, "%s/shards --out %s/z --set instruct.prompts=%s/v.json", "instruct.system"},
        {2,
         "%s/shards --out %s/z --set instruct.prompts=%s/v.json --set instruct.system=%s/s.txt "
         "--set "
         "instruct.image_tokens=3",
         "is 3, the prompt holds 4 image tokens"},
        {2,
         "%s/shards --out %s/z --set instruct.prompts=%s/v.json --set instruct.system=%s/s.txt "
         "--set "
         "instruct.findings=none",
         "has no prompt without findings"},
        {1, "%s/shards --out %s/z --set instruct.prompts=%s/none.json", "none.json"},
        {1, "%s/shards --out %s/z --set instruct.findings=%s/none.jsonl", "none.jsonl"},
        {1, "%s/shards --out %s/z --set instruct.tokenizer=%s/none.model", "none.model"},
        {1, "%s/none --out %s/z", "none"},
        {1, "%s/s.txt --out %s/z", "must be a list"},
        {1, "%s/shards --out %s/z --set instruct.cutoff=30", "no record is left"},
        {1, "%s/shards --out %s/s.txt", "s.txt"},
        {1, "%s --out %s/z", "manifest.json"},
    };
    write_text("v.json", "{\"img_matching_examples_ig2_noexamples_IMG_findings\": \"I: "
                         "<IMG><IMG><IMG><IMG>. F: {findings}.\"}");
    write_text("s.txt", "Two talk.\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[2048];
        snprintf(words, sizeof words, cases[i].words, work, work, work, work);
        outcome o = program("instruct %s %s", common, words);
        ck_assert_msg(o.exit == cases[i].exit && strstr(o.err, cases[i].says) && !*o.out,
                      "instruct %s: exit %d: %s%s", words, o.exit, o.out, o.err);
        outcome_free(&o);
        ck_assert_int_eq(access(in_work("z/manifest.json"), F_OK), -1);
        ck_assert(!path_remove(in_work("z")));
    }
    program_expect(0, "instruct %s/shards --out %s/z %s --quiet", work, work, common);
    outcome o = program("instruct %s/shards --out %s/z %s --set run.seed=7", work, work, common);
    ck_assert_msg(o.exit == 1 && strstr(o.err, "other options"), "%s", o.err);
    outcome_free(&o);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("instruct command");
    tcase_set_timeout(cases, 600);
    tcase_add_unchecked_fixture(cases, setup, teardown);
    tcase_add_test(cases, from_shards);
    tcase_add_test(cases, one_thread_or_many);
    tcase_add_test(cases, json_there_and_back);
    tcase_add_test(cases, imageless);
    tcase_add_test(cases, findings_and_draws);
    tcase_add_test(cases, findings_unsaid);
    tcase_add_test(cases, radialog_prompts);
    tcase_add_test(cases, refusals);
    Suite *suite = suite_create("instruct command");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
