// See report_source.h.
#include "data/report_source.h"
#include "core/rng.h"
#include "data/sections.h"

// A prompt without findings leaves a model nothing but the image to go by.
static bool is_unsaid(const report_source *s, int split, int64_t row) {
    const rng_key key = {.seed = s->seed, .site = rng_site("instruct.findings_unsaid")};
    return split == SPLIT_TRAIN && (double)rng_uniform(key, (uint32_t)row, 0) < s->unsaid;
}

static status say_findings(buffer *out, instruct_skip *skip, const report_source *s, int split,
                           int64_t record, const char *nothing) {
    bool positive[CLASS_COUNT];
    const char *id = dataset_id(s->set, record, ID_DICOM);
    buffer_text(out, "");
    if (s->findings[split] == FINDINGS_LABELS)
        findings_of_labels(out, dataset_labels(s->set, record), nothing);
    if (s->findings[split] != FINDINGS_PREDICTIONS) return out->failed;
    if (!predictions_find(positive, s->predicted[split], id)) {
        *skip = INSTRUCT_SKIP_NO_FINDINGS;
        return status_fail(STATUS_FORMAT, "record %.80s: the file of predicted findings lacks it",
                           id);
    }
    findings_text(out, positive);
    return out->failed;
}

status report_source_question(buffer *out, instruct_skip *skip, const report_source *s, int split,
                              int64_t record, bool unsaid, const char *nothing) {
    const bool known = s->findings[split] != FINDINGS_NONE && !unsaid;
    buffer findings = {0};
    status rc = say_findings(&findings, skip, s, split, record, nothing);
    if (!rc) prompts_report(out, s->prompts, known ? findings.data : NULL, s->image_tokens);
    buffer_free(&findings);
    return rc ? rc : out->failed;
}

status report_source_text(buffer *out, const report_source *s, int64_t record, record_text kind) {
    buffer text = {0};
    status rc = dataset_text(&text, s->set, record, kind);
    // A damaged shard of the data set is no row to be left out.
    if (rc == STATUS_FORMAT) rc = STATUS_IO;
    if (!rc) findings_clean(out, text.data);
    buffer_free(&text);
    return rc ? rc : out->failed;
}

static status read_row(instruct_text *out, instruct_skip *skip, const void *context, int split,
                       int64_t i) {
    const report_source *s = context;
    const int64_t record = s->list[split].record[i];
    buffer question = {0};
    out->task = "report";
    buffer_text(&out->id, dataset_id(s->set, record, ID_DICOM));
    status rc = out->id.failed;
    if (!rc)
        rc =
            report_source_question(&question, skip, s, split, record, is_unsaid(s, split, i),
                                    NO_COMMON_FINDINGS);
    const char *const turns[] = {question.data, NULL};
    if (!rc) prompts_conversation(&out->prompt, s->prompts, turns, 2);
    if (!rc) rc = out->prompt.failed;
    if (!rc) rc = report_source_text(&out->answer, s, record, s->section);
    buffer_free(&question);
    return rc;
}

instruct_source report_source_rows(const report_source *s) {
    instruct_source out = {.context = s, .row = read_row};
    for (int k = 0; k < SPLIT_COUNT; k++) out.rows[k] = s->list[k].count;
    return out;
}
