// The embedded data set's films and reports: every finding can be seen, on the side that the report
// names, more of it where it is more severe; reports are plain text, say what the labels say, and
// vary. The files: test_synth.c.
#include "data/synth_film.h"
#include "data/synth_report.h"
#include "tests/data/helper_source.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STUDIES = 200, WIDTH = 264, HEIGHT = 320 };

static synth_study study_of(uint64_t seed, int64_t number) {
    synth_study s;
    synth_study_draw(seed, number, &s);
    return s;
}

static buffer report_of(const synth_study *s) {
    buffer b = {0};
    synth_report_write(&b, s);
    ck_assert_int_eq(b.failed, STATUS_OK);
    ck_assert_uint_eq(strlen(b.data), b.length);
    return b;
}

static film easel;
static uint8_t *sheet[2]; // (HEIGHT, WIDTH)

static const uint8_t *draw(int which, const synth_study *s) {
    film_render(&easel, sheet[which], s, 0, WIDTH, HEIGHT);
    return sheet[which];
}

static void make(void) {
    ck_assert_int_eq(film_new(&easel), STATUS_OK);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(mem_new(&sheet[i], (size_t)WIDTH * HEIGHT, "a test's film"), STATUS_OK);
}

static void unmake(void) {
    film_free(&easel);
    for (int i = 0; i < 2; i++) mem_free(sheet[i]);
}

START_TEST(seed_and_number_change_the_film) {
    synth_study a = study_of(3, 7), b = study_of(4, 7), c = study_of(3, 8);
    c.patient = a.patient;
    const synth_study *others[] = {&b, &c};
    size_t bytes = (size_t)WIDTH * HEIGHT;
    draw(0, &a);
    ck_assert(!memcmp(sheet[0], draw(1, &a), bytes));
    for (int i = 0; i < 2; i++) {
        size_t same = 0;
        draw(1, others[i]);
        for (size_t k = 0; k < bytes; k++) same += sheet[0][k] == sheet[1][k];
        ck_assert_uint_lt(same, bytes / 2);
    }
}
END_TEST

// --- what can be seen

// Study NUMBER with nothing found.
static synth_study bare(int number) {
    synth_study s = study_of(2, number);
    for (int c = 0; c < CLASS_COUNT; c++) s.fact[c].label = LABEL_BLANK;
    s.devices = 0;
    s.fact[FIND_OPACITY].side = SIDE_NONE;
    return s;
}

static synth_study with(int number, int finding, int8_t label, synth_side side,
                        synth_severity severity) {
    synth_study s = bare(number);
    s.fact[finding].label = label;
    s.fact[finding].severity = severity;
    if (s.fact[finding].side != SIDE_NONE || finding == FIND_OPACITY) s.fact[finding].side = side;
    if (finding == FIND_EDEMA) s.fact[finding].side = SIDE_BOTH;
    return s;
}

// How two films differ: pixels that do by 10 of 255 and more, in the image's halves; by how much
// all do.
typedef struct change {
    int half[2];
    double sum;
} change;

enum { NOTABLE = 10 };

static change change_between(const synth_study *a, const synth_study *b) {
    change c = {0};
    draw(0, a), draw(1, b);
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        int by = abs(sheet[0][i] - sheet[1][i]);
        if (by < NOTABLE) continue;
        c.half[i % WIDTH >= WIDTH / 2]++;
        c.sum += by;
    }
    return c;
}

static int pixels_of(change c) {
    return c.half[0] + c.half[1];
}

// The least that a finding changes: pixels of the film's 84,480, their mean, and how much more in
// sum each grade is than the one before. Of a lobe that is filled the grade only changes how dense
// it is.
static const struct visible {
    int finding, pixels, mean;
    double more;
    bool sided;
} visible[] = {
    {FIND_MEDIASTINUM, 800, 35, 1.2, false}, {FIND_HEART, 1200, 35, 1.2, false},
    {FIND_OPACITY, 400, 20, 1.2, true},      {FIND_LESION, 110, 40, 1.2, true},
    {FIND_EDEMA, 5000, 15, 1.2, false},      {FIND_CONSOLIDATION, 2500, 30, 1.05, true},
    {FIND_PNEUMONIA, 800, 22, 1.2, true},    {FIND_ATELECTASIS, 1000, 25, 1.2, true},
    {FIND_PNEUMOTHORAX, 700, 11, 1.2, true}, {FIND_EFFUSION, 400, 20, 1.2, true},
    {FIND_PLEURA, 400, 25, 1.2, true},       {FIND_FRACTURE, 220, 14, 1.2, true},
};
enum { VISIBLE = sizeof visible / sizeof *visible, LOOKS = 5 };

START_TEST(findings_can_be_seen) {
    const struct visible *v = &visible[_i];
    double last = 0;
    int last_pixels = 0;
    for (int severity = 0; severity < 3; severity++) {
        double sum = 0;
        int all = 0;
        for (int i = 0; i < LOOKS; i++) {
            synth_study none = bare(i);
            synth_study s = with(i, v->finding, LABEL_POSITIVE, i & 1 ? SIDE_LEFT : SIDE_RIGHT,
                                 (synth_severity)severity);
            change c = change_between(&none, &s);
            int pixels = pixels_of(c);
            ck_assert_msg(pixels >= v->pixels, "%s, study %d: %d pixels", class_names[v->finding],
                          i, pixels);
            ck_assert_msg(c.sum >= (double)v->mean * pixels, "%s, study %d: mean %.1f",
                          class_names[v->finding], i, c.sum / pixels);
            all += pixels, sum += c.sum;
        }
        ck_assert_msg(all > last_pixels && sum > v->more * last,
                      "%s of severity %d is not more: %.0f after %.0f", class_names[v->finding],
                      severity, sum, last);
        last = sum, last_pixels = all;
    }
}
END_TEST

// The raised diaphragm alone would pass for atelectasis: its bands are lines, brighter than what
// lies above and below them.
START_TEST(atelectasis_has_bands) {
    enum { AWAY = 9 };
    for (int i = 0; i < LOOKS; i++) {
        synth_study none = bare(i);
        synth_study s = with(i, FIND_ATELECTASIS, LABEL_POSITIVE, SIDE_RIGHT, SEVERITY_MODERATE);
        int ridge = 0;
        draw(0, &none), draw(1, &s);
        // About the row of the raised diaphragm; the film's middle is 0.7 units down the chest.
        int last = HEIGHT / 2 + (int)((easel.s.a.dome[RIGHT] - 0.78f) * WIDTH / 2.02f);
        for (int k = AWAY * WIDTH; k < last * WIDTH; k++) {
            int here = sheet[1][k] - sheet[0][k];
            int above = sheet[1][k - AWAY * WIDTH] - sheet[0][k - AWAY * WIDTH];
            int below = sheet[1][k + AWAY * WIDTH] - sheet[0][k + AWAY * WIDTH];
            ridge += here > above + 15 && here > below + 15;
        }
        ck_assert_msg(ridge > 100, "study %d: %d pixels", i, ridge);
    }
}
END_TEST

START_TEST(doubts_are_faint_and_denials_invisible) {
    for (int k = 0; k < VISIBLE; k++) {
        int finding = visible[k].finding;
        synth_study none = bare(k),
                    mild = with(k, finding, LABEL_POSITIVE, SIDE_LEFT, SEVERITY_MILD);
        synth_study unsure = mild, denied = mild;
        unsure.fact[finding].label = LABEL_UNCERTAIN;
        denied.fact[finding].label = LABEL_NEGATIVE;
        double sure = change_between(&none, &mild).sum;
        ck_assert_msg(change_between(&none, &unsure).sum < 0.6 * sure, "%s", class_names[finding]);
        draw(0, &none), draw(1, &denied);
        if (finding != FIND_OPACITY) ck_assert(!memcmp(sheet[0], sheet[1], (size_t)WIDTH * HEIGHT));
    }
}
END_TEST

START_TEST(devices_can_be_seen) {
    static const int least[DEVICE_KINDS] = {350, 280, 900, 300, 500, 450};
    for (int kind = 0; kind < DEVICE_KINDS; kind++)
        for (int i = 0; i < 4; i++) {
            synth_study none = bare(i), s = none;
            none.portable = s.portable = false; // no monitor leads
            s.fact[FIND_DEVICES].label = LABEL_POSITIVE;
            s.devices = 1u << kind;
            s.device_side = s.drain_side = i & 1 ? SIDE_LEFT : SIDE_RIGHT;
            change c = change_between(&none, &s);
            ck_assert_msg(pixels_of(c) >= least[kind], "device %d, study %d: %d pixels", kind, i,
                          pixels_of(c));
            ck_assert_double_ge(c.sum, 18.0 * pixels_of(c));
            int here = c.half[i & 1], there = c.half[!(i & 1)];
            if (s.devices & DEVICE_DRAIN) ck_assert_int_gt(here, 9 * there);
        }
}
END_TEST

// Every finding of the studies as they are drawn, whatever else is on the film.
START_TEST(findings_stand_out_from_others) {
    int pairs = 0, hidden = 0;
    for (int i = 0; i < 30; i++) {
        synth_study s = study_of(1, i);
        for (int k = 0; k < VISIBLE; k++) {
            int finding = visible[k].finding;
            if (!synth_positive(&s, finding) ||
                (finding == FIND_OPACITY && !synth_plain_opacity(&s)))
                continue;
            synth_study less = s;
            less.fact[finding].label = LABEL_BLANK;
            int pixels = pixels_of(change_between(&s, &less));
            pairs++, hidden += pixels < 80;
        }
    }
    ck_assert_int_gt(pairs, 50);
    ck_assert_msg(hidden * 20 <= pairs, "%d of %d are hidden", hidden, pairs);
}
END_TEST

// --- reports

// What only a report of the finding says; any of the words.
static const char *const words[CLASS_COUNT][3] = {[FIND_MEDIASTINUM] = {"mediastin"},
                                                  [FIND_HEART] = {"heart", "cardi"},
                                                  [FIND_OPACITY] = {"opacit"},
                                                  [FIND_LESION] = {"lesion", "nodul"},
                                                  [FIND_EDEMA] = {"edema"},
                                                  [FIND_CONSOLIDATION] = {"consolidat"},
                                                  [FIND_PNEUMONIA] = {"pneumonia"},
                                                  [FIND_ATELECTASIS] = {"atelecta"},
                                                  [FIND_PNEUMOTHORAX] = {"pneumothorax"},
                                                  [FIND_EFFUSION] = {"effusion"},
                                                  [FIND_PLEURA] = {"pleura"},
                                                  [FIND_FRACTURE] = {"fracture"}};

// The report's text behind its heading, on one line, in lower case; FINDINGS: only that section.
static buffer body_of(const synth_study *s, bool findings) {
    buffer text = report_of(s), out = {0};
    char *start = strstr(text.data, "\n COMPARISON:"), *end;
    ck_assert_ptr_nonnull(start);
    start = strstr(start, "\n \n");
    ck_assert_ptr_nonnull(start);
    if (findings && (end = strstr(start + 3, "\n \n"))) *end = 0;
    for (char *c = start + 3; *c; c++) {
        char low = (char)tolower((unsigned char)*c);
        if (low == '\n') continue;
        buffer_append(&out, &low, 1);
    }
    buffer_free(&text);
    return out;
}

static bool says(const char *text, const char *const word[3]) {
    for (int i = 0; i < 3 && word[i]; i++)
        if (strstr(text, word[i])) return true;
    return false;
}

START_TEST(reports_name_what_is_drawn_where_it_is) {
    const struct visible *v = &visible[_i];
    int pairs = 0, said = 0; // reports of both sides; those that name them by "both"
    for (int i = 0; i < 60; i++) {
        synth_side side = i % 3 == 0 ? SIDE_RIGHT : i % 3 == 1 ? SIDE_LEFT : SIDE_BOTH;
        if (side == SIDE_BOTH && (v->finding == FIND_LESION || v->finding == FIND_CONSOLIDATION ||
                                  v->finding == FIND_PNEUMOTHORAX || v->finding == FIND_FRACTURE))
            side = SIDE_RIGHT; // these are never drawn on both
        synth_study none = bare(i),
                    s = with(i, v->finding, LABEL_POSITIVE, side, SEVERITY_MODERATE);
        buffer text = body_of(&s, false), empty = body_of(&none, false);
        ck_assert_msg(says(text.data, words[v->finding]), "%s: %s", class_names[v->finding],
                      text.data);
        ck_assert_msg(!says(empty.data, words[v->finding]), "%s: %s", class_names[v->finding],
                      empty.data);
        bool right = strstr(text.data, "right") != NULL, left = strstr(text.data, "left") != NULL;
        bool one = v->sided && side != SIDE_BOTH;
        ck_assert_msg(right == (one && side == SIDE_RIGHT) && left == (one && side == SIDE_LEFT),
                      "%s", text.data);
        if (i < LOOKS && v->sided) {
            // The patient's left is the image's right.
            change c = change_between(&none, &s);
            int all = pixels_of(c);
            if (right)
                ck_assert_msg(c.half[0] > 0.9 * all, "%s: %d %d", text.data, c.half[0], c.half[1]);
            if (left)
                ck_assert_msg(c.half[1] > 0.9 * all, "%s: %d %d", text.data, c.half[0], c.half[1]);
            if (!one)
                ck_assert_msg(c.half[0] > 0.2 * all && c.half[1] > 0.2 * all, "%s", text.data);
        }
        buffer part = body_of(&s, true);
        pairs += v->sided && !one, said += v->sided && !one && strstr(part.data, "both") != NULL;
        buffer_free(&part);
        buffer_free(&text), buffer_free(&empty);
    }
    ck_assert_msg(!pairs || (said > 0 && said < pairs), "%s: %d of %d", class_names[v->finding],
                  said, pairs);
}
END_TEST

START_TEST(reports_deny_and_doubt) {
    static const char *const denial[] = {"no ",          "not ",    "without", "normal", "clear",
                                         "unremarkable", "neither", "free of", "intact"};
    static const char *const doubt[] = {"possibl", "may ", "could ", "cannot be excluded",
                                        "not excluded", "questionable"};
    for (int k = 0; k < VISIBLE; k++)
        for (int i = 0; i < 40; i++) {
            synth_study no = with(i, visible[k].finding, LABEL_NEGATIVE, SIDE_LEFT, SEVERITY_MILD);
            synth_study unsure =
                with(i, visible[k].finding, LABEL_UNCERTAIN, SIDE_LEFT, SEVERITY_MILD);
            buffer a = body_of(&no, true), b = body_of(&unsure, true);
            bool denies = false, doubts = false;
            for (size_t w = 0; w < sizeof denial / sizeof *denial; w++)
                denies |= strstr(a.data, denial[w]) != NULL;
            for (size_t w = 0; w < sizeof doubt / sizeof *doubt; w++)
                doubts |= strstr(b.data, doubt[w]) != NULL;
            ck_assert_msg(denies, "%s: %s", class_names[visible[k].finding], a.data);
            ck_assert_msg(doubts || visible[k].finding == FIND_OPACITY, "%s: %s",
                          class_names[visible[k].finding], b.data);
            buffer_free(&a), buffer_free(&b);
        }
}
END_TEST

// A blank label: no sentence, so that the text holds no more than the labels.
START_TEST(blank_labels_are_not_mentioned) {
    static const int exact[] = {FIND_FRACTURE, FIND_PNEUMOTHORAX, FIND_EFFUSION, FIND_ATELECTASIS,
                                FIND_PNEUMONIA};
    int blanks = 0, others = 0;
    for (int i = 0; i < STUDIES; i++) {
        synth_study s = study_of(1, i);
        buffer text = body_of(&s, false);
        for (size_t k = 0; k < sizeof exact / sizeof *exact; k++) {
            bool blank = s.fact[exact[k]].label == LABEL_BLANK,
                 said = says(text.data, words[exact[k]]);
            ck_assert_msg(blank != said, "study %d, %s: %s", i, class_names[exact[k]], text.data);
            blanks += blank, others += !blank;
        }
        buffer_free(&text);
    }
    ck_assert_int_gt(blanks, 100);
    ck_assert_int_gt(others, 100);
}
END_TEST

static void expect_page(const char *text, int study) {
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        ck_assert_msg(line[length] == '\n', "study %d: the last line does not end", study);
        ck_assert_msg(length <= 80 && line[0] == ' ', "study %d: '%.*s'", study, (int)length, line);
        for (size_t i = 0; i < length; i++)
            ck_assert_msg(line[i] >= ' ' && line[i] <= '~' && line[i] != '{' && line[i] != '}',
                          "study %d: '%.*s'", study, (int)length, line);
        line += length + 1;
    }
}

START_TEST(reports_are_pages_of_plain_text) {
    int kinds[5] = {0};
    size_t longest = 0;
    for (int i = 0; i < STUDIES; i++) {
        synth_study s = study_of(1, i);
        buffer text = report_of(&s);
        expect_page(text.data, i);
        kinds[synth_report_kind(&s)]++;
        for (const char *line = text.data; *line; line += strcspn(line, "\n") + 1)
            if (strcspn(line, "\n") > longest) longest = strcspn(line, "\n");
        buffer_free(&text);
        buffer one = body_of(&s, true); // sentences stand one blank apart
        const char *first = strstr(one.data, ":  ");
        ck_assert_msg(!strstr(first ? first + 3 : one.data + 1, "  "), "study %d: '%s'", i,
                      one.data);
        ck_assert_msg(one.data[one.length - 1] == '.', "study %d: '%s'", i, one.data);
        buffer_free(&one);
    }
    ck_assert_uint_gt(longest, 70);
    int without = STUDIES - kinds[REPORT_SECTIONS];
    ck_assert_int_gt(without, STUDIES / 50);
    ck_assert_int_lt(without, STUDIES / 5);
}
END_TEST

static int distinct(buffer *list, int count) {
    int different = 0;
    for (int i = 0; i < count; i++) {
        bool known = false;
        for (int k = 0; k < i; k++) known |= !strcmp(list[i].data, list[k].data);
        different += !known;
    }
    return different;
}

START_TEST(wording_varies) {
    static buffer text[STUDIES];
    for (int k = 0; k < VISIBLE; k++) {
        for (int i = 0; i < STUDIES; i++) {
            synth_study s = with(i, visible[k].finding, LABEL_POSITIVE, SIDE_RIGHT, SEVERITY_MILD);
            s.fact[visible[k].finding].zone = ZONE_UPPER;
            text[i] = body_of(&s, true);
        }
        // 8 sentences in train and 2 names of the section, apart from the few reports of other kinds.
        int different = distinct(text, STUDIES);
        ck_assert_msg(different >= 10, "%s: %d", class_names[visible[k].finding], different);
        for (int i = 0; i < STUDIES; i++) buffer_free(&text[i]);
    }
    for (int i = 0; i < STUDIES; i++) {
        synth_study s = study_of(1, i);
        text[i] = body_of(&s, true);
    }
    ck_assert_int_gt(distinct(text, STUDIES), STUDIES * 19 / 20);
    for (int i = 0; i < STUDIES; i++) buffer_free(&text[i]);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("synth_sight");
    tcase_set_timeout(cases, 300);
    tcase_add_unchecked_fixture(cases, make, unmake);
    tcase_add_test(cases, seed_and_number_change_the_film);
    tcase_add_loop_test(cases, findings_can_be_seen, 0, VISIBLE);
    tcase_add_test(cases, atelectasis_has_bands);
    tcase_add_test(cases, doubts_are_faint_and_denials_invisible);
    tcase_add_test(cases, devices_can_be_seen);
    tcase_add_test(cases, findings_stand_out_from_others);
    tcase_add_loop_test(cases, reports_name_what_is_drawn_where_it_is, 0, VISIBLE);
    tcase_add_test(cases, reports_deny_and_doubt);
    tcase_add_test(cases, blank_labels_are_not_mentioned);
    tcase_add_test(cases, reports_are_pages_of_plain_text);
    tcase_add_test(cases, wording_varies);
    Suite *suite = suite_create("synth_sight");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
