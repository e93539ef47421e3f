// Stretching, resizing and cropping of radiographs, bit for bit as the Python original. See
// image.h.
//
// The resampler is Pillow's for 8-bit grey with its bilinear filter (src/libImaging/Resample.c):
// weights in double, rounded to 22 fractional bits, a horizontal pass to bytes, a vertical pass to
// bytes. Both passes here work on a window of the output, which gives the same bytes as cropping
// afterwards.
#include "data/image.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { PRECISION = 22 };

// ---- the stretch to 0..255 ----

// v -> trunc((v - low) / (high - low) * 255) in double; all zero for a constant image.
static void stretch_table(uint8_t *table, int low, int high) {
    for (int v = low; v <= high; v++)
        table[v] = high > low ? (uint8_t)((double)(v - low) / (double)(high - low) * 255) : 0;
}

static void range_8(int *low, int *high, const uint8_t *v, size_t count) {
    uint8_t least = 255, most = 0;
    for (size_t i = 0; i < count; i++) {
        least = v[i] < least ? v[i] : least;
        most = v[i] > most ? v[i] : most;
    }
    *low = least, *high = most;
}

static void range_16(int *low, int *high, const uint16_t *v, size_t count) {
    uint16_t least = 65535, most = 0;
    for (size_t i = 0; i < count; i++) {
        least = v[i] < least ? v[i] : least;
        most = v[i] > most ? v[i] : most;
    }
    *low = least, *high = most;
}

static uint8_t luminance(uint32_t r, uint32_t g, uint32_t b) {
    return (uint8_t)((19595 * r + 38470 * g + 7471 * b + 32768) >> 16);
}

void image_to_grey(uint8_t *out, const image *in) {
    if ((in->channels != 1 && in->channels != 3) || (in->depth != 8 && in->depth != 16))
        die("image_to_grey: %d channels of %d bits", in->channels, in->depth);
    size_t pixels = (size_t)in->width * (size_t)in->height;
    size_t samples = pixels * (size_t)in->channels;
    const uint8_t *v8 = in->depth == 8 ? in->pixels : NULL;
    const uint16_t *v16 = in->depth == 16 ? in->pixels : NULL;
    uint8_t table[65536];
    int low, high;
    if (v8)
        range_8(&low, &high, v8, samples);
    else
        range_16(&low, &high, v16, samples);
    stretch_table(table, low, high);
#define STRETCHED(i) table[v8 ? v8[i] : v16[i]]
    if (in->channels == 1)
        for (size_t i = 0; i < pixels; i++) out[i] = STRETCHED(i);
    else
        for (size_t i = 0; i < pixels; i++)
            out[i] = luminance(STRETCHED(3 * i), STRETCHED(3 * i + 1), STRETCHED(3 * i + 2));
#undef STRETCHED
}

// ---- weights ----

// One axis of a resize, for the outputs FIRST to FIRST + COUNT - 1 of OUT_SIZE.
typedef struct axis {
    int in_size, out_size, first, count;
    int taps;        // room for each output's weights
    int *start;      // (count) the first input of each output
    int *used;       // (count) inputs that it has
    int32_t *weight; // (count, taps) zero behind the used ones
} axis;

static void axis_free(axis *a) {
    mem_free(a->start);
    mem_free(a->used);
    mem_free(a->weight);
}

static double triangle(double x) {
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static void axis_weights(axis *a, int i, double *exact) {
    double scale = (double)a->in_size / a->out_size, filter = scale < 1 ? 1 : scale;
    double center = (a->first + i + 0.5) * scale, inverse = 1 / filter, sum = 0;
    int low = (int)(center - filter + 0.5), high = (int)(center + filter + 0.5);
    if (low < 0) low = 0;
    if (high > a->in_size) high = a->in_size;
    a->start[i] = low;
    a->used[i] = high - low;
    for (int j = 0; j < high - low; j++) {
        exact[j] = triangle((j + low - center + 0.5) * inverse);
        sum += exact[j];
    }
    for (int j = 0; j < high - low; j++) {
        double w = sum != 0 ? exact[j] / sum : exact[j];
        a->weight[(size_t)i * (size_t)a->taps + (size_t)j] = (int32_t)(0.5 + w * (1 << PRECISION));
    }
}

// After a failure too, axis_free releases what there is.
static status axis_make(axis *a, int in_size, int out_size, int first, int count) {
    *a = (axis){.in_size = in_size, .out_size = out_size, .first = first, .count = count};
    double scale = (double)in_size / out_size;
    a->taps = (int)ceil(scale < 1 ? 1 : scale) * 2 + 1;
    double *exact = NULL;
    size_t weights;
    if (!size_multiply((size_t)count, (size_t)a->taps, &weights))
        return status_fail(STATUS_MEMORY, "a resize from %d to %d is too large", in_size, out_size);
    status rc = mem_new(&a->start, count, "resize bounds");
    if (!rc) rc = mem_new(&a->used, count, "resize bounds");
    if (!rc) rc = mem_new(&a->weight, weights, "resize weights");
    if (!rc) rc = mem_new(&exact, a->taps, "resize weights");
    for (int i = 0; i < count && !rc; i++) axis_weights(a, i, exact);
    mem_free(exact);
    return rc;
}

// ---- the passes ----

static uint8_t to_byte(int32_t sum) {
    int32_t v = sum >> PRECISION;
    return (uint8_t)(v > 255 ? 255 : v); // weights are never negative
}

// One row: OUT (count).
static void pass_row(uint8_t *restrict out, const uint8_t *restrict in, const axis *a) {
    for (int x = 0; x < a->count; x++) {
        const int32_t *w = a->weight + (size_t)x * (size_t)a->taps;
        const uint8_t *from = in + a->start[x];
        int32_t sum = 1 << (PRECISION - 1);
        for (int j = 0; j < a->used[x]; j++) sum += w[j] * from[j];
        out[x] = to_byte(sum);
    }
}

// One output row from the rows of IN (rows, width), which begin with row FIRST_ROW of the source.
static void pass_column(uint8_t *restrict out, int32_t *restrict sum, const uint8_t *restrict in,
                        const axis *a, int y, int first_row, int width) {
    const int32_t *w = a->weight + (size_t)y * (size_t)a->taps;
    for (int x = 0; x < width; x++) sum[x] = 1 << (PRECISION - 1);
    for (int j = 0; j < a->used[y]; j++) {
        const uint8_t *row = in + (size_t)(a->start[y] + j - first_row) * (size_t)width;
        for (int x = 0; x < width; x++) sum[x] += w[j] * row[x];
    }
    for (int x = 0; x < width; x++) out[x] = to_byte(sum[x]);
}

// A window of the resized image.
typedef struct window {
    int left, top, width, height;
} window;

typedef struct resize_source {
    const uint8_t *pixels; // (height, width)
    const uint8_t *table;  // (256) applied to each pixel first, NULL: none
    int width, height;
} resize_source;

// Rows FIRST to FIRST + ROWS - 1 of the source after the horizontal pass: OUT (rows, window width).
// LINE (source width) holds a row that went through the table.
static void pass_rows(uint8_t *out, uint8_t *line, const resize_source *in, const axis *a,
                      int first, int rows) {
    bool copy = a->in_size == a->out_size; // Pillow does not filter along an unchanged dimension
    for (int y = 0; y < rows; y++) {
        const uint8_t *row = in->pixels + (size_t)(first + y) * (size_t)in->width;
        uint8_t *to = out + (size_t)y * (size_t)a->count;
        if (in->table) {
            for (int x = 0; x < in->width; x++) line[x] = in->table[row[x]];
            row = line;
        }
        if (copy)
            memcpy(to, row + a->first, (size_t)a->count);
        else
            pass_row(to, row, a);
    }
}

static status resize_window(uint8_t *out, int out_width, int out_height, window w,
                            const resize_source *in) {
    axis across = {0}, down = {0};
    uint8_t *middle = NULL, *line = NULL;
    int32_t *sum = NULL;
    bool copy = out_height == in->height;
    status rc = axis_make(&across, in->width, out_width, w.left, w.width);
    if (!rc) rc = axis_make(&down, in->height, out_height, w.top, w.height);
    if (!rc && in->table) rc = mem_new(&line, in->width, "a row of an image");
    if (!rc && !copy) {
        int first = down.start[0];
        int rows = down.start[w.height - 1] + down.used[w.height - 1] - first;
        rc = mem_new(&middle, (size_t)rows * (size_t)w.width, "a half-resized image");
        if (!rc) rc = mem_new(&sum, w.width, "a row of sums");
        if (!rc) {
            pass_rows(middle, line, in, &across, first, rows);
            for (int y = 0; y < w.height; y++)
                pass_column(out + (size_t)y * (size_t)w.width, sum, middle, &down, y, first,
                            w.width);
        }
    } else if (!rc) {
        pass_rows(out, line, in, &across, w.top, w.height);
    }
    mem_free(sum);
    mem_free(line);
    mem_free(middle);
    axis_free(&down);
    axis_free(&across);
    return rc;
}

status image_resize(uint8_t *out, int out_width, int out_height, const uint8_t *in, int width,
                    int height) {
    if (out_width < 1 || out_height < 1 || width < 1 || height < 1)
        die("image_resize: %d x %d to %d x %d", width, height, out_width, out_height);
    return resize_window(out, out_width, out_height, (window){0, 0, out_width, out_height},
                         &(resize_source){in, NULL, width, height});
}

// ---- squares ----

// N / 2, halves to the even neighbour, for N >= 0.
static int half_even(int n) {
    int half = n / 2;
    return n % 2 ? half + half % 2 : half;
}

void image_crop(uint8_t *out, const uint8_t *in, int side_in, int side_out) {
    if (side_out < 1 || side_out > side_in) die("image_crop: %d to %d", side_in, side_out);
    size_t corner = (size_t)half_even(side_in - side_out), in_stride = (size_t)side_in;
    for (size_t y = 0; y < (size_t)side_out; y++)
        memcpy(out + y * (size_t)side_out, in + (corner + y) * in_stride + corner,
               (size_t)side_out);
}

// The long side of the resized image: int(side * long / short), the quotient in double.
static int long_side(int side, int longer, int shorter) {
    return (int)((double)((int64_t)side * longer) / shorter);
}

status image_square(uint8_t *out, const image *in, int side) {
    if (side < 1 || side > IMAGE_SIDE || in->width < 1 || in->height < 1)
        die("image_square: %d x %d to %d", in->width, in->height, side);
    resize_source from = {.width = in->width, .height = in->height};
    uint8_t *grey = NULL, table[256];
    size_t pixels = (size_t)in->width * (size_t)in->height;
    if (in->channels == 1 && in->depth == 8) {
        int low, high;
        range_8(&low, &high, in->pixels, pixels);
        stretch_table(table, low, high);
        from.pixels = in->pixels;
        from.table = low == 0 && high == 255 ? NULL : table;
    } else {
        status rc = mem_new(&grey, pixels, "a grey image");
        if (rc) return rc;
        image_to_grey(grey, in);
        from.pixels = grey;
    }
    bool tall = in->width <= in->height;
    int width = tall ? side : long_side(side, in->width, in->height);
    int height = tall ? long_side(side, in->height, in->width) : side;
    window w = {half_even(width - side), half_even(height - side), side, side};
    status rc = resize_window(out, width, height, w, &from);
    mem_free(grey);
    return rc;
}
