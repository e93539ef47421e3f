#include "data/synth_study.h"
#include "data/synth_canvas.h"

// Patients are drawn inside blocks of BLOCK studies, so that a study's patient is known without drawing
// all before it. The places of a block also fix the split: 16 studies train, 2 validate, 2 test.
enum { BLOCK = 20 };

static synth_split place_split(int place) {
    if (place == 3 || place == 4) return SYNTH_VALIDATE;
    return place == 8 || place == 9 ? SYNTH_TEST : SYNTH_TRAIN;
}

// The number of the first study of STUDY's patient.
static int64_t patient_first(uint64_t seed, int64_t study) {
    int64_t block = study / BLOCK, first = block * BLOCK;
    draws d = draws_at(seed, "synth patient", block, 0);
    for (int64_t i = first; i <= study; i++) {
        int place = (int)(i % BLOCK);
        bool same = draw_chance(&d, 0.27f) && place && place_split(place) == place_split(place - 1);
        if (!same) first = i;
    }
    return first;
}

// A permutation of 0 to 9,999,999: the factor has no divisor in common with 10.
static int identifier(uint64_t seed, const char *site, int64_t number, int64_t factor) {
    int64_t shift = rng_below((rng_key){seed, rng_site(site), 0}, 0, 0, SYNTH_STUDIES);
    return (int)((number * factor + shift) % SYNTH_STUDIES);
}

static void set_positive(synth_study *s, draws *d, int finding, float probability) {
    if (draw_chance(d, probability)) s->fact[finding].label = LABEL_POSITIVE;
}

// A reason for the film, and the findings that come with it.
typedef struct cause {
    float weight;
    struct {
        int finding;
        float probability;
    } with[7];
} cause;

static const cause causes[] = {
    {0.24f,
     {{FIND_HEART, 0.75f}, {FIND_EDEMA, 0.75f}, {FIND_EFFUSION, 0.6f}, {FIND_DEVICES, 0.35f},
      {FIND_MEDIASTINUM, 0.1f}, {FIND_ATELECTASIS, 0.12f}}},
    {0.26f,
     {{FIND_PNEUMONIA, 0.6f}, {FIND_CONSOLIDATION, 0.45f}, {FIND_OPACITY, 0.4f},
      {FIND_EFFUSION, 0.25f}, {FIND_LESION, 0.05f}, {FIND_DEVICES, 0.15f}}},
    {0.20f,
     {{FIND_ATELECTASIS, 0.75f}, {FIND_DEVICES, 0.85f}, {FIND_PNEUMOTHORAX, 0.25f},
      {FIND_EFFUSION, 0.35f}, {FIND_MEDIASTINUM, 0.3f}, {FIND_EDEMA, 0.15f},
      {FIND_CONSOLIDATION, 0.12f}}},
    {0.17f,
     {{FIND_FRACTURE, 0.9f}, {FIND_PNEUMOTHORAX, 0.5f}, {FIND_EFFUSION, 0.15f},
      {FIND_CONSOLIDATION, 0.15f}, {FIND_MEDIASTINUM, 0.15f}, {FIND_DEVICES, 0.25f}}},
    {0.17f,
     {{FIND_LESION, 0.9f}, {FIND_PLEURA, 0.3f}, {FIND_EFFUSION, 0.2f}, {FIND_MEDIASTINUM, 0.3f},
      {FIND_ATELECTASIS, 0.12f}, {FIND_DEVICES, 0.2f}}},
    {0.12f, {{FIND_PLEURA, 0.95f}, {FIND_ATELECTASIS, 0.25f}, {FIND_OPACITY, 0.2f}, {FIND_HEART, 0.15f}}},
    {0.12f, {{FIND_MEDIASTINUM, 0.95f}, {FIND_HEART, 0.4f}, {FIND_OPACITY, 0.1f}, {FIND_DEVICES, 0.2f}}},
};

// Consequences are marked by their severity alone: LABEL stays what was drawn.
static bool implies_opacity(const synth_study *s) {
    return synth_positive(s, FIND_CONSOLIDATION) || synth_positive(s, FIND_PNEUMONIA) ||
           synth_positive(s, FIND_ATELECTASIS) || synth_positive(s, FIND_LESION) ||
           (synth_positive(s, FIND_EDEMA) && s->fact[FIND_EDEMA].severity > SEVERITY_MILD);
}

bool synth_plain_opacity(const synth_study *s) {
    return synth_positive(s, FIND_OPACITY) && s->fact[FIND_OPACITY].side != SIDE_NONE;
}

static bool only_devices(const synth_study *s) {
    for (int i = 1; i < FIND_DEVICES; i++)
        if (synth_positive(s, i)) return false;
    return true;
}

static void draw_causes(synth_study *s, draws *d) {
    if (draw_chance(d, 0.26f)) {
        set_positive(s, d, FIND_DEVICES, 0.22f);
        return;
    }
    float total = 0, chosen;
    int count = (int)(sizeof causes / sizeof *causes), at = 0;
    for (int i = 0; i < count; i++) total += causes[i].weight;
    chosen = draw_range(d, 0, total);
    while (at < count - 1 && chosen >= causes[at].weight) chosen -= causes[at++].weight;
    do {
        for (int i = 0; i < 7; i++)
            set_positive(s, d, causes[at].with[i].finding, causes[at].with[i].probability);
    } while (only_devices(s));
}

static synth_side draw_side(draws *d, float both) {
    if (draw_chance(d, both)) return SIDE_BOTH;
    return draw_chance(d, 0.53f) ? SIDE_RIGHT : SIDE_LEFT;
}

static synth_severity draw_severity(draws *d, float mild, float moderate) {
    float u = draw_range(d, 0, 1);
    return u < mild ? SEVERITY_MILD : u < mild + moderate ? SEVERITY_MODERATE : SEVERITY_SEVERE;
}

// Side, amount and place of every finding, drawn whether it is there or not: the place of one does not
// depend on which others there are.
static void draw_places(synth_study *s, draws *d) {
    static const float both[CLASS_COUNT] = {
        [FIND_OPACITY] = 0.12f, [FIND_PNEUMONIA] = 0.15f, [FIND_ATELECTASIS] = 0.3f,
        [FIND_EFFUSION] = 0.3f, [FIND_PLEURA] = 0.2f};
    for (int i = FIND_MEDIASTINUM; i < CLASS_COUNT; i++) {
        synth_fact *f = &s->fact[i];
        f->side = draw_side(d, both[i]);
        f->severity = draw_severity(d, 0.35f, 0.4f);
        float u = draw_range(d, 0, 1);
        f->zone = u < 0.3f ? ZONE_UPPER : u < 0.5f ? ZONE_MIDDLE : ZONE_LOWER;
    }
    s->fact[FIND_EDEMA].side = SIDE_BOTH;
    s->fact[FIND_HEART].side = s->fact[FIND_MEDIASTINUM].side = SIDE_NONE;
    s->fact[FIND_ATELECTASIS].zone = s->fact[FIND_EFFUSION].zone = ZONE_LOWER;
    // Lobes that a consolidation can fill are the upper ones, the right middle and the lower ones.
    synth_fact *lobe = &s->fact[FIND_CONSOLIDATION];
    if (lobe->side == SIDE_LEFT && lobe->zone == ZONE_MIDDLE) lobe->zone = ZONE_LOWER;
    // The air of a pneumothorax would hide a patch that another finding puts above it.
    s->fact[FIND_PNEUMOTHORAX].zone = ZONE_UPPER;
    if (s->fact[FIND_PLEURA].zone == ZONE_LOWER) s->fact[FIND_PLEURA].zone = ZONE_MIDDLE;
}

static void draw_devices(synth_study *s, draws *d) {
    static const float probability[DEVICE_KINDS] = {0.25f, 0.45f, 0.25f, 0.25f, 0.3f, 0};
    s->device_side = draw_side(d, 0);
    s->drain_side = SIDE_NONE;
    unsigned devices = 0;
    for (int i = 0; i < DEVICE_KINDS; i++)
        if (draw_chance(d, probability[i])) devices |= 1u << i;
    if (!devices) devices = draw_chance(d, 0.5f) ? DEVICE_LINE : DEVICE_PACEMAKER;
    if (!synth_positive(s, FIND_DEVICES)) return;
    s->devices = devices;
    for (int i = FIND_PNEUMOTHORAX; i <= FIND_EFFUSION; i++)
        if (synth_positive(s, i) && !s->drain_side && s->fact[i].severity > SEVERITY_MILD &&
            s->fact[i].side != SIDE_BOTH && draw_chance(d, 0.5f)) {
            s->devices |= DEVICE_DRAIN;
            s->drain_side = s->fact[i].side;
        }
}

// Findings that the reader only suspects; never the study's only ones.
static void draw_doubts(synth_study *s, draws *d) {
    synth_fact *f = s->fact;
    bool patch = synth_plain_opacity(s) || synth_positive(s, FIND_CONSOLIDATION) ||
                 synth_positive(s, FIND_ATELECTASIS);
    const float probability[CLASS_COUNT] = {
        [FIND_MEDIASTINUM] = s->portable ? 0.06f : 0,
        [FIND_EDEMA] = synth_positive(s, FIND_HEART) ? 0.25f : 0.02f,
        [FIND_PNEUMONIA] = patch ? 0.3f : 0,
        [FIND_ATELECTASIS] = synth_plain_opacity(s) ? 0.2f : 0.02f,
        [FIND_EFFUSION] = 0.08f,
        [FIND_FRACTURE] = 0.02f,
    };
    for (int i = FIND_MEDIASTINUM; i < FIND_DEVICES; i++) {
        if (!draw_chance(d, probability[i]) || f[i].label != LABEL_BLANK || only_devices(s)) continue;
        f[i].label = LABEL_UNCERTAIN;
        f[i].severity = SEVERITY_MILD;
        if (i == FIND_EFFUSION && f[i].side == SIDE_BOTH) f[i].side = SIDE_LEFT;
    }
}

// What the report says is not there.
static void draw_denials(synth_study *s, draws *d) {
    static const float probability[CLASS_COUNT] = {
        [FIND_MEDIASTINUM] = 0.45f, [FIND_HEART] = 0.65f,        [FIND_OPACITY] = 0.5f,
        [FIND_LESION] = 0.12f,      [FIND_EDEMA] = 0.4f,         [FIND_CONSOLIDATION] = 0.6f,
        [FIND_PNEUMONIA] = 0.2f,    [FIND_ATELECTASIS] = 0.06f,  [FIND_PNEUMOTHORAX] = 0.75f,
        [FIND_EFFUSION] = 0.7f,     [FIND_PLEURA] = 0.08f,       [FIND_FRACTURE] = 0.35f,
        [FIND_DEVICES] = 0.05f};
    synth_fact *f = s->fact;
    bool clear = !synth_positive(s, FIND_OPACITY) && !synth_positive(s, FIND_EDEMA);
    bool infected = f[FIND_PNEUMONIA].label == LABEL_POSITIVE ||
                    f[FIND_PNEUMONIA].label == LABEL_UNCERTAIN;
    for (int i = FIND_MEDIASTINUM; i < CLASS_COUNT; i++) {
        // A normal film's report says more of what is not there.
        float p = only_devices(s) ? 1 - (1 - probability[i]) * (1 - probability[i]) : probability[i];
        if (!draw_chance(d, p) || f[i].label != LABEL_BLANK) continue;
        if (i == FIND_OPACITY && !clear) continue;
        if (i == FIND_CONSOLIDATION && infected) continue;
        f[i].label = LABEL_NEGATIVE;
    }
}

void synth_study_draw(uint64_t seed, int64_t study, synth_study *out) {
    synth_study s = {.seed = seed, .number = study, .patient = patient_first(seed, study)};
    s.subject_id = 10000000 + identifier(seed, "synth subject", s.patient, 7368787);
    s.study_id = 50000000 + identifier(seed, "synth study id", study, 6180339);
    s.split = place_split((int)(study % BLOCK));
    draws person = draws_at(seed, "synth person", s.patient, 0);
    s.female = draw_chance(&person, 0.5f);
    for (int i = 0; i < CLASS_COUNT; i++) s.fact[i].label = LABEL_BLANK;
    draws d = draws_at(seed, "synth findings", study, 0);
    draw_causes(&s, &d);
    d = draws_at(seed, "synth places", study, 0);
    draw_places(&s, &d);
    d = draws_at(seed, "synth devices", study, 0);
    draw_devices(&s, &d);
    // A plain opacity keeps its side; one that only follows from another finding has none.
    if (!synth_positive(&s, FIND_OPACITY)) s.fact[FIND_OPACITY].side = SIDE_NONE;
    if (implies_opacity(&s)) s.fact[FIND_OPACITY].label = LABEL_POSITIVE;
    d = draws_at(seed, "synth film", study, 0);
    s.portable = draw_chance(&d, s.devices ? 0.75f : 0.3f);
    s.images = draw_chance(&d, 0.12f) ? 2 : 1;
    d = draws_at(seed, "synth doubts", study, 0);
    draw_doubts(&s, &d);
    draw_denials(&s, &d);
    if (only_devices(&s)) s.fact[FIND_NONE].label = LABEL_POSITIVE;
    *out = s;
}
