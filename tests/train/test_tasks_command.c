// radialog answer, instruct with tasks, and ask, over the embedded data: counts and layout as
// REFERENCE 6.9 has them, files that are gone on with, protocols of 7.9 and 7.10 and their scores,
// what is refused. The language model is drawn: what it says is noise, and the same every time.
#include "core/files/fs.h"
#include "core/files/json.h"
#include "data/instruct.h"
#include "data/json_lines.h"
#include "data/report_records.h"
#include "data/tasks.h"
#include "tests/train/helper_language.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char making[1024]; // settings of instruct
static dataset *data;
static report_list train;

static void setup(void) {
    language_setup();
    snprintf(making, sizeof making,
             "--set instruct.tokenizer=%s/tokenizer/llama.model --set instruct.cutoff=2000 "
             "--set instruct.image_tokens=%d --set instruct.prompts=%s/configs/prompts/report.json "
             "--set instruct.task_prompts=%s/configs/prompts/tasks.json",
             TEST_DATA, QUERIES, SOURCE_ROOT, SOURCE_ROOT);
    small_vocabulary(work);
    program_expect(
        0,
        "train chexbert --quiet %s --set data.shards=%s/shards --set model.vocabulary=%s/vocab.txt "
        "--set run.dir=%s/chexbert --set run.max_steps=12",
        tiny_chexbert, work, work, work);
    ck_assert(!dataset_open(&data, in_work("shards")));
    const report_choice how = {.split = SPLIT_TRAIN, .section = TEXT_FINDINGS};
    ck_assert(!report_list_open(&train, data, &how));
}

static void teardown(void) {
    report_list_free(&train);
    dataset_close(data);
    language_teardown();
}

static instruct_set *open_set(const char *name) {
    instruct_set *s;
    ck_assert_msg(!instruct_open(&s, in_work(name)), "%s", status_text());
    return s;
}

static int64_t count_task(instruct_set *s, const char *name) {
    int64_t count = 0;
    instruct_record r;
    for (int64_t i = 0; i < instruct_count(s, SPLIT_TRAIN); i++) {
        ck_assert(!instruct_read(s, SPLIT_TRAIN, i, &r));
        count += !strcmp(r.task, name);
    }
    return count;
}

// --- instruct -----------------------------------------------------------------------------------

// N / 6, half of it each; every conversation of two turns, its image once, only its last answer
// learned.
static void expect_layout(const instruct_record *r, bool dialogue) {
    int turns = count_text(r->prompt, " ASSISTANT:");
    ck_assert_int_eq(turns, dialogue ? 2 : 1);
    ck_assert_int_eq(count_text(r->prompt, "</s>USER: "), dialogue ? 1 : 0);
    ck_assert_int_eq(count_text(r->prompt, "<IMG>"), QUERIES);
    ck_assert_str_eq(r->prompt + strlen(r->prompt) - 11, " ASSISTANT:");
    ck_assert_int_eq(r->spans, 1);
    ck_assert_int_eq(r->span[1], r->count);
    const char *report = strstr(r->prompt, "ASSISTANT: ");
    ck_assert(dialogue == (report != NULL));
    if (!dialogue) return;
    buffer text = {0};
    ck_assert(!dataset_text(&text, data, dataset_find(data, r->id), TEXT_FINDINGS));
    for (const char *c = text.data, *p = report + 11; *c; c++) // line feeds are deleted
        if (*c != '\n') ck_assert_msg(*c == *p++, "%s\n%s", report, text.data);
    buffer_free(&text);
}

START_TEST(tasks_of_the_embedded_data) {
    const int64_t n = train.count, last = n / 6 + (5 < n % 6);
    int64_t yes = 0;
    outcome o =
        program("instruct %s/shards --out %s/one %s --json --quiet --stats --set run.threads=1 "
                "--set instruct.tasks=RG,CPbQA,CPaQA,IG",
                work, work, making);
    ck_assert_msg(!o.exit, "%s", o.err);
    ck_assert_ptr_nonnull(strstr(o.out, ",\"tasks\":{\"train\":{"));
    char want[128];
    snprintf(want, sizeof want, "\"CPbQA\":{\"records\":%lld,", (long long)(last + 1) / 2);
    ck_assert_msg(strstr(o.out, want), "%s lacks %s", o.out, want);
    outcome_free(&o);
    instruct_set *s = open_set("one");
    ck_assert_int_eq(count_task(s, "report"), n);
    ck_assert_int_eq(count_task(s, "CPbQA"), (last + 1) / 2);
    ck_assert_int_eq(count_task(s, "CPaQA"), last / 2);
    ck_assert_int_gt(count_task(s, "IG"), n / 2);
    for (int64_t i = 0; i < instruct_count(s, SPLIT_TRAIN); i++) {
        instruct_record r;
        ck_assert(!instruct_read(s, SPLIT_TRAIN, i, &r));
        expect_layout(&r, strcmp(r.task, "report") != 0);
        if (!strcmp(r.task, "CPbQA"))
            ck_assert(!strcmp(r.answer, "yes") || !strcmp(r.answer, "no"));
        yes += !strcmp(r.answer, "yes");
    }
    ck_assert_int_gt(yes, 0);
    ck_assert_int_eq(instruct_count(s, SPLIT_TEST), dataset_split_count(data, SPLIT_TEST));
    instruct_close(s);
    program_expect(0,
                   "instruct %s/shards --out %s/many %s --quiet --set run.threads=5 --set "
                   "instruct.tasks=IG,RG,CPaQA,CPbQA",
                   work, work, making);
    ck_assert(same_files(in_work("one/train-00000.h5"), in_work("many/train-00000.h5")));
    ck_assert(same_files(in_work("one/manifest.json"), in_work("many/manifest.json")));
    o = program("instruct %s/shards --out %s/many %s --quiet --set instruct.tasks=RG", work, work,
                making);
    ck_assert_msg(o.exit == 1 && strstr(o.err, "other options"), "%s", o.err);
    outcome_free(&o);
}
END_TEST

// Out in LLaVA's form, and in again as records of their own.
START_TEST(llava_there_and_back) {
    program_expect(0,
                   "instruct %s/shards --out %s/l %s --quiet --set instruct.tasks=RG,CPbQA --to "
                   "%s/l.json --llava",
                   work, work, making, work);
    char *text = read_file(in_work("l.json"), NULL);
    ck_assert_ptr_nonnull(strstr(text, "\"image\": \"files/p1"));
    ck_assert_ptr_nonnull(strstr(text, "\"task_type\": \"CPbQA\""));
    free(text);
    program_expect(0, "instruct %s/l.json --out %s/m %s --quiet --to %s/m.json --llava", work, work,
                   making, work);
    instruct_set *a = open_set("l"), *b = open_set("m");
    ck_assert_int_eq(instruct_count(a, SPLIT_TRAIN), instruct_count(b, SPLIT_TRAIN));
    for (int64_t i = 0; i < instruct_count(a, SPLIT_TRAIN); i++) {
        instruct_record x, y;
        ck_assert(!instruct_read(a, SPLIT_TRAIN, i, &x) && !instruct_read(b, SPLIT_TRAIN, i, &y));
        ck_assert(x.count == y.count && !memcmp(x.ids, y.ids, (size_t)x.count * sizeof *x.ids));
        ck_assert_str_eq(x.task, y.task);
    }
    instruct_close(a), instruct_close(b);
}
END_TEST

// --- answer -------------------------------------------------------------------------------------

static void answer(const char *out, const char *extra) {
    program_expect(
        0, "answer --quiet %s %s --set generate.max_new_tokens=6 --shards %s/shards --out %s %s",
        common, making, work, in_work(out), extra);
}

// Each of the part's records once, in its order, and what its prompt was drawn to be.
START_TEST(answers) {
    json_lines l;
    bool more = true;
    task_parts parts;
    int64_t seen[TASK_COUNT] = {0};
    answer("a.jsonl", "");
    ck_assert(!task_parts_draw(&parts, train.record, train.count, 42));
    ck_assert(!json_lines_open(&l, in_work("a.jsonl")));
    while (!json_lines_next(&l, &more) && more) {
        const char *name, *id, *prompt;
        ck_assert(!json_member_text(&name, json_root(l.object), "task"));
        ck_assert(!json_member_text(&id, json_root(l.object), "dicom_id"));
        ck_assert(!json_member_text(&prompt, json_root(l.object), "prompt") && *prompt);
        const int t = task_find(name);
        ck_assert(t == TASK_EL || t == TASK_SU || t == TASK_RQA);
        ck_assert_int_lt(seen[t], parts.count[t]);
        ck_assert_str_eq(id, dataset_id(data, parts.record[parts.first[t] + seen[t]++], ID_DICOM));
    }
    json_lines_close(&l);
    for (int t = TASK_EL; t <= TASK_RQA; t++) ck_assert_int_eq(seen[t], parts.count[t]);
    task_parts_free(&parts);

    // Half a line is written anew; nothing else is.
    size_t size;
    char *whole = read_file(in_work("a.jsonl"), &size);
    ck_assert(!file_write(in_work("b.jsonl"), whole, size * 2 / 3));
    answer("b.jsonl", "--set generate.slots=2");
    ck_assert(same_files(in_work("a.jsonl"), in_work("b.jsonl")));
    free(whole);

    outcome o =
        program("instruct %s/shards --out %s/answered %s --quiet --set instruct.tasks=EL,SU,RQA "
                "--set instruct.answers=%s/a.jsonl",
                work, work, making, work);
    ck_assert_msg(!o.exit && !strstr(o.err, "have answers"), "%s", o.err);
    outcome_free(&o);
    instruct_set *s = open_set("answered");
    instruct_record r;
    ck_assert_int_eq(count_task(s, "EL"), seen[TASK_EL]);
    for (int64_t i = 0; i < instruct_count(s, SPLIT_TRAIN); i++) {
        ck_assert(!instruct_read(s, SPLIT_TRAIN, i, &r));
        expect_layout(&r, true);
    }
    instruct_close(s);
    answer("few.jsonl", "--limit 2 --set instruct.tasks=EL,SU");
    o = program("instruct %s/shards --out %s/few %s --set instruct.tasks=EL,SU --set "
                "instruct.answers=%s/few.jsonl",
                work, work, making, work);
    ck_assert_msg(!o.exit && count_text(o.err, "2 have answers") == 2, "%s", o.err);
    outcome_free(&o);
}
END_TEST

// The classes that LINE names under KEY against what the texts ask.
static bool names_all(const char *text, const bool set[CLASS_COUNT]) {
    for (int c = 0; c < CLASS_COUNT; c++)
        if (set[c] && !strcasestr(text, class_names[c])) return false;
    return true;
}

// Wrong reports out of RaDialog's file: the wrong one stands in the conversation, what is wrong in
// its question.
START_TEST(corrections) {
    buffer list = {0};
    json_lines l;
    bool more = true;
    int lines = 0;
    const bool both[CLASS_COUNT] = {[2] = true, [5] = true};
    buffer_text(&list, "[");
    for (int i = 0; i < 4; i++) {
        buffer_print(&list,
                     "%s{\"dicom\": \"%s\", \"gt_report\": \"g\", \"pred_report\": \"Wrong %d.\\n "
                     "Done.\", \"fp\": [%s], \"fn\": [%s]}",
                     i ? ",\n" : "", dataset_id(data, train.record[i], ID_DICOM), i,
                     i & 1 ? "\"Edema\", \"No Finding\"" : "\"No Finding\"",
                     i & 2 ? "\"Cardiomegaly\"" : "");
    }
    buffer_text(&list,
                ", {\"dicom\": \"who\", \"pred_report\": \"x\", \"fp\": [\"Edema\"], \"fn\": []}]");
    ck_assert(!file_write(in_work("preds.json"), list.data, list.length));
    buffer_free(&list);
    char extra[512];
    snprintf(extra, sizeof extra, "--set instruct.tasks=CO --corrections %s",
             in_work("preds.json"));
    answer("co.jsonl", extra);
    ck_assert(!json_lines_open(&l, in_work("co.jsonl")));
    for (; !json_lines_next(&l, &more) && more; lines++) {
        const char *prompt, *report;
        const int i = lines + 1; // the first has nothing wrong but No Finding
        const bool asked[CLASS_COUNT] = {[2] = i & 2, [5] = i & 1};
        char want[32];
        snprintf(want, sizeof want, "Wrong %d. Done.", i);
        ck_assert(!json_member_text(&prompt, json_root(l.object), "prompt"));
        ck_assert(!json_member_text(&report, json_root(l.object), "report"));
        ck_assert_str_eq(report, want);
        ck_assert(names_all(prompt, asked));
        ck_assert_int_eq(names_all(prompt, both), i == 3);
    }
    json_lines_close(&l);
    ck_assert_int_eq(lines, 3);
    program_expect(0,
                   "instruct %s/shards --out %s/co %s --quiet --set instruct.tasks=CO --set "
                   "instruct.answers=%s/co.jsonl",
                   work, work, making, work);
    instruct_set *s = open_set("co");
    instruct_record r;
    ck_assert_int_eq(instruct_count(s, SPLIT_TRAIN), 3);
    for (int64_t i = 0; i < 3; i++) {
        ck_assert(!instruct_read(s, SPLIT_TRAIN, i, &r));
        ck_assert_ptr_nonnull(strstr(r.prompt, " ASSISTANT: Wrong "));
        ck_assert_ptr_nonnull(strstr(r.prompt, " Done.</s>USER: "));
    }
    instruct_close(s);
}
END_TEST

// Our own reports on the training records, labelled.
START_TEST(corrections_of_our_own) {
    char extra[1024];
    program_expect(0, "generate --quiet %s --set generate.max_new_tokens=12 --split train --out %s",
                   common, in_work("train.jsonl"));
    snprintf(extra, sizeof extra, "--set instruct.tasks=CO --reports %s --labeler %s",
             in_work("train.jsonl"), in_work("chexbert"));
    answer("own.jsonl", extra);
    char *text = read_file(in_work("own.jsonl"), NULL);
    const int lines = count_text(text, "\n");
    ck_assert(lines > 0 && lines <= train.count);
    ck_assert_int_eq(count_text(text, "{\"task\":\"CO\","), lines);
    ck_assert_int_eq(count_text(text, ",\"report\":\""), lines);
    free(text);
}
END_TEST

// --- ask ----------------------------------------------------------------------------------------

static void ask(const char *what, const char *out, const char *extra) {
    static const char keys[] =
        "--set instruct.prompts=" SOURCE_ROOT "/configs/prompts/report.json "
        "--set instruct.task_prompts=" SOURCE_ROOT "/configs/prompts/tasks.json";
    if (access(in_work("test.jsonl"), F_OK))
        program_expect(0, "generate --quiet %s --set generate.max_new_tokens=12 --out %s", common,
                       in_work("test.jsonl"));
    program_expect(
        0, "ask --task %s --quiet %s %s --shards %s/shards --reports %s/test.jsonl --out %s %s",
        what, common, keys, work, work, in_work(out), extra);
}

static json *read_json(const char *name) {
    json *j;
    ck_assert_msg(!json_read(&j, in_work(name), 0), "%s", status_text());
    return j;
}

// Each question about each record once, in blocks of 16 records.
START_TEST(each_finding) {
    json_lines l;
    bool more = true, *said, quiet_record;
    const int64_t begin = dataset_split_begin(data, SPLIT_TEST),
                  records = dataset_split_count(data, SPLIT_TEST);
    int64_t lines = 0, yes[CLASS_COUNT] = {0}, there[CLASS_COUNT] = {0};
    int *times;
    ck_assert(!mem_new(&times, records * CLASS_COUNT, "t") &&
              !mem_new(&said, records * CLASS_COUNT, "t"));
    ask("CPbQA", "each", "");
    ck_assert(!json_lines_open(&l, in_work("each/answers.jsonl")));
    for (; !json_lines_next(&l, &more) && more; lines++) {
        const char *id, *finding, *says, *text;
        ck_assert(!json_member_text(&id, json_root(l.object), "dicom_id") &&
                  !json_member_text(&finding, json_root(l.object), "finding"));
        ck_assert(!json_member_text(&says, json_root(l.object), "says") &&
                  !json_member_text(&text, json_root(l.object), "text"));
        const int64_t i = dataset_find(data, id) - begin, c = class_find(finding);
        ck_assert(i >= 0 && i < records && c >= 0);
        ck_assert_int_eq(i / 16, lines / (16 * CLASS_COUNT));
        ck_assert_str_eq(says, strcasestr(text, "yes") ? "yes" : "no");
        times[i * CLASS_COUNT + c]++;
        said[i * CLASS_COUNT + c] = !strcmp(says, "yes");
    }
    for (int64_t i = 0; i < records; i++) {
        quiet_record =
            true; // No Finding is not asked for its answer: it is what no other yes leaves
        for (int c = 0; c < CLASS_COUNT; c++) {
            ck_assert_int_eq(times[i * CLASS_COUNT + c], 1);
            quiet_record &= !c || !said[i * CLASS_COUNT + c];
            yes[c] += c && said[i * CLASS_COUNT + c];
            there[c] += dataset_labels(data, begin + i)[c] == LABEL_POSITIVE;
        }
        yes[CLASS_NO_FINDING] += quiet_record;
    }
    mem_free(times), mem_free(said);
    json_lines_close(&l);
    ck_assert_int_eq(lines, CLASS_COUNT * records);
    json *j = read_json("each/scores.json");
    json_value classes, x;
    ck_assert(!json_member(&classes, json_root(j), "classes"));
    for (int c = 0; c < CLASS_COUNT; c++) {
        int64_t n;
        ck_assert(!json_member(&x, classes, class_names[c]));
        ck_assert(!json_member_int(&n, x, "said", 0, records) && n == yes[c]);
        ck_assert(!json_member_int(&n, x, "there", 0, records) && n == there[c]);
    }
    json_close(j);

    // Gone on with, to the same bytes; another folder for other questions.
    size_t size;
    char *whole = read_file(in_work("each/answers.jsonl"), &size);
    ck_assert(!folder_make(in_work("again")));
    ck_assert(!file_write(in_work("again/answers.jsonl"), whole, size / 2));
    free(whole);
    ask("CPbQA", "again", "--set generate.slots=3");
    ck_assert(same_files(in_work("each/answers.jsonl"), in_work("again/answers.jsonl")));
    ck_assert(same_files(in_work("each/scores.json"), in_work("again/scores.json")));
    outcome o = program("ask --task CPaQA %s --set instruct.prompts=%s/configs/prompts/report.json "
                        "--set instruct.task_prompts=%s/configs/prompts/tasks.json "
                        "--shards %s/shards --reports %s/test.jsonl --out %s",
                        common, SOURCE_ROOT, SOURCE_ROOT, work, work, in_work("each"));
    ck_assert_msg(o.exit == 1 && strstr(o.err, "answers to other questions"), "%d %s", o.exit,
                  o.err);
    outcome_free(&o);
}
END_TEST

// Answers that say what is there score as they should: the file is gone on with, and all of it is
// there.
START_TEST(right_answers) {
    buffer lines = {0};
    const int64_t begin = dataset_split_begin(data, SPLIT_TEST),
                  records = dataset_split_count(data, SPLIT_TEST);
    for (int64_t i = 0; i < records; i++) {
        buffer_print(&lines, "{\"dicom_id\":\"%s\",\"text\":\"x",
                     dataset_id(data, begin + i, ID_DICOM));
        for (int c = 0; c < CLASS_COUNT; c++)
            if (dataset_labels(data, begin + i)[c] == LABEL_POSITIVE)
                buffer_print(&lines, ", %s", class_names[c]);
        buffer_text(&lines, "\"}\n");
    }
    ck_assert(!folder_make(in_work("right")));
    ck_assert(!file_write(in_work("right/answers.jsonl"), lines.data, lines.length));
    buffer_free(&lines);
    ask("CPaQA", "right", "");
    json *j = read_json("right/scores.json");
    json_value scores, x;
    double value;
    ck_assert(!json_member(&scores, json_root(j), "scores"));
    ck_assert(!json_member(&x, scores, "accuracy") && !json_number(&value, json_first(x)));
    ck_assert_double_eq_tol(value, 1, 1e-12);
    ck_assert(!json_member(&x, scores, "macro_auc") && !json_number(&value, json_first(x)));
    ck_assert_double_eq_tol(value, 1, 1e-12);
    json_close(j);
}
END_TEST

// What is wrong is asked to be corrected; what is right stays; evaluate reads the result.
START_TEST(automated_correction) {
    char extra[PATH_SIZE];
    const int64_t records = dataset_split_count(data, SPLIT_TEST);
    snprintf(extra, sizeof extra, "--set generate.max_new_tokens=8 --labeler %s",
             in_work("chexbert"));
    ask("CO", "corrected", extra);
    char *asked = read_file(in_work("corrected/answers.jsonl"), NULL),
         *all = read_file(in_work("corrected/reports.jsonl"), NULL);
    ck_assert_int_eq(count_text(all, "\n"), (int)records);
    ck_assert_int_gt(count_text(asked, "\n"), 0);
    free(asked), free(all);
    outcome o = program("evaluate %s/test.jsonl %s/corrected/reports.jsonl --quiet --checkpoint "
                        "%s/chexbert --shards %s/shards",
                        work, work, work, work);
    ck_assert_msg(!o.exit && strstr(o.out, "corrected/reports.jsonl"), "%s%s", o.out, o.err);
    outcome_free(&o);
}
END_TEST

START_TEST(impressions) {
    int64_t with = 0;
    const int64_t begin = dataset_split_begin(data, SPLIT_TEST),
                  records = dataset_split_count(data, SPLIT_TEST);
    for (int64_t i = 0; i < records; i++)
        with += dataset_has_text(data, begin + i, TEXT_IMPRESSION);
    ask("IG", "impressions", "--set generate.max_new_tokens=8");
    char *text = read_file(in_work("impressions/answers.jsonl"), NULL);
    ck_assert_int_eq(count_text(text, "\n"), (int)with);
    free(text);
    outcome o = program("evaluate %s/impressions/answers.jsonl --quiet --set "
                        "data.section=impression --checkpoint %s/chexbert --shards %s/shards",
                        work, work, work);
    ck_assert_msg(!o.exit, "%s", o.err);
    outcome_free(&o);
}
END_TEST

START_TEST(refusals) {
    static const struct {
        int exit;
        const char *words, *says; // %s: the work folder
    } cases[] = {
        {2, "instruct %s/shards --out %s/z --set instruct.tasks=RG,XY", "names the task 'XY'"},
        {2, "instruct %s/shards --out %s/z --set instruct.tasks=EL", "instruct.answers"},
        {2, "instruct %s/shards --out %s/z --set instruct.tasks=RE", "instruct.nle"},
        {2,
         "instruct %s/shards --out %s/z --set instruct.tasks=IG --set instruct.section=impression",
         "must be findings for IG"},
        {2, "instruct %s/shards --out %s/z --set instruct.tasks=CPbQA --split test",
         "are those of the training split"},
        {2, "instruct %s/shards --out %s/y --llava", "--to FILE"},
        {1,
         "instruct %s/shards --out %s/z --set instruct.tasks=EL --set "
         "instruct.answers=%s/none.jsonl",
         "none.jsonl"},
        {2, "answer", "--shards DIR is missing"},
        {2, "answer --shards %s/shards --set instruct.tasks=CPbQA",
         "names CPbQA, whose answers nobody"},
        {2, "answer --shards %s/shards --set instruct.tasks=CO", "CO begins with wrong reports"},
        {2, "ask --out %s/z", "--task NAME is missing"},
        {2, "ask --task EL --out %s/z", "--task EL; there are"},
        {2, "ask --task IG", "--out DIR is missing"},
        {2, "ask --task IG --out %s/z", "--shards DIR is missing"},
        {2, "ask --task CPbQA --out %s/z --shards %s/shards", "--reports FILE is missing"},
        {2, "ask --task CO --out %s/z --shards %s/shards --reports %s/r",
         "--labeler PATH is missing"},
        {1, "ask --task CPbQA --out %s/z --shards %s/shards --reports %s/none.jsonl", "none.jsonl"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[2048];
        const bool instruct = !strncmp(cases[i].words, "instruct", 8);
        snprintf(words, sizeof words, cases[i].words, work, work, work, work);
        outcome o = program("%s %s %s", words, making, instruct ? "" : common);
        ck_assert_msg(o.exit == cases[i].exit && strstr(o.err, cases[i].says), "%s: exit %d: %s",
                      words, o.exit, o.err);
        outcome_free(&o);
    }
    ck_assert(!folder_exists(in_work("y"))); // nothing was made first
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("tasks command");
    tcase_set_timeout(cases, 600);
    tcase_add_unchecked_fixture(cases, setup, teardown);
    tcase_add_test(cases, tasks_of_the_embedded_data);
    tcase_add_test(cases, llava_there_and_back);
    tcase_add_test(cases, answers);
    tcase_add_test(cases, corrections);
    tcase_add_test(cases, corrections_of_our_own);
    tcase_add_test(cases, each_finding);
    tcase_add_test(cases, right_answers);
    tcase_add_test(cases, automated_correction);
    tcase_add_test(cases, impressions);
    tcase_add_test(cases, refusals);
    Suite *suite = suite_create("tasks command");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
