// What the parts of the reader of PyTorch's files share: torch_file.c (interface, copying), torch_zip.c and
// torch_legacy.c (the layouts), torch_tensors.c (the list of tensors).
#pragma once
#include "core/files/file_map.h"
#include "core/files/pickle.h"
#include "core/files/torch_file.h"
#include "core/files/zip_archive.h"

// The bytes behind one storage key.
typedef struct torch_storage {
    const char *key; // NUL-ended; they are sorted by it
    size_t bytes;
    const unsigned char *data; // NULL: not read yet (zip)
    const zip_entry *entry;    // zip only
    void *owned;               // expanded
} torch_storage;

struct torch_file {
    char *name;
    file_map map; // empty where the bytes are borrowed
    const unsigned char *bytes;
    size_t size;
    bool legacy, big_endian;
    zip_archive *zip;
    void *pickle_owned; // data.pkl where it is deflated
    torch_storage *storage;
    size_t storages, storage_room;
    char *keys; // of the storages
    torch_entry *entry;
    size_t entries, entry_room;
};

status torch_read_zip(torch_file *f);
status torch_read_legacy(torch_file *f);
void torch_sort_storages(torch_file *f);
// Lists the tensors below P's root and checks them against the storages, which are there. Names are kept
// by F.
status torch_list_tensors(torch_file *f, const pickle *p, const char *label);
