// radialog tokenizer train, both kinds: shards, text and JSON lines give the same vocabulary, its
// options, what it refuses.
#include "core/files/fs.h"
#include "data/dataset.h"
#include "data/sections.h"
#include "data/tokenizer.h"
#include "data/wordpiece.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char work[256];

static void setup(void) {
    workspace_make(work);
    small_shards(work, 40);
}

static void teardown(void) {
    workspace_remove(work);
}

static void write_text(const char *name, const char *text) {
    char path[PATH_SIZE];
    ck_assert(!path_join(path, sizeof path, work, name) && !file_write(path, text, strlen(text)));
}

// The training split's findings as text and as JSON lines.
static void write_findings(void) {
    char path[PATH_SIZE];
    dataset *data;
    buffer text = {0}, clean = {0}, lines = {0}, json = {0};
    ck_assert(!path_join(path, sizeof path, work, "shards") && !dataset_open(&data, path));
    for (int64_t i = 0; i < dataset_split_count(data, SPLIT_TRAIN); i++) {
        clean.length = 0;
        ck_assert(!dataset_text(&text, data, i, TEXT_FINDINGS));
        findings_clean(&clean, text.data);
        buffer_print(&lines, "%s\n", clean.data);
        buffer_text(&json, "{\"id\": 1, \"report\": ");
        buffer_json(&json, clean.data);
        buffer_text(&json, "}\n\n");
    }
    write_text("lines.txt", lines.data);
    write_text("lines.jsonl", json.data);
    dataset_close(data);
    buffer_free(&text), buffer_free(&clean), buffer_free(&lines), buffer_free(&json);
}

static void same_vocabulary(const char *name) {
    char a[PATH_SIZE], b[PATH_SIZE];
    ck_assert(!path_join(a, sizeof a, work, "v1") && !path_join(b, sizeof b, work, name));
    ck_assert_msg(same_files(a, b), "%s differs from %s", b, a);
}

START_TEST(three_sources) {
    char path[PATH_SIZE];
    wordpiece *w;
    write_findings();
    program_expect(0, "tokenizer train --type wordpiece %s/shards --out %s/v1 --size 300", work,
                   work);
    program_expect(0, "tokenizer train --type wordpiece %s/lines.txt --out %s/v2 --size 300", work,
                   work);
    program_expect(
        0, "tokenizer train --type wordpiece %s/lines.jsonl --field report --out %s/v3 --size 300",
        work, work);
    same_vocabulary("v2");
    same_vocabulary("v3");
    ck_assert(!path_join(path, sizeof path, work, "v1") && !wordpiece_open(&w, path, NULL));
    ck_assert_int_eq(wordpiece_count(w), 300);
    ck_assert_int_eq(wordpiece_special_id(w, WORDPIECE_PAD), 0);
    ck_assert_int_ge(wordpiece_id(w, "heart"), 5);
    wordpiece_close(w);
}
END_TEST

START_TEST(options_count) {
    char path[PATH_SIZE];
    wordpiece *w;
    write_text("caps.txt", "Heart HEART heart h\xc3\xa9 lungs lungs\nlungs\n");
    outcome o = program(
        "tokenizer train --type wordpiece %s/caps.txt %s/caps.txt --out %s/v4 --cased --extra "
        "[DEC] --min-frequency 4 --json",
        work, work, work);
    ck_assert_int_eq(o.exit, 0);
    ck_assert_ptr_nonnull(strstr(o.out, "\"texts\":4,\"words\":14"));
    ck_assert_ptr_nonnull(strstr(o.err, "warning"));
    outcome_free(&o);
    ck_assert(!path_join(path, sizeof path, work, "v4") && !wordpiece_open(&w, path, NULL));
    ck_assert_int_eq(wordpiece_id(w, "[DEC]"), 5);
    ck_assert_int_ge(wordpiece_id(w, "H"), 6);
    ck_assert_int_ge(wordpiece_id(w, "##\xc3\xa9"), 6);
    ck_assert_int_ge(wordpiece_id(w, "lungs"), 6);  // 6 times
    ck_assert_int_eq(wordpiece_id(w, "Heart"), -1); // twice
    wordpiece_close(w);
}
END_TEST

// LLaMA's settings; the same bytes from all three sources, and again.
START_TEST(pieces) {
    static const char text[] = "Heart  12 \xe4\xb8\xad\n";
    static const char *const sources[] = {"shards", "lines.txt", "lines.jsonl --field report",
                                          "shards"};
    char path[PATH_SIZE];
    tokenizer *t;
    buffer ids = {0}, back = {0};
    int32_t image;
    write_findings();
    for (int i = 0; i < 4; i++)
        program_expect(0, "tokenizer train --type sentencepiece %s/%s --out %s/p%d --size 500",
                       work, sources[i], work, i);
    for (int i = 1; i < 4; i++) {
        char a[PATH_SIZE], b[PATH_SIZE];
        snprintf(a, sizeof a, "%s/p0", work);
        snprintf(b, sizeof b, "%s/p%d", work, i);
        ck_assert_msg(same_files(a, b), "%s differs from %s", b, a);
    }
    ck_assert(!path_join(path, sizeof path, work, "p0") && !tokenizer_open(&t, path));
    tokenizer_ids named = tokenizer_named(t);
    ck_assert(named.unknown == 0 && named.begin == 1 && named.end == 2 && named.pad == 0);
    ck_assert_int_eq(tokenizer_size(t), 500);
    ck_assert(!tokenizer_add(t, "<IMG>", true, &image) && image == 500);
    ck_assert_int_eq(tokenizer_encode(t, text, sizeof text - 1, &ids), STATUS_OK);
    int64_t count = (int64_t)(ids.length / sizeof(int32_t));
    const int32_t *id = (const int32_t *)(const void *)ids.data;
    ck_assert_int_eq(id[count - 1], 13); // the line's end is its byte
    ck_assert_int_eq(id[count - 2], 3 + 0xad);
    ck_assert_int_ne(id[count - 6], id[count - 7]); // digits are apart
    ck_assert_int_eq(tokenizer_decode(t, id, count, true, &back), STATUS_OK);
    ck_assert_str_eq(back.data, text);
    tokenizer_close(t);
    outcome o =
        program("tokenizer train --type sentencepiece %s/lines.txt --out %s/p9 --json", work, work);
    ck_assert(o.exit == 0 && strstr(o.out, "\"texts\":") && strstr(o.err, "not 32000"));
    outcome_free(&o);
    buffer_free(&ids), buffer_free(&back);
}
END_TEST

START_TEST(refusals) {
    static const struct {
        int exit;
        const char *words, *parts; // %s: the work folder
    } cases[] = {
        {2, "%s/caps.txt --out %s/v5", "--type is missing; there are wordpiece, sentencepiece"},
        {2, "%s/caps.txt --out %s/v5 --type bpe", "--type bpe; there are wordpiece, sentencepiece"},
        {2, "%s/caps.txt --type wordpiece --section %s", "--section"},
        {2, "%s/caps.txt --type wordpiece --split %s", "there are train, validate, test"},
        {2, "%s/caps.txt --type wordpiece", "--out FILE is missing"},
        {2, "%s/caps.txt --out %s/v5 --type wordpiece --size 3",
         "--size takes a whole number from 16"},
        {2, "%s/caps.txt --out %s/v5 --type wordpiece --extra dec", "extra token 'dec'"},
        {2, "%s/caps.txt --out %s/v5 --type sentencepiece --cased", "--cased belongs to"},
        {2, "%s/caps.txt --out %s/v5 --type sentencepiece --size 299", "from 300"},
        {1, "%s/none.txt --out %s/v5 --type sentencepiece", "none.txt"},
        {1, "%s/nothing.txt --out %s/v5 --type sentencepiece", "no text"},
        {1, "%s/many.txt --out %s/v5 --type sentencepiece --size 300", "cannot make 300 tokens"},
        {1, "%s/none.txt --out %s/v5 --type wordpiece", "none.txt"},
        {1, "%s --out %s/v5 --type wordpiece", "manifest.json"},
        {1, "%s/empty.txt --out %s/v5 --type wordpiece", "no words in the texts"},
        {1, "%s/caps.txt --out %s/v5 --type wordpiece --size 16",
         "raise its size or lower the alphabet"},
        {1, "%s/bad.jsonl --out %s/v5 --type wordpiece", "bad.jsonl:2"},
        {1, "%s/odd.jsonl --out %s/v5 --type wordpiece", "odd.jsonl:1"},
        {1, "%s/caps.txt --out %s/no/v5 --type wordpiece", "no/v5"},
    };
    char path[PATH_SIZE];
    write_text("empty.txt", "\n \x01\n");
    write_text("caps.txt", "Heart HEART heart h\xc3\xa9 lungs lungs\nlungs\n");
    write_text("nothing.txt", "\n\n");
    buffer many = {0};
    for (int c = 0; c < 60; c++) buffer_print(&many, "\xc4%c", 0x80 + c);
    write_text("many.txt", many.data);
    buffer_free(&many);
    write_text("bad.jsonl", "{\"text\": \"clear\"}\n{\"text\": 3}\n");
    write_text("odd.jsonl", "{\"text\"\n");
    write_text("v5", "what was here before");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[2048];
        snprintf(words, sizeof words, cases[i].words, work, work);
        outcome o = program("tokenizer train %s", words);
        ck_assert_msg(o.exit == cases[i].exit && strstr(o.err, cases[i].parts) &&
                          !strcmp(o.out, ""),
                      "tokenizer train %s: exit %d: %s", words, o.exit, o.err);
        outcome_free(&o);
    }
    ck_assert(!path_join(path, sizeof path, work, "v5"));
    char *kept = read_file(path, NULL);
    ck_assert_str_eq(kept, "what was here before");
    free(kept);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("tokenizer");
    tcase_set_timeout(cases, 600);
    tcase_add_unchecked_fixture(cases, setup, teardown);
    tcase_add_test(cases, three_sources);
    tcase_add_test(cases, options_count);
    tcase_add_test(cases, pieces);
    tcase_add_test(cases, refusals);
    Suite *suite = suite_create("tokenizer");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
