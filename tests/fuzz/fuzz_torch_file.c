// PyTorch's files, zip and legacy: what opens has tensors whose every element can be read, in one
// piece and in two the same. The seeds are files of scripts/golden/torch_file.py and of
// tests/train/hostile_files.c.
#include "core/files/torch_file.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ELEMENTS = 4096, WIDEST = 8 };

// The first elements, and the last ones.
static void read_ends(torch_file *f, const torch_entry *e) {
    static unsigned char whole[ELEMENTS * WIDEST], parts[ELEMENTS * WIDEST];
    size_t width = element_size(e->type);
    int64_t count = e->count < ELEMENTS ? e->count : ELEMENTS, half = count / 2;
    if (torch_file_copy(f, e, e->count - count, count, whole))
        return; // a wrong CRC-32, or it does not inflate
    if (torch_file_copy(f, e, 0, count, whole)) die("%s: %s", e->name, status_text());
    if (torch_file_copy(f, e, 0, half, parts) ||
        torch_file_copy(f, e, half, count - half, parts + (size_t)half * width))
        die("%s: %s", e->name, status_text());
    if (memcmp(whole, parts, (size_t)count * width) != 0)
        die("%s: two halves differ from the whole", e->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    torch_file *f = NULL;
    status rc = torch_file_open_memory(&f, "input", data, size);
    if (rc && (rc != STATUS_FORMAT || !*status_text() || f))
        die("%d: '%s'", (int)rc, status_text());
    for (size_t i = 0; !rc && i < torch_file_count(f); i++) {
        const torch_entry *e = torch_file_at(f, i);
        int64_t count = 1;
        if (e->rank < 0 || e->rank > TORCH_MAX_RANK || !e->name) die("entry %zu is damaged", i);
        for (int k = 0; k < e->rank; k++) count = e->dim[k] ? count : 0;
        for (int k = 0; k < e->rank && count; k++) count *= e->dim[k];
        if (count != e->count) die("%s: %lld elements", e->name, (long long)e->count);
        read_ends(f, e);
    }
    torch_file_close(f);
    return 0;
}
