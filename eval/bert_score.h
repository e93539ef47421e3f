// BERTScore (Zhang et al. 2020): how well the tokens of a text and of its reference match by the
// vectors that a RoBERTa gives them, as the public bert-score package computes it without idf
// weights (REFERENCE 7.7): greedy matching by cosine, the begin and end tokens may be matched but
// do not count, and all is rescaled by what texts that have nothing to do with each other reach.
// Called by the evaluate command.
#pragma once
#include "core/device.h"
#include <stdbool.h>

typedef struct bert_score bert_score;

// Precision, recall, F1: of a pair, or what unrelated texts reach.
typedef struct bert_triple {
    double precision, recall, f1;
} bert_triple;

typedef struct bert_score_options {
    int layer; // whose vectors are compared, from 1 on; 0: 5, distilroberta-base's
    // The package's table for the model (LAYER,P,R,F and a line per layer). NULL:
    // distilroberta-base's numbers where model and layer have its sizes, else scores are not
    // rescaled.
    const char *baseline;
} bert_score_options;

enum { BERT_SCORE_LAYER = 5 };

// FOLDER: a RoBERTa as Hugging Face's libraries keep it, with its tokenizer. The device and its dry
// twin (device_open_dry) are borrowed. IO; FORMAT (files that are none of that, no begin or end
// token, a table without the layer); USAGE (a layer that the model lacks); MEMORY; DEVICE.
status bert_score_open(bert_score **out, const char *folder, const bert_score_options *options,
                       device *d, device *dry);
void bert_score_close(bert_score *b); // accepts NULL

// SCORE (COUNT) of TEXT against REFERENCE (COUNT): line feeds are deleted and runs of white space
// are one blank, as REFERENCE 7.4 and 7.7 have it. A text or reference without words scores 0
// before it is rescaled. What is longer than the model has positions is cut and counted. Several
// pairs are computed at once, in the order of their references' lengths, and a reference that
// several texts have is computed once; which ones changes no score beyond rounding. FORMAT, MEMORY,
// DEVICE.
status bert_score_pairs(bert_score *b, bert_triple *score, const char *const *text,
                        const char *const *reference, int64_t count);
// Texts that were cut so far.
int64_t bert_score_cut(const bert_score *b);
// "layer 5 of 6, width 768, rescaled by distilroberta-base's numbers": for protocols. Borrowed.
const char *bert_score_name(const bert_score *b);
