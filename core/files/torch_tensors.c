// The tensors of a PyTorch file: their names from the path of keys, their views against the storages.
#include "core/buffer.h"
#include "core/files/torch_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Expanded tensors (stride 0) name one element many times. All together may not be larger than this.
enum { EXPANSION = 16, FREE_EXPANSION = 64 << 20 };

typedef struct walk {
    torch_file *file;
    const pickle *pickle;
    const char *label;
    buffer name; // of the present value
    size_t visits;
    uint64_t bytes, limit;                         // of all tensors, as if each were contiguous
    const pickle_value *path[TORCH_MAX_DEPTH + 1]; // containers that the present value stands in
    int depth;
} walk;

static status bad(const walk *w, const char *what) {
    return status_fail(STATUS_FORMAT, "%s: \"%.200s\" %s", w->label, w->name.length ? w->name.data : "",
                       what);
}

// --- one tensor ----------------------------------------------------------------------------------
static int compare_keys(const void *a, const void *b) {
    return strcmp(((const torch_storage *)a)->key, ((const torch_storage *)b)->key);
}

void torch_sort_storages(torch_file *f) {
    if (f->storages) qsort(f->storage, f->storages, sizeof *f->storage, compare_keys);
}

static const torch_storage *find_storage(const torch_file *f, pickle_text key) {
    char text[64];
    if (key.length >= sizeof text || memchr(key.data, 0, key.length) || !f->storages) return NULL;
    memcpy(text, key.data, key.length);
    text[key.length] = 0;
    torch_storage wanted = {.key = text};
    return bsearch(&wanted, f->storage, f->storages, sizeof *f->storage, compare_keys);
}

// Elements of the tensor, and the place behind the last element it touches. False: more than can be.
static bool extent(const pickle_tensor *t, int64_t *count, int64_t *end) {
    int64_t last = t->offset;
    *count = 1;
    for (int i = 0; i < t->rank; i++)
        if (!t->dim[i]) *count = 0;
    *end = 0;
    if (!*count) return true; // touches nothing, wherever it begins
    for (int i = 0; i < t->rank; i++) {
        int64_t step;
        if (__builtin_mul_overflow(*count, t->dim[i], count)) return false;
        if (__builtin_mul_overflow(t->dim[i] - 1, t->stride[i], &step)) return false;
        if (__builtin_add_overflow(last, step, &last)) return false;
    }
    return !__builtin_add_overflow(last, 1, end);
}

static status check_storage(const walk *w, const torch_storage *s, const pickle_storage *claimed) {
    size_t width = claimed->type == ELEMENT_COUNT ? 1 : element_size(claimed->type), bytes;
    if (!s)
        return status_fail(STATUS_FORMAT, "%s: \"%.200s\" lies in a storage that the file does not hold",
                           w->label, w->name.length ? w->name.data : "");
    if (!size_multiply((size_t)claimed->count, width, &bytes) || bytes != s->bytes)
        return status_fail(STATUS_FORMAT, "%s: storage \"%.60s\" has %zu bytes, the object says %lld "
                                          "elements of %zu", w->label, s->key, s->bytes,
                           (long long)claimed->count, width);
    return STATUS_OK;
}

static status check_extent(walk *w, const pickle_tensor *t, const torch_storage *s, int64_t *count) {
    int64_t end;
    size_t width = element_size(t->type), whole = s->bytes / width;
    uint64_t bytes;
    if (!extent(t, count, &end)) return bad(w, "has more elements than can exist");
    if ((uint64_t)end > whole)
        return status_fail(STATUS_FORMAT, "%s: \"%.200s\" reaches element %lld of a storage of %zu",
                           w->label, w->name.length ? w->name.data : "", (long long)end - 1, whole);
    if (__builtin_mul_overflow((uint64_t)*count, (uint64_t)width, &bytes) ||
        __builtin_add_overflow(w->bytes, bytes, &w->bytes) ||
        w->bytes > w->limit)
        return bad(w, "repeats its storage to far more than the file holds: refused as a bomb");
    return STATUS_OK;
}

static status add_tensor(walk *w, uint32_t index) {
    torch_file *f = w->file;
    const pickle_tensor *t = pickle_tensor_at(w->pickle, index);
    const pickle_storage *claimed = pickle_storage_at(w->pickle, t->storage);
    const torch_storage *s = find_storage(f, claimed->key);
    int64_t count = 0;
    status rc = check_storage(w, s, claimed);
    if (!rc) rc = check_extent(w, t, s, &count);
    if (!rc && f->entries == TORCH_MAX_TENSORS)
        rc = status_fail(STATUS_FORMAT, "%s: more than %d tensors", w->label, TORCH_MAX_TENSORS);
    if (!rc)
        rc = mem_grow((void **)&f->entry, &f->entry_room, f->entries + 1, sizeof *f->entry, "tensors");
    if (rc) return rc;
    torch_entry *e = &f->entry[f->entries];
    *e = (torch_entry){.type = t->type, .rank = t->rank, .offset = t->offset, .count = count,
                       .storage = (uint32_t)(s - f->storage)};
    memcpy(e->dim, t->dim, sizeof e->dim);
    // A stride that is never stepped may be any number.
    for (int i = 0; i < t->rank; i++) e->stride[i] = t->dim[i] > 1 ? t->stride[i] : 0;
    char *name = NULL;
    rc = mem_string(&name, w->name.length ? w->name.data : "");
    e->name = name;
    f->entries += !rc;
    return rc;
}

// --- the walk ------------------------------------------------------------------------------------
static status add_key(walk *w, const pickle_value *key, size_t index) {
    char name[PICKLE_NAME_SIZE];
    size_t before = w->name.length;
    if (before) buffer_text(&w->name, ".");
    if (key && key->kind == PICKLE_TEXT)
        buffer_append(&w->name, key->as.text.data, key->as.text.length <= TORCH_NAME_MAX
                                                       ? key->as.text.length : TORCH_NAME_MAX + 1);
    else if (key && key->kind == PICKLE_INT)
        buffer_print(&w->name, "%lld", (long long)key->as.integer);
    else if (key && key->kind == PICKLE_GLOBAL)
        buffer_print(&w->name, "<%s>", pickle_global_name(name, key));
    else
        buffer_print(&w->name, "%zu", index);
    if (w->name.failed) return w->name.failed;
    return STATUS_OK;
}

// Names stand in tables on terminals: no control characters, no endless ones. Judged where a tensor has it.
static status check_name(const walk *w) {
    if (w->name.length > TORCH_NAME_MAX)
        return status_fail(STATUS_FORMAT, "%s: \"%.60s...\" is a name of more than %d bytes", w->label,
                           w->name.data, TORCH_NAME_MAX);
    for (size_t i = 0; i < w->name.length; i++) {
        unsigned char c = (unsigned char)w->name.data[i];
        if (c < ' ' || c == 0x7f)
            return status_fail(STATUS_FORMAT, "%s: a tensor's name holds the byte 0x%02x", w->label, c);
    }
    return STATUS_OK;
}

static status visit(walk *w, const pickle_value *v);

static status visit_items(walk *w, const pickle_value *v) {
    status rc = STATUS_OK;
    size_t index = 0, length = w->name.length;
    bool dict = v->kind == PICKLE_DICT;
    for (uint32_t c = v->as.items.first; c && !rc; c = pickle_next(w->pickle, c), index++) {
        const pickle_value *key = NULL;
        if (dict) {
            key = pickle_item(w->pickle, c);
            c = pickle_next(w->pickle, c);
        }
        const pickle_value *item = pickle_item(w->pickle, c);
        if (++w->visits > PICKLE_MAX_VALUES)
            return status_fail(STATUS_FORMAT, "%s: refers to its parts more than %d times", w->label,
                               PICKLE_MAX_VALUES);
        if (item->kind != PICKLE_TENSOR && item->kind != PICKLE_DICT && item->kind != PICKLE_LIST &&
            item->kind != PICKLE_TUPLE && item->kind != PICKLE_ARRAY)
            continue;
        rc = add_key(w, key, index);
        if (!rc) rc = visit(w, item);
        w->name.length = length;
        if (w->name.data) w->name.data[length] = 0;
    }
    return rc;
}

static status visit(walk *w, const pickle_value *v) {
    if (v->kind == PICKLE_TENSOR) {
        status rc = check_name(w);
        return rc ? rc : add_tensor(w, v->as.index);
    }
    // numpy's arrays are passed over; a tensor must not be.
    if (v->kind == PICKLE_ARRAY && pickle_array_at(w->pickle, v->as.index)->torch)
        return bad(w, "is a tensor as pickle.dump writes it, not torch.save");
    if (v->kind != PICKLE_DICT && v->kind != PICKLE_LIST && v->kind != PICKLE_TUPLE) return STATUS_OK;
    for (int i = 0; i < w->depth; i++)
        if (w->path[i] == v)
            return status_fail(STATUS_FORMAT, "%s: \"%.200s\" contains itself", w->label,
                               w->name.length ? w->name.data : "");
    if (w->depth == TORCH_MAX_DEPTH)
        return status_fail(STATUS_FORMAT, "%s: nested more than %d deep", w->label, TORCH_MAX_DEPTH);
    w->path[w->depth++] = v;
    status rc = visit_items(w, v);
    w->depth--;
    return rc;
}

static int compare_entries(const void *a, const void *b) {
    return strcmp((*(const torch_entry *const *)a)->name, (*(const torch_entry *const *)b)->name);
}

static status refuse_duplicates(const walk *w) {
    const torch_file *f = w->file;
    const torch_entry **sorted;
    status rc = mem_new(&sorted, f->entries, "tensors");
    if (rc) return rc;
    for (size_t i = 0; i < f->entries; i++) sorted[i] = &f->entry[i];
    if (f->entries) qsort(sorted, f->entries, sizeof *sorted, compare_entries);
    for (size_t i = 1; i < f->entries && !rc; i++)
        if (!strcmp(sorted[i - 1]->name, sorted[i]->name))
            rc = status_fail(STATUS_FORMAT, "%s: two tensors are named \"%.200s\"", w->label,
                             sorted[i]->name);
    mem_free(sorted);
    return rc;
}

status torch_list_tensors(torch_file *f, const pickle *p, const char *label) {
    walk w = {.file = f, .pickle = p, .label = label};
    const pickle_value *root = pickle_root(p);
    status rc = STATUS_OK;
    w.limit = FREE_EXPANSION;
    for (size_t i = 0; i < f->storages; i++)
        if (__builtin_add_overflow(w.limit, EXPANSION * (uint64_t)f->storage[i].bytes, &w.limit))
            w.limit = UINT64_MAX / 2; // such a size fails when it is read
    if (root->kind == PICKLE_TENSOR) buffer_text(&w.name, "tensor"); // a file that is one tensor
    rc = w.name.failed;
    if (!rc) rc = visit(&w, root);
    if (!rc) rc = refuse_duplicates(&w);
    buffer_free(&w.name);
    return rc;
}
