#include "models/llama_weights.h"
#include "core/files/fs.h"
#include "core/files/json.h"
#include "core/log.h"
#include "models/nn/load.h"

#include <stdio.h>
#include <string.h>

// --- config.json --------------------------------------------------------------------------------
enum { MOST_SIZE = 1 << 24, CONFIG_BYTES = 4 << 20 };

static bool is_there(json_value object, const char *key) {
    json_value v = json_find(object, key);
    return v.node && json_kind_of(v) != JSON_NULL;
}

// Members that may be missing leave OUT as it is.
static status int_or(int64_t *out, json_value object, const char *key) {
    return is_there(object, key) ? json_member_int(out, object, key, 1, MOST_SIZE) : STATUS_OK;
}
static status number_or(double *out, json_value object, const char *key) {
    status rc = is_there(object, key) ? json_member_number(out, object, key) : STATUS_OK;
    if (!rc && !(*out > 0 && *out <= 1e12))
        rc = json_fail(json_find(object, key), "is %g, expected a number above 0", *out);
    return rc;
}
static status bool_or(bool *out, json_value object, const char *key) {
    return is_there(object, key) ? json_member_bool(out, object, key) : STATUS_OK;
}

static status expect_text(json_value object, const char *key, const char *wanted) {
    const char *text;
    if (!is_there(object, key)) return STATUS_OK;
    status rc = json_member_text(&text, object, key);
    if (!rc && strcmp(text, wanted))
        rc = json_fail(json_find(object, key), "is \"%s\": only \"%s\" is supported", text, wanted);
    return rc;
}

// "rope_scaling" of transformers 4, "rope_parameters" of 5.
static status read_rope(rope_config *r, json_value root) {
    const char *kind = "default";
    const bool new = is_there(root, "rope_parameters");
    json_value v = json_find(root, new ? "rope_parameters" : "rope_scaling");
    status rc = number_or(&r->base, root, "rope_theta");
    if (rc || !v.node || json_kind_of(v) == JSON_NULL) return rc;
    rc = json_object(v);
    if (!rc && new) rc = number_or(&r->base, v, "rope_theta");
    if (!rc && is_there(v, "rope_type"))
        rc = json_member_text(&kind, v, "rope_type");
    else if (!rc && is_there(v, "type"))
        rc = json_member_text(&kind, v, "type");
    if (rc || !strcmp(kind, "default")) return rc;
    r->scaling = !strcmp(kind, "linear") ? ROPE_LINEAR : ROPE_LLAMA3;
    if (r->scaling == ROPE_LLAMA3 && strcmp(kind, "llama3"))
        return json_fail(v, "scales rotary positions by \"%s\": only \"default\", \"linear\" and "
                            "\"llama3\" are supported", kind);
    r->factor = 0;
    rc = json_member_number(&r->factor, v, "factor");
    if (!rc && !(r->factor >= 1 && r->factor < 1e6))
        rc = json_fail(v, "has factor %g, expected one of at least 1", r->factor);
    if (rc || r->scaling == ROPE_LINEAR) return rc;
    rc = json_member_number(&r->low, v, "low_freq_factor");
    if (!rc) rc = json_member_number(&r->high, v, "high_freq_factor");
    if (!rc)
        rc = json_member_int(&r->original, v, "original_max_position_embeddings", 1, MOST_SIZE);
    if (!rc && !(r->low > 0 && r->high > r->low))
        rc = json_fail(v, "has low_freq_factor %g and high_freq_factor %g, expected 0 < low < high",
                       r->low, r->high);
    return rc;
}

static status check_sizes(json_value root, int64_t layers, int64_t heads, int64_t keys,
                          int64_t head) {
    if (layers > LLAMA_MAX_LAYERS)
        return json_fail(root, "has %lld layers, at most %d are supported", (long long)layers,
                         LLAMA_MAX_LAYERS);
    if (heads % keys)
        return json_fail(root, "has %lld query heads over %lld key heads: they must divide",
                         (long long)heads, (long long)keys);
    if (head < 2 || head % 2 || head > 1024 || heads * head > MOST_SIZE)
        return json_fail(root, "has heads of %lld, expected an even number of 2 to 1024",
                         (long long)head);
    return STATUS_OK;
}

static status read_sizes(llama_config *c, json_value root) {
    int64_t layers = 0, heads = 0, keys = 0, head = 0;
    status rc = expect_text(root, "model_type", "llama");
    if (!rc) rc = expect_text(root, "hidden_act", "silu");
    if (!rc) rc = json_member_int(&c->vocabulary, root, "vocab_size", 1, MOST_SIZE);
    if (!rc) rc = json_member_int(&c->width, root, "hidden_size", 2, MOST_SIZE);
    if (!rc) rc = json_member_int(&c->inner, root, "intermediate_size", 1, MOST_SIZE);
    if (!rc) rc = json_member_int(&layers, root, "num_hidden_layers", 1, MOST_SIZE);
    if (!rc) rc = json_member_int(&heads, root, "num_attention_heads", 1, 65536);
    if (rc) return rc;
    keys = heads;
    head = c->width / heads;
    rc = int_or(&keys, root, "num_key_value_heads");
    if (!rc) rc = int_or(&head, root, "head_dim");
    if (!rc) rc = int_or(&c->positions, root, "max_position_embeddings");
    if (!rc) rc = number_or(&c->eps, root, "rms_norm_eps");
    if (!rc) rc = bool_or(&c->tied, root, "tie_word_embeddings");
    if (!rc) rc = bool_or(&c->attention_bias, root, "attention_bias");
    if (!rc) rc = bool_or(&c->feed_bias, root, "mlp_bias");
    if (!rc) rc = read_rope(&c->rope, root);
    if (!rc) rc = check_sizes(root, layers, heads, keys, head);
    c->layers = (int)layers;
    c->heads = (int)heads;
    c->key_heads = (int)keys;
    c->head_width = (int)head;
    return rc;
}

status llama_config_read(llama_config *out, const char *folder) {
    char path[LLAMA_PATH_SIZE];
    json *document = NULL;
    *out = (llama_config){.positions = 2048, .eps = 1e-6, .rope = {.base = 10000}};
    status rc = path_join(path, sizeof path, folder, "config.json");
    if (!rc) rc = json_read(&document, path, CONFIG_BYTES);
    if (!rc) rc = read_sizes(out, json_root(document));
    json_close(document);
    return rc;
}

static void write_rope(buffer *out, const rope_config *r) {
    buffer_text(out, ",\n  \"rope_theta\": ");
    buffer_json_number(out, r->base);
    if (r->scaling == ROPE_PLAIN) {
        buffer_text(out, ",\n  \"rope_scaling\": null");
        return;
    }
    buffer_print(out, ",\n  \"rope_scaling\": {\"rope_type\": \"%s\", \"factor\": ",
                 r->scaling == ROPE_LINEAR ? "linear" : "llama3");
    buffer_json_number(out, r->factor);
    if (r->scaling == ROPE_LLAMA3) {
        buffer_text(out, ", \"low_freq_factor\": ");
        buffer_json_number(out, r->low);
        buffer_text(out, ", \"high_freq_factor\": ");
        buffer_json_number(out, r->high);
        buffer_print(out, ", \"original_max_position_embeddings\": %lld", (long long)r->original);
    }
    buffer_text(out, "}");
}

void llama_config_write(buffer *out, const llama_config *c, const char *type, int32_t begin,
                        int32_t end) {
    static const char *const word[] = {"false", "true"};
    buffer_print(out, "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n"
                      "  \"hidden_act\": \"silu\",\n  \"vocab_size\": %lld,\n  \"hidden_size\": %lld,\n"
                      "  \"intermediate_size\": %lld,\n  \"num_hidden_layers\": %d,\n"
                      "  \"num_attention_heads\": %d,\n  \"num_key_value_heads\": %d,\n"
                      "  \"head_dim\": %d,\n  \"max_position_embeddings\": %lld,\n"
                      "  \"rms_norm_eps\": ",
                 (long long)c->vocabulary, (long long)c->width, (long long)c->inner, c->layers,
                 c->heads, c->key_heads, c->head_width, (long long)c->positions);
    buffer_json_number(out, c->eps);
    write_rope(out, &c->rope);
    buffer_print(out, ",\n  \"tie_word_embeddings\": %s,\n  \"attention_bias\": %s,\n"
                      "  \"mlp_bias\": %s,\n  \"bos_token_id\": %d,\n  \"eos_token_id\": %d,\n"
                      "  \"initializer_range\": 0.02,\n  \"use_cache\": true,\n"
                      "  \"torch_dtype\": \"%s\"\n}\n",
                 word[c->tied], word[c->attention_bias], word[c->feed_bias], begin, end, type);
}

// --- base ---------------------------------------------------------------------------------------
static const char *const grown[] = {"model.embed_tokens.weight", "lm_head.weight", NULL};
static const char *const base_ignored[] = {"rotary_emb.inv_freq", NULL};
static const char *const tied_ignored[] = {"rotary_emb.inv_freq", "^lm_head.weight", NULL};

status llama_load_base(params *p, const char *folder, bool apart) {
    char path[LLAMA_PATH_SIZE];
    const bool tied = !params_find(p, "lm_head.weight");
    const load_recipe recipe = {.what = "a LLaMA model",
                                .grown = grown,
                                .ignored = tied ? tied_ignored : base_ignored,
                                .apart = apart,
                                .strict = true};
    weights *file = NULL;
    load_counts counts;
    status rc = weights_find(path, sizeof path, folder, weights_model_files, "language model");
    if (!rc) rc = weights_open(&file, path);
    if (!rc) rc = params_load(p, file, &recipe, &counts);
    if (!rc)
        log_info("%s: %lld tensors of the language model (%s)", path, (long long)counts.loaded,
                 weights_format(file));
    weights_close(file);
    return rc;
}

// --- adapters -----------------------------------------------------------------------------------
static const char *const adapter_files[] = {"adapter_model.safetensors", "adapter_model.bin",
                                            "model.safetensors", "pytorch_model.bin", NULL};
static const char projection_name[] = "base_model.model.model.img_proj_layer.weight";
static const char projection_file[] = "img_proj.safetensors"; // as export writes it beside PEFT's
static const char *const no_projection[] = {"img_proj_layer", NULL};
static const char *const no_adapters[] = {".lora_A.", ".lora_B.", NULL};

static status load_file(params *p, const char *path, const char *const *keep) {
    const load_recipe recipe = {
        .what = "adapters of this configuration", .keep = keep, .strict = true};
    weights *file = NULL;
    load_counts counts;
    status rc = weights_open(&file, path);
    if (!rc) rc = params_load(p, file, &recipe, &counts);
    weights_close(file);
    return rc;
}

static status holds_projection(bool *holds, const char *path) {
    weights *file = NULL;
    status rc = weights_open(&file, path);
    if (!rc) *holds = weights_lookup(file, projection_name) != NULL;
    weights_close(file);
    return rc;
}

status llama_load_adapter(params *p, const char *path, bool *projection) {
    char full[LLAMA_PATH_SIZE], beside[LLAMA_PATH_SIZE];
    bool inside = false;
    *projection = false;
    status rc = weights_find(full, sizeof full, path, adapter_files, "adapter");
    if (!rc) rc = holds_projection(&inside, full);
    if (!rc) rc = load_file(p, full, inside ? NULL : no_projection);
    if (rc) return rc;
    *projection = inside;
    if (inside || !folder_exists(path) || !params_find(p, projection_name)) return STATUS_OK;
    rc = path_join(beside, sizeof beside, path, projection_file);
    if (rc || !file_exists(beside)) return rc;
    *projection = true;
    return load_file(p, beside, no_adapters);
}

// --- adapter_config.json ------------------------------------------------------------------------
// What would change the adapter's arithmetic; null and false mean that it does not.
static const char *const refused[] = {"use_dora", "use_qalora", "use_bdlora", "lora_bias",
                                      "fan_in_fan_out", "layer_replication", "layers_to_transform",
                                      "alora_invocation_tokens", "trainable_token_indices",
                                      "target_parameters", "megatron_config", "kasa_config",
                                      "monteclora_config", "arrow_config", "velora_config", NULL};

static bool is_used(json_value v) {
    bool yes = true;
    switch (json_kind_of(v)) {
    case JSON_NONE:
    case JSON_NULL: return false;
    case JSON_BOOL: return json_bool(&yes, v) || yes;
    case JSON_LIST:
    case JSON_OBJECT: return json_count(v) > 0;
    default: return true;
    }
}

static status read_targets(lora_config *out, buffer *texts, json_value list) {
    size_t place[LORA_NAMES];
    status rc = json_list(list);
    for (json_value v = json_first(list); v.node && !rc; v = json_next(v)) {
        const char *text;
        rc = json_text(&text, v);
        if (!rc && out->targets == LORA_NAMES)
            rc = json_fail(list, "names more than %d layers", LORA_NAMES);
        if (rc) break;
        place[out->targets++] = texts->length;
        buffer_append(texts, text, strlen(text) + 1);
        rc = texts->failed;
    }
    for (int i = 0; i < out->targets && !rc; i++) out->target[i] = texts->data + place[i];
    return rc;
}

static status read_adapter(lora_config *out, buffer *texts, json_value root) {
    json_value targets;
    status rc = expect_text(root, "peft_type", "LORA");
    for (const char *const *key = refused; *key && !rc; key++)
        if (is_used(json_find(root, *key)))
            rc = json_fail(json_find(root, *key), "is set: such adapters are not supported");
    for (int i = 0; i < 2 && !rc; i++) {
        const char *const key = i ? "alpha_pattern" : "rank_pattern";
        if (is_used(json_find(root, key)))
            rc = json_fail(json_find(root, key), "is set: all layers must have one rank and alpha");
    }
    if (!rc) rc = expect_text(root, "bias", "none");
    if (!rc) rc = json_member_int(&out->rank, root, "r", 1, 4096);
    if (!rc) rc = json_member_number(&out->alpha, root, "lora_alpha");
    if (!rc && is_there(root, "lora_dropout"))
        rc = json_member_number(&out->dropout, root, "lora_dropout");
    if (!rc) rc = bool_or(&out->rank_stabilised, root, "use_rslora");
    if (!rc) rc = json_member(&targets, root, "target_modules");
    return rc ? rc : read_targets(out, texts, targets);
}

status llama_adapter_config(lora_config *out, buffer *texts, const char *folder, bool *found) {
    char path[LLAMA_PATH_SIZE];
    json *document = NULL;
    *out = (lora_config){0};
    *found = false;
    if (!folder_exists(folder)) return STATUS_OK;
    status rc = path_join(path, sizeof path, folder, "adapter_config.json");
    if (rc || !file_exists(path)) return rc;
    *found = true;
    rc = json_read(&document, path, CONFIG_BYTES);
    if (!rc) rc = read_adapter(out, texts, json_root(document));
    json_close(document);
    return rc;
}
