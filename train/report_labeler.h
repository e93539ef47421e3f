// A report labeler at work: labels of texts by a checkpoint of train chexbert or the public chexbert.pth. For
// the label command, and wherever written reports are judged by what they say (evaluate, validation of
// train lora).
#pragma once
#include "train/chexbert_data.h"
#include "train/inference.h"

typedef struct report_labeler {
    inference inference;
    wordpiece *words;
    buffer vocabulary;
    chexbert model;
    chexbert_inputs inputs;
    int64_t batch;
    bool patient; // goes on after a signal
} report_labeler;

// The checkpoint that --checkpoint names, with TABLES (chexbert_tables and more). To be closed also after a failure.
// USAGE, IO, FORMAT, MEMORY, DEVICE.
status report_labeler_open(report_labeler *l, const arguments *a, const config_key *const *tables);
// The checkpoint at PATH as it describes itself, on a device ("cpu", "cuda") of its own, in f32.
status report_labeler_open_at(report_labeler *l, const char *path, const char *where);
void report_labeler_close(report_labeler *l);

// How it reads texts, for texts_open.
text_options report_labeler_reading(const report_labeler *l);
// Numbers of a text's vector, the labeler's [CLS].
int64_t report_labeler_width(const report_labeler *l);
// LABELS (COUNT, CLASS_COUNT) and, unless NULL, VECTORS (COUNT, width) of the texts of RECORD (COUNT). INTERRUPTED
// after a signal, unless it is patient.
status report_labeler_label(report_labeler *l, const text_set *texts, const int64_t *record, int64_t count,
                            int8_t *labels, float *vectors);
// The same of TEXT (COUNT).
status report_labeler_texts(report_labeler *l, const char *const *text, int64_t count, int8_t *labels,
                            float *vectors);
