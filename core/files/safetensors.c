#include "core/files/safetensors.h"
#include "core/files/file_map.h"
#include "core/files/json.h"
#include "core/files/little_endian.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_MAX = 100000000, LENGTH_BYTES = 8 }; // the format's own limit

struct safetensors {
    char *path;
    file_map map;
    const unsigned char *data; // behind the header
    size_t data_size;
    json *header; // owns names, type names and notes
    json_value notes;
    safetensors_entry *entry; // in the order of data
    const safetensors_entry **by_name;
    size_t count;
};

// Types of the format that the toolkit does not compute with, and their bits.
static const struct {
    const char *name;
    unsigned bits;
} foreign_types[] = {
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6},     {"F6_E3M2", 6},     {"F8_E5M2", 8},
    {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"U32", 32},    {"U64", 64},        {"C64", 64},
};

static status map_file(safetensors *s) {
    status rc = file_map_open(&s->map, s->path);
    if (!rc && s->map.size < LENGTH_BYTES + 2)
        rc = status_fail(STATUS_FORMAT, "%s: has %zu bytes, too few for a safetensors file", s->path, s->map.size);
    return rc;
}

static status read_header(safetensors *s) {
    const uint64_t length = le64(s->map.data);
    if (length > HEADER_MAX)
        return status_fail(STATUS_FORMAT,
                           "%s: header of %llu bytes, more than the format's limit of %d", s->path,
                           (unsigned long long)length, HEADER_MAX);
    if (length > s->map.size - LENGTH_BYTES)
        return status_fail(STATUS_FORMAT,
                           "%s: header of %llu bytes in a file of %zu; the file is cut or it is no "
                           "safetensors file",
                           s->path, (unsigned long long)length, s->map.size);
    const char *text = (const char *)s->map.data + LENGTH_BYTES;
    if (!length || text[0] != '{')
        return status_fail(STATUS_FORMAT, "%s: header does not start with '{'", s->path);
    s->data = s->map.data + LENGTH_BYTES + length;
    s->data_size = s->map.size - LENGTH_BYTES - (size_t)length;
    return json_parse(&s->header, s->path, text, (size_t)length, 0);
}

// Bits of an element; 0 if the format does not know the type.
static unsigned find_type(dtype *type, const char *name) {
    for (*type = 0; *type < DTYPE_COUNT; ++*type)
        if (strcmp(dtype_name(*type), name) == 0) return (unsigned)dtype_size(*type) * 8;
    for (size_t i = 0; i < sizeof foreign_types / sizeof *foreign_types; i++)
        if (strcmp(foreign_types[i].name, name) == 0) return foreign_types[i].bits;
    return 0;
}

// A member of the tensor's object; errors name the tensor.
static status read_member(json_value *out, json_value tensor_value, const char *key,
                          json_kind kind) {
    status rc = json_member(out, tensor_value, key);
    if (rc || json_kind_of(*out) == kind) return rc;
    return json_fail(tensor_value, "%s must be %s, is %s", key,
                     kind == JSON_TEXT ? "a text" : "a list", json_kind_text(*out));
}

static status read_shape(safetensors_entry *e, json_value tensor_value, size_t *elements) {
    json_value shape;
    bool empty = false, overflow = false;
    status rc = read_member(&shape, tensor_value, "shape", JSON_LIST);
    if (rc) return rc;
    *elements = 1;
    for (json_value v = json_first(shape); v.node; v = json_next(v)) {
        int64_t size;
        if (e->rank == SAFETENSORS_MAX_RANK)
            return json_fail(tensor_value, "has more than %d dimensions", SAFETENSORS_MAX_RANK);
        if (json_int(&size, v, 0, INT64_MAX))
            return json_fail(tensor_value, "shape: every size must be a whole number from 0");
        e->dim[e->rank++] = size;
        empty = empty || size == 0;
        overflow = overflow || !size_multiply(*elements, (size_t)size, elements);
    }
    if (empty) *elements = 0; // whatever the other sizes are
    if (overflow && !empty) return json_fail(tensor_value, "shape: more elements than can exist");
    return STATUS_OK;
}

static status read_offsets(const safetensors *s, safetensors_entry *e, json_value tensor_value) {
    json_value offsets, first;
    int64_t begin, end;
    status rc = read_member(&offsets, tensor_value, "data_offsets", JSON_LIST);
    if (rc) return rc;
    if (json_count(offsets) != 2)
        return json_fail(tensor_value, "data_offsets must be a list of two numbers");
    first = json_first(offsets);
    if (json_int(&begin, first, 0, INT64_MAX) || json_int(&end, json_next(first), 0, INT64_MAX))
        return json_fail(tensor_value, "data_offsets must be whole numbers from 0");
    if (begin > end || (uint64_t)end > s->data_size)
        return json_fail(tensor_value,
                         "data_offsets [%lld, %lld] are not inside the %zu data bytes",
                         (long long)begin, (long long)end, s->data_size);
    e->data = s->data + begin;
    e->bytes = (size_t)(end - begin);
    return STATUS_OK;
}

static status read_entry(const safetensors *s, safetensors_entry *e, json_value tensor_value) {
    size_t elements, bits;
    e->name = json_key(tensor_value);
    for (json_value v = json_first(tensor_value); v.node; v = json_next(v)) {
        const char *key = json_key(v);
        if (!key) break; // no object: named below
        if (strcmp(key, "dtype") && strcmp(key, "shape") && strcmp(key, "data_offsets"))
            return json_fail(tensor_value, "has the unknown key \"%.60s\"", key);
    }
    json_value type;
    status rc = read_member(&type, tensor_value, "dtype", JSON_TEXT);
    if (!rc) rc = json_text(&e->type_name, type);
    if (!rc) rc = read_shape(e, tensor_value, &elements);
    if (!rc) rc = read_offsets(s, e, tensor_value);
    if (rc) return rc;
    unsigned width = find_type(&e->type, e->type_name);
    if (!width) return json_fail(tensor_value, "has the unknown dtype \"%.40s\"", e->type_name);
    if (!size_multiply(elements, width, &bits))
        return json_fail(tensor_value, "shape: more elements than can exist");
    if (bits % 8 || bits / 8 != e->bytes)
        return json_fail(tensor_value, "data_offsets span %zu bytes, %s and shape need %zu",
                         e->bytes, e->type_name, bits / 8 + (bits % 8 != 0));
    return STATUS_OK;
}

static status read_notes(safetensors *s, json_value notes) {
    status rc = json_object(notes);
    for (json_value v = json_first(notes); v.node && !rc; v = json_next(v)) {
        const char *text;
        rc = json_text(&text, v);
    }
    s->notes = notes;
    return rc;
}

static int compare_places(const void *a, const void *b) {
    const safetensors_entry *x = a, *y = b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; // empty ones first
    return strcmp(x->name, y->name);
}

static int compare_names(const void *a, const void *b) {
    const safetensors_entry *x = *(const safetensors_entry *const *)a;
    const safetensors_entry *y = *(const safetensors_entry *const *)b;
    return strcmp(x->name, y->name);
}

// The format demands that tensors tile the data: nothing between, nothing twice, nothing behind.
static status check_tiling(const safetensors *s) {
    const unsigned char *at = s->data;
    for (size_t i = 0; i < s->count; i++) {
        const safetensors_entry *e = &s->entry[i];
        const unsigned char *begin = e->data;
        if (begin != at)
            return status_fail(STATUS_FORMAT, "%s: \"%.200s\" %s", s->path, e->name,
                               begin < at ? "overlaps the tensor before it"
                                          : "leaves a hole in the data before it");
        at += e->bytes;
    }
    if (at != s->data + s->data_size)
        return status_fail(STATUS_FORMAT, "%s: %zu bytes behind the last tensor belong to none",
                           s->path, (size_t)(s->data + s->data_size - at));
    return STATUS_OK;
}

static status read_entries(safetensors *s) {
    json_value root = json_root(s->header);
    size_t count = json_count(root);
    status rc = mem_new(&s->entry, count, "the list of tensors");
    if (!rc) rc = mem_new(&s->by_name, count, "the list of tensors");
    for (json_value v = json_first(root); v.node && !rc; v = json_next(v)) {
        if (strcmp(json_key(v), "__metadata__") == 0)
            rc = read_notes(s, v);
        else
            rc = read_entry(s, &s->entry[s->count++], v);
    }
    if (rc) return rc;
    qsort(s->entry, s->count, sizeof *s->entry, compare_places);
    for (size_t i = 0; i < s->count; i++) s->by_name[i] = &s->entry[i];
    qsort(s->by_name, s->count, sizeof *s->by_name, compare_names);
    return check_tiling(s);
}

status safetensors_open(safetensors **out, const char *path) {
    safetensors *s;
    *out = NULL;
    status rc = mem_new(&s, 1, "a safetensors file");
    if (rc) return rc;
    rc = mem_string(&s->path, path);
    if (!rc) rc = map_file(s);
    if (!rc) rc = read_header(s);
    if (!rc) rc = read_entries(s);
    if (rc)
        safetensors_close(s);
    else
        *out = s;
    return rc;
}

void safetensors_close(safetensors *s) {
    if (!s) return;
    mem_free(s->by_name);
    mem_free(s->entry);
    json_close(s->header);
    file_map_close(&s->map);
    mem_free(s->path);
    mem_free(s);
}

size_t safetensors_count(const safetensors *s) {
    return s->count;
}

const safetensors_entry *safetensors_at(const safetensors *s, size_t index) {
    if (index >= s->count) die("safetensors_at: %zu of %zu tensors", index, s->count);
    return &s->entry[index];
}

const safetensors_entry *safetensors_lookup(const safetensors *s, const char *name) {
    safetensors_entry wanted = {.name = name};
    const safetensors_entry *key = &wanted;
    const safetensors_entry **found =
        bsearch(&key, s->by_name, s->count, sizeof *s->by_name, compare_names);
    return found ? *found : NULL;
}

status safetensors_find(const safetensors_entry **out, const safetensors *s, const char *name) {
    const safetensors_entry *e = safetensors_lookup(s, name);
    *out = NULL;
    if (!e) return status_fail(STATUS_FORMAT, "%s: has no tensor \"%s\"", s->path, name);
    if (e->type == DTYPE_COUNT)
        return status_fail(STATUS_FORMAT, "%s: \"%s\" is of type %s, which is not supported",
                           s->path, name, e->type_name);
    if (e->rank > TENSOR_MAX_RANK)
        return status_fail(STATUS_FORMAT, "%s: \"%s\" has %d dimensions, at most %d are supported",
                           s->path, name, e->rank, TENSOR_MAX_RANK);
    *out = e;
    return STATUS_OK;
}

const char *safetensors_note(const safetensors *s, const char *key) {
    const char *text;
    json_value value = json_find(s->notes, key);
    return value.node && !json_text(&text, value) ? text : NULL;
}

size_t safetensors_note_count(const safetensors *s) {
    return json_count(s->notes);
}

const char *safetensors_note_at(const safetensors *s, size_t index, const char **value) {
    json_value v = json_first(s->notes);
    while (v.node && index--) v = json_next(v);
    if (!v.node || json_text(value, v)) die("safetensors_note_at: no such entry");
    return json_key(v);
}
