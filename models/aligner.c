#include "models/aligner.h"

const char *const aligner_encoder_prefix = "visual_encoder";

void aligner_make(aligner *m, params *p, const aligner_config *c) {
    *m = (aligner){.config = *c};
    biovil_t_make(&m->encoder, p, aligner_encoder_prefix, &c->encoder);
    m->encoder.trunk_batch_stats = m->encoder.projector_batch_stats =
        false; // frozen, norms included
    if (c->qformer.image_width != c->encoder.joint_width)
        die("aligner_make: image tokens of %d for a Q-Former of %d", c->encoder.joint_width,
            c->qformer.image_width);
    qformer_make(&m->qformer, p, &c->qformer);
    m->image_tokens = (int64_t)m->encoder.grid * m->encoder.grid;
}

status aligner_fill(const aligner *m, params *p) {
    return biovil_t_fill(&m->encoder, p, aligner_encoder_prefix);
}

tensor *aligner_features(tape *t, const aligner *m, tensor *image) {
    return biovil_t_own(t, &m->encoder, image);
}

tensor *aligner_tokens(tape *t, const aligner *m, tensor *features) {
    tensor *x = biovil_t_project(t, &m->encoder, biovil_t_alone(t, &m->encoder, features));
    int64_t dim[3] = {x->dim[0], m->image_tokens, x->dim[3]};
    if (m->config.channel_runs) x = channels_first(t, x);
    return layer_norm_run(t, &m->qformer.ln_vision, tape_view(t, x, 3, dim));
}

tensor *aligner_embed(tape *t, const aligner *m, qformer_pass *pass, tensor *tokens) {
    const qformer *q = &m->qformer;
    qformer_sight sight;
    qformer_states states;
    qformer_look(t, q, tokens, &sight);
    pass->text = false;
    qformer_run(t, q, pass, &sight, NULL, NULL, false, &states);
    return tape_view(t, states.queries, 3,
                     (int64_t[]){tokens->dim[0], q->config.queries, q->config.bert.width});
}

// --- training -----------------------------------------------------------------------------------
// Similarities of own samples with the global batch's, over the temperature: from images (b, B) and
// from texts.
typedef struct similarities {
    tensor *image, *text;
} similarities;

// A sample's similarity is that of its text with the best of the image's queries. What ranks see of
// each other's samples carries gradient.
static similarities compare(tape *t, const qformer *q, tensor *images, tensor *texts, int64_t all) {
    tensor *all_images = gather_ranks(t, images, all), *all_texts = gather_ranks(t, texts, all);
    return (similarities){
        .image = divide_by(t, max_similarity(t, images, all_texts, false), q->temp),
        .text = divide_by(t, max_similarity(t, all_images, texts, true), q->temp),
    };
}

static tensor *contrast_loss(tape *t, const qformer *q, aligner_batch *b, const similarities *s) {
    const double smoothing = q->config.smoothing,
                 count = 2 * (double)b->all; // half of each direction's mean
    return add(t, cross_entropy(t, s->image, &b->image_target, smoothing, count),
               cross_entropy(t, s->text, &b->image_target, smoothing, count));
}

// Which image is wrong for each text, and the other way round: i32 (b), numbers in the global
// batch.
typedef struct negatives {
    tensor *image, *text;
} negatives;

// Drawn where they are easily mistaken: the more similar, the likelier.
static negatives draw(tape *t, aligner_batch *b, const similarities *s) {
    tensor *group = b->grouped ? &b->group : NULL;
    if (b->given) return (negatives){&b->wrong_image, &b->wrong_text};
    return (negatives){draw_negatives(t, s->text, b->first, group),
                       draw_negatives(t, s->image, b->first, group)};
}

// Rows for the wrong texts: their number where the host can see what was drawn without waiting for
// it, else the most there can be.
static int64_t wrong_rows(tape *t, const aligner_batch *b, const tensor *wrong_text) {
    device *d = t->device;
    if (d->dry || d->graph_begin) return b->own * b->most;
    const int32_t *first = packed_host(&b->memory, &b->text_first), *text = wrong_text->data;
    int64_t rows = 0;
    for (int64_t i = 0; i < b->own; i++) rows += first[text[i] + 1] - first[text[i]];
    return rows;
}

// Completes pass 2's tables with what was drawn.
static void place_negatives(tape *t, aligner_batch *b, const negatives *wrong) {
    qformer_pass *p = &b->match;
    const int64_t known = aligner_batch_known_rows(b);
    aligner_batch_set_wrong_rows(b, wrong_rows(t, b, wrong->text));
    append_texts(t, &(append_texts_args){
                        .index = wrong->text,
                        .text_ids = &b->text_ids,
                        .text_first = &b->text_first,
                        .ids = &p->ids,
                        .positions = &p->positions,
                        .rows = &p->text_rows,
                        .segments = &p->segments,
                        .keys_only = &p->last_segments,
                        .tail = known,
                        .first_segment = aligner_batch_wrong_text(b),
                        .sample = aligner_batch_wrong_text_sample(b),
                        .position = b->queries,
                    });
    if (b->alone)
        point_segments(t, &p->look, aligner_batch_wrong_image(b), wrong->image, b->image_tokens);
}

// The image tokens of other ranks that were drawn: as many as own samples.
static tensor *other_images(tape *t, aligner_batch *b, tensor *tokens, tensor *wrong_image) {
    int64_t per_image = b->image_tokens * tokens->dim[2];
    tensor *all = tape_view(t, gather_ranks(t, tokens, b->all), 2, (int64_t[]){b->all, per_image});
    return tape_view(t, embedding(t, all, wrong_image), 3,
                     (int64_t[]){b->own, b->image_tokens, tokens->dim[2]});
}

void aligner_loss(tape *t, const aligner *m, aligner_batch *b, tensor *features,
                  aligner_losses *out) {
    const qformer *q = &m->qformer;
    qformer_sight sight, others;
    qformer_states one, two;
    tensor *tokens = aligner_tokens(t, m, features);
    qformer_look(t, q, tokens, &sight);
    qformer_run(t, q, &b->contrast, &sight, NULL, NULL, true, &one);
    out->image_features = qformer_image_features(t, q, one.queries);
    out->text_features = qformer_text_features(t, q, one.texts);
    similarities s = compare(t, q, out->image_features, out->text_features, b->all);
    out->contrast = contrast_loss(t, q, b, &s);

    negatives wrong = draw(t, b, &s);
    place_negatives(t, b, &wrong);
    if (!b->alone) qformer_look(t, q, other_images(t, b, tokens, wrong.image), &others);
    qformer_run(t, q, &b->match, &sight, b->alone ? NULL : &others, &one, false, &two);
    out->match_logits = qformer_match_logits(t, q, two.queries);
    out->match = cross_entropy(t, out->match_logits, &b->match_target, 0, 3 * (double)b->all);
    out->caption = divide_by(t, qformer_caption_loss(t, q, two.texts, &b->caption_target, 1),
                             &b->caption_count);
    out->sum = add(t, add(t, out->contrast, out->match), out->caption);
}
