// From decoded pixels to the bytes that are stored and trained on, exactly as RaDialog prepares them:
// stretched to 0..255, resized as Pillow does it, cropped in the centre. Every result is bit-exact with
// the Python original. Host memory only; nothing here touches files.
#pragma once
#include "data/image_codec.h"

// Maps the image's minimum to 0 and its maximum to 255, truncating, over all channels together; RGB
// then becomes grey with Pillow's weights. A constant image gives 0. OUT: (height, width).
void image_to_grey(uint8_t *out, const image *in);

// Pillow's antialiased bilinear resize for 8-bit grey: OUT (out_height, out_width), IN (height, width).
// A dimension that does not change is not filtered.
status image_resize(uint8_t *out, int out_width, int out_height, const uint8_t *in, int width,
                    int height);

// Grey, short side resized to SIDE, the long one to int(SIDE * long / short), centre square: OUT
// (side, side). Equal to resizing whole and cropping then, but computes only what the square needs.
status image_square(uint8_t *out, const image *in, int side);

// The centre SIDE_OUT square of a SIDE_IN square, its corner rounded half to even.
void image_crop(uint8_t *out, const uint8_t *in, int side_in, int side_out);
