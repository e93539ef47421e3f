// GPUs of this machine, as doctor and plan tell them. Answered by core/cuda/ in builds with CUDA and by
// train/cuda_absent.c in others.
#pragma once
#include "core/library.h"
#include <stddef.h>

typedef struct gpu_facts {
    char name[256];
    int sm; // compute capability, 90 for 9.0
    int multiprocessors;
    size_t memory, free; // bytes
    int driver, runtime; // CUDA versions, 13000 for 13.0
} gpu_facts;

// "built" or "absent (reason)".
extern const char gpu_build[];
// GPUs there are; 0 where there is none, with the reason in TEXT (SIZE bytes).
int gpu_count(char *text, size_t size);
status gpu_describe(gpu_facts *out, int index);

// NVIDIA's libraries that are opened when a GPU is used, found and asked without one.
typedef struct gpu_library {
    const char *name;
    library_facts facts;
} gpu_library;
enum { GPU_LIBRARIES = 3 };
// OUT's name is set in any case. DEVICE where it is not found or too old: the text says where it was looked
// for and what to install.
status gpu_library_find(gpu_library *out, int which);
