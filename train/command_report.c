// radialog report: the page of a training run, out of what the run has written so far.
#include "core/files/fs.h"
#include "train/commands.h"
#include "train/run_page.h"

#include <stdio.h>

static const option options[] = {{0}};

static status report(const arguments *a) {
    const char *folder = a->positional[0];
    if (a->positionals != 1)
        return status_fail(STATUS_USAGE, "one run directory at a time; %d were given",
                           a->positionals);
    if (!folder_exists(folder))
        return status_fail(STATUS_IO, "%s: no such folder; name the run.dir of a training", folder);
    status rc = run_page_write(folder);
    if (!rc) printf("%s/report.html\n", folder);
    return rc;
}

const command command_report = {
    .name = "report",
    .positional = "RUN",
    .summary = "writes RUN/report.html: a training run's curves, scores and samples",
    .options = options,
    .run = report,
};
