#include "data/shard.h"
#include "core/checksum.h"
#include "core/files/fs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *const split_names[SPLIT_COUNT] = {"train", "validate", "test"};

#define X(name, text) text,
const char *const record_id_names[ID_COUNT] = {RECORD_ID_LIST(X)};
const char *const record_text_names[TEXT_COUNT] = {RECORD_TEXT_LIST(X)};
#undef X

char *shard_name(char name[SHARD_NAME_SIZE], int split, int64_t number) {
    snprintf(name, SHARD_NAME_SIZE, "%s-%05lld.h5", split_names[split], (long long)number);
    return name;
}

static status check_header(shard *s, hdf5 *f) {
    char text[32];
    int64_t version = 0, level = 0;
    status rc = hdf5_read_text(text, f, "format", sizeof text);
    if (!rc && strcmp(text, "radialog-shard"))
        rc = status_fail(STATUS_FORMAT, "%s: is no shard", s->path);
    if (!rc) rc = hdf5_read_int(&version, f, "version");
    if (!rc && version != SHARD_VERSION)
        rc = status_fail(STATUS_FORMAT, "%s: version %lld of the format, this program reads %d",
                         s->path, (long long)version, SHARD_VERSION);
    if (!rc) rc = hdf5_read_text(s->plan, f, "plan", sizeof s->plan);
    if (!rc) rc = hdf5_read_int(&level, f, "deflate");
    if (!rc) rc = hdf5_read_text(text, f, "split", sizeof text);
    if (rc) return rc;
    s->level = level != 0;
    for (s->split = 0; s->split < SPLIT_COUNT; s->split++)
        if (!strcmp(text, split_names[s->split])) return STATUS_OK;
    return status_fail(STATUS_FORMAT, "%s: unknown split %s", s->path, text);
}

static status load_checksums(shard *s, hdf5 *f) {
    int64_t *wide = NULL;
    hdf5_shape shape;
    status rc = hdf5_load(&wide, &shape, f, "crc32", DTYPE_I64, 1, &s->records);
    if (!rc) rc = mem_new(&s->crc, s->records, "checksums");
    if (!rc) rc = mem_new(&s->checked, s->records, "checksums");
    for (int64_t i = 0; !rc && i < s->records; i++) s->crc[i] = (uint32_t)wide[i];
    mem_free(wide);
    return rc;
}

static status load_skipped(shard *s, hdf5 *f) {
    hdf5_shape shape;
    status rc = text_column_read(&s->skipped_reason, f, "skipped_reason", -1, true);
    int64_t count = rc ? 0 : (int64_t)s->skipped_reason.count;
    if (!rc) rc = text_column_read(&s->skipped_id, f, "skipped_id", count, true);
    if (!rc) rc = text_column_read(&s->skipped_detail, f, "skipped_detail", count, true);
    if (!rc) rc = hdf5_load(&s->skipped_line, &shape, f, "skipped_line", DTYPE_I64, 1, &count);
    return rc;
}

static status load_tables(shard *s, hdf5 *f) {
    const int64_t images[] = {s->records, STORED_SIDE, STORED_SIDE};
    const int64_t labels[] = {s->records, CLASS_COUNT}, sizes[] = {s->records, 2};
    hdf5_shape shape;
    status rc = hdf5_expect(&shape, f, "images", DTYPE_U8, 3, images);
    if (!rc) rc = hdf5_load(&s->labels, &shape, f, "labels", DTYPE_I8, 2, labels);
    if (!rc) rc = hdf5_load(&s->sizes, &shape, f, "sizes", DTYPE_I32, 2, sizes);
    if (!rc) rc = load_checksums(s, f);
    for (int i = 0; !rc && i < ID_COUNT; i++)
        rc = text_column_read(&s->id[i], f, record_id_names[i], s->records, true);
    for (int i = 0; !rc && i < TEXT_COUNT; i++)
        rc = text_column_read(&s->text[i], f, record_text_names[i], s->records, false);
    return rc ? rc : load_skipped(s, f);
}

// No image may be larger than what the caller's memory is made for.
static status check_chunks(const shard *s) {
    int64_t most = s->level ? (int64_t)zlib_bound(STORED_PIXELS) : STORED_PIXELS;
    int64_t least = s->level ? 1 : STORED_PIXELS;
    for (int64_t i = 0; i < s->records; i++)
        if (s->chunk[i].bytes > most || s->chunk[i].bytes < least)
            return status_fail(STATUS_FORMAT, "%s: an image of %lld bytes", s->path,
                               (long long)s->chunk[i].bytes);
    return STATUS_OK;
}

static status open_files(shard *s) {
    hdf5 *f = NULL;
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0) return file_failure(s->path, "open");
    status rc = shard_seal_read(&s->chunk, &s->records, &s->seal, s->fd, s->path);
    if (!rc) rc = hdf5_open(&f, s->path);
    if (!rc) rc = check_header(s, f);
    if (!rc) rc = check_chunks(s);
    if (!rc) rc = load_tables(s, f);
    hdf5_close(f);
    return rc;
}

status shard_open(shard **out, const char *path) {
    shard *s = NULL;
    *out = NULL;
    status rc = mem_new(&s, 1, "a shard");
    if (rc) return rc;
    s->fd = -1;
    rc = mem_string(&s->path, path);
    if (!rc) rc = open_files(s);
    if (rc)
        shard_close(s);
    else
        *out = s;
    return rc;
}

void shard_forget_skipped(shard *s) {
    text_column_free(&s->skipped_reason);
    text_column_free(&s->skipped_id);
    text_column_free(&s->skipped_detail);
    mem_free(s->skipped_line);
    s->skipped_line = NULL;
}

void shard_close(shard *s) {
    if (!s) return;
    if (s->fd >= 0) close(s->fd);
    for (int i = 0; i < ID_COUNT; i++) text_column_free(&s->id[i]);
    for (int i = 0; i < TEXT_COUNT; i++) text_column_free(&s->text[i]);
    shard_forget_skipped(s);
    mem_free(s->chunk);
    mem_free(s->crc);
    mem_free(s->checked);
    mem_free(s->labels);
    mem_free(s->sizes);
    mem_free(s->path);
    mem_free(s);
}

// Two threads may take the same checksum at once, which does no harm.
static bool checksum_fits(const uint8_t *pixels, const shard *s, int64_t i) {
    if (atomic_load_explicit(&s->checked[i], memory_order_relaxed)) return true;
    if (checksum_crc32(0, pixels, STORED_PIXELS) != s->crc[i]) return false;
    atomic_store_explicit(&s->checked[i], 1, memory_order_relaxed);
    return true;
}

// Chunks of a plain shard are STORED_PIXELS bytes, the others zlib's format.
status shard_pixels(uint8_t *out, const shard *s, int64_t i, deflater *d, void *packed) {
    size_t size = (size_t)s->chunk[i].bytes;
    bool plain = s->level == 0;
    status rc = file_read_at(plain ? out : packed, s->fd, s->path, size, s->chunk[i].offset);
    if (!rc && !plain) rc = zlib_expand(d, out, packed, STORED_PIXELS, size);
    if (rc == STATUS_IO || rc == STATUS_MEMORY) return rc;
    if (!rc && checksum_fits(out, s, i)) return STATUS_OK;
    return status_fail(STATUS_FORMAT, "%s: the image of record %s is damaged (%s); remove the file and run ingest again, or train with "
                       "data.skip_bad=true", s->path,
                       text_column_at(&s->id[ID_DICOM], (size_t)i),
                       rc ? "it does not inflate" : "wrong checksum");
}

status shard_text(buffer *out, const shard *s, int64_t i, record_text kind) {
    const text_column *c = &s->text[kind];
    size_t length = (size_t)text_column_length(c, (size_t)i);
    char block[4096];
    out->length = 0;
    buffer_text(out, "");
    status rc = out->failed;
    for (size_t done = 0; !rc && done < length;) {
        size_t part = length - done < sizeof block ? length - done : sizeof block;
        rc = file_read_at(block, s->fd, s->path, part, c->place + c->offset[i] + (int64_t)done);
        if (!rc) buffer_append(out, block, part);
        if (!rc) rc = out->failed;
        done += part;
    }
    return rc;
}
