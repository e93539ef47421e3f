// Clinical scores of generated reports: what a labeler (CheXbert) finds in them against what it
// finds in the real ones (REFERENCE 7.6), as scikit-learn defines the scores, with zero_division =
// 0. Pure functions; called by the evaluate command. Scores of the labeler itself are those of
// eval/labeler.h.
#pragma once
#include "data/labels.h"
#include "eval/metrics.h"

// Which labels say that a finding is there. Blank and negative never do.
typedef enum clinical_mapping {
    CLINICAL_POSITIVE,  // positive alone: RaDialog's "CE"
    CLINICAL_UNCERTAIN, // uncertain too: F1-CheXbert of later papers
    CLINICAL_MAPPINGS
} clinical_mapping;
// "positive", "positive or uncertain": tables of results say which.
extern const char *const clinical_mapping_names[CLINICAL_MAPPINGS];

// Whether LABEL says so.
bool clinical_found(int8_t label, clinical_mapping mapping);

// The five findings that are scored apart: Cardiomegaly, Edema, Consolidation, Atelectasis, Pleural
// Effusion.
extern const bool clinical_five[CLASS_COUNT];

// What a report adds: the scores are functions of the sums over reports (eval/intervals.h). For
// each class 0 or 1 for support, prediction and match; then precision, recall and F1 of the report
// over 14 and over the five.
enum { CLINICAL_COUNTS = 3 * CLASS_COUNT, CLINICAL_STATISTICS = CLINICAL_COUNTS + 6 };

typedef struct clinical_averages {
    metric_average macro;    // mean over classes; "CE" is macro F1 over 14
    metric_average micro;    // of all labels pooled
    metric_average weighted; // mean weighted by support
    metric_average samples;  // mean over reports; one without label and prediction counts 0
} clinical_averages;

typedef struct clinical_class {
    int64_t support, predicted, matched; // reports
    metric_average score;
    double accuracy;
} clinical_class;

typedef struct clinical_scores {
    int64_t count;
    clinical_mapping mapping;
    clinical_class per_class[CLASS_COUNT]; // in the order of class_names
    clinical_averages all, five;
    double accuracy; // mean over 14 classes
} clinical_scores;

// OUT (COUNT, CLINICAL_STATISTICS) of PREDICTED, TRUTH (COUNT, CLASS_COUNT): LABEL_POSITIVE, ...
// FORMAT if one is none of the four.
status clinical_statistics(double *out, const int8_t *predicted, const int8_t *truth, int64_t count,
                           clinical_mapping mapping);
// SUM (CLINICAL_STATISTICS) over ROWS reports, at least one.
void clinical_measure(clinical_scores *out, const double *sum, int64_t rows,
                      clinical_mapping mapping);

// SCORE (COUNT): the cosine of each two rows of A and B (COUNT, WIDTH), CheXbert's [CLS] vectors of
// a report and its reference; their mean is the "CheXbert vector similarity". A vector of zeros has
// the cosine 0 with all. FORMAT if a number is not finite.
status clinical_similarity(double *score, const float *a, const float *b, int64_t count, int width);
