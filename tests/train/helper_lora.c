#include "tests/train/helper_lora.h"
#include "core/files/safetensors.h"
#include "core/files/weights.h"
#include "core/rng.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

float lora_value(const char *name, int64_t i) {
    const rng_key key = {.seed = 5, .site = rng_site(name)};
    return (float)((int)rng_below(key, 0, (uint64_t)i, 2047) - 1023) * 0x1p-10f;
}

double lora_merged_value(const char *name, int64_t i, int64_t K, double scale) {
    char module[128], a[192], b[192];
    double sum = 0;
    snprintf(module, sizeof module, "%.*s", (int)(strlen(name) - strlen(".weight")), name);
    snprintf(a, sizeof a, "base_model.model.%s.lora_A.weight", module);
    snprintf(b, sizeof b, "base_model.model.%s.lora_B.weight", module);
    for (int r = 0; r < RANK; r++)
        sum += (double)lora_value(b, i / K * RANK + r) * (double)lora_value(a, r * K + i % K);
    return (double)lora_value(name, i) + scale * sum;
}

static void declare(safetensors_writer *w, const shape *s, dtype type) {
    ck_assert_int_eq(
        safetensors_declare(w, s->name, type, s->columns ? 2 : 1, (int64_t[]){s->rows, s->columns}),
        0);
}

static void write_numbers(safetensors_writer *w, const shape *s, dtype type) {
    const int64_t count = s->rows * (s->columns ? s->columns : 1);
    double *bytes = calloc((size_t)count, sizeof *bytes); // of the widest type
    for (int64_t i = 0; i < count; i++) element_put(bytes, i, (double)lora_value(s->name, i), type);
    ck_assert_int_eq(safetensors_write(w, s->name, bytes, (size_t)count * dtype_size(type)), 0);
    free(bytes);
}

void write_tensors(const char *path, const shape *s, int count, dtype type) {
    safetensors_writer *w;
    ck_assert_int_eq(safetensors_create(&w, path), 0);
    for (int i = 0; i < count; i++) declare(w, &s[i], type);
    for (int i = 0; i < count; i++) write_numbers(w, &s[i], type);
    ck_assert_int_eq(safetensors_finish(w), 0);
    safetensors_writer_close(w);
}

void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    ck_assert(f && fputs(text, f) >= 0 && !fclose(f));
}

const lora_layer lora_layers[LINEAR] = {
    {"self_attn.q_proj", QUERY_ROWS, WIDTH, true}, {"self_attn.k_proj", KEY_ROWS, WIDTH, true},
    {"self_attn.v_proj", KEY_ROWS, WIDTH, true},   {"self_attn.o_proj", WIDTH, QUERY_ROWS, false},
    {"mlp.gate_proj", INNER, WIDTH, false},        {"mlp.up_proj", INNER, WIDTH, false},
    {"mlp.down_proj", WIDTH, INNER, true},
};

static shape shape_of(int64_t rows, int64_t columns, const char *format, int layer,
                      const char *module) {
    shape s = {.rows = rows, .columns = columns};
    snprintf(s.name, sizeof s.name, format, layer, module);
    return s;
}

void lora_base(const char *folder, dtype type, int words) {
    lora_base_of(folder, type, words, INNER);
}

void lora_base_of(const char *folder, dtype type, int words, int inner) {
    char path[1024];
    shape s[64];
    int n = 0;
    mkdir(folder, 0777);
    s[n++] = shape_of(words, WIDTH, "model.embed_tokens.weight", 0, "");
    for (int layer = 0; layer < LAYERS; layer++) {
        for (int i = 0; i < LINEAR; i++) {
            const lora_layer *l = &lora_layers[i];
            s[n++] = shape_of(l->rows == INNER ? inner : l->rows, l->columns == INNER ? inner : l->columns,
                              "model.layers.%d.%s.weight", layer, l->name);
        }
        s[n++] = shape_of(WIDTH, 0, "model.layers.%d.input_layernorm.weight", layer, "");
        s[n++] = shape_of(WIDTH, 0, "model.layers.%d.post_attention_layernorm.weight", layer, "");
        s[n++] = shape_of(HEAD / 2, 0, "model.layers.%d.self_attn.rotary_emb.inv_freq", layer, "");
    }
    s[n++] = shape_of(WIDTH, 0, "model.norm.weight", 0, "");
    s[n++] = shape_of(words, WIDTH, "lm_head.weight", 0, "");
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    write_tensors(path, s, n, type);
    snprintf(path, sizeof path, "%s/config.json", folder);
    char config[1024];
    snprintf(config, sizeof config,
             "{\"model_type\": \"llama\", \"hidden_size\": %d, \"num_attention_heads\": %d, "
             "\"num_key_value_heads\": %d, \"head_dim\": %d, \"intermediate_size\": %d, "
             "\"num_hidden_layers\": %d, \"vocab_size\": %d}",
             WIDTH, HEADS, KEYS, HEAD, inner, LAYERS, words);
    write_text(path, config);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    write_text(path, "{\"a tokenizer\": 1}");
}

void lora_run(const char *folder, const char *stabilised) {
    char path[1024], config[512];
    shape s[64];
    int n = 0;
    mkdir(folder, 0777);
    for (int layer = 0; layer < LAYERS; layer++)
        for (int i = 0; i < LINEAR; i++) {
            if (!lora_layers[i].adapted) continue;
            s[n++] = shape_of(RANK, lora_layers[i].columns,
                              "base_model.model.model.layers.%d.%s.lora_A.weight", layer,
                              lora_layers[i].name);
            s[n++] =
                shape_of(lora_layers[i].rows, RANK, "base_model.model.model.layers.%d.%s.lora_B.weight",
                         layer, lora_layers[i].name);
        }
    s[n++] = shape_of(WIDTH, IMAGE, "base_model.model.model.img_proj_layer.weight", 0, "");
    s[n++] = shape_of(WIDTH, 0, "base_model.model.model.img_proj_layer.bias", 0, "");
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    write_tensors(path, s, n, DTYPE_F32);
    snprintf(path, sizeof path, "%s/config.json", folder);
    snprintf(
        config, sizeof config,
        "{\"model\": {\"image_width\": %d}, \"lora\": {\"rank\": %d, \"alpha\": %g, \"dropout\": "
        "0.05, \"rank_stabilised\": %s, \"targets\": [\"q_proj\", \"k_proj\", \"v_proj\", "
        "\"down_proj\"]}}",
        IMAGE, RANK, LORA_ALPHA, stabilised);
    write_text(path, config);
}

void lora_expect_numbers(const char *path, int count) {
    weights *w;
    float numbers[2048];
    ck_assert_msg(weights_open(&w, path) == 0, "%s", status_text());
    ck_assert_int_eq((int)weights_count(w), count);
    for (size_t k = 0; k < weights_count(w); k++) {
        const weight_entry *e = weights_at(w, k);
        ck_assert(e->type == ELEMENT_F32 && e->count <= 2048);
        ck_assert_int_eq(weights_read_f32(w, e, numbers), 0);
        for (int64_t i = 0; i < e->count; i++)
            ck_assert_msg(numbers[i] == lora_value(e->name, i), "%s: number %d", e->name, (int)i);
    }
    weights_close(w);
}
