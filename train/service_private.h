// Shared by the files of the service.
#pragma once
#include "train/serve_request.h"
#include "train/service.h"

#include <pthread.h>

// A question, from its arrival to the end of its answer.
typedef struct job {
    struct job *next; // in the queue
    service *service;
    http_exchange *exchange;
    serve_request request;
    double arrived;
    int64_t number, created; // seconds since 1970
    // Once it is written:
    int64_t slot;
    const picture *picture; // only while it is asked
    buffer findings;        // as a JSON list; empty: nothing is said of them
    buffer ids;             // of the prompt
    answer_text text;
    int32_t said; // tokens
    decoder_state state;
    bool begun, over; // of a stream: something was sent; nothing more is said
} job;

struct service {
    assistant *assistant;
    service_options o;
    pthread_mutex_t lock;
    pthread_cond_t more;
    job *first, *last;        // the queue
    int64_t waiting, writing; // requests
    int64_t answered, number;
    bool draining;
    job **slot; // (slots): who is written there
};

// --- answers (service_answer.c) ------------------------------------------------------------------
// Ends X, which has no answer yet, with an error.
void service_refuse(http_exchange *x, int code, const char *message);
void service_health(service *s, http_exchange *x);
void service_models(const service *s, http_exchange *x);
void service_page(http_exchange *x);
// What the classifier says of P goes into j->findings.
status job_find(job *j, const picture *p);
// A stream's first piece; what was said since; the end, or the answer as a whole. MEMORY.
status job_begin(job *j);
status job_say(job *j, const char *text, size_t length);
status job_end(job *j);
// The answer ends with an error, whatever was said; once.
void job_fail(job *j, int code, const char *message);
