#include "core/log.h"
#include "train/service_private.h"
#include "train/signals.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
    BAD_REQUEST = 400,
    FORBIDDEN = 403,
    NOT_FOUND = 404,
    NOT_ALLOWED = 405,
    TOO_LARGE = 413,
    NOT_JSON = 415,
    BROKEN = 500,
    BUSY = 503
};

// --- jobs ---------------------------------------------------------------------------------------
static void job_free(job *j) {
    http_release(j->exchange);
    serve_request_close(&j->request);
    answer_text_close(&j->text);
    buffer_free(&j->findings);
    buffer_free(&j->ids);
    mem_free(j);
}

status service_open(service **out, assistant *a, const service_options *o) {
    service *s;
    *out = NULL;
    status rc = mem_new(&s, 1, "a service");
    if (rc) return rc;
    *s = (service){.assistant = a,
                   .o = *o,
                   .lock = PTHREAD_MUTEX_INITIALIZER,
                   .more = PTHREAD_COND_INITIALIZER};
    a->eyes.rules.pixels = o->pixels;
    a->eyes.rules.setting = "serve.megapixels";
    rc = mem_new(&s->slot, decoder_free(a->decoder), "slots");
    if (rc)
        service_close(s);
    else
        *out = s;
    return rc;
}

void service_close(service *s) {
    if (!s) return;
    pthread_cond_destroy(&s->more);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->slot);
    mem_free(s);
}

// --- the server's thread -------------------------------------------------------------------------
// Pages of other hosts whose name was made to mean this machine send their own name.
static bool is_local(const char *host) {
    static const char *const known[] = {"127.0.0.1", "localhost", "[::1]"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const size_t length = strlen(known[i]);
        if (!strncasecmp(host, known[i], length) && (!host[length] || host[length] == ':'))
            return true;
    }
    return !*host; // HTTP/1.0
}

static bool is_json(const char *type) {
    static const char wanted[] = "application/json";
    const size_t length = sizeof wanted - 1;
    return !strncasecmp(type, wanted, length) && (!type[length] || strchr("; \t", type[length]));
}

static void refuse_method(http_exchange *x, const char *allowed) {
    char text[320];
    snprintf(text, sizeof text, "%s answers to %s alone", http_path(x), allowed);
    http_header(x, "Allow", allowed);
    service_refuse(x, NOT_ALLOWED, text);
}

// NULL, or why not.
static const char *enter_queue(service *s, job *j) {
    const char *why = NULL;
    pthread_mutex_lock(&s->lock);
    if (s->draining)
        why = "the server is ending";
    else if (s->waiting + s->writing >= s->o.waiting)
        why = "too many requests are waiting; try again later";
    if (!why) {
        j->number = s->number++;
        *(s->first ? &s->last->next : &s->first) = j;
        s->last = j;
        s->waiting++;
        pthread_cond_signal(&s->more);
    }
    pthread_mutex_unlock(&s->lock);
    return why;
}

static void refuse_busy(http_exchange *x, const char *why) {
    http_header(x, "Retry-After", "1");
    service_refuse(x, BUSY, why);
}

static status read_job(job *j, http_exchange *x) {
    size_t size;
    const char *body = http_body(x, &size);
    status rc = serve_request_parse(&j->request, body, size);
    if (!rc && j->request.image.length && !j->service->assistant->sees)
        return status_fail(STATUS_FORMAT,
                           "the server was started without --aligner: it sees no radiographs");
    return rc;
}

// The job goes on its way; or its exchange is answered with what is wrong, and is not needed any
// more.
static bool take_question(service *s, http_exchange *x) {
    job *j = NULL;
    const char *why = NULL;
    if (mem_new(&j, 1, "a request")) {
        service_refuse(x, BROKEN, status_text());
        return false;
    }
    *j = (job){
        .service = s, .exchange = x, .arrived = clock_seconds(), .created = (int64_t)time(NULL)};
    const status rc = read_job(j, x);
    if (rc)
        service_refuse(x, rc == STATUS_MEMORY ? BROKEN : BAD_REQUEST, status_text());
    else if (j->request.model && strcmp(j->request.model, s->o.model))
        service_refuse(x, NOT_FOUND, "there is no such model; /v1/models has the one there is");
    else if ((why = enter_queue(s, j)))
        refuse_busy(x, why);
    else
        return true;
    serve_request_close(&j->request);
    mem_free(j);
    return false;
}

// Whether X is somebody else's now.
static bool route(service *s, http_exchange *x) {
    const char *path = http_path(x);
    const bool post = !strcmp(http_method(x), "POST");
    const bool get = !strcmp(http_method(x), "GET") || !strcmp(http_method(x), "HEAD");
    const bool chat = !strcmp(path, "/v1/chat/completions");
    const bool page = !strcmp(path, "/"), health = !strcmp(path, "/health"),
               models = !strcmp(path, "/v1/models");
    if (s->o.local && !is_local(http_host(x)))
        service_refuse(x, FORBIDDEN, "only this machine is answered to, as localhost or 127.0.0.1");
    else if (!chat && !page && !health && !models)
        service_refuse(x, NOT_FOUND, "there are /, /health, /v1/models and /v1/chat/completions");
    else if (chat ? !post : !get)
        refuse_method(x, chat ? "POST" : "GET");
    else if (http_too_large(x))
        service_refuse(x, TOO_LARGE, "the request's body is too large (serve.body_mb)");
    else if (http_crowded(x))
        refuse_busy(x, "too many requests are waiting; try again later");
    else if (chat && !is_json(http_type(x)))
        service_refuse(x, NOT_JSON, "the body must be JSON, with Content-Type: application/json");
    else if (chat)
        return take_question(s, x);
    else if (page)
        service_page(x);
    else if (health)
        service_health(s, x);
    else
        service_models(s, x);
    return false;
}

void service_request(void *context, http_exchange *x) {
    if (!route(context, x)) http_release(x);
}

// --- the caller's thread -------------------------------------------------------------------------
// The oldest, where there is ROOM for it or it has waited too long.
static job *next_job(service *s, bool room) {
    pthread_mutex_lock(&s->lock);
    job *j = s->first;
    if (j && !room && clock_seconds() - j->arrived <= s->o.seconds) j = NULL;
    if (j) {
        s->first = j->next;
        s->waiting--;
        s->writing++;
    }
    pthread_mutex_unlock(&s->lock);
    return j;
}

static void finish(service *s, job *j) {
    pthread_mutex_lock(&s->lock);
    s->writing--;
    s->answered++;
    pthread_mutex_unlock(&s->lock);
    job_free(j);
}

static status hear(void *context, const int32_t *ids, int32_t count, decoder_state state) {
    job *j = context;
    const char *new;
    size_t length;
    j->said = count;
    j->state = state;
    j->over = state != DECODER_WRITES;
    if (state == DECODER_LOST) {
        job_fail(j, BROKEN, "no logit is a number: are the weights damaged?");
        return STATUS_OK;
    }
    status rc = answer_text_next(&j->text, ids, count, j->over, &new, &length);
    if (!rc) rc = job_say(j, new, length);
    if (!rc && j->over) rc = job_end(j);
    if (rc)
        job_fail(j, BROKEN,
                 status_text()); // no memory, or a token that the tokenizer lacks: the others go on
    return STATUS_OK;
}

static status look(job *j) {
    const service *s = j->service;
    const buffer *image = &j->request.image;
    if (!image->length) return STATUS_OK;
    status rc = image_reader_bytes(&s->assistant->eyes, image->data, image->length, "the image",
                                   &j->picture);
    return rc ? rc : job_find(j, j->picture);
}

static status ask(job *j) {
    const serve_request *r = &j->request;
    const assistant *a = j->service->assistant;
    const sampling choice = {.temperature =
                                 r->temperature < 0 ? a->choice.temperature : r->temperature,
                             .top_p = r->top_p < 0 ? a->choice.top_p : r->top_p,
                             .seed = r->seed < 0 ? a->choice.seed : (uint64_t)r->seed};
    const assistant_question q = {.system = r->system,
                                  .message = (const char *const *)r->message.name,
                                  .count = (int)r->message.count,
                                  .picture = j->picture,
                                  .most = r->most && r->most < a->most ? (int32_t)r->most : a->most,
                                  .choice = choice,
                                  .number = r->seed < 0 ? j->number
                                                        : 0, // a seed is to give the same again
                                  .context = j,
                                  .said = hear};
    status rc = assistant_ask(j->service->assistant, &q, &j->ids, &j->slot);
    j->picture = NULL;
    if (rc) return rc;
    rc = answer_text_begin(&j->text, a->language.tokens, (const int32_t *)(const void *)j->ids.data,
                           (int32_t)(j->ids.length / sizeof(int32_t)));
    if (rc)
        decoder_drop(j->service->assistant->decoder, j->slot);
    else
        j->service->slot[j->slot] = j;
    return rc;
}

// Into a slot; or it ends here. An error is the service's.
static status begin(service *s, job *j) {
    if (http_gone(j->exchange)) {
        job_fail(j, BUSY, "nobody waits");
    } else if (clock_seconds() - j->arrived > s->o.seconds) {
        job_fail(j, BUSY, "the request has waited too long (serve.seconds)");
    } else {
        status rc = look(j);
        if (!rc) rc = ask(j);
        if (!rc) {
            rc = job_begin(j);
            if (rc) job_fail(j, BROKEN, status_text());
            return STATUS_OK; // it is swept away where it is over
        }
        if (rc != STATUS_USAGE && rc != STATUS_FORMAT && rc != STATUS_MEMORY) return rc;
        job_fail(j, rc == STATUS_MEMORY ? BROKEN : BAD_REQUEST, status_text());
    }
    finish(s, j);
    return STATUS_OK;
}

// Those that are over, nobody waits for, or that take too long.
static void sweep(service *s, int64_t slots) {
    for (int64_t i = 0; i < slots; i++) {
        job *j = s->slot[i];
        if (!j) continue;
        const bool gone = !j->over && http_gone(j->exchange);
        const bool late = !j->over && clock_seconds() - j->arrived > s->o.seconds;
        if (!j->over && !gone && !late) continue;
        decoder_drop(s->assistant->decoder, i);
        if (!j->over) {
            j->state = DECODER_FULL; // as far as it came
            if (job_end(j)) job_fail(j, BROKEN, status_text());
        }
        s->slot[i] = NULL;
        finish(s, j);
    }
}

static int64_t requests(service *s) {
    pthread_mutex_lock(&s->lock);
    const int64_t count = s->waiting + s->writing;
    pthread_mutex_unlock(&s->lock);
    return count;
}

// Until there is something to do, or a moment has passed.
static void wait_for_work(service *s) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 200000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&s->lock);
    if (!s->first && !s->writing) pthread_cond_timedwait(&s->more, &s->lock, &until);
    pthread_mutex_unlock(&s->lock);
}

// Nobody is let in any more.
static void drain(service *s, http_server *server) {
    pthread_mutex_lock(&s->lock);
    const bool begun = s->draining;
    s->draining = true;
    pthread_mutex_unlock(&s->lock);
    if (!begun) http_server_quiet(server);
}

// After an error nobody is answered any more.
static void fail_all(service *s, int64_t slots) {
    for (int64_t i = 0; i < slots; i++) {
        job *j = s->slot[i];
        if (!j) continue;
        if (!j->over) job_fail(j, BROKEN, "the server has failed");
        s->slot[i] = NULL;
        finish(s, j);
    }
    for (job *j; (j = next_job(s, true));) {
        job_fail(j, BROKEN, "the server has failed");
        finish(s, j);
    }
}

status service_run(service *s, http_server *server) {
    decoder *d = s->assistant->decoder;
    const int64_t slots = decoder_free(d);
    status rc = STATUS_OK;
    for (bool idle = false; !rc; idle = !decoder_busy(d)) {
        if (signals_pending() && !s->draining) {
            log_info("signal %d: answers what has come, then ends", signals_pending());
            drain(s, server);
        }
        if (idle) wait_for_work(s);
        // One joins a step, so that those who are being written do not wait for many radiographs.
        job *j = next_job(s, decoder_free(d) > 0);
        if (j) rc = begin(s, j);
        if (!rc && decoder_busy(d)) rc = decoder_step(d);
        if (!rc) sweep(s, slots);
        if (s->draining && !requests(s)) break;
    }
    char text[1024];
    snprintf(text, sizeof text, "%s", status_text());
    drain(s, server);
    fail_all(s, slots);
    if (rc) return status_carry(rc, text);
    return status_fail(STATUS_INTERRUPTED, "stopped by signal %d after %lld answers",
                       signals_pending(), (long long)s->answered);
}
