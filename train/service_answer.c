// What the service sends: answers whole and piece by piece as OpenAI's clients read them, errors,
// facts, the page.
#include "train/serve_page.h"
#include "train/service_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char json_type[] = "application/json";

static void send_json(http_exchange *x, int code, buffer *b) {
    static const char broken[] =
        "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"code\":null}}";
    if (b->failed)
        http_answer(x, 500, json_type, broken, sizeof broken - 1);
    else
        http_answer(x, code, json_type, b->data, b->length);
    buffer_free(b);
}

// --- errors and facts ----------------------------------------------------------------------------
static void append_error(buffer *b, int code, const char *message) {
    static const struct {
        int code;
        const char *name;
    } known[] = {{404, "not_found"},
                 {405, "method_not_allowed"},
                 {413, "request_too_large"},
                 {503, "overloaded"}};
    const char *name = NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].code == code) name = known[i].name;
    buffer_text(b, "{\"error\":{\"message\":");
    buffer_json(b, message);
    buffer_print(
        b, ",\"type\":\"%s\",\"code\":", code < 500 ? "invalid_request_error" : "server_error");
    if (name)
        buffer_json(b, name);
    else
        buffer_text(b, "null");
    buffer_text(b, "}}");
}

void service_refuse(http_exchange *x, int code, const char *message) {
    buffer b = {0};
    append_error(&b, code, message);
    send_json(x, code, &b);
}

void service_health(service *s, http_exchange *x) {
    buffer b = {0};
    pthread_mutex_lock(&s->lock);
    buffer_print(&b, "{\"status\":\"%s\",\"waiting\":%lld,\"writing\":%lld,\"answered\":%lld}",
                 s->draining ? "ending" : "ok", (long long)s->waiting, (long long)s->writing,
                 (long long)s->answered);
    pthread_mutex_unlock(&s->lock);
    send_json(x, 200, &b);
}

void service_models(const service *s, http_exchange *x) {
    buffer b = {0};
    buffer_text(&b, "{\"object\":\"list\",\"data\":[{\"id\":");
    buffer_json(&b, s->o.model);
    buffer_text(&b, ",\"object\":\"model\",\"created\":0,\"owned_by\":\"radialog\"}]}");
    send_json(x, 200, &b);
}

// Whatever it shows, it loads and runs nothing from elsewhere.
void service_page(http_exchange *x) {
    http_header(x, "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                "img-src data: blob:; "
                "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    http_header(x, "X-Content-Type-Options", "nosniff");
    http_answer(x, 200, "text/html; charset=utf-8", serve_page, serve_page_size);
}

// --- answers ------------------------------------------------------------------------------------
status job_find(job *j, const picture *p) {
    const char *before = "";
    if (!j->service->assistant->eyes.finds) return STATUS_OK;
    buffer_text(&j->findings, "[");
    for (int c = 0; c < CLASS_COUNT; c++) {
        if (!p->found[c]) continue;
        buffer_print(&j->findings, "%s{\"name\":\"%s\",\"probability\":%.4f}", before,
                     class_names[c], 1 / (1 + exp(-(double)p->logits[c])));
        before = ",";
    }
    buffer_text(&j->findings, "]");
    return j->findings.failed;
}

static void append_head(buffer *b, const job *j, const char *object) {
    buffer_print(b, "{\"id\":\"chatcmpl-%lld-%lld\",\"object\":\"%s\",\"created\":%lld,\"model\":",
                 (long long)j->created, (long long)j->number, object, (long long)j->created);
    buffer_json(b, j->service->o.model);
}

static void append_usage(buffer *b, const job *j) {
    const long long asked = (long long)(j->ids.length / sizeof(int32_t));
    buffer_print(
        b, ",\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%d,\"total_tokens\":%lld}",
        asked, j->said, asked + j->said);
}

static const char *reason(const job *j) {
    return j->state == DECODER_FULL ? "length" : "stop";
}

static status send_piece(job *j, buffer *b) {
    const status rc = b->failed;
    buffer_text(b, "\n\n");
    if (!rc) http_send(j->exchange, b->data, b->length);
    buffer_free(b);
    return rc;
}

// One chunk of a stream: DELTA as JSON, and what stands behind its choices.
static status send_chunk(job *j, const buffer *delta, const char *finish, const buffer *behind) {
    buffer b = {0};
    buffer_text(&b, "data: ");
    append_head(&b, j, "chat.completion.chunk");
    buffer_print(&b, ",\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":",
                 delta->data ? delta->data : "{}");
    if (finish)
        buffer_json(&b, finish);
    else
        buffer_text(&b, "null");
    buffer_text(&b, "}]");
    if (behind && behind->length) {
        buffer_text(&b, ",\"findings\":");
        buffer_append(&b, behind->data, behind->length);
    }
    buffer_text(&b, "}");
    if (delta->failed) b.failed = delta->failed;
    return send_piece(j, &b);
}

status job_begin(job *j) {
    buffer delta = {0};
    if (!j->request.stream) return STATUS_OK;
    j->begun = true;
    http_begin(j->exchange, 200, "text/event-stream");
    buffer_text(&delta, "{\"role\":\"assistant\",\"content\":\"\"}");
    status rc = send_chunk(j, &delta, NULL, &j->findings);
    buffer_free(&delta);
    return rc;
}

status job_say(job *j, const char *text, size_t length) {
    buffer delta = {0}, piece = {0};
    if (!j->request.stream || !length) return STATUS_OK;
    buffer_append(&piece, text, length);
    buffer_text(&delta, "{\"content\":");
    if (!piece.failed) buffer_json(&delta, piece.data);
    buffer_text(&delta, "}");
    if (piece.failed) delta.failed = piece.failed;
    status rc = send_chunk(j, &delta, NULL, NULL);
    buffer_free(&piece);
    buffer_free(&delta);
    return rc;
}

static status end_stream(job *j) {
    buffer none = {0}, usage = {0}, done = {0};
    status rc = send_chunk(j, &none, reason(j), NULL);
    if (!rc && j->request.usage) {
        buffer_text(&usage, "data: ");
        append_head(&usage, j, "chat.completion.chunk");
        buffer_text(&usage, ",\"choices\":[]");
        append_usage(&usage, j);
        buffer_text(&usage, "}");
        rc = send_piece(j, &usage);
    }
    buffer_text(&done, "data: [DONE]");
    if (!rc) rc = send_piece(j, &done);
    buffer_free(&done);
    http_end(j->exchange);
    return rc;
}

status job_end(job *j) {
    buffer b = {0};
    j->over = true;
    if (j->request.stream) return end_stream(j);
    append_head(&b, j, "chat.completion");
    buffer_text(&b, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    buffer_json(&b, answer_text_all(&j->text));
    buffer_print(&b, "},\"finish_reason\":\"%s\"}]", reason(j));
    append_usage(&b, j);
    if (j->findings.length) {
        buffer_text(&b, ",\"findings\":");
        buffer_append(&b, j->findings.data, j->findings.length);
    }
    buffer_text(&b, "}");
    send_json(j->exchange, 200, &b);
    return STATUS_OK;
}

void job_fail(job *j, int code, const char *message) {
    buffer b = {0};
    j->over = true;
    if (!j->begun) {
        service_refuse(j->exchange, code, message);
        return;
    }
    buffer_text(&b, "data: ");
    append_error(&b, code, message);
    send_piece(j, &b);
    http_end(j->exchange);
}
