#include "tests/data/helper_dicom.h"
#include "core/files/fs.h"

#include <check.h>
#include <string.h>

typedef struct writer {
    buffer *out;
    bool implicit;
} writer;

static void little(buffer *out, uint32_t value, int bytes) {
    uint8_t b[4];
    for (int i = 0; i < bytes; i++) b[i] = (uint8_t)(value >> 8 * i);
    buffer_append(out, b, (size_t)bytes);
}

static void element(writer *w, uint32_t tag, const char *vr, const void *value, size_t size) {
    bool text = !strstr("OB OW SQ UN US UL", vr);
    static const char pad[] = {' ', 0};
    little(w->out, tag >> 16, 2);
    little(w->out, tag & 0xffff, 2);
    if (w->implicit)
        little(w->out, (uint32_t)(size + size % 2), 4);
    else {
        bool wide = strstr("OB OW SQ UN UT", vr) != NULL;
        buffer_append(w->out, vr, 2);
        if (wide) little(w->out, 0, 2);
        little(w->out, (uint32_t)(size + size % 2), wide ? 4 : 2);
    }
    buffer_append(w->out, value, size);
    if (size % 2) buffer_append(w->out, text && strcmp(vr, "UI") ? pad : pad + 1, 1);
}

static void text(writer *w, uint32_t tag, const char *vr, const char *value) {
    if (value) element(w, tag, vr, value, strlen(value));
}

static void number(writer *w, uint32_t tag, int value) {
    uint8_t b[] = {(uint8_t)value, (uint8_t)(value >> 8)};
    element(w, tag, "US", b, 2);
}

// A sequence of the one item ITEM.
static void sequence(writer *w, uint32_t tag, const buffer *item) {
    buffer whole = {0};
    little(&whole, 0xfffe, 2);
    little(&whole, 0xe000, 2);
    little(&whole, (uint32_t)item->length, 4);
    buffer_append(&whole, item->data, item->length);
    element(w, tag, "SQ", whole.data, whole.length);
    buffer_free(&whole);
}

static void code(writer *w, uint32_t tag, const char *meaning) {
    buffer item = {0};
    writer inner = {&item, w->implicit};
    if (!meaning) return;
    text(&inner, 0x00080100, "SH", "1");
    text(&inner, 0x00080102, "SH", "99TEST");
    text(&inner, 0x00080104, "LO", meaning);
    sequence(w, tag, &item);
    buffer_free(&item);
}

static void content_text(writer *w, const char *concept, const char *value) {
    text(w, 0x0040a040, "CS", "TEXT");
    code(w, 0x0040a043, concept);
    text(w, 0x0040a160, "UT", value);
}

// Items behind each other: a text of the root, or one in a container.
static void content(writer *w, const dicom_source *s) {
    buffer items = {0};
    for (int i = 0; i < 8 && s->content[i][2]; i++) {
        buffer item = {0}, child = {0};
        writer inner = {&item, w->implicit}, deeper = {&child, w->implicit};
        const char *const *c = s->content[i];
        if (c[0] && *c[0]) {
            content_text(&deeper, c[1], c[2]);
            text(&inner, 0x0040a040, "CS", "CONTAINER");
            code(&inner, 0x0040a043, c[0]);
            sequence(&inner, 0x0040a730, &child);
        } else
            content_text(&inner, c[1], c[2]);
        little(&items, 0xfffe, 2);
        little(&items, 0xe000, 2);
        little(&items, (uint32_t)item.length, 4);
        buffer_append(&items, item.data, item.length);
        buffer_free(&item);
        buffer_free(&child);
    }
    if (items.length) element(w, 0x0040a730, "SQ", items.data, items.length);
    buffer_free(&items);
}

static const char *given(const char *value, const char *standard) {
    return value ? value : standard;
}

static void format(writer *w, const dicom_source *s) {
    int allocated = s->allocated ? s->allocated : 8, stored = s->stored ? s->stored : allocated;
    number(w, 0x00280002, s->samples_per_pixel ? s->samples_per_pixel : 1);
    text(w, 0x00280004, "CS", given(s->photometric, "MONOCHROME2"));
    text(w, 0x00280008, "IS", s->frames);
    number(w, 0x00280010, s->height);
    number(w, 0x00280011, s->width);
    number(w, 0x00280100, allocated);
    number(w, 0x00280101, stored);
    number(w, 0x00280102, s->high ? s->high : stored - 1);
    number(w, 0x00280103, s->is_signed);
    text(w, 0x00280301, "CS", s->burned_in);
    text(w, 0x00281050, "DS", s->center);
    text(w, 0x00281051, "DS", s->span);
}

// As compressed pixels stand in a file (PS3.5 A.4): an empty table of offsets, one fragment.
static void fragment(writer *w, const void *bytes, size_t size) {
    static const struct {
        uint32_t tag, length;
    } parts[] = {{0xfffee000, 0}, {0xfffee000, 1}, {0xfffee0dd, 0}};
    little(w->out, 0x7fe0, 2);
    little(w->out, 0x0010, 2);
    buffer_append(w->out, "OB\0\0\xff\xff\xff\xff", 8);
    for (int i = 0; i < 3; i++) {
        little(w->out, parts[i].tag >> 16, 2);
        little(w->out, parts[i].tag & 0xffff, 2);
        little(w->out, parts[i].length * (uint32_t)size, 4);
        if (parts[i].length) buffer_append(w->out, bytes, size);
    }
}

static void samples(writer *w, const dicom_source *s) {
    int allocated = s->allocated ? s->allocated : 8;
    int channels = s->samples_per_pixel ? s->samples_per_pixel : 1;
    size_t size = (size_t)s->width * (size_t)s->height * (size_t)(allocated / 8) * (size_t)channels;
    if (s->samples && s->syntax && !w->implicit)
        fragment(w, s->samples, size);
    else if (s->samples)
        element(w, 0x7fe00010, allocated == 8 && !w->implicit ? "OB" : "OW", s->samples, size);
}

static void data_set(writer *w, const dicom_source *s) {
    text(w, 0x00080005, "CS", s->charset);
    text(w, 0x00080016, "UI", given(s->sop_class, "1.2.840.10008.5.1.4.1.1.1.1"));
    text(w, 0x00080018, "UI", s->instance);
    text(w, 0x00080050, "SH", s->accession);
    text(w, 0x00080060, "CS", given(s->modality, "DX"));
    text(w, 0x00080064, "CS", s->conversion);
    text(w, 0x00100010, "PN", s->name);
    text(w, 0x00100020, "LO", s->patient);
    text(w, 0x00185101, "CS", s->view);
    text(w, 0x0020000d, "UI", s->study);
    if (s->width) format(w, s);
    content(w, s);
    code(w, 0x00540220, s->view_meaning);
    samples(w, s);
}

void dicom_bytes(buffer *out, const dicom_source *s) {
    static const char preamble[128], version[] = {0, 1};
    const char *syntax = given(s->syntax, "1.2.840.10008.1.2.1");
    buffer meta = {0}, length = {0};
    writer w = {&meta, false};
    element(&w, 0x00020001, "OB", version, 2);
    text(&w, 0x00020002, "UI", given(s->sop_class, "1.2.840.10008.5.1.4.1.1.1.1"));
    text(&w, 0x00020003, "UI", given(s->instance, "1.2"));
    text(&w, 0x00020010, "UI", syntax);
    text(&w, 0x00020012, "UI", "1.2.3");
    buffer_append(out, preamble, sizeof preamble);
    buffer_text(out, "DICM");
    little(&length, (uint32_t)meta.length, 4);
    element(&(writer){out, false}, 0x00020000, "UL", length.data, 4);
    buffer_append(out, meta.data, meta.length);
    data_set(&(writer){out, !strcmp(syntax, IMPLICIT_SYNTAX)}, s);
    buffer_free(&meta);
    buffer_free(&length);
}

void dicom_write(const char *path, const dicom_source *s) {
    buffer bytes = {0};
    dicom_bytes(&bytes, s);
    ck_assert_msg(!bytes.failed && file_write(path, bytes.data, bytes.length) == STATUS_OK, "%s",
                  status_text());
    buffer_free(&bytes);
}
