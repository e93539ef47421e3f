// core/rendezvous.h: ranks, each a process of its own, that find each other, and those that do not.
#include "core/files/fs.h"
#include "core/log.h"
#include "core/rendezvous.h"
#include "core/socket.h"
#include "tests/core/helper_check.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int free_port(void) {
    int port, fd = socket_listen(0, &port);
    ck_assert_int_ge(fd, 0);
    socket_close(fd);
    return port;
}

static launch place_of(int rank, int size, const char *path, int port) {
    return (launch){.rank = rank, .size = size, .file = path != NULL, .tcp = path == NULL,
                          .path = path, .host = "127.0.0.1", .port = port};
}

// Runs ACT in a child, whose exit status is 0 where it returns true.
static pid_t start(bool (*act)(const launch *l), launch l) {
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child) return child;
    _exit(!act(&l));
}

static int status_of(pid_t child) {
    int code = 0;
    while (waitpid(child, &code, 0) < 0 && errno == EINTR) continue;
    return WIFEXITED(code) ? WEXITSTATUS(code) : 128;
}

static bool takes_part(const launch *l) {
    rendezvous *r;
    if (rendezvous_open(&r, l, 20)) return fputs(status_text(), stderr), false;
    bool good = true;
    for (int round = 0; round < 20 && good; round++) {
        char text[100] = "", wanted[100];
        int most = round % l->size, value = l->rank == most && round % 3 ? 1000 + most : -l->rank - 1;
        snprintf(wanted, sizeof wanted, "round %d", round);
        if (!l->rank) strcpy(text, wanted);
        good = !rendezvous_broadcast(r, text, sizeof text) && !strcmp(text, wanted) &&
               !rendezvous_max(r, &value) && value == (round % 3 ? 1000 + most : -1);
    }
    int64_t own = 77 * l->rank, all[8] = {0};
    good = good && !rendezvous_gather(r, all, &own, sizeof own);
    for (int i = 0; i < l->size; i++) good = good && all[i] == 77 * i;
    // Each has the connections for signs of life that it should have.
    for (int i = 0; i < l->size; i++)
        good = good && (rendezvous_watch(r, i) >= 0) == (l->rank ? i == 0 : i > 0);
    rendezvous_close(r);
    return good;
}

START_TEST(all_meet) {
    for (int size = 2; size <= 5; size++) {
        const char *path = _i ? scratch("meet") : NULL;
        int port = free_port();
        pid_t child[5];
        // The last comes first, rank 0 last.
        for (int i = size - 1; i >= 0; i--) {
            child[i] = start(takes_part, place_of(i, size, path, port));
            usleep(20000);
        }
        for (int i = 0; i < size; i++) ck_assert_int_eq(status_of(child[i]), 0);
        if (path) ck_assert(!file_exists(path));
    }
}
END_TEST

START_TEST(another_program_on_the_port) {
    int port, listener = socket_listen(0, &port); // accepts connections and says nothing
    ck_assert(port < 65500);
    setenv("TORCHELASTIC_USE_AGENT_STORE", "True", 1);
    pid_t zero = start(takes_part, place_of(0, 2, NULL, port)), one = start(takes_part, place_of(1, 2, NULL, port));
    ck_assert_int_eq(status_of(zero), 0);
    ck_assert_int_eq(status_of(one), 0);
    unsetenv("TORCHELASTIC_USE_AGENT_STORE");
    socket_close(listener);
}
END_TEST

START_TEST(an_old_file) {
    const char *path = scratch("old");
    char card[RENDEZVOUS_CARD];
    rendezvous *old;
    ck_assert_int_eq(rendezvous_host(&old, card, 2), 0);
    rendezvous_close(old);
    scratch_write(path, card, strlen(card));
    pid_t one = start(takes_part, place_of(1, 2, path, 0));
    usleep(300000);
    scratch_write(path, "radialog 1 what", 15);
    usleep(300000);
    pid_t zero = start(takes_part, place_of(0, 2, path, 0));
    ck_assert_int_eq(status_of(zero), 0);
    ck_assert_int_eq(status_of(one), 0);
}
END_TEST

// --- strangers ------------------------------------------------------------------------------------------
// Connects to the card's or the given port, again and again, and sends what no rank would.
static bool disturbs(const launch *l) {
    static const char hello[] = "rdlgrank\1\0\0\0\2\0\0\0\1\0\0\0\0\0\0\0tokentokentokent";
    uint64_t state = 7;
    for (int i = 0; i < 400; i++) {
        int fd = socket_connect(l->host, l->port, clock_seconds() + 1);
        if (fd < 0) {
            usleep(1000);
            continue;
        }
        unsigned char bytes[64];
        for (size_t k = 0; k < sizeof bytes; k++) bytes[k] = (unsigned char)fuzz_next(&state);
        if (i % 3) memcpy(bytes, hello, sizeof hello - 1 < sizeof bytes ? sizeof hello - 1 : sizeof bytes);
        if (i % 3 == 2) bytes[8 + fuzz_next(&state) % 16] ^= (unsigned char)(1 + fuzz_next(&state) % 200);
        size_t count = i % 5 ? 40 : (size_t)(fuzz_next(&state) % 64);
        socket_send(fd, bytes, count, clock_seconds() + 1);
        if (i % 4) socket_close(fd); // the rest stay and say no more
    }
    return true;
}

// The token keeps strangers out that know all but it, so the wrong sizes above must not count.
START_TEST(strangers_are_dropped) {
    char card[RENDEZVOUS_CARD];
    rendezvous *r;
    int version, port;
    ck_assert_int_eq(rendezvous_host(&r, card, 2), 0);
    ck_assert_int_eq(sscanf(card, "radialog %d %d", &version, &port), 2);
    pid_t stranger = start(disturbs, place_of(0, 0, NULL, port));
    pid_t rank = fork();
    if (!rank) {
        rendezvous *own;
        int value = 5;
        usleep(500000);
        _exit(rendezvous_join(&own, card, 1, 2, 20) || rendezvous_max(own, &value) || value != 6);
    }
    int value = 6;
    ck_assert_int_eq(rendezvous_wait(r, 20), 0);
    ck_assert_int_eq(rendezvous_max(r, &value), 0);
    ck_assert_int_eq(value, 6);
    ck_assert_int_eq(status_of(rank), 0);
    rendezvous_close(r);
    kill(stranger, SIGKILL);
    status_of(stranger);
}
END_TEST

// --- what goes wrong -------------------------------------------------------------------------------------
static bool fails(const launch *l, double seconds, status expected, const char *text) {
    rendezvous *r;
    status rc = rendezvous_open(&r, l, seconds);
    bool good = rc == expected && !r && strstr(status_text(), text);
    if (!good) fprintf(stderr, "rank %d: status %d: %s\n", l->rank, (int)rc, status_text());
    return good;
}

static bool finds_another_size(const launch *l) {
    return fails(l, 10, STATUS_USAGE, "start all with the same number");
}

static bool finds_itself_twice(const launch *l) {
    return fails(l, 10, STATUS_USAGE, "two ranks were started as 1 of 3");
}

static bool waits_in_vain(const launch *l) {
    return fails(l, 0.5, STATUS_IO, l->rank ? "has not reached rank 0" : "for rank 2, 3 of 4");
}

static bool meets_but_not_all_come(const launch *l) {
    return fails(l, 10, STATUS_IO, "not all came");
}

START_TEST(wrong_world_size) {
    const char *path = _i ? scratch("size") : NULL;
    int port = free_port();
    pid_t zero = start(finds_another_size, place_of(0, 3, path, port));
    pid_t one = start(finds_another_size, place_of(1, 4, path, port));
    ck_assert_int_eq(status_of(one), 0);
    ck_assert_int_eq(status_of(zero), 0);
}
END_TEST

START_TEST(one_rank_twice) {
    int port = free_port();
    pid_t zero = start(takes_part, place_of(0, 3, NULL, port));
    pid_t one = start(takes_part, place_of(1, 3, NULL, port));
    usleep(500000);
    pid_t again = start(finds_itself_twice, place_of(1, 3, NULL, port));
    ck_assert_int_eq(status_of(again), 0);
    pid_t two = start(takes_part, place_of(2, 3, NULL, port));
    ck_assert_int_eq(status_of(zero), 0);
    ck_assert_int_eq(status_of(one), 0);
    ck_assert_int_eq(status_of(two), 0);
}
END_TEST

START_TEST(a_rank_never_comes) {
    const char *path = _i ? scratch("never") : NULL;
    int port = free_port();
    double start_time = clock_seconds();
    pid_t one = start(meets_but_not_all_come, place_of(1, 4, path, port));
    pid_t zero = start(waits_in_vain, place_of(0, 4, path, port));
    ck_assert_int_eq(status_of(zero), 0);
    ck_assert_int_eq(status_of(one), 0);
    if (path) ck_assert(!file_exists(path));
    pid_t alone = start(waits_in_vain, place_of(1, 4, path, port));
    ck_assert_int_eq(status_of(alone), 0);
    ck_assert(clock_seconds() - start_time < 8);
}
END_TEST

static bool names_no_host(const launch *l) {
    launch other = *l;
    other.host = "no.such.host.invalid";
    return fails(&other, 0.3, STATUS_IO, "MASTER_ADDR=no.such.host.invalid");
}

START_TEST(no_such_host) {
    ck_assert_int_eq(status_of(start(names_no_host, place_of(1, 2, NULL, 29999))), 0);
}
END_TEST

START_TEST(damaged_cards) {
    static const char *const cards[] = {
        "", "radialog", "radialog 1", "radialog 1 5", "radialog 2 500 0123456789abcdef0123456789abcdef 127.0.0.1",
        "radialog 1 0 0123456789abcdef0123456789abcdef 127.0.0.1",
        "radialog 1 65536 0123456789abcdef0123456789abcdef 127.0.0.1",
        "radialog 1 99999999999999 0123456789abcdef0123456789abcdef 127.0.0.1",
        "radialog 1 500 0123456789abcdef0123456789abcde 127.0.0.1",
        "radialog 1 500 0123456789abcdef0123456789abcdef0 127.0.0.1",
        "radialog 1 500 0123456789abcdef0123456789abcdeg 127.0.0.1",
        "radialog 1 500 0123456789abcdef0123456789abcdef",
        "radialog 1 500 0123456789abcdef0123456789abcdef ",
        "radialog 1 500 0123456789abcdef0123456789abcdef example.org;x",
    };
    rendezvous *r;
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
        ck_assert_msg(rendezvous_join(&r, cards[i], 1, 2, 0.1) == STATUS_FORMAT, "card %zu", i);
        ck_assert_ptr_null(r);
    }
    char long_card[RENDEZVOUS_CARD];
    memset(long_card, '1', sizeof long_card);
    memcpy(long_card, "radialog 1 500 0123456789abcdef0123456789abcdef ", 48);
    ck_assert_int_eq(rendezvous_join(&r, long_card, 1, 2, 0.1), STATUS_FORMAT);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {another_program_on_the_port, an_old_file, strangers_are_dropped,
                                  one_rank_twice, no_such_host, damaged_cards, NULL};
    Suite *suite = suite_of("rendezvous", tests);
    TCase *both = tcase_create("by TCP and by file");
    tcase_set_timeout(both, 60);
    tcase_add_loop_test(both, all_meet, 0, 2);
    tcase_add_loop_test(both, wrong_world_size, 0, 2);
    tcase_add_loop_test(both, a_rank_never_comes, 0, 2);
    suite_add_tcase(suite, both);
    return run_suite(suite);
}
