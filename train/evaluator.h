// radialog evaluate's work: what was read, what was scored and by which protocol. The command
// (command_evaluate.c) shows it, evaluation_files.c and evaluation_page.c write it.
#pragma once
#include "eval/report_scores.h"
#include "eval/table.h"
#include "train/evaluation.h"

typedef struct run_scores {
    double *rows; // (count, REPORT_STATISTICS)
    interval score[REPORT_SCORES],
        difference[REPORT_SCORES]; // difference: the first run minus this one
    double p[REPORT_SCORES];
    int64_t distinct; // reports
    clinical_scores clinical;
} run_scores;

// One rule that scores were taken by. Files come with their size and CRC-32.
typedef struct protocol_line {
    const char *key, *name; // in JSON; for readers
    char text[1024];
} protocol_line;
enum { PROTOCOL_LINES = 16 + EVALUATION_RUNS };

typedef struct evaluator {
    const config *config;
    dataset *data;
    report_labeler labeler;
    bert_score *bert; // NULL: BERTScore is left out
    report_protocol how;
    evaluation e;
    run_scores run[EVALUATION_RUNS];
    protocol_line protocol[PROTOCOL_LINES];
    int lines;
} evaluator;

// All of it, from the command's arguments: reads, labels, scores. CONSTANT: with the commonest
// report. To be closed also after a failure. USAGE, IO, FORMAT, MEMORY, DEVICE, INTERRUPTED.
status evaluator_open(evaluator *v, const arguments *a, const char *shards, bool constant);
void evaluator_close(evaluator *v);

// The paper's columns, and what it reports on MIMIC-CXR's test split (REFERENCE 7.8) as fractions
// of one.
enum { PAPER_COLUMNS = 6, PAPER_ROWS = 2 };
extern const report_score paper_columns[PAPER_COLUMNS];
extern const double paper_scale[PAPER_COLUMNS]; // the paper writes percents, but for BERTScore
extern const struct paper_row {
    const char *name;
    double score[PAPER_COLUMNS];
} paper_rows[PAPER_ROWS];

// Tables that are filled: the paper's, all clinical scores and controls, how the first run differs
// from the others, the protocol.
void evaluation_paper(table *t, const evaluator *v);
void evaluation_scores(table *t, const evaluator *v);
void evaluation_differences(table *t, const evaluator *v);
void evaluation_protocol(table *t, const evaluator *v);
extern const char evaluation_paper_about[]; // a line on the first

// Writes FOLDER/scores.json (FOLDER is there), reports.jsonl, and the reports as RadEval and ReXrank take them.
status evaluation_files(const evaluator *v, const char *folder);
// Appends scores.json.
void evaluation_json(buffer *out, const evaluator *v);
// Writes FOLDER/report.html.
status evaluation_page(const evaluator *v, const char *folder);
