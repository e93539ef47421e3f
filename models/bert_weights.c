#include "models/bert_weights.h"
#include "models/aligner.h"

// TensorFlow's names for a norm's weight and bias, which the oldest files keep.
static const load_name endings[] = {
    {"LayerNorm.gamma", "LayerNorm.weight"}, {"LayerNorm.beta", "LayerNorm.bias"}, {0}};

// --- chexbert -----------------------------------------------------------------------------------
// The pooler was never trained on; the ids of positions are a table of 0, 1, 2, ...
#define UNUSED_BERT "bert.pooler.", "position_ids"
static const char *const chexbert_ignored[] = {UNUSED_BERT, "^optimizer_state_dict.", NULL};
static const load_name chexbert_names[] = {{"model_state_dict.module.", ""}, {0}};
static const load_recipe chexbert_file = {
    .what = "CheXbert", .names = chexbert_names, .endings = endings, .ignored = chexbert_ignored};
static const load_name chexbert_bare_names[] = {{"module.", ""}, {0}};
static const load_recipe chexbert_bare = {.what = "CheXbert",
                                          .names = chexbert_bare_names,
                                          .endings = endings,
                                          .ignored = chexbert_ignored};

static const char *const heads[] = {"^linear_heads.", NULL};
static const char *const bert_ignored[] = {UNUSED_BERT, "^cls.", "^pooler.", NULL};
static const load_recipe bert_file = {
    .what = "a BERT", .endings = endings, .keep = heads, .ignored = bert_ignored};
static const load_name bert_model_names[] = {{"", "bert."}, {0}};
static const load_recipe bert_model_file = {.what = "a BERT",
                                            .names = bert_model_names,
                                            .endings = endings,
                                            .keep = heads,
                                            .ignored = bert_ignored};

status chexbert_load(params *p, const char *path, bool heads_too) {
    weights *file = NULL;
    status rc = weights_open(&file, path);
    if (rc) return rc;
    const load_recipe *recipe = &load_own;
    if (weights_lookup(file, "model_state_dict.module.linear_heads.0.weight"))
        recipe = &chexbert_file;
    else if (weights_lookup(file, "module.linear_heads.0.weight"))
        recipe = &chexbert_bare;
    else if (weights_lookup(file, "bert.embeddings.word_embeddings.weight") &&
             !weights_lookup(file, "linear_heads.0.weight"))
        recipe = &bert_file;
    else if (weights_lookup(file, "embeddings.word_embeddings.weight"))
        recipe = &bert_model_file;
    if (heads_too && (recipe == &bert_file || recipe == &bert_model_file))
        rc =
            status_fail(STATUS_FORMAT,
                        "%s: is a BERT without the labeler's heads; name a checkpoint of `radialog "
                        "train chexbert` or chexbert.pth",
                        path);
    if (!rc) rc = params_load_told(p, file, recipe);
    weights_close(file);
    return rc;
}

// --- aligner ------------------------------------------------------------------------------------
// What LAVIS saves beside the model: buffers of the frozen encoder, the decoder that shares the
// word table.
#define UNUSED_LAVIS                                                                               \
    "position_ids", "cls.predictions.decoder.", "num_batches_tracked", "^optimizer.", "^scaler.",  \
        "^config."
static const char *const visual[] = {"^visual_encoder.", NULL};
static const char *const lavis_ignored[] = {UNUSED_LAVIS, "^model.visual_encoder.",
                                            "^visual_encoder.", NULL};
static const load_name lavis_names[] = {{"model.", ""}, {0}};
static const load_recipe lavis_file = {
    .what = "RaDialog's aligner", .names = lavis_names, .keep = visual, .ignored = lavis_ignored};
static const load_recipe lavis_bare = {
    .what = "RaDialog's aligner", .keep = visual, .ignored = lavis_ignored};

// What a BERT does not know of. The labeler's, and others that were trained further, have lost the
// head that says words.
#define BEYOND_BERT                                                                                \
    "^visual_encoder.", "^query_tokens", "^temp", "^ln_vision.", "^vision_proj.", "^text_proj.",   \
        "^itm_head.", "crossattention.", "intermediate_query.", "output_query."
static const char *const beyond_bert[] = {BEYOND_BERT, NULL};
static const char *const beyond_headless_bert[] = {BEYOND_BERT, "^Qformer.cls.", NULL};
static const char *const grown[] = {"Qformer.bert.embeddings.word_embeddings.weight",
                                    "Qformer.cls.predictions.bias", NULL};
static const load_name qformer_names[] = {
    {"bert.", "Qformer.bert."}, {"cls.", "Qformer.cls."}, {0}};
static const char *const qformer_ignored[] = {UNUSED_BERT,
                                              "token_type_embeddings",
                                              "cls.seq_relationship.",
                                              "cls.predictions.decoder.",
                                              "^linear_heads.",
                                              NULL};

static status begin_from_bert(params *p, weights *file) {
    const bool head = weights_lookup(file, "cls.predictions.bias");
    const load_recipe recipe = {.what = "a BERT",
                                .names = qformer_names,
                                .endings = endings,
                                .grown = grown,
                                .keep = head ? beyond_bert : beyond_headless_bert,
                                .ignored = qformer_ignored};
    status rc = params_load_told(p, file, &recipe);
    return rc ? rc : qformer_copy_query_parts(p);
}

status aligner_load(params *p, const char *path, bool *whole) {
    weights *file = NULL;
    status rc = weights_open(&file, path);
    *whole = false;
    if (rc) return rc;
    if (weights_lookup(file, "bert.embeddings.word_embeddings.weight")) {
        rc = begin_from_bert(p, file);
    } else if (weights_lookup(file, "model.query_tokens")) {
        rc = params_load_told(p, file, &lavis_file);
    } else if (!weights_lookup(file, "visual_encoder.projector.model.0.weight")) {
        rc = params_load_told(p, file, &lavis_bare);
    } else {
        rc = params_load_told(p, file, &load_own);
        *whole = !rc;
    }
    weights_close(file);
    return rc;
}

// BioViL-T's image model; everything of the aligner but the encoder's inside stays as it is.
static const load_name image_names[] = {{"", "visual_encoder."}, {0}};
static const char *const beyond_encoder[] = {"^visual_encoder.projector.",
                                             "^query_tokens",
                                             "^temp",
                                             "^ln_vision.",
                                             "^Qformer.",
                                             "^vision_proj.",
                                             "^text_proj.",
                                             "^itm_head.",
                                             NULL};
static const char *const image_ignored[] = {"^encoder.encoder.fc.", "num_batches_tracked",
                                            "^projector.", NULL};
static const load_recipe image_file = {.what = "a BioViL-T image model",
                                       .names = image_names,
                                       .keep = beyond_encoder,
                                       .ignored = image_ignored};
// The encoder of a classifier of ours, which has the same inside.
static const load_name classifier_names[] = {{"biovil_encoder.", "visual_encoder."}, {0}};
static const char *const classifier_ignored[] = {"^biovil_encoder.projector.", "^fc1.", "^fc2.",
                                                 NULL};
static const load_recipe classifier_file = {.what = "a findings classifier",
                                            .names = classifier_names,
                                            .keep = beyond_encoder,
                                            .ignored = classifier_ignored};

status aligner_load_encoder(params *p, const char *path) {
    weights *file = NULL;
    status rc = weights_open(&file, path);
    if (rc) return rc;
    bool classifier = weights_lookup(file, "biovil_encoder.encoder.encoder.conv1.weight");
    rc = params_load_told(p, file, classifier ? &classifier_file : &image_file);
    weights_close(file);
    return rc;
}
