#include "train/stage_language.h"
#include "core/files/fs.h"
#include "core/log.h"
#include "train/answer_scores.h"
#include "train/checkpoint.h"
#include "train/config_keys.h"
#include "train/language_model.h"
#include "train/pack_choice.h"
#include "train/ranks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct state {
    tokenizer *tokens;
    buffer vocabulary; // the tokenizer's file, which checkpoints of whole models hold
    instruct_set *data;
    embeddings *images; // NULL: conversations without images
    char data_hash[LANGUAGE_HASH_SIZE];
    language_options options;
    language_split train, validate;
    llama model;
    language_inputs inputs;
    bool json;         // it is a tokenizer.json
    bool blank, adapters;
    answer_scores answers; // count 0: none are written
    bool told, checked; // the first sample was shown; the first step's gradients were looked at
} state;

// --- setup --------------------------------------------------------------------------------------
static language_options options_of(const run *r, int32_t image_token) {
    const config *c = r->config;
    return (language_options){
        .batch = config_int(c, "train.batch"),
        .micro_batch = config_int(c, "train.micro_batch"),
        .pack_tokens = config_int(c, "train.pack_tokens"),
        .weighting = !strcmp(config_text(c, "train.weighting"), "token") ? WEIGHT_TOKEN
                                                                         : WEIGHT_REFERENCE,
        .everything = !strcmp(config_text(c, "train.supervise"), "all"),
        .share = config_bool(c, "train.share_prefix"),
        .image_token = image_token,
        .rank = r->comm->rank,
        .ranks = r->comm->size,
        .seed = r->seed,
        .shuffle = true,
        .drop_last = config_bool(c, "train.drop_last"),
        .limit = config_int(c, "data.limit"),
    };
}

static language_options scoring(const state *s) {
    language_options o = s->options;
    o.shuffle = o.drop_last = false;
    o.limit = 0;
    o.weighting = WEIGHT_TOKEN;
    return o;
}

static status open_data(run *r, state *s) {
    const config *c = r->config;
    status rc = instruct_open(&s->data, config_text(c, "data.instruct"));
    if (!rc) rc = instruct_expect(s->data, s->tokens);
    if (rc) return rc;
    if (s->adapters) // to a whole model, image tokens are words like others
        rc = language_images_open(&s->images, config_text(c, "data.embeddings"), instruct_facts_of(s->data));
    r->data_hash = language_data_hash(s->data_hash, s->data, s->images);
    return rc;
}

// Once the model says how long a conversation may be.
static status open_splits(run *r, state *s) {
    s->options.positions = s->model.config.positions;
    const language_options score = scoring(s);
    status rc = language_split_open(&s->train, s->data, SPLIT_TRAIN, &s->options);
    if (!rc && instruct_count(s->data, SPLIT_VALIDATE))
        rc = language_split_open(&s->validate, s->data, SPLIT_VALIDATE, &score);
    if (rc) return rc;
    r->steps_per_epoch = order_steps_per_epoch(s->train.order);
    log_info("training: %lld conversations, validation: %lld", (long long)s->train.count,
             (long long)s->validate.count);
    return STATUS_OK;
}

static status declare_model(run *r, state *s, int64_t image_width) {
    llama_config sizes;
    const int32_t vocabulary = s->tokens ? tokenizer_size(s->tokens) : 0;
    status rc = s->adapters ? language_lora_config(&sizes, r->config, vocabulary, image_width)
                            : language_lm_config(&sizes, r->config, vocabulary);
    if (rc) return rc;
    if (!s->tokens) sizes.vocabulary++; // the image token's row
    llama_make(&s->model, &r->params, &sizes);
    if (s->adapters) language_freeze_base(&r->params, config_text(r->config, "model.storage"));
    for (size_t i = 0; i < r->params.count; i++)
        r->params.item[i]->decay = r->params.item[i]->file_rank > 1;
    return STATUS_OK;
}

static status open_inputs(run *r, state *s, int64_t queries) {
    const int64_t rows = s->options.pack_tokens, width = s->model.config.image_width;
    if (!rows) die("open_inputs: train.pack_tokens has not been chosen");
    r->samples = s->options.batch;
    r->own_samples = comm_share(r->samples, r->comm->rank, r->comm->size, NULL);
    r->tokens = rows;
    if (s->options.weighting == WEIGHT_REFERENCE && r->samples % s->options.micro_batch)
        return status_fail(STATUS_USAGE, "train.batch %lld: must be a multiple of train.micro_batch "
                                         "(%lld)", (long long)r->samples,
                           (long long)s->options.micro_batch);
    int64_t longest = rows < s->model.config.positions ? rows : s->model.config.positions;
    const llama_room room = {.samples = r->own_samples > 0 ? r->own_samples : 1,
                             .rows = rows,
                             .images = width ? rows : 0,
                             .targets = rows,
                             .most = longest};
    r->batch_bytes = language_inputs_bytes(r->device, &room, width);
    return language_inputs_open(&s->inputs, r->device, &room, width, queries);
}

static const char *const tokenizer_files[] = {"tokenizer.model", "tokenizer.json"};

// Whose file of the tokenizer at PATH goes into checkpoints of a whole model: they are folders that
// others can use.
static status read_vocabulary(state *s, const char *path) {
    char file[PATH_SIZE];
    status rc = STATUS_OK;
    if (!folder_exists(path)) {
        const size_t length = strlen(path);
        s->json = length > 5 && !strcmp(path + length - 5, ".json");
        return file_read(path, 0, &s->vocabulary);
    }
    for (int i = 0; i < 2 && !rc; i++) {
        rc = path_join(file, sizeof file, path, tokenizer_files[i]);
        s->json = i == 1;
        if (!rc && file_exists(file)) return file_read(file, 0, &s->vocabulary);
    }
    return rc ? rc : status_fail(STATUS_USAGE, "model.tokenizer: %s holds no tokenizer.model or tokenizer.json, "
                                               "of which a model's checkpoints hold a copy", path);
}

static status begin(run *r, state **out, bool adapters) {
    state *s;
    int32_t image_token = -1;
    const char *path = config_text(r->config, "model.tokenizer");
    const char *base = adapters ? config_text(r->config, "model.base") : "";
    status rc = mem_new(&s, 1, "the language model's stage");
    if (rc) return rc;
    r->state = *out = s;
    s->adapters = adapters;
    s->blank = config_bool(r->config, "data.blank");
    tape_checkpointing(&r->tape, config_bool(r->config, "train.recompute"));
    if (!r->device->dry || !language_sizes_alone(path, base))
        rc = language_tokenizer(&s->tokens, path, base, &image_token);
    if (!rc && !adapters) rc = read_vocabulary(s, path);
    s->options = options_of(r, adapters ? image_token : -1); // -1: a word like others
    return rc;
}

// How many rows are in memory at a time, where the plan is to say so.
static status settle(run *r, state *s) {
    char width[64];
    if (s->options.pack_tokens) return STATUS_OK;
    snprintf(width, sizeof width, "model.image_width=%lld", (long long)(s->images ? s->images->width : 0));
    status rc = s->adapters ? config_set(r->config, width) : STATUS_OK;
    if (!rc) rc = pack_settle(r, language_longest(s->data));
    s->options.pack_tokens = config_int(r->config, "train.pack_tokens");
    tape_checkpointing(&r->tape, config_bool(r->config, "train.recompute"));
    return rc;
}

// What the model begins as: first by chance, then the base and the adapter as the configuration says.
static status begin_from(run *r, const state *s) {
    char folder[PATH_SIZE];
    const char *start = config_text(r->config, "model.init");
    bool projection;
    status rc = llama_fill(&s->model, &r->params);
    if (!rc && s->adapters)
        rc = language_begin_base(&r->params, config_text(r->config, "model.base"),
                                 config_choice(r->config, "model.weights") == 1, r->seed);
    if (rc || !*start) return rc;
    rc = checkpoint_folder(folder, sizeof folder, start);
    if (!rc) rc = checkpoint_check(folder);
    if (!rc && !s->adapters) return llama_load_base(&r->params, folder, false);
    if (!rc) rc = llama_load_adapter(&r->params, folder, &projection);
    if (!rc && !projection && s->model.config.image_width)
        log_warn("%s holds no image projection: it begins at random", start);
    return rc;
}

// --- answers in validation ----------------------------------------------------------------------
static bool writes_answers(const run *r, const state *s) {
    return s->adapters && config_int(r->config, "validate.answers");
}

static bool best_by_answers(const run *r, const state *s) {
    return s->adapters && config_choice(r->config, "validate.best") == 1;
}

static status open_answers(run *r, state *s) {
    const answer_source from = {.data = s->data, .images = s->images, .tokens = s->tokens, .blank = s->blank};
    if (!writes_answers(r, s))
        return best_by_answers(r, s)
                   ? status_fail(STATUS_USAGE, "validate.best clinical_f1: say how many answers are to be "
                                               "judged, as validate.answers")
                   : STATUS_OK;
    status rc = answer_scores_open(&s->answers, r, &s->model, &from, s->options.image_token);
    if (!rc) r->validation_bytes = answer_scores_bytes(&s->answers);
    return rc;
}

static status setup_as(run *r, bool adapters) {
    state *s;
    status rc = begin(r, &s, adapters);
    if (!rc) rc = open_data(r, s);
    if (!rc) rc = settle(r, s);
    if (!rc) rc = declare_model(r, s, s->images ? s->images->width : 0);
    if (!rc) rc = run_build(r);
    if (!rc) rc = begin_from(r, s);
    if (!rc) rc = open_splits(r, s);
    if (!rc) rc = open_answers(r, s);
    return rc ? rc : open_inputs(r, s, s->images ? s->images->queries : 0);
}

static status setup_lm(run *r) { return setup_as(r, false); }
static status setup_lora(run *r) { return setup_as(r, true); }

static status plan_as(run *r, bool adapters) {
    state *s;
    status rc = begin(r, &s, adapters);
    if (!rc) rc = declare_model(r, s, adapters ? config_int(r->config, "model.image_width") : 0);
    if (!rc) rc = params_allocate(&r->params);
    if (!rc && writes_answers(r, s)) {
        rc = answer_scores_plan(&s->answers, r, &s->model, s->options.image_token);
        if (!rc) r->validation_bytes = answer_scores_bytes(&s->answers);
    }
    return rc ? rc : open_inputs(r, s, 1);
}

static status plan_lm(run *r) { return plan_as(r, false); }
static status plan_lora(run *r) { return plan_as(r, true); }

// --- what goes wrong in silence -----------------------------------------------------------------
static bool is_learned(const llama_sample *x, int32_t i) {
    for (int k = 0; k < x->spans; k++)
        if (i >= x->span[2 * k] && i < x->span[2 * k + 1]) return true;
    return false;
}

// The first conversation as the model sees it: what is learned stands in brackets.
static status show_sample(state *s) {
    const llama_sample *x = &s->train.sample[0];
    buffer text = {0};
    status rc = STATUS_OK;
    int32_t learned = 0;
    for (int32_t i = 0; i < x->count && !rc;) {
        const bool yes = is_learned(x, i), image = x->ids[i] == s->options.image_token;
        int32_t end = i + 1;
        while (end < x->count && is_learned(x, end) == yes &&
               (x->ids[end] == s->options.image_token) == image)
            end++;
        if (yes) buffer_text(&text, "[[");
        if (image)
            buffer_print(&text, "<%d image tokens>", end - i);
        else
            rc = tokenizer_decode(s->tokens, x->ids + i, end - i, false, &text);
        if (yes) buffer_text(&text, "]]"), learned += end - i;
        i = end;
    }
    if (!rc) rc = text.failed;
    if (!rc)
        log_info("the first conversation, %d tokens, of which the %d in [[ ]] are learned:\n%s",
                 x->count, learned, text.data);
    buffer_free(&text);
    return rc;
}

static bool ends_with(const char *text, const char *end) {
    const size_t a = strlen(text), b = strlen(end);
    return a >= b && !strcmp(text + a - b, end);
}

// After the first step: a B or a projection that no gradient has reached trains nothing.
static status check_gradients(const run *r, const state *s) {
    const params *p = &r->params;
    const bool images = s->images && s->train.images.length && !s->blank;
    status rc = STATUS_OK;
    for (size_t i = 0; i < p->count && !rc; i++) {
        const param *q = p->item[i];
        const bool b = ends_with(q->name, "lora_B.weight");
        if (!b && !(images && ends_with(q->name, "img_proj_layer.weight"))) continue;
        float *values;
        double sum = 0;
        rc = mem_new(&values, tensor_count(&q->value), "a gradient");
        if (!rc) rc = param_read(p, q, p->gradients, values);
        for (int64_t e = 0; e < tensor_count(&q->value) && !rc; e++) sum += fabs((double)values[e]);
        mem_free(values);
        if (!rc && sum == 0)
            rc = status_fail(STATUS_TRAINING, "the first step gave %s no gradient: nothing would be "
                                              "learned there. The latest checkpoint is sound",
                             q->name);
    }
    return rc;
}

// --- steps --------------------------------------------------------------------------------------
static int64_t pieces(const run *r) { return ((const state *)r->state)->train.pieces; }

static status load_piece(run *r, int64_t i) {
    state *s = r->state;
    return language_inputs_load(&s->inputs, r->device, &s->train, i, s->images, s->blank,
                                s->options.image_token);
}

static void piece(run *r, int64_t i) {
    const status rc = load_piece(r, i);
    if (rc) stream_fail(r->device->stream, rc); // the step asks the device
}

static status load_batch(run *r) {
    state *s = r->state;
    status rc = STATUS_OK;
    if (s->told && !s->checked) {
        s->checked = true;
        rc = check_gradients(r, s);
    }
    if (!rc) rc = language_split_batch(&s->train, &s->options, r->step);
    if (!rc && !s->train.targets)
        rc = status_fail(STATUS_TRAINING, "step %lld: no token of its conversations is to be learned: all "
                                          "are masked", (long long)r->step + 1);
    if (!rc && !s->told && s->train.step.count) rc = show_sample(s);
    s->told = true;
    if (!rc) rc = load_piece(r, 0);
    if (rc) return rc;
    snprintf(r->batch_note[r->step % 2], sizeof r->batch_note[0], "records %lld, ... of %s",
             (long long)s->train.batch[0], config_text(r->config, "data.instruct"));
    r->samples = s->train.step.global_count;
    r->own_samples = s->train.step.count;
    r->tokens = s->train.tokens;
    r->kind = s->inputs.batch.kind;
    r->tape.first_sample = (uint32_t)s->train.step.first_sample;
    return STATUS_OK;
}

static tensor *loss(run *r) {
    state *s = r->state;
    return llama_loss(&r->tape, &s->model, &s->inputs.batch, language_images(&s->inputs));
}

// --- validation ---------------------------------------------------------------------------------
// The sum of the loss over the latest batch of SPLIT, whose weights make it a mean.
static status score_batch(run *r, state *s, language_split *split, double *sum) {
    for (int64_t i = 0; i < split->pieces; i++) {
        float value = 0;
        status rc = language_inputs_load(&s->inputs, r->device, split, i, s->images, s->blank,
                                         s->options.image_token);
        if (rc) return rc;
        tape_begin(&r->tape, false);
        r->tape.training = false;
        tensor *l = llama_loss(&r->tape, &s->model, &s->inputs.batch, language_images(&s->inputs));
        device_read(r->device, &value, l);
        rc = tape_failed(&r->tape);
        if (rc) return rc;
        *sum += (double)value * (double)split->targets;
    }
    return STATUS_OK;
}

static status score_split(run *r, state *s, language_split *split, double *mean, int64_t *tokens) {
    const language_options o = scoring(s);
    const int64_t steps = order_steps_per_epoch(split->order);
    double sum = 0;
    status rc = STATUS_OK;
    *tokens = 0;
    for (int64_t i = 0; i < steps && !rc; i++) {
        rc = language_split_batch(split, &o, i);
        if (!rc) rc = score_batch(r, s, split, &sum);
        *tokens += split->targets;
    }
    float total = (float)sum;
    rc = ranks_agree(r->comm, rc);
    if (!rc && r->comm->size > 1) rc = ranks_sum(r->comm, r->device, &total, 1), sum = (double)total;
    *mean = sum / (double)(*tokens ? *tokens : 1);
    return rc;
}

// The best checkpoint has the smallest loss, or the answers that are most right.
static status validate(run *r, buffer *out, double *score) {
    state *s = r->state;
    double mean = 0, f1 = 0;
    int64_t tokens = 0;
    if (r->tape.device == r->tape.dry) {
        tape_begin(&r->tape, false);
        r->tape.training = false;
        llama_loss(&r->tape, &s->model, &s->inputs.batch, language_images(&s->inputs));
        if (s->answers.count) answer_scores_dry(&s->answers);
        return STATUS_OK;
    }
    if (!s->validate.count) {
        *score = (double)r->step; // nothing is known but that training went on: the latest is the best
        buffer_text(out, "{}");
        return STATUS_OK;
    }
    status rc = score_split(r, s, &s->validate, &mean, &tokens);
    *score = -mean;
    buffer_text(out, "{\"loss\":");
    buffer_json_number(out, mean);
    buffer_text(out, ",\"perplexity\":");
    buffer_json_number(out, exp(mean));
    buffer_print(out, ",\"tokens\":%lld", (long long)tokens);
    if (!rc && s->answers.count) {
        buffer_text(out, ",");
        rc = answer_scores_make(&s->answers, r, out, &f1);
    }
    if (best_by_answers(r, s)) *score = f1;
    buffer_text(out, "}");
    return rc;
}

static status report(run *r) {
    state *s = r->state;
    language_split test = {0};
    const language_options o = scoring(s);
    double mean = 0;
    int64_t tokens = 0;
    buffer text = {0};
    if (!instruct_count(s->data, SPLIT_TEST)) {
        log_info("the data has no test split: no final score");
        return STATUS_OK;
    }
    status rc = checkpoint_take_best(r);
    if (!rc) rc = ranks_agree(r->comm, language_split_open(&test, s->data, SPLIT_TEST, &o));
    if (!rc) rc = score_split(r, s, &test, &mean, &tokens);
    if (!rc && ranks_lead(r)) {
        printf("test split, %lld conversations, checkpoint of step %lld: loss %.4f, perplexity %.3f "
               "(%lld tokens)\n", (long long)test.count,
               (long long)(r->best.known ? r->best.step : r->step), mean, exp(mean),
               (long long)tokens);
        buffer_text(&text, "{\"loss\":");
        buffer_json_number(&text, mean);
        buffer_print(&text, ",\"tokens\":%lld}", (long long)tokens);
        rc = run_write_scores(r, &text);
    }
    language_split_close(&test);
    buffer_free(&text);
    return rc;
}

// --- checkpoints --------------------------------------------------------------------------------
// A whole model's checkpoint is a Hugging Face folder.
static void save_lm(const run *r, buffer *config_json) {
    const state *s = r->state;
    const tokenizer_ids ids = tokenizer_named(s->tokens);
    llama_config_write(config_json, &s->model.config, "float32", ids.begin, ids.end);
}

static const buffer *vocabulary(const run *r) {
    return &((const state *)r->state)->vocabulary;
}

static const char *vocabulary_file(const run *r) {
    return tokenizer_files[((const state *)r->state)->json];
}

static void save_lora(const run *r, buffer *config_json) {
    const llama_config *c = &((const state *)r->state)->model.config;
    const lora_config *l = &c->lora;
    buffer_print(config_json, "{\n  \"model\": {\"image_width\": %lld, \"storage\": \"%s\"},\n"
                              "  \"lora\": {\"rank\": %lld, \"alpha\": ", (long long)c->image_width,
                 config_text(r->config, "model.storage"), (long long)l->rank);
    buffer_json_number(config_json, l->alpha);
    buffer_text(config_json, ", \"dropout\": ");
    buffer_json_number(config_json, l->dropout);
    buffer_print(config_json, ", \"rank_stabilised\": %s, \"targets\": [",
                 l->rank_stabilised ? "true" : "false");
    for (int i = 0; i < l->targets; i++)
        buffer_print(config_json, "%s\"%s\"", i ? ", " : "", l->target[i]);
    buffer_text(config_json, "]}\n}\n");
}

static void release(run *r) {
    state *s = r->state;
    answer_scores_close(&s->answers);
    language_inputs_close(&s->inputs, r->device);
    language_split_close(&s->train);
    language_split_close(&s->validate);
    instruct_close(s->data);
    embeddings_close(s->images);
    tokenizer_close(s->tokens);
    buffer_free(&s->vocabulary);
    mem_free(s);
    r->state = NULL;
}

#define LANGUAGE_STAGE                                                                             \
    .varies = true, .pieces = pieces, .piece = piece, .batch = load_batch, .loss = loss,           \
    .validate = validate, .free = release, .report = report
const stage stage_lm = {
    .name = "lm", .setup = setup_lm, .plan = plan_lm, .save = save_lm, .vocabulary = vocabulary,
    .vocabulary_file = vocabulary_file, LANGUAGE_STAGE};
const stage stage_lora = {
    .name = "lora", .setup = setup_lora, .plan = plan_lora, .save = save_lora, LANGUAGE_STAGE};
