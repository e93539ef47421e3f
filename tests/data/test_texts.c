// Tokenised texts: against the tokenizer itself, text by text; the two rules of truncation against
// the references' way of saying them; groups against plain comparison; batches; failing memory and
// disks.
#include "core/memory.h"
#include "core/rng.h"
#include "data/image_codec.h"
#include "data/sections.h"
#include "data/texts.h"
#include "tests/data/helper_shard.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RECORDS = 40, MANY = 1500, WORDS = 80 };

static wordpiece *words;
static dataset *set;

static const char *const findings[] = {
    "The lungs are clear.",
    "The lungs\n are  clear. ",
    "",
    "No \xe2\x80\x83 pleural\neffusion, \xc3\xa9t\xc3\xa9.",
    "the heart\tis of normal size; no pneumothorax. the lungs are clear. no pleural effusion is "
    "seen",
    "The lungs are clear.",
    "[SEP] no [MASK]",
    "NA",
};
enum { FINDINGS = sizeof findings / sizeof *findings };

// Record I in the order of the table; text and study.
static const char *findings_of(int64_t i) {
    const char *text = findings[i % FINDINGS];
    return strcmp(text, "NA") ? text : ""; // which ingest takes for a missing one
}

static void make_set(void) {
    static uint8_t pixels[32 * 32];
    buffer table = {0};
    OK(folder_make(at("source")));
    picture(pixels, 1, 32, 32);
    OK(image_write_png(at("source/i.png"), pixels, 32, 32));
    buffer_text(&table, "id,image,report,findings,impression,patient,study,split\n");
    for (int i = 0; i < RECORDS; i++)
        buffer_print(&table, "r%d,i.png,INDICATION: test.,\"%s\",No %d.,p%d,s%d,%s\n", i,
                     findings[i % FINDINGS], i % 3, i, i * 7 % 10, i < 30 ? "train" : "test");
    write_text(at("source/data.csv"), table.data);
    buffer_free(&table);
    ingest_options o = folder_options(at("source"), at("shards"));
    o.keep_without_findings = true;
    o.shard_records = 16;
    expect_ingest(&o, STATUS_OK);
}

static void open_all(void) {
    if (!folder_exists(at("source"))) make_set();
    OK(dataset_open(&set, at("shards")));
    ck_assert_int_eq(dataset_records(set), RECORDS);
    OK(wordpiece_open(&words, TEST_DATA "/wordpiece_vocab.txt", NULL));
}

static void close_all(void) {
    dataset_close(set);
    wordpiece_close(words);
}

static text_options plain(text_rule rule, int most) {
    return (text_options){.rule = rule, .most = most, .threads = 2};
}

static void expect_ids(const text_set *t, int64_t record, const char *cleaned, int most) {
    wordpiece_ids want = {0};
    int count;
    const int32_t *id = texts_of(t, record, &count);
    OK(wordpiece_encode(&want, words, cleaned, strlen(cleaned), (size_t)most));
    ck_assert_uint_eq((size_t)count, want.count);
    ck_assert_mem_eq(id, want.id, want.count * sizeof *id);
    ck_assert_int_le(count, texts_longest(t));
    wordpiece_ids_free(&want);
}

// --- texts of records ---------------------------------------------------------------------------

// What each of findings[] becomes.
static const char *const captions[] = {
    "The lungs are clear.",
    "The lungs are  clear.",
    "",
    "No \xe2\x80\x83 pleuraleffusion, \xc3\xa9t\xc3\xa9.",
    "the heart\tis of normal size; no pneumothorax. the lungs are clear. no pleural effusion is "
    "seen",
    "The lungs are clear.",
    "[SEP] no [MASK]",
    "",
};
static const char *const reports[] = {
    "The lungs are clear.",
    "The lungs are clear.",
    "",
    "No pleural effusion, \xc3\xa9t\xc3\xa9.",
    "the heart is of normal size; no pneumothorax. the lungs are clear. no pleural effusion is "
    "seen",
    "The lungs are clear.",
    "[SEP] no [MASK]",
    "",
};

START_TEST(records_have_their_texts) {
    int64_t list[RECORDS];
    for (int64_t i = 0; i < RECORDS; i++) list[i] = RECORDS - 1 - i;
    for (int rule = 0; rule < 2; rule++)
        for (int most = 9; most < 200; most += 150) {
            text_set *t;
            text_options o = plain((text_rule)rule, most);
            int64_t total = 0, cut = 0;
            OK(texts_open(&t, set, list, RECORDS, TEXT_FINDINGS, words, &o));
            ck_assert_int_eq(texts_count(t), RECORDS);
            for (int64_t i = 0; i < RECORDS; i++) {
                int count;
                expect_ids(t, i, (rule ? reports : captions)[i % FINDINGS], most);
                texts_of(t, i, &count);
                total += count;
                cut += !*findings_of(i) ? 0 : most == 9 && (i % FINDINGS == 3 || i % FINDINGS == 4);
                ck_assert_int_ge(count, 2);
                if (!*findings_of(i)) ck_assert_int_eq(count, 2);
            }
            ck_assert_int_eq(texts_total(t), total);
            ck_assert_int_eq(texts_truncated(t), cut);
            texts_close(t);
        }
}
END_TEST

START_TEST(some_records_of_another_section) {
    static const int64_t list[] = {35, 2, 31};
    text_set *t;
    text_options o = plain(TEXT_REPORT, 64);
    OK(texts_open(&t, set, list, 3, TEXT_IMPRESSION, words, &o));
    ck_assert_int_eq(texts_count(t), 3);
    for (int i = 0; i < 3; i++) {
        char text[32];
        snprintf(text, sizeof text, "No %d.", (int)(list[i] % 3));
        expect_ids(t, list[i], text, 64);
    }
    ck_assert_int_eq(texts_group(t, 35), 0);
    ck_assert_int_eq(texts_group(t, 2), 0); // 35 and 2 are both 2 modulo 3
    ck_assert_int_eq(texts_group(t, 31), 1);
    texts_close(t);
    OK(texts_open(&t, set, list, 0, TEXT_IMPRESSION, words, &o));
    ck_assert_int_eq(texts_count(t), 0);
    ck_assert_int_eq(texts_total(t), 0);
    texts_close(t);
    texts_close(NULL);
}
END_TEST

// --- truncation ---------------------------------------------------------------------------------

// "a" is one token. The caption's rule: the tokens that fit between [CLS] and [SEP]. CheXbert's: of
// [CLS], all tokens, [SEP] the first 511, and [SEP], where there are more than 512.
START_TEST(long_texts_are_cut) {
    static const int tokens[] = {0, 1, 509, 510, 511, 512, 700};
    const char *text[7];
    buffer space[7] = {0};
    wordpiece_ids all = {0};
    for (int i = 0; i < 7; i++) {
        buffer_text(&space[i], "");
        for (int k = 0; k < tokens[i]; k++) buffer_text(&space[i], k % 7 ? " a" : " b");
        text[i] = space[i].data;
    }
    for (int rule = 0; rule < 2; rule++) {
        text_set *t;
        text_options o = plain((text_rule)rule, 512);
        OK(texts_open_list(&t, text, 7, words, &o));
        for (int i = 0; i < 7; i++) {
            int count;
            const int32_t *id = texts_of(t, i, &count);
            OK(wordpiece_encode(&all, words, text[i], strlen(text[i]), 0));
            ck_assert_uint_eq(all.count, (size_t)tokens[i] + 2);
            int32_t end = all.id[all.count - 1];
            if (all.count > 512) {
                all.count = 512;
                all.id[511] = end;
            }
            ck_assert_uint_eq((size_t)count, all.count);
            ck_assert_mem_eq(id, all.id, all.count * sizeof *id);
            ck_assert_int_eq(id[0], wordpiece_special_id(words, WORDPIECE_CLS));
            ck_assert_int_eq(id[count - 1], wordpiece_special_id(words, WORDPIECE_SEP));
        }
        ck_assert_int_eq(texts_truncated(t), 3);
        ck_assert_int_eq(texts_longest(t), 512);
        texts_close(t);
    }
    wordpiece_ids_free(&all);
    for (int i = 0; i < 7; i++) buffer_free(&space[i]);
}
END_TEST

// --- groups -------------------------------------------------------------------------------------

static void expect_numbers(const text_set *t, int64_t a, const char *const cleaned[]) {
    for (int64_t b = 0; b < RECORDS; b++) {
        bool text = !strcmp(cleaned[a % FINDINGS], cleaned[b % FINDINGS]);
        bool study = a * 7 % 10 == b * 7 % 10;
        ck_assert_int_eq(texts_group(t, a) == texts_group(t, b), text);
        ck_assert_int_eq(texts_study(t, a) == texts_study(t, b), study);
    }
}

START_TEST(equal_texts_and_studies) {
    int64_t list[RECORDS];
    for (int64_t i = 0; i < RECORDS; i++) list[i] = i;
    for (int rule = 0; rule < 2; rule++) {
        text_set *t;
        text_options o = plain((text_rule)rule, 4); // ids of different texts are equal
        OK(texts_open(&t, set, list, RECORDS, TEXT_FINDINGS, words, &o));
        for (int64_t i = 0; i < RECORDS; i++) {
            expect_numbers(t, i, rule ? reports : captions);
            if (i < 10) ck_assert_int_eq(texts_study(t, i), i); // in order of appearance
        }
        ck_assert_int_eq(texts_group(t, 0), 0);
        ck_assert_int_eq(texts_group(t, 1), !rule);
        ck_assert_int_eq(texts_groups(t), rule ? 5 : 6);
        ck_assert_int_eq(texts_studies(t), 10);
        texts_close(t);
    }
}
END_TEST

// Two texts with the same FNV-1a hash (64 bits), which is what groups are sorted by, and a twin of
// each.
START_TEST(equal_hashes_are_no_equal_texts) {
    static const char *const text[] = {"8yn0iYCKYHlIj4-BwPqk", "GReLUrM4wMqfg9yzV3KQ",
                                       "8yn0iYCKYHlIj4-BwPqk\n", " GReLUrM4wMqfg9yzV3KQ"};
    text_set *t;
    text_options o = plain(TEXT_REPORT, 30);
    OK(texts_open_list(&t, text, 4, words, &o));
    for (int i = 0; i < 4; i++) ck_assert_int_eq(texts_group(t, i), i % 2);
    ck_assert_int_eq(texts_groups(t), 2);
    texts_close(t);
}
END_TEST

// --- many texts ---------------------------------------------------------------------------------

static char *many[MANY];

static void make_many(void) {
    rng_key key = {1, rng_site("texts"), 0};
    static const char *const word[] = {"the",  "lungs", "heart", "no",     "effusion", "of",
                                       "size", "\n",    "clear", "normal", "pleural",  "."};
    for (int i = 0; i < MANY; i++) {
        buffer b = {0};
        buffer_text(&b, " ");
        uint32_t count = rng_below(key, (uint32_t)i, 0, i % 3 ? WORDS : 2);
        for (uint32_t k = 0; k < count; k++)
            buffer_print(&b, "%s ", word[rng_below(key, (uint32_t)i, k + 1, 12)]);
        many[i] = b.data;
    }
}

static void free_many(void) {
    for (int i = 0; i < MANY; i++) mem_free(many[i]);
}

static void expect_equal(const text_set *a, const text_set *b) {
    ck_assert_int_eq(texts_total(a), texts_total(b));
    ck_assert_int_eq(texts_groups(a), texts_groups(b));
    ck_assert_int_eq(texts_truncated(a), texts_truncated(b));
    for (int64_t i = 0; i < MANY; i++) {
        int n, m;
        const int32_t *x = texts_of(a, i, &n), *y = texts_of(b, i, &m);
        ck_assert_int_eq(n, m);
        ck_assert_mem_eq(x, y, (size_t)n * sizeof *x);
        ck_assert_int_eq(texts_group(a, i), texts_group(b, i));
    }
}

START_TEST(threads_change_nothing) {
    text_set *one, *t;
    text_options o = plain(TEXT_REPORT, 40);
    make_many();
    o.threads = 1;
    OK(texts_open_list(&one, (const char *const *)many, MANY, words, &o));
    ck_assert_int_gt(texts_truncated(one), 0);
    ck_assert_int_lt(texts_groups(one), MANY);
    ck_assert_int_gt(texts_groups(one), MANY / 2);
    ck_assert_int_eq(texts_studies(one), MANY);
    int32_t next = 0;
    for (int64_t i = 0; i < MANY; i++) {
        buffer clean = {0};
        buffer_text(&clean, "");
        report_clean(&clean, many[i]);
        expect_ids(one, i, clean.data, 40);
        ck_assert_int_le(texts_group(one, i), next);
        next += texts_group(one, i) == next;
        ck_assert_int_eq(texts_study(one, i), i);
        buffer_free(&clean);
    }
    ck_assert_int_eq(next, texts_groups(one));
    for (o.threads = 2; o.threads <= 7; o.threads += 5) {
        OK(texts_open_list(&t, (const char *const *)many, MANY, words, &o));
        expect_equal(one, t);
        texts_close(t);
    }
    texts_close(one);
    free_many();
}
END_TEST

// --- batches ------------------------------------------------------------------------------------

START_TEST(batches_are_packed) {
    enum { N = 6, ROOM = N * 30, GUARD = -77 };
    static const int64_t list[] = {0, 1, 2, 3, 4, 5}, take[N] = {4, 2, 2, 0, 4, 1};
    int32_t id[ROOM], first[N + 2];
    text_set *t;
    text_options o = plain(TEXT_CAPTION, 30);
    OK(texts_open(&t, set, list, 6, TEXT_FINDINGS, words, &o));
    for (int64_t n = 0; n <= N; n++) {
        for (int i = 0; i < ROOM; i++) id[i] = GUARD;
        for (int i = 0; i < N + 2; i++) first[i] = GUARD;
        int64_t total = texts_pack(id, first, t, take, n), done = 0;
        for (int64_t i = 0; i < n; i++) {
            int count;
            const int32_t *want = texts_of(t, take[i], &count);
            ck_assert_int_eq(first[i], done);
            ck_assert_mem_eq(id + done, want, (size_t)count * sizeof *id);
            done += count;
        }
        ck_assert_int_eq(total, done);
        ck_assert_int_eq(first[n], done);
        ck_assert_int_eq(first[n + 1], GUARD);
        ck_assert_int_le(total, n * texts_longest(t));
        ck_assert_int_eq(id[total], GUARD);
    }
    texts_close(t);
}
END_TEST

// --- what can go wrong --------------------------------------------------------------------------

START_TEST(failing_memory) {
    int64_t list[RECORDS], n = 1;
    for (int64_t i = 0; i < RECORDS; i++) list[i] = i;
    for (bool failed = true; failed; n++) {
        text_set *t;
        text_options o = plain(TEXT_REPORT, 12);
        o.threads = 1;
        mem_fail_at(n);
        status rc = texts_open(&t, set, list, RECORDS, TEXT_FINDINGS, words, &o);
        failed = mem_has_failed();
        mem_fail_at(0);
        ck_assert_int_eq(rc, failed ? STATUS_MEMORY : STATUS_OK);
        ck_assert(!failed == (t != NULL));
        texts_close(t);
    }
    ck_assert_int_gt(n, 15);
}
END_TEST

// The shard loses its end while it is open.
START_TEST(lost_texts) {
    int64_t list[RECORDS];
    dataset *broken;
    text_set *t;
    text_options o = plain(TEXT_REPORT, 12);
    ingest_options make = folder_options(at("source"), at("broken"));
    make.keep_without_findings = true;
    expect_ingest(&make, STATUS_OK);
    OK(dataset_open(&broken, at("broken")));
    for (int64_t i = 0; i < RECORDS; i++) list[i] = i;
    const char *path = at("broken/%s", dataset_shard(broken, 0));
    ck_assert_int_eq(truncate(path, 64), 0);
    expect_failed(texts_open(&t, broken, list, RECORDS, TEXT_FINDINGS, words, &o), STATUS_FORMAT,
                  "train-00000.h5", "cut short");
    ck_assert_ptr_null(t);
    dataset_close(broken);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("texts");
    tcase_set_timeout(cases, 120);
    tcase_add_checked_fixture(cases, open_all, close_all);
    tcase_add_test(cases, records_have_their_texts);
    tcase_add_test(cases, some_records_of_another_section);
    tcase_add_test(cases, long_texts_are_cut);
    tcase_add_test(cases, equal_texts_and_studies);
    tcase_add_test(cases, equal_hashes_are_no_equal_texts);
    tcase_add_test(cases, threads_change_nothing);
    tcase_add_test(cases, batches_are_packed);
    tcase_add_test(cases, failing_memory);
    tcase_add_test(cases, lost_texts);
    Suite *suite = suite_create("texts");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
