// What stands in a shard directory beside the shards: skipped.csv and manifest.json; and the check that
// a directory is fit to be worked in. manifest.json is written last: where it is, all is complete.
#include "core/files/json.h"
#include "core/log.h"
#include "data/ingest_plan.h"
#include "data/shard.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANIFEST_LIMIT = 64 << 20 };

// --- writing -------------------------------------------------------------------------------------

static void print_options(buffer *b, const ingest_options *o) {
    buffer_print(b, "  \"options\": {\"compression\": \"%s\", \"shard_records\": %" PRId64,
                 ingest_compression_names[o->compression], o->shard_records);
    buffer_print(b, ", \"keep_without_findings\": %s, \"sections\": \"%s\"",
                 o->keep_without_findings ? "true" : "false", sections_variant_names[o->sections]);
    if (o->source == INGEST_FOLDER) {
        buffer_print(b, ", \"seed\": %" PRIu64 ", \"validate\": ", o->seed);
        buffer_json_number(b, o->validate);
        buffer_text(b, ", \"test\": ");
        buffer_json_number(b, o->test);
    }
    buffer_text(b, "},\n");
}

static void print_counts(buffer *b, const char *name, const char *const *keys,
                         const int64_t *counts, int size, bool zeros) {
    bool first = true;
    buffer_print(b, "  \"%s\": {", name);
    for (int i = 0; i < size; i++) {
        if (!zeros && !counts[i]) continue;
        buffer_print(b, "%s\"%s\": %" PRId64, first ? "" : ", ", keys[i], counts[i]);
        first = false;
    }
    buffer_text(b, "},\n");
}

static void print_shards(buffer *b, const ingest_plan *p, const manifest_shard *shards,
                         size_t count) {
    buffer_text(b, "  \"shards\": [\n");
    for (size_t i = 0; i < count; i++)
        buffer_print(b, "    {\"file\": \"%s\", \"split\": \"%s\", \"records\": %" PRId64 "}%s\n",
                     shards[i].file, split_names[shards[i].split], shards[i].records,
                     i + 1 < count ? "," : "");
    buffer_print(b, "  ],\n  \"hashes\": {\n    \"plan\": \"%s\"", p->hash);
    for (size_t i = 0; i < count; i++)
        buffer_print(b, ",\n    \"%s\": \"%08x\"", shards[i].file, shards[i].seal);
    buffer_text(b, "\n  }\n");
}

static void print_manifest(buffer *b, const ingest_options *o, const ingest_plan *p,
                           const ingest_summary *s, const manifest_shard *shards, size_t count) {
    buffer_print(b, "{\n  \"format\": \"radialog-shards\",\n  \"version\": %d,\n", SHARD_VERSION);
    buffer_print(b, "  \"source\": \"%s\",\n", ingest_source_names[o->source]);
    buffer_print(b, "  \"records\": %" PRId64 ",\n", s->records);
    print_counts(b, "splits", split_names, s->splits, SPLIT_COUNT, true);
    print_counts(b, "labels", class_names, s->positives, CLASS_COUNT, true);
    print_counts(b, "skipped", skip_names, s->skipped, SKIP_COUNT, false);
    buffer_print(b, "  \"unlabelled\": %" PRId64 ",\n", s->unlabelled);
    buffer_print(b, "  \"patients_in_several_splits\": %" PRId64 ",\n", s->shared_patients);
    print_options(b, o);
    print_shards(b, p, shards, count);
    buffer_text(b, "}\n");
}

static void print_skipped(buffer *b, const skip_list *skips) {
    static const char *const header[] = {"line", "id", "reason", "detail"};
    csv_write_row(b, header, 4);
    for (size_t i = 0; i < skips->count; i++) {
        const plan_skip *s = &skips->list[i];
        char line[24];
        snprintf(line, sizeof line, "%" PRId64, s->line);
        const char *const fields[] = {line, skips->texts.data + s->id, skip_names[s->reason],
                                      skips->texts.data + s->detail};
        csv_write_row(b, fields, 4);
    }
}

static status write_unless_same(const char *folder, const char *name, const buffer *b) {
    char path[PATH_SIZE];
    buffer old = {0};
    status rc = b->failed;
    if (!rc) rc = path_join(path, sizeof path, folder, name);
    if (!rc && file_exists(path)) rc = file_read(path, 0, &old);
    bool same = old.data && old.length == b->length && !memcmp(old.data, b->data, b->length);
    if (!rc && !same) rc = file_write(path, b->data, b->length);
    buffer_free(&old);
    return rc;
}

status manifest_write(const ingest_options *o, const ingest_plan *p, const ingest_summary *s,
                      const manifest_shard *shards, size_t count, const skip_list *skips) {
    buffer b = {0};
    print_skipped(&b, skips);
    status rc = write_unless_same(o->out, "skipped.csv", &b);
    b.length = 0;
    if (!rc) print_manifest(&b, o, p, s, shards, count);
    if (!rc) rc = write_unless_same(o->out, "manifest.json", &b);
    buffer_free(&b);
    return rc;
}

// --- before the work -----------------------------------------------------------------------------

static status other_plan(const char *path) {
    return status_fail(STATUS_FORMAT,
                       "%s: was made from other inputs or with other options; give another --out, "
                       "or remove the folder to make it anew",
                       path);
}

static status check_manifest(const char *path, const ingest_plan *p) {
    json *document = NULL;
    json_value hashes;
    const char *plan;
    status rc = json_read(&document, path, MANIFEST_LIMIT);
    if (rc == STATUS_FORMAT) {
        log_warn("%s; it is written again", status_text()); // the shards carry the plan as well
        return STATUS_OK;
    }
    if (!rc) rc = json_member(&hashes, json_root(document), "hashes");
    if (!rc) rc = json_member_text(&plan, hashes, "plan");
    if (!rc && strcmp(plan, p->hash)) rc = other_plan(path);
    json_close(document);
    return rc;
}

// Whether NAME is a shard's, and one that this plan makes.
static bool is_shard(bool *planned, const char *name, const ingest_plan *p,
                     int64_t shard_records) {
    char expected[SHARD_NAME_SIZE];
    size_t length = strlen(name);
    *planned = false;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        size_t prefix = strlen(split_names[s]);
        if (strncmp(name, split_names[s], prefix) || name[prefix] != '-') continue;
        int64_t number = strtoll(name + prefix + 1, NULL, 10), rows = (int64_t)p->count[s];
        *planned = number >= 0 && !strcmp(shard_name(expected, s, number), name) &&
                   number < rows / shard_records + (rows % shard_records != 0);
    }
    return length > 3 && !strcmp(name + length - 3, ".h5");
}

static status prepare_entry(const char *folder, const char *name, const ingest_plan *p,
                            int64_t shard_records) {
    char path[PATH_SIZE], base[256];
    size_t length = strlen(name);
    bool planned;
    status rc = path_join(path, sizeof path, folder, name);
    if (rc) return rc;
    if (!strcmp(name, "manifest.json")) return check_manifest(path, p);
    if (is_shard(&planned, name, p, shard_records) && !planned) return other_plan(path);
    if (length < 5 || length >= sizeof base || strcmp(name + length - 4, ".tmp"))
        return STATUS_OK;
    memcpy(base, name, length - 4);
    base[length - 4] = 0;
    if (is_shard(&planned, base, p, shard_records) || !strcmp(base, "manifest.json") ||
        !strcmp(base, "skipped.csv"))
        return path_remove(path);
    return STATUS_OK;
}

status manifest_prepare(const ingest_options *o, const ingest_plan *p, int64_t shard_records) {
    names list = {0};
    status rc = folder_list(o->out, &list);
    for (size_t i = 0; !rc && i < list.count; i++)
        rc = prepare_entry(o->out, list.name[i], p, shard_records);
    names_free(&list);
    return rc;
}
