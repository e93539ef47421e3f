// See tasks.h.
#include "data/tasks.h"
#include "core/rng.h"

#include <string.h>

const char *const task_names[TASK_COUNT] = {
#define X(name, text, says) text,
    TASK_LIST(X)
#undef X
};

int task_find(const char *name) {
    for (int t = 0; t < TASK_COUNT; t++)
        if (!strcmp(task_names[t], name)) return t;
    return -1;
}

// --- names --------------------------------------------------------------------------------------

void task_names_join(buffer *out, const char *const *name, int count) {
    buffer_text(out, "");
    for (int i = 0; i < count; i++) {
        if (i) buffer_text(out, i + 1 < count ? ", " : " and ");
        buffer_text(out, name[i]);
    }
}

void task_classes_join(buffer *out, const bool set[CLASS_COUNT]) {
    const char *name[CLASS_COUNT];
    int count = 0;
    for (int c = 0; c < CLASS_COUNT; c++)
        if (set[c]) name[count++] = class_names[c];
    task_names_join(out, name, count);
}

bool task_mistakes(bool wrong[CLASS_COUNT], bool missing[CLASS_COUNT],
                   const int8_t said[CLASS_COUNT], const int8_t truth[CLASS_COUNT]) {
    bool any = false;
    for (int c = 0; c < CLASS_COUNT; c++) {
        const bool is = truth[c] == LABEL_POSITIVE, was = said[c] == LABEL_POSITIVE;
        wrong[c] = c != CLASS_NO_FINDING && was && !is;
        missing[c] = c != CLASS_NO_FINDING && is && !was;
        any |= wrong[c] || missing[c];
    }
    return any;
}

// --- draws --------------------------------------------------------------------------------------

// Where part I of COUNT things begins, of PARTS.
static int64_t part_begin(int64_t count, int parts, int i) {
    const int64_t more = count % parts;
    return count / parts * i + (i < more ? i : more);
}

static void set_part(task_parts *p, task t, int64_t first, int64_t end) {
    p->first[t] = first;
    p->count[t] = end - first;
}

status task_parts_draw(task_parts *out, const int64_t *record, int64_t count, uint64_t seed) {
    static const task whole[] = {TASK_EL, TASK_SU, TASK_RQA}; // parts 0, 2 and 4
    const rng_key key = {.seed = seed, .site = rng_site("instruct parts")};
    uint32_t *order = NULL;
    *out = (task_parts){0};
    if (count > INT32_MAX) die("task_parts: %lld records", (long long)count);
    status rc = mem_new(&out->record, count ? count : 1, "records of tasks");
    if (!rc) rc = mem_new(&order, count ? count : 1, "records of tasks");
    if (rc) {
        task_parts_free(out);
        return rc;
    }
    rng_shuffle(key, order, (uint32_t)count);
    for (int64_t i = 0; i < count; i++) out->record[i] = record[order[i]];
    mem_free(order);
    for (int i = 0; i < 3; i++)
        set_part(out, whole[i], part_begin(count, TASK_PARTS, 2 * i),
                 part_begin(count, TASK_PARTS, 2 * i + 1));
    const int64_t last = part_begin(count, TASK_PARTS, TASK_PARTS - 1);
    const int64_t half = last + part_begin(count - last, 2, 1);
    set_part(out, TASK_CPBQA, last, half);
    set_part(out, TASK_CPAQA, half, count);
    return STATUS_OK;
}

void task_parts_free(task_parts *p) {
    mem_free(p->record);
    *p = (task_parts){0};
}

int task_prompt_draw(task t, uint64_t seed, int64_t row, int count) {
    const rng_key key = {seed, rng_site("instruct task prompt"), (uint32_t)t};
    return (int)rng_below(key, (uint32_t)row, 0, (uint32_t)count);
}

task_question task_question_draw(const int8_t labels[CLASS_COUNT], uint64_t seed, int64_t row) {
    const rng_key key = {.seed = seed, .site = rng_site("instruct question")};
    int of[2][CLASS_COUNT], count[2] = {0, 0};
    for (int c = CLASS_NO_FINDING + 1; c < CLASS_COUNT; c++) {
        const int yes = labels[c] == LABEL_POSITIVE;
        of[yes][count[yes]++] = c;
    }
    const bool wants = rng_uniform(key, (uint32_t)row, 0) < 0.6f;
    // All 13 are positive: there is nothing to be denied.
    const int yes = (wants && count[1]) || !count[0];
    const uint32_t i = rng_below(key, (uint32_t)row, 1, (uint32_t)count[yes]);
    return (task_question){of[yes][i], yes};
}
