// The zip layout: ROOT/data.pkl holds the object, ROOT/data/KEY the storages; the root is of any name.
#include "core/buffer.h"
#include "core/files/torch_private.h"

#include <string.h>

static const zip_entry *member(const torch_file *f, const char *root, int length, const char *name,
                               buffer *path) {
    path->length = 0;
    buffer_print(path, "%.*s/%s", length, root, name);
    return path->failed ? NULL : zip_lookup(f->zip, path->data);
}

static status find_storages(torch_file *f, const char *root, size_t length) {
    static const char folder[] = "/data/";
    const size_t prefix = length + sizeof folder - 1;
    for (size_t i = 0; i < zip_count(f->zip); i++) {
        const zip_entry *e = zip_at(f->zip, i);
        if (strncmp(e->name, root, length) || strncmp(e->name + length, folder, sizeof folder - 1)) continue;
        if (!e->name[prefix]) continue; // the folder itself
        status rc = mem_grow((void **)&f->storage, &f->storage_room, f->storages + 1, sizeof *f->storage,
                             "storages");
        if (rc) return rc;
        f->storage[f->storages++] = (torch_storage){.key = e->name + prefix, .bytes = e->size, .entry = e};
    }
    return STATUS_OK;
}

static status read_byte_order(torch_file *f, const zip_entry *e) {
    const unsigned char *text;
    void *owned = NULL;
    if (!e) return STATUS_OK; // older than 2.1: little
    status rc = zip_read(f->zip, e, &text, &owned);
    if (rc) return rc;
    f->big_endian = e->size == 3 && !memcmp(text, "big", 3);
    bool known = f->big_endian || (e->size == 6 && !memcmp(text, "little", 6));
    mem_free(owned);
    return known ? STATUS_OK
                 : status_fail(STATUS_FORMAT, "%s: entry byteorder is neither little nor big", f->name);
}

static status read_object(torch_file *f, const zip_entry *e) {
    const unsigned char *bytes;
    size_t at = 0;
    buffer label = {0};
    pickle *p = NULL;
    buffer_print(&label, "%s: data.pkl", f->name);
    status rc = label.failed;
    if (!rc) rc = zip_read(f->zip, e, &bytes, &f->pickle_owned);
    if (!rc) rc = pickle_read(&p, label.data, bytes, e->size, &at);
    if (!rc && at != e->size)
        rc = status_fail(STATUS_FORMAT, "%s: %zu bytes behind the object belong to nothing", label.data,
                         e->size - at);
    if (!rc) rc = torch_list_tensors(f, p, label.data);
    pickle_close(p);
    buffer_free(&label);
    return rc;
}

status torch_read_zip(torch_file *f) {
    buffer path = {0};
    status rc = zip_open(&f->zip, f->name, f->bytes, f->size);
    const zip_entry *first = rc ? NULL : zip_first(f->zip);
    const char *slash = first ? strchr(first->name, '/') : NULL;
    if (!rc && !slash)
        rc = status_fail(STATUS_FORMAT, "%s: is a zip archive, but not one of PyTorch: its first entry "
                                        "stands in no folder", f->name);
    if (rc) return rc;
    const char *root = first->name;
    int length = (int)(slash - root);
    const zip_entry *object = member(f, root, length, "data.pkl", &path);
    if (member(f, root, length, "constants.pkl", &path))
        rc = status_fail(STATUS_FORMAT, "%s: holds a TorchScript program, which is not run; save the "
                                        "model's state_dict() instead", f->name);
    else if (!object)
        rc = path.failed ? path.failed
                         : status_fail(STATUS_FORMAT, "%s: is a zip archive, but not one of PyTorch: there "
                                                      "is no %.100s/data.pkl", f->name, root);
    if (!rc) rc = read_byte_order(f, member(f, root, length, "byteorder", &path));
    if (!rc) rc = find_storages(f, root, (size_t)length);
    if (!rc) torch_sort_storages(f);
    if (!rc) rc = read_object(f, object);
    buffer_free(&path);
    return rc;
}
