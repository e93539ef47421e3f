// Folders of instruct data whose seal is right and whose content is not, and JSON files of
// conversations: what opens must be readable, and what is read must keep its promises.
//
// An input: 0 manifest.json of a folder with one good shard (the word SEALSEAL becomes its seal); 1
// the bytes of record 0's block, behind its length, supervised ids and by how much its end moves (a
// byte each); 2 a shard's file as it is; 3 a JSON file.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "data/instruct_private.h"
#include "tests/fuzz/helper_fuzz.h"

#include <stdio.h>
#include <string.h>

enum { BLOCK_MAX = 4096 };

static void must(status rc) {
    if (rc) die("%s", status_text());
}

typedef struct shard_tables {
    uint8_t blocks[2 * BLOCK_MAX];
    int64_t offset[3], crc[2];
    int32_t length[2], supervised[2];
} shard_tables;

// Ids 0 to 9, of which 9 stands for an image, two in a row.
static size_t good_block(uint8_t *out) {
    static const int32_t numbers[] = {5, 1, 1, 1, 1, 2, 1, 1, /**/ 1, 9, 9, 3, 2, /**/ 3, 5};
    static const char texts[] = "d\0t\0d\0p\0a\0\0"; // 12 bytes with the last NUL
    memcpy(out, numbers, sizeof numbers);
    memcpy(out + sizeof numbers, texts, sizeof texts - 1);
    memset(out + sizeof numbers + sizeof texts - 1, 0, 4);
    return sizeof numbers + 12;
}

static shard_tables good_tables(void) {
    shard_tables t = {.length = {5, 5}, .supervised = {2, 2}};
    const size_t size = good_block(t.blocks);
    good_block(t.blocks + size);
    for (int i = 0; i < 2; i++) {
        t.offset[i + 1] = (int64_t)size * (i + 1);
        t.crc[i] = checksum_crc32(0, t.blocks + t.offset[i], size);
    }
    return t;
}

static status write_tables(hdf5 *f, const shard_tables *t) {
    const int64_t two = 2, three = 3, none = 0;
    const text_column empty = {0};
    status rc = hdf5_write_text(f, "format", "radialog-instruct");
    if (!rc) rc = hdf5_write_int(f, "version", INSTRUCT_VERSION);
    if (!rc) rc = hdf5_write_text(f, "split", "train");
    if (!rc) rc = hdf5_write_text(f, "plan", "0123456789abcdef");
    if (!rc) rc = hdf5_write_int(f, "first_row", 0);
    if (!rc) rc = hdf5_write_int(f, "rows", 2);
    if (!rc) rc = hdf5_write(f, "offsets", DTYPE_I64, 1, &three, t->offset);
    if (!rc) rc = hdf5_write(f, "length", DTYPE_I32, 1, &two, t->length);
    if (!rc) rc = hdf5_write(f, "supervised", DTYPE_I32, 1, &two, t->supervised);
    if (!rc) rc = hdf5_write(f, "crc32", DTYPE_I64, 1, &two, t->crc);
    if (!rc) rc = hdf5_write(f, "skipped_row", DTYPE_I64, 1, &none, &none);
    if (!rc) rc = text_column_write(f, "skipped_reason", &empty);
    if (!rc) rc = text_column_write(f, "skipped_id", &empty);
    if (!rc) rc = text_column_write(f, "skipped_detail", &empty);
    return rc ? rc : hdf5_write(f, "blocks", DTYPE_U8, 1, &t->offset[2], t->blocks);
}

static void write_shard(const char *path, const shard_tables *t) {
    hdf5 *f;
    hdf5_shape shape;
    must(hdf5_create(&f, path));
    must(write_tables(f, t));
    must(hdf5_finish(f));
    hdf5_close(f);
    must(hdf5_open(&f, path));
    must(hdf5_look(&shape, f, "blocks"));
    hdf5_close(f);
    const hdf5_chunk chunk = {shape.offset, (int64_t)shape.bytes};
    must(shard_seal_write(path, &chunk, 1));
}

static const char manifest[] =
    "{\"format\": \"radialog-instruct\", \"version\": 1, \"splits\": {\"train\": 2, \"validate\": "
    "0, \"test\": 0},\n"
    "\"tokenizer\": \"00000000\", \"vocabulary\": 10, \"image_token\": 9, \"queries\": 2, "
    "\"prompts\": \"00000000\",\n"
    "\"cutoff\": 9, \"seed\": 0, \"stratified\": false, \"limit\": 0, \"section\": \"\", "
    "\"source\": \"\",\n"
    "\"findings\": {\"train\": \"\", \"validate\": \"\", \"test\": \"\"},\n"
    "\"shards\": [{\"file\": \"fuzz.h5\", \"split\": \"train\", \"records\": 2}],\n"
    "\"hashes\": {\"plan\": \"0123456789abcdef\", \"fuzz.h5\": \"SEALSEAL\"}}";

// TEXT (size) as manifest.json, which knows the shard if that opens at all.
static void write_manifest(const void *text, size_t size) {
    instruct_shard *s;
    char seal[16] = "00000000", *copy;
    must(mem_take((void **)&copy, size + 1, 1, "a manifest"));
    memcpy(copy, text, size);
    if (!instruct_shard_open(&s, memory_folder_path("fuzz.h5")))
        snprintf(seal, sizeof seal, "%08x", s->seal);
    instruct_shard_close(s);
    input_replace(copy, size, "SEALSEAL", seal);
    memory_folder_file("manifest.json", copy, size);
    mem_free(copy);
}

static void check_record(const instruct_set *s, const instruct_record *r) {
    const instruct_facts *f = instruct_facts_of(s);
    int64_t tokens = 0, learned = 0;
    for (int32_t i = 0; i < r->count; i++) {
        demand(r->ids[i] >= 0 && r->ids[i] < f->vocabulary);
        tokens += r->ids[i] == f->image_token;
    }
    demand(tokens == (int64_t)r->images * f->queries);
    for (int k = 0; k < r->spans; k++) {
        demand(r->span[2 * k] >= 0 && r->span[2 * k] < r->span[2 * k + 1] &&
               r->span[2 * k + 1] <= r->count);
        learned += r->span[2 * k + 1] - r->span[2 * k];
    }
    demand(learned <= r->count);
    for (int k = 0; k < r->images; k++) touch_text(r->image[k]);
    touch_text(r->id), touch_text(r->task), touch_text(r->prompt), touch_text(r->answer);
}

static void read_folder(bool must_open) {
    instruct_set *s;
    status rc = instruct_open(&s, memory_folder());
    if (rc) demand_failure(rc);
    demand(!rc == (s != NULL) && (!rc || !must_open));
    for (int split = 0; s && split < SPLIT_COUNT; split++)
        for (int64_t i = 0; i < instruct_count(s, split); i++) {
            instruct_record r;
            rc = instruct_read(s, split, i, &r);
            if (rc) demand_failure(rc);
            if (!rc) check_record(s, &r);
            demand(rc || instruct_length(s, split, i) == r.count);
        }
    instruct_close(s);
}

static void read_block(input *in) {
    shard_tables t = good_tables();
    const int64_t good = t.offset[1];
    t.length[0] = input_byte(in);
    t.supervised[0] = input_byte(in);
    const int move = (int8_t)input_byte(in);
    const size_t size = in->size < BLOCK_MAX ? in->size : BLOCK_MAX;
    if (in->size) memcpy(t.blocks, in->data, size);
    t.offset[1] = (int64_t)size;
    good_block(t.blocks + size);
    t.offset[2] = t.offset[1] + good;
    t.crc[0] = checksum_crc32(0, t.blocks, size);
    t.offset[1] += move;
    write_shard(memory_folder_path("fuzz.h5"), &t);
    write_manifest(manifest, sizeof manifest - 1);
    read_folder(false);
}

static void read_json(const input *in) {
    instruct_json *j;
    instruct_text t = {0};
    status rc = instruct_json_open(&j, memory_file(0, in->data, in->size));
    if (rc) {
        demand_failure(rc);
        demand(!j);
        return;
    }
    const instruct_source from = instruct_json_source(j, SPLIT_TEST);
    demand(from.rows[SPLIT_TEST] > 0 && !from.rows[SPLIT_TRAIN]);
    for (int64_t i = 0; i < from.rows[SPLIT_TEST]; i++) {
        instruct_skip skip;
        t.id.length = t.images.length = t.prompt.length = t.answer.length = 0;
        rc = from.row(&t, &skip, from.context, SPLIT_TEST, i);
        demand(rc == STATUS_OK || rc == STATUS_FORMAT);
        if (rc) demand_failure(rc);
        if (!rc) demand(t.id.length && *t.task);
    }
    instruct_text_free(&t);
    instruct_json_close(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool sound; // what stands in the folder is the good shard
    input in = {data, size};
    const int kind = input_byte(&in) % 4;
    if (kind == 0 && !sound) {
        const shard_tables t = good_tables();
        write_shard(memory_folder_path("fuzz.h5"), &t);
    }
    if (kind < 3) sound = kind == 0;
    if (kind == 0) {
        write_manifest(in.size ? (const void *)in.data : manifest,
                       in.size ? in.size : sizeof manifest - 1);
        read_folder(!in.size);
    } else if (kind == 1) {
        read_block(&in);
    } else if (kind == 2) {
        memory_folder_file("fuzz.h5", in.data, in.size);
        write_manifest(manifest, sizeof manifest - 1);
        read_folder(false);
    } else {
        read_json(&in);
    }
    return 0;
}
