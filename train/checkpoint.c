#include "train/checkpoint.h"
#include "core/checksum.h"
#include "core/files/fs.h"
#include "core/files/json.h"
#include "core/files/safetensors.h"
#include "core/log.h"
#include "models/nn/load.h"
#include "train/checkpoint_check.h"
#include "train/ranks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char model_file[] = CHECKPOINT_MODEL, optimizer_file[] = "optimizer.safetensors";
static const char config_file[] = "config.json", manifest_file[] = CHECKPOINT_MANIFEST;
enum { FORMAT_VERSION = 1, NAME_LENGTH = 32 };

static const char *vocabulary_file(const run *r) {
    return r->stage->vocabulary_file ? r->stage->vocabulary_file(r) : "vocab.txt";
}

// File I of a checkpoint; the vocabulary is the last of them, where the stage has one. NULL behind it.
static const char *content(const run *r, int i) {
    static const char *const all[] = {model_file, optimizer_file, config_file};
    enum { ALL = sizeof all / sizeof *all };
    if (i < ALL) return all[i];
    return i == ALL && r->stage->vocabulary ? vocabulary_file(r) : NULL;
}

static bool is_saved(const param *q) { return q->role != PARAM_CONSTANT && !q->apart; }
static bool has_moments(const param *q) { return q->role == PARAM_WEIGHT && !q->frozen; }

static void step_name(char name[NAME_LENGTH], int64_t step) {
    snprintf(name, NAME_LENGTH, "step-%08lld", (long long)step);
}

// The step of "step-00000040", or -1.
static int64_t step_of(const char *name) {
    char again[NAME_LENGTH];
    if (strncmp(name, "step-", 5)) return -1;
    int64_t step = strtoll(name + 5, NULL, 10);
    step_name(again, step);
    return strcmp(again, name) ? -1 : step;
}

static status run_folder(char out[PATH_SIZE], const run *r) {
    return path_join(out, PATH_SIZE, r->dir, "checkpoints");
}

// --- writing -------------------------------------------------------------------------------------------
static status write_tensor(safetensors_writer *w, const params *p, const param *q, const param_file *f,
                           const void *block, const char *name) {
    float *values;
    status rc = mem_new(&values, f->count, name);
    if (rc) return rc;
    rc = param_read_file(p, q, f, block, values);
    if (!rc) rc = safetensors_write(w, name, values, (size_t)f->count * sizeof *values);
    mem_free(values);
    return rc;
}

// A file of what BLOCKS (each in the layout of P's values, NULL: of each parameter's own) hold of the
// parameters that WANTED says, under "PREFIX.NAME".
static status write_tensors(const params *p, bool (*wanted)(const param *), int blocks,
                            const void *const *block, const char *const *prefix, const char *path) {
    char name[NAME_SIZE];
    safetensors_writer *w = NULL;
    status rc = safetensors_create(&w, path);
    for (int writing = 0; writing < 2; writing++) { // all are declared before the first is written
        for (size_t i = 0; i < p->count && !rc; i++) {
            const param *q = p->item[i];
            for (int j = 0; j < blocks * param_files(q) && !rc && wanted(q); j++) {
                const int b = j / param_files(q);
                const param_file part = param_file_at(q, j % param_files(q));
                name_in(name, prefix[b], part.name);
                rc = writing ? write_tensor(w, p, q, &part, block[b] ? block[b] : param_block(p, q), name)
                             : safetensors_declare(w, name, DTYPE_F32, part.rank, part.dim);
            }
        }
    }
    if (!rc) rc = safetensors_finish(w);
    safetensors_writer_close(w);
    return rc;
}

static status write_model(const run *r, const char *path) {
    return write_tensors(&r->params, is_saved, 1, (const void *const[]){NULL},
                         (const char *const[]){""}, path);
}

// "m.NAME" and "v.NAME", the two moments of a parameter.
static status write_optimizer(const run *r, const char *path) {
    return write_tensors(&r->params, has_moments, 2,
                         (const void *const[]){r->optimizer.m, r->optimizer.v},
                         (const char *const[]){"m", "v"}, path);
}

static status write_manifest(run *r, const char *folder) {
    char path[PATH_SIZE];
    buffer m = {0};
    status rc = STATUS_OK;
    buffer_print(&m, "{\n  \"format\": \"%s\",\n  \"version\": %d,\n", CHECKPOINT_FORMAT, FORMAT_VERSION);
    buffer_print(&m, "  \"stage\": \"%s\",\n  \"step\": %lld,\n  \"updates\": %lld,\n", r->stage->name,
                 (long long)r->step, (long long)adamw_steps(&r->optimizer, r->device));
    buffer_print(&m, "  \"seed\": %lld,\n  \"steps_per_epoch\": %lld,\n", (long long)r->seed,
                 (long long)r->steps_per_epoch);
    if (r->data_hash) {
        buffer_text(&m, "  \"data\": ");
        buffer_json(&m, r->data_hash);
        buffer_text(&m, ",\n");
    }
    buffer_print(&m, "  \"device\": \"%s\",\n  \"precision\": \"%s\",\n  \"threads\": %d,\n"
                     "  \"ranks\": %d,\n", r->device->name, dtype_name(r->device->type),
                 stream_threads(r->device->stream), r->comm->size);
    if (r->device->type == DTYPE_F16) {
        scaler s = adamw_scaler(&r->optimizer, r->device);
        buffer_text(&m, "  \"loss_scale\": {\"scale\": ");
        buffer_json_number(&m, s.scale);
        buffer_print(&m, ", \"good_steps\": %lld},\n", (long long)s.good_steps);
    }
    if (r->best.known) {
        buffer_text(&m, "  \"best\": {\"score\": ");
        buffer_json_number(&m, r->best.score);
        buffer_print(&m, ", \"step\": %lld, \"stale\": %lld},\n", (long long)r->best.step,
                     (long long)r->best.stale);
    }
    buffer_text(&m, "  \"files\": {");
    for (int i = 0; content(r, i) && !rc; i++) {
        int64_t bytes;
        uint32_t crc;
        rc = path_join(path, sizeof path, folder, content(r, i));
        if (!rc) rc = file_checksum(path, &bytes, &crc);
        if (!rc)
            buffer_print(&m, "%s\n    \"%s\": {\"bytes\": %lld, \"crc32\": \"%08x\"}", i ? "," : "",
                         content(r, i), (long long)bytes, crc);
    }
    buffer_text(&m, "\n  }");
    manifest_seal(&m);
    if (!rc) rc = m.failed;
    if (!rc) rc = path_join(path, sizeof path, folder, manifest_file);
    if (!rc) rc = file_write(path, m.data, m.length);
    buffer_free(&m);
    return rc;
}

static status write_vocabulary(const run *r, const char *folder) {
    char path[PATH_SIZE];
    if (!r->stage->vocabulary) return STATUS_OK;
    const buffer *text = r->stage->vocabulary(r);
    status rc = path_join(path, sizeof path, folder, vocabulary_file(r));
    return rc ? rc : file_write(path, text->data, text->length);
}

static status write_folder(run *r, const char *folder) {
    char path[PATH_SIZE];
    buffer text = {0};
    status rc = path_remove(folder);
    if (!rc) rc = folder_make(folder);
    if (!rc) rc = path_join(path, sizeof path, folder, model_file);
    if (!rc) rc = write_model(r, path);
    if (!rc) rc = path_join(path, sizeof path, folder, optimizer_file);
    if (!rc) rc = write_optimizer(r, path);
    if (!rc) rc = path_join(path, sizeof path, folder, config_file);
    if (!rc) r->stage->save(r, &text);
    if (!rc) rc = text.failed;
    if (!rc) rc = file_write(path, text.data, text.length);
    if (!rc) rc = write_vocabulary(r, folder);
    if (!rc) rc = write_manifest(r, folder);
    if (!rc) rc = file_sync(folder);
    buffer_free(&text);
    return rc;
}

// checkpoints/best is a link to the folder of the best step, replaced in one rename.
static status point_to_best(const run *r) {
    char all[PATH_SIZE], link[PATH_SIZE], temporary[PATH_SIZE], name[NAME_LENGTH];
    status rc = run_folder(all, r);
    if (!rc) rc = path_join(link, sizeof link, all, "best");
    if (!rc) rc = path_join(temporary, sizeof temporary, all, "best.tmp");
    if (rc || !r->best.known) return rc;
    step_name(name, r->best.step);
    unlink(temporary);
    if (symlink(name, temporary) || rename(temporary, link))
        return status_fail(STATUS_IO, "%s: cannot link to the best checkpoint: %s", link,
                           strerror(errno));
    return file_sync(all);
}

// What a kill has left of a removal.
static status remove_rest(const run *r) {
    char all[PATH_SIZE], path[PATH_SIZE];
    status rc = run_folder(all, r);
    if (!rc) rc = path_join(path, sizeof path, all, "removing.tmp");
    return rc ? rc : path_remove(path);
}

// Each under another name first: a half of a checkpoint never looks like one.
static status remove_old(const run *r, int keep) {
    char all[PATH_SIZE], path[PATH_SIZE], going[PATH_SIZE];
    names list = {0};
    int newer = 0;
    status rc = run_folder(all, r);
    if (!rc) rc = folder_list(all, &list);
    for (size_t i = list.count; i-- > 0 && !rc;) {
        int64_t step = step_of(list.name[i]);
        if (step < 0 || newer++ < keep || (r->best.known && step == r->best.step)) continue;
        rc = path_join(path, sizeof path, all, list.name[i]);
        if (!rc) rc = path_join(going, sizeof going, all, "removing.tmp");
        if (!rc && rename(path, going))
            rc = status_fail(STATUS_IO, "%s: cannot be renamed: %s", path, strerror(errno));
        if (!rc) rc = remove_rest(r);
    }
    names_free(&list);
    return rc;
}

status checkpoint_save(run *r, int keep, bool best) {
    char all[PATH_SIZE], temporary[PATH_SIZE], folder[PATH_SIZE], name[NAME_LENGTH];
    step_name(name, r->step);
    status rc = run_folder(all, r);
    if (!rc) rc = path_join(folder, sizeof folder, all, name);
    if (!rc) rc = path_join(temporary, sizeof temporary, all, "writing.tmp");
    if (!rc) rc = folder_make(all);
    if (!rc) rc = write_folder(r, temporary);
    if (!rc) rc = path_remove(folder); // a damaged one that the run did not resume from
    if (!rc && rename(temporary, folder))
        rc = status_fail(STATUS_IO, "%s: cannot rename into place: %s", folder, strerror(errno));
    if (!rc) rc = file_sync(all);
    if (!rc && best) rc = point_to_best(r);
    if (!rc) rc = remove_old(r, keep);
    return rc;
}

// --- reading -------------------------------------------------------------------------------------------
// One line for up to eight tensors that do not fit.
static void complain(buffer *list, int *count, const char *what, const char *name) {
    if ((*count)++ < 8) buffer_print(list, "%s%s %s", list->length ? "; " : "", what, name);
}

static bool same_shape(const param_file *f, const safetensors_entry *e) {
    if (e->rank != f->rank || e->type != DTYPE_F32) return false;
    for (int i = 0; i < e->rank; i++)
        if (e->dim[i] != f->dim[i]) return false;
    return true;
}

static status load_moment(params *p, const param *q, const param_file *f, const safetensors_entry *e,
                          void *block) {
    float *values;
    status rc = mem_new(&values, f->count, f->name);
    if (rc) return rc;
    memcpy(values, e->data, e->bytes); // of whatever alignment
    rc = param_write_file(p, q, f, block, values);
    mem_free(values);
    return rc;
}

// Copies every moment of FILE into BLOCK, after all of them were found to fit. PREFIX ("m" or "v") stands
// before the names.
static status load_moments(params *p, const safetensors *file, const char *path, const char *prefix,
                           void *block) {
    char name[NAME_SIZE];
    buffer list = {0};
    int wrong = 0;
    status rc = STATUS_OK;
    for (int pass = 0; pass < 2 && !wrong; pass++) {
        for (size_t i = 0; i < p->count && !rc; i++) {
            const param *q = p->item[i];
            for (int j = 0; j < param_files(q) && !rc && has_moments(q); j++) {
                const param_file f = param_file_at(q, j);
                const safetensors_entry *e = safetensors_lookup(file, name_in(name, prefix, f.name));
                if (pass)
                    rc = load_moment(p, q, &f, e, block);
                else if (!e)
                    complain(&list, &wrong, "missing", name);
                else if (!same_shape(&f, e))
                    complain(&list, &wrong, "another shape or type:", name);
            }
        }
    }
    if (!rc && wrong)
        rc = status_fail(STATUS_FORMAT, "%s: %d tensors do not fit the model of this configuration: %s%s",
                         path, wrong, list.data, wrong > 8 ? "; ..." : "");
    buffer_free(&list);
    return rc;
}

status checkpoint_weights(char *out, size_t size, const char *path) {
    if (folder_exists(path)) {
        status rc = checkpoint_check(path);
        return rc ? rc : path_join(out, size, path, model_file);
    }
    if ((size_t)snprintf(out, size, "%s", path) < size) return STATUS_OK;
    return status_fail(STATUS_IO, "%s: the path is too long", path);
}

status checkpoint_load_model(params *p, const char *folder) {
    char path[PATH_SIZE];
    weights *file = NULL;
    load_counts counts;
    status rc = checkpoint_weights(path, sizeof path, folder);
    if (!rc) rc = weights_open(&file, path);
    if (!rc) rc = params_load(p, file, &load_own, &counts);
    weights_close(file);
    return rc;
}

static status load_optimizer(run *r, const char *folder) {
    char path[PATH_SIZE];
    safetensors *file = NULL;
    status rc = path_join(path, sizeof path, folder, optimizer_file);
    if (!rc) rc = safetensors_open(&file, path);
    if (!rc) rc = load_moments(&r->params, file, path, "m", r->optimizer.m);
    if (!rc) rc = load_moments(&r->params, file, path, "v", r->optimizer.v);
    safetensors_close(file);
    return rc;
}

typedef struct manifest {
    int64_t step, updates, threads, ranks;
    char precision[8];
    bool other_data; // than this run has; those of before it was kept do not say
    scaler scaler; // scale 0: the checkpoint has none
    best_score best;
} manifest;

static status read_manifest(manifest *m, const run *r, const char *folder) {
    const char *format, *stage_name;
    json *document = NULL;
    json_value files;
    int64_t version;
    *m = (manifest){0};
    status rc = manifest_open(&document, folder);
    if (rc) return rc;
    json_value root = json_root(document), best = json_find(root, "best");
    rc = json_member_text(&format, root, "format");
    if (!rc) rc = json_member_int(&version, root, "version", 1, FORMAT_VERSION);
    if (!rc) rc = json_member_text(&stage_name, root, "stage");
    if (!rc && strcmp(stage_name, r->stage->name))
        rc = json_fail(root, "is a checkpoint of stage %s, not %s", stage_name, r->stage->name);
    if (!rc) rc = json_member_int(&m->step, root, "step", 0, INT64_MAX);
    if (!rc) rc = json_member_int(&m->updates, root, "updates", 0, INT64_MAX);
    // Those of before there was a choice do not say: they are f32.
    const char *precision = dtype_name(DTYPE_F32);
    if (!rc && json_find(root, "precision").node) rc = json_member_text(&precision, root, "precision");
    if (!rc) snprintf(m->precision, sizeof m->precision, "%s", precision);
    if (!rc) rc = json_member_int(&m->threads, root, "threads", 1, INT32_MAX);
    if (!rc) rc = json_member_int(&m->ranks, root, "ranks", 1, INT32_MAX);
    if (!rc && r->data_hash && json_find(root, "data").node) {
        const char *data;
        rc = json_member_text(&data, root, "data");
        m->other_data = !rc && strcmp(data, r->data_hash) != 0;
    }
    json_value scale = json_find(root, "loss_scale");
    if (!rc && scale.node) {
        m->scaler = scaler_new();
        rc = json_member_number(&m->scaler.scale, scale, "scale");
        if (!rc && !(m->scaler.scale > 0 && m->scaler.scale <= 1e38))
            rc = json_fail(scale, "has scale %g, expected one above 0", m->scaler.scale);
        if (!rc) rc = json_member_int(&m->scaler.good_steps, scale, "good_steps", 0, INT64_MAX);
    }
    if (!rc && best.node) {
        m->best.known = true;
        rc = json_member_number(&m->best.score, best, "score");
        if (!rc) rc = json_member_int(&m->best.step, best, "step", 0, INT64_MAX);
        if (!rc) rc = json_member_int(&m->best.stale, best, "stale", 0, INT64_MAX);
    }
    if (!rc) rc = json_member(&files, root, "files");
    for (int i = 0; content(r, i) && !rc; i++) rc = checkpoint_check_file(folder, content(r, i), files);
    json_close(document);
    return rc;
}

// Weights mean nothing with the tokens of another vocabulary.
static status check_vocabulary(const run *r, const char *folder) {
    char path[PATH_SIZE];
    buffer text = {0};
    if (!r->stage->vocabulary) return STATUS_OK;
    const buffer *own = r->stage->vocabulary(r);
    status rc = path_join(path, sizeof path, folder, vocabulary_file(r));
    if (!rc) rc = file_read(path, 0, &text);
    if (!rc && (text.length != own->length || memcmp(text.data, own->data, own->length)))
        rc = status_fail(STATUS_FORMAT, "%s: is not the vocabulary of this configuration (%s)", path,
                         r->stage->vocabulary_file ? "model.tokenizer" : "model.vocabulary");
    buffer_free(&text);
    return rc;
}

static status load_folder(run *r, const char *folder, const manifest *m) {
    status rc = check_vocabulary(r, folder);
    if (!rc) rc = checkpoint_load_model(&r->params, folder);
    if (!rc) rc = load_optimizer(r, folder);
    if (rc == STATUS_FORMAT)
        rc = status_fail(rc, "%s. Go on with the configuration in %s/config.resolved.json, or start over "
                             "with --fresh", status_text(), r->dir);
    if (rc) return rc;
    adamw_set_steps(&r->optimizer, r->device, m->updates);
    if (r->device->type == DTYPE_F16 && m->scaler.scale > 0)
        adamw_set_scaler(&r->optimizer, r->device, m->scaler);
    r->step = m->step;
    r->best = m->best;
    int threads = stream_threads(r->device->stream);
    if (m->threads != threads || m->ranks != r->comm->size)
        log_warn("%s was made with %lld threads and %lld ranks, this run has %d and %d: it goes on, but "
                 "its numbers will differ in the last bits", folder, (long long)m->threads,
                 (long long)m->ranks, threads, r->comm->size);
    if (m->other_data)
        log_warn("%s was made from other data than those of now: the run goes on with these, which is not what it would "
                 "have become; --fresh starts over in a folder beside it", folder);
    const char *precision = dtype_name(r->device->type);
    if (strcmp(m->precision, precision))
        log_warn("%s was made in %s, this run computes in %s: it goes on from the same weights, with "
                 "other roundings", folder, m->precision, precision);
    return point_to_best(r);
}

status checkpoint_resume(run *r, int keep, bool *found) {
    char all[PATH_SIZE], folder[PATH_SIZE];
    names list = {0};
    manifest m;
    bool damaged = false;
    *found = false;
    status rc = run_folder(all, r);
    if (!rc && !folder_exists(all)) return STATUS_OK;
    if (!rc) rc = remove_rest(r);
    if (!rc) rc = folder_list(all, &list);
    for (size_t i = list.count; i-- > 0 && !rc && !*found;) {
        if (step_of(list.name[i]) < 0) continue;
        rc = path_join(folder, sizeof folder, all, list.name[i]);
        if (rc) break;
        rc = read_manifest(&m, r, folder);
        if (rc == STATUS_MEMORY) break; // says nothing about the checkpoint
        if (rc) {
            rc = STATUS_OK;
            log_warn("%s; taking the checkpoint before it", status_text());
            damaged = true;
            continue;
        }
        rc = load_folder(r, folder, &m);
        *found = !rc;
    }
    names_free(&list);
    // A kill may have come before the oldest was removed, and no step may be left to do.
    if (!rc && *found && !damaged) rc = remove_old(r, keep);
    if (!rc && damaged && !*found)
        rc = status_fail(STATUS_FORMAT, "%s: no checkpoint there is whole; --fresh starts over in a "
                                        "folder beside it", all);
    return rc;
}

status checkpoint_choose(const char *run_dir, char *out, size_t size) {
    char all[PATH_SIZE];
    names list = {0};
    status rc = path_join(all, sizeof all, run_dir, "checkpoints");
    if (!rc) rc = path_join(out, size, all, "best");
    if (rc || folder_exists(out)) return rc;
    rc = folder_list(all, &list);
    for (size_t i = list.count; i-- > 0 && !rc;) {
        if (step_of(list.name[i]) < 0) continue;
        rc = path_join(out, size, all, list.name[i]);
        names_free(&list);
        return rc;
    }
    names_free(&list);
    return rc ? rc : status_fail(STATUS_IO, "%s: holds no checkpoint", all);
}

status checkpoint_folder(char *out, size_t size, const char *path) {
    status rc = path_join(out, size, path, "checkpoints");
    if (rc || folder_exists(out)) return rc ? rc : checkpoint_choose(path, out, size);
    snprintf(out, size, "%s", path); // shorter than what fitted before
    return STATUS_OK;
}

status checkpoint_file(char *out, size_t size, const char *path) {
    char folder[PATH_SIZE];
    status rc = checkpoint_folder(folder, sizeof folder, path);
    return rc ? rc : checkpoint_weights(out, size, folder);
}

status checkpoint_take_best(run *r) {
    char best[PATH_SIZE];
    status rc = STATUS_OK;
    if (ranks_lead(r)) rc = checkpoint_choose(r->dir, best, sizeof best);
    if (!rc && ranks_lead(r)) rc = checkpoint_load_model(&r->params, best);
    rc = ranks_agree(r->comm, rc);
    return rc ? rc : ranks_share_weights(r);
}
