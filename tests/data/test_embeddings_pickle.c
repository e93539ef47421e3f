// data/embeddings.h on pickles: what numpy 1 and 2 and torch 1 and 2 wrote
// (scripts/golden/embeddings.py) gives what they hold, and other pickles are refused by name.
// Nothing that a pickle says is executed.
#include "core/files/fs.h"
#include "data/embeddings.h"
#include "tests/core/helper_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OK(call)                                                                                   \
    do {                                                                                           \
        status rc_ = (call);                                                                       \
        ck_assert_msg(rc_ == STATUS_OK, "%s: %s", #call, status_text());                           \
    } while (0)

#define GOLDEN TEST_DATA "/embeddings/"

// --- golden files --------------------------------------------------------------------------------

static embeddings *open_golden(const char *file) {
    embeddings *e;
    char path[512];
    snprintf(path, sizeof path, "%s%s", GOLDEN, file);
    OK(embeddings_open(&e, path));
    ck_assert_str_eq(e->checkpoint, "");
    ck_assert_str_eq(e->plan, "");
    ck_assert_int_eq(e->type, DTYPE_F32);
    ck_assert_int_eq(e->rows, e->count);
    return e;
}

// A line "id queries width values" of the row I.
static void compare_row(const embeddings *e, const char *file, int64_t i, char *line) {
    char id[64];
    int queries, width, used;
    float row[16];
    ck_assert_int_eq(sscanf(line, "%63s %d %d%n", id, &queries, &width, &used), 3);
    ck_assert_msg(i < e->count, "%s has only %lld rows", file, (long long)e->count);
    ck_assert_str_eq(embeddings_id(e, i), id);
    ck_assert_int_eq(embeddings_find(e, id), i);
    ck_assert_int_eq(e->queries, queries);
    ck_assert_int_eq(e->width, width);
    ck_assert_int_le(queries * width, 16);
    OK(embeddings_read(row, e, i));
    line += used;
    for (int k = 0; k < queries * width; k++) {
        float want = strtof(line, &line);
        ck_assert_msg(row[k] == want, "%s, %s[%d]: %g, expected %g", file, id, k, (double)row[k],
                      (double)want);
    }
    ck_assert_msg(!*line, "%s: more numbers: %s", file, line);
}

static int compare_tag(const char *tag) {
    char path[512], file[64], open_name[64] = "";
    buffer text = {0};
    embeddings *e = NULL;
    int files = 0;
    int64_t next = 0;
    snprintf(path, sizeof path, "%s%s.txt", GOLDEN, tag);
    OK(file_read(path, 0, &text));
    for (char *rest = text.data, *line; (line = strsep(&rest, "\n")) && *line;) {
        ck_assert_int_eq(sscanf(line, "%63s", file), 1);
        if (strcmp(file, open_name)) {
            ck_assert(!e || next == e->count);
            embeddings_close(e);
            e = open_golden(file);
            snprintf(open_name, sizeof open_name, "%s", file);
            next = 0;
            files++;
        }
        compare_row(e, file, next++, line + strlen(file) + 1);
    }
    ck_assert(e && next == e->count);
    ck_assert_int_eq(embeddings_find(e, "stranger"), -1);
    embeddings_close(e);
    buffer_free(&text);
    return files;
}

START_TEST(pickles_of_python) {
    ck_assert_int_eq(compare_tag("one"), 12);
    ck_assert_int_eq(compare_tag("two"), 12);
}
END_TEST

START_TEST(refused_pickles_of_python) {
    static const struct {
        const char *name, *says;
    } cases[] = {
        {"numpy_2",
         "the embedding of a is an array that is not read: it must be float32, and the pickle of "
         "protocol 3 or later"},
        {"torch_2", "protocol 3 or later"},
        {"double", "the embedding of a is of type F64, must be F32"},
        {"swapped", "the embedding of a is big-endian"},
        {"columns", "the embedding of a is stored by columns"},
        {"columns_5", "the embedding of a is stored by columns"},
        {"objects", "it must be float32"},
        {"records", "it must be float32"},
        {"matrix", "the embedding of a is no array"},
        {"flat", "the embedding of a is not of the shape (queries, width)"},
        {"cube", "the embedding of a is not of the shape (queries, width)"},
        {"empty", "the embedding of a is not of the shape (queries, width)"},
        {"unequal", "the embedding of b is (1, 3), others are (2, 3)"},
        {"half", "the embedding of a is of type F16, must be F32"},
        {"turned", "the embedding of a is a tensor whose rows are not behind each other"},
        {"scalar", "the embedding of a is no array"},
        {"number", "the embedding of a is no array"},
        {"numbered", "key 0 of the dict is no dicom_id"},
        {"listed", "is a pickle, but not of a dict"},
        {"nothing", "is a pickle, but not of a dict"},
    };
    static const char *const tags[] = {"one", "two"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int t = 0; t < 2; t++) {
            char path[512];
            embeddings *e;
            snprintf(path, sizeof path, "%s%s_bad_%s.pkl", GOLDEN, tags[t], cases[i].name);
            expect_failure(embeddings_open(&e, path), STATUS_FORMAT, cases[i].name, cases[i].name,
                           cases[i].says);
            ck_assert_ptr_null(e);
        }
}
END_TEST

// --- made by hand --------------------------------------------------------------------------------

typedef struct text {
    const char *bytes;
    size_t size;
} text;
#define BYTES(string) ((text){string, sizeof(string) - 1})

static void put(buffer *b, text t) {
    buffer_append(b, t.bytes, t.size);
}

// {"a": VALUE} as a file.
static status open_value(text value) {
    buffer b = {0};
    embeddings *e = NULL;
    float row[64];
    put(&b, BYTES("\x80\4}\x8c\1a"));
    put(&b, value);
    put(&b, BYTES("s."));
    scratch_write(scratch("hand.pkl"), b.data, b.length);
    status rc = embeddings_open(&e, scratch("hand.pkl"));
    if (!rc) {
        ck_assert_int_eq(e->count, 1);
        ck_assert_int_le(e->queries * e->width, 64);
        OK(embeddings_read(row, e, 0));
    }
    embeddings_close(e);
    buffer_free(&b);
    return rc;
}

#define RECONSTRUCT                                                                                \
    "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85"                               \
    "C\1b\x87R"
#define FLOATS                                                                                     \
    "cnumpy\ndtype\n\x8c\2f4\x89\x88\x87R(K\3\x8c\1<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
#define TWO  "C\x08\0\0\0\0\0\0\x80?"
#define FROM "cnumpy.core.numeric\n_frombuffer\n("

static const text good_arrays[] = {
    BYTES(RECONSTRUCT "(K\1K\1K\2\x86" FLOATS "\x89" TWO "tb"),
    BYTES(RECONSTRUCT "(K\1K\2K\1\x86" FLOATS "\x89" TWO "tb"),
    BYTES(RECONSTRUCT "(K\1K\1K\2\x86" FLOATS "\x89" TWO "tb(K\1K\2K\1\x86" FLOATS "\x89" TWO "tb"),
    BYTES(FROM TWO FLOATS "K\1K\2\x86\x8c\1CtR"),
};
static const struct {
    text value;
    const char *says;
} bad_arrays[] = {
    // Bytes that do not fill the shape.
    {BYTES(RECONSTRUCT "(K\1K\1K\3\x86" FLOATS "\x89" TWO "tb"), "does not fit its 8 bytes"},
    {BYTES(RECONSTRUCT "(K\1K\1K\1\x86" FLOATS "\x89" TWO "tb"), "does not fit its 8 bytes"},
    {BYTES(RECONSTRUCT "(K\1K\0K\2\x86" FLOATS "\x89" TWO "tb"), "does not fit its 8 bytes"},
    {BYTES(FROM TWO FLOATS "K\1K\3\x86\x8c\1CtR"), "does not fit its 8 bytes"},
    {BYTES(RECONSTRUCT "(K\1J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86" FLOATS "\x89" TWO "tb"),
     "does not fit its 8 bytes"},
    {BYTES(RECONSTRUCT "(K\1(J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7ft" FLOATS "\x89" TWO
                       "tb"),
     "does not fit its 8 bytes"},
    // Its size would be 8 again if it were counted modulo 2^64.
    {BYTES(RECONSTRUCT "(K\1\x8a\x8\1\0\0\0\0\0\0@K\2\x86" FLOATS "\x89" TWO "tb"),
     "does not fit its 8"},
    // Parts that are no parts: the array says nothing.
    {BYTES(RECONSTRUCT), "it must be float32"},
    {BYTES(RECONSTRUCT "Nb"), "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1K\1K\2\x86" FLOATS "\x89tb"), "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1K\1K\2\x86" FLOATS "\x89" TWO "Ntb"), "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1K\1K\2\x86" FLOATS "K\0" TWO "tb"), "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1K\1K\2\x86N\x89" TWO "tb"), "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1N" FLOATS "\x89" TWO "tb"), "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1NK\2\x86" FLOATS "\x89" TWO "tb"), "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1J\xff\xff\xff\xffJ\xfe\xff\xff\xff\x86" FLOATS "\x89" TWO "tb"),
     "must be float32"},
    {BYTES(RECONSTRUCT "(K\1(K\1K\1K\1K\1K\1K\1K\1K\1K\2t" FLOATS "\x89" TWO "tb"),
     "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1K\1K\2\x86" FLOATS "\x89\x8c\x08"
                       "abcdefghtb"),
     "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1K\1K\2\x86" FLOATS "\x89" TWO "tbNb"), "it must be float32"},
    {BYTES(FROM TWO FLOATS "K\1K\2\x86\x8c\1AtR"), "it must be float32"},
    {BYTES(FROM TWO FLOATS "K\1K\2\x86tR"), "it must be float32"},
    {BYTES(FROM "tR"), "it must be float32"},
    // Types.
    {BYTES(RECONSTRUCT "(K\1K\1K\1\x86"
                       "cnumpy\ndtype\n\x8c\2O8\x85R\x89" TWO "tb"),
     "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1K\1K\1\x86"
                       "cnumpy\ndtype\n)R\x89" TWO "tb"),
     "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1K\1K\2\x86"
                       "cnumpy\ndtype\n\x8c\2f4\x85R(K\3\x8c\1?NNNtb\x89" TWO "tb"),
     "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1K\1K\2\x86"
                       "cnumpy\ndtype\n\x8c\2f4\x85R(K\3\x8c\1<N\x8c\1xNtb\x89" TWO "tb"),
     "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1K\1K\2\x86"
                       "cnumpy\ndtype\n\x8c\2f4\x85RNb\x89" TWO "tb"),
     "it must be float32"},
    {BYTES(RECONSTRUCT "(K\1K\1K\2\x86"
                       "cnumpy\ndtype\n\x8c\2i4\x85R\x89" TWO "tb"),
     "is of type I32"},
    // A storage of what are no bytes.
    {BYTES("ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_"
           "bytes\nK\7\x85RK\0K\1K\1\x86K\1K\1\x86tR"),
     "it must be float32"},
    {BYTES("ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\n)"
           "RK\0K\1K\1\x86K\1K\1\x86tR"),
     "it must be float32"},
    {BYTES("ctorch.storage\n_load_from_bytes\nC\1x\x85R"), "is no array"},
    // Other things of numpy's.
    {BYTES("cnumpy.core.multiarray\n_reconstruct\n)R"), "is no array"},
    {BYTES("cnumpy.core.multiarray\n_reconstruct\ncnumpy\nmatrix\nK\0\x85"
           "C\1b\x87R"),
     "is no array"},
    {BYTES(FLOATS), "is no array"},
    {BYTES("cnumpy.core.multiarray\n_reconstruct\n)\x81"), "which is no class"},
    {BYTES("cnumpy.core.multiarray\n_reconstruct\n}b"),
     "changes numpy.core.multiarray._reconstruct"},
    {BYTES("cnumpy\narray\n)R"), "calls numpy.array"},
    {BYTES("cnumpy\nload\n\x8c\1x\x85R"), "calls numpy.load"},
    {BYTES(RECONSTRUCT "K\1a"), "adds to something"},
    {BYTES("cos\nsystem\n\x8c\2ls\x85R"), "calls os.system, which is no tensor"},
};

START_TEST(arrays_made_by_hand) {
    for (size_t i = 0; i < sizeof good_arrays / sizeof *good_arrays; i++)
        ck_assert_msg(!open_value(good_arrays[i]), "%zu: %s", i, status_text());
    for (size_t i = 0; i < sizeof bad_arrays / sizeof *bad_arrays; i++) {
        char label[100];
        snprintf(label, sizeof label, "%zu: %s", i, bad_arrays[i].says);
        expect_failure(open_value(bad_arrays[i].value), STATUS_FORMAT, label, "hand.pkl",
                       bad_arrays[i].says);
    }
}
END_TEST

// The storage of torch 1's file in one_torch_3.pkl, with a view of its own around it, or damage
// inside.
static buffer blob_of_torch(void) {
    buffer file = {0}, blob = {0};
    OK(file_read(GOLDEN "one_torch_3.pkl", 0, &file));
    char *start = memmem(file.data, file.length, "_load_from_bytes\n", 17);
    ck_assert_ptr_nonnull(start);
    char *bytes = memchr(start, 'B', 24);
    ck_assert_ptr_nonnull(bytes);
    uint32_t length;
    memcpy(&length, bytes + 1, sizeof length);
    ck_assert_uint_lt(length, 1000);
    buffer_append(&blob, bytes + 5, length);
    buffer_free(&file);
    return blob;
}

static status open_view(const buffer *blob, const char *function, text rest) {
    buffer b = {0};
    const uint32_t length = (uint32_t)blob->length;
    buffer_print(&b, "ctorch._utils\n%s\n(ctorch.storage\n_load_from_bytes\nB", function);
    buffer_append(&b, &length, sizeof length);
    buffer_append(&b, blob->data, blob->length);
    put(&b, BYTES("\x85R"));
    put(&b, rest);
    status rc = open_value((text){b.data, b.length});
    buffer_free(&b);
    return rc;
}

START_TEST(tensors_made_by_hand) {
    static const char v2[] = "_rebuild_tensor_v2", v3[] = "_rebuild_tensor_v3";
    static const struct {
        const char *function;
        text rest;
        const char *says; // NULL: it is read
    } cases[] = {
        {v2, BYTES("K\0K\2K\3\x86K\3K\1\x86tR"), NULL},
        {v2, BYTES("K\4K\1K\2\x86K\x09K\1\x86tR"), NULL},
        {v2, BYTES("K\5K\1K\1\x86K\x09K\x09\x86tR"), NULL},
        {v2, BYTES("K\0K\2K\3\x86K\3K\1\x86tR}b"), NULL},
        {v3, BYTES("K\0K\2K\3\x86K\3K\1\x86\x89Nctorch\nfloat32\ntR"), NULL},
        {v3, BYTES("K\0K\2K\3\x86K\3K\1\x86\x89Nctorch\nint32\ntR"), "has two types"},
        {v2, BYTES("K\1K\2K\3\x86K\3K\1\x86tR"), "reaches beyond its storage"},
        {v2, BYTES("K\0K\2K\4\x86K\4K\1\x86tR"), "reaches beyond its storage"},
        {v2, BYTES("\x8a\x8\xff\xff\xff\xff\xff\xff\xff\x7fK\1K\1\x86K\1K\1\x86tR"),
         "reaches beyond its storage"},
        {v2, BYTES("K\0J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86J\xff\xff\xff\x7fK\1\x86tR"),
         "reaches beyond"},
        {v2, BYTES("K\0K\2K\3\x86K\1K\2\x86tR"), "not behind each other"},
        {v2, BYTES("K\0K\2K\3\x86K\0K\1\x86tR"), "not behind each other"},
        {v2, BYTES("K\0K\6\x85K\1\x85tR"), "not of the shape (queries, width)"},
        {v2, BYTES("K\0K\2K\3\x86K\1\x85tR"), "a tensor of 2 sizes and 1 strides"},
        {v2, BYTES("K\0K\2K\3\x86tR"), "a tensor without a storage"},
        {v2, BYTES("NK\2K\3\x86K\3K\1\x86tR"), "offset is no whole number"},
    };
    buffer blob = blob_of_torch();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char label[100];
        snprintf(label, sizeof label, "%zu: %s", i, cases[i].says ? cases[i].says : "to be read");
        status rc = open_view(&blob, cases[i].function, cases[i].rest);
        if (cases[i].says)
            expect_failure(rc, STATUS_FORMAT, label, "hand.pkl", cases[i].says);
        else
            ck_assert_msg(!rc, "%s: %s", label, status_text());
    }
    buffer_free(&blob);
}
END_TEST

// Replaces WHAT in B by WITH.
static void splice(buffer *b, text what, text with) {
    buffer out = {0};
    char *at = memmem(b->data, b->length, what.bytes, what.size);
    ck_assert_msg(at != NULL, "%.*s: not found", (int)what.size, what.bytes);
    buffer_append(&out, b->data, (size_t)(at - b->data));
    put(&out, with);
    buffer_append(&out, at + what.size, b->length - what.size - (size_t)(at - b->data));
    buffer_free(b);
    *b = out;
}

static const text six_floats = BYTES("K\0K\2K\3\x86K\3K\1\x86tR");

static void expect_blob_refused(text what, text with, const char *says) {
    buffer blob = blob_of_torch();
    splice(&blob, what, with);
    expect_failure(open_view(&blob, "_rebuild_tensor_v2", six_floats), STATUS_FORMAT, says,
                   "hand.pkl: the embedding of a", says);
    buffer_free(&blob);
}

START_TEST(storages_made_by_hand) {
    expect_blob_refused(BYTES("\x8a\nl"), BYTES("\x8a\nm"), "its magic number is missing");
    expect_blob_refused(BYTES("M\xe9\3."), BYTES("M\xea\3."), "a version other than 1001");
    expect_blob_refused(BYTES("little_endianq\2\x88"), BYTES("little_endianq\2\x89"), "big-endian");
    expect_blob_refused(BYTES("FloatStorage"), BYTES("OtherStorage"), "are not read");
    expect_blob_refused(BYTES("FloatStorage"), BYTES("ByteStorage"),
                        "bytes behind the last storage");
    expect_blob_refused(BYTES("FloatStorage"), BYTES("DoubleStorage"), "reaches beyond the end");
    expect_blob_refused(BYTES("K\6"), BYTES("K\5"), "has 6 elements, the object says 5");
    expect_blob_refused(BYTES("\6\0\0\0\0\0\0\0"), BYTES("\7\0\0\0\0\0\0\0"),
                        "reaches beyond the end");
    expect_blob_refused(BYTES("\6\0\0\0\0\0\0\0"), BYTES("\5\0\0\0\0\0\0\0"), "has 5 elements");
    expect_blob_refused(BYTES("q\4Q."), BYTES("q\4N."), "1 values left");
    expect_blob_refused(BYTES("q\4Q."), BYTES("q\4."), "belongs to no tensor");
    expect_blob_refused(BYTES("q\4Q."), BYTES("q\4Q0N."), "is not one storage");
    expect_blob_refused(
        BYTES("q\4Q."),
        BYTES("Q0(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0xX\3\0\0\0cpuK\6NtQ."),
        "is another storage than it says");
    // The same key again, with wider numbers.
    expect_blob_refused(BYTES("q\4Q."), BYTES("Q0(h\0ctorch\nDoubleStorage\nh\2h\3K\6NtQ."), NULL);
    buffer blob = blob_of_torch();
    splice(&blob, BYTES("FloatStorage"), BYTES("UntypedStorage"));
    splice(&blob, BYTES("K\6"), BYTES("K\x18"));
    splice(&blob, BYTES("\6\0\0\0\0\0\0\0"), BYTES("\x18\0\0\0\0\0\0\0"));
    expect_failure(open_view(&blob, "_rebuild_tensor_v2", six_floats), STATUS_FORMAT, "untyped",
                   "hand.pkl: the embedding of a", "is a storage without a type");
    buffer_free(&blob);
    buffer none = {0};
    buffer_text(&none, "");
    expect_failure(open_view(&none, "_rebuild_tensor_v2", six_floats), STATUS_FORMAT,
                   "an empty file", "hand.pkl", "needs 1 more bytes");
    buffer_free(&none);
}
END_TEST

START_TEST(dicts_made_by_hand) {
#define ROW RECONSTRUCT "(K\1K\1K\2\x86" FLOATS "\x89" TWO "tb"
    static const struct {
        text file;
        const char *says;
    } cases[] = {
        {BYTES("\x80\4}(\x8c\1a" ROW "\x8c\1b" ROW "u."), NULL},
        {BYTES("\x80\4}(\x8c\1a" ROW "\x8c\1a" ROW "u."), "the dicom_id a is there twice"},
        {BYTES("\x80\4}\x8c\0" ROW "s."), "key 0 of the dict is no dicom_id"},
        {BYTES("\x80\4}(\x8c\1a" ROW "\x8c\3b\0c" ROW "u."), "key 1 of the dict is no dicom_id"},
        {BYTES("\x80\4}\x8c\3a\033b" ROW "s."), "key 0 of the dict is no dicom_id"},
        {BYTES("\x80\4}C\1a" ROW "s."), "key 0 of the dict is no dicom_id"},
        {BYTES("\x80\4}\x8c\1a" ROW "s.."), "1 bytes behind the dict"},
        {BYTES("\x80\4}q\0\x8c\1ah\0s."), "the embedding of a is no array"},
        {BYTES("\x80\4N."), "not of a dict"},
        {BYTES("\x80"), "needs 1 more bytes"},
        {BYTES("dicom_id,numbers\n"), "as an HDF5 file"},
        {BYTES(""), "as an HDF5 file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        embeddings *e;
        scratch_write(scratch("dict.pkl"), cases[i].file.bytes, cases[i].file.size);
        status rc = embeddings_open(&e, scratch("dict.pkl"));
        if (cases[i].says)
            expect_failure(rc, STATUS_FORMAT, cases[i].says, "dict.pkl", cases[i].says);
        else
            ck_assert_msg(!rc, "%s", status_text());
        embeddings_close(e);
    }
}
END_TEST

// --- damage --------------------------------------------------------------------------------------

static void try_file(const buffer *b) {
    embeddings *e;
    float *row;
    scratch_write(scratch("damaged.pkl"), b->data, b->length);
    status rc = embeddings_open(&e, scratch("damaged.pkl"));
    if (rc) {
        ck_assert_int_eq(rc, STATUS_FORMAT);
        expect_clean_text("damage");
        return;
    }
    OK(mem_new(&row, (int64_t)e->queries * e->width, "a row"));
    for (int64_t i = 0; i < e->count; i++) OK(embeddings_read(row, e, i));
    mem_free(row);
    embeddings_close(e);
}

START_TEST(damaged_files) {
    static const char *const files[] = {"one_numpy_3.pkl", "two_numpy_4.pkl", "two_numpy_5.pkl",
                                        "one_torch_views_4.pkl", "two_torch_4.pkl"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[512];
        buffer b = {0};
        uint64_t state = 5 + i;
        snprintf(path, sizeof path, "%s%s", GOLDEN, files[i]);
        OK(file_read(path, 0, &b));
        for (size_t cut = 0, whole = b.length; cut < whole; cut++) {
            embeddings *e;
            scratch_write(scratch("cut.pkl"), b.data, cut);
            ck_assert_msg(embeddings_open(&e, scratch("cut.pkl")) == STATUS_FORMAT,
                          "%s cut to %zu bytes", files[i], cut);
        }
        for (int k = 0; k < 500; k++) {
            buffer changed = {0};
            buffer_append(&changed, b.data, b.length);
            fuzz_mutate(&changed, &state);
            try_file(&changed);
            buffer_free(&changed);
        }
        buffer_free(&b);
    }
}
END_TEST

START_TEST(without_memory) {
    static const char *const files[] = {"one_numpy_3.pkl", "two_torch_4.pkl"};
    for (int i = 0; i < 2; i++) {
        char path[512];
        status rc = STATUS_MEMORY;
        snprintf(path, sizeof path, "%s%s", GOLDEN, files[i]);
        for (int64_t n = 1; rc; n++) {
            embeddings *e;
            mem_fail_at(n);
            rc = embeddings_open(&e, path);
            mem_fail_at(0);
            ck_assert_msg(rc == STATUS_OK || rc == STATUS_MEMORY, "%s", status_text());
            embeddings_close(e);
        }
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {pickles_of_python,
                                  refused_pickles_of_python,
                                  arrays_made_by_hand,
                                  tensors_made_by_hand,
                                  storages_made_by_hand,
                                  dicts_made_by_hand,
                                  damaged_files,
                                  without_memory,
                                  NULL};
    return run_suite(suite_of("embeddings in pickles", tests));
}
