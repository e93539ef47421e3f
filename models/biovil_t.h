// The BioViL-T image encoder (Bannur et al. 2023, "Learning to exploit temporal structure for biomedical
// vision-language processing"): a ResNet-50 trunk, a 1x1 convolution to the width of the temporal
// pooler, the pooler for a prior image (or a learned stand-in without one), and a projector.
//
// Parameter names and shapes are those of the public file biovil_t_image_model_proj_size_128.pt.
// Checked against hi-ml's health_multimodal/image/model. Sizes come from the configuration, so that a
// small encoder of the same shape serves tests and the demo.
#pragma once
#include "models/nn/layers.h"

enum { BIOVIL_MAX_STAGES = 4, BIOVIL_MAX_BLOCKS = 8, BIOVIL_MAX_POOLER = 8 };

typedef struct biovil_t_config {
    int image_size;                    // side of the square input in pixels
    int stem;                          // channels after the first convolution: 64
    int stages;                        // 4
    int64_t width[BIOVIL_MAX_STAGES];  // of the 3x3 convolutions: 64, 128, 256, 512
    int64_t blocks[BIOVIL_MAX_STAGES]; // 3, 4, 6, 3
    int vit_width;                     // D: 256
    int pooler_blocks, pooler_heads;   // 3, 8
    int joint_width;                   // P: 128 (classifier, v2) or 1408 (Q-Former)
    // Bottlenecks run norms inside the convolutions beside them (models/ops/ops.h: norm_conv2d). In f32 and bf16 the
    // same numbers for less memory in training; in f16 on CUDA other roundings, and fewer sweeps over memory.
    bool fused_norms;
} biovil_t_config;

typedef struct bottleneck {
    conv_layer conv1, conv2, conv3, downsample;
    batch_norm_layer bn1, bn2, bn3, downsample_bn;
    bool has_downsample;
} bottleneck;

typedef struct pooler_block {
    layer_norm_layer norm1, norm2;
    linear_layer q, k, v, proj, fc1, fc2;
} pooler_block;

typedef struct biovil_t {
    biovil_t_config config;
    int grid; // side of the patch grid: image_size / 32, rounded up
    // Batch norms of the trunk and of the projector use the batch's statistics while the tape trains.
    bool trunk_batch_stats, projector_batch_stats;
    conv_layer conv1;
    batch_norm_layer bn1;
    bottleneck block[BIOVIL_MAX_STAGES][BIOVIL_MAX_BLOCKS];
    conv_layer backbone_to_vit;
    tensor *missing_previous_emb; // (D)
    tensor *type_embed;           // (2, D)
    tensor *position;             // (grid * grid, D), constant
    pooler_block pooler[BIOVIL_MAX_POOLER];
    layer_norm_layer norm_post;
    conv_layer project1, project2;
    batch_norm_layer project_bn;
} biovil_t;

// Dies on sizes beyond the limits above: the configuration's ranges are checked before.
void biovil_t_make(biovil_t *m, params *p, const char *prefix, const biovil_t_config *c);
// After params_allocate: the position table.
status biovil_t_fill(const biovil_t *m, params *p, const char *prefix);

// The projector of RaDialog's aligner (P = 1408) was random, frozen and never saved; it comes out of the
// seed again: 42 in training and in the published embeddings, 16 in the published demo. Fills PREFIX's
// projector as hi-ml's image model has it after torch.manual_seed(SEED) and construction on the CPU, bit
// by bit. USAGE if the encoder has other sizes than the public one, whose draws are skipped.
status biovil_t_fill_frozen_projector(const biovil_t *m, params *p, const char *prefix, uint32_t seed);

// IMAGE (B, S, S, 1) grey in [0, 1] -> patch embeddings (B, grid, grid, 2 D): the image's own D channels,
// then what is known of the change since PREVIOUS (same shape, or NULL: the learned stand-in).
tensor *biovil_t_patches(tape *t, const biovil_t *m, tensor *image, tensor *previous);
// The same without a previous image in two steps, of which the first holds all that depends on the image:
// (B, S, S, 1) -> its own channels (B, grid, grid, D) -> patch embeddings (B, grid, grid, 2 D).
tensor *biovil_t_own(tape *t, const biovil_t *m, tensor *image);
tensor *biovil_t_alone(tape *t, const biovil_t *m, tensor *own);
// (B, grid, grid, 2 D) -> (B, 2 D): the global average.
tensor *biovil_t_pooled(tape *t, tensor *patches);
// (B, grid, grid, 2 D) -> (B, grid, grid, P).
tensor *biovil_t_project(tape *t, const biovil_t *m, tensor *patches);
