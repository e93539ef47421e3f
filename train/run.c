#include "train/run.h"
#include "train/buckets.h"
#include "train/devices.h"
#include "train/step.h"
#include "core/files/fs.h"
#include "core/log.h"

#include <stdio.h>
#include <string.h>

status run_open_on(run *r, const stage *s, config *c, device *d, comm *ranks) {
    *r = (run){.stage = s, .config = c, .seed = (uint64_t)config_int(c, "run.seed"), .device = d, .comm = ranks};
    const char *dir = config_text(c, "run.dir");
    if (strlen(dir) >= sizeof r->dir / 2) return status_fail(STATUS_USAGE, "run.dir is too long");
    strcpy(r->dir, dir);
    status rc = device_open_dry(&r->dry, r->device);
    if (!rc) rc = params_open(&r->params, r->device);
    if (!rc) rc = tape_init(&r->tape, r->device, r->dry, r->comm);
    r->tape.seed = r->seed;
    return rc;
}

status run_open(run *r, const stage *s, config *c) {
    launch started;
    device *d = NULL;
    comm *ranks = NULL;
    *r = (run){0};
    status rc = launch_read(&started);
    if (!rc) rc = device_from_config(&d, c, &started);
    if (!rc) rc = comm_open(&ranks, &started, d, config_float(c, "run.watchdog"));
    if (!rc) return run_open_on(r, s, c, d, ranks);
    device_close(d);
    return rc;
}

void run_close(run *r) {
    if (!r->device) return; // nothing was opened
    if (r->stage && r->stage->free && r->state) r->stage->free(r);
    if (!r->device) return; // it could not be opened, so there is nothing on it
    step_close(r);
    buckets_close(r->buckets);
    mem_free(r->slices);
    tape_free(&r->tape);
    params_close(&r->params);
    comm_close(r->comm);
    device_close(r->dry);
    device_close(r->device);
    *r = (run){0};
}

status run_build(run *r) {
    status rc = params_allocate(&r->params);
    if (!rc) rc = params_init(&r->params, r->seed);
    if (!rc) rc = mem_new(&r->slices, r->params.count, "optimizer slices");
    return rc;
}

void run_note_batch(run *r, const dataset *set, const int64_t *record, int64_t count) {
    char *note = r->batch_note[r->step % 2];
    size_t room = sizeof r->batch_note[0], used = 0;
    note[0] = 0;
    for (int64_t i = 0; i < count && used < room; i++)
        used += (size_t)snprintf(note + used, room - used, "%s%s", i ? ", " : "", dataset_id(set, record[i], ID_DICOM));
}

status run_write_scores(const run *r, buffer *text) {
    char path[PATH_SIZE];
    buffer_text(text, "\n");
    status rc = text->failed ? text->failed : path_join(path, sizeof path, r->dir, "test.json");
    return rc ? rc : file_write(path, text->data, text->length);
}
