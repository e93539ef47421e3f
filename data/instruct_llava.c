// Conversations in LLaVA's form (REFERENCE 6.10): messages without system text and roles, an
// image's path, and <image> where its tokens stand. See instruct.h.
#include "data/instruct_private.h"

#include <string.h>

static const char marker[] = "<image>";

// --- in -----------------------------------------------------------------------------------------

// What SIDE (0: the user's) says in a turn.
static status read_turn(const char **text, json_value turn, int side) {
    static const char *const sides[2] = {"human", "gpt"};
    const char *from;
    status rc = json_member_text(&from, turn, "from");
    if (!rc && strcmp(from, sides[side]))
        rc = json_fail(turn, "is from %.20s, and it is the turn of %s", from, sides[side]);
    return rc ? rc : json_member_text(text, turn, "value");
}

static void show_image(buffer *out, const char *text, const prompts *words, int image_tokens) {
    for (const char *at; (at = strstr(text, marker)); text = at + sizeof marker - 1) {
        buffer_append(out, text, (size_t)(at - text));
        for (int i = 0; i < image_tokens; i++) buffer_text(out, prompts_image_token(words));
    }
    buffer_text(out, text);
}

// All turns but the last, which is OUT's answer.
static status read_turns(instruct_text *out, json_value list, const prompts *words,
                         int image_tokens) {
    enum { MOST = 64 };
    const char *message[MOST];
    const size_t count = json_count(list);
    size_t i = 0;
    buffer first = {0};
    status rc = STATUS_OK;
    if (!count || count % 2 || count > MOST)
        return json_fail(list, "has %zu messages; 2 to %d are a conversation, by turns", count,
                         MOST);
    for (json_value v = json_first(list); v.node && !rc; v = json_next(v), i++)
        rc = read_turn(&message[i], v, (int)(i % 2));
    if (!rc) {
        show_image(&first, message[0], words, image_tokens);
        buffer_text(&out->answer, message[count - 1]);
        message[0] = first.data;
        message[count - 1] = NULL;
        rc = first.failed;
    }
    if (!rc) prompts_conversation(&out->prompt, words, message, (int)count);
    buffer_free(&first);
    if (!rc) rc = out->answer.failed;
    return rc ? rc : out->prompt.failed;
}

status instruct_llava_row(instruct_text *out, json_value object, const prompts *words,
                          int image_tokens) {
    const char *id;
    json_value list;
    status rc = json_member_text(&id, object, "id");
    if (!rc && !*id) rc = json_fail(object, "names no image (id)");
    if (!rc) buffer_text(&out->id, id);
    if (!rc) rc = json_member(&list, object, "conversations");
    if (!rc) rc = json_list(list);
    if (!rc) rc = out->id.failed;
    return rc ? rc : read_turns(out, list, words, image_tokens);
}

// --- out ----------------------------------------------------------------------------------------

typedef struct llava_writer {
    const prompts *words;
    const dataset *set; // or NULL
    buffer messages;    // of the latest record
} llava_writer;

// MIMIC-CXR-JPG's path of an image, as far as its ids are known.
static void print_path(buffer *out, const char *id, const dataset *set) {
    const int64_t record = set ? dataset_find(set, id) : -1;
    buffer path = {0};
    if (record >= 0) {
        const char *subject = dataset_id(set, record, ID_SUBJECT);
        buffer_print(&path, "files/p%.2s/p%s/s%s/", subject, subject,
                     dataset_id(set, record, ID_STUDY));
    }
    buffer_print(&path, "%s.jpg", id);
    if (path.failed)
        out->failed = path.failed;
    else
        buffer_json(out, path.data);
    buffer_free(&path);
}

// The user's first message, a marker for the run of image tokens.
static void print_first(buffer *out, const llava_writer *w, const char *text) {
    const char *token = prompts_image_token(w->words), *at = strstr(text, token);
    const size_t length = strlen(token);
    buffer whole = {0};
    buffer_append(&whole, text, at ? (size_t)(at - text) : strlen(text));
    if (at) buffer_text(&whole, marker);
    while (at && !strncmp(at, token, length)) at += length;
    if (at) buffer_text(&whole, at);
    if (whole.failed)
        out->failed = whole.failed;
    else
        buffer_json(out, whole.data);
    buffer_free(&whole);
}

static void print_message(buffer *out, const llava_writer *w, int i, const char *text) {
    buffer_print(
        out, "%s\n            {\n                \"from\": \"%s\",\n                \"value\": ",
        i ? "," : "", i % 2 ? "gpt" : "human");
    if (i)
        buffer_json(out, text);
    else
        print_first(out, w, text);
    buffer_text(out, "\n            }");
}

static status print_record(buffer *b, const instruct_record *r, void *context) {
    llava_writer *w = context;
    int count;
    w->messages.length = 0;
    status rc = prompts_split(&w->messages, &count, w->words, r->prompt);
    if (rc) return rc;
    buffer_text(b, "{\n        \"id\": ");
    buffer_json(b, r->id);
    buffer_text(b, ",\n        \"image\": ");
    print_path(b, r->id, w->set);
    buffer_text(b, ",\n        \"conversations\": [");
    const char *at = w->messages.data;
    for (int i = 0; i < count; i++, at += strlen(at) + 1) print_message(b, w, i, at);
    print_message(b, w, count, r->answer);
    buffer_text(b, "\n        ],\n        \"task_type\": ");
    buffer_json(b, strcmp(r->task, "report") ? r->task : "RG");
    buffer_text(b, "\n    }");
    return b->failed;
}

status instruct_llava_write(const char *path, instruct_set *s, int split, const prompts *words,
                            const dataset *set) {
    llava_writer w = {.words = words, .set = set};
    status rc = instruct_list_write(path, s, split, print_record, &w);
    buffer_free(&w.messages);
    return rc;
}
