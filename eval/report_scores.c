#include "eval/report_scores.h"
#include "eval/controls.h"
#include "eval/rouge.h"
#include "eval/text_tokens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const report_score_names[REPORT_SCORES] = {
#define X(name, text, key) text,
    REPORT_SCORE_LIST(X)
#undef X
};
const char *const report_score_keys[REPORT_SCORES] = {
#define X(name, text, key) key,
    REPORT_SCORE_LIST(X)
#undef X
};

void report_score_of(double *score, const double *sum, int64_t rows, const void *context) {
    const clinical_mapping mapping = *(const clinical_mapping *)context;
    const bleu_counts counts = bleu_of_statistics(sum + REPORT_BLEU);
    const meteor_counts matches = meteor_of_statistics(sum + REPORT_METEOR);
    clinical_scores clinical;
    clinical_measure(&clinical, sum + REPORT_CLINICAL, rows, mapping);
    score[SCORE_CE] = clinical.all.macro.f1;
    score[SCORE_CE_MICRO] = clinical.all.micro.f1;
    score[SCORE_CE_FIVE] = clinical.five.macro.f1;
    score[SCORE_CE_SAMPLES] = clinical.all.samples.f1;
    score[SCORE_CE_WEIGHTED] = clinical.all.weighted.f1;
    score[SCORE_SIMILARITY] = sum[REPORT_SIMILARITY] / (double)rows;
    score[SCORE_BERT] = sum[REPORT_BERT] / (double)rows;
    score[SCORE_CE_PRECISION] = clinical.all.macro.precision;
    score[SCORE_CE_RECALL] = clinical.all.macro.recall;
    bleu_score(score + SCORE_BLEU_1, &counts);
    score[SCORE_METEOR] = meteor_score(&matches);
    score[SCORE_ROUGE_L] = sum[REPORT_ROUGE] / (double)rows;
    score[SCORE_PRIORS] = sum[REPORT_PRIORS] / (double)rows;
}

// --- statistics ---------------------------------------------------------------------------------
// Both sides: their tokens, and numbers for these.
typedef struct both_sides {
    token_texts text, reference;
    words *words;
    word_lists texts, references;
} both_sides;

static void both_close(both_sides *b) {
    word_lists_close(&b->texts);
    word_lists_close(&b->references);
    words_close(b->words);
    token_texts_close(&b->text);
    token_texts_close(&b->reference);
}

static const char *const *texts_of(const token_texts *t) {
    return (const char *const *)t->text;
}

static status both_open(both_sides *b, const char *const *text, const char *const *reference,
                        int64_t count, const punkt *p) {
    *b = (both_sides){0};
    status rc = token_texts_open(&b->text, p, text, count);
    if (!rc) rc = token_texts_open(&b->reference, p, reference, count);
    if (!rc) rc = words_open(&b->words);
    if (!rc) rc = word_lists_open(&b->texts, b->words, texts_of(&b->text), count);
    return rc ? rc : word_lists_open(&b->references, b->words, texts_of(&b->reference), count);
}

static status word_statistics(double *out, const both_sides *b, meteor *m, int64_t count) {
    bleu_counts *bleu = NULL;
    meteor_counts *matches = NULL;
    double *rouge = NULL;
    status rc = mem_new(&bleu, count, "counts of words");
    if (!rc) rc = mem_new(&matches, count, "counts of matches");
    if (!rc) rc = mem_new(&rouge, count, "scores");
    if (!rc) rc = bleu_count(bleu, &b->texts, &b->references);
    if (!rc) rc = meteor_count(matches, m, texts_of(&b->text), texts_of(&b->reference), count);
    if (!rc) rc = rouge_score(rouge, &b->texts, &b->references);
    for (int64_t i = 0; i < count && !rc; i++) {
        double *row = out + i * REPORT_STATISTICS;
        bleu_to_statistics(row + REPORT_BLEU, &bleu[i]);
        meteor_to_statistics(row + REPORT_METEOR, &matches[i]);
        row[REPORT_ROUGE] = rouge[i];
        row[REPORT_SIMILARITY] = row[REPORT_BERT] = NAN;
        row[REPORT_PRIORS] =
            control_compares(b->text.text[i]) && !control_compares(b->reference.text[i]);
    }
    mem_free(rouge);
    mem_free(matches);
    mem_free(bleu);
    return rc;
}

static status label_statistics(double *out, const int8_t *said, const int8_t *truth, int64_t count,
                               clinical_mapping mapping) {
    double *rows = NULL;
    status rc = mem_new(&rows, count * CLINICAL_STATISTICS, "counts of labels");
    if (!rc) rc = clinical_statistics(rows, said, truth, count, mapping);
    for (int64_t i = 0; i < count && !rc; i++)
        memcpy(out + i * REPORT_STATISTICS + REPORT_CLINICAL, rows + i * CLINICAL_STATISTICS,
               CLINICAL_STATISTICS * sizeof *rows);
    mem_free(rows);
    return rc;
}

status report_statistics(double *out, const char *const *text, const char *const *reference,
                         const int8_t *said, const int8_t *truth, int64_t count,
                         const report_protocol *p) {
    both_sides b;
    status rc = both_open(&b, text, reference, count, p->sentences);
    if (!rc) rc = word_statistics(out, &b, p->meteor, count);
    if (!rc) rc = label_statistics(out, said, truth, count, p->mapping);
    both_close(&b);
    return rc;
}

void report_set(double *out, int column, const double *value, int64_t count) {
    for (int64_t i = 0; i < count; i++) out[i * REPORT_STATISTICS + column] = value[i];
}

// --- controls -----------------------------------------------------------------------------------
static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

status report_distinct(int64_t *distinct, const char *const *text, int64_t count) {
    const char **sorted = NULL;
    *distinct = 0;
    status rc = mem_new(&sorted, count ? count : 1, "texts");
    if (rc) return rc;
    memcpy(sorted, text, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, compare_texts);
    for (int64_t i = 0; i < count; i++) *distinct += !i || strcmp(sorted[i - 1], sorted[i]) != 0;
    mem_free(sorted);
    return STATUS_OK;
}
