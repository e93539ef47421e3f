// `radialog synth`: the embedded data set, procedural chest radiographs with reports, in the layout of
// MIMIC-CXR-JPG. Nothing in it comes from a person. The facts of each study are in synth_study.h.
//
// Left out: lateral views (all films are frontal, AP or PA), and priors (no report compares).
#pragma once
#include "data/synth_study.h"

typedef struct synth_options {
    const char *out; // made if it is missing; must not hold a data set, but for an unfinished one of the same options
    int64_t studies; // 1 to SYNTH_STUDIES
    uint64_t seed;
    int max_side; // images are shrunk to it; 0: up to 2544 x 3056
} synth_options;

// Writes images, reports, and the CSV files of splits, metadata and labels under OUT. The bytes depend on
// the options alone, never on the number of threads.
status synth_write(const synth_options *o);

// The identifier of a study's image NUMBER: five groups of eight hexadecimal digits.
enum { SYNTH_IMAGE_ID = 45 };
void synth_image_id(char out[SYNTH_IMAGE_ID], const synth_study *s, int number);
