// See report_source.h.
#include "data/report_source.h"
#include "core/rng.h"
#include "data/sections.h"

// A prompt without findings leaves a model nothing but the image to go by.
static bool is_unsaid(const report_source *s, int split, int64_t row) {
    const rng_key key = {.seed = s->seed, .site = rng_site("instruct.findings_unsaid")};
    return split == SPLIT_TRAIN && (double)rng_uniform(key, (uint32_t)row, 0) < s->unsaid;
}

// *KNOWN: false where nothing is said of findings.
static status say_findings(buffer *out, bool *known, instruct_skip *skip, const report_source *s,
                           int split, int64_t row) {
    bool positive[CLASS_COUNT];
    const int64_t record = s->list[split].record[row];
    const char *id = dataset_id(s->set, record, ID_DICOM);
    *known = s->findings[split] != FINDINGS_NONE && !is_unsaid(s, split, row);
    buffer_text(out, "");
    if (s->findings[split] == FINDINGS_LABELS)
        findings_of_labels(out, dataset_labels(s->set, record));
    if (s->findings[split] != FINDINGS_PREDICTIONS) return out->failed;
    if (!predictions_find(positive, s->predicted[split], id)) {
        *skip = INSTRUCT_SKIP_NO_FINDINGS;
        return status_fail(STATUS_FORMAT, "record %.80s: the file of predicted findings lacks it",
                           id);
    }
    findings_text(out, positive);
    return out->failed;
}

static status say_prompt(instruct_text *out, instruct_skip *skip, const report_source *s, int split,
                         int64_t row) {
    buffer findings = {0}, question = {0};
    bool known;
    status rc = say_findings(&findings, &known, skip, s, split, row);
    if (!rc) {
        prompts_report(&question, s->prompts, known ? findings.data : NULL, s->image_tokens);
        rc = question.failed;
    }
    const char *const turns[] = {question.data, NULL};
    if (!rc) prompts_conversation(&out->prompt, s->prompts, turns, 2);
    buffer_free(&findings);
    buffer_free(&question);
    return rc ? rc : out->prompt.failed;
}

static status read_row(instruct_text *out, instruct_skip *skip, const void *context, int split,
                       int64_t i) {
    const report_source *s = context;
    const int64_t record = s->list[split].record[i];
    buffer report = {0};
    out->task = "report";
    buffer_text(&out->id, dataset_id(s->set, record, ID_DICOM));
    status rc = out->id.failed;
    if (!rc) rc = say_prompt(out, skip, s, split, i);
    if (!rc) {
        rc = dataset_text(&report, s->set, record, s->section);
        // A damaged shard of the data set is no row to be left out.
        if (rc == STATUS_FORMAT) rc = STATUS_IO;
    }
    if (!rc) findings_clean(&out->answer, report.data);
    buffer_free(&report);
    return rc ? rc : out->answer.failed;
}

instruct_source report_source_rows(const report_source *s) {
    instruct_source out = {.context = s, .row = read_row};
    for (int k = 0; k < SPLIT_COUNT; k++) out.rows[k] = s->list[k].count;
    return out;
}
