// Reads the embeddings that the original's dump leaves: a pickle of a dict from dicom_id to a
// float32 array (queries, width), numpy's or torch's. Nothing is executed (core/files/pickle.h).
// The file may be larger than memory: it is mapped while its structure is read, which is about half
// a kilobyte per image; what is kept is the place of each row, and rows are read by pread.
#include "core/files/file_map.h"
#include "core/files/pickle.h"
#include "core/files/torch_file.h"
#include "data/embeddings_private.h"

#include <stdio.h>
#include <string.h>

static status bad(const embeddings *e, const char *id, const char *what) {
    return status_fail(STATUS_FORMAT, "%s: the embedding of %.80s %s", e->path, id, what);
}

// --- ids -----------------------------------------------------------------------------------------

static status check_id(const embeddings *e, const pickle_value *key, int64_t row) {
    bool good = key->kind == PICKLE_TEXT && key->as.text.length > 0 &&
                key->as.text.length <= EMBEDDINGS_ID_MAX;
    for (uint32_t i = 0; good && i < key->as.text.length; i++)
        good = (unsigned char)key->as.text.data[i] >= ' ' && key->as.text.data[i] != 0x7f;
    if (good) return STATUS_OK;
    return status_fail(STATUS_FORMAT, "%s: key %lld of the dict is no dicom_id", e->path,
                       (long long)row);
}

// The longest id decides the room for each.
static status take_ids(embeddings *e, const pickle *p, const pickle_value *dict) {
    int64_t row = 0;
    status rc = STATUS_OK;
    e->text_size = 1;
    for (uint32_t c = dict->as.items.first; c && !rc;
         c = pickle_next(p, pickle_next(p, c)), row++) {
        const pickle_value *key = pickle_item(p, c);
        rc = check_id(e, key, row);
        if (!rc && key->as.text.length >= e->text_size) e->text_size = key->as.text.length + 1;
    }
    if (!rc) rc = mem_take((void **)&e->text, (size_t)e->count, e->text_size, "dicom_ids");
    if (!rc) rc = mem_new(&e->sorted, e->count, "dicom_ids");
    if (rc) return rc;
    row = 0;
    for (uint32_t c = dict->as.items.first; c; c = pickle_next(p, pickle_next(p, c)), row++) {
        const pickle_text id = pickle_item(p, c)->as.text;
        char *target = e->text + (size_t)row * e->text_size;
        memcpy(target, id.data, id.length);
        e->sorted[row] = (embeddings_key){target, row};
    }
    return embeddings_sort_ids(e);
}

// --- arrays --------------------------------------------------------------------------------------

// The rows of a tensor lie behind each other in its storage.
static bool is_contiguous(const pickle_array *a) {
    int64_t step = 1;
    for (int i = a->rank; i-- > 0;) {
        if (a->dim[i] > 1 && a->stride[i] != step) return false;
        if (__builtin_mul_overflow(step, a->dim[i], &step)) return false;
    }
    return true;
}

// Where the numbers of a tensor are, which is a view of a storage that is a file of its own.
static status find_tensor(const embeddings *e, const char *id, const pickle_array *a,
                          element_type *type, const unsigned char **data) {
    char name[600];
    torch_blob blob;
    int64_t count = a->dim[0] * a->dim[1];
    snprintf(name, sizeof name, "%.400s: the embedding of %.80s", e->path, id);
    status rc = torch_blob_read(&blob, name, a->data, a->bytes);
    if (rc) return rc;
    *type = blob.type;
    if (a->type != ELEMENT_COUNT && a->type != blob.type) return bad(e, id, "has two types");
    if (!is_contiguous(a)) return bad(e, id, "is a tensor whose rows are not behind each other");
    if (a->offset > blob.count - count)
        return bad(e, id, "is a tensor that reaches beyond its storage");
    *data = blob.data + (size_t)a->offset * element_size(blob.type);
    return STATUS_OK;
}

static status check_shape(embeddings *e, const char *id, const pickle_array *a) {
    if (a->rank != 2 || a->dim[0] < 1 || a->dim[1] < 1 || a->dim[0] > INT32_MAX ||
        a->dim[1] > INT32_MAX)
        return bad(e, id, "is not of the shape (queries, width)");
    if (!e->queries) e->queries = (int)a->dim[0], e->width = (int)a->dim[1];
    if (a->dim[0] == e->queries && a->dim[1] == e->width) return STATUS_OK;
    return status_fail(STATUS_FORMAT,
                       "%s: the embedding of %.80s is (%lld, %lld), others are (%d, %d)", e->path,
                       id, (long long)a->dim[0], (long long)a->dim[1], e->queries, e->width);
}

static status find_row(embeddings *e, const pickle *p, const pickle_value *value, int64_t row,
                       const file_map *map) {
    const char *id = embeddings_id(e, row);
    if (value->kind != PICKLE_ARRAY) return bad(e, id, "is no array");
    const pickle_array *a = pickle_array_at(p, value->as.index);
    const unsigned char *data = a->data;
    element_type type = a->type;
    if (!data)
        return bad(e, id,
                   "is an array that is not read: it must be float32, and the pickle of protocol 3 "
                   "or later");
    status rc = check_shape(e, id, a);
    if (!rc && a->torch) rc = find_tensor(e, id, a, &type, &data);
    if (rc) return rc;
    if (type != ELEMENT_F32)
        return status_fail(STATUS_FORMAT, "%s: the embedding of %.80s is of type %s, must be F32",
                           e->path, id, element_name(type));
    if (a->big_endian) return bad(e, id, "is big-endian");
    if (a->by_columns) return bad(e, id, "is stored by columns");
    e->offset[row] = data - map->data;
    return STATUS_OK;
}

// --- the file ------------------------------------------------------------------------------------

static status take_dict(embeddings *e, const pickle *p, const file_map *map) {
    const pickle_value *dict = pickle_root(p);
    int64_t row = 0;
    if (dict->kind != PICKLE_DICT || !dict->as.items.count)
        return status_fail(STATUS_FORMAT, "%s: is a pickle, but not of a dict of embeddings",
                           e->path);
    e->type = DTYPE_F32;
    e->count = e->rows = dict->as.items.count / 2;
    status rc = mem_new(&e->offset, e->count, "embeddings");
    if (!rc) rc = take_ids(e, p, dict);
    for (uint32_t c = dict->as.items.first; c && !rc; c = pickle_next(p, c), row++) {
        c = pickle_next(p, c);
        rc = find_row(e, p, pickle_item(p, c), row, map);
    }
    return rc;
}

status embeddings_load_pickle(embeddings *e) {
    file_map map;
    pickle *p = NULL;
    size_t at = 0;
    status rc = file_map_open(&map, e->path);
    if (rc) return rc;
    rc = pickle_read(&p, e->path, map.data, map.size, &at);
    if (!rc && at != map.size)
        rc = status_fail(STATUS_FORMAT, "%s: %zu bytes behind the dict", e->path, map.size - at);
    if (!rc) rc = take_dict(e, p, &map);
    pickle_close(p);
    file_map_close(&map);
    return rc;
}
