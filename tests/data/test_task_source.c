// data/task_source.h: which rows, their layout as REFERENCE 6.9 has it, byte by byte against texts
// put together here, on any number of threads; explanations and answers that fit no record; LLaVA's
// form and back.
#include "core/memory.h"
#include "data/sections.h"
#include "data/task_source.h"
#include "tests/data/helper_instruct.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static task_prompts *words;
static report_source reports;
static report_list all;

static void open_words(void) {
    instruct_fixture_open();
    OK(task_prompts_open(&words, SOURCE_ROOT "/configs/prompts/tasks.json"));
    reports = report_rows();
    const report_choice how = {.split = SPLIT_TRAIN, .section = TEXT_FINDINGS};
    OK(report_list_open(&all, report_set, &how));
}

static void close_words(void) {
    report_list_free(&all);
    report_rows_free(&reports);
    task_prompts_close(words);
    instruct_fixture_close();
}

// All of WANTED's names, with a comma behind each.
static task_source source_of(const char *wanted, task_answers *answers, explanations *given) {
    task_source s = {
        .reports = &reports, .words = words, .answers = answers, .explanations = given, .seed = 42};
    for (int t = 0; t < TASK_COUNT; t++) {
        char name[16];
        snprintf(name, sizeof name, "%s,", task_names[t]);
        s.wanted[t] = strstr(wanted, name);
    }
    OK(task_source_open(&s, all.record, all.count));
    return s;
}

static instruct_text row_of(const instruct_source *from, int64_t i) {
    instruct_text t = {0};
    instruct_skip skip;
    OK(from->row(&t, &skip, from->context, SPLIT_TRAIN, i));
    return t;
}

static bool any_positive(int64_t record) {
    const int8_t *labels = dataset_labels(report_set, record);
    for (int c = 0; c < CLASS_COUNT; c++)
        if (labels[c] == LABEL_POSITIVE) return true;
    return false;
}

// The conversation of RECORD in which the user's second message is PROMPT.
static void expect_turns(const instruct_text *t, int64_t record, const char *report,
                         const char *prompt) {
    buffer findings = {0}, want = {0}, clean = {0};
    buffer_text(&findings, "");
    if (any_positive(record)) findings_of_labels(&findings, dataset_labels(report_set, record), NO_COMMON_FINDINGS);
    findings_clean(&clean, report);
    buffer_text(&want, "This is a conversation between");
    const char *from =
        strstr(t->prompt.data, " USER: Chest radiograph: <IMG><IMG><IMG><IMG>. Observations of a "
                               "classifier: ");
    ck_assert_msg(!strncmp(t->prompt.data, want.data, want.length) && from, "%s", t->prompt.data);
    want.length = 0;
    buffer_print(&want, "classifier: %s. Dictate ", findings.data);
    ck_assert_ptr_nonnull(strstr(from, want.data));
    want.length = 0;
    buffer_print(&want, " ASSISTANT: %s</s>USER: %s ASSISTANT:", clean.data, prompt);
    ck_assert_msg(t->prompt.length > want.length &&
                      !strcmp(t->prompt.data + t->prompt.length - want.length, want.data),
                  "%s\nwant its end\n%s", t->prompt.data, want.data);
    buffer_free(&findings), buffer_free(&want), buffer_free(&clean);
}

static const char *prompt_of(task t, task_text text, int64_t number, const char *finding) {
    static buffer out;
    const task_words fill = {.finding = finding};
    out.length = 0;
    task_prompts_fill(&out, words, TASK_TRAIN, text,
                      task_prompt_draw(t, 42, number, task_prompts_count(words, TASK_TRAIN, text)),
                      &fill);
    return out.data;
}

// Every row is what the draws say, and each draw is there once.
START_TEST(questions) {
    task_source s = source_of("CPbQA,CPaQA,", NULL, NULL);
    const instruct_source from = task_source_rows(&s);
    task_parts parts;
    int64_t seen[TASK_COUNT] = {0};
    OK(task_parts_draw(&parts, all.record, all.count, 42));
    ck_assert_int_eq(s.count[TASK_CPBQA].rows, parts.count[TASK_CPBQA]);
    ck_assert_int_eq(s.count[TASK_CPAQA].rows, parts.count[TASK_CPAQA]);
    ck_assert_int_eq(from.rows[SPLIT_TRAIN], parts.count[TASK_CPBQA] + parts.count[TASK_CPAQA]);
    ck_assert_int_gt(parts.count[TASK_CPAQA], 0);
    for (int64_t i = 0; i < from.rows[SPLIT_TRAIN]; i++) {
        const task_row *r = &s.row[i];
        instruct_text t = row_of(&from, i);
        ck_assert_int_eq(r->record, parts.record[parts.first[r->task] + r->number]);
        seen[r->task] += 1 + r->number;
        ck_assert_str_eq(t.task, task_names[r->task]);
        ck_assert_str_eq(t.id.data, dataset_id(report_set, r->record, ID_DICOM));
        const int8_t *labels = dataset_labels(report_set, r->record);
        buffer want = {0};
        buffer_text(&want, "");
        if (r->task == TASK_CPBQA) {
            const task_question q = task_question_draw(labels, 42, r->number);
            buffer_text(&want, q.yes ? "yes" : "no");
            expect_turns(&t, r->record, report_of(r->record),
                         prompt_of(TASK_CPBQA, TEXT_OF_CPBQA, r->number, class_names[q.finding]));
        } else {
            if (any_positive(r->record)) findings_of_labels(&want, labels, NO_COMMON_FINDINGS);
            expect_turns(&t, r->record, report_of(r->record),
                         prompt_of(TASK_CPAQA, TEXT_OF_CPAQA, r->number, ""));
        }
        if (t.answer.data || want.length) ck_assert_str_eq(t.answer.data, want.data);
        ck_assert_int_eq(t.may_be_empty, r->task == TASK_CPAQA);
        buffer_free(&want);
        instruct_text_free(&t);
    }
    for (int k = 0; k < 2; k++) {
        const int64_t n = parts.count[k ? TASK_CPAQA : TASK_CPBQA];
        ck_assert_int_eq(seen[k ? TASK_CPAQA : TASK_CPBQA], n * (n + 1) / 2);
    }
    task_parts_free(&parts);
    task_source_close(&s);
}
END_TEST

// Reports keep their rows; all are shuffled by the seed; records of other splits are reports.
START_TEST(reports_among_them) {
    task_source s = source_of("RG,CPbQA,", NULL, NULL), again = source_of("RG,CPbQA,", NULL, NULL);
    const instruct_source from = task_source_rows(&s), plain = report_source_rows(&reports);
    int64_t inversions = 0, numbers = 0;
    ck_assert_int_eq(s.count[TASK_RG].rows, plain.rows[SPLIT_TRAIN]);
    ck_assert_int_eq(from.rows[SPLIT_TEST], plain.rows[SPLIT_TEST]);
    ck_assert_mem_eq(s.row, again.row, (size_t)s.rows * sizeof *s.row);
    for (int64_t i = 0; i < s.rows; i++) {
        inversions += i && s.row[i].task < s.row[i - 1].task;
        if (s.row[i].task != TASK_RG) continue;
        instruct_text a = row_of(&from, i), b = row_of(&plain, s.row[i].number);
        numbers += s.row[i].number;
        ck_assert_str_eq(a.prompt.data, b.prompt.data);
        ck_assert_str_eq(a.answer.data ? a.answer.data : "", b.answer.data ? b.answer.data : "");
        ck_assert_str_eq(a.task, "report");
        instruct_text_free(&a), instruct_text_free(&b);
    }
    ck_assert_int_eq(numbers, plain.rows[SPLIT_TRAIN] * (plain.rows[SPLIT_TRAIN] - 1) / 2);
    ck_assert_int_gt(inversions, 0);
    again.seed = 43;
    task_source_close(&again);
    OK(task_source_open(&again, all.record, all.count));
    ck_assert(memcmp(s.row, again.row, (size_t)s.rows * sizeof *s.row));
    task_source_close(&s), task_source_close(&again);
}
END_TEST

// By their text in the file; a correction stands in the wrong report's place; strangers are
// counted.
START_TEST(written_answers) {
    static const char lines[] =
        "{\"task\": \"EL\", \"dicom_id\": \"r0\", \"prompt\": \"Say {it}.\", \"tokens\": 3, "
        "\"text\": \"\\n It is. \"}\n"
        "\n{\"task\":\"CO\",\"dicom_id\":\"r2\",\"prompt\":\"Fix "
        "it.\",\"report\":\"Wrong.\",\"text\":\"Right.\"}\n"
        "{\"task\":\"SU\",\"dicom_id\":\"r0\",\"prompt\":\"Sum.\",\"text\":\"S\"}\n"
        "{\"task\":\"EL\",\"dicom_id\":\"r20\",\"prompt\":\"p\",\"text\":\"of a test record\"}\n"
        "{\"task\":\"EL\",\"dicom_id\":\"who\",\"prompt\":\"p\",\"text\":\"t\"}";
    task_answers *a;
    write_text(at("a.jsonl"), lines);
    OK(task_answers_open(&a, at("a.jsonl"), report_set, SPLIT_TRAIN));
    ck_assert_int_eq(task_answers_count(a), 3);
    ck_assert_int_eq(task_answers_elsewhere(a), 2);
    task_source s = source_of("EL,CO,", a, NULL);
    const instruct_source from = task_source_rows(&s);
    ck_assert_int_eq(s.rows, 2);
    for (int64_t i = 0; i < 2; i++) {
        instruct_text t = row_of(&from, i);
        const bool easy = s.row[i].task == TASK_EL;
        ck_assert_str_eq(t.answer.data, easy ? "It is." : "Right.");
        expect_turns(&t, easy ? 0 : 2, easy ? report_of(0) : "Wrong.",
                     easy ? "Say {it}." : "Fix it.");
        instruct_text_free(&t);
    }
    ck_assert_int_eq(s.count[TASK_EL].part, (all.count + 5) / 6);
    task_source_close(&s);
    task_answers_close(a);
}
END_TEST

START_TEST(refused_answers) {
    static const struct {
        const char *text, *place, *says;
    } cases[] = {
        {"", "a.jsonl", "no answer in it"},
        {"[]", "a.jsonl:1", "must be an object"},
        {"{\"task\":\"EL\",\"dicom_id\":\"r0\",\"prompt\":\"p\",\"text\":\"t\"}\n{\"task\":\"EL\"}",
         "a.jsonl:2", "dicom_id"},
        {"{\"task\":\"XY\",\"dicom_id\":\"r0\",\"prompt\":\"p\",\"text\":\"t\"}", "a.jsonl:1",
         "unknown task XY"},
        {"{\"task\":\"RG\",\"dicom_id\":\"r0\",\"prompt\":\"p\",\"text\":\"t\"}", "a.jsonl:1",
         "unknown task RG"},
        {"{\"task\":\"EL\",\"dicom_id\":\"r0\",\"prompt\":\"\",\"text\":\"t\"}", "a.jsonl:1",
         "asks nothing"},
        {"{\"task\":\"CO\",\"dicom_id\":\"r0\",\"prompt\":\"p\",\"text\":\"t\"}", "a.jsonl:1",
         "report"},
        {"{\"task\":\"EL\",\"dicom_id\":\"r0\",\"prompt\":\"p\",\"tex", "a.jsonl:1", ""},
    };
    task_answers *a;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(at("a.jsonl"), cases[i].text);
        expect_failed(task_answers_open(&a, at("a.jsonl"), report_set, SPLIT_TRAIN), STATUS_FORMAT,
                      cases[i].place, cases[i].says);
        ck_assert_ptr_null(a);
    }
}
END_TEST

#define NLE(study, text, labels)                                                                   \
    "{\"report_ID\": \"" study "\", \"nle\": \"" text "\", \"diagnosis_label\": [" labels "]}\n"

// Word by word in the cleaned findings of the first image of the study.
START_TEST(reasons) {
    static const char lines[] = NLE("s0", "The heart is large.", "0, 0, 1, 0, 0, 1, 0, 0, 1, 0")
        NLE("s2", "x", "1, 0, 0, 0, 0, 0, 0, 0, 0, 0")
            NLE("s2", "Clear lungs.No change.", "0, 0, 0, 0, 0, 0, 0, 0, 0, 1")
                NLE("s2", "clear lungs.", "0, 0, 0, 0, 0, 0, 0, 0, 0, 1")
                    NLE("s0", "The heart is large.", "0, 0, 0, 0, 0, 0, 0, 0, 0, 0")
                        NLE("s20", "The heart", "1, 0, 0, 0, 0, 0, 0, 0, 0, 0");
    explanations *e;
    write_text(at("nle.json"), lines);
    OK(explanations_open(&e, at("nle.json")));
    ck_assert_int_eq(explanations_count(e), 6);
    task_source s = source_of("RE,", NULL, e);
    const instruct_source from = task_source_rows(&s);
    ck_assert_int_eq(s.rows, 2);
    ck_assert_int_eq(s.count[TASK_RE].left_out, 4);
    for (int64_t i = 0; i < 2; i++) {
        instruct_text t = row_of(&from, i);
        const bool first = s.row[i].entry == 0;
        ck_assert_str_eq(t.answer.data, first ? "The heart is large." : "Clear lungs.No change.");
        expect_turns(&t, first ? 0 : 2, report_of(first ? 0 : 2),
                     prompt_of(TASK_RE, TEXT_OF_RE, s.row[i].number,
                               first ? "Edema, Lung Opacity and Pneumonia" : "Pneumothorax"));
        instruct_text_free(&t);
    }
    task_source_close(&s);
    explanations_close(e);
}
END_TEST

START_TEST(refused_reasons) {
    static const struct {
        const char *text, *place, *says;
    } cases[] = {
        {" \n", "nle.json", "no explanation"},
        {NLE("s1", "x", "1, 2"), "nle.json:1", "must have 10 numbers"},
        {"\n" NLE("s", "x", "0,0,0,0,0,0,0,0,0,0"), "nle.json:2", "no study"},
        {NLE("s1", "", "0,0,0,0,0,0,0,0,0,0"), "nle.json:1", "explains nothing"},
        {NLE("s1", "x", "0,0,0,0,0,0,0,0,0,\"1\""), "nle.json:1", "number"},
        {"{\"report_ID\": 3}", "nle.json:1", "must be a text"},
    };
    explanations *e;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(at("nle.json"), cases[i].text);
        expect_failed(explanations_open(&e, at("nle.json")), STATUS_FORMAT, cases[i].place,
                      cases[i].says);
        ck_assert_ptr_null(e);
    }
}
END_TEST

static bool draws_an_empty_list(uint64_t seed) {
    task_parts p;
    bool found = false;
    OK(task_parts_draw(&p, all.record, all.count, seed));
    for (int64_t i = 0; i < p.count[TASK_CPAQA]; i++) {
        const int64_t record = p.record[p.first[TASK_CPAQA] + i];
        found |= !any_positive(record) && record == 0; // whose report makes a record
    }
    task_parts_free(&p);
    return found;
}

// As ids: an empty list of findings is learned as its end; one thread or many, the same bytes.
START_TEST(as_records) {
    instruct_record r;
    int64_t empty = 0;
    uint64_t seed = 0;
    while (!draws_an_empty_list(seed)) seed++;
    task_source s = source_of("RG,CPbQA,CPaQA,", NULL, NULL);
    task_source_close(&s);
    s.seed = seed;
    OK(task_source_open(&s, all.record, all.count));
    const instruct_source from = task_source_rows(&s);
    instruct_options o = instruct_options_of_tests("one");
    const instruct_summary sum = expect_instruct(&from, &o, STATUS_OK);
    o = instruct_options_of_tests("many");
    o.threads = 4;
    expect_instruct(&from, &o, STATUS_OK);
    expect_same_folders(kept("one"), kept("many"));
    ck_assert_int_le(s.rows - sum.splits[SPLIT_TRAIN], sum.skipped_total);
    instruct_set *set = open_instruct(kept("one"));
    const int32_t end = tokenizer_named(report_tokenizer).end;
    for (int64_t i = 0; i < instruct_count(set, SPLIT_TRAIN); i++) {
        OK(instruct_read(set, SPLIT_TRAIN, i, &r));
        ck_assert_int_eq(r.spans, 1);
        ck_assert_int_eq(r.span[1], r.count);
        ck_assert_int_eq(r.ids[r.count - 1], end);
        if (!strcmp(r.task, "CPaQA") && !*r.answer) {
            ck_assert_int_eq(r.span[0], r.count - 1);
            empty++;
        }
    }
    ck_assert_int_gt(empty, 0);
    instruct_close(set);
    task_source_close(&s);
}
END_TEST

// Out in LLaVA's form and in again: the same records.
START_TEST(llava) {
    task_source s = source_of("RG,CPbQA,CPaQA,", NULL, NULL);
    const instruct_source from = task_source_rows(&s);
    instruct_options o = instruct_options_of_tests("there");
    instruct_json *j;
    expect_instruct(&from, &o, STATUS_OK);
    instruct_set *a = open_instruct(kept("there"));
    OK(instruct_llava_write(kept("l.json"), a, SPLIT_TRAIN, report_prompts, report_set));
    OK(instruct_json_open(&j, kept("l.json")));
    ck_assert(instruct_json_is_llava(j));
    instruct_json_words(j, report_prompts, IMAGE_TOKENS);
    const instruct_source back = instruct_json_source(j, SPLIT_TRAIN);
    o = instruct_options_of_tests("back");
    const instruct_summary sum = expect_instruct(&back, &o, STATUS_OK);
    ck_assert_int_eq(sum.skipped_total, 0);
    instruct_set *b = open_instruct(kept("back"));
    ck_assert_int_eq(instruct_count(a, SPLIT_TRAIN), instruct_count(b, SPLIT_TRAIN));
    for (int64_t i = 0; i < instruct_count(a, SPLIT_TRAIN); i++) {
        instruct_record x, y;
        OK(instruct_read(a, SPLIT_TRAIN, i, &x));
        OK(instruct_read(b, SPLIT_TRAIN, i, &y));
        ck_assert_str_eq(x.id, y.id);
        ck_assert_str_eq(x.task, y.task);
        ck_assert_str_eq(x.prompt, y.prompt);
        ck_assert_str_eq(x.answer, y.answer);
    }
    buffer text = read_whole(kept("l.json"));
    ck_assert_ptr_nonnull(strstr(text.data, "\"image\": \"files/pp"));
    ck_assert_ptr_nonnull(
        strstr(text.data, "\"value\": \"Chest radiograph: <image>. Observations"));
    ck_assert_ptr_null(strstr(text.data, "<IMG>. "));
    buffer_free(&text);
    instruct_close(a), instruct_close(b);
    instruct_json_close(j);
    task_source_close(&s);
}
END_TEST

#define LLAVA(conversations)                                                                       \
    "[{\"id\": \"d\", \"image\": \"i\", \"task_type\": \"VC\", \"conversations\": " conversations  \
    "}]"

START_TEST(llava_rows) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {LLAVA("[]"), "0 messages"},
        {LLAVA("[{\"from\": \"human\", \"value\": \"<image>\"}]"), "1 messages"},
        {LLAVA("[{\"from\": \"gpt\", \"value\": \"a\"}, {\"from\": \"human\", \"value\": "
               "\"<image>\"}]"),
         "turn of human"},
        {LLAVA("[{\"from\": \"human\", \"value\": \"<image>\"}, {\"from\": \"gpt\"}]"), "value"},
        {LLAVA("3"), "must be a list"},
    };
    instruct_json *j;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(at("l.json"), cases[i].text);
        OK(instruct_json_open(&j, at("l.json")));
        instruct_json_words(j, report_prompts, IMAGE_TOKENS);
        const instruct_source from = instruct_json_source(j, SPLIT_TRAIN);
        instruct_text t = {0};
        instruct_skip skip;
        expect_failed(from.row(&t, &skip, from.context, SPLIT_TRAIN, 0), STATUS_FORMAT, "l.json:1",
                      cases[i].says);
        ck_assert_int_eq(skip, INSTRUCT_SKIP_BAD_ROW);
        instruct_text_free(&t);
        instruct_json_close(j);
    }
    write_text(at("l.json"), LLAVA("[{\"from\": \"human\", \"value\": \"See <image>\\nq\"}, "
                                   "{\"from\": \"gpt\", \"value\": \"a\"}]"));
    OK(instruct_json_open(&j, at("l.json")));
    instruct_json_words(j, report_prompts, 2);
    const instruct_source from = instruct_json_source(j, SPLIT_TRAIN);
    instruct_text t = row_of(&from, 0);
    ck_assert_ptr_nonnull(strstr(t.prompt.data, " USER: See <IMG><IMG>\nq ASSISTANT:"));
    ck_assert_str_eq(t.answer.data, "a");
    ck_assert_str_eq(t.id.data, "d");
    ck_assert_str_eq(t.task, "other");
    instruct_text_free(&t);
    instruct_json_close(j);
}
END_TEST

#define SEVERAL(id, images, first, later)                                                          \
    "{\"id\": \"" id "\", \"image\": " images ", \"conversations\": ["                               \
    "{\"from\": \"human\", \"value\": \"" first "\"}, {\"from\": \"gpt\", \"value\": \"a\"}, "         \
    "{\"from\": \"human\", \"value\": \"" later "\"}, {\"from\": \"gpt\", \"value\": \"b\"}]}"

static instruct_set *build_llava(const char *file, const char *folder) {
    instruct_json *j;
    OK(instruct_json_open(&j, kept(file)));
    instruct_json_words(j, report_prompts, IMAGE_TOKENS);
    const instruct_source from = instruct_json_source(j, SPLIT_TRAIN);
    const instruct_options o = instruct_options_of_tests(folder);
    expect_instruct(&from, &o, STATUS_OK);
    instruct_json_close(j);
    return open_instruct(kept(folder));
}

// A marker for each of an image list, behind each other, in one message or in two; out, and in again.
START_TEST(llava_several) {
    static const char *const left_out[] = {
        "train,3,q3,image tokens,\"record q3: 8 image tokens, its 3 images have 12\"",
        "train,4,q4,image tokens,\"record q4: 8 image tokens, an image has 4\"",
        "l2.json:6:",
        "l2.json:7:",
    };
    instruct_record x, y;
    const char *known = dataset_id(report_set, 3, ID_DICOM);
    buffer text = {0};
    buffer_print(&text,
                 "[" SEVERAL("q0", "[\"files/p1/p10/s7/f/1.2.jpg\", \"f/1.2.png\"]", "<image><image> two", "why?") ",\n"
                 SEVERAL("q1", "[\"%s.jpg\", \"x\"]", "See <image>.", "And\\n<image>?") ",\n"
                 SEVERAL("q2", "[\"elsewhere.jpg\"]", "<image>", "why?") ",\n"
                 SEVERAL("q3", "[\"a\", \"b\", \"c\"]", "<image>", "<image>") ",\n"
                 SEVERAL("q4", "\"q4.jpg\"", "<image> <image>", "why?") ",\n"
                 SEVERAL("q5", "[]", "<image>", "why?") ",\n"
                 SEVERAL("q6", "[\"a\", \".jpg\"]", "<image>", "<image>") "]", known);
    write_text(at("l2.json"), text.data);
    buffer_free(&text);
    instruct_set *a = build_llava("l2.json", "two");
    buffer skipped = read_whole(kept("two/skipped.csv"));
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        ck_assert_msg(strstr(skipped.data, left_out[i]), "%s lacks %s", skipped.data, left_out[i]);
    buffer_free(&skipped);
    ck_assert_int_eq(instruct_count(a, SPLIT_TRAIN), 3);
    OK(instruct_read(a, SPLIT_TRAIN, 0, &x));
    ck_assert(x.images == 2 && !strcmp(x.image[0], "f/1.2") && !strcmp(x.image[1], "f/1.2"));
    ck_assert_str_eq(x.id, "q0");
    OK(instruct_read(a, SPLIT_TRAIN, 1, &x));
    ck_assert(x.images == 2 && !strcmp(x.image[0], known) && !strcmp(x.image[1], "x"));
    OK(instruct_read(a, SPLIT_TRAIN, 2, &x));
    ck_assert(x.images == 1 && !strcmp(x.image[0], "q2"));

    OK(instruct_llava_write(kept("l3.json"), a, SPLIT_TRAIN, report_prompts, report_set));
    text = read_whole(kept("l3.json"));
    ck_assert_ptr_nonnull(strstr(text.data, "\"image\": \"q2.jpg\""));
    ck_assert_ptr_nonnull(
        strstr(text.data, "\"image\": [\n            \"f/1.2.jpg\",\n            \"f/1.2.jpg\"\n        ]"));
    ck_assert_ptr_nonnull(strstr(text.data, "\"image\": [\n            \"files/p"));
    ck_assert_ptr_nonnull(strstr(text.data, "\"value\": \"<image><image> two\""));
    ck_assert_ptr_nonnull(strstr(text.data, "\"value\": \"And\\n<image>?\""));
    ck_assert_ptr_null(strstr(text.data, "<IMG>"));
    buffer_free(&text);
    instruct_set *b = build_llava("l3.json", "again");
    ck_assert_int_eq(instruct_count(b, SPLIT_TRAIN), 3);
    for (int64_t i = 0; i < 3; i++) {
        OK(instruct_read(a, SPLIT_TRAIN, i, &x));
        OK(instruct_read(b, SPLIT_TRAIN, i, &y));
        ck_assert(x.images == y.images && x.count == y.count);
        ck_assert_mem_eq(x.ids, y.ids, (size_t)x.count * sizeof *x.ids);
        for (int k = 0; k < x.images; k++) ck_assert_str_eq(x.image[k], y.image[k]);
        ck_assert_str_eq(x.prompt, y.prompt);
    }
    instruct_close(a), instruct_close(b);
}
END_TEST

START_TEST(failing_memory) {
    status rc = STATUS_MEMORY;
    for (int64_t n = 1; rc; n++) {
        task_source s = {.reports = &reports, .words = words, .seed = 1};
        s.wanted[TASK_RG] = s.wanted[TASK_CPBQA] = s.wanted[TASK_IG] = true;
        mem_fail_at(n);
        rc = task_source_open(&s, all.record, all.count);
        mem_fail_at(0);
        ck_assert(rc == STATUS_OK || rc == STATUS_MEMORY);
        task_source_close(&s);
    }
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("task source");
    tcase_set_timeout(cases, 300);
    tcase_add_checked_fixture(cases, open_words, close_words);
    tcase_add_test(cases, questions);
    tcase_add_test(cases, reports_among_them);
    tcase_add_test(cases, written_answers);
    tcase_add_test(cases, refused_answers);
    tcase_add_test(cases, reasons);
    tcase_add_test(cases, refused_reasons);
    tcase_add_test(cases, as_records);
    tcase_add_test(cases, llava);
    tcase_add_test(cases, llava_rows);
    tcase_add_test(cases, llava_several);
    tcase_add_test(cases, failing_memory);
    Suite *suite = suite_create("task source");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
