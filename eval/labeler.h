// Scores of a report labeler: 14 observations, each blank, positive, negative or uncertain. Pure
// functions on host arrays, as scikit-learn defines them. Called by the labeler's validation and by
// the label command. Scores of images' findings are those of eval/metrics.h.
#pragma once
#include "data/labels.h"
#include "eval/table.h"

// What is looked for in an observation. MENTION: anything but blank.
typedef enum labeler_task {
    LABELER_POSITIVE,
    LABELER_NEGATIVE,
    LABELER_UNCERTAIN,
    LABELER_MENTION,
    LABELER_TASKS
} labeler_task;

enum { LABELER_KINDS = 4 }; // blank, positive, negative, uncertain: the order of a head's outputs

// Counted over any number of batches. Start with zeros.
typedef struct labeler_counts {
    int64_t rows, exact; // exact: all labels of the row are right
    int64_t cell[CLASS_COUNT][LABELER_KINDS][LABELER_KINDS]; // by truth, by prediction
} labeler_counts;

typedef struct labeler_head {
    int64_t support[LABELER_TASKS]; // rows whose truth has it
    double f1[LABELER_TASKS];       // NaN where neither truth nor prediction ever has it
    double accuracy;                // of all four kinds
    double kappa;                   // Cohen's; NaN where chance alone agrees always
} labeler_head;

typedef struct labeler_metrics {
    int64_t count;
    labeler_head head[CLASS_COUNT];  // in the order of class_names
    double mean_f1[LABELER_TASKS];   // over the heads where it is defined; NaN if there are none
    double pooled_f1[LABELER_TASKS]; // of all heads' labels as one; NaN where undefined
    double accuracy;                 // of all labels
    double exact_match;              // of rows
    double kappa;                    // mean over heads where it is defined
} labeler_metrics;

// PREDICTIONS, TRUTHS (COUNT, CLASS_COUNT): LABEL_POSITIVE, ... FORMAT if one is none of the four;
// then nothing was counted.
status labeler_add(labeler_counts *c, const int8_t *predictions, const int8_t *truths,
                   int64_t count);
// FORMAT if there are no rows.
status labeler_measure(labeler_metrics *out, const labeler_counts *c);

// Appends a table: a line per observation, then the averages.
status labeler_table(buffer *out, const labeler_metrics *m, table_style style);
// Appends a JSON object.
void labeler_json(buffer *out, const labeler_metrics *m);
