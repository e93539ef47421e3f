// models/bert_weights.h: files of the BERT family under their public names; what a file lacks stays
// as it began.
#include "models/bert_weights.h"
#include "core/files/safetensors.h"
#include "core/log.h"
#include "models/aligner.h"
#include "models/chexbert.h"
#include "tests/core/helper_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OK(call)                                                                                   \
    do {                                                                                           \
        status rc_ = (call);                                                                       \
        ck_assert_msg(rc_ == STATUS_OK, "%s: %s", #call, status_text());                           \
    } while (0)

static const bert_config small = {.vocabulary = 9,
                                  .positions = 6,
                                  .token_types = 2,
                                  .width = 8,
                                  .layers = 2,
                                  .heads = 2,
                                  .inner = 12};
static const aligner_config small_aligner = {
    .encoder = {.image_size = 32,
                .stem = 2,
                .stages = 1,
                .width = {2},
                .blocks = {1},
                .vit_width = 8,
                .pooler_blocks = 1,
                .pooler_heads = 2,
                .joint_width = 6},
    .qformer = {.bert = {.vocabulary = 9,
                         .positions = 6,
                         .width = 8,
                         .layers = 2,
                         .heads = 2,
                         .inner = 12},
                .queries = 3,
                .image_width = 6,
                .cross_every = 2,
                .projection = 5},
};

// --- models -------------------------------------------------------------------------------------
typedef struct fixture {
    device *device;
    params params;
    union {
        chexbert labeler;
        aligner aligner;
    } model;
} fixture;

static void fixture_open(fixture *f, bool is_aligner) {
    memset(f, 0, sizeof *f);
    OK(device_open_cpu(&f->device, 1));
    f->device->ops = &op_kernels_cpu;
    OK(params_open(&f->params, f->device));
    if (is_aligner)
        aligner_make(&f->model.aligner, &f->params, &small_aligner);
    else
        chexbert_make(&f->model.labeler, &f->params, &small);
    OK(params_allocate(&f->params));
    OK(params_init(&f->params, 5));
}

static void fixture_close(fixture *f) {
    params_close(&f->params);
    device_close(f->device);
}

// The number that a file holds for element I of our parameter NAME.
static float number_of(const char *name, int64_t i) {
    return (float)rng_normal((rng_key){77, rng_site(name), 0}, 0, (uint64_t)i);
}

// --- files --------------------------------------------------------------------------------------
// The file's name of our parameter NAME in OUT; false: the file does not have it.
typedef bool naming(char out[NAME_SIZE], const char *name);

typedef struct file_plan {
    naming *rename;
    const char *extra[4]; // tensors of one number that nobody needs
    bool fewer;           // word table and caption bias lack the last row
} file_plan;

static bool grows(const char *name) {
    return strstr(name, "word_embeddings.weight") || !strcmp(name, "Qformer.cls.predictions.bias");
}

static void put(safetensors_writer *w, bool writing, const char *name, const param *q, bool fewer) {
    int64_t dim[5], count = tensor_count(&q->value);
    memcpy(dim, q->file_dim, sizeof dim);
    if (fewer && grows(q->name)) count -= count / dim[0], dim[0]--;
    if (!writing) {
        OK(safetensors_declare(w, name, DTYPE_F32, q->file_rank, dim));
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        float x = number_of(q->name, i);
        OK(safetensors_write(w, name, &x, sizeof x));
    }
}

static const char *write_file(const params *p, const file_plan *how) {
    const char *path = scratch("weights.safetensors");
    safetensors_writer *w;
    const float one = 1;
    const int64_t dim = 1;
    OK(safetensors_create(&w, path));
    for (int writing = 0; writing < 2; writing++) {
        for (size_t i = 0; i < p->count; i++) {
            char name[NAME_SIZE];
            const param *q = p->item[i];
            if (q->role != PARAM_CONSTANT && how->rename(name, q->name))
                put(w, writing, name, q, how->fewer);
        }
        for (int i = 0; i < 4 && how->extra[i]; i++)
            OK(writing ? safetensors_write(w, how->extra[i], &one, sizeof one)
                       : safetensors_declare(w, how->extra[i], DTYPE_F32, 1, &dim));
    }
    OK(safetensors_finish(w));
    safetensors_writer_close(w);
    return path;
}

static bool starts(const char *name, const char *prefix) {
    return !strncmp(name, prefix, strlen(prefix));
}

// --- what was loaded ----------------------------------------------------------------------------
static float *values_of(const params *p, const param *q) {
    float *out = calloc((size_t)tensor_count(&q->value), sizeof *out);
    OK(param_read(p, q, param_block(p, q), out));
    return out;
}

// Every parameter that EXPECTED says holds the file's numbers (of SOURCE's name, if it is another's
// copy), but for its last row where that is KEPT; every other one what it began with.
typedef const char *source(char out[NAME_SIZE], const char *name); // NULL: as it began

static void expect_loaded(const params *p, source *expected, bool kept_row) {
    fixture fresh;
    int loaded = 0, kept = 0;
    fixture_open(&fresh, params_find(p, "query_tokens") != NULL);
    for (size_t i = 0; i < p->count; i++) {
        const param *q = p->item[i];
        char text[NAME_SIZE];
        const char *from = expected(text, q->name);
        if (q->role == PARAM_CONSTANT) continue;
        float *have = values_of(p, q),
              *began = values_of(&fresh.params, params_find(&fresh.params, q->name));
        int64_t count = tensor_count(&q->value),
                end = kept_row && grows(q->name) ? count - count / q->file_dim[0] : count;
        for (int64_t e = 0; e < count; e++) {
            float want = from && e < end ? number_of(from, e) : began[e];
            ck_assert_msg(have[e] >= want && have[e] <= want, "%s, element %lld: %g, expected %g",
                          q->name, (long long)e, (double)have[e], (double)want);
        }
        *(from ? &loaded : &kept) += 1;
        free(have);
        free(began);
    }
    ck_assert_int_gt(loaded, 0);
    fixture_close(&fresh);
}

static const char *all(char out[NAME_SIZE], const char *name) {
    snprintf(out, NAME_SIZE, "%s", name);
    return out;
}

// --- CheXbert -----------------------------------------------------------------------------------
// "LayerNorm.weight" as TensorFlow calls it.
static void old_norms(char *name) {
    char *at = strstr(name, "LayerNorm.");
    if (at) strcpy(at + strlen("LayerNorm."), strstr(at, "weight") ? "gamma" : "beta");
}

static bool name_chexbert(char out[NAME_SIZE], const char *name) {
    snprintf(out, NAME_SIZE, "model_state_dict.module.%s", name);
    return true;
}
static bool name_bare(char out[NAME_SIZE], const char *name) {
    snprintf(out, NAME_SIZE, "module.%s", name);
    return true;
}
static bool name_old_bert(char out[NAME_SIZE], const char *name) {
    snprintf(out, NAME_SIZE, "%s", name);
    old_norms(out);
    return starts(name, "bert.");
}
static bool name_bert_model(char out[NAME_SIZE], const char *name) {
    snprintf(out, NAME_SIZE, "%s", name + (starts(name, "bert.") ? 5 : 0));
    return starts(name, "bert.");
}
static bool name_own(char out[NAME_SIZE], const char *name) {
    snprintf(out, NAME_SIZE, "%s", name);
    return true;
}
static const char *encoder_alone(char out[NAME_SIZE], const char *name) {
    return starts(name, "bert.") ? all(out, name) : NULL;
}

START_TEST(labelers) {
    static const file_plan plans[] = {
        {name_chexbert,
         {"model_state_dict.module.bert.pooler.dense.bias", "optimizer_state_dict.state"},
         false},
        {name_bare, {"module.bert.embeddings.position_ids"}, false},
        {name_own, {0}, false},
        {name_old_bert, {"bert.pooler.dense.weight", "cls.predictions.bias"}, false},
        {name_bert_model, {"pooler.dense.weight", "embeddings.position_ids"}, false},
    };
    for (int i = 0; i < 5; i++) {
        const bool heads = i < 3;
        fixture f;
        fixture_open(&f, false);
        const char *path = write_file(&f.params, &plans[i]);
        if (!heads)
            expect_failure(chexbert_load(&f.params, path, true), STATUS_FORMAT, "a BERT",
                           "weights.safetensors", "without the labeler's heads");
        OK(chexbert_load(&f.params, path, false));
        expect_loaded(&f.params, heads ? all : encoder_alone, false);
        fixture_close(&f);
    }
}
END_TEST

// --- aligner ------------------------------------------------------------------------------------
static bool beyond_bert(const char *name) {
    return !starts(name, "Qformer.") || strstr(name, "crossattention") || strstr(name, "_query.");
}
static bool name_bert(char out[NAME_SIZE], const char *name) {
    snprintf(out, NAME_SIZE, "%s", name + (starts(name, "Qformer.") ? strlen("Qformer.") : 0));
    old_norms(out);
    return !beyond_bert(name);
}
static bool name_labeler(char out[NAME_SIZE], const char *name) {
    return name_bert(out, name) && !starts(out, "cls.");
}
// The queries' feed-forward parts are copies of the texts'.
static const char *from_bert(char out[NAME_SIZE], const char *name) {
    const char *at = strstr(name, "_query.");
    if (!at) return beyond_bert(name) ? NULL : all(out, name);
    snprintf(out, NAME_SIZE, "%.*s%s", (int)(at - name), name, at + strlen("_query"));
    return out;
}
static const char *from_labeler(char out[NAME_SIZE], const char *name) {
    return starts(name, "Qformer.cls.") ? NULL : from_bert(out, name);
}
static bool name_lavis(char out[NAME_SIZE], const char *name) {
    snprintf(out, NAME_SIZE, "model.%s", name);
    return !starts(name, "visual_encoder.") || strstr(name, "running_");
}
static bool name_lavis_bare(char out[NAME_SIZE], const char *name) {
    snprintf(out, NAME_SIZE, "%s", name);
    return !starts(name, "visual_encoder.");
}
static const char *but_visual(char out[NAME_SIZE], const char *name) {
    return starts(name, "visual_encoder.") ? NULL : all(out, name);
}

START_TEST(aligners) {
    static const struct {
        file_plan plan;
        source *expected;
        bool whole;
    } cases[] = {
        {{name_own, {0}, false}, all, true},
        {{name_lavis,
          {"model.Qformer.cls.predictions.decoder.weight", "scaler.scale", "config.run"},
          false},
         but_visual,
         false},
        {{name_lavis_bare, {"Qformer.bert.embeddings.position_ids"}, false}, but_visual, false},
        {{name_bert,
          {"bert.pooler.dense.bias", "cls.seq_relationship.bias",
           "bert.embeddings.token_type_embeddings.weight"},
          true},
         from_bert,
         false},
        {{name_labeler, {"linear_heads.3.bias"}, true}, from_labeler, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        bool whole;
        fixture_open(&f, true);
        OK(aligner_load(&f.params, write_file(&f.params, &cases[i].plan), &whole));
        ck_assert_int_eq(whole, cases[i].whole);
        expect_loaded(&f.params, cases[i].expected, cases[i].plan.fewer);
        fixture_close(&f);
    }
}
END_TEST

// Only tables that may grow can be shorter, and none longer.
START_TEST(other_sizes_are_refused) {
    static const file_plan plan = {name_own, {0}, true};
    fixture f;
    bool whole;
    fixture_open(&f, true);
    const char *path = write_file(&f.params, &plan);
    log_quiet(2);
    expect_failure(aligner_load(&f.params, path, &whole), STATUS_FORMAT, "shorter",
                   "weights.safetensors", "2 of another shape");
    log_quiet(0);
    fixture_close(&f);
}
END_TEST

// --- the frozen encoder -------------------------------------------------------------------------
static bool inside_encoder(const char *name) {
    return starts(name, "visual_encoder.encoder.");
}
static bool name_image_model(char out[NAME_SIZE], const char *name) {
    snprintf(out, NAME_SIZE, "%s",
             name + (starts(name, "visual_encoder.") ? strlen("visual_encoder.") : 0));
    return starts(name, "visual_encoder.");
}
static bool name_classifier(char out[NAME_SIZE], const char *name) {
    snprintf(out, NAME_SIZE, "biovil_encoder.%s", strchr(name, '.') ? strchr(name, '.') + 1 : name);
    return starts(name, "visual_encoder.");
}
static const char *encoder_inside(char out[NAME_SIZE], const char *name) {
    return inside_encoder(name) ? all(out, name) : NULL;
}

START_TEST(encoders) {
    static const file_plan plans[] = {{name_image_model, {"encoder.encoder.fc.bias"}, false},
                                      {name_classifier, {"fc1.bias", "fc2.weight"}, false}};
    for (int i = 0; i < 2; i++) {
        fixture f;
        fixture_open(&f, true);
        OK(aligner_load_encoder(&f.params, write_file(&f.params, &plans[i])));
        expect_loaded(&f.params, encoder_inside, false);
        fixture_close(&f);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {labelers, aligners, other_sizes_are_refused, encoders, NULL};
    return run_suite(suite_of("bert weights", tests));
}
