#include "data/synth_canvas.h"

#include <math.h>
#include <string.h>

draws draws_at(uint64_t seed, const char *site, int64_t sample, uint32_t step) {
    return (draws){{seed, rng_site(site), step}, (uint32_t)sample, 0};
}

float draw_range(draws *d, float low, float high) {
    return low + (high - low) * rng_uniform(d->key, d->sample, d->next++);
}

int draw_below(draws *d, int n) {
    return (int)rng_below(d->key, d->sample, d->next++, (uint32_t)n);
}

bool draw_chance(draws *d, float probability) {
    return rng_uniform(d->key, d->sample, d->next++) < probability;
}

status canvas_new(canvas *c, int capacity, float left, float top, float extent) {
    *c = (canvas){.capacity = capacity, .left = left, .top = top, .extent = extent};
    size_t pixels = (size_t)capacity * (size_t)capacity, noise = (size_t)NOISE_SIDE * NOISE_SIDE;
    status rc = mem_new(&c->block, pixels * (PLANE_COUNT + 2) + noise, "a drawing");
    if (rc) return rc;
    for (int i = 0; i < PLANE_COUNT; i++) c->plane[i] = c->block + (size_t)i * pixels;
    c->near = c->block + PLANE_COUNT * pixels;
    c->weight = c->near + pixels;
    c->noise = c->weight + pixels;
    for (size_t i = 0; i < pixels; i++) c->near[i] = 1;
    return STATUS_OK;
}

void canvas_free(canvas *c) {
    mem_free(c->block);
    *c = (canvas){0};
}

// One octave: a lattice of CELLS x CELLS random values, periodic, interpolated smoothly.
static void noise_octave(canvas *c, draws *d, int cells, float amount) {
    float lattice[64 * 64];
    for (int i = 0; i < cells * cells; i++) lattice[i] = draw_range(d, -amount, amount);
    int step = NOISE_SIDE / cells;
    for (int row = 0; row < NOISE_SIDE; row++) {
        int y0 = row / step, y1 = (y0 + 1) % cells;
        float v = ramp((float)(row % step) / (float)step);
        for (int column = 0; column < NOISE_SIDE; column++) {
            int x0 = column / step, x1 = (x0 + 1) % cells;
            float u = ramp((float)(column % step) / (float)step);
            const float *a = lattice + y0 * cells, *b = lattice + y1 * cells;
            float above = a[x0] + (a[x1] - a[x0]) * u, below = b[x0] + (b[x1] - b[x0]) * u;
            c->noise[row * NOISE_SIDE + column] += above + (below - above) * v;
        }
    }
}

void canvas_start(canvas *c, int side, draws d) {
    if (side < 1 || side > c->capacity) die("a canvas of %d for %d pixels", c->capacity, side);
    c->side = side;
    c->scale = (float)side / c->extent;
    size_t pixels = (size_t)side * (size_t)side;
    for (int i = 0; i < PLANE_COUNT; i++) memset(c->plane[i], 0, pixels * sizeof **c->plane);
    for (int i = 0; i < NOISE_SIDE * NOISE_SIDE; i++) c->noise[i] = 0.5f;
    noise_octave(c, &d, 8, 0.5f);
    noise_octave(c, &d, 16, 0.28f);
    noise_octave(c, &d, 32, 0.16f);
    noise_octave(c, &d, 64, 0.09f);
}

static span span_of(const canvas *c, float low, float high, float origin) {
    float first = floorf((low - origin) * c->scale), last = ceilf((high - origin) * c->scale);
    span s = {first < 0 ? 0 : (int)smaller(first, (float)c->side), 0};
    s.last = last < 0 ? 0 : (int)smaller(last, (float)c->side);
    return s;
}

span canvas_columns(const canvas *c, float low, float high) {
    return span_of(c, low, high, c->left);
}

span canvas_rows(const canvas *c, float low, float high) {
    return span_of(c, low, high, c->top);
}

float canvas_noise(const canvas *c, float x, float y, float frequency) {
    float cell = frequency * (NOISE_SIDE / 8);
    float u = (x + 16) * cell, v = (y + 16) * cell;
    int i = (int)u, j = (int)v;
    float du = u - (float)i, dv = v - (float)j;
    int i0 = i & (NOISE_SIDE - 1), i1 = (i + 1) & (NOISE_SIDE - 1);
    const float *a = c->noise + (j & (NOISE_SIDE - 1)) * NOISE_SIDE;
    const float *b = c->noise + ((j + 1) & (NOISE_SIDE - 1)) * NOISE_SIDE;
    float above = a[i0] + (a[i1] - a[i0]) * du, below = b[i0] + (b[i1] - b[i0]) * du;
    return above + (below - above) * dv;
}

// The amount at Q radii from the middle line, q in [0, 1).
static float profile_at(profile shape, float q) {
    float u = 1 - q * q;
    switch (shape) {
    case PROFILE_SOFT: return u * u;
    case PROFILE_ROUND: return sqrtf(u);
    case PROFILE_BONE: { // a tube of dense bone around a lighter core
        if (q > 0.85f) return (1 - q) / 0.15f;
        float v = q / 0.85f;
        v *= v;
        return 0.52f + 0.48f * v * v * v;
    }
    case PROFILE_FLAT: return q > 0.7f ? (1 - q) / 0.3f : 1;
    }
    return 0;
}

// What a row of pixels near a segment needs. By value: nothing that is written can change it.
typedef struct segment {
    float left, scale, x, y; // of the canvas; A, its y from the row on
    float dx, dy, inverse;   // to B; 1 over the square of that
    float radius, thicker, amount, more; // at A, and what comes to it on the way to B
    float least;             // radius in units of the thinnest line that is drawn
} segment;

// Keeps, for pixels FIRST to LAST of a row, the smallest distance in radii and its amount.
static void stroke_row(float *restrict near, float *restrict weight, int first, int last, segment z) {
#pragma omp simd
    for (int column = first; column < last; column++) {
        float px = z.left + ((float)column + 0.5f) / z.scale - z.x;
        float t = clamp01((px * z.dx + z.y * z.dy) * z.inverse);
        float ex = px - t * z.dx, ey = z.y - t * z.dy, radius = z.radius + z.thicker * t;
        float drawn = larger(radius, z.least), faint = smaller(radius / z.least, 1);
        float q2 = (ex * ex + ey * ey) / (drawn * drawn), before = near[column];
        near[column] = q2 < before ? q2 : before;
        weight[column] = q2 < before ? faint * (z.amount + z.more * t) : weight[column];
    }
}

// The same for all pixels near the segment from A to B.
static void stroke_segment(canvas *c, const stroke_point *a, const stroke_point *b) {
    float least = 1.1f / c->scale;
    float reach = larger(larger(a->radius, b->radius), least);
    span rows = canvas_rows(c, smaller(a->y, b->y) - reach, larger(a->y, b->y) + reach);
    span columns = canvas_columns(c, smaller(a->x, b->x) - reach, larger(a->x, b->x) + reach);
    float dx = b->x - a->x, dy = b->y - a->y, square = dx * dx + dy * dy;
    segment z = {c->left, c->scale, a->x, 0, dx, dy, square > 0 ? 1 / square : 0,
                 a->radius, b->radius - a->radius, a->amount, b->amount - a->amount, least};
    for (int row = rows.first; row < rows.last; row++) {
        const size_t start = (size_t)row * (size_t)c->side;
        z.y = canvas_y(c, row) - a->y;
        stroke_row(c->near + start, c->weight + start, columns.first, columns.last, z);
    }
}

void canvas_stroke(canvas *c, int plane, const stroke_point *p, int count, profile shape) {
    float x0 = 1e9f, x1 = -1e9f, y0 = 1e9f, y1 = -1e9f;
    for (int i = 0; i < count; i++) {
        float reach = larger(p[i].radius, 1.1f / c->scale);
        x0 = smaller(x0, p[i].x - reach), x1 = larger(x1, p[i].x + reach);
        y0 = smaller(y0, p[i].y - reach), y1 = larger(y1, p[i].y + reach);
        if (i) stroke_segment(c, p + i - 1, p + i);
    }
    span rows = canvas_rows(c, y0, y1), columns = canvas_columns(c, x0, x1);
    for (int row = rows.first; row < rows.last; row++)
        for (int column = columns.first; column < columns.last; column++) {
            size_t at = (size_t)row * (size_t)c->side + (size_t)column;
            if (c->near[at] >= 1) continue;
            c->plane[plane][at] += c->weight[at] * profile_at(shape, sqrtf(c->near[at]));
            c->near[at] = 1;
        }
}

void stroke_curve(stroke_point *out, int count, const float xy[8], float radius_from, float radius_to,
                  float amount_from, float amount_to) {
    for (int i = 0; i < count; i++) {
        float t = (float)i / (float)(count - 1), s = 1 - t;
        float k[4] = {s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t};
        out[i] = (stroke_point){0, 0, radius_from + (radius_to - radius_from) * t,
                                amount_from + (amount_to - amount_from) * t};
        for (int j = 0; j < 4; j++) out[i].x += k[j] * xy[2 * j], out[i].y += k[j] * xy[2 * j + 1];
    }
}

void canvas_blob(canvas *c, int plane, const blob *b) {
    float cosine = cosf(b->angle), sine = sinf(b->angle);
    float reach = larger(b->width, b->height) * (1 + b->rough);
    span rows = canvas_rows(c, b->y - reach, b->y + reach);
    span columns = canvas_columns(c, b->x - reach, b->x + reach);
    for (int row = rows.first; row < rows.last; row++) {
        float y = canvas_y(c, row), dy = y - b->y;
        for (int column = columns.first; column < columns.last; column++) {
            float x = canvas_x(c, column), dx = x - b->x;
            float u = (dx * cosine + dy * sine) / b->width;
            float v = (dy * cosine - dx * sine) / b->height;
            float depth = 1 - sqrtf(u * u + v * v);
            if (depth < -b->rough) continue;
            if (b->rough > 0)
                depth += b->rough * (2 * canvas_noise(c, x, y, b->frequency) - 1);
            size_t at = (size_t)row * (size_t)c->side + (size_t)column;
            c->plane[plane][at] += b->amount * ramp(depth / b->edge);
        }
    }
}
