// core/watchdog.h: what it makes of ranks that it cannot ask. Ranks that are killed or hang are in
// tests/ranks/.
#include "core/watchdog.h"
#include "tests/core/helper_check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const double SECONDS = 0.4;

static const char *look(void *context, bool *done) {
    (void)context;
    *done = true;
    return NULL;
}

// The address of a socket that takes messages and answers none: a rank behind a firewall.
static watchdog_address mute(void) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert(fd >= 0 && !bind(fd, (struct sockaddr *)&here, sizeof here));
    ck_assert(!getsockname(fd, (struct sockaddr *)&here, &length));
    return (watchdog_address){.host = "127.0.0.1", .port = ntohs(here.sin_port), .word = 1};
}

// Rank 0 of 2, which works on and ends; its exit status. Its address goes to TO, unless that is -1.
static int work_beside(watchdog_address other, int to) {
    int code = 0, pair[2];
    ck_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    pid_t child = fork();
    if (!child) {
        watchdog *w;
        if (watchdog_open(&w, 0, 2, SECONDS)) _exit(2);
        watchdog_address all[2] = {watchdog_own_address(w), other};
        int connection[2] = {-1, pair[0]};
        if (to >= 0 && write(to, all, sizeof *all) != (ssize_t)sizeof *all) _exit(3);
        if (watchdog_meet(w, all) || watchdog_follow(w, connection, look, NULL)) _exit(4);
        for (int i = 0; i < 60; i++) {
            watchdog_arm(w, "agree_max", i);
            usleep(20000);
            watchdog_disarm(w);
        }
        watchdog_close(w);
        _exit(0);
    }
    while (waitpid(child, &code, 0) < 0 && errno == EINTR) continue;
    close(pair[0]);
    close(pair[1]);
    return WIFEXITED(code) ? WEXITSTATUS(code) : 128;
}

// Messages that never come say nothing of a rank whose connection stands and whose collectives end.
START_TEST(one_that_never_answers) {
    ck_assert_int_eq(work_beside(mute(), -1), 0);
}
END_TEST

START_TEST(one_without_an_address) {
    ck_assert_int_eq(work_beside((watchdog_address){.host = "127.0.0.1"}, -1), 0);
}
END_TEST

// Rank 1 of 2, which answers for a while and then stops.
static _Noreturn void stop_later(const int ends[2]) {
    watchdog *w;
    watchdog_address all[2];
    if (watchdog_open(&w, 1, 2, SECONDS)) _exit(2);
    all[1] = watchdog_own_address(w);
    if (write(ends[1], &all[1], sizeof *all) != (ssize_t)sizeof *all) _exit(3);
    if (read(ends[1], &all[0], sizeof *all) != (ssize_t)sizeof *all) _exit(4);
    if (watchdog_meet(w, all)) _exit(5);
    usleep(300000);
    raise(SIGSTOP);
    _exit(6);
}

START_TEST(one_that_falls_silent) {
    int ends[2];
    watchdog_address other;
    ck_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    pid_t child = fork();
    if (!child) stop_later(ends);
    ck_assert_int_eq(read(ends[0], &other, sizeof other), (ssize_t)sizeof other);
    int code = work_beside(other, ends[0]);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_assert_int_eq(code, 1);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {one_that_never_answers, one_without_an_address,
                                  one_that_falls_silent, NULL};
    return run_suite(suite_of("watchdog", tests));
}
