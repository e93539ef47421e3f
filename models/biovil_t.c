#include "models/biovil_t.h"

#include <math.h>
#include <stdio.h>

// --- declaration -----------------------------------------------------------------------------------
static conv_layer he_conv(params *p, const char *prefix, const char *name, int64_t C, int64_t O, int K,
                          int stride) {
    char full[NAME_SIZE];
    return conv_make(p, name_in(full, prefix, name), C, O, K, stride, K / 2, false,
                     init_he_fan_out(K, O));
}

static batch_norm_layer norm_of(params *p, const char *prefix, const char *name, int64_t C) {
    char full[NAME_SIZE];
    return batch_norm_make(p, name_in(full, prefix, name), C);
}

// torchvision's Bottleneck, v1.5: the stride sits in the 3x3 convolution.
static bottleneck bottleneck_make(params *p, const char *prefix, int64_t C, int64_t width, int stride) {
    bottleneck b = {.has_downsample = stride != 1 || C != 4 * width};
    b.conv1 = he_conv(p, prefix, "conv1", C, width, 1, 1);
    b.bn1 = norm_of(p, prefix, "bn1", width);
    b.conv2 = he_conv(p, prefix, "conv2", width, width, 3, stride);
    b.bn2 = norm_of(p, prefix, "bn2", width);
    b.conv3 = he_conv(p, prefix, "conv3", width, 4 * width, 1, 1);
    b.bn3 = norm_of(p, prefix, "bn3", 4 * width);
    if (!b.has_downsample) return b;
    b.downsample = he_conv(p, prefix, "downsample.0", C, 4 * width, 1, stride);
    b.downsample_bn = norm_of(p, prefix, "downsample.1", 4 * width);
    return b;
}

static int64_t trunk_make(biovil_t *m, params *p, const char *prefix) {
    const biovil_t_config *c = &m->config;
    char name[NAME_SIZE], part[64];
    // One grey channel is repeated three times in the reference, so the stem sees three equal ones.
    m->conv1 = conv_make(p, name_in(name, prefix, "encoder.encoder.conv1"), 3, c->stem, 7, 2, 3, false,
                         init_he_fan_out(7, c->stem));
    m->bn1 = norm_of(p, prefix, "encoder.encoder.bn1", c->stem);
    int64_t C = c->stem;
    for (int s = 0; s < c->stages; s++) {
        for (int b = 0; b < c->blocks[s]; b++) {
            snprintf(part, sizeof part, "encoder.encoder.layer%d.%d", s + 1, b);
            m->block[s][b] = bottleneck_make(p, name_in(name, prefix, part), C, c->width[s],
                                             s > 0 && b == 0 ? 2 : 1);
            C = 4 * c->width[s];
        }
    }
    return C;
}

static linear_layer pooler_linear(params *p, const char *block, const char *name, int64_t D, bool bias) {
    char full[NAME_SIZE];
    return linear_make(p, name_in(full, block, name), D, D, bias, (init){INIT_TRUNCATED, 0.02});
}

static layer_norm_layer pooler_norm(params *p, const char *prefix, const char *name, int64_t D) {
    char full[NAME_SIZE];
    return layer_norm_make(p, name_in(full, prefix, name), D, 1e-6);
}

static void pooler_make(biovil_t *m, params *p, const char *prefix) {
    int64_t D = m->config.vit_width;
    char name[NAME_SIZE], part[48];
    const init small = {INIT_TRUNCATED, 0.02};
    m->type_embed = param_add(p, PARAM_WEIGHT, name_in(name, prefix, "encoder.vit_pooler.type_embed"),
                              small, 2, (int64_t[]){2, D});
    param_file_shape(p, 3, (int64_t[]){2, 1, D});
    for (int i = 0; i < m->config.pooler_blocks; i++) {
        pooler_block *b = &m->pooler[i];
        snprintf(part, sizeof part, "encoder.vit_pooler.blocks.%d", i);
        name_in(name, prefix, part);
        b->norm1 = pooler_norm(p, name, "norm1", D);
        b->q = pooler_linear(p, name, "attn.proj_q", D, false);
        b->k = pooler_linear(p, name, "attn.proj_k", D, false);
        b->v = pooler_linear(p, name, "attn.proj_v", D, false);
        b->proj = pooler_linear(p, name, "attn.proj", D, true);
        b->norm2 = pooler_norm(p, name, "norm2", D);
        b->fc1 = pooler_linear(p, name, "mlp.fc1", D, true);
        b->fc2 = pooler_linear(p, name, "mlp.fc2", D, true);
    }
    m->norm_post = pooler_norm(p, prefix, "encoder.vit_pooler.norm_post", D);
    int64_t cells = (int64_t)m->grid * m->grid;
    m->position = param_add(p, PARAM_CONSTANT, name_in(name, prefix, "encoder.vit_pooler.position"),
                            (init){INIT_ZERO, 0}, 2, (int64_t[]){cells, D});
}

void biovil_t_make(biovil_t *m, params *p, const char *prefix, const biovil_t_config *c) {
    char name[NAME_SIZE];
    *m = (biovil_t){.config = *c, .grid = (c->image_size + 31) / 32, .trunk_batch_stats = true, .projector_batch_stats = true};
    if (c->stages < 1 || c->stages > BIOVIL_MAX_STAGES || c->pooler_blocks > BIOVIL_MAX_POOLER)
        die("biovil_t_make: %d stages, %d pooler blocks", c->stages, c->pooler_blocks);
    int64_t C = trunk_make(m, p, prefix), D = c->vit_width, P = c->joint_width;
    m->backbone_to_vit = conv_make(p, name_in(name, prefix, "encoder.backbone_to_vit"), C, D, 1, 1, 0,
                                   false, init_torch_default(C));
    m->missing_previous_emb =
        param_add(p, PARAM_WEIGHT, name_in(name, prefix, "encoder.missing_previous_emb"),
                  (init){INIT_TRUNCATED, 0.02}, 1, &D);
    param_file_shape(p, 4, (int64_t[]){1, D, 1, 1});
    pooler_make(m, p, prefix);
    m->project1 = conv_make(p, name_in(name, prefix, "projector.model.0"), 2 * D, P, 1, 1, 0, false,
                            init_torch_default(2 * D));
    m->project_bn = norm_of(p, prefix, "projector.model.1", P);
    m->project2 = conv_make(p, name_in(name, prefix, "projector.model.3"), P, P, 1, 1, 0, true,
                            init_torch_default(P));
}

// Sine positions (2.3 of the paper's supplement; hi-ml's SinePositionEmbedding): coordinates 1..G over
// (G + 1e-6) times 2 pi, divided by 10000^(2 floor(i / 2) / (D / 2)); even channels sine, odd cosine; the
// row's D/2 channels come first, then the column's.
static void sine_positions(float *table, int64_t grid, int64_t D) {
    int64_t half = D / 2;
    for (int64_t cell = 0; cell < grid * grid; cell++) {
        for (int64_t i = 0; i < D; i++) {
            int64_t coordinate = (i < half ? cell / grid : cell % grid) + 1, channel = i % half;
            double angle = (double)coordinate / ((double)grid + 1e-6) * 2 * M_PI;
            angle /= pow(10000, (double)(2 * (channel / 2)) / (double)half);
            table[cell * D + i] = (float)(channel % 2 ? cos(angle) : sin(angle));
        }
    }
}

status biovil_t_fill(const biovil_t *m, params *p, const char *prefix) {
    char name[NAME_SIZE];
    float *table;
    int64_t cells = (int64_t)m->grid * m->grid, D = m->config.vit_width;
    status rc = mem_new(&table, cells * D, "position table");
    if (rc) return rc;
    sine_positions(table, m->grid, D);
    rc = param_fill(p, name_in(name, prefix, "encoder.vit_pooler.position"), table);
    mem_free(table);
    return rc;
}

// --- forward -----------------------------------------------------------------------------------------
typedef struct block_context {
    const bottleneck *block;
    bool batch, fused;
} block_context;

// NORM of a convolution's output X, whose SUMS are known or NULL, with ReLU.
static batch_norm_args norm_relu(const batch_norm_layer *norm, tensor *sums, bool batch) {
    batch_norm_args a = batch_norm_of(norm, batch);
    a.relu = true;
    a.sums = sums;
    return a;
}

static tensor *fused_shortcut(tape *t, const bottleneck *b, tensor *x, bool batch) {
    const conv_layer *conv = &b->downsample;
    if (!b->has_downsample) return x;
    if (!batch) return batch_norm_run(t, &b->downsample_bn, conv_run(t, conv, x), NULL, false, false);
    tensor *sums, *h = conv2d_sums(t, x, conv->weight, conv->stride, conv->pad, &sums);
    batch_norm_args a = batch_norm_of(&b->downsample_bn, true);
    a.sums = sums;
    return batch_norm(t, h, a);
}

// The block below where each norm belongs to the convolution behind it; without a batch's statistics, before it.
static tensor *fused_bottleneck(tape *t, const bottleneck *b, tensor *x, bool batch) {
    const conv_layer *c1 = &b->conv1, *c2 = &b->conv2, *c3 = &b->conv3;
    tensor *h, *sums = NULL;
    if (batch) {
        h = conv2d_sums(t, x, c1->weight, c1->stride, c1->pad, &sums);
        h = norm_conv2d(t, h, norm_relu(&b->bn1, sums, true), c2->weight, c2->stride, c2->pad, &sums);
        h = norm_conv2d(t, h, norm_relu(&b->bn2, sums, true), c3->weight, c3->stride, c3->pad, &sums);
    } else {
        h = conv2d_norm_relu(t, x, c1->weight, norm_relu(&b->bn1, NULL, false), c1->stride, c1->pad);
        h = conv2d_norm_relu(t, h, c2->weight, norm_relu(&b->bn2, NULL, false), c2->stride, c2->pad);
        h = conv_run(t, c3, h);
    }
    batch_norm_args last = norm_relu(&b->bn3, sums, batch);
    last.residual = fused_shortcut(t, b, x, batch);
    return batch_norm(t, h, last);
}

// He et al. 2015, figure 5 right: 1x1, 3x3, 1x1, each normalised; the last one takes the shortcut in.
static void bottleneck_body(tape *t, const void *context, tensor **out, tensor *const *in) {
    const block_context *c = context;
    const bottleneck *b = c->block;
    tensor *x = in[0], *shortcut = x;
    if (c->fused) {
        out[0] = fused_bottleneck(t, b, x, c->batch);
        return;
    }
    tensor *h = batch_norm_run(t, &b->bn1, conv_run(t, &b->conv1, x), NULL, true, c->batch);
    h = batch_norm_run(t, &b->bn2, conv_run(t, &b->conv2, h), NULL, true, c->batch);
    if (b->has_downsample)
        shortcut = batch_norm_run(t, &b->downsample_bn, conv_run(t, &b->downsample, x), NULL, false,
                                  c->batch);
    out[0] = batch_norm_run(t, &b->bn3, conv_run(t, &b->conv3, h), shortcut, true, c->batch);
}

typedef struct stem_context {
    const biovil_t *model;
    bool batch;
} stem_context;

// Three equal input channels: summing the weight over them is exact and reads a third of the input.
static void stem_body(tape *t, const void *context, tensor **out, tensor *const *in) {
    const stem_context *c = context;
    const biovil_t *m = c->model;
    tensor *weight = sum_channels(t, m->conv1.weight);
    tensor *h = conv2d(t, in[0], weight, NULL, m->conv1.stride, m->conv1.pad);
    out[0] = max_pool2d(t, batch_norm_run(t, &m->bn1, h, NULL, true, c->batch), 3, 2, 1);
}

static tensor *trunk(tape *t, const biovil_t *m, tensor *image) {
    bool batch = m->trunk_batch_stats && t->training;
    stem_context *stem = tape_keep(t, sizeof *stem);
    *stem = (stem_context){m, batch};
    tensor *x = image;
    tape_region(t, stem_body, stem, &x, 1, (tensor *[]){image}, 1);
    for (int s = 0; s < m->config.stages; s++) {
        for (int b = 0; b < m->config.blocks[s]; b++) {
            block_context *c = tape_keep(t, sizeof *c);
            *c = (block_context){&m->block[s][b], batch, m->config.fused_norms};
            tensor *in = x;
            tape_region(t, bottleneck_body, c, &x, 1, &in, 1);
        }
    }
    return conv_run(t, &m->backbone_to_vit, x); // (B, grid, grid, D)
}

// One block of the temporal pooler. Queries, keys and values all come from the normalised tokens plus
// position and type, as in the reference's code (its text speaks of queries and keys only).
static tensor *pooler_run(tape *t, const pooler_block *b, int heads, tensor *x, tensor *place) {
    int64_t B = x->dim[0], T = x->dim[1], D = x->dim[2];
    int64_t split[4] = {B, T, heads, D / heads};
    tensor *n = add_table(t, layer_norm_run(t, &b->norm1, x), place);
    tensor *q = tape_view(t, linear_run(t, &b->q, n), 4, split);
    tensor *k = tape_view(t, linear_run(t, &b->k, n), 4, split);
    tensor *v = tape_view(t, linear_run(t, &b->v, n), 4, split);
    tensor *a = tape_view(t, attention(t, q, k, v, 0.1), 3, x->dim);
    a = dropout(t, linear_run(t, &b->proj, a), 0.1);
    x = add(t, x, drop_path(t, a, 0.25));
    tensor *h = gelu(t, linear_run(t, &b->fc1, layer_norm_run(t, &b->norm2, x)));
    h = dropout(t, linear_run(t, &b->fc2, dropout(t, h, 0.1)), 0.1);
    return add(t, x, drop_path(t, h, 0.25));
}

// (2 cells, D): position plus the type of the image (0 current, 1 previous).
static tensor *token_places(tape *t, const biovil_t *m) {
    int64_t cells = (int64_t)m->grid * m->grid, D = m->config.vit_width;
    tensor *segment = tape_tensor_of(t, DTYPE_I32, 1, (int64_t[]){2 * cells});
    int32_t *host = tape_keep(t, (size_t)(2 * cells) * sizeof *host);
    for (int64_t i = 0; i < 2 * cells; i++) host[i] = i >= cells;
    t->device->upload(t->device, segment->data, host, tensor_bytes(segment));
    tensor *once = tape_view(t, m->position, 3, (int64_t[]){1, cells, D});
    tensor *twice = tape_view(t, concat_tokens(t, once, once), 2, (int64_t[]){2 * cells, D});
    return add(t, embedding(t, m->type_embed, segment), twice);
}

// (B, grid, grid, D) twice -> (B, grid, grid, D): the current image's tokens after seeing the previous.
static tensor *temporal_pooler(tape *t, const biovil_t *m, tensor *current, tensor *previous) {
    int64_t B = current->dim[0], cells = (int64_t)m->grid * m->grid, D = m->config.vit_width;
    int64_t tokens[3] = {B, cells, D};
    tensor *x = concat_tokens(t, tape_view(t, current, 3, tokens), tape_view(t, previous, 3, tokens));
    x = dropout(t, x, 0.1);
    tensor *place = token_places(t, m);
    for (int i = 0; i < m->config.pooler_blocks; i++)
        x = pooler_run(t, &m->pooler[i], m->config.pooler_heads, x, place);
    x = slice_tokens(t, layer_norm_run(t, &m->norm_post, x), 0, cells);
    return tape_view(t, x, 4, current->dim);
}

// Elements of a sample of (B, ...); B may be 0.
static int64_t per_sample(const tensor *x) {
    int64_t count = 1;
    for (int i = 1; i < x->rank; i++) count *= x->dim[i];
    return count;
}

// (B, ...) twice -> (2 B, ...), and back.
static tensor *samples_join(tape *t, tensor *a, tensor *b) {
    int64_t B = a->dim[0], rows[3] = {1, B, per_sample(a)}, both[TENSOR_MAX_RANK];
    for (int i = 0; i < a->rank; i++) both[i] = i ? a->dim[i] : 2 * B;
    tensor *joined = concat_tokens(t, tape_view(t, a, 3, rows), tape_view(t, b, 3, rows));
    return tape_view(t, joined, a->rank, both);
}

static tensor *samples_half(tape *t, tensor *both, int which) {
    int64_t B = both->dim[0] / 2, rows[3] = {1, 2 * B, per_sample(both)};
    int64_t half[TENSOR_MAX_RANK];
    for (int i = 0; i < both->rank; i++) half[i] = i ? both->dim[i] : B;
    tensor *part = slice_tokens(t, tape_view(t, both, 3, rows), which * B, B);
    return tape_view(t, part, both->rank, half);
}

tensor *biovil_t_own(tape *t, const biovil_t *m, tensor *image) { return trunk(t, m, image); }

tensor *biovil_t_alone(tape *t, const biovil_t *m, tensor *own) {
    return concat_vector(t, own, m->missing_previous_emb);
}

tensor *biovil_t_patches(tape *t, const biovil_t *m, tensor *image, tensor *previous) {
    if (!previous) return biovil_t_alone(t, m, biovil_t_own(t, m, image));
    // One pass over both, as in the reference: in training they are one batch for the batch norms.
    tensor *pair = trunk(t, m, samples_join(t, image, previous));
    tensor *own = samples_half(t, pair, 0);
    tensor *change = temporal_pooler(t, m, own, samples_half(t, pair, 1));
    int64_t B = own->dim[0], cells = (int64_t)m->grid * m->grid, D = m->config.vit_width;
    // Side by side in each cell: tokens of one channel row each.
    int64_t rows[3] = {B * cells, 1, D}, both[4] = {B, m->grid, m->grid, 2 * D};
    tensor *fused = concat_tokens(t, tape_view(t, own, 3, rows), tape_view(t, change, 3, rows));
    return tape_view(t, fused, 4, both);
}

tensor *biovil_t_pooled(tape *t, tensor *patches) { return mean_tokens(t, patches); }

tensor *biovil_t_project(tape *t, const biovil_t *m, tensor *patches) {
    bool batch = m->projector_batch_stats && t->training;
    tensor *h = conv_run(t, &m->project1, patches);
    h = batch_norm_run(t, &m->project_bn, h, NULL, true, batch);
    return conv_run(t, &m->project2, h);
}
