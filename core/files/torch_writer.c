// Entries and opcodes as torch/csrc/serialize/inline_container.cc (PyTorchStreamWriter) and
// torch/serialization.py (_save) write them; the pickle is of protocol 2.
#include "core/files/torch_writer.h"
#include "core/buffer.h"
#include "core/files/pickle.h"
#include "core/files/torch_file.h"
#include "core/files/zip_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct item {
    char *name;
    size_t bytes;
} item;

struct torch_writer {
    zip_writer *zip;
    char *path;
    buffer dict; // the pickle's keys and values
    item *items;
    size_t count, room;
    size_t present, filled; // item being written and its bytes so far
    bool started;
};

status torch_create(torch_writer **out, const char *path) {
    torch_writer *w;
    *out = NULL;
    status rc = mem_new(&w, 1, "a writer of PyTorch's files");
    if (rc) return rc;
    rc = mem_string(&w->path, path);
    if (!rc) rc = zip_create(&w->zip, path);
    if (rc)
        torch_writer_close(w);
    else
        *out = w;
    return rc;
}

void torch_writer_limit(torch_writer *w, uint64_t limit) {
    zip_limit(w->zip, limit);
}

// --- the pickle ----------------------------------------------------------------------------------
static void put_text(buffer *b, const char *text) {
    buffer_text(b, "X");
    buffer_number(b, strlen(text), 4);
    buffer_text(b, text);
}

// NAME is "module.name"; the name is behind the last dot.
static void put_global(buffer *b, const char *name) {
    const char *dot = strrchr(name, '.');
    buffer_print(b, "c%.*s\n%s\n", (int)(dot - name), name, dot + 1);
}

// The shortest opcode, as Python has it.
static void put_int(buffer *b, int64_t value) {
    if (value <= UINT8_MAX) {
        buffer_text(b, "K");
        buffer_number(b, (uint64_t)value, 1);
    } else if (value <= UINT16_MAX) {
        buffer_text(b, "M");
        buffer_number(b, (uint64_t)value, 2);
    } else if (value <= INT32_MAX) {
        buffer_text(b, "J");
        buffer_number(b, (uint64_t)value, 4);
    } else {
        buffer_text(b, "\x8a\x08");
        buffer_number(b, (uint64_t)value, 8);
    }
}

static void put_sizes(buffer *b, int rank, const int64_t *size) {
    buffer_text(b, "(");
    for (int i = 0; i < rank; i++) put_int(b, size[i]);
    buffer_text(b, "t");
}

// _rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad, hooks), the storage by
// reference.
static void put_tensor(buffer *b, size_t key, element_type type, int rank, const int64_t *dim,
                       int64_t count) {
    char number[24];
    int64_t stride[TORCH_MAX_RANK], step = 1;
    for (int i = rank; i-- > 0; step *= dim[i] ? dim[i] : 1) stride[i] = step;
    snprintf(number, sizeof number, "%zu", key);
    put_global(b, "torch._utils._rebuild_tensor_v2");
    buffer_text(b, "((");
    put_text(b, "storage");
    put_global(b, pickle_storage_name(type));
    put_text(b, number);
    put_text(b, "cpu");
    put_int(b, count);
    buffer_text(b, "tQK");
    buffer_number(b, 0, 1);
    put_sizes(b, rank, dim);
    put_sizes(b, rank, stride);
    buffer_text(b, "\x89"); // False
    put_global(b, "collections.OrderedDict");
    buffer_text(b, ")RtR");
}

status torch_declare(torch_writer *w, const char *name, element_type type, int rank,
                     const int64_t *dim) {
    size_t count = 1, bytes = 0;
    bool fits = rank >= 0 && rank <= TORCH_MAX_RANK && !w->started;
    for (int i = 0; i < rank && fits; i++)
        fits = dim[i] >= 0 && size_multiply(count, (size_t)dim[i], &count);
    if (!fits || !size_multiply(count, element_size(type), &bytes) || bytes > INT64_MAX)
        die("torch_declare %s: impossible shape of rank %d, or data were written already", name,
            rank);
    status rc = mem_grow((void **)&w->items, &w->room, w->count + 1, sizeof *w->items,
                         "the list of tensors");
    if (!rc) rc = mem_string(&w->items[w->count].name, name);
    if (rc) return rc;
    put_text(&w->dict, name);
    put_tensor(&w->dict, w->count, type, rank, dim, (int64_t)count);
    w->items[w->count++].bytes = bytes;
    return w->dict.failed;
}

// --- the archive ---------------------------------------------------------------------------------
static status put_entry(torch_writer *w, const char *name, const void *bytes, size_t count) {
    status rc = zip_begin(w->zip, name, count);
    return rc ? rc : zip_put(w->zip, bytes, count);
}

static int compare_items(const void *a, const void *b) {
    return strcmp((*(const item *const *)a)->name, (*(const item *const *)b)->name);
}

static status refuse_duplicates(const torch_writer *w) {
    const item **sorted;
    status rc = mem_new(&sorted, w->count, "the list of tensors");
    if (rc) return rc;
    for (size_t i = 0; i < w->count; i++) sorted[i] = &w->items[i];
    if (w->count) qsort(sorted, w->count, sizeof *sorted, compare_items);
    for (size_t i = 1; i < w->count; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            die("%s: tensor %s is declared twice", w->path, sorted[i]->name);
    mem_free(sorted);
    return STATUS_OK;
}

// The entry of the present item, and of the empty ones before it.
static status begin_items(torch_writer *w) {
    char name[40];
    status rc = STATUS_OK;
    for (; w->present < w->count && !rc; w->present++, w->filled = 0) {
        snprintf(name, sizeof name, "archive/data/%zu", w->present);
        rc = zip_begin(w->zip, name, w->items[w->present].bytes);
        if (rc || w->items[w->present].bytes) break;
    }
    return rc;
}

static status start(torch_writer *w) {
    buffer object = {0};
    status rc = refuse_duplicates(w);
    buffer_text(&object, "\x80\x02}("); // an empty dict, and what goes into it
    if (w->dict.length) buffer_append(&object, w->dict.data, w->dict.length);
    buffer_text(&object, "u.");
    if (!rc) rc = object.failed;
    if (!rc) rc = put_entry(w, "archive/data.pkl", object.data, object.length);
    if (!rc) rc = put_entry(w, "archive/byteorder", "little", 6);
    buffer_free(&object);
    w->started = !rc;
    return rc ? rc : begin_items(w);
}

status torch_write(torch_writer *w, const char *name, const void *bytes, size_t count) {
    status rc = w->started ? STATUS_OK : start(w);
    if (rc || !count) return rc;
    const item *t = w->present < w->count ? &w->items[w->present] : NULL;
    if (!t || strcmp(t->name, name) != 0)
        die("torch_write %s: it is the turn of %s", name, t ? t->name : "no tensor");
    if (count > t->bytes - w->filled)
        die("torch_write %s: %zu bytes after %zu of %zu", name, count, w->filled, t->bytes);
    rc = zip_put(w->zip, bytes, count);
    if (rc) return rc;
    w->filled += count;
    if (w->filled < t->bytes) return STATUS_OK;
    w->present++;
    w->filled = 0;
    return begin_items(w);
}

status torch_finish(torch_writer *w) {
    status rc = w->started ? STATUS_OK : start(w);
    if (rc) return rc;
    if (w->present < w->count)
        die("torch_finish: %s lacks %zu bytes", w->items[w->present].name,
            w->items[w->present].bytes - w->filled);
    rc = put_entry(w, "archive/version", "3\n", 2);
    return rc ? rc : zip_finish(w->zip);
}

void torch_writer_close(torch_writer *w) {
    if (!w) return;
    zip_writer_close(w->zip);
    for (size_t i = 0; i < w->count; i++) mem_free(w->items[i].name);
    mem_free(w->items);
    buffer_free(&w->dict);
    mem_free(w->path);
    mem_free(w);
}
