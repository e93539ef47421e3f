#include "train/conversation.h"

#include <string.h>

status conversation_prompts(prompts **out, const config *c, const image_models *m,
                            int64_t queries) {
    const prompts_files files = {.prompts = config_text(c, "instruct.prompts"),
                                 .key = config_text(c, "instruct.prompt"),
                                 .system = config_text(c, "instruct.system"),
                                 .wrapper = config_text(c, "instruct.template")};
    status rc = prompts_open(out, &files);
    if (rc || !queries) return rc;
    const int literal = prompts_literal_tokens(*out);
    if (literal && literal != queries)
        return status_fail(STATUS_USAGE,
                           "%s: its prompt holds %d image tokens, the aligner %s makes %lld",
                           files.prompts, literal, m->aligner, (long long)queries);
    if (!m->classifier && !prompts_without_findings(*out))
        return status_fail(STATUS_USAGE, "%s: has no prompt without findings: name a classifier",
                           files.prompts);
    return STATUS_OK;
}

status conversation_encode(buffer *ids, const prompts *words, const tokenizer *t,
                           const char *system, const char *const *message, int count) {
    const char **turns = NULL;
    buffer text = {0};
    const int32_t begin = tokenizer_named(t).begin;
    status rc = mem_new(&turns, count + 1, "turns"); // an answer that is to come is the last, NULL
    if (rc) return rc;
    memcpy(turns, message, (size_t)count * sizeof *turns);
    prompts_conversation_as(&text, words, system, turns, count + 1);
    if (begin >= 0) buffer_append(ids, &begin, sizeof begin);
    rc = text.failed;
    if (!rc) rc = tokenizer_encode(t, text.data, text.length, ids);
    mem_free(turns);
    buffer_free(&text);
    return rc ? rc : ids->failed;
}

// --- answers ------------------------------------------------------------------------------------
enum { CONTEXT = 16 };

static const int32_t *ids_of(const answer_text *a) {
    return (const int32_t *)(const void *)a->ids.data;
}

static status decode(answer_text *a) {
    a->text.length = 0;
    status rc = tokenizer_decode(a->tokens, ids_of(a), (int64_t)(a->ids.length / sizeof(int32_t)),
                                 true, &a->text);
    buffer_text(&a->text, ""); // a NUL, also behind nothing
    return rc ? rc : a->text.failed;
}

status answer_text_begin(answer_text *a, const tokenizer *t, const int32_t *prompt, int32_t count) {
    const int32_t kept = count < CONTEXT ? count : CONTEXT;
    *a = (answer_text){.tokens = t, .context = (size_t)kept};
    buffer_append(&a->ids, prompt + count - kept, (size_t)kept * sizeof *prompt);
    status rc = a->ids.failed;
    if (!rc) rc = decode(a);
    a->before = a->text.length;
    return rc;
}

void answer_text_close(answer_text *a) {
    buffer_free(&a->ids);
    buffer_free(&a->text);
    *a = (answer_text){0};
}

// Without the marks for broken characters at the end: what is to come may make them whole.
static size_t certain(const buffer *text, size_t least) {
    static const char broken[] = "\xEF\xBF\xBD";
    size_t end = text->length;
    while (end >= least + 3 && !memcmp(text->data + end - 3, broken, 3)) end -= 3;
    return end;
}

status answer_text_next(answer_text *a, const int32_t *ids, int32_t count, bool whole,
                        const char **new, size_t *length) {
    a->ids.length = a->context * sizeof *ids;
    buffer_append(&a->ids, ids, (size_t)count * sizeof *ids);
    status rc = a->ids.failed;
    if (!rc) rc = decode(a);
    if (rc) return rc;
    const size_t from = a->before + a->given;
    size_t end = whole ? a->text.length : certain(&a->text, from);
    if (end < from) end = from;
    *new = a->text.data + from;
    *length = end - from;
    a->given += *length;
    return STATUS_OK;
}

const char *answer_text_all(const answer_text *a) {
    return a->text.data + (a->before < a->text.length ? a->before : a->text.length);
}
