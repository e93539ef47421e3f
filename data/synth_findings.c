// What is found around the lungs of the embedded data set's chests: effusion, pneumothorax, pleural
// thickening and plaques; and, by way of scene_airspace, inside them. Heart, mediastinum, diaphragm and
// vessels change with the measures in synth_anatomy.c, ribs in synth_bones.c.
#include "data/synth_scene.h"

#include <math.h>

// --- effusion

// The height of the fluid above the angle at the side, and how far it falls towards the middle.
static void draw_fluid(scene *s, int lung, float height, float fall) {
    const canvas *c = &s->c;
    float g = lung_sign(lung), wall = s->a.chest;
    float angle_y = lung_floor(&s->a, g * wall * 0.99f), top = angle_y - height;
    span rows = canvas_rows(c, top - 0.1f, 1.8f);
    span columns = lung == RIGHT ? canvas_columns(c, -1, 0) : canvas_columns(c, 0, 1);
    for (int row = rows.first; row < rows.last; row++) {
        float y = canvas_y(c, row);
        for (int column = columns.first; column < columns.last; column++) {
            float x = canvas_x(c, column), inwards = larger(wall - fabsf(x), 0);
            float level = top + fall * (1 - expf(-inwards / 0.16f)) + 0.08f * fall * inwards;
            float depth = y - level + 0.02f * (canvas_noise(c, x, y, 0.8f) - 0.5f);
            if (depth < -0.1f) continue;
            size_t at = (size_t)row * (size_t)c->side + (size_t)column;
            float fluid = 0.25f * ramp((depth + 0.1f) / 0.1f) + 0.75f * ramp(depth / 0.07f + 0.5f);
            float *fill = &c->plane[PLANE_FILL][at];
            *fill += (1 - *fill) * fluid;
            c->plane[PLANE_CLEAR][at] = larger(c->plane[PLANE_CLEAR][at], 0.8f * fluid);
            c->plane[PLANE_BODY][at] += 0.05f * fluid * (c->plane[PLANE_AIR][at] > 0.02f);
        }
    }
}

static void draw_effusion(scene *s) {
    static const float height[3] = {0.24f, 0.46f, 0.80f}, fall[3] = {0.19f, 0.17f, 0.15f};
    const synth_fact *f = &s->study->fact[FIND_EFFUSION];
    draws d = draws_at(s->study->seed, "synth effusion", s->study->number, 0);
    for (int lung = 0; lung < 2; lung++) {
        float more = draw_range(&d, 0.92f, 1.12f);
        if (!side_has(f->side, lung)) continue;
        if (f->label == LABEL_POSITIVE)
            draw_fluid(s, lung, height[f->severity] * more, fall[f->severity]);
        else if (f->label == LABEL_UNCERTAIN)
            draw_fluid(s, lung, 0.11f * more, 0.14f);
    }
}

// --- pneumothorax

// How far the lung has come off the wall at height Y, the most at the apex.
static float gap_at(float y, float most, float length) {
    float t = (y + 0.03f) / length;
    return t >= 1 ? 0 : most * (1 - t * t) * (0.82f + 0.18f * (1 - t));
}

// The collapsed lung is a smaller one: its apex, and its outer border at height Y.
static float collapsed_apex(const anatomy *a, float most) {
    return a->apex + 0.55f * most;
}
static float collapsed_outer(const anatomy *a, float y, float most, float length) {
    float down = (collapsed_apex(a, most) - a->apex) * ramp((length - y) / length);
    float from_apex = ramp((y - collapsed_apex(a, most)) / 0.5f);
    return lung_outer(a, y - down) - gap_at(y, most, length) * (0.4f + 0.6f * from_apex);
}
// Its roof towards the middle: the distance from the middle at height Y.
enum { ROOF = 10 };
static const float roof_height = 0.17f;
static float collapsed_roof(const anatomy *a, float y, float most) {
    return (a->apex_x - 0.1f) * (1 - sqrtf(clamp01((y - collapsed_apex(a, most)) / roof_height)));
}

static void clear_lung(scene *s, int lung, float most, float length) {
    const canvas *c = &s->c;
    span rows = canvas_rows(c, s->a.apex, 1.7f);
    span columns = lung == RIGHT ? canvas_columns(c, -1, -0.1f) : canvas_columns(c, 0.1f, 1);
    for (int row = rows.first; row < rows.last; row++) {
        float y = canvas_y(c, row), gap = gap_at(y, most, length);
        float outer = collapsed_outer(&s->a, y, most, length), roof = collapsed_roof(&s->a, y, most);
        float below = y - collapsed_apex(&s->a, most);
        for (int column = columns.first; column < columns.last; column++) {
            float t = fabsf(canvas_x(c, column)), edge = smaller(outer - t, smaller(t - roof, below));
            float inside = gap <= 0 ? 1 : ramp(edge / 0.012f + 0.5f);
            size_t at = (size_t)row * (size_t)c->side + (size_t)column;
            float *fill = &c->plane[PLANE_FILL][at], *clear = &c->plane[PLANE_CLEAR][at];
            *clear = larger(*clear, 1 - inside);
            *fill = inside * (*fill + 0.35f * most) - (1 - inside) * 0.27f;
        }
    }
}

static void draw_collapse(scene *s, int lung, float most, float length) {
    enum { SIDE = 48 };
    stroke_point p[ROOF + SIDE];
    float g = lung_sign(lung), top = collapsed_apex(&s->a, most);
    clear_lung(s, lung, most, length);
    // The pleura: over the collapsed lung's apex, then down along its side.
    int count = 0;
    for (int i = 0; i < ROOF; i++) {
        float u = 1 - (float)i / ROOF, y = top + roof_height * u * u, x = collapsed_roof(&s->a, y, most);
        if (x > lung_inner(&s->a, lung, y)) p[count++] = (stroke_point){g * x, y, 0.0085f, 0.15f};
    }
    for (int i = 0; i < SIDE; i++) {
        float u = (float)i / (SIDE - 1), y = top + (length - top) * 0.97f * u * (0.3f + 0.7f * u);
        float x = collapsed_outer(&s->a, y, most, length);
        if (x > lung_inner(&s->a, lung, y) + 0.02f) p[count++] = (stroke_point){g * x, y, 0.0085f, 0.15f};
    }
    canvas_stroke(&s->c, PLANE_BONE, p, count, PROFILE_FLAT);
}

static void draw_pneumothorax(scene *s) {
    static const float most[3] = {0.15f, 0.24f, 0.40f}, length[3] = {0.75f, 1.0f, 1.35f};
    const synth_fact *f = &s->study->fact[FIND_PNEUMOTHORAX];
    if (f->label != LABEL_POSITIVE) return;
    draws d = draws_at(s->study->seed, "synth pneumothorax", s->study->number, 0);
    float more = draw_range(&d, 0.92f, 1.1f);
    for (int lung = 0; lung < 2; lung++)
        if (side_has(f->side, lung))
            draw_collapse(s, lung, most[f->severity] * more, length[f->severity]);
}

// --- pleura

static void draw_thickening(scene *s, int lung, draws *d, float thick, float from, float to) {
    stroke_point p[32];
    float g = lung_sign(lung), phase = draw_range(d, 0, 6);
    for (int i = 0; i < 32; i++) {
        float t = (float)i / 31, y = from + (to - from) * t;
        float wave = 0.75f + 0.25f * sinf(9 * t + phase), r = thick * wave * sinf((float)M_PI * (0.08f + 0.84f * t));
        p[i] = (stroke_point){g * (lung_outer(&s->a, y) - 0.35f * r), y, r, 0.85f};
    }
    canvas_stroke(&s->c, PLANE_FILL, p, 32, PROFILE_FLAT);
    for (int i = 0; i < 32; i++) p[i].amount = 0.10f;
    canvas_stroke(&s->c, PLANE_BODY, p, 32, PROFILE_FLAT);
}

// Calcium on the pleura: bright, with an outline like a holly leaf.
static void draw_plaque(scene *s, draws *d, float x, float y, float size) {
    blob b = {x, y, size * draw_range(d, 0.9f, 1.2f), size * draw_range(d, 0.5f, 0.7f),
              draw_range(d, -0.8f, 0.8f), 0.22f, 0.25f, 0.75f, 2.6f};
    canvas_blob(&s->c, PLANE_BONE, &b);
}

static void draw_pleura(scene *s) {
    const synth_fact *f = &s->study->fact[FIND_PLEURA];
    if (f->label != LABEL_POSITIVE) return;
    for (int lung = 0; lung < 2; lung++) {
        if (!side_has(f->side, lung)) continue;
        draws d = draws_at(s->study->seed, "synth pleura", s->study->number, (uint32_t)lung);
        float g = lung_sign(lung), grade = (float)f->severity;
        bool upper = f->zone == ZONE_UPPER;
        float from = upper ? 0.06f : 0.50f, length = 0.38f + 0.12f * grade;
        draw_thickening(s, lung, &d, 0.065f + 0.02f * grade, from, from + length);
        for (int i = 0; i < 2 + (int)f->severity; i++) {
            float y = draw_range(&d, from + 0.1f, from + length), wall = lung_outer(&s->a, y);
            draw_plaque(s, &d, g * (wall - draw_range(&d, 0.06f, 0.28f)), y, draw_range(&d, 0.05f, 0.075f));
        }
    }
}

void scene_findings(scene *s) {
    scene_airspace(s);
    draw_pleura(s);
    draw_pneumothorax(s);
    draw_effusion(s);
}
