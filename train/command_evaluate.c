// radialog evaluate: scores of written reports against the real ones (REFERENCE 7.4, 7.6), with intervals, and
// of several runs' reports against each other.
#include "core/files/fs.h"
#include "eval/report_scores.h"
#include "eval/table.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/evaluation.h"
#include "train/settings.h"

#include <stdio.h>
#include <string.h>

static const option options[] = {
    {"checkpoint", "PATH", "the report labeler: a run of train chexbert, a checkpoint or its weights"},
    {"shards", "DIR", "the records with their reports and labels"},
    {"constant", NULL, "also the commonest of the real reports, written for every record: what must be beaten"},
    {"out", "DIR", "also writes scores.json and reports.jsonl there"},
    {0},
};

typedef struct run_scores {
    double *rows; // (count, REPORT_STATISTICS)
    interval score[REPORT_SCORES], difference[REPORT_SCORES]; // difference: to the first run
    double p[REPORT_SCORES];
    int64_t distinct;
} run_scores;

typedef struct evaluator {
    const config *config;
    dataset *data;
    report_labeler labeler;
    report_protocol how;
    evaluation e;
    run_scores run[EVALUATION_RUNS];
} evaluator;

static void evaluator_close(evaluator *v) {
    for (int k = 0; k < EVALUATION_RUNS; k++) mem_free(v->run[k].rows);
    evaluation_close(&v->e);
    punkt_close(v->how.sentences);
    meteor_close(v->how.meteor);
    report_labeler_close(&v->labeler);
    dataset_close(v->data);
}

// --- scores -------------------------------------------------------------------------------------
static statistics rows_of(const evaluator *v, int k) {
    return (statistics){v->e.count, REPORT_STATISTICS, v->run[k].rows};
}

static status score_run(evaluator *v, int k) {
    const evaluation *e = &v->e;
    run_scores *s = &v->run[k];
    const score_set set = {REPORT_SCORES, report_score_of, &v->how.mapping};
    const interval_options how = {.seed = (uint64_t)config_int(v->config, "run.seed"),
                                  .resamples = (int)config_int(v->config, "evaluate.resamples"),
                                  .level = 0.95};
    status rc = mem_new(&s->rows, e->count * REPORT_STATISTICS, "statistics of reports");
    if (!rc)
        rc = report_statistics(s->rows, e->run[k].text, e->reference, e->run[k].labels, e->truth,
                               e->count, &v->how);
    const statistics own = rows_of(v, k), first = rows_of(v, 0);
    if (!rc) rc = interval_measure(s->score, &own, &set, &how);
    if (!rc && k) rc = interval_difference(s->difference, &first, &own, &set, &how);
    if (!rc && k) rc = randomization_test(s->p, &first, &own, &set, &how);
    return rc ? rc : report_distinct(&s->distinct, e->run[k].text, e->count);
}

// --- what is shown ------------------------------------------------------------------------------
// Clinical scores with their intervals; those of words without: scores.json has all.
static const report_score with_interval[] = {SCORE_CE, SCORE_CE_MICRO, SCORE_CE_FIVE},
                          plain[] = {SCORE_BLEU_1, SCORE_BLEU_4, SCORE_METEOR, SCORE_ROUGE_L, SCORE_PRIORS};
enum { WITH_INTERVAL = sizeof with_interval / sizeof *with_interval, PLAIN = sizeof plain / sizeof *plain };

static void name_columns(table *t, const char *first) {
    table_column(t, first);
    for (int i = 0; i < WITH_INTERVAL; i++) table_column(t, report_score_names[with_interval[i]]);
    for (int i = 0; i < PLAIN; i++) table_column(t, report_score_names[plain[i]]);
}

static void fill_row(table *t, const char *name, const interval score[REPORT_SCORES], const char *format) {
    char text[64];
    table_text(t, name);
    for (int i = 0; i < WITH_INTERVAL; i++) {
        const interval *x = &score[with_interval[i]];
        snprintf(text, sizeof text, format, x->value, x->low, x->high);
        table_text(t, text);
    }
    for (int i = 0; i < PLAIN; i++) table_number(t, score[plain[i]].value, 3);
}

static status show_scores(const evaluator *v, buffer *out) {
    table t = {0};
    name_columns(&t, "reports of");
    table_column(&t, "different");
    for (int k = 0; k < v->e.runs; k++) {
        fill_row(&t, v->e.run[k].name, v->run[k].score, "%.3f (%.3f to %.3f)");
        table_number(&t, (double)v->run[k].distinct / (double)v->e.count, 2);
    }
    status rc = table_write(&t, TABLE_PLAIN, out);
    table_free(&t);
    return rc;
}

static status show_differences(const evaluator *v, buffer *out) {
    table t = {0};
    if (v->e.runs < 2) return STATUS_OK;
    buffer_print(out, "\n%s against the others:\n", v->e.run[0].name);
    name_columns(&t, "better than");
    table_column(&t, "p of CE");
    for (int k = 1; k < v->e.runs; k++) {
        fill_row(&t, v->e.run[k].name, v->run[k].difference, "%+.3f (%+.3f to %+.3f)");
        table_number(&t, v->run[k].p[SCORE_CE], 4);
    }
    status rc = table_write(&t, TABLE_PLAIN, out);
    table_free(&t);
    return rc;
}

static bool truth_is_read(const config *c) {
    return config_choice(c, "evaluate.truth") == 1;
}

static void show_protocol(const evaluator *v, buffer *out) {
    buffer_print(out,
                 "\n%lld reports; 95 %% intervals of %lld resamples (seed %lld). CE: macro F1 of what "
                 "the labeler reads as %s, of 14 findings, against %s.\nWords: NLTK's rules, sentences "
                 "by the table %s; B-n and R-L as pycocoevalcap; MTR as METEOR 1.5 with the stages %s; "
                 "priors: share of reports that compare with\nan earlier film where the real one does not.\nLabeler %s.\n",
                 (long long)v->e.count, (long long)config_int(v->config, "evaluate.resamples"),
                 (long long)config_int(v->config, "run.seed"), clinical_mapping_names[v->how.mapping],
                 truth_is_read(v->config) ? "what it reads in the real report" : "the shards' labels",
                 punkt_name(v->how.sentences), meteor_stages(v->how.meteor), v->labeler.inference.file);
}

// --- files --------------------------------------------------------------------------------------
static void json_interval(buffer *out, const interval *x) {
    buffer_text(out, "[");
    buffer_json_number(out, x->value);
    buffer_text(out, ", ");
    buffer_json_number(out, x->low);
    buffer_text(out, ", ");
    buffer_json_number(out, x->high);
    buffer_text(out, "]");
}

static void json_classes(buffer *out, const evaluator *v, int k) {
    static double sum[CLINICAL_STATISTICS];
    clinical_scores c;
    memset(sum, 0, sizeof sum);
    for (int64_t i = 0; i < v->e.count; i++)
        for (int s = 0; s < CLINICAL_STATISTICS; s++)
            sum[s] += v->run[k].rows[i * REPORT_STATISTICS + REPORT_CLINICAL + s];
    clinical_measure(&c, sum, v->e.count, v->how.mapping);
    buffer_text(out, ",\n     \"classes\": {");
    for (int n = 0; n < CLASS_COUNT; n++) {
        const clinical_class *x = &c.per_class[n];
        buffer_print(out, "%s\n       \"%s\": {\"support\": %lld, \"predicted\": %lld, \"matched\": %lld, "
                          "\"f1\": ", n ? "," : "", class_names[n], (long long)x->support,
                     (long long)x->predicted, (long long)x->matched);
        buffer_json_number(out, x->score.f1);
        buffer_text(out, "}");
    }
    buffer_text(out, "}");
}

static void json_run(buffer *out, const evaluator *v, int k) {
    const run_scores *s = &v->run[k];
    buffer_text(out, k ? ",\n    {\"answers\": " : "\n    {\"answers\": ");
    buffer_json(out, v->e.run[k].name);
    buffer_print(out, ", \"different\": %lld,\n     \"scores\": {", (long long)s->distinct);
    for (int i = 0; i < REPORT_SCORES; i++) {
        buffer_print(out, "%s\"%s\": ", i ? ", " : "", report_score_keys[i]);
        json_interval(out, &s->score[i]);
    }
    buffer_text(out, "}");
    if (k) {
        buffer_text(out, ",\n     \"first_minus_this\": {");
        for (int i = 0; i < REPORT_SCORES; i++) {
            buffer_print(out, "%s\"%s\": ", i ? ", " : "", report_score_keys[i]);
            json_interval(out, &s->difference[i]);
        }
        buffer_text(out, "},\n     \"p\": {");
        for (int i = 0; i < REPORT_SCORES; i++) {
            buffer_print(out, "%s\"%s\": ", i ? ", " : "", report_score_keys[i]);
            buffer_json_number(out, s->p[i]);
        }
        buffer_text(out, "}");
    }
    json_classes(out, v, k);
    buffer_text(out, "}");
}

static void print_scores(buffer *out, const evaluator *v) {
    buffer_print(out,
                 "{\n  \"reports\": %lld, \"truth\": \"%s\", \"mapping\": \"%s\", \"resamples\": %lld, "
                 "\"seed\": %lld,\n  \"data\": ",
                 (long long)v->e.count, config_text(v->config, "evaluate.truth"),
                 clinical_mapping_names[v->how.mapping],
                 (long long)config_int(v->config, "evaluate.resamples"),
                 (long long)config_int(v->config, "run.seed"));
    buffer_json(out, dataset_plan(v->data));
    buffer_text(out, ", \"sentences\": ");
    buffer_json(out, punkt_name(v->how.sentences));
    buffer_text(out, ", \"meteor\": ");
    buffer_json(out, meteor_stages(v->how.meteor));
    buffer_text(out, ",\n  \"runs\": [");
    for (int k = 0; k < v->e.runs; k++) json_run(out, v, k);
    buffer_text(out, "\n  ]\n}\n");
}

static void json_findings(buffer *out, const int8_t labels[CLASS_COUNT], clinical_mapping mapping) {
    bool first = true;
    buffer_text(out, "[");
    for (int n = 0; n < CLASS_COUNT; n++) {
        if (labels[n] != LABEL_POSITIVE &&
            !(mapping == CLINICAL_UNCERTAIN && labels[n] == LABEL_UNCERTAIN))
            continue;
        buffer_text(out, first ? "" : ",");
        buffer_json(out, class_names[n]);
        first = false;
    }
    buffer_text(out, "]");
}

// A line per record: the report, its findings, and every run's.
static void print_reports(buffer *out, const evaluator *v) {
    for (int64_t i = 0; i < v->e.count; i++) {
        buffer_text(out, "{\"dicom_id\":");
        buffer_json(out, dataset_id(v->data, v->e.record[i], ID_DICOM));
        buffer_text(out, ",\"report\":");
        buffer_json(out, v->e.reference[i]);
        buffer_text(out, ",\"findings\":");
        json_findings(out, v->e.truth + i * CLASS_COUNT, v->how.mapping);
        buffer_text(out, ",\"answers\":[");
        for (int k = 0; k < v->e.runs; k++) {
            buffer_text(out, k ? ",{\"text\":" : "{\"text\":");
            buffer_json(out, v->e.run[k].text[i]);
            buffer_text(out, ",\"findings\":");
            json_findings(out, v->e.run[k].labels + i * CLASS_COUNT, v->how.mapping);
            buffer_text(out, "}");
        }
        buffer_text(out, "]}\n");
    }
}

static status write_files(const evaluator *v, const char *folder) {
    char path[PATH_SIZE];
    buffer text = {0};
    status rc = folder_make(folder);
    print_scores(&text, v);
    if (!rc) rc = text.failed ? text.failed : path_join(path, sizeof path, folder, "scores.json");
    if (!rc) rc = file_write(path, text.data, text.length);
    text.length = 0;
    print_reports(&text, v);
    if (!rc) rc = text.failed ? text.failed : path_join(path, sizeof path, folder, "reports.jsonl");
    if (!rc) rc = file_write(path, text.data, text.length);
    buffer_free(&text);
    return rc;
}

// --- the command --------------------------------------------------------------------------------
static const char *path_or_null(const config *c, const char *key) {
    const char *path = config_text(c, key);
    return *path ? path : NULL;
}

// The tables that scores of words are taken by.
static status open_protocol(report_protocol *p, const config *c) {
    const meteor_options files = {.jar = path_or_null(c, "evaluate.meteor_jar"),
                                  .paraphrases = path_or_null(c, "evaluate.meteor_paraphrases")};
    p->mapping = (clinical_mapping)config_choice(c, "evaluate.mapping");
    status rc = punkt_open(&p->sentences, path_or_null(c, "evaluate.sentences"));
    return rc ? rc : meteor_open(&p->meteor, &files);
}

static status open_all(evaluator *v, const arguments *a) {
    const char *shards = argument(a, "shards");
    if (!shards)
        return status_fail(STATUS_USAGE, "--shards DIR is missing: the records whose reports were written");
    status rc = report_labeler_open(&v->labeler, a, evaluate_tables);
    v->config = v->labeler.inference.config;
    if (!rc) rc = dataset_open(&v->data, shards);
    if (!rc)
        rc = evaluation_open(&v->e, v->data, (record_text)config_choice(v->config, "data.section"),
                             a->positional, a->positionals);
    if (!rc && argument_given(a, "constant")) rc = evaluation_add_constant(&v->e);
    return rc ? rc : open_protocol(&v->how, v->config);
}

static status show(const evaluator *v, bool json) {
    buffer out = {0};
    status rc = STATUS_OK;
    if (json) {
        print_scores(&out, v);
    } else {
        rc = show_scores(v, &out);
        if (!rc) rc = show_differences(v, &out);
        show_protocol(v, &out);
    }
    if (!rc) rc = out.failed;
    if (!rc) fwrite(out.data, 1, out.length, stdout);
    buffer_free(&out);
    return rc;
}

static status evaluate(const arguments *a) {
    evaluator v = {0};
    status rc = open_all(&v, a);
    if (!rc) rc = evaluation_label(&v.e, &v.labeler, truth_is_read(v.config));
    for (int k = 0; k < v.e.runs && !rc; k++) rc = score_run(&v, k);
    if (!rc && argument(a, "out")) rc = write_files(&v, argument(a, "out"));
    if (!rc) rc = show(&v, argument_given(a, "json"));
    evaluator_close(&v);
    return rc;
}

const command command_evaluate = {
    .name = "evaluate",
    .positional = "ANSWERS...",
    .summary = "scores of written reports, with intervals, and how runs differ",
    .options = options,
    .run = evaluate,
    .tables = evaluate_tables,
};
