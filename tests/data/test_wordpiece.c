// WordPiece: golden ids and texts of the reference (or another table of them, named by
// RADIALOG_WORDPIECE and RADIALOG_WORDPIECE_VOCAB: see scripts/check_wordpiece.sh), hostile
// vocabularies, ends.
#include "core/files/fs.h"
#include "data/wordpiece.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const dec[] = {"[DEC]"};

// --- the table -----------------------------------------------------------------------------------
enum { FIELDS = 5 };

typedef struct table_line {
    char *field[FIELDS];
    buffer text; // of the field that holds it, without %XX
} table_line;

static void unescape(buffer *out, const char *text) {
    out->length = 0;
    buffer_text(out, "");
    for (; *text; text++) {
        char byte = *text;
        if (byte == '%') {
            char digits[3] = {text[1], text[2], 0};
            byte = (char)strtoul(digits, NULL, 16);
            text += 2;
        }
        buffer_append(out, &byte, 1);
    }
    ck_assert_int_eq(out->failed, STATUS_OK);
}

static void split_line(table_line *l, char *line) {
    line[strcspn(line, "\n")] = 0;
    for (int i = 0; i < FIELDS; i++) {
        l->field[i] = line;
        line += strcspn(line, "\t");
        ck_assert_msg((*line != 0) == (i < FIELDS - 1), "a line of the table has not %d fields",
                      FIELDS);
        if (*line) *line++ = 0;
    }
    unescape(&l->text, l->field[*l->field[0] == 'e' ? 3 : 4]);
}

static size_t read_ids(int32_t *id, size_t room, const char *text) {
    size_t count = 0;
    for (char *end; *text; text = *end ? end + 1 : end) {
        ck_assert_uint_lt(count, room);
        id[count++] = (int32_t)strtol(text, &end, 10);
    }
    return count;
}

static bool check_encoding(const table_line *l, const wordpiece *w, wordpiece_ids *ids,
                           int32_t *want, size_t room) {
    size_t most = strtoul(l->field[2], NULL, 10), count = read_ids(want, room, l->field[4]);
    ck_assert_int_eq(wordpiece_encode(ids, w, l->text.data, l->text.length, most), STATUS_OK);
    ck_assert(!ids->truncated || ids->count == most);
    return ids->count == count && !memcmp(ids->id, want, count * sizeof *want);
}

static bool check_decoding(const table_line *l, const wordpiece *w, int32_t *id, size_t room) {
    size_t count = read_ids(id, room, l->field[3]);
    buffer text = {0};
    buffer_text(&text, "before");
    ck_assert_int_eq(
        wordpiece_decode(&text, w, id, count, *l->field[1] == '1', *l->field[2] == '1'), STATUS_OK);
    bool same =
        text.length - 6 == l->text.length && !memcmp(text.data + 6, l->text.data, l->text.length);
    buffer_free(&text);
    return same;
}

START_TEST(golden_table) {
    enum { ROOM = 1 << 16 };
    const char *other = getenv("RADIALOG_WORDPIECE"),
               *vocabulary = getenv("RADIALOG_WORDPIECE_VOCAB");
    wordpiece *w[2];
    wordpiece_ids ids = {0};
    table_line l = {0};
    int32_t *id = NULL;
    char *line = NULL;
    size_t room = 0;
    long long lines = 0, different = 0;
    FILE *f = fopen(other ? other : TEST_DATA "/wordpiece.txt", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(mem_new(&id, ROOM, "ids"), STATUS_OK);
    for (int cased = 0; cased < 2; cased++) {
        wordpiece_options o = {.cased = cased, .extra = dec, .extras = 1};
        const char *path = vocabulary ? vocabulary : TEST_DATA "/wordpiece_vocab.txt";
        ck_assert_msg(!wordpiece_open(&w[cased], path, &o), "%s", status_text());
    }
    for (; getline(&line, &room, f) > 0; lines++) {
        split_line(&l, line);
        bool same = *l.field[0] == 'e' ? check_encoding(&l, w[*l.field[1] == '1'], &ids, id, ROOM)
                                       : check_decoding(&l, w[0], id, ROOM);
        if (!same && different++ < 10) printf("line %lld differs: %.200s\n", lines + 1, l.field[3]);
    }
    printf("%lld lines, %lld differ\n", lines, different);
    ck_assert_int_eq(different, 0);
    ck_assert_int_ge(lines, 400);
    for (int cased = 0; cased < 2; cased++) wordpiece_close(w[cased]);
    wordpiece_ids_free(&ids);
    buffer_free(&l.text);
    mem_free(id);
    free(line);
    fclose(f);
}
END_TEST

// --- vocabularies --------------------------------------------------------------------------------
#define HEAD "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"

static status open_text(wordpiece **w, const char *text, const wordpiece_options *o) {
    return wordpiece_open_memory(w, "vocab.txt", text, strlen(text), o);
}

START_TEST(hostile_vocabularies) {
    static const struct {
        const char *text;
        size_t length; // 0: of the text
        const char *words;
    } bad[] = {
        {"", 0, "vocab.txt: empty"},
        {HEAD "a\nb\na\n", 0, "vocab.txt:8: 'a' stands in line 6 already"},
        {HEAD "##\n##\n", 0, "vocab.txt:7: '##' stands in line 6"},
        {HEAD "\nb\n", 0, "vocab.txt:6: an empty line"},
        {HEAD "b\n\n", 0, "vocab.txt:7: an empty line"},
        {"\n", 0, "vocab.txt:1: an empty line"},
        {HEAD "b\xff\n", 0, "vocab.txt:6: not UTF-8"},
        {HEAD "\xc3", 0, "vocab.txt:6: not UTF-8"},
        {HEAD "\xed\xa0\x80\n", 0, "vocab.txt:6: not UTF-8"},
        {HEAD "a\0b\n", sizeof HEAD + 3, "vocab.txt:6: a NUL"},
        {"\xef\xbb\xbf" HEAD, 0, "vocab.txt:1: a byte order mark"},
        {"[PAD]\n[UNK]\n[CLS]\n[SEP]\n", 0, "no [MASK] in its 4 lines"},
        {"[PAD]\n[unk]\n[CLS]\n[SEP]\n[MASK]\n", 0, "no [UNK] in its 5 lines"},
        {"[UNK]\n[CLS]\n[SEP]\n[MASK]\n", 0, "no [PAD]"},
        {"{\"model\": {}}", 0, "no [UNK] in its 1 lines"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wordpiece *w;
        size_t length = bad[i].length ? bad[i].length : strlen(bad[i].text);
        ck_assert_int_eq(wordpiece_open_memory(&w, "vocab.txt", bad[i].text, length, NULL),
                         STATUS_FORMAT);
        ck_assert_ptr_null(w);
        ck_assert_msg(strstr(status_text(), bad[i].words) != NULL, "case %zu: %s", i,
                      status_text());
    }
}
END_TEST

START_TEST(long_lines) {
    buffer text = {0};
    wordpiece *w;
    buffer_text(&text, HEAD);
    for (int i = 0; i < 1024; i++) buffer_text(&text, "x");
    ck_assert_int_eq(open_text(&w, text.data, NULL), STATUS_OK);
    ck_assert_int_eq(wordpiece_count(w), 6);
    wordpiece_close(w);
    buffer_text(&text, "x");
    ck_assert_int_eq(open_text(&w, text.data, NULL), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "vocab.txt:6: 1025 bytes in a line"));
    buffer_free(&text);
    ck_assert_int_eq(wordpiece_open(&w, "/no/such/vocab.txt", NULL), STATUS_IO);
}
END_TEST

START_TEST(line_ends) {
    static const char *const texts[] = {
        HEAD "a b\nc", HEAD "a b\nc\n",
        "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\na b\r\nc\r\n",
        "[PAD]\r[UNK]\r[CLS]\r[SEP]\r[MASK]\ra b\rc\r"};
    for (size_t i = 0; i < 4; i++) {
        wordpiece *w;
        ck_assert_int_eq(open_text(&w, texts[i], NULL), STATUS_OK);
        ck_assert_int_eq(wordpiece_count(w), 7);
        ck_assert_int_eq(wordpiece_id(w, "a b"), 5);
        ck_assert_int_eq(wordpiece_id(w, "c"), 6);
        ck_assert_int_eq(wordpiece_id(w, "d"), -1);
        ck_assert_str_eq(wordpiece_token(w, 6), "c");
        ck_assert_str_eq(wordpiece_token(w, 7), "[UNK]");
        ck_assert_str_eq(wordpiece_token(w, -1), "[UNK]");
        ck_assert_int_eq(wordpiece_special_id(w, WORDPIECE_PAD), 0);
        ck_assert_int_eq(wordpiece_special_id(w, WORDPIECE_UNK), 1);
        ck_assert_int_eq(wordpiece_special_id(w, WORDPIECE_CLS), 2);
        ck_assert_int_eq(wordpiece_special_id(w, WORDPIECE_SEP), 3);
        ck_assert_int_eq(wordpiece_special_id(w, WORDPIECE_MASK), 4);
        wordpiece_close(w);
    }
}
END_TEST

START_TEST(extra_tokens) {
    static const char *const both[] = {"[DEC]", "[ENC_2]", "[DEC]", "[SEP]"};
    static const char *const bad[] = {"",      "[]",    "DEC",  "[DEC",   "DEC]",
                                      "[dec]", "[D C]", "[D[]", "[DEC]]", "[\xc3\x84]"};
    wordpiece_options o = {.extra = both, .extras = 4};
    wordpiece *w;
    ck_assert_int_eq(open_text(&w, HEAD "a\n", &o), STATUS_OK);
    ck_assert_int_eq(wordpiece_count(w), 8);
    ck_assert_int_eq(wordpiece_id(w, "[DEC]"), 6);
    ck_assert_int_eq(wordpiece_id(w, "[ENC_2]"), 7);
    ck_assert_str_eq(wordpiece_token(w, 7), "[ENC_2]");
    wordpiece_close(w);
    // One that the file has keeps its id.
    ck_assert_int_eq(open_text(&w, HEAD "[DEC]\na\n", &o), STATUS_OK);
    ck_assert_int_eq(wordpiece_count(w), 8);
    ck_assert_int_eq(wordpiece_id(w, "[DEC]"), 5);
    ck_assert_int_eq(wordpiece_id(w, "[ENC_2]"), 7);
    wordpiece_close(w);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o = (wordpiece_options){.extra = &bad[i], .extras = 1};
        ck_assert_msg(open_text(&w, HEAD, &o) == STATUS_USAGE, "'%s'", bad[i]);
    }
}
END_TEST

START_TEST(ends) {
    static const char text[] = "a b \0 a";
    wordpiece *w;
    wordpiece_ids ids = {0};
    ck_assert_int_eq(open_text(&w, HEAD "a\nb\n", NULL), STATUS_OK);
    for (size_t most = 2; most < 8; most++) {
        static const int32_t want[] = {2, 5, 6, 5, 3};
        size_t count = most < 5 ? most : 5;
        ck_assert_int_eq(wordpiece_encode(&ids, w, text, sizeof text - 1, most), STATUS_OK);
        ck_assert_uint_eq(ids.count, count);
        ck_assert_int_eq(ids.truncated, most < 5);
        for (size_t i = 0; i < count; i++) ck_assert_int_eq(ids.id[i], i + 1 < count ? want[i] : 3);
    }
    ck_assert_int_eq(wordpiece_tokens(&ids, w, text, sizeof text - 1), STATUS_OK);
    ck_assert_uint_eq(ids.count, 3);
    ck_assert_int_eq(wordpiece_encode(&ids, w, "", 0, 0), STATUS_OK);
    ck_assert_uint_eq(ids.count, 2);
    wordpiece_ids_free(&ids);
    wordpiece_close(w);
}
END_TEST

// Texts by the reference's steps: a run between added tokens is joined, glued and stripped by
// itself.
START_TEST(decoding) {
    static const struct {
        int32_t id[6];
        size_t count;
        const char *text;
    } cases[] = {
        {{5, 6, 9, 6, 5, 6}, 6, "lower [DEC] ##er lower"},
        {{7, 5, 8}, 3, "a  low  b"},
        {{7}, 1, "a"},
        {{5, 7},
         2,
         "low  \xe2\x80\x83"
         "a"},
        {{9, 7, 9}, 3, "[DEC] a [DEC]"},
        {{1, 77, -1, 2}, 4, "[UNK] [UNK] [UNK] [CLS]"},
    };
    wordpiece_options o = {.extra = dec, .extras = 1};
    wordpiece *w;
    ck_assert(!open_text(&w,
                         HEAD "low\n##er\n \xe2\x80\x83"
                              "a \n b\xc2\xa0\n",
                         &o));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer text = {0};
        ck_assert(!wordpiece_decode(&text, w, cases[i].id, cases[i].count, false, false));
        ck_assert_str_eq(text.data, cases[i].text);
        buffer_free(&text);
    }
    wordpiece_close(w);
}
END_TEST

// A word of a million marks in the wrong order is sorted in no time that matters, and then gone.
START_TEST(many_marks) {
    buffer text = {0};
    wordpiece *w;
    wordpiece_ids ids = {0};
    buffer_text(&text, "a");
    for (int i = 0; i < 500000; i++) buffer_text(&text, i % 2 ? "\xcc\x81" : "\xcc\xa3");
    ck_assert_int_eq(open_text(&w, HEAD "a\n", NULL), STATUS_OK);
    ck_assert_int_eq(wordpiece_tokens(&ids, w, text.data, text.length), STATUS_OK);
    ck_assert_uint_eq(ids.count, 1);
    ck_assert_int_eq(ids.id[0], 5);
    wordpiece_ids_free(&ids);
    wordpiece_close(w);
    buffer_free(&text);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("wordpiece");
    tcase_set_timeout(cases, 600);
    tcase_add_test(cases, golden_table);
    if (!getenv("RADIALOG_WORDPIECE")) {
        tcase_add_test(cases, hostile_vocabularies);
        tcase_add_test(cases, long_lines);
        tcase_add_test(cases, line_ends);
        tcase_add_test(cases, extra_tokens);
        tcase_add_test(cases, ends);
        tcase_add_test(cases, decoding);
        tcase_add_test(cases, many_marks);
    }
    Suite *suite = suite_create("wordpiece");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
