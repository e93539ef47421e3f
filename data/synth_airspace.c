// What fills the air spaces of the embedded data set's lungs: plain opacities, edema, consolidation,
// pneumonia, atelectasis, lesions. Each looks different: a soft patch, a haze around both hila, a dense
// lobe with a straight border and dark bronchi, many flecks, bands, a round mass.
#include "data/synth_scene.h"

#include <math.h>

static draws finding_draws(const scene *s, const char *site, int lung) {
    return draws_at(s->study->seed, site, s->study->number, (uint32_t)lung);
}

// A place inside LUNG in ZONE; DEPTH 0 at the hilum, 1 at the wall.
static void place_in(const scene *s, int lung, synth_zone zone, float depth, float *x, float *y) {
    static const float share[3] = {0.24f, 0.52f, 0.82f};
    float bottom = s->a.dome[lung] - 0.02f;
    *y = s->a.apex + share[zone] * (bottom - s->a.apex);
    float inner = lung_inner(&s->a, lung, *y) + 0.08f, outer = lung_outer(&s->a, *y) - 0.12f;
    *x = lung_sign(lung) * (inner + larger(outer - inner, 0) * depth);
}

static void draw_opacity(scene *s, int lung) {
    const synth_fact *f = &s->study->fact[FIND_OPACITY];
    draws d = finding_draws(s, "synth opacity", lung);
    float x, y, size = 0.19f + 0.05f * (float)f->severity;
    place_in(s, lung, f->zone, draw_range(&d, 0.35f, 0.65f), &x, &y);
    blob b = {x, y, size * draw_range(&d, 0.9f, 1.2f), size * draw_range(&d, 0.8f, 1.1f), draw_range(&d, -1, 1),
              0.42f + 0.08f * (float)f->severity, 0.8f, 0.25f, 0.5f};
    canvas_blob(&s->c, PLANE_FILL, &b);
}

static void draw_pneumonia(scene *s, int lung) {
    const synth_fact *f = &s->study->fact[FIND_PNEUMONIA];
    draws d = finding_draws(s, "synth pneumonia", lung);
    float x, y, reach = 0.15f + 0.04f * (float)f->severity;
    place_in(s, lung, f->zone, draw_range(&d, 0.35f, 0.6f), &x, &y);
    int flecks = 12 + 5 * (int)f->severity;
    for (int i = 0; i < flecks; i++) {
        float angle = draw_range(&d, 0, 6.28f), far = reach * sqrtf(draw_range(&d, 0, 1));
        float size = draw_range(&d, 0.05f, 0.10f);
        blob b = {x + far * cosf(angle) * 1.15f, y + far * sinf(angle), size, size * draw_range(&d, 0.7f, 1),
                  angle, draw_range(&d, 0.12f, 0.24f), 0.9f, 0.7f, 2.6f};
        canvas_blob(&s->c, PLANE_FILL, &b);
    }
    blob haze = {x, y, reach * 1.5f, reach * 1.3f, 0, 0.26f, 0.9f, 0.3f, 0.8f};
    canvas_blob(&s->c, PLANE_FILL, &haze);
}

// --- consolidation

// The borders of a lobe: above and below, and how sharp; fissures are sharp, other borders are not.
typedef struct lobe {
    float top, bottom, soft_top, soft_bottom, slope;
} lobe;

static lobe lobe_of(const scene *s, int lung, synth_zone zone) {
    float bottom = s->a.dome[lung], height = bottom - s->a.apex;
    float fissure = s->a.apex + 0.53f * height;
    if (zone == ZONE_UPPER)
        return lung == RIGHT ? (lobe){-1, fissure, 0.02f, 0.018f, 0.03f}
                             : (lobe){-1, fissure + 0.02f, 0.02f, 0.09f, -0.1f};
    if (zone == ZONE_MIDDLE)
        return lung == RIGHT ? (lobe){fissure, bottom - 0.06f, 0.018f, 0.12f, 0.03f}
                             : (lobe){fissure - 0.1f, bottom, 0.1f, 0.05f, 0};
    return (lobe){fissure + 0.14f * height, 3, 0.06f, 0.05f, -0.22f};
}

static void fill_lobe(scene *s, int lung, lobe l, float dense) {
    const canvas *c = &s->c;
    span rows = canvas_rows(c, s->a.apex, 1.6f);
    span columns = lung == RIGHT ? canvas_columns(c, -1, 0) : canvas_columns(c, 0, 1);
    for (int row = rows.first; row < rows.last; row++) {
        float y = canvas_y(c, row);
        for (int column = columns.first; column < columns.last; column++) {
            float x = canvas_x(c, column), tilt = l.slope * (0.45f - fabsf(x));
            float rough = 0.02f * (canvas_noise(c, x, y, 1.2f) - 0.5f);
            float a = ramp((y - l.top - tilt + rough) / l.soft_top + 0.5f);
            float b = ramp((l.bottom + tilt - y + rough) / l.soft_bottom + 0.5f);
            size_t at = (size_t)row * (size_t)c->side + (size_t)column;
            float patch = dense * (0.82f + 0.36f * (canvas_noise(c, x, y, 0.7f) - 0.3f));
            c->plane[PLANE_FILL][at] += a * b * patch;
        }
    }
}

// Bronchi that still hold air: faint grey branches, thin, and only where the lobe around them is dense.
static void draw_bronchogram(scene *s, int lung, synth_zone zone, draws *d) {
    enum { POINTS = 10, FORKS = 3 };
    float g = lung_sign(lung), x, y;
    place_in(s, lung, zone, 0.5f, &x, &y);
    float from_x = g * 0.19f, from_y = 0.6f, heading = atan2f(y - from_y, x - from_x);
    float reach = hypotf(x - from_x, y - from_y);
    for (int i = 0; i < 4; i++) {
        float angle = heading + 0.26f * ((float)i - 1.5f) + draw_range(d, -0.09f, 0.09f);
        float length = reach * draw_range(d, 0.55f, 0.85f), bend = draw_range(d, -0.25f, 0.25f);
        float at_x = from_x, at_y = from_y, radius = 0.012f;
        for (int k = 0; k < FORKS; k++) {
            float to_x = at_x + length * cosf(angle), to_y = at_y + length * sinf(angle);
            float off_x = -bend * (to_y - at_y) / 2, off_y = bend * (to_x - at_x) / 2;
            float xy[8] = {at_x, at_y, at_x + (to_x - at_x) / 3 + off_x, at_y + (to_y - at_y) / 3 + off_y,
                           to_x - (to_x - at_x) / 3 + off_x, to_y - (to_y - at_y) / 3 + off_y, to_x, to_y};
            stroke_point p[POINTS];
            stroke_curve(p, POINTS, xy, radius, 0.75f * radius, -0.13f, -0.11f);
            int from = k ? 0 : 3; // where they all begin they would add up
            canvas_stroke(&s->c, PLANE_FILL, p + from, POINTS - from, PROFILE_SOFT);
            // The next one leaves this one on alternate sides; each is shorter and thinner.
            int fork = POINTS - 3 - 2 * (k & 1);
            at_x = p[fork].x, at_y = p[fork].y, length *= 0.55f, radius *= 0.8f;
            angle += (k & 1 ? -1.0f : 1.0f) * draw_range(d, 0.45f, 0.7f);
        }
    }
    // Outside the lobe there is nothing for them to stand out from.
    size_t pixels = (size_t)s->c.side * (size_t)s->c.side;
    for (size_t i = 0; i < pixels; i++) s->c.plane[PLANE_FILL][i] = larger(s->c.plane[PLANE_FILL][i], 0);
}

static void draw_consolidation(scene *s, int lung) {
    const synth_fact *f = &s->study->fact[FIND_CONSOLIDATION];
    draws d = finding_draws(s, "synth consolidation", lung);
    fill_lobe(s, lung, lobe_of(s, lung, f->zone), 0.68f + 0.08f * (float)f->severity);
    draw_bronchogram(s, lung, f->zone, &d);
}

// --- edema

static void fill_haze(scene *s, float amount, float reach) {
    const canvas *c = &s->c;
    span rows = canvas_rows(c, s->a.apex, 1.5f), columns = canvas_columns(c, -1, 1);
    for (int row = rows.first; row < rows.last; row++) {
        float y = canvas_y(c, row), v = (y - 0.68f) / (1.25f * reach);
        for (int column = columns.first; column < columns.last; column++) {
            float x = canvas_x(c, column), u = (fabsf(x) - 0.22f) / reach;
            float haze = amount * expf(-(u * u + v * v));
            float flecks = 0.55f + 0.9f * canvas_noise(c, x, y, 1.6f);
            c->plane[PLANE_FILL][(size_t)row * (size_t)c->side + (size_t)column] += haze * flecks;
        }
    }
}

// Kerley's B lines: short, level, at the side of the lower lungs.
static void draw_kerley(scene *s, int lung, int lines) {
    draws d = finding_draws(s, "synth kerley", lung);
    float g = lung_sign(lung);
    for (int i = 0; i < lines; i++) {
        float y = draw_range(&d, 0.72f, 1.12f), wall = lung_outer(&s->a, y) - 0.015f;
        float length = draw_range(&d, 0.07f, 0.13f), tilt = draw_range(&d, -0.015f, 0.015f);
        stroke_point p[2] = {{g * wall, y, 0.007f, 0.11f}, {g * (wall - length), y + tilt, 0.005f, 0.05f}};
        canvas_stroke(&s->c, PLANE_VESSEL, p, 2, PROFILE_FLAT);
    }
}

static void draw_edema(scene *s) {
    static const float amount[3] = {0.28f, 0.46f, 0.66f}, reach[3] = {0.34f, 0.40f, 0.48f};
    const synth_fact *f = &s->study->fact[FIND_EDEMA];
    if (f->label == LABEL_UNCERTAIN) fill_haze(s, 0.12f, 0.3f);
    if (f->label != LABEL_POSITIVE) return;
    fill_haze(s, amount[f->severity], reach[f->severity]);
    for (int lung = 0; lung < 2; lung++) draw_kerley(s, lung, 7 + 2 * (int)f->severity);
}

// --- atelectasis and lesions

static void draw_bands(scene *s, int lung) {
    const synth_fact *f = &s->study->fact[FIND_ATELECTASIS];
    draws d = finding_draws(s, "synth atelectasis", lung);
    float g = lung_sign(lung);
    int bands = 2 + (int)f->severity;
    for (int i = 0; i < bands; i++) {
        float x = draw_range(&d, 0.34f, 0.44f), length = draw_range(&d, 0.34f, 0.46f);
        float y = s->a.dome[lung] - 0.09f - 0.095f * (float)i - draw_range(&d, 0, 0.03f);
        float tilt = draw_range(&d, -0.06f, 0.06f), half = length / 2, r = draw_range(&d, 0.020f, 0.030f);
        float xy[8] = {g * (x - half), y + tilt, g * (x - half / 2), y, g * (x + half / 2), y - tilt,
                       g * (x + half), y - tilt / 2};
        stroke_point p[20];
        stroke_curve(p, 20, xy, r, 0.6f * r, 0.46f, 0.30f);
        canvas_stroke(&s->c, PLANE_FILL, p, 20, PROFILE_SOFT);
    }
    blob crowded = {g * 0.42f, s->a.dome[lung] - 0.02f, 0.36f, 0.11f + 0.03f * (float)f->severity, 0, 0.30f, 0.9f,
                    0.2f, 0.9f};
    canvas_blob(&s->c, PLANE_FILL, &crowded);
}

static void draw_lesion(scene *s, int lung) {
    static const float size[3] = {0.062f, 0.095f, 0.14f};
    const synth_fact *f = &s->study->fact[FIND_LESION];
    draws d = finding_draws(s, "synth lesion", lung);
    float x, y, r = size[f->severity] * draw_range(&d, 0.92f, 1.1f);
    place_in(s, lung, f->zone, draw_range(&d, 0.3f, 0.8f), &x, &y);
    y += draw_range(&d, -0.05f, 0.05f);
    blob b = {x, y, r, r * draw_range(&d, 0.88f, 1), draw_range(&d, 0, 3), 0.66f, 0.4f, 0.16f, 1.8f};
    canvas_blob(&s->c, PLANE_FILL, &b);
    b.amount = 0.03f;
    canvas_blob(&s->c, PLANE_BODY, &b);
}

void scene_airspace(scene *s) {
    const synth_fact *f = s->study->fact;
    for (int lung = 0; lung < 2; lung++) {
        if (synth_plain_opacity(s->study) && side_has(f[FIND_OPACITY].side, lung)) draw_opacity(s, lung);
        if (f[FIND_PNEUMONIA].label == LABEL_POSITIVE && side_has(f[FIND_PNEUMONIA].side, lung))
            draw_pneumonia(s, lung);
        if (f[FIND_CONSOLIDATION].label == LABEL_POSITIVE && side_has(f[FIND_CONSOLIDATION].side, lung))
            draw_consolidation(s, lung);
        if (f[FIND_ATELECTASIS].label == LABEL_POSITIVE && side_has(f[FIND_ATELECTASIS].side, lung))
            draw_bands(s, lung);
        if (f[FIND_LESION].label == LABEL_POSITIVE && side_has(f[FIND_LESION].side, lung))
            draw_lesion(s, lung);
    }
    draw_edema(s);
}
