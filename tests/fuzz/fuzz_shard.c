// Shards whose seal is right and whose content is not: datasets of other types and shapes, tables that
// contradict each other, images that do not inflate. The file is written by libhdf5 itself, because
// libhdf5's own reading of a forged structure is not what is tested here (docs/fuzzing.md). Without the
// first bit the input is the file as it is, which the seal must refuse.
//
// An input: flags, then edits {table, action, ...} of a good shard of two records; see edit_take.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "data/shard.h"
#include "tests/fuzz/helper_fuzz.h"

#include <stdio.h>
#include <string.h>

enum {
    RECORDS = 2,
    COLUMNS = ID_COUNT + TEXT_COUNT + 3,
    PLAINS = 4,
    TABLES = PLAINS + 3 * COLUMNS,
    ATTRIBUTES = 5,
    DEFLATE_LEVEL = 1,
    CONTENT = 4096
};

typedef struct table {
    char name[40];
    dtype type;
    int rank;
    int64_t dim[3];
    bool omitted, chunked;
    uint8_t content[CONTENT];
} table;

typedef struct attribute {
    const char *name;
    bool omitted, whole;
    int64_t number;
    char text[64];
} attribute;

typedef struct plan {
    table table[TABLES];
    attribute attribute[ATTRIBUTES];
    const uint8_t *image; // replaces the packed bytes of record 1
    size_t image_size;
    uint32_t move[2]; // added to the offset and size of record 1 in the seal
} plan;

static int64_t elements(const table *t) {
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++) count *= t->dim[i];
    return count;
}

static size_t table_bytes(const table *t) {
    size_t bytes = (size_t)elements(t) * dtype_size(t->type);
    return bytes < CONTENT ? bytes : CONTENT;
}

static table *plain(table *t, const char *name, dtype type, int rank, int64_t a, int64_t b,
                    const void *data) {
    *t = (table){.type = type, .rank = rank, .dim = {a, b}};
    snprintf(t->name, sizeof t->name, "%s", name);
    memcpy(t->content, data, table_bytes(t));
    return t + 1;
}

static table *column(table *t, const char *name, int count) {
    static const int64_t offsets[] = {0, 2, 4};
    char part[40];
    snprintf(part, sizeof part, "%s/bytes", name);
    t = plain(t, part, DTYPE_U8, 1, 2 * count, 0, "a1b2");
    snprintf(part, sizeof part, "%s/offsets", name);
    t = plain(t, part, DTYPE_I64, 1, count + 1, 0, offsets);
    snprintf(part, sizeof part, "%s/present", name);
    return plain(t, part, DTYPE_U8, 1, count, 0, "\1\1");
}

static void plan_good(plan *p, uint32_t crc) {
    static const int8_t labels[RECORDS * CLASS_COUNT] = {1, 0, -1, -2};
    static const int32_t sizes[] = {3, 4, 5, 6};
    static const int64_t line[] = {7};
    const int64_t crcs[] = {crc, crc};
    static const char *const skipped[] = {"skipped_reason", "skipped_id", "skipped_detail"};
    table *t = plain(p->table, "labels", DTYPE_I8, 2, RECORDS, CLASS_COUNT, labels);
    t = plain(t, "sizes", DTYPE_I32, 2, RECORDS, 2, sizes);
    t = plain(t, "crc32", DTYPE_I64, 1, RECORDS, 0, crcs);
    t = plain(t, "skipped_line", DTYPE_I64, 1, 1, 0, line);
    for (int i = 0; i < ID_COUNT; i++) t = column(t, record_id_names[i], RECORDS);
    for (int i = 0; i < TEXT_COUNT; i++) t = column(t, record_text_names[i], RECORDS);
    for (int i = 0; i < 3; i++) t = column(t, skipped[i], 1);
    const attribute good[ATTRIBUTES] = {{.name = "format", .text = "radialog-shard"},
                                        {.name = "plan", .text = "0123456789abcdef"},
                                        {.name = "split", .text = "train"},
                                        {.name = "version", .whole = true, .number = SHARD_VERSION},
                                        {.name = "deflate", .whole = true, .number = DEFLATE_LEVEL}};
    memcpy(p->attribute, good, sizeof good);
}

static void edit_attribute(attribute *a, int action, input *in) {
    size_t count;
    if (action == 0) a->omitted = true;
    if (action == 1) a->whole = !a->whole;
    if (a->whole) {
        a->number = (int64_t)input_number(in, 4);
        return;
    }
    const uint8_t *text = input_part(in, &count);
    if (count >= sizeof a->text) count = sizeof a->text - 1;
    if (count) memcpy(a->text, text, count);
    a->text[count] = 0;
}

static void edit_table(table *t, int action, input *in) {
    static const dtype types[] = {DTYPE_U8, DTYPE_I8, DTYPE_I32, DTYPE_I64, DTYPE_F32, DTYPE_F64};
    size_t count;
    if (action == 0) t->omitted = true;
    if (action == 1 || action == 2) {
        t->type = types[input_byte(in) % 6];
        t->rank = 1 + input_byte(in) % 3;
        for (int i = 0; i < t->rank; i++) t->dim[i] = input_byte(in) % 64;
        if (elements(t) * 8 > CONTENT) t->dim[0] = t->dim[1] = t->dim[2] = 1;
    }
    if (action == 2) t->chunked = elements(t) > 0;
    if (action == 3) t->dim[0] = input_byte(in) % 32;
    const uint8_t *bytes = input_part(in, &count);
    if (count > CONTENT) count = CONTENT;
    if (count) memcpy(t->content, bytes, count);
}

static void edit_take(plan *p, input *in) {
    int which = input_byte(in) % (TABLES + ATTRIBUTES + 2), action = input_byte(in) % 5;
    if (which < TABLES)
        edit_table(&p->table[which], action, in);
    else if (which < TABLES + ATTRIBUTES)
        edit_attribute(&p->attribute[which - TABLES], action, in);
    else if (which == TABLES + ATTRIBUTES)
        p->image = input_part(in, &p->image_size);
    else
        for (int i = 0; i < 2; i++) p->move[i] = input_number(in, 4);
}

static status write_tables(hdf5 *f, const plan *p) {
    status rc = STATUS_OK;
    for (int i = 0; !rc && i < ATTRIBUTES; i++) {
        const attribute *a = &p->attribute[i];
        if (a->omitted) continue;
        rc = a->whole ? hdf5_write_int(f, a->name, a->number) : hdf5_write_text(f, a->name, a->text);
    }
    for (int i = 0; !rc && i < TABLES; i++) {
        const table *t = &p->table[i];
        char group[40];
        const char *slash = strchr(t->name, '/');
        if (slash && (i - PLAINS) % 3 == 0) {
            snprintf(group, sizeof group, "%.*s", (int)(slash - t->name), t->name);
            rc = hdf5_make_group(f, group);
        }
        if (rc || t->omitted) continue;
        rc = t->chunked ? hdf5_make_records(f, t->name, t->type, t->rank, t->dim, 0)
                        : hdf5_write(f, t->name, t->type, t->rank, t->dim, t->content);
    }
    return rc;
}

typedef struct picture {
    uint8_t pixels[STORED_PIXELS], packed[STORED_PIXELS];
    size_t size;
    uint32_t crc;
    deflater *deflater;
} picture;

static picture *picture_get(void) {
    static picture p;
    if (p.size) return &p;
    for (int i = 0; i < STORED_PIXELS; i++) p.pixels[i] = (uint8_t)(i / 4096);
    p.crc = checksum_crc32(0, p.pixels, STORED_PIXELS);
    if (deflater_open(&p.deflater, 1)) die("%s", status_text());
    zlib_compress(p.deflater, p.packed, &p.size, p.pixels, sizeof p.packed, STORED_PIXELS);
    return &p;
}

// Writes and seals; false where not even libhdf5 takes what the edits say.
static bool write_shard(const char *path, const plan *p) {
    const int64_t dim[] = {RECORDS, STORED_SIDE, STORED_SIDE};
    const picture *good = picture_get();
    hdf5_chunk chunk[RECORDS];
    hdf5 *f;
    status rc = hdf5_create(&f, path);
    if (!rc) rc = write_tables(f, p);
    if (!rc) rc = hdf5_make_records(f, "images", DTYPE_U8, 3, dim, DEFLATE_LEVEL);
    if (!rc) rc = hdf5_write_record(f, "images", 0, good->packed, good->size);
    if (!rc)
        rc = hdf5_write_record(f, "images", 1, p->image_size ? p->image : good->packed,
                               p->image_size ? p->image_size : good->size);
    if (!rc) rc = hdf5_finish(f);
    hdf5_close(f);
    if (!rc) rc = hdf5_open(&f, path);
    if (rc) return false;
    rc = hdf5_chunks(chunk, f, "images", RECORDS, DEFLATE_LEVEL);
    hdf5_close(f);
    chunk[1].offset += (int32_t)p->move[0];
    chunk[1].bytes += (int32_t)p->move[1];
    return !rc && !shard_seal_write(path, chunk, RECORDS);
}

static void read_record(const shard *s, int64_t i, uint8_t *packed) {
    static uint8_t pixels[STORED_PIXELS];
    buffer text = {0};
    for (int k = 0; k < ID_COUNT; k++) touch_text(text_column_at(&s->id[k], (size_t)i));
    status rc = shard_pixels(pixels, s, i, picture_get()->deflater, packed);
    if (rc) demand_failure(rc);
    for (int k = 0; k < TEXT_COUNT; k++) {
        rc = shard_text(&text, s, i, (record_text)k);
        if (rc) demand_failure(rc);
        demand(rc || text.length == (size_t)text_column_length(&s->text[k], (size_t)i));
    }
    buffer_free(&text);
}

static void read_shard(const char *path, bool must_open) {
    shard *s;
    uint8_t *packed;
    status rc = shard_open(&s, path);
    if (rc) {
        demand_failure(rc);
        demand(!s && !must_open);
        return;
    }
    touch_bytes(s->labels, (size_t)s->records * CLASS_COUNT);
    touch_bytes(s->sizes, (size_t)s->records * 2 * sizeof *s->sizes);
    for (int64_t i = 0; i < s->records; i++) {
        demand(!mem_take((void **)&packed, (size_t)s->chunk[i].bytes, 1, "a chunk"));
        read_record(s, i, packed);
        mem_free(packed);
    }
    for (size_t i = 0; i < s->skipped_reason.count; i++) {
        touch_text(text_column_at(&s->skipped_reason, i));
        touch_text(text_column_at(&s->skipped_id, i));
        touch_bytes(&s->skipped_line[i], sizeof s->skipped_line[i]);
    }
    shard_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static plan p;
    input in = {data, size};
    if (!(input_byte(&in) & 1)) {
        read_shard(memory_folder_file("raw.h5", in.data, in.size), false);
        return 0;
    }
    p = (plan){0};
    plan_good(&p, picture_get()->crc);
    while (in.size) edit_take(&p, &in);
    const char *path = memory_folder_path("fuzz.h5");
    if (write_shard(path, &p)) read_shard(path, size == 1); // no edits
    return 0;
}
