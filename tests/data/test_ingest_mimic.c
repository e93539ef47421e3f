// Ingest of the MIMIC-CXR-JPG layout: which tables are found, where labels come from, the two histories
// of the section parser; and, where they are present, real radiographs against their tables.
#include "data/csv.h"
#include "data/image_codec.h"
#include "tests/data/helper_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void make_folders(const char *path) {
    char part[PATH_SIZE];
    for (const char *c = path + 1;; c++)
        if (!*c || *c == '/') {
            snprintf(part, sizeof part, "%.*s", (int)(c - path), path);
            ck_assert_msg(folder_make(part) == STATUS_OK, "%s", status_text());
            if (!*c) return;
        }
}

static const char *const split_table =
    "dicom_id,study_id,subject_id,split\n"
    "d1,50000001,10000001,train\n"
    "d2,50000001,10000001,train\n"
    "d3,50058765,10000002,validate\n" // its conclusion is forced to a section by MIT-LCP
    "d4,50196495,11000003,test\n"     // and this one's to characters 59 to 399
    "d5,50000005,11000003,train\n"    // no report
    "../d6,50000006,10000001,train\n"; // no id

static void add_report(const char *root, const char *place, const char *text) {
    char path[PATH_SIZE], *slash;
    snprintf(path, sizeof path, "%s/mimic-cxr-reports/files/%s.txt", root, place);
    slash = strrchr(path, '/');
    *slash = 0;
    make_folders(path);
    *slash = '/';
    write_text(path, text);
}

static void add_image(const char *root, const char *place, int i) {
    uint8_t pixels[64 * 64];
    char path[PATH_SIZE], *slash;
    snprintf(path, sizeof path, "%s/mimic-cxr-jpg/2.0.0/files/%s.jpg", root, place);
    slash = strrchr(path, '/');
    *slash = 0;
    make_folders(path);
    *slash = '/';
    picture(pixels, i, picture_width(i), picture_height(i));
    ck_assert_int_eq(image_write_jpeg(path, pixels, picture_width(i), picture_height(i), 90),
                     STATUS_OK);
}

static const char *long_text(void) {
    static char text[600];
    int n = snprintf(text, sizeof text, "                                 FINAL REPORT\n INDICATION:  Why.\n \n FINDINGS:  ");
    for (int i = n; i < 500; i++) text[i] = (char)(i % 40 == 39 ? '\n' : 'a' + i % 26);
    return text;
}

// ROOT with tables in three versions of the release, of which the highest holds the images.
static void make_root(const char *root) {
    char path[PATH_SIZE];
    static const char *const old = "dicom_id,study_id,subject_id,split\nold,1,1,train\n";
    snprintf(path, sizeof path, "%s/mimic-cxr-jpg/1.9.0", root);
    make_folders(path);
    snprintf(path, sizeof path, "%s/mimic-cxr-jpg/1.9.0/mimic-cxr-1.9.0-split.csv", root);
    write_text(path, old);
    snprintf(path, sizeof path, "%s/mimic-cxr-jpg/3.0.0", root); // without a table: not taken
    make_folders(path);
    add_image(root, "p10/p10000001/s50000001/d1", 1);
    add_image(root, "p10/p10000001/s50000001/d2", 2);
    add_image(root, "p10/p10000002/s50058765/d3", 3);
    add_image(root, "p11/p11000003/s50196495/d4", 4);
    add_image(root, "p11/p11000003/s50000005/d5", 5);
    snprintf(path, sizeof path, "%s/mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-split.csv.gz", root);
    gzFile packed = gzopen(path, "wb");
    ck_assert_int_gt(gzwrite(packed, split_table, (unsigned)strlen(split_table)), 0);
    ck_assert_int_eq(gzclose(packed), Z_OK);
    snprintf(path, sizeof path, "%s/mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-metadata.csv", root);
    write_text(path, "dicom_id,ViewPosition\nd1,PA\nd2,LATERAL\n");
    // A line that ends in CR LF, as Python's text files read it, is one that ends in LF.
    add_report(root, "p10/p10000001/s50000001",
               " FINAL REPORT\n \n COMPARISON:  None.\n \n FINDINGS: \n \n Heart is\r\n normal.\n \n IMPRESSION: \n \n Fine.\n");
    add_report(root, "p10/p10000002/s50058765",
               " FINAL REPORT\n INDICATION:  Forced.\n \n FINDINGS:  Seen.\n");
    add_report(root, "p11/p11000003/s50196495", long_text());
}

static void write_labels(const char *path, const char *key, const char *rows) {
    buffer b = {0};
    buffer_text(&b, key);
    for (int c = 0; c < CLASS_COUNT; c++) buffer_print(&b, ",%s", class_names[c]);
    buffer_print(&b, "\n%s", rows);
    write_text(path, b.data);
    buffer_free(&b);
}

static const char *const by_dicom = "d1,,,1.0,,,,,,,,-1.0,,,0.0\nd2,1,,,,,,,,,,,,,\nd3,,1,,,,,,,,,,,,\n";
static const char *const by_study = "50000001,,,,1.0,,,,,,,,,,\n50058765,,,,,1.0,,,,,,,,,\n";

static void make(void) {
    make_root(at("root"));
    write_labels(at("root/finding_chexbert_labels.csv"), "dicom_id", by_dicom);
    make_root(at("plain"));
    write_labels(at("plain/mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-chexpert.csv"), "study_id", by_study);
}

static ingest_options mimic_options(const char *root, const char *out) {
    ingest_options o = folder_options(root, out);
    o.source = INGEST_MIMIC;
    return o;
}

static dataset *open_shards(const char *path) {
    dataset *set;
    ck_assert_msg(dataset_open(&set, path) == STATUS_OK, "%s", status_text());
    return set;
}

static void expect_text(const dataset *set, const char *id, record_text kind, const char *want) {
    buffer text = {0};
    int64_t record = dataset_find(set, id);
    ck_assert_int_ge(record, 0);
    ck_assert_int_eq(dataset_text(&text, set, record, kind), STATUS_OK);
    ck_assert_int_eq(dataset_has_text(set, record, kind), want != NULL);
    ck_assert_str_eq(text.data, want ? want : "");
    buffer_free(&text);
}

static void expect_label(const dataset *set, const char *id, int class, int want) {
    ck_assert_int_eq(dataset_labels(set, dataset_find(set, id))[class], want);
}

START_TEST(reads_the_layout) {
    ingest_options o = mimic_options(at("root"), at("out"));
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.records, 4);
    ck_assert_int_eq(s.splits[SPLIT_TRAIN], 2);
    ck_assert_int_eq(s.skipped[SKIP_NO_REPORT], 1);
    ck_assert_int_eq(s.skipped[SKIP_BAD_ROW], 1);
    ck_assert_int_eq(s.unlabelled, 1);
    dataset *set = open_shards(at("out"));
    expect_text(set, "d1", TEXT_FINDINGS, "Heart is\n normal.");
    expect_text(set, "d2", TEXT_IMPRESSION, "Fine.");
    expect_text(set, "d1", TEXT_COMPARISON, "None.");
    ck_assert_str_eq(dataset_id(set, dataset_find(set, "d1"), ID_VIEW), "PA");
    ck_assert_str_eq(dataset_id(set, dataset_find(set, "d2"), ID_VIEW), "LATERAL");
    ck_assert_str_eq(dataset_id(set, dataset_find(set, "d3"), ID_STUDY), "50058765");
    expect_label(set, "d1", 2, LABEL_POSITIVE);
    expect_label(set, "d1", 10, LABEL_UNCERTAIN);
    expect_label(set, "d1", 13, LABEL_NEGATIVE);
    expect_label(set, "d2", 0, LABEL_POSITIVE);
    expect_label(set, "d4", 0, LABEL_BLANK);
    dataset_close(set);
}
END_TEST

// Without a table by image, MIMIC's own by study; a table that is given goes before both.
START_TEST(labels_by_study) {
    ingest_options o = mimic_options(at("plain"), at("by-study"));
    expect_ingest(&o, STATUS_OK);
    dataset *set = open_shards(at("by-study"));
    expect_label(set, "d1", 3, LABEL_POSITIVE);
    expect_label(set, "d2", 3, LABEL_POSITIVE);
    expect_label(set, "d3", 4, LABEL_POSITIVE);
    dataset_close(set);
    o.out = at("by-file");
    o.labels = at("root/finding_chexbert_labels.csv");
    expect_ingest(&o, STATUS_OK);
    set = open_shards(at("by-file"));
    expect_label(set, "d1", 2, LABEL_POSITIVE);
    expect_label(set, "d1", 3, LABEL_BLANK);
    dataset_close(set);
}
END_TEST

// MIT-LCP's table of sections leaves out the two studies whose conclusion is forced.
START_TEST(both_histories_of_the_parser) {
    ingest_options o = mimic_options(at("root"), at("mit"));
    o.sections = SECTIONS_MIT_LCP;
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.records, 2);
    ck_assert_int_eq(s.skipped[SKIP_NO_FINDINGS], 2);
    o.out = at("mit-all");
    o.keep_without_findings = true;
    expect_ingest(&o, STATUS_OK);
    dataset *set = open_shards(at("mit-all"));
    expect_text(set, "d1", TEXT_FINDINGS, "Heart is\n normal.");
    expect_text(set, "d3", TEXT_FINDINGS, NULL);
    expect_text(set, "d3", TEXT_IMPRESSION, "Forced.");
    char range[400];
    snprintf(range, sizeof range, "%.*s", 399 - 59, long_text() + 59);
    buffer text = {0};
    ck_assert_int_eq(dataset_text(&text, set, dataset_find(set, "d4"), TEXT_IMPRESSION), STATUS_OK);
    ck_assert_str_eq(text.data, range);
    buffer_free(&text);
    dataset_close(set);
    // The other history is another plan: it does not mix with the first.
    o.sections = SECTIONS_RADIALOG;
    expect_ingest(&o, STATUS_FORMAT);
}
END_TEST

START_TEST(what_is_missing_is_named) {
    ingest_options o = mimic_options(at("nothing"), at("nothing-out"));
    static const char *const steps[][2] = {
        {"nothing", "mimic-cxr-jpg"},
        {"nothing/mimic-cxr-jpg/2.0.0", "split.csv"},
        {"nothing/mimic-cxr-reports", "no labels"},
    };
    for (int i = 0; i < 3; i++) {
        make_folders(at("%s", steps[i][0]));
        if (i == 2)
            write_text(at("nothing/mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-split.csv"), split_table);
        expect_ingest(&o, STATUS_FORMAT);
        ck_assert_msg(strstr(status_text(), steps[i][1]), "%s", status_text());
    }
}
END_TEST

// --- real radiographs ----------------------------------------------------------------------------

// Every row of the two tables, read once more, is what the shards say.
static void compare_tables(const dataset *set, const char *split_path, const char *label_path) {
    csv *table;
    bool more, bad;
    int id, split, column[CLASS_COUNT];
    int64_t rows = 0;
    ck_assert_int_eq(csv_open(&table, split_path), STATUS_OK);
    ck_assert_int_eq(csv_require(&id, table, "dicom_id"), STATUS_OK);
    ck_assert_int_eq(csv_require(&split, table, "split"), STATUS_OK);
    while (csv_next(table, &more, &bad) == STATUS_OK && more) {
        int64_t record = dataset_find(set, csv_field(table, id));
        ck_assert_int_ge(record, 0);
        ck_assert_str_eq(split_names[dataset_split_of(set, record)], csv_field(table, split));
        rows++;
    }
    csv_close(table);
    ck_assert_int_eq(rows, dataset_records(set));
    ck_assert_int_eq(csv_open(&table, label_path), STATUS_OK);
    ck_assert_int_eq(csv_require(&id, table, "dicom_id"), STATUS_OK);
    for (int c = 0; c < CLASS_COUNT; c++)
        ck_assert_int_eq(csv_require(&column[c], table, class_names[c]), STATUS_OK);
    while (csv_next(table, &more, &bad) == STATUS_OK && more) {
        int64_t record = dataset_find(set, csv_field(table, id));
        for (int c = 0; c < CLASS_COUNT; c++) {
            const char *text = csv_field(table, column[c]);
            int want = !*text ? LABEL_BLANK : *text == '-' ? LABEL_UNCERTAIN
                                          : *text == '1'   ? LABEL_POSITIVE
                                                           : LABEL_NEGATIVE;
            ck_assert_int_eq(dataset_labels(set, record)[c], want);
        }
    }
    csv_close(table);
}

START_TEST(real_radiographs) {
    char root[PATH_SIZE], split[2 * PATH_SIZE], labels[2 * PATH_SIZE];
    const char *data = getenv("RADIALOG_TEST_DATA");
    snprintf(root, sizeof root, "%s/cxr-mini", data ? data : SOURCE_ROOT "/../shared/data");
    if (!folder_exists(root)) return;
    snprintf(split, sizeof split, "%s/mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-split.csv", root);
    snprintf(labels, sizeof labels, "%s/finding_chexbert_labels.csv", root);
    ingest_options o = mimic_options(root, at("real"));
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.records, 360);
    ck_assert_int_eq(s.skipped_total, 0);
    ck_assert_int_eq(s.splits[SPLIT_TRAIN], 283);
    ck_assert_int_eq(s.splits[SPLIT_VALIDATE], 37);
    ck_assert_int_eq(s.splits[SPLIT_TEST], 40);
    dataset *set = open_shards(at("real"));
    compare_tables(set, split, labels);
    dataset_close(set);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("ingest_mimic");
    tcase_set_timeout(cases, 300);
    tcase_add_unchecked_fixture(cases, make, NULL);
    tcase_add_test(cases, reads_the_layout);
    tcase_add_test(cases, labels_by_study);
    tcase_add_test(cases, both_histories_of_the_parser);
    tcase_add_test(cases, what_is_missing_is_named);
    tcase_add_test(cases, real_radiographs);
    Suite *suite = suite_create("ingest_mimic");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
