// HDF5 files as such, through core/files/hdf5.h: what it says of a dataset is inside the file. Structures
// forged on purpose reach libhdf5's own reader here; see docs/fuzzing.md for what that means.
#include "core/files/hdf5.h"
#include "tests/fuzz/helper_fuzz.h"

#include <string.h>

enum { RECORDS = 2 };

static void look(hdf5 *f, const char *name, size_t file_size) {
    hdf5_shape shape;
    hdf5_chunk chunk[RECORDS];
    void *bytes;
    status rc = hdf5_look(&shape, f, name);
    if (!rc && !shape.chunked) {
        demand(shape.bytes <= file_size);
        demand(!mem_take(&bytes, shape.bytes, 1, "a dataset"));
        rc = hdf5_read(bytes, f, name, &shape);
        mem_free(bytes);
    } else if (!rc && shape.dim[0] == RECORDS) {
        rc = hdf5_chunks(chunk, f, name, RECORDS, 1);
        for (int i = 0; !rc && i < RECORDS; i++)
            demand(chunk[i].offset >= 0 && chunk[i].bytes > 0 &&
                   (size_t)(chunk[i].offset + chunk[i].bytes) <= file_size);
    }
    if (rc) demand_failure(rc);
}

static void look_at_strings(hdf5 *f, const char *name, size_t file_size) {
    hdf5_shape shape;
    void *bytes;
    status rc = hdf5_expect_strings(&shape, f, name);
    if (!rc) {
        demand(shape.type == DTYPE_U8 && shape.rank == 2 && shape.dim[1] > 0 && !shape.chunked);
        demand(shape.bytes <= file_size);
        demand(!mem_take(&bytes, shape.bytes, 1, "strings"));
        rc = hdf5_read(bytes, f, name, &shape);
        mem_free(bytes);
    }
    if (rc) demand_failure(rc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hdf5 *f;
    int64_t number;
    char text[32];
    status rc = hdf5_open(&f, memory_folder_file("fuzz.h5", data, size));
    if (rc) {
        demand_failure(rc);
        return 0;
    }
    if (hdf5_read_int(&number, f, "version")) demand_failure(STATUS_FORMAT);
    if (hdf5_read_text(text, f, "format", sizeof text)) demand_failure(STATUS_FORMAT);
    look(f, "images", size);
    look(f, "labels", size);
    look(f, "texts/bytes", size);
    look_at_strings(f, "ids", size);
    look_at_strings(f, "labels", size);
    hdf5_close(f);
    return 0;
}
