// data/instruct.h: damaged and forged shards and manifests are refused by name, whatever checksums
// they carry; nothing is taken from them but what was checked.
#include "core/checksum.h"
#include "data/instruct_private.h"
#include "tests/core/helper_check.h"
#include "tests/data/helper_instruct.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORDS = 3, BYTES = 1 << 16 };
static const char answers[RECORDS][32] = {"The heart is large.", "Clear.", "No change."};

static void make_good(void) {
    instruct_json *j;
    buffer text = {0};
    instruct_options o = instruct_options_of_tests("good");
    for (int i = 0; i < RECORDS; i++)
        buffer_print(&text,
                     "%s{\"instruction\": \"I: <IMG><IMG><IMG><IMG>. A:\", \"output\": \"%s\", "
                     "\"dicom\": \"d%d\"}",
                     i ? "," : "[", answers[i], i);
    buffer_print(&text, ", {\"instruction\": \"\", \"output\": \"\", \"dicom\": \"d9\"}]");
    write_text(at("good.json"), text.data);
    buffer_free(&text);
    OK(instruct_json_open(&j, at("good.json")));
    const instruct_source from = instruct_json_source(j, SPLIT_TRAIN);
    expect_instruct(&from, &o, STATUS_OK);
    instruct_json_close(j);
}

static void setup(void) {
    instruct_fixture_open();
    if (!folder_exists(at("good"))) make_good();
}

// --- damage -------------------------------------------------------------------------------------

static void copy_good(const char *shard_bytes, size_t size, const char *manifest) {
    OK(folder_make(at("bad")));
    OK(file_write(at("bad/train-00000.h5"), shard_bytes, size));
    write_text(at("bad/manifest.json"), manifest);
}

static status read_all(const char *folder) {
    instruct_set *s;
    instruct_record r;
    status rc = instruct_open(&s, folder);
    ck_assert(!rc == (s != NULL));
    for (int64_t i = 0; !rc && i < instruct_count(s, SPLIT_TRAIN); i++) {
        rc = instruct_read(s, SPLIT_TRAIN, i, &r);
        if (!rc) ck_assert_str_eq(r.answer, answers[i]);
        if (rc) ck_assert_ptr_null(r.ids);
    }
    instruct_close(s);
    return rc;
}

// No byte of a shard can change unnoticed.
START_TEST(every_byte) {
    buffer file = read_whole(at("good/train-00000.h5")),
           manifest = read_whole(at("good/manifest.json"));
    int fd;
    copy_good(file.data, file.length, manifest.data);
    OK(read_all(at("bad")));
    fd = open(at("bad/train-00000.h5"), O_RDWR);
    for (size_t i = 0; i < file.length; i++) {
        const char flipped = file.data[i] ^ (char)(1 << i % 8);
        ck_assert_int_eq(pwrite(fd, &flipped, 1, (off_t)i), 1);
        expect_failed(read_all(at("bad")), STATUS_FORMAT, "train-00000.h5",
                      "radialog instruct again");
        ck_assert_int_eq(pwrite(fd, file.data + i, 1, (off_t)i), 1);
    }
    close(fd);
    OK(read_all(at("bad")));
    buffer_free(&file), buffer_free(&manifest);
}
END_TEST

START_TEST(cut_files) {
    buffer file = read_whole(at("good/train-00000.h5")),
           manifest = read_whole(at("good/manifest.json"));
    for (size_t size = 0; size < file.length; size += size < 64 ? 1 : 97) {
        copy_good(file.data, size, manifest.data);
        expect_failed(read_all(at("bad")), STATUS_FORMAT, "train-00000.h5",
                      "radialog instruct again");
    }
    for (size_t size = 0; size < manifest.length - 1; size += 11) {
        char *cut = strndup(manifest.data, size);
        copy_good(file.data, file.length, cut);
        expect_failed(read_all(at("bad")), STATUS_FORMAT, "manifest.json", "");
        free(cut);
    }
    copy_good(file.data, file.length, manifest.data);
    unlink(at("bad/train-00000.h5"));
    expect_failed(read_all(at("bad")), STATUS_IO, "train-00000.h5", "");
    unlink(at("bad/manifest.json"));
    expect_failed(read_all(at("bad")), STATUS_IO, "bad", "no manifest.json");
    buffer_free(&file), buffer_free(&manifest);
}
END_TEST

// While it is open.
START_TEST(cut_in_use) {
    buffer file = read_whole(at("good/train-00000.h5")),
           manifest = read_whole(at("good/manifest.json"));
    instruct_set *s;
    instruct_record r;
    copy_good(file.data, file.length, manifest.data);
    s = open_instruct(at("bad"));
    OK(instruct_read(s, SPLIT_TRAIN, 0, &r));
    ck_assert_int_eq(truncate(at("bad/train-00000.h5"), 100), 0);
    expect_failed(instruct_read(s, SPLIT_TRAIN, 1, &r), STATUS_FORMAT, "train-00000.h5: record 1",
                  "cut short while it was in use");
    instruct_close(s);
    buffer_free(&file), buffer_free(&manifest);
}
END_TEST

// --- forgeries ----------------------------------------------------------------------------------

// A shard with a right seal and, for record 0, a right checksum.
typedef struct forgery {
    int64_t records, ends, bytes, skipped, version, first_row, rows, offset[8], crc[8], row[2];
    int32_t length[8], supervised[8];
    char format[32], split[32], plan[PLAN_SIZE], reason[32];
    const char *omitted;
    bool chunked, keep_crc;
    int64_t moved; // where the seal says the blocks are
    _Alignas(8) uint8_t blocks[BYTES];
} forgery;

static forgery sound(void) {
    static forgery f;
    instruct_shard *s;
    f = (forgery){.records = RECORDS,
                  .ends = RECORDS + 1,
                  .skipped = 1,
                  .version = 1,
                  .rows = RECORDS + 1,
                  .row = {3},
                  .format = "radialog-instruct",
                  .split = "train",
                  .reason = "bad row"};
    OK(instruct_shard_open(&s, at("good/train-00000.h5")));
    f.bytes = s->offset[RECORDS];
    memcpy(f.offset, s->offset, (RECORDS + 1) * sizeof *f.offset);
    memcpy(f.length, s->length, RECORDS * sizeof *f.length);
    memcpy(f.supervised, s->supervised, RECORDS * sizeof *f.supervised);
    for (int i = 0; i < RECORDS; i++) f.crc[i] = s->crc[i];
    snprintf(f.plan, sizeof f.plan, "%s", s->plan);
    ck_assert_int_eq(pread(s->fd, f.blocks, (size_t)f.bytes, (off_t)s->place), f.bytes);
    instruct_shard_close(s);
    return f;
}

static void write_tables(hdf5 *h, const forgery *f) {
    text_column reason = {0}, id = {0};
    for (int64_t i = 0; i < f->skipped; i++) {
        OK(text_column_add(&reason, f->reason));
        OK(text_column_add(&id, "d9"));
    }
#define PUT(name, call)                                                                            \
    if (!f->omitted || strcmp(f->omitted, name)) OK(call)
    PUT("format", hdf5_write_text(h, "format", f->format));
    PUT("version", hdf5_write_int(h, "version", f->version));
    PUT("split", hdf5_write_text(h, "split", f->split));
    PUT("plan", hdf5_write_text(h, "plan", f->plan));
    PUT("first_row", hdf5_write_int(h, "first_row", f->first_row));
    PUT("rows", hdf5_write_int(h, "rows", f->rows));
    PUT("offsets", hdf5_write(h, "offsets", DTYPE_I64, 1, &f->ends, f->offset));
    PUT("length", hdf5_write(h, "length", DTYPE_I32, 1, &f->records, f->length));
    PUT("supervised", hdf5_write(h, "supervised", DTYPE_I32, 1, &f->records, f->supervised));
    PUT("crc32", hdf5_write(h, "crc32", DTYPE_I64, 1, &f->records, f->crc));
    PUT("skipped_row", hdf5_write(h, "skipped_row", DTYPE_I64, 1, &f->skipped, f->row));
    PUT("skipped_reason", text_column_write(h, "skipped_reason", &reason));
    PUT("skipped_id", text_column_write(h, "skipped_id", &id));
    PUT("skipped_detail", text_column_write(h, "skipped_detail", &id));
    if (f->chunked)
        OK(hdf5_make_records(h, "blocks", DTYPE_U8, 1, &f->bytes, 0));
    else
        PUT("blocks", hdf5_write(h, "blocks", DTYPE_U8, 1, &f->bytes, f->blocks));
#undef PUT
    text_column_free(&reason), text_column_free(&id);
}

// Written as bad/train-00000.h5, with a manifest that knows its seal.
static void forge(forgery *f) {
    hdf5 *h;
    hdf5_shape shape = {.offset = -1};
    instruct_shard *s;
    const char *path = kept("bad/train-00000.h5");
    char seal[9] = "00000000";
    if (!f->keep_crc && f->offset[1] >= 0 && f->offset[1] <= BYTES)
        f->crc[0] = checksum_crc32(0, f->blocks, (size_t)f->offset[1]);
    OK(folder_make(at("bad")));
    OK(hdf5_create(&h, path));
    write_tables(h, f);
    OK(hdf5_finish(h));
    hdf5_close(h);
    OK(hdf5_open(&h, path));
    if (!f->omitted || strcmp(f->omitted, "blocks")) OK(hdf5_look(&shape, h, "blocks"));
    hdf5_close(h);
    const hdf5_chunk chunk = {shape.offset + f->moved, (int64_t)shape.bytes};
    OK(shard_seal_write(path, &chunk, chunk.offset >= 0 ? 1 : 0));
    if (!instruct_shard_open(&s, path)) snprintf(seal, sizeof seal, "%08x", s->seal);
    instruct_shard_close(s);
    buffer manifest = read_whole(at("good/manifest.json"));
    char *hash = strstr(manifest.data, "\"train-00000.h5\": \"");
    memcpy(hash + strlen("\"train-00000.h5\": \""), seal, 8);
    write_text(at("bad/manifest.json"), manifest.data);
    buffer_free(&manifest);
}

#define FORGED(text, ...)                                                                          \
    do {                                                                                           \
        forgery f = sound();                                                                       \
        block_head *head = (block_head *)(void *)f.blocks;                                         \
        int32_t *id = (int32_t *)(void *)(f.blocks + sizeof *head), *span = id + head->count;      \
        char *texts = (char *)(span + 2);                                                          \
        (void)texts;                                                                               \
        __VA_ARGS__;                                                                               \
        forge(&f);                                                                                 \
        expect_failed(read_all(at("bad")), STATUS_FORMAT, "train-00000.h5", text);                 \
    } while (0)

START_TEST(forged_tables) {
    static const char *const parts[] = {
        "format",      "version",        "split",      "plan",           "first_row",
        "rows",        "offsets",        "length",     "supervised",     "crc32",
        "skipped_row", "skipped_reason", "skipped_id", "skipped_detail", "blocks"};
    forgery good = sound();
    forge(&good);
    OK(read_all(at("bad")));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        FORGED(parts[i], f.omitted = parts[i]);
    FORGED("is no shard of instruct data", strcpy(f.format, "radialog-shard"));
    FORGED("version 2 of the format", f.version = 2);
    FORGED("unknown split dev", strcpy(f.split, "dev"));
    FORGED("is not the shard of manifest.json", strcpy(f.split, "test"));
    FORGED("is not the shard of manifest.json", f.plan[0] ^= 1);
    FORGED("must be I64 (3)", f.records = 2); // and the tables of 3
    FORGED("must be I64 (4)", f.ends = 3);
    FORGED("not all accounted for", f.rows = 5);
    FORGED("not all accounted for", f.rows = -1);
    FORGED("not all accounted for", f.first_row = -1);
    FORGED("not all accounted for", f.skipped = 2);
    FORGED("where its seal says", f.chunked = true);
    FORGED("where its seal says", f.moved = -4);
    FORGED("its parts do not fill it", f.length[0]--);
    FORGED("does not fit its records", f.offset[0] = 4);
    FORGED("does not fit its records", f.offset[RECORDS] += 4);
    FORGED("does not fit its records", f.bytes -= 4);
    FORGED("table of records is damaged", f.offset[1] = INT64_MIN);
    FORGED("table of records is damaged", f.offset[1] = INT64_MAX);
    FORGED("table of records is damaged", f.offset[2] = f.offset[1] - 4);
    FORGED("table of lengths is damaged", f.offset[1] += 1);
    FORGED("table of lengths is damaged", f.offset[1] = 0);
    FORGED("table of lengths is damaged", f.length[0] = 0);
    FORGED("table of lengths is damaged", f.length[0] = INT32_MIN);
    FORGED("table of lengths is damaged", f.length[0] = INT32_MAX);
    FORGED("table of lengths is damaged", f.supervised[0] = -1);
    FORGED("table of lengths is damaged", f.supervised[0] = f.length[0] + 1);
    FORGED("record 1 is damaged (wrong checksum)", f.crc[1] ^= 1);
    FORGED("record 0 is damaged (wrong checksum)", f.crc[0] ^= 1, f.keep_crc = true);
}
END_TEST

START_TEST(forged_records) {
    static const int32_t odd[] = {-1, INT32_MIN, INT32_MAX, 1 << 20, 0};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        FORGED("its parts do not fill it", head->count = odd[i]);
        FORGED("its parts do not fill it", head->prompt = odd[i]);
        FORGED("its parts do not fill it", head->answer = odd[i]);
        FORGED("its parts do not fill it", head->names = odd[i]);
        FORGED("its parts do not fill it", head->spans = odd[i] ? odd[i] : 5);
        FORGED("record 0 is damaged", head->id = odd[i]);
        FORGED("record 0 is damaged", head->task = odd[i]);
        FORGED("record 0 is damaged", head->images = odd[i]);
    }
    FORGED("its parts do not fill it", head->count = INT32_MAX, head->spans = INT32_MAX,
           head->prompt = INT32_MAX);
    FORGED("its parts do not fill it", head->count--, head->prompt += 4);
    FORGED("its texts do not fit", head->id++, head->task--);
    FORGED("its texts do not fit", head->prompt++, head->answer--);
    FORGED("its texts do not fit", head->images = 2);
    FORGED("its texts do not fit", texts[1] = 0);
    FORGED("its texts do not fit", texts[2] = 'x'); // the NUL behind "d0"
    FORGED("an id that no token has", id[1] = -1);
    FORGED("an id that no token has", id[1] = tokenizer_size(report_tokenizer));
    FORGED("image tokens that are not its images'",
           for (int k = 2; k < 6; k++) id[head->count - k] = report_image_token);
    FORGED("an image of too few tokens", id[1] = report_image_token);
    FORGED("damaged", id[head->count - 1] = report_image_token);
    FORGED("damaged",
           for (int k = 0; k < head->count; k++) if (id[k] == report_image_token) id[k] = 1);
    FORGED("spans that do not fit", span[0] = -1);
    FORGED("spans that do not fit", span[1] = head->count + 1);
    FORGED("spans that do not fit", span[1] = span[0]);
    FORGED("spans that do not fit", span[1] = INT32_MIN);
    FORGED("spans of another length", span[0]++);
}
END_TEST

// Two images in a row and two spans are fine.
START_TEST(several_images) {
    static const char names_of[] = "a\0b";
    forgery f = sound();
    const int32_t head[] = {13, 2, 2, 2, 1, sizeof names_of, 1, 1}, x = report_image_token;
    const int32_t rest[] = {1, x, x, x, x, x, x, x, x, 5, 6, 7, 2, 9, 10, 11, 13};
    instruct_record r;
    memcpy(f.blocks, head, sizeof head);
    memcpy(f.blocks + sizeof head, rest, sizeof rest);
    char *texts = (char *)f.blocks + sizeof head + sizeof rest;
    memcpy(texts, "id\0t\0", 5);
    memcpy(texts + 5, names_of, sizeof names_of);
    memcpy(texts + 5 + sizeof names_of, "p\0a\0\0\0", 7);
    const int64_t size = sizeof head + sizeof rest + 16;
    f.offset[1] = f.bytes = size;
    f.records = f.rows = 1, f.ends = 2, f.skipped = 0;
    f.length[0] = 13, f.supervised[0] = 3;
    forge(&f);
    buffer manifest = read_whole(at("bad/manifest.json"));
    for (char *at_count; (at_count = strstr(manifest.data, "\"records\": 3"));) at_count[11] = '1';
    memcpy(strstr(manifest.data, "\"train\": 3"), "\"train\": 1", 10);
    write_text(at("bad/manifest.json"), manifest.data);
    buffer_free(&manifest);
    instruct_set *s = open_instruct(at("bad"));
    OK(instruct_read(s, SPLIT_TRAIN, 0, &r));
    ck_assert_int_eq(r.images, 2);
    ck_assert_str_eq(r.image[0], "a");
    ck_assert_str_eq(r.image[1], "b");
    ck_assert_str_eq(r.id, "id");
    ck_assert_str_eq(r.task, "t");
    ck_assert_str_eq(r.prompt, "p");
    ck_assert_str_eq(r.answer, "a");
    ck_assert_int_eq(r.spans, 2);
    ck_assert_int_eq(r.span[3], 13);
    instruct_close(s);
}
END_TEST

// --- manifests ----------------------------------------------------------------------------------

// Replaces the first FROM of the good manifest by TO.
static void forge_manifest(const char *from, const char *to) {
    buffer file = read_whole(at("good/train-00000.h5")),
           good = read_whole(at("good/manifest.json")), bad = {0};
    const char *place = strstr(good.data, from);
    ck_assert_msg(place != NULL, "the manifest lacks %s", from);
    buffer_append(&bad, good.data, (size_t)(place - good.data));
    buffer_text(&bad, to);
    buffer_text(&bad, place + strlen(from));
    copy_good(file.data, file.length, bad.data);
    buffer_free(&file), buffer_free(&good), buffer_free(&bad);
}

START_TEST(forged_manifests) {
    static const struct {
        const char *from, *to, *place, *says;
    } cases[] = {
        {"radialog-instruct", "radialog-shards", "manifest.json:1",
         "is no manifest of instruct data"},
        {"\"version\": 1", "\"version\": 2", "manifest.json", "version 2 of the format"},
        {"\"tokenizer\": \"", "\"tokenizer\": \"0", "\"tokenizer\"", "eight hexadecimal digits"},
        {"\"prompts\": \"", "\"prompts\": \"x", "\"prompts\"", "eight hexadecimal digits"},
        {"\"queries\": 4", "\"queries\": 0", "\"queries\"", ""},
        {"\"image_token\": ", "\"image_token\": 9", "\"image_token\"", ""},
        {"\"vocabulary\": ", "\"vocabulary\": -", "\"vocabulary\"", ""},
        {"\"cutoff\"", "\"cut\"", "manifest.json", "cutoff"},
        {"\"seed\": 42", "\"seed\": -1", "\"seed\"", ""},
        {"\"findings\": {", "\"findings\": {\"a\": 1}, \"b\": {", "manifest.json", "train"},
        {"\"source\": \"",
         "\"source\": \"0123456789012345678901234567890123456789012345678901234567890123",
         "\"source\"", "too long"},
        {"\"shards\": [", "\"shards\": 3, \"s\": [", "\"shards\"", "must be a list"},
        {"\"file\": \"train", "\"file\": \"../train", "manifest.json", "is no name of a shard"},
        {"\"file\": \"train", "\"file\": \"rain", "manifest.json", "rain-00000.h5"},
        {"\"split\": \"train\"", "\"split\": \"test\"", "train-00000.h5",
         "is not the shard of manifest.json"},
        {"\"records\": 3}", "\"records\": 2}", "train-00000.h5",
         "is not the shard of manifest.json"},
        {"\"plan\": \"", "\"plan\": \"0", "train-00000.h5", "is not the shard of manifest.json"},
        {"h5\": \"", "h5\": \"0", "train-00000.h5", "is not the shard of manifest.json"},
        {"\"train\": 3", "\"train\": 4", "manifest.json", "4 records, the shards hold 3"},
        {"\"test\": 0", "\"test\": 1", "manifest.json", "1 records, the shards hold 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        forge_manifest(cases[i].from, cases[i].to);
        expect_failed(read_all(at("bad")), STATUS_FORMAT, cases[i].place, cases[i].says);
    }
    char hash[32];
    snprintf(hash, sizeof hash, "\"prompts\": \"%08x\"", prompts_hash(report_prompts));
    forge_manifest(hash, "\"prompts\": \"0000000g\"");
    expect_failed(read_all(at("bad")), STATUS_FORMAT, "\"prompts\"", "eight hexadecimal digits");
    // An image of other size, or a smaller vocabulary, no longer fits the ids.
    forge_manifest("\"queries\": 4", "\"queries\": 5");
    expect_failed(read_all(at("bad")), STATUS_FORMAT, "record 0", "an image of too few tokens");
}
END_TEST

static void ask(int split, int64_t i) {
    instruct_set *s = open_instruct(at("good"));
    instruct_length(s, split, i);
}
static void no_split(void) {
    ask(SPLIT_COUNT, 0);
}
static void no_record(void) {
    ask(SPLIT_TRAIN, RECORDS);
}
static void below(void) {
    ask(SPLIT_TRAIN, -1);
}

START_TEST(misuse) {
    expect_death(no_split, "split");
    expect_death(no_record, "record");
    expect_death(below, "record -1");
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("instruct, hostile");
    tcase_set_timeout(cases, 600);
    tcase_add_checked_fixture(cases, setup, instruct_fixture_close);
    tcase_add_test(cases, every_byte);
    tcase_add_test(cases, cut_files);
    tcase_add_test(cases, cut_in_use);
    tcase_add_test(cases, forged_tables);
    tcase_add_test(cases, forged_records);
    tcase_add_test(cases, several_images);
    tcase_add_test(cases, forged_manifests);
    tcase_add_test(cases, misuse);
    Suite *suite = suite_create("instruct, hostile");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
