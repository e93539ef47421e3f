#include "train/assistant.h"

#include <stdio.h>
#include <string.h>

// --- opening ------------------------------------------------------------------------------------
static status open_eyes(assistant *a, const arguments *args) {
    const config *c = a->language.inference.config;
    image_models m = {argument(args, "aligner"), argument(args, "classifier"),
                      config_text(c, "run.device"), {0}};
    status rc = radiograph_rules_given(&m.rules, args);
    if (rc) return rc;
    a->sees = m.aligner != NULL;
    if (!a->sees && m.classifier)
        return status_fail(
            STATUS_USAGE,
            "--classifier %s: --aligner PATH is missing, without which nothing is seen",
            m.classifier);
    rc = a->sees ? image_reader_open(&a->eyes, &m) : STATUS_OK;
    if (!rc) rc = conversation_prompts(&a->words, c, &m, a->eyes.queries);
    if (!rc && config_choice(c, "generate.images") == 1)
        rc = mem_new(&a->blank, a->eyes.queries * a->eyes.width + 1, "image tokens");
    a->unsaid = config_choice(c, "generate.findings") == 1;
    if (!rc && a->unsaid && a->sees && !prompts_without_findings(a->words))
        rc = status_fail(STATUS_USAGE,
                         "generate.findings=removed: %s has no prompt without findings",
                         config_text(c, "instruct.prompts"));
    return rc;
}

static status open_decoder(assistant *a, int64_t slots) {
    const config *c = a->language.inference.config;
    decoder_options o = {.slots = slots ? slots : config_int(c, "generate.slots"),
                         .rows = config_int(c, "generate.rows"),
                         .positions = config_int(c, "dialogue.positions"),
                         .end = tokenizer_named(a->language.tokens).end,
                         .image_token = a->language.image_token,
                         .remember = true};
    if (o.positions > a->language.model.config.positions)
        o.positions = a->language.model.config.positions;
    if (o.rows > o.slots * o.positions) o.rows = o.slots * o.positions;
    if (o.rows < o.slots) o.rows = o.slots;
    a->positions = o.positions;
    a->most = (int32_t)config_int(c, "generate.max_new_tokens");
    a->choice = (sampling){.temperature = config_float(c, "generate.temperature"),
                           .top_p = config_float(c, "generate.top_p"),
                           .seed = (uint64_t)config_int(c, "run.seed")};
    status rc = decoder_open(&a->decoder, &a->language.inference.tape, &a->language.model, &o);
    return rc ? rc : decoder_size(a->decoder);
}

status assistant_open(assistant *a, const arguments *args, const config_key *const *tables,
                      int64_t slots) {
    *a = (assistant){0};
    status rc = language_inference_open(&a->language, args, args->positional[0], tables);
    if (!rc) rc = open_eyes(a, args);
    if (!rc)
        rc = language_inference_load(&a->language, a->eyes.width,
                                     config_bool(a->language.inference.config, "generate.merge"));
    return rc ? rc : open_decoder(a, slots);
}

void assistant_close(assistant *a) {
    decoder_close(a->decoder);
    prompts_close(a->words);
    mem_free(a->blank);
    image_reader_close(&a->eyes);
    language_inference_close(&a->language);
}

// --- asking -------------------------------------------------------------------------------------
// What the user says first: about a picture, the prompt for a report and whatever stands beside it.
static status first_message(buffer *out, const assistant *a, const assistant_question *q) {
    const char *findings = a->unsaid ? NULL : image_reader_findings(&a->eyes, q->picture);
    prompts_report(out, a->words, findings, (int)a->eyes.queries);
    if (q->message[0] && *q->message[0]) {
        buffer_text(out, " ");
        buffer_text(out, q->message[0]);
    }
    return out->failed;
}

static status check_texts(const assistant *a, const assistant_question *q) {
    const char *mark = prompts_image_token(a->words);
    for (int i = -1; i < q->count; i++) {
        const char *text = i < 0 ? q->system : q->message[i];
        if (text && (strstr(text, mark) || strstr(text, language_image_token)))
            return status_fail(STATUS_USAGE,
                               "a message holds %s, which stands for a radiograph's part", mark);
    }
    return STATUS_OK;
}

static status encode(buffer *ids, const assistant *a, const assistant_question *q) {
    const char **message = NULL;
    buffer first = {0};
    status rc = check_texts(a, q);
    if (!rc) rc = mem_new(&message, q->count, "messages");
    if (rc) return rc;
    memcpy(message, q->message, (size_t)q->count * sizeof *message);
    if (q->picture) rc = first_message(&first, a, q);
    if (q->picture) message[0] = first.data;
    if (!rc)
        rc = conversation_encode(ids, a->words, a->language.tokens, q->system, message, q->count);
    buffer_free(&first);
    mem_free(message);
    return rc;
}

status assistant_ask(assistant *a, const assistant_question *q, buffer *ids, int64_t *slot) {
    ids->length = 0;
    status rc = encode(ids, a, q);
    if (rc) return rc;
    const int64_t count = (int64_t)(ids->length / sizeof(int32_t));
    if (count >= a->positions)
        return status_fail(
            STATUS_USAGE,
            "the conversation has %lld tokens; there is room for %lld before an answer "
            "(the model's positions, and dialogue.positions)",
            (long long)count, (long long)a->positions - 1);
    const decoder_prompt p = {.ids = (const int32_t *)(const void *)ids->data,
                              .count = (int32_t)count,
                              .images = !q->picture ? NULL
                                        : a->blank  ? a->blank
                                                    : q->picture->tokens,
                              .image_rows = q->picture ? a->eyes.queries : 0,
                              .most = q->most,
                              .choice = q->choice,
                              .number = q->number,
                              .context = q->context,
                              .said = q->said};
    return decoder_begin(a->decoder, &p, slot);
}
