#include "models/bert.h"

#include <stdio.h>

const init bert_init = {INIT_NORMAL, 0.02};

static double norm_eps(const bert_config *c) {
    return c->eps > 0 ? c->eps : 1e-12;
}

// --- parameters ---------------------------------------------------------------------------------
static tensor *table_make(params *p, const char *prefix, const char *part, int64_t rows,
                          int64_t D) {
    char name[NAME_SIZE];
    return param_add(p, PARAM_WEIGHT, name_in(name, prefix, part), bert_init, 2,
                     (int64_t[]){rows, D});
}

bert_embeddings bert_embeddings_make(params *p, const char *prefix, const bert_config *c) {
    char name[NAME_SIZE];
    bert_embeddings e = {0};
    e.word = table_make(p, prefix, "embeddings.word_embeddings.weight", c->vocabulary, c->width);
    e.position =
        table_make(p, prefix, "embeddings.position_embeddings.weight", c->positions, c->width);
    if (c->token_types)
        e.type = table_make(p, prefix, "embeddings.token_type_embeddings.weight", c->token_types,
                            c->width);
    e.norm = layer_norm_make(p, name_in(name, prefix, "embeddings.LayerNorm"), c->width, norm_eps(c));
    return e;
}

static linear_layer dense(params *p, const char *prefix, const char *part, int64_t K, int64_t N) {
    char name[NAME_SIZE];
    return linear_make(p, name_in(name, prefix, part), K, N, true, bert_init);
}

bert_attention bert_attention_make(params *p, const char *prefix, const bert_config *c,
                                   int64_t keys) {
    char name[NAME_SIZE];
    const int64_t D = c->width;
    bert_attention a = {.heads = c->heads};
    a.query = dense(p, prefix, "self.query", D, D);
    a.key = dense(p, prefix, "self.key", keys, D);
    a.value = dense(p, prefix, "self.value", keys, D);
    a.out = dense(p, prefix, "output.dense", D, D);
    a.norm = layer_norm_make(p, name_in(name, prefix, "output.LayerNorm"), D, norm_eps(c));
    return a;
}

bert_feed bert_feed_make(params *p, const char *prefix, const char *kind, const bert_config *c) {
    char part[64], name[NAME_SIZE];
    bert_feed f = {0};
    snprintf(part, sizeof part, "intermediate%s.dense", kind);
    f.up = dense(p, prefix, part, c->width, c->inner);
    snprintf(part, sizeof part, "output%s.dense", kind);
    f.down = dense(p, prefix, part, c->inner, c->width);
    snprintf(part, sizeof part, "output%s.LayerNorm", kind);
    f.norm = layer_norm_make(p, name_in(name, prefix, part), c->width, norm_eps(c));
    return f;
}

void bert_make(bert *m, params *p, const char *prefix, const bert_config *c) {
    char part[64], name[NAME_SIZE], inside[NAME_SIZE];
    if (c->layers < 1 || c->layers > BERT_MAX_LAYERS || c->width % c->heads)
        die("bert_make: %d layers of %d heads in %d", c->layers, c->heads, c->width);
    *m = (bert){.config = *c};
    m->embeddings = bert_embeddings_make(p, prefix, c);
    for (int i = 0; i < c->layers; i++) {
        snprintf(part, sizeof part, "encoder.layer.%d", i);
        name_in(name, prefix, part);
        m->layer[i].self = bert_attention_make(p, name_in(inside, name, "attention"), c, c->width);
        m->layer[i].feed = bert_feed_make(p, name, "", c);
    }
}

// --- forward ------------------------------------------------------------------------------------
tensor *bert_heads(tape *t, const linear_layer *l, tensor *x, int heads) {
    tensor *y = linear_run(t, l, x);
    return tape_view(t, y, 3, (int64_t[]){y->dim[0], heads, y->dim[1] / heads});
}

tensor *bert_embed(tape *t, const bert_embeddings *e, const bert_config *c, tensor *ids,
                   tensor *positions, tensor *rows) {
    tensor *x = add(t, embedding(t, e->word, ids), embedding(t, e->position, positions));
    if (e->type) { // every token is of type 0
        int64_t D = c->width, N = x->dim[0];
        tensor *zero =
            slice_tokens(t, tape_view(t, e->type, 3, (int64_t[]){1, c->token_types, D}), 0, 1);
        x = tape_view(t, x, 3, (int64_t[]){N, 1, D});
        x = add_table(t, x, tape_view(t, zero, 2, (int64_t[]){1, D}));
        x = tape_view(t, x, 2, (int64_t[]){N, D});
    }
    return dropout_rows(t, layer_norm_run(t, &e->norm, x), rows, c->dropout);
}

// The post-norm residual of a block whose output is Y.
static tensor *post_norm(tape *t, const layer_norm_layer *l, tensor *x, tensor *y, tensor *rows,
                         double dropout) {
    return residual_norm(t, x, y, rows, dropout, l->weight, l->bias, l->eps);
}

tensor *bert_attention_end(tape *t, const bert_attention *a, tensor *x, tensor *attended,
                           tensor *rows, double dropout) {
    attended = tape_view(t, attended, 2, x->dim);
    return post_norm(t, &a->norm, x, linear_run(t, &a->out, attended), rows, dropout);
}

tensor *bert_feed_run(tape *t, const bert_feed *f, tensor *x, tensor *rows, double dropout) {
    tensor *y = linear_run(t, &f->down, gelu(t, linear_run(t, &f->up, x)));
    return post_norm(t, &f->norm, x, y, rows, dropout);
}

typedef struct layer_context {
    const bert *model;
    const bert_layer *layer;
    packed_texts *texts;
    bool first; // of all rows only each text's first is wanted behind this layer
} layer_context;

static void layer_body(tape *t, const void *context, tensor **out, tensor *const *in) {
    const layer_context *c = context;
    const bert_attention *a = &c->layer->self;
    const double dropout = c->model->config.dropout;
    packed_texts *texts = c->texts;
    tensor *x = in[0], *asking = c->first ? embedding(t, x, &texts->first) : x, *attended[2];
    tensor *rows = c->first ? &texts->first_rows : &texts->rows;
    attention_rows(t, attended,
                   &(attention_rows_args){
                       .q = {NULL, bert_heads(t, &a->query, asking, a->heads)},
                       .k = {NULL, bert_heads(t, &a->key, x, a->heads)},
                       .v = {NULL, bert_heads(t, &a->value, x, a->heads)},
                       .segments = c->first ? &texts->first_segments : &texts->segments,
                       .known = SEGMENTS_FULL,
                       .most_queries = c->first ? 1 : texts->most,
                       .most_keys = texts->most,
                       .dropout = dropout,
                   });
    tensor *h = bert_attention_end(t, a, asking, attended[1], rows, dropout);
    out[0] = bert_feed_run(t, &c->layer->feed, h, rows, dropout);
}

static tensor *layer_run(tape *t, const bert *m, int i, packed_texts *texts, tensor *x,
                         bool first) {
    layer_context *c = tape_keep(t, sizeof *c);
    *c = (layer_context){m, &m->layer[i], texts, first};
    tensor *y;
    tape_region(t, layer_body, c, &y, 1, &x, 1);
    return y;
}

tensor *bert_hidden(tape *t, const bert *m, packed_texts *texts, int layers) {
    tensor *x =
        bert_embed(t, &m->embeddings, &m->config, &texts->ids, &texts->positions, &texts->rows);
    for (int i = 0; i < layers; i++) x = layer_run(t, m, i, texts, x, false);
    return x;
}

tensor *bert_first(tape *t, const bert *m, packed_texts *texts) {
    int last = m->config.layers - 1;
    return layer_run(t, m, last, texts, bert_hidden(t, m, texts, last), true);
}
