// One chest before the film: its measures and the planes that it is drawn on. Private to the synth_*.c
// files that draw: anatomy (soft tissue, lungs, vessels), bones, findings, devices. synth_film.c calls
// them in that order and turns the planes into pixels.
#pragma once
#include "data/synth_canvas.h"
#include "data/synth_study.h"

enum { RIGHT, LEFT }; // index of a lung; the right one has negative x

// Sizes in the canvas's units; they belong to the patient, except for what findings and the kind of
// film change.
typedef struct anatomy {
    float chest;          // half the inner width
    float apex, apex_x;   // top of the lungs
    float dome[2];        // top of the diaphragm
    float heart[2];       // how far the heart reaches to each side
    float heart_y;        // its lowest part is about 0.3 below
    float mediastinum[2]; // half width of the vessels above the heart
    float knob;           // how far the aortic arch stands out
    float fat;            // soft tissue outside the ribs, and the thickness of all
    float shoulder;       // height of the clavicles' outer ends
    float rib_slope, rib_gap, scapula, arm;
    float breast; // 0: none
} anatomy;

typedef struct scene {
    canvas c;
    const synth_study *study;
    anatomy a;
    float *outer[2], *inner[2]; // (side): a lung's borders by row, as distances from the middle
    float *floor;               // (side): the lungs' lower border by column
    float *borders;             // all of the above
} scene;

status scene_new(scene *s, int capacity, float left, float top, float extent);
void scene_free(scene *s);

// Takes the study's measures, computes borders, draws soft tissue and lungs, SIDE pixels a side.
void scene_start(scene *s, const synth_study *study, int side);
void scene_vessels(scene *s);
void scene_bones(scene *s);
void scene_findings(scene *s);
void scene_devices(scene *s);
// Fills of the air spaces: opacity, edema, consolidation, pneumonia, atelectasis, lesion.
void scene_airspace(scene *s);

// The lungs' outer border at height Y.
float lung_outer(const anatomy *a, float y);
// A lung's inner border at height Y.
float lung_inner(const anatomy *a, int lung, float y);
// The diaphragm at X.
float lung_floor(const anatomy *a, float x);

static inline float lung_sign(int lung) {
    return lung == RIGHT ? -1.0f : 1.0f;
}
// True where a finding of SIDE is in LUNG.
static inline bool side_has(synth_side side, int lung) {
    return side == SIDE_BOTH || side == (lung == RIGHT ? SIDE_RIGHT : SIDE_LEFT);
}
