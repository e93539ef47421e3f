// The writing half of core/files/safetensors.h.
#include "core/buffer.h"
#include "core/files/safetensors.h"
#include "core/files/staged_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct item {
    char *name;
    size_t bytes;
} item;

struct safetensors_writer {
    staged_file file;
    buffer notes, tensors; // the two parts of the header
    item *items;
    size_t count, capacity;
    size_t offset;          // end of the declared data
    size_t present, filled; // item being written and its bytes so far
    bool started;
};

status safetensors_create(safetensors_writer **out, const char *path) {
    safetensors_writer *w;
    *out = NULL;
    status rc = mem_new(&w, 1, "a safetensors writer");
    if (rc) return rc;
    rc = staged_open(&w->file, path);
    if (rc)
        safetensors_writer_close(w);
    else
        *out = w;
    return rc;
}

// Elements times size; dies where the product does not fit: shapes here are our own.
static size_t bytes_of(const char *name, dtype type, int rank, const int64_t *dim) {
    size_t bytes = dtype_size(type);
    bool fits = rank >= 0 && rank <= TENSOR_MAX_RANK;
    for (int i = 0; i < rank && fits; i++)
        fits = dim[i] >= 0 && size_multiply(bytes, (size_t)dim[i], &bytes);
    if (!fits) die("safetensors_declare %s: impossible shape of rank %d", name, rank);
    return bytes;
}

status safetensors_declare(safetensors_writer *w, const char *name, dtype type, int rank,
                           const int64_t *dim) {
    if (w->started) die("safetensors_declare %s: data were written already", name);
    if (strcmp(name, "__metadata__") == 0) die("safetensors_declare: a tensor named __metadata__");
    size_t bytes = bytes_of(name, type, rank, dim);
    status rc = mem_grow((void **)&w->items, &w->capacity, w->count + 1, sizeof *w->items,
                         "the list of tensors");
    if (!rc) rc = mem_string(&w->items[w->count].name, name);
    if (rc) return rc;
    w->items[w->count++].bytes = bytes;
    buffer *b = &w->tensors;
    buffer_text(b, w->count > 1 ? "," : "");
    buffer_json(b, name);
    buffer_print(b, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(type));
    for (int i = 0; i < rank; i++) buffer_print(b, "%s%lld", i ? "," : "", (long long)dim[i]);
    buffer_print(b, "],\"data_offsets\":[%zu,%zu]}", w->offset, w->offset + bytes);
    w->offset += bytes;
    return b->failed;
}

status safetensors_declare_note(safetensors_writer *w, const char *key, const char *value) {
    if (w->started) die("safetensors_declare_note %s: data were written already", key);
    buffer_text(&w->notes, w->notes.length ? "," : "");
    buffer_json(&w->notes, key);
    buffer_text(&w->notes, ":");
    buffer_json(&w->notes, value);
    return w->notes.failed;
}

static int compare_items(const void *a, const void *b) {
    return strcmp((*(const item *const *)a)->name, (*(const item *const *)b)->name);
}

static status refuse_duplicates(const safetensors_writer *w) {
    const item **sorted;
    status rc = mem_new(&sorted, w->count, "the list of tensors");
    if (rc) return rc;
    for (size_t i = 0; i < w->count; i++) sorted[i] = &w->items[i];
    qsort(sorted, w->count, sizeof *sorted, compare_items);
    for (size_t i = 1; i < w->count; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            die("%s: tensor %s is declared twice", w->file.path, sorted[i]->name);
    mem_free(sorted);
    return STATUS_OK;
}

static void skip_empty(safetensors_writer *w) {
    while (w->present < w->count && w->filled == w->items[w->present].bytes) {
        w->present++;
        w->filled = 0;
    }
}

// The header's length, the header, and spaces up to a multiple of 8.
static status start(safetensors_writer *w) {
    buffer header = {0};
    unsigned char length[8];
    status rc = refuse_duplicates(w);
    if (rc) return rc;
    buffer_text(&header, "{");
    if (w->notes.length) {
        buffer_text(&header, "\"__metadata__\":{");
        buffer_append(&header, w->notes.data, w->notes.length);
        buffer_text(&header, w->count ? "}," : "}");
    }
    if (w->count) buffer_append(&header, w->tensors.data, w->tensors.length);
    buffer_text(&header, "}");
    while (header.length % 8 && !header.failed) buffer_text(&header, " ");
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header.length >> (8 * i));
    rc = header.failed;
    if (!rc) rc = staged_write(&w->file, length, sizeof length);
    if (!rc) rc = staged_write(&w->file, header.data, header.length);
    buffer_free(&header);
    w->started = !rc;
    if (!rc) skip_empty(w);
    return rc;
}

status safetensors_write(safetensors_writer *w, const char *name, const void *bytes, size_t count) {
    status rc = w->started ? STATUS_OK : start(w);
    if (rc || !count) return rc;
    const item *t = w->present < w->count ? &w->items[w->present] : NULL;
    if (!t || strcmp(t->name, name) != 0)
        die("safetensors_write %s: it is the turn of %s", name, t ? t->name : "no tensor");
    if (count > t->bytes - w->filled)
        die("safetensors_write %s: %zu bytes after %zu of %zu", name, count, w->filled, t->bytes);
    rc = staged_write(&w->file, bytes, count);
    if (rc) return rc;
    w->filled += count;
    skip_empty(w);
    return STATUS_OK;
}

status safetensors_finish(safetensors_writer *w) {
    status rc = w->started ? STATUS_OK : start(w);
    if (rc) return rc;
    if (w->present < w->count)
        die("safetensors_finish: %s lacks %zu bytes", w->items[w->present].name,
            w->items[w->present].bytes - w->filled);
    return staged_finish(&w->file);
}

void safetensors_writer_close(safetensors_writer *w) {
    if (!w) return;
    staged_close(&w->file);
    for (size_t i = 0; i < w->count; i++) mem_free(w->items[i].name);
    mem_free(w->items);
    buffer_free(&w->notes);
    buffer_free(&w->tensors);
    mem_free(w);
}
