#include "core/base64.h"

// The six bits of C, -1: none.
static int bits_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static status refuse(size_t at, const char *why) {
    return status_fail(STATUS_FORMAT, "base64: character %zu: %s", at + 1, why);
}

// Four characters, of which PADS at the end are '='.
static status decode_four(uint8_t out[3], const char *text, size_t at, int pads) {
    uint32_t word = 0;
    for (int i = 0; i < 4; i++) {
        const int bits = i < 4 - pads ? bits_of(text[i]) : 0;
        if (bits < 0) return refuse(at + (size_t)i, "is none of A-Z a-z 0-9 + / (or = at the end)");
        word = word << 6 | (uint32_t)bits;
    }
    for (int i = 0; i < 3; i++) out[i] = (uint8_t)(word >> (16 - 8 * i));
    if ((pads > 0 && out[2]) || (pads > 1 && out[1]))
        return refuse(at + 3 - (size_t)pads, "has bits that no byte takes");
    return STATUS_OK;
}

status base64_decode(buffer *out, const char *text, size_t length) {
    uint8_t bytes[3 * 256];
    size_t count = 0;
    if (length % 4) return refuse(length, "is missing: the length is no multiple of 4");
    for (size_t at = 0; at < length; at += 4) {
        const bool last = at + 4 == length;
        const int pads =
            last ? (text[at + 3] == '=') + (text[at + 3] == '=' && text[at + 2] == '=') : 0;
        status rc = decode_four(bytes + count, text + at, at, pads);
        if (rc) return rc;
        count += 3 - (size_t)pads;
        if (count < sizeof bytes && !last) continue;
        buffer_append(out, bytes, count);
        count = 0;
    }
    return out->failed;
}
