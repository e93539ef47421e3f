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
    int32_t ended;                   // VERDICT: it is no longer there
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
    // Made before PEER is, under the lock, and the thread's own from then on.
    struct sockaddr_in *to; // (size); port 0: cannot be reached
    standing *standing;     // (size)
    double *heard;          // (size): when each was last; 0: never, and then its silence says nothing

    int *connection; // (size); NULL: follows nobody
    watchdog_look *look;
    void *context;
    bool leaving;   // one has said good-bye: the run is over
    bool on_device; // LOOK says when the operation has ended
};

// --- messages ----------------------------------------------------------------------------------------
static void tell(watchdog *w, int rank, message *m) {
    m->word = w->peer[rank].word;
    m->from = w->rank;
    if (w->to[rank].sin_port && rank != w->rank)
        (void)!sendto(w->socket, m, sizeof *m, MSG_DONTWAIT, (struct sockaddr *)&w->to[rank], sizeof w->to[rank]);
}

static bool has_met(watchdog *w) {
    pthread_mutex_lock(&w->lock);
    bool met = w->peer != NULL;
    pthread_mutex_unlock(&w->lock);
    return met;
}

static void tell_all(watchdog *w, message *m) {
    if (!has_met(w)) return;
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

// WHY NULL: what this rank was armed with is late, or another one's is.
static _Noreturn void end_for(watchdog *w, const message *verdict, const standing *known, const char *why) {
    char line[1024];
    bool mine = false;
    for (int i = 0; i < verdict->count; i++) mine |= verdict->late[i] == w->rank;
    if (mine) _exit(1); // the others say it
    pthread_mutex_lock(&w->lock); // for good
    size_t used = (size_t)snprintf(line, sizeof line, "radialog: rank %d of %d: ", w->rank, w->size);
    if (why)
        used += (size_t)snprintf(line + used, sizeof line - used, "%s %lld: %s",
                                 w->operation ? w->operation : "after operation", (long long)w->sequence, why);
    else if (w->operation)
        used += (size_t)snprintf(line + used, sizeof line - used, "%s %lld has not ended within %g seconds",
                                 w->operation, (long long)w->sequence, w->seconds);
    else
        used += (size_t)snprintf(line + used, sizeof line - used, "after operation %lld: another rank waits in vain",
                                 (long long)w->sequence);
    used += (size_t)listed(line + used, sizeof line - used, verdict->late, verdict->count, known);
    if (used > sizeof line - 2) used = sizeof line - 2;
    line[used++] = '\n';
    (void)!write(STDERR_FILENO, line, used);
    _exit(1);
}

static _Noreturn void end(watchdog *w, const message *verdict, const standing *known) {
    char why[64];
    snprintf(why, sizeof why, "rank %d has ended without a word", verdict->late[0]);
    if (verdict->ended)
        end_for(w, &(message){.late = {verdict->late[0]}}, NULL, why);
    else
        end_for(w, verdict, known, NULL);
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
    tell_all(w, &ask);
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
    tell_all(w, &verdict);
    end(w, &verdict, w->standing);
}

// --- ranks that are followed ---------------------------------------------------------------------------
enum { GOOD_BYE = 'b', GIVEN_UP = 'g' };

static bool is_following(watchdog *w) {
    pthread_mutex_lock(&w->lock);
    bool following = w->connection != NULL && !w->closing;
    pthread_mutex_unlock(&w->lock);
    return following;
}

static void send_to_all(watchdog *w, char byte) {
    for (int i = 0; w->connection && i < w->size; i++)
        if (w->connection[i] >= 0) (void)!send(w->connection[i], &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static _Noreturn void end_without(watchdog *w, int rank) {
    message verdict = {.kind = VERDICT, .late = {rank}, .count = 1, .ended = 1}, got;
    // Rank 0 may have ended because of another rank, and said so.
    for (double until = clock_seconds() + 0.2; clock_seconds() < until;)
        if (receive(w, &got, until - clock_seconds()) && got.kind == VERDICT) end(w, &got, NULL);
    tell_all(w, &verdict);
    end(w, &verdict, NULL);
}

static void check_connections(watchdog *w) {
    for (int i = 0; i < w->size; i++) {
        char byte;
        int fd = w->connection[i];
        ssize_t n = fd >= 0 ? recv(fd, &byte, 1, MSG_DONTWAIT) : -1;
        if (fd < 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) continue;
        if (n <= 0) end_without(w, i);
        w->connection[i] = -1; // whatever it said was its last word
        w->leaving = true;
        if (byte == GIVEN_UP) {
            send_to_all(w, GIVEN_UP);
            _exit(1);
        }
    }
}

static void ask_device(watchdog *w) {
    bool done;
    pthread_mutex_lock(&w->lock);
    bool wanted = w->operation && w->on_device;
    int64_t sequence = w->sequence;
    pthread_mutex_unlock(&w->lock);
    if (!wanted) return;
    const char *why = w->look(w->context, &done);
    if (why) end_for(w, &(message){0}, NULL, why);
    pthread_mutex_lock(&w->lock);
    if (done && w->on_device && w->sequence == sequence) w->operation = NULL;
    pthread_mutex_unlock(&w->lock);
}

static void excuse(watchdog *w, double gap) {
    for (int i = 0; i < w->size; i++)
        if (w->heard[i] > 0) w->heard[i] += gap;
}

// Asks all for a sign of life, and ends where one that gave some has given none for too long. One that never
// gave any may stand behind a firewall.
static void ask_silent(watchdog *w, double *asked) {
    message ask = {.kind = ASK}, verdict = {.kind = VERDICT};
    double now = *asked = clock_seconds();
    for (int i = 0; i < w->size && !w->leaving; i++)
        if (i != w->rank && w->heard[i] > 0 && now - w->heard[i] > w->seconds && verdict.count < MOST_NAMED)
            verdict.late[verdict.count++] = i;
    if (!verdict.count) {
        tell_all(w, &ask);
        return;
    }
    tell_all(w, &verdict);
    end_for(w, &verdict, NULL, "a rank gives no sign of life");
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

static void handle(watchdog *w, const message *got) {
    if (got->kind == ASK) answer(w, got->from);
    if (got->kind == VERDICT) end(w, got, NULL);
    if (got->kind == STAND) w->heard[got->from] = clock_seconds();
}

static void *watch(void *context) {
    watchdog *w = context;
    double tick = w->seconds / 20 < 0.2 ? w->seconds / 20 : 0.2, asked = 0, before = clock_seconds();
    while (!is_closing(w)) {
        message got;
        if (receive(w, &got, tick)) handle(w, &got);
        double now = clock_seconds();
        if (is_following(w) && has_met(w)) {
            check_connections(w);
            ask_device(w);
            if (now - before > 1 + 4 * tick) excuse(w, now - before); // this process was suspended
            if (now - asked > w->seconds / 8) ask_silent(w, &asked);
        }
        before = now;
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
    if (!rc) rc = mem_new(&w->heard, w->size, "the ranks' signs of life");
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

status watchdog_follow(watchdog *w, const int *connection, watchdog_look *look, void *context) {
    int *copy = NULL;
    if (!w) return STATUS_OK;
    status rc = mem_new(&copy, w->size, "the ranks' connections");
    if (rc) return rc;
    memcpy(copy, connection, (size_t)w->size * sizeof *copy);
    pthread_mutex_lock(&w->lock);
    w->look = look;
    w->context = context;
    w->connection = copy;
    pthread_mutex_unlock(&w->lock);
    return STATUS_OK;
}

static void arm(watchdog *w, const char *operation, int64_t sequence, bool on_device) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->operation = operation;
    w->sequence = sequence;
    w->since = clock_seconds();
    w->on_device = on_device;
    pthread_mutex_unlock(&w->lock);
}

void watchdog_arm(watchdog *w, const char *operation, int64_t sequence) {
    arm(w, operation, sequence, false);
}

void watchdog_arm_device(watchdog *w, const char *operation, int64_t sequence) {
    arm(w, operation, sequence, true);
}

void watchdog_disarm(watchdog *w) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->operation = NULL;
    pthread_mutex_unlock(&w->lock);
}

void watchdog_abort(watchdog *w) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->closing = true; // their ends are no news
    send_to_all(w, GIVEN_UP);
    pthread_mutex_unlock(&w->lock);
}

void watchdog_close(watchdog *w) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    send_to_all(w, GOOD_BYE);
    if (w->socket >= 0) close(w->socket);
    pthread_mutex_destroy(&w->lock);
    mem_free(w->connection);
    mem_free(w->heard);
    mem_free(w->standing);
    mem_free(w->to);
    mem_free(w->peer);
    mem_free(w);
}
