#include "tests/core/helper_torch.h"
#include "core/checksum.h"
#include "core/files/deflate.h"

#include <stdio.h>
#include <string.h>

void pk_byte(buffer *b, int value) {
    char c = (char)value;
    buffer_append(b, &c, 1);
}

void pk_bytes(buffer *b, const void *bytes, size_t count) {
    buffer_append(b, bytes, count);
}

void pk_number(buffer *b, uint64_t value, int width) {
    for (int i = 0; i < width; i++, value >>= 8) pk_byte(b, (int)(value & 0xff));
}

void pk_text(buffer *b, const char *text) {
    pk_byte(b, 'X');
    pk_number(b, strlen(text), 4);
    buffer_text(b, text);
}

void pk_int(buffer *b, int64_t value) {
    pk_byte(b, 0x8a);
    pk_byte(b, 8);
    pk_number(b, (uint64_t)value, 8);
}

void pk_global(buffer *b, const char *module, const char *name) {
    buffer_print(b, "c%s\n%s\n", module, name);
}

static void pk_sizes(buffer *b, int rank, const int64_t *size) {
    pk_byte(b, '(');
    for (int i = 0; i < rank; i++) pk_int(b, size[i]);
    pk_byte(b, 't');
}

void pk_put_tensor(buffer *b, const pk_tensor *t) {
    pk_global(b, "torch._utils", "_rebuild_tensor_v2");
    buffer_text(b, "((");
    pk_text(b, "storage");
    pk_global(b, "torch", t->type);
    pk_text(b, t->key);
    pk_text(b, "cpu");
    pk_int(b, t->count);
    buffer_text(b, "tQ");
    pk_int(b, t->offset);
    pk_sizes(b, t->rank, t->dim);
    pk_sizes(b, t->rank, t->stride);
    pk_byte(b, 0x89);
    pk_global(b, "collections", "OrderedDict");
    buffer_text(b, ")RtR");
}

void pk_open(buffer *b) {
    buffer_text(b, "\x80\2}(");
}

void pk_entry(buffer *b, const char *name, const pk_tensor *t) {
    pk_text(b, name);
    pk_put_tensor(b, t);
}

void pk_close(buffer *b) {
    buffer_text(b, "u.");
}

// --- zip -----------------------------------------------------------------------------------------
typedef struct written {
    uint64_t place, packed, size;
    uint32_t crc;
} written;

static void write_local(buffer *out, const zip_part *p, written *w) {
    buffer packed = {0};
    if (p->deflate) {
        // zlib's format is two bytes, the deflate stream, and four bytes.
        deflater *d = NULL;
        size_t size = 0;
        if (deflater_open(&d, 6)) die("%s", status_text());
        char *room = NULL;
        if (mem_new(&room, zlib_bound(p->size), "a test")) die("%s", status_text());
        zlib_compress(d, room, &size, p->data, zlib_bound(p->size), p->size);
        buffer_append(&packed, room + 2, size - 6);
        mem_free(room);
        deflater_close(d);
    } else {
        buffer_append(&packed, p->data, p->size);
    }
    *w = (written){.place = out->length, .packed = packed.length,
                   .size = (uint64_t)((int64_t)p->size + p->size_change),
                   .crc = checksum_crc32(0, p->data, p->size) ^ p->crc_change};
    if (!p->deflate) w->packed = w->size;
    pk_number(out, 0x04034b50, 4);
    pk_number(out, 20, 2);
    pk_number(out, 0, 2);
    pk_number(out, p->deflate ? 8 : 0, 2);
    pk_number(out, 0, 4);
    pk_number(out, w->crc, 4);
    pk_number(out, w->packed, 4);
    pk_number(out, w->size, 4);
    pk_number(out, strlen(p->name), 2);
    pk_number(out, 0, 2);
    buffer_text(out, p->name);
    pk_bytes(out, packed.data, packed.length);
    w->place = (uint64_t)((int64_t)w->place + p->place_change);
    buffer_free(&packed);
}

static void write_central(buffer *out, const zip_part *p, const written *w, bool wide) {
    pk_number(out, 0x02014b50, 4);
    pk_number(out, 20, 2);
    pk_number(out, 20, 2);
    pk_number(out, 0, 2);
    pk_number(out, p->deflate ? 8 : 0, 2);
    pk_number(out, 0, 4);
    pk_number(out, w->crc, 4);
    pk_number(out, wide ? 0xffffffff : w->packed, 4);
    pk_number(out, wide ? 0xffffffff : w->size, 4);
    pk_number(out, strlen(p->name), 2);
    pk_number(out, wide ? 28 : 0, 2);
    pk_number(out, 0, 10); // comment, disk, attributes
    pk_number(out, wide ? 0xffffffff : w->place, 4);
    buffer_text(out, p->name);
    if (!wide) return;
    pk_number(out, 1, 2);
    pk_number(out, 24, 2);
    pk_number(out, w->size, 8);
    pk_number(out, w->packed, 8);
    pk_number(out, w->place, 8);
}

void zip_write(buffer *out, const zip_part *parts, int count, int flags) {
    written w[32];
    bool wide = flags & ZIP_WIDE;
    if (count > 32) die("zip_write: %d parts", count);
    for (int i = 0; i < count; i++) write_local(out, &parts[i], &w[i]);
    size_t directory = out->length;
    for (int i = 0; i < count; i++) write_central(out, &parts[i], &w[i], wide);
    size_t end = out->length;
    if (wide) {
        pk_number(out, 0x06064b50, 4);
        pk_number(out, 44, 8);
        pk_number(out, 45, 2);
        pk_number(out, 45, 2);
        pk_number(out, 0, 8);
        pk_number(out, (uint64_t)count, 8);
        pk_number(out, (uint64_t)count, 8);
        pk_number(out, end - directory, 8);
        pk_number(out, directory, 8);
        pk_number(out, 0x07064b50, 4);
        pk_number(out, 0, 4);
        pk_number(out, end, 8);
        pk_number(out, 1, 4);
    }
    pk_number(out, 0x06054b50, 4);
    pk_number(out, 0, 4);
    pk_number(out, wide ? 0xffff : (uint64_t)count, 2);
    pk_number(out, wide ? 0xffff : (uint64_t)count, 2);
    pk_number(out, wide ? 0xffffffff : end - directory, 4);
    pk_number(out, wide ? 0xffffffff : directory, 4);
    pk_number(out, 0, 2);
}

static void floats(buffer *b, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        float value = (float)i;
        pk_bytes(b, &value, sizeof value);
    }
}

void torch_zip(buffer *out, const char *root, const buffer *pickle, int64_t count) {
    buffer object = {0}, storage = {0}, data = {0};
    buffer_print(&object, "%s/data.pkl", root);
    buffer_print(&storage, "%s/data/0", root);
    buffer_text(&data, "");
    floats(&data, count);
    zip_part parts[] = {{.name = object.data, .data = pickle->data, .size = pickle->length},
                        {.name = storage.data, .data = data.data, .size = data.length}};
    zip_write(out, parts, 2, 0);
    buffer_free(&object);
    buffer_free(&storage);
    buffer_free(&data);
}

void torch_legacy(buffer *out, const buffer *object, int64_t count, int64_t says) {
    static const char head[] = "\x80\2\x8a\nl\xfc\x9c"
                               "F\xf9 j\xa8P\x19."
                               "\x80\2M\xe9\3."
                               "\x80\2}(X\15\0\0\0little_endian\x88u.";
    pk_bytes(out, head, sizeof head - 1);
    pk_bytes(out, object->data, object->length);
    buffer_text(out, "\x80\2]");
    pk_text(out, "0");
    buffer_text(out, "a.");
    pk_number(out, (uint64_t)says, 8);
    floats(out, count);
}
