// radialog inspect PATH: what a shard directory, a checkpoint or a file of weights holds.
#include "core/files/fs.h"
#include "core/files/weights.h"
#include "data/dataset.h"
#include "eval/table.h"
#include "train/checkpoint.h"
#include "train/commands.h"

#include <stdio.h>
#include <string.h>

static const option options[] = {{0}};
static const char manifest_file[] = "manifest.json"; // of shard directories, and of checkpoints

static status print_table(const table *t) {
    buffer text = {0};
    status rc = table_write(t, TABLE_PLAIN, &text);
    if (!rc) printf("%s", text.data);
    buffer_free(&text);
    return rc;
}

// --- shard directories ---------------------------------------------------------------------------
typedef struct label_count {
    int64_t positive, negative, uncertain, blank;
} label_count;

static void count_labels(label_count counts[CLASS_COUNT], const dataset *s) {
    memset(counts, 0, CLASS_COUNT * sizeof *counts);
    for (int64_t i = 0; i < dataset_records(s); i++) {
        const int8_t *labels = dataset_labels(s, i);
        for (int c = 0; c < CLASS_COUNT; c++) {
            counts[c].positive += labels[c] == LABEL_POSITIVE;
            counts[c].negative += labels[c] == LABEL_NEGATIVE;
            counts[c].uncertain += labels[c] == LABEL_UNCERTAIN;
            counts[c].blank += labels[c] == LABEL_BLANK;
        }
    }
}

// Reads every record's pixels and compares their checksums.
static status verify_pixels(const dataset *s) {
    uint8_t *pixels = NULL;
    pixel_reader *reader = NULL;
    status rc = mem_new(&pixels, STORED_PIXELS, "an image");
    if (!rc) rc = pixel_reader_open(&reader, s);
    for (int64_t i = 0; i < dataset_records(s) && !rc; i++) rc = dataset_pixels(pixels, reader, i);
    pixel_reader_close(reader);
    mem_free(pixels);
    return rc;
}

static void shards_json(const dataset *s, const label_count *counts) {
    printf("{\"records\":%lld,\"splits\":{", (long long)dataset_records(s));
    for (int i = 0; i < SPLIT_COUNT; i++)
        printf("%s\"%s\":%lld", i ? "," : "", split_names[i], (long long)dataset_split_count(s, i));
    printf("},\"labels\":{");
    for (int c = 0; c < CLASS_COUNT; c++)
        printf("%s\"%s\":%lld", c ? "," : "", class_names[c], (long long)counts[c].positive);
    printf("},\"plan\":\"%s\"}\n", dataset_plan(s));
}

static status inspect_shards(const char *path, bool json) {
    dataset *s = NULL;
    table t = {0};
    label_count counts[CLASS_COUNT];
    status rc = dataset_open(&s, path);
    if (!rc) rc = verify_pixels(s);
    if (rc) goto done;
    count_labels(counts, s);
    if (json) {
        shards_json(s, counts);
        goto done;
    }
    printf("%s: %lld records, all checksums match\n", path, (long long)dataset_records(s));
    for (int i = 0; i < SPLIT_COUNT; i++)
        printf("  %-9s %lld\n", split_names[i], (long long)dataset_split_count(s, i));
    static const char *const columns[] = {"finding", "positive", "negative", "uncertain", "blank"};
    for (int i = 0; i < 5; i++) table_column(&t, columns[i]);
    for (int c = 0; c < CLASS_COUNT; c++) {
        table_text(&t, class_names[c]);
        table_integer(&t, counts[c].positive);
        table_integer(&t, counts[c].negative);
        table_integer(&t, counts[c].uncertain);
        table_integer(&t, counts[c].blank);
    }
    rc = print_table(&t);
done:
    table_free(&t);
    dataset_close(s);
    return rc;
}

// --- tensors -------------------------------------------------------------------------------------
// The numbers of all tensors are read: what is printed is what loading would find.
static status tensors_json(weights *file) {
    buffer text = {0};
    int64_t elements = 0, bytes = 0;
    status rc = STATUS_OK;
    buffer_text(&text, "{\"file\":");
    buffer_json(&text, weights_path(file));
    buffer_print(&text, ",\"format\":\"%s\",\"tensors\":[", weights_format(file));
    for (size_t i = 0; i < weights_count(file) && !rc; i++) {
        const weight_entry *e = weights_at(file, i);
        uint32_t crc;
        rc = weights_checksum(file, e, &crc);
        buffer_print(&text, "%s{\"name\":", i ? ",\n" : "\n");
        buffer_json(&text, e->name);
        buffer_print(&text, ",\"type\":\"%s\",\"shape\":[", e->type_name);
        for (int k = 0; k < e->rank; k++)
            buffer_print(&text, "%s%lld", k ? "," : "", (long long)e->dim[k]);
        buffer_print(&text, "],\"bytes\":%zu,\"crc32\":\"%08x\"}", e->bytes, crc);
        elements += e->count;
        bytes += (int64_t)e->bytes;
    }
    buffer_print(&text, "],\n\"count\":%zu,\"elements\":%lld,\"bytes\":%lld}\n", weights_count(file),
                 (long long)elements, (long long)bytes);
    if (!rc) rc = text.failed;
    if (!rc) fputs(text.data, stdout);
    buffer_free(&text);
    return rc;
}

static status tensors_table(weights *file) {
    static const char *const columns[] = {"tensor", "type", "shape", "bytes", "CRC-32"};
    table t = {0};
    char shape[SHAPE_TEXT_SIZE], text[16];
    int64_t elements = 0, bytes = 0;
    status rc = STATUS_OK;
    for (int i = 0; i < 5; i++) table_column(&t, columns[i]);
    for (size_t i = 0; i < weights_count(file) && !rc; i++) {
        const weight_entry *e = weights_at(file, i);
        uint32_t crc;
        rc = weights_checksum(file, e, &crc);
        snprintf(text, sizeof text, "%08x", crc);
        table_text(&t, e->name);
        table_text(&t, e->type_name);
        table_text(&t, shape_text(shape, e->rank, e->dim));
        table_integer(&t, (int64_t)e->bytes);
        table_text(&t, text);
        elements += e->count;
        bytes += (int64_t)e->bytes;
    }
    if (!rc) rc = print_table(&t);
    if (!rc)
        printf("%s (%s): %zu tensors, %lld numbers, %lld bytes\n", weights_path(file), weights_format(file),
               weights_count(file), (long long)elements, (long long)bytes);
    table_free(&t);
    return rc;
}

static status inspect_tensors(const char *path, bool json) {
    weights *file = NULL;
    status rc = weights_open(&file, path);
    if (!rc) rc = json ? tensors_json(file) : tensors_table(file);
    weights_close(file);
    return rc;
}

static bool holds(const char *folder, const char *name) {
    char path[PATH_SIZE];
    return !path_join(path, sizeof path, folder, name) && (file_exists(path) || folder_exists(path));
}

// Of a checkpoint also its manifest; models of others have none.
static status inspect_model(const char *folder, bool json) {
    char path[PATH_SIZE];
    buffer manifest = {0};
    status rc = path_join(path, sizeof path, folder, manifest_file);
    if (!rc && !json && file_exists(path)) {
        rc = file_read(path, 1 << 20, &manifest);
        if (!rc) printf("%s\n%s", folder, manifest.data);
    }
    if (!rc) rc = weights_find(path, sizeof path, folder, weights_model_files, "weights");
    if (!rc) rc = inspect_tensors(path, json);
    buffer_free(&manifest);
    return rc;
}

static status inspect(const arguments *a) {
    const char *path = a->positional[0];
    char checkpoint[PATH_SIZE];
    const bool json = argument_given(a, "json");
    if (file_exists(path)) return inspect_tensors(path, json);
    if (!folder_exists(path)) return status_fail(STATUS_IO, "%s: does not exist", path);
    for (const char *const *name = weights_model_files; *name; name++)
        if (holds(path, *name)) return inspect_model(path, json);
    if (holds(path, "checkpoints")) {
        status rc = checkpoint_choose(path, checkpoint, sizeof checkpoint);
        return rc ? rc : inspect_model(checkpoint, json);
    }
    if (holds(path, manifest_file)) return inspect_shards(path, json);
    return status_fail(STATUS_FORMAT, "%s: is neither a shard directory nor a checkpoint nor a run directory nor a "
                                      "model's folder", path);
}

const command command_inspect = {
    .name = "inspect",
    .positional = "PATH",
    .summary = "shows what a shard directory, checkpoint, run, model or file of weights holds",
    .options = options,
    .run = inspect,
};
