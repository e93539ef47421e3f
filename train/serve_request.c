#include "train/serve_request.h"
#include "core/base64.h"

#include <string.h>

enum { MESSAGES = 1024, MOST_TOKENS = 1 << 24 };

void serve_request_close(serve_request *r) {
    mem_free(r->model);
    mem_free(r->system);
    names_free(&r->message);
    buffer_free(&r->image);
    *r = (serve_request){0};
}

// A member that is there and not null.
static json_value given(json_value object, const char *key) {
    const json_value v = json_find(object, key);
    return json_kind_of(v) == JSON_NULL ? (json_value){0} : v;
}

// --- settings -----------------------------------------------------------------------------------
static status take_bool(bool *out, json_value object, const char *key) {
    const json_value v = given(object, key);
    return v.node ? json_bool(out, v) : STATUS_OK;
}

static status take_int(int64_t *out, json_value object, const char *key, int64_t min, int64_t max) {
    const json_value v = given(object, key);
    return v.node ? json_int(out, v, min, max) : STATUS_OK;
}

static status take_number(double *out, json_value object, const char *key, double min, double max) {
    const json_value v = given(object, key);
    if (!v.node) return STATUS_OK;
    status rc = json_number(out, v);
    if (!rc && !(*out >= min && *out <= max)) rc = json_fail(v, "must be from %g to %g", min, max);
    return rc;
}

// What would change the answer and is not there to be had. Other members that are not known say
// nothing about it.
static status refuse_unserved(json_value root) {
    static const char *const keys[] = {"tools",    "tool_choice",  "functions",  "function_call",
                                       "logprobs", "top_logprobs", "logit_bias", "stop",
                                       "audio",    "prediction"};
    static const char *const penalties[] = {"frequency_penalty", "presence_penalty"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_value v = given(root, keys[i]);
        bool wanted = v.node && (json_kind_of(v) != JSON_LIST && json_kind_of(v) != JSON_OBJECT
                                     ? true
                                     : json_count(v) > 0);
        if (wanted && json_kind_of(v) == JSON_BOOL && json_bool(&wanted, v)) return STATUS_FORMAT;
        if (wanted) return json_fail(v, "is not served");
    }
    for (size_t i = 0; i < 2; i++) {
        double penalty = 0;
        status rc = take_number(&penalty, root, penalties[i], -2, 2);
        if (!rc && (penalty > 0 || penalty < 0))
            rc = json_fail(json_find(root, penalties[i]), "is not served");
        if (rc) return rc;
    }
    const json_value format = given(root, "response_format");
    const char *type;
    if (!format.node) return STATUS_OK;
    status rc = json_member_text(&type, format, "type");
    return rc || !strcmp(type, "text") ? rc
                                       : json_fail(format, "of type %.40s is not served", type);
}

static status take_settings(serve_request *r, json_value root) {
    int64_t answers = 1;
    json_value options = given(root, "stream_options"), model = given(root, "model");
    const char *name = NULL;
    status rc = model.node ? json_text(&name, model) : STATUS_OK;
    if (!rc && name) rc = mem_string(&r->model, name);
    if (!rc) rc = take_bool(&r->stream, root, "stream");
    if (!rc && options.node) rc = json_object(options);
    if (!rc) rc = take_bool(&r->usage, options, "include_usage");
    if (!rc) rc = take_int(&r->most, root, "max_tokens", 1, MOST_TOKENS);
    if (!rc) rc = take_int(&r->most, root, "max_completion_tokens", 1, MOST_TOKENS);
    if (!rc) rc = take_number(&r->temperature, root, "temperature", 0, 2);
    if (!rc) rc = take_number(&r->top_p, root, "top_p", 1e-6, 1);
    if (!rc) rc = take_int(&r->seed, root, "seed", 0, INT64_C(1) << 53);
    if (!rc) rc = take_int(&answers, root, "n", 1, 1);
    return rc ? rc : refuse_unserved(root);
}

// --- messages -----------------------------------------------------------------------------------
// data:image/jpeg;base64,...
static status take_image(serve_request *r, json_value part, int number, bool first) {
    static const char base64[] = ";base64,";
    json_value object;
    const char *url, *comma;
    status rc = json_member(&object, part, "image_url");
    if (!rc && json_kind_of(object) == JSON_OBJECT)
        rc = json_member_text(&url, object, "url");
    else if (!rc)
        rc = json_text(&url, object);
    if (rc) return rc;
    if (!first)
        return json_fail(part,
                         "messages[%d]: has an image; a radiograph stands in the first message: "
                         "begin another conversation",
                         number);
    if (r->image.length)
        return json_fail(
            part, "messages[%d]: has a second image; a conversation is about one radiograph",
            number);
    if (strncmp(url, "data:", 5))
        return json_fail(object, "must be a data: URL with the image itself; nothing is fetched");
    comma = strchr(url, ',');
    if (!comma || comma - url < (ptrdiff_t)sizeof base64 ||
        strncmp(comma + 2 - sizeof base64, base64, sizeof base64 - 1))
        return json_fail(object, "must be data:image/jpeg;base64,..., data:image/png;base64,... or "
                                 "data:application/dicom;base64,...");
    rc = base64_decode(&r->image, comma + 1, strlen(comma + 1));
    if (rc == STATUS_FORMAT) return json_fail(object, "%s", status_text() + strlen("base64: "));
    return rc || r->image.length ? rc : json_fail(object, "holds no image");
}

static status take_part(serve_request *r, buffer *text, json_value part, int number, bool user,
                        bool first) {
    const char *type, *words;
    status rc = json_member_text(&type, part, "type");
    if (rc) return rc;
    if (!strcmp(type, "text")) {
        rc = json_member_text(&words, part, "text");
        if (!rc && text->length) buffer_text(text, "\n");
        if (!rc) buffer_text(text, words);
        return rc ? rc : text->failed;
    }
    if (!user || strcmp(type, "image_url"))
        return json_fail(
            part,
            "messages[%d]: has a part of type '%.40s'; there are text and, in a user's message, "
            "image_url",
            number, type);
    return take_image(r, part, number, first);
}

// A string, or a list of parts.
static status take_content(serve_request *r, buffer *text, json_value message, int number,
                           bool user, bool first) {
    json_value content;
    const char *words;
    buffer_text(text, "");
    status rc = json_member(&content, message, "content");
    if (!rc && json_kind_of(content) == JSON_TEXT) {
        rc = json_text(&words, content);
        if (!rc) buffer_text(text, words);
    } else if (!rc && json_kind_of(content) != JSON_LIST) {
        rc = json_fail(content, "of messages[%d] must be a text or a list of parts", number);
    } else if (!rc) {
        for (json_value part = json_first(content); part.node && !rc; part = json_next(part))
            rc = take_part(r, text, part, number, user, first);
    }
    return rc ? rc : text->failed;
}

static status keep_message(serve_request *r, json_value message, int number, const char *role) {
    buffer text = {0};
    const bool user = !strcmp(role, "user"), first = !r->message.count;
    const bool system = !user && strcmp(role, "assistant");
    status rc = take_content(r, &text, message, number, user, first);
    if (!rc && system)
        rc = mem_string(&r->system, text.data);
    else if (!rc && !text.length && !(first && r->image.length))
        rc = json_fail(message, "messages[%d]: is empty", number);
    else if (!rc)
        rc = names_add(&r->message, text.data);
    buffer_free(&text);
    return rc;
}

static status take_message(serve_request *r, json_value message, int number) {
    const char *role;
    status rc = json_member_text(&role, message, "role");
    if (rc) return rc;
    const bool user = !strcmp(role, "user");
    const bool system = !strcmp(role, "system") || !strcmp(role, "developer");
    if (!user && !system && strcmp(role, "assistant"))
        return json_fail(message,
                         "messages[%d]: the role '%.40s'; there are system, user and assistant",
                         number, role);
    if (system && (number || r->system))
        return json_fail(message, "messages[%d]: system stands first, once", number);
    if (!system && user == r->message.count % 2)
        return json_fail(
            message, "messages[%d]: is the %s's; user and assistant take turns, the user begins",
            number, role);
    return keep_message(r, message, number, role);
}

static status take_messages(serve_request *r, json_value root) {
    json_value list;
    int number = 0;
    status rc = json_member(&list, root, "messages");
    if (!rc) rc = json_list(list);
    if (!rc && (!json_count(list) || json_count(list) > MESSAGES))
        rc = json_fail(list, "has %zu messages; there must be 1 to %d", json_count(list), MESSAGES);
    for (json_value m = rc ? (json_value){0} : json_first(list); m.node && !rc; m = json_next(m))
        rc = take_message(r, m, number++);
    if (!rc && r->message.count % 2 == 0)
        rc = json_fail(list, "must end with a user's message, which is answered");
    return rc;
}

// The document goes: of what it holds beside the messages somebody could make a great deal.
status serve_request_parse(serve_request *r, const char *body, size_t size) {
    json *document = NULL;
    *r = (serve_request){.temperature = -1, .top_p = -1, .seed = -1};
    status rc = json_parse(&document, "body", body, size, 1);
    if (!rc) rc = json_object(json_root(document));
    if (!rc) rc = take_settings(r, json_root(document));
    if (!rc) rc = take_messages(r, json_root(document));
    json_close(document);
    return rc;
}
