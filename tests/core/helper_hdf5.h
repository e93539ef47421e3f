// One HDF5 file with everything core/files/hdf5.h can write, for its tests.
#pragma once
#include "core/files/hdf5.h"
#include "tests/core/helper_check.h"

enum { RECORDS = 3, MOST = 5, ROWS = 11, COLUMNS = 16, RECORD_BYTES = ROWS * COLUMNS };
enum { PLAINS = 8, STRINGS = 4, STRING_BYTES = 19, DATA_BYTES = 512 };

#define OK(call)                                                                                   \
    do {                                                                                           \
        status rc_ = (call);                                                                       \
        ck_assert_msg(rc_ == STATUS_OK, "%s: %s", #call, status_text());                           \
    } while (0)

// Bytes below 64 that differ by place and by SALT.
void fill(void *out, size_t count, unsigned salt);

// Datasets in one piece: number I holds the first bytes of fill(.., DATA_BYTES, I).
typedef struct plain {
    const char *name;
    dtype type;
    int rank;
    int64_t dim[HDF5_MAX_RANK];
} plain;
extern const plain plains[PLAINS];

// What "strings" holds; the longest has STRING_BYTES.
extern const char *const strings[STRINGS];
// The sizes "raw" and "packed" (level 1) are made with. RECORDS are kept; record I is fill(.., 100
// + I).
extern const int64_t record_dim[3];

// Besides: "nothing" (0, 4) f32, "rows" (6, 2) i32 of 1000, 900, ...; the attributes "least" and
// "most" (int64), "text" and "empty".
void sample_write(const char *path);
// Written as sample.h5 and opened.
hdf5 *sample_open(void);
