// The tables that evaluate shows in a terminal and on its page.
#include "train/evaluator.h"

#include <math.h>
#include <stdio.h>

// --- the paper's --------------------------------------------------------------------------------
const char evaluation_paper_about[] =
    "The paper's columns, in its percents (BS as it is). Published: MIMIC-CXR's test "
    "split, comparable with nothing else.\n";

static void paper_cell(table *t, int column, const interval *x, bool with_interval) {
    char text[64];
    const double scale = paper_scale[column];
    const int decimals = scale > 1 ? 1 : 2;
    if (!isfinite(x->value))
        snprintf(text, sizeof text, "-");
    else if (with_interval)
        snprintf(text, sizeof text, "%.*f (%.*f to %.*f)", decimals, scale * x->value, decimals,
                 scale * x->low, decimals, scale * x->high);
    else
        snprintf(text, sizeof text, "%.*f", decimals, scale * x->value);
    table_text(t, text);
}

void evaluation_paper(table *t, const evaluator *v) {
    table_column(t, "reports of");
    for (int c = 0; c < PAPER_COLUMNS; c++) table_column(t, report_score_names[paper_columns[c]]);
    for (int r = 0; r < PAPER_ROWS; r++) {
        table_text(t, paper_rows[r].name);
        for (int c = 0; c < PAPER_COLUMNS; c++)
            paper_cell(t, c, &(interval){.value = paper_rows[r].score[c]}, false);
    }
    table_rule(t);
    for (int k = 0; k < v->e.runs; k++) {
        table_text(t, v->e.run[k].title);
        for (int c = 0; c < PAPER_COLUMNS; c++)
            paper_cell(t, c, &v->run[k].score[paper_columns[c]], !c);
    }
}

// --- the others ---------------------------------------------------------------------------------
// Clinical scores with their intervals; the others without: scores.json has all.
static const report_score with_interval[] = {SCORE_CE, SCORE_CE_MICRO, SCORE_CE_FIVE},
                          plain[] = {SCORE_CE_SAMPLES, SCORE_CE_WEIGHTED, SCORE_CE_PRECISION,
                                     SCORE_CE_RECALL,  SCORE_SIMILARITY,  SCORE_PRIORS},
                          compared[] = {SCORE_SIMILARITY, SCORE_BERT,    SCORE_BLEU_1, SCORE_BLEU_4,
                                        SCORE_METEOR,     SCORE_ROUGE_L, SCORE_PRIORS};
enum { WITH_INTERVAL = sizeof with_interval / sizeof *with_interval };
#define COUNT(list) ((int)(sizeof(list) / sizeof *(list)))

static void name_columns(table *t, const char *first, const report_score *others, int count) {
    table_column(t, first);
    for (int i = 0; i < WITH_INTERVAL; i++) table_column(t, report_score_names[with_interval[i]]);
    for (int i = 0; i < count; i++) table_column(t, report_score_names[others[i]]);
}

static void fill_row(table *t, const char *name, const interval score[REPORT_SCORES],
                     const char *format, const report_score *others, int count) {
    char text[64];
    table_text(t, name);
    for (int i = 0; i < WITH_INTERVAL; i++) {
        const interval *x = &score[with_interval[i]];
        snprintf(text, sizeof text, format, x->value, x->low, x->high);
        table_text(t, text);
    }
    for (int i = 0; i < count; i++) table_number(t, score[others[i]].value, 3);
}

void evaluation_scores(table *t, const evaluator *v) {
    name_columns(t, "reports of", plain, COUNT(plain));
    table_column(t, "different");
    for (int k = 0; k < v->e.runs; k++) {
        fill_row(t, v->e.run[k].title, v->run[k].score, "%.3f (%.3f to %.3f)", plain, COUNT(plain));
        table_number(t, (double)v->run[k].distinct / (double)v->e.count, 2);
    }
}

void evaluation_differences(table *t, const evaluator *v) {
    name_columns(t, "better than", compared, COUNT(compared));
    table_column(t, "p of CE");
    for (int k = 1; k < v->e.runs; k++) {
        fill_row(t, v->e.run[k].title, v->run[k].difference, "%+.3f (%+.3f to %+.3f)", compared,
                 COUNT(compared));
        table_number(t, v->run[k].p[SCORE_CE], 4);
    }
}

void evaluation_protocol(table *t, const evaluator *v) {
    table_column(t, "protocol");
    table_column(t, "");
    for (int i = 0; i < v->lines; i++) {
        table_text(t, v->protocol[i].name);
        table_text(t, v->protocol[i].text);
    }
}
