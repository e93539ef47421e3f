// core/http_server.h: whole answers and pieces over sockets, limits on bodies and on time, clients that leave,
// addresses that are none.
#include "core/http_server.h"
#include "core/log.h"
#include "tests/core/helper_check.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static http_server *server;
static http_exchange *kept; // of /late, which another thread answers
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void respond(void *context, http_exchange *x) {
    size_t size;
    const char *body = http_body(x, &size);
    char text[256];
    (void)context;
    if (!strcmp(http_path(x), "/late")) {
        pthread_mutex_lock(&lock);
        kept = x;
        pthread_mutex_unlock(&lock);
        return;
    }
    if (http_too_large(x) || http_crowded(x)) {
        http_answer(x, http_too_large(x) ? 413 : 503, "text/plain", "no", 2);
    } else {
        snprintf(text, sizeof text, "%s %s %s %s %zu %.20s", http_method(x), http_path(x), http_host(x), http_type(x), size,
                 body);
        http_header(x, "X-Test", "1");
        http_answer(x, 200, "text/plain", text, strlen(text));
    }
    http_release(x);
}

static void open_server(int seconds, size_t bodies) {
    const http_options o = {.address = "127.0.0.1", .body = 1000, .bodies = bodies, .connections = 8, .seconds = seconds,
                            .request = respond};
    ck_assert_msg(!http_server_open(&server, &o), "%s", status_text());
}

static int dial(const char *text) {
    const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)http_server_port(server)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(!connect(fd, (const struct sockaddr *)&to, sizeof to));
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    return fd;
}

static const char *hear(int fd) {
    static char text[8192];
    size_t size = 0;
    for (ssize_t n; (n = recv(fd, text + size, sizeof text - 1 - size, 0)) > 0;) size += (size_t)n;
    text[size] = 0;
    close(fd);
    return text;
}

static void expect(const char *request, const char *first, const char *part) {
    const char *text = hear(dial(request));
    ck_assert_msg(!strncmp(text, first, strlen(first)) && strstr(text, part), "%s", text);
}

START_TEST(whole_answers) {
    open_server(5, 10000);
    expect("GET /a?b=c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "\r\n\r\nGET /a h  0 ");
    expect("POST /p HTTP/1.1\r\nHost: h\r\nContent-Type: t/u\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
           "HTTP/1.1 200", "\r\n\r\nPOST /p h t/u 5 hello");
    expect("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n"
           "0\r\n\r\n", "HTTP/1.1 200", "5 abcde");
    expect("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "X-Test: 1\r\n");
    expect("no HTTP at all\r\n\r\n", "HTTP/1.1 4", "");
    http_server_close(server, 1);
}
END_TEST

// Of one body, and of all together.
START_TEST(bodies_have_limits) {
    char text[2048];
    open_server(5, 1500);
    snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\nConnection: close\r\n\r\n%1001s", "");
    expect(text, "HTTP/1.1 413", "no");
    snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                                "3e9\r\n%1001s\r\n0\r\n\r\n", "");
    expect(text, "HTTP/1.1 413", "no");
    expect("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999999999999999999\r\nExpect: 100-continue\r\n"
           "Connection: close\r\n\r\n", "HTTP/1.1 4", "");
    snprintf(text, sizeof text, "POST /late HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\nConnection: close\r\n\r\n%900s", "");
    const int first = dial(text);
    http_exchange *x = NULL;
    while (!x) {
        pthread_mutex_lock(&lock);
        x = kept;
        kept = NULL;
        pthread_mutex_unlock(&lock);
    }
    memcpy(text, "POST /soon", 10);
    expect(text, "HTTP/1.1 503", "no"); // 900 are there
    http_answer(x, 200, "text/plain", "yes", 3);
    http_release(x);
    ck_assert_ptr_nonnull(strstr(hear(first), "yes"));
    expect(text, "HTTP/1.1 200", "900"); // and have gone
    http_server_close(server, 1);
}
END_TEST

static http_exchange *wait_for_late(void) {
    for (;;) {
        pthread_mutex_lock(&lock);
        http_exchange *x = kept;
        kept = NULL;
        pthread_mutex_unlock(&lock);
        if (x) return x;
        usleep(1000);
    }
}

static const char late[] = "GET /late HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

// Each piece arrives before the next is sent.
START_TEST(pieces) {
    char text[4096] = "", piece[32];
    size_t size = 0;
    open_server(5, 10000);
    const int fd = dial(late);
    http_exchange *x = wait_for_late();
    ck_assert(!http_gone(x));
    http_begin(x, 200, "text/event-stream");
    for (int i = 0; i < 20; i++) {
        snprintf(piece, sizeof piece, "<piece %d>", i);
        http_send(x, piece, strlen(piece));
        while (!strstr(text, piece)) {
            const ssize_t n = recv(fd, text + size, sizeof text - 1 - size, 0);
            ck_assert_int_gt(n, 0);
            text[size += (size_t)n] = 0;
        }
    }
    http_end(x);
    http_release(x);
    ck_assert_ptr_nonnull(strstr(hear(fd), "0\r\n"));
    http_server_close(server, 1);
}
END_TEST

// Answers that come while nobody waits, before and behind the first piece.
START_TEST(clients_that_leave) {
    open_server(5, 10000);
    for (int i = 0; i < 20; i++) {
        const int fd = dial(late);
        http_exchange *x = wait_for_late();
        if (i % 2) http_begin(x, 200, "text/plain");
        if (i % 2) http_send(x, "a", 1);
        close(fd);
        while (!http_gone(x)) usleep(1000);
        if (i % 2) {
            for (int k = 0; k < 50; k++) http_send(x, "more", 4);
            http_end(x);
        } else
            http_answer(x, 200, "text/plain", "late", 4);
        http_release(x);
    }
    expect("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "GET /a");
    http_server_close(server, 1);
}
END_TEST

// More than there is room for, some of whom begin a request and leave before they were let in: their places are
// free at once, not when their time is over.
START_TEST(clients_that_leave_the_queue) {
    enum { ROOM = 8, MORE = 24 };
    static const char begun[] = "POST /late HTTP/1.1\r\nHost: h\r\nCont";
    int in[ROOM];
    open_server(30, 10000);
    for (int i = 0; i < ROOM; i++) in[i] = dial(begun);
    usleep(200000);
    for (int i = 0; i < MORE; i++) close(dial(begun));
    for (int i = 0; i < ROOM; i++) close(in[i]);
    const double start = clock_seconds();
    expect("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "GET / h");
    ck_assert_double_lt(clock_seconds() - start, 10);
    http_server_close(server, 1);
}
END_TEST

START_TEST(time_has_a_limit) {
    open_server(1, 10000);
    const double begin = clock_seconds();
    const int half = dial("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\nhalf");
    ck_assert_ptr_null(strstr(hear(half), "200"));
    ck_assert_double_lt(clock_seconds() - begin, 10);
    http_server_close(server, 1);
}
END_TEST

START_TEST(addresses) {
    http_options o = {.address = "here", .connections = 8, .seconds = 1, .request = respond};
    expect_failure(http_server_open(&server, &o), STATUS_USAGE, "name", "'here'", "is no address in numbers");
    open_server(1, 100);
    o.address = "127.0.0.1";
    o.port = http_server_port(server);
    http_server *other;
    expect_failure(http_server_open(&other, &o), STATUS_IO, "taken", "127.0.0.1, port", "cannot listen");
    http_server_quiet(server);
    http_server_close(server, 1);
}
END_TEST

int main(void) {
    return run_suite(suite_of("http_server", (const TTest *const[]){whole_answers, bodies_have_limits, pieces,
                                                                    clients_that_leave, clients_that_leave_the_queue,
                                                                    time_has_a_limit, addresses, NULL}));
}
