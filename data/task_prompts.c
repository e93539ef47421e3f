// See task_prompts.h. A text is kept with its placeholders as single control characters, which no
// text of a file may hold.
#include "data/task_prompts.h"
#include "core/checksum.h"
#include "core/files/fs.h"
#include "core/files/json.h"
#include "data/csv.h"

#include <stdio.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 20, VERSION = 1, SLOTS = 5, FIRST_SLOT = 1 };

// The place of a slot's name is its character less FIRST_SLOT, and its word in task_words.
static const char *const slot_names[SLOTS] = {"finding", "add", "remove", "report", "prompt"};
static const char *const radialog_slots[SLOTS] = {"<X>", "<add>", "<rem>", NULL, NULL};
enum { FINDING = 1, ADD = 2, REMOVE = 4, REPORT = 8, PROMPT = 16 };

static const char *const text_names[TASK_TEXTS] = {
#define X(name, text) text,
    TASK_TEXT_LIST(X)
#undef X
};
static const char *const use_names[TASK_USES] = {"train", "ask", "write"};

// What a text must hold, and may.
static const unsigned asked_slots[TASK_TEXTS] = {[TEXT_OF_CO_ADD] = ADD,
                                                 [TEXT_OF_CO_REM] = REMOVE,
                                                 [TEXT_OF_CO_BOTH] = ADD | REMOVE,
                                                 [TEXT_OF_RE] = FINDING,
                                                 [TEXT_OF_CPBQA] = FINDING};

static unsigned slots_of(task_use use, task_text text) {
    if (use != TASK_WRITE) return asked_slots[text];
    return text < TEXT_OF_CO_ADD ? REPORT | PROMPT : REPORT | asked_slots[text];
}

static bool is_written(task_text text) {
    return text <= TEXT_OF_CO_BOTH;
}

typedef struct text_list {
    size_t *at; // in the texts
    size_t count, capacity;
} text_list;

struct task_prompts {
    char *path, *system;
    buffer texts; // a NUL behind each
    text_list list[TASK_USES][TASK_TEXTS];
};

// --- one text -----------------------------------------------------------------------------------

static status add_text(task_prompts *p, task_use use, task_text text, const char *coded) {
    text_list *l = &p->list[use][text];
    status rc = mem_grow((void **)&l->at, &l->capacity, l->count + 1, sizeof *l->at, "prompts");
    if (rc) return rc;
    l->at[l->count++] = p->texts.length;
    buffer_append(&p->texts, coded, strlen(coded) + 1);
    return p->texts.failed;
}

// Whether TEXT holds a character that stands for a slot, or would for a later one.
static bool has_controls(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < '\t') return true;
    return false;
}

// Appends TEXT with MARKS, between BEFORE and BEHIND, as slots; *SEEN: a bit for each.
static void code_text(buffer *out, unsigned *seen, const char *text, const char *const marks[SLOTS],
                      const char *before, const char *behind) {
    while (*text) {
        int s = 0;
        size_t length = 0;
        for (; s < SLOTS; s++) {
            char name[16];
            if (!marks[s]) continue;
            length = (size_t)snprintf(name, sizeof name, "%s%s%s", before, marks[s], behind);
            if (!strncmp(text, name, length)) break;
        }
        const char code = s < SLOTS ? (char)(FIRST_SLOT + s) : *text;
        if (s < SLOTS) *seen |= 1u << s;
        buffer_append(out, &code, 1);
        text += s < SLOTS ? length : 1;
    }
}

static status add_own(task_prompts *p, task_use use, task_text text, json_value value) {
    const unsigned needed = slots_of(use, text);
    const char *given;
    unsigned seen = 0;
    buffer coded = {0};
    status rc = json_text(&given, value);
    if (rc) return rc;
    if (!*given) return json_fail(value, "is empty");
    if (has_controls(given)) return json_fail(value, "holds a control character");
    code_text(&coded, &seen, given, slot_names, "{", "}");
    rc = coded.failed;
    for (int s = 0; s < SLOTS && !rc; s++) {
        if (needed >> s & 1 && !(seen >> s & 1))
            rc = json_fail(value, "lacks the placeholder {%s}", slot_names[s]);
        if (seen >> s & 1 && !(needed >> s & 1))
            rc = json_fail(value, "holds {%s}, of which nothing is known here", slot_names[s]);
    }
    if (!rc) rc = add_text(p, use, text, coded.data);
    buffer_free(&coded);
    return rc;
}

// --- our file -----------------------------------------------------------------------------------

// The texts of one use under one name; they replace what was there.
static status read_texts(task_prompts *p, task_use use, task_text text, json_value value) {
    p->list[use][text].count = 0;
    if (use != TASK_TRAIN) return add_own(p, use, text, value);
    status rc = json_list(value);
    if (!rc && !json_count(value)) rc = json_fail(value, "holds no prompt");
    for (json_value v = rc ? (json_value){0} : json_first(value); v.node && !rc; v = json_next(v))
        rc = add_own(p, use, text, v);
    return rc;
}

static status read_use(task_prompts *p, task_use use, json_value object) {
    status rc = json_object(object);
    for (json_value v = rc ? (json_value){0} : json_first(object); v.node && !rc;
         v = json_next(v)) {
        int t = 0;
        while (t < TASK_TEXTS && strcmp(text_names[t], json_key(v))) t++;
        if (t == TASK_TEXTS || (use == TASK_WRITE && !is_written((task_text)t)))
            return json_fail(v, "is the name of no prompts in %s", use_names[use]);
        rc = read_texts(p, use, (task_text)t, v);
    }
    return rc;
}

static status read_member(task_prompts *p, json_value v) {
    const char *key = json_key(v), *text;
    if (!strcmp(key, "format") || !strcmp(key, "version")) return STATUS_OK;
    if (!strcmp(key, "system")) {
        status rc = json_text(&text, v);
        if (!rc && !*text) rc = json_fail(v, "is empty");
        return rc ? rc : mem_string(&p->system, text);
    }
    for (int use = 0; use < TASK_USES; use++)
        if (!strcmp(key, use_names[use])) return read_use(p, (task_use)use, v);
    return json_fail(v, "is no key of a file of tasks' prompts");
}

static status read_own(task_prompts *p, const char *path) {
    json *file = NULL;
    const char *format;
    int64_t version;
    status rc = json_read(&file, path, FILE_LIMIT);
    const json_value root = rc ? (json_value){0} : json_root(file);
    if (!rc) rc = json_object(root);
    if (!rc) rc = json_member_text(&format, root, "format");
    if (!rc && strcmp(format, "radialog-task-prompts"))
        rc = json_fail(root, "is no file of tasks' prompts");
    if (!rc) rc = json_member_int(&version, root, "version", VERSION, VERSION);
    for (json_value v = rc ? (json_value){0} : json_first(root); v.node && !rc; v = json_next(v))
        rc = read_member(p, v);
    json_close(file);
    return rc;
}

// --- RaDialog's tables --------------------------------------------------------------------------

static status read_rows(task_prompts *p, task_text text, csv *table) {
    int column;
    bool more = true, bad;
    status rc = csv_require(&column, table, "instruction");
    while (!rc) {
        buffer coded = {0};
        unsigned seen = 0;
        rc = csv_next(table, &more, &bad);
        if (rc || !more) break;
        const char *given = bad ? "" : csv_field(table, column);
        if (bad) rc = status_fail(STATUS_FORMAT, "%s", csv_reason(table));
        if (!rc && (!*given || has_controls(given) || !text_is_utf8(given, strlen(given))))
            rc = status_fail(STATUS_FORMAT, "%s, line %lld: is no prompt in UTF-8", csv_path(table),
                             (long long)csv_line(table));
        code_text(&coded, &seen, given, radialog_slots, "", "");
        if (!rc) rc = coded.failed;
        if (!rc) rc = add_text(p, TASK_TRAIN, text, coded.data);
        buffer_free(&coded);
    }
    if (!rc && !p->list[TASK_TRAIN][text].count)
        rc = status_fail(STATUS_FORMAT, "%s: holds no prompt", csv_path(table));
    return rc;
}

static status read_table(task_prompts *p, task_text text, const char *folder, bool *found) {
    char name[64], path[PATH_SIZE];
    csv *table = NULL;
    snprintf(name, sizeof name, "%s_prompts.csv", text_names[text]);
    status rc = path_join(path, sizeof path, folder, name);
    if (rc || !file_exists(path)) return rc;
    *found = true;
    rc = csv_open(&table, path);
    if (!rc) rc = read_rows(p, text, table);
    csv_close(table);
    return rc;
}

// What is asked at test time is the first of those that are learned, unless tasks.json says
// otherwise.
static status ask_first(task_prompts *p, task_text text) {
    char *copy = NULL;
    status rc = mem_string(&copy, p->texts.data + p->list[TASK_TRAIN][text].at[0]);
    if (!rc) rc = add_text(p, TASK_ASK, text, copy);
    mem_free(copy);
    return rc;
}

static status read_folder(task_prompts *p, const char *folder) {
    char path[PATH_SIZE];
    bool found = false;
    status rc = STATUS_OK;
    for (int t = 0; t < TASK_TEXTS && !rc; t++) {
        rc = read_table(p, (task_text)t, folder, &found);
        if (!rc && p->list[TASK_TRAIN][t].count) rc = ask_first(p, (task_text)t);
    }
    if (!rc) rc = path_join(path, sizeof path, folder, "tasks.json");
    if (!rc && file_exists(path)) {
        found = true;
        rc = read_own(p, path);
    }
    if (!rc && !found)
        rc = status_fail(STATUS_FORMAT,
                         "%s: holds neither RaDialog's NAME_prompts.csv nor tasks.json", folder);
    return rc;
}

// --- all ----------------------------------------------------------------------------------------

status task_prompts_open(task_prompts **out, const char *path) {
    task_prompts *p = NULL;
    *out = NULL;
    status rc = mem_new(&p, 1, "prompts");
    if (rc) return rc;
    rc = mem_string(&p->path, path);
    if (!rc) rc = folder_exists(path) ? read_folder(p, path) : read_own(p, path);
    if (rc)
        task_prompts_close(p);
    else
        *out = p;
    return rc;
}

void task_prompts_close(task_prompts *p) {
    if (!p) return;
    for (int use = 0; use < TASK_USES; use++)
        for (int t = 0; t < TASK_TEXTS; t++) mem_free(p->list[use][t].at);
    buffer_free(&p->texts);
    mem_free(p->system);
    mem_free(p->path);
    mem_free(p);
}

uint32_t task_prompts_hash(const task_prompts *p) {
    uint32_t crc = p->system ? checksum_crc32(0, p->system, strlen(p->system)) : 0;
    for (int use = 0; use < TASK_USES; use++)
        for (int t = 0; t < TASK_TEXTS; t++) {
            const text_list *l = &p->list[use][t];
            for (size_t i = 0; i < l->count; i++) {
                const char *text = p->texts.data + l->at[i];
                crc = checksum_crc32(crc, text, strlen(text) + 1);
            }
            crc = checksum_crc32(crc, "\n", 1);
        }
    return crc;
}

const char *task_prompts_system(const task_prompts *p) {
    return p->system;
}

status task_prompts_need(const task_prompts *p, task_use use, task_text text) {
    if (p->list[use][text].count) return STATUS_OK;
    return status_fail(STATUS_FORMAT, "%s: has no prompt %s.%s", p->path, use_names[use],
                       text_names[text]);
}

int task_prompts_count(const task_prompts *p, task_use use, task_text text) {
    return (int)p->list[use][text].count;
}

void task_prompts_fill(buffer *out, const task_prompts *p, task_use use, task_text text, int i,
                       const task_words *words) {
    const text_list *l = &p->list[use][text];
    const char *const word[SLOTS] = {words->finding, words->add, words->remove, words->report,
                                     words->prompt};
    if (i < 0 || (size_t)i >= l->count)
        die("task_prompts: %s.%s %d of %zu", use_names[use], text_names[text], i, l->count);
    buffer_text(out, "");
    for (const char *c = p->texts.data + l->at[i]; *c; c++) {
        const int slot = *c - FIRST_SLOT;
        if (slot < 0 || slot >= SLOTS)
            buffer_append(out, c, 1);
        else
            buffer_text(out, word[slot] ? word[slot] : "");
    }
}

task_text task_correction_text(bool add, bool remove) {
    if (!add && !remove) die("task_correction_text: nothing is to be corrected");
    return add && remove ? TEXT_OF_CO_BOTH : add ? TEXT_OF_CO_ADD : TEXT_OF_CO_REM;
}
