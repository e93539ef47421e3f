#include "train/image_prompts.h"
#include "train/conversation.h"

#include <string.h>

void image_prompts_close(image_prompts *p) {
    generate_prompts_close(&p->prompts);
    mem_free(p->tokens);
    buffer_free(&p->findings);
    *p = (image_prompts){0};
}

const char *image_prompts_findings(const image_prompts *p, int64_t i) {
    const char *at = p->findings.data;
    for (; at && i; i--) at += strlen(at) + 1;
    return at;
}

// --- pictures -----------------------------------------------------------------------------------
static status read_pictures(image_prompts *p, image_reader *r, const char *const *path, int count) {
    const int64_t numbers = r->queries * r->width;
    const picture *seen = NULL;
    status rc = mem_new(&p->tokens, count * numbers, "image tokens");
    for (int i = 0; i < count && !rc; i++) {
        rc = image_reader_file(r, path[i], &seen);
        if (rc) return rc;
        memcpy(p->tokens + i * numbers, seen->tokens, (size_t)numbers * sizeof *p->tokens);
        if (r->finds) buffer_append(&p->findings, seen->findings.data, seen->findings.length + 1);
        rc = p->findings.failed;
    }
    return rc;
}

// --- words --------------------------------------------------------------------------------------
static status add_prompt(image_prompts *p, int64_t i, const char *path, const prompts *words,
                         const tokenizer *t) {
    generate_prompts *g = &p->prompts;
    buffer question = {0};
    char name[256];
    image_file_name(name, sizeof name, path);
    prompts_report(&question, words, image_prompts_findings(p, i), (int)p->queries);
    status rc = question.failed;
    if (!rc) rc = conversation_encode(&g->ids, words, t, NULL, (const char *const[]){question.data}, 1);
    g->first[i + 1] = (int64_t)(g->ids.length / sizeof(int32_t));
    g->name[i] = (int64_t)g->names.length;
    buffer_append(&g->names, name, strlen(name) + 1);
    buffer_free(&question);
    return rc ? rc : g->names.failed;
}

status image_prompts_open(image_prompts *p, const char *const *path, int count, const image_models *m,
                          const config *c, const tokenizer *t) {
    prompts *words = NULL;
    image_reader r = {0};
    *p = (image_prompts){.prompts.count = count};
    status rc = image_reader_open(&r, m);
    p->queries = r.queries;
    p->width = r.width;
    if (!rc) rc = conversation_prompts(&words, c, m, r.queries);
    if (!rc) rc = read_pictures(p, &r, path, count);
    image_reader_close(&r); // its memory is the language model's now
    if (!rc) rc = mem_new(&p->prompts.first, count + 1, "prompts");
    if (!rc) rc = mem_new(&p->prompts.name, count, "prompts");
    for (int i = 0; i < count && !rc; i++) rc = add_prompt(p, i, path[i], words, t);
    prompts_close(words);
    return rc;
}
