#include "core/watchdog.h"
#include "core/log.h"
#include "core/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

// What ranks tell each other; one datagram each. Ranks are of one program, so of one byte order.
typedef enum message_kind { ASK, STAND, VERDICT } message_kind;
enum { MOST_NAMED = 64, OPERATION_SIZE = 32 };
typedef struct message {
    uint64_t word; // the receiver's
    int32_t kind, from;
    int64_t sequence;               // STAND: of the latest operation
    char operation[OPERATION_SIZE]; // STAND: its name; empty between operations
    int32_t late[MOST_NAMED], count; // VERDICT: the ranks that were found late
} message;

// Where a rank stands, as it answered.
typedef struct standing {
    bool answered;
    int64_t sequence;
    char operation[OPERATION_SIZE];
} standing;

struct watchdog {
    int rank, size;
    double seconds;
    pthread_t thread;
    pthread_mutex_t lock;
    bool closing;
    const char *operation; // NULL: disarmed
    int64_t sequence;      // of the latest operation, also when disarmed
    double since;
    int socket; // -1: none
    watchdog_address own, *peer; // (size); peer NULL until they met
    struct sockaddr_in *to;      // (size); port 0: cannot be reached
    standing *standing;          // (size)
};

// --- messages ----------------------------------------------------------------------------------------
static void tell(watchdog *w, int rank, message *m) {
    m->word = w->peer[rank].word;
    m->from = w->rank;
    if (w->to[rank].sin_port && rank != w->rank)
        (void)!sendto(w->socket, m, sizeof *m, MSG_DONTWAIT, (struct sockaddr *)&w->to[rank], sizeof w->to[rank]);
}

static void tell_all(watchdog *w, message *m) {
    for (int i = 0; i < w->size; i++) tell(w, i, m);
}

static void answer(watchdog *w, int rank) {
    message m = {.kind = STAND};
    pthread_mutex_lock(&w->lock);
    m.sequence = w->sequence;
    if (w->operation) snprintf(m.operation, sizeof m.operation, "%s", w->operation);
    pthread_mutex_unlock(&w->lock);
    tell(w, rank, &m);
}

static bool has_met(watchdog *w) {
    pthread_mutex_lock(&w->lock);
    bool met = w->peer != NULL;
    pthread_mutex_unlock(&w->lock);
    return met;
}

// Whether *M came within WAIT seconds, from a rank of this run.
static bool receive(watchdog *w, message *m, double wait) {
    struct pollfd p = {.fd = w->socket, .events = POLLIN};
    if (poll(&p, w->socket >= 0, (int)(1e3 * wait) + 1) <= 0) return false;
    ssize_t n = recv(w->socket, m, sizeof *m, MSG_DONTWAIT);
    m->operation[OPERATION_SIZE - 1] = 0;
    return n == (ssize_t)sizeof *m && m->word == w->own.word && has_met(w) && m->from >= 0 &&
           m->from < w->size && m->count >= 0 && m->count <= MOST_NAMED;
}

// --- the end -----------------------------------------------------------------------------------------
static int listed(char *line, size_t room, const int32_t *late, int count, const standing *known) {
    int used = 0;
    for (int i = 0; i < count && used < (int)room; i++) {
        used += snprintf(line + used, room - (size_t)used, "%s rank %d", i ? "," : "; it waits for", late[i]);
        if (!known || used >= (int)room) continue;
        const standing *s = &known[late[i]];
        if (!s->answered)
            used += snprintf(line + used, room - (size_t)used, " (does not answer)");
        else
            used += snprintf(line + used, room - (size_t)used, " (%s %s %lld)", s->operation[0] ? "in" : "after",
                             s->operation[0] ? s->operation : "operation", (long long)s->sequence);
    }
    return used;
}

static _Noreturn void end(watchdog *w, const message *verdict, const standing *known) {
    char line[1024];
    bool mine = false;
    for (int i = 0; i < verdict->count; i++) mine |= verdict->late[i] == w->rank;
    if (mine) _exit(1); // the others say it
    pthread_mutex_lock(&w->lock); // for good
    size_t used = (size_t)snprintf(line, sizeof line, "radialog: rank %d of %d: ", w->rank, w->size);
    if (w->operation)
        used += (size_t)snprintf(line + used, sizeof line - used, "%s %lld has not ended within %g seconds",
                                 w->operation, (long long)w->sequence, w->seconds);
    else
        used += (size_t)snprintf(line + used, sizeof line - used, "another rank waits in vain");
    used += (size_t)listed(line + used, sizeof line - used, verdict->late, verdict->count, known);
    if (used > sizeof line - 2) used = sizeof line - 2;
    line[used++] = '\n';
    (void)!write(STDERR_FILENO, line, used);
    _exit(1);
}

// Which ranks to wait for: those that do not answer; if all do, those that stand behind and are in no operation
// (they compute, or hang in something else); if there is none, those furthest behind. An operation may end on
// one rank before it does on another, so to stand one behind is not to be late.
static void find_late(const watchdog *w, message *verdict) {
    for (int rule = 0; rule < 3 && !verdict->count; rule++) {
        int64_t least = w->sequence;
        for (int i = 0; i < w->size; i++)
            if (i != w->rank && w->standing[i].sequence < least) least = w->standing[i].sequence;
        for (int i = 0; i < w->size && verdict->count < MOST_NAMED; i++) {
            const standing *s = &w->standing[i];
            bool behind = s->sequence < w->sequence;
            bool late = rule == 0   ? !s->answered
                        : rule == 1 ? behind && !s->operation[0]
                                    : behind && s->sequence == least;
            if (i != w->rank && late) verdict->late[verdict->count++] = i;
        }
    }
}

// Asks all ranks where they stand, and ends.
static _Noreturn void end_late(watchdog *w) {
    message ask = {.kind = ASK}, got, verdict = {.kind = VERDICT};
    bool met = has_met(w);
    if (met) tell_all(w, &ask);
    for (double until = clock_seconds() + 1; met && clock_seconds() < until;) {
        if (!receive(w, &got, until - clock_seconds())) continue;
        if (got.kind == ASK) answer(w, got.from);
        if (got.kind == VERDICT) end(w, &got, NULL);
        if (got.kind != STAND) continue;
        standing *s = &w->standing[got.from];
        s->answered = true;
        s->sequence = got.sequence;
        snprintf(s->operation, sizeof s->operation, "%s", got.operation);
    }
    if (met) find_late(w, &verdict);
    if (met) tell_all(w, &verdict);
    end(w, &verdict, w->standing);
}

// --- the thread --------------------------------------------------------------------------------------
static bool is_late(watchdog *w) {
    pthread_mutex_lock(&w->lock);
    bool late = w->operation && clock_seconds() - w->since > w->seconds;
    pthread_mutex_unlock(&w->lock);
    return late;
}

static bool is_closing(watchdog *w) {
    pthread_mutex_lock(&w->lock);
    bool closing = w->closing;
    pthread_mutex_unlock(&w->lock);
    return closing;
}

static void *watch(void *context) {
    watchdog *w = context;
    double tick = w->seconds / 20 < 0.2 ? w->seconds / 20 : 0.2;
    while (!is_closing(w)) {
        message got;
        if (receive(w, &got, tick)) {
            if (got.kind == ASK) answer(w, got.from);
            if (got.kind == VERDICT) end(w, &got, NULL);
        }
        if (is_late(w)) end_late(w);
    }
    return NULL;
}

// --- opening -----------------------------------------------------------------------------------------
// A socket that answers; without one the watchdog still watches.
static void open_socket(watchdog *w) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t length = sizeof here;
    w->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (w->socket < 0) return;
    if (bind(w->socket, (struct sockaddr *)&here, sizeof here) ||
        getsockname(w->socket, (struct sockaddr *)&here, &length)) {
        close(w->socket);
        w->socket = -1;
        return;
    }
    w->own.port = ntohs(here.sin_port);
    gethostname(w->own.host, sizeof w->own.host - 1);
    if (getrandom(&w->own.word, sizeof w->own.word, 0) != (ssize_t)sizeof w->own.word)
        w->own.word = (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
}

status watchdog_open(watchdog **out, int rank, int size, double seconds) {
    watchdog *w;
    *out = NULL;
    if (!(seconds > 0)) return STATUS_OK;
    status rc = mem_new(&w, 1, "a watchdog");
    if (rc) return rc;
    w->rank = rank;
    w->size = size;
    w->seconds = seconds;
    pthread_mutex_init(&w->lock, NULL);
    open_socket(w);
    // Signals are the main thread's.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(&w->thread, NULL, watch, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        if (w->socket >= 0) close(w->socket);
        mem_free(w);
        return status_fail(STATUS_MEMORY, "cannot start a thread: %s", strerror(failed));
    }
    *out = w;
    return STATUS_OK;
}

watchdog_address watchdog_own_address(const watchdog *w) {
    return w ? w->own : (watchdog_address){.port = 0};
}

// The ranks of this machine are reached without its name, which need not resolve.
static void resolve(struct sockaddr_in *to, const watchdog_address *a, const char *own_host) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM}, *found = NULL;
    char host[sizeof a->host];
    snprintf(host, sizeof host, "%.*s", (int)sizeof a->host - 1, a->host);
    *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to->sin_port = htons(a->port);
    if (!strcmp(host, own_host)) return;
    if (!getaddrinfo(host, NULL, &hints, &found) && found)
        to->sin_addr = ((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr;
    else
        to->sin_port = 0;
    if (found) freeaddrinfo(found);
}

status watchdog_meet(watchdog *w, const watchdog_address *all) {
    watchdog_address *peer = NULL;
    if (!w || w->socket < 0) return STATUS_OK;
    status rc = mem_new(&peer, w->size, "the ranks' addresses");
    if (!rc) rc = mem_new(&w->to, w->size, "the ranks' addresses");
    if (!rc) rc = mem_new(&w->standing, w->size, "the ranks' standing");
    if (rc) {
        mem_free(peer);
        return rc;
    }
    memcpy(peer, all, (size_t)w->size * sizeof *peer);
    for (int i = 0; i < w->size; i++) resolve(&w->to[i], &peer[i], w->own.host);
    pthread_mutex_lock(&w->lock);
    w->peer = peer;
    pthread_mutex_unlock(&w->lock);
    return STATUS_OK;
}

void watchdog_arm(watchdog *w, const char *operation, int64_t sequence) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->operation = operation;
    w->sequence = sequence;
    w->since = clock_seconds();
    pthread_mutex_unlock(&w->lock);
}

void watchdog_disarm(watchdog *w) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->operation = NULL;
    pthread_mutex_unlock(&w->lock);
}

void watchdog_close(watchdog *w) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    if (w->socket >= 0) close(w->socket);
    pthread_mutex_destroy(&w->lock);
    mem_free(w->standing);
    mem_free(w->to);
    mem_free(w->peer);
    mem_free(w);
}
