#include "eval/report_scores.h"
#include "eval/rouge.h"
#include "eval/text_tokens.h"

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
    clinical_scores clinical;
    clinical_measure(&clinical, sum + REPORT_CLINICAL, rows, mapping);
    score[SCORE_CE] = clinical.all.macro.f1;
    score[SCORE_CE_MICRO] = clinical.all.micro.f1;
    score[SCORE_CE_FIVE] = clinical.five.macro.f1;
    score[SCORE_CE_SAMPLES] = clinical.all.samples.f1;
    score[SCORE_CE_PRECISION] = clinical.all.macro.precision;
    score[SCORE_CE_RECALL] = clinical.all.macro.recall;
    bleu_score(score + SCORE_BLEU_1, &counts);
    score[SCORE_ROUGE_L] = sum[REPORT_ROUGE] / (double)rows;
}

// --- statistics ---------------------------------------------------------------------------------
// Both sides as numbers of words.
typedef struct both_words {
    words *words;
    word_lists texts, references;
} both_words;

static status lists_of(word_lists *out, words *w, const punkt *p, const char *const *text,
                       int64_t count) {
    token_texts tokens = {0};
    status rc = token_texts_open(&tokens, p, text, count);
    if (!rc) rc = word_lists_open(out, w, (const char *const *)tokens.text, count);
    token_texts_close(&tokens);
    return rc;
}

static void both_close(both_words *b) {
    word_lists_close(&b->texts);
    word_lists_close(&b->references);
    words_close(b->words);
}

static status both_open(both_words *b, const char *const *text, const char *const *reference,
                        int64_t count, const punkt *p) {
    *b = (both_words){0};
    status rc = words_open(&b->words);
    if (!rc) rc = lists_of(&b->texts, b->words, p, text, count);
    return rc ? rc : lists_of(&b->references, b->words, p, reference, count);
}

static status word_statistics(double *out, const both_words *b, int64_t count) {
    bleu_counts *bleu = NULL;
    double *rouge = NULL;
    status rc = mem_new(&bleu, count, "counts of words");
    if (!rc) rc = mem_new(&rouge, count, "scores");
    if (!rc) rc = bleu_count(bleu, &b->texts, &b->references);
    if (!rc) rc = rouge_score(rouge, &b->texts, &b->references);
    for (int64_t i = 0; i < count && !rc; i++) {
        bleu_to_statistics(out + i * REPORT_STATISTICS + REPORT_BLEU, &bleu[i]);
        out[i * REPORT_STATISTICS + REPORT_ROUGE] = rouge[i];
    }
    mem_free(rouge);
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
                         const int8_t *said, const int8_t *truth, int64_t count, const punkt *p,
                         clinical_mapping mapping) {
    both_words b;
    status rc = both_open(&b, text, reference, count, p);
    if (!rc) rc = word_statistics(out, &b, count);
    if (!rc) rc = label_statistics(out, said, truth, count, mapping);
    both_close(&b);
    return rc;
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
