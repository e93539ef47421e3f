// models/llama_weights.h: folders as Hugging Face's libraries write them, old and current, compute
// what those libraries compute; configurations that ask for what llama.c does not do are refused by
// name. Golden folders: scripts/golden/llama_files.py.
#include "models/llama_weights.h"
#include "core/files/fs.h"
#include "tests/core/helper_check.h"
#include "tests/models/helper_llama.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TINY_LENGTH = 20, TINY_VOCABULARY = 40 };
static const double tolerance = 1e-5; // f32 against f32

#define OK(call)                                                                                   \
    do {                                                                                           \
        status rc_ = (call);                                                                       \
        ck_assert_msg(rc_ == STATUS_OK, "%s: %s", #call, status_text());                           \
    } while (0)

static const char *golden_path(char out[512], const char *folder, const char *file) {
    snprintf(out, 512, "%s/llama/%s%s%s", TEST_DATA, folder, *file ? "/" : "", file);
    return out;
}

static void expect_logits(reference_model *m, reference_body body, void *context,
                          const char *folder) {
    char path[512];
    safetensors *file;
    verdict v = {0};
    OK(safetensors_open(&file, golden_path(path, folder, "logits.safetensors")));
    judge_value(&v, m, file, "logits", reference_run(m, body, context, false), tolerance);
    verdict_show(folder, &v);
    ck_assert_msg(!verdict_red(&v), "%s: %s", folder, v.worst);
    safetensors_close(file);
}

// --- models -------------------------------------------------------------------------------------
static void check_grouped(const llama_config *c) {
    ck_assert(c->heads == 4 && c->key_heads == 2 && c->head_width == 8 && c->width == 16);
    ck_assert(c->attention_bias && !c->feed_bias && !c->tied && c->rope.scaling == ROPE_PLAIN);
    ck_assert(c->positions == 96 && c->eps > 0.99e-5 && c->eps < 1.01e-5);
}

static void check_linear(const llama_config *c) {
    ck_assert(c->tied && c->key_heads == 4 && c->head_width == 4 && !c->attention_bias);
    ck_assert(c->rope.scaling == ROPE_LINEAR);
    ck_assert_double_eq(c->rope.factor, 4);
    ck_assert_double_eq(c->rope.base, 1000);
}

static void check_llama3(const llama_config *c) {
    ck_assert(!c->tied && c->key_heads == 1 && c->feed_bias && c->rope.original == 64);
    ck_assert(c->rope.scaling == ROPE_LLAMA3);
    ck_assert_double_eq(c->rope.factor, 8);
    ck_assert_double_eq(c->rope.low, 1);
    ck_assert_double_eq(c->rope.high, 4);
    ck_assert_double_eq(c->rope.base, 100);
}

typedef struct tiny {
    reference_model base;
    llama model;
    llama_batch batch;
} tiny;

static tensor *tiny_body(reference_model *m, void *context) {
    tiny *t = context;
    return llama_logits(&m->tape, &t->model, &t->batch, NULL);
}

static void run_folder(const char *name, void (*check)(const llama_config *)) {
    const int32_t span[2] = {0, TINY_LENGTH};
    char path[512];
    llama_config c;
    tiny t = {0};
    int32_t ids[TINY_LENGTH];
    for (int i = 0; i < TINY_LENGTH; i++)
        ids[i] = (int32_t)(reference_uniform(name, i) * TINY_VOCABULARY);
    golden_path(path, name, "");
    OK(llama_config_read(&c, path));
    ck_assert(c.layers == 2 && c.inner == 24 && c.vocabulary == TINY_VOCABULARY);
    check(&c);
    reference_begin(&t.base, reference_device(false));
    llama_make(&t.model, &t.base.params, &c);
    OK(params_allocate(&t.base.params));
    OK(params_init(&t.base.params, 3));
    OK(llama_fill(&t.model, &t.base.params));
    OK(llama_load_base(&t.base.params, path, false));
    const llama_room room = {
        .samples = 1, .rows = TINY_LENGTH, .targets = TINY_LENGTH, .most = TINY_LENGTH};
    OK(llama_batch_open(&t.batch, t.base.device, &room));
    llama_batch_load(&t.batch, &(llama_sample){ids, TINY_LENGTH, span, 1, 0, 1}, 1, 0, -1);
    expect_logits(&t.base, tiny_body, &t, name);
    llama_batch_close(&t.batch);
    reference_close(&t.base);
}

START_TEST(current_folders) {
    run_folder("grouped", check_grouped);
    run_folder("linear", check_linear);
    run_folder("llama3", check_llama3);
}
END_TEST

// --- adapters -----------------------------------------------------------------------------------
// The base has no row for the image token, which stays as it was drawn.
static void open_adapted(speaker *s, const char *adapter, buffer *texts) {
    char base[512], path[512];
    bool found, projection;
    llama_config c;
    params *p = &s->base.params;
    OK(llama_config_read(&c, golden_path(base, "base", "")));
    ck_assert(c.vocabulary == LLAMA_IMAGE && c.width == 32 && c.layers == 3 && c.positions == 32);
    c.vocabulary++;
    c.image_width = 24;
    OK(llama_adapter_config(&c.lora, texts, golden_path(path, adapter, ""), &found));
    ck_assert(found && c.lora.rank == 4 && c.lora.targets == 2);
    ck_assert_double_eq(c.lora.alpha, 6);
    speaker_open(s, false, LLAMA_LORA, &c, NULL);
    params_apart(p, "model.");
    params_apart(p, "lm_head.");
    OK(llama_load_base(p, base, true));
    OK(llama_load_adapter(p, path, &projection));
    ck_assert(projection);
    speaker_load(s, 0, 0, LLAMA_SAMPLES, true);
}

static void run_adapter(const char *adapter, bool rank_stabilised) {
    buffer texts = {0};
    speaker s;
    open_adapted(&s, adapter, &texts);
    ck_assert(s.model.config.lora.rank_stabilised == rank_stabilised);
    expect_logits(&s.base, speaker_logits, &s, adapter);
    speaker_close(&s);
    buffer_free(&texts);
}

START_TEST(adapters_old_and_current) {
    run_adapter("adapter_old", false);
    run_adapter("adapter_current", true);
}
END_TEST

// The adapter's file without the projection, alone.
static const char *write_without_projection(const char *adapter) {
    char path[512];
    safetensors *from;
    safetensors_writer *w;
    const char *out = scratch("alone.safetensors");
    OK(safetensors_open(&from, golden_path(path, adapter, "adapter_model.safetensors")));
    OK(safetensors_create(&w, out));
    for (int writing = 0; writing < 2; writing++)
        for (size_t i = 0; i < safetensors_count(from); i++) {
            const safetensors_entry *e = safetensors_at(from, i);
            if (strstr(e->name, "img_proj_layer")) continue;
            OK(writing ? safetensors_write(w, e->name, e->data, e->bytes)
                       : safetensors_declare(w, e->name, e->type, e->rank, e->dim));
        }
    OK(safetensors_finish(w));
    safetensors_writer_close(w);
    safetensors_close(from);
    return out;
}

START_TEST(an_adapter_without_projection) {
    static const char projection[] = "base_model.model.model.img_proj_layer.weight",
                      b[] = "base_model.model.model.layers.2.self_attn.v_proj.lora_B.weight";
    buffer texts = {0};
    speaker s;
    bool found;
    open_adapted(&s, "adapter_current", &texts);
    const params *p = &s.base.params;
    const param *image = params_find(p, projection), *up = params_find(p, b);
    double *loaded = reference_read(&s.base, &up->value);
    reference_fill(&s.base);
    double *before = reference_read(&s.base, &image->value);
    OK(llama_load_adapter(&s.base.params, write_without_projection("adapter_current"), &found));
    double *after = reference_read(&s.base, &image->value),
           *got = reference_read(&s.base, &up->value);
    ck_assert(!found);
    ck_assert(!(reference_error(after, before, tensor_count(&image->value)) > 0));
    ck_assert(!(reference_error(got, loaded, tensor_count(&up->value)) > 0));
    mem_free(got);
    mem_free(after);
    mem_free(before);
    mem_free(loaded);
    speaker_close(&s);
    buffer_free(&texts);
}
END_TEST

// Adapters of other layers than the configuration's, or another rank.
START_TEST(adapters_that_do_not_fit) {
    char path[512];
    bool projection;
    for (int k = 0; k < 2; k++) {
        speaker s;
        llama_config c = llama_case_config(k ? LLAMA_LORA : LLAMA_SEVEN);
        if (k) c.lora.rank = 5;
        speaker_open(&s, false, LLAMA_LORA, &c, NULL);
        params_apart(&s.base.params, "model.");
        params_apart(&s.base.params, "lm_head.");
        golden_path(path, "adapter_old", "");
        expect_failure(llama_load_adapter(&s.base.params, path, &projection), STATUS_FORMAT,
                       "an adapter", "adapter_model.bin", NULL);
        speaker_close(&s);
    }
    speaker s;
    llama_config c = llama_case_config(LLAMA_LORA);
    speaker_open(&s, false, LLAMA_LORA, &c, NULL);
    expect_failure(llama_load_adapter(&s.base.params, scratch("nothing"), &projection), STATUS_IO,
                   "no adapter", "nothing", NULL);
    golden_path(path, "grouped", "logits.safetensors");
    expect_failure(llama_load_base(&s.base.params, path, false), STATUS_FORMAT, "no model",
                   "logits.safetensors", NULL);
    golden_path(path, "adapter_old", "");
    expect_failure(llama_load_base(&s.base.params, path, false), STATUS_IO, "no model",
                   "adapter_old", "looked for model.safetensors.index.json");
    speaker_close(&s);
}
END_TEST

// --- configurations -----------------------------------------------------------------------------
#define SIZES                                                                                      \
    "\"vocab_size\": 40, \"hidden_size\": 16, \"intermediate_size\": 24, "                         \
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 4"
#define ROPE(inside) "{" SIZES ", \"rope_scaling\": {" inside "}}"
#define LLAMA3(low, high)                                                                          \
    ROPE("\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": " low                     \
         ", \"high_freq_factor\": " high ", \"original_max_position_embeddings\": 64")

typedef struct refusal {
    const char *text, *reason;
} refusal;

static const refusal refused_models[] = {
    {"{" SIZES ", \"model_type\": \"mistral\"}",
     "\"model_type\" is \"mistral\": only \"llama\" is supported"},
    {"{" SIZES ", \"hidden_act\": \"gelu\"}",
     "\"hidden_act\" is \"gelu\": only \"silu\" is supported"},
    {"{\"hidden_size\": 16}", "lacks the key \"vocab_size\""},
    {"{" SIZES ", \"num_key_value_heads\": 3}", "4 query heads over 3 key heads: they must divide"},
    {"{" SIZES ", \"num_key_value_heads\": 0}", "must be at least 1, is 0"},
    {"{" SIZES ", \"head_dim\": 5}", "has heads of 5, expected an even number of 2 to 1024"},
    {"{" SIZES ", \"rms_norm_eps\": 0}", "\"rms_norm_eps\" is 0, expected a number above 0"},
    {"{" SIZES ", \"rope_theta\": -1}", "\"rope_theta\" is -1, expected a number above 0"},
    {"{" SIZES ", \"attention_bias\": 1}", "\"attention_bias\" must be true or false"},
    {"{\"vocab_size\": 40, \"hidden_size\": 16, \"intermediate_size\": 24, "
     "\"num_hidden_layers\": 129, \"num_attention_heads\": 4}",
     "has 129 layers, at most 128 are supported"},
    {ROPE("\"type\": \"dynamic\", \"factor\": 2"), "scales rotary positions by \"dynamic\""},
    {ROPE("\"rope_type\": \"yarn\", \"factor\": 2"), "scales rotary positions by \"yarn\""},
    {ROPE("\"rope_type\": \"linear\""), "lacks the key \"factor\""},
    {ROPE("\"rope_type\": \"linear\", \"factor\": 0.5"),
     "has factor 0.5, expected one of at least 1"},
    {ROPE("\"rope_type\": \"llama3\", \"factor\": 8"), "lacks the key \"low_freq_factor\""},
    {LLAMA3("4", "4"), "has low_freq_factor 4 and high_freq_factor 4, expected 0 < low < high"},
    {"[]", "must be an object"},
};

static void write_json(const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", scratch("folder"), name);
    OK(folder_make(scratch("folder")));
    scratch_write(path, text, strlen(text));
}

START_TEST(models_that_are_refused) {
    llama_config c;
    for (size_t i = 0; i < sizeof refused_models / sizeof *refused_models; i++) {
        const refusal *r = &refused_models[i];
        write_json("config.json", r->text);
        expect_failure(llama_config_read(&c, scratch("folder")), STATUS_FORMAT, r->text,
                       "config.json", r->reason);
    }
    expect_failure(llama_config_read(&c, scratch("absent")), STATUS_IO, "no folder", "config.json",
                   NULL);
}
END_TEST

static const refusal refused_adapters[] = {
    {"{\"peft_type\": \"IA3\"}", "\"peft_type\" is \"IA3\": only \"LORA\" is supported"},
    {"{\"use_dora\": true}", "\"use_dora\" is set: such adapters are not supported"},
    {"{\"lora_bias\": true}", "\"lora_bias\" is set"},
    {"{\"fan_in_fan_out\": true}", "\"fan_in_fan_out\" is set"},
    {"{\"layers_to_transform\": [1]}", "\"layers_to_transform\" is set"},
    {"{\"target_parameters\": [\"x\"]}", "\"target_parameters\" is set"},
    {"{\"rank_pattern\": {\"q_proj\": 2}}",
     "\"rank_pattern\" is set: all layers must have one rank and alpha"},
    {"{\"alpha_pattern\": {\"q_proj\": 2}}", "\"alpha_pattern\" is set"},
    {"{\"bias\": \"all\"}", "\"bias\" is \"all\": only \"none\" is supported"},
    {"{\"lora_alpha\": 2, \"target_modules\": [\"q_proj\"]}", "lacks the key \"r\""},
    {"{\"r\": 0}", "must be at least 1, is 0"},
    {"{\"r\": 2, \"target_modules\": [\"q_proj\"]}", "lacks the key \"lora_alpha\""},
    {"{\"r\": 2, \"lora_alpha\": 2}", "lacks the key \"target_modules\""},
    {"{\"r\": 2, \"lora_alpha\": 2, \"target_modules\": [1]}", "must be a text"},
    {"{\"r\": 2, \"lora_alpha\": 2, \"target_modules\": [\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\","
     "\"h\",\"i\"]}",
     "names more than 8 layers"},
};

START_TEST(adapters_that_are_refused) {
    lora_config c;
    bool found;
    for (size_t i = 0; i < sizeof refused_adapters / sizeof *refused_adapters; i++) {
        const refusal *r = &refused_adapters[i];
        buffer texts = {0};
        write_json("adapter_config.json", r->text);
        expect_failure(llama_adapter_config(&c, &texts, scratch("folder"), &found), STATUS_FORMAT,
                       r->text, "adapter_config.json", r->reason);
        buffer_free(&texts);
    }
    OK(llama_adapter_config(&c, NULL, scratch("absent"), &found));
    ck_assert(!found);
}
END_TEST

// What is written is read as it was; the old key of scaled positions too.
static void expect_same(const llama_config *c) {
    llama_config back;
    buffer text = {0};
    llama_config_write(&text, c, "float32", 1, 2);
    OK(text.failed);
    write_json("config.json", text.data);
    OK(llama_config_read(&back, scratch("folder")));
    ck_assert(back.vocabulary == c->vocabulary && back.width == c->width && back.inner == c->inner);
    ck_assert(back.positions == c->positions && back.layers == c->layers && back.tied == c->tied);
    ck_assert(back.heads == c->heads && back.key_heads == c->key_heads);
    ck_assert(back.head_width == c->head_width && back.rope.scaling == c->rope.scaling);
    ck_assert(back.attention_bias == c->attention_bias && back.feed_bias == c->feed_bias);
    ck_assert_double_eq(back.eps, c->eps);
    ck_assert_double_eq(back.rope.base, c->rope.base);
    ck_assert_double_eq(back.rope.factor, c->rope.factor);
    ck_assert_double_eq(back.rope.low, c->rope.low);
    ck_assert_double_eq(back.rope.high, c->rope.high);
    ck_assert_int_eq(back.rope.original, c->rope.original);
    buffer_free(&text);
}

START_TEST(configurations_written) {
    static const char *const folders[] = {"base", "grouped", "linear", "llama3"};
    char path[512];
    for (int i = 0; i < 4; i++) {
        llama_config c;
        OK(llama_config_read(&c, golden_path(path, folders[i], "")));
        expect_same(&c);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {current_folders,
                                  adapters_old_and_current,
                                  an_adapter_without_projection,
                                  adapters_that_do_not_fit,
                                  models_that_are_refused,
                                  adapters_that_are_refused,
                                  configurations_written,
                                  NULL};
    return run_suite(suite_of("llama_files", tests));
}
