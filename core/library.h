// Libraries that are opened when they are needed and not when the program starts: NVIDIA's when a GPU is used, MPI's
// when there are several ranks. Their headers are known to those who call this alone.
//
// Looked for in this order: the folders in RADIALOG_LIBRARIES (separated by colons), the names' own, the loader's path, and for
// NVIDIA's lib64 of CUDA_HOME and CUDA_PATH and of /usr/local/cuda*, and the nvidia-* wheels of Python environments
// (VIRTUAL_ENV, CONDA_PREFIX, the python3 on PATH, the user's own), found by their folders alone.
#pragma once
#include "core/status.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct library_kind {
    const char *title;        // "cuDNN 9"
    const char *const *names; // files, the best first, with or without their folder; ends with NULL
    const char *advice;       // what to install
    bool nvidia;              // may stand where CUDA's toolkit and wheels do
    bool plugins;             // has some that look for its functions among everybody's
} library_kind;

typedef struct library {
    void *handle;
    char path[512]; // where it was found
} library;

// What doctor tells.
typedef struct library_facts {
    char path[512];
    int version[3], built[3]; // major, minor, patch; of the headers that the program was built with
} library_facts;

// DEVICE where it is not found or cannot be loaded: the text names every place and what to install.
// Symbols stay private to a library without plugins.
status library_open(library *out, const library_kind *kind);
void library_close(library *l); // accepts a closed one

// One function to be found: its name, and where in the caller's struct its pointer goes.
typedef struct library_symbol {
    const char *name;
    size_t offset;
} library_symbol;

// Fills the pointers in TABLE; DEVICE names the first function that the library lacks.
//
// With a list F(X) of X(function), all three of struct, table and call come from it:
//     typedef struct f { F(LIBRARY_POINTER) } f;
//     #define X(function) LIBRARY_SYMBOL(f, function)
//     static const library_symbol symbols[] = {F(X)};
status library_symbols(const library *l, const library_kind *kind, const library_symbol *list,
                       size_t count, void *table);
#define LIBRARY_POINTER(function)       __typeof__(function) *function;
#define LIBRARY_SYMBOL(table, function) {#function, offsetof(table, function)},
