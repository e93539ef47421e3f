#include "train/settings.h"
#include "data/dataset.h"

#include <stdio.h>
#include <string.h>

// --device and --precision are short for keys, where the command has them.
static status set_short(config *c, const arguments *a, const char *name) {
    char assignment[256];
    const char *value = argument(a, name);
    if (!value) return STATUS_OK;
    if (snprintf(assignment, sizeof assignment, "run.%s=%s", name, value) >= (int)sizeof assignment)
        return status_fail(STATUS_USAGE, "--%s is too long", name);
    return config_set(c, assignment);
}

status settings_overrides(config *c, const arguments *a) {
    status rc = STATUS_OK;
    for (int i = 0; i < a->count && !rc; i++)
        if (!strcmp(a->given[i].option->name, "set")) rc = config_set(c, a->given[i].value);
    if (!rc) rc = set_short(c, a, "device");
    return rc ? rc : set_short(c, a, "precision");
}

status settings_open(config **out, const config_key *const *tables, const arguments *a) {
    const char *path = argument(a, "config");
    *out = NULL;
    status rc = config_open(out, tables);
    if (!rc && path) rc = config_load(*out, path);
    return rc ? rc : settings_overrides(*out, a);
}

status settings_split(int *out, const arguments *a, int usual) {
    const char *name = argument(a, "split");
    const bool all = usual == SPLITS_ALL;
    *out = usual;
    if (!name || (all && !strcmp(name, "all"))) return STATUS_OK;
    for (*out = 0; *out < SPLIT_COUNT; ++*out)
        if (!strcmp(name, split_names[*out])) return STATUS_OK;
    return status_fail(STATUS_USAGE, "--split %s; there are train, validate%s", name, all ? ", test and all" : " and test");
}

status settings_help(buffer *out, const config_key *const *tables) {
    config *c = NULL;
    status rc = config_open(&c, tables);
    if (rc) return rc;
    config_help(c, out);
    config_close(c);
    return out->failed;
}
