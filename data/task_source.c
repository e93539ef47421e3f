// See task_source.h.
#include "data/task_source.h"
#include "core/rng.h"
#include "data/sections.h"

#include <stdlib.h>
#include <string.h>

static status add_row(task_source *s, task t, int64_t record, int64_t entry) {
    status rc = mem_grow((void **)&s->row, &s->capacity, (size_t)s->rows + 1, sizeof *s->row,
                         "conversations");
    if (!rc) s->row[s->rows++] = (task_row){t, record, s->count[t].rows++, entry};
    return rc;
}

// --- which rows ---------------------------------------------------------------------------------

static status add_parts(task_source *s, const int64_t *record, int64_t count) {
    static const task asked[] = {TASK_CPBQA, TASK_CPAQA};
    task_parts parts;
    status rc = task_parts_draw(&parts, record, count, s->seed);
    for (int t = 0; t < TASK_COUNT && !rc; t++) s->count[t].part = parts.count[t];
    for (int k = 0; k < 2 && !rc; k++) {
        const task t = asked[k];
        for (int64_t i = 0; i < parts.count[t] && s->wanted[t] && !rc; i++)
            rc = add_row(s, t, parts.record[parts.first[t] + i], 0);
    }
    task_parts_free(&parts);
    return rc;
}

static status add_answers(task_source *s) {
    status rc = STATUS_OK;
    for (int64_t i = 0; s->answers && i < task_answers_count(s->answers) && !rc; i++) {
        const task_answer x = task_answers_at(s->answers, i);
        if (s->wanted[x.task]) rc = add_row(s, x.task, x.record, i);
    }
    return rc;
}

// Records that have an impression as well.
static status add_impressions(task_source *s, const int64_t *record, int64_t count) {
    const report_choice how = {.split = SPLIT_TRAIN, .section = TEXT_IMPRESSION};
    report_list list = {0};
    int64_t k = 0;
    if (!s->wanted[TASK_IG]) return STATUS_OK;
    status rc = report_list_open(&list, s->reports->set, &how);
    for (int64_t i = 0; i < count && !rc; i++) {
        while (k < list.count && list.record[k] < record[i]) k++;
        if (k < list.count && list.record[k] == record[i]) rc = add_row(s, TASK_IG, record[i], 0);
    }
    report_list_free(&list);
    return rc;
}

typedef struct study {
    const char *id; // without the "s" of some sources
    int64_t record;
} study;

static int compare_studies(const void *a, const void *b) {
    const study *x = a, *y = b;
    const int order = strcmp(x->id, y->id);
    return order ? order : (x->record > y->record) - (x->record < y->record);
}

// The first record of the study; -1: there is none.
static int64_t find_study(const study *list, int64_t count, const char *id) {
    int64_t low = 0, high = count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (strcmp(list[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && !strcmp(list[low].id, id) ? list[low].record : -1;
}

static status add_explanation(task_source *s, int64_t record, int64_t i, buffer *text) {
    const explanation x = explanations_at(s->explanations, i);
    bool said = false;
    status rc = STATUS_OK;
    text->length = 0;
    if (record >= 0) {
        rc = report_source_text(text, s->reports, record, s->reports->section);
        said = !rc && text->length && strstr(text->data, x.text);
    }
    if (!said || !x.diagnoses) {
        s->count[TASK_RE].left_out++;
        return rc;
    }
    return add_row(s, TASK_RE, record, i);
}

// Those that a report holds word by word, about the first image of its study.
static status add_explanations(task_source *s, const int64_t *record, int64_t count) {
    study *list = NULL;
    buffer text = {0};
    if (!s->wanted[TASK_RE] || !s->explanations) return STATUS_OK;
    status rc = mem_new(&list, count ? count : 1, "studies");
    for (int64_t i = 0; i < count && !rc; i++) {
        const char *id = dataset_id(s->reports->set, record[i], ID_STUDY);
        list[i] = (study){id + (*id == 's'), record[i]};
    }
    if (!rc) qsort(list, (size_t)count, sizeof *list, compare_studies);
    for (int64_t i = 0; !rc && i < explanations_count(s->explanations); i++) {
        const explanation x = explanations_at(s->explanations, i);
        rc = add_explanation(s, find_study(list, count, x.study), i, &text);
    }
    buffer_free(&text);
    mem_free(list);
    return rc;
}

static status add_reports(task_source *s) {
    const report_list *l = &s->reports->list[SPLIT_TRAIN];
    status rc = STATUS_OK;
    for (int64_t i = 0; i < l->count && s->wanted[TASK_RG] && !rc; i++)
        rc = add_row(s, TASK_RG, l->record[i], 0);
    return rc;
}

static status shuffle(task_source *s) {
    const rng_key key = {.seed = s->seed, .site = rng_site("instruct order")};
    uint32_t *order = NULL;
    task_row *row = NULL;
    if (s->rows > INT32_MAX) die("task_source: %lld rows", (long long)s->rows);
    status rc = mem_new(&order, s->rows ? s->rows : 1, "conversations");
    if (!rc) rc = mem_new(&row, s->rows ? s->rows : 1, "conversations");
    if (!rc) {
        rng_shuffle(key, order, (uint32_t)s->rows);
        for (int64_t i = 0; i < s->rows; i++) row[i] = s->row[order[i]];
        mem_free(s->row);
        s->row = row;
        row = NULL;
        s->capacity = (size_t)s->rows;
    }
    mem_free(row);
    mem_free(order);
    return rc;
}

static status check_prompts(const task_source *s) {
    static const struct {
        task task;
        task_text text;
    } needed[] = {{TASK_RE, TEXT_OF_RE},
                  {TASK_CPBQA, TEXT_OF_CPBQA},
                  {TASK_CPAQA, TEXT_OF_CPAQA},
                  {TASK_IG, TEXT_OF_IG}};
    status rc = STATUS_OK;
    for (size_t i = 0; i < sizeof needed / sizeof *needed && !rc; i++)
        if (s->wanted[needed[i].task]) rc = task_prompts_need(s->words, TASK_TRAIN, needed[i].text);
    return rc;
}

status task_source_open(task_source *s, const int64_t *record, int64_t count) {
    s->inner = report_source_rows(s->reports);
    memset(s->count, 0, sizeof s->count);
    status rc = check_prompts(s);
    if (!rc) rc = add_reports(s);
    if (!rc) rc = add_parts(s, record, count);
    if (!rc) rc = add_answers(s);
    if (!rc) rc = add_explanations(s, record, count);
    if (!rc) rc = add_impressions(s, record, count);
    return rc ? rc : shuffle(s);
}

void task_source_close(task_source *s) {
    mem_free(s->row);
    s->row = NULL;
    s->rows = 0;
    s->capacity = 0;
}

// --- a row --------------------------------------------------------------------------------------

// What is put together for one row.
typedef struct turns {
    buffer question, report, prompt;
} turns;

static void fill_prompt(buffer *out, const task_source *s, const task_row *r, task_text text,
                        const char *finding) {
    const int count = task_prompts_count(s->words, TASK_TRAIN, text);
    const task_words words = {.finding = finding};
    task_prompts_fill(out, s->words, TASK_TRAIN, text,
                      task_prompt_draw(r->task, s->seed, r->number, count), &words);
}

static void ask_finding(turns *x, buffer *answer, const task_source *s, const task_row *r) {
    const int8_t *labels = dataset_labels(s->reports->set, r->record);
    const task_question q = task_question_draw(labels, s->seed, r->number);
    fill_prompt(&x->prompt, s, r, TEXT_OF_CPBQA, class_names[q.finding]);
    buffer_text(answer, q.yes ? "yes" : "no");
}

static status ask_reason(turns *x, buffer *answer, const task_source *s, const task_row *r) {
    const explanation e = explanations_at(s->explanations, r->entry);
    buffer found = {0};
    explanation_names(&found, &e);
    fill_prompt(&x->prompt, s, r, TEXT_OF_RE, found.data);
    findings_clean(answer, e.text);
    const status rc = found.failed;
    buffer_free(&found);
    return rc;
}

// The second turn and its answer; for CO also the report.
static status ask(turns *x, instruct_text *out, const task_source *s, const task_row *r) {
    switch (r->task) {
    case TASK_CPBQA:
        ask_finding(x, &out->answer, s, r);
        return STATUS_OK;
    case TASK_CPAQA:
        fill_prompt(&x->prompt, s, r, TEXT_OF_CPAQA, NULL);
        findings_of_labels(&out->answer, dataset_labels(s->reports->set, r->record), "");
        out->may_be_empty = true;
        return STATUS_OK;
    case TASK_RE:
        return ask_reason(x, &out->answer, s, r);
    case TASK_IG:
        fill_prompt(&x->prompt, s, r, TEXT_OF_IG, NULL);
        return report_source_text(&out->answer, s->reports, r->record, TEXT_IMPRESSION);
    case TASK_RG:
    case TASK_EL:
    case TASK_SU:
    case TASK_RQA:
    case TASK_CO:
    case TASK_COUNT:
        break;
    }
    return task_answers_read(s->answers, r->entry, &x->prompt, &out->answer, &x->report);
}

static bool is_unsaid(const task_source *s, const task_row *r) {
    const rng_key key = {s->seed, rng_site("findings unsaid in tasks"), (uint32_t)r->task};
    return (double)rng_uniform(key, (uint32_t)r->number, 0) < s->reports->unsaid;
}

static status build(turns *x, instruct_text *out, instruct_skip *skip, const task_source *s,
                    const task_row *r) {
    // The instruct records of the original say nothing at all where nothing is positive (quirk 27).
    status rc = report_source_question(&x->question, skip, s->reports, SPLIT_TRAIN, r->record,
                                       is_unsaid(s, r), "");
    if (!rc) rc = ask(x, out, s, r);
    if (!rc && r->task != TASK_CO) {
        x->report.length = 0;
        rc = report_source_text(&x->report, s->reports, r->record, s->reports->section);
    }
    const char *const message[] = {x->question.data, x->report.data, x->prompt.data, NULL};
    if (!rc) prompts_conversation(&out->prompt, s->reports->prompts, message, 4);
    if (!rc) rc = x->prompt.failed ? x->prompt.failed : out->prompt.failed;
    return rc ? rc : out->answer.failed;
}

static status read_row(instruct_text *out, instruct_skip *skip, const void *context, int split,
                       int64_t i) {
    const task_source *s = context;
    if (split != SPLIT_TRAIN) return s->inner.row(out, skip, s->inner.context, split, i);
    const task_row *r = &s->row[i];
    if (r->task == TASK_RG) return s->inner.row(out, skip, s->inner.context, split, r->number);
    turns x = {0};
    out->task = task_names[r->task];
    buffer_text(&out->id, dataset_id(s->reports->set, r->record, ID_DICOM));
    *skip = INSTRUCT_SKIP_BAD_ROW;
    status rc = out->id.failed;
    if (!rc) rc = build(&x, out, skip, s, r);
    buffer_free(&x.question);
    buffer_free(&x.report);
    buffer_free(&x.prompt);
    return rc;
}

instruct_source task_source_rows(const task_source *s) {
    instruct_source out = s->inner;
    out.context = s;
    out.row = read_row;
    out.rows[SPLIT_TRAIN] = s->rows;
    return out;
}
