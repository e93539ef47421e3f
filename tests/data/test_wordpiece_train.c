// The trainer of WordPiece vocabularies: by hand, against a plain one that recounts everything, and
// all of the tokenizer under failing allocations.
#include "data/wordpiece.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"

static const char *const dec[] = {"[DEC]"};

// --- training ------------------------------------------------------------------------------------
static status train(buffer *out, int32_t *count, const wordpiece_train_options *o,
                    const char *const *texts, int n, int step) {
    wordpiece_trainer *t;
    status rc = wordpiece_trainer_open(&t, o);
    for (int i = 0; i < n && !rc; i++) {
        const char *text = texts[i * step % n];
        rc = wordpiece_trainer_add(t, text, strlen(text));
    }
    out->length = 0;
    if (!rc) rc = wordpiece_trainer_finish(t, out, count);
    wordpiece_trainer_close(t);
    return rc;
}

// Counts by hand: low 5, lower 2, newest 6, widest 3. Pairs: es 9 and st 9 (e is older than s: es
// first), then est 9, lo 7 and ow 7 (l before o), low 7, then ne, ew and west 6 each, and newest is
// ne and west.
START_TEST(trained_by_hand) {
    static const char *const texts[] = {"Low low LOW low[SEP]low, lower lower",
                                        "newest newest newest newest newest newest",
                                        "widest widest widest"};
    static const char want[] =
        "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n[DEC]\n,\nd\ne\ni\nl\nn\no\nr\ns\nt\nw\n"
        "##d\n##e\n##i\n##l\n##n\n##o\n##r\n##s\n##t\n##w\n"
        "##es\n##est\nlo\nlow\nne\n##west\nnewest\n";
    wordpiece_train_options o = {
        .size = 34, .min_frequency = 2, .alphabet = 100, .extra = dec, .extras = 1};
    buffer text = {0}, again = {0};
    int32_t count;
    ck_assert_int_eq(train(&text, &count, &o, texts, 3, 1), STATUS_OK);
    ck_assert_str_eq(text.data, want);
    ck_assert_int_eq(count, 34);
    ck_assert_int_eq(train(&again, &count, &o, texts, 3, 2), STATUS_OK); // another order
    ck_assert_str_eq(again.data, want);
    o.min_frequency = 7;
    o.size = 100;
    ck_assert_int_eq(train(&again, &count, &o, texts, 3, 1), STATUS_OK);
    ck_assert_int_eq(count, 31);
    ck_assert_int_eq(strncmp(again.data, want, again.length), 0);
    o.size = 26;
    ck_assert_int_eq(train(&again, &count, &o, texts, 3, 1), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "27 tokens"));
    ck_assert_int_eq(train(&again, &count, &o, texts, 0, 1), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "no words"));
    buffer_free(&again);
    buffer_free(&text);
}
END_TEST

// Words with a character that the alphabet has no room for take no part.
START_TEST(small_alphabet) {
    static const char *const texts[] = {"aaab aaab ab ab a1b a1b a1b ab1 ab1 ab1"};
    wordpiece_train_options o = {.size = 100, .min_frequency = 2, .alphabet = 2};
    buffer text = {0};
    int32_t count;
    ck_assert_int_eq(train(&text, &count, &o, texts, 1, 1), STATUS_OK);
    ck_assert_str_eq(text.data, HEAD "a\nb\n##a\n##b\naa\nab\n##ab\naaab\n");
    ck_assert_int_eq(count, 13);
    buffer_free(&text);
}
END_TEST

// The same by recounting everything before each merge.
typedef struct plain_word {
    char piece[16][32];
    int pieces;
} plain_word;

static void plain_merge(plain_word *w, const char *left, const char *right) {
    int kept = 0;
    char merged[64];
    snprintf(merged, sizeof merged, "%s%s", left, right + 2);
    for (int i = 0; i < w->pieces; kept++) {
        bool both =
            i + 1 < w->pieces && !strcmp(w->piece[i], left) && !strcmp(w->piece[i + 1], right);
        memmove(w->piece[kept], both ? merged : w->piece[i], 32);
        i += both ? 2 : 1;
    }
    w->pieces = kept;
}

static int token_place(char (*token)[32], int tokens, const char *text) {
    for (int i = 0; i < tokens; i++)
        if (!strcmp(token[i], text)) return i;
    return -1;
}

enum { PLAIN_TOKENS = 200, PLAIN_WORDS = 300 };

// The most frequent pair of neighbours, as places of tokens.
static int plain_best(int best[2], const plain_word *word, char (*token)[32], int tokens) {
    static int count[PLAIN_TOKENS][PLAIN_TOKENS];
    int most = 0;
    memset(count, 0, sizeof count);
    for (int i = 0; i < PLAIN_WORDS; i++)
        for (int j = 0; j + 1 < word[i].pieces; j++)
            count[token_place(token, tokens, word[i].piece[j])]
                 [token_place(token, tokens, word[i].piece[j + 1])]++;
    for (int a = 0; a < tokens; a++)
        for (int b = 0; b < tokens; b++)
            if (count[a][b] > most) {
                most = count[a][b];
                best[0] = a;
                best[1] = b;
            }
    return most;
}

START_TEST(trained_plainly) {
    static plain_word word[PLAIN_WORDS];
    static char token[PLAIN_TOKENS][32];
    wordpiece_train_options o = {.size = 150, .min_frequency = 2, .alphabet = 100};
    buffer text = {0}, got = {0}, want = {0};
    uint32_t seed = 7;
    int32_t count;
    for (int i = 0; i < PLAIN_WORDS; i++) {
        plain_word *w = &word[i];
        w->pieces = 1 + (int)((seed = seed * 1664525u + 1013904223u) >> 28) % 9;
        for (int j = 0; j < w->pieces; j++) {
            char c = (char)('a' + ((seed = seed * 1664525u + 1013904223u) >> 30));
            snprintf(w->piece[j], 32, "%s%c", j ? "##" : "", c);
            buffer_append(&text, &c, 1);
        }
        buffer_text(&text, " ");
    }
    const char *const texts[] = {text.data};
    ck_assert_int_eq(train(&got, &count, &o, texts, 1, 1), STATUS_OK);
    int tokens = 0, best[2];
    for (const char *at = got.data; tokens < 13;
         at += strcspn(at, "\n") + 1) // what merging starts from
        snprintf(token[tokens++], 32, "%.*s", (int)strcspn(at, "\n"), at);
    while (tokens < 150 && plain_best(best, word, token, tokens) >= 2) {
        char left[32], right[32], merged[64];
        strcpy(left, token[best[0]]);
        strcpy(right, token[best[1]]);
        for (int i = 0; i < PLAIN_WORDS; i++) plain_merge(&word[i], left, right);
        snprintf(merged, sizeof merged, "%s%s", left, right + 2);
        if (token_place(token, tokens, merged) < 0) memcpy(token[tokens++], merged, 32);
    }
    for (int i = 0; i < tokens; i++) buffer_print(&want, "%s\n", token[i]);
    ck_assert_str_eq(got.data, want.data);
    ck_assert_int_ge(tokens, 100);
    buffer_free(&text), buffer_free(&got), buffer_free(&want);
}
END_TEST

// --- memory --------------------------------------------------------------------------------------
static status use_all(void) {
    static const char *const texts[] = {
        "low lower newest \xc3\xa9\xcc\xa3t\xc3\xa9 [SEP] newest low"};
    wordpiece_train_options o = {
        .size = 60, .min_frequency = 1, .alphabet = 100, .extra = dec, .extras = 1};
    wordpiece_options options = {.extra = dec, .extras = 1};
    wordpiece *w = NULL;
    wordpiece_ids ids = {0};
    buffer text = {0}, decoded = {0};
    int32_t count;
    status rc = train(&text, &count, &o, texts, 1, 1);
    if (!rc) rc = wordpiece_open_memory(&w, "vocab.txt", text.data, text.length, &options);
    if (!rc) rc = wordpiece_encode(&ids, w, texts[0], strlen(texts[0]), 0);
    if (!rc) rc = wordpiece_decode(&decoded, w, ids.id, ids.count, true, true);
    if (!rc) ck_assert_str_eq(decoded.data, "low lower newest ete newest low");
    buffer_free(&decoded);
    wordpiece_ids_free(&ids);
    wordpiece_close(w);
    buffer_free(&text);
    return rc;
}

START_TEST(without_memory) {
    int64_t n = 1;
    for (;; n++) {
        mem_fail_at(n);
        status rc = use_all();
        mem_fail_at(0);
        if (!rc) break;
        ck_assert_int_eq(rc, STATUS_MEMORY);
    }
    ck_assert_int_gt(n, 30);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("wordpiece_train");
    tcase_set_timeout(cases, 600);
    tcase_add_test(cases, trained_by_hand);
    tcase_add_test(cases, small_alphabet);
    tcase_add_test(cases, trained_plainly);
    tcase_add_test(cases, without_memory);
    Suite *suite = suite_create("wordpiece_train");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
