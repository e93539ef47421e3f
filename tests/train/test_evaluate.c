// radialog evaluate: what scores mean at their ends, that order does not matter, differences between runs, what
// it refuses. The metrics have tests of their own in tests/eval.
#include "core/files/fs.h"
#include "core/files/json.h"
#include "data/dataset.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPORTS = 12 };

static char work[256];
static char *report[REPORTS], id[REPORTS][128];

static const char *in_work(const char *name) {
    static char path[4][PATH_SIZE];
    static int next;
    next = (next + 1) % 4;
    ck_assert(!path_join(path[next], PATH_SIZE, work, name));
    return path[next];
}

// The answers to records FIRST to END - 1: their own reports, or those of the record SHIFT later.
static void write_answers(const char *name, int first, int end, int shift) {
    buffer text = {0};
    for (int i = first; i < end; i++) {
        buffer_text(&text, "{\"dicom_id\":");
        buffer_json(&text, id[i]);
        buffer_text(&text, ",\"text\":");
        buffer_json(&text, report[(i + shift) % REPORTS]);
        buffer_text(&text, "}\n");
    }
    ck_assert(!file_write(in_work(name), text.data, text.length));
    buffer_free(&text);
}

static void read_reports(void) {
    dataset *data;
    buffer text = {0};
    int count = 0;
    ck_assert(!dataset_open(&data, in_work("shards")));
    for (int64_t r = 0; r < dataset_records(data) && count < REPORTS; r++) {
        if (!dataset_has_text(data, r, TEXT_FINDINGS)) continue;
        ck_assert(!dataset_text(&text, data, r, TEXT_FINDINGS));
        bool new = true;
        for (int i = 0; i < count; i++) new &= strcmp(report[i], text.data) != 0;
        if (!new) continue;
        report[count] = strdup(text.data);
        snprintf(id[count++], sizeof id[0], "%s", dataset_id(data, r, ID_DICOM));
    }
    ck_assert_int_eq(count, REPORTS);
    buffer_free(&text);
    dataset_close(data);
}

static void setup(void) {
    workspace_make(work);
    small_shards(work, 40);
    small_vocabulary(work);
    program_expect(0,
                   "train chexbert --quiet %s --set data.shards=%s/shards --set model.vocabulary=%s/vocab.txt "
                   "--set run.dir=%s/chexbert --set run.max_steps=12", tiny_chexbert, work, work, work);
    read_reports();
    write_answers("own.jsonl", 0, REPORTS, 0);
    write_answers("other.jsonl", 0, REPORTS, 1);
}

static void teardown(void) {
    for (int i = 0; i < REPORTS; i++) free(report[i]);
    workspace_remove(work);
}

static void evaluate(const char *answers, const char *extra) {
    char words[2048], *at = words;
    at += sprintf(at, "evaluate --quiet --checkpoint %s/chexbert --shards %s/shards --out %s/scores %s", work,
                  work, work, extra);
    for (const char *name = answers; *name; name += strcspn(name, " ") + (strchr(name, ' ') != NULL))
        at += sprintf(at, " %s/%.*s", work, (int)strcspn(name, " "), name);
    program_expect(0, "%s", words);
}

// Number I of KEY in section SECTION of run K of the latest scores.json.
static double number(int k, const char *section, const char *key, int i) {
    json *document;
    json_value v;
    double x;
    ck_assert(!json_read(&document, in_work("scores/scores.json"), 0));
    ck_assert(!json_member(&v, json_root(document), "runs"));
    for (v = json_first(v); k; k--) v = json_next(v);
    ck_assert_msg(!json_member(&v, v, section) && !json_member(&v, v, key), "%s", status_text());
    if (json_kind_of(v) == JSON_LIST)
        for (v = json_first(v); i; i--) v = json_next(v);
    ck_assert(!json_number(&x, v));
    json_close(document);
    return x;
}

START_TEST(ends) {
    evaluate("own.jsonl other.jsonl", "--set evaluate.truth=labeler");
    ck_assert_double_eq_tol(number(0, "scores", "bleu_4", 0), 1, 1e-8);
    ck_assert_double_eq(number(0, "scores", "rouge_l", 0), 1);
    ck_assert_double_eq(number(0, "scores", "clinical_f1_micro", 0), 1);
    ck_assert_double_eq(number(0, "scores", "meteor", 0), 1);
    ck_assert(number(1, "scores", "meteor", 0) > 0 && number(1, "scores", "meteor", 0) < 0.9);
    for (int i = 0; i < 3; i++) // value and both ends
        ck_assert_double_eq(number(0, "scores", "rouge_l", i), 1);
    const double other = number(1, "scores", "rouge_l", 0), low = number(1, "scores", "rouge_l", 1),
                 high = number(1, "scores", "rouge_l", 2);
    ck_assert(low < other && other < high && high < 1);
    ck_assert_double_eq_tol(number(1, "first_minus_this", "rouge_l", 0), 1 - other, 1e-12);
    ck_assert_double_gt(number(1, "first_minus_this", "rouge_l", 1), 0);
    ck_assert_double_lt(number(1, "p", "rouge_l", 0), 0.02);
}
END_TEST

// By the shards' labels the labeler's own mistakes count.
START_TEST(truth_of_the_shards) {
    evaluate("own.jsonl", "--set evaluate.truth=labeler");
    const double own = number(0, "scores", "clinical_f1_micro", 0);
    evaluate("own.jsonl", "");
    const double shards = number(0, "scores", "clinical_f1_micro", 0);
    ck_assert_double_eq(own, 1);
    ck_assert_msg(shards > 0 && shards < 1, "%g", shards);
    evaluate("own.jsonl", "--set evaluate.mapping=uncertain");
    ck_assert_double_ne(number(0, "scores", "clinical_recall", 0), number(0, "scores", "clinical_f1", 0));
}
END_TEST

static void order_of_lines(const char *name) {
    buffer text = {0}, turned = {0};
    ck_assert(!file_read(in_work(name), 1 << 20, &text));
    for (char *end = text.data + text.length; end > text.data;) {
        char *start = end - 1;
        while (start > text.data && start[-1] != '\n') start--;
        buffer_append(&turned, start, (size_t)(end - start));
        end = start;
    }
    ck_assert(!file_write(in_work("turned.jsonl"), turned.data, turned.length));
    buffer_free(&turned);
    buffer_free(&text);
}

START_TEST(order_does_not_matter) {
    order_of_lines("other.jsonl");
    evaluate("own.jsonl turned.jsonl", "");
    const double turned = number(1, "scores", "bleu_2", 0);
    evaluate("own.jsonl other.jsonl", "");
    ck_assert_double_eq(number(1, "scores", "bleu_2", 0), turned);
    char *lines = read_file(in_work("scores/reports.jsonl"), NULL);
    ck_assert_int_eq(count_text(lines, "\"dicom_id\""), REPORTS);
    ck_assert_int_eq(count_text(lines, "\"text\""), 2 * REPORTS);
    free(lines);
}
END_TEST

// Fails unless the last answer of each line is TEXT (as JSON), with the same findings.
static void expect_constant(char *lines, const char *text) {
    char *first = NULL;
    for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n")) {
        char *last = strrchr(line, '{');
        ck_assert_msg(!strncmp(last, "{\"text\":", 8) && !strncmp(last + 8, text, strlen(text)), "%s", last);
        if (!first) first = last;
        ck_assert_str_eq(first, last);
    }
    ck_assert_ptr_nonnull(first);
}

// All reports differ: the first stands most often, and is written for every record.
START_TEST(constant_report) {
    buffer text = {0};
    evaluate("own.jsonl", "--constant --set evaluate.truth=labeler");
    char *lines = read_file(in_work("scores/reports.jsonl"), NULL);
    buffer_json(&text, report[0]);
    expect_constant(lines, text.data);
    buffer_free(&text);
    free(lines);
    ck_assert_double_lt(number(1, "scores", "rouge_l", 0), 1);
    ck_assert_double_gt(number(1, "scores", "rouge_l", 0), 1.0 / REPORTS); // it is one record's own
}
END_TEST

// What models say of texts: an answer that is its report is as like it as can be. Without a model there is no BERTScore.
START_TEST(vectors) {
    evaluate("own.jsonl other.jsonl",
             "--set train.batch=5 --set evaluate.bert_score=" TEST_DATA "/roberta --set evaluate.bert_score_layer=2 "
             "--set evaluate.bert_score_baseline=" TEST_DATA "/roberta/baseline.csv");
    ck_assert_double_eq_tol(number(0, "scores", "bert_score", 0), 1, 1e-5);
    ck_assert_double_eq_tol(number(0, "scores", "chexbert_similarity", 0), 1, 1e-5);
    const double bert = number(1, "scores", "bert_score", 0), like = number(1, "scores", "chexbert_similarity", 0);
    ck_assert_msg(bert > 0 && bert < 0.999, "%g", bert);
    ck_assert_msg(like > -1 && like < 0.99999, "%g", like);
    ck_assert_double_eq_tol(number(1, "first_minus_this", "bert_score", 0), 1 - bert, 1e-5);
    char *scores = read_file(in_work("scores/scores.json"), NULL);
    ck_assert_ptr_nonnull(strstr(scores, "layer 2 of 3, width 24, rescaled by "));
    ck_assert_ptr_nonnull(strstr(scores, "\"RaDialog-RG, published\": {\"clinical_f1\": 0.394, \"bert_score\": 0.4,"));
    free(scores);
    evaluate("own.jsonl", "");
    scores = read_file(in_work("scores/scores.json"), NULL);
    ck_assert_ptr_nonnull(strstr(scores, "\"bert_score\": [null, null, null]"));
    ck_assert_ptr_nonnull(strstr(scores, "\"subset\": \"12 of "));
    free(scores);
}
END_TEST

// How many members the value KEY of the object at PATH has; NULL: the object itself.
static size_t list_length(const char *path, const char *key) {
    json *document;
    json_value v;
    ck_assert_msg(!json_read(&document, path, 0), "%s", status_text());
    v = json_root(document);
    if (key) ck_assert(!json_member(&v, v, key));
    const size_t count = json_count(v);
    json_close(document);
    return count;
}

// Whether the first reference and the first hypothesis of a file for RadEval are one text.
static bool first_is_equal(const char *path) {
    json *document;
    json_value root;
    const char *text[2];
    ck_assert_msg(!json_read(&document, path, 0), "%s", status_text());
    root = json_root(document);
    ck_assert(!json_text(&text[0], json_first(json_find(root, "references"))));
    ck_assert(!json_text(&text[1], json_first(json_find(root, "hypotheses"))));
    const bool equal = !strcmp(text[0], text[1]);
    json_close(document);
    return equal;
}

START_TEST(files_of_others) {
    evaluate("own.jsonl other.jsonl", "");
    ck_assert_uint_eq(list_length(in_work("scores/radeval-2.json"), "references"), REPORTS);
    ck_assert_uint_eq(list_length(in_work("scores/radeval-2.json"), "hypotheses"), REPORTS);
    ck_assert(first_is_equal(in_work("scores/radeval-1.json")) && !first_is_equal(in_work("scores/radeval-2.json")));
    ck_assert_uint_eq(list_length(in_work("scores/rexrank-2.json"), NULL), REPORTS); // no study twice
    char *truth = read_file(in_work("scores/rexrank-truth.csv"), NULL),
         *own = read_file(in_work("scores/rexrank-1.csv"), NULL), *other = read_file(in_work("scores/rexrank-2.csv"), NULL);
    ck_assert(!strncmp(truth, "study_id,report\r\n", 17));
    ck_assert_str_eq(truth, own); // in the same order
    ck_assert_str_ne(truth, other);
    free(other);
    free(own);
    free(truth);
}
END_TEST

START_TEST(page) {
    ck_assert(file_exists(in_work("chexbert/report.html"))); // of the training itself
    static const char hostile[] = "<script>x</script> & \\u0001";
    buffer text = {0};
    for (int i = 0; i < REPORTS; i++)
        buffer_print(&text, "{\"dicom_id\":\"%s\",\"text\":\"%s\"}\n", id[i], i ? "Clear." : hostile);
    ck_assert(!file_write(in_work("hostile.jsonl"), text.data, text.length));
    buffer_free(&text);
    evaluate("own.jsonl hostile.jsonl", "--constant");
    char *html = read_file(in_work("scores/report.html"), NULL);
    ck_assert_ptr_nonnull(strstr(html, "hostile: precision and recall")); // by the file's name alone
    ck_assert_int_eq(count_text(html, "src=\"data:image/jpeg;base64,"), REPORTS);
    ck_assert_int_eq(count_text(html, "&lt;script&gt;x&lt;/script&gt; &amp; "), 1);
    ck_assert_int_eq(count_text(html, "<script"), 0);
    ck_assert_ptr_nonnull(strstr(html, "RaDialog-INS, published"));
    ck_assert_ptr_nonnull(strstr(html, "the commonest report"));
    free(html);
    evaluate("own.jsonl", "--set evaluate.examples=2");
    html = read_file(in_work("scores/report.html"), NULL);
    ck_assert_int_eq(count_text(html, "src=\"data:image/jpeg;base64,"), 2);
    free(html);
}
END_TEST

// By the shards' labels: all with findings, and of the others the first that make a fourteenth, in any order of lines.
START_TEST(stratified) {
    dataset *data;
    json *document;
    int64_t with = 0, count;
    ck_assert(!dataset_open(&data, in_work("shards")));
    for (int i = 0; i < REPORTS; i++) {
        const int8_t *labels = dataset_labels(data, dataset_find(data, id[i]));
        bool any = false;
        for (int c = 0; c < CLASS_COUNT; c++) any |= labels[c] == LABEL_POSITIVE;
        with += any && labels[CLASS_NO_FINDING] != LABEL_POSITIVE;
    }
    dataset_close(data);
    ck_assert_int_gt(with, 0);
    order_of_lines("own.jsonl");
    evaluate("turned.jsonl", "--set evaluate.records=stratified --set evaluate.truth=labeler");
    ck_assert(!json_read(&document, in_work("scores/scores.json"), 0));
    ck_assert(!json_member_int(&count, json_root(document), "reports", 0, REPORTS));
    json_close(document);
    ck_assert_int_eq(count, with); // int(14 F / 13 / 14) is 0; test_evaluation_stratify.c has more
    ck_assert_double_eq(number(0, "scores", "rouge_l", 0), 1); // answers meet their own reports still
}
END_TEST

static void expect_refusal(int exit, const char *part, const char *answers, const char *extra) {
    outcome o = program("evaluate --quiet --checkpoint %s/chexbert %s %s", work, extra, answers);
    ck_assert_msg(o.exit == exit && strstr(o.err, part), "%s %s: exit %d\n%s", answers, extra, o.exit, o.err);
    outcome_free(&o);
}

// Where scores go is looked at before they are taken; scores that no file takes are shown all the same.
START_TEST(places) {
    outcome o = program("evaluate %s --checkpoint %s/none --shards %s/shards --out %s/vocab.txt", in_work("own.jsonl"), work,
                        work, work);
    ck_assert_msg(o.exit == 1 && strstr(o.err, "vocab.txt"), "%d %s", o.exit, o.err);
    outcome_free(&o);
    ck_assert(!folder_make(in_work("taken/report.html/x")));
    o = program("evaluate --quiet %s --checkpoint %s/chexbert --shards %s/shards --out %s/taken", in_work("own.jsonl"), work,
                work, work);
    ck_assert_msg(o.exit == 1 && strstr(o.err, "report.html") && strstr(o.out, "CE micro"), "%d %s%s", o.exit, o.out, o.err);
    outcome_free(&o);
}
END_TEST

START_TEST(refusals) {
    static const char stranger[] = "{\"dicom_id\":\"nobody\",\"text\":\"clear\"}\n",
                      nameless[] = "{\"text\":\"clear\"}\n";
    char own[512], both[1024], shards[512];
    snprintf(own, sizeof own, "%s", in_work("own.jsonl"));
    snprintf(shards, sizeof shards, "--shards %s", in_work("shards"));
    expect_refusal(2, "--shards DIR is missing", own, "");
    expect_refusal(1, "nowhere.jsonl", in_work("nowhere.jsonl"), shards);
    snprintf(both, sizeof both, "%s --set evaluate.bert_score=%s", shards, work);
    expect_refusal(1, "config.json", own, both);
    ck_assert(!file_write(in_work("stranger.jsonl"), stranger, sizeof stranger - 1));
    expect_refusal(1, "stranger.jsonl:1: the shards have no radiograph nobody", in_work("stranger.jsonl"), shards);
    ck_assert(!file_write(in_work("nameless.jsonl"), nameless, sizeof nameless - 1));
    expect_refusal(1, "have no dicom_id", in_work("nameless.jsonl"), shards);
    write_answers("fewer.jsonl", 0, REPORTS - 1, 0);
    snprintf(both, sizeof both, "%s %s", own, in_work("fewer.jsonl"));
    expect_refusal(1, "fewer.jsonl: has no answer to", both, shards);
    snprintf(both, sizeof both, "%s %s", in_work("fewer.jsonl"), own);
    expect_refusal(1, "the first file has no answer to", both, shards);
    buffer text = {0}, twice = {0};
    ck_assert(!file_read(own, 1 << 20, &text));
    for (int i = 0; i < 2; i++) buffer_append(&twice, text.data, text.length);
    ck_assert(!file_write(in_work("twice.jsonl"), twice.data, twice.length));
    buffer_free(&twice);
    buffer_free(&text);
    expect_refusal(1, "a second answer to", in_work("twice.jsonl"), shards);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("evaluate");
    TCase *tests = tcase_create("evaluate");
    tcase_set_timeout(tests, 300);
    tcase_add_unchecked_fixture(tests, setup, teardown);
    tcase_add_test(tests, ends);
    tcase_add_test(tests, truth_of_the_shards);
    tcase_add_test(tests, order_does_not_matter);
    tcase_add_test(tests, constant_report);
    tcase_add_test(tests, vectors);
    tcase_add_test(tests, files_of_others);
    tcase_add_test(tests, page);
    tcase_add_test(tests, stratified);
    tcase_add_test(tests, places);
    tcase_add_test(tests, refusals);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
