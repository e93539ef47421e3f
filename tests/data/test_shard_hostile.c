// Shards whose seal fits but whose content does not: made by a program that is not ours, or on
// purpose. What stands in them is checked like any other input.
#include "core/checksum.h"
#include "tests/data/helper_shard.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RECORDS = 3 };

static void make_shard(void) {
    shard_make(at("good.h5"), SPLIT_TRAIN, 1, 0, RECORDS, 2);
}

static void expect_refused(const char *name, const char *says) {
    shard *s;
    expect_failed(shard_open(&s, at("%s", name)), STATUS_FORMAT, name, says);
    ck_assert_ptr_null(s);
}

// --- the seal's own numbers ---------------------------------------------------------------------

// Chunks at the front of the table and the footer's fields, as the last bytes of a shard.
typedef struct tail {
    hdf5_chunk chunk[RECORDS];
    char magic[8];
    int64_t size, count;
    uint32_t zero, crc;
} tail;

static void refuse_tail(const buffer *good, const tail *t, const char *says) {
    buffer b = {0};
    buffer_append(&b, good->data, good->length - sizeof *t);
    buffer_append(&b, t, sizeof *t);
    OK(file_write(at("seal.h5"), b.data, b.length));
    buffer_free(&b);
    expect_refused("seal.h5", says);
}

// The checksum as the format has it: the tables, where the images are, the footer.
static uint32_t crc_of(const buffer *file, const tail *t) {
    uint32_t crc = 0;
    int64_t place = 0;
    for (int i = 0; i <= RECORDS; i++) { // the images of this shard stand in their order
        int64_t end = i < RECORDS ? t->chunk[i].offset : t->size;
        crc = checksum_crc32(crc, file->data + place, (size_t)(end - place));
        if (i < RECORDS) place = end + t->chunk[i].bytes;
    }
    return checksum_crc32(crc, t, offsetof(tail, crc));
}

START_TEST(hostile_seals) {
    static const int64_t wild[] = {-1, INT64_MIN, INT64_MAX, INT64_MAX - 100, (int64_t)1 << 40};
    buffer good = read_whole(at("good.h5"));
    tail real;
    memcpy(&real, good.data + good.length - sizeof real, sizeof real);
    ck_assert_mem_eq(real.magic, "RADSEAL1", 8);
    ck_assert_int_eq(real.count, RECORDS);
    ck_assert_int_eq(real.size, (int64_t)(good.length - sizeof real));
    ck_assert_uint_eq(crc_of(&good, &real), real.crc);
    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++) {
        tail t = real;
        t.chunk[i % RECORDS].offset = wild[i];
        refuse_tail(&good, &t, "table of images is damaged");
        t = real, t.chunk[i % RECORDS].bytes = wild[i];
        refuse_tail(&good, &t, "table of images is damaged");
        t = real, t.size = wild[i];
        refuse_tail(&good, &t, "does not fit");
        t = real, t.count = wild[i];
        refuse_tail(&good, &t, "does not fit");
    }
    tail t = real;
    t.chunk[1] = t.chunk[0];
    refuse_tail(&good, &t, "table of images is damaged");
    t = real, t.chunk[2].bytes = 0;
    refuse_tail(&good, &t, "table of images is damaged");
    t = real, t.chunk[2].bytes = real.size - real.chunk[2].offset + 1;
    refuse_tail(&good, &t, "table of images is damaged");
    t = real, t.chunk[0] = real.chunk[1], t.chunk[1] = real.chunk[0];
    refuse_tail(&good, &t, "checksum");
    t = real, t.zero = 1;
    refuse_tail(&good, &t, "does not fit");
    t = real, t.count = RECORDS - 1, t.size += 16;
    refuse_tail(&good, &t, "checksum");
    t = real, t.crc ^= 1u << 31;
    refuse_tail(&good, &t, "checksum");
    buffer_free(&good);
}
END_TEST

// Images of sizes that memory is not made for, behind a right checksum.
START_TEST(sizes_of_images) {
    for (int level = 0; level < 2; level++) {
        shard_make(at("size.h5"), SPLIT_TRAIN, level, 0, RECORDS, 0);
        buffer file = read_whole(at("size.h5"));
        tail real;
        memcpy(&real, file.data + file.length - sizeof real, sizeof real);
        hdf5_chunk odd = real.chunk[0];
        odd.bytes += level ? 3 * STORED_PIXELS : -1;
        file.length = (size_t)real.size;
        // Room for what is said to be there.
        for (int i = 0; i < 1 << 18; i++) buffer_append(&file, "four", 4);
        OK(file_write(at("size.h5"), file.data, file.length));
        buffer_free(&file);
        OK(shard_seal_write(at("size.h5"), &odd, 1));
        expect_refused("size.h5", "an image of");
    }
}
END_TEST

// --- other content ------------------------------------------------------------------------------

typedef enum oddity { AS_IT_IS, MISSING, OTHER_TYPE, OTHER_SIZE, IN_CHUNKS, ODDITIES } oddity;

typedef struct target {
    hdf5 *f;
    const char *odd; // the dataset that is not as it should be
    oddity how;
} target;

static void put(const target *t, const char *name, dtype type, int rank, const int64_t *dim) {
    static const uint8_t zeros[4096];
    int64_t other[HDF5_MAX_RANK];
    oddity how = strcmp(name, t->odd) ? AS_IT_IS : t->how;
    memcpy(other, dim, (size_t)rank * sizeof *dim);
    if (how == MISSING) return;
    if (how == OTHER_TYPE) type = type == DTYPE_I32 ? DTYPE_F32 : DTYPE_I32;
    if (how == OTHER_SIZE) other[rank - 1]++;
    if (how == IN_CHUNKS) {
        other[0] = other[0] ? other[0] : 1; // as a chunk must be; then cut to the right size
        OK(hdf5_make_records(t->f, name, type, rank, other, 0));
        OK(hdf5_end_records(t->f, name, dim[0]));
    } else {
        OK(hdf5_write(t->f, name, type, rank, other, zeros));
    }
}

static void put_texts(const target *t, const char *name, int64_t count) {
    char path[64];
    const int64_t none = 0, offsets = count + 1;
    OK(hdf5_make_group(t->f, name));
    snprintf(path, sizeof path, "%s/bytes", name);
    put(t, path, DTYPE_U8, 1, &none);
    snprintf(path, sizeof path, "%s/offsets", name);
    put(t, path, DTYPE_I64, 1, &offsets);
    snprintf(path, sizeof path, "%s/present", name);
    put(t, path, DTYPE_U8, 1, &count);
}

// A sealed shard without records and with two skipped rows, and with that one oddity.
static void build(const char *odd, oddity how) {
    const int64_t images[] = {0, STORED_SIDE, STORED_SIDE}, labels[] = {0, CLASS_COUNT};
    const int64_t sizes[] = {0, 2}, none = 0, skipped = 2;
    target t = {NULL, odd, how};
    OK(hdf5_create(&t.f, at("odd.h5")));
    OK(hdf5_write_text(t.f, "format", "radialog-shard"));
    OK(hdf5_write_int(t.f, "version", SHARD_VERSION));
    OK(hdf5_write_text(t.f, "split", "train"));
    OK(hdf5_write_text(t.f, "plan", plan_of_tests));
    OK(hdf5_write_int(t.f, "deflate", 0));
    put(&t, "images", DTYPE_U8, 3, images);
    put(&t, "labels", DTYPE_I8, 2, labels);
    put(&t, "sizes", DTYPE_I32, 2, sizes);
    put(&t, "crc32", DTYPE_I64, 1, &none);
    put(&t, "skipped_line", DTYPE_I64, 1, &skipped);
    for (int i = 0; i < ID_COUNT; i++) put_texts(&t, record_id_names[i], 0);
    for (int i = 0; i < TEXT_COUNT; i++) put_texts(&t, record_text_names[i], 0);
    put_texts(&t, "skipped_reason", 2);
    put_texts(&t, "skipped_id", 2);
    put_texts(&t, "skipped_detail", 2);
    OK(hdf5_finish(t.f));
    hdf5_close(t.f);
    OK(shard_seal_write(at("odd.h5"), NULL, 0));
}

START_TEST(odd_datasets) {
    static const char *const datasets[] = {"images",
                                           "labels",
                                           "sizes",
                                           "crc32",
                                           "skipped_line",
                                           "dicom_id/bytes",
                                           "dicom_id/offsets",
                                           "dicom_id/present",
                                           "findings/bytes",
                                           "history/offsets",
                                           "history/present",
                                           "skipped_id/bytes",
                                           "skipped_detail/offsets",
                                           "skipped_reason/present"};
    shard *s;
    build("", AS_IT_IS);
    OK(shard_open(&s, at("odd.h5")));
    ck_assert_int_eq(s->records, 0);
    ck_assert_uint_eq(s->skipped_reason.count, 2);
    shard_close(s);
    for (size_t i = 0; i < sizeof datasets / sizeof *datasets; i++)
        for (int how = MISSING; how < ODDITIES; how++) {
            if (i == 0 && how == IN_CHUNKS) continue;
            build(datasets[i], (oddity)how);
            expect_refused("odd.h5", "");
            char group[32];
            snprintf(group, sizeof group, "%.*s", (int)strcspn(datasets[i], "/"), datasets[i]);
            ck_assert_msg(strstr(status_text(), group) != NULL, "%s, %d: '%s'", datasets[i], how,
                          status_text());
        }
}
END_TEST

START_TEST(odd_headers) {
    static const struct {
        const char *format, *split, *plan, *says;
        int64_t version;
    } cases[] = {
        {"radialog-shards", "train", "0123456789abcdef", "is no shard", 1},
        {"a format whose name is longer than any", "train", "0123456789abcdef", "format", 1},
        {"radialog-shard", "train", "0123456789abcdef", "version 2 of the format", 2},
        {"radialog-shard", "train", "0123456789abcdef", "version 0 of the format", 0},
        {"radialog-shard", "val", "0123456789abcdef", "unknown split val", 1},
        {"radialog-shard", "train", "0123456789abcdef0", "plan", 1},
        {NULL, "train", "0123456789abcdef", "format", 1},
        {"radialog-shard", NULL, "0123456789abcdef", "split", 1},
        {"radialog-shard", "train", NULL, "plan", 1},
        {"radialog-shard", "train", "0123456789abcdef", "version", -1}, // has none
        {"radialog-shard", "train", "0123456789abcdef", "images", 1},   // nothing but the header
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hdf5 *f;
        OK(hdf5_create(&f, at("head.h5")));
        if (cases[i].format) OK(hdf5_write_text(f, "format", cases[i].format));
        if (cases[i].split) OK(hdf5_write_text(f, "split", cases[i].split));
        if (cases[i].plan) OK(hdf5_write_text(f, "plan", cases[i].plan));
        if (cases[i].version >= 0) OK(hdf5_write_int(f, "version", cases[i].version));
        OK(hdf5_write_int(f, "deflate", 1));
        OK(hdf5_finish(f));
        hdf5_close(f);
        OK(shard_seal_write(at("head.h5"), NULL, 0));
        expect_refused("head.h5", cases[i].says);
    }
    write_text(at("head.h5"), "no HDF5, but sealed");
    OK(shard_seal_write(at("head.h5"), NULL, 0));
    expect_refused("head.h5", "as an HDF5 file");
}
END_TEST

// BYTES (SIZE) over those of a dataset of a good shard from INDEX on, sealed again.
static status open_patched(const char *set, int64_t index, const void *bytes, size_t size) {
    hdf5_shape shape;
    tail real;
    hdf5 *f;
    shard *s;
    OK(hdf5_open(&f, at("good.h5")));
    OK(hdf5_look(&shape, f, set));
    hdf5_close(f);
    buffer b = read_whole(at("good.h5"));
    memcpy(&real, b.data + b.length - sizeof real, sizeof real);
    memcpy(b.data + shape.offset + index, bytes, size);
    OK(file_write(at("patched.h5"), b.data, (size_t)real.size));
    buffer_free(&b);
    OK(shard_seal_write(at("patched.h5"), real.chunk, RECORDS));
    status rc = shard_open(&s, at("patched.h5"));
    if (!rc) expect_record(s, RECORDS - 1, RECORDS - 1);
    shard_close(s);
    return rc;
}

START_TEST(odd_texts) {
    static const int64_t wild[] = {-1, INT64_MAX, INT64_MIN, 1 << 20};
    const uint8_t two = 2, none = 0;
    OK(open_patched("sizes", 0, "", 1)); // the resealing itself
    for (size_t i = 0; i < 4; i++)
        for (int k = 0; k <= RECORDS; k++) {
            expect_failed(open_patched("findings/offsets", 8 * k, &wild[i], 8), STATUS_FORMAT,
                          "patched.h5", "texts of findings are damaged");
            expect_failed(open_patched("dicom_id/offsets", 8 * k, &wild[i], 8), STATUS_FORMAT,
                          "patched.h5", "texts of dicom_id are damaged");
        }
    expect_failed(open_patched("impression/present", 0, &two, 1), STATUS_FORMAT, "patched.h5",
                  "texts of impression");
    // A text that is there cannot be missing.
    expect_failed(open_patched("dicom_id/present", 1, &none, 1), STATUS_FORMAT, "patched.h5",
                  "texts of dicom_id");
    expect_failed(open_patched("study_id/bytes", 3, "", 1), STATUS_FORMAT, "patched.h5",
                  "study_id/bytes holds a NUL byte");
}
END_TEST

// Headers of objects that the library itself loses when they are damaged. What the wrapper forgets
// to close shows as a descriptor that stays open.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libhdf5";
}

static int next_descriptor(void) {
    int fd = open("/dev/null", O_RDONLY);
    ck_assert_int_ge(fd, 0);
    close(fd);
    return fd;
}

// Any byte of the tables under a seal that fits: opened or refused by name, and nothing else.
START_TEST(resealed_damage) {
    int refused = 0, opened = 0;
    tail real;
    buffer b = read_whole(at("good.h5"));
    memcpy(&real, b.data + b.length - sizeof real, sizeof real);
    write_text(at("fuzz.h5"), "");
    int fd = open(at("fuzz.h5"), O_WRONLY), next = next_descriptor();
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, b.data, (size_t)real.size, 0), real.size);
    for (int64_t i = 0; i < real.size; i += 17) {
        bool image = false;
        for (int k = 0; k < RECORDS; k++)
            image |= i >= real.chunk[k].offset && i < real.chunk[k].offset + real.chunk[k].bytes;
        if (image) continue;
        shard *s;
        char byte = (char)(b.data[i] ^ (i % 2 ? 0xff : 0x08));
        ck_assert_int_eq(pwrite(fd, &byte, 1, i), 1);
        OK(shard_seal_write(at("fuzz.h5"), real.chunk, RECORDS));
        status rc = shard_open(&s, at("fuzz.h5"));
        if (rc)
            expect_failed(rc, STATUS_FORMAT, "fuzz.h5", "");
        else
            opened++;
        refused += rc != STATUS_OK;
        shard_close(s);
        ck_assert_int_eq(pwrite(fd, &b.data[i], 1, i), 1);
        ck_assert_int_eq(ftruncate(fd, real.size), 0);
    }
    ck_assert_int_eq(next_descriptor(), next);
    close(fd);
    buffer_free(&b);
    ck_assert_int_gt(refused, 100);
    ck_assert_int_gt(opened, 10);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("hostile shards");
    tcase_set_timeout(cases, 120);
    tcase_add_unchecked_fixture(cases, make_shard, NULL);
    tcase_add_test(cases, hostile_seals);
    tcase_add_test(cases, sizes_of_images);
    tcase_add_test(cases, odd_datasets);
    tcase_add_test(cases, odd_headers);
    tcase_add_test(cases, odd_texts);
    tcase_add_test(cases, resealed_damage);
    Suite *suite = suite_create("hostile shards");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
