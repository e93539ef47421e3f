#include "train/settings.h"

#include <string.h>

// What this build computes with.
static status check_device(const arguments *a) {
    const char *device = argument(a, "device"), *precision = argument(a, "precision");
    if (device && strcmp(device, "cpu"))
        return status_fail(STATUS_USAGE, "--device %s: this build computes on the CPU only (--device cpu)",
                           device);
    if (precision && strcmp(precision, "f32"))
        return status_fail(STATUS_USAGE, "--precision %s: the CPU computes in f32 (--precision f32)",
                           precision);
    return STATUS_OK;
}

status settings_open(config **out, const config_key *const *tables, const arguments *a) {
    const char *path = argument(a, "config");
    *out = NULL;
    status rc = check_device(a);
    if (!rc) rc = config_open(out, tables);
    if (!rc && path) rc = config_load(*out, path);
    for (int i = 0; i < a->count && !rc; i++)
        if (!strcmp(a->given[i].option->name, "set")) rc = config_set(*out, a->given[i].value);
    return rc;
}

status settings_help(buffer *out, const config_key *const *tables) {
    config *c = NULL;
    status rc = config_open(&c, tables);
    if (rc) return rc;
    config_help(c, out);
    config_close(c);
    return out->failed;
}
