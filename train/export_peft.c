// Adapters as PEFT loads them: pure LoRA, and the image projection in a file of its own beside it;
// or as PEFT 0.3.0 and RaDialog wrote them, all of it in one file of PyTorch's.
#include "core/files/safetensors.h"
#include "core/files/torch_writer.h"
#include "core/log.h"
#include "train/export.h"

#include <math.h>
#include <string.h>

static const char model_file[] = "adapter_model.safetensors", config_file[] = "adapter_config.json";
static const char image_file[] = "img_proj.safetensors", bin_file[] = "adapter_model.bin";

// One of the files: which of the adapter's entries it holds, in which order.
typedef struct part {
    const char *name;
    bool pairs, projection;
} part;
static const part model_part = {model_file, true, false}, image_part = {image_file, false, true},
                  bin_part = {bin_file, true, true};

static size_t entry_count(const adapter *a, const part *p) {
    return (p->pairs ? 2 * a->pairs : 0) + (size_t)(p->projection && a->image_weight ? 2 : 0);
}

static const weight_entry *entry_at(const adapter *a, const part *p, size_t i) {
    const size_t pairs = p->pairs ? 2 * a->pairs : 0;
    if (i >= pairs) return i > pairs ? a->image_bias : a->image_weight;
    return i % 2 ? a->pair[i / 2].b : a->pair[i / 2].a;
}

// --- safetensors --------------------------------------------------------------------------------
static status write_entry(safetensors_writer *w, const adapter *a, const weight_entry *e) {
    float *values;
    status rc = adapter_values(&values, a, e);
    if (rc) return rc;
    rc = safetensors_write(w, e->name, values, (size_t)e->count * sizeof *values);
    mem_free(values);
    return rc;
}

static status write_file(const adapter *a, const part *p, const char *folder) {
    char path[PATH_SIZE];
    safetensors_writer *w = NULL;
    const size_t count = entry_count(a, p);
    status rc = path_join(path, sizeof path, folder, p->name);
    if (!rc) rc = safetensors_create(&w, path);
    if (!rc) rc = safetensors_declare_note(w, "format", "pt"); // without, transformers refuses it
    for (size_t i = 0; i < count && !rc; i++) {
        const weight_entry *e = entry_at(a, p, i);
        rc = safetensors_declare(w, e->name, DTYPE_F32, e->rank, e->dim);
    }
    for (size_t i = 0; i < count && !rc; i++) rc = write_entry(w, a, entry_at(a, p, i));
    if (!rc) rc = safetensors_finish(w);
    safetensors_writer_close(w);
    return rc;
}

status peft_write_projection(const adapter *a, const char *folder) {
    return a->image_weight ? write_file(a, &image_part, folder) : STATUS_OK;
}

// --- PyTorch's ----------------------------------------------------------------------------------
static status copy_entry(torch_writer *w, const adapter *a, const weight_entry *e) {
    status rc = STATUS_OK;
    for (int64_t first = 0; first < e->count && !rc; first += WEIGHT_PIECE) {
        const int64_t left = e->count - first, count = left < WEIGHT_PIECE ? left : WEIGHT_PIECE;
        const void *bytes;
        rc = weights_piece(adapter_source(a, e), e, first, count, &bytes);
        if (!rc) rc = torch_write(w, e->name, bytes, (size_t)count * element_size(e->type));
    }
    return rc;
}

static status write_bin(const adapter *a, const char *folder) {
    char path[PATH_SIZE];
    torch_writer *w = NULL;
    const size_t count = entry_count(a, &bin_part);
    status rc = path_join(path, sizeof path, folder, bin_file);
    if (!rc) rc = torch_create(&w, path);
    for (size_t i = 0; i < count && !rc; i++) {
        const weight_entry *e = entry_at(a, &bin_part, i);
        rc = torch_declare(w, e->name, e->type, e->rank, e->dim);
    }
    for (size_t i = 0; i < count && !rc; i++) rc = copy_entry(w, a, entry_at(a, &bin_part, i));
    if (!rc) rc = torch_finish(w);
    torch_writer_close(w);
    return rc;
}

// --- configuration ------------------------------------------------------------------------------
// PEFT 0.3.0 has but the scale alpha / rank: that of rank-stabilised adapters goes into alpha.
static lora_config written_lora(const adapter *a, bool bin_names) {
    lora_config l = a->lora;
    if (bin_names && l.rank_stabilised) {
        l.alpha *= sqrt((double)l.rank);
        l.rank_stabilised = false;
    }
    return l;
}

// What PEFT 0.3.0 and all since know, in the order of the alphabet, as PEFT writes it; and what was
// added since and has a meaning here.
static void print_config(buffer *b, const lora_config *l, const char *base_name, bool bin_names) {
    buffer_text(b, "{\n");
    if (!bin_names) buffer_text(b, "  \"alpha_pattern\": {},\n");
    buffer_text(b, "  \"base_model_name_or_path\": ");
    if (base_name)
        buffer_json(b, base_name);
    else
        buffer_text(b, "null");
    buffer_text(b,
                ",\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n"
                "  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n  \"lora_alpha\": ");
    buffer_json_number(b, l->alpha);
    buffer_text(b, ",\n  \"lora_dropout\": ");
    buffer_json_number(b, l->dropout);
    buffer_print(b, ",\n  \"modules_to_save\": null,\n  \"peft_type\": \"LORA\",\n  \"r\": %lld,\n",
                 (long long)l->rank);
    if (!bin_names) buffer_text(b, "  \"rank_pattern\": {},\n  \"revision\": null,\n");
    buffer_text(b, "  \"target_modules\": [");
    for (int i = 0; i < l->targets; i++) {
        buffer_text(b, i ? ", " : "");
        buffer_json(b, l->target[i]);
    }
    buffer_text(b, "],\n  \"task_type\": \"CAUSAL_LM\"");
    if (!bin_names)
        buffer_print(b, ",\n  \"use_dora\": false,\n  \"use_rslora\": %s",
                     l->rank_stabilised ? "true" : "false");
    buffer_text(b, "\n}\n");
}

static status write_config(const adapter *a, const char *folder, const export_options *o) {
    char path[PATH_SIZE];
    buffer b = {0};
    const lora_config l = written_lora(a, o->bin_names);
    print_config(&b, &l, o->base_name, o->bin_names);
    status rc = b.failed;
    if (!rc) rc = path_join(path, sizeof path, folder, config_file);
    if (!rc) rc = file_write(path, b.data, b.length);
    buffer_free(&b);
    return rc;
}

status peft_write(const adapter *a, const char *folder, const export_options *o) {
    status rc = o->bin_names ? write_bin(a, folder) : write_file(a, &model_part, folder);
    if (!rc && !o->bin_names) rc = peft_write_projection(a, folder);
    return rc ? rc : write_config(a, folder, o);
}

// --- verification -------------------------------------------------------------------------------
static status same_entry(const adapter *a, weights *again, const weight_entry *e,
                         element_type type) {
    float *wanted = NULL, *found = NULL;
    const weight_entry *x = weights_lookup(again, e->name);
    bool same = x && x->type == type && x->rank == e->rank &&
                !memcmp(x->dim, e->dim, (size_t)e->rank * sizeof *e->dim);
    status rc = adapter_values(&wanted, a, e);
    if (!rc && same) rc = mem_new(&found, e->count, "a tensor read again");
    if (!rc && same) rc = weights_read_f32(again, x, found);
    if (!rc && same) same = !memcmp(found, wanted, (size_t)e->count * sizeof *found);
    mem_free(found);
    mem_free(wanted);
    if (!rc && !same)
        rc = status_fail(STATUS_FORMAT, "%s: %s is not what %s holds", weights_path(again), e->name,
                         a->file);
    return rc;
}

static status verify_file(const adapter *a, const part *p, const char *folder) {
    char path[PATH_SIZE];
    weights *again = NULL;
    const size_t count = entry_count(a, p);
    status rc = path_join(path, sizeof path, folder, p->name);
    if (!rc) rc = weights_open(&again, path);
    if (!rc && weights_count(again) != count)
        rc = status_fail(STATUS_FORMAT, "%s: holds %zu tensors, expected %zu", path,
                         weights_count(again), count);
    for (size_t i = 0; i < count && !rc; i++) {
        const weight_entry *e = entry_at(a, p, i);
        rc = same_entry(a, again, e, p == &bin_part ? e->type : ELEMENT_F32);
    }
    weights_close(again);
    return rc;
}

static status verify_config(const adapter *a, const char *folder, bool bin_names) {
    lora_config again;
    buffer texts = {0};
    bool found = false;
    const lora_config l = written_lora(a, bin_names);
    status rc = llama_adapter_config(&again, &texts, folder, &found);
    bool same = found && again.rank == l.rank && again.alpha == l.alpha &&
                again.dropout == l.dropout && again.targets == l.targets &&
                again.rank_stabilised == l.rank_stabilised;
    for (int i = 0; same && i < again.targets; i++) same = !strcmp(again.target[i], l.target[i]);
    buffer_free(&texts);
    if (!rc && !same)
        rc = status_fail(STATUS_FORMAT, "%s/%s: is not the adapter's configuration", folder,
                         config_file);
    return rc;
}

status peft_verify(const adapter *a, const char *folder, const export_options *o) {
    status rc = verify_file(a, o->bin_names ? &bin_part : &model_part, folder);
    if (!rc && a->image_weight && !o->bin_names) rc = verify_file(a, &image_part, folder);
    if (!rc) rc = verify_config(a, folder, o->bin_names);
    if (!rc) log_info("%s: verified, %zu tensors", folder, entry_count(a, &bin_part));
    return rc;
}

status export_peft(const export_options *o) {
    char temporary[PATH_SIZE] = "";
    int lock = -1;
    adapter a;
    llama_config base;
    status rc = adapter_open(&a, o->checkpoint);
    if (!rc && o->base) rc = export_base(&base, o, &a);
    if (!rc) rc = folder_begin(temporary, &lock, o->out);
    if (rc) *temporary = 0;
    if (!rc) rc = peft_write(&a, temporary, o);
    if (!rc && o->verify) rc = peft_verify(&a, temporary, o);
    rc = folder_end(temporary, lock, o->out, rc);
    adapter_close(&a);
    return rc;
}
