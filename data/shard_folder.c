#include "data/shard_folder.h"
#include "core/files/fs.h"
#include "core/files/json.h"
#include "core/log.h"

#include <stdlib.h>
#include <string.h>

enum { MANIFEST_LIMIT = 64 << 20 };

status shard_folder_other_plan(const char *path) {
    return status_fail(STATUS_FORMAT,
                       "%s: was made from other inputs or with other options; give another --out, "
                       "or remove the folder to make it anew",
                       path);
}

static status check_manifest(const char *path, const shard_plan *p) {
    json *document = NULL;
    json_value hashes;
    const char *plan;
    status rc = json_read(&document, path, MANIFEST_LIMIT);
    if (rc == STATUS_FORMAT) {
        log_warn("%s; it is written again", status_text()); // the shards carry the plan as well
        return STATUS_OK;
    }
    if (!rc) rc = json_member(&hashes, json_root(document), "hashes");
    if (!rc) rc = json_member_text(&plan, hashes, "plan");
    if (!rc && strcmp(plan, p->hash)) rc = shard_folder_other_plan(path);
    json_close(document);
    return rc;
}

// Whether NAME is a shard's, and one that this plan makes.
static bool is_shard(bool *planned, const char *name, const shard_plan *p) {
    char expected[SHARD_NAME_SIZE];
    size_t length = strlen(name);
    *planned = false;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        size_t prefix = strlen(split_names[s]);
        if (strncmp(name, split_names[s], prefix) || name[prefix] != '-') continue;
        int64_t number = strtoll(name + prefix + 1, NULL, 10), rows = p->rows[s];
        *planned = number >= 0 && !strcmp(shard_name(expected, s, number), name) &&
                   number < rows / p->shard_rows + (rows % p->shard_rows != 0);
    }
    return length > 3 && !strcmp(name + length - 3, ".h5");
}

static status prepare_entry(const char *folder, const char *name, const shard_plan *p) {
    char path[PATH_SIZE], base[256];
    size_t length = strlen(name);
    bool planned;
    status rc = path_join(path, sizeof path, folder, name);
    if (rc) return rc;
    if (!strcmp(name, "manifest.json")) return check_manifest(path, p);
    if (is_shard(&planned, name, p) && !planned) return shard_folder_other_plan(path);
    if (length < 5 || length >= sizeof base || strcmp(name + length - 4, ".tmp"))
        return STATUS_OK;
    memcpy(base, name, length - 4);
    base[length - 4] = 0;
    if (is_shard(&planned, base, p) || !strcmp(base, "manifest.json") ||
        !strcmp(base, "skipped.csv"))
        return path_remove(path);
    return STATUS_OK;
}

status shard_folder_prepare(const char *folder, const shard_plan *p) {
    names list = {0};
    status rc = folder_list(folder, &list);
    for (size_t i = 0; !rc && i < list.count; i++) rc = prepare_entry(folder, list.name[i], p);
    names_free(&list);
    return rc;
}

status shard_folder_write(const char *folder, const char *name, const buffer *content) {
    char path[PATH_SIZE];
    buffer old = {0};
    status rc = content->failed;
    if (!rc) rc = path_join(path, sizeof path, folder, name);
    if (!rc && file_exists(path)) rc = file_read(path, 0, &old);
    const bool same = old.data && old.length == content->length &&
                      !memcmp(old.data, content->data, content->length);
    if (!rc && !same) rc = file_write(path, content->data, content->length);
    buffer_free(&old);
    return rc;
}
