// Ingest of DICOM: the same pixels give the same records, whatever they are stored as; which report
// an image gets; what is passed over and why; and that nobody's name, number or UID is found in
// what is written.
#include "core/log.h"
#include "data/pseudonyms.h"
#include "tests/data/helper_dicom.h"
#include "tests/data/helper_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { RECORDS = 14, SIDE = 64 };

static ingest_options dicom_options(const char *root, const char *out) {
    ingest_options o = folder_options(root, out);
    o.source = INGEST_DICOM;
    o.intensity = DICOM_WINDOW;
    return o;
}

static dataset *open_shards(const char *name) {
    dataset *set;
    ck_assert_msg(dataset_open(&set, at("%s", name)) == STATUS_OK, "%s", status_text());
    return set;
}

static const char *key_id(const char *root, const char *kind, const char *id) {
    static char out[4][PSEUDONYM_SIZE];
    static int next;
    pseudonym_key key;
    ck_assert_int_eq(pseudonym_key_open(&key, at("%s/radialog-ids.key", root)), STATUS_OK);
    next = (next + 1) % 4;
    return pseudonym(out[next], &key, kind, id);
}

static void expect_text(const dataset *set, int64_t record, record_text kind, const char *want) {
    buffer text = {0};
    ck_assert_int_eq(dataset_text(&text, set, record, kind), STATUS_OK);
    ck_assert_str_eq(text.data, want);
    buffer_free(&text);
}

// The record of the file whose SOP instance UID is INSTANCE; -1: there is none.
static int64_t record_of(const dataset *set, const char *root, const char *instance) {
    return dataset_find(set, key_id(root, "image", instance));
}

static bool is_in(const char *path, const char *word) {
    buffer bytes = read_whole(path);
    bool found = memmem(bytes.data, bytes.length, word, strlen(word)) != NULL;
    buffer_free(&bytes);
    return found;
}

// A line of skipped.csv that holds all of these.
static void expect_skipped(const char *out, const char *a, const char *b) {
    buffer list = read_whole(at("%s/skipped.csv", out));
    bool found = false;
    for (char *line = strtok(list.data, "\r\n"); line; line = strtok(NULL, "\r\n"))
        found |= strstr(line, a) && strstr(line, b);
    ck_assert_msg(found, "no line with '%s' and '%s'", a, b);
    buffer_free(&list);
}

// --- the same records ----------------------------------------------------------------------------

// How the I-th picture is stored. All of them lossless.
static const struct {
    const char *compress;
    int stored; // bits; of 16, 4 of them below the picture's own, where that is more than 8
    bool implicit, inverted;
} ways[] = {{NULL, 8, false, false},
            {NULL, 12, false, false},
            {NULL, 8, true, false},
            {NULL, 8, false, true},
            {"rle", 8, false, false},
            {"jpeg-lossless", 8, false, false},
            {"jpeg-ls", 8, false, false},
            {"rle", 12, false, false},
            {"jpeg-lossless", 12, false, true},
            {"jpeg-ls", 12, false, false},
            {"big-endian", 12, false, false},
            {"deflated", 8, false, false},
            {NULL, 12, true, true},
            {"jpeg-lossless", 8, false, true}};

static void write_way(const char *path, dicom_source *s, const uint8_t *pixels, size_t way) {
    static uint16_t wide[SIDE * SIDE];
    static uint8_t narrow[SIDE * SIDE];
    int count = s->width * s->height;
    for (int i = 0; i < count; i++) {
        narrow[i] = (uint8_t)(ways[way].inverted ? 255 - pixels[i] : pixels[i]);
        wide[i] = (uint16_t)(ways[way].inverted ? 4095 - 16 * pixels[i] : 16 * pixels[i]);
    }
    s->stored = ways[way].stored;
    s->allocated = s->stored > 8 ? 16 : 8;
    s->samples = s->stored > 8 ? (const void *)wide : narrow;
    s->syntax = ways[way].implicit ? IMPLICIT_SYNTAX : NULL;
    s->photometric = ways[way].inverted ? "MONOCHROME1" : "MONOCHROME2";
    dicom_write(path, s);
    if (ways[way].compress)
        ck_assert_msg(!dicom_compress(path, ways[way].compress), "%s", ways[way].compress);
}

// Row I of source_write's table for the study that picture I became.
static void write_table(const char *path) {
    buffer table = {0};
    buffer_text(&table, "study,report");
    for (int c = 0; c < CLASS_COUNT; c++) buffer_print(&table, ",%s", class_names[c]);
    buffer_text(&table, "\n");
    for (int i = 0; i < RECORDS; i++) {
        buffer_print(&table,
                     "1.2.%d,\"INDICATION: test.\n\n%s: Text of %d.\n\nIMPRESSION: End %d.\"", i,
                     i % 7 == 6 ? "TECHNIQUE" : "FINDINGS", i, i);
        for (int c = 0; c < CLASS_COUNT; c++)
            buffer_text(&table, c == i % CLASS_COUNT ? ",1" : ",0");
        buffer_text(&table, "\n");
    }
    write_text(path, table.data);
    buffer_free(&table);
}

// The same table for the folder of PNG files, with the ids that the DICOM files get.
static void write_png_table(const char *name, const char *root) {
    buffer table = {0}, rows = read_whole(at("%s/data.csv", root));
    buffer_text(&table, "image,id,study,patient,view,report");
    for (int c = 0; c < CLASS_COUNT; c++) buffer_print(&table, ",%s", class_names[c]);
    const char *at_row = rows.data;
    for (int i = 0; i < RECORDS; i++) {
        char word[32], number[32];
        snprintf(word, sizeof word, "\n1.2.%d,", i);
        at_row = strstr(at_row, word) + strlen(word);
        const char *end = strstr(at_row, "\n1.2.");
        snprintf(number, sizeof number, "1.2.%d.1", i);
        snprintf(word, sizeof word, "1.2.%d", i);
        char patient[32];
        snprintf(patient, sizeof patient, "P%d", i / 2);
        buffer_print(&table, "\ni%d.png,%s,%s,%s,PA,%.*s", i, key_id(root, "image", number),
                     key_id(root, "study", word), key_id(root, "patient", patient),
                     (int)(end ? end - at_row : (long)strlen(at_row)), at_row);
    }
    write_text(at("%s", name), table.data);
    buffer_free(&table);
    buffer_free(&rows);
}

static void expect_same_records(const char *a, const char *b) {
    static uint8_t pixels[2][STORED_PIXELS];
    dataset *x = open_shards(a), *y = open_shards(b);
    pixel_reader *reader[2];
    ck_assert_int_eq(dataset_records(x), dataset_records(y));
    ck_assert_int_eq(pixel_reader_open(&reader[0], x), STATUS_OK);
    ck_assert_int_eq(pixel_reader_open(&reader[1], y), STATUS_OK);
    for (int64_t i = 0; i < dataset_records(x); i++) {
        int64_t k = dataset_find(y, dataset_id(x, i, ID_DICOM));
        ck_assert_int_ge(k, 0);
        ck_assert_int_eq(dataset_split_of(x, i), dataset_split_of(y, k));
        ck_assert_mem_eq(dataset_size(x, i), dataset_size(y, k), 2 * sizeof(int32_t));
        ck_assert_mem_eq(dataset_labels(x, i), dataset_labels(y, k), CLASS_COUNT);
        for (int id = 0; id < ID_COUNT; id++)
            ck_assert_str_eq(dataset_id(x, i, (record_id)id), dataset_id(y, k, (record_id)id));
        for (int t = 0; t < TEXT_COUNT; t++) {
            buffer text = {0};
            ck_assert_int_eq(dataset_text(&text, y, k, (record_text)t), STATUS_OK);
            expect_text(x, i, (record_text)t, text.data);
            buffer_free(&text);
        }
        ck_assert_int_eq(dataset_pixels(pixels[0], reader[0], i), STATUS_OK);
        ck_assert_int_eq(dataset_pixels(pixels[1], reader[1], k), STATUS_OK);
        ck_assert_msg(!memcmp(pixels[0], pixels[1], STORED_PIXELS), "pixels of record %lld",
                      (long long)i);
    }
    pixel_reader_close(reader[0]);
    pixel_reader_close(reader[1]);
    dataset_close(x);
    dataset_close(y);
}

static void make_source(void) {
    static uint8_t pixels[SIDE * SIDE];
    ck_assert_int_eq(folder_make(at("dicom/a/b")), STATUS_OK);
    for (int i = 0; i < RECORDS; i++) {
        char study[32], instance[32], patient[32];
        snprintf(study, sizeof study, "1.2.%d", i);
        snprintf(instance, sizeof instance, "1.2.%d.1", i);
        snprintf(patient, sizeof patient, "P%d", i / 2);
        dicom_source s = {.instance = instance,
                          .study = study,
                          .patient = patient,
                          .view = "PA",
                          .width = picture_width(i),
                          .height = picture_height(i)};
        picture(pixels, i, s.width, s.height);
        write_way(at("dicom/%sfile%d",
                     i % 3   ? "a/"
                     : i % 2 ? "a/b/"
                             : "",
                     i),
                  &s, pixels, (size_t)i);
    }
    write_table(at("dicom/data.csv"));
}

START_TEST(same_pixels_same_records) {
    ck_assert_uint_eq(sizeof ways / sizeof *ways, RECORDS);
    ingest_options o = dicom_options(at("dicom"), at("from-dicom"));
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.records, RECORDS - 2); // two reports have no findings
    ck_assert_int_eq(s.skipped_total, 2);
    source_write(at("png"), RECORDS);
    write_png_table("png/data.csv", "dicom");
    o = folder_options(at("png"), at("from-png"));
    expect_ingest(&o, STATUS_OK);
    expect_same_records("from-dicom", "from-png");
}
END_TEST

START_TEST(threads_and_a_stop_change_nothing) {
    ingest_options o = dicom_options(at("dicom"), at("one"));
    o.shard_records = 3;
    o.threads = 1;
    expect_ingest(&o, STATUS_OK);
    o.out = at("five");
    o.threads = 5;
    expect_ingest(&o, STATUS_OK);
    expect_same_folders(at("one"), at("five"));
    ck_assert_int_eq(remove(at("five/manifest.json")), 0);
    ck_assert_int_eq(remove(at("five/train-00001.h5")), 0);
    ck_assert_int_eq(expect_ingest(&o, STATUS_OK).shards_made, 1);
    expect_same_folders(at("one"), at("five"));
    // The recipe belongs to the plan.
    o.intensity = DICOM_MIMIC_CXR_JPG;
    expect_ingest(&o, STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "other inputs or"));
}
END_TEST

// --- ids -----------------------------------------------------------------------------------------

static uint8_t film[SIDE * SIDE];

static dicom_source a_film(const char *instance, const char *study) {
    for (int i = 0; i < SIDE * SIDE; i++) film[i] = (uint8_t)i;
    return (dicom_source){
        .instance = instance, .study = study, .width = SIDE, .height = SIDE, .samples = film};
}

static const char *const secrets[] = {"DOE",          "JANE",         "PID-77331", "ACC-5521",
                                      "1.2.840.99.1", "1.2.840.99.2", "jane"};

static void make_secret_source(void) {
    ck_assert_int_eq(folder_make(at("secret/DOE^JANE")), STATUS_OK);
    dicom_source s = a_film("1.2.840.99.1", "1.2.840.99.2");
    s.patient = "PID-77331", s.name = "DOE^JANE", s.accession = "ACC-5521";
    s.burned_in = "YES", s.view = "DOE JANE";
    dicom_write(at("secret/DOE^JANE/jane.dcm"), &s);
    write_text(at("secret/DOE^JANE/ACC-5521.txt"), "FINDINGS: Clear.\n");
    s.instance = "1.2.840.99.1.7", s.conversion = "WSD", s.sop_class = SECONDARY_CAPTURE;
    dicom_write(at("secret/DOE^JANE/jane2.dcm"), &s);
    // What cannot be used is not named either: no report, no image, no DICOM file, damaged.
    s.instance = "1.2.840.99.1.8", s.study = "1.2.840.99.2.2", s.accession = NULL;
    dicom_write(at("secret/DOE^JANE/jane3.dcm"), &s);
    write_text(at("secret/data.csv"), "study,report\n1.2.840.99.2.2,DOE^JANE/missing.txt\n");
    s.instance = "1.2.840.99.1.9", s.modality = "DOE JANE";
    dicom_write(at("secret/DOE^JANE/jane4.dcm"), &s);
    write_text(at("secret/DOE^JANE/jane5.dcm"), "DOE^JANE");
    buffer bytes = read_whole(at("secret/DOE^JANE/jane.dcm"));
    ck_assert_int_eq(file_write(at("secret/DOE^JANE/jane6.dcm"), bytes.data, 700), STATUS_OK);
    buffer_free(&bytes);
}

START_TEST(nobody_is_named) {
    make_secret_source();
    ck_assert_int_eq(log_open(at("secret.log")), STATUS_OK);
    ingest_options o = dicom_options(at("secret"), at("secret-out"));
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    log_open(NULL);
    ck_assert_int_eq(s.records, 2);
    ck_assert_int_eq(s.skipped_total, 4);
    names files;
    ck_assert_int_eq(folder_list(at("secret-out"), &files), STATUS_OK);
    for (size_t w = 0; w < sizeof secrets / sizeof *secrets; w++) {
        for (size_t i = 0; i < files.count; i++)
            ck_assert_msg(!is_in(at("secret-out/%s", files.name[i]), secrets[w]), "%s is in %s",
                          secrets[w], files.name[i]);
        ck_assert_msg(!is_in(at("secret.log"), secrets[w]), "%s is in the log", secrets[w]);
    }
    names_free(&files);
    // The owner's table has all of it.
    ck_assert(is_in(at("secret/radialog-ids.csv"), "DOE^JANE/jane6.dcm"));
    ck_assert(is_in(at("secret/radialog-ids.csv"), key_id("secret", "image", "1.2.840.99.1.8")));
    ck_assert(is_in(at("secret.log"), "warning: 3 images say that they have burned-in annotation"));
    ck_assert(is_in(at("secret.log"), "warning: 2 images are secondary captures"));
    expect_skipped("secret-out", key_id("secret", "image", "1.2.840.99.1.8"), "missing report");
    expect_skipped("secret-out", key_id("secret", "image", "1.2.840.99.1.9"),
                   "modality unknown, not CR or DX");
    expect_skipped("secret-out", key_id("secret", "file", "DOE^JANE/jane5.dcm"),
                   "not a DICOM file");
}
END_TEST

static void expect_mode(const char *path, mode_t mode) {
    struct stat info;
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, mode);
}

START_TEST(the_key_makes_the_ids) {
    pseudonym_key key, again;
    char x[PSEUDONYM_SIZE], y[PSEUDONYM_SIZE];
    ck_assert_int_eq(folder_make(at("keys")), STATUS_OK);
    ck_assert_int_eq(pseudonym_key_open(&key, at("keys/a.key")), STATUS_OK);
    expect_mode(at("keys/a.key"), 0600);
    ck_assert_int_eq(pseudonym_key_open(&again, at("keys/a.key")), STATUS_OK);
    ck_assert_mem_eq(&key, &again, sizeof key);
    ck_assert_str_eq(pseudonym(x, &key, "image", "1.2.3"), pseudonym(y, &again, "image", "1.2.3"));
    ck_assert_str_ne(x, pseudonym(y, &key, "study", "1.2.3"));
    ck_assert_str_ne(x, pseudonym(y, &key, "image", "1.2.4"));
    ck_assert_int_eq(pseudonym_key_open(&again, at("keys/b.key")), STATUS_OK);
    ck_assert_str_ne(x, pseudonym(y, &again, "image", "1.2.3"));
    // HMAC-SHA256 of "image", NUL, "1.2.3" with the key 00 01 ... 1f, by another program.
    write_text(at("keys/c.key"),
               "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\n");
    ck_assert_int_eq(pseudonym_key_open(&key, at("keys/c.key")), STATUS_OK);
    ck_assert_str_eq(pseudonym(x, &key, "image", "1.2.3"), "966263f02b69e2d1a40ab6721d7dfe69");
    static const char *const bad[] = {
        "", "0001", "zz", "00000000000000000000000000000000000000000000000000000000000000001\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(at("keys/bad.key"), bad[i]);
        ck_assert_int_eq(pseudonym_key_open(&key, at("keys/bad.key")), STATUS_FORMAT);
        ck_assert_ptr_nonnull(strstr(status_text(), "bad.key: no key"));
    }
    char longer[3000];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    pseudonym(x, &key, "file", longer);
    longer[sizeof longer - 2] = 'y';
    ck_assert_str_ne(x, pseudonym(y, &key, "file", longer));
}
END_TEST

// A key elsewhere, its table beside it; a root that nothing is written to.
START_TEST(a_key_elsewhere) {
    ck_assert_int_eq(folder_make(at("vault")), STATUS_OK);
    ingest_options o = dicom_options(at("secret"), at("vault-out"));
    o.key = at("vault/k");
    expect_ingest(&o, STATUS_OK);
    expect_mode(at("vault/k"), 0600);
    expect_mode(at("vault/k.csv"), 0600);
    o.key = at("nowhere/k");
    expect_ingest(&o, STATUS_IO);
    ck_assert_ptr_nonnull(strstr(status_text(), "nowhere/k"));
    // Another key is another plan.
    o.key = at("vault/other");
    expect_ingest(&o, STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "other inputs or"));
}
END_TEST

// --- reports -------------------------------------------------------------------------------------

static void write_film(const char *path, const char *instance, const char *study,
                       const char *accession) {
    dicom_source s = a_film(instance, study);
    s.accession = accession;
    dicom_write(path, &s);
}

static void expect_findings(const dataset *set, const char *root, const char *instance,
                            const char *want) {
    int64_t r = record_of(set, root, instance);
    ck_assert_msg(r >= 0, "no record of %s", instance);
    expect_text(set, r, TEXT_FINDINGS, want);
}

START_TEST(reports_are_found) {
    ck_assert_int_eq(folder_make(at("reports/sub")), STATUS_OK);
    write_film(at("reports/1.dcm"), "1.1", "2.1", "A1");
    write_film(at("reports/2.dcm"), "1.2", "2.2", "A2");
    write_film(at("reports/2b.dcm"), "1.2.2", "2.2", "A2"); // the study's other image
    write_film(at("reports/3.dcm"), "1.3", "2.3", "A3");
    write_film(at("reports/4.dcm"), "1.4", "2.4", "A4");
    write_film(at("reports/sub/5.dcm"), "1.5", "2.5", "A5");
    write_film(at("reports/6.dcm"), "1.6", "2.6", "A6");
    write_film(at("reports/7.dcm"), "1.7", "2.7", "A7");
    write_film(at("reports/8.dcm"), "1.8", "2.8", "A8");
    write_film(at("reports/9.dcm"), "1.9", "2.9", "A9");
    write_film(at("reports/sub/a.dcm"), "1.10", "2.10", "A10");
    write_text(at("reports/data.csv"),
               "study,image,report,findings\n"
               "2.1,,FINDINGS: By study.,\nA2,,FINDINGS: By accession.,\n"
               ",1.3,,By instance.\n,4.dcm,sub/text,\n,sub/5.dcm,sub/own.txt,\n"
               "2.8,,,\nnowhere,,FINDINGS: x.,\n,,FINDINGS: x.,\n"
               "2.9,,FINDINGS: x.,\n2.9,,FINDINGS: y.,\n");
    write_text(at("reports/sub/own.txt"), "FINDINGS: From a file.\n");
    write_text(at("reports/6.txt"), "FINDINGS: Beside it.\n");
    write_text(at("reports/sub/A7.txt"), "FINDINGS: By the file's name.\n");
    write_text(at("reports/sub/2.8.txt"), "FINDINGS: The row says nothing.\n");
    write_text(at("reports/A10.txt"), "FINDINGS: x.\n");
    write_text(at("reports/sub/A10.txt"), "FINDINGS: y.\n");
    ingest_options o = dicom_options(at("reports"), at("reports-out"));
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.records, 9);
    dataset *set = open_shards("reports-out");
    static const char *const want[][2] = {{"1.1", "By study."},
                                          {"1.2", "By accession."},
                                          {"1.2.2", "By accession."},
                                          {"1.3", "By instance."},
                                          {"1.4", "sub/text"},
                                          {"1.5", "From a file."},
                                          {"1.6", "Beside it."},
                                          {"1.7", "By the file's name."},
                                          {"1.8", "The row says nothing."}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        expect_findings(set, "reports", want[i][0], want[i][1]);
    dataset_close(set);
    expect_skipped("reports-out", "0,,missing image", "data.csv, line 8");
    expect_skipped("reports-out", "0,,bad row", "data.csv, line 9");
    expect_skipped("reports-out", key_id("reports", "image", "1.9"), "several rows");
    expect_skipped("reports-out", key_id("reports", "image", "1.10"), "several text files");
    ck_assert_int_eq(s.skipped_total, 5); // the second row of 2.9, too
}
END_TEST

START_TEST(structured_reports) {
    ck_assert_int_eq(folder_make(at("sr")), STATUS_OK);
    write_film(at("sr/a"), "1.1", "2.1", NULL);
    dicom_source r = {.sop_class = TEXT_REPORT,
                      .modality = "SR",
                      .instance = "9.1",
                      .study = "2.1",
                      .charset = "ISO_IR 100",
                      .content = {{"", "History", "Cough."},
                                  {"Findings", "Finding", "Heart normal."},
                                  {"Findings", "Finding", "Lungs clear, na\xefve."},
                                  {"Impressions", "Impression", "Normal."}}};
    dicom_write(at("sr/r"), &r);
    write_film(at("sr/b"), "1.2", "2.2", NULL);
    r.study = "2.2", r.charset = "ISO_IR 4711", r.instance = "9.2";
    dicom_write(at("sr/s"), &r);
    write_film(at("sr/c"), "1.3", "2.3", NULL);
    r.study = "2.3", r.charset = NULL, r.instance = "9.3";
    dicom_write(at("sr/t"), &r);
    r.instance = "9.4";
    dicom_write(at("sr/u"), &r);
    ingest_options o = dicom_options(at("sr"), at("sr-out"));
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.records, 1);
    ck_assert_int_eq(s.skipped[SKIP_BAD_REPORT], 2);
    dataset *set = open_shards("sr-out");
    expect_findings(set, "sr", "1.1", "Heart normal.\n Lungs clear, na\xc3\xafve.");
    expect_text(set, 0, TEXT_IMPRESSION, "Normal.");
    expect_text(set, 0, TEXT_HISTORY, "Cough.");
    dataset_close(set);
    expect_skipped("sr-out", key_id("sr", "image", "1.2"), "UTF-8");
    ck_assert(!is_in(at("sr-out/skipped.csv"), "4711")); // what the library says quotes it
    expect_skipped("sr-out", key_id("sr", "image", "1.3"), "several structured reports");
}
END_TEST

START_TEST(splits_and_labels_of_the_table) {
    ck_assert_int_eq(folder_make(at("given")), STATUS_OK);
    write_film(at("given/1.dcm"), "1.1", "2.1", NULL);
    write_film(at("given/2.dcm"), "1.2", "2.2", NULL);
    write_film(at("given/3.dcm"), "1.3", "2.3", NULL);
    buffer labels = {0};
    write_text(at("given/data.csv"),
               "study,findings,split\n2.1,One.,train\n2.2,Two.,test\n2.3,x,nowhere\n");
    ingest_options o = dicom_options(at("given"), at("given-out"));
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.splits[SPLIT_TRAIN], 1);
    ck_assert_int_eq(s.splits[SPLIT_TEST], 1);
    ck_assert_int_eq(s.skipped[SKIP_SPLIT], 1);
    ck_assert_int_eq(s.unlabelled, 2);
    // Labels by the ids that ingest gave.
    buffer_text(&labels, "dicom_id");
    for (int c = 0; c < CLASS_COUNT; c++) buffer_print(&labels, ",%s", class_names[c]);
    buffer_print(&labels, "\n%s", key_id("given", "image", "1.2"));
    for (int c = 0; c < CLASS_COUNT; c++) buffer_text(&labels, c == 3 ? ",1.0" : ",");
    buffer_text(&labels, "\n");
    write_text(at("given-labels.csv"), labels.data);
    buffer_free(&labels);
    o.labels = at("given-labels.csv");
    o.out = at("given-labelled");
    s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.unlabelled, 1);
    ck_assert_int_eq(s.positives[3], 1);
}
END_TEST

// --- what cannot be used -------------------------------------------------------------------------

START_TEST(unusable_files_are_listed) {
    static const struct {
        dicom_source s;
        const char *reason, *detail;
    } cases[] = {
        {{.syntax = "1.2.840.10008.1.2.4.90"},
         "unsupported compression",
         "JPEG 2000 (Lossless only) (1.2.840.10008.1.2.4.90)"},
        {{.syntax = "1.2.840.10008.1.2.4.91"},
         "unsupported compression",
         "(1.2.840.10008.1.2.4.91)"},
        {{.modality = "CT"}, "not a radiograph", "modality CT, not CR or DX"},
        {{.frames = "2"}, "bad image", "several frames"},
        {{.photometric = "RGB", .samples_per_pixel = 3}, "bad image", "neither MONOCHROME1 nor"},
        {{.samples_per_pixel = 3}, "bad image", "colour"},
        {{.stored = 9}, "bad image", "stored bits"},
        {{.stored = 8, .high = 6}, "bad image", "stored bits"},
        {{.allocated = 32}, "bad image", "neither 8 nor 16"},
        {{.center = "100", .span = "0"}, "bad image", "window has no width"},
    };
    enum { CASES = sizeof cases / sizeof *cases };
    ck_assert_int_eq(folder_make(at("bad")), STATUS_OK);
    static uint8_t many[SIDE * SIDE * 4];
    for (size_t i = 0; i < CASES; i++) {
        char instance[16];
        dicom_source s = cases[i].s;
        snprintf(instance, sizeof instance, "1.%zu", i);
        s.instance = s.study = instance;
        s.width = s.height = SIDE, s.samples = many;
        dicom_write(at("bad/%02zu.dcm", i), &s);
        write_text(at("bad/%02zu.txt", i), "FINDINGS: x.\n");
    }
    buffer whole = {0};
    dicom_source s = a_film("1.90", "1.90");
    dicom_bytes(&whole, &s);
    ck_assert_int_eq(file_write(at("bad/90.dcm"), whole.data, whole.length), STATUS_OK);
    ck_assert_int_eq(file_write(at("bad/91.dcm"), whole.data, whole.length - 100), STATUS_OK);
    ck_assert_int_eq(file_write(at("bad/92"), whole.data, 200), STATUS_OK);
    write_text(at("bad/93"), "not looked at");
    write_text(at("bad/90.txt"), "FINDINGS: The good one.\n");
    s.samples = NULL, s.instance = "1.94";
    dicom_write(at("bad/94.dcm"), &s);
    write_text(at("bad/94.txt"), "FINDINGS: x.\n");
    buffer_free(&whole);
    ingest_options o = dicom_options(at("bad"), at("bad-out"));
    ingest_summary sum = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(sum.records, 1);
    ck_assert_int_eq(sum.skipped_total, CASES + 3);
    for (size_t i = 0; i < CASES; i++) {
        char instance[16];
        snprintf(instance, sizeof instance, "1.%zu", i);
        expect_skipped("bad-out", key_id("bad", "image", instance), cases[i].reason);
        expect_skipped("bad-out", key_id("bad", "image", instance), cases[i].detail);
    }
    expect_skipped("bad-out", key_id("bad", "file", "91.dcm"), "not a whole DICOM file");
    expect_skipped("bad-out", key_id("bad", "image", "1.94"), "no pixels");
}
END_TEST

START_TEST(unusable_folders) {
    ck_assert_int_eq(folder_make(at("none")), STATUS_OK);
    write_text(at("none/a.txt"), "x");
    ingest_options o = dicom_options(at("none"), at("none-out"));
    expect_ingest(&o, STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "no DICOM file"));
    o = dicom_options(at("secret"), at("csv-out"));
    write_text(at("other.csv"), "picture,report\na,b\n");
    o.csv = at("other.csv");
    expect_ingest(&o, STATUS_FORMAT);
    ck_assert_msg(strstr(status_text(), "study"), "%s", status_text());
    write_text(at("other.csv"), "Study,report\na,b\n");
    expect_ingest(&o, STATUS_FORMAT);
    ck_assert_msg(strstr(status_text(), "must be written 'study'"), "%s", status_text());
}
END_TEST

START_TEST(views) {
    static const struct {
        const char *position, *meaning, *want;
    } cases[] = {{"PA", NULL, "PA"},
                 {"LL", "postero-anterior", "LL"},
                 {NULL, "antero-posterior", "AP"},
                 {NULL, "Lateral", "LATERAL"},
                 {NULL, "oblique", ""},
                 {"lower case", NULL, ""}};
    ck_assert_int_eq(folder_make(at("views")), STATUS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char instance[16];
        snprintf(instance, sizeof instance, "1.%zu", i);
        dicom_source s = a_film(instance, instance);
        s.view = cases[i].position, s.view_meaning = cases[i].meaning;
        dicom_write(at("views/%zu.dcm", i), &s);
        write_text(at("views/%zu.txt", i), "FINDINGS: x.\n");
    }
    ingest_options o = dicom_options(at("views"), at("views-out"));
    expect_ingest(&o, STATUS_OK);
    dataset *set = open_shards("views-out");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char instance[16];
        snprintf(instance, sizeof instance, "1.%zu", i);
        ck_assert_str_eq(dataset_id(set, record_of(set, "views", instance), ID_VIEW),
                         cases[i].want);
    }
    dataset_close(set);
}
END_TEST

START_TEST(without_memory) {
    ingest_options o = dicom_options(at("given"), at("no-memory"));
    o.threads = 1;
    int failed = 0;
    for (int64_t n = 1;; n += 1 + n / 20) {
        ingest_summary s;
        mem_fail_at(n);
        status rc = ingest_run(&s, &o);
        mem_fail_at(0);
        if (rc == STATUS_OK && s.shards_made == 0) break;
        if (rc == STATUS_OK) continue;
        ck_assert_msg(rc == STATUS_MEMORY, "allocation %lld: %s", (long long)n, status_text());
        failed++;
    }
    ck_assert_int_gt(failed, 20);
    o.out = at("with-memory");
    expect_ingest(&o, STATUS_OK);
    expect_same_folders(at("no-memory"), at("with-memory"));
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("ingest dicom");
    tcase_set_timeout(cases, 120);
    tcase_add_unchecked_fixture(cases, make_source, NULL);
    tcase_add_test(cases, same_pixels_same_records);
    tcase_add_test(cases, threads_and_a_stop_change_nothing);
    tcase_add_test(cases, nobody_is_named);
    tcase_add_test(cases, the_key_makes_the_ids);
    tcase_add_test(cases, a_key_elsewhere);
    tcase_add_test(cases, reports_are_found);
    tcase_add_test(cases, structured_reports);
    tcase_add_test(cases, splits_and_labels_of_the_table);
    tcase_add_test(cases, unusable_files_are_listed);
    tcase_add_test(cases, unusable_folders);
    tcase_add_test(cases, views);
    tcase_add_test(cases, without_memory);
    Suite *suite = suite_create("ingest dicom");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
