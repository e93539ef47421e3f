// Reports of a data set as rows of instruct data: the prompt for a report, and the report.
#pragma once
#include "data/instruct.h"
#include "data/prompts.h"
#include "data/report_records.h"

typedef enum findings_kind { FINDINGS_LABELS, FINDINGS_PREDICTIONS, FINDINGS_NONE } findings_kind;

// All borrowed.
typedef struct report_source {
    const dataset *set;
    const prompts *prompts;
    record_text section;
    int image_tokens;
    report_list list[SPLIT_COUNT]; // of a split that is not wanted: empty
    // What a split's prompts say of findings: its labels; what PREDICTED has; nothing, with the
    // prompt that has no place for them.
    findings_kind findings[SPLIT_COUNT];
    const predictions *predicted[SPLIT_COUNT];
    double unsaid; // of the training rows, the share that says nothing of findings all the same
    uint64_t seed; // of that choice
} report_source;

// What a conversation about RECORD of SPLIT begins with: appends the user's question. UNSAID: findings are
// not told. NOTHING: what is said where the labels have none.
// FORMAT with *SKIP: the file of predictions lacks the record.
status report_source_question(buffer *out, instruct_skip *skip, const report_source *s, int split,
                              int64_t record, bool unsaid, const char *nothing);
// Appends section KIND of RECORD as training data hold it. IO, MEMORY.
status report_source_text(buffer *out, const report_source *s, int64_t record, record_text kind);

// S is borrowed until its rows have been read.
instruct_source report_source_rows(const report_source *s);
