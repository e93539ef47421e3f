#!/usr/bin/env bash
# by_rank.sh COMMAND... @ COMMAND...: rank 0 runs what stands before the @, the others what stands behind it.
# mpirun has a form for that, in which Open MPI 5.0.7 crashes.
set -euo pipefail
first=()
while [ "$1" != @ ]; do first+=("$1"); shift; done
shift
[ "$OMPI_COMM_WORLD_RANK" != 0 ] || exec "${first[@]}"
exec "$@"
