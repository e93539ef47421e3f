// Metrics of multi-label classification: pure functions on host arrays, as scikit-learn defines
// them (zero_division = 0). They know no model and no device. Called by the classifier's validation;
// averages are those of eval/clinical.h as well.
//
// A label is predicted where its logit is > 0, that is where sigmoid(logit) > 0.5. Ranking metrics
// are the same for logits and scores; for scores in [0, 1] subtract the threshold first.
#pragma once
#include "core/memory.h"
#include <stdbool.h>

enum { METRICS_MAX_CLASSES = 64 };

typedef struct class_metrics {
    bool counted;                        // false: masked out, all else is 0
    int64_t support, predicted, matched; // rows with the label, with its prediction, with both
    double precision, recall, f1;        // 0 where their denominator is
    double accuracy;
    double auc;               // under the ROC curve, ties count half; NaN if one kind of row only
    double average_precision; // sum of (R_n - R_{n-1}) P_n by distinct score; NaN if no positives
} class_metrics;

typedef struct metric_average {
    double precision, recall, f1;
} metric_average;

// Of MATCHED true positives among PREDICTED and SUPPORT positives; 0 where a denominator is.
metric_average metric_average_of(int64_t matched, int64_t predicted, int64_t support);
void metric_average_add(metric_average *sum, metric_average x, double weight);
void metric_average_divide(metric_average *sum, double count);

typedef struct classify_metrics {
    int64_t count;
    int classes; // size of `per_class` in use
    int counted; // classes the mask leaves
    int present; // of these, with support
    class_metrics per_class[METRICS_MAX_CLASSES];
    metric_average macro;         // mean over counted classes
    metric_average macro_present; // mean over classes with support; 0 if there are none
    metric_average micro;         // of all labels pooled
    metric_average weighted;      // mean weighted by support; 0 without any
    metric_average samples;       // mean over rows
    double accuracy;              // of all labels pooled
    double exact_match;           // rows whose labels are all right
    double auc;                   // mean over classes where it is defined; NaN if there are none
    double average_precision;     // likewise
} classify_metrics;

// LOGITS, TARGETS (COUNT, CLASSES); CLASS_MASK (CLASSES), true for classes to count, NULL: all.
// FORMAT if there are no rows or no classes, a counted logit is NaN, or a counted target is neither
// 0 nor 1; MEMORY. Infinite logits are valid scores.
status metrics_classify(classify_metrics *out, const float *logits, const uint8_t *targets,
                        const bool *class_mask, int64_t count, int classes);

// Macro F1 over all CLASSES of one batch; a class without support and predictions counts as 0.
// COUNT and CLASSES > 0. A NaN logit predicts nothing.
double metrics_batch_f1(const float *logits, const uint8_t *targets, int64_t count, int classes);

// A mean over batches weighted by their sizes: the reference's val_f1 is that of metrics_batch_f1.
typedef struct metric_mean {
    double sum;
    int64_t weight;
} metric_mean;

void metric_mean_add(metric_mean *m, double value, int64_t weight);
double metric_mean_value(const metric_mean *m); // NaN if nothing was added
