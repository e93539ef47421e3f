#include "data/dicom_pixels.h"

#include <math.h>
#include <string.h>

enum { VALUES = 65536 };

const char *const dicom_recipe_names[DICOM_RECIPES] = {"mimic-cxr-jpg", "window"};

// --- samples -------------------------------------------------------------------------------------

// What a word of memory says: the stored bits moved down, the sign spread. The other bits of the
// word may hold anything (overlays of old devices).
static int stored_value(const dicom_frame *f, unsigned word) {
    unsigned bits = word >> (f->high + 1 - f->stored) & ((1u << f->stored) - 1);
    bool negative = f->is_signed && bits >> (f->stored - 1);
    return (int)bits - (negative ? 1 << f->stored : 0);
}

static size_t pixel_count(const dicom_frame *f) {
    return (size_t)f->width * (size_t)f->height;
}

static unsigned word_at(const dicom_frame *f, const void *samples, size_t i) {
    return f->allocated == 8 ? ((const uint8_t *)samples)[i] : ((const uint16_t *)samples)[i];
}

// Every recipe but the equalisation maps values alone: TABLE has room for every word of memory.
static void map_words(image *out, const dicom_frame *f, const void *samples,
                      const uint16_t *table) {
    size_t count = pixel_count(f);
    if (out->depth == 8)
        for (size_t i = 0; i < count; i++)
            ((uint8_t *)out->pixels)[i] = (uint8_t)table[word_at(f, samples, i)];
    else
        for (size_t i = 0; i < count; i++)
            ((uint16_t *)out->pixels)[i] = table[word_at(f, samples, i)];
}

// --- MIMIC-CXR-JPG's recipe ---------------------------------------------------------------------

static void value_range(int *low, int *high, const dicom_frame *f, const void *samples,
                        uint8_t seen[VALUES]) {
    size_t count = pixel_count(f);
    for (size_t i = 0; i < count; i++) seen[word_at(f, samples, i)] = 1;
    *low = INT32_MAX, *high = INT32_MIN;
    for (unsigned w = 0; w < VALUES; w++) {
        if (!seen[w]) continue;
        int v = stored_value(f, w);
        *low = v < *low ? v : *low;
        *high = v > *high ? v : *high;
    }
}

// OpenCV's equalizeHist: the darkest bin that is used becomes 0, the rest the share of pixels up to
// and with it, without those of the darkest bin; in float, halves to the even neighbour. An image
// of one value keeps it.
static void equalise(uint8_t *pixels, size_t count) {
    size_t histogram[256] = {0}, sum = 0;
    uint8_t table[256] = {0};
    int first = 0;
    for (size_t i = 0; i < count; i++) histogram[pixels[i]]++;
    while (!histogram[first]) first++;
    if (histogram[first] == count) return;
    float scale = 255.0f / (float)(count - histogram[first]);
    for (int v = first + 1; v < 256; v++) {
        sum += histogram[v];
        table[v] = (uint8_t)lrintf((float)sum * scale);
    }
    for (size_t i = 0; i < count; i++) pixels[i] = table[pixels[i]];
}

static void mimic_image(image *out, const dicom_frame *f, const void *samples,
                        uint16_t table[VALUES], uint8_t seen[VALUES]) {
    int low, high;
    value_range(&low, &high, f, samples, seen);
    for (unsigned w = 0; w < VALUES; w++) {
        if (!seen[w]) continue;
        double part = high > low ? (double)(stored_value(f, w) - low) / (double)(high - low) : 0;
        uint8_t grey = (uint8_t)(part * 255);
        table[w] = f->inverted ? (uint8_t)(255 - grey) : grey;
    }
    map_words(out, f, samples, table);
    equalise(out->pixels, pixel_count(f));
}

// --- windows -------------------------------------------------------------------------------------

// Inputs outside a table take its first or last value.
static int look_up(const dicom_lut *lut, double value) {
    double place = value - lut->first;
    int i = place < 0 ? 0 : place > lut->count - 1 ? lut->count - 1 : (int)place;
    return lut->value[i];
}

static double at_most_one(double v) {
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

// A table's value as a share of what its bits allow, which a damaged one may exceed.
static double share(const dicom_lut *lut, int value) {
    return at_most_one((double)value / (double)((1 << lut->bits) - 1));
}

// PS3.3 C.11.2.1.2 (linear), C.11.2.1.3 (sigmoid, exact). 0 to 1.
static double window(const dicom_frame *f, double v) {
    switch (f->function) {
    case DICOM_SIGMOID:
        return 1 / (1 + exp(-4 * (v - f->center) / f->span));
    case DICOM_LINEAR_EXACT:
        return at_most_one((v - f->center) / f->span + 0.5);
    default:
        if (f->span == 1) return v <= f->center - 0.5 ? 0 : 1;
        return at_most_one((v - (f->center - 0.5)) / (f->span - 1) + 0.5);
    }
}

static bool applies_nothing(const dicom_frame *f) {
    return !f->modality.value && !f->voi.value && !f->windowed;
}

// A stored value as a viewer would show it, 0 to 1.
static double shown(const dicom_frame *f, int stored) {
    double v = stored * f->slope + f->intercept;
    if (f->modality.value) v = look_up(&f->modality, stored);
    if (f->voi.value) return share(&f->voi, look_up(&f->voi, v));
    return f->windowed ? window(f, v) : share(&f->modality, (int)v);
}

static status window_image(image *out, const dicom_frame *f, const void *samples,
                           uint16_t table[VALUES]) {
    // Without anything to choose an interest by, a slope changes only units: values stay what they
    // are.
    bool plain = applies_nothing(f);
    double smallest = f->function == DICOM_LINEAR ? 1 : 1e-9; // the standard's own
    if (f->windowed && !f->voi.value &&
        !(isfinite(f->center) && isfinite(f->span) && f->span >= smallest))
        return status_fail(STATUS_FORMAT, "its window has no width");
    if (!isfinite(f->slope) || !isfinite(f->intercept))
        return status_fail(STATUS_FORMAT, "its rescale slope or intercept is no number");
    for (unsigned w = 0; w < (f->allocated == 8 ? 256u : (unsigned)VALUES); w++) {
        int v = stored_value(f, w);
        if (plain) {
            int from = f->is_signed ? -(1 << (f->stored - 1)) : 0;
            int most = (1 << f->stored) - 1, grey = v - from;
            table[w] = (uint16_t)(f->inverted ? most - grey : grey);
        } else {
            double grey = shown(f, v);
            table[w] = (uint16_t)lrint(65535 * (f->inverted ? 1 - grey : grey));
        }
    }
    map_words(out, f, samples, table);
    return STATUS_OK;
}

// --- both ----------------------------------------------------------------------------------------

typedef struct tables {
    uint16_t table[VALUES];
    uint8_t seen[VALUES];
} tables;

status dicom_image(image *out, const dicom_frame *f, const void *samples, dicom_recipe recipe) {
    tables *t = NULL;
    bool narrow = recipe == DICOM_MIMIC_CXR_JPG || (f->allocated == 8 && applies_nothing(f));
    status rc = image_take(out, "its image", f->width, f->height, 1, narrow ? 8 : 16);
    if (!rc) rc = mem_new(&t, 1, "tables of an image");
    if (!rc && recipe == DICOM_MIMIC_CXR_JPG)
        mimic_image(out, f, samples, t->table, t->seen);
    else if (!rc)
        rc = window_image(out, f, samples, t->table);
    mem_free(t);
    if (rc) image_free(out);
    return rc;
}

// Room is taken for an image of 16 bits: for the one that comes of it, too.
status dicom_image_of(image *out, buffer *bytes, dicom_file *file, dicom_recipe recipe) {
    dicom_frame f;
    char why[DICOM_TEXT];
    if (dicom_read_frame(&f, file, why, sizeof why)) return status_fail(STATUS_FORMAT, "%s", why);
    status rc = image_take(out, "its image", f.width, f.height, 1, 16);
    size_t size = rc ? 0 : pixel_count(&f) * (size_t)(f.allocated / 8);
    if (!rc) rc = mem_grow((void **)&bytes->data, &bytes->capacity, size, 1, "samples");
    if (!rc && dicom_read_pixels(bytes->data, size, file, why, sizeof why))
        rc = status_fail(STATUS_FORMAT, "%s", why);
    if (!rc) rc = dicom_image(out, &f, bytes->data, recipe);
    if (rc) image_free(out);
    return rc;
}

status dicom_image_read(image *out, buffer *bytes, const char *path, dicom_recipe recipe) {
    dicom_file *file;
    char why[DICOM_TEXT];
    status rc = dicom_open(&file, path, why, sizeof why) ? status_fail(STATUS_FORMAT, "%s", why)
                                                         : STATUS_OK;
    if (!rc) rc = dicom_image_of(out, bytes, file, recipe);
    dicom_close(file);
    if (rc) image_free(out);
    return rc;
}
