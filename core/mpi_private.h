// For core/mpi.c and its tests.
#pragma once

// The most elements that one MPI call gets, at most INT_MAX. Larger arrays are cut, so the tests make it
// small. The same on all ranks.
extern int mpi_largest_piece;
