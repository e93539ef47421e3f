// Pickles of embeddings, numpy's arrays and torch's tensors: what opens has ids that are found
// again and rows that can be read, all of one size. The seeds are files of
// scripts/golden/embeddings.py.
#include "data/embeddings.h"
#include "tests/fuzz/helper_fuzz.h"

static void read_row(const embeddings *e, int64_t row) {
    const int64_t numbers = (int64_t)e->queries * e->width;
    float *out;
    demand(!mem_new(&out, numbers, "a row"));
    demand(!embeddings_read(out, e, row));
    touch_bytes(out, (size_t)numbers * sizeof *out);
    mem_free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    embeddings *e = NULL;
    if (!size || data[0] != 0x80) return 0; // no pickle: HDF5 files are the target hdf5's
    status rc = embeddings_open(&e, memory_file(0, data, size));
    if (rc) {
        demand(rc == STATUS_FORMAT && !e);
        demand_failure(rc);
        return 0;
    }
    demand(e->count > 0 && e->rows == e->count && e->queries > 0 && e->width > 0);
    demand((size_t)e->queries * (size_t)e->width <= size / sizeof(float));
    for (int64_t i = 0; i < e->count; i++) {
        demand(embeddings_find(e, embeddings_id(e, i)) == i);
        read_row(e, i);
    }
    embeddings_close(e);
    return 0;
}
