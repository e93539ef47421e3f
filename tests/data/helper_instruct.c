#include "tests/data/helper_instruct.h"
#include "data/image_codec.h"

#include <stdio.h>
#include <string.h>

dataset *report_set;
tokenizer *report_tokenizer;
int32_t report_image_token;
prompts *report_prompts;

static const char *const texts[] = {
    "The heart is large.",
    "No {effusion}, {findings} }} or {image} { here; {0}.",
    "Clear\n lungs.\nNo change.\n",
    "",
    "Gr\xc3\xb6\xc3\x9f"
    "e 3\xc2\xb5m \xe8\x82\xba.",
    "A report that says <IMG> itself.",
    "It ends in </s>",
    "Two  blanks,\ta tab and \\ a backslash.",
};
enum { TEXTS = sizeof texts / sizeof *texts };

const char *report_of(int64_t i) {
    return texts[i % TEXTS];
}

static void make_set(void) {
    static uint8_t pixels[32 * 32];
    buffer table = {0};
    OK(folder_make(at("source")));
    picture(pixels, 1, 32, 32);
    OK(image_write_png(at("source/i.png"), pixels, 32, 32));
    buffer_text(&table, "id,image,report,findings,patient,study,split");
    for (int c = 0; c < CLASS_COUNT; c++) buffer_print(&table, ",%s", class_names[c]);
    for (int i = 0; i < REPORTS; i++) {
        const char *split = i < REPORTS_TRAIN       ? "train"
                            : i < REPORTS_VALIDATED ? "validate"
                                                    : "test";
        buffer_print(&table, "\nr%d,i.png,INDICATION: test.,\"%s\",p%d,s%d,%s", i, report_of(i), i,
                     i, split);
        for (int c = 0; c < CLASS_COUNT; c++)
            buffer_print(&table, ",%d", i % 5 && c == i % CLASS_COUNT);
    }
    write_text(at("source/data.csv"), table.data);
    buffer_free(&table);
    ingest_options o = folder_options(at("source"), at("shards"));
    o.keep_without_findings = true;
    expect_ingest(&o, STATUS_OK);
}

void instruct_fixture_open(void) {
    const prompts_files files = {.prompts = SOURCE_ROOT "/configs/prompts/report.json"};
    if (!folder_exists(at("source"))) make_set();
    OK(dataset_open(&report_set, at("shards")));
    OK(tokenizer_open(&report_tokenizer, TEST_DATA "/tokenizer/llama.model"));
    OK(tokenizer_add(report_tokenizer, PROMPTS_IMAGE_TOKEN, true, &report_image_token));
    OK(prompts_open(&report_prompts, &files));
}

void instruct_fixture_close(void) {
    dataset_close(report_set);
    tokenizer_close(report_tokenizer);
    prompts_close(report_prompts);
}

report_source report_rows(void) {
    report_source s = {.set = report_set,
                       .prompts = report_prompts,
                       .section = TEXT_FINDINGS,
                       .image_tokens = IMAGE_TOKENS};
    for (int k = 0; k < SPLIT_COUNT; k++) {
        const report_choice how = {.split = k, .section = TEXT_FINDINGS};
        OK(report_list_open(&s.list[k], report_set, &how));
    }
    return s;
}

void report_rows_free(report_source *s) {
    for (int k = 0; k < SPLIT_COUNT; k++) report_list_free(&s->list[k]);
}

const char *kept(const char *name) {
    static struct { char name[32], path[PATH_SIZE]; } all[64];
    int i = 0;
    while (*all[i].name && strcmp(all[i].name, name)) ck_assert_int_lt(++i, 64);
    snprintf(all[i].name, sizeof all[i].name, "%s", name);
    snprintf(all[i].path, sizeof all[i].path, "%s", at("%s", name));
    return all[i].path;
}

instruct_options instruct_options_of_tests(const char *out) {
    return (instruct_options){.out = kept(out),
                              .tokenizer = report_tokenizer,
                              .facts = {.tokenizer = tokenizer_checksum(report_tokenizer),
                                        .vocabulary = tokenizer_size(report_tokenizer),
                                        .image_token = report_image_token,
                                        .queries = IMAGE_TOKENS,
                                        .prompts = prompts_hash(report_prompts),
                                        .cutoff = 2000,
                                        .seed = 42,
                                        .findings = {"labels", "labels", "labels"},
                                        .source = "shards of tests",
                                        .section = "findings"},
                              .threads = 1,
                              .shard_rows = 5};
}

instruct_summary expect_instruct(const instruct_source *rows, const instruct_options *o,
                                 status expected) {
    instruct_summary sum;
    const status rc = instruct_write(&sum, rows, o);
    ck_assert_msg(rc == expected, "%s instead of %s: %s", status_name(rc), status_name(expected),
                  status_text());
    return sum;
}

instruct_set *open_instruct(const char *folder) {
    instruct_set *s;
    OK(instruct_open(&s, folder));
    return s;
}

ids encode(const char *text) {
    const int32_t begin = tokenizer_named(report_tokenizer).begin;
    ids out = {.id = {begin}, .count = begin >= 0};
    buffer b = {0};
    OK(tokenizer_encode(report_tokenizer, text, strlen(text), &b));
    ck_assert_uint_lt(b.length, sizeof out.id - sizeof *out.id);
    if (b.length) memcpy(out.id + out.count, b.data, b.length);
    out.count += (int64_t)(b.length / sizeof(int32_t));
    buffer_free(&b);
    return out;
}
