// The seal of a shard: a table of where the images are and a footer at the end of the file,
//     count times {i64 offset, i64 bytes}
//     "RADSEAL1", i64 size of the HDF5 part, i64 count, u32 0, u32 crc
// in little-endian. The CRC-32 covers the HDF5 part without the images, the table, and the footer up to
// itself.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "data/shard.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct footer {
    char magic[8];
    int64_t size, count;
    uint32_t zero, crc;
} footer;

static const char MAGIC[8] = {'R', 'A', 'D', 'S', 'E', 'A', 'L', '1'};
_Static_assert(sizeof(footer) == 32, "the footer has no padding");
_Static_assert(sizeof(hdf5_chunk) == 16, "the table has no padding");
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "shards are little-endian"
#endif

enum { BLOCK = 1 << 20 };

static status damaged(const char *path, const char *what) {
    return status_fail(STATUS_FORMAT, "%s: %s; remove it and run ingest again", path, what);
}

static int by_offset(const void *a, const void *b) {
    int64_t x = ((const hdf5_chunk *)a)->offset, y = ((const hdf5_chunk *)b)->offset;
    return (x > y) - (x < y);
}

// Continues CRC over the bytes [BEGIN, END) of the file.
static status checksum_range(uint32_t *crc, int fd, const char *path, void *block, int64_t begin,
                             int64_t end) {
    status rc = STATUS_OK;
    while (!rc && begin < end) {
        size_t size = end - begin < BLOCK ? (size_t)(end - begin) : BLOCK;
        rc = file_read_at(block, fd, path, size, begin);
        if (!rc) *crc = checksum_crc32(*crc, block, size);
        begin += (int64_t)size;
    }
    return rc;
}

// The checksum that FOOT must carry over the file behind FD and CHUNK.
static status checksum_all(uint32_t *crc, int fd, const char *path, const hdf5_chunk *chunk,
                           const footer *foot) {
    void *block = NULL;
    hdf5_chunk *sorted = NULL;
    size_t count = (size_t)foot->count;
    int64_t place = 0;
    *crc = 0;
    status rc = mem_take(&block, BLOCK, 1, "a shard's checksum");
    if (!rc) rc = mem_new(&sorted, count, "a shard's checksum");
    if (!rc && count) {
        memcpy(sorted, chunk, count * sizeof *chunk);
        qsort(sorted, count, sizeof *sorted, by_offset);
    }
    for (size_t i = 0; !rc && i < count; i++) {
        // Each comparison keeps the next subtraction from overflowing.
        if (sorted[i].offset < place || sorted[i].offset > foot->size || sorted[i].bytes <= 0 ||
            sorted[i].bytes > foot->size - sorted[i].offset)
            rc = damaged(path, "the table of images is damaged");
        if (!rc) rc = checksum_range(crc, fd, path, block, place, sorted[i].offset);
        if (!rc) place = sorted[i].offset + sorted[i].bytes;
    }
    if (!rc) rc = checksum_range(crc, fd, path, block, place, foot->size);
    if (!rc && count) *crc = checksum_crc32(*crc, chunk, count * sizeof *chunk);
    if (!rc) *crc = checksum_crc32(*crc, foot, offsetof(footer, crc));
    mem_free(sorted);
    mem_free(block);
    return rc;
}

status shard_seal_write(const char *path, const hdf5_chunk *chunk, int64_t count) {
    struct stat info;
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info)) {
        status rc = file_failure(path, "open");
        if (fd >= 0) close(fd);
        return rc;
    }
    footer foot = {.size = info.st_size, .count = count};
    memcpy(foot.magic, MAGIC, sizeof MAGIC);
    status rc = checksum_all(&foot.crc, fd, path, chunk, &foot);
    if (!rc) rc = file_write_all(fd, path, chunk, (size_t)count * sizeof *chunk);
    if (!rc) rc = file_write_all(fd, path, &foot, sizeof foot);
    if (!rc && fsync(fd)) rc = file_failure(path, "sync");
    if (close(fd) && !rc) rc = file_failure(path, "close");
    return rc;
}

static status read_footer(footer *foot, int fd, const char *path) {
    struct stat info;
    if (fstat(fd, &info)) return file_failure(path, "read");
    if (info.st_size < (off_t)sizeof *foot) return damaged(path, "the shard is cut short");
    status rc = file_read_at(foot, fd, path, sizeof *foot, info.st_size - (int64_t)sizeof *foot);
    if (rc) return rc;
    if (memcmp(foot->magic, MAGIC, sizeof MAGIC))
        return damaged(path, "is no shard, or is cut short (its end has no seal)");
    if (foot->count < 0 || foot->count > SHARD_RECORDS_MAX || foot->size < 0 || foot->zero ||
        info.st_size - (int64_t)sizeof *foot - foot->count * (int64_t)sizeof(hdf5_chunk) != foot->size)
        return damaged(path, "the seal does not fit the file");
    return STATUS_OK;
}

status shard_seal_read(hdf5_chunk **chunk, int64_t *count, uint32_t *crc, int fd,
                       const char *path) {
    footer foot;
    uint32_t found = 0;
    *chunk = NULL;
    status rc = read_footer(&foot, fd, path);
    if (!rc) rc = mem_new(chunk, foot.count, "a shard's table of images");
    if (!rc) rc = file_read_at(*chunk, fd, path, (size_t)foot.count * sizeof **chunk, foot.size);
    if (!rc) rc = checksum_all(&found, fd, path, *chunk, &foot);
    if (!rc && found != foot.crc)
        rc = damaged(path, "the shard is damaged (its tables fail their checksum)");
    *count = rc ? 0 : foot.count;
    *crc = rc ? 0 : foot.crc;
    if (rc) {
        mem_free(*chunk);
        *chunk = NULL;
    }
    return rc;
}
