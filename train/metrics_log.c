#include "train/metrics_log.h"
#include "core/files/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static status io_failure(const metrics_log *m, const char *action) {
    return status_fail(STATUS_IO, "%s: cannot %s: %s", m->path, action, strerror(errno));
}

// Bytes of the leading lines that are whole and belong to steps up to STEP. Every line begins with
// {"step":N, as this program writes it.
static size_t kept_bytes(const buffer *text, int64_t step) {
    static const char head[] = "{\"step\":";
    size_t kept = 0;
    while (kept < text->length) {
        const char *line = text->data + kept, *end = memchr(line, '\n', text->length - kept);
        if (!end || strncmp(line, head, sizeof head - 1)) break;
        if (strtoll(line + sizeof head - 1, NULL, 10) > step) break;
        kept = (size_t)(end - text->data) + 1;
    }
    return kept;
}

status metrics_log_open(metrics_log *m, const char *run_dir, int64_t step) {
    buffer text = {0};
    m->fd = -1;
    status rc = path_join(m->path, sizeof m->path, run_dir, "metrics.jsonl");
    if (rc) return rc;
    if (file_exists(m->path)) rc = file_read(m->path, 0, &text);
    if (rc) goto done;
    m->fd = open(m->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (m->fd < 0) {
        rc = io_failure(m, "open");
        goto done;
    }
    off_t kept = (off_t)kept_bytes(&text, step);
    if (ftruncate(m->fd, kept) || lseek(m->fd, kept, SEEK_SET) != kept) rc = io_failure(m, "cut");
done:
    buffer_free(&text);
    return rc;
}

status metrics_log_write(metrics_log *m, const buffer *line) {
    buffer text = {0};
    buffer_append(&text, line->data, line->length);
    buffer_text(&text, "\n");
    // One write per line: a kill leaves at most one torn line, which the next start drops.
    status rc = text.failed;
    errno = ENOSPC; // of a short write
    if (!rc && write(m->fd, text.data, text.length) != (ssize_t)text.length)
        rc = io_failure(m, "write");
    buffer_free(&text);
    return rc;
}

status metrics_log_sync(metrics_log *m) { return fsync(m->fd) ? io_failure(m, "sync") : STATUS_OK; }

void metrics_log_close(metrics_log *m) {
    if (m->fd >= 0) close(m->fd);
    m->fd = -1;
}
