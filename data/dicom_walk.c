#include "data/dicom_walk.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// A radiograph has some hundred elements. Measured with DCMTK 3.6.7: 8,192 in the worst order take
// it below a second, 10,000 levels its stack.
enum { PARTS = 8192, LEVELS = 32, MARK = 128, META = MARK + 4 };
#define UNDEFINED UINT32_MAX

enum { ITEM = 0xfffee000, ITEM_END = 0xfffee00d, SEQUENCE_END = 0xfffee0dd };
enum { GROUP_LENGTH = 0x00020000, TRANSFER_SYNTAX = 0x00020010, PIXELS = 0x7fe00010 };

typedef struct walk {
    const uint8_t *bytes;
    size_t at;
    bool big, implicit; // endian, without representations
    int parts;          // elements and items so far
    const char *why;    // NULL: nothing is wrong
} walk;

static bool fail(walk *w, const char *why) {
    if (!w->why) w->why = why;
    return false;
}

static bool torn(walk *w) {
    return fail(w, "not a whole DICOM file: its elements do not stand one behind the other");
}

static uint32_t number(const walk *w, size_t at, int size) {
    uint32_t value = 0;
    for (int i = 0; i < size; i++)
        value |= (uint32_t)w->bytes[at + (size_t)i] << 8 * (w->big ? size - 1 - i : i);
    return value;
}

static uint32_t tag_at(const walk *w, size_t at) {
    return number(w, at, 2) << 16 | number(w, at + 2, 2);
}

// --- one element ---------------------------------------------------------------------------------

typedef struct element {
    uint32_t tag, length;
    char kind[3]; // its representation; "": not said
} element;

static bool is_kind(const char *list, const char *kind) {
    for (; *list; list += 3)
        if (!memcmp(list, kind, 2)) return true;
    return false;
}

// Up to the value of what stands there. END: of what it stands in.
static bool read_head(walk *w, element *e, size_t end) {
    static const char narrow[] = "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US ";
    static const char wide[] = "OB OD OF OL OV OW SQ SV UC UN UR UT UV ";
    *e = (element){0};
    if (++w->parts > PARTS) return fail(w, "more elements than a radiograph has");
    if (end - w->at < 8) return torn(w);
    e->tag = tag_at(w, w->at);
    w->at += 4;
    if (w->implicit || e->tag >> 16 == 0xfffe) {
        e->length = number(w, w->at, 4);
        w->at += 4;
        return true;
    }
    memcpy(e->kind, w->bytes + w->at, 2);
    if (is_kind(narrow, e->kind)) {
        e->length = number(w, w->at + 2, 2);
        w->at += 4;
        return true;
    }
    if (!is_kind(wide, e->kind) || end - w->at < 8) return torn(w);
    e->length = number(w, w->at + 4, 4);
    w->at += 8;
    return true;
}

// --- elements in elements ------------------------------------------------------------------------

static bool walk_elements(walk *w, size_t end, bool open, int level);

// Items up to END or, where it is OPEN, to their own end. FRAGMENTS hold bytes.
static bool walk_items(walk *w, size_t end, bool open, bool fragments, int level) {
    element item;
    if (level > LEVELS) return fail(w, "sequences in sequences, more than a radiograph has");
    while (open || w->at < end) {
        if (!read_head(w, &item, end)) return false;
        if (open && item.tag == SEQUENCE_END && !item.length) return true;
        const bool endless = item.length == UNDEFINED;
        if (item.tag != ITEM || (endless ? fragments : item.length > end - w->at)) return torn(w);
        const size_t inner = endless ? end : w->at + item.length;
        if (fragments)
            w->at = inner;
        else if (!walk_elements(w, inner, endless, level))
            return false;
    }
    return true;
}

// Where representations are not said, the library's dictionary knows a sequence, and we what it
// begins with.
static bool is_sequence(const walk *w, const element *e) {
    if (!w->implicit) return !strcmp(e->kind, "SQ");
    return e->tag != PIXELS && e->length >= 8 && tag_at(w, w->at) == ITEM;
}

static bool walk_value(walk *w, const element *e, size_t end, int level) {
    if (e->length == UNDEFINED) {
        const bool pixels = e->tag == PIXELS && !w->implicit && strcmp(e->kind, "SQ") != 0;
        if (!pixels && !w->implicit && strcmp(e->kind, "SQ")) return torn(w);
        return walk_items(w, end, true, pixels, level + 1);
    }
    if (e->length > end - w->at) return torn(w);
    if (is_sequence(w, e)) return walk_items(w, w->at + e->length, false, false, level + 1);
    w->at += e->length;
    return true;
}

static bool walk_elements(walk *w, size_t end, bool open, int level) {
    element e;
    while (open || w->at < end) {
        if (!read_head(w, &e, end)) return false;
        if (open && e.tag == ITEM_END && !e.length) return true;
        if (e.tag >> 16 == 0xfffe) return torn(w);
        if (!walk_value(w, &e, end, level)) return false;
    }
    return true;
}

// --- the file ------------------------------------------------------------------------------------

// Those that DCMTK knows in all versions that are built with; of others it guesses.
static const char *const explicit_syntaxes[] = {
    ".1",    ".2",    ".4.50", ".4.51", ".4.53",  ".4.55",  ".4.57",  ".4.70",  ".4.80", ".4.81",
    ".4.90", ".4.91", ".4.92", ".4.93", ".4.100", ".4.101", ".4.102", ".4.103", ".5"};

static bool take_syntax(walk *w, const char *uid, char *why, size_t room) {
    static const char first[] = "1.2.840.10008.1.2";
    const size_t length = sizeof first - 1;
    const char *rest = uid + length;
    if (!strncmp(uid, first, length) && !strcmp(rest, ".1.99"))
        return fail(w, "a deflated data set, which is not inflated for others: store it plain");
    w->implicit = !strcmp(uid, first);
    w->big = !strncmp(uid, first, length) && !strcmp(rest, ".2");
    bool known = w->implicit;
    for (size_t i = 0; i < sizeof explicit_syntaxes / sizeof *explicit_syntaxes && !known; i++)
        known = !strncmp(uid, first, length) && !strcmp(rest, explicit_syntaxes[i]);
    if (known) return true;
    if (uid[strspn(uid, "0123456789.")] || !*uid) return fail(w, "no transfer syntax");
    snprintf(why, room, "a transfer syntax that cannot be decoded (%s)", uid);
    return false;
}

// The group 0002, explicit and little endian whatever follows it; UID: its transfer syntax.
static bool walk_meta(walk *w, size_t count, char uid[65]) {
    element e;
    *uid = 0;
    if (!read_head(w, &e, count) || e.tag != GROUP_LENGTH || e.length != 4 || count - w->at < 4)
        return torn(w);
    const size_t length = number(w, w->at, 4);
    w->at += 4;
    if (length > count - w->at) return torn(w);
    for (const size_t end = w->at + length; w->at < end; w->at += e.length) {
        if (!read_head(w, &e, end)) return false;
        if (e.tag >> 16 != 2 || e.length > end - w->at) return torn(w);
        if (e.tag != TRANSFER_SYNTAX) continue;
        if (*uid || e.length > 64) return fail(w, "no transfer syntax");
        memcpy(uid, w->bytes + w->at, e.length);
        uid[e.length] = 0;
        for (size_t k = strlen(uid); k && uid[k - 1] == ' ';) uid[--k] = 0;
    }
    return true;
}

int dicom_walk(const uint8_t *bytes, size_t count, char *why, size_t room) {
    walk w = {.bytes = bytes, .at = META};
    char uid[65];
    *why = 0;
    bool fine = count > META && !memcmp(bytes + MARK, "DICM", 4) ? walk_meta(&w, count, uid)
                                                                 : fail(&w, "not a DICOM file");
    if (fine) fine = take_syntax(&w, uid, why, room);
    if (fine) fine = walk_elements(&w, count, false, 0);
    if (w.why) snprintf(why, room, "%s", w.why);
    return fine ? 0 : 1;
}
