// data/embeddings.h: files that are forged, damaged or no such files at all are refused by name.
#include "core/files/fs.h"
#include "core/files/hdf5.h"
#include "data/embeddings.h"
#include "tests/core/helper_check.h"

#include <string.h>
#include <unistd.h>

#define OK(call)                                                                                   \
    do {                                                                                           \
        status rc_ = (call);                                                                       \
        ck_assert_msg(rc_ == STATUS_OK, "%s: %s", #call, status_text());                           \
    } while (0)

enum { COUNT = 3, QUERIES = 3, WIDTH = 5, ROW = QUERIES * WIDTH };

static const char *const ids[COUNT] = {"02aa804e", "b-1", "b-10"};

static embeddings_facts facts_of_tests(void) {
    return (embeddings_facts){.checkpoint = "0123abcd",
                              .model = "qformer",
                              .split = "train",
                              .plan = "feedbeeffeedbeef",
                              .count = COUNT,
                              .queries = QUERIES,
                              .width = WIDTH,
                              .dicom_id = ids};
}

// --- wrong files ---------------------------------------------------------------------------------

typedef struct forgery {
    const char *says;
    const char *skip; // an attribute or dataset that is left out
    const char *format, *kind; // kind: the attribute "type"
    int64_t version, rows, rank, count, ids, chunked;
    dtype type;
    const char *const *dicom_id;
} forgery;

static status forge_numbers(hdf5 *f, const forgery *y) {
    const int64_t dim[] = {y->count, QUERIES, WIDTH};
    if (y->chunked) return hdf5_make_records(f, "embeddings", DTYPE_F32, 3, dim, 0);
    return hdf5_make(f, "embeddings", y->type, (int)y->rank, dim);
}

static void forge(const forgery *y) {
    const int64_t one = 1;
    const char *const texts[] = {"checkpoint", "model", "split", "plan"};
    hdf5 *f;
    OK(hdf5_create(&f, scratch("forged.h5")));
#define PUT(name, call)                                                                            \
    if (!y->skip || strcmp(y->skip, name)) OK(call)
    PUT("format", hdf5_write_text(f, "format", y->format));
    PUT("version", hdf5_write_int(f, "version", y->version));
    PUT("type", hdf5_write_text(f, "type", y->kind));
    for (int i = 0; i < 4; i++) PUT(texts[i], hdf5_write_text(f, texts[i], "x"));
    PUT("rows", hdf5_write(f, "rows", DTYPE_I64, 1, &one, &y->rows));
    PUT("embeddings", forge_numbers(f, y));
    PUT("dicom_id", hdf5_write_strings(f, "dicom_id", y->dicom_id, y->ids));
#undef PUT
    OK(hdf5_finish(f));
    hdf5_close(f);
}

static const forgery sound = {.format = "radialog-embeddings",
                              .kind = "F32",
                              .version = 1,
                              .rows = 2,
                              .rank = 3,
                              .count = 2,
                              .ids = 2,
                              .type = DTYPE_F32,
                              .dicom_id = ids};

static void expect_forged(forgery y, const char *says) {
    embeddings *e;
    forge(&y);
    expect_failure(embeddings_open(&e, scratch("forged.h5")), STATUS_FORMAT, says, "forged.h5",
                   says);
    ck_assert_ptr_null(e);
}

#define FORGED(text, ...)                                                                          \
    do {                                                                                           \
        forgery y = sound;                                                                         \
        __VA_ARGS__;                                                                               \
        expect_forged(y, text);                                                                    \
    } while (0)

START_TEST(forged_files) {
    static const char *const parts[] = {"format", "version", "type", "checkpoint", "model",
                                        "split",  "plan",    "rows", "embeddings", "dicom_id"};
    static const char *const twice[] = {"same", "same"}, *const nameless[] = {"a", ""};
    embeddings *e;
    forge(&sound);
    OK(embeddings_open(&e, scratch("forged.h5")));
    embeddings_close(e);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) FORGED(parts[i], y.skip = parts[i]);
    FORGED("is no file of embeddings", y.format = "radialog-shard");
    FORGED("version 2 of the format", y.version = 2);
    FORGED("says that 3 of 2 rows", y.rows = 3);
    FORGED("says that -1 of 2 rows", y.rows = -1);
    FORGED("only 1 of 2 rows", y.rows = 1);
    FORGED("must be F32", y.type = DTYPE_F64);
    FORGED("must be F32 (-1, -1, -1)", y.rank = 2);
    FORGED("rows of type F64", y.kind = "F64");
    FORGED("must be U8", y.kind = "BF16");
    FORGED("a size of 5", y.kind = "F16", y.type = DTYPE_U8); // half a number
    FORGED("stored in chunks", y.chunked = 1);
    FORGED("a size of 0", y.count = 0);
    FORGED("3 rows, 2 dicom_ids", y.count = 3);
    FORGED("1 rows, 2 dicom_ids", y.count = 1, y.rows = 1);
    FORGED("the dicom_id same is there twice", y.dicom_id = twice);
    FORGED("the dicom_id of row 1 is no text", y.dicom_id = nameless);
}
END_TEST

// Bytes behind the end of a text; a file that is cut; one that is none at all.
START_TEST(damaged_files) {
    buffer file = {0};
    embeddings *e;
    float row[ROW], rows[COUNT * ROW] = {0};
    embeddings_facts facts = facts_of_tests();
    embeddings_writer *w;
    OK(embeddings_create(&w, scratch("whole.h5"), &facts));
    OK(embeddings_add(w, rows, COUNT));
    OK(embeddings_finish(w));
    embeddings_writer_close(w);
    OK(file_read(scratch("whole.h5"), 0, &file));
    char *id = memmem(file.data, file.length, "b-10\0\0\0\0", 8);
    ck_assert_ptr_nonnull(id);
    id[6] = 'x';
    scratch_write(scratch("damaged.h5"), file.data, file.length);
    expect_failure(embeddings_open(&e, scratch("damaged.h5")), STATUS_FORMAT, "behind",
                   "damaged.h5", "row 2 is no text");
    id[6] = 0;
    scratch_write(scratch("damaged.h5"), file.data, file.length - 1);
    expect_failure(embeddings_open(&e, scratch("damaged.h5")), STATUS_FORMAT, "cut", "damaged.h5",
                   NULL);
    scratch_write(scratch("damaged.h5"), "dicom_id,numbers\n", 17);
    expect_failure(embeddings_open(&e, scratch("damaged.h5")), STATUS_FORMAT, "text", "damaged.h5",
                   "as an HDF5 file");
    scratch_write(scratch("damaged.h5"), file.data, file.length);
    OK(embeddings_open(&e, scratch("damaged.h5")));
    ck_assert_int_eq(
        truncate(scratch("damaged.h5"), e->place + (COUNT - 1) * (int64_t)sizeof row + 9), 0);
    OK(embeddings_read(row, e, COUNT - 2));
    expect_failure(embeddings_read(row, e, COUNT - 1), STATUS_FORMAT, "cut in use", "damaged.h5",
                   "cut short");
    embeddings_close(e);
    buffer_free(&file);
}
END_TEST

// A wrong PATH.tmp is not removed.
START_TEST(a_strange_part_stays) {
    embeddings_facts facts = facts_of_tests();
    embeddings_writer *w;
    scratch_write(scratch("strange.h5.tmp"), "somebody's notes", 16);
    expect_failure(embeddings_create(&w, scratch("strange.h5"), &facts), STATUS_FORMAT, "strange",
                   "strange.h5.tmp", "as an HDF5 file");
    int64_t size;
    OK(file_size(scratch("strange.h5.tmp"), &size));
    ck_assert_int_eq(size, 16);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {forged_files, damaged_files, a_strange_part_stays, NULL};
    return run_suite(suite_of("hostile embeddings", tests));
}
