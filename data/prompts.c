// Prompt files. See prompts.h.
//
// A template is taken apart once, when its file is opened, into literal texts and slots; filling it
// copies texts, so that nothing that is filled in can be mistaken for a slot.
#include "data/prompts_private.h"
#include "core/checksum.h"
#include "core/files/fs.h"
#include "core/files/json.h"

#include <stdio.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 20, VERSION = 1, NAME_SIZE = 80 };

static const char *const slot_names[SLOT_COUNT] = {"", "image", "findings", "instruction"};

// --- templates ----------------------------------------------------------------------------------

static bool has_slot(const template_text *t, slot kind) {
    for (int i = 0; i < t->count; i++)
        if (t->part[i].kind == kind) return true;
    return false;
}

static void add_literal(template_text *t, char c) {
    part *last = t->count ? &t->part[t->count - 1] : NULL;
    if (!last || last->kind != SLOT_TEXT) {
        last = &t->part[t->count++];
        *last = (part){SLOT_TEXT, t->text.length, 0};
    }
    buffer_append(&t->text, &c, 1);
    last->length++;
}

// The slot of the LENGTH bytes at NAME; ALLOWED: a bit for each kind that may stand here.
static status add_slot(template_text *t, json_value where, const char *name, size_t length,
                       unsigned allowed) {
    char known[NAME_SIZE] = "";
    for (int k = SLOT_IMAGE; k < SLOT_COUNT; k++) {
        if (!(allowed & 1u << k)) continue;
        const size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s{%s}", *known ? ", " : "", slot_names[k]);
        if (strlen(slot_names[k]) != length || strncmp(slot_names[k], name, length)) continue;
        if (has_slot(t, (slot)k)) return json_fail(where, "has {%s} twice", slot_names[k]);
        t->part[t->count++].kind = (slot)k;
        return STATUS_OK;
    }
    return json_fail(
        where,
        "has the unknown placeholder {%.*s}; there are: %s (a brace that is meant as such is "
        "doubled)",
        length > 40 ? 40 : (int)length, name, known);
}

// TEXT with its slots; those of NEEDED must be there.
static status parse_template(template_text *t, json_value where, const char *text, unsigned allowed,
                             unsigned needed) {
    status rc = STATUS_OK;
    for (const char *c = text; *c && !rc; c++) {
        if ((*c == '{' || *c == '}') && c[1] == *c) {
            add_literal(t, *c++);
        } else if (*c == '{') {
            const char *end = c + strcspn(c, "}");
            if (!*end)
                return json_fail(where, "has a { that is not closed (a brace as such is {{)");
            rc = add_slot(t, where, c + 1, (size_t)(end - c) - 1, allowed);
            c = end;
        } else if (*c == '}') {
            return json_fail(where, "has a } that closes nothing (a brace as such is }})");
        } else {
            add_literal(t, *c);
        }
    }
    for (int k = SLOT_IMAGE; k < SLOT_COUNT && !rc; k++)
        if (needed & 1u << k && !has_slot(t, (slot)k))
            rc = json_fail(where, "lacks the placeholder {%s}", slot_names[k]);
    return rc ? rc : t->text.failed;
}

static int count_word(const template_text *t, const char *word) {
    int count = 0;
    for (int i = 0; i < t->count; i++) {
        if (t->part[i].kind != SLOT_TEXT) continue;
        const char *at = t->text.data + t->part[i].at, *end = at + t->part[i].length;
        while ((at = memmem(at, (size_t)(end - at), word, strlen(word))))
            count++, at += strlen(word);
    }
    return count;
}

// A prompt for a report shows the image: by {image}, or by its tokens as they are.
static status parse_prompt(template_text *t, int *tokens, const prompts *p, json_value value,
                           unsigned needed) {
    const unsigned image = 1u << SLOT_IMAGE;
    const char *text;
    status rc = json_text(&text, value);
    if (!rc) rc = parse_template(t, value, text, image | needed, needed);
    if (rc) return rc;
    *tokens = count_word(t, p->image_token);
    if (*tokens && has_slot(t, SLOT_IMAGE))
        return json_fail(value, "has {image} and %s beside it", p->image_token);
    if (!*tokens && !has_slot(t, SLOT_IMAGE))
        return json_fail(value, "lacks the placeholder {image}, or as many %s as an image has",
                         p->image_token);
    return STATUS_OK;
}

static void fill(buffer *out, const template_text *t, const char *const values[SLOT_COUNT]) {
    for (int i = 0; i < t->count; i++) {
        const part *x = &t->part[i];
        if (x->kind == SLOT_TEXT)
            buffer_append(out, t->text.data + x->at, x->length);
        else
            buffer_text(out, values[x->kind]);
    }
}

// --- files --------------------------------------------------------------------------------------

// The member's text, which must hold something, as a copy.
static status take_text(char **out, json_value value) {
    const char *text;
    status rc = json_text(&text, value);
    if (!rc && !*text) rc = json_fail(value, "is empty");
    return rc ? rc : mem_string(out, text);
}

static status take_member(char **out, json_value object, const char *key) {
    json_value value;
    status rc = json_member(&value, object, key);
    return rc ? rc : take_text(out, value);
}

static status take_pair(char *out[2], json_value object, const char *key) {
    json_value list;
    status rc = json_member(&list, object, key);
    if (!rc) rc = json_list(list);
    if (!rc && json_count(list) != 2)
        rc = json_fail(list, "must be two texts, the user's and the assistant's");
    if (rc) return rc;
    const json_value first = json_first(list);
    rc = take_text(&out[0], first);
    return rc ? rc : take_text(&out[1], json_next(first));
}

static status refuse_unknown(json_value root) {
    static const char *const known[] = {"format",
                                        "version",
                                        "system",
                                        "roles",
                                        "separators",
                                        "report",
                                        "report_without_findings",
                                        "image_token"};
    for (json_value v = json_first(root); v.node; v = json_next(v)) {
        size_t i = 0;
        while (i < sizeof known / sizeof *known && strcmp(known[i], json_key(v))) i++;
        if (i == sizeof known / sizeof *known)
            return json_fail(v, "is no key of a file of prompts");
    }
    return STATUS_OK;
}

static status read_own(prompts *p, json_value root) {
    const char *format;
    int64_t version;
    int tokens;
    json_value value;
    status rc = json_member_text(&format, root, "format");
    if (!rc && strcmp(format, "radialog-prompts")) rc = json_fail(root, "is no file of prompts");
    if (!rc) rc = json_member_int(&version, root, "version", VERSION, VERSION);
    if (!rc) rc = refuse_unknown(root);
    if (!rc && !p->system) rc = take_member(&p->system, root, "system");
    if (!rc) rc = take_pair(p->role, root, "roles");
    if (!rc) rc = take_pair(p->separator, root, "separators");
    if (!rc && json_find(root, "image_token").node) {
        mem_free(p->image_token);
        p->image_token = NULL;
        rc = take_member(&p->image_token, root, "image_token");
    }
    if (!rc) rc = json_member(&value, root, "report");
    if (!rc) rc = parse_prompt(&p->report, &p->literal_tokens, p, value, 1u << SLOT_FINDINGS);
    value = rc ? (json_value){0} : json_find(root, "report_without_findings");
    if (!rc && value.node) rc = parse_prompt(&p->plain, &tokens, p, value, 0);
    if (!rc && value.node && tokens != p->literal_tokens)
        rc = json_fail(value, "holds %d %s, the prompt with findings %d", tokens, p->image_token,
                       p->literal_tokens);
    return rc;
}

static status read_radialog(prompts *p, json_value root, const prompts_files *files) {
    const char *key = files->key && *files->key ? files->key : PROMPTS_RADIALOG_KEY;
    const json_value value = json_find(root, key);
    if (!value.node)
        return json_fail(
            root, "has neither the format of radialog's prompts nor the prompt \"%.80s\"", key);
    if (!p->system)
        return status_fail(
            STATUS_USAGE,
            "%s: holds prompts alone: give the system text that stands before them as a text "
            "file of its own",
            files->prompts);
    status rc = mem_string(&p->role[0], "USER");
    if (!rc) rc = mem_string(&p->role[1], "ASSISTANT");
    if (!rc) rc = mem_string(&p->separator[0], " ");
    if (!rc) rc = mem_string(&p->separator[1], "</s>");
    return rc ? rc : parse_prompt(&p->report, &p->literal_tokens, p, value, 1u << SLOT_FINDINGS);
}

// One line feed at the end of the file is the editor's.
static status read_system(prompts *p, const char *path) {
    buffer text = {0};
    status rc = file_read(path, FILE_LIMIT, &text);
    if (!rc && !text_is_utf8(text.data, text.length))
        rc = status_fail(STATUS_FORMAT, "%s: is no UTF-8 text", path);
    if (!rc && text.length && text.data[text.length - 1] == '\n') text.data[--text.length] = 0;
    if (!rc && text.length && text.data[text.length - 1] == '\r') text.data[--text.length] = 0;
    if (!rc && !text.length) rc = status_fail(STATUS_FORMAT, "%s: is empty", path);
    if (!rc) rc = mem_string(&p->system, text.data);
    buffer_free(&text);
    return rc;
}

static status read_wrapper(prompts *p, const char *path) {
    json *file = NULL;
    json_value value;
    const char *text;
    status rc = json_read(&file, path, FILE_LIMIT);
    if (!rc) rc = json_member(&value, json_root(file), "prompt_no_input");
    if (!rc) rc = json_text(&text, value);
    if (!rc)
        rc = parse_template(&p->wrapper, value, text, 1u << SLOT_INSTRUCTION,
                            1u << SLOT_INSTRUCTION);
    if (!rc && json_find(json_root(file), "response_split").node) {
        mem_free(p->mark);
        p->mark = NULL;
        rc = take_member(&p->mark, json_root(file), "response_split");
    }
    json_close(file);
    return rc;
}

static status set_mark(prompts *p) {
    char mark[256];
    if (snprintf(mark, sizeof mark, "%s:", p->role[1]) >= (int)sizeof mark)
        return status_fail(STATUS_FORMAT, "the assistant's role '%.40s...' is too long",
                           p->role[1]);
    return mem_string(&p->mark, mark);
}

static status read_files(prompts *p, const prompts_files *files) {
    json *file = NULL;
    status rc = mem_string(&p->image_token, PROMPTS_IMAGE_TOKEN);
    if (!rc && files->system && *files->system) rc = read_system(p, files->system);
    if (!rc) rc = json_read(&file, files->prompts, FILE_LIMIT);
    if (!rc) rc = json_object(json_root(file));
    if (!rc)
        rc = json_find(json_root(file), "format").node ? read_own(p, json_root(file))
                                                       : read_radialog(p, json_root(file), files);
    json_close(file);
    if (!rc) rc = set_mark(p);
    if (!rc && files->wrapper && *files->wrapper) rc = read_wrapper(p, files->wrapper);
    return rc;
}

status prompts_open(prompts **out, const prompts_files *files) {
    prompts *p = NULL;
    *out = NULL;
    status rc = mem_new(&p, 1, "prompts");
    if (rc) return rc;
    rc = read_files(p, files);
    if (rc)
        prompts_close(p);
    else
        *out = p;
    return rc;
}

void prompts_close(prompts *p) {
    if (!p) return;
    for (int i = 0; i < 2; i++) {
        mem_free(p->role[i]);
        mem_free(p->separator[i]);
    }
    buffer_free(&p->report.text);
    buffer_free(&p->plain.text);
    buffer_free(&p->wrapper.text);
    mem_free(p->system);
    mem_free(p->image_token);
    mem_free(p->mark);
    mem_free(p);
}

// --- asking -------------------------------------------------------------------------------------

static uint32_t hash_text(uint32_t crc, const char *text) {
    return checksum_crc32(crc, text, strlen(text) + 1);
}

static uint32_t hash_template(uint32_t crc, const template_text *t) {
    for (int i = 0; i < t->count; i++) {
        const part *x = &t->part[i];
        crc = hash_text(crc, slot_names[x->kind]);
        if (x->kind == SLOT_TEXT) crc = checksum_crc32(crc, t->text.data + x->at, x->length);
    }
    return hash_text(crc, ".");
}

uint32_t prompts_hash(const prompts *p) {
    uint32_t crc = hash_text(0, p->system);
    for (int i = 0; i < 2; i++) crc = hash_text(hash_text(crc, p->role[i]), p->separator[i]);
    crc = hash_text(hash_text(crc, p->image_token), p->mark);
    return hash_template(hash_template(hash_template(crc, &p->report), &p->plain), &p->wrapper);
}

const char *prompts_image_token(const prompts *p) {
    return p->image_token;
}

bool prompts_without_findings(const prompts *p) {
    return p->plain.count > 0;
}

int prompts_literal_tokens(const prompts *p) {
    return p->literal_tokens;
}

void prompts_report(buffer *out, const prompts *p, const char *findings, int image_tokens) {
    const template_text *t = findings ? &p->report : &p->plain;
    buffer image = {0};
    if (!t->count) die("prompts: there is none without findings");
    buffer_text(&image, "");
    for (int i = 0; i < image_tokens; i++) buffer_text(&image, p->image_token);
    if (image.failed)
        out->failed = image.failed;
    else
        fill(out, t, (const char *const[SLOT_COUNT]){[SLOT_IMAGE] = image.data, [SLOT_FINDINGS] = findings});
    buffer_free(&image);
}

static void append_turns(buffer *out, const prompts *p, const char *system,
                         const char *const *message, int count) {
    buffer_text(out, system ? system : p->system);
    buffer_text(out, p->separator[0]);
    for (int i = 0; i < count; i++) {
        buffer_text(out, p->role[i % 2]);
        buffer_text(out, ":");
        if (!message[i] || !*message[i]) continue;
        buffer_text(out, " ");
        buffer_text(out, message[i]);
        buffer_text(out, p->separator[i % 2]);
    }
}

void prompts_conversation(buffer *out, const prompts *p, const char *const *message, int count) {
    prompts_conversation_as(out, p, NULL, message, count);
}

void prompts_conversation_as(buffer *out, const prompts *p, const char *system,
                             const char *const *message, int count) {
    bool done = false;
    for (int i = 0; i < p->wrapper.count; i++) {
        const part *x = &p->wrapper.part[i];
        if (x->kind == SLOT_TEXT) {
            buffer_append(out, p->wrapper.text.data + x->at, x->length);
            continue;
        }
        append_turns(out, p, system, message, count);
        done = true;
    }
    if (!done) append_turns(out, p, system, message, count);
}

void prompts_follow(buffer *out, const prompts *p, const char *prompt, const char *answer,
                    const char *question) {
    const char *const piece[] = {prompt, " ",      answer,          p->separator[1], p->role[0],
                                 ": ",   question, p->separator[0], p->role[1],      ":"};
    for (size_t i = 0; i < sizeof piece / sizeof *piece; i++) buffer_text(out, piece[i]);
}
