#include "train/answer_scores.h"
#include "core/log.h"
#include "train/ranks.h"

#include <string.h>

enum {
    SLOTS = 12,         // as many answers at a time as the reference's batch (REFERENCE 7.2)
    ROWS = 1024,        // tokens of a step
    PLANNED_PROMPT = 600 // tokens of a conversation at most (5.7)
};

void answer_scores_close(answer_scores *s) {
    generator_close(s->writer);
    answer_source_close(&s->source);
    report_labeler_close(&s->labeler);
    mem_free(s->planned);
    mem_free(s->truth);
    mem_free(s->said);
    buffer_free(&s->texts);
    *s = (answer_scores){0};
}

// --- opening ------------------------------------------------------------------------------------
// What a labeler reads in the reports that are to be written.
static status read_truth(answer_scores *s) {
    const int split = s->source.prompts.split;
    buffer all = {0};
    const char **text = NULL;
    status rc = mem_new(&s->truth, s->count * CLASS_COUNT, "labels");
    if (!rc) rc = mem_new(&text, s->count, "reports");
    for (int64_t i = 0; i < s->count && !rc; i++) {
        instruct_record r;
        rc = instruct_read(s->source.data, split, i, &r);
        if (!rc) buffer_append(&all, r.answer, strlen(r.answer) + 1);
        if (!rc) rc = all.failed;
    }
    const char *at = all.data;
    for (int64_t i = 0; i < s->count && !rc; i++, at += strlen(at) + 1) text[i] = at;
    if (!rc) rc = report_labeler_texts(&s->labeler, text, s->count, s->truth, NULL);
    mem_free(text);
    buffer_free(&all);
    return rc;
}

static status give_images(void *context, int64_t i, int64_t rows, float *out) {
    return answer_source_images(&((answer_scores *)context)->source, i, rows, out);
}

static status keep_text(void *context, int64_t i, const int32_t *ids, int32_t count) {
    answer_scores *s = context;
    const char *text;
    status rc = answer_source_text(&s->source, i, ids, count, &text);
    if (rc) return rc;
    buffer_append(&s->texts, text, strlen(text) + 1);
    return s->texts.failed;
}

static status open_writer(answer_scores *s, run *r, const llama *m, int32_t image_token,
                          generator_job job) {
    const generator_options o = {.slots = SLOTS,
                                 .rows = ROWS,
                                 .most = config_int(r->config, "validate.max_new_tokens"),
                                 .end = s->source.tokens ? tokenizer_named(s->source.tokens).end : -1,
                                 .image_token = image_token,
                                 .share = true,
                                 .patient = true};
    job.context = s;
    job.images = s->source.images ? give_images : NULL;
    job.done = keep_text;
    return generator_open(&s->writer, &r->tape, m, &o, &job);
}

status answer_scores_open(answer_scores *s, run *r, const llama *m, const answer_source *from,
                          int32_t image_token) {
    const config *c = r->config;
    const char *judge = config_text(c, "validate.labeler");
    *s = (answer_scores){.source = *from};
    if (!*judge)
        return status_fail(STATUS_USAGE, "validate.answers: a labeler must judge them: name a run of train "
                                         "chexbert, or its weights, as validate.labeler");
    status rc = report_labeler_open_at(&s->labeler, judge, config_text(c, "run.device"));
    s->labeler.patient = true;
    if (!rc)
        rc = generate_prompts_open(&s->source.prompts, s->source.data, SPLIT_VALIDATE,
                                   config_int(c, "validate.answers"), s->source.tokens, NULL);
    s->count = s->source.prompts.count;
    if (!rc && !s->count)
        rc = status_fail(STATUS_FORMAT, "%s: has no record in the validate split, of which "
                                        "validate.answers wants some", config_text(c, "data.instruct"));
    s->own = comm_share(s->count, r->comm->rank, r->comm->size, &s->first);
    if (!rc) rc = mem_new(&s->said, s->own ? s->own * CLASS_COUNT : 1, "labels");
    if (!rc) rc = read_truth(s);
    return rc ? rc : open_writer(s, r, m, image_token, answer_source_job(&s->source, s->first, s->own));
}

status answer_scores_plan(answer_scores *s, run *r, const llama *m, int32_t image_token) {
    const int64_t most = m->config.positions - 1;
    const int64_t length = most < PLANNED_PROMPT ? most : PLANNED_PROMPT;
    const int64_t own = comm_share(config_int(r->config, "validate.answers"), 0, r->comm->size, NULL);
    *s = (answer_scores){.count = own < SLOTS ? own : SLOTS};
    status rc = mem_new(&s->planned, s->count + 1, "a plan's prompts");
    for (int64_t i = 0; i <= s->count && !rc; i++) s->planned[i] = i * length;
    const generator_job job = {.first = s->planned, .count = s->count};
    return rc ? rc : open_writer(s, r, m, image_token, job);
}

size_t answer_scores_bytes(const answer_scores *s) {
    return generator_bytes(s->writer) + s->labeler.inference.params.frozen_bytes;
}

void answer_scores_dry(answer_scores *s) {
    generator_dry(s->writer);
}

// --- a validation -------------------------------------------------------------------------------
static status label_answers(answer_scores *s) {
    const char **text = NULL;
    const char *at = s->texts.data;
    status rc = mem_new(&text, s->own ? s->own : 1, "answers");
    for (int64_t i = 0; i < s->own && !rc; i++, at += strlen(at) + 1) text[i] = at;
    if (!rc && s->own) rc = report_labeler_texts(&s->labeler, text, s->own, s->said, NULL);
    mem_free(text);
    return rc;
}

status answer_scores_measure(const answer_scores *s, run *r, clinical_scores *out) {
    float shared[CLINICAL_STATISTICS] = {0};
    double *rows = NULL, sum[CLINICAL_STATISTICS];
    status rc = mem_new(&rows, s->own ? s->own * CLINICAL_STATISTICS : 1, "counts of labels");
    if (!rc)
        rc = clinical_statistics(rows, s->said, s->truth + s->first * CLASS_COUNT, s->own, CLINICAL_POSITIVE);
    for (int64_t i = 0; i < s->own * CLINICAL_STATISTICS && !rc; i++)
        shared[i % CLINICAL_STATISTICS] += (float)rows[i];
    mem_free(rows);
    rc = ranks_agree(r->comm, rc);
    if (!rc) rc = ranks_sum(r->comm, r->device, shared, CLINICAL_STATISTICS);
    for (int i = 0; i < CLINICAL_STATISTICS; i++) sum[i] = (double)shared[i];
    if (!rc) clinical_measure(out, sum, s->count, CLINICAL_POSITIVE);
    return rc;
}

status answer_scores_make(answer_scores *s, run *r, buffer *out, double *f1) {
    clinical_scores m;
    s->texts.length = 0;
    status rc = generator_run(s->writer);
    if (!rc) rc = label_answers(s);
    rc = ranks_agree(r->comm, rc);
    if (!rc) rc = answer_scores_measure(s, r, &m);
    if (rc) return rc;
    const metric_average *macro = &m.all.macro;
    *f1 = macro->f1;
    buffer_print(out, "\"answers\":%lld,\"clinical_f1\":", (long long)s->count);
    buffer_json_number(out, macro->f1);
    buffer_text(out, ",\"clinical_precision\":");
    buffer_json_number(out, macro->precision);
    buffer_text(out, ",\"clinical_recall\":");
    buffer_json_number(out, macro->recall);
    if (s->own) {
        const char *name = generate_prompts_name(&s->source.prompts, s->first);
        log_info("%s: \"%.400s\"", name, s->texts.data);
        buffer_text(out, ",\"sample\":{\"id\":");
        buffer_json(out, name);
        buffer_text(out, ",\"text\":");
        buffer_json(out, s->texts.data);
        buffer_text(out, "}");
    }
    return out->failed;
}
