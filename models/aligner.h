// RaDialog's aligner, "stage 1": a frozen BioViL-T encoder, whose patch grid a frozen random
// projector widens, and a Q-Former that learns to say in 32 tokens what a report could say of the
// image. Three losses teach it: contrast (ITC), match (ITM) and caption (LM), as in BLIP-2 (Li et
// al. 2023, section 3.1; LAVIS' Blip2Qformer.forward).
//
// Names are those of the public checkpoint_4.pth; the projector, which that file lacks, has the
// name it would have there, and is in every checkpoint of ours.
#pragma once
#include "models/aligner_batch.h"
#include "models/biovil_t.h"

typedef struct aligner_config {
    biovil_t_config encoder;
    qformer_config qformer;
    // How the projected grid becomes tokens. As the original: (B, P, cells) read as (B, cells, P)
    // without a transposition, so that a token is a run of channels (REFERENCE 2.6). Else a token
    // is a cell.
    bool channel_runs;
} aligner_config;

typedef struct aligner {
    aligner_config config;
    biovil_t encoder;
    qformer qformer;
    int64_t image_tokens; // cells of the grid
} aligner;

extern const char *const aligner_encoder_prefix; // "visual_encoder": never trains

void aligner_make(aligner *m, params *p, const aligner_config *c);
// After params_allocate: the encoder's position table.
status aligner_fill(const aligner *m, params *p);

// IMAGE (B, S, S, 1) -> (B, grid, grid, D): all that the frozen encoder says of it, worth keeping.
tensor *aligner_features(tape *t, const aligner *m, tensor *image);
// Those -> image tokens (B, cells, P), through projector and ln_vision.
tensor *aligner_tokens(tape *t, const aligner *m, tensor *features);
// Image tokens -> what the language model will see: (B, Q, D). Only PASS's queries are used.
tensor *aligner_embed(tape *t, const aligner *m, qformer_pass *pass, tensor *tokens);

// Wide scalars, each this rank's part of the global batch's mean.
typedef struct aligner_losses {
    tensor *contrast, *match, *caption, *sum;
    tensor *image_features, *text_features; // (b, Q, E), (b, E)
    tensor *match_logits;                   // (3 b, 2)
} aligner_losses;
void aligner_loss(tape *t, const aligner *m, aligner_batch *batch, tensor *features,
                  aligner_losses *out);
