// The body of POST /v1/chat/completions, as OpenAI's clients send it: JSON from anybody. What it
// asks for is checked and handed over as a conversation; nothing is looked up, opened or fetched.
// For serve.
#pragma once
#include "core/files/fs.h"
#include "core/files/json.h"

typedef struct serve_request {
    char *model;               // NULL: not said
    char *system;              // NULL: the prompts' own
    names message;             // the user's first, then by turns; the last is the user's
    buffer image;              // bytes of the radiograph in the first message; empty: none
    bool stream, usage;        // piece by piece; and in the end what it took
    int64_t most;              // tokens of the answer; 0: not said
    double temperature, top_p; // below 0: not said
    int64_t seed;              // below 0: not said
} serve_request;

// BODY (SIZE), behind which stands a NUL. To be closed also after a failure. FORMAT says what is
// wrong and where; MEMORY.
status serve_request_parse(serve_request *r, const char *body, size_t size);
void serve_request_close(serve_request *r);
