// The soft parts of the embedded data set's chests: measures, borders, soft tissue, lungs, vessels.
// Not the bones (synth_bones.c) and no finding beyond the measures that findings change.
#include "data/synth_scene.h"

#include <math.h>

status scene_new(scene *s, int capacity, float left, float top, float extent) {
    *s = (scene){0};
    status rc = canvas_new(&s->c, capacity, left, top, extent);
    if (!rc) rc = mem_new(&s->borders, (size_t)capacity * 5, "a drawing's borders");
    if (rc) return rc;
    for (int i = 0; i < 2; i++) {
        s->outer[i] = s->borders + (size_t)i * (size_t)capacity;
        s->inner[i] = s->borders + (size_t)(2 + i) * (size_t)capacity;
    }
    s->floor = s->borders + 4 * (size_t)capacity;
    return STATUS_OK;
}

void scene_free(scene *s) {
    canvas_free(&s->c);
    mem_free(s->borders);
    *s = (scene){0};
}

// --- measures

static void person_measures(anatomy *a, const synth_study *s) {
    draws d = draws_at(s->seed, "synth anatomy", s->patient, 0);
    a->chest = draw_range(&d, 0.76f, 0.84f);
    a->apex = draw_range(&d, -0.03f, 0.04f);
    a->apex_x = draw_range(&d, 0.27f, 0.32f);
    a->dome[RIGHT] = draw_range(&d, 1.12f, 1.24f);
    a->dome[LEFT] = a->dome[RIGHT] + draw_range(&d, 0.02f, 0.07f);
    a->mediastinum[RIGHT] = draw_range(&d, 0.13f, 0.155f);
    a->mediastinum[LEFT] = draw_range(&d, 0.115f, 0.14f);
    a->knob = draw_range(&d, 0.035f, 0.075f);
    a->fat = draw_range(&d, 0, 1);
    a->shoulder = draw_range(&d, -0.02f, 0.06f);
    a->rib_slope = draw_range(&d, 0.85f, 1.15f);
    a->rib_gap = draw_range(&d, 0.114f, 0.124f);
    a->breast = s->female && draw_chance(&d, 0.8f) ? draw_range(&d, 0.4f, 1) : 0;
    a->heart_y = draw_range(&d, -0.29f, -0.24f); // above the diaphragm, added later
}

// The heart's width over the chest's: below 0.5 without cardiomegaly.
static void heart_measures(anatomy *a, const synth_study *s) {
    static const float low[3] = {0.54f, 0.59f, 0.65f};
    draws d = draws_at(s->seed, "synth heart", s->patient, 0);
    float ratio = draw_range(&d, 0.40f, 0.47f), more = draw_range(&d, 0, 0.03f);
    float right = draw_range(&d, 0.30f, 0.36f);
    if (synth_positive(s, FIND_HEART)) ratio = low[s->fact[FIND_HEART].severity] + more;
    a->heart[RIGHT] = 2 * a->chest * ratio * right;
    a->heart[LEFT] = 2 * a->chest * ratio * (1 - right);
}

static void film_measures(anatomy *a, const synth_study *s) {
    static const float wide[3] = {0.065f, 0.10f, 0.145f};
    draws d = draws_at(s->seed, "synth pose", s->number, 0);
    float breath = draw_range(&d, -0.05f, 0.04f), shallow = draw_range(&d, 0.05f, 0.16f);
    if (s->portable) breath -= shallow;
    a->scapula = s->portable ? draw_range(&d, 0.5f, 1) : draw_range(&d, 0, 0.5f);
    a->arm = s->portable ? draw_range(&d, 0.5f, 1) : draw_range(&d, 0, 0.6f);
    a->shoulder -= s->portable ? 0.05f : 0;
    for (int i = 0; i < 2; i++) a->dome[i] += breath;
    a->heart_y += 0.5f * (a->dome[RIGHT] + a->dome[LEFT]); // it lies on the diaphragm
    const synth_fact *f = &s->fact[FIND_MEDIASTINUM];
    if (f->label == LABEL_POSITIVE)
        for (int i = 0; i < 2; i++) a->mediastinum[i] += wide[f->severity];
    if (f->label == LABEL_UNCERTAIN) a->mediastinum[RIGHT] += 0.03f;
    f = &s->fact[FIND_ATELECTASIS]; // a smaller lung pulls the diaphragm up
    for (int i = 0; i < 2; i++)
        if (f->label == LABEL_POSITIVE && side_has(f->side, i))
            a->dome[i] -= 0.07f + 0.05f * (float)f->severity;
}

// --- borders

float lung_outer(const anatomy *a, float y) {
    float t = (y - a->apex) / 0.92f;
    if (t <= 0) return a->apex_x;
    float below = t > 1 ? 0.03f * smaller(t - 1, 0.5f) : 0, s = 1 - smaller(t, 1);
    s *= s * (1.15f - 0.15f * s);
    return a->apex_x + (a->chest - a->apex_x) * sqrtf(larger(1 - s, 0)) + below;
}

// A smooth bump of height 1 over |t| < 1.
static float bump(float t) {
    float u = 1 - t * t;
    return u > 0 ? u * u : 0;
}

static float smooth_max(float a, float b, float k) {
    float h = clamp01(0.5f + 0.5f * (a - b) / k);
    return b + (a - b) * h + k * h * (1 - h);
}

float lung_inner(const anatomy *a, int lung, float y) {
    // A wide mediastinum is wide where the great vessels are, above the heart.
    float base = lung == RIGHT ? 0.135f : 0.115f;
    float inner = base + (a->mediastinum[lung] - base) * ramp((y + 0.15f) / 0.35f);
    if (lung == LEFT) {
        inner += a->knob * bump((y - 0.37f) / 0.13f);
        inner += 0.035f * bump((y - 0.58f) / 0.14f);
    } else
        inner += 0.02f * bump((y - 0.42f) / 0.2f);
    float t = y - a->heart_y, heart = 0;
    if (lung == RIGHT) {
        float q = t / 0.36f;
        heart = q * q < 1 ? a->heart[RIGHT] * sqrtf(1 - q * q) : 0;
    } else {
        // From the pulmonary artery the border falls almost straight to the apex.
        float q = t < 0.14f ? (0.14f - t) / 0.62f : (t - 0.14f) / 0.24f;
        if (q < 1) heart = a->heart[LEFT] * powf(1 - powf(q, t < 0.14f ? 1.45f : 2.4f), t < 0.14f ? 0.75f : 0.5f);
    }
    inner = smooth_max(inner, heart, 0.035f);
    float top = clamp01((y - a->apex) / 0.17f);
    return a->apex_x + (inner - a->apex_x) * (top > 0 ? sqrtf(top) : 0);
}

float lung_floor(const anatomy *a, float x) {
    int lung = x < 0 ? RIGHT : LEFT;
    float t = fabsf(x), peak = 0.40f;
    if (t > peak) {
        float q = (t - peak) / (a->chest + 0.01f - peak), q2 = q * q;
        return a->dome[lung] + 0.15f * q2 + 0.12f * q2 * q2 * q2;
    }
    float q = (peak - t) / peak;
    return a->dome[lung] + 0.05f * q * q;
}

// --- soft tissue

static float body_half_width(const anatomy *a, float y) {
    float torso = a->chest + 0.09f + 0.13f * a->fat + 0.05f * ramp((y - 0.9f) / 0.8f);
    float shoulder = 1.5f;
    return shoulder + (torso - shoulder) * ramp((y - 0.22f) / 0.3f);
}

static float body_at(const anatomy *a, float x, float y, float half) {
    float t = fabsf(x), neck_edge = 0.29f + 0.05f * a->fat;
    float slope = -0.30f + 0.36f * sqrtf(clamp01((t - neck_edge) / 0.85f)) + a->shoulder;
    float depth = y - slope, q = t / half, thickness = 0, neck = smaller(t / neck_edge, 1);
    if (q < 1 && depth > 0) {
        // The shoulders begin with a round edge, but not where the neck stands on them.
        float u = sqrtf(1 - q * q), deep = smaller(depth / 0.4f, 1), edge = neck * neck * neck;
        thickness = (0.45f * u + 0.55f * sqrtf(u)) * (edge * sqrtf(deep) + (1 - edge) * ramp(deep));
    }
    float round = 0.62f * sqrtf(1 - neck * neck) * (1 - ramp((y + 0.40f) / 0.45f));
    thickness = sqrtf(thickness * thickness + round * round); // the neck runs out between them
    return thickness * (1 + 0.06f * ramp((y - 1.0f) / 0.5f)) * (0.97f + 0.10f * a->fat);
}

static void draw_body(scene *s) {
    canvas *c = &s->c;
    for (int row = 0; row < c->side; row++) {
        float y = canvas_y(c, row), half = body_half_width(&s->a, y);
        float *out = c->plane[PLANE_BODY] + (size_t)row * (size_t)c->side;
#pragma omp simd
        for (int column = 0; column < c->side; column++) {
            float x = canvas_x(c, column);
            out[column] = body_at(&s->a, x, y, half) *
                          (0.975f + 0.05f * canvas_noise(c, x, y, 0.45f));
        }
    }
    for (int i = 0; i < 2; i++) { // upper arms beside the body
        float g = lung_sign(i), lean = 0.22f * (1 - s->a.arm), fat = 0.03f * s->a.fat;
        float xy[8] = {g * 1.10f, 0.14f, g * (1.19f + lean), 0.5f, g * (1.20f + 1.6f * lean), 0.9f,
                       g * (1.22f + 2.4f * lean), 1.5f};
        stroke_point arm[16];
        stroke_curve(arm, 16, xy, 0.17f + fat, 0.14f + fat, 0.38f, 0.34f);
        canvas_stroke(c, PLANE_BODY, arm, 16, PROFILE_ROUND);
    }
}

static void draw_breasts(scene *s) {
    if (s->a.breast <= 0) return;
    for (int i = 0; i < 2; i++) {
        float g = lung_sign(i), size = s->a.breast;
        blob b = {g * 0.50f, 0.98f, 0.33f + 0.08f * size, 0.27f + 0.1f * size, g * 0.25f,
                  0.12f + 0.10f * size, 0.45f, 0, 1};
        canvas_blob(&s->c, PLANE_BODY, &b);
        // Where the skin turns under, the ray runs along it.
        float xy[8] = {g * 0.20f, 1.14f + 0.06f * size, g * 0.36f, 1.34f + 0.1f * size, g * 0.64f,
                       1.36f + 0.1f * size, g * 0.84f, 1.05f};
        stroke_point edge[24];
        stroke_curve(edge, 24, xy, 0.045f, 0.03f, 0.06f * size, 0.03f * size);
        canvas_stroke(&s->c, PLANE_BODY, edge, 24, PROFILE_SOFT);
    }
}

// --- lungs

static void compute_borders(scene *s) {
    const canvas *c = &s->c;
    for (int i = 0; i < c->side; i++) {
        float y = canvas_y(c, i);
        for (int lung = 0; lung < 2; lung++) {
            s->outer[lung][i] = lung_outer(&s->a, y);
            s->inner[lung][i] = lung_inner(&s->a, lung, y);
        }
        s->floor[i] = lung_floor(&s->a, canvas_x(c, i));
    }
}

static void draw_lungs(scene *s) {
    const canvas *c = &s->c;
    span rows = canvas_rows(c, s->a.apex, 1.75f);
    for (int row = rows.first; row < rows.last; row++) {
        float y = canvas_y(c, row);
        float *air = c->plane[PLANE_AIR] + (size_t)row * (size_t)c->side;
#pragma omp simd
        for (int column = 0; column < c->side; column++) {
            float x = canvas_x(c, column), t = fabsf(x);
            int lung = x < 0 ? RIGHT : LEFT;
            float outside = s->outer[lung][row] - t, below = s->floor[column] - y;
            float inside = t - s->inner[lung][row];
            if (outside <= 0) continue;
            float e = smaller(outside / 0.34f, 1), depth = sqrtf(e * (2 - e));
            // Behind the dome and behind the thinner edge of the heart there is lung, too.
            float recess = 0.30f * ramp((below + 0.20f) / 0.24f);
            float behind = 0.10f + 0.24f * ramp((inside + 0.26f) / 0.26f);
            float open = behind + (1 - behind) * ramp(inside / 0.035f + 0.5f);
            float high = recess + (1 - recess) * ramp(below / 0.022f + 0.5f);
            float in_middle = ramp((t - 0.07f) / 0.05f);
            air[column] = 0.70f * (0.25f * e + 0.75f * depth) * open * high * in_middle;
        }
    }
}

static void draw_middle(scene *s) {
    canvas *c = &s->c;
    // The windpipe: a dark band that ends in the two main bronchi.
    stroke_point windpipe[2] = {{0.008f, -0.7f, 0.042f, -0.17f}, {0, 0.45f, 0.042f, -0.15f}};
    canvas_stroke(c, PLANE_BODY, windpipe, 2, PROFILE_ROUND);
    for (int i = 0; i < 2; i++) {
        float g = lung_sign(i), reach = i == RIGHT ? 0.15f : 0.2f;
        stroke_point bronchus[2] = {{g * 0.01f, 0.44f, 0.03f, -0.10f},
                                    {g * reach, 0.60f, 0.024f, -0.07f}};
        canvas_stroke(c, PLANE_BODY, bronchus, 2, PROFILE_ROUND);
    }
    draws d = draws_at(s->study->seed, "synth gas", s->study->number, 0);
    blob gas = {draw_range(&d, 0.30f, 0.42f), s->a.dome[LEFT] + draw_range(&d, 0.12f, 0.15f),
                draw_range(&d, 0.10f, 0.17f), draw_range(&d, 0.055f, 0.10f), -0.15f,
                -draw_range(&d, 0.2f, 0.42f), 0.4f, 0.12f, 0.7f};
    if (draw_chance(&d, 0.75f)) canvas_blob(c, PLANE_BODY, &gas);
    int loops = draw_below(&d, 3);
    for (int i = 0; i < loops; i++) {
        blob loop = {draw_range(&d, -0.1f, 0.7f), draw_range(&d, 1.62f, 2.0f),
                     draw_range(&d, 0.07f, 0.14f), draw_range(&d, 0.05f, 0.09f),
                     draw_range(&d, -1, 1), -draw_range(&d, 0.1f, 0.22f), 0.9f, 0.45f, 1.2f};
        canvas_blob(c, PLANE_BODY, &loop);
    }
}

void scene_start(scene *s, const synth_study *study, int side) {
    s->study = study;
    s->a = (anatomy){0};
    person_measures(&s->a, study);
    heart_measures(&s->a, study);
    film_measures(&s->a, study);
    canvas_start(&s->c, side, draws_at(study->seed, "synth noise", study->number, 0));
    compute_borders(s);
    draw_body(s);
    draw_breasts(s);
    draw_lungs(s);
    draw_middle(s);
}

// --- vessels

typedef struct branch {
    float x, y, angle, length, radius;
    int depth;
} branch;

// A vessel bends, gets thinner and splits; all of it is drawn from a fixed number of draws.
static void draw_branch(scene *s, draws *d, branch b, float strength) {
    stroke_point p[6];
    float bend = draw_range(d, -0.35f, 0.35f), x = b.x, y = b.y;
    for (int i = 0; i < 6; i++) {
        float t = (float)i / 5, radius = b.radius * (1 - 0.35f * t);
        p[i] = (stroke_point){x, y, radius, strength * (0.012f + 5.2f * radius)};
        x += cosf(b.angle + bend * t) * b.length / 5;
        y += sinf(b.angle + bend * t) * b.length / 5;
    }
    canvas_stroke(&s->c, PLANE_VESSEL, p, 6, PROFILE_SOFT);
    if (b.depth == 0) return;
    for (int i = 0; i < 2; i++) {
        float turn = draw_range(d, 0.12f, 0.55f) * (i ? 1.0f : -1.0f);
        branch child = {p[5].x, p[5].y, b.angle + bend + turn, b.length * draw_range(d, 0.65f, 0.95f),
                        b.radius * draw_range(d, 0.55f, 0.72f), b.depth - 1};
        draw_branch(s, d, child, strength);
    }
}

enum { TRUNKS = 14 };

void scene_vessels(scene *s) {
    const synth_fact *edema = &s->study->fact[FIND_EDEMA];
    float wet = edema->label == LABEL_POSITIVE    ? 0.5f + 0.25f * (float)edema->severity
                : edema->label == LABEL_UNCERTAIN ? 0.25f
                                                  : 0;
    for (int i = 0; i < 2; i++) {
        draws d = draws_at(s->study->seed, "synth vessels", s->study->patient, (uint32_t)i);
        float g = lung_sign(i), hilum_x = i == RIGHT ? 0.19f : 0.18f;
        float hilum_y = i == RIGHT ? 0.62f : 0.57f;
        for (int k = 0; k < TRUNKS; k++) {
            float lower = (float)k / (TRUNKS - 1);
            float angle = -1.45f + 2.95f * ((float)k + draw_range(&d, 0.1f, 0.9f)) / TRUNKS;
            // Upright, the lower vessels carry more; in edema the upper ones fill as well.
            float base = (0.0115f + 0.006f * lower) * draw_range(&d, 0.8f, 1.25f);
            base *= 1 + wet * (0.9f - 0.5f * lower);
            branch b = {g * (hilum_x + draw_range(&d, -0.03f, 0.05f)), hilum_y + 0.22f * (lower - 0.45f), 0,
                        draw_range(&d, 0.12f, 0.20f), base, 3};
            b.angle = g > 0 ? angle : (float)M_PI - angle;
            draw_branch(s, &d, b, 1 + 0.25f * wet);
        }
        for (int k = 0; k < 5; k++) { // the hilum: vessels seen end on
            blob b = {g * (hilum_x + draw_range(&d, -0.02f, 0.07f)),
                      hilum_y + draw_range(&d, -0.08f, 0.1f), draw_range(&d, 0.03f, 0.06f),
                      draw_range(&d, 0.03f, 0.06f), draw_range(&d, 0, 3),
                      draw_range(&d, 0.05f, 0.10f) * (1 + wet), 0.7f, 0.2f, 2};
            canvas_blob(&s->c, PLANE_VESSEL, &b);
        }
    }
}
