#include "tests/core/helper_hdf5.h"
#include "core/files/deflate.h"

const int64_t record_dim[3] = {MOST, ROWS, COLUMNS};
const char *const strings[STRINGS] = {"a", "", "d\xc3\xa9j\xc3\xa0 vu", "longest of the four"};

void fill(void *out, size_t count, unsigned salt) {
    uint64_t state = 0x9E3779B97F4A7C15ull + salt;
    for (size_t i = 0; i < count; i++) ((uint8_t *)out)[i] = (uint8_t)(fuzz_next(&state) & 0x3f);
}

const plain plains[PLAINS] = {
    {"f32", DTYPE_F32, 2, {3, 5}},        {"f64", DTYPE_F64, 1, {7}},
    {"i64", DTYPE_I64, 3, {2, 1, 3}},     {"i32", DTYPE_I32, 1, {1}},
    {"i8", DTYPE_I8, 5, {2, 3, 1, 2, 2}}, {"u8", DTYPE_U8, 4, {3, 1, 1, 5}},
    {"group/u8", DTYPE_U8, 1, {257}},     {"group/inner/f64", DTYPE_F64, 2, {1, 2}},
};

static void write_records(hdf5 *f, const char *name, int level) {
    uint8_t raw[RECORD_BYTES], packed[2 * RECORD_BYTES + 64];
    deflater *d;
    size_t size;
    OK(deflater_open(&d, level));
    OK(hdf5_make_records(f, name, DTYPE_U8, 3, record_dim, level));
    // Not in order: the table must say where each is all the same.
    for (int k = 0; k < RECORDS; k++) {
        int i = (k + 1) % RECORDS;
        fill(raw, sizeof raw, 100 + (unsigned)i);
        zlib_compress(d, packed, &size, raw, sizeof packed, sizeof raw);
        OK(hdf5_write_record(f, name, i, level ? packed : raw, level ? size : sizeof raw));
    }
    OK(hdf5_end_records(f, name, RECORDS));
    deflater_close(d);
}

static void write_rows(hdf5 *f) {
    int32_t rows[6 * 2];
    const int64_t dim[] = {6, 2};
    for (int i = 0; i < 12; i++) rows[i] = 1000 - 100 * i;
    OK(hdf5_make(f, "rows", DTYPE_I32, 2, dim));
    OK(hdf5_write_rows(f, "rows", 4, 2, rows + 8));
    OK(hdf5_write_rows(f, "rows", 0, 1, rows));
    OK(hdf5_write_rows(f, "rows", 1, 3, rows + 2));
}

void sample_write(const char *path) {
    uint8_t bytes[DATA_BYTES];
    const int64_t none[] = {0, 4};
    hdf5 *f;
    OK(hdf5_create(&f, path));
    OK(hdf5_make_group(f, "group"));
    OK(hdf5_make_group(f, "group/inner"));
    for (unsigned i = 0; i < PLAINS; i++) {
        fill(bytes, sizeof bytes, i);
        OK(hdf5_write(f, plains[i].name, plains[i].type, plains[i].rank, plains[i].dim, bytes));
    }
    OK(hdf5_write(f, "nothing", DTYPE_F32, 2, none, NULL));
    OK(hdf5_write_strings(f, "strings", strings, 4));
    write_rows(f);
    write_records(f, "raw", 0);
    write_records(f, "packed", 1);
    OK(hdf5_write_int(f, "least", INT64_MIN));
    OK(hdf5_write_int(f, "most", INT64_MAX));
    OK(hdf5_write_text(f, "text", "caf\xc3\xa9"));
    OK(hdf5_write_text(f, "empty", ""));
    OK(hdf5_finish(f));
    hdf5_close(f);
}

hdf5 *sample_open(void) {
    hdf5 *f;
    sample_write(scratch("sample.h5"));
    OK(hdf5_open(&f, scratch("sample.h5")));
    return f;
}
