// Reads the adapter that is exported: a checkpoint of `train lora`, or a folder of PEFT's.
#include "core/files/json.h"
#include "train/checkpoint.h"
#include "train/export.h"
#include "train/language_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CONFIG_BYTES = 1 << 20 };
static const char prefix[] = "base_model.model.", down[] = ".lora_A.weight",
                  up[] = ".lora_B.weight";
static const char image[] = "base_model.model.model.img_proj_layer.";
static const char image_file[] = "img_proj.safetensors"; // beside PEFT's, as this program exports it

// --- files --------------------------------------------------------------------------------------
// Of a folder that `radialog` did not write.
static status peft_file(char out[PATH_SIZE], const char *folder) {
    static const char *const file[] = {"adapter_model.safetensors", "adapter_model.bin",
                                       "pytorch_model.bin"};
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        status rc = path_join(out, PATH_SIZE, folder, file[i]);
        if (rc || file_exists(out)) return rc;
    }
    return status_fail(STATUS_IO,
                       "%s: holds adapter_config.json, but no adapter_model.safetensors, "
                       "adapter_model.bin or pytorch_model.bin",
                       folder);
}

static status find_files(adapter *a, const char *path) {
    char facts[PATH_SIZE];
    status rc = path_join(facts, sizeof facts, path, "adapter_config.json");
    if (!rc)
        rc = file_exists(facts) ? peft_file(a->file, path)
                                : checkpoint_file(a->file, sizeof a->file, path);
    if (rc) return rc;
    memcpy(a->folder, a->file, sizeof a->folder);
    char *slash = strrchr(a->folder, '/');
    if (slash && slash > a->folder)
        *slash = 0;
    else
        memcpy(a->folder, slash ? "/" : ".", 2);
    return STATUS_OK;
}

// --- configuration ------------------------------------------------------------------------------
status adapter_storage(adapter *a, const char *text) {
    for (int i = 0; i < LANGUAGE_STORAGES; i++)
        if (!strcmp(text, language_storages[i])) {
            snprintf(a->storage, sizeof a->storage, "%s", text);
            return STATUS_OK;
        }
    return status_fail(STATUS_FORMAT, "storage %.20s: there is plain, fp8, int8 and nf4", text);
}

static status read_targets(adapter *a, json_value list) {
    size_t place[LORA_NAMES];
    status rc = json_list(list);
    for (json_value v = json_first(list); v.node && !rc; v = json_next(v)) {
        const char *text;
        rc = json_text(&text, v);
        if (!rc && a->lora.targets == LORA_NAMES)
            rc = json_fail(list, "names more than %d layers", LORA_NAMES);
        if (rc) break;
        place[a->lora.targets++] = a->names.length;
        buffer_append(&a->names, text, strlen(text) + 1);
        rc = a->names.failed;
    }
    for (int i = 0; i < a->lora.targets && !rc; i++) a->lora.target[i] = a->names.data + place[i];
    return rc;
}

// Checkpoints from before it was noted have none.
static status read_storage(adapter *a, json_value root) {
    json_value model, storage = {0};
    const char *text = "plain";
    status rc = json_member(&model, root, "model");
    if (!rc) storage = json_find(model, "storage");
    if (!rc && storage.node) rc = json_text(&text, storage);
    if (!rc) rc = adapter_storage(a, text);
    return rc;
}

static status read_lora(adapter *a, json_value root) {
    json_value lora, targets;
    if (!json_find(root, "lora").node)
        return json_fail(root, "has no \"lora\": it is no checkpoint of `radialog train lora`");
    status rc = read_storage(a, root);
    if (!rc) rc = json_member(&lora, root, "lora");
    if (!rc) rc = json_member_int(&a->lora.rank, lora, "rank", 1, 4096);
    if (!rc) rc = json_member_number(&a->lora.alpha, lora, "alpha");
    if (!rc) rc = json_member_number(&a->lora.dropout, lora, "dropout");
    if (!rc) rc = json_member_bool(&a->lora.rank_stabilised, lora, "rank_stabilised");
    if (!rc) rc = json_member(&targets, lora, "targets");
    return rc ? rc : read_targets(a, targets);
}

static status read_config(adapter *a) {
    char path[PATH_SIZE];
    json *document = NULL;
    bool found;
    status rc = llama_adapter_config(&a->lora, &a->names, a->folder, &found);
    if (rc || found) return rc;
    rc = path_join(path, sizeof path, a->folder, "config.json");
    if (!rc) rc = json_read(&document, path, CONFIG_BYTES);
    if (!rc) rc = read_lora(a, json_root(document));
    json_close(document);
    return rc;
}

// --- tensors ------------------------------------------------------------------------------------
static bool ends(const char *text, const char *end) {
    const size_t a = strlen(text), b = strlen(end);
    return a > b && !strcmp(text + a - b, end);
}

static status wrong(const adapter *a, const weight_entry *e, const char *what) {
    char shape[SHAPE_TEXT_SIZE];
    return status_fail(STATUS_FORMAT, "%s: %s %s %s", a->beside ? weights_path(a->beside) : a->file,
                       e->name, shape_text(shape, e->rank, e->dim), what);
}

static bool is_target(const adapter *a, const char *module) {
    const char *dot = strrchr(module, '.');
    for (int i = 0; dot && i < a->lora.targets; i++)
        if (!strcmp(dot + 1, a->lora.target[i])) return true;
    return false;
}

// The pair whose A is E.
static status add_pair(adapter *a, const weight_entry *e) {
    char name[MODULE_SIZE + 64];
    lora_pair p = {.a = e};
    const size_t length = strlen(e->name) - (sizeof prefix - 1) - (sizeof down - 1);
    if (length >= MODULE_SIZE) return wrong(a, e, "has too long a name");
    snprintf(p.module, sizeof p.module, "%.*s", (int)length, e->name + sizeof prefix - 1);
    snprintf(name, sizeof name, "%s%s%s", prefix, p.module, up);
    p.b = weights_lookup(a->weights, name);
    if (!p.b) return wrong(a, e, "has no lora_B beside it");
    if (e->rank != 2 || e->dim[0] != a->lora.rank) return wrong(a, e, "has not the adapter's rank");
    if (p.b->rank != 2 || p.b->dim[1] != a->lora.rank)
        return wrong(a, p.b, "has not the adapter's rank");
    if (!is_target(a, p.module)) return wrong(a, e, "is no layer that the configuration names");
    status rc =
        mem_grow((void **)&a->pair, &a->room, a->pairs + 1, sizeof *a->pair, "adapters of layers");
    if (!rc) a->pair[a->pairs++] = p;
    return rc;
}

static bool is_image(const weight_entry *e) {
    return !strncmp(e->name, image, sizeof image - 1);
}

static status take_image(adapter *a, const weight_entry *e) {
    const bool weight = ends(e->name, ".weight"), bias = ends(e->name, ".bias");
    if (!is_image(e) || (!(weight && e->rank == 2) && !(bias && e->rank == 1)))
        return wrong(a, e, "is no image projection");
    *(weight ? &a->image_weight : &a->image_bias) = e;
    return STATUS_OK;
}

static status take_entry(adapter *a, const weight_entry *e) {
    char name[MODULE_SIZE + 64];
    const char *const n = e->name;
    const size_t head = sizeof prefix - 1;
    if (is_image(e)) return take_image(a, e);
    if (!strncmp(n, prefix, head) && ends(n + head, down)) return add_pair(a, e);
    if (!strncmp(n, prefix, head) && ends(n + head, up)) {
        snprintf(name, sizeof name, "%.*s%s", (int)(strlen(n) - (sizeof up - 1)), n, down);
        return weights_lookup(a->weights, name) ? STATUS_OK
                                                : wrong(a, e, "has no lora_A beside it");
    }
    return wrong(a, e, "is neither an adapter of a layer nor the image projection");
}

static status check_numbers(const adapter *a, const weight_entry *e) {
    float *values;
    status rc = adapter_values(&values, a, e);
    for (int64_t i = 0; !rc && i < e->count; i++)
        if (!isfinite(values[i])) rc = wrong(a, e, "holds numbers that are not finite");
    if (!rc) mem_free(values);
    return rc;
}

// Where the weights hold no projection, one may stand beside them.
static status find_image(adapter *a) {
    char path[PATH_SIZE];
    if (a->image_weight || a->image_bias) return STATUS_OK;
    status rc = path_join(path, sizeof path, a->folder, image_file);
    if (rc || !file_exists(path)) return rc;
    rc = weights_open(&a->beside, path);
    for (size_t i = 0; !rc && i < weights_count(a->beside); i++) {
        rc = take_image(a, weights_at(a->beside, i));
        if (!rc) rc = check_numbers(a, weights_at(a->beside, i));
    }
    return rc;
}

status adapter_open(adapter *a, const char *path) {
    *a = (adapter){.storage = "plain"};
    status rc = find_files(a, path);
    if (!rc) rc = weights_open(&a->weights, a->file);
    if (!rc) rc = read_config(a);
    if (!rc && !(a->lora.alpha > 0 && isfinite(a->lora.alpha)))
        rc = status_fail(STATUS_FORMAT, "%s: alpha is %g, expected a number above 0", a->folder,
                         a->lora.alpha);
    for (size_t i = 0; !rc && i < weights_count(a->weights); i++) {
        rc = take_entry(a, weights_at(a->weights, i));
        if (!rc) rc = check_numbers(a, weights_at(a->weights, i));
    }
    if (!rc) rc = find_image(a);
    if (!rc && !a->pairs)
        rc = status_fail(STATUS_FORMAT, "%s: holds no adapter (lora_A, lora_B)", a->file);
    if (!rc && !a->image_weight != !a->image_bias)
        rc = status_fail(STATUS_FORMAT, "%s: holds half an image projection", a->file);
    return rc;
}

void adapter_close(adapter *a) {
    weights_close(a->beside);
    weights_close(a->weights);
    mem_free(a->pair);
    buffer_free(&a->names);
    *a = (adapter){0};
}

weights *adapter_source(const adapter *a, const weight_entry *e) {
    return a->beside && is_image(e) ? a->beside : a->weights;
}

status adapter_values(float **out, const adapter *a, const weight_entry *e) {
    status rc = mem_new(out, e->count, e->name);
    if (!rc) rc = weights_read_f32(adapter_source(a, e), e, *out);
    if (!rc) return rc;
    mem_free(*out);
    *out = NULL;
    return rc;
}

const lora_pair *adapter_pair(const adapter *a, const char *name) {
    static const char weight[] = ".weight";
    const size_t length = strlen(name), end = sizeof weight - 1;
    if (length <= end || strcmp(name + length - end, weight) != 0) return NULL;
    for (size_t i = 0; i < a->pairs; i++) {
        const char *module = a->pair[i].module;
        if (strlen(module) == length - end && !strncmp(module, name, length - end))
            return &a->pair[i];
    }
    return NULL;
}

// --- against a base -----------------------------------------------------------------------------
// Rows and columns of the layer MODULE; false: the model has none of that name.
static bool module_sizes(int64_t size[2], const llama_config *c, const char *module) {
    const int64_t queries = (int64_t)c->heads * c->head_width,
                  keys = (int64_t)c->key_heads * c->head_width;
    const struct {
        const char *name;
        int64_t rows, columns;
    } known[] = {
        {"self_attn.q_proj", queries, c->width}, {"self_attn.k_proj", keys, c->width},
        {"self_attn.v_proj", keys, c->width},    {"self_attn.o_proj", c->width, queries},
        {"mlp.gate_proj", c->inner, c->width},   {"mlp.up_proj", c->inner, c->width},
        {"mlp.down_proj", c->width, c->inner},
    };
    int layer = -1, end = 0;
    if (sscanf(module, "model.layers.%d.%n", &layer, &end) != 1 || !end) return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(module + end, known[i].name) != 0) continue;
        size[0] = known[i].rows;
        size[1] = known[i].columns;
        return layer >= 0 && layer < c->layers;
    }
    return false;
}

status adapter_fits(const adapter *a, const llama_config *c, const char *place) {
    int64_t size[2];
    for (size_t i = 0; i < a->pairs; i++) {
        const lora_pair *p = &a->pair[i];
        if (!module_sizes(size, c, p->module))
            return status_fail(STATUS_FORMAT,
                               "%s: has no layer %s, which %s adapts: this is not "
                               "the adapter's base",
                               place, p->module, a->file);
        if (p->b->dim[0] != size[0] || p->a->dim[1] != size[1])
            return status_fail(STATUS_FORMAT,
                               "%s: %s is (%lld, %lld), the adapter's is (%lld, %lld): this is not "
                               "the base of %s",
                               place, p->module, (long long)size[0], (long long)size[1],
                               (long long)p->b->dim[0], (long long)p->a->dim[1], a->file);
    }
    if (a->image_weight &&
        (a->image_weight->dim[0] != c->width || a->image_bias->dim[0] != c->width))
        return status_fail(STATUS_FORMAT, "%s: is %lld wide, the image projection of %s %lld",
                           place, (long long)c->width, a->file, (long long)a->image_weight->dim[0]);
    return STATUS_OK;
}

status export_base(llama_config *out, const export_options *o, const adapter *a) {
    if (!o->base)
        return status_fail(STATUS_USAGE, "--base FOLDER is missing: the language model that the "
                                         "adapter was trained beside");
    status rc = llama_config_read(out, o->base);
    return rc ? rc : adapter_fits(a, out, o->base);
}
