// GGUF files: what opens has entries inside the file that can be found by name.
#include "core/files/gguf.h"
#include "tests/fuzz/helper_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gguf *g;
    double number;
    status rc = gguf_open(&g, memory_file(0, data, size));
    if (rc) demand_failure(rc);
    for (size_t i = 0; !rc && i < gguf_count(g); i++) {
        const gguf_entry *e = gguf_at(g, i);
        demand(e->rank >= 1 && e->rank <= GGUF_MAX_RANK);
        demand(gguf_lookup(g, e->name) != NULL);
        if (e->data) touch_bytes(e->data, e->bytes);
    }
    if (!rc && gguf_text(g, "general.type")) touch_text(gguf_text(g, "general.type"));
    if (!rc && gguf_number(g, "general.alignment", &number)) demand(number >= 1);
    gguf_close(g);
    return 0;
}
