#include "core/mpi_library.h"

#define SYMBOL(name) LIBRARY_SYMBOL(mpi_library, name)
static const library_symbol symbols[] = {MPI_FUNCTIONS(SYMBOL) MPI_VARIABLES(SYMBOL)};

// The one that the program was built with, before another that the loader may know by the same name.
static const char *const names[] = {MPI_LIBRARY, MPI_SONAME, NULL};
static const library_kind kind = {"MPI", names,
                                  "install the MPI that the program was built with (scripts/setup.sh), or build it again",
                                  .plugins = true};

mpi_library mpi;

status mpi_open_library(void) {
    static library opened;
    status rc = opened.handle ? STATUS_OK : library_open(&opened, &kind);
    return rc ? rc : library_symbols(&opened, &kind, symbols, sizeof symbols / sizeof *symbols, &mpi);
}
