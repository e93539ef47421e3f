// safetensors files: what opens has entries inside the file, in order, that can be found by name.
#include "core/files/safetensors.h"
#include "tests/fuzz/helper_fuzz.h"

#include <string.h>

static void walk(const safetensors *s) {
    const safetensors_entry *found;
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const safetensors_entry *e = safetensors_at(s, i);
        touch_bytes(e->data, e->bytes);
        demand(e->rank >= 0 && e->rank <= SAFETENSORS_MAX_RANK);
        demand(safetensors_lookup(s, e->name) == e);
        if (safetensors_find(&found, s, e->name)) demand_failure(STATUS_FORMAT);
    }
    for (size_t i = 0; i < safetensors_note_count(s); i++) {
        const char *value, *key = safetensors_note_at(s, i, &value);
        demand(!strcmp(safetensors_note(s, key), value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    safetensors *s;
    status rc = safetensors_open(&s, memory_file(0, data, size));
    if (rc)
        demand_failure(rc);
    else
        walk(s);
    safetensors_close(s);
    return 0;
}
