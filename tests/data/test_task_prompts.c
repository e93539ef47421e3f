// data/task_prompts.h: the file that radialog ships, RaDialog's folder of tables, what is refused.
#include "core/files/fs.h"
#include "core/memory.h"
#include "data/task_prompts.h"
#include "tests/core/helper_check.h"

#include <stdio.h>
#include <string.h>

#define OK(call)                                                                                   \
    do {                                                                                           \
        status rc_ = (call);                                                                       \
        ck_assert_msg(rc_ == STATUS_OK, "%s: %s", #call, status_text());                           \
    } while (0)

static const char *put(const char *name, const char *text) {
    scratch_write(scratch(name), text, strlen(text));
    return scratch(name);
}

static task_prompts *open_prompts(const char *path) {
    task_prompts *p;
    OK(task_prompts_open(&p, path));
    return p;
}

static void expect_text(const task_prompts *p, task_use use, task_text text, int i,
                        const char *want) {
    const task_words words = {
        .finding = "{add} <X>", .add = "A", .remove = "R", .report = "P {prompt}", .prompt = "Q"};
    buffer out = {0};
    buffer_text(&out, ">");
    task_prompts_fill(&out, p, use, text, i, &words);
    ck_assert_str_eq(out.data + 1, want);
    buffer_free(&out);
}

// As many prompts as the original has, and nothing that is asked lacks its words.
START_TEST(shipped_file) {
    static const int counts[TASK_TEXTS] = {10, 9, 10, 6, 5, 3, 11, 7, 10, 5};
    task_prompts *p = open_prompts(SOURCE_ROOT "/configs/prompts/tasks.json");
    for (int t = 0; t < TASK_TEXTS; t++) {
        ck_assert_int_eq(task_prompts_count(p, TASK_TRAIN, (task_text)t), counts[t]);
        const bool asked = t == TEXT_OF_CPBQA || t == TEXT_OF_CPAQA || t == TEXT_OF_IG ||
                           (t >= TEXT_OF_CO_ADD && t <= TEXT_OF_CO_BOTH);
        ck_assert_int_eq(task_prompts_count(p, TASK_ASK, (task_text)t), asked);
        ck_assert_int_eq(task_prompts_count(p, TASK_WRITE, (task_text)t), t <= TEXT_OF_CO_BOTH);
        if (asked) OK(task_prompts_need(p, TASK_ASK, (task_text)t));
    }
    ck_assert_ptr_nonnull(task_prompts_system(p));
    expect_text(p, TASK_WRITE, TEXT_OF_EL, 0, "Report: P {prompt}\nQ");
    task_prompts_close(p);
}
END_TEST

#define OWN(rest) "{\"format\": \"radialog-task-prompts\", \"version\": 1" rest "}"

START_TEST(own_file) {
    task_prompts *p = open_prompts(
        put("t.json",
            OWN(",\n\"train\": {\"RE\": [\"Why {finding}? {x} {{\", \"{finding}{finding}\"],"
                "\"CO_both\": [\"{add}-{remove}\"]}, \"ask\": {\"CPbQA\": \" {finding}?\"}")));
    expect_text(p, TASK_TRAIN, TEXT_OF_RE, 0, "Why {add} <X>? {x} {{");
    expect_text(p, TASK_TRAIN, TEXT_OF_RE, 1, "{add} <X>{add} <X>");
    expect_text(p, TASK_TRAIN, TEXT_OF_CO_BOTH, 0, "A-R");
    expect_text(p, TASK_ASK, TEXT_OF_CPBQA, 0, " {add} <X>?");
    ck_assert_ptr_null(task_prompts_system(p));
    expect_failure(task_prompts_need(p, TASK_TRAIN, TEXT_OF_EL), STATUS_FORMAT, "none", "t.json",
                   "no prompt train.EL");
    const uint32_t hash = task_prompts_hash(p);
    task_prompts_close(p);
    p = open_prompts(
        put("t.json", OWN(", \"train\": {\"CO_both\": [\"{add}-{remove}\"], "
                          "\"RE\": [\"Why {finding}? {x} {{\", \"{finding}{finding}\"]}, \"ask\": "
                          "{\"CPbQA\": \"{finding}?\"}")));
    ck_assert_uint_ne(hash, task_prompts_hash(p));
    task_prompts_close(p);
}
END_TEST

// RaDialog's tables, and a file of ours beside them that says the rest.
START_TEST(radialog_folder) {
    ck_assert(!folder_make(scratch("r")));
    put("r/CPbQA_prompts.csv",
        "instruction\r\n\"Is there <X>?\"\r\n\"Does it show \"\"<X>\"\", {finding}?\"\n");
    put("r/CO_both_prompts.csv", "\"instruction\"\n\"No <rem>, but <add>\xe2\x80\x99s there\"\n");
    put("r/EL_prompts.csv", "instruction\n\"Easily.\"\n");
    task_prompts *p = open_prompts(scratch("r"));
    ck_assert_int_eq(task_prompts_count(p, TASK_TRAIN, TEXT_OF_CPBQA), 2);
    expect_text(p, TASK_TRAIN, TEXT_OF_CPBQA, 1, "Does it show \"{add} <X>\", {finding}?");
    expect_text(p, TASK_ASK, TEXT_OF_CPBQA, 0, "Is there {add} <X>?");
    expect_text(p, TASK_TRAIN, TEXT_OF_CO_BOTH, 0, "No R, but A\xe2\x80\x99s there");
    ck_assert_int_eq(task_prompts_count(p, TASK_WRITE, TEXT_OF_EL), 0);
    task_prompts_close(p);
    put("r/tasks.json", OWN(", \"ask\": {\"CPbQA\": \"{finding}\"}, \"write\": {\"EL\": \"{report} "
                            "{prompt}\"}, \"system\": \"S\""));
    p = open_prompts(scratch("r"));
    expect_text(p, TASK_ASK, TEXT_OF_CPBQA, 0, "{add} <X>");
    ck_assert_int_eq(task_prompts_count(p, TASK_ASK, TEXT_OF_CPBQA), 1);
    ck_assert_int_eq(task_prompts_count(p, TASK_TRAIN, TEXT_OF_CPBQA), 2);
    expect_text(p, TASK_WRITE, TEXT_OF_EL, 0, "P {prompt} Q");
    ck_assert_str_eq(task_prompts_system(p), "S");
    task_prompts_close(p);
}
END_TEST

START_TEST(refusals) {
    static const struct {
        const char *file, *place, *says;
    } cases[] = {
        {"[]", "t.json:1", "must be an object"},
        {"{\"format\": \"radialog-prompts\", \"version\": 1}", "t.json",
         "no file of tasks' prompts"},
        {"{\"format\": \"radialog-task-prompts\", \"version\": 2}", "\"version\"", "1"},
        {OWN(", \"trian\": {}"), "\"trian\"", "is no key"},
        {OWN(", \"train\": {\"XX\": []}"), "\"XX\"", "no prompts in train"},
        {OWN(", \"write\": {\"RE\": \"{finding}\"}"), "\"RE\"", "no prompts in write"},
        {OWN(", \"train\": {\"EL\": []}"), "\"EL\"", "holds no prompt"},
        {OWN(", \"train\": {\"EL\": \"x\"}"), "\"EL\"", "must be a list"},
        {OWN(", \"train\": {\"EL\": [\"\"]}"), "t.json:1", "is empty"},
        {OWN(", \"train\": {\"EL\": [\"\\u0001\"]}"), "t.json:1", "control character"},
        {OWN(", \"train\": {\"EL\": [\"{finding}\"]}"), "t.json:1",
         "holds {finding}, of which nothing"},
        {OWN(", \"train\": {\"RE\": [\"why\"]}"), "t.json:1", "lacks the placeholder {finding}"},
        {OWN(", \"ask\": {\"CO_add\": \"{remove}\"}"), "\"CO_add\"", "lacks the placeholder {add}"},
        {OWN(", \"write\": {\"EL\": \"{report}\"}"), "\"EL\"", "lacks the placeholder {prompt}"},
        {OWN(", \"system\": \"\""), "\"system\"", "is empty"},
    };
    task_prompts *p;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_failure(task_prompts_open(&p, put("t.json", cases[i].file)), STATUS_FORMAT,
                       cases[i].file, cases[i].place, cases[i].says);
        ck_assert_ptr_null(p);
    }
    expect_failure(task_prompts_open(&p, scratch("none.json")), STATUS_IO, "none", "none.json",
                   NULL);
    ck_assert(!folder_make(scratch("e")));
    expect_failure(task_prompts_open(&p, scratch("e")), STATUS_FORMAT, "empty", "/e",
                   "holds neither");
    put("e/EL_prompts.csv", "prompt\nx\n");
    expect_failure(task_prompts_open(&p, scratch("e")), STATUS_FORMAT, "column", "EL_prompts.csv",
                   "instruction");
    put("e/EL_prompts.csv", "instruction\n");
    expect_failure(task_prompts_open(&p, scratch("e")), STATUS_FORMAT, "rows", "EL_prompts.csv",
                   "no prompt");
    put("e/EL_prompts.csv", "instruction\na,b\n");
    expect_failure(task_prompts_open(&p, scratch("e")), STATUS_FORMAT, "fields", "EL_prompts.csv",
                   "2");
    put("e/EL_prompts.csv", "instruction\n\xff\n");
    expect_failure(task_prompts_open(&p, scratch("e")), STATUS_FORMAT, "latin", "EL_prompts.csv",
                   "UTF-8");
}
END_TEST

START_TEST(failing_memory) {
    status rc = STATUS_MEMORY;
    put("m.json", OWN(", \"train\": {\"RE\": [\"{finding}\", \"b {finding}\"]}"));
    for (int64_t n = 1; rc; n++) {
        task_prompts *p;
        mem_fail_at(n);
        rc = task_prompts_open(&p, scratch("m.json"));
        mem_fail_at(0);
        ck_assert(rc == STATUS_OK || rc == STATUS_MEMORY);
        if (!rc) task_prompts_close(p);
    }
}
END_TEST

int main(void) {
    return run_suite(
        suite_of("task prompts", (const TTest *const[]){shipped_file, own_file, radialog_folder,
                                                        refusals, failing_memory, NULL}));
}
