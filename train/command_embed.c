// radialog embed: what the aligner says of radiographs, for the language model: (N, queries, width)
// in one HDF5 file (data/embeddings.h). A run that was stopped goes on where it was.
#include "core/files/fs.h"
#include "core/log.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/embedder.h"
#include "train/settings.h"
#include "train/signals.h"

#include <stdio.h>

static const option options[] = {
    OPTION_CHECKPOINT,
    OPTION_INTENSITY,
    {"out", "FILE", "the embeddings, HDF5"},
    {"split", "NAME", "of a shard directory: train, validate, test or all (default all)"},
    {0},
};

static embeddings_facts facts_of(const embedder *e, const char *split, const char *plan,
                                 int64_t count, const char *const *ids) {
    return (embeddings_facts){.checkpoint = e->checkpoint,
                              .model = e->made_by,
                              .split = split,
                              .plan = plan,
                              .count = count,
                              .queries = (int)e->queries,
                              .width = (int)e->width,
                              .dicom_id = ids};
}

static status stop_if_asked(embeddings_writer *w) {
    if (!signals_pending()) return STATUS_OK;
    status rc = embeddings_sync(w);
    return rc ? rc
              : status_fail(
                    STATUS_INTERRUPTED,
                    "stopped by signal %d after %lld images; the same command continues from "
                    "there",
                    signals_pending(), (long long)embeddings_written(w));
}

// --- shards -------------------------------------------------------------------------------------
// A split of the shards, whose first record is row FIRST of the file. *DONE rows of the file are
// written.
static status embed_split(embedder *e, embeddings_writer *w, const dataset *data, int split,
                          int64_t first, progress *bar) {
    loader_options o = aligner_loader_options(e->inference.config, split, false, NULL);
    loader *l = NULL;
    o.batch = e->batch;
    o.need_text = false;
    const int64_t count = dataset_split_count(data, split);
    if (!count || embeddings_written(w) >= first + count) return STATUS_OK;
    status rc = loader_open(&l, data, &o);
    int64_t step = rc ? 0 : (embeddings_written(w) - first) / e->batch;
    if (!rc) rc = loader_seek(l, step);
    for (; !rc && embeddings_written(w) < first + count; step++) {
        batch *b;
        rc = loader_next(l, &b);
        if (!rc) rc = embedder_images(e, b);
        const int64_t skip = embeddings_written(w) - first - step * e->batch;
        if (!rc) rc = embeddings_add(w, e->rows + skip * e->queries * e->width, b->count - skip);
        progress_update(bar, embeddings_written(w), split_names[split]);
        if (!rc) rc = stop_if_asked(w);
    }
    loader_close(l);
    return rc;
}

static status embed_records(embedder *e, const char *out, const dataset *data, int only,
                            const char **ids) {
    int64_t count = 0, first = 0;
    embeddings_writer *w = NULL;
    progress bar;
    for (int split = 0; split < SPLIT_COUNT; split++) {
        if (only >= 0 && split != only) continue;
        const int64_t begin = dataset_split_begin(data, split),
                      n = dataset_split_count(data, split);
        for (int64_t i = 0; i < n; i++) ids[count++] = dataset_id(data, begin + i, ID_DICOM);
    }
    const embeddings_facts facts =
        facts_of(e, only < 0 ? "all" : split_names[only], dataset_plan(data), count, ids);
    status rc = embeddings_create(&w, out, &facts);
    if (rc) return rc;
    progress_begin(&bar, "embed", "images", count, embeddings_written(w));
    for (int split = 0; split < SPLIT_COUNT && !rc; split++) {
        if (only >= 0 && split != only) continue;
        rc = embed_split(e, w, data, split, first, &bar);
        first += dataset_split_count(data, split);
    }
    progress_end(&bar);
    if (!rc) rc = embeddings_finish(w);
    embeddings_writer_close(w);
    if (!rc)
        log_info("%s: embeddings of %lld images, (%lld, %lld) each", out, (long long)count,
                 (long long)e->queries, (long long)e->width);
    return rc;
}

static status embed_shards(embedder *e, const arguments *a, const char *path, const char *out) {
    dataset *data = NULL;
    const char **ids = NULL;
    int only;
    status rc = settings_split(&only, a, SPLITS_ALL);
    if (!rc) rc = dataset_open(&data, path);
    if (!rc) rc = mem_new(&ids, dataset_records(data), "dicom_ids");
    if (!rc) rc = embed_records(e, out, data, only, ids);
    mem_free(ids);
    dataset_close(data);
    return rc;
}

// --- files --------------------------------------------------------------------------------------
static status embed_files(embedder *e, const arguments *a, const char *out) {
    image_file image;
    embeddings_writer *w = NULL;
    char(*name)[256] = NULL;
    const char **ids = NULL;
    const int count = a->positionals;
    status rc = image_file_open(&image, (int)config_int(e->inference.config, "data.crop"),
                                (int)config_int(e->inference.config, "data.size"));
    if (!rc) rc = radiograph_rules_given(&image.rules, a);
    if (!rc) rc = mem_new(&name, count, "names of images");
    if (!rc) rc = mem_new(&ids, count, "names of images");
    for (int i = 0; i < count && !rc; i++) {
        image_file_name(name[i], sizeof name[i], a->positional[i]);
        ids[i] = name[i];
    }
    const embeddings_facts facts = facts_of(e, "files", "", count, ids);
    if (!rc) rc = embeddings_create(&w, out, &facts);
    for (int64_t i = rc ? 0 : embeddings_written(w); i < count && !rc; i++) {
        rc = image_file_read(&image, a->positional[i]);
        if (!rc) rc = embedder_images(e, &image.batch);
        if (!rc) rc = embeddings_add(w, e->rows, 1);
        if (!rc) rc = stop_if_asked(w);
    }
    if (!rc) rc = embeddings_finish(w);
    embeddings_writer_close(w);
    mem_free(ids);
    mem_free(name);
    image_file_close(&image);
    return rc;
}

static status embed(const arguments *a) {
    embedder e = {0};
    const char *out = argument(a, "out");
    if (!out) return status_fail(STATUS_USAGE, "--out FILE is missing: where the embeddings go");
    status rc = embedder_open(&e, a);
    if (!rc && a->positionals == 1 && folder_exists(a->positional[0]))
        rc = embed_shards(&e, a, a->positional[0], out);
    else if (!rc)
        rc = embed_files(&e, a, out);
    embedder_close(&e);
    return rc;
}

const command command_embed = {
    .name = "embed",
    .positional = "SHARDS|IMAGE...",
    .summary = "the aligner's image tokens of shards or image files, as HDF5",
    .options = options,
    .run = embed,
    .tables = aligner_tables,
};
