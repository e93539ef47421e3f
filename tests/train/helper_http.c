#include "tests/train/helper_http.h"
#include "core/files/json.h"
#include "tests/train/helper_program.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void reply_free(reply *r) {
    free(r->head);
    free(r->body);
    *r = (reply){0};
}

int http_open(int port, const char *bytes) {
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)&to, sizeof to)) {
        close(fd);
        return -1;
    }
    for (size_t left = strlen(bytes); left;) {
        const ssize_t n = send(fd, bytes, left, MSG_NOSIGNAL);
        if (n < 0) break; // it may have heard enough
        bytes += n;
        left -= (size_t)n;
    }
    return fd;
}

// Chunks: a length in hexadecimal, a line's end, so many bytes, a line's end.
static void join_chunks(char *body) {
    char *to = body, *from = body, *end;
    for (size_t n; (n = strtoul(from, &end, 16)) && *end == '\r'; from = end + 2 + n + 2, to += n)
        memmove(to, end + 2, n);
    *to = 0;
}

reply http_receive(int fd) {
    reply r = {0};
    size_t size = 0, room = 1 << 16;
    char *text = malloc(room);
    for (ssize_t n; (n = recv(fd, text + size, room - size - 1, 0)) > 0;) {
        size += (size_t)n;
        if (room - size < 4096) text = realloc(text, room *= 2);
    }
    text[size] = 0;
    close(fd);
    char *body = strstr(text, "\r\n\r\n");
    if (!body || sscanf(text, "HTTP/1.1 %d", &r.code) != 1) {
        free(text);
        return r;
    }
    if (r.code == 100) { // the answer follows
        char *next = strdup(body + 4);
        free(text);
        text = next;
        body = strstr(text, "\r\n\r\n");
        if (!body || sscanf(text, "HTTP/1.1 %d", &r.code) != 1) r.code = 0;
    }
    r.body = strdup(body ? body + 4 : "");
    if (body) body[2] = 0;
    r.head = text;
    if (strcasestr(r.head, "Transfer-Encoding: chunked")) join_chunks(r.body);
    return r;
}

reply http_ask(int port, const char *method, const char *path, const char *lines, const char *body) {
    const size_t length = body ? strlen(body) : 0;
    char *text = malloc(length + strlen(lines) + 512);
    sprintf(text, "%s %s HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n%s", method, path, port, lines);
    if (body) sprintf(text + strlen(text), "Content-Length: %zu\r\n", length);
    strcat(strcat(text, "\r\n"), body ? body : "");
    const int fd = http_open(port, text);
    free(text);
    return fd < 0 ? (reply){0} : http_receive(fd);
}

reply http_chat(int port, const char *body) {
    return http_ask(port, "POST", "/v1/chat/completions", "Content-Type: application/json\r\n", body);
}

char *reply_text(const reply *r, const char *path) {
    json *document;
    char words[256];
    const char *text = NULL;
    ck_assert_msg(r->body && !json_parse(&document, "reply", r->body, strlen(r->body), 1), "%d %s", r->code, r->body);
    json_value v = json_root(document);
    snprintf(words, sizeof words, "%s", path);
    char *rest;
    for (char *word = strtok_r(words, ".", &rest); word; word = strtok_r(NULL, ".", &rest)) {
        if (json_kind_of(v) == JSON_LIST) {
            v = json_first(v);
            for (int i = atoi(word); i; i--) v = json_next(v);
        } else
            v = json_find(v, word);
    }
    ck_assert_msg(!json_text(&text, v), "no %s in %s", path, r->body);
    char *copy = strdup(text);
    json_close(document);
    return copy;
}

char *reply_stream(const reply *r, int *pieces, bool *ended) {
    char *all = calloc(1, strlen(r->body) + 1);
    *pieces = 0;
    *ended = false;
    for (char *at = r->body; !strncmp(at, "data: ", 6);) {
        char *end = strstr(at, "\n\n");
        ck_assert_msg(end != NULL, "half an event: %s", at);
        json *document;
        const char *text;
        *ended = !strncmp(at, "data: [DONE]", 12);
        if (!*ended) {
            ck_assert(!json_parse(&document, "event", at + 6, (size_t)(end - at) - 6, 1));
            const json_value delta = json_find(json_first(json_find(json_root(document), "choices")), "delta");
            if (json_find(delta, "content").node) {
                ck_assert(!json_member_text(&text, delta, "content"));
                strcat(all, text);
                *pieces += *text != 0;
            }
            json_close(document);
        }
        at = end + 2;
    }
    return all;
}

child serve_start(const char *out, const char *words) {
    child c = {.id = program_start_to(out, "serve %s --port 0 --quiet", words)};
    for (int i = 0; i < 3000 && !c.port; i++) {
        int state;
        char *text = read_file(out, NULL);
        ck_assert_msg(waitpid(c.id, &state, WNOHANG) == 0, "the server ended: serve %s", words);
        const char *colon = text && strchr(text, '\n') ? strrchr(text, ':') : NULL;
        if (colon) c.port = atoi(colon + 1);
        free(text);
        usleep(10000);
    }
    ck_assert_int_gt(c.port, 0);
    return c;
}

int serve_stop(child *c, int number) {
    int state = 0;
    kill(c->id, number);
    ck_assert_int_eq(waitpid(c->id, &state, 0), c->id);
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}
