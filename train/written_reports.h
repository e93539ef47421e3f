// Reports that a model wrote, as JSON lines of `radialog generate` or tables, held against the
// records' labels: what a labeler finds in them. For commands that begin with them (answer, ask).
#pragma once
#include "core/config.h"
#include "data/corrections.h"

// The reports in PATH into OUT, which is open, as the labeler at CHECKPOINT reads them, on the
// device WHERE. USAGE, IO, FORMAT, MEMORY, DEVICE.
status written_reports_correct(corrections *out, const char *path, const char *checkpoint,
                               const char *where);

// The report on each of the records ID (COUNT), in the file PATH: TEXT (COUNT) are borrowed from
// *TABLE, which the caller closes. FORMAT: a record's is missing.
typedef struct report_table report_table;
status written_reports_open(report_table **table, const char **text, const char *path,
                            const char *const *id, int64_t count);
