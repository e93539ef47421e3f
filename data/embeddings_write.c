// Writes a file of embeddings; the format is in embeddings.h. libhdf5 makes the file with a place
// for every row; the rows themselves are written past it, so that a kill can only lose rows that
// were not counted.
#include "core/files/fs.h"
#include "core/files/hdf5.h"
#include "data/embeddings.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SYNC_BYTES = 64 << 20 };

struct embeddings_writer {
    char path[PATH_SIZE], part[PATH_SIZE], making[PATH_SIZE];
    int fd; // of PART; -1: PATH is complete
    int64_t count, row_bytes;
    int64_t rows, synced; // handed over; of these, counted in the file
    int64_t place, rows_place;
};

// --- the facts ----------------------------------------------------------------------------------

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static status check_ids(const char *path, const embeddings_facts *facts) {
    const char **sorted;
    status rc = mem_new(&sorted, facts->count, "dicom_ids");
    if (rc) return rc;
    for (int64_t i = 0; i < facts->count; i++) sorted[i] = facts->dicom_id[i];
    qsort(sorted, (size_t)facts->count, sizeof *sorted, compare_texts);
    if (!*sorted[0]) rc = status_fail(STATUS_FORMAT, "%s: an image without a dicom_id", path);
    for (int64_t i = 1; i < facts->count && !rc; i++)
        if (!strcmp(sorted[i - 1], sorted[i]))
            rc = status_fail(STATUS_FORMAT, "%s: two images have the dicom_id %.80s", path,
                             sorted[i]);
    mem_free(sorted);
    return rc;
}

static status check_facts(const char *path, const embeddings_facts *facts) {
    const char *const texts[] = {facts->checkpoint, facts->model, facts->split, facts->plan};
    for (int i = 0; i < 4; i++)
        if (strlen(texts[i]) >= EMBEDDINGS_TEXT_SIZE)
            die("embeddings_create: '%s' is too long", texts[i]);
    if (facts->count < 0 || facts->queries < 1 || facts->width < 1)
        die("embeddings_create: (%lld, %d, %d)", (long long)facts->count, facts->queries,
            facts->width);
    if (!facts->count) return status_fail(STATUS_FORMAT, "%s: there are no images to embed", path);
    return check_ids(path, facts);
}

static status other_facts(const embeddings *e, const char *what, const char *have,
                          const char *want) {
    return status_fail(STATUS_FORMAT,
                       "%s: was made with the %s %.80s, this run has %.80s; remove it, or give "
                       "another file",
                       e->path, what, have, want);
}

static status compare_sizes(const embeddings *e, const embeddings_facts *facts) {
    char have[64], want[64];
    snprintf(have, sizeof have, "(%lld, %d, %d)", (long long)e->count, e->queries, e->width);
    snprintf(want, sizeof want, "(%lld, %d, %d)", (long long)facts->count, facts->queries,
             facts->width);
    return strcmp(have, want) ? other_facts(e, "shape", have, want) : STATUS_OK;
}

// E is a file made from FACTS.
static status compare_facts(const embeddings *e, const embeddings_facts *facts) {
    const struct {
        const char *name, *have, *want;
    } texts[] = {{"checkpoint", e->checkpoint, facts->checkpoint},
                 {"model", e->model, facts->model},
                 {"split", e->split, facts->split},
                 {"data set", e->plan, facts->plan},
                 {"type", dtype_name(e->type), dtype_name(facts->type)}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].have, texts[i].want))
            return other_facts(e, texts[i].name, texts[i].have, texts[i].want);
    status rc = compare_sizes(e, facts);
    for (int64_t i = 0; i < facts->count && !rc; i++)
        if (strcmp(embeddings_id(e, i), facts->dicom_id[i]))
            rc = other_facts(e, "image", embeddings_id(e, i), facts->dicom_id[i]);
    return rc;
}

// --- opening ------------------------------------------------------------------------------------

// `rows` comes first, where its 8 bytes stay within one sector, which disks write whole.
static status fill_file(hdf5 *f, const embeddings_facts *facts) {
    const bool narrow = facts->type != DTYPE_F32;
    const int64_t dim[] = {facts->count, facts->queries, facts->width * (narrow ? 2 : 1)}, one = 1,
                  none = 0;
    status rc = hdf5_write(f, "rows", DTYPE_I64, 1, &one, &none);
    if (!rc) rc = hdf5_write_text(f, "format", "radialog-embeddings");
    if (!rc) rc = hdf5_write_int(f, "version", EMBEDDINGS_VERSION);
    if (!rc) rc = hdf5_write_text(f, "type", dtype_name(facts->type));
    if (!rc) rc = hdf5_write_text(f, "checkpoint", facts->checkpoint);
    if (!rc) rc = hdf5_write_text(f, "model", facts->model);
    if (!rc) rc = hdf5_write_text(f, "split", facts->split);
    if (!rc) rc = hdf5_write_text(f, "plan", facts->plan);
    if (!rc) rc = hdf5_write_strings(f, "dicom_id", facts->dicom_id, facts->count);
    if (!rc) rc = hdf5_make(f, "embeddings", narrow ? DTYPE_U8 : DTYPE_F32, 3, dim);
    return rc;
}

// Made under a third name, so that what is called PART always has all its places.
static status make_part(embeddings_writer *w, const embeddings_facts *facts) {
    hdf5 *f = NULL;
    int claim;
    status rc = file_claim(&claim, w->making, 0666);
    if (rc) return rc;
    bool there = file_exists(w->part); // another process was just done with it
    if (!there) rc = hdf5_create(&f, w->making);
    if (!rc && !there) rc = fill_file(f, facts);
    if (!rc && !there) rc = hdf5_finish(f);
    hdf5_close(f);
    if (!rc && !there && rename(w->making, w->part)) rc = file_failure(w->part, "rename into place");
    if (rc || there) unlink(w->making);
    close(claim);
    return rc;
}

static status open_part(embeddings_writer *w) {
    struct stat own, there;
    w->fd = open(w->part, O_RDWR | O_CLOEXEC);
    // Shared folders whose system knows no locks are not held and no error.
    bool taken = w->fd >= 0 && flock(w->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
    if (w->fd < 0 && errno != ENOENT) return file_failure(w->part, "open");
    if (w->fd < 0 || taken || fstat(w->fd, &own) || stat(w->part, &there) || own.st_ino != there.st_ino)
        return status_fail(STATUS_IO, "%s: another radialog is writing it; wait for it, or name another file",
                           w->part);
    return STATUS_OK;
}

// Takes the places from the file at PATH, which must be made from FACTS.
static status look_into(embeddings_writer *w, const char *path, const embeddings_facts *facts) {
    embeddings *e = NULL;
    status rc = embeddings_open_part(&e, path);
    if (!rc) rc = compare_facts(e, facts);
    if (!rc) {
        w->place = e->place;
        w->rows_place = e->rows_place;
        w->rows = w->synced = e->rows;
    }
    embeddings_close(e);
    return rc;
}

static status start(embeddings_writer *w, const char *path, const embeddings_facts *facts) {
    if (snprintf(w->path, sizeof w->path, "%s", path) >= (int)sizeof w->path - 16)
        return status_fail(STATUS_IO, "%s: the path is too long", path);
    snprintf(w->part, sizeof w->part, "%.*s.tmp", PATH_SIZE - 16, path);
    snprintf(w->making, sizeof w->making, "%.*s.tmp.new", PATH_SIZE - 16, path);
    w->count = facts->count;
    w->row_bytes = (int64_t)facts->queries * facts->width * (int64_t)dtype_size(facts->type);
    status rc = check_facts(path, facts);
    if (rc) return rc;
    if (file_exists(path)) {
        rc = look_into(w, path, facts);
        if (!rc && w->rows != w->count)
            rc = status_fail(STATUS_FORMAT, "%s: misses rows, which no run leaves there; remove it",
                             path);
        return rc;
    }
    if (!file_exists(w->part)) rc = make_part(w, facts);
    if (!rc) rc = open_part(w);
    return rc ? rc : look_into(w, w->part, facts);
}

status embeddings_create(embeddings_writer **out, const char *path, const embeddings_facts *facts) {
    embeddings_writer *w = NULL;
    *out = NULL;
    status rc = mem_new(&w, 1, "embeddings");
    if (rc) return rc;
    w->fd = -1;
    rc = start(w, path, facts);
    if (rc)
        embeddings_writer_close(w);
    else
        *out = w;
    return rc;
}

void embeddings_writer_close(embeddings_writer *w) {
    if (!w) return;
    if (w->fd >= 0) close(w->fd);
    mem_free(w);
}

int64_t embeddings_written(const embeddings_writer *w) {
    return w->rows;
}

// --- rows ---------------------------------------------------------------------------------------

status embeddings_add(embeddings_writer *w, const void *rows, int64_t count) {
    if (count < 0 || count > w->count - w->rows)
        die("embeddings_add: %lld rows behind %lld of %lld", (long long)count, (long long)w->rows,
            (long long)w->count);
    status rc = file_write_at(w->fd, w->part, rows, (size_t)(count * w->row_bytes),
                              w->place + w->rows * w->row_bytes);
    if (rc) return rc;
    w->rows += count;
    return (w->rows - w->synced) * w->row_bytes < SYNC_BYTES ? STATUS_OK : embeddings_sync(w);
}

status embeddings_sync(embeddings_writer *w) {
    if (w->rows == w->synced) return STATUS_OK;
    if (fdatasync(w->fd)) return file_failure(w->part, "sync");
    status rc = file_write_at(w->fd, w->part, &w->rows, sizeof w->rows, w->rows_place);
    if (!rc) w->synced = w->rows;
    return rc;
}

status embeddings_finish(embeddings_writer *w) {
    char folder[PATH_SIZE];
    if (w->rows != w->count)
        die("embeddings_finish: %lld of %lld rows", (long long)w->rows, (long long)w->count);
    if (w->fd < 0) return STATUS_OK;
    status rc = embeddings_sync(w);
    if (!rc && fsync(w->fd)) rc = file_failure(w->part, "sync");
    if (!rc && rename(w->part, w->path)) rc = file_failure(w->path, "rename into place");
    if (rc) return rc;
    close(w->fd);
    w->fd = -1;
    snprintf(folder, sizeof folder, "%s", w->path);
    return file_sync(dirname(folder));
}
