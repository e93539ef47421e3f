// Preloaded into the program by drills.py: makes calls to the system fail, as a full disk or a broken one does.
//
//   FAULT_CALLS   write: write, pwrite, ftruncate, mkdir, open that creates; read: read, pread;
//                 sync: fsync; rename: rename. What the C library calls within itself (stdio) is not seen, nor
//                 is memory that maps a file.
//   FAULT_AT      the first call that fails, from 1 on; all behind it fail too
//   FAULT_ERRNO   with this number
//   FAULT_UNDER   only calls on files below this folder count
//   FAULT_MARK    a file that is made when the first call fails
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long calls;

static int is_under(const char *path) {
    const char *under = getenv("FAULT_UNDER");
    char whole[PATH_MAX];
    if (!under) return 0;
    if (path[0] != '/') {
        if (!getcwd(whole, sizeof whole)) return 0;
        size_t used = strlen(whole);
        snprintf(whole + used, sizeof whole - used, "/%s", path);
        path = whole;
    }
    return !strncmp(path, under, strlen(under));
}

// Whether this call fails; errno is set then.
static int fails(const char *kind, const char *path) {
    const char *wanted = getenv("FAULT_CALLS"), *at = getenv("FAULT_AT"), *mark = getenv("FAULT_MARK");
    if (!wanted || !at || strcmp(wanted, kind) || !is_under(path)) return 0;
    if (atomic_fetch_add(&calls, 1) + 1 < atol(at)) return 0;
    long fd = mark ? syscall(SYS_openat, AT_FDCWD, mark, O_CREAT | O_WRONLY, 0600) : -1;
    if (fd >= 0) syscall(SYS_close, fd);
    errno = atoi(getenv("FAULT_ERRNO"));
    return 1;
}

static int fails_on(const char *kind, int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return fails(kind, path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t count) {
    return fails_on("write", fd) ? -1 : NEXT(write)(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return fails_on("write", fd) ? -1 : NEXT(pwrite)(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    return fails_on("write", fd) ? -1 : NEXT(pwrite64)(fd, bytes, count, at);
}

int ftruncate(int fd, off_t size) {
    return fails_on("write", fd) ? -1 : NEXT(ftruncate)(fd, size);
}

int mkdir(const char *path, mode_t mode) {
    return fails("write", path) ? -1 : NEXT(mkdir)(path, mode);
}

int rename(const char *from, const char *to) {
    return fails("rename", to) ? -1 : NEXT(rename)(from, to);
}

int fsync(int fd) {
    return fails_on("sync", fd) ? -1 : NEXT(fsync)(fd);
}

ssize_t read(int fd, void *bytes, size_t count) {
    return fails_on("read", fd) ? -1 : NEXT(read)(fd, bytes, count);
}

ssize_t pread(int fd, void *bytes, size_t count, off_t at) {
    return fails_on("read", fd) ? -1 : NEXT(pread)(fd, bytes, count, at);
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t at) {
    return fails_on("read", fd) ? -1 : NEXT(pread64)(fd, bytes, count, at);
}

static int open_as(int (*next)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    if (flags & O_CREAT && fails("write", path)) return -1;
    return next(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_as(NEXT(open), path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_as(NEXT(open64), path, flags, mode);
}
