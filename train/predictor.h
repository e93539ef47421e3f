// A findings classifier at work: logits of radiographs. For the classify command, and wherever findings go into
// a prompt (generate with images).
#pragma once
#include "train/classifier_data.h"
#include "train/image_files.h"
#include "train/inference.h"

typedef struct predictor {
    inference inference;
    classifier model;
    classifier_inputs inputs;
    int crop, size;
    int64_t batch;
} predictor;

extern const config_key *const predictor_tables[];

// The checkpoint that --checkpoint names. To be closed also after a failure. USAGE, IO, FORMAT, MEMORY,
// DEVICE.
status predictor_open(predictor *p, const arguments *a);
// The checkpoint at PATH as it describes itself, on a device of its own (run.device), in f32, for one image at a
// time.
status predictor_open_at(predictor *p, const char *path, const char *where);
void predictor_close(predictor *p);
// Of one picture, which was read with the predictor's crop and size.
status predictor_file(predictor *p, const image_file *image, float logits[CLASS_COUNT]);
