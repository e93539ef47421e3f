// Scores of a labeler from its table of truths and predictions. See labeler.h.
#include "eval/labeler.h"

#include <math.h>

static const char *const task_names[LABELER_TASKS] = {"positive", "negative", "uncertain",
                                                      "mention"};

// The place of a label in the order of the heads; -1: it is none.
static int kind_of(int8_t label) {
    switch (label) {
    case LABEL_BLANK:
        return 0;
    case LABEL_POSITIVE:
        return 1;
    case LABEL_NEGATIVE:
        return 2;
    case LABEL_UNCERTAIN:
        return 3;
    default:
        return -1;
    }
}

static bool kind_has(int kind, labeler_task task) {
    return task == LABELER_MENTION ? kind > 0 : kind == (int)task + 1;
}

// --- counting ------------------------------------------------------------------------------------

static status check_labels(const int8_t *labels, int64_t count, const char *what) {
    for (int64_t i = 0; i < count * CLASS_COUNT; i++)
        if (kind_of(labels[i]) < 0)
            return status_fail(STATUS_FORMAT, "labeler: the %s of row %lld, %s is %d, no label",
                               what, (long long)(i / CLASS_COUNT), class_names[i % CLASS_COUNT],
                               labels[i]);
    return STATUS_OK;
}

status labeler_add(labeler_counts *c, const int8_t *predictions, const int8_t *truths,
                   int64_t count) {
    status rc = check_labels(predictions, count, "prediction");
    if (!rc) rc = check_labels(truths, count, "truth");
    if (rc) return rc;
    for (int64_t i = 0; i < count; i++) {
        int right = 0;
        for (int k = 0; k < CLASS_COUNT; k++) {
            const int truth = kind_of(truths[i * CLASS_COUNT + k]);
            const int guess = kind_of(predictions[i * CLASS_COUNT + k]);
            c->cell[k][truth][guess]++;
            right += truth == guess;
        }
        c->exact += right == CLASS_COUNT;
    }
    c->rows += count;
    return STATUS_OK;
}

// --- one head ------------------------------------------------------------------------------------

typedef struct tally {
    int64_t support, predicted, matched;
} tally;

static tally tally_of(const int64_t cell[LABELER_KINDS][LABELER_KINDS], labeler_task task) {
    tally t = {0};
    for (int truth = 0; truth < LABELER_KINDS; truth++)
        for (int guess = 0; guess < LABELER_KINDS; guess++) {
            const bool wanted = kind_has(truth, task), found = kind_has(guess, task);
            t.support += wanted ? cell[truth][guess] : 0;
            t.predicted += found ? cell[truth][guess] : 0;
            t.matched += wanted && found ? cell[truth][guess] : 0;
        }
    return t;
}

static double f1_of(tally t) {
    const int64_t both = t.support + t.predicted;
    return both ? 2 * (double)t.matched / (double)both : NAN;
}

static int64_t right_of(const int64_t cell[LABELER_KINDS][LABELER_KINDS]) {
    int64_t right = 0;
    for (int i = 0; i < LABELER_KINDS; i++) right += cell[i][i];
    return right;
}

// (observed - expected) / (1 - expected) agreement, where the expected one is that of two labelers
// who draw each kind as often as these two do. In counts, so that "always" is exact: with a the
// diagonal's sum and e = sum of row sum * column sum,  (n a - e) / (n^2 - e).
static double kappa_of(const int64_t cell[LABELER_KINDS][LABELER_KINDS], int64_t count) {
    double expected = 0;
    const double n = (double)count;
    for (int i = 0; i < LABELER_KINDS; i++) {
        double truths = 0, guesses = 0;
        for (int k = 0; k < LABELER_KINDS; k++) {
            truths += (double)cell[i][k];
            guesses += (double)cell[k][i];
        }
        expected += truths * guesses;
    }
    return n * n > expected ? (n * (double)right_of(cell) - expected) / (n * n - expected) : NAN;
}

static void head_measure(labeler_head *h, const labeler_counts *c, int k) {
    h->accuracy = (double)right_of(c->cell[k]) / (double)c->rows;
    h->kappa = kappa_of(c->cell[k], c->rows);
    for (labeler_task t = 0; t < LABELER_TASKS; t++) {
        const tally x = tally_of(c->cell[k], t);
        h->support[t] = x.support;
        h->f1[t] = f1_of(x);
    }
}

// --- all -----------------------------------------------------------------------------------------

// The mean of what is no NaN.
typedef struct mean {
    double sum;
    int count;
} mean;

static void mean_add(mean *m, double value) {
    if (isnan(value)) return;
    m->sum += value;
    m->count++;
}

static double mean_value(const mean *m) {
    return m->count ? m->sum / m->count : NAN;
}

status labeler_measure(labeler_metrics *out, const labeler_counts *c) {
    mean kappa = {0};
    int64_t right = 0;
    *out = (labeler_metrics){.count = c->rows};
    if (c->rows <= 0) return status_fail(STATUS_FORMAT, "labeler: nothing to measure: no rows");
    for (int k = 0; k < CLASS_COUNT; k++) {
        head_measure(&out->head[k], c, k);
        mean_add(&kappa, out->head[k].kappa);
        right += right_of(c->cell[k]);
    }
    for (labeler_task t = 0; t < LABELER_TASKS; t++) {
        mean f1 = {0};
        tally pool = {0};
        for (int k = 0; k < CLASS_COUNT; k++) {
            const tally x = tally_of(c->cell[k], t);
            mean_add(&f1, out->head[k].f1[t]);
            pool.support += x.support, pool.predicted += x.predicted, pool.matched += x.matched;
        }
        out->mean_f1[t] = mean_value(&f1);
        out->pooled_f1[t] = f1_of(pool);
    }
    out->accuracy = (double)right / ((double)c->rows * CLASS_COUNT);
    out->exact_match = (double)c->exact / (double)c->rows;
    out->kappa = mean_value(&kappa);
    return STATUS_OK;
}

// --- showing -------------------------------------------------------------------------------------

static void table_average(table *t, const char *name, const double f1[LABELER_TASKS],
                          double accuracy, double kappa) {
    table_text(t, name);
    for (int k = 0; k < LABELER_TASKS; k++) {
        table_text(t, "");
        table_number(t, f1[k], 3);
    }
    table_number(t, accuracy, 3);
    table_number(t, kappa, 3);
}

status labeler_table(buffer *out, const labeler_metrics *m, table_style style) {
    static const char *const columns[] = {"finding", "positive",  "F1",   "negative",
                                          "F1",      "uncertain", "F1",   "mention",
                                          "F1",      "accuracy",  "kappa"};
    table t = {0};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) table_column(&t, columns[i]);
    for (int c = 0; c < CLASS_COUNT; c++) {
        const labeler_head *h = &m->head[c];
        table_text(&t, class_names[c]);
        for (int k = 0; k < LABELER_TASKS; k++) {
            table_integer(&t, h->support[k]);
            table_number(&t, h->f1[k], 3);
        }
        table_number(&t, h->accuracy, 3);
        table_number(&t, h->kappa, 3);
    }
    table_rule(&t);
    table_average(&t, "mean", m->mean_f1, m->accuracy, m->kappa);
    table_average(&t, "pooled", m->pooled_f1, m->accuracy, NAN);
    status rc = table_write(&t, style, out);
    table_free(&t);
    return rc;
}

static void json_number(buffer *out, const char *start, const char *name, const char *end,
                        double value) {
    buffer_print(out, "%s\"%s%s\":", start, name, end);
    buffer_json_number(out, value);
}

static void json_head(buffer *out, const labeler_head *h) {
    for (int k = 0; k < LABELER_TASKS; k++) {
        buffer_print(out, "%s\"%s\":%lld", k ? "," : "{", task_names[k], (long long)h->support[k]);
        json_number(out, ",", task_names[k], "_f1", h->f1[k]);
    }
    json_number(out, ",", "accuracy", "", h->accuracy);
    json_number(out, ",", "kappa", "", h->kappa);
    buffer_text(out, "}");
}

void labeler_json(buffer *out, const labeler_metrics *m) {
    buffer_print(out, "{\"count\":%lld", (long long)m->count);
    for (int k = 0; k < LABELER_TASKS; k++) {
        json_number(out, ",", task_names[k], "_f1", m->mean_f1[k]);
        json_number(out, ",", task_names[k], "_f1_pooled", m->pooled_f1[k]);
    }
    json_number(out, ",", "accuracy", "", m->accuracy);
    json_number(out, ",", "exact_match", "", m->exact_match);
    json_number(out, ",", "kappa", "", m->kappa);
    buffer_text(out, ",\"classes\":{");
    for (int c = 0; c < CLASS_COUNT; c++) {
        buffer_print(out, "%s\"%s\":", c ? "," : "", class_names[c]);
        json_head(out, &m->head[c]);
    }
    buffer_text(out, "}}");
}
