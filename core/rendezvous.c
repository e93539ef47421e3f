#include "core/rendezvous.h"
#include "core/files/fs.h"
#include "core/files/little_endian.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/socket.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

// What a rank says first, and what rank 0 answers. Numbers are little-endian, four bytes each.
//   hello:  "rdlgrank", version, size, rank, channel, token (16)
//   answer: "rdlgwelc", verdict, size
enum { TOKEN = 16, HELLO = 8 + 4 * 4 + TOKEN, ANSWER = 16, VERSION = 1 };
enum { CONTROL, WATCH, CHANNELS };
enum { WELCOME, OTHER_SIZE, TAKEN };
enum { PENDING = 64, PORTS = 16 };
static const char hello_mark[] = "rdlgrank", answer_mark[] = "rdlgwelc", go[] = "go";
static const double HELLO_SECONDS = 5, ANSWER_SECONDS = 10, CONNECT_SECONDS = 5;

struct rendezvous {
    int rank, size, listener;
    unsigned char token[TOKEN];
    int *fd[CHANNELS]; // (size): rank 0's to each other rank; the others' only one is at 0
    char path[PATH_SIZE];
};

static void put32(unsigned char *to, uint32_t value) {
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(value >> 8 * i);
}

static status new_star(rendezvous **out, int rank, int size) {
    rendezvous *r;
    status rc = mem_new(out, 1, "a rendezvous");
    if (rc) return rc;
    r = *out;
    r->rank = rank;
    r->size = size;
    r->listener = -1;
    for (int c = 0; c < CHANNELS && !rc; c++) {
        rc = mem_new(&r->fd[c], size, "connections");
        for (int i = 0; i < size && !rc; i++) r->fd[c][i] = -1;
    }
    if (!rc) return STATUS_OK;
    rendezvous_close(r);
    *out = NULL;
    return rc;
}

void rendezvous_close(rendezvous *r) {
    if (!r) return;
    for (int c = 0; c < CHANNELS; c++) {
        for (int i = 0; r->fd[c] && i < r->size; i++) socket_close(r->fd[c][i]);
        mem_free(r->fd[c]);
    }
    socket_close(r->listener);
    if (r->path[0]) unlink(r->path);
    mem_free(r);
}

// --- rank 0 ------------------------------------------------------------------------------------------
typedef struct guest {
    int fd; // -1: a free place
    size_t got;
    double until;
    unsigned char hello[HELLO];
} guest;

static int missing(const rendezvous *r, char *list, size_t size) {
    int count = 0;
    size_t used = 0;
    list[0] = 0;
    for (int i = 1; i < r->size; i++) {
        if (r->fd[CONTROL][i] >= 0 && r->fd[WATCH][i] >= 0) continue;
        count++;
        if (used + 16 < size)
            used += (size_t)snprintf(list + used, size - used, "%s%d", count > 1 ? ", " : "", i);
    }
    return count;
}

// Whether this rank is here, and has not given up what it had begun.
static bool is_taken(const rendezvous *r, uint32_t channel, uint32_t rank) {
    char byte;
    int fd = r->fd[channel][rank];
    return fd >= 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
}

// Keeps the connection of a guest whose hello is complete, or drops it.
static status receive_guest(rendezvous *r, guest *g) {
    const unsigned char *at = g->hello + 8;
    unsigned char answer[ANSWER];
    uint32_t size = le32(at + 4), rank = le32(at + 8), channel = le32(at + 12), verdict = WELCOME;
    int fd = g->fd;
    g->fd = -1;
    if (memcmp(g->hello, hello_mark, 8) || le32(at) != VERSION || channel >= CHANNELS ||
        memcmp(at + 16, r->token, TOKEN)) {
        socket_close(fd); // no rank of this run
        return STATUS_OK;
    }
    if (size != (uint32_t)r->size) verdict = OTHER_SIZE;
    else if (rank < 1 || rank >= size || is_taken(r, channel, rank)) verdict = TAKEN;
    memcpy(answer, answer_mark, 8);
    put32(answer + 8, verdict);
    put32(answer + 12, (uint32_t)r->size);
    if (!socket_send(fd, answer, ANSWER, clock_seconds() + 1) || verdict) {
        socket_close(fd);
        if (verdict == OTHER_SIZE)
            return status_fail(STATUS_USAGE, "a rank was started as %u of %u, this one as 0 of %d: start all "
                                             "with the same number", rank, size, r->size);
        return STATUS_OK;
    }
    socket_close(r->fd[channel][rank]);
    r->fd[channel][rank] = fd;
    return STATUS_OK;
}

static status read_guest(rendezvous *r, guest *g) {
    ssize_t n = read(g->fd, g->hello + g->got, HELLO - g->got);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return STATUS_OK;
    if (n <= 0) {
        socket_close(g->fd);
        g->fd = -1;
        return STATUS_OK;
    }
    g->got += (size_t)n;
    return g->got == HELLO ? receive_guest(r, g) : STATUS_OK;
}

static void admit_guests(rendezvous *r, guest *guests) {
    for (int i = 0; i < PENDING; i++) {
        if (guests[i].fd >= 0) continue;
        int fd = socket_accept(r->listener);
        if (fd < 0) return;
        guests[i] = (guest){.fd = fd, .until = clock_seconds() + HELLO_SECONDS};
    }
}

// One look at the door and at all who stand in it.
static status serve_guests(rendezvous *r, guest *guests) {
    struct pollfd polled[PENDING + 1];
    bool room = false;
    status rc = STATUS_OK;
    for (int i = 0; i < PENDING; i++) {
        if (guests[i].fd >= 0 && clock_seconds() > guests[i].until) {
            socket_close(guests[i].fd);
            guests[i].fd = -1;
        }
        polled[i] = (struct pollfd){.fd = guests[i].fd, .events = POLLIN};
        room = room || guests[i].fd < 0;
    }
    polled[PENDING] = (struct pollfd){.fd = room ? r->listener : -1, .events = POLLIN};
    if (poll(polled, PENDING + 1, 100) <= 0) return STATUS_OK;
    for (int i = 0; i < PENDING && !rc; i++)
        if (polled[i].fd >= 0 && polled[i].revents) rc = read_guest(r, &guests[i]);
    if (polled[PENDING].revents) admit_guests(r, guests);
    return rc;
}

status rendezvous_wait(rendezvous *r, double seconds) {
    guest guests[PENDING];
    char absent[200];
    double deadline = clock_seconds() + seconds;
    status rc = STATUS_OK;
    for (int i = 0; i < PENDING; i++) guests[i].fd = -1;
    while (!rc && missing(r, absent, sizeof absent)) {
        rc = serve_guests(r, guests);
        if (!rc && clock_seconds() > deadline && missing(r, absent, sizeof absent))
            rc = status_fail(STATUS_IO, "rank 0 has waited %g seconds for rank %s of %d, which did not come",
                             seconds, absent, r->size);
    }
    for (int i = 0; i < PENDING; i++) socket_close(guests[i].fd);
    for (int i = 1; i < r->size && !rc; i++)
        if (!socket_send(r->fd[CONTROL][i], go, sizeof go, clock_seconds() + 5))
            rc = status_fail(STATUS_IO, "rank %d of %d has ended: %s", i, r->size, strerror(errno));
    socket_close(r->listener);
    r->listener = -1;
    return rc;
}

// FIRST_PORT 0: any.
static status host_at(rendezvous **out, int size, int first_port, int *port) {
    status rc = new_star(out, 0, size);
    if (rc) return rc;
    rendezvous *r = *out;
    int tries = first_port ? PORTS : 1;
    for (int i = 0; i < tries && r->listener < 0 && first_port + i <= 65535; i++)
        r->listener = socket_listen(first_port + i, port);
    if (r->listener >= 0) return STATUS_OK;
    rc = status_fail(STATUS_IO, "rank 0 cannot listen on port %d to %d: %s", first_port,
                     first_port + tries - 1, strerror(errno));
    rendezvous_close(r);
    *out = NULL;
    return rc;
}

status rendezvous_host(rendezvous **out, char card[RENDEZVOUS_CARD], int size) {
    int port, used;
    unsigned char token[TOKEN];
    memset(card, 0, RENDEZVOUS_CARD);
    *out = NULL;
    if (getrandom(token, TOKEN, 0) != TOKEN)
        return status_fail(STATUS_IO, "the system gives no random numbers: %s", strerror(errno));
    status rc = host_at(out, size, 0, &port);
    if (rc) return rc;
    memcpy((*out)->token, token, TOKEN);
    used = snprintf(card, RENDEZVOUS_CARD, "radialog %d %d ", VERSION, port);
    for (int i = 0; i < TOKEN; i++)
        used += snprintf(card + used, (size_t)(RENDEZVOUS_CARD - used), "%02x", token[i]);
    card[used++] = ' ';
    socket_addresses(card + used, (size_t)(RENDEZVOUS_CARD - used - 1));
    return STATUS_OK;
}

// --- the others ----------------------------------------------------------------------------------------
typedef struct card {
    int first_port, ports;
    unsigned char token[TOKEN];
    char addresses[RENDEZVOUS_CARD]; // names or numbers with blanks between
} card;

static bool read_token(unsigned char token[TOKEN], const char *text) {
    for (int i = 0; i < TOKEN; i++) {
        char pair[3] = {text[2 * i], text[2 * i] ? text[2 * i + 1] : 0, 0}, *end;
        if (!pair[0] || !pair[1] || strspn(pair, "0123456789abcdef") != 2) return false;
        token[i] = (unsigned char)strtol(pair, &end, 16);
    }
    return !text[2 * TOKEN];
}

// False for anything but what rendezvous_host writes.
static bool read_card(card *out, const char *text) {
    int version, after = 0;
    char token[2 * TOKEN + 2];
    memset(out, 0, sizeof *out);
    out->ports = 1;
    if (strnlen(text, RENDEZVOUS_CARD) == RENDEZVOUS_CARD) return false;
    if (sscanf(text, "radialog %9d %9d %33s %n", &version, &out->first_port, token, &after) < 3 ||
        version != VERSION || after == 0)
        return false;
    strcpy(out->addresses, text + after);
    return out->first_port > 0 && out->first_port < 65536 && read_token(out->token, token) &&
           out->addresses[0] &&
           strspn(out->addresses, "0123456789abcdefABCDEF.: ") == strlen(out->addresses);
}

// Connects one channel. *FD stays -1, with errno, where another try may help.
static status knock(int *fd, const rendezvous *r, const card *c, const char *host, int port, int channel) {
    unsigned char hello[HELLO], answer[ANSWER];
    double now = clock_seconds();
    memcpy(hello, hello_mark, 8);
    put32(hello + 8, VERSION);
    put32(hello + 12, (uint32_t)r->size);
    put32(hello + 16, (uint32_t)r->rank);
    put32(hello + 20, (uint32_t)channel);
    memcpy(hello + 24, c->token, TOKEN);
    *fd = socket_connect(host, port, now + CONNECT_SECONDS);
    if (*fd < 0) return STATUS_OK;
    bool known = socket_send(*fd, hello, HELLO, now + ANSWER_SECONDS) &&
                 socket_receive(*fd, answer, ANSWER, now + ANSWER_SECONDS) &&
                 !memcmp(answer, answer_mark, 8);
    if (known && le32(answer + 8) == WELCOME) return STATUS_OK;
    int reason = errno;
    socket_close(*fd);
    *fd = -1;
    errno = reason;
    if (!known) return STATUS_OK;
    if (le32(answer + 8) == OTHER_SIZE)
        return status_fail(STATUS_USAGE, "this rank was started as %d of %d, rank 0 as one of %u: start all "
                                         "with the same number", r->rank, r->size, le32(answer + 12));
    return status_fail(STATUS_USAGE, "two ranks were started as %d of %d", r->rank, r->size);
}

// Tries every address and port of C once.
static status try_card(rendezvous *r, const card *c) {
    char list[RENDEZVOUS_CARD], *rest = NULL;
    int *control = r->fd[CONTROL], *watch = r->fd[WATCH];
    strcpy(list, c->addresses);
    for (char *host = strtok_r(list, " ", &rest); host; host = strtok_r(NULL, " ", &rest)) {
        for (int port = c->first_port; port < c->first_port + c->ports && port < 65536; port++) {
            status rc = knock(control, r, c, host, port, CONTROL);
            if (rc || *control < 0) {
                if (rc) return rc;
                continue;
            }
            return knock(watch, r, c, host, port, WATCH);
        }
    }
    return STATUS_OK;
}

static status wait_for_go(rendezvous *r, double deadline) {
    char word[sizeof go];
    if (socket_receive(r->fd[CONTROL][0], word, sizeof word, deadline) && !memcmp(word, go, sizeof go))
        return STATUS_OK;
    return status_fail(STATUS_IO, "rank %d of %d has met rank 0, but not all came: %s", r->rank, r->size,
                       errno == ETIMEDOUT ? "time is up" : "rank 0 has given up");
}

// Until rank 0 is reached: FIND says where it is, as far as that is known.
static status join(rendezvous *r, double seconds, bool (*find)(card *c, const void *context),
                   const void *context, const char *where) {
    double deadline = clock_seconds() + seconds;
    status rc = STATUS_OK;
    card c;
    do {
        errno = 0;
        if (find(&c, context)) rc = try_card(r, &c);
        if (!rc && r->fd[WATCH][0] < 0) {
            socket_close(r->fd[CONTROL][0]);
            r->fd[CONTROL][0] = -1;
            usleep(50000);
        }
    } while (!rc && r->fd[WATCH][0] < 0 && clock_seconds() < deadline);
    if (rc) return rc;
    if (r->fd[WATCH][0] < 0)
        return status_fail(STATUS_IO, "rank %d of %d has not reached rank 0 by %s within %g seconds%s%s", r->rank,
                           r->size, where, seconds, errno ? ": " : "", errno ? strerror(errno) : "");
    // Rank 0 may have begun to wait later than this one.
    return wait_for_go(r, deadline + seconds);
}

static bool find_given(card *c, const void *context) {
    *c = *(const card *)context;
    return true;
}

static bool find_in_file(card *c, const void *context) {
    buffer text = {0};
    bool found = file_exists(context) && !file_read(context, RENDEZVOUS_CARD, &text) &&
                 strlen(text.data) == text.length && read_card(c, text.data);
    buffer_free(&text);
    return found;
}

static status join_new(rendezvous **out, int rank, int size, double seconds,
                       bool (*find)(card *, const void *), const void *context, const char *where) {
    status rc = new_star(out, rank, size);
    if (!rc) rc = join(*out, seconds, find, context, where);
    if (!rc) return STATUS_OK;
    rendezvous_close(*out);
    *out = NULL;
    return rc;
}

status rendezvous_join(rendezvous **out, const char *text, int rank, int size, double seconds) {
    card c;
    *out = NULL;
    if (!read_card(&c, text))
        return status_fail(STATUS_FORMAT, "rank 0's card is damaged; are all ranks the same version?");
    return join_new(out, rank, size, seconds, find_given, &c, c.addresses);
}

// --- by environment -------------------------------------------------------------------------------
static status host_by_file(rendezvous **out, const launch *l, double seconds) {
    char text[RENDEZVOUS_CARD];
    status rc = rendezvous_host(out, text, l->size);
    if (rc) return rc;
    if (strlen(l->path) >= sizeof (*out)->path)
        rc = status_fail(STATUS_USAGE, "RADIALOG_RENDEZVOUS is too long a path");
    if (!rc) rc = file_write(l->path, text, strlen(text));
    if (!rc) strcpy((*out)->path, l->path); // from here on it is removed
    if (!rc) rc = rendezvous_wait(*out, seconds);
    if (!rc) {
        unlink((*out)->path);
        (*out)->path[0] = 0;
    }
    return rc;
}

// torchrun itself may listen on MASTER_PORT, so the ports behind it are tried as well.
static int first_port(const launch *l) {
    const char *store = getenv("TORCHELASTIC_USE_AGENT_STORE");
    return l->port + (store && !strcmp(store, "True"));
}

static status join_by_tcp(rendezvous **out, const launch *l, double seconds) {
    char where[300];
    card c = {.first_port = first_port(l), .ports = PORTS};
    if (strlen(l->host) > 255 || strchr(l->host, ' '))
        return status_fail(STATUS_USAGE, "MASTER_ADDR is no host name");
    strcpy(c.addresses, l->host);
    snprintf(where, sizeof where, "MASTER_ADDR=%s MASTER_PORT=%d", l->host, l->port);
    return join_new(out, l->rank, l->size, seconds, find_given, &c, where);
}

status rendezvous_open(rendezvous **out, const launch *l, double seconds) {
    int port;
    status rc;
    *out = NULL;
    if (l->rank) {
        if (l->file)
            return join_new(out, l->rank, l->size, seconds, find_in_file, l->path, l->path);
        return join_by_tcp(out, l, seconds);
    }
    if (l->file) {
        rc = host_by_file(out, l, seconds);
    } else {
        rc = host_at(out, l->size, first_port(l), &port);
        if (!rc) rc = rendezvous_wait(*out, seconds);
    }
    if (!rc) return STATUS_OK;
    rendezvous_close(*out);
    *out = NULL;
    return rc;
}

// --- collectives of the hosts -------------------------------------------------------------------------
static status lost(const rendezvous *r, int rank) {
    return status_fail(STATUS_IO, "rank %d of %d has ended or cannot be reached: %s", rank, r->size,
                       strerror(errno));
}

status rendezvous_broadcast(rendezvous *r, void *data, size_t bytes) {
    if (r->rank)
        return socket_receive(r->fd[CONTROL][0], data, bytes, 0) ? STATUS_OK : lost(r, 0);
    for (int i = 1; i < r->size; i++)
        if (!socket_send(r->fd[CONTROL][i], data, bytes, 0)) return lost(r, i);
    return STATUS_OK;
}

status rendezvous_max(rendezvous *r, int *value) {
    unsigned char bytes[4];
    put32(bytes, (uint32_t)*value);
    if (r->rank && !socket_send(r->fd[CONTROL][0], bytes, 4, 0)) return lost(r, 0);
    for (int i = 1; i < r->size && !r->rank; i++) {
        if (!socket_receive(r->fd[CONTROL][i], bytes, 4, 0)) return lost(r, i);
        if ((int)le32(bytes) > *value) *value = (int)le32(bytes);
    }
    put32(bytes, (uint32_t)*value);
    status rc = rendezvous_broadcast(r, bytes, 4);
    if (!rc) *value = (int)le32(bytes);
    return rc;
}

status rendezvous_gather(rendezvous *r, void *all, const void *own, size_t bytes) {
    if (r->rank && !socket_send(r->fd[CONTROL][0], own, bytes, 0)) return lost(r, 0);
    if (!r->rank) memcpy(all, own, bytes);
    for (int i = 1; i < r->size && !r->rank; i++)
        if (!socket_receive(r->fd[CONTROL][i], (char *)all + (size_t)i * bytes, bytes, 0)) return lost(r, i);
    return rendezvous_broadcast(r, all, bytes * (size_t)r->size);
}

int rendezvous_watch(const rendezvous *r, int rank) {
    if (r->rank) return rank ? -1 : r->fd[WATCH][0];
    return r->fd[WATCH][rank];
}
