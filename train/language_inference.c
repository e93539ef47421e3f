#include "train/language_inference.h"
#include "core/files/fs.h"
#include "core/files/json.h"
#include "core/log.h"
#include "train/checkpoint.h"
#include "train/settings.h"

#include <stdio.h>

enum { CONFIG_BYTES = 1 << 20 };

// Whether config.json in the folder at FILE is a whole model's, as transformers writes it.
static status is_whole(bool *whole, const char *file) {
    json *document = NULL;
    status rc = json_read(&document, file, CONFIG_BYTES);
    if (!rc) *whole = json_find(json_root(document), "model_type").node != NULL;
    json_close(document);
    return rc;
}

// A whole model in the place of model.base.
static status take_as_base(language_inference *l) {
    char assignment[PATH_SIZE + 16];
    snprintf(assignment, sizeof assignment, "model.base=%s", l->inference.folder);
    return config_set(l->inference.config, assignment);
}

static status read_config(language_inference *l, const arguments *a) {
    inference *s = &l->inference;
    char path[PATH_SIZE];
    bool whole = false;
    status rc = path_join(path, sizeof path, s->folder, "adapter_config.json");
    l->adapters = true;
    l->peft = !rc && file_exists(path);
    if (rc || l->peft || !folder_exists(s->folder)) return rc;
    rc = path_join(path, sizeof path, s->folder, "config.json");
    if (!rc && !file_exists(path)) return STATUS_OK; // what --config and --set say
    if (!rc) rc = is_whole(&whole, path);
    if (!rc && whole) {
        l->adapters = false;
        return take_as_base(l);
    }
    if (!rc) rc = config_load(s->config, path);
    return rc ? rc : settings_overrides(s->config, a);
}

status language_inference_open(language_inference *l, const arguments *a, const char *path,
                               const config_key *const *tables) {
    *l = (language_inference){0};
    inference *s = &l->inference;
    status rc = settings_open(&s->config, tables, a);
    if (!rc && path) rc = checkpoint_folder(s->folder, sizeof s->folder, path);
    if (!rc && path) rc = read_config(l, a);
    if (!rc)
        rc = language_tokenizer(&l->tokens, config_text(s->config, "model.tokenizer"),
                                config_text(s->config, "model.base"), &l->image_token);
    return rc ? rc : inference_open_device(s);
}

void language_inference_close(language_inference *l) {
    inference_close(&l->inference);
    tokenizer_close(l->tokens);
    buffer_free(&l->targets);
}

// --- the model ----------------------------------------------------------------------------------
static status declare(language_inference *l, int64_t image_width) {
    inference *s = &l->inference;
    llama_config sizes;
    bool found;
    status rc = language_lora_config(&sizes, s->config, tokenizer_size(l->tokens), image_width);
    if (!rc && l->peft) rc = llama_adapter_config(&sizes.lora, &l->targets, s->folder, &found);
    if (rc) return rc;
    if (!l->adapters) sizes.lora = (lora_config){0};
    llama_make(&l->model, &s->params, &sizes);
    language_freeze_base(&s->params, config_text(s->config, "model.storage"));
    return inference_allocate(s);
}

static status load_weights(language_inference *l) {
    inference *s = &l->inference;
    const char *base = config_text(s->config, "model.base");
    const uint64_t seed = (uint64_t)config_int(s->config, "run.seed");
    const bool drawn = config_choice(s->config, "model.weights") == 1;
    bool projection = false;
    status rc = params_init(&s->params, seed);
    if (!rc) rc = llama_fill(&l->model, &s->params);
    if (!rc) rc = language_begin_base(&s->params, base, drawn, seed);
    if (!rc && l->adapters) rc = llama_load_adapter(&s->params, s->folder, &projection);
    if (!rc && l->model.config.image_width && !projection)
        log_warn("no image projection was loaded: images are seen through a random one");
    return rc;
}

status language_inference_load(language_inference *l, int64_t image_width, bool merge) {
    status rc = declare(l, image_width);
    if (!rc) rc = load_weights(l);
    return !rc && merge ? language_merge(&l->model, &l->inference.params) : rc;
}
