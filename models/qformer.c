#include "models/qformer.h"

#include <stdio.h>
#include <string.h>

// --- parameters ---------------------------------------------------------------------------------
static const char *const bert_prefix = "Qformer.bert";

static void layer_make(qformer_layer *l, params *p, const qformer_config *c, int i) {
    char name[NAME_SIZE], inside[NAME_SIZE];
    snprintf(name, sizeof name, "%s.encoder.layer.%d", bert_prefix, i);
    *l = (qformer_layer){.looks = i % c->cross_every == 0};
    l->self = bert_attention_make(p, name_in(inside, name, "attention"), &c->bert, c->bert.width);
    if (l->looks)
        l->cross = bert_attention_make(p, name_in(inside, name, "crossattention"), &c->bert,
                                       c->image_width);
    l->text = bert_feed_make(p, name, "", &c->bert);
    l->query = bert_feed_make(p, name, "_query", &c->bert);
}

void qformer_make(qformer *m, params *p, const qformer_config *c) {
    const int64_t D = c->bert.width, Q = c->queries, one = 1, V = c->bert.vocabulary;
    if (c->bert.layers < 1 || c->bert.layers > BERT_MAX_LAYERS || c->cross_every < 1)
        die("qformer_make: %d layers, cross-attention in every %d", c->bert.layers, c->cross_every);
    *m = (qformer){.config = *c};
    m->query_tokens = param_add(p, PARAM_WEIGHT, "query_tokens", bert_init, 2, (int64_t[]){Q, D});
    param_file_shape(p, 3, (int64_t[]){1, Q, D});
    m->temp = param_add(p, PARAM_WEIGHT, "temp", (init){INIT_CONSTANT, 0.07}, 1, &one);
    param_file_shape(p, 0, NULL);
    m->ln_vision = layer_norm_make(p, "ln_vision", c->image_width, 1e-5);
    m->embeddings = bert_embeddings_make(p, bert_prefix, &c->bert);
    for (int i = 0; i < c->bert.layers; i++) layer_make(&m->layer[i], p, c, i);
    m->transform = linear_make(p, "Qformer.cls.predictions.transform.dense", D, D, true, bert_init);
    m->transform_norm = layer_norm_make(p, "Qformer.cls.predictions.transform.LayerNorm", D, 1e-12);
    m->decoder_bias =
        param_add(p, PARAM_WEIGHT, "Qformer.cls.predictions.bias", (init){INIT_ZERO, 0}, 1, &V);
    m->vision_proj = linear_make(p, "vision_proj", D, c->projection, true, init_torch_default(D));
    m->text_proj = linear_make(p, "text_proj", D, c->projection, true, init_torch_default(D));
    m->itm_head = linear_make(p, "itm_head", D, 2, true, init_torch_default(D));
}

// "...intermediate_query.dense.weight" from "...intermediate.dense.weight", and so on.
status qformer_copy_query_parts(params *p) {
    static const char mark[] = "_query";
    status rc = STATUS_OK;
    for (size_t i = 0; i < p->count && !rc; i++) {
        const param *to = p->item[i], *from;
        const char *at = strstr(to->name, mark);
        char name[NAME_SIZE];
        float *values;
        if (!at) continue;
        snprintf(name, sizeof name, "%.*s%s", (int)(at - to->name), to->name, at + strlen(mark));
        from = params_find(p, name);
        if (!from) die("qformer_copy_query_parts: there is no %s", name);
        rc = mem_new(&values, tensor_count(&to->value), to->name);
        if (rc) break;
        rc = param_read(p, from, param_block(p, from), values);
        if (!rc) rc = param_write(p, to, param_block(p, to), values);
        mem_free(values);
    }
    return rc;
}

// --- layers -------------------------------------------------------------------------------------
void qformer_look(tape *t, const qformer *m, tensor *images, qformer_sight *out) {
    int64_t rows[2] = {images->dim[0] * images->dim[1], images->dim[2]};
    tensor *x = tape_view(t, images, 2, rows);
    for (int i = 0; i < m->config.bert.layers; i++) {
        const qformer_layer *l = &m->layer[i];
        out->k[i] = l->looks ? bert_heads(t, &l->cross.key, x, l->cross.heads) : NULL;
        out->v[i] = l->looks ? bert_heads(t, &l->cross.value, x, l->cross.heads) : NULL;
    }
}

// What goes into a layer and comes out of it; regions know them by number.
enum {
    IN_QUERIES,
    IN_TEXTS,
    IN_IMAGE_K,
    IN_IMAGE_V,
    IN_OTHER_K,
    IN_OTHER_V,
    IN_SEEN_K,
    IN_SEEN_V,
    INS
};
enum { OUT_QUERIES, OUTS = 4 }; // then texts if there are any, keys and values if they are wanted

typedef struct layer_context {
    const qformer *model;
    const qformer_layer *layer;
    qformer_pass *pass;
    tensor segments; // of self-attention
    bool last, keep;
} layer_context;

// A projection of both groups of rows.
static void project(tape *t, const linear_layer *l, int heads, tensor *out[2], tensor *queries,
                    tensor *texts) {
    out[0] = bert_heads(t, l, queries, heads);
    out[1] = texts ? bert_heads(t, l, texts, heads) : NULL;
}

static tensor *look_run(tape *t, const layer_context *c, tensor *x, tensor *const *in) {
    const bert_attention *a = &c->layer->cross;
    const double dropout = c->model->config.bert.dropout;
    tensor *attended[2];
    attention_rows(t, attended,
                   &(attention_rows_args){
                       .q = {bert_heads(t, &a->query, x, a->heads)},
                       .k = {in[IN_IMAGE_K], in[IN_OTHER_K]},
                       .v = {in[IN_IMAGE_V], in[IN_OTHER_V]},
                       .segments = &c->pass->look,
                       .known = c->pass->text ? SEGMENTS_ANY : SEGMENTS_FULL,
                       .most_queries = c->model->config.queries,
                       .most_keys = c->pass->image_tokens,
                       .dropout = dropout,
                   });
    return bert_attention_end(t, a, x, attended[0], &c->pass->query_rows, dropout);
}

static void layer_body(tape *t, const void *context, tensor **out, tensor *const *in) {
    const layer_context *c = context;
    const qformer_layer *l = c->layer;
    qformer_pass *p = c->pass;
    const bert_attention *a = &l->self;
    const double dropout = c->model->config.bert.dropout;
    tensor segments = c->segments, *queries = in[IN_QUERIES], *texts = in[IN_TEXTS];
    tensor *q[2], *k[2], *v[2], *attended[2];
    tensor *asking = texts && c->last ? embedding(t, texts, &p->last) : texts;
    tensor *rows = c->last ? &p->last_rows : &p->text_rows;
    project(t, &a->query, a->heads, q, queries, asking);
    project(t, &a->key, a->heads, k, queries, texts);
    project(t, &a->value, a->heads, v, queries, texts);
    attention_rows(t, attended,
                   &(attention_rows_args){
                       .q = {q[0], q[1]},
                       .k = {k[0], k[1], in[IN_SEEN_K]},
                       .v = {v[0], v[1], in[IN_SEEN_V]},
                       .segments = &segments,
                       .known = p->text ? SEGMENTS_ANY : SEGMENTS_FULL,
                       .most_queries = p->most_queries,
                       .most_keys = p->most_keys,
                       .dropout = dropout,
                   });
    tensor *h = bert_attention_end(t, a, queries, attended[0], &p->query_rows, dropout);
    if (l->looks) h = look_run(t, c, h, in);
    out[OUT_QUERIES] = bert_feed_run(t, &l->query, h, &p->query_rows, dropout);
    int outs = 1;
    if (texts) {
        h = bert_attention_end(t, a, asking, attended[1], rows, dropout);
        out[outs++] = bert_feed_run(t, &l->text, h, rows, dropout);
    }
    if (c->keep) {
        out[outs++] = k[0];
        out[outs++] = v[0];
    }
}

// The query tokens, normed once, at every image's rows; they have no positions. A norm wants an activation, as its
// gradient is not a parameter's wide one: the first image's rows name each token once.
static tensor *query_embed(tape *t, const qformer *m, qformer_pass *p) {
    tensor once = p->query_index;
    if (once.dim[0] > m->config.queries) once.dim[0] = m->config.queries;
    tensor *x = layer_norm_run(t, &m->embeddings.norm, embedding(t, m->query_tokens, &once));
    return dropout_rows(t, embedding(t, x, &p->query_index), &p->query_rows,
                        m->config.bert.dropout);
}

void qformer_run(tape *t, const qformer *m, qformer_pass *p, const qformer_sight *sight,
                 const qformer_sight *others, const qformer_states *seen, bool keep,
                 qformer_states *out) {
    *out = (qformer_states){.queries = query_embed(t, m, p)};
    if (p->text)
        out->texts =
            bert_embed(t, &m->embeddings, &m->config.bert, &p->ids, &p->positions, &p->text_rows);
    for (int i = 0; i < m->config.bert.layers; i++) {
        layer_context *c = tape_keep(t, sizeof *c);
        const bool last = i == m->config.bert.layers - 1;
        *c = (layer_context){m, &m->layer[i], p, last ? p->last_segments : p->segments, last, keep};
        if (!p->text) c->segments.dim[0] = p->look.dim[0];
        tensor *in[INS] = {[IN_QUERIES] = out->queries,
                           [IN_TEXTS] = out->texts,
                           [IN_IMAGE_K] = sight->k[i],
                           [IN_IMAGE_V] = sight->v[i]};
        if (others) in[IN_OTHER_K] = others->k[i], in[IN_OTHER_V] = others->v[i];
        if (seen) in[IN_SEEN_K] = seen->k[i], in[IN_SEEN_V] = seen->v[i];
        tensor *y[OUTS];
        int outs = 0;
        tape_region(t, layer_body, c, y, 1 + (out->texts != NULL) + 2 * keep, in, INS);
        out->queries = y[outs++];
        if (out->texts) out->texts = y[outs++];
        if (!keep) continue;
        out->k[i] = y[outs++];
        out->v[i] = y[outs];
    }
}

// --- heads --------------------------------------------------------------------------------------
static tensor *by_image(tape *t, const qformer *m, tensor *x) {
    int64_t Q = m->config.queries;
    return tape_view(t, x, 3, (int64_t[]){x->dim[0] / Q, Q, x->dim[1]});
}

tensor *qformer_image_features(tape *t, const qformer *m, tensor *queries) {
    return l2_normalise(t, by_image(t, m, linear_run(t, &m->vision_proj, queries)));
}

tensor *qformer_text_features(tape *t, const qformer *m, tensor *first) {
    return l2_normalise(t, linear_run(t, &m->text_proj, first));
}

tensor *qformer_match_logits(tape *t, const qformer *m, tensor *queries) {
    return mean_tokens(t, by_image(t, m, linear_run(t, &m->itm_head, queries)));
}

tensor *qformer_caption_loss(tape *t, const qformer *m, tensor *texts, tensor *target,
                             double count) {
    tensor *h = layer_norm_run(t, &m->transform_norm, gelu(t, linear_run(t, &m->transform, texts)));
    return linear_cross_entropy(t, h, m->embeddings.word, m->decoder_bias, target, NULL,
                                m->config.smoothing, count);
}
