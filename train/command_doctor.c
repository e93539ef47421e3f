// radialog doctor: whether this machine can train, how well, and what to do about it.
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/doctor.h"
#include "train/settings.h"

#include <stdio.h>

static const option options[] = {
    {"root", "DIR", "read /proc and /sys under DIR instead: another machine's, or a test's"},
    {0},
};

static status print_report(const doctor *d, bool json) {
    buffer out = {0};
    status rc = d->lines.failed ? d->lines.failed : d->facts.failed;
    if (json) {
        buffer_print(&out, "{\"trains\":%s,\"facts\":{", d->missing ? "false" : "true");
        buffer_append(&out, d->facts.data, d->facts.length);
        buffer_text(&out, "},\n  \"lines\":[");
        buffer_append(&out, d->lines.data, d->lines.length);
        buffer_text(&out, "\n  ]}\n");
    } else {
        status written = table_write(&d->table, TABLE_PLAIN, &out);
        if (!rc) rc = written;
    }
    if (!rc) rc = out.failed;
    if (!rc) fwrite(out.data, 1, out.length, stdout);
    buffer_free(&out);
    return rc;
}

static status run_doctor(const arguments *a) {
    config *c = NULL;
    doctor d;
    const char *root = argument(a, "root");
    status rc = settings_open(&c, classifier_tables, a);
    if (rc) goto done;
    doctor_open(&d, root ? root : "", c);
    doctor_processor(&d);
    doctor_products(&d);
    doctor_memory(&d);
    doctor_gpus(&d);
    doctor_ranks(&d);
    doctor_libraries(&d);
    doctor_limits(&d);
    doctor_disks(&d);
    rc = print_report(&d, argument_given(a, "json"));
    if (!rc && d.missing)
        rc = status_fail(STATUS_DEVICE, "training would not work here: see the advice above");
    doctor_free(&d);
done:
    config_close(c);
    return rc;
}

const command command_doctor = {
    .name = "doctor",
    .summary = "whether this machine can train, and what to do about it",
    .options = options,
    .run = run_doctor,
    .tables = classifier_tables,
};
