#include "train/classifier_report.h"
#include "core/files/fs.h"
#include "core/log.h"
#include "train/checkpoint.h"
#include "train/classifier_data.h"
#include "train/ranks.h"

#include <stdio.h>

void metrics_json(buffer *out, const classify_metrics *m, double batch_f1) {
    const struct {
        const char *name;
        double value;
    } values[] = {
        {"macro_f1", m->macro_present.f1}, {"macro_f1_all", m->macro.f1}, {"micro_f1", m->micro.f1},
        {"sample_f1", m->samples.f1},      {"auc", m->auc},               {"average_precision", m->average_precision},
        {"accuracy", m->accuracy},         {"val_f1", batch_f1},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        buffer_print(out, "%s\"%s\":", i ? "," : "{", values[i].name);
        buffer_json_number(out, values[i].value);
    }
    buffer_text(out, ",\"classes\":{");
    for (int c = 0; c < m->classes; c++) {
        const class_metrics *k = &m->per_class[c];
        buffer_print(out, "%s\"%s\":{\"positives\":%lld,\"f1\":", c ? "," : "", class_names[c],
                     (long long)k->support);
        buffer_json_number(out, k->f1);
        buffer_text(out, ",\"auc\":");
        buffer_json_number(out, k->auc);
        buffer_text(out, ",\"average_precision\":");
        buffer_json_number(out, k->average_precision);
        buffer_text(out, "}");
    }
    buffer_text(out, "}}");
}

typedef struct test_scores {
    classify_metrics metrics;
    double batch_f1;
} test_scores;

static status score_test(run *r, const classifier *m, const dataset *data, classifier_inputs *in,
                         test_scores *out) {
    loader_options options = loader_from_config(r->config, SPLIT_TEST, false, r->comm);
    loader *l = NULL;
    float *logits = NULL;
    uint8_t *targets = NULL;
    status rc = loader_open(&l, data, &options);
    int64_t rows = rc ? 0 : loader_records(l);
    if (!rc) rc = mem_new(&logits, rows * CLASS_COUNT, "test scores");
    if (!rc) rc = mem_new(&targets, rows * CLASS_COUNT, "test labels");
    rc = ranks_agree(r->comm, rc);
    if (!rc)
        rc = classifier_score(&r->tape, m, l, in, config_bool(r->config, "data.blank"), logits);
    if (!rc) classifier_targets(targets, l, data);
    if (!rc) rc = metrics_classify(&out->metrics, logits, targets, NULL, rows, CLASS_COUNT);
    if (!rc) out->batch_f1 = classifier_batch_f1(logits, targets, rows, options.batch);
    mem_free(targets);
    mem_free(logits);
    loader_close(l);
    return rc;
}

static void summary_row(table *t, const char *name, double before, bool have_before, double after) {
    table_text(t, name);
    table_text(t, "");
    if (have_before)
        table_number(t, before, 3);
    else
        table_text(t, "-");
    table_number(t, after, 3);
    table_text(t, "");
    table_text(t, "");
}

static status print_scores(const test_scores *before, const test_scores *after, bool have_before) {
    static const char *const columns[] = {"finding", "positives", "untrained F1", "F1", "AUC", "AP"};
    table t = {0};
    buffer text = {0};
    for (int i = 0; i < 6; i++) table_column(&t, columns[i]);
    for (int c = 0; c < CLASS_COUNT; c++) {
        const class_metrics *k = &after->metrics.per_class[c];
        table_text(&t, class_names[c]);
        table_integer(&t, k->support);
        if (have_before)
            table_number(&t, before->metrics.per_class[c].f1, 3);
        else
            table_text(&t, "-");
        table_number(&t, k->f1, 3);
        table_number(&t, k->auc, 3);
        table_number(&t, k->average_precision, 3);
    }
    table_rule(&t);
    const classify_metrics *a = &after->metrics, *b = &before->metrics;
    summary_row(&t, "macro F1 (findings present)", b->macro_present.f1, have_before, a->macro_present.f1);
    summary_row(&t, "macro F1 (all 14)", b->macro.f1, have_before, a->macro.f1);
    summary_row(&t, "micro F1", b->micro.f1, have_before, a->micro.f1);
    summary_row(&t, "sample F1", b->samples.f1, have_before, a->samples.f1);
    summary_row(&t, "mean AUC", b->auc, have_before, a->auc);
    summary_row(&t, "accuracy", b->accuracy, have_before, a->accuracy);
    status rc = table_write(&t, TABLE_PLAIN, &text);
    if (!rc) printf("%s", text.data);
    table_free(&t);
    buffer_free(&text);
    return rc;
}

static status write_scores(const run *r, const test_scores *scores) {
    buffer text = {0};
    metrics_json(&text, &scores->metrics, scores->batch_f1);
    status rc = run_write_scores(r, &text);
    buffer_free(&text);
    return rc;
}

status classifier_report(run *r, const classifier *m, const dataset *data, classifier_inputs *in) {
    test_scores before = {0}, after = {0};
    bool compare = config_bool(r->config, "train.validate_first");
    status rc = STATUS_OK;
    if (!dataset_split_count(data, SPLIT_TEST)) {
        log_info("the data has no test split: no final table");
        return STATUS_OK;
    }
    if (compare) {
        rc = ranks_agree(r->comm, params_init(&r->params, r->seed));
        if (!rc) rc = score_test(r, m, data, in, &before);
    }
    rc = ranks_agree(r->comm, rc);
    if (!rc) rc = checkpoint_take_best(r);
    if (!rc) rc = score_test(r, m, data, in, &after);
    if (rc || !ranks_lead(r)) return rc;
    printf("test split, %lld records, checkpoint of step %lld:\n", (long long)after.metrics.count,
           (long long)(r->best.known ? r->best.step : r->step));
    rc = print_scores(&before, &after, compare);
    return rc ? rc : write_scores(r, &after);
}
