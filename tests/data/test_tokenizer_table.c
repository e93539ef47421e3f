// Tokenizers of language models against a table made by the reference (scripts/golden/
// tokenizer.py): transformers' LlamaTokenizer and Hugging Face's tokenizers. RADIALOG_TOKENIZER
// names another table, RADIALOG_TOKENIZER_PATH the tokenizer that it was made with.
#include "data/tokenizer_private.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 5, KINDS = 4 };

static const struct {
    const char *name, *path;
    bool image; // <IMG> is added, as the reference does
} kinds[KINDS] = {{"llama", "llama.model", true},
                  {"listed", "listed", false},
                  {"json", "llama3.json", false},
                  {"roberta", "roberta", false}};

typedef struct table_line {
    char *field[FIELDS];
    int fields;
    buffer text;
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
    for (l->fields = 0; l->fields < FIELDS; l->fields++) {
        l->field[l->fields] = line;
        line += strcspn(line, "\t");
        if (!*line) break;
        *line++ = 0;
    }
    ck_assert_int_eq(l->fields, *l->field[0] == 'd' ? 4 : 3);
    unescape(&l->text, l->field[*l->field[0] == 'd' ? 4 : 2]);
}

static void read_ids(buffer *out, const char *text) {
    out->length = 0;
    for (char *end; *text; text = *end ? end + 1 : end) {
        int32_t id = (int32_t)strtol(text, &end, 10);
        ck_assert_ptr_ne(end, text);
        buffer_append(out, &id, sizeof id);
    }
    ck_assert_int_eq(out->failed, STATUS_OK);
}

static bool same(const buffer *got, size_t from, const buffer *want) {
    return got->length - from == want->length &&
           (!want->length || !memcmp(got->data + from, want->data, want->length));
}

// What is in OUT before stays.
static bool check_line(const table_line *l, const tokenizer *t, buffer *got, buffer *ids) {
    static const char before[8] = "before:";
    bool encodes = *l->field[0] == 'e';
    got->length = 0;
    buffer_append(got, before, sizeof before);
    read_ids(ids, l->field[3]);
    if (encodes)
        ck_assert_int_eq(tokenizer_encode(t, l->text.data, l->text.length, got), STATUS_OK);
    else
        ck_assert_int_eq(tokenizer_decode(t, (const int32_t *)(const void *)ids->data,
                                          (int64_t)(ids->length / sizeof(int32_t)),
                                          *l->field[2] == '1', got),
                         STATUS_OK);
    ck_assert_mem_eq(got->data, before, sizeof before);
    return same(got, sizeof before, encodes ? ids : &l->text);
}

// The words that merging starts from.
static bool check_words(const table_line *l, buffer *got, buffer *lengths) {
    bpe_pattern pattern = strcmp(l->field[1], "gpt2") ? BPE_LLAMA3 : BPE_GPT2;
    got->length = 0;
    buffer_append(got, "before: ", 8);
    read_ids(lengths, l->field[3]);
    for (size_t at = 0; at < l->text.length;) {
        int32_t taken = (int32_t)bpe_word(pattern, l->text.data + at, l->text.length - at);
        ck_assert_int_gt(taken, 0);
        buffer_append(got, &taken, sizeof taken);
        at += (size_t)taken;
    }
    return same(got, 8, lengths);
}

static void print_difference(const table_line *l, const buffer *got, long long line) {
    printf("line %lld (%s %s) differs:\n  %.300s\n  %.300s\n  got", line, l->field[0], l->field[1],
           l->field[2], l->field[3]);
    if (l->fields == 4) printf(" %.*s", (int)(got->length - 8), got->data + 8);
    for (size_t at = 8; l->fields == 3 && at + 4 <= got->length; at += 4) {
        int32_t id;
        memcpy(&id, got->data + at, 4);
        printf(" %d", id);
    }
    printf("\n");
}

// Another path may be any kind's: <IMG> goes to what has LLaMA's names, where it is not there yet.
static void open_all(tokenizer *t[KINDS]) {
    const char *other = getenv("RADIALOG_TOKENIZER_PATH");
    for (int i = 0; i < KINDS; i++) {
        char path[4096];
        int32_t id;
        snprintf(path, sizeof path, "%s/tokenizer/%s", TEST_DATA, kinds[i].path);
        status rc = tokenizer_open(&t[i], other ? other : path);
        ck_assert_msg(!rc, "%s", status_text());
        if (!kinds[i].image || !tokenizer_named(t[i]).begin || tokenizer_named(t[i]).pad) continue;
        ck_assert_int_eq(tokenizer_add(t[i], "<IMG>", true, &id), STATUS_OK);
        ck_assert(other || id == tokenizer_size(t[i]) - 1);
    }
}

START_TEST(golden_table) {
    const char *other = getenv("RADIALOG_TOKENIZER");
    tokenizer *t[KINDS];
    table_line l = {0};
    buffer got = {0}, ids = {0};
    char *line = NULL;
    size_t room = 0;
    long long lines = 0, different = 0, words = 0, of_kind[KINDS] = {0};
    FILE *f = fopen(other ? other : TEST_DATA "/tokenizer/table.txt", "r");
    ck_assert_ptr_nonnull(f);
    open_all(t);
    for (; getline(&line, &room, f) > 0; lines++) {
        int kind = 0;
        split_line(&l, line);
        if (*l.field[0] == 'w') {
            words++;
            if (!check_words(&l, &got, &ids) && different++ < 10)
                print_difference(&l, &got, lines + 1);
            continue;
        }
        while (kind < KINDS && strcmp(kinds[kind].name, l.field[1])) kind++;
        ck_assert_int_lt(kind, KINDS);
        of_kind[kind]++;
        if (!check_line(&l, t[kind], &got, &ids) && different++ < 10)
            print_difference(&l, &got, lines + 1);
    }
    printf("%lld lines, %lld differ\n", lines, different);
    ck_assert_int_eq(different, 0);
    for (int i = 0; i < KINDS && !other; i++) ck_assert_int_ge(of_kind[i], 250);
    ck_assert(other || words >= 400);
    ck_assert_int_ge(lines, 1000);
    for (int i = 0; i < KINDS; i++) tokenizer_close(t[i]);
    buffer_free(&l.text), buffer_free(&got), buffer_free(&ids);
    free(line);
    fclose(f);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("tokenizer_table");
    tcase_set_timeout(cases, 1800);
    tcase_add_test(cases, golden_table);
    Suite *suite = suite_create("tokenizer_table");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
