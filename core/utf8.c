#include "core/utf8.h"

size_t utf8_read(uint32_t *c, bool *good, const char *text, size_t left) {
    const unsigned char *s = (const unsigned char *)text;
    unsigned lead = s[0], low = 0x80, high = 0xbf;
    size_t need = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3, taken = 1;
    *good = true;
    *c = lead;
    if (lead < 0x80) return 1;
    *c = 0xfffd;
    *good = false;
    if (lead < 0xc2 || lead > 0xf4) return 1;
    uint32_t value = lead & (0x3fu >> need);
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f; // no surrogates
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
    for (; taken <= need; taken++, low = 0x80, high = 0xbf) {
        if (taken == left || s[taken] < low || s[taken] > high) return taken;
        value = value << 6 | (s[taken] & 0x3fu);
    }
    *c = value;
    *good = true;
    return taken;
}

size_t utf8_write(char *out, uint32_t c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[more] | c >> (6 * more));
    for (size_t i = 1; i <= more; i++) out[i] = (char)(0x80 | ((c >> (6 * (more - i))) & 0x3f));
    return more + 1;
}
