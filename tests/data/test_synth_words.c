// The wording of the embedded data set's reports: what the sentences say is what the labels say,
// and no sentence of one split stands in another. Pages and films: test_synth_sight.c.
#include "data/synth_phrases.h"
#include "data/synth_report.h"
#include "tests/data/helper_source.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { SEED = 1, STUDIES = 2600, SPLITS = 3 };

// --- sentences

typedef void sentence_use(const char *sentence, const synth_study *s, int part);

// Calls USE for every sentence of TEXT, which ends each one with a point; numbers of a list are
// dropped.
static void each_sentence(char *text, const synth_study *s, int part, sentence_use *use) {
    while (*text) {
        char *end = strstr(text, ". "), *next = end ? end + 2 : text + strlen(text);
        if (!end) end = next - 1;
        ck_assert_msg(*end == '.', "'%s' does not end with a point", text);
        *end = 0;
        if (strlen(text) > 1) use(text, s, part);
        text = next;
    }
}

// The sentences of the report's body: part 0 holds the findings, part 1, where there is one,
// the impression.
static void each_report_sentence(const synth_study *s, sentence_use *use) {
    buffer page = {0};
    synth_report_write(&page, s);
    ck_assert_int_eq(page.failed, STATUS_OK);
    char *at = strstr(page.data, "\n COMPARISON:");
    ck_assert_ptr_nonnull(at);
    at = strstr(at, "\n \n");
    for (int part = 0; at && at[3]; part++) {
        char *start = at + 4, *out = start, *header;
        at = strstr(start, "\n \n");
        ck_assert_ptr_nonnull(at);
        *at = 0;
        for (const char *c = start; *c; c++) // lines are broken between words, behind a blank
            if (*c != '\n') *out++ = *c;
        *out = 0;
        if ((header = strstr(start, ":  "))) start = header + 3;
        ck_assert_int_lt(part, 2);
        each_sentence(start, s, part, use);
    }
    buffer_free(&page);
}

// --- what a sentence says

enum { NOTHING = -1, ROWS = 1024 };

typedef struct meaning {
    int first, second; // classes; NOTHING
    int8_t label;
} meaning;

typedef struct row {
    const char *text;
    meaning says;
    int part;
    bool split[SPLITS]; // whose reports may use it
} row;
static row table[ROWS];
static int rows;

static void add_list(const phrases list, int part, meaning says) {
    int begin = rows;
    for (int i = 0; i < PHRASES && list[i]; i++) {
        ck_assert_int_lt(rows, ROWS);
        table[rows++] = (row){.text = list[i], .says = says, .part = part};
    }
    for (int split = 0; split < SPLITS; split++) {
        phrase_range range = phrases_for(list, (synth_split)split);
        ck_assert_int_le(begin + range.first + range.count, rows);
        for (int i = 0; i < range.count; i++) table[begin + range.first + i].split[split] = true;
    }
}

static void make(void) {
    const int8_t yes = LABEL_POSITIVE, no = LABEL_NEGATIVE, maybe = LABEL_UNCERTAIN;
    rows = 0;
    for (int c = 1; c < CLASS_COUNT; c++) {
        const finding_phrases *t = finding_text[c];
        add_list(t->one, 0, (meaning){c, NOTHING, yes});
        add_list(t->both, 0, (meaning){c, NOTHING, yes});
        add_list(t->unsure, 0, (meaning){c, NOTHING, maybe});
        add_list(t->absent, 0, (meaning){c, NOTHING, no});
        add_list(t->conclusion, 1, (meaning){c, NOTHING, yes});
        add_list(t->conclusion_both, 1, (meaning){c, NOTHING, yes});
        add_list(t->suspicion, 1, (meaning){c, NOTHING, maybe});
    }
    for (int i = 0; i < PHRASE_PAIRS; i++)
        add_list(pair_text[i].text, 0, (meaning){pair_text[i].first, pair_text[i].second, no});
    for (int i = 0; i < DEVICE_KINDS; i++)
        add_list(device_text[i], 0, (meaning){FIND_DEVICES, NOTHING, yes});
    add_list(implied_opacity, 0, (meaning){FIND_OPACITY, NOTHING, yes});
    add_list(bare_text, 0, (meaning){NOTHING, NOTHING, LABEL_BLANK});
    add_list(device_conclusion, 1, (meaning){FIND_DEVICES, NOTHING, yes});
    add_list(normal_conclusion, 1, (meaning){FIND_NONE, NOTHING, yes});
    add_list(calm_conclusion, 1, (meaning){FIND_NONE, NOTHING, yes});
}

// The words that a slot may hold, each with a blank behind it.
static const char *slot_words(char slot) {
    return slot == 's'   ? "right left bilateral "
           : slot == 'z' ? "upper_lung mid_lung lower_lung "
           : slot == 'l'
               ? "upper_lobe middle_lobe lower_lobe "
               : "mild moderate severe mildly moderately markedly small large medium-sized "
                 "two three four ";
}

static bool same_letter(char a, char b) {
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

// True where SENTENCE is PHRASE with its slots filled; capitals and a point at the end do not
// count.
static bool matches(const char *phrase, const char *sentence) {
    for (; *phrase && *phrase != '{'; phrase++, sentence++)
        if (!same_letter(*phrase, *sentence)) return !*sentence && !strcmp(phrase, ".");
    if (!*phrase) return !*sentence;
    for (const char *word = slot_words(phrase[1]); *word; word += strcspn(word, " ") + 1) {
        size_t length = strcspn(word, " "), same = 0;
        while (same < length && same_letter(word[same] == '_' ? ' ' : word[same], sentence[same]))
            same++;
        if (same == length && matches(phrase + 3, sentence + length)) return true;
    }
    return false;
}

// What SENTENCE says, by all phrases that it could be; at least one of them is the split's.
static meaning read_sentence(const char *sentence, const synth_study *s, int part) {
    meaning found = {NOTHING, NOTHING, LABEL_BLANK};
    bool any = false, allowed = false;
    for (int i = 0; i < rows; i++) {
        if (table[i].part != part || !matches(table[i].text, sentence)) continue;
        const meaning *m = &table[i].says;
        ck_assert_msg(!any || (m->first == found.first && m->second == found.second &&
                               m->label == found.label),
                      "'%s' says two things", sentence);
        found = *m, any = true, allowed |= table[i].split[s->split];
    }
    ck_assert_msg(any, "study %lld, '%s' is in no list", (long long)s->number, sentence);
    ck_assert_msg(allowed, "study %lld, '%s' is another split's", (long long)s->number, sentence);
    return found;
}

// --- sentences and labels

static int8_t said[CLASS_COUNT];
static int uses[CLASS_COUNT][4]; // by label + 2

static void note(const char *sentence, const synth_study *s, int part) {
    meaning m = read_sentence(sentence, s, part);
    if (part == 1) { // says no more than the findings do
        ck_assert_msg(s->fact[m.first].label == m.label, "study %lld: '%s'", (long long)s->number,
                      sentence);
        return;
    }
    if (m.first != NOTHING) {
        bool more = m.first == FIND_DEVICES || m.first == FIND_OPACITY; // of several kinds
        ck_assert_msg(said[m.first] == LABEL_BLANK ||
                          (more && m.label == LABEL_POSITIVE && said[m.first] == m.label),
                      "study %lld: '%s' is said again", (long long)s->number, sentence);
        said[m.first] = m.label;
    }
    if (m.second != NOTHING) said[m.second] = m.label;
    // What is seen as an opacity is one.
    if (m.label == LABEL_POSITIVE && m.first != FIND_OPACITY && strstr(sentence, "opacit"))
        said[FIND_OPACITY] = LABEL_POSITIVE;
}

START_TEST(sentences_say_what_the_labels_say) {
    for (int i = 0; i < STUDIES; i++) {
        synth_study s;
        synth_study_draw(SEED, i, &s);
        memset(said, LABEL_BLANK, sizeof said);
        each_report_sentence(&s, note);
        // No Finding: nothing is said to be there but devices.
        bool abnormal = false;
        for (int c = 1; c < FIND_DEVICES; c++) abnormal |= said[c] == LABEL_POSITIVE;
        said[FIND_NONE] = abnormal ? LABEL_BLANK : LABEL_POSITIVE;
        for (int c = 0; c < CLASS_COUNT; c++) {
            ck_assert_msg(said[c] == s.fact[c].label, "study %d, %s: said %d, labelled %d", i,
                          class_names[c], said[c], s.fact[c].label);
            uses[c][said[c] - LABEL_BLANK]++;
        }
    }
    for (int c = 0; c < CLASS_COUNT; c++) {
        ck_assert_int_gt(uses[c][0], 100);
        ck_assert_int_gt(uses[c][LABEL_POSITIVE + 2], 100);
        ck_assert_int_gt(uses[c][LABEL_NEGATIVE + 2], c == FIND_NONE ? -1 : 100);
    }
}
END_TEST

// The words themselves, not the lists that they stand in, tell what is there, what may be and what
// is not.
START_TEST(phrases_name_their_class_and_state) {
    static const char *const word[CLASS_COUNT] = {
        "",
        "mediastin",
        "heart cardi",
        "opaci clear",
        "lesion nodul mass",
        "edema",
        "consolidat",
        "pneumonia",
        "atelecta",
        "pneumothorax",
        "effusion",
        "pleura",
        "fracture",
        "tube catheter line pacemaker device drain wires"};
    static const char no[] = "no_ not_seen not_widened not_enlarged not_thickened neither normal "
                             "unremarkable clear free_of sharp intact_without";
    static const char maybe[] = "possibl may_ could_ not_be_excluded not_excluded questionable "
                                "borderline";
    int checked = 0;
    for (int i = 0; i < rows; i++) {
        const row *r = &table[i];
        if (r->says.first <= FIND_NONE) continue;
        const char *lists[3] = {word[r->says.first], no, maybe};
        bool has[3] = {false};
        char low[256] = "";
        for (size_t k = 0; r->text[k]; k++)
            low[k] = r->text[k] == ' ' ? '_' : (char)tolower((unsigned char)r->text[k]);
        for (int k = 0; k < 3; k++)
            for (const char *w = lists[k]; *w; w += strcspn(w, " "), w += *w == ' ') {
                char one[32];
                snprintf(one, sizeof one, "%.*s", (int)strcspn(w, " "), w);
                has[k] |= strstr(low, one) != NULL;
            }
        ck_assert_msg(has[0], "%s: '%s'", class_names[r->says.first], r->text);
        ck_assert_msg(r->says.label != LABEL_POSITIVE || !(has[1] || has[2]), "'%s'", r->text);
        ck_assert_msg(r->says.label != LABEL_NEGATIVE || (has[1] && !has[2]), "'%s'", r->text);
        ck_assert_msg(r->says.label != LABEL_UNCERTAIN || has[2], "'%s'", r->text);
        checked++;
    }
    ck_assert_int_gt(checked, 500);
}
END_TEST

// --- wording by split

// SENTENCE in lower case, with a mark in the place of words that say side, place or amount.
static void blank_slots(char out[256], const char *sentence) {
    static const char *const slots =
        " right left bilateral mild moderate severe mildly moderately markedly small large "
        "medium-sized two three four upper mid middle lower ";
    size_t length = 0;
    while (*sentence) {
        size_t word = 0;
        char one[64] = " ";
        while (isalpha((unsigned char)sentence[word]) || sentence[word] == '-') word++;
        ck_assert_uint_lt(word, 60);
        for (size_t i = 0; i < word; i++) one[i + 1] = (char)tolower((unsigned char)sentence[i]);
        one[word + 1] = ' ';
        bool slot = word && strstr(slots, one);
        if (!word) one[1] = sentence[0], word = 1;
        length += (size_t)snprintf(out + length, 256 - length, "%.*s", slot ? 1 : (int)word,
                                   slot ? "_" : one + 1);
        ck_assert_uint_lt(length, 255);
        sentence += word;
    }
}

enum { WORDINGS = 2048 };
static struct {
    char text[WORDINGS][256];
    int count;
} wording[SPLITS];

static bool known(int split, const char *text) {
    for (int i = 0; i < wording[split].count; i++)
        if (!strcmp(wording[split].text[i], text)) return true;
    return false;
}

static void collect(const char *sentence, const synth_study *s, int part) {
    char text[256];
    (void)part;
    blank_slots(text, sentence);
    if (known((int)s->split, text)) return;
    ck_assert_int_lt(wording[s->split].count, WORDINGS);
    strcpy(wording[s->split].text[wording[s->split].count++], text);
}

// Whether WORD is one of the train split's.
static bool trained(const char *word) {
    size_t length = strlen(word);
    for (int i = 0; i < wording[SYNTH_TRAIN].count; i++) {
        const char *text = wording[SYNTH_TRAIN].text[i];
        for (const char *hit = text; (hit = strstr(hit, word)); hit++)
            if ((hit == text || hit[-1] == ' ') && !isalpha((unsigned char)hit[length]))
                return true;
    }
    return false;
}

START_TEST(splits_are_worded_apart) {
    static const int least[SPLITS] = {500, 100, 100};
    for (int i = 0; i < STUDIES; i++) {
        synth_study s;
        synth_study_draw(SEED, i, &s);
        each_report_sentence(&s, collect);
    }
    for (int a = 0; a < SPLITS; a++) {
        ck_assert_msg(wording[a].count >= least[a], "split %d: %d", a, wording[a].count);
        for (int b = 0; b < a; b++)
            for (int i = 0; i < wording[a].count; i++)
                ck_assert_msg(!known(b, wording[a].text[i]), "splits %d and %d: '%s'", a, b,
                              wording[a].text[i]);
    }
    // The words are the same: what is new is how they are put together.
    int words = 0, unseen = 0;
    for (int split = SYNTH_VALIDATE; split < SPLITS; split++)
        for (int i = 0; i < wording[split].count; i++)
            for (char *w = strtok(wording[split].text[i], " ,"); w; w = strtok(NULL, " ,"))
                words++, unseen += !trained(w);
    ck_assert_int_gt(words, 1000);
    ck_assert_msg(unseen * 100 <= words, "%d of %d words are new", unseen, words);
}
END_TEST

START_TEST(every_list_serves_every_split) {
    int begin[SPLITS] = {0};
    for (int i = 0; i < rows; i++) {
        int splits = 0;
        for (int k = 0; k < SPLITS; k++) splits += table[i].split[k], begin[k] += table[i].split[k];
        ck_assert_msg(splits == 1, "'%s' belongs to %d splits", table[i].text, splits);
    }
    ck_assert_int_gt(begin[SYNTH_TRAIN], rows / 2);
    ck_assert_int_gt(begin[SYNTH_VALIDATE], rows / 10);
    ck_assert_int_eq(begin[SYNTH_VALIDATE], begin[SYNTH_TEST]);
}
END_TEST

START_TEST(lists_are_cut) {
    static const int want[][4] = {{0, 0, 0, 0},  {1, 1, 1, 1},  {2, 2, 2, 2},   {3, 1, 1, 1},
                                  {4, 2, 1, 1},  {5, 3, 1, 1},  {6, 4, 1, 1},   {8, 6, 1, 1},
                                  {11, 9, 1, 1}, {12, 8, 2, 2}, {16, 12, 2, 2}, {20, 16, 2, 2}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        phrases list = {0};
        for (int k = 0; k < want[i][0]; k++) list[k] = "x";
        for (int split = 0; split < SPLITS; split++) {
            phrase_range r = phrases_for(list, (synth_split)split);
            ck_assert_int_eq(r.count, want[i][split + 1]);
            ck_assert_int_eq(r.first, want[i][0] < 3            ? 0
                                      : split == SYNTH_TRAIN    ? 0
                                      : split == SYNTH_VALIDATE ? want[i][1]
                                                                : want[i][1] + want[i][2]);
        }
    }
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("synth_words");
    tcase_set_timeout(cases, 300);
    tcase_add_unchecked_fixture(cases, make, NULL);
    tcase_add_test(cases, sentences_say_what_the_labels_say);
    tcase_add_test(cases, phrases_name_their_class_and_state);
    tcase_add_test(cases, splits_are_worded_apart);
    tcase_add_test(cases, every_list_serves_every_split);
    tcase_add_test(cases, lists_are_cut);
    Suite *suite = suite_create("synth_words");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
