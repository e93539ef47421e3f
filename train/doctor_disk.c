// How fast the disks are, without leaving anything behind and in bounded time.
#include "core/files/fs.h"
#include "core/log.h"
#include "core/rng.h"
#include "train/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { PIECE = 4 << 20, BLOCK = 4096, ALIGN = 4096 };

// --- speed ---------------------------------------------------------------------------------------
// PIECE bytes at a page's beginning, inside *MEMORY; random, so that no file system can write them
// smaller.
static char *make_piece(void **memory) {
    if (mem_take(memory, PIECE + ALIGN, 1, "a piece of a file")) return NULL;
    char *piece = (char *)(((uintptr_t)*memory + ALIGN - 1) / ALIGN * ALIGN);
    rng_key key = {.seed = 1, .site = rng_site("doctor")};
    for (size_t i = 0; i < PIECE / 4; i++) {
        uint32_t word = (uint32_t)rng_word(key, 0, i);
        memcpy(piece + 4 * i, &word, sizeof word);
    }
    return piece;
}

// From the file's beginning until BYTES, SECONDS or its end are reached. Bytes a second; 0 and
// *ERROR where nothing can be moved.
static double move(int fd, char *piece, size_t bytes, double seconds, bool writes, int *error) {
    double start = clock_seconds();
    size_t done = 0;
    while (done + PIECE <= bytes && clock_seconds() - start < seconds) {
        ssize_t n =
            writes ? pwrite(fd, piece, PIECE, (off_t)done) : pread(fd, piece, PIECE, (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) *error = errno;
        if (n <= 0) break;
        done += (size_t)n;
        if (n % BLOCK) break; // the file's or the disk's end
    }
    if (writes && done && fdatasync(fd) && !*error) *error = errno;
    double took = clock_seconds() - start;
    return done && !*error ? (double)done / (took > 1e-6 ? took : 1e-6) : 0;
}

// Past the page cache where the file system can, else after asking it to forget.
static double read_back(int fd, char *piece, size_t bytes, double seconds, disk_speed *s) {
    if (!s->direct) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return move(fd, piece, bytes, seconds, false, &s->error);
}

// Past the page cache from here on, where the file system can. Set after opening: a file that is
// created with the flag and refused would stay behind.
static bool go_direct(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && !fcntl(fd, F_SETFL, flags | O_DIRECT);
}

// A file whose name is gone before anything is written, so that nothing can stay behind.
static int open_nameless(const char *folder, disk_speed *s) {
    char path[PATH_SIZE];
    errno = ENAMETOOLONG;
    bool room =
        snprintf(path, sizeof path, "%s/.radialog-doctor-XXXXXX", folder) < (int)sizeof path;
    int fd = room ? mkostemp(path, O_CLOEXEC) : -1;
    if (fd < 0) {
        s->error = errno;
        return fd;
    }
    unlink(path);
    s->direct = go_direct(fd);
    return fd;
}

disk_speed disk_measure(const char *folder, size_t bytes, double seconds) {
    disk_speed s = {0};
    void *memory = NULL;
    char *piece = make_piece(&memory);
    int fd = piece ? open_nameless(folder, &s) : -1;
    if (!piece) s.error = ENOMEM;
    if (fd >= 0) {
        s.write = move(fd, piece, bytes, seconds, true, &s.error);
        if (!s.error) s.read = read_back(fd, piece, bytes, seconds, &s);
        close(fd);
    }
    mem_free(memory);
    return s;
}

disk_speed disk_measure_file(const char *path, size_t bytes, double seconds) {
    disk_speed s = {0};
    void *memory = NULL;
    char *piece = make_piece(&memory);
    int fd = piece ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0) s.error = piece ? errno : ENOMEM;
    if (fd >= 0) {
        s.direct = go_direct(fd);
        s.read = read_back(fd, piece, bytes, seconds, &s);
        close(fd);
    }
    mem_free(memory);
    return s;
}

// --- the report ----------------------------------------------------------------------------------
static const size_t BYTES = (size_t)256 << 20;
static const double SECONDS = 1;

// The nearest folder of PATH that exists: a run makes the rest. False where a file stands in the
// way, whose path OUT holds then.
static bool existing_folder(char out[PATH_SIZE], const char *path) {
    snprintf(out, PATH_SIZE, "%s", *path ? path : ".");
    while (!folder_exists(out)) {
        struct stat found;
        if (!lstat(out, &found)) return false;
        char *slash = strrchr(out, '/');
        if (!slash)
            snprintf(out, PATH_SIZE, ".");
        else if (slash == out)
            out[1] = 0;
        else
            *slash = 0;
        if (!slash || slash == out) break;
    }
    return true;
}

// Bytes free at FOLDER, and a line about them: ADVICE where they are few.
static double space_line(doctor *d, const char *folder, const char *advice) {
    struct statvfs v;
    char found[64];
    if (statvfs(folder, &v)) {
        doctor_line(d, DOCTOR_ADVICE, "free space", "unknown", "%s", strerror(errno));
        return -1;
    }
    double bytes = (double)v.f_bavail * (double)v.f_frsize;
    snprintf(found, sizeof found, "%.1f GB", 1e-9 * bytes);
    bool little = bytes < 2e9 && *advice;
    doctor_line(d, little ? DOCTOR_ADVICE : DOCTOR_FINE, "free space", found, "%s",
                little ? advice : "");
    return bytes;
}

static void speed_line(doctor *d, const char *what, double speed, const disk_speed *s, double slow,
                       const char *advice) {
    char found[96];
    snprintf(found, sizeof found, "%.0f MB/s%s", 1e-6 * speed,
             s->direct ? "" : " (through the page cache)");
    doctor_line(d, speed < slow ? DOCTOR_ADVICE : DOCTOR_FINE, what, found, "%s",
                speed < slow ? advice : "");
}

static void run_folder(doctor *d) {
    char folder[PATH_SIZE];
    const char *dir = config_text(d->config, "run.dir");
    d->section = "run.dir";
    if (!existing_folder(folder, dir)) {
        static const char *const facts[] = {"run_free", "run_write", "run_read"};
        doctor_line(d, DOCTOR_MISSING, "folder", dir, "%.200s is no folder: choose another run.dir",
                    folder);
        for (int i = 0; i < 3; i++) doctor_fact(d, facts[i], -1);
        return;
    }
    doctor_line(d, DOCTOR_FINE, "folder", dir, "%s", "");
    double room = space_line(d, folder,
                             "a checkpoint of the paper's classifier takes 0.4 GB, and "
                             "train.keep + 1 of them stay: make room");
    doctor_fact(d, "run_free", room);
    size_t bytes =
        room >= 0 && room / 4 < (double)BYTES ? (size_t)(room / 4) / PIECE * PIECE : BYTES;
    disk_speed s = disk_measure(folder, bytes, SECONDS);
    if (s.error == ENOMEM) d->lines.failed = STATUS_MEMORY; // its text stands
    doctor_fact(d, "run_write", s.error ? -1 : s.write);
    doctor_fact(d, "run_read", s.error ? -1 : s.read);
    if (s.error)
        doctor_line(d, DOCTOR_MISSING, "writing", strerror(s.error),
                    "cannot write in %.200s: choose another "
                    "run.dir or change its permissions",
                    folder);
    else if (!bytes)
        doctor_line(d, DOCTOR_MISSING, "writing", "the disk is full",
                    "make room, or choose another run.dir");
    if (s.error || !bytes) return;
    speed_line(d, "writing", s.write, &s, 50e6,
               "slow: checkpoints take long; train.checkpoint_every spaces them");
    speed_line(d, "reading", s.read, &s, 50e6, "slow: continuing a run takes long");
}

// The largest shard of FOLDER; "" where there is none.
static status largest_shard(char out[PATH_SIZE], const char *folder) {
    names list = {0};
    int64_t most = -1, size;
    *out = 0;
    status rc = folder_list(folder, &list);
    for (size_t i = 0; i < list.count && !rc; i++) {
        char path[PATH_SIZE];
        const char *dot = strrchr(list.name[i], '.');
        if (!dot || strcmp(dot, ".h5") || path_join(path, sizeof path, folder, list.name[i]))
            continue;
        if (file_size(path, &size) || size <= most) continue;
        most = size;
        memcpy(out, path, sizeof path);
    }
    names_free(&list);
    return rc;
}

static void shard_folder(doctor *d) {
    char file[PATH_SIZE];
    const char *folder = config_text(d->config, "data.shards");
    d->section = "data.shards";
    if (!config_is_set(d->config, "data.shards")) return;
    status rc = largest_shard(file, folder);
    if (rc == STATUS_MEMORY) d->lines.failed = rc;
    if (rc) {
        doctor_line(d, DOCTOR_ADVICE, "folder", folder,
                    "there is no such folder that can be read: radialog ingest "
                    "makes it");
        return;
    }
    doctor_line(d, *file ? DOCTOR_FINE : DOCTOR_ADVICE, "folder", folder, "%s",
                *file ? "" : "no shard in it: radialog ingest makes them");
    space_line(d, folder, ""); // training writes nothing there
    disk_speed s =
        *file ? disk_measure_file(file, BYTES, SECONDS) : disk_measure(folder, BYTES, SECONDS);
    if (s.error == ENOMEM) d->lines.failed = STATUS_MEMORY;
    doctor_fact(d, "shards_read", s.error ? -1 : s.read);
    if (s.error)
        doctor_line(d, DOCTOR_ADVICE, "reading", strerror(s.error), "%s",
                    *file ? "the shards cannot be read: change "
                            "their permissions"
                          : "");
    else
        speed_line(d, "reading", s.read, &s, 100e6,
                   "slow: training may wait for it; copy the shards to a local disk");
}

void doctor_disks(doctor *d) {
    run_folder(d);
    shard_folder(d);
}
