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

// 8-bit pixels go through v -> (v - low) * factor >> 16, which vectorises; factor is 255 * 2^16 / (high -
// low), rounded up. With n = v - low <= range <= 255 it exceeds 255 n / range by less than n / 2^16 <
// 1 / range, and so never reaches the next integer: the result is floor(255 n / range), which is what
// the reference's doubles truncate to.
typedef struct stretch {
    uint32_t low, factor; // factor 0: a constant image, all zero
} stretch;

static stretch stretch_make(int low, int high) {
    uint32_t range = (uint32_t)(high - low);
    return (stretch){(uint32_t)low, range ? (255 * 65536 + range - 1) / range : 0};
}

static void stretch_bytes(uint8_t *restrict out, const uint8_t *restrict in, size_t count, stretch s) {
    for (size_t i = 0; i < count; i++) out[i] = (uint8_t)((in[i] - s.low) * s.factor >> 16);
}

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

// The horizontal pass works on BLOCK rows at once, one in each lane: a block is transposed, so that the
// taps of an output are whole vectors, and the outputs are transposed back.
enum { BLOCK = 16 };
typedef uint8_t bytes __attribute__((vector_size(BLOCK)));
typedef uint16_t shorts __attribute__((vector_size(BLOCK * 2)));
typedef int32_t sums __attribute__((vector_size(BLOCK * 4)));

// 16 x 16 in place: four rounds that deal the vectors like cards.
static void transpose(bytes v[BLOCK]) {
    bytes w[BLOCK];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < BLOCK / 2; i++) {
            bytes a = v[i], b = v[i + BLOCK / 2];
            w[2 * i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            w[2 * i + 1] =
                __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
        memcpy(v, w, sizeof w);
    }
}

// What the horizontal pass works in: BLOCK rows of STRIDE bytes, STRIDE a multiple of BLOCK that holds
// the source's columns FIRST to FIRST + COUNT - 1, and the same transposed.
typedef struct lanes {
    int first, count;
    size_t stride;
    uint8_t *row;  // (BLOCK, stride)
    bytes *column; // (stride)
} lanes;

static status lanes_make(lanes *l, const axis *a) {
    int last = a->count - 1;
    l->first = a->start[0];
    l->count = a->start[last] + a->used[last] - l->first;
    l->stride = ((size_t)l->count + BLOCK - 1) / BLOCK * BLOCK;
    status rc = mem_new(&l->row, BLOCK * l->stride, "rows of an image");
    return rc ? rc : mem_new(&l->column, l->stride, "rows of an image");
}

static void lanes_free(lanes *l) {
    mem_free(l->row);
    mem_free(l->column);
}

static void lanes_turn(const lanes *l) {
    for (size_t x = 0; x < l->stride; x += BLOCK) {
        bytes v[BLOCK];
        for (size_t y = 0; y < BLOCK; y++) memcpy(&v[y], l->row + y * l->stride + x, sizeof v[y]);
        transpose(v);
        memcpy(l->column + x, v, sizeof v);
    }
}

// Bytes become sums by way of shorts: gcc 12 takes the direct conversion apart into single elements.
static bytes lanes_output(const lanes *l, const axis *a, int x) {
    const int32_t *w = a->weight + (size_t)x * (size_t)a->taps;
    const bytes *from = l->column + (a->start[x] - l->first);
    sums sum = (sums){0} + (1 << (PRECISION - 1));
    for (int j = 0; j < a->used[x]; j++)
        sum += __builtin_convertvector(__builtin_convertvector(from[j], shorts), sums) * w[j];
    sum >>= PRECISION;
    sum = (sum & ~(sum > 255)) | (255 & (sum > 255)); // weights are never negative
    return __builtin_convertvector(__builtin_convertvector(sum, shorts), bytes);
}

// OUT (rows, count of A) from the block in L, of which ROWS <= BLOCK are wanted.
static void lanes_pass(uint8_t *out, const lanes *l, const axis *a, int rows) {
    size_t width = (size_t)a->count;
    lanes_turn(l);
    for (int x = 0; x < a->count; x += BLOCK) {
        bytes v[BLOCK] = {0};
        int used = a->count - x < BLOCK ? a->count - x : BLOCK;
        for (int i = 0; i < used; i++) v[i] = lanes_output(l, a, x + i);
        transpose(v);
        for (int y = 0; y < rows; y++)
            memcpy(out + (size_t)y * width + (size_t)x, &v[y], (size_t)used);
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
    const stretch *stretch; // applied to each pixel first, NULL: none
    int width, height;
} resize_source;

// One row of the source from column FIRST on, stretched where that is asked for.
static void take_row(uint8_t *out, const resize_source *in, int y, int first, int count) {
    const uint8_t *row = in->pixels + (size_t)y * (size_t)in->width + (size_t)first;
    if (in->stretch)
        stretch_bytes(out, row, (size_t)count, *in->stretch);
    else
        memcpy(out, row, (size_t)count);
}

// Rows FIRST to FIRST + ROWS - 1 of the source after the horizontal pass: OUT (rows, window width).
static status pass_rows(uint8_t *out, const resize_source *in, const axis *a, int first, int rows) {
    size_t width = (size_t)a->count;
    if (a->in_size == a->out_size) { // Pillow does not filter along an unchanged dimension
        for (int y = 0; y < rows; y++)
            take_row(out + (size_t)y * width, in, first + y, a->first, a->count);
        return STATUS_OK;
    }
    lanes l = {0};
    status rc = lanes_make(&l, a);
    for (int y = 0; y < rows && !rc; y += BLOCK) {
        int used = rows - y < BLOCK ? rows - y : BLOCK;
        for (int i = 0; i < used; i++)
            take_row(l.row + (size_t)i * l.stride, in, first + y + i, l.first, l.count);
        lanes_pass(out + (size_t)y * width, &l, a, used);
    }
    lanes_free(&l);
    return rc;
}

static status resize_window(uint8_t *out, int out_width, int out_height, window w,
                            const resize_source *in) {
    axis across = {0}, down = {0};
    uint8_t *middle = NULL;
    int32_t *sum = NULL;
    bool copy = out_height == in->height;
    status rc = axis_make(&across, in->width, out_width, w.left, w.width);
    if (!rc) rc = axis_make(&down, in->height, out_height, w.top, w.height);
    if (!rc && !copy) {
        int first = down.start[0];
        int rows = down.start[w.height - 1] + down.used[w.height - 1] - first;
        rc = mem_new(&middle, (size_t)rows * (size_t)w.width, "a half-resized image");
        if (!rc) rc = mem_new(&sum, w.width, "a row of sums");
        if (!rc) rc = pass_rows(middle, in, &across, first, rows);
        for (int y = 0; y < w.height && !rc; y++)
            pass_column(out + (size_t)y * (size_t)w.width, sum, middle, &down, y, first, w.width);
    } else if (!rc) {
        rc = pass_rows(out, in, &across, w.top, w.height);
    }
    mem_free(sum);
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
    stretch stretching;
    uint8_t *grey = NULL;
    size_t pixels = (size_t)in->width * (size_t)in->height;
    if (in->channels == 1 && in->depth == 8) {
        int low, high;
        range_8(&low, &high, in->pixels, pixels);
        stretching = stretch_make(low, high);
        from.pixels = in->pixels;
        from.stretch = low == 0 && high == 255 ? NULL : &stretching;
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
