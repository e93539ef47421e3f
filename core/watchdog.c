#include "core/watchdog.h"
#include "core/log.h"
#include "core/memory.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct watchdog {
    int rank, size;
    double seconds;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closing;
    const char *operation; // NULL: disarmed
    int64_t sequence;
    double since;
};

static void end_late(const watchdog *w) {
    char line[256];
    int length = snprintf(line, sizeof line,
                          "radialog: rank %d of %d: %s %lld has not ended within %g seconds\n", w->rank,
                          w->size, w->operation, (long long)w->sequence, w->seconds);
    if (write(STDERR_FILENO, line, (size_t)length) < 0) _exit(1);
    _exit(1);
}

static void *watch(void *context) {
    watchdog *w = context;
    double tick = w->seconds / 20 < 1 ? w->seconds / 20 : 1;
    pthread_mutex_lock(&w->lock);
    while (!w->closing) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)(tick * 1e9);
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&w->changed, &w->lock, &until);
        if (w->operation && clock_seconds() - w->since > w->seconds) end_late(w);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
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
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    // Signals are the main thread's.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(&w->thread, NULL, watch, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        mem_free(w);
        return status_fail(STATUS_MEMORY, "cannot start a thread: %s", strerror(failed));
    }
    *out = w;
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
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
}
