// Weights of the BERT family from public files: bert-base-uncased, chexbert.pth, RaDialog's
// checkpoint_4.pth, and checkpoints of our own. The kind is told from the names inside.
#pragma once
#include "models/nn/load.h"

// Into a chexbert: its own checkpoint, chexbert.pth, or the encoder alone of a BERT (HEADS_TOO:
// that is not enough).
status chexbert_load(params *p, const char *path, bool heads_too);

// Into an aligner: a checkpoint of ours; RaDialog's checkpoint_4.pth or another of LAVIS' kind
// (then the encoder and the projector stay as they are); a BERT (a labeler is one), from which the
// Q-Former begins: cross-attention, queries and the heads of contrast and match stay as they are,
// and the queries' feed-forward parts are copied from the texts'. *WHOLE: the file held everything,
// the encoder and projector as well.
status aligner_load(params *p, const char *path, bool *whole);
// The aligner's frozen encoder: BioViL-T's image model, without its projector.
status aligner_load_encoder(params *p, const char *path);
