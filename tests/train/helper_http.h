// A client of `radialog serve` over real sockets, and the server as a child.
#pragma once
#include <stdbool.h>
#include <sys/types.h>

typedef struct reply {
    int code;   // 0: the connection ended without an answer
    char *head; // lines up to the empty one
    char *body; // with the marks of chunks taken out
} reply;
void reply_free(reply *r);

// One request on a connection of its own, with these header LINES (each ended by \r\n) and BODY (NULL: none).
reply http_ask(int port, const char *method, const char *path, const char *lines, const char *body);
// POST /v1/chat/completions with BODY as JSON.
reply http_chat(int port, const char *body);
// Connects and sends BYTES as they are; the descriptor.
int http_open(int port, const char *bytes);
// All that comes until the other side closes.
reply http_receive(int fd);

// The JSON text at KEY of the object or list element (a number) by object, such as "choices.0.message.content"; free.
char *reply_text(const reply *r, const char *path);
// What a stream's pieces add up to; free. *PIECES: how many had something; *ENDED: by [DONE].
char *reply_stream(const reply *r, int *pieces, bool *ended);

typedef struct child {
    pid_t id;
    int port;
} child;
// `radialog serve WORDS --port 0`, listening; its output in the file OUT.
child serve_start(const char *out, const char *words);
// Sends SIGNAL and waits; the exit status.
int serve_stop(child *c, int signal);
