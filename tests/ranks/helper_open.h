// How a program of the tests becomes one of several ranks: by MPI on the CPU (open_mpi.c), or by the
// environment with NCCL's wrapper over a library of the tests (open_nccl.c).
#pragma once
#include "core/comm.h"

void open_ranks(comm **c, device **d, double watchdog_seconds);
