// Stands in for core/mpi.c where MPI is not installed.
#include "core/comm.h"
#include "core/comm_facts.h"

status comm_open_mpi(comm **out, const launch *l, double watchdog_seconds) {
    (void)watchdog_seconds;
    *out = NULL;
    return status_fail(STATUS_USAGE, "this process is rank %d of several, but the program was built without "
                                     "MPI: install it (scripts/setup.sh) and build again, or start one rank",
                       l->rank);
}

void comm_describe(comm_facts *out) {
    *out = (comm_facts){.mpi = "absent (this build has none)"};
}
