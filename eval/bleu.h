// BLEU-1 to BLEU-4 (Papineni et al., ACL 2002) of texts with one reference each, as pycocoevalcap
// computes them (REFERENCE 7.4). Pure functions on numbers of words; called by the evaluate
// command.
#pragma once
#include "eval/words.h"

enum { BLEU_ORDERS = 4 };

// Counts of one text, or sums over texts: BLEU is a function of the sums.
typedef struct bleu_counts {
    int64_t words, reference_words;
    int64_t guessed[BLEU_ORDERS]; // n-grams of the text
    int64_t correct[BLEU_ORDERS]; // of these, in the reference as often
} bleu_counts;

// OUT (TEXTS->count): the counts of each text. Dies unless there are as many REFERENCES. Errors:
// MEMORY.
status bleu_count(bleu_counts *out, const word_lists *texts, const word_lists *references);
void bleu_add(bleu_counts *sum, const bleu_counts *x);
// The same as a row of statistics (eval/intervals.h) and back.
enum { BLEU_STATISTICS = 2 + 2 * BLEU_ORDERS };
void bleu_to_statistics(double out[BLEU_STATISTICS], const bleu_counts *x);
bleu_counts bleu_of_statistics(const double sum[BLEU_STATISTICS]);
// SCORE[n - 1]: BLEU-n of a corpus, or of one text.
void bleu_score(double score[BLEU_ORDERS], const bleu_counts *sum);
