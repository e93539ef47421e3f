#!/usr/bin/env bash
# mpirun.sh RANKS PROGRAM [ARGUMENT...]: mpirun as the tests need it: on any number of cores, as any user,
# one thread a rank, over shared memory and the loopback device.
set -euo pipefail
ranks=$1
shift
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=1
# Containers often forbid a process to read another's memory, which Open MPI then complains about.
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_btl=self,vader,tcp
export OMPI_MCA_mpi_yield_when_idle=1
# Open MPI leaves memory behind in modules that it has unloaded, which no suppression can name any more.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
exec mpirun --oversubscribe --bind-to none -n "$ranks" "$@"
