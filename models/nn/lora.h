// Linear layers with low-rank adapters (Hu et al. 2021, "LoRA"): y = x W^T + scale (drop(x) A^T) B^T.
// A layer's matrix may hold the rows of several layers of public checkpoints (param_piece); each of
// them has an adapter of its own, under the name that PEFT gives it.
#pragma once
#include "models/nn/layers.h"

enum { LORA_NAMES = 8 };

typedef struct lora_config {
    int64_t rank;          // 8; 0: no adapters
    double alpha, dropout; // 16, 0.05
    bool rank_stabilised;  // scale is alpha / sqrt(rank) instead of alpha / rank (Kalajdzievski 2023)
    int targets;
    const char *target[LORA_NAMES]; // last parts of layers' names: "q_proj"; borrowed
} lora_config;

typedef struct lora_linear {
    linear_layer base;
    lora_set lora; // no parts: a linear layer
} lora_linear;

// The scale of what adapters add.
double lora_scale(const lora_config *c);
// Declares "PREFIX.PIECE.weight" (N, K) with its adapters "ADAPTER.PREFIX.PIECE.lora_A.weight" (r, K),
// which begin as PEFT's, and "...lora_B.weight" (n, r), which begin at zero. PIECE names the rows of
// each layer, COUNT of them.
lora_linear lora_linear_make(params *p, const char *adapter, const char *prefix, int count,
                             const param_piece *piece, int64_t K, bool bias, init how,
                             const lora_config *c);
// ROWS: as dropout_rows' (NULL where nothing is dropped).
tensor *lora_linear_run(tape *t, const lora_linear *l, tensor *x, tensor *rows);
