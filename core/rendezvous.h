// How the ranks of a run find each other: rank 0 listens, the others connect to it. What comes out is a star
// of connections between hosts, for what is not the device's business: handing out an identity, agreeing on
// a number, and seeing that a rank has ended. Called by the files behind core/comm.h.
//
// Whatever a socket or a file holds is checked; a stranger who connects is dropped, and waited for no longer
// than a few seconds.
#pragma once
#include "core/launch.h"
#include <stddef.h>

typedef struct rendezvous rendezvous;

// By RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT over TCP, or through the file that L names, which rank 0
// writes and, once all have come, removes. Returns once all ranks have come; gives up after SECONDS.
// Errors: USAGE (the ranks were started for different numbers), IO (who did not come, or why rank 0 cannot
// be reached).
status rendezvous_open(rendezvous **out, const launch *l, double seconds);

// The same in steps, for ranks that can hand each other a text: rank 0 hosts, tells its card, and waits; the
// others join with it.
enum { RENDEZVOUS_CARD = 512 };
status rendezvous_host(rendezvous **out, char card[RENDEZVOUS_CARD], int size);
status rendezvous_wait(rendezvous *r, double seconds);
status rendezvous_join(rendezvous **out, const char *card, int rank, int size, double seconds);

void rendezvous_close(rendezvous *r); // accepts NULL

// Collectives of the hosts, for the thread that trains. Errors: IO, where a rank has ended.
status rendezvous_broadcast(rendezvous *r, void *data, size_t bytes); // rank 0's
status rendezvous_max(rendezvous *r, int *value);
// ALL (size * bytes) gets every rank's OWN in rank order.
status rendezvous_gather(rendezvous *r, void *all, const void *own, size_t bytes);

// The connections that tell of a rank's end: rank 0's to each other one, the others' to rank 0; else -1.
// Borrowed until rendezvous_close.
int rendezvous_watch(const rendezvous *r, int rank);
