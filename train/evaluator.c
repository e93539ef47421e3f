#include "train/evaluator.h"
#include "core/files/fs.h"
#include "core/files/weights.h"
#include "train/config_keys.h"
#include "train/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const report_score paper_columns[PAPER_COLUMNS] = {SCORE_CE,     SCORE_BERT,   SCORE_BLEU_1,
                                                   SCORE_BLEU_4, SCORE_METEOR, SCORE_ROUGE_L};
const double paper_scale[PAPER_COLUMNS] = {100, 1, 100, 100, 100, 100};
const struct paper_row paper_rows[PAPER_ROWS] = {
    {"RaDialog-RG, published", {0.394, 0.40, 0.346, 0.095, 0.140, 0.271}},
    {"RaDialog-INS, published", {0.386, 0.39, 0.340, 0.097, 0.136, 0.270}},
};

void evaluator_close(evaluator *v) {
    for (int k = 0; k < EVALUATION_RUNS; k++) mem_free(v->run[k].rows);
    evaluation_close(&v->e);
    bert_score_close(v->bert);
    punkt_close(v->how.sentences);
    meteor_close(v->how.meteor);
    report_labeler_close(&v->labeler);
    dataset_close(v->data);
}

// The findings of the real reports are those that the labeler reads in them.
static bool reads_truth(const evaluator *v) {
    return config_choice(v->config, "evaluate.truth") == 1;
}

// --- opening ------------------------------------------------------------------------------------
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

static status open_bert(evaluator *v) {
    const char *folder = path_or_null(v->config, "evaluate.bert_score");
    const bert_score_options how = {
        .layer = (int)config_int(v->config, "evaluate.bert_score_layer"),
        .baseline = path_or_null(v->config, "evaluate.bert_score_baseline")};
    const inference *s = &v->labeler.inference;
    return folder ? bert_score_open(&v->bert, folder, &how, s->device, s->dry) : STATUS_OK;
}

static status read_all(evaluator *v, const arguments *a, const char *shards, bool constant) {
    status rc = report_labeler_open(&v->labeler, a, evaluate_tables);
    v->config = v->labeler.inference.config;
    if (!rc) rc = dataset_open(&v->data, shards);
    if (!rc)
        rc = evaluation_open(&v->e, v->data, (record_text)config_choice(v->config, "data.section"),
                             a->positional, a->positionals);
    if (!rc && config_choice(v->config, "evaluate.records")) rc = evaluation_stratify(&v->e);
    if (!rc && constant) rc = evaluation_add_constant(&v->e);
    if (!rc) rc = open_protocol(&v->how, v->config);
    return rc ? rc : open_bert(v);
}

// --- scores -------------------------------------------------------------------------------------
static statistics rows_of(const evaluator *v, int k) {
    return (statistics){v->e.count, REPORT_STATISTICS, v->run[k].rows};
}

static void measure_classes(const evaluator *v, run_scores *s) {
    double sum[CLINICAL_STATISTICS] = {0};
    for (int64_t i = 0; i < v->e.count; i++)
        for (int k = 0; k < CLINICAL_STATISTICS; k++)
            sum[k] += s->rows[i * REPORT_STATISTICS + REPORT_CLINICAL + k];
    clinical_measure(&s->clinical, sum, v->e.count, v->how.mapping);
}

static status score_run(evaluator *v, int k) {
    const evaluation *e = &v->e;
    const evaluated_run *r = &e->run[k];
    run_scores *s = &v->run[k];
    const score_set set = {REPORT_SCORES, report_score_of, &v->how.mapping};
    const interval_options how = {.seed = (uint64_t)config_int(v->config, "run.seed"),
                                  .resamples = (int)config_int(v->config, "evaluate.resamples"),
                                  .level = 0.95};
    status rc = mem_new(&s->rows, e->count * REPORT_STATISTICS, "statistics of reports");
    if (!rc)
        rc = report_statistics(s->rows, r->text, e->reference, r->labels, e->truth, e->count,
                               &v->how);
    if (!rc) report_set(s->rows, REPORT_SIMILARITY, r->similarity, e->count);
    if (!rc && r->bert) report_set(s->rows, REPORT_BERT, r->bert, e->count);
    const statistics own = rows_of(v, k), first = rows_of(v, 0);
    if (!rc) rc = interval_measure(s->score, &own, &set, &how);
    if (!rc && k) rc = interval_difference(s->difference, &first, &own, &set, &how);
    if (!rc && k) rc = randomization_test(s->p, &first, &own, &set, &how);
    if (!rc) measure_classes(v, s);
    return rc ? rc : report_distinct(&s->distinct, r->text, e->count);
}

// --- the protocol -------------------------------------------------------------------------------
static void __attribute__((format(printf, 4, 5)))
tell(evaluator *v, const char *key, const char *name, const char *format, ...) {
    protocol_line *l = &v->protocol[v->lines++];
    va_list args;
    l->key = key;
    l->name = name;
    va_start(args, format);
    vsnprintf(l->text, sizeof l->text, format, args);
    va_end(args);
}

// PATH, and what is in it.
static status tell_file(evaluator *v, const char *key, const char *name, const char *path) {
    int64_t bytes;
    uint32_t crc;
    status rc = file_checksum(path, &bytes, &crc);
    if (!rc) tell(v, key, name, "%.900s (%lld bytes, CRC-32 %08x)", path, (long long)bytes, crc);
    return rc;
}

// How many of the splits' records with such a section were answered.
static void tell_subset(evaluator *v) {
    const record_text section = (record_text)config_choice(v->config, "data.section");
    int64_t answered[SPLIT_COUNT] = {0}, all[SPLIT_COUNT] = {0};
    char text[200] = "";
    for (int64_t i = 0; i < v->e.count; i++) answered[dataset_split_of(v->data, v->e.record[i])]++;
    for (int64_t r = 0; r < dataset_records(v->data); r++)
        all[dataset_split_of(v->data, r)] += dataset_has_text(v->data, r, section);
    for (int s = 0; s < SPLIT_COUNT; s++)
        if (answered[s])
            snprintf(text + strlen(text), sizeof text - strlen(text),
                     "%s%lld of %lld of the %s split", *text ? ", " : "", (long long)answered[s],
                     (long long)all[s], split_names[s]);
    tell(v, "subset", "Reports", "%s, of the section %s%s", text, config_text(v->config, "data.section"),
         config_choice(v->config, "evaluate.records") ? ", stratified by findings" : "");
}

static status tell_bert(evaluator *v) {
    const char *folder = config_text(v->config, "evaluate.bert_score");
    char path[PATH_SIZE];
    if (!v->bert) {
        tell(v, "bert_score", "BS", "left out: evaluate.bert_score names no model");
        return STATUS_OK;
    }
    tell(v, "bert_score", "BS", "BERTScore's F1 without idf, mean over reports; %s",
         bert_score_name(v->bert));
    status rc = weights_find(path, sizeof path, folder, weights_model_files, "language model");
    return rc ? rc : tell_file(v, "bert_score_model", "BS, model", path);
}

static status tell_tables(evaluator *v) {
    static const struct {
        const char *config, *key, *name;
    } file[] = {{"evaluate.meteor_jar", "meteor_jar", "MTR, synonyms"},
                {"evaluate.meteor_paraphrases", "meteor_paraphrases", "MTR, paraphrases"},
                {"evaluate.bert_score_baseline", "bert_score_baseline", "BS, baseline"}};
    status rc = STATUS_OK;
    for (size_t i = 0; i < sizeof file / sizeof *file && !rc; i++) {
        const char *path = path_or_null(v->config, file[i].config);
        if (path) rc = tell_file(v, file[i].key, file[i].name, path);
    }
    return rc;
}

static status tell_protocol(evaluator *v, const char *shards) {
    tell_subset(v);
    tell(v, "clinical", "CE",
         "macro F1 over 14 findings; one is there where the label is %s; the labeler's of the "
         "answers against %s",
         clinical_mapping_names[v->how.mapping],
         reads_truth(v) ? "the labeler's of the real reports" : "the shards'");
    status rc = tell_file(v, "labeler", "Labeler", v->labeler.inference.file);
    tell(v, "similarity", "Similarity",
         "mean cosine of the labeler's [CLS] vectors of answer and report");
    tell(v, "words", "Words",
         "word_tokenize of NLTK 3.8.1, lower-case; sentences by the table %.700s",
         punkt_name(v->how.sentences));
    tell(v, "bleu_rouge", "B-n, R-L",
         "as pycocoevalcap 1.2: BLEU of the corpus, ROUGE-L's mean over reports (beta 1.2)");
    tell(v, "meteor", "MTR", "METEOR 1.5, English, -norm, of the corpus; stages: %s",
         meteor_stages(v->how.meteor));
    if (!rc) rc = tell_bert(v);
    if (!rc) rc = tell_tables(v);
    tell(v, "priors", "Priors",
         "share of answers that compare with an earlier film (\"unchanged\", \"compared to "
         "prior\", ...) where the real report does not");
    tell(v, "intervals", "Intervals",
         "95 %%, percentiles of %lld bootstrap resamples of the reports, seed %lld; p: "
         "paired randomization test",
         (long long)config_int(v->config, "evaluate.resamples"),
         (long long)config_int(v->config, "run.seed"));
    tell(v, "shards", "Shards", "%.900s, plan %s", shards, dataset_plan(v->data));
    for (int k = 0; k < v->e.runs && !rc; k++)
        if (v->e.run[k].table) rc = tell_file(v, "answers", "Answers", v->e.run[k].name);
    return rc;
}

status evaluator_open(evaluator *v, const arguments *a, const char *shards, bool constant) {
    *v = (evaluator){0};
    status rc = read_all(v, a, shards, constant);
    if (!rc) rc = tell_protocol(v, shards);
    if (!rc) rc = evaluation_label(&v->e, &v->labeler, reads_truth(v));
    if (!rc && v->bert) rc = evaluation_bert(&v->e, v->bert);
    for (int k = 0; k < v->e.runs && !rc; k++) rc = score_run(v, k);
    return rc;
}
