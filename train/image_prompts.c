#include "train/image_prompts.h"
#include "data/prompts.h"
#include "train/embedder.h"
#include "train/predictor.h"

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
static status embed(image_prompts *p, const char *const *path, int count, const image_models *m) {
    embedder e = {0};
    image_file image = {0};
    status rc = embedder_open_at(&e, m->aligner, m->where);
    p->queries = e.queries;
    p->width = e.width;
    if (!rc)
        rc = image_file_open(&image, (int)config_int(e.inference.config, "data.crop"),
                             (int)config_int(e.inference.config, "data.size"));
    if (!rc) rc = mem_new(&p->tokens, count * e.queries * e.width, "image tokens");
    for (int i = 0; i < count && !rc; i++) {
        const int64_t numbers = e.queries * e.width;
        rc = image_file_read(&image, path[i]);
        if (!rc) rc = embedder_images(&e, &image.batch);
        if (!rc) memcpy(p->tokens + i * numbers, e.rows, (size_t)numbers * sizeof *e.rows);
    }
    image_file_close(&image);
    embedder_close(&e);
    return rc;
}

static status find_findings(image_prompts *p, const char *const *path, int count,
                            const image_models *m) {
    predictor x = {0};
    image_file image = {0};
    if (!m->classifier) return STATUS_OK;
    status rc = predictor_open_at(&x, m->classifier, m->where);
    if (!rc) rc = image_file_open(&image, x.crop, x.size);
    for (int i = 0; i < count && !rc; i++) {
        float logits[CLASS_COUNT];
        bool positive[CLASS_COUNT];
        rc = image_file_read(&image, path[i]);
        if (!rc) rc = predictor_file(&x, &image, logits);
        for (int c = 0; c < CLASS_COUNT && !rc; c++) positive[c] = logits[c] > 0;
        if (!rc) findings_text(&p->findings, positive);
        buffer_append(&p->findings, "", 1);
        if (!rc) rc = p->findings.failed;
    }
    image_file_close(&image);
    predictor_close(&x);
    return rc;
}

// --- words --------------------------------------------------------------------------------------
static status add_prompt(image_prompts *p, int64_t i, const char *path, const prompts *words,
                         const tokenizer *t) {
    generate_prompts *g = &p->prompts;
    buffer question = {0}, text = {0};
    char name[256];
    const int32_t begin = tokenizer_named(t).begin;
    image_file_name(name, sizeof name, path);
    prompts_report(&question, words, image_prompts_findings(p, i), (int)p->queries);
    status rc = question.failed;
    const char *const turns[] = {question.data, NULL};
    if (!rc) prompts_conversation(&text, words, turns, 2);
    if (begin >= 0) buffer_append(&g->ids, &begin, sizeof begin);
    if (!rc) rc = text.failed;
    if (!rc) rc = tokenizer_encode(t, text.data, text.length, &g->ids);
    g->first[i + 1] = (int64_t)(g->ids.length / sizeof(int32_t));
    g->name[i] = (int64_t)g->names.length;
    buffer_append(&g->names, name, strlen(name) + 1);
    if (!rc) rc = g->names.failed ? g->names.failed : g->ids.failed;
    buffer_free(&text);
    buffer_free(&question);
    return rc;
}

static status check_words(const prompts *words, const image_prompts *p, const char *path,
                          const image_models *m) {
    const int literal = prompts_literal_tokens(words);
    if (literal && literal != p->queries)
        return status_fail(STATUS_USAGE, "%s: its prompt holds %d image tokens, the aligner %s makes %lld",
                           path, literal, m->aligner, (long long)p->queries);
    if (!m->classifier && !prompts_without_findings(words))
        return status_fail(STATUS_USAGE, "%s: has no prompt without findings: name a classifier", path);
    return STATUS_OK;
}

status image_prompts_open(image_prompts *p, const char *const *path, int count, const image_models *m,
                          const config *c, const tokenizer *t) {
    const prompts_files files = {.prompts = config_text(c, "instruct.prompts"),
                                 .key = config_text(c, "instruct.prompt"),
                                 .system = config_text(c, "instruct.system"),
                                 .wrapper = config_text(c, "instruct.template")};
    prompts *words = NULL;
    *p = (image_prompts){.prompts.count = count};
    status rc = prompts_open(&words, &files);
    if (!rc) rc = embed(p, path, count, m);
    if (!rc) rc = check_words(words, p, files.prompts, m);
    if (!rc) rc = find_findings(p, path, count, m);
    if (!rc) rc = mem_new(&p->prompts.first, count + 1, "prompts");
    if (!rc) rc = mem_new(&p->prompts.name, count, "prompts");
    for (int i = 0; i < count && !rc; i++) rc = add_prompt(p, i, path[i], words, t);
    prompts_close(words);
    return rc;
}
