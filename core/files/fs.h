// Files and folders: whole-file reads, writes that appear whole or not at all, directory listings.
#pragma once
#include "core/buffer.h"
#include <stdbool.h>
#include <sys/types.h>

// Reads all of PATH into OUT (emptied first). A file larger than LIMIT bytes is an error; 0: no limit.
status file_read(const char *path, size_t limit, buffer *out);
// Size and CRC-32 of a file of any size, without holding it.
status file_checksum(const char *path, int64_t *bytes, uint32_t *crc);

// Writes under a temporary name beside PATH, syncs, renames over PATH and syncs the folder.
status file_write(const char *path, const void *bytes, size_t count);
// The same for the owner's eyes alone: mode 0600.
status file_write_secret(const char *path, const void *bytes, size_t count);

// Opens PATH, empty, for this process alone until *FD is closed (-1: it is not); IO where another one has it. For
// temporary names: *FD is closed when the file has its own name, since another may take it from then on.
status file_claim(int *fd, const char *path, mode_t mode);

// The pieces of these, for writers and readers of other kinds. IO: "PATH: cannot ACTION: " and why, by errno.
status file_failure(const char *path, const char *action);
// All COUNT bytes to FD, which is open as PATH.
status file_write_all(int fd, const char *path, const void *bytes, size_t count);
// The same from OFFSET on, wherever FD stands.
status file_write_at(int fd, const char *path, const void *bytes, size_t count, int64_t offset);
// SIZE bytes from OFFSET on, whatever other threads read. IO; FORMAT where the file ends before.
status file_read_at(void *out, int fd, const char *path, size_t size, int64_t offset);

// Makes durable what was written to the file, or to the folder's list of names.
status file_sync(const char *path);

bool file_exists(const char *path);
bool folder_exists(const char *path);
status file_size(const char *path, int64_t *size);

// Creates PATH and its parents; existing folders are fine.
status folder_make(const char *path);

// Names in PATH without "." and "..", in byte order; to be freed with names_free.
typedef struct names {
    char **name;
    size_t count, capacity;
} names;
status folder_list(const char *path, names *out);
void names_free(names *n);
status names_add(names *n, const char *name);

// Holds PATH for this process until *FD is closed, or says that another one does. Where the system of a shared
// folder knows no locks it is not held, and that is no error.
status folder_lock(int *fd, const char *path);

// Removes a file, or a folder with all that it holds. A missing one is fine.
status path_remove(const char *path);

// FOLDER/NAME in OUT (SIZE bytes); too long a path is an error.
enum { PATH_SIZE = 4096 };
status path_join(char *out, size_t size, const char *folder, const char *name);
