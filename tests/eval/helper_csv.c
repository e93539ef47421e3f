#include "tests/eval/helper_csv.h"

char *csv_text(const csv *c, const char *name) {
    char *out;
    int column;
    if (csv_require(&column, c, name) || mem_string(&out, csv_field(c, column)))
        die("%s", status_text());
    return out;
}
