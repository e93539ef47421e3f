// TCP between the ranks of a run, with deadlines. Called by core/rendezvous.c. Sockets
// do not block and are closed on exec. Deadlines are times of clock_seconds; 0: none.
#pragma once
#include "core/status.h"
#include <stdbool.h>
#include <stddef.h>

// Listens on PORT (0: any free one) of all addresses. -1 with errno where it cannot. *BOUND is the port.
int socket_listen(int port, int *bound);
// The next connection, or -1 where none is waiting.
int socket_accept(int listener);
// Connects to HOST (a name or a number). -1 with the reason in errno.
int socket_connect(const char *host, int port, double deadline);
// All bytes or an error: false with errno (ETIMEDOUT at the deadline, ECONNRESET where the other side has
// closed).
bool socket_send(int fd, const void *bytes, size_t count, double deadline);
bool socket_receive(int fd, void *bytes, size_t count, double deadline);
void socket_close(int fd); // accepts -1

// This machine's addresses as numbers with a blank between, those that others reach first, at most SIZE
// bytes of them.
void socket_addresses(char *text, size_t size);
