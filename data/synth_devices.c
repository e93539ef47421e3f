// Devices in and on the embedded data set's chests. They are drawn as metal, the tubes fainter, so that
// they show on top of everything.
#include "data/synth_scene.h"

#include <math.h>

// A tube: a faint band with a bright stripe in it.
static void draw_tube(scene *s, const float xy[8], float radius, float stripe) {
    stroke_point p[40];
    stroke_curve(p, 40, xy, radius, radius, 0.13f, 0.13f);
    canvas_stroke(&s->c, PLANE_METAL, p, 40, PROFILE_BONE);
    stroke_curve(p, 40, xy, stripe, stripe, 0.22f, 0.22f);
    canvas_stroke(&s->c, PLANE_METAL, p, 40, PROFILE_FLAT);
}

static void draw_wire(scene *s, const float xy[8], float radius, float amount) {
    stroke_point p[40];
    stroke_curve(p, 40, xy, radius, radius, amount, amount);
    canvas_stroke(&s->c, PLANE_METAL, p, 40, PROFILE_FLAT);
}

static void draw_airway(scene *s, draws *d) {
    float tip = draw_range(d, 0.18f, 0.32f);
    float xy[8] = {0.03f, -0.7f, 0.015f, -0.4f, 0.0f, -0.1f, 0.004f, tip};
    draw_tube(s, xy, 0.026f, 0.008f);
}

static void draw_line(scene *s, draws *d) {
    float g = s->study->device_side == SIDE_RIGHT ? -1.0f : 1.0f, tip = draw_range(d, 0.58f, 0.78f);
    float end_x = -0.10f, bend = g < 0 ? 0.0f : -0.02f;
    if (draw_chance(d, 0.5f)) { // by way of the jugular vein
        float xy[8] = {g * 0.30f, -0.45f, g * 0.21f, -0.1f, g * 0.13f, 0.12f, g * 0.11f, 0.22f};
        draw_wire(s, xy, 0.011f, 0.3f);
        float low[8] = {g * 0.11f, 0.22f, g * 0.09f + bend, 0.32f, end_x, 0.36f, end_x, tip};
        draw_wire(s, low, 0.011f, 0.3f);
        return;
    }
    float xy[8] = {g * 0.72f, 0.26f, g * 0.5f, 0.08f, g * 0.28f, 0.10f, g * 0.13f, 0.22f};
    draw_wire(s, xy, 0.011f, 0.3f);
    float low[8] = {g * 0.13f, 0.22f, g * 0.05f + bend, 0.29f, end_x, 0.33f, end_x, tip};
    draw_wire(s, low, 0.011f, 0.3f);
}

static void draw_pacemaker(scene *s, draws *d) {
    float g = s->study->device_side == SIDE_RIGHT ? -1.0f : 1.0f;
    float x = g * draw_range(d, 0.56f, 0.64f), y = draw_range(d, 0.26f, 0.36f);
    float heart = s->a.heart_y + 0.02f;
    blob box = {x, y, 0.125f, 0.10f, draw_range(d, -0.3f, 0.3f), 0.85f, 0.14f, 0, 1};
    canvas_blob(&s->c, PLANE_METAL, &box);
    blob battery = {x + g * 0.02f, y + 0.02f, 0.07f, 0.055f, 0.2f, 0.4f, 0.2f, 0, 1};
    canvas_blob(&s->c, PLANE_METAL, &battery);
    float across[8] = {x, y - 0.09f, g * 0.42f, 0.05f, g * 0.25f, 0.14f, g * 0.10f, 0.23f};
    draw_wire(s, across, 0.010f, 0.42f);
    float atrium[8] = {g * 0.10f, 0.23f, -0.09f, 0.34f, -0.15f, 0.75f, -0.15f, heart - 0.16f};
    draw_wire(s, atrium, 0.010f, 0.42f);
    float hook[8] = {-0.15f, heart - 0.16f, -0.15f, heart - 0.06f, -0.08f, heart - 0.08f, -0.09f, heart - 0.17f};
    draw_wire(s, hook, 0.011f, 0.5f);
    float ventricle[8] = {g * 0.09f, 0.235f, -0.12f, 0.34f, -0.17f, heart + 0.02f, 0.06f, heart + 0.16f};
    draw_wire(s, ventricle, 0.010f, 0.42f);
    float tip_x = 0.72f * s->a.heart[LEFT];
    float apex[8] = {0.06f, heart + 0.16f, 0.14f, heart + 0.2f, 0.8f * tip_x, heart + 0.19f, tip_x, heart + 0.17f};
    draw_wire(s, apex, 0.012f, 0.5f);
}

static void draw_sternal_wires(scene *s, draws *d) {
    for (int i = 0; i < 6; i++) {
        float y = 0.32f + 0.125f * (float)i, x = draw_range(d, -0.01f, 0.015f), w = draw_range(d, 0.03f, 0.045f);
        float upper[8] = {x - w, y, x - w, y - 0.035f, x + w, y - 0.035f, x + w, y};
        float lower[8] = {x - w, y, x - w, y + 0.035f, x + w * 0.6f, y + 0.035f, x + w * 0.4f, y + 0.005f};
        draw_wire(s, upper, 0.009f, 0.55f);
        draw_wire(s, lower, 0.009f, 0.55f);
        float knot[8] = {x + w, y, x + w + 0.01f, y + 0.02f, x + w * 0.7f, y + 0.03f, x + w * 0.6f, y + 0.05f};
        draw_wire(s, knot, 0.009f, 0.5f);
    }
}

static void draw_feeding(scene *s, draws *d) {
    float x = draw_range(d, 0.03f, 0.05f), end = draw_range(d, 0.2f, 0.34f), floor = s->a.dome[LEFT];
    float down[8] = {-0.03f, -0.7f, 0.01f, 0.1f, x, 0.4f, x + 0.01f, 0.8f};
    draw_wire(s, down, 0.012f, 0.26f);
    float under[8] = {x + 0.01f, 0.8f, x + 0.02f, floor, 0.10f, floor + 0.12f, end, floor + 0.28f};
    draw_wire(s, under, 0.012f, 0.26f);
}

static void draw_drain(scene *s, draws *d) {
    float g = s->study->drain_side == SIDE_RIGHT ? -1.0f : 1.0f;
    float y = draw_range(d, 0.85f, 1.0f), tip = draw_range(d, 0.2f, 0.35f);
    float xy[8] = {g * 1.1f, y + 0.12f, g * 0.75f, y, g * 0.60f, 0.6f, g * 0.44f, tip};
    draw_tube(s, xy, 0.028f, 0.010f);
}

// Leads of a monitor: discs on the skin and thin wires that leave the film.
static void draw_leads(scene *s, draws *d) {
    int leads = 2 + draw_below(d, 3);
    for (int i = 0; i < leads; i++) {
        float g = i & 1 ? 1.0f : -1.0f, x = g * draw_range(d, 0.5f, 0.85f);
        float y = i < 2 ? draw_range(d, 0.15f, 0.3f) : draw_range(d, 0.95f, 1.3f);
        blob disc = {x, y, 0.032f, 0.032f, 0, 0.30f, 0.5f, 0, 1};
        canvas_blob(&s->c, PLANE_METAL, &disc);
        float away = draw_range(d, -0.3f, 0.3f);
        float xy[8] = {x, y, x + away, y + 0.25f, g * 0.5f + away, y + 0.6f, g * draw_range(d, 0.7f, 1.1f), 2.2f};
        draw_wire(s, xy, 0.0055f, 0.20f);
    }
}

void scene_devices(scene *s) {
    const synth_study *study = s->study;
    static void (*const draw[DEVICE_KINDS])(scene *, draws *) = {
        draw_airway, draw_line, draw_pacemaker, draw_sternal_wires, draw_feeding, draw_drain};
    for (int i = 0; i < DEVICE_KINDS; i++) {
        draws d = draws_at(study->seed, "synth device", study->number, (uint32_t)i);
        if (study->devices & 1u << i) draw[i](s, &d);
    }
    draws d = draws_at(study->seed, "synth leads", study->number, 0);
    if (study->portable && study->devices && draw_chance(&d, 0.55f)) draw_leads(s, &d);
}
