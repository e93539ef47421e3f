#include "core/files/zip_writer.h"
#include "core/buffer.h"
#include "core/checksum.h"
#include "core/files/staged_file.h"

#include <string.h>

enum {
    LOCAL_SIZE = 30,
    CRC_PLACE = 14,        // in a local header
    EXTRA_ZIP64 = 1,       // its field
    EXTRA_PADDING = 0x4246 // "FB", the field that torch pads with
};
static const uint64_t saturated = 0xffffffff, narrow_count = 0xffff;
static const uint32_t first_day = 0x0021; // 1980-01-01

typedef struct entry {
    char *name;
    uint64_t size, place; // of the local header
    uint32_t crc;
} entry;

struct zip_writer {
    staged_file file;
    entry *entries;
    size_t count, room;
    uint64_t place;  // bytes written
    uint64_t filled; // of the last entry
    uint64_t limit;
};

status zip_create(zip_writer **out, const char *path) {
    zip_writer *w;
    *out = NULL;
    status rc = mem_new(&w, 1, "a zip archive's writer");
    if (rc) return rc;
    w->limit = saturated;
    rc = staged_open(&w->file, path);
    if (rc)
        zip_writer_close(w);
    else
        *out = w;
    return rc;
}

void zip_limit(zip_writer *w, uint64_t limit) {
    if (w->count || limit > saturated)
        die("zip_limit: an entry was begun, or a limit above 2^32 - 1");
    w->limit = limit;
}

static bool wide(const zip_writer *w, uint64_t value) {
    return value >= w->limit;
}

static void put_narrow(buffer *b, const zip_writer *w, uint64_t value) {
    buffer_number(b, wide(w, value) ? saturated : value, 4);
}

static status write_bytes(zip_writer *w, const buffer *b) {
    status rc = b->failed ? b->failed : staged_write(&w->file, b->data, b->length);
    if (!rc) w->place += b->length;
    return rc;
}

// --- entries -------------------------------------------------------------------------------------
// What a header says from the version to the name's length; stored sizes are both the entry's.
static void put_facts(buffer *b, const zip_writer *w, const entry *e) {
    buffer_number(b, wide(w, e->size) || wide(w, e->place) ? 45 : 20, 2);
    buffer_number(b, 0, 2); // flags
    buffer_number(b, 0, 2); // stored
    buffer_number(b, 0, 2); // 0:00
    buffer_number(b, first_day, 2);
    buffer_number(b, e->crc, 4);
    put_narrow(b, w, e->size);
    put_narrow(b, w, e->size);
    buffer_number(b, strlen(e->name), 2);
}

// The fields behind the name, the last of which brings the content to its alignment.
static void put_extra(buffer *b, const zip_writer *w, const entry *e) {
    const size_t wide_field = wide(w, e->size) ? 20 : 0, head = 4;
    const uint64_t begin = e->place + LOCAL_SIZE + strlen(e->name) + wide_field + head;
    const size_t padding = (size_t)(-begin % ZIP_ALIGNMENT);
    buffer_number(b, wide_field + head + padding, 2);
    buffer_text(b, e->name);
    if (wide_field) {
        buffer_number(b, EXTRA_ZIP64, 2);
        buffer_number(b, 16, 2);
        buffer_number(b, e->size, 8);
        buffer_number(b, e->size, 8);
    }
    buffer_number(b, EXTRA_PADDING, 2);
    buffer_number(b, padding, 2);
    for (size_t i = 0; i < padding; i++) buffer_text(b, "Z");
}

static void check_filled(const zip_writer *w) {
    const entry *e = w->count ? &w->entries[w->count - 1] : NULL;
    if (e && w->filled != e->size)
        die("%s: entry %s has %llu of %llu bytes", w->file.path, e->name,
            (unsigned long long)w->filled, (unsigned long long)e->size);
}

status zip_begin(zip_writer *w, const char *name, uint64_t size) {
    buffer head = {0};
    check_filled(w);
    status rc = mem_grow((void **)&w->entries, &w->room, w->count + 1, sizeof *w->entries,
                         "a zip archive's entries");
    if (rc) return rc;
    entry *e = &w->entries[w->count];
    *e = (entry){.size = size, .place = w->place};
    rc = mem_string(&e->name, name);
    if (rc) return rc;
    w->count++;
    w->filled = 0;
    buffer_number(&head, 0x04034b50, 4);
    put_facts(&head, w, e); // its CRC-32 is known at the end
    put_extra(&head, w, e);
    rc = write_bytes(w, &head);
    buffer_free(&head);
    return rc;
}

status zip_put(zip_writer *w, const void *bytes, size_t count) {
    entry *e = w->count ? &w->entries[w->count - 1] : NULL;
    if (!e || count > e->size - w->filled)
        die("zip_put: %zu bytes more than %s has", count, e ? e->name : "no entry");
    status rc = staged_write(&w->file, bytes, count);
    if (rc) return rc;
    e->crc = checksum_crc32(e->crc, bytes, count);
    w->place += count;
    w->filled += count;
    if (w->filled < e->size) return STATUS_OK;
    unsigned char crc[4];
    for (int i = 0; i < 4; i++) crc[i] = (unsigned char)(e->crc >> (8 * i));
    return staged_patch(&w->file, e->place + CRC_PLACE, crc, sizeof crc);
}

// --- directory -----------------------------------------------------------------------------------
static void put_central(buffer *b, const zip_writer *w, const entry *e) {
    const bool far = wide(w, e->place);
    const size_t field = (size_t)(wide(w, e->size) ? 16 : 0) + (far ? 8 : 0);
    buffer_number(b, 0x02014b50, 4);
    buffer_number(b, 45, 2); // made by
    put_facts(b, w, e);
    buffer_number(b, field ? field + 4 : 0, 2);
    buffer_number(b, 0, 2); // comment
    buffer_number(b, 0, 2); // part
    buffer_number(b, 0, 2); // attributes
    buffer_number(b, 0, 4);
    put_narrow(b, w, e->place);
    buffer_text(b, e->name);
    if (!field) return;
    buffer_number(b, EXTRA_ZIP64, 2);
    buffer_number(b, field, 2);
    if (wide(w, e->size)) {
        buffer_number(b, e->size, 8);
        buffer_number(b, e->size, 8);
    }
    if (far) buffer_number(b, e->place, 8);
}

static void put_end64(buffer *b, const zip_writer *w, uint64_t size) {
    buffer_number(b, 0x06064b50, 4);
    buffer_number(b, 44, 8); // of this record, without what stands before this
    buffer_number(b, 45, 2);
    buffer_number(b, 45, 2);
    buffer_number(b, 0, 8); // parts
    buffer_number(b, w->count, 8);
    buffer_number(b, w->count, 8);
    buffer_number(b, size, 8);
    buffer_number(b, w->place, 8);
    buffer_number(b, 0x07064b50, 4);
    buffer_number(b, 0, 4);
    buffer_number(b, w->place + size, 8); // of this record
    buffer_number(b, 1, 4);
}

static void put_end(buffer *b, const zip_writer *w) {
    const uint64_t size = b->length, count = w->count;
    const bool many = count >= narrow_count;
    if (many || wide(w, size) || wide(w, w->place)) put_end64(b, w, size);
    buffer_number(b, 0x06054b50, 4);
    buffer_number(b, 0, 4); // parts
    buffer_number(b, many ? narrow_count : count, 2);
    buffer_number(b, many ? narrow_count : count, 2);
    put_narrow(b, w, size);
    put_narrow(b, w, w->place);
    buffer_number(b, 0, 2); // comment
}

status zip_finish(zip_writer *w) {
    buffer directory = {0};
    check_filled(w);
    for (size_t i = 0; i < w->count; i++) put_central(&directory, w, &w->entries[i]);
    put_end(&directory, w);
    status rc = write_bytes(w, &directory);
    buffer_free(&directory);
    return rc ? rc : staged_finish(&w->file);
}

void zip_writer_close(zip_writer *w) {
    if (!w) return;
    staged_close(&w->file);
    for (size_t i = 0; i < w->count; i++) mem_free(w->entries[i].name);
    mem_free(w->entries);
    mem_free(w);
}
