// What stands in a shard directory beside the shards: skipped.csv and manifest.json; and the check that
// a directory is fit to be worked in. manifest.json is written last: where it is, all is complete.
#include "data/ingest_plan.h"
#include "data/shard_folder.h"

#include <inttypes.h>
#include <stdio.h>

// --- writing -------------------------------------------------------------------------------------

static void print_options(buffer *b, const ingest_options *o) {
    buffer_print(b, "  \"options\": {\"compression\": \"%s\", \"shard_records\": %" PRId64,
                 ingest_compression_names[o->compression], o->shard_records);
    buffer_print(b, ", \"keep_without_findings\": %s, \"sections\": \"%s\"",
                 o->keep_without_findings ? "true" : "false", sections_variant_names[o->sections]);
    if (o->source == INGEST_DICOM)
        buffer_print(b, ", \"intensity\": \"%s\"", dicom_recipe_names[o->intensity]);
    if (o->source != INGEST_MIMIC) {
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

status manifest_write(const ingest_options *o, const ingest_plan *p, const ingest_summary *s,
                      const manifest_shard *shards, size_t count, const skip_list *skips) {
    buffer b = {0};
    print_skipped(&b, skips);
    status rc = shard_folder_write(o->out, "skipped.csv", &b);
    b.length = 0;
    if (!rc) print_manifest(&b, o, p, s, shards, count);
    if (!rc) rc = shard_folder_write(o->out, "manifest.json", &b);
    buffer_free(&b);
    return rc;
}

// --- before the work -----------------------------------------------------------------------------

status manifest_prepare(const ingest_options *o, const ingest_plan *p, int64_t shard_records) {
    shard_plan plan = {.hash = p->hash, .shard_rows = shard_records};
    for (int s = 0; s < SPLIT_COUNT; s++) plan.rows[s] = (int64_t)p->count[s];
    return shard_folder_prepare(o->out, &plan);
}
