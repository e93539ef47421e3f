// Ends a program whose collectives hang: a thread that looks whether the operation it was armed with is
// disarmed in time. Late: one line on stderr that names rank, operation and sequence number, exit status 1.
// Called by the files behind core/comm.h alone.
#pragma once
#include "core/status.h"
#include <stdint.h>

typedef struct watchdog watchdog;

// SECONDS is the longest that an operation may take; 0: any time.
status watchdog_open(watchdog **out, int rank, int size, double seconds);
// OPERATION is a literal. Each may be called with NULL in the watchdog's place.
void watchdog_arm(watchdog *w, const char *operation, int64_t sequence);
void watchdog_disarm(watchdog *w);
void watchdog_close(watchdog *w);
