// The model behind an HTTP server: a page, an OpenAI-compatible endpoint, and the queue between the
// server's thread, which takes requests, and the caller's, which computes. Requests join while
// others are being written. For `radialog serve`.
//
//   GET  /                     the page
//   GET  /health               {"status": "ok", "writing": n, "waiting": n, ...}
//   GET  /v1/models            the one model
//   POST /v1/chat/completions  train/serve_request.h; an answer says under "findings" what the
//   classifier found
//
// Errors are {"error": {"message": ..., "type": ..., "code": ...}}.
#pragma once
#include "core/http_server.h"
#include "train/assistant.h"

typedef struct service service;

typedef struct service_options {
    const char *model; // its name; borrowed
    int64_t waiting;   // requests that may be there at a time
    int64_t pixels;    // of a radiograph
    double seconds;    // of a request, from its arrival on
    bool
        local; // only this machine is answered to: names of other hosts are refused (DNS rebinding)
} service_options;

// A is borrowed. MEMORY.
status service_open(service **out, assistant *a, const service_options *o);
void service_close(service *s); // accepts NULL
// Takes a request; CONTEXT is the service. For http_options.
void service_request(void *context, http_exchange *x);
// Answers until a signal asks to stop, then those that have come; SERVER is quietened then.
// INTERRUPTED; what the model's device says.
status service_run(service *s, http_server *server);
