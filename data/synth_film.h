// From the facts of a study to the pixels of a radiograph. Decides size, exposure, position and grain of
// each film; what is on it comes from the scene_ functions. Writes no files. Called by synth.c and tests.
#pragma once
#include "data/synth_scene.h"

typedef struct film {
    scene s;
    float *value, *blur; // (side, side): brightness on the canvas, 0 to 1
} film;

// Room for one film at a time; one for each thread.
status film_new(film *f);
// Accepts a film that was never made, if it is zeroed.
void film_free(film *f);

enum { FILM_WIDTH = 2544, FILM_HEIGHT = 3056 };

// The size of image number IMAGE of the study: up to FILM_WIDTH x FILM_HEIGHT, most about 600 to 1100
// a side; shrunk as a whole where a side is longer than MAX_SIDE (0: as it is).
void film_size(int *width, int *height, const synth_study *study, int image, int max_side);

// Draws the image: OUT (height, width), 8-bit grey. The same arguments always give the same bytes.
void film_render(film *f, uint8_t *out, const synth_study *study, int image, int width, int height);
