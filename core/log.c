#include "core/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *log_file;
static int quiet;
static int bar_shown; // the cursor stands behind a bar that the next line must erase

double clock_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

status log_open(const char *path) {
    if (log_file) fclose(log_file);
    log_file = NULL;
    if (!path) return STATUS_OK;
    log_file = fopen(path, "a");
    if (!log_file)
        return status_fail(STATUS_IO, "%s: cannot open the log: %s", path, strerror(errno));
    setvbuf(log_file, NULL, _IOLBF, 0);
    return STATUS_OK;
}

void log_quiet(int level) {
    quiet = level;
}

static void write_line(const char *mark, int to_stderr, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    pthread_mutex_lock(&lock);
    if (to_stderr) {
        fprintf(stderr, "%s%s", bar_shown ? "\r\x1b[K" : "", mark);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
        bar_shown = 0;
    }
    if (log_file) {
        fputs(mark, log_file);
        vfprintf(log_file, format, again);
        fputc('\n', log_file);
    }
    pthread_mutex_unlock(&lock);
    va_end(again);
}

void log_info(const char *format, ...) {
    va_list args;
    va_start(args, format);
    write_line("", !quiet, format, args);
    va_end(args);
}

void log_warn(const char *format, ...) {
    va_list args;
    va_start(args, format);
    write_line("warning: ", 1, format, args);
    va_end(args);
}

void progress_begin(progress *p, const char *what, const char *unit, int64_t total, int64_t done) {
    *p = (progress){.what = what, .unit = unit, .total = total, .done = done, .started_at = done};
    p->start = p->last = clock_seconds();
}

static void write_progress(const progress *p, double now, const char *note, int terminal) {
    double seconds = now - p->start;
    double rate = seconds > 0 ? (double)(p->done - p->started_at) / seconds : 0;
    double left = rate > 0 ? (double)(p->total - p->done) / rate : 0;
    char bar[21];
    int filled = p->total > 0 ? (int)(20 * p->done / p->total) : 0;
    for (int i = 0; i < 20; i++) bar[i] = i < filled ? '#' : '.';
    bar[20] = 0;
    fprintf(stderr, "%s%s [%s] %lld/%lld %s, %.1f/s, %d:%02d left%s%s%s",
            terminal ? "\r\x1b[K" : "", p->what, bar, (long long)p->done, (long long)p->total,
            p->unit, rate, (int)left / 60, (int)left % 60, note ? ", " : "", note ? note : "",
            terminal ? "" : "\n");
}

void progress_update(progress *p, int64_t done, const char *note) {
    p->done = done;
    int terminal = isatty(STDERR_FILENO);
    double now = clock_seconds();
    if (quiet || now - p->last < (terminal ? 0.1 : 10.0)) return;
    p->last = now;
    pthread_mutex_lock(&lock);
    write_progress(p, now, note, terminal);
    bar_shown = terminal;
    pthread_mutex_unlock(&lock);
}

void progress_end(progress *p) {
    pthread_mutex_lock(&lock);
    if (bar_shown) fputs("\r\x1b[K", stderr);
    bar_shown = 0;
    pthread_mutex_unlock(&lock);
    p->total = 0;
}
