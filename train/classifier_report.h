// What a trained classifier knows: tables and JSON of its metrics.
#pragma once
#include "train/classifier_data.h"
#include "train/run.h"

// Appends M as a JSON object; BATCH_F1 is the reference's val_f1.
void metrics_json(buffer *out, const classify_metrics *m, double batch_f1);

// Scores the best checkpoint of R on the test split (and, with train.validate_first, the untrained model
// first); prints a table on stdout and writes RUN/test.json. Leaves the best weights in R.
status classifier_report(run *r, const classifier *m, const dataset *data, classifier_inputs *in);
