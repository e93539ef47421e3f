#include "train/task_settings.h"
#include "core/checksum.h"
#include "core/log.h"

#include <stdio.h>
#include <string.h>

status task_settings_wanted(bool wanted[TASK_COUNT], const config *c) {
    const char *at = config_text(c, "instruct.tasks");
    memset(wanted, 0, TASK_COUNT * sizeof *wanted);
    while (*at) {
        char name[16];
        const size_t length = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", length < sizeof name ? (int)length : 15, at);
        const int t = task_find(name);
        if (t < 0)
            return config_fail(c, "instruct.tasks",
                               "names the task '%s'; there are RG, EL, SU, RQA, CO, RE, CPbQA, "
                               "CPaQA and IG, with commas between them",
                               name);
        wanted[t] = true;
        at += length;
        at += *at == ',';
    }
    return config_require(c, "instruct.tasks");
}

status task_settings_prompts(prompts **out, const config *c) {
    const prompts_files files = {.prompts = config_text(c, "instruct.prompts"),
                                 .key = config_text(c, "instruct.prompt"),
                                 .system = config_text(c, "instruct.system"),
                                 .wrapper = config_text(c, "instruct.template")};
    status rc = prompts_open(out, &files);
    return rc == STATUS_USAGE ? config_fail(c, "instruct.system", "is needed: %s", status_text())
                              : rc;
}

record_text task_settings_section(const config *c) {
    return (record_text)config_choice(c, "instruct.section"); // as RECORD_TEXT_LIST begins
}

// --- rows ---------------------------------------------------------------------------------------

static bool is_answered(int t) {
    return t == TASK_EL || t == TASK_SU || t == TASK_RQA || t == TASK_CO;
}

static status open_answers(task_rows *r, const config *c, const dataset *set) {
    bool needed = false;
    for (int t = 0; t < TASK_COUNT; t++) needed |= is_answered(t) && r->source.wanted[t];
    if (!needed) return STATUS_OK;
    if (!*config_text(c, "instruct.answers"))
        return config_fail(
            c, "instruct.answers",
            "is not set: EL, SU, RQA and CO need the answers that radialog answer writes");
    status rc =
        task_answers_open(&r->answers, config_text(c, "instruct.answers"), set, SPLIT_TRAIN);
    if (!rc && task_answers_elsewhere(r->answers))
        log_info("%s: %lld answers are about records that are none of the training split",
                 config_text(c, "instruct.answers"), (long long)task_answers_elsewhere(r->answers));
    return rc;
}

static status open_explanations(task_rows *r, const config *c) {
    if (!r->source.wanted[TASK_RE]) return STATUS_OK;
    if (!*config_text(c, "instruct.nle"))
        return config_fail(c, "instruct.nle",
                           "is not set: RE needs MIMIC-NLE's mimic-nle-train.json");
    return explanations_open(&r->explanations, config_text(c, "instruct.nle"));
}

static void say_counts(const task_source *s) {
    for (int t = 0; t < TASK_COUNT; t++) {
        const task_count *n = &s->count[t];
        if (!s->wanted[t]) continue;
        log_info("train: %lld conversations of %s", (long long)n->rows, task_names[t]);
        if (is_answered(t) && n->rows < n->part)
            log_warn("train: %lld records are drawn for %s, %lld have answers", (long long)n->part,
                     task_names[t], (long long)n->rows);
        if (n->left_out)
            log_info("train: %lld explanations name no diagnosis, or no report holds them",
                     (long long)n->left_out);
    }
}

status task_rows_open(task_rows *t, const config *c, const report_source *reports,
                      const bool wanted[TASK_COUNT]) {
    const report_choice all = {
        .split = SPLIT_TRAIN, .section = reports->section, .limit = config_int(c, "data.limit")};
    *t = (task_rows){.source = {.reports = reports, .seed = (uint64_t)config_int(c, "run.seed")}};
    memcpy(t->source.wanted, wanted, sizeof t->source.wanted);
    if (wanted[TASK_IG] && reports->section != TEXT_FINDINGS)
        return config_fail(c, "instruct.section",
                           "must be findings for IG, which asks for the impression");
    status rc = task_prompts_open(&t->words, config_text(c, "instruct.task_prompts"));
    if (!rc) rc = open_answers(t, c, reports->set);
    if (!rc) rc = open_explanations(t, c);
    if (!rc) rc = report_list_open(&t->list, reports->set, &all);
    t->source.words = t->words;
    t->source.answers = t->answers;
    t->source.explanations = t->explanations;
    if (!rc) rc = task_source_open(&t->source, t->list.record, t->list.count);
    if (!rc) say_counts(&t->source);
    return rc;
}

void task_rows_close(task_rows *t) {
    task_source_close(&t->source);
    report_list_free(&t->list);
    explanations_close(t->explanations);
    task_answers_close(t->answers);
    task_prompts_close(t->words);
}

uint32_t task_rows_hash(const task_rows *t) {
    const uint32_t of[] = {task_prompts_hash(t->words),
                           t->answers ? task_answers_checksum(t->answers) : 0,
                           t->explanations ? explanations_checksum(t->explanations) : 0};
    const uint32_t crc = checksum_crc32(0, of, sizeof of);
    return checksum_crc32(crc, t->source.wanted, sizeof t->source.wanted);
}
