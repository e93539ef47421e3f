// What the program tells people while it works: lines on stderr and in the run's log.txt, and a
// progress bar on a terminal (plain lines elsewhere). Results never go through here: they are stdout's.
#pragma once
#include "core/status.h"
#include <stdint.h>

// Later lines also go to PATH (appended to). NULL closes it.
status log_open(const char *path);

// 1: nothing on stderr except warnings (--quiet); 2: not even those (ranks that another one speaks for).
void log_quiet(int level);

void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

// A bar with rate and time left. WHAT and UNIT are borrowed until progress_end. Updates are cheap:
// the terminal is written to at most ten times a second, other outputs every ten seconds.
typedef struct progress {
    const char *what, *unit;
    int64_t total, done, started_at; // items, items, done when the clock started (a resumed run)
    double start, last;              // seconds on the monotonic clock
} progress;

void progress_begin(progress *p, const char *what, const char *unit, int64_t total, int64_t done);
// NOTE (may be NULL) stands behind the bar, such as "loss 0.412".
void progress_update(progress *p, int64_t done, const char *note);
void progress_end(progress *p);

// Seconds on the monotonic clock.
double clock_seconds(void);
