// METEOR's synonyms and paraphrases against its jar with tables of this project's own
// (scripts/golden/text_metrics.py) within 1e-12; threads; words that come later; bad tables;
// failing memory. Exact words and stems: test_text_metrics.c.
#include "core/files/fs.h"
#include "eval/meteor.h"
#include "eval/meteor_private.h"
#include "tests/core/helper_check.h"
#include "tests/core/helper_torch.h"
#include "tests/eval/helper_csv.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER TEST_DATA "/meteor/"

enum { MOST = 400, KINDS = 3 };

static const char *const kinds[KINDS] = {"synonym", "paraphrase", "both"};
static const meteor_options options[KINDS] = {{.jar = FOLDER "tables.jar"},
                                              {.paraphrases = FOLDER "paraphrases.gz"},
                                              {FOLDER "tables.jar", FOLDER "paraphrases.gz"}};

typedef struct golden_texts {
    int64_t count; // the corpus stands behind the last
    char *text[MOST], *reference[MOST];
    double score[MOST][KINDS];
} golden_texts;

static golden_texts golden;

static void open_golden(void) {
    csv *c;
    bool more, bad;
    int64_t rows = 0;
    if (csv_open(&c, FOLDER "scores.csv")) die("%s", status_text());
    for (;; rows++) {
        if (csv_next(c, &more, &bad)) die("%s", status_text());
        if (!more) break;
        if (bad || rows == MOST) die("a bad table: %s", csv_reason(c));
        golden.text[rows] = csv_text(c, "text");
        golden.reference[rows] = csv_text(c, "reference");
        for (int k = 0; k < KINDS; k++) {
            char *text = csv_text(c, kinds[k]);
            golden.score[rows][k] = strtod(text, NULL);
            mem_free(text);
        }
    }
    csv_close(c);
    if (rows < 100) die("a table of %lld rows", (long long)rows);
    golden.count = rows - 1;
}

static void close_golden(void) {
    for (int64_t i = 0; i <= golden.count; i++) {
        mem_free(golden.text[i]);
        mem_free(golden.reference[i]);
    }
}

static void expect_scores(const meteor_counts *counts, int kind) {
    meteor_counts sum = {0};
    for (int64_t i = 0; i <= golden.count; i++) {
        const double got = meteor_score(i < golden.count ? &counts[i] : &sum);
        ck_assert_msg(fabs(got - golden.score[i][kind]) <= 1e-12,
                      "%s of '%s', '%s': %.17g, expected %.17g", kinds[kind], golden.text[i],
                      golden.reference[i], got, golden.score[i][kind]);
        if (i < golden.count) meteor_add(&sum, &counts[i]);
    }
}

START_TEST(scores_equal_the_jar) {
    static const char *const stages[KINDS] = {"exact stem synonym", "exact stem paraphrase",
                                              "exact stem synonym paraphrase"};
    static meteor_counts counts[MOST], again[MOST];
    const int threads = omp_get_max_threads();
    for (int k = 0; k < KINDS; k++) {
        meteor *m;
        ck_assert(!meteor_open(&m, &options[k]));
        ck_assert_str_eq(meteor_stages(m), stages[k]);
        ck_assert(!meteor_count(counts, m, (const char *const *)golden.text,
                                (const char *const *)golden.reference, golden.count));
        expect_scores(counts, k);
        omp_set_num_threads(3);
        ck_assert(!meteor_count(again, m, (const char *const *)golden.text,
                                (const char *const *)golden.reference, golden.count));
        omp_set_num_threads(threads);
        ck_assert(!memcmp(counts, again, (size_t)golden.count * sizeof *counts));
        meteor_close(m);
    }
}
END_TEST

// Tables are read anew for words that were not there before.
START_TEST(words_may_come_later) {
    static meteor_counts counts[MOST];
    meteor *m;
    ck_assert(!meteor_open(&m, &options[2]));
    for (int64_t i = 0; i < golden.count; i += 7) {
        const int64_t some = golden.count - i < 7 ? golden.count - i : 7;
        ck_assert(!meteor_count(counts + i, m, (const char *const *)golden.text + i,
                                (const char *const *)golden.reference + i, some));
    }
    expect_scores(counts, 2);
    meteor_close(m);
}
END_TEST

static status count_with(const char *jar, const char *paraphrases) {
    static const char *const text[] = {"clear lungs"}, *const reference[] = {"plain films"};
    meteor_counts counts;
    meteor *m;
    ck_assert(!meteor_open(&m, &(meteor_options){jar, paraphrases}));
    status rc = meteor_count(&counts, m, text, reference, 1);
    meteor_close(m);
    return rc;
}

static const char *write_jar(const char *synsets, const char *exceptions) {
    const char *path = scratch("tables.jar");
    zip_part parts[2] = {0};
    buffer jar = {0};
    int count = 0;
    parts[count++] =
        (zip_part){.name = "synonym/english.synsets", .data = synsets, .size = strlen(synsets)};
    if (exceptions)
        parts[count++] = (zip_part){.name = "synonym/english.exceptions",
                                    .data = exceptions,
                                    .size = strlen(exceptions),
                                    .deflate = true};
    zip_write(&jar, parts, count, 0);
    scratch_write(path, jar.data, jar.length);
    buffer_free(&jar);
    return path;
}

START_TEST(bad_synonyms_are_an_error) {
    ck_assert_int_eq(count_with(write_jar("clear\n1 2\nplain\r\n2\r\n", "go\nwent\n"), NULL),
                     STATUS_OK);
    expect_failure(count_with(scratch("missing.jar"), NULL), STATUS_IO, "no jar", "missing.jar",
                   NULL);
    expect_failure(count_with(write_jar("clear\n1\n", NULL), NULL), STATUS_FORMAT, "half a jar",
                   "english.exceptions", "METEOR 1.5's jar");
    expect_failure(count_with(write_jar("clear\n1\nplain\n", "go\nwent\n"), NULL), STATUS_FORMAT,
                   "a line alone", "english.synsets, line 3", "second line");
    expect_failure(count_with(write_jar("clear\n1\n", "go\nwent\nx"), NULL), STATUS_FORMAT,
                   "an exception alone", "english.exceptions, line 3", "second line");
    expect_failure(count_with(write_jar("clear\n1 -2\n", "go\nwent\n"), NULL), STATUS_FORMAT,
                   "no number", "-2", "no number");
    expect_failure(count_with(write_jar("clear\n2147483648\n", "go\nwent\n"), NULL), STATUS_FORMAT,
                   "too large", "2147483648", "no number");
    const char *path = scratch("no.jar");
    scratch_write(path, "no zip at all", 13);
    expect_failure(count_with(path, NULL), STATUS_FORMAT, "no zip", "no.jar", NULL);
}
END_TEST

START_TEST(bad_paraphrases_are_an_error) {
    const char *path = scratch("paraphrases");
    buffer good = {0};
    expect_failure(count_with(NULL, scratch("missing.gz")), STATUS_IO, "no file", "missing.gz",
                   NULL);
    scratch_write(path, "0.5\nclear\nplain\n0.1\nlungs\n", 25);
    expect_failure(count_with(NULL, path), STATUS_FORMAT, "two lines", "line 4", "three lines");
    scratch_write(path, "", 0);
    ck_assert_int_eq(count_with(NULL, path), STATUS_OK);
    ck_assert(!file_read(FOLDER "paraphrases.gz", 0, &good));
    for (size_t size = 0; size < good.length; size += 3) { // cut short anywhere
        scratch_write(path, good.data, size);
        status rc = count_with(NULL, path);
        ck_assert_msg(size < 2 || rc == STATUS_FORMAT, "%zu of %zu bytes: %s", size, good.length,
                      status_name(rc));
    }
    for (size_t i = 10; i < good.length;
         i++) { // a byte changed: all but the time and the system are checked
        good.data[i] = (char)(good.data[i] ^ 0x41);
        scratch_write(path, good.data, good.length);
        ck_assert_int_eq(count_with(NULL, path), STATUS_FORMAT);
        expect_clean_text("a changed byte");
        good.data[i] = (char)(good.data[i] ^ 0x41);
    }
    buffer_free(&good);
}
END_TEST

START_TEST(memory_may_fail) {
    static meteor_counts counts[4];
    int n = 1;
    for (status rc = STATUS_MEMORY; rc; n++) {
        meteor *m = NULL;
        mem_fail_at(n);
        rc = meteor_open(&m, &options[2]);
        if (!rc)
            rc = meteor_count(counts, m, (const char *const *)golden.text,
                              (const char *const *)golden.reference, 4);
        if (!rc && mem_has_failed()) ck_abort_msg("allocation %d failed and nobody said so", n);
        ck_assert_msg(rc == STATUS_OK || rc == STATUS_MEMORY, "%s: %s", status_name(rc),
                      status_text());
        meteor_close(m);
    }
    mem_fail_at(0);
    ck_assert_int_gt(n, 40);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {scores_equal_the_jar,      words_may_come_later,
                                  bad_synonyms_are_an_error, bad_paraphrases_are_an_error,
                                  memory_may_fail,           NULL};
    open_golden();
    const int failed = run_suite(suite_of("meteor", tests));
    close_golden();
    return failed;
}
