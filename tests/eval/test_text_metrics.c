// Tokens against NLTK, BLEU and ROUGE-L against pycocoevalcap (scripts/golden/text_metrics.py),
// within 1e-9; tables of sentence ends; failing memory. scripts/check_text_metrics.sh gives it
// tables of real reports.
#include "core/files/fs.h"
#include "eval/bleu.h"
#include "eval/meteor.h"
#include "eval/rouge.h"
#include "eval/stem_english.h"
#include "eval/text_tokens.h"
#include "tests/core/helper_check.h"
#include "tests/eval/helper_csv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PAIRS = 20000, SCORES = 6 };
static const char *const score_names[SCORES] = {"bleu_1", "bleu_2",  "bleu_3",
                                                "bleu_4", "rouge_l", "meteor"};

typedef struct golden_pairs {
    int64_t count;
    char *text[MOST_PAIRS], *reference[MOST_PAIRS];
    char *tokens[MOST_PAIRS], *reference_tokens[MOST_PAIRS];
    double score[MOST_PAIRS][SCORES], corpus[SCORES];
} golden_pairs;

static golden_pairs pairs;
static punkt *table;

static void read_scores(double score[SCORES], const csv *c) {
    for (int k = 0; k < SCORES; k++) {
        char *text = csv_text(c, score_names[k]);
        score[k] = strtod(text, NULL);
        mem_free(text);
    }
}

static void open_pairs(void) {
    const char *path = getenv("RADIALOG_TEXT_METRICS"), *folder = getenv("RADIALOG_PUNKT");
    csv *c;
    bool more, bad, whole = false;
    if (csv_open(&c, path ? path : TEST_DATA "/text_metrics.csv")) die("%s", status_text());
    for (;;) {
        if (csv_next(c, &more, &bad)) die("%s", status_text());
        if (!more) break;
        if (bad || whole || pairs.count == MOST_PAIRS) die("a bad table: %s", csv_reason(c));
        const int64_t i = pairs.count;
        pairs.text[i] = csv_text(c, "text");
        whole = strcmp(pairs.text[i], "corpus") == 0;
        read_scores(whole ? pairs.corpus : pairs.score[i], c);
        if (whole) {
            mem_free(pairs.text[i]);
            continue;
        }
        pairs.reference[i] = csv_text(c, "reference");
        pairs.tokens[i] = csv_text(c, "tokens");
        pairs.reference_tokens[i] = csv_text(c, "reference_tokens");
        pairs.count++;
    }
    csv_close(c);
    if (!whole || pairs.count < 200) die("a table without its last row");
    if (punkt_open(&table, folder)) die("%s", status_text());
}

static void close_pairs(void) {
    for (int64_t i = 0; i < pairs.count; i++) {
        mem_free(pairs.text[i]);
        mem_free(pairs.reference[i]);
        mem_free(pairs.tokens[i]);
        mem_free(pairs.reference_tokens[i]);
    }
    punkt_close(table);
}

static void expect_near(double got, double want, double within, const char *what, int64_t pair) {
    ck_assert_msg(fabs(got - want) <= within, "%s of pair %lld: %.17g, expected %.17g", what,
                  (long long)pair, got, want);
}

// --- tokens --------------------------------------------------------------------------------------

static void expect_tokens(const char *const *text, char *const *want) {
    token_texts got;
    ck_assert(!token_texts_open(&got, table, text, pairs.count));
    for (int64_t i = 0; i < pairs.count; i++)
        ck_assert_msg(strcmp(got.text[i], want[i]) == 0, "'%s' gives\n'%s', expected\n'%s'",
                      text[i], got.text[i], want[i]);
    token_texts_close(&got);
}

START_TEST(tokens_equal_nltk) {
    expect_tokens((const char *const *)pairs.text, pairs.tokens);
    expect_tokens((const char *const *)pairs.reference, pairs.reference_tokens);
}
END_TEST

static void expect_text(const punkt *p, const char *text, const char *want) {
    buffer got = {0};
    ck_assert(!text_tokens(&got, p, text));
    ck_assert_str_eq(got.data, want);
    buffer_free(&got);
}

static void write_table(const char *folder, const char *const file[4]) {
    static const char *const parts[] = {"abbrev_types.txt", "sent_starters.txt", "collocations.tab",
                                        "ortho_context.tab"};
    char path[PATH_SIZE];
    ck_assert(!folder_make(folder));
    for (int i = 0; i < 4; i++) {
        ck_assert(!path_join(path, sizeof path, folder, parts[i]));
        ck_assert(!path_remove(path));
        if (file[i]) scratch_write(path, file[i], strlen(file[i]));
    }
}

START_TEST(tables_are_read) {
    const char *folder = scratch("punkt");
    const char *const files[] = {"rt\nlat", "Then\nthen\n", "no\tsmith\nrt\tlung",
                                 "seen\t20\nthis\t42\nonly\t8"};
    punkt *p;
    write_table(folder, files);
    ck_assert(!punkt_open(&p, folder));
    ck_assert_str_eq(punkt_name(p), folder);
    expect_text(p, "At rt. lung base. Clear.", "at rt. lung base . clear ."); // collocation
    expect_text(p, "At lat. This one.", "at lat . this one .");    // capital of a small word
    expect_text(p, "At lat. Only one.", "at lat. only one .");     // never seen small
    expect_text(p, "At lat. Then one.", "at lat . then one .");    // starter
    expect_text(p, "Is no. smith there.", "is no. smith there ."); // collocation, no abbreviation
    expect_text(p, "Up to 3. more to see. dr. who", "up to 3. more to see . dr . who");
    expect_text(p, "Up to 3. Only b. Only c. Seen", "up to 3 . only b. only c . seen");
    punkt_close(p);
    ck_assert(!punkt_open(&p, NULL));
    ck_assert_str_eq(punkt_name(p), "built-in");
    expect_text(p, "Seen by dr. Who at 3. more.", "seen by dr . who at 3. more .");
    punkt_close(p);
}
END_TEST

START_TEST(bad_tables_are_an_error) {
    static const struct {
        const char *file[4], *place, *reason;
    } cases[] = {
        {{NULL, "", "", ""}, "abbrev_types.txt", NULL},
        {{"", "", "", NULL}, "ortho_context.tab", NULL},
        {{"a", "b", "a b", ""}, "collocations.tab:1", "TAB"},
        {{"a", "b", "a\tb\n\na\tb\tc", ""}, "collocations.tab:3", "TAB"},
        {{"a", "b", "", "a\t2\nb\t"}, "ortho_context.tab:2", "none of 0 to"},
        {{"a", "b", "", "a\t-2"}, "ortho_context.tab:1", "none of 0 to"},
        {{"a", "b", "", "a\t128"}, "ortho_context.tab:1", "none of 0 to"},
        {{"a", "b", "", "a\t1"}, "ortho_context.tab:1", "none of 0 to"},
        {{"a", "b", "", "a\t99999999999999999999"}, "ortho_context.tab:1", "none of 0 to"},
        {{"a\xff", "b", "", ""}, "abbrev_types.txt", "UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        punkt *p;
        const char *folder = scratch("bad");
        write_table(folder, cases[i].file);
        status rc = punkt_open(&p, folder);
        expect_failure(rc, cases[i].reason ? STATUS_FORMAT : STATUS_IO, cases[i].place,
                       cases[i].place, cases[i].reason);
        ck_assert_ptr_null(p);
    }
}
END_TEST

// --- scores --------------------------------------------------------------------------------------

typedef struct scored {
    words *words;
    word_lists text, reference;
} scored;

static scored split(void) {
    scored s;
    ck_assert(!words_open(&s.words));
    ck_assert(!word_lists_open(&s.text, s.words, (const char *const *)pairs.tokens, pairs.count));
    ck_assert(!word_lists_open(&s.reference, s.words, (const char *const *)pairs.reference_tokens,
                               pairs.count));
    return s;
}

static void split_close(scored *s) {
    word_lists_close(&s->text);
    word_lists_close(&s->reference);
    words_close(s->words);
}

START_TEST(bleu_equals_pycocoevalcap) {
    static bleu_counts counts[MOST_PAIRS];
    bleu_counts sum = {0};
    double score[BLEU_ORDERS];
    scored s = split();
    ck_assert(!bleu_count(counts, &s.text, &s.reference));
    for (int64_t i = 0; i < pairs.count; i++) {
        bleu_score(score, &counts[i]);
        for (int k = 0; k < BLEU_ORDERS; k++)
            expect_near(score[k], pairs.score[i][k], 1e-9, score_names[k], i);
        bleu_add(&sum, &counts[i]);
    }
    bleu_score(score, &sum);
    for (int k = 0; k < BLEU_ORDERS; k++)
        expect_near(score[k], pairs.corpus[k], 1e-9, score_names[k], -1);
    split_close(&s);
}
END_TEST

START_TEST(rouge_equals_pycocoevalcap) {
    static double score[MOST_PAIRS];
    double sum = 0;
    scored s = split();
    ck_assert(!rouge_score(score, &s.text, &s.reference));
    for (int64_t i = 0; i < pairs.count; i++) {
        expect_near(score[i], pairs.score[i][4], 1e-9, "rouge_l", i);
        sum += score[i];
    }
    expect_near(sum / (double)pairs.count, pairs.corpus[4], 1e-9, "rouge_l", -1);
    split_close(&s);
}
END_TEST

START_TEST(stems_equal_snowball) {
    buffer text = {0};
    int words_read = 0;
    ck_assert(!file_read(TEST_DATA "/stems.txt", 0, &text));
    for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n"), words_read++) {
        char word[64], *blank = strchr(line, ' ');
        const size_t length = (size_t)(blank - line), want = strlen(blank + 1);
        ck_assert_uint_lt(length, sizeof word);
        memcpy(word, line, length);
        const size_t got = stem_english(word, length);
        ck_assert_msg(got == want && memcmp(word, blank + 1, got) == 0, "%s: got %.*s", line,
                      (int)got, word);
    }
    ck_assert_int_gt(words_read, 500);
    buffer_free(&text);
}
END_TEST

START_TEST(meteor_equals_its_jar) {
    static meteor_counts counts[MOST_PAIRS];
    meteor_counts sum = {0};
    meteor *m;
    const meteor_options files = {.jar = getenv("RADIALOG_METEOR_JAR"),
                                  .paraphrases = getenv("RADIALOG_METEOR_PARAPHRASES")};
    ck_assert(!meteor_open(&m, &files));
    if (!files.jar && !files.paraphrases) ck_assert_str_eq(meteor_stages(m), "exact stem");
    ck_assert(!meteor_count(counts, m, (const char *const *)pairs.tokens,
                            (const char *const *)pairs.reference_tokens, pairs.count));
    for (int64_t i = 0; i < pairs.count; i++) {
        double row[METEOR_STATISTICS];
        meteor_to_statistics(row, &counts[i]);
        const meteor_counts again = meteor_of_statistics(row);
        expect_near(meteor_score(&again), pairs.score[i][5], 1e-12, "meteor", i);
        meteor_add(&sum, &again);
    }
    expect_near(meteor_score(&sum), pairs.corpus[5], 1e-12, "meteor", -1);
    meteor_close(m);
}
END_TEST

static status everything(void) {
    static const char *const text[] = {"Clear. No change.", "", "More than Dr. Who can't say."};
    token_texts tokens = {0};
    word_lists lists = {0};
    words *w = NULL;
    punkt *p = NULL;
    bleu_counts counts[3];
    meteor_counts meteors[3];
    meteor *m = NULL;
    double rouge[3];
    status rc = punkt_open(&p, NULL);
    if (!rc) rc = token_texts_open(&tokens, p, text, 3);
    if (!rc) rc = words_open(&w);
    if (!rc) rc = word_lists_open(&lists, w, (const char *const *)tokens.text, 3);
    if (!rc) rc = bleu_count(counts, &lists, &lists);
    if (!rc) rc = rouge_score(rouge, &lists, &lists);
    if (!rc) rc = meteor_open(&m, NULL);
    if (!rc)
        rc = meteor_count(meteors, m, (const char *const *)tokens.text,
                          (const char *const *)tokens.text, 3);
    meteor_close(m);
    word_lists_close(&lists);
    words_close(w);
    token_texts_close(&tokens);
    punkt_close(p);
    return rc;
}

START_TEST(memory_may_fail) {
    int n = 1;
    for (status rc = STATUS_MEMORY; rc; n++) {
        mem_fail_at(n);
        rc = everything();
        if (!rc && mem_has_failed()) ck_abort_msg("allocation %d failed and nobody said so", n);
        ck_assert(rc == STATUS_OK || rc == STATUS_MEMORY);
    }
    mem_fail_at(0);
    ck_assert_int_gt(n, 20);
}
END_TEST

static void fewer_references(void) {
    bleu_counts counts[2];
    word_lists two = {.count = 2}, one = {.count = 1};
    (void)bleu_count(counts, &two, &one);
}

START_TEST(counts_must_agree) {
    expect_death(fewer_references, "texts and references");
}
END_TEST

int main(void) {
    const TTest *const tests[] = {tokens_equal_nltk,          tables_are_read,
                                  bad_tables_are_an_error,    bleu_equals_pycocoevalcap,
                                  rouge_equals_pycocoevalcap, stems_equal_snowball,
                                  meteor_equals_its_jar,      memory_may_fail,
                                  counts_must_agree,          NULL};
    open_pairs();
    const int failed = run_suite(suite_of("text metrics", tests));
    close_pairs();
    return failed;
}
