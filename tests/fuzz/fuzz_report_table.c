// Reports of outside files, for `radialog label`: tables, JSON lines, text. The first byte says
// which, and how it is asked; the reports that are read must come back from a table that is written
// from them.
#include "data/csv.h"
#include "data/report_table.h"
#include "tests/fuzz/helper_fuzz.h"

#include <string.h>

static void walk(const report_table *t) {
    int64_t count = report_table_count(t), line = 0;
    demand(count > 0 && *report_table_id_name(t));
    for (int64_t i = 0; i < count; i++) {
        const char *text = report_table_texts(t)[i], *id = report_table_ids(t)[i];
        demand(text_is_utf8(text, strlen(text)) && text_is_utf8(id, strlen(id)));
        demand(report_table_line(t, i) > line);
        line = report_table_line(t, i);
    }
}

// As a table with a header, and as one without.
static void read_back(const report_table *t, bool headerless) {
    const report_options o = {.column = headerless ? NULL : "text", .headerless = headerless};
    const char *const header[] = {"dicom_id", "text"};
    int64_t count = report_table_count(t);
    report_table *again;
    buffer b = {0};
    if (!headerless) csv_write_row(&b, header, 2);
    for (int64_t i = 0; i < count; i++) {
        const char *field[] = {report_table_ids(t)[i], report_table_texts(t)[i]};
        csv_write_row(&b, headerless ? field + 1 : field, headerless ? 1 : 2);
    }
    demand(!b.failed);
    // Without a header the first report may look like a byte order mark or a gzip file.
    if (!headerless || (b.data[0] != '\xef' && b.data[0] != '\x1f')) {
        demand(!report_table_open(&again, memory_folder_file("again.csv", b.data, b.length), &o));
        demand(report_table_count(again) == count);
        for (int64_t i = 0; i < count; i++) {
            const char *text = report_table_texts(t)[i];
            demand(!strcmp(report_table_texts(again)[i], text_is_missing(text) ? "" : text));
            if (!headerless) demand(!strcmp(report_table_ids(again)[i], report_table_ids(t)[i]));
        }
        report_table_close(again);
    }
    buffer_free(&b);
}

static void write_labels(const report_table *t, const input *in) {
    int64_t count = report_table_count(t);
    int8_t *labels;
    buffer b = {0};
    demand(!mem_new(&labels, count * CLASS_COUNT, "labels"));
    for (int64_t i = 0; i < count * CLASS_COUNT; i++)
        labels[i] = (int8_t)((in->size ? in->data[(size_t)i % in->size] : 0) % 4 - 2);
    demand(!label_table_print(&b, report_table_id_name(t), report_table_ids(t), labels, count));
    csv *c;
    bool more, bad;
    int8_t label;
    demand(!csv_open(&c, memory_file(0, b.data, b.length)));
    for (int64_t i = 0; i < count; i++) {
        demand(!csv_next(c, &more, &bad) && more && !bad);
        demand(!strcmp(csv_field(c, 0), report_table_ids(t)[i]));
        for (int k = 0; k < CLASS_COUNT; k++)
            demand(!label_parse(&label, csv_field(c, 1 + k)) &&
                   label == labels[i * CLASS_COUNT + k]);
    }
    csv_close(c);
    buffer_free(&b);
    mem_free(labels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const file[] = {"in.csv", "in.jsonl", "in.txt", "in.csv.gz"};
    input in = {data, size};
    uint8_t how = input_byte(&in);
    report_options o = {.column = how & 4 ? "text" : NULL, .headerless = how & 8};
    report_table *t;
    status rc = report_table_open(&t, memory_folder_file(file[how % 4], in.data, in.size), &o);
    if (rc)
        demand_failure(rc);
    else {
        walk(t);
        read_back(t, how & 16);
        write_labels(t, &in);
    }
    report_table_close(t);
    return 0;
}
