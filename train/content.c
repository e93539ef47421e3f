#include "train/content.h"
#include "core/checksum.h"
#include "core/files/fs.h"
#include "core/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { DEEPEST = 32 };

typedef struct entry {
    char *path;
    const char *name; // of it, from the folder that was asked for
    int64_t bytes, changed; // nanoseconds
    uint32_t crc;
} entry;

typedef struct listing {
    entry *list;
    size_t count, capacity;
    size_t root; // characters of the paths that name the folder
} listing;

static void listing_close(listing *l) {
    for (size_t i = 0; i < l->count; i++) mem_free(l->list[i].path);
    mem_free(l->list);
}

static bool counts(const char *name) {
    static const char *const beside[] = {"log.txt", "metrics.jsonl", "report.html", "config.resolved.json"};
    const size_t length = strlen(name);
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        if (!strcmp(name, beside[i])) return false;
    if (!strncmp(name, "events.out.tfevents", 19)) return false;
    return *name != '.' && (length < 4 || strcmp(name + length - 4, ".tmp"));
}

static status add_file(listing *l, const char *path, const struct stat *info) {
    entry e = {.bytes = info->st_size, .changed = info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec};
    status rc = mem_grow((void **)&l->list, &l->capacity, l->count + 1, sizeof *l->list, "files");
    if (!rc) rc = mem_string(&e.path, path);
    if (rc) return rc;
    e.name = e.path + l->root;
    l->list[l->count++] = e;
    return STATUS_OK;
}

// In the order of names, so that it does not depend on the file system.
static status add_all(listing *l, const char *path, int depth) {
    struct stat info;
    names below;
    char part[PATH_SIZE];
    if (stat(path, &info))
        return status_fail(STATUS_IO, "%s: is not there, or cannot be opened", path);
    if (!S_ISDIR(info.st_mode)) return add_file(l, path, &info);
    if (depth == DEEPEST) return status_fail(STATUS_IO, "%s: folders are more than %d deep", path, DEEPEST);
    status rc = folder_list(path, &below);
    if (rc) return rc;
    for (size_t i = 0; i < below.count && !rc; i++) {
        if (!counts(below.name[i])) continue;
        rc = path_join(part, sizeof part, path, below.name[i]);
        if (!rc) rc = add_all(l, part, depth + 1);
    }
    names_free(&below);
    return rc;
}

static status list(listing *l, const char *path) {
    *l = (listing){.root = strlen(path)};
    return add_all(l, path, 0);
}

// The list as one text.
static void sum_up(char out[CONTENT_SIZE], const listing *l, bool times) {
    int64_t bytes = 0;
    uint32_t crc = 0;
    for (size_t i = 0; i < l->count; i++) {
        const entry *e = &l->list[i];
        const int64_t of = times ? e->changed : (int64_t)e->crc;
        crc = checksum_crc32(crc, e->name, strlen(e->name) + 1);
        crc = checksum_crc32(crc, &e->bytes, sizeof e->bytes);
        crc = checksum_crc32(crc, &of, sizeof of);
        bytes += e->bytes;
    }
    snprintf(out, CONTENT_SIZE, "%" PRId64 "-%08" PRIx32, bytes, crc);
}

status content_look(char out[CONTENT_SIZE], const char *path) {
    listing l;
    status rc = list(&l, path);
    if (!rc) sum_up(out, &l, true);
    listing_close(&l);
    return rc;
}

status content_read(char out[CONTENT_SIZE], const char *path) {
    listing l;
    char why[1024] = "";
    status rc = list(&l, path), first = STATUS_OK;
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < l.count; i++) {
        int64_t bytes;
        status one = rc ? rc : file_checksum(l.list[i].path, &bytes, &l.list[i].crc);
        if (!one || rc) continue;
#pragma omp critical(content)
        if (!first) first = one, snprintf(why, sizeof why, "%s", status_text());
    }
    if (!rc && first) rc = status_carry(first, why);
    if (!rc) sum_up(out, &l, false);
    listing_close(&l);
    return rc;
}
