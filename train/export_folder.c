#include "train/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

status export_keep(const char *path, status verified) {
    if (verified) unlink(path);
    return verified;
}

status export_is_new(const char *path) {
    if (!file_exists(path) && !folder_exists(path)) return STATUS_OK;
    return status_fail(STATUS_USAGE, "%s: is there already: remove it, or name another --out",
                       path);
}

// What a killed export left in FOLDER, which itself stays: it is locked.
static status empty_folder(const char *folder) {
    char path[PATH_SIZE];
    names list;
    status rc = folder_list(folder, &list);
    if (rc) return rc;
    for (size_t i = 0; !rc && i < list.count; i++) {
        rc = path_join(path, sizeof path, folder, list.name[i]);
        if (!rc) rc = path_remove(path);
    }
    names_free(&list);
    return rc;
}

status folder_begin(char out[PATH_SIZE], int *lock, const char *path) {
    *lock = -1;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    if (snprintf(out, PATH_SIZE, "%.*s.tmp", (int)length, path) >= PATH_SIZE)
        return status_fail(STATUS_IO, "%s: the path is too long", path);
    status rc = export_is_new(path);
    if (!rc) rc = folder_make(out);
    if (!rc) rc = folder_lock(lock, out);
    if (!rc) rc = export_is_new(path); // another may have finished it meanwhile
    return rc ? rc : empty_folder(out);
}

static status give_name(const char *temporary, const char *path, status rc) {
    char text[1024];
    if (!rc) rc = file_sync(temporary);
    if (!rc && rename(temporary, path))
        rc = status_fail(STATUS_IO, "%s: cannot rename into place: %s", path, strerror(errno));
    if (!rc || !*temporary) return rc;
    snprintf(text, sizeof text, "%s", status_text());
    path_remove(temporary);
    return status_carry(rc, text);
}

status folder_end(const char *temporary, int lock, const char *path, status rc) {
    rc = give_name(temporary, path, rc);
    if (lock >= 0) close(lock);
    return rc;
}

static status copy_bytes(int to, int from, const char *path) {
    char bytes[1 << 16];
    for (;;) {
        const ssize_t got = read(from, bytes, sizeof bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return status_fail(STATUS_IO, "%s: cannot read: %s", path, strerror(errno));
        if (!got) return STATUS_OK;
        for (ssize_t at = 0; at < got;) {
            const ssize_t put = write(to, bytes + at, (size_t)(got - at));
            if (put < 0 && errno == EINTR) continue;
            if (put < 0)
                return status_fail(STATUS_IO, "%s: cannot copy: %s", path, strerror(errno));
            at += put;
        }
    }
}

status export_copy(const char *to, const char *from, const char *name, bool optional) {
    char source[PATH_SIZE], target[PATH_SIZE];
    status rc = path_join(source, sizeof source, from, name);
    if (!rc) rc = path_join(target, sizeof target, to, name);
    if (rc || (optional && !file_exists(source))) return rc;
    const int in = open(source, O_RDONLY | O_CLOEXEC);
    const int out = in < 0 ? -1 : open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (out < 0)
        rc = status_fail(STATUS_IO, "%s: cannot %s: %s", in < 0 ? source : target,
                         in < 0 ? "open" : "create", strerror(errno));
    if (!rc) rc = copy_bytes(out, in, source);
    if (!rc && fsync(out))
        rc = status_fail(STATUS_IO, "%s: cannot sync: %s", target, strerror(errno));
    if (out >= 0) close(out);
    if (in >= 0) close(in);
    return rc;
}

status export_copy_tokenizer(const char *to, const char *from) {
    static const char *const file[] = {"tokenizer.model",
                                       "tokenizer.json",
                                       "tokenizer_config.json",
                                       "special_tokens_map.json",
                                       "added_tokens.json",
                                       "vocab.json",
                                       "merges.txt",
                                       "chat_template.jinja",
                                       "generation_config.json"};
    status rc = STATUS_OK;
    for (size_t i = 0; i < sizeof file / sizeof *file && !rc; i++)
        rc = export_copy(to, from, file[i], true);
    return rc;
}
