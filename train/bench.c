#include "train/bench.h"
#include "core/log.h"
#include "train/signals.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static double seconds_of(struct timeval t) { return (double)t.tv_sec + 1e-6 * (double)t.tv_usec; }

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

// Not ru_maxrss, which a child takes over from the process that started it.
double bench_peak_memory(void) {
    char line[256];
    long long kilobytes = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %lld", &kilobytes) == 1) break;
    if (f) fclose(f);
    return (double)kilobytes * 1024e-6;
}

// A line on stdin, whatever it says.
static status wait_for_line(void) {
    int c = getchar();
    while (c != '\n' && c != EOF) c = getchar();
    return c != EOF ? STATUS_OK : status_fail(STATUS_IO, "bench: stdin ended before the last round");
}

status bench_begin(bench *b, int64_t round) {
    status rc = STATUS_OK;
    if (b->paced && round == 0) puts("ready");
    if (b->paced) fflush(stdout);
    if (b->paced && round >= 0) rc = wait_for_line();
    if (!rc && signals_pending())
        rc = status_fail(STATUS_INTERRUPTED, "stopped by signal %d", signals_pending());
    b->cpu_started = cpu_seconds();
    b->started = clock_seconds();
    return rc;
}

void bench_end(bench *b, int64_t round) {
    double seconds = clock_seconds() - b->started, cpu = cpu_seconds() - b->cpu_started;
    if (round < 0) return;
    b->seconds[round] = seconds;
    b->cpu[round] = cpu;
    if (b->paced) printf("%.9f %.9f\n", seconds, cpu);
    fflush(stdout);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int64_t bench_draw(int64_t *seed, int64_t below) {
    *seed = *seed * 48271 % 2147483647;
    return *seed % below;
}

bench_spread bench_sort(double *values, int64_t count) {
    if (count < 1) die("bench_sort: no values");
    qsort(values, (size_t)count, sizeof *values, ascending);
    double low = values[(count - 1) / 2], high = values[count / 2];
    return (bench_spread){(low + high) / 2, values[0], values[count - 1]};
}

static void key_to(bench *b, const char *key) {
    buffer_text(&b->json, b->json.length ? "," : "{");
    buffer_json(&b->json, key);
    buffer_text(&b->json, ":");
}

void bench_name(bench *b, const char *name) {
    key_to(b, "bench");
    buffer_json(&b->json, name);
    buffer_print(&b->text, "%s\n", name);
}

void bench_number(bench *b, const char *key, const char *what, double value, int digits) {
    key_to(b, key);
    if (value > -1e15 && value < 1e15 && !(value < trunc(value)) && !(value > trunc(value)))
        buffer_print(&b->json, "%.0f", value);
    else
        buffer_json_number(&b->json, value);
    buffer_print(&b->text, "  %-32s %12.*f\n", what, digits, value);
}

void bench_word(bench *b, const char *key, const char *what, const char *value) {
    key_to(b, key);
    buffer_json(&b->json, value);
    buffer_print(&b->text, "  %-32s %12s\n", what, value);
}
