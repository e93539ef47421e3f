// Writes a shard; the format is in shard.h. Tables wait in memory until the end, images are written as
// they come.
#include "core/files/fs.h"
#include "data/shard.h"

#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct shard_writer {
    hdf5 *file;
    char path[PATH_SIZE], temporary[PATH_SIZE + 8];
    const char *plan;
    int split, level;
    bool finished;
    int64_t most, records;
    int64_t *crc;
    int8_t *labels;
    int32_t *sizes;
    text_column id[ID_COUNT], text[TEXT_COUNT];
    int64_t *skipped_line;
    size_t skipped_capacity;
    text_column skipped_reason, skipped_id, skipped_detail;
};

static status start_file(shard_writer *w) {
    const int64_t dim[] = {w->most, STORED_SIDE, STORED_SIDE};
    status rc = hdf5_create(&w->file, w->temporary);
    if (!rc) rc = hdf5_write_text(w->file, "format", "radialog-shard");
    if (!rc) rc = hdf5_write_int(w->file, "version", SHARD_VERSION);
    if (!rc) rc = hdf5_write_text(w->file, "split", split_names[w->split]);
    if (!rc) rc = hdf5_write_text(w->file, "plan", w->plan);
    if (!rc) rc = hdf5_write_int(w->file, "deflate", w->level);
    if (!rc) rc = hdf5_make_records(w->file, "images", DTYPE_U8, 3, dim, w->level);
    return rc;
}

status shard_create(shard_writer **out, const char *path, int split, const char *plan, int level,
                    int64_t most) {
    shard_writer *w = NULL;
    *out = NULL;
    if (most < 1 || most > SHARD_RECORDS_MAX) die("shard_create: %lld records", (long long)most);
    status rc = mem_new(&w, 1, "a shard");
    if (rc) return rc;
    w->split = split, w->level = level, w->plan = plan, w->most = most;
    if (snprintf(w->path, sizeof w->path, "%s", path) >= (int)sizeof w->path)
        rc = status_fail(STATUS_IO, "%s: the path is too long", path);
    snprintf(w->temporary, sizeof w->temporary, "%s.tmp", path);
    if (!rc) rc = mem_new(&w->crc, most, "a shard");
    if (!rc) rc = mem_new(&w->labels, most * CLASS_COUNT, "a shard");
    if (!rc) rc = mem_new(&w->sizes, most * 2, "a shard");
    if (!rc) rc = start_file(w);
    if (rc)
        shard_writer_close(w);
    else
        *out = w;
    return rc;
}

status shard_add(shard_writer *w, const shard_record *r) {
    int64_t n = w->records;
    if (n >= w->most) die("shard_add: more than %lld records", (long long)w->most);
    status rc = hdf5_write_record(w->file, "images", n, r->packed, r->packed_size);
    for (int i = 0; !rc && i < ID_COUNT; i++)
        rc = text_column_add(&w->id[i], r->id[i] ? r->id[i] : "");
    for (int i = 0; !rc && i < TEXT_COUNT; i++) rc = text_column_add(&w->text[i], r->text[i]);
    if (rc) return rc;
    w->crc[n] = r->crc;
    w->sizes[2 * n] = r->width;
    w->sizes[2 * n + 1] = r->height;
    memcpy(w->labels + n * CLASS_COUNT, r->labels, CLASS_COUNT);
    w->records++;
    return STATUS_OK;
}

status shard_skip(shard_writer *w, int64_t line, const char *reason, const char *id,
                  const char *detail) {
    size_t count = w->skipped_reason.count;
    status rc = mem_grow((void **)&w->skipped_line, &w->skipped_capacity, count + 1,
                         sizeof *w->skipped_line, "skipped rows");
    if (!rc) w->skipped_line[count] = line;
    if (!rc) rc = text_column_add(&w->skipped_id, id);
    if (!rc) rc = text_column_add(&w->skipped_detail, detail);
    if (!rc) rc = text_column_add(&w->skipped_reason, reason);
    return rc;
}

static status write_skipped(shard_writer *w) {
    int64_t count = (int64_t)w->skipped_reason.count;
    status rc = hdf5_write(w->file, "skipped_line", DTYPE_I64, 1, &count, w->skipped_line);
    if (!rc) rc = text_column_write(w->file, "skipped_reason", &w->skipped_reason);
    if (!rc) rc = text_column_write(w->file, "skipped_id", &w->skipped_id);
    if (!rc) rc = text_column_write(w->file, "skipped_detail", &w->skipped_detail);
    return rc;
}

static status write_tables(shard_writer *w) {
    const int64_t labels[] = {w->records, CLASS_COUNT}, sizes[] = {w->records, 2};
    status rc = hdf5_end_records(w->file, "images", w->records);
    if (!rc) rc = hdf5_write(w->file, "labels", DTYPE_I8, 2, labels, w->labels);
    if (!rc) rc = hdf5_write(w->file, "sizes", DTYPE_I32, 2, sizes, w->sizes);
    if (!rc) rc = hdf5_write(w->file, "crc32", DTYPE_I64, 1, &w->records, w->crc);
    for (int i = 0; !rc && i < ID_COUNT; i++)
        rc = text_column_write(w->file, record_id_names[i], &w->id[i]);
    for (int i = 0; !rc && i < TEXT_COUNT; i++)
        rc = text_column_write(w->file, record_text_names[i], &w->text[i]);
    return rc ? rc : write_skipped(w);
}

static status seal(shard_writer *w) {
    hdf5_chunk *chunk = NULL;
    hdf5 *file = NULL;
    status rc = mem_new(&chunk, w->records, "a shard's table of images");
    if (!rc) rc = hdf5_open(&file, w->temporary);
    if (!rc) rc = hdf5_chunks(chunk, file, "images", w->records, w->level);
    hdf5_close(file);
    if (!rc) rc = shard_seal_write(w->temporary, chunk, w->records);
    mem_free(chunk);
    return rc;
}

status shard_finish(shard_writer *w) {
    char folder[PATH_SIZE];
    status rc = write_tables(w);
    if (!rc) rc = hdf5_finish(w->file);
    hdf5_close(w->file);
    w->file = NULL;
    if (!rc) rc = seal(w);
    if (!rc && rename(w->temporary, w->path)) rc = file_failure(w->path, "rename into place");
    if (rc) return rc;
    w->finished = true;
    snprintf(folder, sizeof folder, "%s", w->path);
    return file_sync(dirname(folder));
}

void shard_writer_close(shard_writer *w) {
    if (!w) return;
    hdf5_close(w->file);
    if (!w->finished) unlink(w->temporary);
    for (int i = 0; i < ID_COUNT; i++) text_column_free(&w->id[i]);
    for (int i = 0; i < TEXT_COUNT; i++) text_column_free(&w->text[i]);
    text_column_free(&w->skipped_reason);
    text_column_free(&w->skipped_id);
    text_column_free(&w->skipped_detail);
    mem_free(w->skipped_line);
    mem_free(w->crc);
    mem_free(w->labels);
    mem_free(w->sizes);
    mem_free(w);
}
