#include "data/synth_film.h"

#include <math.h>
#include <string.h>

// The canvas covers more than any film shows: x from -1.45 to 1.45, y from -0.65 to 2.25.
enum { CANVAS_SIDE = 1000 };
static const float canvas_left = -1.45f, canvas_top = -0.65f, canvas_extent = 2.9f;

status film_new(film *f) {
    *f = (film){0};
    status rc = scene_new(&f->s, CANVAS_SIDE, canvas_left, canvas_top, canvas_extent);
    if (!rc) rc = mem_new(&f->value, CANVAS_SIDE * CANVAS_SIDE, "a film");
    if (!rc) rc = mem_new(&f->blur, CANVAS_SIDE * CANVAS_SIDE, "a film");
    if (rc) film_free(f);
    return rc;
}

void film_free(film *f) {
    scene_free(&f->s);
    mem_free(f->value);
    mem_free(f->blur);
    *f = (film){0};
}

// --- size and exposure

static int even_round(float x) {
    int n = (int)(x + 0.5f);
    return n < 16 ? 16 : n;
}

void film_size(int *width, int *height, const synth_study *study, int image, int max_side) {
    static const struct {
        float share;
        int width, height;
    } sizes[] = {{0.02f, 2544, 3056}, {0.02f, 3056, 2544}, {0.02f, 2021, 2021}, {0.12f, 1024, 1024},
                 {0.10f, 1000, 1200}, {0.10f, 890, 1100},  {0.16f, 712, 880},   {0.12f, 640, 769},
                 {0.16f, 768, 768},   {0.10f, 960, 800},   {0.08f, 1100, 905}};
    int count = (int)(sizeof sizes / sizeof *sizes), at = 0;
    draws d = draws_at(study->seed, "synth size", study->number, (uint32_t)image);
    float chosen = draw_range(&d, 0, 1);
    while (at < count - 1 && chosen >= sizes[at].share) chosen -= sizes[at++].share;
    int w = sizes[at].width, h = sizes[at].height;
    if (w > FILM_WIDTH) { // a full landscape film is as wide as the cap allows
        h = h * FILM_WIDTH / w;
        w = FILM_WIDTH;
    }
    int longest = w > h ? w : h;
    if (max_side > 0 && longest > max_side) {
        float scale = (float)max_side / (float)longest;
        w = even_round((float)w * scale), h = even_round((float)h * scale);
    }
    *width = w, *height = h;
}

// How one film was taken: where the canvas lies under it, and how dark it is.
typedef struct exposure {
    float unit;           // canvas units per pixel
    float x, y;           // the canvas's point at the film's centre
    float cosine, sine;   // its turn
    float slope, power;   // brightness = 1 - exp(-slope * thickness ^ power)
    float black, white;   // after that
    float sharpen, grain; // local contrast; noise
    float edge[4];        // collimation: share of the film, left top right bottom; negative: none
    float tilt, vignette;
    bool mirror_marker, text;
} exposure;

static exposure film_exposure(const synth_study *s, int image, int width, int height) {
    draws d = draws_at(s->seed, "synth exposure", s->number, (uint32_t)image);
    exposure e = {0};
    bool portable = s->portable;
    float wide = 2.02f / (float)width, high = 1.98f / (float)height;
    e.unit = larger(wide, high) * draw_range(&d, 0.95f, 1.08f);
    e.x = draw_range(&d, -0.05f, 0.05f);
    e.y = draw_range(&d, 0.66f, 0.76f) - 0.03f * (float)portable;
    float turn = draw_range(&d, -0.035f, 0.035f) * (portable ? 1.8f : 1.0f);
    e.cosine = cosf(turn), e.sine = sinf(turn);
    e.slope = draw_range(&d, 1.45f, 1.85f) + 0.1f * (float)portable;
    e.power = draw_range(&d, 1.35f, 1.6f) - (portable ? 0.25f : 0);
    e.black = portable ? draw_range(&d, 0.0f, 0.09f) : draw_range(&d, 0, 0.03f);
    e.white = draw_range(&d, 0.93f, 1.02f) - 0.06f * (float)portable;
    e.sharpen = draw_range(&d, 0.15f, 0.7f);
    e.grain = draw_range(&d, 0.005f, 0.011f) * (portable ? 1.5f : 1.0f);
    e.vignette = draw_range(&d, -0.02f, 0.05f);
    bool collimated = draw_chance(&d, portable ? 0.35f : 0.25f);
    for (int i = 0; i < 4; i++) {
        float share = draw_range(&d, -0.03f, 0.05f);
        e.edge[i] = collimated ? share : -1;
    }
    e.tilt = draw_range(&d, -0.025f, 0.025f);
    e.mirror_marker = draw_chance(&d, 0.3f);
    e.text = portable && draw_chance(&d, 0.5f);
    return e;
}

// --- markers

// Letters as lines through points of a 2 x 4 grid; -1 lifts the pen.
static const char *letter_lines(char c) {
    switch (c) {
    case 'A': return "04 00 20 24 - 02 22";
    case 'B': return "00 04 24 22 02 - 22 20 00";
    case 'E': return "20 00 04 24 - 02 22";
    case 'L': return "00 04 24";
    case 'O': return "00 20 24 04 00";
    case 'P': return "04 00 20 22 02";
    case 'R': return "04 00 20 22 02 - 12 24";
    case 'T': return "00 20 - 10 14";
    default: return "";
    }
}

static void draw_text(canvas *c, const char *text, float x, float y, float size, float amount) {
    for (; *text; text++, x += 0.8f * size) {
        stroke_point p[8];
        int count = 0;
        for (const char *at = letter_lines(*text);; at++) {
            if (*at == ' ') continue;
            if (*at == '-' || !*at) {
                if (count > 1) canvas_stroke(c, PLANE_METAL, p, count, PROFILE_FLAT);
                count = 0;
                if (!*at) break;
                continue;
            }
            float u = (float)(at[0] - '0') * 0.25f * size, v = (float)(at[1] - '0') * 0.25f * size;
            p[count++] = (stroke_point){x + u, y + v, 0.075f * size, amount};
            at++;
        }
    }
}

// The lead letter lies on the film near an upper corner, on the side that it names.
static void draw_markers(film *f, const exposure *e, const synth_study *s, int image, int width, int height) {
    draws d = draws_at(s->seed, "synth marker", s->number, (uint32_t)image);
    float half_w = 0.5f * (float)width * e->unit, half_h = 0.5f * (float)height * e->unit;
    float size = draw_range(&d, 0.08f, 0.12f), top = e->y - half_h * draw_range(&d, 0.80f, 0.9f);
    float away = half_w * draw_range(&d, 0.76f, 0.88f);
    if (e->mirror_marker)
        draw_text(&f->s.c, "R", e->x - away, top, size, 1.6f);
    else
        draw_text(&f->s.c, "L", e->x + away - 0.5f * size, top, size, 1.6f);
    if (!e->text) return;
    float x = e->mirror_marker ? e->x + half_w * 0.62f : e->x - half_w * 0.86f;
    draw_text(&f->s.c, "AP", x, top, 0.05f, 1.4f);
    draw_text(&f->s.c, "PORTABLE", x, top + 0.08f, 0.04f, 1.4f);
}

// --- from thickness to brightness

enum { TONES = 2048 };

static void develop(film *f, const exposure *e) {
    const canvas *c = &f->s.c;
    float tone[TONES + 1];
    for (int i = 0; i <= TONES; i++) {
        float t = 3.0f * (float)i / TONES;
        tone[i] = e->black + (e->white - e->black) * (1 - expf(-e->slope * powf(t, e->power)));
    }
    size_t pixels = (size_t)c->side * (size_t)c->side;
    float *restrict value = f->value;
#pragma omp simd
    for (size_t i = 0; i < pixels; i++) {
        float body = c->plane[PLANE_BODY][i], air = c->plane[PLANE_AIR][i], fill = c->plane[PLANE_FILL][i];
        fill = smaller(larger(fill, -0.3f), 1);
        float lung = air * (1.0f / 0.70f), clear = 1 - c->plane[PLANE_CLEAR][i];
        float solid = larger(body - air * (1 - fill), 0.13f * larger(body, 0));
        solid += c->plane[PLANE_VESSEL][i] * lung * clear;
        solid += c->plane[PLANE_BONE][i] * smaller(larger(body, 0) * 4, 1) + c->plane[PLANE_METAL][i];
        float at = clamp01(solid * (1.0f / 3)) * TONES;
        int k = at >= TONES ? TONES - 1 : (int)at;
        value[i] = tone[k] + (tone[k + 1] - tone[k]) * (at - (float)k);
    }
}

// A running mean over 2 * RADIUS + 1 values, STEP apart; beyond the ends the last value repeats.
static void blur_line(float *out, const float *in, int count, size_t step, int radius) {
    float scale = 1 / (float)(2 * radius + 1), sum = in[0] * (float)(radius + 1);
    for (int i = 0; i < radius; i++) sum += in[(size_t)(i < count ? i : count - 1) * step];
    for (int i = 0; i < count; i++) {
        int enter = i + radius < count ? i + radius : count - 1, leave = i - radius - 1;
        sum += in[(size_t)enter * step];
        if (i) sum -= in[(size_t)(leave > 0 ? leave : 0) * step];
        else sum -= in[0];
        out[(size_t)i * step] = sum * scale;
    }
}

// Columns of a block of rows: the same mean, one row at a time, so that memory is read in order.
static void blur_columns(float *out, const float *in, int side, int radius, float *sum) {
    size_t n = (size_t)side;
    float scale = 1 / (float)(2 * radius + 1);
    for (size_t x = 0; x < n; x++) sum[x] = in[x] * (float)(radius + 1);
    for (int i = 0; i < radius; i++)
        for (size_t x = 0; x < n; x++) sum[x] += in[(size_t)i * n + x];
    for (int i = 0; i < side; i++) {
        const float *enter = in + (size_t)(i + radius < side ? i + radius : side - 1) * n;
        const float *leave = in + (size_t)(i - radius - 1 > 0 ? i - radius - 1 : 0) * n;
        for (size_t x = 0; x < n; x++) {
            sum[x] += enter[x] - leave[x];
            out[(size_t)i * n + x] = sum[x] * scale;
        }
    }
}

// Local contrast as digital radiography raises it: what differs from the surroundings differs more.
static void sharpen(film *f, float amount) {
    canvas *c = &f->s.c;
    int radius = (int)(0.09f * c->scale);
    if (radius < 1 || 2 * radius >= c->side) return;
    for (int row = 0; row < c->side; row++)
        blur_line(f->blur + (size_t)row * (size_t)c->side, f->value + (size_t)row * (size_t)c->side, c->side, 1,
                  radius);
    // The stroke's scratch is free by now; its first rows hold the sums, VESSEL's plane the result.
    float *smooth = c->plane[PLANE_VESSEL];
    blur_columns(smooth, f->blur, c->side, radius, c->weight);
    size_t pixels = (size_t)c->side * (size_t)c->side;
    for (size_t i = 0; i < pixels; i++) {
        float v = f->value[i];
        f->value[i] = v + amount * (v - smooth[i]) * (0.3f + 1.2f * v * (1 - v) * 2);
    }
}

// --- from the canvas to the film

// Grain of one row: sums of two neighbouring draws, roughly normal, mean 0, deviation about 1.
static void grain_row(float *out, rng_key key, uint32_t row, int width) {
    uint32_t words[4];
    float previous = 0;
    for (int x = 0; x < width; x += 4) {
        uint32_t counter[4] = {(uint32_t)x / 4, row, key.step, key.site};
        uint32_t keys[2] = {(uint32_t)key.seed, (uint32_t)(key.seed >> 32)};
        philox4x32(words, counter, keys);
        for (int i = 0; i < 4 && x + i < width; i++) {
            uint32_t w = words[i];
            int sum = (int)(w & 255) + (int)(w >> 8 & 255) + (int)(w >> 16 & 255) + (int)(w >> 24);
            float now = (float)(sum - 510) * (1 / 148.0f);
            out[x + i] = 0.8f * (now + 0.6f * previous);
            previous = now;
        }
    }
}

// 1 inside the collimator's opening, 0 outside.
static float opening(const exposure *e, float u, float v) {
    float tilt_u = e->tilt * (v - 0.5f), tilt_v = -e->tilt * (u - 0.5f);
    float inside = smaller(smaller(u + tilt_u - e->edge[0], 1 - e->edge[2] - u - tilt_u),
                         smaller(v + tilt_v - e->edge[1], 1 - e->edge[3] - v - tilt_v));
    return ramp(inside / 0.006f + 0.5f);
}

static float canvas_sample(const canvas *c, const float *value, float x, float y) {
    float u = (x - c->left) * c->scale - 0.5f, v = (y - c->top) * c->scale - 0.5f, most = (float)(c->side - 1);
    u = smaller(larger(u, 0), most - 0.001f), v = smaller(larger(v, 0), most - 0.001f);
    int i = (int)u, j = (int)v;
    float du = u - (float)i, dv = v - (float)j;
    int at = j * c->side + i, under = at + c->side;
    float above = value[at] + (value[at + 1] - value[at]) * du;
    float below = value[under] + (value[under + 1] - value[under]) * du;
    return above + (below - above) * dv;
}

// LINE: (width), the row's grain; scratch. Exposure and canvas are copies, which nothing that is written can change.
static void print_row(uint8_t *out, const film *f, exposure e, float *restrict line, int row, int width, int height) {
    const canvas c = f->s.c;
    const float *value = f->value;
    float dy = ((float)row + 0.5f - 0.5f * (float)height) * e.unit;
    bool collimated = e.edge[0] > -1;
#pragma omp simd
    for (int column = 0; column < width; column++) {
        float dx = ((float)column + 0.5f - 0.5f * (float)width) * e.unit;
        float x = e.x + dx * e.cosine - dy * e.sine, y = e.y + dx * e.sine + dy * e.cosine;
        float v = canvas_sample(&c, value, x, y);
        v *= 1 - e.vignette * (dx * dx + dy * dy);
        v += line[column] * e.grain * (0.5f + v);
        if (collimated)
            v *= opening(&e, ((float)column + 0.5f) / (float)width, ((float)row + 0.5f) / (float)height);
        line[column] = v;
    }
#pragma omp simd
    for (int column = 0; column < width; column++) out[column] = (uint8_t)(255 * clamp01(line[column]) + 0.5f);
}

void film_render(film *f, uint8_t *out, const synth_study *study, int image, int width, int height) {
    exposure e = film_exposure(study, image, width, height);
    int longest = width > height ? width : height;
    // Finer than the film shows would be lost; coarser only softens it.
    int side = (int)(1.1f * (float)longest);
    side = side < 320 ? 320 : side > CANVAS_SIDE ? CANVAS_SIDE : side;
    if (longest < 1300 && side > 800) side = 800;
    scene_start(&f->s, study, side);
    scene_vessels(&f->s);
    scene_bones(&f->s);
    scene_findings(&f->s);
    scene_devices(&f->s);
    draw_markers(f, &e, study, image, width, height);
    develop(f, &e);
    sharpen(f, e.sharpen);
    rng_key key = {study->seed, rng_site("synth grain") ^ (uint32_t)image, (uint32_t)study->number};
    float grain[FILM_HEIGHT + 4];
    for (int row = 0; row < height; row++) {
        grain_row(grain, key, (uint32_t)row, width);
        print_row(out + (size_t)row * (size_t)width, f, e, grain, row, width, height);
    }
}
