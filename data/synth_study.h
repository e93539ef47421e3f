// The facts of one study of the embedded data set: what is found, on which side, how much of it, and who
// the patient is. Pictures (synth_film) and reports (synth_report) are both made from these facts and
// from nothing else; so they agree. Called by synth.c, and by stages and tests that need the truth.
#pragma once
#include "data/labels.h"

// The classes by name, in the order of labels.h.
enum {
    FIND_NONE,
    FIND_MEDIASTINUM,
    FIND_HEART,
    FIND_OPACITY,
    FIND_LESION,
    FIND_EDEMA,
    FIND_CONSOLIDATION,
    FIND_PNEUMONIA,
    FIND_ATELECTASIS,
    FIND_PNEUMOTHORAX,
    FIND_EFFUSION,
    FIND_PLEURA,
    FIND_FRACTURE,
    FIND_DEVICES
};

// Sides are the patient's; the right one is at the left of the image.
typedef enum synth_side { SIDE_NONE, SIDE_RIGHT, SIDE_LEFT, SIDE_BOTH } synth_side;
typedef enum synth_severity { SEVERITY_MILD, SEVERITY_MODERATE, SEVERITY_SEVERE } synth_severity;
typedef enum synth_zone { ZONE_UPPER, ZONE_MIDDLE, ZONE_LOWER } synth_zone;
typedef enum synth_split { SYNTH_TRAIN, SYNTH_VALIDATE, SYNTH_TEST } synth_split;

enum {
    DEVICE_TUBE = 1,      // endotracheal
    DEVICE_LINE = 2,      // central venous, from the neck or below the clavicle
    DEVICE_PACEMAKER = 4, // with two leads
    DEVICE_WIRES = 8,     // of the sternum
    DEVICE_FEEDING = 16,  // nasogastric
    DEVICE_DRAIN = 32,    // chest tube
    DEVICE_KINDS = 6
};

typedef struct synth_fact {
    int8_t label; // LABEL_POSITIVE, ...; an uncertain one is drawn faintly or not at all
    synth_side side;
    synth_severity severity;
    synth_zone zone;
} synth_fact;

typedef struct synth_study {
    uint64_t seed;
    int64_t number, patient; // PATIENT: the number of the patient's first study
    int subject_id, study_id;
    synth_split split; // the same for all studies of a patient
    int images;        // 1 or 2, all frontal
    bool portable;     // AP, worse in quality; else PA
    bool female;
    unsigned devices; // DEVICE_ bits; not 0 exactly if Support Devices is positive
    synth_side device_side, drain_side;
    synth_fact fact[CLASS_COUNT];
} synth_study;

// Study numbers are below this, so that identifiers stay different.
enum { SYNTH_STUDIES = 10 * 1000 * 1000 };

// The facts of a study; the same for the same (seed, study) whatever else is drawn. Lung Opacity is
// positive with a plain opacity and wherever consolidation, pneumonia, atelectasis, a lesion or more than
// mild edema is. No Finding is positive exactly if nothing but Support Devices is; a study with an
// uncertain finding always has a positive one too.
void synth_study_draw(uint64_t seed, int64_t study, synth_study *out);

static inline bool synth_positive(const synth_study *s, int finding) {
    return s->fact[finding].label == LABEL_POSITIVE;
}

// True where Lung Opacity is not only a consequence of another finding.
bool synth_plain_opacity(const synth_study *s);
