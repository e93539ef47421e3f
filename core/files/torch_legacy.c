// The layout of torch.save before 1.6: pickles of a magic number, a version, the system's sizes, the
// object and the list of storage keys, then each storage as its count of elements and its bytes.
#include "core/buffer.h"
#include "core/files/little_endian.h"
#include "core/files/torch_private.h"

#include <stdlib.h>
#include <string.h>

// 0x1950a86a20f9469cfc6c
static const unsigned char magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
static const int64_t version = 1001;

static status bad(const torch_file *f, const char *what) {
    return status_fail(STATUS_FORMAT, "%s: %s", f->name, what);
}

// Magic number, version and system information, in this order.
static status read_head(torch_file *f, size_t *at) {
    pickle *p = NULL;
    status rc = pickle_read(&p, f->name, f->bytes, f->size, at);
    if (rc) return rc;
    const pickle_value *v = pickle_root(p);
    bool good = v->kind == PICKLE_LONG && v->as.text.length == sizeof magic &&
                !memcmp(v->as.text.data, magic, sizeof magic);
    pickle_close(p);
    if (!good) return bad(f, "is a pickle, but not a file of PyTorch: its magic number is missing");
    rc = pickle_read(&p, f->name, f->bytes, f->size, at);
    if (rc) return rc;
    v = pickle_root(p);
    good = v->kind == PICKLE_INT && v->as.integer == version;
    pickle_close(p);
    if (!good) return bad(f, "is a PyTorch file of a version other than 1001");
    rc = pickle_read(&p, f->name, f->bytes, f->size, at);
    if (rc) return rc;
    v = pickle_find(p, pickle_root(p), "little_endian");
    good = v && v->kind == PICKLE_BOOL;
    f->big_endian = good && !v->as.integer;
    pickle_close(p);
    return good ? STATUS_OK : bad(f, "does not say its byte order");
}

static int compare_texts(const pickle_text *a, const char *key) {
    size_t length = strlen(key);
    int order = memcmp(a->data, key, a->length < length ? a->length : length);
    return order ? order : (a->length > length) - (a->length < length);
}

static int compare_storages(const void *a, const void *b) {
    const pickle_storage *x = *(const pickle_storage *const *)a, *y = *(const pickle_storage *const *)b;
    size_t shorter = x->key.length < y->key.length ? x->key.length : y->key.length;
    int order = memcmp(x->key.data, y->key.data, shorter);
    return order ? order : (x->key.length > y->key.length) - (x->key.length < y->key.length);
}

static const pickle_storage *find_storage(const pickle_storage *const *sorted, size_t count,
                                          const char *key) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_texts(&sorted[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && !compare_texts(&sorted[low]->key, key) ? sorted[low] : NULL;
}

// The keys in the order of the storages behind them.
static status read_keys(torch_file *f, const pickle *keys) {
    const pickle_value *list = pickle_root(keys);
    size_t bytes = 1;
    if (list->kind != PICKLE_LIST) return bad(f, "has no list of storages");
    for (uint32_t c = list->as.items.first; c; c = pickle_next(keys, c)) {
        const pickle_value *v = pickle_item(keys, c);
        if (v->kind != PICKLE_TEXT || memchr(v->as.text.data, 0, v->as.text.length))
            return bad(f, "has a storage whose key is no text");
        bytes += v->as.text.length + 1;
        if (bytes > f->size) return bad(f, "has a list of storages longer than the file");
    }
    status rc = mem_new(&f->keys, bytes, "storage keys");
    if (!rc) rc = mem_new(&f->storage, list->as.items.count, "storages");
    char *next = f->keys;
    for (uint32_t c = list->as.items.first; c && !rc; c = pickle_next(keys, c)) {
        pickle_text text = pickle_item(keys, c)->as.text;
        f->storage[f->storages++].key = memcpy(next, text.data, text.length);
        next += text.length + 1;
    }
    return rc;
}

// Each storage: 8 bytes of count and the elements, whose size only the object tells.
static status read_storages(torch_file *f, const pickle *p, size_t at) {
    const pickle_storage **sorted = NULL;
    size_t claimed = pickle_storages(p);
    status rc = mem_new(&sorted, claimed, "storages");
    if (rc) return rc;
    for (size_t i = 0; i < claimed; i++) sorted[i] = pickle_storage_at(p, (uint32_t)i);
    qsort(sorted, claimed, sizeof *sorted, compare_storages);
    for (size_t i = 0; i < f->storages && !rc; i++) {
        torch_storage *s = &f->storage[i];
        const pickle_storage *wanted = find_storage(sorted, claimed, s->key);
        if (!wanted) {
            rc = status_fail(STATUS_FORMAT, "%s: storage \"%.60s\" belongs to no tensor", f->name, s->key);
            break;
        }
        size_t width = wanted->type == ELEMENT_COUNT ? 1 : element_size(wanted->type);
        uint64_t count = f->size - at < 8 ? 0 : le64(f->bytes + at);
        if (f->size - at < 8 || count > (f->size - at - 8) / width)
            rc = status_fail(STATUS_FORMAT, "%s: storage \"%.60s\" reaches beyond the end of the file; the "
                                            "file is cut", f->name, s->key);
        else if (count != (uint64_t)wanted->count)
            rc = status_fail(STATUS_FORMAT, "%s: storage \"%.60s\" has %llu elements, the object says %lld",
                             f->name, s->key, (unsigned long long)count, (long long)wanted->count);
        if (rc) break;
        s->bytes = (size_t)count * width;
        s->data = f->bytes + at + 8;
        at += 8 + s->bytes;
    }
    if (!rc && at != f->size)
        rc = status_fail(STATUS_FORMAT, "%s: %zu bytes behind the last storage belong to none", f->name,
                         f->size - at);
    mem_free(sorted);
    return rc;
}

static status check_keys(torch_file *f) {
    torch_sort_storages(f);
    for (size_t i = 1; i < f->storages; i++)
        if (!strcmp(f->storage[i - 1].key, f->storage[i].key))
            return status_fail(STATUS_FORMAT, "%s: storage \"%.60s\" is there twice", f->name,
                               f->storage[i].key);
    return STATUS_OK;
}

status torch_read_legacy(torch_file *f) {
    size_t at = 0;
    pickle *object = NULL, *keys = NULL;
    status rc = read_head(f, &at);
    if (!rc) rc = pickle_read(&object, f->name, f->bytes, f->size, &at);
    if (!rc) rc = pickle_read(&keys, f->name, f->bytes, f->size, &at);
    if (!rc) rc = read_keys(f, keys);
    if (!rc) rc = read_storages(f, object, at);
    if (!rc) rc = check_keys(f);
    if (!rc) rc = torch_list_tensors(f, object, f->name);
    pickle_close(keys);
    pickle_close(object);
    return rc;
}

// The one storage of F, which its object must be.
static status only_storage(torch_blob *out, const torch_file *f, const pickle *object) {
    const pickle_value *root = pickle_root(object);
    if (root->kind != PICKLE_STORAGE || f->storages != 1) return bad(f, "is not one storage");
    const pickle_storage *wanted = pickle_storage_at(object, root->as.index);
    const torch_storage *s = &f->storage[0];
    if (wanted->type == ELEMENT_COUNT) return bad(f, "is a storage without a type");
    if (f->big_endian) return bad(f, "is a storage of big-endian numbers");
    if (compare_texts(&wanted->key, s->key) || s->bytes % element_size(wanted->type) ||
        (int64_t)(s->bytes / element_size(wanted->type)) != wanted->count)
        return bad(f, "is another storage than it says");
    *out = (torch_blob){.type = wanted->type, .count = wanted->count, .data = s->data};
    return STATUS_OK;
}

status torch_blob_read(torch_blob *out, const char *name, const void *bytes, size_t size) {
    torch_file f = {.bytes = bytes, .size = size, .legacy = true};
    size_t at = 0;
    pickle *object = NULL, *keys = NULL;
    *out = (torch_blob){.type = ELEMENT_COUNT};
    status rc = mem_string(&f.name, name);
    if (!rc) rc = read_head(&f, &at);
    if (!rc) rc = pickle_read(&object, name, bytes, size, &at);
    if (!rc) rc = pickle_read(&keys, name, bytes, size, &at);
    if (!rc) rc = read_keys(&f, keys);
    if (!rc) rc = read_storages(&f, object, at);
    if (!rc) rc = only_storage(out, &f, object);
    pickle_close(keys);
    pickle_close(object);
    mem_free(f.storage);
    mem_free(f.keys);
    mem_free(f.name);
    return rc;
}
