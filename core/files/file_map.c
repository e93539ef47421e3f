#include "core/files/file_map.h"
#include "core/files/fs.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

status file_map_open(file_map *out, const char *path) {
    struct stat info;
    status rc = STATUS_OK;
    *out = (file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // NONBLOCK: a pipe is refused, not waited for
    if (fd < 0) return file_failure(path, "open");
    if (fstat(fd, &info)) {
        rc = file_failure(path, "examine");
    } else if (!S_ISREG(info.st_mode)) {
        rc = status_fail(STATUS_IO, "%s: is not a file", path);
    } else if (info.st_size > 0) {
        void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            rc = file_failure(path, "map");
        else
            *out = (file_map){.data = map, .size = (size_t)info.st_size};
    }
    close(fd);
    return rc;
}

// Whole pages alone: what lies beside is somebody else's.
void file_map_forget(const void *data, size_t bytes) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), end = ((uintptr_t)data + bytes) / page * page;
    const uintptr_t begin = ((uintptr_t)data + page - 1) / page * page;
    if (begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void file_map_close(file_map *map) {
    if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (file_map){0};
}
