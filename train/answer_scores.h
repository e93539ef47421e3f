// Validation of a language model by what its reports say: answers to a fixed part of the validation split,
// labelled as the reports that they should be were, by a report labeler (REFERENCE 7.6: the macro F1 of the
// 14 observations that reports call positive).
#pragma once
#include "eval/clinical.h"
#include "train/answer_source.h"
#include "train/report_labeler.h"
#include "train/run.h"

typedef struct answer_scores {
    answer_source source;
    report_labeler labeler;
    generator *writer;
    int64_t count, first, own; // prompts; of them this rank's
    int8_t *truth, *said;      // (count, CLASS_COUNT), (own, CLASS_COUNT)
    buffer texts;              // of this rank's answers, a NUL behind each
    int64_t *planned;          // lengths of prompts that a plan makes up
} answer_scores;

// The first validate.answers conversations of the validation split, or all where it has fewer. The model is
// the run's. To be closed also after a failure. USAGE (no labeler is named), IO, FORMAT, MEMORY, DEVICE.
status answer_scores_open(answer_scores *s, run *r, const llama *m, const answer_source *from,
                          int32_t image_token);
// For plans, which read no data: prompts as long as REFERENCE 5.7 lets them be, and no labeler.
status answer_scores_plan(answer_scores *s, run *r, const llama *m, int32_t image_token);
void answer_scores_close(answer_scores *s);
// Bytes on the run's device, and of the labeler's weights.
size_t answer_scores_bytes(const answer_scores *s);
// The largest step of writing, in a dry run of the run's tape.
void answer_scores_dry(answer_scores *s);
// What was SAID against the TRUTH, of all ranks' answers: their counts add up, exactly. MEMORY.
status answer_scores_measure(const answer_scores *s, run *r, clinical_scores *out);
// Writes and judges, whatever signals come: appends members of a JSON object to OUT; *F1, equal on all
// ranks. Errors: the writer's and the labeler's.
status answer_scores_make(answer_scores *s, run *r, buffer *out, double *f1);
