#include "models/llama_generate.h"

#include <string.h>

// --- cache --------------------------------------------------------------------------------------
static int64_t layer_numbers(const llama_config *m, int64_t slots, int64_t positions) {
    return slots * m->key_heads * positions * m->head_width;
}

size_t llama_cache_bytes(const device *d, const llama_config *m, int64_t slots, int64_t positions) {
    return 2 * (size_t)m->layers * (size_t)layer_numbers(m, slots, positions) * dtype_size(d->type);
}

status llama_cache_open(llama_cache *c, device *d, const llama_config *m, int64_t slots,
                        int64_t positions) {
    const size_t layer = (size_t)layer_numbers(m, slots, positions) * dtype_size(d->type);
    *c = (llama_cache){.device = d, .slots = slots, .positions = positions};
    status rc = d->take(d, llama_cache_bytes(d, m, slots, positions), "the cache of keys and values",
                        &c->block);
    for (int i = 0; i < m->layers; i++) {
        const tensor x = {.type = d->type,
                          .rank = 4,
                          .dim = {slots, m->key_heads, positions, m->head_width}};
        char *at = (char *)((uintptr_t)c->block + 2 * (size_t)i * layer);
        c->keys[i] = c->values[i] = x;
        c->keys[i].data = at;
        c->values[i].data = (char *)((uintptr_t)at + layer);
    }
    return rc;
}

void llama_cache_close(llama_cache *c) {
    if (c->device) c->device->release(c->device, c->block);
    *c = (llama_cache){0};
}

// --- a step's tables ----------------------------------------------------------------------------
enum { TENSORS = 5 };

status llama_step_open(llama_step_batch *b, device *d, const llama_step_room *room) {
    const tensor numbers = {.type = DTYPE_I32, .rank = 1};
    *b = (llama_step_batch){.room = *room, .most = 1};
    b->ids = b->positions = b->slots = b->images = b->last = numbers;
    b->ids.dim[0] = b->positions.dim[0] = b->slots.dim[0] = room->rows;
    b->images.dim[0] = room->images;
    b->last.dim[0] = room->turns;
    return packed_open(&b->memory, d,
                       (tensor *[TENSORS]){&b->ids, &b->positions, &b->slots, &b->images, &b->last},
                       TENSORS);
}

void llama_step_close(llama_step_batch *b) {
    packed_close(&b->memory);
}

void llama_step_load(llama_step_batch *b, const llama_turn *turn, int64_t count,
                     int32_t image_token) {
    const packed_block *m = &b->memory;
    int32_t *ids = packed_host(m, &b->ids), *positions = packed_host(m, &b->positions);
    int32_t *slots = packed_host(m, &b->slots), *images = packed_host(m, &b->images);
    int32_t *last = packed_host(m, &b->last);
    int64_t N = 0, M = 0;
    b->most = 1;
    for (int64_t i = 0; i < count; i++) {
        const llama_turn *x = &turn[i];
        if (i >= b->room.turns || N + x->count > b->room.rows || x->count < 1)
            die("llama_step_load: turn %lld of %d tokens does not fit", (long long)i, x->count);
        for (int32_t k = 0; k < x->count; k++, N++) {
            const bool image = x->ids[k] == image_token;
            if (image && M == b->room.images)
                die("llama_step_load: more than %lld image tokens", (long long)M);
            if (image) images[M++] = (int32_t)N;
            ids[N] = image ? 0 : x->ids[k]; // the table may have no row for it
            positions[N] = x->position + k;
            slots[N] = x->slot;
        }
        last[i] = (int32_t)N - 1;
        if (x->position + x->count > b->most) b->most = x->position + x->count;
    }
    b->ids.dim[0] = b->positions.dim[0] = b->slots.dim[0] = N;
    b->images.dim[0] = M;
    b->last.dim[0] = count;
    packed_send(&b->memory);
}

// --- a step -------------------------------------------------------------------------------------
typedef struct step_context {
    const llama_cache *cache;
    llama_step_batch *batch;
} step_context;

// All rows' keys go into the cache before any row looks.
static tensor *attend(tape *t, const llama *m, int layer, tensor *qkv, const void *context) {
    const step_context *s = context;
    const llama_cache *c = s->cache;
    llama_step_batch *b = s->batch;
    tensor keys = c->keys[layer], values = c->values[layer], *part[3]; // ops take what is not const
    llama_rotate(t, m, part, qkv, &b->positions, false);
    tensor *out = attention_cached(t, part[0], part[1], part[2],
                                   &(attention_cache){
                                       .keys = &keys,
                                       .values = &values,
                                       .slot = &b->slots,
                                       .position = &b->positions,
                                       .most = b->most < c->positions ? b->most : c->positions,
                                       .prefix = c->prefix,
                                       .prefix_slot = c->prefix_slot,
                                   });
    out = tape_view(t, out, 2, (int64_t[]){out->dim[0], out->dim[1] * out->dim[2]});
    return layer == m->config.layers - 1 ? embedding(t, out, &b->last) : out;
}

typedef struct layer_call {
    const llama *model;
    const llama_attention *attention;
    int layer;
} layer_call;

static void layer_body(tape *t, const void *context, tensor **out, tensor *const *in) {
    const layer_call *c = context;
    tensor *x = in[0], *y = in[1];
    llama_layer_run(t, c->model, c->layer, c->attention, &x, &y);
    out[0] = x;
    out[1] = y;
}

// Of a layer only its outputs stay in memory.
tensor *llama_step(tape *t, const llama *m, const llama_cache *c, llama_step_batch *b,
                   tensor *images) {
    const step_context context = {c, b};
    const llama_attention attention = {.attend = attend, .context = &context, .last = &b->last};
    tensor *state[2] = {llama_embed(t, m, &b->ids, b->images.dim[0] ? images : NULL, &b->images)};
    tensor *sum, *next[2];
    for (int i = 0; i < m->config.layers; i++) {
        const layer_call call = {m, &attention, i};
        tape_region(t, layer_body, &call, next, 2, state, 2);
        memcpy(state, next, sizeof state);
    }
    return linear(t, rms_norm(t, &sum, state[0], state[1], m->norm, m->config.eps), m->head, NULL);
}
