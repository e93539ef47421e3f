// Multi-label metrics as scikit-learn defines them: precision_recall_fscore_support,
// accuracy_score, roc_auc_score and average_precision_score, with zero_division = 0.
#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>

static double divide(double a, double b) {
    return b > 0 ? a / b : 0;
}

metric_average metric_average_of(int64_t matched, int64_t predicted, int64_t support) {
    return (metric_average){
        .precision = divide((double)matched, (double)predicted),
        .recall = divide((double)matched, (double)support),
        .f1 = divide(2 * (double)matched, (double)(predicted + support)),
    };
}

void metric_average_add(metric_average *sum, metric_average x, double weight) {
    sum->precision += weight * x.precision;
    sum->recall += weight * x.recall;
    sum->f1 += weight * x.f1;
}

void metric_average_divide(metric_average *sum, double count) {
    sum->precision = divide(sum->precision, count);
    sum->recall = divide(sum->recall, count);
    sum->f1 = divide(sum->f1, count);
}

// --- ranking -------------------------------------------------------------------------------------

typedef struct scored {
    float score;
    uint8_t target;
} scored;

static int score_descending(const void *a, const void *b) {
    float x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return (x < y) - (x > y);
}

// Goes down the distinct scores; rows of equal score are one step, so their order does not matter.
//   AUC = (pairs with the positive above + half of the tied pairs) / (positives * negatives)
//   AP  = sum over steps of (positives in the step / positives) * precision down to it
static void ranking(class_metrics *c, scored *rows, int64_t count) {
    const int64_t positives = c->support, negatives = count - positives;
    c->auc = c->average_precision = NAN;
    if (!positives) return;
    qsort(rows, (size_t)count, sizeof *rows, score_descending);
    int64_t above = 0; // positives in earlier steps
    double pairs = 0, precision = 0;
    for (int64_t i = 0; i < count;) {
        int64_t step = i, found = 0;
        for (; i < count && rows[i].score == rows[step].score; i++) found += rows[i].target;
        pairs += (double)(i - step - found) * ((double)above + 0.5 * (double)found);
        above += found;
        precision += (double)found * ((double)above / (double)i);
    }
    c->average_precision = precision / (double)positives;
    if (negatives) c->auc = pairs / ((double)positives * (double)negatives);
}

// --- one class, one row --------------------------------------------------------------------------

static void class_measure(class_metrics *c, scored *rows, const float *logits,
                          const uint8_t *targets, int64_t count, int classes) {
    c->counted = true;
    for (int64_t i = 0; i < count; i++) {
        const float logit = logits[i * classes];
        const uint8_t target = targets[i * classes];
        rows[i] = (scored){logit, target};
        c->support += target;
        c->predicted += logit > 0;
        c->matched += logit > 0 && target;
    }
    metric_average x = metric_average_of(c->matched, c->predicted, c->support);
    c->precision = x.precision, c->recall = x.recall, c->f1 = x.f1;
    // Wrong are the positives that were missed and the predictions that match none.
    int64_t wrong = c->support + c->predicted - 2 * c->matched;
    c->accuracy = (double)(count - wrong) / (double)count;
    ranking(c, rows, count);
}

static void rows_measure(classify_metrics *out, const float *logits, const uint8_t *targets) {
    int64_t exact = 0;
    for (int64_t i = 0; i < out->count; i++) {
        int64_t matched = 0, predicted = 0, support = 0;
        for (int k = 0; k < out->classes; k++) {
            if (!out->per_class[k].counted) continue;
            bool guess = logits[i * out->classes + k] > 0;
            uint8_t target = targets[i * out->classes + k];
            matched += guess && target, predicted += guess, support += target;
        }
        metric_average_add(&out->samples, metric_average_of(matched, predicted, support), 1);
        exact += matched == predicted && matched == support;
    }
    metric_average_divide(&out->samples, (double)out->count);
    out->exact_match = (double)exact / (double)out->count;
}

// --- all -----------------------------------------------------------------------------------------

static void classes_summarize(classify_metrics *out) {
    int64_t matched = 0, predicted = 0, support = 0;
    int with_auc = 0;
    out->auc = out->average_precision = 0;
    for (int k = 0; k < out->classes; k++) {
        const class_metrics *c = &out->per_class[k];
        if (!c->counted) continue;
        metric_average x = {c->precision, c->recall, c->f1};
        out->counted++;
        out->accuracy += c->accuracy;
        metric_average_add(&out->macro, x, 1);
        metric_average_add(&out->weighted, x, (double)c->support);
        matched += c->matched, predicted += c->predicted, support += c->support;
        if (!isnan(c->auc)) out->auc += c->auc, with_auc++;
        if (!c->support) continue;
        out->present++;
        metric_average_add(&out->macro_present, x, 1);
        out->average_precision += c->average_precision;
    }
    out->accuracy /= out->counted;
    metric_average_divide(&out->macro, out->counted);
    metric_average_divide(&out->macro_present, out->present);
    metric_average_divide(&out->weighted, (double)support);
    out->micro = metric_average_of(matched, predicted, support);
    out->auc = with_auc ? out->auc / with_auc : NAN;
    out->average_precision = out->present ? out->average_precision / out->present : NAN;
}

static status input_check(const float *logits, const uint8_t *targets, const bool *class_mask,
                          int64_t count, int classes) {
    int counted = 0;
    if (classes < 1 || classes > METRICS_MAX_CLASSES)
        return status_fail(STATUS_FORMAT, "metrics: %d classes, expected 1 to %d", classes,
                           METRICS_MAX_CLASSES);
    for (int k = 0; k < classes; k++) counted += !class_mask || class_mask[k];
    if (count <= 0 || !counted)
        return status_fail(STATUS_FORMAT, "metrics: nothing to measure: %lld rows, %d classes",
                           (long long)count, counted);
    for (int64_t i = 0; i < count * classes; i++) {
        if (class_mask && !class_mask[i % classes]) continue;
        const long long row = (long long)(i / classes), class = (long long)(i % classes);
        if (isnan(logits[i]))
            return status_fail(STATUS_FORMAT, "metrics: the score of row %lld, class %lld is NaN",
                               row, class);
        if (targets[i] > 1)
            return status_fail(STATUS_FORMAT,
                               "metrics: the target of row %lld, class %lld is %d, expected 0 or 1",
                               row, class, targets[i]);
    }
    return STATUS_OK;
}

status metrics_classify(classify_metrics *out, const float *logits, const uint8_t *targets,
                        const bool *class_mask, int64_t count, int classes) {
    scored *rows;
    *out = (classify_metrics){0};
    status rc = input_check(logits, targets, class_mask, count, classes);
    if (!rc) rc = mem_new(&rows, count, "scores to sort");
    if (rc) return rc;
    out->count = count;
    out->classes = classes;
    for (int k = 0; k < classes; k++)
        if (!class_mask || class_mask[k])
            class_measure(&out->per_class[k], rows, logits + k, targets + k, count, classes);
    mem_free(rows);
    classes_summarize(out);
    rows_measure(out, logits, targets);
    return STATUS_OK;
}

double metrics_batch_f1(const float *logits, const uint8_t *targets, int64_t count, int classes) {
    double sum = 0;
    if (count <= 0 || classes <= 0)
        die("metrics_batch_f1: a batch of (%lld, %d)", (long long)count, classes);
    for (int k = 0; k < classes; k++) {
        int64_t matched = 0, predicted = 0, support = 0;
        for (int64_t i = 0; i < count; i++) {
            bool guess = logits[i * classes + k] > 0, target = targets[i * classes + k];
            matched += guess && target, predicted += guess, support += target;
        }
        sum += metric_average_of(matched, predicted, support).f1;
    }
    return sum / classes;
}

void metric_mean_add(metric_mean *m, double value, int64_t weight) {
    m->sum += value * (double)weight;
    m->weight += weight;
}

double metric_mean_value(const metric_mean *m) {
    return m->weight ? m->sum / (double)m->weight : NAN;
}
