// MPI's library, opened by the first communicator that needs it: some builds of it take 0.2 s to load, and a program
// that runs alone does without. For core/mpi.c, which calls mpi.MPI_NAME(...) where others call MPI_NAME(...).
#pragma once
#include "core/library.h"

#include <mpi.h>

#define MPI_FUNCTIONS(X)                                                                                               \
    X(MPI_Abort)                                                                                                       \
    X(MPI_Allgather)                                                                                                   \
    X(MPI_Allreduce)                                                                                                   \
    X(MPI_Barrier)                                                                                                     \
    X(MPI_Bcast)                                                                                                       \
    X(MPI_Comm_dup)                                                                                                    \
    X(MPI_Comm_free)                                                                                                   \
    X(MPI_Comm_rank)                                                                                                   \
    X(MPI_Comm_set_errhandler)                                                                                         \
    X(MPI_Comm_size)                                                                                                   \
    X(MPI_Error_string)                                                                                                \
    X(MPI_Finalize)                                                                                                    \
    X(MPI_Get_library_version)                                                                                         \
    X(MPI_Iallreduce)                                                                                                  \
    X(MPI_Init_thread)                                                                                                 \
    X(MPI_Initialized)                                                                                                 \
    X(MPI_Op_create)                                                                                                   \
    X(MPI_Op_free)                                                                                                     \
    X(MPI_Reduce)                                                                                                      \
    X(MPI_Reduce_scatter_block)                                                                                        \
    X(MPI_Type_commit)                                                                                                 \
    X(MPI_Type_contiguous)                                                                                             \
    X(MPI_Type_create_struct)                                                                                          \
    X(MPI_Type_free)                                                                                                   \
    X(MPI_Waitall)

// MPICH's constants are numbers. Open MPI's are the addresses of its variables, which are looked up like functions.
#ifdef OPEN_MPI
#define MPI_VARIABLES(X)                                                                                               \
    X(ompi_mpi_byte)                                                                                                   \
    X(ompi_mpi_comm_world)                                                                                             \
    X(ompi_mpi_datatype_null)                                                                                          \
    X(ompi_mpi_double)                                                                                                 \
    X(ompi_mpi_errors_return)                                                                                          \
    X(ompi_mpi_float)                                                                                                  \
    X(ompi_mpi_int)                                                                                                    \
    X(ompi_mpi_int8_t)                                                                                                 \
    X(ompi_mpi_int32_t)                                                                                                \
    X(ompi_mpi_int64_t)                                                                                                \
    X(ompi_mpi_op_max)                                                                                                 \
    X(ompi_mpi_op_sum)                                                                                                 \
    X(ompi_mpi_uint8_t)                                                                                                \
    X(ompi_mpi_uint16_t)
#else
#define MPI_VARIABLES(X)
#endif

typedef struct mpi_library {
    MPI_FUNCTIONS(LIBRARY_POINTER)
    MPI_VARIABLES(LIBRARY_POINTER)
} mpi_library;

// Filled by mpi_open_library. MPI is itself one for a process, and never closed: its threads and what it does at the
// end of the program may outlive MPI_Finalize.
extern mpi_library mpi;

// DEVICE where it is not found, or lacks a function. May be called again.
status mpi_open_library(void);
