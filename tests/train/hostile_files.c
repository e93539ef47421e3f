#include "tests/train/hostile_files.h"
#include "core/checksum.h"
#include "core/files/deflate.h"
#include "tests/core/helper_torch.h"

#include <string.h>

static const pk_tensor six = {"0", "FloatStorage", 6, 0, 2, {2, 3}, {3, 1}};

static void raw(buffer *out, const void *bytes, size_t count) {
    buffer_append(out, bytes, count);
}
#define TEXT(out, text) raw(out, text, sizeof(text) - 1)

void make_nothing(buffer *out) {
    buffer_text(out, "");
}

void make_text(buffer *out) {
    buffer_text(out, "dear model, these are no weights\n");
}

// --- archives ------------------------------------------------------------------------------------
// A dict of one tensor, T.
static void dict_of(buffer *pickle, const pk_tensor *t) {
    pk_open(pickle);
    pk_entry(pickle, "w", t);
    pk_close(pickle);
}

// The usual archive with one thing changed in a part.
static void archive(buffer *out, int part, const zip_part *with, const char *third) {
    static const float numbers[6] = {1, 2, 3, 4, 5, 6};
    buffer pickle = {0};
    dict_of(&pickle, &six);
    zip_part parts[3] = {{.name = "model/data.pkl", .data = pickle.data, .size = pickle.length},
                         {.name = "model/data/0", .data = numbers, .size = sizeof numbers},
                         {.name = third, .data = "x", .size = 1}};
    parts[part].crc_change = with->crc_change;
    parts[part].size_change = with->size_change;
    parts[part].deflate = with->deflate;
    zip_write(out, parts, third ? 3 : 2, 0);
    buffer_free(&pickle);
}

void make_zip_cut(buffer *out) {
    archive(out, 0, &(zip_part){0}, NULL);
    out->length -= 30;
}

void make_zip_wrong_crc(buffer *out) {
    archive(out, 1, &(zip_part){.crc_change = 1}, NULL);
}

void make_zip_bomb(buffer *out) {
    archive(out, 0, &(zip_part){.deflate = true, .size_change = 4000000000}, NULL);
}

void make_zip_names_twice(buffer *out) {
    archive(out, 0, &(zip_part){0}, "model/data/0");
}

void make_zip_upward_root(buffer *out) {
    buffer pickle = {0};
    dict_of(&pickle, &six);
    torch_zip(out, "../../etc/cron.d", &pickle, 6);
    buffer_free(&pickle);
}

void make_zip_overlap(buffer *out) {
    archive(out, 0, &(zip_part){.size_change = 50}, NULL);
}

void make_zip_script(buffer *out) {
    archive(out, 0, &(zip_part){0}, "model/constants.pkl");
}

// --- pickles -------------------------------------------------------------------------------------
static void archive_of(buffer *out, const void *pickle, size_t size) {
    buffer b = {0};
    raw(&b, pickle, size);
    torch_zip(out, "model", &b, 6);
    buffer_free(&b);
}
#define PICKLE(out, text) archive_of(out, text, sizeof(text) - 1)

void make_pickle_system(buffer *out) {
    PICKLE(out, "\x80\2}X\1\0\0\0wcos\nsystem\nX\10\0\0\0rm -rf ~\x85Rs.");
}

void make_pickle_eval(buffer *out) {
    PICKLE(out, "\x80\2cbuiltins\neval\nX\3\0\0\0\x31+1\x85R.");
}

void make_pickle_system_by_stack(buffer *out) {
    PICKLE(out, "\x80\4\x8c\5posix\x8c\6system\x93\x8c\2id\x85R.");
}

void make_pickle_cycle(buffer *out) {
    PICKLE(out, "\x80\2}q\0X\1\0\0\0wh\0s.");
}

void make_pickle_deep(buffer *out) {
    buffer b = {0};
    TEXT(&b, "\x80\2");
    for (int i = 0; i < 1000000; i++) TEXT(&b, "]");
    for (int i = 0; i < 999999; i++) TEXT(&b, "a");
    TEXT(&b, ".");
    torch_zip(out, "model", &b, 6);
    buffer_free(&b);
}

void make_pickle_far_memo(buffer *out) {
    PICKLE(out, "\x80\2Nr\xff\xff\xff\xff.");
}

void make_pickle_long(buffer *out) {
    PICKLE(out, "\x80\2\x8b\0\0\0\x80.");
}

void make_pickle_text_beyond(buffer *out) {
    PICKLE(out, "\x80\2X\xff\xff\xff\x7f" "abc.");
}

// --- tensors -------------------------------------------------------------------------------------
static void tensor_file(buffer *out, const char *name, const pk_tensor *t) {
    buffer pickle = {0};
    pk_open(&pickle);
    pk_entry(&pickle, name, t);
    pk_close(&pickle);
    torch_zip(out, "model", &pickle, 6);
    buffer_free(&pickle);
}

void make_tensor_negative(buffer *out) {
    tensor_file(out, "w", &(pk_tensor){"0", "FloatStorage", 6, 0, 2, {2, -3}, {3, 1}});
}

void make_tensor_beyond(buffer *out) {
    tensor_file(out, "w", &(pk_tensor){"0", "FloatStorage", 6, 0, 2, {2, 3}, {1000, 1}});
}

void make_tensor_overflow(buffer *out) {
    tensor_file(out, "w", &(pk_tensor){"0", "FloatStorage", 6, 0, 2, {1LL << 32, 1LL << 32}, {0, 0}});
}

void make_tensor_repeated(buffer *out) {
    tensor_file(out, "w", &(pk_tensor){"0", "FloatStorage", 6, 0, 1, {1LL << 40}, {0}});
}

void make_tensor_escape_name(buffer *out) {
    tensor_file(out, "\033]0;owned\007", &six);
}

static void legacy(buffer *out, int64_t says) {
    buffer object = {0};
    dict_of(&object, &six);
    torch_legacy(out, &object, 6, says);
    buffer_free(&object);
}

void make_legacy_magic(buffer *out) {
    legacy(out, 6);
    out->data[5] ^= 1;
}

void make_legacy_count(buffer *out) {
    legacy(out, 5);
}

void make_legacy_cut(buffer *out) {
    legacy(out, 6);
    out->length -= 4;
}

// --- safetensors ---------------------------------------------------------------------------------
static void safetensors_file(buffer *out, const char *header, size_t data) {
    pk_number(out, strlen(header), 8);
    buffer_text(out, header);
    for (size_t i = 0; i < data; i++) pk_byte(out, 0);
}

void make_safetensors_header(buffer *out) {
    pk_number(out, UINT64_C(1) << 40, 8);
    buffer_text(out, "{}");
}

void make_safetensors_hole(buffer *out) {
    safetensors_file(out, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                          "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}", 12);
}

void make_safetensors_overlap(buffer *out) {
    safetensors_file(out, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                          "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12);
}

void make_safetensors_overflow(buffer *out) {
    safetensors_file(out, "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
                          "\"data_offsets\":[0,4]}}", 4);
}

void make_safetensors_cut(buffer *out) {
    safetensors_file(out, "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 12);
}

void make_index_upward(buffer *out) {
    buffer_text(out, "{\"weight_map\":\n{\"w\":\"../../etc/passwd\"}}");
}

static void fc_bias(buffer *out, float second) {
    float numbers[6] = {1, second, 3, 4, 5, 6};
    buffer pickle = {0};
    pk_open(&pickle);
    pk_entry(&pickle, "fc2.bias", &(pk_tensor){"0", "FloatStorage", 6, 0, 1, {6}, {1}});
    pk_close(&pickle);
    zip_part parts[2] = {{.name = "model/data.pkl", .data = pickle.data, .size = pickle.length},
                         {.name = "model/data/0", .data = numbers, .size = sizeof numbers}};
    zip_write(out, parts, 2, 0);
    buffer_free(&pickle);
}

void make_weights_other(buffer *out) {
    fc_bias(out, 2);
}

// --- configurations ------------------------------------------------------------------------------
void make_config_unknown(buffer *out) {
    buffer_text(out, "{\n  \"optim\": {\n    \"learning_rate\": 1e-4\n  }\n}\n");
}

void make_config_twice(buffer *out) {
    buffer_text(out, "{\n  \"optim\": {\n    \"lr\": 1e-4,\n    \"lr\": 1e-5\n  }\n}\n");
}

void make_config_comma(buffer *out) {
    buffer_text(out, "{\n  \"optim\": {\n    \"lr\": 1e-4,\n  }\n}\n");
}

void make_config_nan(buffer *out) {
    buffer_text(out, "{\n  \"optim\": {\n    \"lr\": NaN\n  }\n}\n");
}

void make_config_deep(buffer *out) {
    for (int i = 0; i < 1000000; i++) buffer_text(out, "[");
}

void make_config_type(buffer *out) {
    buffer_text(out, "{\"optim\": {\"lr\": \"fast\"}}");
}

// --- tables --------------------------------------------------------------------------------------
void make_csv_open_quote(buffer *out) {
    buffer_text(out, "image,patient,report\na.jpg,1,\"FINDINGS: the heart is large\nb.jpg,2,none\n");
}

void make_csv_nul(buffer *out) {
    TEXT(out, "image,patient,report\na.jpg,1,FINDINGS: no\0thing\n");
}

void make_csv_columns(buffer *out) {
    buffer_text(out, "picture,report\na.jpg,none\n");
}

// A member of the gzip format (RFC 1952).
static void gzip_member(buffer *out, const void *bytes, size_t count) {
    deflater *d = NULL;
    char *room = NULL;
    size_t size = 0;
    if (deflater_open(&d, 9) || mem_new(&room, zlib_bound(count), "a test")) die("%s", status_text());
    zlib_compress(d, room, &size, bytes, zlib_bound(count), count);
    TEXT(out, "\x1f\x8b\x08\0\0\0\0\0\0\3");
    raw(out, room + 2, size - 6);
    pk_number(out, checksum_crc32(0, bytes, count), 4);
    pk_number(out, count, 4);
    mem_free(room);
    deflater_close(d);
}

void make_csv_long_field(buffer *out) {
    static char letters[1 << 24];
    memset(letters, 'a', sizeof letters);
    gzip_member(out, "image,patient,report\na.jpg,1,", 29);
    for (int i = 0; i < 64; i++) gzip_member(out, letters, sizeof letters);
}

// --- pictures ------------------------------------------------------------------------------------
// A JPEG's headers up to its first scan, with this many components.
static void jpeg_head(buffer *out, int width, int height, int components) {
    TEXT(out, "\xff\xd8");
    TEXT(out, "\xff\xdb\0\x43\0");
    for (int i = 0; i < 64; i++) pk_byte(out, 1);
    TEXT(out, "\xff\xc0\0");
    pk_byte(out, 8 + 3 * components);
    pk_byte(out, 8);
    pk_byte(out, height >> 8);
    pk_byte(out, height & 255);
    pk_byte(out, width >> 8);
    pk_byte(out, width & 255);
    pk_byte(out, components);
    for (int i = 0; i < components; i++) {
        pk_byte(out, i + 1);
        TEXT(out, "\x11\0");
    }
    TEXT(out, "\xff\xda\0");
    pk_byte(out, 6 + 2 * components);
    pk_byte(out, components);
    for (int i = 0; i < components; i++) {
        pk_byte(out, i + 1);
        pk_byte(out, 0);
    }
    TEXT(out, "\0\x3f\0");
}

void make_jpeg_cmyk(buffer *out) {
    jpeg_head(out, 8, 8, 4);
    TEXT(out, "\0\0\xff\xd9");
}

void make_jpeg_huge(buffer *out) {
    jpeg_head(out, 65500, 65500, 1);
    TEXT(out, "\0\0\xff\xd9");
}

void make_jpeg_cut(buffer *out) {
    jpeg_head(out, 8, 8, 1);
    out->length -= 8;
}

static void png_chunk(buffer *out, const char *type, const void *bytes, size_t count, uint32_t change) {
    uint32_t crc = checksum_crc32(checksum_crc32(0, type, 4), bytes, count) ^ change;
    for (int i = 3; i >= 0; i--) pk_byte(out, (int)(count >> (8 * i) & 255));
    buffer_text(out, type);
    raw(out, bytes, count);
    for (int i = 3; i >= 0; i--) pk_byte(out, (int)(crc >> (8 * i) & 255));
}

// A grey PNG of SIDE x SIDE whose data hold COUNT zero bytes.
static void png_file(buffer *out, int side, size_t count, uint32_t change) {
    unsigned char head[13] = {0, 0, (unsigned char)(side >> 8), (unsigned char)side, 0, 0,
                              (unsigned char)(side >> 8), (unsigned char)side, 8};
    deflater *d = NULL;
    char *room = NULL, *zeros = NULL;
    size_t size = 0;
    if (deflater_open(&d, 9) || mem_new(&room, zlib_bound(count), "a test") ||
        mem_new(&zeros, count, "a test"))
        die("%s", status_text());
    zlib_compress(d, room, &size, zeros, zlib_bound(count), count);
    TEXT(out, "\x89PNG\r\n\x1a\n");
    png_chunk(out, "IHDR", head, sizeof head, 0);
    png_chunk(out, "IDAT", room, size, change);
    png_chunk(out, "IEND", "", 0, 0);
    mem_free(zeros);
    mem_free(room);
    deflater_close(d);
}

void make_png_wrong_crc(buffer *out) {
    png_file(out, 64, 65 * 64, 1);
}

void make_png_bomb(buffer *out) {
    png_file(out, 16, 64 << 20, 0);
}

void make_png_huge(buffer *out) {
    png_file(out, 16000, 100, 0);
}
