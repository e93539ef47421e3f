#include "train/language_model.h"
#include "core/files/fs.h"
#include "models/nn/lora_merge.h"
#include "train/checkpoint.h"

#include <string.h>

const char language_image_token[] = "<IMG>";

status language_tokenizer(tokenizer **out, const char *path, const char *base, int32_t *token) {
    *out = NULL;
    *token = -1;
    if (!*path) path = base;
    if (!*path)
        return status_fail(STATUS_USAGE, "model.tokenizer: name a tokenizer: tokenizer.model or "
                                         "tokenizer.json of the language model, or one of radialog "
                                         "tokenizer train --type sentencepiece");
    status rc = tokenizer_open(out, path);
    if (!rc) rc = tokenizer_add(*out, language_image_token, true, token);
    return rc;
}

bool language_sizes_alone(const char *path, const char *base) {
    static const char *const file[] = {"tokenizer.model", "tokenizer.json", "vocab.json"};
    char full[PATH_SIZE];
    if (*path || path_join(full, sizeof full, base, "config.json") || !file_exists(full)) return false;
    for (int i = 0; i < 3; i++)
        if (path_join(full, sizeof full, base, file[i]) || file_exists(full)) return false;
    return true;
}

status language_lm_config(llama_config *out, const config *c, int32_t vocabulary) {
    const int64_t heads = config_int(c, "model.heads"), keys = config_int(c, "model.key_heads");
    *out = (llama_config){
        .vocabulary = vocabulary,
        .width = config_int(c, "model.width"),
        .inner = config_int(c, "model.inner"),
        .positions = config_int(c, "model.positions"),
        .layers = (int)config_int(c, "model.layers"),
        .heads = (int)heads,
        .key_heads = (int)(keys ? keys : heads),
        .eps = config_float(c, "model.eps"),
        .rope = {.base = config_float(c, "model.rope_base")},
        .tied = config_bool(c, "model.tied"),
        .region_layers = config_int(c, "train.region_layers"),
    };
    if (out->width % heads || out->width / heads % 2)
        return status_fail(STATUS_USAGE, "model.width %lld: must be an even multiple of model.heads "
                                         "(%lld)", (long long)out->width, (long long)heads);
    if (keys && heads % keys)
        return status_fail(STATUS_USAGE, "model.key_heads %lld: must divide model.heads (%lld)",
                           (long long)keys, (long long)heads);
    out->head_width = (int)(out->width / heads);
    return STATUS_OK;
}

static status check_targets(const lora_config *l) {
    static const char *const known[] = {"q_proj", "k_proj",  "v_proj",   "o_proj",
                                        "gate_proj", "up_proj", "down_proj"};
    for (int i = 0; i < l->targets; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found |= !strcmp(l->target[i], known[k]);
        if (!found)
            return status_fail(STATUS_USAGE, "lora.targets: \"%s\" is no linear layer of the model: "
                                             "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, "
                                             "down_proj", l->target[i]);
    }
    return STATUS_OK;
}

status language_lora_config(llama_config *out, const config *c, int32_t vocabulary,
                            int64_t image_width) {
    const char *base = config_text(c, "model.base");
    if (!*base)
        return status_fail(STATUS_USAGE, "model.base: name the language model: a Hugging Face folder, "
                                         "or a checkpoint of `radialog train lm`");
    status rc = llama_config_read(out, base);
    if (rc) return rc;
    if (out->vocabulary < vocabulary) out->vocabulary = vocabulary; // tables may have spare rows
    out->image_width = image_width;
    out->region_layers = config_int(c, "train.region_layers");
    out->lora = (lora_config){
        .rank = config_int(c, "lora.rank"),
        .alpha = config_float(c, "lora.alpha"),
        .dropout = config_float(c, "lora.dropout"),
        .rank_stabilised = config_bool(c, "lora.rank_stabilised"),
    };
    out->lora.targets = config_texts(c, "lora.targets", out->lora.target, LORA_NAMES);
    return check_targets(&out->lora);
}

const char *const language_storages[LANGUAGE_STORAGES] = {"plain", "fp8", "int8", "nf4"};

void language_freeze_base(params *p, const char *storage) {
    static const char *const base[] = {"model.", "lm_head."};
    for (int i = 0; i < 2; i++) {
        params_freeze(p, base[i]);
        params_apart(p, base[i]);
    }
    static const quantisation how[LANGUAGE_STORAGES] = {[1] = QUANT_FP8, QUANT_INT8, QUANT_NF4};
    for (int i = 1; i < LANGUAGE_STORAGES; i++)
        if (!strcmp(storage, language_storages[i])) params_quantise(p, "_proj.", how[i]);
}

status language_begin_base(params *p, const char *base, bool drawn, uint64_t seed) {
    if (drawn) return params_init_apart(p, seed, "");
    status rc = params_init_apart(p, seed, "model.embed_tokens.");
    if (!rc) rc = params_init_apart(p, seed, "lm_head.");
    if (!rc) rc = checkpoint_check(base);
    return rc ? rc : llama_load_base(p, base, true);
}

status language_merge(llama *m, params *p) {
    status rc = STATUS_OK;
    for (int i = 0; i < m->config.layers && !rc; i++) {
        llama_layer *l = &m->layer[i];
        rc = lora_merge(p, &l->qkv);
        if (!rc) rc = lora_merge(p, &l->out);
        if (!rc) rc = lora_merge(p, &l->gate_up);
        if (!rc) rc = lora_merge(p, &l->down);
    }
    return rc;
}
