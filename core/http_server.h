// An HTTP/1.1 server for whoever works in one thread and answers many: whole requests come in on
// the server's own thread, answers go out as a whole or piece by piece from any thread. The only
// file that knows libmicrohttpd. It knows nothing of what is asked. Called by
// train/command_serve.c.
#pragma once
#include "core/buffer.h"
#include "core/version.h"

typedef struct http_server http_server;
typedef struct http_exchange http_exchange; // a request and its answer

typedef struct http_options {
    const char *address; // a number: "127.0.0.1", "::1", "0.0.0.0"
    int port;            // 0: any free one
    size_t body, bodies; // bytes of a request at most, and of all that are there together
    int connections;     // at a time; further ones wait
    int seconds;         // after which a connection is closed that says nothing or has not said all
    void *context;
    // A request has come, which is the callee's until http_release. Called by the server's thread,
    // which waits.
    void (*request)(void *context, http_exchange *x);
} http_options;

// Listens. USAGE (no such address), IO (the port is taken, ...), MEMORY.
status http_server_open(http_server **out, const http_options *o);
int http_server_port(const http_server *s);
// Takes no new connections; those that are there go on.
void http_server_quiet(http_server *s);
// Waits up to SECONDS for answers on their way, then ends. All exchanges must have been answered
// and released.
void http_server_close(http_server *s, double seconds); // accepts NULL

// --- the request, until http_release -------------------------------------------------------------
const char *http_method(const http_exchange *x);
const char *http_path(const http_exchange *x);               // without the query; cut at 255 bytes
const char *http_host(const http_exchange *x);               // of the header; "": none
const char *http_type(const http_exchange *x);               // Content-Type; "": none
const char *http_body(const http_exchange *x, size_t *size); // a NUL stands behind it
bool http_too_large(const http_exchange *x);                 // its body was thrown away
bool http_crowded(const http_exchange *x); // so it was, because of all that others sent
bool http_gone(http_exchange *x);          // nobody waits for the answer any more

// --- the answer, from any thread -----------------------------------------------------------------
// A header line; before the answer begins. NAME and VALUE are constants.
void http_header(http_exchange *x, const char *name, const char *value);
// The whole answer.
void http_answer(http_exchange *x, int code, const char *type, const void *bytes, size_t count);
// Or piece by piece.
void http_begin(http_exchange *x, int code, const char *type);
void http_send(http_exchange *x, const void *bytes, size_t count);
void http_end(http_exchange *x);
// The exchange is not used any more; it must have been answered.
void http_release(http_exchange *x);

// Of libmicrohttpd.
library_version http_server_version(void);
