#include "models/roberta.h"
#include "core/files/fs.h"
#include "core/files/json.h"
#include "core/files/weights.h"
#include "core/log.h"
#include "models/nn/load.h"

#include <string.h>

enum { MOST_SIZE = 1 << 24, CONFIG_BYTES = 4 << 20, HEAD_MOST = 256 };

// --- config.json --------------------------------------------------------------------------------
static status expect(json_value root, const char *key, const char *wanted) {
    const char *text;
    if (!json_find(root, key).node) return STATUS_OK;
    status rc = json_member_text(&text, root, key);
    if (!rc && strcmp(text, wanted))
        rc = json_fail(json_find(root, key), "is \"%s\": only \"%s\" is supported", text, wanted);
    return rc;
}

static status size_of(int *out, json_value root, const char *key, int64_t most) {
    int64_t value = 0;
    status rc = json_member_int(&value, root, key, 1, most);
    *out = (int)value;
    return rc;
}

static status read_sizes(roberta_config *c, json_value root) {
    int64_t pad = 1;
    bert_config *b = &c->bert;
    status rc = expect(root, "model_type", "roberta");
    if (!rc) rc = expect(root, "hidden_act", "gelu");
    if (!rc) rc = expect(root, "position_embedding_type", "absolute");
    if (!rc) rc = size_of(&b->vocabulary, root, "vocab_size", MOST_SIZE);
    if (!rc) rc = size_of(&b->width, root, "hidden_size", MOST_SIZE);
    if (!rc) rc = size_of(&b->inner, root, "intermediate_size", MOST_SIZE);
    if (!rc) rc = size_of(&b->heads, root, "num_attention_heads", 65536);
    if (!rc) rc = size_of(&c->layers, root, "num_hidden_layers", BERT_MAX_LAYERS);
    if (!rc) rc = size_of(&b->token_types, root, "type_vocab_size", 1024);
    if (!rc) rc = size_of(&b->positions, root, "max_position_embeddings", MOST_SIZE);
    if (!rc && json_find(root, "pad_token_id").node)
        rc = json_member_int(&pad, root, "pad_token_id", 0, MOST_SIZE);
    if (!rc) rc = json_member_number(&b->eps, root, "layer_norm_eps");
    if (rc) return rc;
    if (b->width % b->heads || b->width / b->heads > HEAD_MOST)
        return json_fail(root,
                         "has %d heads in a width of %d: a head must be a whole part of at most %d",
                         b->heads, b->width, HEAD_MOST);
    if (!(b->eps > 0 && b->eps < 1))
        return json_fail(root, "has layer_norm_eps %g, expected 0 to 1", b->eps);
    c->first_position = (int32_t)pad + 1;
    b->positions -= c->first_position;
    if (b->positions < 3)
        return json_fail(root, "has no positions left behind pad_token_id %lld", (long long)pad);
    return STATUS_OK;
}

status roberta_config_read(roberta_config *out, const char *folder, int layers) {
    char path[PATH_SIZE];
    json *document = NULL;
    *out = (roberta_config){0};
    status rc = path_join(path, sizeof path, folder, "config.json");
    if (!rc) rc = json_read(&document, path, CONFIG_BYTES);
    if (!rc) rc = json_object(json_root(document));
    if (!rc) rc = read_sizes(out, json_root(document));
    json_close(document);
    if (rc) return rc;
    if (layers > out->layers)
        return status_fail(STATUS_USAGE, "%s: has %d layers, not %d", folder, out->layers, layers);
    out->bert.layers = layers ? layers : out->layers;
    return STATUS_OK;
}

// --- weights ------------------------------------------------------------------------------------
void roberta_make(bert *m, params *p, const roberta_config *c) {
    bert_config all = c->bert;
    all.positions += c->first_position;
    bert_make(m, p, "roberta", &all);
}

static const char *const ignored[] = {"position_ids", "pooler.",      "encoder.layer.",
                                      "^lm_head.",    "^classifier.", NULL};
static const load_name bare_names[] = {{"", "roberta."}, {0}};

status roberta_load(params *p, const char *folder) {
    char path[PATH_SIZE];
    weights *file = NULL;
    load_counts counts;
    load_recipe recipe = {.what = "a RoBERTa", .ignored = ignored};
    status rc = weights_find(path, sizeof path, folder, weights_model_files, "language model");
    if (!rc) rc = weights_open(&file, path);
    if (!rc && weights_lookup(file, "embeddings.word_embeddings.weight")) recipe.names = bare_names;
    if (!rc) rc = params_load(p, file, &recipe, &counts);
    if (!rc)
        log_info("%s: %lld tensors of a RoBERTa (%s), %lld not needed", path,
                 (long long)counts.loaded, weights_format(file),
                 (long long)(counts.ignored + counts.unknown));
    weights_close(file);
    return rc;
}
