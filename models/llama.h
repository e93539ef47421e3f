// LLaMA (Touvron et al. 2023, "LLaMA: open and efficient foundation language models") as transformers'
// LlamaForCausalLM computes it, with low-rank adapters (LoRA) beside frozen weights and image vectors
// in place of image tokens (REFERENCE section 5).
//
// Text is packed: all tokens of a batch behind each other as rows (N, D), without padding; segments
// say which rows attend to which (models/llama_batch.h). Layers that read the same input are one
// matrix: q, k and v; gate and up.
#pragma once
#include "models/llama_batch.h"
#include "models/nn/lora.h"

enum { LLAMA_MAX_LAYERS = 128 };

// How rotary frequencies are stretched for longer texts.
typedef enum rope_scaling {
    ROPE_PLAIN,
    ROPE_LINEAR, // all by factor
    ROPE_LLAMA3  // long waves by factor, short ones not, a ramp between (LLaMA 3.1)
} rope_scaling;

typedef struct rope_config {
    double base; // 10000
    rope_scaling scaling;
    double factor, low, high; // of the scaling; low and high in waves per ORIGINAL positions
    int64_t original;
} rope_config;

typedef struct llama_config {
    int64_t vocabulary;     // rows of the embedding and of the head, added tokens included
    int64_t width, inner;   // 4096, 11008
    int64_t positions;      // 2048
    int layers, heads, key_heads, head_width; // 32, 32, 32, 128
    double eps;             // 1e-6
    rope_config rope;
    bool tied;              // the head is the embedding
    bool attention_bias, feed_bias;
    int64_t image_width;    // of an image token from the aligner, 768; 0: texts alone
    int64_t region_layers;  // layers in a checkpoint region
    lora_config lora;       // rank 0: none
} llama_config;

typedef struct llama_layer {
    tensor *attention_norm, *feed_norm; // (D)
    lora_linear qkv, out, gate_up, down;
} llama_layer;

typedef struct llama {
    llama_config config;
    tensor *embedding;   // (V, D)
    tensor *norm;        // (D)
    tensor *head;        // (V, D)
    tensor *rotary;      // wide (positions * head_width): cos and sin of each position and frequency
    linear_layer image;  // 768 -> D
    llama_layer layer[LLAMA_MAX_LAYERS];
} llama;

// Declares the parameters: adapters and the image projection under PEFT's names
// ("base_model.model."...), all others under transformers' ("model.layers.0.self_attn.q_proj.weight").
// All train; whoever fine-tunes freezes the base by params_freeze("model.")
// and ("lm_head."), and sets it apart.
void llama_make(llama *m, params *p, const llama_config *c);
// Fills the rotary table; after params_allocate.
status llama_fill(const llama *m, params *p);

// The training loss of a batch, wide, rank 0: the sum over supervised tokens of their weight times
// -log p, as the batch's weights say. IMAGES: (M, image_width), in the order of the batch's image
// rows; NULL where there are none.
tensor *llama_loss(tape *t, const llama *m, llama_batch *b, tensor *images);
// Logits (L, V) behind the batch's supervised rows.
tensor *llama_logits(tape *t, const llama *m, llama_batch *b, tensor *images);

// --- parts, for generation ----------------------------------------------------------------------
// Queries, keys and values out of a fused projection, turned to POSITIONS; REPEAT as in rotate_args.
void llama_rotate(tape *t, const llama *m, tensor *out[3], tensor *qkv, tensor *positions,
                  bool repeat);
// (N, D): tokens, with projected images in their places.
tensor *llama_embed(tape *t, const llama *m, tensor *ids, tensor *images, tensor *image_index);

// How rows see each other in a layer: what ATTEND makes of its fused projection qkv, the heads' outputs
// (N, heads * head_width), in the last layer those of the rows LAST alone, which go on from there.
typedef struct llama_attention {
    tensor *(*attend)(tape *t, const llama *m, int layer, tensor *qkv, const void *context);
    const void *context;
    tensor *rows;            // i32 (N, 2): what draws are keyed by; NULL: nothing is dropped
    tensor *last, *last_rows; // i32 (L), (L, 2) or NULL
} llama_attention;
// Layer I. The state between layers is a sum that has not been made, x + y (y NULL: x).
void llama_layer_run(tape *t, const llama *m, int i, const llama_attention *a, tensor **x,
                     tensor **y);
