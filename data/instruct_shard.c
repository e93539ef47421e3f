// A shard of instruct data: its tables. See instruct.h for the format.
#include "core/files/fs.h"
#include "data/instruct_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static status check_header(instruct_shard *s, hdf5 *f) {
    char text[32];
    int64_t version = 0;
    status rc = hdf5_read_text(text, f, "format", sizeof text);
    if (!rc && strcmp(text, "radialog-instruct"))
        rc = status_fail(STATUS_FORMAT, "%s: is no shard of instruct data", s->path);
    if (!rc) rc = hdf5_read_int(&version, f, "version");
    if (!rc && version != INSTRUCT_VERSION)
        rc = status_fail(STATUS_FORMAT, "%s: version %lld of the format, this program reads %d",
                         s->path, (long long)version, INSTRUCT_VERSION);
    if (!rc) rc = hdf5_read_text(s->plan, f, "plan", sizeof s->plan);
    if (!rc) rc = hdf5_read_int(&s->first_row, f, "first_row");
    if (!rc) rc = hdf5_read_int(&s->rows, f, "rows");
    if (!rc) rc = hdf5_read_text(text, f, "split", sizeof text);
    if (rc) return rc;
    for (s->split = 0; s->split < SPLIT_COUNT; s->split++)
        if (!strcmp(text, split_names[s->split])) return STATUS_OK;
    return status_fail(STATUS_FORMAT, "%s: unknown split %s", s->path, text);
}

static status load_tables(instruct_shard *s, hdf5 *f) {
    const int64_t any = -1;
    int64_t *wide = NULL;
    hdf5_shape shape;
    status rc = hdf5_load(&s->length, &shape, f, "length", DTYPE_I32, 1, &any);
    if (rc) return rc;
    s->records = shape.dim[0];
    const int64_t ends = s->records + 1;
    rc = hdf5_load(&s->supervised, &shape, f, "supervised", DTYPE_I32, 1, &s->records);
    if (!rc) rc = hdf5_load(&s->offset, &shape, f, "offsets", DTYPE_I64, 1, &ends);
    if (!rc) rc = hdf5_load(&wide, &shape, f, "crc32", DTYPE_I64, 1, &s->records);
    if (!rc) rc = mem_new(&s->crc, s->records, "checksums");
    for (int64_t i = 0; !rc && i < s->records; i++) s->crc[i] = (uint32_t)wide[i];
    mem_free(wide);
    return rc;
}

static status load_skipped(instruct_shard *s, hdf5 *f) {
    hdf5_shape shape;
    status rc = text_column_read(&s->skipped_reason, f, "skipped_reason", -1, true);
    int64_t count = rc ? 0 : (int64_t)s->skipped_reason.count;
    if (!rc) rc = text_column_read(&s->skipped_id, f, "skipped_id", count, true);
    if (!rc) rc = text_column_read(&s->skipped_detail, f, "skipped_detail", count, true);
    return rc ? rc : hdf5_load(&s->skipped_row, &shape, f, "skipped_row", DTYPE_I64, 1, &count);
}

static status damaged(const instruct_shard *s, const char *what) {
    return status_fail(STATUS_FORMAT, "%s: %s; remove it and run radialog instruct again", s->path,
                       what);
}

// The blocks lie where the seal left them out, and each record's stay within them.
static status check_blocks(instruct_shard *s, hdf5 *f, const hdf5_chunk *sealed, int64_t seals) {
    const int64_t any = -1;
    hdf5_shape shape;
    status rc = hdf5_expect(&shape, f, "blocks", DTYPE_U8, 1, &any);
    if (rc) return rc;
    const int64_t bytes = shape.dim[0];
    if (shape.chunked || seals != (bytes ? 1 : 0) ||
        (bytes && (sealed->offset != shape.offset || sealed->bytes != bytes)))
        return damaged(s, "its records are not where its seal says");
    s->place = shape.offset;
    if (s->offset[0] || s->offset[s->records] != bytes)
        return damaged(s, "its table of records does not fit its records");
    for (int64_t i = 0; i < s->records; i++) {
        // Neighbours first: no difference below can then overflow.
        if (s->offset[i + 1] < s->offset[i] || s->offset[i + 1] > bytes)
            return damaged(s, "its table of records is damaged");
        const int64_t size = s->offset[i + 1] - s->offset[i], ids = 4 * (int64_t)s->length[i];
        if (s->length[i] < 1 || s->supervised[i] < 0 || s->supervised[i] > s->length[i] ||
            size % 4 || size > INT32_MAX || size < (int64_t)sizeof(block_head) + ids)
            return damaged(s, "its table of lengths is damaged");
    }
    if (s->rows < 0 || s->first_row < 0 || s->records + (int64_t)s->skipped_reason.count != s->rows)
        return damaged(s, "its rows are not all accounted for");
    return STATUS_OK;
}

// What the seal says is put in terms of this kind of shard.
static status read_seal(hdf5_chunk **chunk, int64_t *count, instruct_shard *s) {
    status rc = shard_seal_read(chunk, count, &s->seal, s->fd, s->path);
    return rc == STATUS_FORMAT ? damaged(s, "is no shard, is cut short, or its tables are damaged")
                               : rc;
}

static status open_file(instruct_shard *s) {
    hdf5_chunk *sealed = NULL;
    hdf5 *f = NULL;
    int64_t seals = 0;
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0) return file_failure(s->path, "open");
    status rc = read_seal(&sealed, &seals, s);
    if (!rc) rc = hdf5_open(&f, s->path);
    if (!rc) rc = check_header(s, f);
    if (!rc) rc = load_tables(s, f);
    if (!rc) rc = load_skipped(s, f);
    if (!rc) rc = check_blocks(s, f, sealed, seals);
    hdf5_close(f);
    mem_free(sealed);
    return rc;
}

status instruct_shard_open(instruct_shard **out, const char *path) {
    instruct_shard *s = NULL;
    *out = NULL;
    status rc = mem_new(&s, 1, "a shard");
    if (rc) return rc;
    s->fd = -1;
    rc = mem_string(&s->path, path);
    if (!rc) rc = open_file(s);
    if (rc)
        instruct_shard_close(s);
    else
        *out = s;
    return rc;
}

void instruct_shard_forget_skipped(instruct_shard *s) {
    text_column_free(&s->skipped_reason);
    text_column_free(&s->skipped_id);
    text_column_free(&s->skipped_detail);
    mem_free(s->skipped_row);
    s->skipped_row = NULL;
}

void instruct_shard_close(instruct_shard *s) {
    if (!s) return;
    if (s->fd >= 0) close(s->fd);
    instruct_shard_forget_skipped(s);
    mem_free(s->offset);
    mem_free(s->length);
    mem_free(s->supervised);
    mem_free(s->crc);
    mem_free(s->path);
    mem_free(s);
}
