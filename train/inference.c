#include "train/inference.h"
#include "core/files/fs.h"
#include "train/checkpoint.h"
#include "train/devices.h"
#include "train/settings.h"

#include <libgen.h>
#include <stdio.h>

// The configuration that the checkpoint folder carries, then --config and --set.
static status read_config(inference *s, const arguments *a, const config_key *const *tables) {
    char path[PATH_SIZE];
    status rc = settings_open(&s->config, tables, a);
    if (rc || file_exists(s->folder)) return rc; // weights alone carry none
    rc = path_join(path, sizeof path, s->folder, "config.json");
    if (!rc) rc = config_load(s->config, path);
    return rc ? rc : settings_overrides(s->config, a);
}

static status find_checkpoint(inference *s, const char *given) {
    if (!given)
        return status_fail(STATUS_USAGE,
                           "--checkpoint PATH is missing: a run directory, a checkpoint folder "
                           "or a file of weights");
    status rc = checkpoint_folder(s->folder, sizeof s->folder, given);
    return rc ? rc : checkpoint_weights(s->file, sizeof s->file, s->folder);
}

status inference_open(inference *s, const arguments *a, const config_key *const *tables) {
    *s = (inference){0};
    status rc = find_checkpoint(s, argument(a, "checkpoint"));
    if (!rc) rc = read_config(s, a, tables);
    return rc ? rc : inference_open_device(s);
}

status inference_open_at(inference *s, const char *path, const char *where,
                         const config_key *const *tables) {
    char assignment[64];
    const arguments none = {0};
    *s = (inference){0};
    snprintf(assignment, sizeof assignment, "run.device=%s", where);
    status rc = find_checkpoint(s, path);
    if (!rc) rc = read_config(s, &none, tables);
    if (!rc) rc = config_set(s->config, assignment);
    return rc ? rc : inference_open_device(s);
}

status inference_open_device(inference *s) {
    status rc = device_from_config(&s->device, s->config, NULL);
    if (!rc) rc = device_open_dry(&s->dry, s->device);
    if (!rc) rc = comm_open_single(&s->comm);
    if (!rc) rc = params_open(&s->params, s->device);
    return rc ? rc : tape_init(&s->tape, s->device, s->dry, s->comm);
}

void inference_close(inference *s) {
    tape_free(&s->tape);
    params_close(&s->params);
    comm_close(s->comm);
    device_close(s->dry);
    device_close(s->device);
    config_close(s->config);
}

status inference_allocate(inference *s) {
    params_freeze(&s->params, "");
    return params_allocate(&s->params);
}

status inference_vocabulary(char *path, const inference *s) {
    const char *named = config_text(s->config, "model.vocabulary");
    char folder[PATH_SIZE];
    snprintf(path, PATH_SIZE, "%s", named);
    if (*named) return STATUS_OK;
    snprintf(folder, sizeof folder, "%s", s->folder);
    const bool alone = file_exists(folder);
    status rc = path_join(path, PATH_SIZE, alone ? dirname(folder) : folder, "vocab.txt");
    if (!rc && alone && !file_exists(path)) *path = 0; // vocabulary_open says that none is named
    return rc;
}
