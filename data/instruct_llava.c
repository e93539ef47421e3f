// Conversations in LLaVA's form (REFERENCE 6.10): messages without system text and roles, an
// image's path or a list of several, and <image> where the tokens of each stand. See instruct.h.
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

// All turns but the last, which is OUT's answer. As LLaVA has it, any turn of the user's may show an image.
static status read_turns(instruct_text *out, json_value list, const prompts *words,
                         int image_tokens) {
    enum { MOST = 64 };
    const char *message[MOST];
    buffer shown[MOST / 2] = {{0}};
    const size_t count = json_count(list);
    size_t i = 0;
    status rc = STATUS_OK;
    if (!count || count % 2 || count > MOST)
        return json_fail(list, "has %zu messages; 2 to %d are a conversation, by turns", count,
                         MOST);
    for (json_value v = json_first(list); v.node && !rc; v = json_next(v), i++)
        rc = read_turn(&message[i], v, (int)(i % 2));
    for (size_t k = 0; k < count / 2 && !rc; k++) {
        show_image(&shown[k], message[2 * k], words, image_tokens);
        message[2 * k] = shown[k].data;
        rc = shown[k].failed;
    }
    if (!rc) {
        buffer_text(&out->answer, message[count - 1]);
        message[count - 1] = NULL;
        prompts_conversation(&out->prompt, words, message, (int)count);
    }
    for (size_t k = 0; k < count / 2; k++) buffer_free(&shown[k]);
    if (!rc) rc = out->answer.failed;
    return rc ? rc : out->prompt.failed;
}

// Moves *AT behind a folder whose name begins with BEGIN.
static bool pass_folder(const char **at, const char *begin) {
    const size_t length = strlen(begin);
    const char *slash = strncmp(*at, begin, length) ? NULL : strchr(*at, '/');
    if (slash) *at = slash + 1;
    return slash != NULL;
}

// The dicom_id of the image at PATH: what stands behind MIMIC's folders, or all of it, without its ending, as the
// ids of a folder of images are.
static status take_path(instruct_text *out, json_value path) {
    const char *name, *behind;
    const status rc = json_text(&name, path);
    if (rc) return rc;
    behind = name;
    if (pass_folder(&behind, "files/") && pass_folder(&behind, "p") && pass_folder(&behind, "p") &&
        pass_folder(&behind, "s"))
        name = behind;
    const char *slash = strrchr(name, '/'), *dot = strrchr(name, '.');
    const size_t length = dot && (!slash || dot > slash) ? (size_t)(dot - name) : strlen(name);
    return length ? instruct_add_image(out, name, length) : json_fail(path, "names no image");
}

// One image is the one that id names, wherever it lies.
static status take_images(instruct_text *out, json_value object) {
    const json_value list = json_find(object, "image");
    status rc = STATUS_OK;
    if (json_kind_of(list) != JSON_LIST || json_count(list) == 1) return STATUS_OK;
    if (!json_count(list)) return json_fail(list, "names no image");
    for (json_value v = json_first(list); v.node && !rc; v = json_next(v)) rc = take_path(out, v);
    return rc;
}

status instruct_llava_row(instruct_text *out, json_value object, const prompts *words,
                          int image_tokens) {
    const char *id;
    json_value list;
    status rc = json_member_text(&id, object, "id");
    if (!rc && !*id) rc = json_fail(object, "names no image (id)");
    if (!rc) buffer_text(&out->id, id);
    if (!rc) rc = take_images(out, object);
    if (!rc) rc = json_member(&list, object, "conversations");
    if (!rc) rc = json_list(list);
    if (!rc) rc = out->id.failed;
    return rc ? rc : read_turns(out, list, words, image_tokens);
}

// --- out ----------------------------------------------------------------------------------------

typedef struct llava_writer {
    const prompts *words;
    const dataset *set; // or NULL
    int queries;        // image tokens of an image
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

static void print_images(buffer *out, const instruct_record *r, const dataset *set) {
    if (r->images < 2) {
        print_path(out, r->id, set);
        return;
    }
    for (int k = 0; k < r->images; k++) {
        buffer_text(out, k ? ",\n            " : "[\n            ");
        print_path(out, r->image[k], set);
    }
    buffer_text(out, "\n        ]");
}

// A message of the user's, a marker for each image's tokens; tokens that are no whole images stay.
static void print_shown(buffer *out, const llava_writer *w, const char *text) {
    const char *token = prompts_image_token(w->words);
    const size_t length = strlen(token);
    buffer whole = {0};
    for (const char *at; (at = strstr(text, token));) {
        int run = 0;
        buffer_append(&whole, text, (size_t)(at - text));
        for (text = at; !strncmp(text, token, length); text += length) run++;
        if (run % w->queries)
            buffer_append(&whole, at, (size_t)(text - at));
        else
            for (int k = 0; k < run / w->queries; k++) buffer_text(&whole, marker);
    }
    buffer_text(&whole, text);
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
    if (i % 2)
        buffer_json(out, text);
    else
        print_shown(out, w, text);
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
    print_images(b, r, w->set);
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
    llava_writer w = {.words = words, .set = set, .queries = instruct_facts_of(s)->queries};
    status rc = instruct_list_write(path, s, split, print_record, &w);
    buffer_free(&w.messages);
    return rc;
}
