#include "train/generate_prompts.h"
#include "train/task_settings.h"

#include <string.h>

// --- findings -----------------------------------------------------------------------------------
status generate_frame_open(generate_frame *f, const config *c, const instruct_facts *facts) {
    static const char mark[] = "\x01";
    const char *file = config_text(c, "instruct.prompts");
    prompts *p = NULL;
    buffer text = {0};
    *f = (generate_frame){0};
    status rc = task_settings_prompts(&p, c);
    if (!rc && prompts_hash(p) != facts->prompts)
        rc = status_fail(STATUS_FORMAT, "instruct.prompts: %s is not what the conversations were made "
                                        "with: their findings cannot be found", file);
    if (!rc) prompts_report(&text, p, mark, facts->queries);
    if (!rc) rc = text.failed;
    const char *at = rc ? NULL : strstr(text.data, mark);
    if (!rc && !at)
        rc = status_fail(STATUS_FORMAT, "%s: the prompt holds no findings", file);
    if (at) {
        buffer_append(&f->before, text.data, (size_t)(at - text.data));
        buffer_text(&f->behind, at + 1);
        rc = f->before.failed ? f->before.failed : f->behind.failed;
    }
    buffer_free(&text);
    prompts_close(p);
    return rc;
}

void generate_frame_close(generate_frame *f) {
    buffer_free(&f->before);
    buffer_free(&f->behind);
}

// PROMPT without what stands in the frame.
static status take_out(buffer *out, const char *prompt, const generate_frame *f, int64_t i) {
    const char *before = strstr(prompt, f->before.data);
    const char *from = before ? before + f->before.length : NULL;
    const char *to = from ? strstr(from, f->behind.data) : NULL;
    if (!to)
        return status_fail(STATUS_FORMAT, "record %lld: its prompt is not the report's, which "
                                          "generate.findings=removed needs", (long long)i);
    buffer_append(out, prompt, (size_t)(from - prompt));
    buffer_text(out, to);
    return out->failed;
}

// --- prompts ------------------------------------------------------------------------------------
static status add_prompt(generate_prompts *p, int64_t i, const tokenizer *t, buffer *text,
                         const generate_frame *without) {
    const int32_t begin = tokenizer_named(t).begin;
    instruct_record r;
    status rc = instruct_read(p->data, p->split, i, &r);
    if (rc) return rc;
    text->length = 0;
    if (without)
        rc = take_out(text, r.prompt, without, i);
    else
        buffer_text(text, r.prompt);
    if (begin >= 0) buffer_append(&p->ids, &begin, sizeof begin);
    if (!rc) rc = text->failed;
    if (!rc) rc = tokenizer_encode(t, text->data ? text->data : "", text->length, &p->ids);
    p->first[i + 1] = (int64_t)(p->ids.length / sizeof(int32_t));
    if (!rc && !p->ids.failed &&
        !instruct_overwrite((int32_t *)(void *)p->ids.data + p->first[i], generate_prompts_length(p, i),
                            instruct_facts_of(p->data)))
        rc = status_fail(STATUS_FORMAT, "record %lld: its prompt has no image tokens and fewer ids than an image",
                         (long long)i);
    p->name[i] = (int64_t)p->names.length;
    buffer_append(&p->names, r.id, strlen(r.id) + 1);
    if (!rc) rc = p->names.failed;
    return rc ? rc : p->ids.failed;
}

status generate_prompts_open(generate_prompts *p, instruct_set *data, int split, int64_t limit,
                             const tokenizer *t, const generate_frame *without) {
    const int64_t all = instruct_count(data, split);
    buffer text = {0};
    *p = (generate_prompts){.data = data, .split = split, .count = limit && limit < all ? limit : all};
    status rc = mem_new(&p->first, p->count + 1, "prompts");
    if (!rc) rc = mem_new(&p->name, p->count ? p->count : 1, "prompts");
    for (int64_t i = 0; i < p->count && !rc; i++) rc = add_prompt(p, i, t, &text, without);
    buffer_free(&text);
    return rc;
}

status generate_prompts_add(generate_prompts *p, const tokenizer *t, const char *text, size_t length,
                            const char *name) {
    const int32_t begin = tokenizer_named(t).begin;
    status rc = mem_grow((void **)&p->first, &p->first_capacity, (size_t)p->count + 2, sizeof *p->first, "prompts");
    if (!rc)
        rc = mem_grow((void **)&p->name, &p->name_capacity, (size_t)p->count + 1, sizeof *p->name, "prompts");
    if (rc) return rc;
    if (begin >= 0) buffer_append(&p->ids, &begin, sizeof begin);
    rc = tokenizer_encode(t, text, length, &p->ids);
    p->name[p->count] = (int64_t)p->names.length;
    buffer_append(&p->names, name, strlen(name) + 1);
    p->first[++p->count] = (int64_t)(p->ids.length / sizeof(int32_t));
    if (!rc) rc = p->names.failed;
    return rc ? rc : p->ids.failed;
}

void generate_prompts_drop(generate_prompts *p) {
    if (!p->count) die("generate_prompts_drop: there is none");
    p->names.length = (size_t)p->name[--p->count];
    p->ids.length = (size_t)p->first[p->count] * sizeof(int32_t);
}

int64_t generate_prompts_length(const generate_prompts *p, int64_t i) {
    return p->first[i + 1] - p->first[i];
}

void generate_prompts_close(generate_prompts *p) {
    buffer_free(&p->ids);
    buffer_free(&p->names);
    mem_free(p->first);
    mem_free(p->name);
    *p = (generate_prompts){0};
}

const char *generate_prompts_name(const generate_prompts *p, int64_t i) {
    return p->names.data + p->name[i];
}
