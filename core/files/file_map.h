// A whole file in memory, read-only, through mmap: pages are read when they are touched.
#pragma once
#include "core/status.h"
#include <stddef.h>

typedef struct file_map {
    const unsigned char *data; // NULL: empty
    size_t size;
} file_map;

// Errors: IO. An empty file is fine. The file must not be cut while it is mapped.
status file_map_open(file_map *out, const char *path);
void file_map_close(file_map *map);
// BYTES of a map need not stay in memory: they are read again when they are touched.
void file_map_forget(const void *data, size_t bytes);
