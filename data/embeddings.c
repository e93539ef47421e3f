// Reads files of embeddings; the format is in embeddings.h. Rows are read by pread.
#include "core/files/fs.h"
#include "core/files/hdf5.h"
#include "data/embeddings_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// --- opening ------------------------------------------------------------------------------------

static status read_type(embeddings *e, hdf5 *f) {
    static const dtype known[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    char text[16];
    status rc = hdf5_read_text(text, f, "type", sizeof text);
    for (int i = 0; i < 3 && !rc; i++) {
        e->type = known[i];
        if (!strcmp(text, dtype_name(known[i]))) return STATUS_OK;
    }
    return rc ? rc : status_fail(STATUS_FORMAT, "%s: rows of type %.15s", e->path, text);
}

static status check_header(embeddings *e, hdf5 *f) {
    char text[32];
    int64_t version = 0;
    status rc = hdf5_read_text(text, f, "format", sizeof text);
    if (!rc && strcmp(text, "radialog-embeddings"))
        rc = status_fail(STATUS_FORMAT, "%s: is no file of embeddings", e->path);
    if (!rc) rc = hdf5_read_int(&version, f, "version");
    if (!rc && version != EMBEDDINGS_VERSION)
        rc = status_fail(STATUS_FORMAT, "%s: version %lld of the format, this program reads %d",
                         e->path, (long long)version, EMBEDDINGS_VERSION);
    if (!rc) rc = read_type(e, f);
    if (!rc) rc = hdf5_read_text(e->checkpoint, f, "checkpoint", sizeof e->checkpoint);
    if (!rc) rc = hdf5_read_text(e->model, f, "model", sizeof e->model);
    if (!rc) rc = hdf5_read_text(e->split, f, "split", sizeof e->split);
    if (!rc) rc = hdf5_read_text(e->plan, f, "plan", sizeof e->plan);
    return rc;
}

static status look_at_numbers(embeddings *e, hdf5 *f) {
    const int64_t any[] = {-1, -1, -1}, one = 1;
    hdf5_shape shape;
    const int narrow = e->type == DTYPE_F32 ? 1 : 2; // bytes that stand for one number
    status rc = hdf5_expect_whole(&shape, f, "embeddings", narrow > 1 ? DTYPE_U8 : DTYPE_F32, 3, any);
    if (rc) return rc;
    for (int i = 0; i < 3; i++)
        if (shape.dim[i] < 1 || (i && shape.dim[i] > INT32_MAX) ||
            (i == 2 && shape.dim[i] % narrow))
            return status_fail(STATUS_FORMAT, "%s: embeddings has a size of %lld", e->path,
                               (long long)shape.dim[i]);
    e->count = shape.dim[0];
    e->queries = (int)shape.dim[1];
    e->width = (int)shape.dim[2] / narrow;
    e->place = shape.offset;
    rc = hdf5_expect_whole(&shape, f, "rows", DTYPE_I64, 1, &one);
    if (!rc) rc = hdf5_read(&e->rows, f, "rows", &shape);
    e->rows_place = shape.offset;
    if (!rc && (e->rows < 0 || e->rows > e->count))
        rc = status_fail(STATUS_FORMAT, "%s: says that %lld of %lld rows are written", e->path,
                         (long long)e->rows, (long long)e->count);
    return rc;
}

// Copies ids of SIZE bytes each to text_size, so that each ends in NUL, and checks them.
static status take_ids(embeddings *e, const char *padded, size_t size) {
    for (int64_t i = 0; i < e->count; i++) {
        const char *id = padded + (size_t)i * size;
        size_t length = strnlen(id, size);
        for (size_t k = length; k < size; k++)
            if (id[k]) length = 0; // goes on behind its end
        if (!length)
            return status_fail(STATUS_FORMAT, "%s: the dicom_id of row %lld is no text", e->path,
                               (long long)i);
        char *target = e->text + (size_t)i * e->text_size;
        memcpy(target, id, length);
        e->sorted[i] = (embeddings_key){target, i};
    }
    return STATUS_OK;
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(((const embeddings_key *)a)->dicom_id, ((const embeddings_key *)b)->dicom_id);
}

status embeddings_sort_ids(embeddings *e) {
    qsort(e->sorted, (size_t)e->count, sizeof *e->sorted, compare_keys);
    for (int64_t i = 1; i < e->count; i++)
        if (!compare_keys(&e->sorted[i - 1], &e->sorted[i]))
            return status_fail(STATUS_FORMAT, "%s: the dicom_id %.80s is there twice", e->path,
                               e->sorted[i].dicom_id);
    return STATUS_OK;
}

static status load_ids(embeddings *e, hdf5 *f) {
    char *padded = NULL;
    hdf5_shape shape;
    status rc = hdf5_expect_strings(&shape, f, "dicom_id");
    if (!rc && shape.dim[0] != e->count)
        rc = status_fail(STATUS_FORMAT, "%s: %lld rows, %lld dicom_ids", e->path,
                         (long long)e->count, (long long)shape.dim[0]);
    size_t size = rc ? 0 : (size_t)shape.dim[1];
    e->text_size = size + 1;
    if (!rc) rc = mem_take((void **)&padded, shape.bytes, 1, "dicom_ids");
    if (!rc) rc = mem_take((void **)&e->text, (size_t)e->count, e->text_size, "dicom_ids");
    if (!rc) rc = mem_new(&e->sorted, e->count, "dicom_ids");
    if (!rc) rc = hdf5_read(padded, f, "dicom_id", &shape);
    if (!rc) rc = take_ids(e, padded, size);
    if (!rc) rc = embeddings_sort_ids(e);
    mem_free(padded);
    return rc;
}

static status load_hdf5(embeddings *e) {
    hdf5 *f = NULL;
    status rc = hdf5_open(&f, e->path);
    if (!rc) rc = check_header(e, f);
    if (!rc) rc = look_at_numbers(e, f);
    if (!rc) rc = load_ids(e, f);
    hdf5_close(f);
    return rc;
}

// By its first bytes: a pickle of protocol 2 or later begins with its number.
static status load_any(embeddings *e) {
    unsigned char first[2] = {0};
    ssize_t count = pread(e->fd, first, sizeof first, 0);
    if (count < 0) return file_failure(e->path, "read");
    if (first[0] == 0x80) return embeddings_load_pickle(e);
    status rc = load_hdf5(e);
    if (!rc && e->rows != e->count)
        rc = status_fail(STATUS_FORMAT,
                         "%s: only %lld of %lld rows are written; run the command that makes it "
                         "again",
                         e->path, (long long)e->rows, (long long)e->count);
    return rc;
}

static status open_by(embeddings **out, const char *path, status (*load)(embeddings *)) {
    embeddings *e = NULL;
    *out = NULL;
    status rc = mem_new(&e, 1, "embeddings");
    if (rc) return rc;
    e->fd = -1;
    rc = mem_string(&e->path, path);
    if (!rc && (e->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0)
        rc = file_failure(path, "open");
    if (!rc) rc = load(e);
    if (rc)
        embeddings_close(e);
    else
        *out = e;
    return rc;
}

status embeddings_open(embeddings **out, const char *path) {
    return open_by(out, path, load_any);
}

status embeddings_open_part(embeddings **out, const char *path) {
    return open_by(out, path, load_hdf5);
}

void embeddings_close(embeddings *e) {
    if (!e) return;
    if (e->fd >= 0) close(e->fd);
    mem_free(e->offset);
    mem_free(e->sorted);
    mem_free(e->text);
    mem_free(e->path);
    mem_free(e);
}

// --- rows ---------------------------------------------------------------------------------------

const char *embeddings_id(const embeddings *e, int64_t row) {
    if (row < 0 || row >= e->count)
        die("embeddings_id: row %lld of %lld", (long long)row, (long long)e->count);
    return e->text + (size_t)row * e->text_size;
}

int64_t embeddings_find(const embeddings *e, const char *dicom_id) {
    const embeddings_key wanted = {dicom_id, 0}, *found;
    found = bsearch(&wanted, e->sorted, (size_t)e->count, sizeof wanted, compare_keys);
    return found ? found->row : -1;
}

status embeddings_read(void *out, const embeddings *e, int64_t row) {
    if (row < 0 || row >= e->count)
        die("embeddings_read: row %lld of %lld", (long long)row, (long long)e->count);
    const size_t bytes = (size_t)e->queries * (size_t)e->width * dtype_size(e->type);
    const int64_t offset = e->offset ? e->offset[row] : e->place + row * (int64_t)bytes;
    return file_read_at(out, e->fd, e->path, bytes, offset);
}
