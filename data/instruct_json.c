// Conversations as JSON, in and out. The file is mapped and cut into its elements once; each is
// parsed when its row is asked for, so that a file of a gigabyte costs sixteen bytes an element.
// See instruct.h.
#include "core/checksum.h"
#include "core/files/file_map.h"
#include "core/files/json.h"
#include "core/files/staged_file.h"
#include "data/instruct_private.h"
#include "data/tasks.h"

#include <string.h>

typedef struct element {
    size_t at;
    uint32_t length;
    int32_t line;
} element;

struct instruct_json {
    char *path;
    file_map map;
    element *list;
    size_t count, capacity;
    uint32_t crc;
    const prompts *words; // of LLaVA's form; borrowed
    int image_tokens;
};

// --- cutting ------------------------------------------------------------------------------------

typedef struct cursor {
    const char *text; // (size)
    size_t size, at;
    int64_t line;
} cursor;

static status bad_file(const instruct_json *j, const cursor *c, const char *what) {
    return status_fail(STATUS_FORMAT, "%s:%lld: %s", j->path, (long long)c->line, what);
}

static void pass_space(cursor *c) {
    for (; c->at < c->size && c->text[c->at] && strchr(" \t\r\n", c->text[c->at]); c->at++)
        c->line += c->text[c->at] == '\n';
}

static char look(const cursor *c) {
    return c->at < c->size ? c->text[c->at] : '\0';
}

// Moves behind the object that begins here: to the brace that closes it, texts passed over.
static bool pass_object(cursor *c) {
    int64_t depth = 0;
    bool quoted = false;
    for (; c->at < c->size; c->at++) {
        const char x = c->text[c->at];
        c->line += x == '\n';
        if (quoted && x == '\\') {
            c->at++;
        } else if (x == '"') {
            quoted = !quoted;
        } else if (!quoted && (x == '{' || x == '[')) {
            depth++;
        } else if (!quoted && (x == '}' || x == ']') && !--depth) {
            c->at++;
            return true;
        }
    }
    return false;
}

static status add_element(instruct_json *j, cursor *c) {
    const cursor begin = *c;
    if (look(c) != '{') return bad_file(j, c, "an element of the list must be an object");
    if (!pass_object(c)) return bad_file(j, &begin, "the object that begins here is not closed");
    const size_t length = c->at - begin.at;
    if (length > INT32_MAX || c->line > INT32_MAX)
        return bad_file(j, &begin, "the file is too large");
    status rc =
        mem_grow((void **)&j->list, &j->capacity, j->count + 1, sizeof *j->list, "conversations");
    if (!rc) j->list[j->count++] = (element){begin.at, (uint32_t)length, (int32_t)begin.line};
    return rc;
}

static status cut_list(instruct_json *j) {
    cursor c = {.text = (const char *)j->map.data, .size = j->map.size, .line = 1};
    pass_space(&c);
    if (look(&c) != '[') return bad_file(j, &c, "must be a list of objects, as RaDialog writes it");
    c.at++;
    pass_space(&c);
    bool more = look(&c) != ']';
    while (more) {
        status rc = add_element(j, &c);
        if (rc) return rc;
        pass_space(&c);
        more = look(&c) == ',';
        if (!more) break;
        c.at++;
        pass_space(&c);
    }
    if (look(&c) != ']') return bad_file(j, &c, "the list must go on with a comma or end with ]");
    c.at++;
    pass_space(&c);
    if (c.at < c.size) return bad_file(j, &c, "text behind the list");
    return j->count ? STATUS_OK
                    : status_fail(STATUS_FORMAT, "%s: there is no conversation in it", j->path);
}

status instruct_json_open(instruct_json **out, const char *path) {
    instruct_json *j = NULL;
    *out = NULL;
    status rc = mem_new(&j, 1, "conversations");
    if (rc) return rc;
    rc = mem_string(&j->path, path);
    if (!rc) rc = file_map_open(&j->map, path);
    if (!rc) j->crc = checksum_crc32(0, j->map.data, j->map.size);
    if (!rc) rc = cut_list(j);
    if (rc)
        instruct_json_close(j);
    else
        *out = j;
    return rc;
}

void instruct_json_close(instruct_json *j) {
    if (!j) return;
    file_map_close(&j->map);
    mem_free(j->list);
    mem_free(j->path);
    mem_free(j);
}

uint32_t instruct_json_checksum(const instruct_json *j) {
    return j->crc;
}

int64_t instruct_json_count(const instruct_json *j) {
    return (int64_t)j->count;
}

status instruct_json_element(json **out, const instruct_json *j, int64_t i) {
    const element *e = &j->list[i];
    return json_parse(out, j->path, (const char *)j->map.data + e->at, e->length, e->line);
}

// --- rows ---------------------------------------------------------------------------------------

static status take_member(buffer *out, json_value object, const char *key) {
    const char *text;
    status rc = json_member_text(&text, object, key);
    if (!rc) buffer_text(out, text);
    return rc ? rc : out->failed;
}

status instruct_add_image(instruct_text *t, const char *name, size_t length) {
    buffer_append(&t->images, name, length);
    buffer_append(&t->images, "", 1);
    return t->images.failed;
}

// One image, or a list of them, whose first names the record.
static status take_images(instruct_text *out, json_value object) {
    const json_value list = json_find(object, "dicom");
    const char *name;
    status rc = STATUS_OK;
    if (json_kind_of(list) != JSON_LIST) return take_member(&out->id, object, "dicom");
    for (json_value v = json_first(list); v.node && !rc; v = json_next(v)) {
        rc = json_text(&name, v);
        if (!rc && !*name) rc = json_fail(v, "names no image");
        if (!rc && !out->id.length) buffer_text(&out->id, name);
        if (!rc) rc = instruct_add_image(out, name, strlen(name));
    }
    return rc ? rc : out->id.failed;
}

// The original leaves `input` empty; where it is not, it stands behind the instruction and a blank
// (REFERENCE 5.6).
static status take_input(buffer *prompt, json_value object) {
    const json_value value = json_find(object, "input");
    const char *text = "";
    status rc = value.node ? json_text(&text, value) : STATUS_OK;
    if (rc || !*text) return rc;
    buffer_text(prompt, " ");
    buffer_text(prompt, text);
    return prompt->failed;
}

// Ours names reports so; what is not known is no task of ours.
const char *instruct_task(json_value object) {
    const json_value value = json_find(object, "task_type");
    const char *text;
    if (json_kind_of(value) != JSON_TEXT || json_text(&text, value)) return "report";
    const int t = task_find(text);
    return t < 0 ? "other" : t == TASK_RG ? "report" : task_names[t];
}

static status read_members(instruct_text *out, json_value object) {
    status rc = take_images(out, object);
    if (!rc) rc = take_member(&out->prompt, object, "instruction");
    if (!rc) rc = take_input(&out->prompt, object);
    if (!rc) rc = take_member(&out->answer, object, "output");
    if (!rc && !out->id.length) rc = json_fail(object, "names no image (dicom)");
    return rc;
}

static status read_row(instruct_text *out, instruct_skip *skip, const void *context, int split,
                       int64_t i) {
    const instruct_json *j = context;
    json *one = NULL;
    (void)split;
    *skip = INSTRUCT_SKIP_BAD_ROW;
    status rc = instruct_json_element(&one, j, i);
    const json_value object = rc ? (json_value){0} : json_root(one);
    if (!rc && json_find(object, "conversations").node && j->words)
        rc = instruct_llava_row(out, object, j->words, j->image_tokens);
    else if (!rc)
        rc = read_members(out, object);
    if (!rc) out->task = instruct_task(object);
    // As in the original's, a list of findings may be empty.
    out->may_be_empty = !rc && !strcmp(out->task, task_names[TASK_CPAQA]);
    json_close(one);
    return rc;
}

bool instruct_json_is_llava(const instruct_json *j) {
    json *one = NULL;
    const status rc = instruct_json_element(&one, j, 0);
    const bool is = !rc && json_find(json_root(one), "conversations").node;
    json_close(one);
    return is;
}

void instruct_json_words(instruct_json *j, const prompts *words, int image_tokens) {
    j->words = words;
    j->image_tokens = image_tokens;
}

instruct_source instruct_json_source(const instruct_json *j, int split) {
    instruct_source s = {.context = j, .row = read_row};
    s.rows[split] = (int64_t)j->count;
    return s;
}

// --- out ----------------------------------------------------------------------------------------

static status write_part(staged_file *f, buffer *b) {
    status rc = b->failed;
    if (!rc) rc = staged_write(f, b->data, b->length);
    b->length = 0;
    return rc;
}

static status write_list(staged_file *f, instruct_set *s, int split, instruct_print *print,
                         void *context) {
    buffer b = {0};
    instruct_record r;
    const int64_t count = instruct_count(s, split);
    status rc = STATUS_OK;
    buffer_text(&b, "[");
    for (int64_t i = 0; i < count && !rc; i++) {
        rc = instruct_read(s, split, i, &r);
        if (rc) break;
        buffer_text(&b, i ? ",\n    " : "\n    ");
        rc = print(&b, &r, context);
        if (!rc) rc = write_part(f, &b);
    }
    buffer_text(&b, count ? "\n]" : "]");
    if (!rc) rc = write_part(f, &b);
    buffer_free(&b);
    return rc;
}

status instruct_list_write(const char *path, instruct_set *s, int split, instruct_print *print,
                           void *context) {
    staged_file f = {0};
    status rc = staged_open(&f, path);
    if (!rc) rc = write_list(&f, s, split, print, context);
    if (!rc) rc = staged_finish(&f);
    staged_close(&f);
    return rc;
}

static void print_images(buffer *b, const instruct_record *r) {
    if (r->images < 2) {
        buffer_json(b, r->id);
        return;
    }
    for (int k = 0; k < r->images; k++) {
        buffer_text(b, k ? ",\n            " : "[\n            ");
        buffer_json(b, r->image[k]);
    }
    buffer_text(b, "\n        ]");
}

static status print_record(buffer *b, const instruct_record *r, void *context) {
    (void)context;
    buffer_text(b, "{\n        \"instruction\": ");
    buffer_json(b, r->prompt);
    buffer_text(b, ",\n        \"input\": \"\",\n        \"output\": ");
    buffer_json(b, r->answer);
    buffer_text(b, ",\n        \"dicom\": ");
    print_images(b, r);
    buffer_text(b, "\n    }");
    return b->failed;
}

status instruct_json_write(const char *path, instruct_set *s, int split) {
    return instruct_list_write(path, s, split, print_record, NULL);
}
