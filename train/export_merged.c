// A base with an adapter merged into it: W + scale B A in place of W, a Hugging Face folder. Where the adapter
// was trained beside FP8, int8 or NF4, W is what those codes mean, in all layers that were kept so.
//
// Tensor goes by tensor and row by row, so that memory stays small whatever the model's size; all
// other tensors are copied byte by byte.
#include "core/files/safetensors.h"
#include "core/log.h"
#include "train/checkpoint.h"
#include "train/export.h"
#include "train/export_coded.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct job {
    const export_options *options;
    adapter adapter;
    llama_config config;
    weights *base;
    coded_base coded;
    int *part; // of each tensor of the base, from 0; -1: left out
    int parts;
    int64_t bytes; // in all
    double *sum;   // a row of W + scale B A, or a piece of it
} job;

static status find_base(char out[PATH_SIZE], const char *folder) {
    static const char *const file[] = {"model.safetensors.index.json", "model.safetensors",
                                       "pytorch_model.bin.index.json", "pytorch_model.bin"};
    status rc = checkpoint_check(folder);
    for (size_t i = 0; !rc && i < sizeof file / sizeof *file; i++) {
        rc = path_join(out, PATH_SIZE, folder, file[i]);
        if (rc || file_exists(out)) return rc;
    }
    if (rc) return rc;
    return status_fail(STATUS_IO,
                       "%s: holds no model.safetensors and no pytorch_model.bin, nor an "
                       "index of several",
                       folder);
}

// The same type in files that are written; DTYPE_COUNT: there is none.
static dtype type_of(element_type type) {
    dtype t = 0;
    while (type < ELEMENT_COUNT && t < DTYPE_COUNT &&
           strcmp(dtype_name(t), element_name(type)) != 0)
        t++;
    return type < ELEMENT_COUNT ? t : DTYPE_COUNT;
}

static status check_layers(const job *j) {
    char name[MODULE_SIZE + 16];
    for (size_t i = 0; i < j->adapter.pairs; i++) {
        const lora_pair *p = &j->adapter.pair[i];
        snprintf(name, sizeof name, "%s.weight", p->module);
        const weight_entry *e = weights_lookup(j->base, name);
        if (!e) return status_fail(STATUS_FORMAT, "%s: has no %s", weights_path(j->base), name);
        if (e->type != ELEMENT_F32 && e->type != ELEMENT_F16 && e->type != ELEMENT_BF16)
            return status_fail(STATUS_FORMAT,
                               "%s: %s is %s: adapters are merged into F32, F16 and BF16",
                               weights_path(j->base), name, e->type_name);
        if (e->rank != 2 || e->dim[0] != p->b->dim[0] || e->dim[1] != p->a->dim[1])
            return status_fail(STATUS_FORMAT, "%s: %s has another shape than %s/config.json says",
                               weights_path(j->base), name, j->options->base);
    }
    return STATUS_OK;
}

// Which tensor goes into which file. Tables of rotary positions (old files hold them) are computed
// by whoever reads.
static status plan_parts(job *j) {
    const size_t count = weights_count(j->base);
    int64_t filled = 0;
    status rc = mem_new(&j->part, count ? count : 1, "the plan of files");
    for (size_t i = 0; i < count && !rc; i++) {
        const weight_entry *e = weights_at(j->base, i);
        j->part[i] = -1;
        if (strstr(e->name, "rotary_emb.inv_freq")) continue;
        if (type_of(e->type) == DTYPE_COUNT || e->rank > TENSOR_MAX_RANK)
            return status_fail(STATUS_FORMAT, "%s: %s is %s: such tensors are not written",
                               weights_path(j->base), e->name, e->type_name);
        if (filled && filled + (int64_t)e->bytes > j->options->shard_bytes) {
            j->parts++;
            filled = 0;
        }
        j->part[i] = j->parts;
        filled += (int64_t)e->bytes;
        j->bytes += (int64_t)e->bytes;
    }
    j->parts++;
    return rc;
}

static void part_name(char out[64], const job *j, int part) {
    if (j->parts == 1)
        snprintf(out, 64, "model.safetensors");
    else
        snprintf(out, 64, "model-%05d-of-%05d.safetensors", part + 1, j->parts);
}

// --- numbers ------------------------------------------------------------------------------------
static status copy_tensor(safetensors_writer *w, const job *j, const weight_entry *e) {
    const void *bytes = NULL;
    status rc = STATUS_OK;
    for (int64_t first = 0; first < e->count && !rc; first += WEIGHT_PIECE) {
        const int64_t count = e->count - first < WEIGHT_PIECE ? e->count - first : WEIGHT_PIECE;
        rc = weights_piece(j->base, e, first, count, &bytes);
        if (!rc) rc = safetensors_write(w, e->name, bytes, (size_t)count * element_size(e->type));
    }
    return rc;
}

// Numbers FIRST to FIRST + COUNT - 1 of row ROW of W, as training computed with them, in j->sum.
static status base_row(job *j, const weight_entry *e, int64_t row, int64_t first, int64_t count) {
    const void *bytes = NULL;
    if (coded_base_has(&j->coded, e))
        return coded_base_read(&j->coded, e, row, first, count, j->sum);
    status rc = weights_piece(j->base, e, row * e->dim[1] + first, count, &bytes);
    if (!rc) element_to_f64(j->sum, e->type, bytes, (size_t)count);
    return rc;
}

// The same of W + scale B A; A NULL: of W.
static status merge_row(job *j, const weight_entry *e, const float *a, const float *b, int64_t row,
                        int64_t first, int64_t count) {
    const int64_t K = e->dim[1], rank = a ? j->adapter.lora.rank : 0;
    const double scale = lora_scale(&j->adapter.lora);
    status rc = base_row(j, e, row, first, count);
    if (rc) return rc;
    for (int64_t r = 0; r < rank; r++) {
        const double factor = scale * (double)b[row * rank + r];
        const float *from = a + r * K + first;
        for (int64_t i = 0; i < count; i++) j->sum[i] += factor * (double)from[i];
    }
    return STATUS_OK;
}

static status write_row(safetensors_writer *w, const job *j, const weight_entry *e, void *narrow,
                        int64_t count) {
    const dtype type = type_of(e->type);
    for (int64_t i = 0; i < count; i++) {
        element_put(narrow, i, j->sum[i], type);
        if (!isfinite(element_get(narrow, i, type)))
            return status_fail(STATUS_FORMAT, "%s: the merged weights hold %g, which %s does not",
                               e->name, j->sum[i], e->type_name);
    }
    return safetensors_write(w, e->name, narrow, (size_t)count * dtype_size(type));
}

// P NULL: none of the adapter's.
static status merge_tensor(safetensors_writer *w, job *j, const weight_entry *e,
                           const lora_pair *p) {
    float *a = NULL, *b = NULL;
    double *narrow = NULL; // of the widest alignment
    const int64_t K = e->dim[1];
    status rc = p ? adapter_values(&a, &j->adapter, p->a) : STATUS_OK;
    if (!rc && p) rc = adapter_values(&b, &j->adapter, p->b);
    if (!rc) rc = mem_new(&narrow, WEIGHT_PIECE, "a row of merged weights");
    for (int64_t row = 0; row < e->dim[0] && !rc; row++)
        for (int64_t first = 0; first < K && !rc; first += WEIGHT_PIECE) {
            const int64_t count = K - first < WEIGHT_PIECE ? K - first : WEIGHT_PIECE;
            rc = merge_row(j, e, a, b, row, first, count);
            if (!rc) rc = write_row(w, j, e, narrow, count);
        }
    mem_free(narrow);
    mem_free(b);
    mem_free(a);
    return rc;
}

// --- files --------------------------------------------------------------------------------------
static status write_part(job *j, const char *folder, int part) {
    char name[64], path[PATH_SIZE];
    safetensors_writer *w = NULL;
    part_name(name, j, part);
    status rc = path_join(path, sizeof path, folder, name);
    if (!rc) rc = safetensors_create(&w, path);
    if (!rc) rc = safetensors_declare_note(w, "format", "pt"); // without, transformers refuses it
    for (int writing = 0; writing < 2; writing++)
        for (size_t i = 0; i < weights_count(j->base) && !rc; i++) {
            const weight_entry *e = weights_at(j->base, i);
            const lora_pair *p = adapter_pair(&j->adapter, e->name);
            if (j->part[i] != part) continue;
            if (!writing)
                rc = safetensors_declare(w, e->name, type_of(e->type), e->rank, e->dim);
            else
                rc = p || coded_base_has(&j->coded, e) ? merge_tensor(w, j, e, p)
                                                             : copy_tensor(w, j, e);
        }
    if (!rc) rc = safetensors_finish(w);
    safetensors_writer_close(w);
    return rc;
}

static status write_index(const job *j, const char *folder) {
    char name[64], path[PATH_SIZE];
    buffer b = {0};
    bool first = true;
    if (j->parts == 1) return STATUS_OK;
    buffer_print(&b, "{\n  \"metadata\": {\"total_size\": %lld},\n  \"weight_map\": {",
                 (long long)j->bytes);
    for (size_t i = 0; i < weights_count(j->base); i++) {
        if (j->part[i] < 0) continue;
        part_name(name, j, j->part[i]);
        buffer_text(&b, first ? "\n    " : ",\n    ");
        buffer_json(&b, weights_at(j->base, i)->name);
        buffer_print(&b, ": \"%s\"", name);
        first = false;
    }
    buffer_text(&b, "\n  }\n}\n");
    status rc = b.failed;
    if (!rc) rc = path_join(path, sizeof path, folder, "model.safetensors.index.json");
    if (!rc) rc = file_write(path, b.data, b.length);
    buffer_free(&b);
    return rc;
}

static status write_folder(job *j, const char *folder) {
    progress bar;
    status rc = STATUS_OK;
    progress_begin(&bar, "merging", "files", j->parts, 0);
    for (int part = 0; part < j->parts && !rc; part++) {
        rc = write_part(j, folder, part);
        progress_update(&bar, part + 1, NULL);
    }
    progress_end(&bar);
    if (!rc) rc = write_index(j, folder);
    if (!rc) rc = export_copy(folder, j->options->base, "config.json", false);
    if (!rc) rc = export_copy_tokenizer(folder, j->options->base);
    return rc ? rc : peft_write_projection(&j->adapter, folder);
}

// --- verification -------------------------------------------------------------------------------
// Half the distance of neighbours around X in TYPE, and a little for the sum's own rounding.
static double half_step(double x, element_type type) {
    const double unit = type == ELEMENT_F32 ? 0x1p-24 : type == ELEMENT_F16 ? 0x1p-11 : 0x1p-8;
    const double least = type == ELEMENT_F16 ? 0x1p-25 : 0x1p-149;
    return fmax(fabs(x) * unit, least) * (1 + 1e-6);
}

static status differs(const weights *again, const char *name) {
    return status_fail(STATUS_FORMAT, "%s: %s is not what was to be written", weights_path(again),
                       name);
}

// All of W in OUT.
static status read_base(job *j, const weight_entry *e, double *out) {
    const int64_t K = e->dim[1];
    status rc = STATUS_OK;
    for (int64_t row = 0; row < e->dim[0] && !rc; row++)
        for (int64_t first = 0; first < K && !rc; first += WEIGHT_PIECE) {
            const int64_t count = K - first < WEIGHT_PIECE ? K - first : WEIGHT_PIECE;
            rc = base_row(j, e, row, first, count);
            if (!rc) memcpy(out + row * K + first, j->sum, (size_t)count * sizeof *out);
        }
    return rc;
}

// Each number again by itself: W[n][k] + scale sum over r of B[n][r] A[r][k].
static status verify_merged(job *j, weights *again, const weight_entry *e, const weight_entry *x,
                            const lora_pair *p) {
    const int64_t K = e->dim[1], rank = p ? j->adapter.lora.rank : 0;
    const double scale = lora_scale(&j->adapter.lora);
    float *a = NULL, *b = NULL, *is = NULL;
    double *was = NULL;
    status rc = p ? adapter_values(&a, &j->adapter, p->a) : STATUS_OK;
    if (!rc && p) rc = adapter_values(&b, &j->adapter, p->b);
    if (!rc) rc = mem_new(&was, e->count, e->name);
    if (!rc) rc = mem_new(&is, e->count, e->name);
    if (!rc) rc = read_base(j, e, was);
    if (!rc) rc = weights_read_f32(again, x, is);
    for (int64_t i = 0; i < e->count && !rc; i++) {
        double dot = 0;
        for (int64_t r = 0; r < rank; r++)
            dot += (double)b[i / K * rank + r] * (double)a[r * K + i % K];
        const double wanted = was[i] + scale * dot;
        if (!(fabs((double)is[i] - wanted) <= half_step(wanted, e->type)))
            rc = differs(again, e->name);
    }
    mem_free(is);
    mem_free(was);
    mem_free(b);
    mem_free(a);
    return rc;
}

static status verify_tensor(job *j, weights *again, size_t i) {
    const weight_entry *e = weights_at(j->base, i), *x = weights_lookup(again, e->name);
    const lora_pair *p = adapter_pair(&j->adapter, e->name);
    uint32_t wanted = 0, found = 0;
    if (!x || x->type != e->type || x->rank != e->rank ||
        memcmp(x->dim, e->dim, (size_t)e->rank * sizeof *e->dim) != 0)
        return differs(again, e->name);
    if (p || coded_base_has(&j->coded, e)) return verify_merged(j, again, e, x, p);
    status rc = weights_checksum(j->base, e, &wanted);
    if (!rc) rc = weights_checksum(again, x, &found);
    return rc || wanted == found ? rc : differs(again, e->name);
}

static bool all_f32(const job *j) {
    for (size_t i = 0; i < weights_count(j->base); i++)
        if (weights_at(j->base, i)->type != ELEMENT_F32) return false;
    return true;
}

static status verify(job *j, const char *folder) {
    char path[PATH_SIZE];
    weights *again = NULL;
    size_t kept = 0;
    status rc = find_base(path, folder);
    if (!rc) rc = weights_open(&again, path);
    for (size_t i = 0; i < weights_count(j->base) && !rc; i++) {
        if (j->part[i] < 0) continue;
        rc = verify_tensor(j, again, i);
        kept++;
    }
    if (!rc && kept != weights_count(again))
        rc = status_fail(STATUS_FORMAT, "%s: holds %zu tensors, expected %zu", path,
                         weights_count(again), kept);
    if (!rc) log_info("%s: verified, %zu tensors in %d files", j->options->out, kept, j->parts);
    weights_close(again);
    // In 16 bits, logits differ by the weights' rounding, which was checked number by number.
    if (!rc && all_f32(j))
        rc = export_same_logits(folder, j->options->base, &j->config, &j->adapter);
    return rc;
}

static status open_all(job *j) {
    char path[PATH_SIZE];
    status rc = export_is_new(j->options->out);
    if (!rc) rc = adapter_open(&j->adapter, j->options->checkpoint);
    if (!rc) rc = export_base(&j->config, j->options, &j->adapter);
    if (!rc) rc = find_base(path, j->options->base);
    if (!rc) rc = weights_open(&j->base, path);
    if (!rc && j->options->storage) rc = adapter_storage(&j->adapter, j->options->storage);
    if (!rc) rc = coded_base_open(&j->coded, j->base, &j->config, j->adapter.storage);
    if (!rc) rc = check_layers(j);
    if (!rc) rc = plan_parts(j);
    return rc ? rc : mem_new(&j->sum, WEIGHT_PIECE, "a row of merged weights");
}

status export_merged(const export_options *o) {
    char temporary[PATH_SIZE] = "";
    int lock = -1;
    job j = {.options = o};
    status rc = open_all(&j);
    if (!rc) rc = folder_begin(temporary, &lock, o->out);
    if (rc) *temporary = 0;
    if (!rc) rc = write_folder(&j, temporary);
    if (!rc && o->verify) rc = verify(&j, temporary);
    rc = folder_end(temporary, lock, o->out, rc);
    mem_free(j.sum);
    mem_free(j.part);
    coded_base_close(&j.coded);
    weights_close(j.base);
    adapter_close(&j.adapter);
    return rc;
}
