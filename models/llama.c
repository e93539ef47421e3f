#include "models/llama.h"

#include <math.h>
#include <stdio.h>

static const char adapter_module[] = "base_model.model";
static const init llama_init = {INIT_NORMAL, 0.02};
static const char rotary_name[] = "rotary";

// --- parameters ---------------------------------------------------------------------------------
static tensor *norm_make(params *p, const char *prefix, const char *name, int64_t D) {
    char full[NAME_SIZE];
    return param_add(p, PARAM_WEIGHT, name_in(full, prefix, name), (init){INIT_ONE, 0}, 1, &D);
}

static void layer_make(llama_layer *l, params *p, const llama_config *c, int i) {
    char prefix[64], self[80], mlp[80];
    const int64_t D = c->width, F = c->inner, Q = (int64_t)c->heads * c->head_width,
                  K = (int64_t)c->key_heads * c->head_width;
    const param_piece qkv[] = {{"q_proj", Q}, {"k_proj", K}, {"v_proj", K}}, o = {"o_proj", D};
    const param_piece gate_up[] = {{"gate_proj", F}, {"up_proj", F}}, down = {"down_proj", D};
    snprintf(prefix, sizeof prefix, "model.layers.%d", i);
    snprintf(self, sizeof self, "%s.self_attn", prefix);
    snprintf(mlp, sizeof mlp, "%s.mlp", prefix);
    l->attention_norm = norm_make(p, prefix, "input_layernorm.weight", D);
    l->qkv = lora_linear_make(p, adapter_module, self, 3, qkv, D, c->attention_bias, llama_init,
                              &c->lora);
    l->out = lora_linear_make(p, adapter_module, self, 1, &o, Q, c->attention_bias, llama_init,
                              &c->lora);
    l->feed_norm = norm_make(p, prefix, "post_attention_layernorm.weight", D);
    l->gate_up = lora_linear_make(p, adapter_module, mlp, 2, gate_up, D, c->feed_bias, llama_init,
                                  &c->lora);
    l->down = lora_linear_make(p, adapter_module, mlp, 1, &down, F, c->feed_bias, llama_init,
                               &c->lora);
}

void llama_make(llama *m, params *p, const llama_config *c) {
    const int64_t D = c->width, table[2] = {c->vocabulary, D},
                  angles = c->positions * c->head_width;
    if (c->layers < 1 || c->layers > LLAMA_MAX_LAYERS || c->heads % c->key_heads ||
        c->head_width % 2)
        die("llama_make: %d layers, %d heads over %d, of %d", c->layers, c->heads, c->key_heads,
            c->head_width);
    *m = (llama){.config = *c};
    m->embedding =
        param_add(p, PARAM_WEIGHT, "model.embed_tokens.weight", llama_init, 2, table);
    for (int i = 0; i < c->layers; i++) layer_make(&m->layer[i], p, c, i);
    m->norm = norm_make(p, "model", "norm.weight", D);
    m->head = c->tied ? m->embedding
                      : param_add(p, PARAM_WEIGHT, "lm_head.weight", llama_init, 2, table);
    m->rotary = param_add(p, PARAM_CONSTANT, rotary_name, (init){INIT_ZERO, 0}, 1, &angles);
    if (c->image_width)
        m->image = linear_make(p, "base_model.model.model.img_proj_layer", c->image_width, D, true,
                               init_torch_default(c->image_width));
}

// --- rotary positions (Su et al. 2021) ----------------------------------------------------------
// Long waves are stretched, short ones are left, and between LOW and HIGH waves per original text
// lies a ramp (transformers' modeling_rope_utils, "llama3").
static float stretched(float frequency, const rope_config *r) {
    const double wave = 2 * M_PI / (double)frequency;
    if (r->scaling == ROPE_LINEAR) return frequency / (float)r->factor;
    if (r->scaling == ROPE_PLAIN || wave < (double)r->original / r->high) return frequency;
    if (wave > (double)r->original / r->low) return frequency / (float)r->factor;
    const double smooth = ((double)r->original / wave - r->low) / (r->high - r->low);
    return (float)((1 - smooth) * (double)frequency / r->factor + smooth * (double)frequency);
}

// (head_width / 2), in f32 as transformers has them.
static void frequencies(float *out, const llama_config *c) {
    for (int k = 0; k < c->head_width / 2; k++) {
        const float exponent = (float)(2 * k) / (float)c->head_width;
        out[k] = stretched(1.0f / powf((float)c->rope.base, exponent), &c->rope);
    }
}

status llama_fill(const llama *m, params *p) {
    const int64_t half = m->config.head_width / 2;
    float *values, *frequency;
    status rc = mem_new(&values, m->config.positions * half * 2, "rotary positions");
    if (rc) return rc;
    rc = mem_new(&frequency, half, "rotary frequencies");
    if (!rc) frequencies(frequency, &m->config);
    for (int64_t i = 0; i < m->config.positions * half && !rc; i++) {
        const float angle = (float)(i / half) * frequency[i % half];
        values[2 * i] = cosf(angle);
        values[2 * i + 1] = sinf(angle);
    }
    if (!rc) rc = param_fill(p, rotary_name, values);
    mem_free(frequency);
    mem_free(values);
    return rc;
}

void llama_rotate(tape *t, const llama *m, tensor *out[3], tensor *qkv, tensor *positions,
                  bool repeat) {
    const llama_config *c = &m->config;
    tensor *table = tape_view(t, m->rotary, 3, (int64_t[]){c->positions, c->head_width / 2, 2});
    rotate_heads(t, out, qkv, &(rotate_args){table, positions, c->heads, c->key_heads, repeat});
}

// --- layers -------------------------------------------------------------------------------------
// The state between layers is a sum that has not been made: x + y. The norm of the next layer makes
// it, in the same pass.
enum { IN_X, IN_Y };

typedef struct layer_context {
    const llama *model;
    llama_batch *batch;
    int first, count;
} layer_context;

// Keys (or values) of the prefix again for each sample; NULL where nothing is shared.
static tensor *repeat_prefix(tape *t, llama_batch *b, tensor *k) {
    if (!b->shared) return NULL;
    const int64_t N = k->dim[0], H = k->dim[1], W = k->dim[2];
    tensor *rows = embedding(t, tape_view(t, k, 2, (int64_t[]){N, H * W}), &b->prefix);
    return tape_view(t, rows, 3, (int64_t[]){rows->dim[0], H, W});
}

static tensor *attend(tape *t, const llama *m, int layer, tensor *qkv, const void *context) {
    const layer_context *self = context;
    const llama_config *c = &m->config;
    llama_batch *b = self->batch;
    const bool last = layer == c->layers - 1;
    tensor *part[3], *out[2];
    llama_rotate(t, m, part, qkv, &b->positions, true);
    tensor *q = part[0];
    if (last) {
        const int64_t row = (int64_t)c->heads * c->head_width;
        q = embedding(t, tape_view(t, q, 2, (int64_t[]){q->dim[0], row}), &b->last);
        q = tape_view(t, q, 3, (int64_t[]){q->dim[0], c->heads, c->head_width});
    }
    attention_rows(t, out,
                   &(attention_rows_args){
                       .q = {NULL, q},
                       .k = {NULL, part[1], repeat_prefix(t, b, part[1])},
                       .v = {NULL, part[2], repeat_prefix(t, b, part[2])},
                       .segments = last ? &b->last_segments : &b->segments,
                       .known = SEGMENTS_CAUSAL,
                       .most_queries = b->most,
                       .most_keys = b->most,
                   });
    return tape_view(t, out[1], 2, (int64_t[]){q->dim[0], (int64_t)c->heads * c->head_width});
}

// Touvron et al. 2023, 2.2; transformers' LlamaDecoderLayer:
//   s = x + attention(norm(x)),   out = s + down(silu(gate(norm(s))) * up(norm(s))).
void llama_layer_run(tape *t, const llama *m, int i, const llama_attention *a, tensor **x,
                     tensor **y) {
    const llama_layer *l = &m->layer[i];
    const double eps = m->config.eps;
    tensor *rows = a->rows;
    tensor *h = rms_norm(t, x, *x, *y, l->attention_norm, eps);
    h = a->attend(t, m, i, lora_linear_run(t, &l->qkv, h, rows), a->context);
    if (i == m->config.layers - 1) { // from here on only what predicts
        *x = embedding(t, *x, a->last);
        rows = a->last_rows;
    }
    h = rms_norm(t, x, *x, lora_linear_run(t, &l->out, h, rows), l->feed_norm, eps);
    h = swiglu(t, lora_linear_run(t, &l->gate_up, h, rows));
    *y = lora_linear_run(t, &l->down, h, rows);
}

static void region_body(tape *t, const void *context, tensor **out, tensor *const *in) {
    const layer_context *c = context;
    llama_batch *b = c->batch;
    const llama_attention a = {attend, c, &b->rows, &b->last, &b->last_rows};
    tensor *x = in[IN_X], *y = in[IN_Y];
    for (int i = c->first; i < c->first + c->count; i++) llama_layer_run(t, c->model, i, &a, &x, &y);
    out[0] = x;
    out[1] = y;
}

tensor *llama_embed(tape *t, const llama *m, tensor *ids, tensor *images, tensor *image_index) {
    tensor *x = embedding(t, m->embedding, ids);
    return images ? replace_rows(t, x, linear_run(t, &m->image, images), image_index) : x;
}

// Behind the last norm: (U, D), the rows that predict a supervised token.
static tensor *hidden(tape *t, const llama *m, llama_batch *b, tensor *images) {
    const int layers = m->config.layers, step = m->config.region_layers > 0
                                                    ? (int)m->config.region_layers : 1;
    tensor *state[2] = {llama_embed(t, m, &b->ids, images, &b->images), NULL}, *sum;
    for (int i = 0; i < layers; i += step) {
        layer_context *c = tape_keep(t, sizeof *c);
        *c = (layer_context){m, b, i, i + step < layers ? step : layers - i};
        tensor *y[2];
        tape_region(t, region_body, c, y, 2, state, 2);
        state[0] = y[0];
        state[1] = y[1];
    }
    for (int i = 0; i < 2; i++) state[i] = embedding(t, state[i], &b->supervised);
    return rms_norm(t, &sum, state[0], state[1], m->norm, m->config.eps);
}

tensor *llama_loss(tape *t, const llama *m, llama_batch *b, tensor *images) {
    return linear_cross_entropy(t, hidden(t, m, b, images), m->head, NULL, &b->target, &b->weight,
                                0, 1);
}

tensor *llama_logits(tape *t, const llama *m, llama_batch *b, tensor *images) {
    return linear(t, hidden(t, m, b, images), m->head, NULL);
}
