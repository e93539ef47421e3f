#include "train/answer_requests.h"
#include "data/sections.h"

#include <string.h>

// One request while it is put together.
typedef struct asking {
    buffer raw, report, prompt, message, text;
} asking;

static void clear(buffer *b) {
    b->length = 0;
    buffer_text(b, ""); // a NUL, also behind nothing
}

static void asking_free(asking *a) {
    buffer *const all[] = {&a->raw, &a->report, &a->prompt, &a->message, &a->text};
    for (int i = 0; i < 5; i++) buffer_free(all[i]);
}

static size_t keep(answer_requests *r, const buffer *text) {
    const size_t at = r->texts.length;
    buffer_append(&r->texts, text->data, text->length + 1);
    return at;
}

// *FITS: false, and nothing is added, where TEXT leaves the model no room.
static status add_ids(answer_requests *r, const buffer *text, const char *id, bool *fits) {
    generate_prompts *p = &r->prompts;
    status rc = generate_prompts_add(p, r->tokens, text->data, text->length, id);
    if (rc) return rc;
    *fits = generate_prompts_length(p, p->count - 1) < r->positions;
    if (!*fits) generate_prompts_drop(p);
    return STATUS_OK;
}

// A's prompt and report as a request of T about RECORD, in the words TEXT of the writer's.
static status add_request(answer_requests *r, asking *a, task t, int64_t record, task_text text,
                          task_words words) {
    const char *system = task_prompts_system(r->tasks);
    bool fits = !strstr(a->report.data, prompts_image_token(r->words));
    clear(&a->message);
    clear(&a->text);
    words.report = a->report.data;
    words.prompt = a->prompt.data;
    task_prompts_fill(&a->message, r->tasks, TASK_WRITE, text, 0, &words);
    const char *const turns[] = {a->message.data, NULL};
    prompts_conversation_as(&a->text, r->words, system, turns, 2);
    status rc = a->message.failed ? a->message.failed : a->text.failed;
    if (!rc && fits) rc = add_ids(r, &a->text, dataset_id(r->set, record, ID_DICOM), &fits);
    if (rc || !fits) {
        r->left_out++;
        return rc;
    }
    rc = mem_grow((void **)&r->list, &r->capacity, (size_t)r->count + 1, sizeof *r->list,
                  "requests");
    if (rc) return rc;
    answer_request *x = &r->list[r->count++];
    *x = (answer_request){.task = t, .record = record, .prompt = keep(r, &a->prompt)};
    if (t == TASK_CO) x->report = keep(r, &a->report);
    return r->texts.failed;
}

// --- about reports ------------------------------------------------------------------------------

static void draw_prompt(asking *a, const answer_requests *r, task t, int64_t row, task_text text,
                        const task_words *words) {
    const int count = task_prompts_count(r->tasks, TASK_TRAIN, text);
    clear(&a->prompt);
    task_prompts_fill(&a->prompt, r->tasks, TASK_TRAIN, text,
                      task_prompt_draw(t, r->seed, row, count), words);
}

static status need(const answer_requests *r, task_text text) {
    status rc = task_prompts_need(r->tasks, TASK_TRAIN, text);
    return rc ? rc : task_prompts_need(r->tasks, TASK_WRITE, text);
}

static status ask_about(answer_requests *r, asking *a, task t, task_text text,
                        const task_parts *parts) {
    const int64_t all = parts->count[t], count = r->most && r->most < all ? r->most : all;
    status rc = r->wanted[t] ? need(r, text) : STATUS_OK;
    for (int64_t i = 0; i < count && r->wanted[t] && !rc; i++) {
        const int64_t record = parts->record[parts->first[t] + i];
        const task_words none = {0};
        clear(&a->report);
        rc = dataset_text(&a->raw, r->set, record, r->section);
        if (rc) break;
        findings_clean(&a->report, a->raw.data);
        draw_prompt(a, r, t, i, text, &none);
        rc = a->report.failed ? a->report.failed : a->prompt.failed;
        if (!rc) rc = add_request(r, a, t, record, text, none);
    }
    return rc;
}

static bool any(const bool set[CLASS_COUNT]) {
    for (int c = 0; c < CLASS_COUNT; c++)
        if (set[c]) return true;
    return false;
}

static status ask_correction(answer_requests *r, asking *a, int64_t i) {
    const correction *x = &r->mistakes->list[i];
    const task_text text = task_correction_text(any(x->missing), any(x->wrong));
    buffer wrong = {0}, missing = {0};
    task_classes_join(&wrong, x->wrong);
    task_classes_join(&missing, x->missing);
    const task_words words = {.add = missing.data, .remove = wrong.data};
    status rc = wrong.failed ? wrong.failed : missing.failed;
    clear(&a->report);
    if (!rc) findings_clean(&a->report, corrections_report(r->mistakes, i));
    if (!rc) draw_prompt(a, r, TASK_CO, i, text, &words);
    if (!rc) rc = a->report.failed ? a->report.failed : a->prompt.failed;
    if (!rc) rc = add_request(r, a, TASK_CO, x->record, text, words);
    buffer_free(&wrong);
    buffer_free(&missing);
    return rc;
}

static status ask_corrections(answer_requests *r, asking *a) {
    static const task_text texts[] = {TEXT_OF_CO_ADD, TEXT_OF_CO_REM, TEXT_OF_CO_BOTH};
    status rc = STATUS_OK;
    if (!r->wanted[TASK_CO] || !r->mistakes) return rc;
    for (int i = 0; i < 3 && !rc; i++) rc = need(r, texts[i]);
    for (int64_t i = 0; i < r->mistakes->count && (!r->most || i < r->most) && !rc; i++)
        rc = ask_correction(r, a, i);
    return rc;
}

status answer_requests_open(answer_requests *r, const int64_t *record, int64_t count) {
    task_parts parts;
    asking a = {0};
    status rc = task_parts_draw(&parts, record, count, r->seed);
    if (!rc) rc = ask_about(r, &a, TASK_EL, TEXT_OF_EL, &parts);
    if (!rc) rc = ask_about(r, &a, TASK_SU, TEXT_OF_SU, &parts);
    if (!rc) rc = ask_about(r, &a, TASK_RQA, TEXT_OF_RQA, &parts);
    if (!rc) rc = ask_corrections(r, &a);
    asking_free(&a);
    task_parts_free(&parts);
    return rc;
}

void answer_requests_close(answer_requests *r) {
    generate_prompts_close(&r->prompts);
    buffer_free(&r->texts);
    mem_free(r->list);
    r->list = NULL;
}

status answer_requests_line(const answer_requests *r, int64_t i, buffer *line) {
    const answer_request *x = &r->list[i];
    buffer_text(line, "\"task\":");
    buffer_json(line, task_names[x->task]);
    buffer_text(line, ",\"dicom_id\":");
    buffer_json(line, dataset_id(r->set, x->record, ID_DICOM));
    buffer_text(line, ",\"prompt\":");
    buffer_json(line, r->texts.data + x->prompt);
    if (x->task == TASK_CO) {
        buffer_text(line, ",\"report\":");
        buffer_json(line, r->texts.data + x->report);
    }
    buffer_text(line, ",");
    return line->failed;
}
