// radialog report: the page of a training run, out of what the run has written so far.
#include "core/files/fs.h"
#include "train/commands.h"
#include "train/run_page.h"
#include "train/tensorboard.h"

#include <stdio.h>

static const option options[] = {
    {"tensorboard", NULL, "also writes the run's numbers there as an event file of TensorBoard"},
    {0},
};

// Where the page is.
static status tell(const char *folder, bool json) {
    char path[PATH_SIZE];
    buffer out = {0};
    status rc = path_join(path, sizeof path, folder, "report.html");
    if (rc) return rc;
    if (json) {
        buffer_text(&out, "{\"page\":");
        buffer_json(&out, path);
        buffer_text(&out, "}\n");
    } else {
        buffer_print(&out, "%s\n", path);
    }
    rc = out.failed;
    if (!rc) fwrite(out.data, 1, out.length, stdout);
    buffer_free(&out);
    return rc;
}

static status report(const arguments *a) {
    const char *folder = a->positional[0];
    if (a->positionals != 1)
        return status_fail(STATUS_USAGE, "one run directory at a time; %d were given",
                           a->positionals);
    if (!folder_exists(folder))
        return status_fail(STATUS_IO, "%s: no such folder; name the run.dir of a training", folder);
    status rc = run_page_write(folder);
    if (!rc && argument_given(a, "tensorboard")) {
        tensorboard t;
        rc = tensorboard_open(&t, folder);
        tensorboard_close(&t);
    }
    return rc ? rc : tell(folder, argument_given(a, "json"));
}

const command command_report = {
    .name = "report",
    .positional = "RUN",
    .summary = "writes RUN/report.html: a training run's curves, scores and samples",
    .options = options,
    .run = report,
};
