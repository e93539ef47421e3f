// What the embedded data set draws with: planes of float pixels over the body's own coordinates, strokes,
// blobs and noise. Knows no anatomy. Used by the synth_*.c files alone.
//
// Coordinates: x runs to the image's right (the patient's left), y down; 1 is about 19 cm. The spine is at
// x = 0, the top of the lungs near y = 0, the diaphragm near y = 1.2, the inner chest wall near x = 0.8.
#pragma once
#include "core/memory.h"
#include "core/rng.h"
#include <stdbool.h>

// Independent draws of one place of the program for one sample. Every part of a picture has its own, so
// that taking one part away leaves the others as they were.
typedef struct draws {
    rng_key key;
    uint32_t sample;
    uint64_t next;
} draws;
draws draws_at(uint64_t seed, const char *site, int64_t sample, uint32_t step);
float draw_range(draws *d, float low, float high);
int draw_below(draws *d, int n);
bool draw_chance(draws *d, float probability);

enum {
    PLANE_BODY,   // soft tissue along the ray
    PLANE_AIR,    // air in the lungs along the ray
    PLANE_FILL,   // the share of that air which something replaces; below 0: more air
    PLANE_VESSEL, // vessels and other fine markings of the lungs
    PLANE_CLEAR,  // 1 where the lung has come off the wall and has no vessels
    PLANE_BONE,
    PLANE_METAL,
    PLANE_COUNT,
    NOISE_SIDE = 256
};

typedef struct canvas {
    int side, capacity;     // pixels of a side; the most there is room for
    float scale, left, top; // pixels per unit; coordinates of the corner
    float extent;           // units of a side
    float *plane[PLANE_COUNT]; // (side, side)
    float *near, *weight;      // (side, side): a stroke's distances and amounts while it is drawn
    float *noise;              // (NOISE_SIDE, NOISE_SIDE), periodic, 0 to 1
    float *block;              // all of the above
} canvas;

// Room for CAPACITY pixels a side over EXTENT units, the corner at (left, top).
status canvas_new(canvas *c, int capacity, float left, float top, float extent);
void canvas_free(canvas *c);
// Sets the resolution, up to the capacity, zeroes the planes and draws the noise.
void canvas_start(canvas *c, int side, draws d);

static inline float canvas_x(const canvas *c, int column) {
    return c->left + ((float)column + 0.5f) / c->scale;
}
static inline float canvas_y(const canvas *c, int row) {
    return c->top + ((float)row + 0.5f) / c->scale;
}

// Columns or rows from first to last (exclusive) that [low, high] touches, inside the canvas.
typedef struct span {
    int first, last;
} span;
span canvas_columns(const canvas *c, float low, float high);
span canvas_rows(const canvas *c, float low, float high);

// Smooth noise at a place, 0 to 1; FREQUENCY: coarse cells per unit.
float canvas_noise(const canvas *c, float x, float y, float frequency);

// A stroke's cross-section.
typedef enum profile { PROFILE_SOFT, PROFILE_ROUND, PROFILE_BONE, PROFILE_FLAT } profile;

typedef struct stroke_point {
    float x, y, radius, amount;
} stroke_point;
enum { STROKE_POINTS = 64 };

// Adds a tapered line through COUNT points. Thinner ones than a pixel get fainter instead.
void canvas_stroke(canvas *c, int plane, const stroke_point *p, int count, profile shape);
// A cubic Bezier curve from ENDS and their handles in COUNT points; radius and amount run linearly.
void stroke_curve(stroke_point *out, int count, const float xy[8], float radius_from, float radius_to,
                  float amount_from, float amount_to);

// An ellipse. EDGE: the share of the radius over which it fades; ROUGH: how far noise moves its outline.
typedef struct blob {
    float x, y, width, height; // radii
    float angle, amount, edge, rough, frequency;
} blob;
void canvas_blob(canvas *c, int plane, const blob *b);

// 0 below 0, 1 above 1, smooth between.
// As fminf and fmaxf of what is no NaN, without a call.
static inline float smaller(float a, float b) {
    return a < b ? a : b;
}
static inline float larger(float a, float b) {
    return a > b ? a : b;
}
static inline float ramp(float t) {
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return t * t * (3 - 2 * t);
}
static inline float clamp01(float t) {
    return t < 0 ? 0 : t > 1 ? 1 : t;
}
