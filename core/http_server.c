// HTTP through libmicrohttpd. See http_server.h.
//
// One thread of the library serves all connections. A connection whose answer has nothing to send
// is suspended and resumed by whoever brings more. One lock guards all exchanges. The library's
// lock of connections, which suspending and resuming take, is inside of it; its lock of a response
// around it.
#include "core/http_server.h"
#include "core/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

enum { HEADERS = 4, BLOCK = 4096, BACKLOG = 511 };

struct http_server {
    struct MHD_Daemon *daemon;
    http_options o;
    int port;
    pthread_mutex_t lock;
    pthread_cond_t less; // exchanges
    int64_t exchanges;   // that were handed over and whose connection is there
    size_t bodies;       // bytes
};

struct http_exchange {
    http_server *server;
    struct MHD_Connection *connection; // NULL: over
    int holders;                       // the library, the application
    char method[16], path[256], host[256], type[128];
    buffer body;
    bool too_large, crowded, handed;
    double start;
    // The answer.
    int code; // 0: none yet
    char answer_type[64];
    const char *header[HEADERS][2];
    int headers;
    buffer out;
    size_t sent; // of OUT
    bool pieces, ended, suspended;
};

// --- exchanges ----------------------------------------------------------------------------------
static void copy_text(char *out, size_t size, const char *text) {
    snprintf(out, size, "%s", text ? text : "");
}

static const char *header_of(struct MHD_Connection *c, const char *name) {
    return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

static http_exchange *exchange_new(http_server *s, struct MHD_Connection *c, const char *method,
                                   const char *path) {
    http_exchange *x;
    if (mem_new(&x, 1, "a request")) return NULL;
    const char *length = header_of(c, MHD_HTTP_HEADER_CONTENT_LENGTH);
    *x = (http_exchange){.server = s, .connection = c, .holders = 1, .start = clock_seconds()};
    copy_text(x->method, sizeof x->method, method);
    copy_text(x->path, sizeof x->path, path);
    copy_text(x->host, sizeof x->host, header_of(c, MHD_HTTP_HEADER_HOST));
    copy_text(x->type, sizeof x->type, header_of(c, MHD_HTTP_HEADER_CONTENT_TYPE));
    x->too_large = length && strtoull(length, NULL, 10) > s->o.body;
    return x;
}

// With the lock held, which it gives back.
static void let_go(http_exchange *x) {
    http_server *s = x->server;
    const bool last = !--x->holders;
    if (last) s->bodies -= x->body.length;
    pthread_mutex_unlock(&s->lock);
    if (!last) return;
    buffer_free(&x->body);
    buffer_free(&x->out);
    mem_free(x);
}

static void completed(void *context, struct MHD_Connection *c, void **state,
                      enum MHD_RequestTerminationCode why) {
    http_server *s = context;
    http_exchange *x = *state;
    (void)c, (void)why;
    if (!x) return;
    *state = NULL;
    pthread_mutex_lock(&s->lock);
    x->connection = NULL;
    s->exchanges -= x->handed;
    pthread_cond_broadcast(&s->less);
    let_go(x);
}

// --- answers ------------------------------------------------------------------------------------
// What there is, the end, or nothing yet: then the connection sleeps.
static ssize_t give_piece(void *context, uint64_t at, char *to, size_t room) {
    http_exchange *x = context;
    (void)at;
    pthread_mutex_lock(&x->server->lock);
    size_t n = x->out.length - x->sent;
    ssize_t given;
    if (n > room) n = room;
    if (n) {
        memcpy(to, x->out.data + x->sent, n);
        x->sent += n;
        given = (ssize_t)n;
    } else if (x->ended) {
        given =
            x->out.failed ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
        given = 0;
    }
    if (x->sent == x->out.length) x->sent = x->out.length = 0;
    pthread_mutex_unlock(&x->server->lock);
    return given;
}

// Without the lock: the library has one for each response, with which it calls give_piece. A whole
// answer is final by now; of pieces nothing is looked at.
static enum MHD_Result queue_answer(http_exchange *x) {
    struct MHD_Response *r =
        x->pieces ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, give_piece, x, NULL)
                  : MHD_create_response_from_buffer(x->out.length, x->out.length ? x->out.data : "",
                                                    MHD_RESPMEM_MUST_COPY);
    if (!r) return MHD_NO;
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, x->answer_type);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    for (int i = 0; i < x->headers; i++)
        MHD_add_response_header(r, x->header[i][0], x->header[i][1]);
    const bool sound = x->pieces || !x->out.failed;
    enum MHD_Result done = sound ? MHD_queue_response(x->connection, (unsigned)x->code, r) : MHD_NO;
    MHD_destroy_response(r);
    return done;
}

static void wake(http_exchange *x) {
    if (!x->suspended) return;
    x->suspended = false;
    if (x->connection) MHD_resume_connection(x->connection);
}

// --- requests -----------------------------------------------------------------------------------
// The request is there: it is handed over once, then its answer sent as soon as there is one.
static enum MHD_Result go_on(http_exchange *x) {
    http_server *s = x->server;
    pthread_mutex_lock(&s->lock);
    if (!x->handed) {
        x->handed = true;
        s->exchanges++;
        x->holders++;
        pthread_mutex_unlock(&s->lock);
        buffer_text(&x->body, ""); // a NUL
        s->o.request(s->o.context, x);
        pthread_mutex_lock(&s->lock);
    }
    const bool answered = x->code != 0;
    if (!answered) {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&s->lock);
    return answered ? queue_answer(x) : MHD_YES;
}

static enum MHD_Result take_body(http_exchange *x, const char *bytes, size_t count) {
    http_server *s = x->server;
    if (clock_seconds() - x->start > s->o.seconds) return MHD_NO;
    pthread_mutex_lock(&s->lock);
    x->too_large |= x->body.length + count > s->o.body;
    x->crowded |= s->bodies + count > s->o.bodies;
    s->bodies -= x->body.length;
    if (x->too_large || x->crowded)
        buffer_free(&x->body);
    else
        buffer_append(&x->body, bytes, count);
    s->bodies += x->body.length;
    pthread_mutex_unlock(&s->lock);
    return x->body.failed ? MHD_NO : MHD_YES;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *c, const char *path,
                              const char *method, const char *version, const char *bytes,
                              size_t *count, void **state) {
    http_exchange *x = *state;
    (void)version;
    if (!x) {
        *state = x = exchange_new(context, c, method, path);
        if (!x) return MHD_NO;
        // Who asks before sending is told at once; what others send has to be taken before they
        // listen.
        return x->too_large && header_of(c, MHD_HTTP_HEADER_EXPECT) ? go_on(x) : MHD_YES;
    }
    if (!*count) return go_on(x);
    const size_t n = *count;
    *count = 0;
    return take_body(x, bytes, n);
}

// --- the server ---------------------------------------------------------------------------------
typedef union any_address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
} any_address;

static status parse_address(any_address *out, const http_options *o) {
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, o->address, &out->four.sin_addr) == 1) {
        out->four.sin_family = AF_INET;
        out->four.sin_port = htons((uint16_t)o->port);
    } else if (inet_pton(AF_INET6, o->address, &out->six.sin6_addr) == 1) {
        out->six.sin6_family = AF_INET6;
        out->six.sin6_port = htons((uint16_t)o->port);
    } else
        return status_fail(STATUS_USAGE, "'%s' is no address in numbers, such as 127.0.0.1",
                           o->address);
    return STATUS_OK;
}

static status start(http_server *s) {
    any_address address;
    status rc = parse_address(&address, &s->o);
    if (rc) return rc;
    const unsigned six = address.any.sa_family == AF_INET6 ? MHD_USE_IPv6 : 0;
    errno = 0;
    // Not by epoll: libmicrohttpd 0.9.75 then does not see that who was let in has left already, and
    // where many came and left, answers nobody until their time is over.
    s->daemon = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | six,
        (uint16_t)s->o.port, NULL, NULL, handle, s, MHD_OPTION_SOCK_ADDR, &address.any,
        MHD_OPTION_NOTIFY_COMPLETED, completed, s, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)s->o.connections, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)s->o.seconds,
        MHD_OPTION_LISTEN_BACKLOG_SIZE, (unsigned)BACKLOG, MHD_OPTION_END);
    if (!s->daemon)
        return status_fail(STATUS_IO, "cannot listen on %s, port %d: %s", s->o.address, s->o.port,
                           errno ? strerror(errno) : "the HTTP library refuses");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    s->port = info ? info->port : s->o.port;
    return STATUS_OK;
}

status http_server_open(http_server **out, const http_options *o) {
    http_server *s;
    *out = NULL;
    status rc = mem_new(&s, 1, "a server");
    if (rc) return rc;
    *s =
        (http_server){.o = *o, .lock = PTHREAD_MUTEX_INITIALIZER, .less = PTHREAD_COND_INITIALIZER};
    rc = start(s);
    if (rc)
        mem_free(s);
    else
        *out = s;
    return rc;
}

int http_server_port(const http_server *s) {
    return s->port;
}

void http_server_quiet(http_server *s) {
    const MHD_socket listener = MHD_quiesce_daemon(s->daemon);
    if (listener >= 0) close(listener);
}

void http_server_close(http_server *s, double seconds) {
    struct timespec until;
    if (!s) return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)seconds;
    pthread_mutex_lock(&s->lock);
    for (int late = 0; s->exchanges && !late;)
        late = pthread_cond_timedwait(&s->less, &s->lock, &until);
    pthread_mutex_unlock(&s->lock);
    MHD_stop_daemon(s->daemon);
    pthread_cond_destroy(&s->less);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

// --- what the application sees -------------------------------------------------------------------
const char *http_method(const http_exchange *x) {
    return x->method;
}

const char *http_path(const http_exchange *x) {
    return x->path;
}

const char *http_host(const http_exchange *x) {
    return x->host;
}

const char *http_type(const http_exchange *x) {
    return x->type;
}

const char *http_body(const http_exchange *x, size_t *size) {
    *size = x->body.length;
    return x->body.data;
}

bool http_too_large(const http_exchange *x) {
    return x->too_large;
}

bool http_crowded(const http_exchange *x) {
    return x->crowded;
}

// A sleeping connection is not looked at by the library: its socket tells.
bool http_gone(http_exchange *x) {
    char byte;
    pthread_mutex_lock(&x->server->lock);
    bool gone = !x->connection;
    if (!gone) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        const ssize_t n = info ? recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) : 1;
        gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    }
    pthread_mutex_unlock(&x->server->lock);
    return gone;
}

void http_header(http_exchange *x, const char *name, const char *value) {
    if (x->headers == HEADERS) die("http_header: more than %d", HEADERS);
    x->header[x->headers][0] = name;
    x->header[x->headers++][1] = value;
}

static void answer(http_exchange *x, int code, const char *type, bool pieces) {
    if (x->code) die("http: a second answer to %s", x->path);
    copy_text(x->answer_type, sizeof x->answer_type, type);
    x->pieces = pieces;
    x->code = code;
    wake(x);
}

void http_answer(http_exchange *x, int code, const char *type, const void *bytes, size_t count) {
    pthread_mutex_lock(&x->server->lock);
    buffer_append(&x->out, bytes, count);
    answer(x, code, type, false);
    pthread_mutex_unlock(&x->server->lock);
}

void http_begin(http_exchange *x, int code, const char *type) {
    pthread_mutex_lock(&x->server->lock);
    answer(x, code, type, true);
    pthread_mutex_unlock(&x->server->lock);
}

void http_send(http_exchange *x, const void *bytes, size_t count) {
    pthread_mutex_lock(&x->server->lock);
    if (x->connection) buffer_append(&x->out, bytes, count);
    wake(x);
    pthread_mutex_unlock(&x->server->lock);
}

void http_end(http_exchange *x) {
    pthread_mutex_lock(&x->server->lock);
    x->ended = true;
    wake(x);
    pthread_mutex_unlock(&x->server->lock);
}

void http_release(http_exchange *x) {
    if (!x->code) die("http_release: %s was not answered", x->path);
    pthread_mutex_lock(&x->server->lock);
    let_go(x);
}

library_version http_server_version(void) {
    char built[32]; // 0x00097500: 0.9.75
    snprintf(built, sizeof built, "%x.%x.%x", MHD_VERSION >> 24, MHD_VERSION >> 16 & 0xFF,
             MHD_VERSION >> 8 & 0xFF);
    return version_texts(MHD_get_version(), built);
}
