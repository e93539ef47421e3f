// Whether a checkpoint's files are those that were written: their sizes and checksums stand in its manifest.
#include "train/checkpoint_check.h"
#include "core/checksum.h"
#include "core/files/fs.h"
#include "train/checkpoint.h"

#include <stdio.h>
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

static const char seal_key[] = ",\n  \"seal\": \"";

void manifest_seal(buffer *m) {
    if (m->failed) return;
    uint32_t crc = checksum_crc32(0, m->data, m->length);
    buffer_print(m, "%s%08x\"\n}\n", seal_key, crc);
}

static status check_seal(const buffer *text, const char *path) {
    const char *seal = strstr(text->data, seal_key);
    if (!seal) return STATUS_OK;
    uint32_t crc = checksum_crc32(0, text->data, (size_t)(seal - text->data));
    char own[16];
    snprintf(own, sizeof own, "%08x\"\n}\n", crc);
    if (!strcmp(seal + sizeof seal_key - 1, own)) return STATUS_OK;
    return status_fail(STATUS_FORMAT, "%s: is damaged: its checksum is %08x, it says %.8s", path, crc,
                       seal + sizeof seal_key - 1);
}

status manifest_open(json **out, const char *folder) {
    char path[PATH_SIZE];
    buffer text = {0};
    *out = NULL;
    status rc = path_join(path, sizeof path, folder, CHECKPOINT_MANIFEST);
    if (!rc) rc = file_read(path, 1 << 20, &text);
    if (!rc) rc = check_seal(&text, path);
    buffer_free(&text);
    return rc ? rc : json_read(out, path, 1 << 20);
}

status checkpoint_check(const char *folder) {
    char path[PATH_SIZE];
    json *document = NULL;
    json_value files;
    const char *format;
    status rc = path_join(path, sizeof path, folder, CHECKPOINT_MANIFEST);
    if (rc || !file_exists(path)) return rc;
    rc = manifest_open(&document, folder);
    if (rc) return rc;
    rc = json_member_text(&format, json_root(document), "format");
    if (!rc && strcmp(format, CHECKPOINT_FORMAT)) goto done; // another's manifest
    if (!rc) rc = json_member(&files, json_root(document), "files");
    if (!rc) rc = checkpoint_check_file(folder, CHECKPOINT_MODEL, files);
done:
    json_close(document);
    return rc;
}
