// A file that appears whole or not at all: it is written under a temporary name beside its place, synced and
// renamed. For writers of files that do not fit into memory; file_write (fs.h) is this for those that do.
#pragma once
#include "core/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct staged_file {
    char *path, *temporary;
    int fd; // -1: closed
    bool created, finished;
} staged_file;

// Errors of all: IO, MEMORY. To be closed also after a failure.
status staged_open(staged_file *f, const char *path);
status staged_open_as(staged_file *f, const char *path, mode_t mode); // else 0666
status staged_write(staged_file *f, const void *bytes, size_t count);
// Puts COUNT bytes in the place of those written from the byte PLACE on; what follows is written at the end.
status staged_patch(staged_file *f, uint64_t place, const void *bytes, size_t count);
// The file is at PATH from now on.
status staged_finish(staged_file *f);
// Removes what was not finished. Accepts one that was never opened, if it is all zero.
void staged_close(staged_file *f);
