// What every communicator of several ranks must do, checked through the table: MPI's and NCCL's programs
// call the same. A check that fails names file, line and rank on stderr and exits with status 1, which
// ends the other ranks.
#pragma once
#include "core/comm.h"

extern int check_rank;

#define CHECK(condition) check_that((condition), #condition, __FILE__, __LINE__)
void check_that(bool holds, const char *what, const char *file, int line);

// Memory of D, for numbers that the host fills and compares.
typedef struct block {
    device *device;
    char *data; // on the device, between guards
    char *host; // a copy of it, guards and all
    dtype type;
    int64_t count;
} block;
void block_open(block *b, device *d, dtype type, int64_t count);
void block_put(block *b, int64_t i, double value);
void block_send(block *b); // host to device
void block_take(block *b); // device to host; checks the guards
double block_get(const block *b, int64_t i);
void block_close(block *b);

// A whole number small enough for sums over a few ranks to be exact in every type.
double number_of(int rank, int64_t i, int salt);
double sum_of_numbers(int ranks, int64_t i, int salt);

// Every operation in every type, with odd and even counts, in place and not.
void check_collectives(comm *c, device *d);
// all_gather and reduce_scatter are each other's adjoint: <gather(x), y> = <x, scatter(y)>.
void check_adjoint(comm *c, device *d);
// Sums that were started, with other operations between.
void check_buckets(comm *c, device *d);
// A dry device is left alone, and counts nothing.
void check_dry(comm *c, const device *real);
