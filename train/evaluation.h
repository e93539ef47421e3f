// What `radialog evaluate` compares: the reports of some records, and what one or several runs wrote in their
// places. The columns of scores are eval/'s business.
#pragma once
#include "data/report_table.h"
#include "eval/bert_score.h"
#include "train/report_labeler.h"

enum { EVALUATION_RUNS = 16 };

// One file of answers.
typedef struct evaluated_run {
    const char *name; // its path, borrowed
    char title[64];   // for people: the file's name, where that tells it from the others
    report_table *table; // NULL: it is the constant report
    const char **text; // (count), in the order of the evaluation's records
    int8_t *labels;    // (count, CLASS_COUNT): what a labeler reads in them
    double *similarity; // (count): of the labeler's vectors of answer and report
    double *bert;       // (count): BERTScore's F1; NULL: not asked for
} evaluated_run;

typedef struct evaluation {
    int64_t count;
    int64_t *record; // (count): of the shards, in the order of the first file
    buffer references;
    const char **reference; // (count)
    int8_t *truth;          // (count, CLASS_COUNT)
    int runs;
    evaluated_run run[EVALUATION_RUNS];
} evaluation;

// The answers in PATH (RUNS), JSON lines as `radialog generate` writes them or tables, to records of DATA
// whose section SECTION is the report. Each file must hold each record once, in any order. TRUTH is what
// DATA's labels say. To be closed also after a failure. USAGE, FORMAT (naming file and line), IO, MEMORY.
status evaluation_open(evaluation *e, const dataset *data, record_text section,
                       const char *const *path, int runs);
void evaluation_close(evaluation *e);
// One run more: the report that stands most often among the real ones, written for every record. USAGE (too many
// runs), MEMORY.
status evaluation_add_constant(evaluation *e);
// Labels of all answers, and how like the reports the labeler's vectors find them. READ_TRUTH: the reports' labels, too,
// are the labeler's instead of the shards'. INTERRUPTED after a signal.
status evaluation_label(evaluation *e, report_labeler *l, bool read_truth);
// BERTScore of all answers. INTERRUPTED after a signal.
status evaluation_bert(evaluation *e, bert_score *b);
// Leaves the stratified part (the original's --strat_eval): records with a finding, and as many of the others, the
// first by their number in the shards, as make one fourteenth. Before anything is labelled. FORMAT (nothing is left),
// MEMORY.
status evaluation_stratify(evaluation *e);
