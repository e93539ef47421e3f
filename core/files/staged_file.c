#include "core/files/staged_file.h"
#include "core/buffer.h"
#include "core/files/fs.h"

#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

status staged_open(staged_file *f, const char *path) {
    return staged_open_as(f, path, 0666);
}

status staged_open_as(staged_file *f, const char *path, mode_t mode) {
    buffer temporary = {0};
    *f = (staged_file){.fd = -1};
    status rc = mem_string(&f->path, path);
    buffer_print(&temporary, "%s.tmp", path);
    f->temporary = temporary.data;
    if (!rc) rc = temporary.failed;
    if (rc) return rc;
    rc = file_claim(&f->fd, f->temporary, mode);
    f->created = !rc;
    return rc;
}

status staged_write(staged_file *f, const void *bytes, size_t count) {
    return file_write_all(f->fd, f->temporary, bytes, count);
}

status staged_patch(staged_file *f, uint64_t place, const void *bytes, size_t count) {
    return file_write_at(f->fd, f->temporary, bytes, count, (int64_t)place);
}

status staged_finish(staged_file *f) {
    char folder[PATH_SIZE];
    status rc = fsync(f->fd) ? file_failure(f->temporary, "sync") : STATUS_OK;
    if (!rc && rename(f->temporary, f->path)) rc = file_failure(f->path, "rename into place");
    f->finished = !rc;
    if (rc) return rc; // the name is given up before the claim on it, in staged_close
    if (close(f->fd)) rc = file_failure(f->path, "close");
    f->fd = -1;
    if (rc) return rc;
    if (snprintf(folder, sizeof folder, "%s", f->path) >= (int)sizeof folder)
        return status_fail(STATUS_IO, "%s: the path is too long", f->path);
    return file_sync(dirname(folder));
}

void staged_close(staged_file *f) {
    if (f->created && !f->finished) unlink(f->temporary);
    if (f->path && f->fd >= 0) close(f->fd);
    mem_free(f->temporary);
    mem_free(f->path);
    *f = (staged_file){.fd = -1};
}
