// CSV files, plain and gzip: every row of what opens can be read, and what is written from a row's fields
// reads back as the same fields.
#include "data/csv.h"
#include "tests/fuzz/helper_fuzz.h"

#include <string.h>

enum { COLUMNS = 256 };

// Writes the header and a row again and reads them.
static void read_back(const csv *c) {
    const char *field[COLUMNS], *name[COLUMNS];
    int count = csv_columns(c);
    bool more, bad;
    csv *again;
    buffer text = {0};
    if (count > COLUMNS) return;
    for (int i = 0; i < count; i++) {
        field[i] = csv_field(c, i);
        name[i] = csv_name(c, i);
    }
    csv_write_row(&text, name, count);
    csv_write_row(&text, field, count);
    demand(!text.failed);
    // A name in front that looks like a byte order mark or a gzip header would be taken as one.
    bool plain = text.data[0] != '\xef' && text.data[0] != '\x1f';
    if (plain) {
        demand(!csv_open(&again, memory_file(1, text.data, text.length)));
        demand(!csv_next(again, &more, &bad) && more && !bad && csv_columns(again) == count);
        for (int i = 0; i < count; i++) demand(!strcmp(csv_field(again, i), field[i]));
        demand(!csv_next(again, &more, &bad) && !more);
        csv_close(again);
    }
    buffer_free(&text);
}

static status read_rows(csv *c) {
    bool more = true, bad, checked = false;
    int64_t line = 0;
    while (more) {
        status rc = csv_next(c, &more, &bad);
        if (rc) return rc;
        if (!more) break;
        demand(csv_line(c) > line);
        line = csv_line(c);
        if (bad) demand(*csv_reason(c));
        for (int i = 0; i < csv_columns(c); i++) touch_text(csv_field(c, i));
        if (!bad && !checked) read_back(c);
        checked |= !bad;
    }
    return STATUS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    csv *c;
    int column;
    status rc = csv_open(&c, memory_file(0, data, size));
    if (!rc) {
        for (int i = 0; i < csv_columns(c); i++) demand(csv_column(c, csv_name(c, i)) >= 0);
        if (csv_require(&column, c, "no such column")) demand_failure(STATUS_FORMAT);
        rc = read_rows(c);
    }
    if (rc) demand_failure(rc);
    csv_close(c);
    return 0;
}
