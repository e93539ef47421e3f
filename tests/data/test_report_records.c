// data/report_records.h: which records, in which order, and what prompts say of findings; against
// small tables that say so themselves, and the draw against counts of the reference's formula.
#include "core/memory.h"
#include "data/image_codec.h"
#include "data/report_records.h"
#include "tests/data/helper_shard.h"

#include <stdio.h>
#include <string.h>

enum { TRAIN = 100, VALIDATED = 114, RECORDS = 134 };

static dataset *set;

// Missing ones as pandas reads them, and texts that only look so. Stripped by ingest.
static const char *const texts[] = {"The heart is large.",
                                    "nan",
                                    "N/A",
                                    "none",
                                    " NULL ",
                                    "NaN.",
                                    "",
                                    "#N/A N/A",
                                    "-1.#QNAN",
                                    "NA NA NA"};
static const bool is_report[] = {true, false, false, true, false, true, false, false, false, true};
enum { TEXTS = sizeof texts / sizeof *texts };

static const char *text_of(int64_t i) {
    return i >= TRAIN && i < VALIDATED ? texts[0] : texts[i % TEXTS];
}

static bool reports(int64_t i) {
    return (i >= TRAIN && i < VALIDATED) || is_report[i % TEXTS];
}

// Those of validation have a finding but for the last; else record I is by kind without any label,
// No Finding, No Finding beside another, uncertain, or one finding.
static int label(int i, int c) {
    if (i >= TRAIN && i < VALIDATED) return c == (i == VALIDATED - 1 ? CLASS_NO_FINDING : 5);
    if (i % 6 == 0) return 0;
    if (i % 6 == 1) return c == CLASS_NO_FINDING;
    if (i % 6 == 2) return c == CLASS_NO_FINDING || c == CLASS_SUPPORT_DEVICES;
    if (i % 6 == 3) return c == 5 ? -1 : 0;
    return c == 1 + i % 13;
}

static bool finds(int64_t i) {
    return i % 6 > 3;
}

// As ingest leaves it, the table's order kept: all of train, then all of test.
static void make_set(void) {
    static uint8_t pixels[32 * 32];
    buffer table = {0};
    OK(folder_make(at("source")));
    picture(pixels, 1, 32, 32);
    OK(image_write_png(at("source/i.png"), pixels, 32, 32));
    buffer_text(&table, "id,image,report,patient,study,split");
    for (int c = 0; c < CLASS_COUNT; c++) buffer_print(&table, ",%s", class_names[c]);
    for (int i = 0; i < RECORDS; i++) {
        buffer_print(
            &table,
            "\nr%d,i.png,\"INDICATION: test.\n\nFINDINGS: %s\n\nIMPRESSION: %s\",p%d,s%d,%s", i,
            text_of(i), text_of(i), i, i,
            i < TRAIN       ? "train"
            : i < VALIDATED ? "validate"
                            : "test");
        for (int c = 0; c < CLASS_COUNT; c++) buffer_print(&table, ",%d", label(i, c));
    }
    write_text(at("source/data.csv"), table.data);
    buffer_free(&table);
    ingest_options o = folder_options(at("source"), at("shards"));
    o.keep_without_findings = true;
    o.shard_records = 32;
    expect_ingest(&o, STATUS_OK);
}

static void open_set(void) {
    if (!folder_exists(at("source"))) make_set();
    OK(dataset_open(&set, at("shards")));
    ck_assert_int_eq(dataset_records(set), RECORDS);
    for (int i = 0; i < RECORDS; i++) {
        char id[16];
        snprintf(id, sizeof id, "r%d", i);
        ck_assert_str_eq(dataset_id(set, i, ID_DICOM), id);
    }
}

static void close_set(void) {
    dataset_close(set);
}

static report_list list_of(report_choice how) {
    report_list l;
    OK(report_list_open(&l, set, &how));
    return l;
}

// Words for missing findings are known to ingest already; those for other sections are not.
START_TEST(filters) {
    for (int k = 0; k < 2 * SPLIT_COUNT; k++) {
        const int split = k / 2;
        report_list l = list_of(
            (report_choice){.split = split, .section = k % 2 ? TEXT_FINDINGS : TEXT_IMPRESSION});
        const int64_t begin = dataset_split_begin(set, split),
                      end = begin + dataset_split_count(set, split);
        int64_t n = 0;
        for (int64_t i = begin; i < end; i++) {
            if (!reports(i)) continue;
            ck_assert_int_lt(n, l.count);
            ck_assert_int_eq(l.record[n++], i);
        }
        ck_assert_int_eq(l.count, n);
        ck_assert_int_eq(l.left_out, end - begin - n);
        report_list_free(&l);
    }
    report_list l =
        list_of((report_choice){.split = SPLIT_TRAIN, .section = TEXT_FINDINGS, .limit = 7});
    ck_assert_int_eq(l.count, 7);
    ck_assert_int_eq(l.record[6], 15);
    report_list_free(&l);
    l = list_of((report_choice){.split = SPLIT_TRAIN, .section = TEXT_HISTORY});
    ck_assert_int_eq(l.count, 0);
    ck_assert_int_eq(l.left_out, TRAIN);
    report_list_free(&l);
}
END_TEST

static report_list stratified(uint64_t seed) {
    return list_of((report_choice){
        .split = SPLIT_TRAIN, .section = TEXT_FINDINGS, .stratify = true, .seed = seed});
}

// 40 of the training records have a report, among them 13 with a finding: 26 and int(26 * 14 / 13 /
// 14) = 2.
START_TEST(draws) {
    bool seen[RECORDS] = {0};
    report_list plain = list_of((report_choice){.split = SPLIT_TRAIN, .section = TEXT_FINDINGS});
    report_list l = stratified(42);
    int64_t n = 0;
    for (int64_t i = 0; i < plain.count; i++) {
        if (!finds(plain.record[i])) continue;
        ck_assert_int_eq(l.record[n], plain.record[i]);
        ck_assert_int_eq(l.record[l.with + n++], plain.record[i]);
    }
    ck_assert_int_eq(l.with, n);
    ck_assert_int_eq(n, 13);
    ck_assert_int_eq(l.other, plain.count - n);
    ck_assert_int_eq(l.drawn, 2);
    ck_assert_int_eq(l.wanted, 2);
    ck_assert_int_eq(l.count, 28);
    for (int64_t i = 26; i < 28; i++) {
        ck_assert(!finds(l.record[i]) && is_report[l.record[i] % TEXTS] && !seen[l.record[i]]);
        seen[l.record[i]] = true;
    }
    report_list_free(&plain);
    report_list_free(&l);
}
END_TEST

// The seed decides, and over seeds every record of the pool is drawn about equally often.
START_TEST(seeds) {
    enum { SEEDS = 1350 }; // times 2 of 27: 100 each
    int drawn[RECORDS] = {0}, pool = 0;
    report_list a = stratified(7), b = stratified(7);
    ck_assert_int_eq(a.count, b.count);
    ck_assert_mem_eq(a.record, b.record, (size_t)a.count * sizeof *a.record);
    report_list_free(&a);
    report_list_free(&b);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        report_list l = stratified(seed);
        for (int64_t i = 2 * l.with; i < l.count; i++) drawn[l.record[i]]++;
        report_list_free(&l);
    }
    for (int i = 0; i < TRAIN; i++) {
        const bool other = is_report[i % TEXTS] && !finds(i);
        pool += other;
        ck_assert_msg(other ? drawn[i] > 55 && drawn[i] < 145 : !drawn[i], "record %d: %d times", i,
                      drawn[i]);
    }
    ck_assert_int_eq(pool, 27);
}
END_TEST

// Too few others: all of them. Hardly any findings: none of the others.
START_TEST(odd_pools) {
    report_choice how = {
        .split = SPLIT_VALIDATE, .section = TEXT_FINDINGS, .stratify = true, .seed = 1};
    report_list l = list_of(how);
    ck_assert_int_eq(l.with, 13);
    ck_assert_int_eq(l.wanted, 2);
    ck_assert_int_eq(l.drawn, 1);
    ck_assert_int_eq(l.count, 27);
    ck_assert_int_eq(l.record[26], VALIDATED - 1);
    report_list_free(&l);
    how.split = SPLIT_TEST;
    l = list_of(how);
    ck_assert_int_gt(l.with, 0);
    ck_assert_int_gt(l.other, 0);
    ck_assert_int_eq(l.drawn, 0);
    ck_assert_int_eq(l.count, 2 * l.with);
    report_list_free(&l);
}
END_TEST

// --- findings -----------------------------------------------------------------------------------

START_TEST(words_of_labels) {
    static const struct {
        int8_t labels[CLASS_COUNT];
        const char *says;
    } cases[] = {
        {{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "no finding"},
        {{1, 0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0, 1}, "no finding, cardiomegaly, support devices"},
        {{0, -1, -2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1}, "no common findings"},
        {{-2, 1, -2, -2, -2, -2, -2, -2, -2, -2, 1, -2, -2, -2},
         "enlarged cardiomediastinum, pleural effusion"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer out = {0};
        buffer_text(&out, ">");
        findings_of_labels(&out, cases[i].labels, NO_COMMON_FINDINGS);
        ck_assert_str_eq(out.data + 1, cases[i].says);
        buffer_free(&out);
    }
}
END_TEST

static void expect_positive(const predictions *p, const char *id, const char *want) {
    bool positive[CLASS_COUNT];
    buffer got = {0};
    ck_assert(predictions_find(positive, p, id));
    buffer_text(&got, "");
    for (int c = 0; c < CLASS_COUNT; c++)
        if (positive[c]) buffer_print(&got, "%s;", class_names[c]);
    ck_assert_str_eq(got.data, want);
    buffer_free(&got);
}

START_TEST(predicted) {
    static const char *const files[] = {
        "{\"dicom_id\":\"b\",\"logits\":[1.5],\"findings\":[\"Edema\",\"No "
        "Finding\"],\"text\":\"edema\"}\r\n\n"
        "{\"findings\":[],\"dicom_id\":\"a\"}\n{\"dicom_id\":\"c\",\"findings\":[\"Support "
        "Devices\"]}",
        "{\n  \"b\": [\n \"Edema\", \"No Finding\"], \"a\": [],\n \"c\": [\"Support Devices\"]}\n",
        "{\"b\": [\"Edema\", \"No Finding\"], \"a\": [], \"c\": [\"Support Devices\"]}",
    };
    uint32_t crc[3];
    for (int i = 0; i < 3; i++) {
        predictions *p;
        bool positive[CLASS_COUNT];
        write_text(at("p.json"), files[i]);
        OK(predictions_open(&p, at("p.json")));
        expect_positive(p, "a", "");
        expect_positive(p, "b", "No Finding;Edema;");
        expect_positive(p, "c", "Support Devices;");
        memset(positive, 1, sizeof positive);
        ck_assert(!predictions_find(positive, p, "d"));
        for (int c = 0; c < CLASS_COUNT; c++) ck_assert(!positive[c]);
        crc[i] = predictions_checksum(p);
        predictions_close(p);
    }
    ck_assert(crc[0] != crc[1] && crc[1] != crc[2]);
}
END_TEST

START_TEST(refusals) {
    static const struct {
        const char *file, *place, *says;
    } cases[] = {
        {"", "p.json", ""},
        {"{}", "p.json", "no findings in it"},
        {"[]", "p.json:1", "must be an object"},
        {"{\"dicom_id\": \"a\", \"findings\": []}\n{\"dicom_id\": \"b\"}", "p.json:2", "findings"},
        {"{\"dicom_id\": \"a\", \"findings\": []}\n[\"b\"]", "p.json:2", "must be an object"},
        {"{\"dicom_id\": \"a\", \"findings\": []}\n{\"dicom_id\": \"a\", \"findings\": []}",
         "p.json", "the image a is there twice"},
        {"{\"dicom_id\": \"\", \"findings\": []}", "p.json:1", "without a dicom_id"},
        {"{\"dicom_id\": 3, \"findings\": []}", "p.json:1", "must be a text"},
        {"{\"dicom_id\": \"a\", \"findings\": [\"edema\"]}", "p.json:1",
         "'edema' is none of the 14"},
        {"{\"a\": [\"Edema\"],\n\"b\": [\"Oedema\"]}", "p.json:2", "'Oedema' is none of the 14"},
        {"{\"a\": \"Edema\"}", "p.json:1", "must be a list"},
        {"{\"a\": [3]}", "p.json:1", "must be a text"},
        {"{\"a\": [], \"a\": []}", "p.json", "twice"},
        {"{\"a\": [\n", "p.json:2", ""},
    };
    predictions *p;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(at("p.json"), cases[i].file);
        expect_failed(predictions_open(&p, at("p.json")), STATUS_FORMAT, cases[i].place,
                      cases[i].says);
        ck_assert_ptr_null(p);
    }
    expect_failed(predictions_open(&p, at("none.json")), STATUS_IO, "none.json", "");
}
END_TEST

START_TEST(failing_memory) {
    const report_choice how = {
        .split = SPLIT_TRAIN, .section = TEXT_FINDINGS, .stratify = true, .seed = 1};
    status rc = STATUS_MEMORY;
    write_text(at("p.json"), "{\"a\": [\"Edema\"], \"b\": []}");
    for (int64_t n = 1; rc; n++) {
        report_list l;
        mem_fail_at(n);
        rc = report_list_open(&l, set, &how);
        mem_fail_at(0);
        ck_assert(rc == STATUS_OK || rc == STATUS_MEMORY);
        if (!rc) report_list_free(&l);
    }
    rc = STATUS_MEMORY;
    for (int64_t n = 1; rc; n++) {
        predictions *p;
        mem_fail_at(n);
        rc = predictions_open(&p, at("p.json"));
        mem_fail_at(0);
        ck_assert(rc == STATUS_OK || rc == STATUS_MEMORY);
        if (!rc) predictions_close(p);
    }
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("report records");
    tcase_set_timeout(cases, 300);
    tcase_add_checked_fixture(cases, open_set, close_set);
    tcase_add_test(cases, filters);
    tcase_add_test(cases, draws);
    tcase_add_test(cases, seeds);
    tcase_add_test(cases, odd_pools);
    tcase_add_test(cases, words_of_labels);
    tcase_add_test(cases, predicted);
    tcase_add_test(cases, refusals);
    tcase_add_test(cases, failing_memory);
    Suite *suite = suite_create("report records");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
