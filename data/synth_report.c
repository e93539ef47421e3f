#include "data/synth_report.h"
#include "data/synth_canvas.h"
#include "data/synth_phrases.h"

#include <ctype.h>
#include <string.h>

report_kind synth_report_kind(const synth_study *s) {
    draws d = draws_at(s->seed, "synth report kind", s->number, 0);
    float u = draw_range(&d, 0, 1);
    return u < 0.045f   ? REPORT_IMPRESSION
           : u < 0.055f ? REPORT_COMBINED
           : u < 0.070f ? REPORT_PARAGRAPH
           : u < 0.080f ? REPORT_LOWER
                        : REPORT_SECTIONS;
}

// --- filling in a sentence

// A phrase that reports of SPLIT use.
static const char *pick(draws *d, const phrases list, synth_split split) {
    phrase_range range = phrases_for(list, split);
    return range.count ? list[range.first + draw_below(d, range.count)] : "";
}

// One of the heading's, which is the same in all splits.
static const char *pick_any(draws *d, const phrases list) {
    int count = 0;
    while (count < PHRASES && list[count]) count++;
    return list[draw_below(d, count)];
}

static const char *severity_word(int finding, synth_severity severity) {
    static const char *const words[][3] = {
        {"mild", "moderate", "severe"},           {"small", "moderate", "large"},
        {"mildly", "moderately", "markedly"},     {"two", "three", "four"},
        {"small", "medium-sized", "large"}};
    switch (finding) {
    case FIND_PNEUMOTHORAX:
    case FIND_EFFUSION:
    case FIND_OPACITY: return words[1][severity];
    case FIND_LESION: return words[4][severity];
    case FIND_FRACTURE: return words[3][severity];
    default: return words[0][severity];
    }
}

static const char *side_word(synth_side side) {
    return side == SIDE_RIGHT ? "right" : side == SIDE_LEFT ? "left" : "bilateral";
}

static const char *zone_word(synth_zone zone) {
    static const char *const words[3] = {"upper lung", "mid lung", "lower lung"};
    return words[zone];
}

static const char *lobe_word(synth_zone zone) {
    static const char *const words[3] = {"upper lobe", "middle lobe", "lower lobe"};
    return words[zone];
}

// True where the word after the slot wants an adverb: "mildly enlarged", not "mild enlarged".
static bool wants_adverb(const char *after) {
    static const char *const words[] = {" enlarged", " widened", " increased"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strncmp(after, words[i], strlen(words[i]))) return true;
    return false;
}

static const char *slot_word(char slot, const char *after, int finding, const synth_fact *f) {
    switch (slot) {
    case 's': return side_word(f->side);
    case 'z': return zone_word(f->zone);
    case 'l': return lobe_word(f->zone);
    default: break;
    }
    static const char *const adverbs[3] = {"mildly", "moderately", "markedly"};
    return wants_adverb(after) ? adverbs[f->severity] : severity_word(finding, f->severity);
}

// Appends TEXT with its slots filled, the first letter a capital where FIRST is set.
static void append_phrase(buffer *out, const char *text, int finding, const synth_fact *f, bool first) {
    size_t start = out->length;
    for (; *text; text++) {
        if (*text == '{') {
            buffer_text(out, slot_word(text[1], text + 3, finding, f));
            text += 2;
        } else
            buffer_append(out, text, 1);
    }
    if (first && out->length > start) out->data[start] = (char)toupper((unsigned char)out->data[start]);
}

static void append_sentence(buffer *out, const char *text, int finding, const synth_fact *f) {
    if (!*text) return;
    if (out->length) buffer_text(out, " ");
    append_phrase(out, text, finding, f, true);
}

// --- the findings

static void append_finding(buffer *out, draws *d, const synth_study *s, int finding) {
    const finding_phrases *t = finding_text[finding];
    const synth_fact *f = &s->fact[finding];
    const char *text = "";
    if (f->label == LABEL_UNCERTAIN)
        text = pick(d, t->unsure, s->split);
    else if (f->label == LABEL_NEGATIVE)
        text = pick(d, t->absent, s->split);
    else if (f->label == LABEL_POSITIVE)
        text = pick(d, f->side == SIDE_BOTH && t->both[0] ? t->both : t->one, s->split);
    append_sentence(out, text, finding, f);
}

static void append_devices(buffer *out, draws *d, const synth_study *s) {
    synth_fact where = {.side = s->device_side};
    for (int i = 0; i < DEVICE_KINDS; i++) {
        const char *text = pick(d, device_text[i], s->split);
        where.side = 1u << i == DEVICE_DRAIN ? s->drain_side : s->device_side;
        if (s->devices & 1u << i) append_sentence(out, text, FIND_DEVICES, &where);
    }
}

// Sentences come in groups; inside the body of the report their order is drawn.
enum { GROUP_LUNGS = 1, GROUP_DEVICES = 4, GROUPS = 5 };
static const int groups[GROUPS][8] = {
    {FIND_HEART, FIND_MEDIASTINUM, -1},
    {FIND_EDEMA, FIND_OPACITY, FIND_CONSOLIDATION, FIND_PNEUMONIA, FIND_ATELECTASIS, FIND_LESION, -1},
    {FIND_EFFUSION, FIND_PNEUMOTHORAX, FIND_PLEURA, -1},
    {FIND_FRACTURE, -1},
    {FIND_DEVICES, -1},
};

// Denies two classes at once where both are negative; marks them as said.
static void append_pairs(buffer *out, draws *d, const synth_study *s, int group, bool said[CLASS_COUNT]) {
    for (int i = 0; i < PHRASE_PAIRS; i++) {
        const pair_phrases *p = &pair_text[i];
        bool here = false;
        for (int k = 0; groups[group][k] >= 0; k++) here |= groups[group][k] == p->first;
        const char *text = pick(d, p->text, s->split);
        bool wanted = draw_chance(d, 0.6f);
        if (!here || !wanted || said[p->first] || said[p->second]) continue;
        if (s->fact[p->first].label != LABEL_NEGATIVE || s->fact[p->second].label != LABEL_NEGATIVE) continue;
        append_sentence(out, text, p->first, &s->fact[p->first]);
        said[p->first] = said[p->second] = true;
    }
}

// Lung Opacity as a consequence has a sentence of its own only where no other has said the word.
static void append_opacity(buffer *out, draws *d, const synth_study *s) {
    const char *text = pick(d, implied_opacity, s->split);
    if (synth_positive(s, FIND_OPACITY) && (!out->data || !strstr(out->data, "opacit")))
        append_sentence(out, text, FIND_OPACITY, &s->fact[FIND_OPACITY]);
}

static void append_group(buffer *out, draws *d, const synth_study *s, int group, bool said[CLASS_COUNT]) {
    if (group == GROUP_DEVICES) append_devices(out, d, s);
    append_pairs(out, d, s, group, said);
    // What is there is said first, then what is only possible, then what is not there.
    static const int order[3] = {LABEL_POSITIVE, LABEL_UNCERTAIN, LABEL_NEGATIVE};
    for (int turn = 0; turn < 3; turn++)
        for (int k = 0; groups[group][k] >= 0; k++) {
            int finding = groups[group][k];
            if (said[finding] || s->fact[finding].label != order[turn]) continue;
            if (finding == FIND_OPACITY && turn == 0 && !synth_plain_opacity(s)) continue;
            append_finding(out, d, s, finding);
            said[finding] = true;
        }
    if (group == GROUP_LUNGS) append_opacity(out, d, s);
}

static void write_findings(buffer *out, const synth_study *s) {
    draws d = draws_at(s->seed, "synth sentences", s->number, 0);
    bool said[CLASS_COUNT] = {false};
    uint32_t order[GROUPS - 1];
    rng_key key = {s->seed ^ (uint64_t)s->number << 20, rng_site("synth order"), 0};
    rng_shuffle(key, order, GROUPS - 1);
    // Half of the reports go from the heart outwards; devices come first or last.
    bool usual = draw_chance(&d, 0.5f), devices_first = draw_chance(&d, 0.6f);
    if (devices_first) append_group(out, &d, s, GROUP_DEVICES, said);
    for (int i = 0; i < GROUPS - 1; i++) append_group(out, &d, s, usual ? i : (int)order[i], said);
    if (!devices_first) append_group(out, &d, s, GROUP_DEVICES, said);
    if (!out->length) buffer_text(out, pick(&d, bare_text, s->split));
}

// --- the impression

static void write_impression(buffer *out, const synth_study *s, bool complete) {
    draws d = draws_at(s->seed, "synth impression", s->number, 0);
    int said = 0, most = complete ? CLASS_COUNT : 4, total = 0;
    for (int i = 1; i < CLASS_COUNT; i++) total += s->fact[i].label == LABEL_POSITIVE;
    bool numbered = draw_chance(&d, 0.5f) && total > 1;
    for (int i = 1; i < CLASS_COUNT; i++) {
        const finding_phrases *t = finding_text[i];
        const synth_fact *f = &s->fact[i];
        bool both = f->side == SIDE_BOTH && t->conclusion_both[0];
        const char *text = pick(&d, both ? t->conclusion_both : t->conclusion, s->split);
        if (i == FIND_DEVICES) text = pick(&d, device_conclusion, s->split);
        if (f->label == LABEL_UNCERTAIN) text = pick(&d, t->suspicion, s->split);
        bool wanted = f->label == LABEL_POSITIVE || (f->label == LABEL_UNCERTAIN && *text);
        if (i == FIND_OPACITY && !synth_plain_opacity(s)) wanted = false;
        if (!wanted || said == most) continue;
        if (said) buffer_text(out, " ");
        if (numbered) buffer_print(out, "%d. ", said + 1);
        append_phrase(out, text, i, f, true);
        buffer_text(out, ".");
        said++;
    }
    const char *normal = pick(&d, s->devices ? calm_conclusion : normal_conclusion, s->split);
    if (synth_positive(s, FIND_NONE) && (s->devices == 0 || draw_chance(&d, 0.7f))) {
        if (said) buffer_text(out, " ");
        buffer_text(out, normal);
    }
}

// --- the page

enum { LINE = 80 };

// Appends HEADER and TEXT, broken between words, every line behind a blank.
static void append_section(buffer *out, const char *header, const char *text) {
    buffer_print(out, " %s", header);
    size_t column = strlen(header) + 1;
    bool fresh = !*header;
    if (*header) buffer_text(out, "  "), column += 2, fresh = true;
    while (*text) {
        size_t length = strcspn(text, " ");
        if (!fresh && column + 1 + length > LINE) {
            buffer_text(out, "\n ");
            column = 1;
        } else if (!fresh)
            buffer_text(out, " "), column++;
        buffer_append(out, text, length);
        column += length, fresh = false;
        text += length;
        while (*text == ' ') text++;
    }
    buffer_text(out, "\n \n");
}

static void write_indication(buffer *out, const synth_study *s) {
    draws d = draws_at(s->seed, "synth indication", s->number, 0);
    const char *why = pick_any(&d, draw_chance(&d, 0.6f) ? indications_acute : indications_other);
    const char *who = s->female ? "woman" : "man";
    switch (draw_below(&d, 4)) {
    case 0: buffer_print(out, "___ year old %s with %s.", who, why); break;
    case 1: buffer_print(out, "___-year-old %s, %s. Evaluate for acute process.", who, why); break;
    case 2: buffer_print(out, "History: ___%c with %s  // ?acute process", s->female ? 'F' : 'M', why); break;
    default: buffer_print(out, "%c%s.", toupper((unsigned char)why[0]), why + 1);
    }
}

static void write_heading(buffer *out, const synth_study *s, draws *d) {
    static const phrases portable = {"CHEST (PORTABLE AP)", "PORTABLE CHEST RADIOGRAPH", "CHEST, AP PORTABLE", "Chest single view AP"};
    static const phrases upright = {"CHEST (PA)", "CHEST RADIOGRAPH, FRONTAL", "Chest PA", "CHEST, SINGLE FRONTAL VIEW"};
    static const phrases first = {"None.", "None available.", "No prior studies."};
    static const phrases later = {"Chest radiograph from ___.", "Prior chest film of ___.", "___."};
    const char *view = pick_any(d, s->portable ? portable : upright);
    if (!draw_chance(d, 0.08f)) buffer_print(out, "%33sFINAL REPORT\n", "");
    append_section(out, "EXAMINATION:", view);
    buffer why = {0};
    write_indication(&why, s);
    if (!out->failed) out->failed = why.failed;
    if (!why.failed) append_section(out, "INDICATION:", why.data);
    buffer_free(&why);
    if (draw_chance(d, 0.3f)) append_section(out, "TECHNIQUE:", "Single frontal view of the chest.");
    append_section(out, "COMPARISON:", pick_any(d, s->patient == s->number ? first : later));
}

static void write_body(buffer *out, const synth_study *s, const char *findings, const char *impression, draws *d) {
    bool short_name = draw_chance(d, 0.12f), no_impression = draw_chance(d, 0.06f);
    switch (synth_report_kind(s)) {
    case REPORT_SECTIONS:
        append_section(out, short_name ? "FINDING:" : "FINDINGS:", findings);
        if (!no_impression) append_section(out, short_name ? "CONCLUSION:" : "IMPRESSION:", impression);
        break;
    case REPORT_IMPRESSION:
        append_section(out, "IMPRESSION:", findings);
        break;
    case REPORT_COMBINED:
        append_section(out, "FINDINGS AND IMPRESSION:", findings);
        break;
    case REPORT_PARAGRAPH:
        append_section(out, "", findings);
        append_section(out, "", impression);
        break;
    case REPORT_LOWER:
        append_section(out, "Findings:", findings);
        append_section(out, "Impression:", impression);
        break;
    }
}

void synth_report_write(buffer *out, const synth_study *s) {
    draws d = draws_at(s->seed, "synth page", s->number, 0);
    buffer findings = {0}, impression = {0};
    write_findings(&findings, s);
    write_impression(&impression, s, synth_report_kind(s) != REPORT_SECTIONS);
    write_heading(out, s, &d);
    if (!out->failed) out->failed = findings.failed ? findings.failed : impression.failed;
    if (!out->failed) write_body(out, s, findings.data, impression.data ? impression.data : "As above.", &d);
    buffer_free(&findings);
    buffer_free(&impression);
}
