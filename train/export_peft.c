// Adapters as PEFT loads them: pure LoRA, and the image projection in a file of its own beside it.
#include "core/files/safetensors.h"
#include "core/log.h"
#include "train/export.h"

#include <string.h>

static const char model_file[] = "adapter_model.safetensors", config_file[] = "adapter_config.json";
static const char image_file[] = "img_proj.safetensors";

// Entries of the adapter, in the order in which they are written.
static const weight_entry *entry_at(const adapter *a, bool projection, size_t i) {
    if (projection) return i ? a->image_bias : a->image_weight;
    return i % 2 ? a->pair[i / 2].b : a->pair[i / 2].a;
}

static size_t entry_count(const adapter *a, bool projection) {
    return projection ? 2 : 2 * a->pairs;
}

static status write_entry(safetensors_writer *w, const adapter *a, const weight_entry *e) {
    float *values;
    status rc = adapter_values(&values, a, e);
    if (rc) return rc;
    rc = safetensors_write(w, e->name, values, (size_t)e->count * sizeof *values);
    mem_free(values);
    return rc;
}

static status write_file(const adapter *a, bool projection, const char *folder) {
    char path[PATH_SIZE];
    safetensors_writer *w = NULL;
    const size_t count = entry_count(a, projection);
    status rc = path_join(path, sizeof path, folder, projection ? image_file : model_file);
    if (!rc) rc = safetensors_create(&w, path);
    if (!rc) rc = safetensors_declare_note(w, "format", "pt"); // without, transformers refuses it
    for (size_t i = 0; i < count && !rc; i++) {
        const weight_entry *e = entry_at(a, projection, i);
        rc = safetensors_declare(w, e->name, DTYPE_F32, e->rank, e->dim);
    }
    for (size_t i = 0; i < count && !rc; i++) rc = write_entry(w, a, entry_at(a, projection, i));
    if (!rc) rc = safetensors_finish(w);
    safetensors_writer_close(w);
    return rc;
}

status peft_write_projection(const adapter *a, const char *folder) {
    return a->image_weight ? write_file(a, true, folder) : STATUS_OK;
}

// What PEFT 0.3 and today's both know, and what has a meaning here.
static status write_config(const adapter *a, const char *folder, const char *base_name) {
    char path[PATH_SIZE];
    buffer b = {0};
    const lora_config *l = &a->lora;
    buffer_text(&b, "{\n  \"alpha_pattern\": {},\n  \"base_model_name_or_path\": ");
    if (base_name)
        buffer_json(&b, base_name);
    else
        buffer_text(&b, "null");
    buffer_text(
        &b, ",\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n"
            "  \"init_lora_weights\": true,\n  \"lora_alpha\": ");
    buffer_json_number(&b, l->alpha);
    buffer_text(&b, ",\n  \"lora_dropout\": ");
    buffer_json_number(&b, l->dropout);
    buffer_print(&b,
                 ",\n  \"modules_to_save\": null,\n  \"peft_type\": \"LORA\",\n  \"r\": %lld,\n"
                 "  \"rank_pattern\": {},\n  \"revision\": null,\n  \"target_modules\": [",
                 (long long)l->rank);
    for (int i = 0; i < l->targets; i++) {
        buffer_text(&b, i ? ", " : "");
        buffer_json(&b, l->target[i]);
    }
    buffer_print(&b,
                 "],\n  \"task_type\": \"CAUSAL_LM\",\n  \"use_dora\": false,\n"
                 "  \"use_rslora\": %s\n}\n",
                 l->rank_stabilised ? "true" : "false");
    status rc = b.failed;
    if (!rc) rc = path_join(path, sizeof path, folder, config_file);
    if (!rc) rc = file_write(path, b.data, b.length);
    buffer_free(&b);
    return rc;
}

status peft_write(const adapter *a, const char *folder, const export_options *o) {
    status rc = write_file(a, false, folder);
    if (!rc) rc = peft_write_projection(a, folder);
    return rc ? rc : write_config(a, folder, o->base_name);
}

// --- verification -------------------------------------------------------------------------------
static status same_entry(const adapter *a, weights *again, const weight_entry *e) {
    float *wanted = NULL, *found = NULL;
    const weight_entry *x = weights_lookup(again, e->name);
    bool same = x && x->type == ELEMENT_F32 && x->rank == e->rank &&
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

static status verify_file(const adapter *a, bool projection, const char *folder) {
    char path[PATH_SIZE];
    weights *again = NULL;
    const size_t count = entry_count(a, projection);
    status rc = path_join(path, sizeof path, folder, projection ? image_file : model_file);
    if (!rc) rc = weights_open(&again, path);
    if (!rc && weights_count(again) != count)
        rc = status_fail(STATUS_FORMAT, "%s: holds %zu tensors, expected %zu", path,
                         weights_count(again), count);
    for (size_t i = 0; i < count && !rc; i++) rc = same_entry(a, again, entry_at(a, projection, i));
    weights_close(again);
    return rc;
}

static status verify_config(const adapter *a, const char *folder) {
    lora_config again;
    buffer texts = {0};
    bool found = false;
    status rc = llama_adapter_config(&again, &texts, folder, &found);
    bool same = found && again.rank == a->lora.rank && again.alpha == a->lora.alpha &&
                again.dropout == a->lora.dropout && again.targets == a->lora.targets &&
                again.rank_stabilised == a->lora.rank_stabilised;
    for (int i = 0; same && i < again.targets; i++)
        same = !strcmp(again.target[i], a->lora.target[i]);
    buffer_free(&texts);
    if (!rc && !same)
        rc = status_fail(STATUS_FORMAT, "%s/%s: is not the adapter's configuration", folder,
                         config_file);
    return rc;
}

status peft_verify(const adapter *a, const char *folder) {
    status rc = verify_file(a, false, folder);
    if (!rc && a->image_weight) rc = verify_file(a, true, folder);
    if (!rc) rc = verify_config(a, folder);
    if (!rc)
        log_info("%s: verified, %zu tensors", folder,
                 2 * a->pairs + (a->image_weight ? (size_t)2 : 0));
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
    if (!rc && o->verify) rc = peft_verify(&a, temporary);
    rc = folder_end(temporary, lock, o->out, rc);
    adapter_close(&a);
    return rc;
}
