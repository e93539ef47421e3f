#include "models/nn/lora.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

double lora_scale(const lora_config *c) {
    return c->rank_stabilised ? c->alpha / sqrt((double)c->rank) : c->alpha / (double)c->rank;
}

static bool is_target(const lora_config *c, const char *piece) {
    for (int i = 0; i < c->targets; i++)
        if (!strcmp(c->target[i], piece)) return c->rank > 0;
    return false;
}

static tensor *adapter_add(params *p, const char *module, const char *which, init how,
                           int64_t rows, int64_t columns) {
    char name[NAME_SIZE];
    return param_add(p, PARAM_WEIGHT, name_in(name, module, which), how, 2,
                     (int64_t[]){rows, columns});
}

// PEFT begins A as torch begins a linear layer's weight: Kaiming with a = sqrt(5).
static lora_part part_make(params *p, const char *module, int64_t first, int64_t rows, int64_t K,
                           const lora_config *c) {
    const init zero = {INIT_ZERO, 0};
    return (lora_part){
        .a = adapter_add(p, module, "lora_A.weight", init_torch_default(K), c->rank, K),
        .b = adapter_add(p, module, "lora_B.weight", zero, rows, c->rank),
        .first = first,
        .scale = lora_scale(c),
    };
}

// The matrix (or its bias) of all pieces, whose file names end in KIND.
static tensor *base_make(params *p, const char *prefix, const char *kind, int count,
                         const param_piece *piece, int64_t N, int64_t K, init how) {
    char name[PARAM_PIECES][NAME_SIZE] = {{0}}, inside[NAME_SIZE];
    param_piece files[PARAM_PIECES];
    for (int i = 0; i < count; i++) {
        name_in(name[i], name_in(inside, prefix, piece[i].name), kind);
        files[i] = (param_piece){name[i], piece[i].rows};
    }
    tensor *w = param_add(p, PARAM_WEIGHT, name[0], how, K ? 2 : 1, (int64_t[]){N, K});
    if (count > 1) param_pieces(p, count, files);
    return w;
}

lora_linear lora_linear_make(params *p, const char *adapter, const char *prefix, int count,
                             const param_piece *piece, int64_t K, bool bias, init how,
                             const lora_config *c) {
    char module[NAME_SIZE], inside[NAME_SIZE];
    lora_linear l = {.lora.dropout = c->dropout};
    int64_t N = 0, first = 0;
    for (int i = 0; i < count; i++) N += piece[i].rows;
    l.base.weight = base_make(p, prefix, "weight", count, piece, N, K, how);
    if (bias) l.base.bias = base_make(p, prefix, "bias", count, piece, N, 0, (init){INIT_ZERO, 0});
    for (int i = 0; i < count; first += piece[i++].rows) {
        if (!is_target(c, piece[i].name)) continue;
        name_in(module, adapter, name_in(inside, prefix, piece[i].name));
        l.lora.part[l.lora.parts++] = part_make(p, module, first, piece[i].rows, K, c);
    }
    return l;
}

tensor *lora_linear_run(tape *t, const lora_linear *l, tensor *x, tensor *rows) {
    lora_set lora = l->lora;
    lora.rows = rows;
    return linear_lora(t, x, l->base.weight, l->base.bias, &lora);
}
