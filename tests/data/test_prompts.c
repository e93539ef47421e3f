// data/prompts.h: conversations against scripts/golden/prompts.py, the files that radialog ships,
// files as RaDialog's, what is refused.
#include "core/files/fs.h"
#include "core/files/json.h"
#include "data/prompts.h"
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

static prompts *open_prompts(prompts_files files) {
    prompts *p;
    OK(prompts_open(&p, &files));
    return p;
}

static uint32_t hash_of(prompts_files files) {
    prompts *p = open_prompts(files);
    uint32_t hash = prompts_hash(p);
    prompts_close(p);
    return hash;
}

// --- golden -------------------------------------------------------------------------------------

static json_value member(json_value object, const char *key) {
    json_value v;
    OK(json_member(&v, object, key));
    return v;
}

static const char *text_or_null(json_value v) {
    const char *text = NULL;
    if (json_kind_of(v) != JSON_NULL) OK(json_text(&text, v));
    return text;
}

// A value of the golden file, which holds objects of texts, numbers and lists of texts.
static void write_value(buffer *out, json_value v) {
    const char *before = "";
    if (json_kind_of(v) == JSON_TEXT) {
        buffer_json(out, text_or_null(v));
    } else if (json_kind_of(v) == JSON_NUMBER) {
        int64_t number;
        OK(json_int(&number, v, 0, 100));
        buffer_print(out, "%d", (int)number);
    } else {
        const bool object = json_kind_of(v) == JSON_OBJECT;
        buffer_text(out, object ? "{" : "[");
        for (json_value x = json_first(v); x.node; x = json_next(x), before = ",") {
            buffer_text(out, before);
            if (object) buffer_json(out, json_key(x)), buffer_text(out, ":");
            write_value(out, x);
        }
        buffer_text(out, object ? "}" : "]");
    }
}

static void check_case(json_value one, const prompts *p) {
    const char *message[8], *findings = text_or_null(member(one, "findings"));
    const char *want = text_or_null(member(one, "text"));
    buffer first = {0}, all = {0};
    int64_t images;
    int count = 1;
    OK(json_member_int(&images, one, "images", 1, 8));
    prompts_report(&first, p, findings, (int)images);
    OK(first.failed);
    message[0] = first.data;
    json_value later = member(one, "later");
    for (json_value v = json_first(later); v.node; v = json_next(v))
        message[count++] = text_or_null(v);
    prompts_conversation(&all, p, message, count);
    OK(all.failed);
    ck_assert_msg(!strcmp(all.data, want), "line %d:\n%s\nwant:\n%s", json_line(one), all.data,
                  want);
    buffer_free(&first);
    buffer_free(&all);
}

START_TEST(golden) {
    json *table;
    int cases = 0;
    OK(json_read(&table, TEST_DATA "/prompts.json", 0));
    const json_value root = json_root(table);
    const char *system = put("system.txt", text_or_null(member(root, "system")));
    json_value files = member(root, "files"), list = member(root, "cases");
    for (json_value file = json_first(files); file.node; file = json_next(file)) {
        buffer text = {0};
        write_value(&text, file);
        prompts *p =
            open_prompts((prompts_files){.prompts = put("prompts.json", text.data),
                                         .system = json_find(file, "format").node ? NULL : system});
        for (json_value v = json_first(list); v.node; v = json_next(v)) {
            if (strcmp(text_or_null(member(v, "file")), json_key(file))) continue;
            check_case(v, p);
            cases++;
        }
        prompts_close(p);
        buffer_free(&text);
    }
    ck_assert_int_eq(cases, 37);
    json_close(table);
}
END_TEST

// --- files --------------------------------------------------------------------------------------

START_TEST(shipped_files) {
    static const char folder[] = SOURCE_ROOT "/configs/prompts";
    names list = {0};
    OK(folder_list(folder, &list));
    ck_assert_uint_ge(list.count, 1);
    for (size_t i = 0; i < list.count; i++) {
        char path[PATH_SIZE];
        buffer text = {0};
        if (!strcmp(list.name[i], "tasks.json")) continue; // test_task_prompts.c
        OK(path_join(path, sizeof path, folder, list.name[i]));
        prompts *p = open_prompts((prompts_files){.prompts = path});
        ck_assert(prompts_without_findings(p));
        prompts_report(&text, p, "edema", 32);
        ck_assert_ptr_nonnull(strstr(text.data, "edema"));
        ck_assert_ptr_nonnull(strstr(text.data, "<IMG><IMG>"));
        buffer_free(&text);
        prompts_close(p);
    }
    names_free(&list);
}
END_TEST

static const char radialog_prompts[] =
    "{\"plain\": \"With {findings}.\",\n"
    " \"img_matching_examples_ig2_noexamples_IMG_findings\": \"I: <IMG><IMG>. F: {findings}.\",\n"
    " \"shown\": \"{image} {findings}\"}";
static const char wrapper[] =
    "{\"description\": \"d\", \"prompt_input\": \"{instruction} {input}\",\n"
    " \"prompt_no_input\": \"<{instruction}>\", \"response_split\": \"A:\"}";

START_TEST(radialog_files) {
    const char *question[] = {"q", NULL};
    buffer text = {0};
    prompts_files files = {.prompts = put("p.json", radialog_prompts),
                           .system = put("s.txt", "Sys\r\n")};
    prompts *p = open_prompts(files);
    ck_assert_int_eq(prompts_literal_tokens(p), 2);
    ck_assert(!prompts_without_findings(p));
    prompts_conversation(&text, p, question, 2);
    ck_assert_str_eq(text.data, "Sys USER: q ASSISTANT:");
    prompts_close(p);
    files.wrapper = put("w.json", wrapper);
    files.key = "shown";
    p = open_prompts(files);
    ck_assert_int_eq(prompts_literal_tokens(p), 0);
    text.length = 0;
    prompts_conversation(&text, p, question, 2);
    ck_assert_str_eq(text.data, "<Sys USER: q ASSISTANT:>");
    prompts_close(p);
    buffer_free(&text);
}
END_TEST

// Apart and together again; what is not made of these prompts, or has an empty message, is refused.
START_TEST(splits) {
    static const char *const whole[] = {"Sys USER: a b ASSISTANT:", "Sys USER: q ASSISTANT: r</s>USER: s ASSISTANT:"};
    static const char *const parts[] = {"a b", "q|r|s"};
    static const char *const wrong[] = {"",
                                        "Sys",
                                        "Sis USER: a ASSISTANT:",
                                        "Sys USER: a ASSISTANT: b",
                                        "Sys USER: a ASSISTANT: b</s>",
                                        "Sys USER: a ASSISTANT: b</s>USER:",
                                        "Sys USER: ASSISTANT:",
                                        "Sys USER:ASSISTANT:"};
    prompts_files files = {.prompts = put("p.json", radialog_prompts), .system = put("s.txt", "Sys")};
    prompts *p = open_prompts(files);
    files.wrapper = put("w.json", wrapper);
    prompts *w = open_prompts(files);
    for (int i = 0; i < 2; i++) {
        buffer out = {0}, around = {0};
        int count, again;
        OK(prompts_split(&out, &count, p, whole[i]));
        ck_assert_int_eq(count, i ? 3 : 1);
        buffer_print(&around, "<%s>", whole[i]);
        OK(prompts_split(&out, &again, w, around.data));
        ck_assert_int_eq(again, count);
        ck_assert_uint_eq(out.length, 2 * (strlen(parts[i]) + 1));
        for (size_t k = 0; k < out.length; k++)
            if (!out.data[k]) out.data[k] = k + 1 == out.length ? 0 : '|';
        ck_assert_msg(!strncmp(out.data, parts[i], strlen(parts[i])), "%s", out.data);
        expect_failure(prompts_split(&out, &count, w, whole[i]), STATUS_FORMAT, "unwrapped", whole[i], "not made of");
        buffer_free(&out), buffer_free(&around);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        buffer out = {0};
        int count;
        expect_failure(prompts_split(&out, &count, p, wrong[i]), STATUS_FORMAT, wrong[i], "conversation", "not made of");
        buffer_free(&out);
    }
    prompts_close(p), prompts_close(w);
}
END_TEST

#define OWN(rest)                                                                                  \
    "{\"format\": \"radialog-prompts\", \"version\": 1, \"system\": \"s\",\n"                      \
    "\"roles\": [\"U\", \"A\"], \"separators\": [\" \", \"/\"],\n" rest "}"

// Whatever changes a word changes the hash; white space of the file does not.
START_TEST(hashes) {
    static const char *const files[] = {
        OWN("\"report\": \"{image} {findings}\""),
        OWN("\"report\": \"{image}{findings} \""),
        OWN("\"report\": \"{findings} {image}\""),
        OWN("\"report\": \"{image} {findings}\", \"report_without_findings\": \"{image}\""),
        OWN("\"report\": \"{image} {findings}\", \"image_token\": \"<I>\""),
        "{\"format\": \"radialog-prompts\", \"version\": 1, \"system\": \"s\", \"roles\": [\"U\", "
        "\"A\"], "
        "\"separators\": [\"\\n\", \"/\"], \"report\": \"{image} {findings}\"}",
        "{\"format\": \"radialog-prompts\", \"version\": 1, \"system\": \"s\", \"roles\": [\"UA\", "
        "\"A\"], "
        "\"separators\": [\" \", \"/\"], \"report\": \"{image} {findings}\"}",
    };
    enum { FILES = sizeof files / sizeof *files };
    uint32_t hash[FILES + 2];
    for (int i = 0; i < FILES; i++)
        hash[i] = hash_of((prompts_files){.prompts = put("h.json", files[i])});
    hash[FILES] =
        hash_of((prompts_files){.prompts = put("h.json", files[0]), .system = put("s.txt", "t")});
    hash[FILES + 1] = hash_of(
        (prompts_files){.prompts = put("h.json", files[0]), .wrapper = put("w.json", wrapper)});
    for (int i = 0; i < FILES + 2; i++)
        for (int k = 0; k < i; k++) ck_assert_msg(hash[i] != hash[k], "%d and %d", i, k);
    ck_assert_uint_eq(
        hash[0], hash_of((prompts_files){
                     .prompts = put("h.json", OWN("\n\n  \"report\" : \"{image} {findings}\"\n")),
                     .system = put("s.txt", "s\n")}));
}
END_TEST

START_TEST(refusals) {
    static const struct {
        const char *file, *place, *says;
    } cases[] = {
        {"[]", "p.json:1:", "must be an object"},
        {"{\"format\": \"x\"}", "p.json", "is no file of prompts"},
        {"{\"format\": \"radialog-prompts\", \"version\": 2}", "\"version\"", "1"},
        {OWN("\"report\": \"{image}\""), "p.json:3: \"report\"",
         "lacks the placeholder {findings}"},
        {OWN("\"report\": \"{findings}\""), "\"report\"",
         "lacks the placeholder {image}, or as many <IMG>"},
        {OWN("\"report\": \"{image} <IMG> {findings}\""), "\"report\"", "<IMG> beside it"},
        {OWN("\"report\": \"{image} {findings} {age}\""), "\"report\"",
         "the unknown placeholder {age}; there are: {image}, {findings}"},
        {OWN("\"report\": \"{image} {findings} {}\""), "\"report\"", "the unknown placeholder {}"},
        {OWN("\"report\": \"{image} {findings} {image}\""), "\"report\"", "{image} twice"},
        {OWN("\"report\": \"{image} {findings\""), "\"report\"", "{ that is not closed"},
        {OWN("\"report\": \"{image} } {findings}\""), "\"report\"", "} that closes nothing"},
        {OWN("\"report\": 3"), "\"report\"", "must be a text"},
        {OWN("\"report\": \"{image} {findings}\", \"report_without_findings\": \"{image} "
             "{findings}\""),
         "\"report_without_findings\"", "unknown placeholder {findings}; there are: {image} "},
        {OWN("\"report\": \"{image} {findings}\", \"report_without_findings\": \"<IMG>\""),
         "\"report_without_findings\"", "holds 1 <IMG>, the prompt with findings 0"},
        {OWN("\"report\": \"{image} {findings}\", \"reprot\": \"\""), "\"reprot\"", "is no key"},
        {OWN("\"report\": \"{image} {findings}\", \"image_token\": \"\""), "\"image_token\"",
         "is empty"},
        {"{\"format\": \"radialog-prompts\", \"version\": 1}", "p.json", "system"},
        {"{\"format\": \"radialog-prompts\", \"version\": 1, \"system\": \"\"}", "\"system\"",
         "is empty"},
        {"{\"format\": \"radialog-prompts\", \"version\": 1, \"system\": \"s\", \"roles\": "
         "[\"U\"]}",
         "\"roles\"", "must be two texts"},
        {"{\"plain\": \"x\"}", "p.json", "nor the prompt \"img_matching"},
    };
    prompts *p;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const prompts_files files = {.prompts = put("p.json", cases[i].file)};
        expect_failure(prompts_open(&p, &files), STATUS_FORMAT, cases[i].file, cases[i].place,
                       cases[i].says);
        ck_assert_ptr_null(p);
    }
}
END_TEST

START_TEST(refusals_of_parts) {
    prompts *p;
    prompts_files files = {.prompts = put("p.json", radialog_prompts)};
    expect_failure(prompts_open(&p, &files), STATUS_USAGE, "no system", "p.json",
                   "give the system text");
    files.system = put("s.txt", "\n");
    expect_failure(prompts_open(&p, &files), STATUS_FORMAT, "empty system", "s.txt", "is empty");
    files.system = put("s.txt", "\xff");
    expect_failure(prompts_open(&p, &files), STATUS_FORMAT, "latin", "s.txt", "UTF-8");
    files.system = scratch("none.txt");
    expect_failure(prompts_open(&p, &files), STATUS_IO, "no file", "none.txt", NULL);
    files.system = put("s.txt", "s");
    files.key = "plain";
    expect_failure(prompts_open(&p, &files), STATUS_FORMAT, "no image", "\"plain\"",
                   "lacks the placeholder {image}");
    files.key = "img";
    expect_failure(prompts_open(&p, &files), STATUS_FORMAT, "no key", "p.json",
                   "nor the prompt \"img\"");
    files = (prompts_files){
        .prompts = put("p.json", radialog_prompts), .system = put("s.txt", "s"), .key = "shown"};
    files.wrapper = put("w.json", "{\"prompt_no_input\": \"{instruction} {input}\"}");
    expect_failure(prompts_open(&p, &files), STATUS_FORMAT, "input", "\"prompt_no_input\"",
                   "placeholder {input}");
    files.wrapper = put("w.json", "{\"prompt_no_input\": \"\"}");
    expect_failure(prompts_open(&p, &files), STATUS_FORMAT, "empty", "w.json",
                   "lacks the placeholder {instruction}");
}
END_TEST

static void ask_without(void) {
    prompts_files files = {.prompts = put("p.json", OWN("\"report\": \"{image} {findings}\""))};
    buffer out = {0};
    prompts_report(&out, open_prompts(files), NULL, 1);
}

START_TEST(misuse) {
    expect_death(ask_without, "no prompt without findings");
}
END_TEST

int main(void) {
    return run_suite(
        suite_of("prompts", (const TTest *const[]){golden, shipped_files, radialog_files, splits, hashes,
                                                   refusals, refusals_of_parts, misuse,
                                                   NULL}));
}
