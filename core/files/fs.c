#include "core/files/fs.h"
#include "core/checksum.h"
#include "core/files/staged_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

status file_failure(const char *path, const char *action) {
    return status_fail(STATUS_IO, "%s: cannot %s: %s", path, action, strerror(errno));
}

// Hands TAKE the file's bytes piece by piece.
static status read_pieces(const char *path, status (*take)(void *context, const char *piece, size_t size),
                          void *context) {
    status rc = STATUS_OK;
    char piece[1 << 16];
    struct stat info;
    int fd;
    do fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR); // a pipe, which waits for its writer
    if (fd < 0) return file_failure(path, "open");
    if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode))
        rc = status_fail(STATUS_IO, "%s: is a folder, not a file", path);
    while (!rc) {
        ssize_t size = read(fd, piece, sizeof piece);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) rc = file_failure(path, "read");
        if (size <= 0) break;
        rc = take(context, piece, (size_t)size);
    }
    close(fd);
    return rc;
}

typedef struct reading {
    const char *path;
    size_t limit;
    buffer *out;
} reading;

static status append_piece(void *context, const char *piece, size_t size) {
    const reading *r = context;
    if (r->limit && r->out->length + size > r->limit)
        return status_fail(STATUS_FORMAT, "%s: larger than %zu bytes", r->path, r->limit);
    buffer_append(r->out, piece, size);
    return r->out->failed;
}

status file_read(const char *path, size_t limit, buffer *out) {
    out->length = 0;
    buffer_text(out, "");
    status rc = read_pieces(path, append_piece, &(reading){path, limit, out});
    return rc ? rc : out->failed;
}

typedef struct summing {
    int64_t bytes;
    uint32_t crc;
} summing;

static status sum_piece(void *context, const char *piece, size_t size) {
    summing *s = context;
    s->bytes += (int64_t)size;
    s->crc = checksum_crc32(s->crc, piece, size);
    return STATUS_OK;
}

status file_checksum(const char *path, int64_t *bytes, uint32_t *crc) {
    summing s = {0};
    status rc = read_pieces(path, sum_piece, &s);
    *bytes = s.bytes;
    *crc = s.crc;
    return rc;
}

status file_write_all(int fd, const char *path, const void *bytes, size_t count) {
    const char *next = bytes;
    while (count) {
        ssize_t written = write(fd, next, count);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return file_failure(path, "write");
        next += written;
        count -= (size_t)written;
    }
    return STATUS_OK;
}

status file_write_at(int fd, const char *path, const void *bytes, size_t count, int64_t offset) {
    for (size_t done = 0; done < count;) {
        ssize_t written =
            pwrite(fd, (const char *)bytes + done, count - done, (off_t)offset + (off_t)done);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return file_failure(path, "write");
        done += (size_t)written;
    }
    return STATUS_OK;
}

status file_read_at(void *out, int fd, const char *path, size_t size, int64_t offset) {
    for (size_t done = 0; done < size;) {
        ssize_t count = pread(fd, (char *)out + done, size - done, (off_t)offset + (off_t)done);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return file_failure(path, "read");
        if (count == 0)
            return status_fail(STATUS_FORMAT, "%s: was cut short while it was in use", path);
        done += (size_t)count;
    }
    return STATUS_OK;
}

status file_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return file_failure(path, "open");
    // EINVAL: some file systems have nothing to sync for a folder.
    status rc = fsync(fd) && errno != EINVAL ? file_failure(path, "sync") : STATUS_OK;
    close(fd);
    return rc;
}

// Whether PATH still is what FD was opened as: another process may have given it another name since.
static bool is_still(const char *path, int fd) {
    struct stat own, there;
    return !fstat(fd, &own) && !stat(path, &there) && own.st_ino == there.st_ino && own.st_dev == there.st_dev;
}

// Takes the lock of FD; systems that know no locks have none to take. False: another process has it.
static bool lock_taken(int fd) {
    return !flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK;
}

status file_claim(int *fd, const char *path, mode_t mode) {
    status rc = STATUS_OK;
    do { // again where another process was just done with it
        *fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
        if (*fd < 0) return file_failure(path, "create");
        if (!lock_taken(*fd))
            rc = status_fail(STATUS_IO, "%s: another radialog is writing it; wait for it, or name another file", path);
        else if (is_still(path, *fd)) {
            if (ftruncate(*fd, 0)) rc = file_failure(path, "empty");
            if (!rc && mode == 0600 && fchmod(*fd, mode)) rc = file_failure(path, "hide"); // it may be older
            if (!rc) return STATUS_OK;
        }
        close(*fd);
        *fd = -1;
    } while (!rc);
    return rc;
}

static status write_file(const char *path, const void *bytes, size_t count, mode_t mode) {
    staged_file f;
    status rc = staged_open_as(&f, path, mode);
    if (!rc) rc = staged_write(&f, bytes, count);
    if (!rc) rc = staged_finish(&f);
    staged_close(&f);
    return rc;
}

status file_write(const char *path, const void *bytes, size_t count) {
    return write_file(path, bytes, count, 0666);
}

status file_write_secret(const char *path, const void *bytes, size_t count) {
    return write_file(path, bytes, count, 0600);
}

bool file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool folder_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

status file_size(const char *path, int64_t *size) {
    struct stat info;
    if (stat(path, &info)) return file_failure(path, "open");
    *size = info.st_size;
    return STATUS_OK;
}

status folder_make(const char *path) {
    char part[PATH_SIZE];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return status_fail(STATUS_IO, "%s: the path is too long", path);
    for (char *c = part + (*part == '/');; c++) {
        if (*c && *c != '/') continue;
        char kept = *c;
        *c = 0;
        if (mkdir(part, 0777) && errno != EEXIST) return file_failure(part, "create the folder");
        *c = kept;
        if (!kept) break;
    }
    if (!folder_exists(path)) return status_fail(STATUS_IO, "%s: exists and is no folder", path);
    return STATUS_OK;
}

status names_add(names *n, const char *name) {
    status rc = mem_grow((void **)&n->name, &n->capacity, n->count + 1, sizeof *n->name, "names");
    if (!rc) rc = mem_string(&n->name[n->count], name);
    if (!rc) n->count++;
    return rc;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

status folder_list(const char *path, names *out) {
    *out = (names){0};
    DIR *folder = opendir(path);
    if (!folder) return file_failure(path, "list");
    status rc = STATUS_OK;
    for (struct dirent *entry; !rc && (errno = 0, entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            rc = names_add(out, entry->d_name);
    if (!rc && errno) rc = file_failure(path, "list");
    closedir(folder);
    if (rc)
        names_free(out);
    else if (out->count)
        qsort(out->name, out->count, sizeof *out->name, compare_names);
    return rc;
}

void names_free(names *n) {
    for (size_t i = 0; i < n->count; i++) mem_free(n->name[i]);
    mem_free(n->name);
    *n = (names){0};
}

status folder_lock(int *fd, const char *path) {
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0) return file_failure(path, "open");
    if (lock_taken(*fd) && is_still(path, *fd)) return STATUS_OK;
    close(*fd);
    *fd = -1;
    return status_fail(STATUS_IO,
                       "%s: another radialog is at work in it; wait for it, or give another folder",
                       path);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where) {
    (void)info, (void)type, (void)where;
    return remove(path);
}

status path_remove(const char *path) {
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
        return file_failure(path, "remove");
    return STATUS_OK;
}

status path_join(char *out, size_t size, const char *folder, const char *name) {
    int length = snprintf(out, size, "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= size)
        return status_fail(STATUS_IO, "%s/%s: the path is too long", folder, name);
    return STATUS_OK;
}
