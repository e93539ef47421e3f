// The frozen encoder's features of a split, in a file (data/embeddings.h): what training would
// otherwise compute again in every epoch.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "core/log.h"
#include "train/aligner_data.h"
#include "train/ranks.h"
#include "train/signals.h"

#include <stdio.h>
#include <string.h>

typedef struct making {
    embeddings_facts facts;
    const char **ids; // (count)
    char checkpoint[16], model[96], path[PATH_SIZE];
} making;

// The file's name says all that it depends on, so that one folder may hold those of several
// encoders.
static status describe(making *k, const char *folder, const tape *t, const aligner *m,
                       const params *p, const loader *l, const feature_source *source) {
    uint32_t crc, name;
    char file[64];
    const int64_t count = loader_records(l);
    status rc = params_checksum(&crc, p, "visual_encoder.encoder.");
    if (!rc) rc = mem_new(&k->ids, count, "dicom_ids");
    if (rc) return rc;
    for (int64_t i = 0; i < count; i++)
        k->ids[i] = dataset_id(source->data, loader_record(l, i), ID_DICOM);
    snprintf(k->checkpoint, sizeof k->checkpoint, "%08x", crc);
    const bool rounded = m->config.encoder.fused_norms && t->device->type == DTYPE_F16; // otherwise (biovil_t.h)
    snprintf(k->model, sizeof k->model, "biovil_t, crop %d, size %d%s%s", source->crop, source->size,
             source->blank ? ", blank" : "", rounded ? ", fused norms" : "");
    k->facts = (embeddings_facts){
        .checkpoint = k->checkpoint,
        .model = k->model,
        .split = split_names[source->split],
        .plan = dataset_plan(source->data),
        .count = count,
        .queries = (int)m->image_tokens,
        .width = m->config.encoder.vit_width,
        .type = t->device->type,
        .dicom_id = k->ids,
    };
    name = checksum_crc32(crc, k->model, strlen(k->model));
    name = checksum_crc32(name, k->facts.plan, strlen(k->facts.plan));
    name = checksum_crc32(name, &count, sizeof count);
    name = checksum_crc32(name, &k->facts.type, sizeof k->facts.type);
    snprintf(file, sizeof file, "features-%s-%08x.h5", k->facts.split, name);
    return path_join(k->path, sizeof k->path, folder, file);
}

void features_dry(tape *t, const aligner *m, aligner_inputs *in, int64_t all) {
    tape_begin(t, false);
    t->training = false;
    gather_ranks(t, aligner_input(t, m, in, true), all);
}

// One batch: every rank its slice; rank 0 gets all rows in ROWS.
static status compute(tape *t, const aligner *m, aligner_inputs *in, const batch *b, bool blank,
                      void *rows) {
    tape_begin(t, false);
    t->training = false;
    classifier_inputs_load(&in->pixels, t->device, b, blank);
    tensor *x = gather_ranks(t, aligner_input(t, m, in, true), b->global_count);
    if (t->comm->rank == 0) t->device->download(t->device, rows, x->data, tensor_bytes(x));
    status rc = tape_failed(t);
    return rc ? rc : comm_failed(t->comm);
}

// Whether all ranks go on. Where one was asked to stop, what is there is kept for the next time.
static status go_on(comm *c, embeddings_writer *w, status rc) {
    int number = signals_pending();
    rc = ranks_agree_value(c, rc, &number);
    if (rc || !number) return rc;
    if (w) rc = embeddings_sync(w);
    if (!rc && c->rank) return status_carry(STATUS_INTERRUPTED, ""); // rank 0 says it for all
    signals_tell(number);
    return rc ? rc
              : status_fail(STATUS_INTERRUPTED,
                            "stopped by signal %d; the same command goes on with the "
                            "features from there",
                            number);
}

// The rows from WRITTEN on. W is rank 0's.
static status compute_all(embeddings_writer *w, int64_t written, const making *k, tape *t,
                          const aligner *m, loader *l, aligner_inputs *in, bool blank) {
    const int64_t steps = loader_steps_per_epoch(l), count = k->facts.count;
    const size_t bytes =
        (size_t)k->facts.queries * (size_t)k->facts.width * dtype_size(k->facts.type);
    progress bar;
    char *rows = NULL;
    status rc = mem_take((void **)&rows, (size_t)loader_batch(l), bytes, "features of a batch");
    int64_t step = written / loader_batch(l), done = step * loader_batch(l);
    if (!rc) rc = loader_seek(l, step);
    progress_begin(&bar, "features", "images", count, written);
    // Ranks agree with the batch at hand, before any waits for another's rows, and once behind the last one.
    for (;; step++) {
        batch *b = NULL;
        if (!rc && step < steps) rc = loader_next(l, &b);
        rc = go_on(t->comm, w, rc);
        if (rc || step == steps) break;
        rc = compute(t, m, in, b, blank, rows);
        const int64_t skip = written > done ? written - done : 0;
        if (!rc && w) rc = embeddings_add(w, rows + (size_t)skip * bytes, b->global_count - skip);
        done += b->global_count;
        progress_update(&bar, done, k->facts.split);
    }
    progress_end(&bar);
    mem_free(rows);
    return rc;
}

static status make(const making *k, const char *folder, tape *t, const aligner *m, loader *l,
                   aligner_inputs *in, bool blank) {
    embeddings_writer *w = NULL;
    status rc = STATUS_OK;
    int written = 0;
    if (t->comm->rank == 0) rc = folder_make(folder);
    if (!rc && t->comm->rank == 0) rc = embeddings_create(&w, k->path, &k->facts);
    if (!rc && w) written = (int)embeddings_written(w);
    rc = ranks_agree_value(t->comm, rc, &written);
    if (!rc && written < k->facts.count) rc = compute_all(w, written, k, t, m, l, in, blank);
    if (!rc && w) rc = embeddings_finish(w);
    embeddings_writer_close(w);
    return ranks_agree(t->comm, rc);
}

status features_open(embeddings **out, const char *folder, tape *t, const aligner *m,
                     const params *p, loader *l, aligner_inputs *in, const feature_source *source) {
    making k = {0};
    status rc = describe(&k, folder, t, m, p, l, source);
    rc = ranks_agree(t->comm, rc);
    if (!rc) rc = make(&k, folder, t, m, l, in, source->blank);
    if (!rc) {
        rc = embeddings_open(out, k.path);
        if (rc && t->comm->rank)
            rc = status_fail(rc, "%s (data.cache must be a folder that all ranks see)",
                             status_text());
    }
    if (!rc && t->comm->rank == 0) log_info("features of %s: %s", k.facts.split, k.path);
    mem_free(k.ids);
    return ranks_agree(t->comm, rc);
}
