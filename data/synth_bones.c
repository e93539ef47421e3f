// The bones of the embedded data set's chests: ribs (also broken ones), clavicles, scapulae, upper arms,
// spine, sternum. The measures come from synth_anatomy.c.
#include "data/synth_scene.h"

#include <math.h>

enum { RIBS = 11, RIB_POINTS = 44 };

// The posterior part of rib NUMBER (1 to RIBS): from the spine out and down to the side of the chest.
static void rib_back(stroke_point *p, const anatomy *a, int lung, int number) {
    float g = lung_sign(lung), i = (float)number;
    float y = -0.13f + a->rib_gap * i, drop = (0.09f + 0.026f * i) * a->rib_slope;
    float side_y = y + drop, x = lung_outer(a, side_y) + 0.015f;
    float xy[8] = {g * 0.10f, y, g * 0.55f * x, y - 0.055f, g * x * 0.97f, side_y - 0.17f, g * x, side_y};
    stroke_curve(p, RIB_POINTS, xy, 0.032f, 0.035f, 0.125f, 0.115f);
}

// The anterior part goes on from there, forward and down towards the sternum.
static void rib_front(stroke_point *p, const anatomy *a, int lung, int number) {
    float g = lung_sign(lung), i = (float)number;
    float y = -0.13f + a->rib_gap * i + (0.09f + 0.026f * i) * a->rib_slope;
    float x = lung_outer(a, y) + 0.015f, end = 0.24f + 0.035f * i, fall = 0.13f + 0.024f * i;
    float xy[8] = {g * x, y, g * x, y + 0.13f, g * (0.4f * x + 0.6f * end), y + fall + 0.02f, g * end,
                   y + fall + 0.03f};
    stroke_curve(p, RIB_POINTS, xy, 0.033f, 0.040f, 0.085f, 0.05f);
}

// --- fractures

typedef struct broken {
    int first, count; // ribs
    float at;         // where on the posterior part, 0 to 1
} broken;

static broken broken_ribs(const synth_study *s, int lung) {
    const synth_fact *f = &s->fact[FIND_FRACTURE];
    draws d = draws_at(s->seed, "synth fracture", s->number, (uint32_t)lung);
    broken b = {0, 0, draw_range(&d, 0.66f, 0.82f)};
    if (f->label != LABEL_POSITIVE || !side_has(f->side, lung)) return b;
    static const int first[3] = {3, 5, 6};
    b.first = first[f->zone] + draw_below(&d, 2);
    b.count = 2 + (int)f->severity;
    return b;
}

// The outer piece stands off inwards and down; healing bone lies around both ends.
static void draw_broken(scene *s, stroke_point *p, int lung, float at) {
    canvas *c = &s->c;
    int k = (int)(at * (RIB_POINTS - 1));
    float g = lung_sign(lung);
    canvas_stroke(c, PLANE_BONE, p, k, PROFILE_BONE);
    for (int i = k + 1; i < RIB_POINTS; i++) {
        float fade = 1 - (float)(i - k - 1) / (float)(RIB_POINTS - k - 1);
        p[i].x -= g * 0.05f * fade;
        p[i].y += 0.06f * fade;
    }
    canvas_stroke(c, PLANE_BONE, p + k + 1, RIB_POINTS - k - 1, PROFILE_BONE);
    stroke_point ends[2] = {p[k - 1], p[k + 1]};
    for (int i = 0; i < 2; i++) {
        blob b = {ends[i].x, ends[i].y, 0.055f, 0.042f, 0, 0.10f, 0.9f, 0.3f, 2.2f};
        canvas_blob(c, PLANE_BONE, &b);
    }
    stroke_point gap[2] = {{p[k].x - g * 0.01f, p[k].y - 0.05f, 0.011f, -0.12f},
                           {p[k].x + g * 0.03f, p[k].y + 0.07f, 0.011f, -0.12f}};
    canvas_stroke(c, PLANE_BONE, gap, 2, PROFILE_FLAT);
}

static void draw_ribs(scene *s) {
    stroke_point p[RIB_POINTS];
    for (int lung = 0; lung < 2; lung++) {
        broken b = broken_ribs(s->study, lung);
        for (int i = 1; i <= RIBS; i++) {
            rib_back(p, &s->a, lung, i);
            if (i >= b.first && i < b.first + b.count)
                draw_broken(s, p, lung, b.at);
            else
                canvas_stroke(&s->c, PLANE_BONE, p, RIB_POINTS, PROFILE_BONE);
            if (i > 8) continue;
            rib_front(p, &s->a, lung, i);
            canvas_stroke(&s->c, PLANE_BONE, p, RIB_POINTS, PROFILE_BONE);
        }
    }
}

// --- shoulders

static void draw_clavicle(scene *s, int lung) {
    float g = lung_sign(lung), end = s->a.shoulder;
    float xy[8] = {g * 0.07f, 0.20f, g * 0.34f, 0.21f, g * 0.55f, end - 0.05f, g * 0.97f, end};
    stroke_point p[32];
    stroke_curve(p, 32, xy, 0.046f, 0.034f, 0.15f, 0.12f);
    canvas_stroke(&s->c, PLANE_BONE, p, 32, PROFILE_BONE);
}

static void draw_arm(scene *s, int lung) {
    float g = lung_sign(lung), y = s->a.shoulder + 0.10f, lean = 0.2f * (1 - s->a.arm);
    blob head = {g * 1.10f, y, 0.12f, 0.115f, 0, 0.20f, 0.35f, 0, 1};
    canvas_blob(&s->c, PLANE_BONE, &head);
    float xy[8] = {g * 1.13f, y + 0.05f, g * (1.19f + lean), y + 0.4f, g * (1.20f + 1.7f * lean), y + 0.8f,
                   g * (1.22f + 2.4f * lean), y + 1.4f};
    stroke_point p[24];
    stroke_curve(p, 24, xy, 0.075f, 0.058f, 0.17f, 0.2f);
    canvas_stroke(&s->c, PLANE_BONE, p, 24, PROFILE_BONE);
}

static void draw_scapula(scene *s, int lung) {
    // The further the shoulders come forward, the more the blade leaves the lungs.
    float g = lung_sign(lung), x = 0.80f - 0.13f * s->a.scapula, y = s->a.shoulder;
    float middle[8] = {g * (x + 0.08f), y + 0.08f, g * (x - 0.03f), y + 0.3f, g * (x - 0.02f), y + 0.5f,
                       g * (x + 0.06f), y + 0.74f};
    float side[8] = {g * 1.02f, y + 0.14f, g * (x + 0.25f), y + 0.3f, g * (x + 0.16f), y + 0.55f,
                     g * (x + 0.06f), y + 0.75f};
    float spine[8] = {g * (x + 0.02f), y + 0.17f, g * (x + 0.15f), y + 0.10f, g * 1.0f, y + 0.04f,
                      g * 1.07f, y + 0.0f};
    stroke_point p[24];
    stroke_curve(p, 24, middle, 0.016f, 0.016f, 0.07f, 0.06f);
    canvas_stroke(&s->c, PLANE_BONE, p, 24, PROFILE_SOFT);
    stroke_curve(p, 24, side, 0.034f, 0.02f, 0.11f, 0.08f);
    canvas_stroke(&s->c, PLANE_BONE, p, 24, PROFILE_SOFT);
    stroke_curve(p, 24, spine, 0.024f, 0.034f, 0.06f, 0.12f);
    canvas_stroke(&s->c, PLANE_BONE, p, 24, PROFILE_SOFT);
    stroke_curve(p, 24, middle, 0.1f, 0.02f, 0.03f, 0.02f);
    for (int i = 0; i < 24; i++) p[i].x += g * p[i].radius * 0.9f;
    canvas_stroke(&s->c, PLANE_BONE, p, 24, PROFILE_FLAT);
}

// --- spine and sternum

static void draw_spine(scene *s) {
    canvas *c = &s->c;
    stroke_point column[2] = {{0, -0.7f, 0.095f, 0.05f}, {0, 2.3f, 0.115f, 0.09f}};
    canvas_stroke(c, PLANE_BONE, column, 2, PROFILE_FLAT);
    float gap = s->a.rib_gap * 1.02f;
    for (int i = -5; i < 18; i++) {
        float y = -0.09f + gap * (float)i, half = 0.082f + 0.0017f * (float)i;
        stroke_point body[2] = {{-half + 0.04f, y, 0.043f, 0.06f}, {half - 0.04f, y, 0.043f, 0.06f}};
        canvas_stroke(c, PLANE_BONE, body, 2, PROFILE_BONE);
        stroke_point process[2] = {{0.002f, y + 0.01f, 0.013f, 0.07f}, {-0.002f, y + 0.055f, 0.017f, 0.07f}};
        canvas_stroke(c, PLANE_BONE, process, 2, PROFILE_SOFT);
        for (int lung = 0; lung < 2; lung++) {
            float g = lung_sign(lung);
            blob pedicle = {g * 0.055f, y - 0.012f, 0.017f, 0.024f, 0, 0.05f, 0.5f, 0, 1};
            canvas_blob(c, PLANE_BONE, &pedicle);
            stroke_point wing[2] = {{g * 0.07f, y - 0.02f, 0.022f, 0.06f},
                                    {g * 0.155f, y - 0.035f, 0.018f, 0.05f}};
            if (i < 12) canvas_stroke(c, PLANE_BONE, wing, 2, PROFILE_ROUND);
        }
    }
}

void scene_bones(scene *s) {
    draw_spine(s);
    draw_ribs(s);
    for (int lung = 0; lung < 2; lung++) {
        draw_clavicle(s, lung);
        draw_scapula(s, lung);
        draw_arm(s, lung);
    }
}
