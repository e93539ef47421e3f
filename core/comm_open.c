// Which ranks a process joins. In a file of its own, so that a program that opens none is linked without what
// opens MPI, NCCL and CUDA.
#include "core/comm.h"

#include <string.h>

status comm_open(comm **out, const launch *l, device *d, double watchdog_seconds) {
    *out = NULL;
    if (!l->mpi && !l->tcp && !l->file) return comm_open_single(out);
    if (!strcmp(d->name, "cuda")) return comm_open_nccl(out, l, d, watchdog_seconds);
    if (l->mpi) return comm_open_mpi(out, l, watchdog_seconds);
    return status_fail(STATUS_USAGE, "RANK and WORLD_SIZE ask for %d ranks, but CPU ranks talk by MPI: "
                                     "start them with mpirun -n %d", l->size, l->size);
}
