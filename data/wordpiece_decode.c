// Ids to text, as BertTokenizer.decode: tokens joined by blanks, "##" glued to what stands before,
// blanks before English punctuation removed. The steps are the reference's replacements, one after
// the other and in its order, because they see each other's results.
#include "data/wordpiece_private.h"

#include <string.h>

// Replaces WORD by the not longer BY from TEXT + START on, as str.replace.
static void replace(buffer *text, size_t start, const char *word, const char *by) {
    size_t length = strlen(word), shorter = strlen(by), kept = start, at = start;
    if (!text->data) return;
    while (at < text->length) {
        if (text->length - at >= length && !memcmp(text->data + at, word, length)) {
            memcpy(text->data + kept, by, shorter);
            kept += shorter;
            at += length;
        } else {
            text->data[kept++] = text->data[at++];
        }
    }
    text->length = kept;
    text->data[kept] = 0;
}

// What str.strip() takes away: 29 characters, all of them blanks, separators or controls.
static bool is_space(uint32_t c) {
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

// Strips TEXT + START on both sides.
static void strip(buffer *text, size_t start) {
    size_t end = start, first = SIZE_MAX;
    for (size_t at = start; at < text->length;) {
        uint32_t c;
        bool good;
        size_t n = utf8_read(&c, &good, text->data + at, text->length - at);
        if (!is_space(c)) {
            end = at + n;
            if (first == SIZE_MAX) first = at;
        }
        at += n;
    }
    if (!text->data) return;
    if (first == SIZE_MAX) first = end = start;
    memmove(text->data + start, text->data + first, end - first);
    text->length = start + end - first;
    text->data[text->length] = 0;
}

static void clean_up(buffer *text, size_t start) {
    static const char *const pairs[][2] = {
        {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
        {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        replace(text, start, pairs[i][0], pairs[i][1]);
}

// Glues and strips the tokens since START.
static void end_run(buffer *text, size_t start) {
    replace(text, start, " ##", "");
    strip(text, start);
}

status wordpiece_decode(buffer *out, const wordpiece *w, const int32_t *id, size_t count,
                        bool plain, bool clean) {
    const size_t start = out->length;
    size_t run = start;
    bool in_run = false, any = false;
    for (size_t i = 0; i < count; i++) {
        if (plain && wordpiece_is_special(w, id[i])) continue;
        const char *token = wordpiece_token(w, id[i]);
        bool added = wordpiece_is_added(w, id[i]);
        if (in_run && added) end_run(out, run);
        if (any) buffer_text(out, " ");
        if (!added && !in_run) run = out->length;
        buffer_text(out, token);
        in_run = !added;
        any = true;
    }
    if (in_run) end_run(out, run);
    if (clean) clean_up(out, start);
    return out->failed;
}
