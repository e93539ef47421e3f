// Reports out of outside files: each format, which column and which id is taken, what is refused
// and with which words; tables of labels, and their way back through ingest.
#include "core/memory.h"
#include "data/image_codec.h"
#include "data/report_table.h"
#include "tests/data/helper_shard.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

typedef struct row {
    const char *id, *text;
    int line;
} row;

static void expect_table(const char *name, report_options o, const char *id_name, const row *want,
                         int count) {
    report_table *t;
    ck_assert_msg(report_table_open(&t, at("%s", name), &o) == STATUS_OK, "%s", status_text());
    ck_assert_int_eq(report_table_count(t), count);
    ck_assert_str_eq(report_table_id_name(t), id_name);
    for (int i = 0; i < count; i++) {
        ck_assert_str_eq(report_table_ids(t)[i], want[i].id);
        ck_assert_str_eq(report_table_texts(t)[i], want[i].text);
        ck_assert_int_eq(report_table_line(t, i), want[i].line);
    }
    report_table_close(t);
}

static void expect_refusal(const char *name, report_options o, status expected, const char *says) {
    report_table *t;
    expect_failed(report_table_open(&t, at("%s", name), &o), expected, name, says);
    ck_assert_ptr_null(t);
}

static void write_bytes(const char *name, const void *bytes, size_t size) {
    OK(file_write(at("%s", name), bytes, size));
}

static const report_options plain, headerless = {.headerless = true};

// --- tables -------------------------------------------------------------------------------------

START_TEST(tables) {
    static const row want[] = {
        {"d1", "Clear.\r\nNo \"effusion\".", 2}, {"d2", "", 4}, {"d3", "", 5}, {"d4", " x ", 6}};
    write_text(at("t.csv"), "study_id,findings,dicom_id\r\n"
                            "s1,\"Clear.\r\nNo \"\"effusion\"\".\",d1\r\n"
                            "s2,,d2\r\ns3,NaN,d3\r\ns4, x ,d4\r\n");
    expect_table("t.csv", plain, "dicom_id", want, 4);
    buffer b = read_whole(at("t.csv"));
    gzFile file = gzopen(at("t.CSV.gz"), "wb");
    ck_assert_int_eq(gzwrite(file, b.data, (unsigned)b.length), (int)b.length);
    ck_assert_int_eq(gzclose(file), Z_OK);
    buffer_free(&b);
    expect_table("t.CSV.gz", plain, "dicom_id", want, 4);
}
END_TEST

// The caller's column, or the first of the four; dicom_id, else study_id, else the row's number.
START_TEST(columns) {
    static const char *const column[] = {"text", "report", "Report Impression", "findings"};
    char header[128] = "study_id", fields[64] = "s9";
    for (int i = 0; i < 4; i++) {
        char value[2] = {(char)('a' + i), 0};
        snprintf(header + strlen(header), 32, ",%s", column[i]);
        snprintf(fields + strlen(fields), 8, ",%s", value);
        buffer b = {0};
        buffer_print(&b, "%s\n%s\n", header, fields);
        write_text(at("c.csv"), b.data);
        buffer_free(&b);
        expect_table("c.csv", plain, "study_id", &(row){"s9", value, 2}, 1);
        expect_table("c.csv", (report_options){.column = "text"}, "study_id", &(row){"s9", "a", 2},
                     1);
    }
    write_text(at("n.csv"), "x,text\n\n1,one\n\n2,two\n");
    expect_table("n.csv", plain, "row", (const row[]){{"1", "one", 3}, {"2", "two", 5}}, 2);
    expect_table("n.csv", (report_options){.column = "x"}, "row",
                 (const row[]){{"1", "1", 3}, {"2", "2", 5}}, 2);
}
END_TEST

// The first row is a report like the others, whatever its words.
START_TEST(without_header) {
    write_text(at("h.csv"), "\xef\xbb\xbf"
                            "text,1\n\"two,\nlines\",2\nnan,3\n");
    expect_table("h.csv", headerless, "row",
                 (const row[]){{"1", "text", 1}, {"2", "two,\nlines", 2}, {"3", "", 4}}, 3);
    write_text(at("h.csv"), "one");
    expect_table("h.csv", headerless, "row", &(row){"1", "one", 1}, 1);
    write_text(at("h.csv"), "findings\n");
    expect_table("h.csv", headerless, "row", &(row){"1", "findings", 1}, 1);
}
END_TEST

START_TEST(bad_tables) {
    static const struct {
        const char *text;
        report_options options;
        const char *says;
    } bad[] = {
        {"", {0}, "empty"},
        {"", {.headerless = true}, "empty"},
        {"text\n", {0}, "no report in it"},
        {"a,b\n1,2\n", {0}, "no column findings, Report Impression, report or text"},
        {"a,text\n1,2\n", {.column = "findings"}, "no column 'findings'; there are: a, text"},
        {"a,text\n1,2\n3\n", {0}, "line 3: 1 fields where 2 are expected"},
        {"a,text\n1,2,3\n", {0}, "line 2: 3 fields where 2"},
        {"one\ntwo, three\n", {.headerless = true}, "line 2: 2 fields where 1"},
        {"text\na\n\"b\n", {0}, "line 3: the quote is never closed"},
        {"text\na\nb\xe9\n", {0}, "line 3: the report is not UTF-8"},
        {"text,dicom_id\na,\xff\n", {0}, "line 2: the report is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(at("bad.csv"), bad[i].text);
        expect_refusal("bad.csv", bad[i].options, STATUS_FORMAT, bad[i].says);
    }
    write_bytes("bad.csv", "text\na\0b\n", 9);
    expect_refusal("bad.csv", plain, STATUS_FORMAT, "line 2: it holds a NUL byte");
    expect_refusal("missing.csv", plain, STATUS_IO, "cannot open");
}
END_TEST

// --- JSON lines ---------------------------------------------------------------------------------

START_TEST(json_lines) {
    write_text(at("j.jsonl"),
               "{\"dicom_id\": \"d1\", \"study_id\": 5, \"text\": \"a\\nb \\u00e9\"}\r\n"
               " \t\r\n\n"
               "{\"text\": null, \"dicom_id\": \"\"}\n"
               "{\"text\": \"NA\", \"dicom_id\": 12, \"findings\": \"no\"}");
    expect_table("j.jsonl", plain, "dicom_id",
                 (const row[]){{"d1", "a\nb \xc3\xa9", 1}, {"", "", 4}, {"12", "NA", 5}}, 3);
    write_text(at("j.jsonl"), "{\"study_id\": 50000001, \"text\": \"a\", \"report\": \"b\"}\n");
    expect_table("j.jsonl", plain, "study_id", &(row){"50000001", "b", 1}, 1);
    write_text(at("j.jsonl"), "{\"text\": \"a\", \"other\": \"b\"}\n\n{\"other\": \"\"}\n");
    expect_table("j.jsonl", (report_options){.column = "other"}, "row",
                 (const row[]){{"1", "b", 1}, {"2", "", 3}}, 2);
}
END_TEST

START_TEST(bad_json_lines) {
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "no report in it"},
        {"\n \n", "no report in it"},
        {"{\"text\": \"a\"}\n{\"text\": \"b\"", "jsonl:2: "},
        {"{\"text\": \"a\"}\n\n[\"b\"]\n", "jsonl:3: "},
        {"{\"texts\": \"a\"}\n", "jsonl:1: no key findings, Report Impression, report or text"},
        {"{\"text\": \"a\"}\n{\"report\": \"b\"}\n", "jsonl:2: "},
        {"{\"text\": 1}\n", "jsonl:1: \"text\""},
        {"{\"text\": \"a\", \"dicom_id\": 1}\n{\"text\": \"b\"}\n", "jsonl:2: "},
        {"{\"text\": \"a\", \"dicom_id\": 1.5}\n", "jsonl:1: \"dicom_id\""},
        {"{\"text\": \"a\", \"dicom_id\": null}\n", "jsonl:1: \"dicom_id\""},
        {"{\"text\": \"a\xff\"}\n", "jsonl:1: "},
        {"{\"text\": \"a\\u0000\"}\n", "jsonl:1: "},
        {"{\"text\": \"a\"} {\"text\": \"b\"}\n", "jsonl:1: "},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(at("bad.jsonl"), bad[i].text);
        expect_refusal("bad.jsonl", plain, STATUS_FORMAT, bad[i].says);
    }
    write_bytes("bad.jsonl", "\0\n", 2);
    expect_refusal("bad.jsonl", plain, STATUS_FORMAT, "jsonl:1: ");
}
END_TEST

// --- text files ---------------------------------------------------------------------------------

START_TEST(text_files) {
    write_text(at("r.txt"), "\xef\xbb\xbf"
                            "FINDINGS: \"a\",\n\nb\n");
    expect_table("r.txt", plain, "row", &(row){"1", "FINDINGS: \"a\",\n\nb\n", 1}, 1);
    write_text(at("r.TXT"), "");
    expect_table("r.TXT", plain, "row", &(row){"1", "", 1}, 1);
    write_text(at("r.txt"), "a\xc3(");
    expect_refusal("r.txt", plain, STATUS_FORMAT, "line 1: the report is not UTF-8");
    write_bytes("r.txt", "a\0b", 3);
    expect_refusal("r.txt", plain, STATUS_FORMAT, "NUL");
}
END_TEST

START_TEST(what_does_not_suit) {
    static const char *const file[] = {"x.json", "x", "csv", ".csv", "x.csv.txt.bak"};
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        write_text(at("%s", file[i]), "text\na\n");
        if (!strcmp(file[i], ".csv")) // under a folder, a file of that ending
            expect_table(file[i], plain, "row", &(row){"1", "a", 2}, 1);
        else
            expect_refusal(file[i], plain, STATUS_USAGE, ".jsonl");
    }
    write_text(at("u.txt"), "a");
    write_text(at("u.csv"), "text\na\n");
    expect_refusal("u.txt", (report_options){.column = "text"}, STATUS_USAGE, "no column 'text'");
    expect_refusal("u.txt", headerless, STATUS_USAGE, "only tables");
    expect_refusal("u.jsonl", headerless, STATUS_USAGE, "only tables");
    expect_refusal("u.csv", (report_options){.column = "text", .headerless = true}, STATUS_USAGE,
                   "without header");
}
END_TEST

START_TEST(failing_memory) {
    static const char *const file[] = {"m.csv", "m.jsonl", "m.txt"};
    write_text(at("m.csv"), "dicom_id,text\nd1,a\nd2,b\n");
    write_text(at("m.jsonl"),
               "{\"dicom_id\": 1, \"text\": \"a\"}\n{\"dicom_id\": 2, \"text\": \"b\"}\n");
    write_text(at("m.txt"), "a");
    for (int i = 0; i < 3; i++) {
        const char *path = at("%s", file[i]);
        int64_t n = 1;
        for (bool failed = true; failed; n++) {
            report_table *t;
            mem_fail_at(n);
            status rc = report_table_open(&t, path, &plain);
            failed = mem_has_failed();
            mem_fail_at(0);
            ck_assert_int_eq(rc, failed ? STATUS_MEMORY : STATUS_OK);
            ck_assert(!failed == (t != NULL));
            report_table_close(t);
        }
        ck_assert_int_gt(n, 5);
    }
}
END_TEST

// --- labels -------------------------------------------------------------------------------------

enum { LABELLED = 9 };
static int8_t labels[LABELLED * CLASS_COUNT];
static char id_space[LABELLED][16];
static const char *ids[LABELLED];

static void make_labels(void) {
    for (int i = 0; i < LABELLED; i++) {
        snprintf(id_space[i], sizeof id_space[i], "d%d", i);
        ids[i] = id_space[i];
        for (int c = 0; c < CLASS_COUNT; c++) labels[i * CLASS_COUNT + c] = label_of(i, c);
    }
}

START_TEST(tables_of_labels) {
    static const int8_t some[2 * CLASS_COUNT] = {LABEL_POSITIVE, LABEL_NEGATIVE, LABEL_UNCERTAIN,
                                                 LABEL_BLANK};
    static const char *const id[] = {"a,\"b\"", ""};
    buffer b = {0};
    OK(label_table_print(&b, "study_id", id, some, 2));
    ck_assert_str_eq(
        b.data,
        "study_id,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung "
        "Lesion,Edema,"
        "Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,"
        "Support Devices\r\n"
        "\"a,\"\"b\"\"\",1.0,0.0,-1.0,,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\r\n"
        ",0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\r\n");
    buffer_free(&b);
    mem_fail_at(1);
    ck_assert_int_eq(label_table_print(&b, "row", id, some, 2), STATUS_MEMORY);
    mem_fail_at(0);
}
END_TEST

// MIMIC's layout with nine images of nine studies.
static void make_root(void) {
    static uint8_t pixels[32 * 32];
    buffer table = {0};
    picture(pixels, 1, 32, 32);
    OK(folder_make(at("root/mimic-cxr-reports/files/p10/p10000001")));
    buffer_text(&table, "dicom_id,study_id,subject_id,split\n");
    for (int i = 0; i < LABELLED; i++) {
        const char *folder = at("root/mimic-cxr-jpg/2.0.0/files/p10/p10000001/s%d", 50 + i);
        OK(folder_make(folder));
        OK(image_write_jpeg(
            at("root/mimic-cxr-jpg/2.0.0/files/p10/p10000001/s%d/%s.jpg", 50 + i, ids[i]), pixels,
            32, 32, 90));
        write_text(at("root/mimic-cxr-reports/files/p10/p10000001/s%d.txt", 50 + i),
                   " FINAL REPORT\n FINDINGS:  Clear.\n");
        buffer_print(&table, "%s,%d,10000001,train\n", ids[i], 50 + i);
    }
    write_text(at("root/mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-split.csv"), table.data);
    buffer_free(&table);
}

// Every label at every class comes back from `ingest --labels`.
START_TEST(ingest_reads_them_back) {
    dataset *set;
    buffer table = {0};
    make_root();
    OK(label_table_print(&table, "dicom_id", ids, labels, LABELLED));
    write_text(at("labels.csv"), table.data);
    buffer_free(&table);
    ingest_options o = folder_options(at("root"), at("shards"));
    o.source = INGEST_MIMIC;
    o.labels = at("labels.csv");
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.records, LABELLED);
    ck_assert_int_eq(s.skipped_total, 0);
    ck_assert_int_eq(s.unlabelled, 0);
    OK(dataset_open(&set, at("shards")));
    for (int i = 0; i < LABELLED; i++) {
        int64_t record = dataset_find(set, ids[i]);
        ck_assert_int_ge(record, 0);
        ck_assert_mem_eq(dataset_labels(set, record), labels + i * CLASS_COUNT, CLASS_COUNT);
    }
    dataset_close(set);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("report_table");
    tcase_set_timeout(cases, 120);
    tcase_add_checked_fixture(cases, make_labels, NULL);
    tcase_add_test(cases, tables);
    tcase_add_test(cases, columns);
    tcase_add_test(cases, without_header);
    tcase_add_test(cases, bad_tables);
    tcase_add_test(cases, json_lines);
    tcase_add_test(cases, bad_json_lines);
    tcase_add_test(cases, text_files);
    tcase_add_test(cases, what_does_not_suit);
    tcase_add_test(cases, failing_memory);
    tcase_add_test(cases, tables_of_labels);
    tcase_add_test(cases, ingest_reads_them_back);
    Suite *suite = suite_create("report_table");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
