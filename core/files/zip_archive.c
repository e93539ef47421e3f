#include "core/files/zip_archive.h"
#include "core/checksum.h"
#include "core/files/deflate.h"
#include "core/files/little_endian.h"

#include <stdlib.h>
#include <string.h>

// Sizes of the fixed parts of the records.
enum {
    LOCAL_SIZE = 30,
    CENTRAL_SIZE = 46,
    END_SIZE = 22,
    END64_SIZE = 56,
    LOCATOR_SIZE = 20,
    COMMENT_MAX = 65535,
    EXTRA_ZIP64 = 1,
    FLAG_ENCRYPTED = 1,
    FLAG_DESCRIPTOR = 8,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8
};
static const uint32_t local_mark = 0x04034b50, central_mark = 0x02014b50, end_mark = 0x06054b50,
                      end64_mark = 0x06064b50, locator_mark = 0x07064b50, saturated = 0xffffffff;

struct zip_archive {
    char *name;
    const unsigned char *bytes;
    size_t size;
    size_t directory, directory_size; // where the central directory lies
    uint64_t count_claimed;
    char *names; // of all entries, NUL-ended
    zip_entry *entry;
    size_t count, first;
    size_t expanded; // bytes that zip_read has made so far
    deflater *deflater;
};

static status bad(const zip_archive *z, const char *what) {
    return status_fail(STATUS_FORMAT, "%s: %s", z->name, what);
}

static status bad_entry(const zip_archive *z, const char *entry, const char *what) {
    return status_fail(STATUS_FORMAT, "%s: entry \"%.200s\" %s", z->name, entry, what);
}

// --- the end of the archive ----------------------------------------------------------------------
// The end record is the last one whose comment reaches exactly to the end of the file.
static status find_end(const zip_archive *z, size_t *out) {
    for (size_t comment = 0; comment <= COMMENT_MAX && comment + END_SIZE <= z->size; comment++) {
        const unsigned char *p = z->bytes + z->size - END_SIZE - comment;
        if (le32(p) != end_mark || le16(p + 20) != comment) continue;
        *out = (size_t)(p - z->bytes);
        return STATUS_OK;
    }
    return bad(z, "has no end of a zip archive; the file is cut");
}

// The value of a field, which is the 64-bit one where the short one is saturated.
static bool agree(uint64_t narrow, uint64_t limit, uint64_t wide) {
    return narrow == limit || narrow == wide;
}

static status read_end64(const zip_archive *z, size_t end, uint64_t *count, uint64_t *size,
                         uint64_t *begin, size_t *behind) {
    const unsigned char *p = z->bytes + end, *locator = p - LOCATOR_SIZE;
    uint64_t place = le64(locator + 8);
    if (place > end || end - place < END64_SIZE + LOCATOR_SIZE || le32(z->bytes + place) != end64_mark)
        return bad(z, "the zip64 record is not where the archive says");
    const unsigned char *wide = z->bytes + place;
    if (le32(wide + 16) || le32(wide + 20) || le64(wide + 24) != le64(wide + 32))
        return bad(z, "is one part of an archive of several");
    if (!agree(*count, 0xffff, le64(wide + 32)) || !agree(*size, saturated, le64(wide + 40)) ||
        !agree(*begin, saturated, le64(wide + 48)))
        return bad(z, "the archive's two end records contradict each other");
    *count = le64(wide + 32);
    *size = le64(wide + 40);
    *begin = le64(wide + 48);
    *behind = (size_t)place;
    return STATUS_OK;
}

static status read_end(zip_archive *z) {
    size_t end = 0, behind;
    status rc = find_end(z, &end);
    if (rc) return rc;
    const unsigned char *p = z->bytes + end;
    if (le16(p + 4) || le16(p + 6) || le16(p + 8) != le16(p + 10))
        return bad(z, "is one part of an archive of several");
    uint64_t count = le16(p + 10), size = le32(p + 12), begin = le32(p + 16);
    behind = end;
    if (end >= LOCATOR_SIZE + END64_SIZE && le32(p - LOCATOR_SIZE) == locator_mark)
        rc = read_end64(z, end, &count, &size, &begin, &behind);
    if (rc) return rc;
    if (begin > behind || size != behind - begin)
        return bad(z, "the archive's directory is not where its end record says; the file is cut or "
                      "has been put together");
    if (count > size / CENTRAL_SIZE) return bad(z, "the directory is too small for its entries");
    z->directory = (size_t)begin;
    z->directory_size = (size_t)size;
    z->count_claimed = count;
    return STATUS_OK;
}

// --- entries -------------------------------------------------------------------------------------
typedef struct central {
    uint64_t packed, size, begin;
    const unsigned char *record;
    const unsigned char *name, *extra;
    size_t name_length, extra_length;
} central;

// The zip64 field holds, in this order, those of size, packed size and place that are saturated.
static bool read_wide(central *c) {
    uint64_t *field[3] = {&c->size, &c->packed, &c->begin};
    const unsigned char *p = c->extra, *end = p + c->extra_length;
    bool wanted = *field[0] == saturated || *field[1] == saturated || *field[2] == saturated;
    for (; end - p >= 4; p += 4 + le16(p + 2)) {
        if (le16(p + 2) > end - p - 4) return false;
        if (le16(p) != EXTRA_ZIP64) continue;
        const unsigned char *value = p + 4, *last = value + le16(p + 2);
        for (int i = 0; i < 3; i++) {
            if (*field[i] != saturated) continue;
            if (last - value < 8) return false;
            *field[i] = le64(value);
            value += 8;
        }
        return true;
    }
    return !wanted || p == end; // a size of exactly 2^32 - 1 needs no field
}

// Plain relative names: nothing absolute, nothing that leads upwards, no control characters.
static bool plain_name(const char *name, size_t length) {
    if (!length || name[0] == '/') return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f || name[i] == '\\') return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        if (*part == '/') part++;
        size_t size = strcspn(part, "/");
        if ((size == 1 && *part == '.') || (size == 2 && part[0] == '.' && part[1] == '.')) return false;
        if (!size && *part) return false;
    }
    return true;
}

// The local header must tell the same; its sizes may be absent where a descriptor follows the data.
static status read_local(const zip_archive *z, zip_entry *e, const central *c) {
    const unsigned char *r = c->record, *local = z->bytes + c->begin;
    if (c->begin > z->directory || z->directory - c->begin < LOCAL_SIZE || le32(local) != local_mark)
        return bad_entry(z, e->name, "is not where the directory says");
    size_t head = LOCAL_SIZE + (size_t)le16(local + 26) + le16(local + 28), room = z->directory - c->begin;
    if (head > room || c->packed > room - head)
        return bad_entry(z, e->name, "reaches beyond the archive's data");
    if (le16(local + 26) != c->name_length || memcmp(local + LOCAL_SIZE, c->name, c->name_length) != 0 ||
        le16(local + 8) != le16(r + 10))
        return bad_entry(z, e->name, "is not what its local header says");
    if (!(le16(local + 6) & FLAG_DESCRIPTOR) &&
        (le32(local + 14) != e->crc || !agree(le32(local + 18), saturated, c->packed) ||
         !agree(le32(local + 22), saturated, c->size)))
        return bad_entry(z, e->name, "has another size or CRC-32 in its local header");
    e->packed = local + head;
    e->packed_size = (size_t)c->packed;
    e->size = (size_t)c->size;
    e->begin = (size_t)c->begin;
    return STATUS_OK;
}

static status read_entry(zip_archive *z, zip_entry *e, const central *c) {
    const unsigned char *r = c->record;
    e->crc = le32(r + 16);
    if (!plain_name(e->name, c->name_length))
        return bad_entry(z, e->name, "has a name that is no plain relative path");
    if (le16(r + 8) & FLAG_ENCRYPTED) return bad_entry(z, e->name, "is encrypted");
    if (le16(r + 10) != METHOD_STORED && le16(r + 10) != METHOD_DEFLATED)
        return bad_entry(z, e->name, "is compressed by a method other than deflate");
    e->deflated = le16(r + 10) == METHOD_DEFLATED;
    if (!e->deflated && c->packed != c->size)
        return bad_entry(z, e->name, "is stored, but its two sizes differ");
    return read_local(z, e, c);
}

static status read_directory(zip_archive *z) {
    const unsigned char *p = z->bytes + z->directory, *end = p + z->directory_size;
    status rc = mem_new(&z->entry, z->count_claimed, "the entries of an archive");
    // Names are in the directory; each takes a NUL more, less than its record.
    if (!rc) rc = mem_new(&z->names, z->directory_size + 1, "the names of an archive's entries");
    char *name = z->names;
    for (uint64_t i = 0; i < z->count_claimed && !rc; i++) {
        if (end - p < CENTRAL_SIZE || le32(p) != central_mark)
            return bad(z, "the archive's directory is damaged");
        central c = {.record = p, .packed = le32(p + 20), .size = le32(p + 24), .begin = le32(p + 42)};
        c.name_length = le16(p + 28);
        c.extra_length = le16(p + 30);
        c.name = p + CENTRAL_SIZE;
        c.extra = c.name + c.name_length;
        size_t record = CENTRAL_SIZE + c.name_length + c.extra_length + le16(p + 32);
        if ((size_t)(end - p) < record) return bad(z, "the archive's directory is damaged");
        zip_entry *e = &z->entry[z->count++];
        e->name = memcpy(name, c.name, c.name_length);
        name += c.name_length + 1;
        if (!read_wide(&c)) return bad_entry(z, e->name, "has a damaged zip64 field");
        rc = read_entry(z, e, &c);
        p += record;
    }
    if (!rc && p != end) return bad(z, "the archive's directory holds more than its entries");
    return rc;
}

static int compare_begins(const void *a, const void *b) {
    const zip_entry *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const zip_entry *)a)->name, ((const zip_entry *)b)->name);
}

static status check_entries(zip_archive *z) {
    const char *first = z->count ? z->entry[0].name : NULL;
    qsort(z->entry, z->count, sizeof *z->entry, compare_begins);
    for (size_t i = 1; i < z->count; i++) {
        const zip_entry *before = &z->entry[i - 1];
        if (z->entry[i].packed < before->packed ||
            z->entry[i].begin < (size_t)(before->packed - z->bytes) + before->packed_size)
            return bad_entry(z, z->entry[i].name, "overlaps the entry before it");
    }
    qsort(z->entry, z->count, sizeof *z->entry, compare_names);
    for (size_t i = 0; i < z->count; i++) {
        if (i && !strcmp(z->entry[i - 1].name, z->entry[i].name))
            return bad_entry(z, z->entry[i].name, "is there twice");
        if (z->entry[i].name == first) z->first = i;
    }
    return STATUS_OK;
}

// --- interface -----------------------------------------------------------------------------------
status zip_open(zip_archive **out, const char *name, const unsigned char *bytes, size_t size) {
    zip_archive *z;
    *out = NULL;
    status rc = mem_new(&z, 1, "a zip archive");
    if (rc) return rc;
    z->bytes = bytes;
    z->size = size;
    rc = mem_string(&z->name, name);
    if (!rc) rc = read_end(z);
    if (!rc) rc = read_directory(z);
    if (!rc) rc = check_entries(z);
    if (rc)
        zip_close(z);
    else
        *out = z;
    return rc;
}

void zip_close(zip_archive *z) {
    if (!z) return;
    deflater_close(z->deflater);
    mem_free(z->entry);
    mem_free(z->names);
    mem_free(z->name);
    mem_free(z);
}

size_t zip_count(const zip_archive *z) {
    return z->count;
}

const zip_entry *zip_at(const zip_archive *z, size_t index) {
    if (index >= z->count) die("zip_at: %zu of %zu entries", index, z->count);
    return &z->entry[index];
}

const zip_entry *zip_lookup(const zip_archive *z, const char *name) {
    zip_entry wanted = {.name = name};
    return z->count ? bsearch(&wanted, z->entry, z->count, sizeof *z->entry, compare_names) : NULL;
}

const zip_entry *zip_first(const zip_archive *z) {
    return z->count ? &z->entry[z->first] : NULL;
}

static status expand(zip_archive *z, const zip_entry *e, void **owned) {
    status rc = STATUS_OK;
    if (e->size > ZIP_FREE_EXPANSION + ZIP_EXPANSION * z->size ||
        z->expanded + e->size > ZIP_FREE_EXPANSION + ZIP_EXPANSION * z->size)
        return status_fail(STATUS_FORMAT,
                           "%s: entry \"%.200s\" says it expands to %zu bytes, in an archive of %zu: "
                           "refused as a decompression bomb",
                           z->name, e->name, e->size, z->size);
    z->expanded += e->size;
    if (!z->deflater) rc = deflater_open(&z->deflater, 1);
    if (!rc) rc = mem_take(owned, e->size + 1, 1, "a compressed entry");
    if (!rc) rc = deflate_expand(z->deflater, *owned, e->packed, e->size, e->packed_size);
    if (rc != STATUS_FORMAT) return rc;
    return status_fail(rc, "%s: entry \"%.200s\": %s", z->name, e->name, status_text());
}

status zip_read(zip_archive *z, const zip_entry *e, const unsigned char **data, void **owned) {
    *owned = NULL;
    *data = e->packed;
    if (e->deflated) {
        status rc = expand(z, e, owned);
        if (rc) {
            mem_free(*owned);
            *owned = NULL;
            return rc;
        }
        *data = *owned;
    }
    uint32_t crc = checksum_crc32(0, *data, e->size);
    if (crc == e->crc) return STATUS_OK;
    mem_free(*owned);
    *owned = NULL;
    return status_fail(STATUS_FORMAT, "%s: entry \"%.200s\" is damaged (CRC-32 %08x, expected %08x)",
                       z->name, e->name, crc, e->crc);
}
