// The classifier's training augmentation: a random rotation and shear, then brightness and contrast in
// random order. Pixels are bytes, so the colour step is a table of 256 floats. The draws depend on
// (seed, epoch, record) alone.
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct augmentation {
    double angle;                // degrees in [-30, 30)
    double shear;                // degrees in [-15, 15), along x
    double brightness, contrast; // factors in [0.8, 1.2)
    bool contrast_first;
} augmentation;

augmentation augment_draw(uint64_t seed, uint32_t epoch, uint32_t record);

// Rotates and shears about the centre; the nearest pixel, zero outside. OUT and IN: (side, side),
// different memory.
void augment_affine(uint8_t *out, const uint8_t *in, int side, augmentation a);

// The value in [0, 1] of each byte after brightness and contrast; contrast uses the mean of the COUNT
// PIXELS (those that augment_affine made).
void augment_lut(float lut[256], const uint8_t *pixels, int64_t count, augmentation a);

// v / 255: what is used without augmentation.
void lut_plain(float lut[256]);
