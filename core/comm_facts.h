// How this build joins ranks on CPUs, for `radialog doctor`: told by core/mpi.c or core/mpi_absent.c.
#pragma once
#include <stdbool.h>

typedef struct comm_facts {
    char mpi[512];     // "built", or "absent (reason)"
    bool broken;       // built, but its library cannot be opened now
    char library[128]; // the MPI that answers, with its version; empty where absent
} comm_facts;

void comm_describe(comm_facts *out);
