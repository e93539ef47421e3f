// The writing half of core/files/gguf.h.
#include "core/buffer.h"
#include "core/files/gguf.h"
#include "core/files/gguf_private.h"
#include "core/files/staged_file.h"

#include <stdio.h>
#include <string.h>

typedef struct item {
    char *name;
    size_t bytes;
} item;

struct gguf_writer {
    staged_file file;
    buffer notes, table;
    uint64_t note_count;
    item *items;
    size_t count, capacity, present; // declared; the next to be written
    size_t offset;                   // end of the declared data
    bool started;
};

status gguf_create(gguf_writer **out, const char *path) {
    gguf_writer *w;
    *out = NULL;
    status rc = mem_new(&w, 1, "a GGUF writer");
    if (rc) return rc;
    rc = staged_open(&w->file, path);
    if (rc)
        gguf_writer_close(w);
    else
        *out = w;
    return rc;
}

// --- notes and table ----------------------------------------------------------------------------
static void put_text(buffer *b, const char *text) {
    buffer_number(b, strlen(text), 8);
    buffer_text(b, text);
}

static buffer *begin_note(gguf_writer *w, const char *key, gguf_kind kind) {
    if (w->started) die("gguf_note %s: data were written already", key);
    w->note_count++;
    put_text(&w->notes, key);
    buffer_number(&w->notes, kind, 4);
    return &w->notes;
}

status gguf_note_text(gguf_writer *w, const char *key, const char *value) {
    put_text(begin_note(w, key, GGUF_TEXT), value);
    return w->notes.failed;
}

status gguf_note_u32(gguf_writer *w, const char *key, uint32_t value) {
    buffer_number(begin_note(w, key, GGUF_U32), value, 4);
    return w->notes.failed;
}

status gguf_note_f32(gguf_writer *w, const char *key, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    buffer_number(begin_note(w, key, GGUF_F32), bits, 4);
    return w->notes.failed;
}

static size_t padded(size_t bytes) {
    return (bytes + GGUF_ALIGNMENT - 1) / GGUF_ALIGNMENT * GGUF_ALIGNMENT;
}

status gguf_declare(gguf_writer *w, const char *name, dtype type, int rank, const int64_t *dim) {
    size_t bytes = dtype_size(type);
    const uint32_t code = gguf_type_code(type);
    bool fits = code != GGUF_UNKNOWN && rank >= 1 && rank <= GGUF_MAX_RANK && !w->started;
    for (int i = 0; i < rank && fits; i++)
        fits = dim[i] > 0 && size_multiply(bytes, (size_t)dim[i], &bytes);
    if (!fits) die("gguf_declare %s: impossible shape of rank %d, type or moment", name, rank);
    status rc = mem_grow((void **)&w->items, &w->capacity, w->count + 1, sizeof *w->items,
                         "the list of tensors");
    if (!rc) rc = mem_string(&w->items[w->count].name, name);
    if (rc) return rc;
    w->items[w->count++].bytes = bytes;
    put_text(&w->table, name);
    buffer_number(&w->table, (uint64_t)rank, 4);
    for (int i = rank; i-- > 0;) buffer_number(&w->table, (uint64_t)dim[i], 8);
    buffer_number(&w->table, code, 4);
    buffer_number(&w->table, w->offset, 8);
    w->offset += padded(bytes);
    return w->table.failed;
}

// --- data ---------------------------------------------------------------------------------------
static status pad(gguf_writer *w, size_t length) {
    static const char zeros[GGUF_ALIGNMENT];
    return staged_write(&w->file, zeros, padded(length) - length);
}

static status start(gguf_writer *w) {
    buffer head = {0};
    buffer_text(&head, GGUF_MAGIC);
    buffer_number(&head, GGUF_VERSION, 4);
    buffer_number(&head, w->count, 8);
    buffer_number(&head, w->note_count, 8);
    if (w->notes.length) buffer_append(&head, w->notes.data, w->notes.length);
    if (w->table.length) buffer_append(&head, w->table.data, w->table.length);
    status rc = head.failed;
    if (!rc) rc = staged_write(&w->file, head.data, head.length);
    if (!rc) rc = pad(w, head.length);
    buffer_free(&head);
    w->started = !rc;
    return rc;
}

status gguf_write(gguf_writer *w, const char *name, const void *bytes, size_t count) {
    status rc = w->started ? STATUS_OK : start(w);
    if (rc) return rc;
    const item *t = w->present < w->count ? &w->items[w->present] : NULL;
    if (!t || strcmp(t->name, name) != 0 || t->bytes != count)
        die("gguf_write %s: %zu bytes, it is the turn of %s", name, count,
            t ? t->name : "no tensor");
    rc = staged_write(&w->file, bytes, count);
    if (!rc) rc = pad(w, count);
    if (!rc) w->present++;
    return rc;
}

status gguf_finish(gguf_writer *w) {
    status rc = w->started ? STATUS_OK : start(w);
    if (rc) return rc;
    if (w->present < w->count) die("gguf_finish: %s is missing", w->items[w->present].name);
    return staged_finish(&w->file);
}

void gguf_writer_close(gguf_writer *w) {
    if (!w) return;
    staged_close(&w->file);
    for (size_t i = 0; i < w->count; i++) mem_free(w->items[i].name);
    mem_free(w->items);
    buffer_free(&w->notes);
    buffer_free(&w->table);
    mem_free(w);
}
