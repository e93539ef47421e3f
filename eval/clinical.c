// Clinical scores from counts of labels. See clinical.h.
#include "eval/clinical.h"

#include <math.h>

const char *const clinical_mapping_names[CLINICAL_MAPPINGS] = {"positive", "positive or uncertain"};

// In the order of class_names.
const bool clinical_five[CLASS_COUNT] = {
    [2] = true, [5] = true, [6] = true, [8] = true, [10] = true};

// --- one report ----------------------------------------------------------------------------------

bool clinical_found(int8_t label, clinical_mapping mapping) {
    return label == LABEL_POSITIVE || (mapping == CLINICAL_UNCERTAIN && label == LABEL_UNCERTAIN);
}

static status check_labels(const int8_t *label, int64_t row, const char *what) {
    for (int k = 0; k < CLASS_COUNT; k++)
        if (label[k] < LABEL_BLANK || label[k] > LABEL_POSITIVE)
            return status_fail(STATUS_FORMAT,
                               "clinical scores: the %s of report %lld, %s is %d, no label", what,
                               (long long)row, class_names[k], label[k]);
    return STATUS_OK;
}

// Precision, recall and F1 of a report, over the classes of MASK (NULL: all).
static void put_sample(double *out, const double *counts, const bool *mask) {
    int64_t sum[3] = {0};
    for (int k = 0; k < CLASS_COUNT; k++)
        for (int i = 0; i < 3 && (!mask || mask[k]); i++) sum[i] += (int64_t)counts[3 * k + i];
    const metric_average x = metric_average_of(sum[2], sum[1], sum[0]);
    out[0] = x.precision, out[1] = x.recall, out[2] = x.f1;
}

status clinical_statistics(double *out, const int8_t *predicted, const int8_t *truth, int64_t count,
                           clinical_mapping mapping) {
    for (int64_t i = 0; i < count; i++) {
        const int8_t *guess = predicted + i * CLASS_COUNT, *label = truth + i * CLASS_COUNT;
        double *row = out + i * CLINICAL_STATISTICS;
        status rc = check_labels(guess, i, "prediction");
        if (!rc) rc = check_labels(label, i, "truth");
        if (rc) return rc;
        for (int k = 0; k < CLASS_COUNT; k++) {
            const bool wanted = clinical_found(label[k], mapping),
                       found = clinical_found(guess[k], mapping);
            row[3 * k] = wanted, row[3 * k + 1] = found, row[3 * k + 2] = wanted && found;
        }
        put_sample(row + CLINICAL_COUNTS, row, NULL);
        put_sample(row + CLINICAL_COUNTS + 3, row, clinical_five);
    }
    return STATUS_OK;
}

// --- sums ----------------------------------------------------------------------------------------

static void class_measure(clinical_class *c, const double *sum, int64_t rows) {
    c->support = (int64_t)sum[0], c->predicted = (int64_t)sum[1], c->matched = (int64_t)sum[2];
    c->score = metric_average_of(c->matched, c->predicted, c->support);
    const int64_t wrong = c->support + c->predicted - 2 * c->matched;
    c->accuracy = (double)(rows - wrong) / (double)rows;
}

// SAMPLE (3): the reports' own precision, recall and F1, summed.
static clinical_averages average(const clinical_class *c, const bool *mask, const double *sample,
                                 int64_t rows) {
    clinical_averages out = {.samples = {sample[0], sample[1], sample[2]}};
    int64_t matched = 0, predicted = 0, support = 0;
    int classes = 0;
    for (int k = 0; k < CLASS_COUNT; k++) {
        if (mask && !mask[k]) continue;
        classes++;
        metric_average_add(&out.macro, c[k].score, 1);
        metric_average_add(&out.weighted, c[k].score, (double)c[k].support);
        matched += c[k].matched, predicted += c[k].predicted, support += c[k].support;
    }
    metric_average_divide(&out.macro, classes);
    metric_average_divide(&out.weighted, (double)support);
    metric_average_divide(&out.samples, (double)rows);
    out.micro = metric_average_of(matched, predicted, support);
    return out;
}

void clinical_measure(clinical_scores *out, const double *sum, int64_t rows,
                      clinical_mapping mapping) {
    if (rows < 1) die("clinical_measure: %lld reports", (long long)rows);
    *out = (clinical_scores){.count = rows, .mapping = mapping};
    for (int k = 0; k < CLASS_COUNT; k++) {
        class_measure(&out->per_class[k], sum + 3 * k, rows);
        out->accuracy += out->per_class[k].accuracy / CLASS_COUNT;
    }
    out->all = average(out->per_class, NULL, sum + CLINICAL_COUNTS, rows);
    out->five = average(out->per_class, clinical_five, sum + CLINICAL_COUNTS + 3, rows);
}

// --- vectors -------------------------------------------------------------------------------------

status clinical_similarity(double *score, const float *a, const float *b, int64_t count,
                           int width) {
    for (int64_t i = 0; i < count; i++) {
        double product = 0, square_a = 0, square_b = 0;
        for (int64_t j = i * width; j < (i + 1) * width; j++) {
            product += (double)a[j] * b[j];
            square_a += (double)a[j] * a[j];
            square_b += (double)b[j] * b[j];
        }
        if (!isfinite(square_a) || !isfinite(square_b))
            return status_fail(STATUS_FORMAT,
                               "vector similarity: a number of report %lld is not finite",
                               (long long)i);
        const double norm = sqrt(square_a) * sqrt(square_b);
        score[i] = norm > 0 ? product / norm : 0;
    }
    return STATUS_OK;
}
