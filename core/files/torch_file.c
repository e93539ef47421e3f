#include "core/files/torch_private.h"

#include <string.h>

bool torch_file_is_zip(const void *bytes, size_t size) {
    return size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0;
}

bool torch_file_is_legacy(const void *bytes, size_t size) {
    const unsigned char *b = bytes;
    return size >= 2 && b[0] == 0x80 && b[1] <= 5;
}

static status read_file(torch_file *f) {
    if (!f->size) return status_fail(STATUS_FORMAT, "%s: is empty", f->name);
    if (torch_file_is_zip(f->bytes, f->size)) return torch_read_zip(f);
    f->legacy = true;
    if (torch_file_is_legacy(f->bytes, f->size)) return torch_read_legacy(f);
    return status_fail(STATUS_FORMAT, "%s: is no file of PyTorch", f->name);
}

static status open_file(torch_file **out, const char *name, const char *path, const void *bytes,
                        size_t size) {
    torch_file *f;
    *out = NULL;
    status rc = mem_new(&f, 1, "a PyTorch file");
    if (rc) return rc;
    f->bytes = bytes;
    f->size = size;
    rc = mem_string(&f->name, name);
    if (!rc && path) {
        rc = file_map_open(&f->map, path);
        f->bytes = f->map.data;
        f->size = f->map.size;
    }
    if (!rc) rc = read_file(f);
    if (rc)
        torch_file_close(f);
    else
        *out = f;
    return rc;
}

status torch_file_open(torch_file **out, const char *path) {
    return open_file(out, path, path, NULL, 0);
}

status torch_file_open_memory(torch_file **out, const char *name, const void *bytes, size_t size) {
    return open_file(out, name, NULL, bytes, size);
}

void torch_file_forget(torch_file *f) {
    file_map_forget(f->map.data, f->map.size);
}

void torch_file_close(torch_file *f) {
    if (!f) return;
    for (size_t i = 0; i < f->entries; i++) mem_free((char *)(uintptr_t)f->entry[i].name);
    mem_free(f->entry);
    for (size_t i = 0; i < f->storages; i++) mem_free(f->storage[i].owned);
    mem_free(f->storage);
    mem_free(f->keys);
    mem_free(f->pickle_owned);
    zip_close(f->zip);
    file_map_close(&f->map);
    mem_free(f->name);
    mem_free(f);
}

size_t torch_file_count(const torch_file *f) {
    return f->entries;
}

const torch_entry *torch_file_at(const torch_file *f, size_t index) {
    if (index >= f->entries) die("torch_file_at: %zu of %zu tensors", index, f->entries);
    return &f->entry[index];
}

bool torch_file_legacy(const torch_file *f) {
    return f->legacy;
}

// Whether elements follow each other in row-major order.
static bool contiguous(const torch_entry *e) {
    int64_t step = 1;
    for (int i = e->rank; i-- > 0;) {
        if (e->dim[i] != 1 && e->stride[i] != step) return false;
        step *= e->dim[i];
    }
    return true;
}

// COUNT elements of WIDTH bytes from the FIRST on, each found through the strides.
static void gather(unsigned char *out, const torch_entry *e, const unsigned char *data, size_t width,
                   int64_t first, int64_t count) {
    int64_t place[TORCH_MAX_RANK] = {0}, at = e->offset, rest = first;
    for (int i = e->rank; i-- > 0;) {
        place[i] = rest % e->dim[i];
        rest /= e->dim[i];
        at += place[i] * e->stride[i];
    }
    for (int64_t n = 0; n < count; n++) {
        memcpy(out + (size_t)n * width, data + (size_t)at * width, width);
        for (int i = e->rank; i-- > 0;) {
            at += e->stride[i];
            if (++place[i] < e->dim[i]) break;
            at -= e->dim[i] * e->stride[i];
            place[i] = 0;
        }
    }
}

status torch_file_copy(torch_file *f, const torch_entry *e, int64_t first, int64_t count, void *out) {
    if (first < 0 || count < 0 || first > e->count || count > e->count - first)
        die("torch_file_copy %s: elements %lld + %lld of %lld", e->name, (long long)first,
            (long long)count, (long long)e->count);
    if (!count) return STATUS_OK;
    torch_storage *s = &f->storage[e->storage];
    if (!s->data) {
        status rc = zip_read(f->zip, s->entry, &s->data, &s->owned);
        if (rc) {
            s->data = NULL;
            return rc;
        }
    }
    size_t width = element_size(e->type);
    if (contiguous(e))
        memcpy(out, s->data + (size_t)(e->offset + first) * width, (size_t)count * width);
    else
        gather(out, e, s->data, width, first, count);
    if (f->big_endian) element_swap(out, width, (size_t)count);
    return STATUS_OK;
}
