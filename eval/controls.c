// Words of comparison, and the report that is most common. See controls.h.
#include "eval/controls.h"
#include "eval/words.h"

#include <string.h>

static bool is_listed(const char *word, size_t length, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i]) == length && memcmp(list[i], word, length) == 0) return true;
    return false;
}

#define LISTED(word, length, list) is_listed(word, length, list, sizeof(list) / sizeof *(list))

// What a sentence has said so far.
typedef struct sentence_words {
    bool compares;      // a word of comparison
    bool earlier, exam; // "prior" and "film": together they name what would be compared with
    bool names;         // one that does alone
    bool denies;        // "no" or the like
} sentence_words;

static void take_word(sentence_words *s, const char *word, size_t length) {
    static const char *const changes[] = {
        "again",     "unchanged", "changed",    "interval",       "interim",         "stable",
        "new",       "newly",     "persistent", "persists",       "persisting",      "remains",
        "remain",    "still",     "since",      "redemonstrated", "re-demonstrated", "worsened",
        "worsening", "improved",  "improving",  "improvement",    "progressed",      "progression",
        "resolved",  "resolving", "compared",   "reidentified"};
    static const char *const films[] = {"priors", "previously", "comparison", "comparisons"};
    static const char *const befores[] = {"prior", "previous", "earlier"};
    static const char *const exams[] = {
        "film",        "films",        "study",      "studies",     "exam",  "exams",
        "examination", "examinations", "radiograph", "radiographs", "image", "images",
        "imaging",     "ct",           "x-ray",      "x-rays",      "scan",  "scans"};
    static const char *const denials[] = {"no", "none", "not", "without", "unavailable"};
    s->compares |= LISTED(word, length, changes);
    s->names |= LISTED(word, length, films);
    s->earlier |= LISTED(word, length, befores);
    s->exam |= LISTED(word, length, exams);
    s->denies |= LISTED(word, length, denials);
}

// "No new effusion" compares; "no prior films" does not.
static bool is_comparison(const sentence_words *s) {
    return s->compares || ((s->names || (s->earlier && s->exam)) && !s->denies);
}

bool control_compares(const char *tokens) {
    static const char *const ends[] = {".", "?", "!"};
    sentence_words s = {0};
    for (const char *at = tokens; *at;) {
        const size_t length = strcspn(at, " ");
        if (LISTED(at, length, ends)) {
            if (is_comparison(&s)) return true;
            s = (sentence_words){0};
        } else
            take_word(&s, at, length);
        at += length + (at[length] == ' ');
    }
    return is_comparison(&s);
}

status control_commonest(int64_t *index, const char *const *text, int64_t count) {
    int64_t *times = NULL, *first = NULL; // of each different text
    words *texts = NULL;
    int32_t best = 0;
    if (count < 1) die("control_commonest: %lld texts", (long long)count);
    status rc = mem_new(&times, count, "texts");
    if (!rc) rc = mem_new(&first, count, "texts");
    if (!rc) rc = words_open(&texts);
    for (int64_t i = 0; i < count && !rc; i++) {
        int32_t id;
        rc = words_number(&id, texts, text[i], strlen(text[i]));
        if (!rc && !times[id]++) first[id] = i;
    }
    for (int32_t id = 1; !rc && id < words_count(texts); id++)
        if (times[id] > times[best]) best = id;
    *index = rc ? -1 : first[best];
    words_close(texts);
    mem_free(first);
    mem_free(times);
    return rc;
}
