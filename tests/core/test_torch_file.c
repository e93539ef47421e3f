// core/files/torch_file.h and core/files/weights.h: files of torch.save give what torch holds, unusual ones
// are read, and wrong ones are refused by name.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "core/files/torch_file.h"
#include "core/files/weights.h"
#include "tests/core/helper_check.h"
#include "tests/core/helper_torch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- golden files --------------------------------------------------------------------------------
static void compare_golden(weights *w, size_t index, const char *line) {
    char name[256], type[16], text[400];
    int rank, used, count;
    uint32_t crc, have;
    double values[4] = {0};
    const weight_entry *e = weights_at(w, index);
    ck_assert_int_eq(sscanf(line, "%255[^\t]\t%15s\t%d%n", name, type, &rank, &used), 3);
    snprintf(text, sizeof text, "%s: %s", weights_path(w), name);
    ck_assert_str_eq(e->name, name);
    ck_assert_ptr_eq(weights_lookup(w, name), e);
    ck_assert_msg(!strcmp(e->type_name, type) && e->rank == rank, "%s: %s of rank %d", text, e->type_name,
                  e->rank);
    line += used;
    int64_t elements = 1;
    for (int i = 0; i < rank; i++) {
        long long size;
        ck_assert_int_eq(sscanf(line, "%lld%n", &size, &used), 1);
        ck_assert_msg(e->dim[i] == size, "%s: size %d", text, i);
        elements *= size;
        line += used;
    }
    ck_assert_int_eq(e->count, elements);
    ck_assert_int_eq(sscanf(line, "%x %d%n", &crc, &count, &used), 2);
    for (int i = 0; i < count; i++) values[i] = strtod(line += i ? 0 : used, (char **)&line);
    ck_assert_int_eq(weights_checksum(w, e, &have), STATUS_OK);
    ck_assert_msg(have == crc, "%s: CRC-32 %08x, torch has %08x", text, have, crc);
    double *wide = calloc((size_t)elements + 1, sizeof *wide);
    float *narrow = calloc((size_t)elements + 1, sizeof *narrow);
    ck_assert_int_eq(weights_read_f64(w, e, wide), STATUS_OK);
    ck_assert_int_eq(weights_read_f32(w, e, narrow), STATUS_OK);
    for (int i = 0; i < count; i++)
        ck_assert_msg(wide[i] == values[i] && narrow[i] == (float)values[i], "%s: [%d] %g, %g, torch has %g",
                      text, i, wide[i], (double)narrow[i], values[i]);
    free(wide);
    free(narrow);
}

static int compare_tag(const char *tag) {
    char path[512], open_name[128] = "", file[128];
    buffer text = {0};
    weights *w = NULL;
    size_t next = 0;
    int files = 0;
    snprintf(path, sizeof path, "%s/torch/%s.txt", TEST_DATA, tag);
    ck_assert_int_eq(file_read(path, 0, &text), STATUS_OK);
    for (char *rest = text.data, *line; (line = strsep(&rest, "\n")) && *line;) {
        ck_assert_int_eq(sscanf(line, "%127[^\t]", file), 1);
        if (strcmp(file, open_name)) {
            ck_assert(!w || next == weights_count(w));
            weights_close(w);
            snprintf(open_name, sizeof open_name, "%s", file);
            snprintf(path, sizeof path, "%s/torch/%s", TEST_DATA, file);
            ck_assert_msg(!weights_open(&w, path), "%s", status_text());
            ck_assert_str_eq(weights_format(w), strstr(file, "legacy") ? "PyTorch legacy" : "PyTorch zip");
            next = 0;
            files++;
        }
        compare_golden(w, next++, line + strlen(file) + 1);
    }
    ck_assert_uint_eq(next, weights_count(w));
    weights_close(w);
    buffer_free(&text);
    return files;
}

START_TEST(files_of_torch) {
    ck_assert_int_eq(compare_tag("torch1"), 6);
    ck_assert_int_eq(compare_tag("torch2"), 6);
}
END_TEST

// --- made by hand --------------------------------------------------------------------------------
static const pk_tensor six = {"0", "FloatStorage", 6, 0, 2, {2, 3}, {3, 1}};

static void expect_floats(const buffer *file, size_t index, const char *name, int count,
                          const float *expected) {
    torch_file *f;
    float have[64];
    ck_assert_msg(!torch_file_open_memory(&f, "hand.pt", file->data, file->length), "%s", status_text());
    const torch_entry *e = torch_file_at(f, index);
    ck_assert_str_eq(e->name, name);
    ck_assert_int_eq(e->count, count);
    ck_assert_msg(!torch_file_copy(f, e, 0, count, have), "%s", status_text());
    for (int i = 0; i < count; i++) ck_assert_msg(have[i] == expected[i], "%s[%d] is %g", name, i, (double)have[i]);
    // In two pieces, cut anywhere, the same.
    for (int cut = 0; cut <= count; cut++) {
        float again[64];
        ck_assert_int_eq(torch_file_copy(f, e, 0, cut, again), STATUS_OK);
        ck_assert_int_eq(torch_file_copy(f, e, cut, count - cut, again + cut), STATUS_OK);
        ck_assert_mem_eq(again, have, (size_t)count * sizeof *have);
    }
    torch_file_close(f);
}

START_TEST(views_of_one_storage) {
    static const struct {
        pk_tensor tensor;
        int count;
        float expected[12];
    } cases[] = {
        {{"0", "FloatStorage", 6, 0, 2, {2, 3}, {3, 1}}, 6, {0, 1, 2, 3, 4, 5}},
        {{"0", "FloatStorage", 6, 0, 2, {3, 2}, {1, 3}}, 6, {0, 3, 1, 4, 2, 5}},
        {{"0", "FloatStorage", 6, 1, 1, {3}, {2}}, 3, {1, 3, 5}},
        {{"0", "FloatStorage", 6, 5, 0, {0}, {0}}, 1, {5}},
        {{"0", "FloatStorage", 6, 2, 2, {2, 3}, {0, 1}}, 6, {2, 3, 4, 2, 3, 4}},
        {{"0", "FloatStorage", 6, 2, 2, {2, 3}, {1, 0}}, 6, {2, 2, 2, 3, 3, 3}},
        {{"0", "FloatStorage", 6, 0, 3, {3, 1, 2}, {1, INT64_MAX, 3}}, 6, {0, 3, 1, 4, 2, 5}},
        {{"0", "FloatStorage", 6, 0, 3, {2, 1, 3}, {3, INT64_MAX, 1}}, 6, {0, 1, 2, 3, 4, 5}},
        {{"0", "FloatStorage", 6, 99, 2, {0, INT64_MAX}, {1, 1}}, 0, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer pickle = {0}, file = {0}, legacy = {0};
        pk_open(&pickle);
        pk_entry(&pickle, "first", &six);
        pk_entry(&pickle, "view", &cases[i].tensor);
        pk_close(&pickle);
        torch_zip(&file, "any name", &pickle, 6);
        torch_legacy(&legacy, &pickle, 6, 6);
        expect_floats(&file, 1, "view", cases[i].count, cases[i].expected);
        expect_floats(&legacy, 1, "view", cases[i].count, cases[i].expected);
        buffer_free(&pickle);
        buffer_free(&file);
        buffer_free(&legacy);
    }
}
END_TEST

// The parts of the usual file, to be written in unusual ways.
static void usual_parts(zip_part parts[3], buffer *pickle, const float numbers[6]) {
    pk_open(pickle);
    pk_entry(pickle, "w", &six);
    pk_close(pickle);
    parts[0] = (zip_part){.name = "r/data.pkl", .data = pickle->data, .size = pickle->length};
    parts[1] = (zip_part){.name = "r/data/0", .data = numbers, .size = 24};
    parts[2] = (zip_part){.name = "r/byteorder", .data = "little", .size = 6};
}

START_TEST(unusual_archives) {
    static const float numbers[6] = {1, -2, 3.5f, 0, 5, 6};
    for (int i = 0; i < 8; i++) {
        zip_part parts[3];
        buffer pickle = {0}, file = {0};
        usual_parts(parts, &pickle, numbers);
        parts[0].deflate = i & 1;
        parts[1].deflate = i & 2;
        zip_write(&file, parts, 3, i & 4 ? ZIP_WIDE : 0);
        expect_floats(&file, 0, "w", 6, numbers);
        buffer_free(&pickle);
        buffer_free(&file);
    }
}
END_TEST

START_TEST(big_endian_numbers) {
    float numbers[6] = {1, -2, 3.5f, 0, 5, 6}, turned[6];
    zip_part parts[3];
    buffer pickle = {0}, file = {0};
    memcpy(turned, numbers, sizeof turned);
    element_swap(turned, sizeof *turned, 6);
    ck_assert_mem_ne(turned, numbers, sizeof numbers);
    usual_parts(parts, &pickle, turned);
    parts[2].data = "big";
    parts[2].size = 3;
    zip_write(&file, parts, 3, 0);
    expect_floats(&file, 0, "w", 6, numbers);
    buffer_free(&pickle);
    buffer_free(&file);
}
END_TEST

// A pickle whose dict also holds OTHER under "x" is read, and gives the one tensor.
static void expect_passed_over(const char *other, size_t size) {
    static const float zero_to_five[6] = {0, 1, 2, 3, 4, 5};
    buffer pickle = {0}, file = {0};
    pk_open(&pickle);
    pk_text(&pickle, "x");
    pk_bytes(&pickle, other, size);
    pk_entry(&pickle, "w", &six);
    pk_close(&pickle);
    torch_zip(&file, "archive", &pickle, 6);
    expect_floats(&file, 0, "w", 6, zero_to_five);
    buffer_free(&pickle);
    buffer_free(&file);
}

START_TEST(other_things_are_passed_over) {
#define PASS(text) expect_passed_over(text, sizeof text - 1)
    PASS("N");
    PASS("\x88");
    PASS("G\x3f\xf0\0\0\0\0\0\0");
    PASS("\x8c\3abc");
    PASS("\x8d\3\0\0\0\0\0\0\0abc");
    PASS("C\2\0\1");
    PASS("\x8b\x9\0\0\0\1\2\3\4\5\6\7\x8\x9");
    PASS("]q\0(K\1K\2h\0e0]"); // a list that holds itself, dropped again
    PASS("(K\1K\2K\3t");
    PASS("(K\1K\2d");
    PASS("(K\1K\2l");
    PASS("\x8f(K\1\x90");
    PASS("(K\1\x91");
    PASS("K\1\x85K\2K\3\x86\x86");
    PASS("(((111N"); // marks are taken away again
    PASS("cos\nsystem\n");                       // named, never called
    PASS("ccollections\nOrderedDict\n)R}b");     // with a state
    PASS("ccollections\nOrderedDict\n)\x81");    // made by NEWOBJ
    PASS("ccollections\nOrderedDict\n(](K\1K\2\x86K\3K\4\x86" "etR");
    PASS("ccollections\ndefaultdict\nc__builtin__\nlist\n\x85RK\1K\2s");
    PASS("c__builtin__\nset\n]K\1a\x85R");
    PASS("ctorch\nfloat16\n");
    PASS("ctorch\nSize\nK\1K\2\x86\x85R");
    PASS("ctorch\ndevice\n\x8c\3cpu\x85R");
    PASS("cargparse\nNamespace\n)\x81}\x8c\1aK\1sb");
    PASS("cpathlib\nPosixPath\n\x8c\1a\x85R");
    PASS("c_codecs\nencode\n\x8c\1a\x8c\6latin1\x86R");
    // Arrays of numpy's: of bytes, of other things, in protocol 5, and a scalar.
#define EMPTY_ARRAY "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" "C\1b\x87R"
#define OF_BYTES "cnumpy\ndtype\n\x8c\2u1\x89\x88\x87R(K\3\x8c\1|NNNtb"
    PASS(EMPTY_ARRAY "(K\1K\2\x85" OF_BYTES "\x89" "C\2abtb");
    PASS(EMPTY_ARRAY "(K\1K\2\x85" "cnumpy\ndtype\n\x8c\2O8\x85R\x89]tb");
    PASS("cnumpy._core.numeric\n_frombuffer\n(C\2ab" OF_BYTES "K\2\x85\x8c\1CtR");
    PASS("cnumpy.core.multiarray\nscalar\n" OF_BYTES "C\1a\x86R");
    PASS("\x8c\13collections\x8c\13OrderedDict\x93)R"); // STACK_GLOBAL
    PASS("\x95\2\0\0\0\0\0\0\0K\1");                    // a frame
    PASS("K\1\x94" "0h\0");                             // MEMOIZE
    PASS("K\1r\7\0\0\0" "0j\7\0\0\0");
    PASS("K\1" "2" "0");
}
END_TEST

START_TEST(other_rebuilds) {
    static const float zero_to_two[3] = {0, 1, 2};
#define STORAGE(type) "((X\7\0\0\0storage" type "X\1\0\0\0\60X\3\0\0\0cpuK\14tQK\0K\3\x85K\1\x85"
    // An untyped storage of 12 bytes and a type: alone, as a parameter, as a class of tensors.
    static const char call[] = "ctorch._utils\n_rebuild_tensor_v3\n";
    static const char args[] = STORAGE("ctorch.storage\nUntypedStorage\n") "\x89Nctorch\nfloat32\nt";
    buffer pickle = {0}, file = {0};
    float data[3] = {0, 1, 2};
    for (int wrap = 0; wrap < 3; wrap++) {
        pickle.length = file.length = 0;
        buffer_text(&pickle, "\x80\2}\x8c\1w");
        if (wrap == 1) buffer_text(&pickle, "ctorch._utils\n_rebuild_parameter\n");
        if (wrap == 2)
            buffer_text(&pickle, "ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n"
                                 "_rebuild_tensor_v3\ncmine\nTensor\n");
        if (wrap < 2) buffer_text(&pickle, call);
        pk_bytes(&pickle, args, sizeof args - 1);
        if (wrap < 2) buffer_text(&pickle, "R");
        if (wrap == 1) buffer_text(&pickle, "\x88N\x87R");
        if (wrap == 2) buffer_text(&pickle, "}tR");
        buffer_text(&pickle, "s.");
        zip_part parts[] = {{.name = "a/data.pkl", .data = pickle.data, .size = pickle.length},
                            {.name = "a/data/0", .data = data, .size = sizeof data}};
        zip_write(&file, parts, 2, 0);
        expect_floats(&file, 0, "w", 3, zero_to_two);
    }
    buffer_free(&pickle);
    buffer_free(&file);
}
END_TEST

// --- refusals ------------------------------------------------------------------------------------
static void expect_refused(const buffer *file, const char *reason) {
    torch_file *f = NULL;
    char all[1 << 12];
    status rc = torch_file_open_memory(&f, "bad.pt", file->data, file->length);
    // What is only found when numbers are read.
    for (size_t i = 0; !rc && i < torch_file_count(f); i++) {
        const torch_entry *e = torch_file_at(f, i);
        rc = torch_file_copy(f, e, 0, e->count < 8 ? e->count : 8, all);
    }
    torch_file_close(f);
    expect_failure(rc, STATUS_FORMAT, reason, "bad.pt", reason);
}

START_TEST(wrong_pickles) {
    static const struct {
        const char *text;
        size_t size;
        const char *reason;
    } cases[] = {
#define BAD(text, reason) {text, sizeof(text) - 1, reason}
        BAD("\x80\2cos\nsystem\n\x8c\2ls\x85R.",
            "bad.pt: data.pkl: byte 18: calls os.system, which is no tensor; files that run code are not read"),
        BAD("\x80\2cbuiltins\neval\n\x8c\1a\x85R.", "calls builtins.eval"),
        BAD("\x80\2\x8c\2os\x8c\6system\x93)\x81.", "calls os.system"),
        BAD("\x80\2cos\nsystem\n)}\x92.", "calls os.system"),
        BAD("\x80\2cos\nsystem\n}b.", "changes os.system"),
        BAD("\x80\2(S'ls'\nios\nsystem\n.", "opcode 'S' of protocols 0 and 1"),
        BAD("\x80\2(\x8c\2lsios\nsystem\n.", "makes an object (opcode 'i')"),
        BAD("\x80\2(cos\nsystem\n\x8c\2lso.", "makes an object (opcode 'o')"),
        BAD("\x80\2\x82\1.", "refers to an extension"),
        BAD("\x80\2ctorch._utils\n_rebuild_tensor_v2\n)R.", "a tensor without a storage"),
        BAD("\x80\2ctorch._utils\n_rebuild_tensor_v2\n)\x81.", "which is no class"),
        BAD("\x80\2ctorch._utils\n_rebuild_parameter\nN\x85R.", "a parameter without a tensor"),
        BAD("\x80\2ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN)tR.", "in another way than torch's own"),
        BAD("\x80\2ctorch._utils\n_rebuild_tensor_v2\nNR.", "calls with what is no tuple"),
        BAD("\x80\2K\1)R.", "calls something that is no function"),
        BAD("\x80\2K\1}b.", "changes the state"),
        BAD("\x80\2K\1Q.", "outside the pickle that is no storage"),
        BAD("\x80\2(\x8c\6modulectorch\nx\n\x8c\1a\x8c\1bK\1tQ.", "no storage"),
        BAD("\x80\2(\x8c\7storagectorch\nComplexFloatStorage\n\x8c\1\60\x8c\3cpuK\1tQ.",
            "storages of type torch.ComplexFloatStorage"),
        BAD("\x80\2(\x8c\7storagectorch\nFloatStorage\n\x8c\1\60\x8c\3cpuJ\xff\xff\xff\xfftQ.", "a storage of -1"),
        BAD("\x80\2(\x8c\7storagectorch\nFloatStorage\n\x8c\1\60\x8c\3cpu\x8a\1\xfftQ.", "a storage of -1"),
        BAD("\x80\2ctorch._utils\n_rebuild_tensor_v2\n((\x8c\7storagectorch\nFloatStorage\n\x8c\1\60\x8c\3cpu"
            "K\1tQK\0K\1\x85K\1K\1\x86tR.", "a tensor of 1 sizes and 2 strides"),
        BAD("\x80\2" EMPTY_ARRAY "(K\1K\3\x85" OF_BYTES "\x89" "C\2abtb.",
            "an array of U8 whose shape does not fit its 2 bytes"),
        BAD("\x80\2}\x8c\1actorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\nC\1x\x85R"
            "K\0K\1\x85K\1\x85tRs.", "\"a\" is a tensor as pickle.dump writes it"),
        BAD("\x80\6.", "protocol 6"),
        BAD("\x80\1.", "protocol 1"),
        BAD("\x80\2\x95\xff\0\0\0\0\0\0\0N.", "a frame of 255 bytes"),
        BAD("\x80\2.", "takes a value from an empty stack"),
        BAD("\x80\2(.", "takes a value from an empty stack"),
        BAD("\x80\2(\x85.", "takes a value from an empty stack"),
        BAD("\x80\2(N\x86.", "takes a value from an empty stack"),
        BAD("\x80\2Na.", "empty stack"),
        BAD("\x80\2(NNs.", "adds to an empty stack"),
        BAD("\x80\2((e.", "adds to an empty stack"),
        BAD("\x80\2NN.", "1 values left"),
        BAD("\x80\2t.", "no mark"),
        BAD("\x80\2" "1.", "no mark"),
        BAD("\x80\2" "0.", "empty stack"),
        BAD("\x80\2" "2.", "empty stack"),
        BAD("\x80\2K\1K\2a.", "no list"),
        BAD("\x80\2]K\1K\2s.", "no dict"),
        BAD("\x80\2}(K\1u.", "a key without a value"),
        BAD("\x80\2(K\1d.", "a key without a value"),
        BAD("\x80\2h\0.", "memo number 0 was never set"),
        BAD("\x80\2Nq\1h\0.", "memo number 0 was never set"),
        BAD("\x80\2Nr\xff\xff\xff\xff.", "memo number 4294967295 is more than"),
        BAD("\x80\2Nr\xff\0\0\0.", "memo number 255 is more than a pickle of 9 bytes can have"),
        BAD("\x80\2q\0.", "remembers from an empty stack"),
        BAD("\x80\2X\xff\xff\xff\xff.", "needs 4294967295 more bytes, there are 1"),
        BAD("\x80\2\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "needs 18446744073709551615 more bytes"),
        BAD("\x80\2\x8b\0\0\0\x80.", "a number of -2147483648 bytes"),
        BAD("\x80\2\x8b\xff\xff\xff\x7f.", "needs 2147483647 more bytes"),
        BAD("\x80\2cos", "a name without an end"),
        BAD("\x80\2K\1K\2\x93.", "by what is no text"),
        BAD("\x80\2\x7f.", "unknown opcode 0x7f"),
        BAD("\x80\2N", "needs 1 more bytes"),
        BAD("\x80\2N..", "1 bytes behind the object"),
        BAD("\x80\2]q\0h\0a.", "contains itself"),
        BAD("\x80\2}q\0K\1]h\0as.", "contains itself"),
        BAD("", "needs 1 more bytes"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer pickle = {0}, file = {0};
        buffer_append(&pickle, cases[i].text, cases[i].size);
        torch_zip(&file, "archive", &pickle, 1);
        expect_refused(&file, cases[i].reason);
        buffer_free(&pickle);
        buffer_free(&file);
    }
}
END_TEST

START_TEST(wrong_tensors) {
    static const struct {
        pk_tensor tensor;
        const char *reason;
    } cases[] = {
        {{"0", "FloatStorage", 7, 0, 1, {6}, {1}}, "storage \"0\" has 24 bytes, the object says 7 elements of 4"},
        {{"0", "DoubleStorage", 6, 0, 1, {6}, {1}}, "the object says 6 elements of 8"},
        {{"0", "FloatStorage", 1LL << 62, 0, 1, {6}, {1}}, "the object says"},
        {{"1", "FloatStorage", 6, 0, 1, {6}, {1}}, "\"w\" lies in a storage that the file does not hold"},
        {{"../0", "FloatStorage", 6, 0, 1, {6}, {1}}, "does not hold"},
        {{"0", "FloatStorage", 6, 0, 1, {7}, {1}}, "\"w\" reaches element 6 of a storage of 6"},
        {{"0", "FloatStorage", 6, 1, 1, {6}, {1}}, "reaches element 6"},
        {{"0", "FloatStorage", 6, 0, 2, {2, 2}, {5, 1}}, "reaches element 6"},
        {{"0", "FloatStorage", 6, 6, 0, {0}, {0}}, "reaches element 6"},
        {{"0", "FloatStorage", 6, INT64_MAX, 0, {0}, {0}}, "more elements than can exist"},
        {{"0", "FloatStorage", 6, 0, 2, {1LL << 32, 1LL << 32}, {0, 0}}, "more elements than can exist"},
        {{"0", "FloatStorage", 6, 0, 2, {3, 3}, {1LL << 62, 1LL << 62}}, "more elements than can exist"},
        {{"0", "FloatStorage", 6, 0, 1, {1LL << 25}, {0}}, "refused as a bomb"},
        {{"0", "FloatStorage", 6, 0, 1, {-1}, {1}}, "a tensor with a size of -1"},
        {{"0", "FloatStorage", 6, 0, 1, {2}, {-1}}, "a tensor with a stride of -1"},
        {{"0", "FloatStorage", 6, -1, 1, {2}, {1}}, "offset is no whole number from 0"},
        {{"0", "FloatStorage", 6, 0, 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {0}}, "9 dimensions; at most 8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer pickle = {0}, file = {0};
        pk_open(&pickle);
        pk_entry(&pickle, "w", &cases[i].tensor);
        pk_close(&pickle);
        torch_zip(&file, "archive", &pickle, 6);
        expect_refused(&file, cases[i].reason);
        buffer_free(&pickle);
        buffer_free(&file);
    }
}
END_TEST

static void expect_names_refused(const char *first, const char *second, const char *reason) {
    buffer pickle = {0}, file = {0};
    pk_open(&pickle);
    pk_entry(&pickle, first, &six);
    pk_entry(&pickle, second, &six);
    pk_close(&pickle);
    torch_zip(&file, "archive", &pickle, 6);
    expect_refused(&file, reason);
    buffer_free(&pickle);
    buffer_free(&file);
}

START_TEST(wrong_names) {
    char endless[600];
    memset(endless, 'n', sizeof endless - 1);
    endless[sizeof endless - 1] = 0;
    expect_names_refused("w", "w", "two tensors are named \"w\"");
    expect_names_refused("a\033[2J", "w", "holds the byte 0x1b");
    expect_names_refused("w", endless, "a name of more than 512 bytes");
}
END_TEST

START_TEST(wrong_archives) {
    static const float numbers[6] = {1, 2, 3, 4, 5, 6};
    static char zeros[1 << 20];
    static const struct {
        const char *reason;
        int part;
        zip_part with; // the fields that differ
    } cases[] = {
        {"entry \"r/data/0\" is damaged (CRC-32", 1, {.crc_change = 1}},
        {"entry \"r/data.pkl\" is damaged (CRC-32", 0, {.crc_change = 1}},
        {"entry \"r/data.pkl\": compressed data hold 189 bytes, expected 190", 0, {.deflate = true, .size_change = 1}},
        {"compressed data hold more than the 188 bytes", 0, {.deflate = true, .size_change = -1}},
        {"storage \"0\" has 25 bytes", 1, {.deflate = true, .size_change = 1}},
        {"decompression bomb", 0, {.deflate = true, .size_change = 80 << 20}},
        {"is not where the directory says", 1, {.place_change = 1}},
        {"is not where the directory says", 1, {.place_change = 1 << 20}},
        {"is not what its local header says", 1, {.place_change = -5000}},
        {"is there twice", 2, {.name = "r/data/0"}},
        {"no plain relative path", 2, {.name = "../r"}},
        {"no plain relative path", 2, {.name = "/etc/passwd"}},
        {"no plain relative path", 2, {.name = "r/./a"}},
        {"no plain relative path", 2, {.name = "r//a"}},
        {"no plain relative path", 2, {.name = "r\\a"}},
        {"no plain relative path", 2, {.name = "r/\33"}},
        {"no plain relative path", 2, {.name = ""}},
        {"holds a TorchScript program", 2, {.name = "r/constants.pkl"}},
        {"there is no r/", 0, {.name = "r/other.pkl"}},
        {"its first entry stands in no folder", 0, {.name = "data.pkl"}},
        {"neither little nor big", 2, {.data = "middle", .size = 6}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        zip_part parts[3];
        buffer pickle = {0}, file = {0};
        usual_parts(parts, &pickle, numbers);
        zip_part *p = &parts[cases[i].part];
        const zip_part *with = &cases[i].with;
        if (with->name) p->name = with->name;
        if (with->data) p->data = with->data;
        if (with->size) p->size = with->size;
        p->deflate = with->deflate;
        p->crc_change = with->crc_change;
        p->size_change = with->size_change;
        p->place_change = with->place_change;
        if (p->place_change == -5000) // back to the first entry
            p->place_change = -(int64_t)(30 + strlen(parts[0].name) + parts[0].size);
        zip_write(&file, parts, 3, 0);
        expect_refused(&file, cases[i].reason);
        buffer_free(&pickle);
        buffer_free(&file);
    }
    // Two entries that share bytes: the second lies inside the first, which reaches over it.
    zip_part parts[3];
    buffer pickle = {0}, file = {0};
    usual_parts(parts, &pickle, numbers);
    parts[0].size_change = 60;
    zip_write(&file, parts, 3, 0);
    expect_refused(&file, "overlaps the entry before it");
    // A megabyte of zeros in a kilobyte, more often than the archive may expand.
    file.length = pickle.length = 0;
    pk_open(&pickle);
    pk_entry(&pickle, "w", &(pk_tensor){"0", "ByteStorage", 1 << 20, 0, 1, {1 << 20}, {1}});
    pk_close(&pickle);
    parts[0] = (zip_part){.name = "r/data.pkl", .data = pickle.data, .size = pickle.length};
    parts[1] = (zip_part){.name = "r/data/0", .data = zeros, .size = sizeof zeros, .deflate = true};
    zip_write(&file, parts, 2, 0);
    torch_file *f = NULL;
    ck_assert_msg(!torch_file_open_memory(&f, "zeros.pt", file.data, file.length), "%s", status_text());
    ck_assert_int_eq(torch_file_copy(f, torch_file_at(f, 0), 0, sizeof zeros, zeros), STATUS_OK);
    torch_file_close(f);
    buffer_free(&pickle);
    buffer_free(&file);
}
END_TEST

START_TEST(deep_and_wide) {
    buffer pickle = {0}, file = {0};
    // A million lists, each in the next.
    buffer_text(&pickle, "\x80\2");
    for (int i = 0; i < 1000000; i++) pk_byte(&pickle, ']');
    for (int i = 0; i < 999999; i++) pk_byte(&pickle, 'a');
    pk_byte(&pickle, '.');
    torch_zip(&file, "archive", &pickle, 1);
    expect_refused(&file, "nested more than 64 deep");
    // Sixty lists, each holding the one before twice: 2^60 paths.
    pickle.length = file.length = 0;
    buffer_text(&pickle, "\x80\2]");
    for (int i = 0; i < 60; i++) buffer_print(&pickle, "q%c0](h%ch%ce", i + 1, i + 1, i + 1);
    pk_byte(&pickle, '.');
    torch_zip(&file, "archive", &pickle, 1);
    expect_refused(&file, "refers to its parts more than");
    // One tensor, rebuilt again and again from what the memo holds.
    pickle.length = file.length = 0;
    buffer_text(&pickle, "\x80\2](ctorch._utils\n_rebuild_tensor_v2\nq\1((");
    pk_text(&pickle, "storage");
    pk_bytes(&pickle, "ctorch\nFloatStorage\n\x8c\1\60\x8c\3cpuK\1tQK\0))tq\2R", 40);
    for (int i = 0; i < 1 << 18; i++) pk_bytes(&pickle, "h\1h\2R", 5);
    buffer_text(&pickle, "e.");
    torch_zip(&file, "archive", &pickle, 1);
    expect_refused(&file, "more than 262144 tensors");
    // More values than any file of weights has.
    pickle.length = file.length = 0;
    buffer_text(&pickle, "\x80\2](");
    for (int i = 0; i < 1 << 22; i++) pk_byte(&pickle, 'N');
    buffer_text(&pickle, "e.");
    torch_zip(&file, "archive", &pickle, 1);
    expect_refused(&file, "more than 4194304 values");
    buffer_free(&pickle);
    buffer_free(&file);
}
END_TEST

START_TEST(wrong_legacy_files) {
    buffer object = {0}, file = {0};
    pk_open(&object);
    pk_entry(&object, "w", &six);
    pk_close(&object);
    torch_legacy(&file, &object, 6, 7);
    expect_refused(&file, "storage \"0\" reaches beyond the end of the file");
    file.length = 0;
    torch_legacy(&file, &object, 6, 5);
    expect_refused(&file, "storage \"0\" has 5 elements, the object says 6");
    file.length = 0;
    torch_legacy(&file, &object, 7, 6);
    expect_refused(&file, "4 bytes behind the last storage");
    file.length = 0;
    torch_legacy(&file, &object, 6, -1);
    expect_refused(&file, "reaches beyond the end");
    file.length = 0;
    torch_legacy(&file, &object, 6, 6);
    file.data[4]++; // in the magic number
    expect_refused(&file, "its magic number is missing");
    file.data[4]--;
    file.data[18]++;
    expect_refused(&file, "of a version other than 1001");
    file.length = 0;
    buffer_text(&file, "plain");
    expect_refused(&file, "is no file of PyTorch");
    file.length = 0;
    expect_refused(&file, "is empty");
    object.length = 0;
    buffer_text(&object, "\x80\2N.");
    torch_legacy(&file, &object, 1, 1);
    expect_refused(&file, "storage \"0\" belongs to no tensor");
    buffer_free(&object);
    buffer_free(&file);
}
END_TEST

// --- every byte ----------------------------------------------------------------------------------
static unsigned read_all(const torch_file *f) {
    unsigned sum = 0;
    static unsigned char numbers[1 << 16];
    for (size_t i = 0; i < torch_file_count(f); i++) {
        const torch_entry *e = torch_file_at(f, i);
        for (int64_t first = 0; first < e->count && first < 1 << 16; first += 4096) {
            int64_t count = e->count - first < 4096 ? e->count - first : 4096;
            if (torch_file_copy((torch_file *)(uintptr_t)f, e, first, count, numbers)) return sum;
            sum += checksum_crc32(0, numbers, (size_t)count * element_size(e->type));
        }
    }
    return sum;
}

static void golden_file(buffer *out, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/torch/%s", TEST_DATA, name);
    ck_assert_int_eq(file_read(path, 0, out), STATUS_OK);
}

START_TEST(cut_files) {
    static const char *const files[] = {"torch1_flat.pt", "torch1_flat_legacy.pt", "torch2_nested_legacy.pt"};
    for (int n = 0; n < 3; n++) {
        buffer file = {0};
        golden_file(&file, files[n]);
        for (size_t size = 0; size < file.length; size += 1 + size / 256) {
            torch_file *f;
            char *exact = malloc(size + 1); // so that the sanitizer sees a byte too far
            memcpy(exact, file.data, size);
            status rc = torch_file_open_memory(&f, "cut.pt", exact, size);
            expect_failure(rc, STATUS_FORMAT, "cut", "cut.pt", NULL);
            free(exact);
        }
        buffer_free(&file);
    }
}
END_TEST

START_TEST(mutated_files) {
    static const char *const files[] = {"torch1_flat.pt", "torch1_flat_legacy.pt", "torch2_nested.pt",
                                        "torch2_nested_legacy.pt", "torch2_nested_protocol4.pt"};
    uint64_t state = 17;
    int accepted = 0;
    for (int n = 0; n < 5; n++) {
        buffer sample = {0};
        golden_file(&sample, files[n]);
        for (int i = 0; i < 3000; i++) {
            buffer file = {0};
            torch_file *f;
            buffer_append(&file, sample.data, sample.length);
            fuzz_mutate(&file, &state);
            char *exact = malloc(file.length + 1);
            memcpy(exact, file.data, file.length);
            status rc = torch_file_open_memory(&f, "fuzz.pt", exact, file.length);
            if (rc)
                expect_failure(rc, STATUS_FORMAT, "fuzz", "fuzz.pt", NULL);
            else
                read_all(f);
            accepted += !rc;
            torch_file_close(f);
            free(exact);
            buffer_free(&file);
        }
        buffer_free(&sample);
    }
    ck_assert_int_gt(accepted, 100);
    ck_assert_int_lt(accepted, 12000);
}
END_TEST

START_TEST(every_allocation_may_fail) {
    static const char *const files[] = {"torch1_nested.pt", "torch1_flat_legacy.pt"};
    for (int n = 0; n < 2; n++) {
        char path[512];
        int64_t i = 1;
        snprintf(path, sizeof path, "%s/torch/%s", TEST_DATA, files[n]);
        for (;; i++) {
            weights *w = NULL;
            mem_fail_at(i);
            status rc = weights_open(&w, path);
            mem_fail_at(0);
            weights_close(w);
            if (!rc) break;
            expect_failure(rc, STATUS_MEMORY, "allocation", NULL, "memory");
            ck_assert_int_lt(i, 2000);
        }
        ck_assert_int_gt(i, 10);
    }
}
END_TEST

// --- one interface -------------------------------------------------------------------------------
static void write_text(const char *name, const char *text) {
    scratch_write(scratch(name), text, strlen(text));
}

// The header is filled up with spaces to LENGTH bytes, if that is more than it needs.
static void write_tensor_in(const char *name, const char *tensor_name, int length) {
    char header[1024];
    int needed = snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
                          tensor_name);
    buffer file = {0};
    if (length < needed) length = needed;
    pk_number(&file, (uint64_t)length, 8);
    buffer_text(&file, header);
    for (int i = needed; i < length; i++) pk_byte(&file, ' ');
    pk_bytes(&file, "\0\0\x80\x3f\0\0\0\x40", 8);
    scratch_write(scratch(name), file.data, file.length);
    buffer_free(&file);
}

static void write_tensor(const char *name, const char *tensor_name) {
    write_tensor_in(name, tensor_name, 0);
}

START_TEST(index_of_several_files) {
    weights *w;
    float values[2];
    write_tensor("one.safetensors", "a");
    write_tensor("two.safetensors", "b");
    write_text("m.index.json", "{\"metadata\":{\"total_size\":16},\"weight_map\":{\"a\":\"one.safetensors\","
                               "\"b\":\"two.safetensors\"}}");
    ck_assert_msg(!weights_open(&w, scratch("m.index.json")), "%s", status_text());
    ck_assert_str_eq(weights_format(w), "index of 2 files");
    ck_assert_uint_eq(weights_count(w), 2);
    ck_assert_int_eq(weights_read_f32(w, weights_lookup(w, "b"), values), STATUS_OK);
    ck_assert(values[0] == 1 && values[1] == 2);
    weights_close(w);
    static const struct {
        const char *map, *reason;
    } cases[] = {
        {"{\"a\":\"two.safetensors\",\"b\":\"two.safetensors\"}", "is a tensor that two.safetensors does not hold"},
        {"{\"a\":\"one.safetensors\",\"b\":\"one.safetensors\"}", "is a tensor that one.safetensors does not hold"},
        {"{\"a\":\"one.safetensors\",\"b\":\"../one.safetensors\"}", "is no plain file name"},
        {"{\"a\":\"/etc/passwd\"}", "is no plain file name"},
        {"{\"a\":3}", "must be a text"},
        {"{\"a\":\"m.index.json\"}", "neither a safetensors file nor one of PyTorch"},
        {"[]", "weight_map"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"weight_map\":%s}", cases[i].map);
        write_text("bad.index.json", text);
        expect_failure(weights_open(&w, scratch("bad.index.json")), STATUS_FORMAT, cases[i].map,
                       "index.json", cases[i].reason);
    }
    buffer flat = {0};
    golden_file(&flat, "torch1_flat.pt");
    scratch_write(scratch("flat.bin"), flat.data, flat.length);
    buffer_free(&flat);
    write_text("bad.index.json", "{\"weight_map\":{\"base\":\"flat.bin\"}}");
    expect_failure(weights_open(&w, scratch("bad.index.json")), STATUS_FORMAT, "fewer", "index.json",
                   "lists 1 tensors, its files hold 22");
    write_text("bad.index.json", "{\"weight_map\":{\"a\":\"gone.bin\"}}");
    expect_failure(weights_open(&w, scratch("bad.index.json")), STATUS_IO, "gone", "gone.bin", "No such");
}
END_TEST

// As large models come: an index, files of PyTorch's that share nothing. What it opens is what the files hold.
START_TEST(index_of_torch_files) {
    buffer flat = {0}, map = {0};
    weights *all, *one;
    golden_file(&flat, "torch1_flat.pt");
    scratch_write(scratch("flat.bin"), flat.data, flat.length);
    buffer_free(&flat);
    write_tensor("beside.safetensors", "beside");
    ck_assert_int_eq(weights_open(&one, scratch("flat.bin")), STATUS_OK);
    buffer_text(&map, "{\"weight_map\":{\"beside\":\"beside.safetensors\"");
    for (size_t i = 0; i < weights_count(one); i++) {
        buffer_text(&map, ",");
        buffer_json(&map, weights_at(one, i)->name);
        buffer_text(&map, ":\"flat.bin\"");
    }
    buffer_text(&map, "}}");
    write_text("pytorch_model.bin.index.json", map.data);
    buffer_free(&map);
    ck_assert_msg(!weights_open(&all, scratch("pytorch_model.bin.index.json")), "%s", status_text());
    ck_assert_str_eq(weights_format(all), "index of 2 files");
    ck_assert_uint_eq(weights_count(all), weights_count(one) + 1);
    for (size_t i = 0; i < weights_count(one); i++) {
        const weight_entry *e = weights_at(one, i), *found = weights_lookup(all, e->name);
        uint32_t want, got;
        ck_assert_ptr_nonnull(found);
        ck_assert_int_eq(weights_checksum(one, e, &want), STATUS_OK);
        ck_assert_int_eq(weights_checksum(all, found, &got), STATUS_OK);
        ck_assert_msg(found->count == e->count && got == want, "%s differs", e->name);
    }
    weights_close(one);
    weights_close(all);
}
END_TEST

START_TEST(told_apart_by_content) {
    weights *w;
    write_tensor("named.pt", "a"); // the name says nothing
    ck_assert_int_eq(weights_open(&w, scratch("named.pt")), STATUS_OK);
    ck_assert_str_eq(weights_format(w), "safetensors");
    weights_close(w);
    // Headers whose length begins with a pickle's or an index's first bytes.
    static const int lengths[] = {0x180, 0x280, 0x7b, 0x17b};
    for (int i = 0; i < 4; i++) {
        write_tensor_in("named.pt", "a", lengths[i]);
        ck_assert_msg(!weights_open(&w, scratch("named.pt")), "%s", status_text());
        ck_assert_str_eq(weights_format(w), "safetensors");
        weights_close(w);
    }
    write_text("text.pt", "this is no file of weights");
    expect_failure(weights_open(&w, scratch("text.pt")), STATUS_FORMAT, "text", "text.pt", "neither");
    write_text("empty.pt", "");
    expect_failure(weights_open(&w, scratch("empty.pt")), STATUS_FORMAT, "empty", "empty.pt", "is empty");
    expect_failure(weights_open(&w, scratch("absent.pt")), STATUS_IO, "absent", "absent.pt", "No such");
    expect_failure(weights_open(&w, scratch("")), STATUS_IO, "folder", "radialog", "not a file");
}
END_TEST

int main(void) {
    const TTest *const tests[] = {files_of_torch,
                                  views_of_one_storage,
                                  unusual_archives,
                                  big_endian_numbers,
                                  other_things_are_passed_over,
                                  other_rebuilds,
                                  wrong_pickles,
                                  wrong_tensors,
                                  wrong_names,
                                  wrong_archives,
                                  deep_and_wide,
                                  wrong_legacy_files,
                                  cut_files,
                                  mutated_files,
                                  every_allocation_may_fail,
                                  index_of_several_files,
                                  index_of_torch_files,
                                  told_apart_by_content,
                                  NULL};
    return run_suite(suite_of("torch_file", tests));
}
