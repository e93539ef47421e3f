// Whether a checkpoint's files are those that were written: their sizes and checksums stand in its manifest.
#include "train/checkpoint_check.h"
#include "core/files/fs.h"
#include "train/checkpoint.h"

#include <stdlib.h>
#include <string.h>

status checkpoint_check_file(const char *folder, const char *name, json_value files) {
    char path[PATH_SIZE];
    json_value entry;
    const char *expected;
    int64_t bytes, have_bytes;
    uint32_t crc;
    status rc = json_member(&entry, files, name);
    if (!rc) rc = json_member_int(&bytes, entry, "bytes", 0, INT64_MAX);
    if (!rc) rc = json_member_text(&expected, entry, "crc32");
    if (!rc) rc = path_join(path, sizeof path, folder, name);
    if (!rc) rc = file_checksum(path, &have_bytes, &crc);
    if (rc) return rc;
    if (bytes != have_bytes || strtoul(expected, NULL, 16) != crc)
        return status_fail(STATUS_FORMAT, "%s: does not match the checkpoint's manifest (%lld of %lld "
                                          "bytes, CRC-32 %08x, expected %s)", path,
                           (long long)have_bytes, (long long)bytes, crc, expected);
    return STATUS_OK;
}

status checkpoint_check(const char *folder) {
    char path[PATH_SIZE];
    json *document = NULL;
    json_value files;
    const char *format;
    status rc = path_join(path, sizeof path, folder, CHECKPOINT_MANIFEST);
    if (rc || !file_exists(path)) return rc;
    rc = json_read(&document, path, 1 << 20);
    if (rc) return rc;
    rc = json_member_text(&format, json_root(document), "format");
    if (!rc && strcmp(format, CHECKPOINT_FORMAT)) goto done; // another's manifest
    if (!rc) rc = json_member(&files, json_root(document), "files");
    if (!rc) rc = checkpoint_check_file(folder, CHECKPOINT_MODEL, files);
done:
    json_close(document);
    return rc;
}
