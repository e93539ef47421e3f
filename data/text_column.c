#include "data/text_column.h"

#include <stdio.h>
#include <string.h>

enum { PART_SIZE = 64 };

status text_column_add(text_column *c, const char *text) {
    size_t length = text ? strlen(text) : 0;
    status rc = mem_grow((void **)&c->offset, &c->offset_capacity, c->count + 2, sizeof *c->offset,
                         "texts");
    if (!rc)
        rc = mem_grow((void **)&c->present, &c->present_capacity, c->count + 1, sizeof *c->present,
                      "texts");
    if (!rc) {
        buffer_append(&c->bytes, text ? text : "", length + 1);
        rc = c->bytes.failed;
    }
    if (rc) return rc;
    c->offset[c->count + 1] = c->offset[c->count] + (int64_t)length;
    c->present[c->count] = text != NULL;
    c->count++;
    return STATUS_OK;
}

const char *text_column_at(const text_column *c, size_t i) {
    return c->bytes.data + (size_t)c->offset[i] + i;
}

static status write_part(hdf5 *f, const char *name, const char *part, dtype type, size_t count,
                         const void *data) {
    char path[PART_SIZE];
    int64_t dim = (int64_t)count;
    snprintf(path, sizeof path, "%s/%s", name, part);
    return hdf5_write(f, path, type, 1, &dim, data);
}

status text_column_write(hdf5 *f, const char *name, const text_column *c) {
    static const int64_t zero = 0;
    const int64_t *offset = c->count ? c->offset : &zero;
    char *packed = NULL;
    size_t total = (size_t)offset[c->count];
    status rc = mem_new(&packed, total, "texts");
    for (size_t i = 0; !rc && i < c->count; i++)
        memcpy(packed + offset[i], text_column_at(c, i), (size_t)text_column_length(c, i));
    if (!rc) rc = hdf5_make_group(f, name);
    if (!rc) rc = write_part(f, name, "bytes", DTYPE_U8, total, packed);
    if (!rc) rc = write_part(f, name, "offsets", DTYPE_I64, c->count + 1, offset);
    if (!rc) rc = write_part(f, name, "present", DTYPE_U8, c->count, c->present);
    mem_free(packed);
    return rc;
}

static status load_part(void *target, hdf5_shape *out, hdf5 *f, const char *name, const char *part,
                        dtype type, int64_t count) {
    char path[PART_SIZE];
    snprintf(path, sizeof path, "%s/%s", name, part);
    return hdf5_load(target, out, f, path, type, 1, &count);
}

static status check_offsets(const text_column *c, const hdf5 *f, const char *name, int64_t bytes) {
    bool good = c->offset[0] == 0 && c->offset[c->count] == bytes;
    for (size_t i = 0; good && i < c->count; i++)
        good = c->offset[i] <= c->offset[i + 1] && c->present[i] <= 1 &&
               (c->present[i] || c->offset[i] == c->offset[i + 1]);
    if (good) return STATUS_OK;
    return status_fail(STATUS_FORMAT, "%s: the texts of %s are damaged", hdf5_path(f), name);
}

static status load_bytes(text_column *c, hdf5 *f, const char *path, const hdf5_shape *shape) {
    char *bytes = NULL;
    status rc = mem_new(&bytes, shape->bytes, "texts");
    if (!rc) rc = hdf5_read(bytes, f, path, shape);
    if (!rc && memchr(bytes, 0, shape->bytes))
        rc = status_fail(STATUS_FORMAT, "%s: %s holds a NUL byte", hdf5_path(f), path);
    for (size_t i = 0; !rc && i < c->count; i++) {
        buffer_append(&c->bytes, bytes + c->offset[i], (size_t)text_column_length(c, i));
        buffer_append(&c->bytes, "", 1);
    }
    mem_free(bytes);
    return rc ? rc : c->bytes.failed;
}

status text_column_read(text_column *c, hdf5 *f, const char *name, int64_t count, bool load) {
    const int64_t any = -1;
    char path[PART_SIZE];
    hdf5_shape shape;
    *c = (text_column){0};
    snprintf(path, sizeof path, "%s/bytes", name);
    status rc = load_part(&c->present, &shape, f, name, "present", DTYPE_U8, count);
    if (!rc) c->count = (size_t)shape.dim[0];
    if (!rc)
        rc = load_part(&c->offset, &shape, f, name, "offsets", DTYPE_I64, (int64_t)c->count + 1);
    if (!rc) rc = hdf5_expect_whole(&shape, f, path, DTYPE_U8, 1, &any);
    if (!rc) rc = check_offsets(c, f, name, shape.dim[0]);
    if (!rc) c->place = shape.offset;
    if (!rc && load) rc = load_bytes(c, f, path, &shape);
    if (rc) text_column_free(c);
    return rc;
}

void text_column_free(text_column *c) {
    mem_free(c->offset);
    mem_free(c->present);
    buffer_free(&c->bytes);
    *c = (text_column){0};
}
