// Random rotation, shear, brightness and contrast. See augment.h.
//
// Follows torchvision's affine and colour jitter on tensors, which RaDialog's classifier uses; the
// draws are our own, because those of a data loader's workers cannot be repeated.
#include "data/augment.h"

#include "core/rng.h"

#include <math.h>

enum { DRAW_ANGLE, DRAW_SHEAR, DRAW_BRIGHTNESS, DRAW_CONTRAST, DRAW_ORDER };

augmentation augment_draw(uint64_t seed, uint32_t epoch, uint32_t record) {
    rng_key key = {seed, rng_site("augment"), epoch};
    return (augmentation){
        .angle = -30 + 60 * (double)rng_uniform(key, record, DRAW_ANGLE),
        .shear = -15 + 30 * (double)rng_uniform(key, record, DRAW_SHEAR),
        .brightness = 0.8 + 0.4 * (double)rng_uniform(key, record, DRAW_BRIGHTNESS),
        .contrast = 0.8 + 0.4 * (double)rng_uniform(key, record, DRAW_CONTRAST),
        .contrast_first = rng_below(key, record, DRAW_ORDER, 2) == 1,
    };
}

// The matrix (a b; c d) = rotation(r) * shear(s) has determinant 1, so its inverse is (d -b; -c a).
// An output pixel takes the input at inverse * (x, y), both measured from the centre between the
// pixels.
void augment_affine(uint8_t *out, const uint8_t *in, int side, augmentation g) {
    double r = g.angle * M_PI / 180, s = g.shear * M_PI / 180, half = (side - 1) / 2.0;
    double a = cos(r), b = -cos(r) * tan(s) - sin(r), c = sin(r), d = -sin(r) * tan(s) + cos(r);
    for (int row = 0; row < side; row++) {
        double y = row - half;
        for (int column = 0; column < side; column++) {
            double x = column - half;
            double from_x = rint(d * x - b * y + half), from_y = rint(-c * x + a * y + half);
            bool inside = from_x >= 0 && from_x < side && from_y >= 0 && from_y < side;
            *out++ = inside ? in[(int64_t)from_y * side + (int64_t)from_x] : 0;
        }
    }
}

void lut_plain(float lut[256]) {
    for (int v = 0; v < 256; v++) lut[v] = (float)v / 255.0f;
}

static float clamp(float x) {
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

static void brighten(float lut[256], double factor) {
    for (int v = 0; v < 256; v++) lut[v] = clamp((float)factor * lut[v]);
}

// Blends with the mean grey value, whose weights 0.2989, 0.587 and 0.114 add up to 0.9999.
static void contrast(float lut[256], const int64_t histogram[256], int64_t count, double factor) {
    double sum = 0;
    for (int v = 0; v < 256; v++) sum += (double)histogram[v] * (double)lut[v];
    float mean = (float)(0.9999 * sum / (double)count);
    for (int v = 0; v < 256; v++)
        lut[v] = clamp((float)factor * lut[v] + (float)(1 - factor) * mean);
}

void augment_lut(float lut[256], const uint8_t *pixels, int64_t count, augmentation g) {
    int64_t histogram[256] = {0};
    for (int64_t i = 0; i < count; i++) histogram[pixels[i]]++;
    lut_plain(lut);
    if (g.contrast_first) contrast(lut, histogram, count, g.contrast);
    brighten(lut, g.brightness);
    if (!g.contrast_first) contrast(lut, histogram, count, g.contrast);
}
