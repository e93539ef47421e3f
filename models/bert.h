// BERT (Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers") as
// transformers' BertModel 4.28 computes it: post-norm layers, exact GELU, learned positions.
// CheXbert, the Q-Former and BERTScore are made of its parts.
//
// Text is packed: all tokens of a batch behind each other as rows (N, D), without padding. Only
// attention knows which rows belong together (models/packed.h), so nothing is computed that is
// thrown away.
#pragma once
#include "models/nn/layers.h"
#include "models/packed.h"

enum { BERT_MAX_LAYERS = 48 };

typedef struct bert_config {
    int vocabulary, positions;       // 30522, 512
    int token_types;                 // 2; 0: no such table (Q-Former)
    int width, layers, heads, inner; // 768, 12, 12, 3072
    double dropout;                  // 0.1: of probabilities and of each block's output
    double eps;                      // of norms; 0: BERT's 1e-12
} bert_config;

typedef struct bert_attention {
    linear_layer query, key, value, out;
    layer_norm_layer norm;
    int heads;
} bert_attention;

typedef struct bert_feed {
    linear_layer up, down;
    layer_norm_layer norm;
} bert_feed;

typedef struct bert_embeddings {
    tensor *word, *position, *type; // (V, D), (positions, D), (token_types, D) or NULL
    layer_norm_layer norm;
} bert_embeddings;

typedef struct bert_layer {
    bert_attention self;
    bert_feed feed;
} bert_layer;

typedef struct bert {
    bert_config config;
    bert_embeddings embeddings;
    bert_layer layer[BERT_MAX_LAYERS];
} bert;

// Declares "PREFIX.embeddings..." and "PREFIX.encoder.layer.N..." under the names of BertModel.
void bert_make(bert *m, params *p, const char *prefix, const bert_config *c);

// Hidden states (N, D) of all rows after the first LAYERS layers (0: the embeddings).
tensor *bert_hidden(tape *t, const bert *m, packed_texts *texts, int layers);
// Of each text's first token, [CLS], after the last layer: (B, D). The last layer computes nothing
// else.
tensor *bert_first(tape *t, const bert *m, packed_texts *texts);

// --- parts, for models that put them together otherwise -----------------------------------------
// N(0, 0.02), biases 0.
extern const init bert_init;
bert_embeddings bert_embeddings_make(params *p, const char *prefix, const bert_config *c);
// PREFIX.self.{query,key,value}, PREFIX.output.{dense,LayerNorm}; keys and values come from rows of
// KEYS numbers.
bert_attention bert_attention_make(params *p, const char *prefix, const bert_config *c,
                                   int64_t keys);
// PREFIX's "intermediateKIND.dense", "outputKIND.{dense,LayerNorm}"; KIND is "" or "_query".
bert_feed bert_feed_make(params *p, const char *prefix, const char *kind, const bert_config *c);

// (N, K) -> (N, H, D / H).
tensor *bert_heads(tape *t, const linear_layer *l, tensor *x, int heads);
// Word, position and type (always 0), normed and dropped: (N, D).
tensor *bert_embed(tape *t, const bert_embeddings *e, const bert_config *c, tensor *ids,
                   tensor *positions, tensor *rows);
// LN(x + dropout(out(ATTENDED))): ATTENDED (N, H, D / H), x (N, D). ROWS as in models/packed.h.
tensor *bert_attention_end(tape *t, const bert_attention *a, tensor *x, tensor *attended,
                           tensor *rows, double dropout);
// LN(x + dropout(down(gelu(up(x))))).
tensor *bert_feed_run(tape *t, const bert_feed *f, tensor *x, tensor *rows, double dropout);
