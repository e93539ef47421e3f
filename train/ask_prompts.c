#include "train/ask_prompts.h"
#include "data/sections.h"

#include <ctype.h>
#include <string.h>

status ask_prompts_find(ask_prompts *p, int64_t limit) {
    const int64_t all = instruct_count(p->data, p->split);
    p->records = limit && limit < all ? limit : all;
    status rc = mem_new(&p->in_set, p->records ? p->records : 1, "records");
    for (int64_t i = 0; i < p->records && !rc; i++) {
        instruct_record r;
        rc = instruct_read(p->data, p->split, i, &r);
        if (rc) break;
        p->in_set[i] = dataset_find(p->set, r.id);
        if (p->in_set[i] < 0)
            rc = status_fail(STATUS_FORMAT, "record %lld: the shards have no radiograph %s",
                             (long long)i, r.id);
        else if (strcmp(r.task, "report"))
            rc = status_fail(
                STATUS_FORMAT,
                "record %lld: is a conversation of %s: only a report can be asked about",
                (long long)i, r.task);
    }
    return rc;
}

void ask_prompts_close(ask_prompts *p) {
    generate_prompts_close(&p->prompts);
    mem_free(p->in_set);
    mem_free(p->record);
    mem_free(p->finding);
    p->in_set = p->record = NULL;
    p->finding = NULL;
}

// --- one prompt ---------------------------------------------------------------------------------
typedef struct asking {
    buffer before, report, question, text;
} asking;

// FINDING: the class that it is about, where it is about one.
static status add(ask_prompts *p, asking *a, int64_t i, int finding) {
    a->text.length = 0;
    prompts_follow(&a->text, p->words, a->before.data, a->report.data, a->question.data);
    status rc = a->question.failed ? a->question.failed : a->text.failed;
    if (!rc)
        rc = mem_grow((void **)&p->record, &p->capacity, (size_t)p->prompts.count + 1,
                      sizeof *p->record, "prompts");
    if (!rc)
        rc = mem_grow((void **)&p->finding, &p->finding_capacity, (size_t)p->prompts.count + 1,
                      sizeof *p->finding, "prompts");
    if (rc) return rc;
    p->record[p->prompts.count] = i;
    p->finding[p->prompts.count] = (uint8_t)finding;
    return generate_prompts_add(&p->prompts, p->tokens, a->text.data, a->text.length,
                                dataset_id(p->set, p->in_set[i], ID_DICOM));
}

static status add_question(ask_prompts *p, asking *a, int64_t i, task_text text,
                           const task_words *words) {
    a->question.length = 0;
    task_prompts_fill(&a->question, p->tasks, TASK_ASK, text, 0, words);
    return add(p, a, i, 0);
}

static status add_finding(ask_prompts *p, asking *a, int64_t i, int finding) {
    const task_words words = {.finding = class_names[finding]};
    a->question.length = 0;
    task_prompts_fill(&a->question, p->tasks, TASK_ASK, TEXT_OF_CPBQA, 0, &words);
    return add(p, a, i, finding);
}

static bool join_small(buffer *out, const bool set[CLASS_COUNT]) {
    task_classes_join(out, set);
    for (size_t i = 0; i < out->length; i++)
        out->data[i] = (char)tolower((unsigned char)out->data[i]);
    return out->length;
}

status ask_correction(buffer *out, const task_prompts *p, const correction *x) {
    buffer wrong = {0}, missing = {0};
    const bool remove = join_small(&wrong, x->wrong), lack = join_small(&missing, x->missing);
    const task_words words = {.add = missing.data, .remove = wrong.data};
    const task_text text = task_correction_text(lack, remove);
    status rc = wrong.failed ? wrong.failed : missing.failed;
    if (!rc) rc = task_prompts_need(p, TASK_ASK, text);
    if (!rc) task_prompts_fill(out, p, TASK_ASK, text, 0, &words);
    buffer_free(&wrong);
    buffer_free(&missing);
    return rc ? rc : out->failed;
}

// X has something wrong.
static status add_correction(ask_prompts *p, asking *a, int64_t i, const correction *x) {
    a->question.length = 0;
    status rc = ask_correction(&a->question, p->tasks, x);
    return rc ? rc : add(p, a, i, 0);
}

static status add_record(ask_prompts *p, asking *a, int64_t i) {
    const task_words none = {0};
    int64_t k;
    switch (p->task) {
    case TASK_CPAQA:
        return add_question(p, a, i, TEXT_OF_CPAQA, &none);
    case TASK_IG:
        return dataset_has_text(p->set, p->in_set[i], TEXT_IMPRESSION)
                   ? add_question(p, a, i, TEXT_OF_IG, &none)
                   : STATUS_OK;
    case TASK_CO:
        k = corrections_find(p->mistakes, p->in_set[i]);
        return k < 0 ? STATUS_OK : add_correction(p, a, i, &p->mistakes->list[k]);
    case TASK_CPBQA:
    case TASK_RG:
    case TASK_EL:
    case TASK_SU:
    case TASK_RQA:
    case TASK_RE:
    case TASK_COUNT:
        break;
    }
    die("ask_prompts: %s is no question at test time", task_names[p->task]);
}

// --- all ----------------------------------------------------------------------------------------

static status begin(ask_prompts *p, asking *a, int64_t i) {
    instruct_record r;
    buffer real = {0};
    status rc = instruct_read(p->data, p->split, i, &r);
    if (rc) return rc;
    a->before.length = a->report.length = 0;
    buffer_text(&a->before, r.prompt);
    buffer_text(&a->report, p->report ? p->report[i] : "");
    if (!p->report) rc = dataset_text(&real, p->set, p->in_set[i], TEXT_FINDINGS);
    if (!p->report && !rc) findings_clean(&a->report, real.data);
    buffer_free(&real);
    if (!rc) rc = a->before.failed;
    return rc ? rc : a->report.failed;
}

static status need_texts(const ask_prompts *p) {
    static const struct {
        task task;
        task_text text;
    } needed[] = {{TASK_CPBQA, TEXT_OF_CPBQA}, {TASK_CPAQA, TEXT_OF_CPAQA},
                  {TASK_IG, TEXT_OF_IG},       {TASK_CO, TEXT_OF_CO_ADD},
                  {TASK_CO, TEXT_OF_CO_REM},   {TASK_CO, TEXT_OF_CO_BOTH}};
    status rc = STATUS_OK;
    for (size_t k = 0; k < sizeof needed / sizeof *needed && !rc; k++)
        if (needed[k].task == p->task) rc = task_prompts_need(p->tasks, TASK_ASK, needed[k].text);
    return rc;
}

// Records FIRST to END - 1.
static status add_block(ask_prompts *p, asking *a, int64_t first, int64_t end) {
    status rc = STATUS_OK;
    for (int c = 0; c < CLASS_COUNT && !rc; c++)
        for (int64_t i = first; i < end && !rc; i++) {
            rc = begin(p, a, i);
            if (!rc) rc = add_finding(p, a, i, c);
        }
    return rc;
}

static status add_all(ask_prompts *p, asking *a) {
    status rc = STATUS_OK;
    if (p->task == TASK_CPBQA) {
        for (int64_t i = 0; i < p->records && !rc; i += ASK_BLOCK)
            rc = add_block(p, a, i, i + ASK_BLOCK < p->records ? i + ASK_BLOCK : p->records);
        return rc;
    }
    for (int64_t i = 0; i < p->records && !rc; i++) {
        rc = begin(p, a, i);
        if (!rc) rc = add_record(p, a, i);
    }
    return rc;
}

status ask_prompts_open(ask_prompts *p) {
    asking a = {0};
    status rc = need_texts(p);
    if (!rc) rc = add_all(p, &a);
    buffer_free(&a.before);
    buffer_free(&a.report);
    buffer_free(&a.question);
    buffer_free(&a.text);
    return rc;
}
