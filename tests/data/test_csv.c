// CSV: quoting, line ends, bad rows that are passed over, files that cannot be read on, gzip,
// writing.
#include "core/files/fs.h"
#include "data/csv.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static char folder[] = "/tmp/test_csv.XXXXXX";
static char path[PATH_SIZE];

static void place(const char *name, const void *bytes, size_t count) {
    ck_assert_int_eq(path_join(path, sizeof path, folder, name), STATUS_OK);
    ck_assert_int_eq(file_write(path, bytes, count), STATUS_OK);
}

static void place_gzip(const char *name, const char *bytes, size_t count) {
    ck_assert_int_eq(path_join(path, sizeof path, folder, name), STATUS_OK);
    gzFile file = gzopen(path, "wb");
    ck_assert_int_eq(gzwrite(file, bytes, (unsigned)count), (int)count);
    ck_assert_int_eq(gzclose(file), Z_OK);
}

// The whole file in one line: fields end in '|', rows in ';', a bad row is "BAD(line)".
static status show(buffer *out) {
    csv *c;
    status rc = csv_open(&c, path);
    if (rc) return rc;
    for (int i = 0; i < csv_columns(c); i++) buffer_print(out, "%s|", csv_name(c, i));
    buffer_text(out, ";");
    bool more = true, bad;
    while (!(rc = csv_next(c, &more, &bad)) && more) {
        if (bad)
            buffer_print(out, "BAD(%lld)", (long long)csv_line(c));
        else
            for (int i = 0; i < csv_columns(c); i++) buffer_print(out, "%s|", csv_field(c, i));
        buffer_text(out, ";");
    }
    csv_close(c);
    return rc ? rc : out->failed;
}

typedef struct reading {
    const char *text;
    size_t count; // 0: strlen
    const char *want;
} reading;

static const reading readings[] = {
    {"a,b\n1,2\n", 0, "a|b|;1|2|;"},
    {"a,b\r\n1,2\r\n3,4", 0, "a|b|;1|2|;3|4|;"},
    {"a,b\r1,2\r3,4\r", 0, "a|b|;1|2|;3|4|;"},
    {"\xef\xbb\xbf"
     "a,b\n1,2\n",
     0, "a|b|;1|2|;"},
    {"\xef\xbb\xbf\"a\",b\n1,2\n", 0, "a|b|;1|2|;"},
    {"a,b\n\"1,2\",\"3\"\n", 0, "a|b|;1,2|3|;"},
    {"a,b\n\"say \"\"x\"\"\",\"\"\n", 0, "a|b|;say \"x\"||;"},
    {"a,b\n\"1\n2\r\n3\r4\",5\n6,7\n", 0, "a|b|;1\n2\r\n3\r4|5|;6|7|;"},
    {"a,b\n,\n\n\r\n1,\n", 0, "a|b|;||;1||;"},
    {"a\n\"\"\n\nx\n", 0, "a|;|;x|;"},
    {"a,b\n5' 10\",x\"y\n", 0, "a|b|;5' 10\"|x\"y|;"},
    {"a,b\n 1 , 2 \n", 0, "a|b|; 1 | 2 |;"},
    {"a,b\n\xc3\xa4,\xff\n", 0, "a|b|;\xc3\xa4|\xff|;"},
    {"\n\na,b\n", 0, "a|b|;"},
    {"a,b", 0, "a|b|;"},
    {"a,b\n1\n2,3\n4,5,6\n7,8\n", 0, "a|b|;BAD(2);2|3|;BAD(4);7|8|;"},
    {"a,b\n\"1\"x,2\n3,4\n", 0, "a|b|;BAD(2);3|4|;"},
    {"a,b\n\"1\n\n\",\"2\"x\n3,4\n5\n", 0, "a|b|;BAD(2);3|4|;BAD(6);"},
    {"a,b\n1,\0002\n3,4\n", 13, "a|b|;BAD(2);3|4|;"},
    {"a,b\n\"1\0\",2\n3,4\n", 15, "a|b|;BAD(2);3|4|;"},
};

START_TEST(reads) {
    for (size_t i = 0; i < sizeof readings / sizeof *readings; i++) {
        const reading *r = &readings[i];
        size_t count = r->count ? r->count : strlen(r->text);
        for (int zipped = 0; zipped < 2; zipped++) {
            buffer out = {0};
            if (zipped)
                place_gzip("t.csv.gz", r->text, count);
            else
                place("t.csv", r->text, count);
            ck_assert_msg(show(&out) == STATUS_OK, "case %zu: %s", i, status_text());
            ck_assert_str_eq(out.data, r->want);
            buffer_free(&out);
        }
    }
}
END_TEST

START_TEST(columns) {
    const char *text = "dicom_id,study_id,split,split\nd,s,train,x\n";
    place("split.csv", text, strlen(text));
    csv *c;
    int column;
    bool more, bad;
    ck_assert_int_eq(csv_open(&c, path), STATUS_OK);
    ck_assert_int_eq(csv_column(c, "split"), 2);
    ck_assert_int_eq(csv_column(c, "Split"), -1);
    ck_assert_int_eq(csv_require(&column, c, "study_id"), STATUS_OK);
    ck_assert_int_eq(column, 1);
    ck_assert_int_eq(csv_require(&column, c, "subject_id"), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "split.csv"));
    ck_assert_ptr_nonnull(strstr(status_text(), "'subject_id'"));
    ck_assert_ptr_nonnull(strstr(status_text(), "dicom_id, study_id, split"));
    ck_assert_int_eq(csv_next(c, &more, &bad), STATUS_OK);
    ck_assert(more && !bad);
    ck_assert_str_eq(csv_field(c, column = csv_column(c, "split")), "train");
    ck_assert_int_eq(csv_line(c), 2);
    ck_assert_int_eq(csv_row(c), 1);
    ck_assert_int_eq(csv_next(c, &more, &bad), STATUS_OK);
    ck_assert(!more && !bad);
    ck_assert_int_eq(csv_next(c, &more, &bad), STATUS_OK); // the end stays the end
    ck_assert(!more);
    csv_close(c);
}
END_TEST

START_TEST(many_columns_are_listed_in_part) {
    buffer text = {0};
    for (int i = 0; i < 300; i++) buffer_print(&text, "column_number_%d,", i);
    buffer_text(&text, "last\n");
    place("wide.csv", text.data, text.length);
    csv *c;
    int column;
    ck_assert_int_eq(csv_open(&c, path), STATUS_OK);
    ck_assert_int_eq(csv_require(&column, c, "x"), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "column_number_7, "));
    ck_assert_str_eq(status_text() + strlen(status_text()) - 3, "...");
    csv_close(c);
    buffer_free(&text);
}
END_TEST

START_TEST(reasons) {
    static const struct {
        const char *row, *why;
        size_t count;
    } cases[] = {{"1,2,3\n", "3 fields where 2", 6},
                 {"\"1\"2,3\n", "closing quote", 7},
                 {"\0,2\n", "NUL", 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer text = {0};
        buffer_text(&text, "a,b\n\n");
        buffer_append(&text, cases[i].row, cases[i].count);
        place("why.csv", text.data, text.length);
        csv *c;
        bool more, bad;
        ck_assert_int_eq(csv_open(&c, path), STATUS_OK);
        ck_assert_int_eq(csv_next(c, &more, &bad), STATUS_OK);
        ck_assert(more && bad);
        ck_assert_ptr_nonnull(strstr(csv_reason(c), "why.csv, line 3: "));
        ck_assert_ptr_nonnull(strstr(csv_reason(c), cases[i].why));
        csv_close(c);
        buffer_free(&text);
    }
}
END_TEST

static void refused(status want, const char *why) {
    buffer out = {0};
    status rc = show(&out);
    ck_assert_msg(rc == want, "%s: %s", why, status_name(rc));
    ck_assert_msg(strstr(status_text(), why) != NULL, "'%s' lacks '%s'", status_text(), why);
    buffer_free(&out);
}

START_TEST(cannot_go_on) {
    place("t.csv", "", 0);
    refused(STATUS_FORMAT, "empty");
    place("t.csv", "\n\r\n", 3);
    refused(STATUS_FORMAT, "empty");
    place("t.csv", "a,b\n1,2\n3,\"4\n5,6\n", 17);
    refused(STATUS_FORMAT, "line 3: the quote is never closed");
    place("t.csv", "a,\"b", 4);
    refused(STATUS_FORMAT, "never closed");
    place("t.csv", "a,b\0\n1,2\n", 10);
    refused(STATUS_FORMAT, "header");
    snprintf(path, sizeof path, "%s/missing.csv", folder);
    refused(STATUS_IO, "missing.csv");
    snprintf(path, sizeof path, "%s", folder);
    refused(STATUS_IO, folder);
}
END_TEST

static buffer long_text(const char *head, size_t count, char fill) {
    buffer text = {0};
    char block[4096];
    memset(block, fill, sizeof block);
    buffer_text(&text, head);
    for (size_t i = 0; i < count; i += sizeof block) buffer_append(&text, block, sizeof block);
    buffer_text(&text, "\"\n");
    return text;
}

START_TEST(too_long) {
    buffer text = long_text("a\n\"", 17 << 20, 'x');
    place("t.csv", text.data, text.length);
    refused(STATUS_FORMAT, "line 2: a field or row is too long");
    buffer_free(&text);
    text = long_text("a\n\"", 15 << 20, 'x');
    place("t.csv", text.data, text.length);
    buffer out = {0};
    ck_assert_int_eq(show(&out), STATUS_OK);
    ck_assert_uint_eq(out.length, (15 << 20) + 5);
    buffer_free(&out);
    buffer_free(&text);
    text = long_text("a\n", 1 << 17, ',');
    place("t.csv", text.data, text.length);
    refused(STATUS_FORMAT, "line 2: more than 65536 fields");
    buffer_free(&text);
}
END_TEST

// A compressed file cut anywhere, or damaged in its data, never reads as a shorter table.
START_TEST(damaged_gzip) {
    buffer text = {0}, zipped = {0}, out = {0};
    buffer_text(&text, "id,value\n");
    for (unsigned i = 0; i < 9000; i++) buffer_print(&text, "%u,%x\n", i, i * 2654435761u);
    place_gzip("t.csv.gz", text.data, text.length);
    ck_assert_int_eq(file_read(path, 0, &zipped), STATUS_OK);
    for (size_t cut = 2; cut < zipped.length; cut += cut < 40 ? 1 : 4999) {
        place("cut.csv.gz", zipped.data, cut);
        out.length = 0;
        ck_assert_msg(show(&out) == STATUS_FORMAT, "cut at %zu", cut);
    }
    place("cut.csv.gz", zipped.data, zipped.length - 3);
    refused(STATUS_FORMAT, "ends too early");
    zipped.data[zipped.length - 6] ^= 1; // the checksum
    place("cut.csv.gz", zipped.data, zipped.length);
    refused(STATUS_FORMAT, "damaged");
    buffer_free(&text);
    buffer_free(&zipped);
    buffer_free(&out);
}
END_TEST

// Rows and quotes that lie across the reader's blocks.
START_TEST(across_blocks) {
    for (int shift = 0; shift < 6; shift++) {
        buffer text = {0}, want = {0}, out = {0};
        buffer_text(&text, "a,b\r\n");
        buffer_text(&want, "a|b|;");
        for (int i = 0; i < 30000; i++) {
            buffer_print(&text, "%.*s%d,\"\"\"q\r\n\"\r\n", i ? 0 : shift, "xxxxxx", i);
            buffer_print(&want, "%.*s%d|\"q\r\n|;", i ? 0 : shift, "xxxxxx", i);
        }
        place("t.csv", text.data, text.length);
        ck_assert_int_eq(show(&out), STATUS_OK);
        ck_assert_uint_eq(out.length, want.length);
        ck_assert_mem_eq(out.data, want.data, want.length);
        buffer_free(&text), buffer_free(&want), buffer_free(&out);
    }
}
END_TEST

START_TEST(without_memory) {
    buffer text = {0};
    buffer_text(&text, "a,b,c\n");
    for (int i = 0; i < 40; i++) buffer_print(&text, "%d,\"%0*d\",x\n", i, i * i, i);
    place("t.csv", text.data, text.length);
    int64_t n = 1;
    for (;; n++) {
        csv *c;
        bool more = true, bad;
        mem_fail_at(n);
        status rc = csv_open(&c, path);
        while (!rc && more) rc = csv_next(c, &more, &bad);
        mem_fail_at(0);
        csv_close(c);
        if (!rc) break;
        ck_assert_int_eq(rc, STATUS_MEMORY);
    }
    ck_assert_int_gt(n, 6);
    buffer_free(&text);
}
END_TEST

START_TEST(writes) {
    static const char *const fields[] = {"plain",      "",   "a,b", "say \"x\"",
                                         "two\nlines", "\r", " b ", "\""};
    enum { COUNT = sizeof fields / sizeof *fields };
    buffer out = {0};
    csv_write_row(&out, fields, COUNT);
    ck_assert_str_eq(out.data,
                     "plain,,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\"\r\", b ,\"\"\"\"\r\n");
    csv_write_row(&out, fields, COUNT);
    place("w.csv", out.data, out.length); // the first row serves as the header
    csv *c;
    bool more, bad;
    ck_assert_int_eq(csv_open(&c, path), STATUS_OK);
    ck_assert_int_eq(csv_next(c, &more, &bad), STATUS_OK);
    ck_assert(more && !bad);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_str_eq(csv_name(c, i), fields[i]);
        ck_assert_str_eq(csv_field(c, i), fields[i]);
    }
    csv_close(c);
    out.length = 0;
    csv_write_row(&out, &fields[1], 1);
    ck_assert_str_eq(out.data, "\"\"\r\n");
    buffer_free(&out);
}
END_TEST

int main(void) {
    if (!mkdtemp(folder)) return 1;
    TCase *cases = tcase_create("csv");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, reads);
    tcase_add_test(cases, columns);
    tcase_add_test(cases, many_columns_are_listed_in_part);
    tcase_add_test(cases, reasons);
    tcase_add_test(cases, cannot_go_on);
    tcase_add_test(cases, too_long);
    tcase_add_test(cases, damaged_gzip);
    tcase_add_test(cases, across_blocks);
    tcase_add_test(cases, without_memory);
    tcase_add_test(cases, writes);
    Suite *suite = suite_create("csv");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    path_remove(folder);
    return failed > 0;
}
