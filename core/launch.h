// How this process was started: alone, or as one of several ranks by mpirun, srun or torchrun. Reads the
// environment, joins nobody: that is comm_open's.
#pragma once
#include "core/status.h"
#include <stdbool.h>

typedef struct launch {
    bool mpi;  // a process manager that MPI knows started several ranks
    bool tcp;  // RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT are set, as torchrun sets them
    bool file; // RANK, WORLD_SIZE and RADIALOG_RENDEZVOUS, the path of a file that all ranks see
    int rank, size;             // size 0: not known before MPI is up
    int local_rank, local_size; // among the ranks of this machine: choose GPU and threads by them
    const char *host, *path;    // borrowed from the environment
    int port;
} launch;

// All false, rank 0 of 1 for a process that was started alone. Errors: USAGE, where the variables
// contradict each other.
status launch_read(launch *out);
