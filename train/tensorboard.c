#include "train/tensorboard.h"
#include "core/files/fs.h"
#include "core/files/tfevents.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char file_name[] =
    "events.out.tfevents.0000000000.radialog"; // TensorBoard knows them by the middle
enum { SECONDS = 5 };

void tensorboard_close(tensorboard *t) {
    if (t->fd < 0) return;
    close(t->fd);
    mem_free(t->written);
    run_record_close(&t->record);
    *t = (tensorboard){.fd = -1};
}

static status give(const tensorboard *t, const buffer *events) {
    if (events->failed) return events->failed;
    errno = ENOSPC; // of a short write
    if (write(t->fd, events->data, events->length) == (ssize_t)events->length) return STATUS_OK;
    return status_fail(STATUS_IO, "%s/%s: cannot write: %s", t->folder, file_name, strerror(errno));
}

// --- time ---------------------------------------------------------------------------------------
// Steps have no time of day, only how long they took: the latest one ends now. OUT (of "ms"): when
// each ended.
static status ends_of(double **out, const run_series *ms) {
    double now = (double)time(NULL);
    const int64_t count = ms ? ms->count : 0;
    status rc = mem_new(out, count + 1, "times of steps");
    for (int64_t i = count - 1; i >= 0 && !rc; i--) {
        (*out)[i] = now;
        if (isfinite(ms->value[i])) now -= ms->value[i] / 1e3;
    }
    return rc;
}

static double end_of(const run_series *ms, const double *ends, double step) {
    int64_t low = 0, high = ms ? ms->count : 0;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (ms->step[middle] < step)
            low = middle + 1;
        else
            high = middle;
    }
    return ms && low < ms->count ? ends[low] : (double)time(NULL);
}

// --- curves -------------------------------------------------------------------------------------
// "validation.auc" is the curve "validation/auc": TensorBoard shows what stands before the stroke
// as a group.
static void add_series(buffer *out, const run_series *s, int64_t from, const run_series *ms,
                       const double *ends) {
    char tag[512];
    const size_t length = strlen(s->name);
    if (length >= sizeof tag) return;
    for (size_t i = 0; i <= length; i++) tag[i] = s->name[i] == '.' ? '/' : s->name[i];
    for (int64_t i = from; i < s->count; i++)
        if (isfinite(s->value[i]))
            tfevents_number(out, end_of(ms, ends, s->step[i]), (int64_t)s->step[i], tag,
                            s->value[i]);
}

static status add_all(tensorboard *t) {
    const run_series *ms = run_record_find(&t->record, "ms");
    double *ends = NULL;
    buffer events = {0};
    status rc =
        mem_grow((void **)&t->written, &t->room, t->record.count, sizeof *t->written, "curves");
    if (!rc) rc = ends_of(&ends, ms);
    for (size_t i = 0; i < t->record.count && !rc; i++) {
        const run_series *s = &t->record.series[i];
        if (strcmp(s->name, "step")) add_series(&events, s, t->written[i], ms, ends);
        t->written[i] = s->count;
    }
    if (!rc && events.length) rc = give(t, &events);
    mem_free(ends);
    buffer_free(&events);
    return rc;
}

// --- the file -----------------------------------------------------------------------------------
status tensorboard_open(tensorboard *t, const char *folder) {
    char path[PATH_SIZE], metrics[PATH_SIZE];
    buffer head = {0};
    *t = (tensorboard){.fd = -1};
    status rc = path_join(path, sizeof path, folder, file_name);
    if (!rc) rc = path_join(metrics, sizeof metrics, folder, "metrics.jsonl");
    if (rc) return rc;
    strcpy(t->folder, folder); // shorter than PATH
    t->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (t->fd < 0)
        return status_fail(STATUS_IO, "%s: cannot be written: %s", path, strerror(errno));
    tfevents_begin(&head, (double)time(NULL));
    rc = give(t, &head);
    buffer_free(&head);
    return rc || !file_exists(metrics) ? rc : tensorboard_follow(t, true);
}

status tensorboard_follow(tensorboard *t, bool now) {
    if (!now && clock_seconds() - t->latest < SECONDS) return STATUS_OK;
    status rc = run_record_more(&t->record, t->folder);
    if (!rc) rc = add_all(t);
    t->latest = clock_seconds();
    return rc;
}
