// Ends a program whose collectives hang: a thread that looks whether the operation it was armed with is
// disarmed in time. Late: one line on stderr that names rank, operation, sequence number and the ranks that are
// waited for, exit status 1. Called by the files behind core/comm.h alone.
//
// Which rank is late, a hanging collective cannot tell. So the watchdogs ask each other by datagrams: each
// answers where its rank stands, and one that does not answer, or stands further back, is late. A survivor that
// ends tells the others what it found, so that all name the same ranks.
#pragma once
#include "core/status.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct watchdog watchdog;

// Where a watchdog is reached: gathered from all ranks, byte by byte.
typedef struct watchdog_address {
    char host[64];
    uint16_t port; // of UDP; 0: it could open none and answers nobody
    uint64_t word; // what messages to it must carry
} watchdog_address;

// SECONDS is the longest that an operation may take; 0: any time, and *OUT is NULL.
status watchdog_open(watchdog **out, int rank, int size, double seconds);
// Each below may be called with NULL in the watchdog's place.
watchdog_address watchdog_own_address(const watchdog *w);
// ALL (size) is copied. Without it a late operation is told without the ranks that it waits for.
status watchdog_meet(watchdog *w, const watchdog_address *all);
// For ranks that nobody else ends together: CONNECTION (size, copied) holds sockets that break when a rank ends
// (-1: none; borrowed until the watchdog is closed), which ends this one as well. And where the host does not
// wait for collectives: LOOK, asked by the thread, says whether the operation of watchdog_arm_device has ended,
// or returns why it never will. Ranks that have answered, and then give no sign of life for as long as an operation
// may take, are found even while this one is armed with nothing.
typedef const char *watchdog_look(void *context, bool *done);
status watchdog_follow(watchdog *w, const int *connection, watchdog_look *look, void *context);
// OPERATION is a literal of less than 32 characters.
void watchdog_arm(watchdog *w, const char *operation, int64_t sequence);
// The same for an operation of the device: ends by itself, when LOOK says so.
void watchdog_arm_device(watchdog *w, const char *operation, int64_t sequence);
void watchdog_disarm(watchdog *w);
// Makes the ranks behind the connections end as well, with status 1 and without a word: this one has said why.
void watchdog_abort(watchdog *w);
void watchdog_close(watchdog *w);
