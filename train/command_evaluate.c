// radialog evaluate: scores of written reports against the real ones (REFERENCE 7.4 to 7.8), with
// intervals, and of several runs' reports against each other. What it shows; train/evaluator.h has
// the rest.
#include "core/files/fs.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/evaluator.h"

#include <stdio.h>

static const option options[] = {
    {"checkpoint", "PATH",
     "the report labeler: a run of train chexbert, a checkpoint or its weights"},
    {"shards", "DIR", "the records with their reports and labels"},
    {"constant", NULL,
     "also the commonest of the real reports, written for every record: what must be beaten"},
    {"out", "DIR",
     "also writes there: report.html, scores.json, reports.jsonl, and the reports for RadEval and "
     "ReXrank"},
    {0},
};

static status show_table(buffer *out, const char *above, void make(table *t, const evaluator *v),
                         const evaluator *v) {
    table t = {0};
    make(&t, v);
    buffer_text(out, above);
    status rc = table_write(&t, TABLE_PLAIN, out);
    table_free(&t);
    return rc;
}

static status show(const evaluator *v, bool json) {
    buffer out = {0};
    status rc = STATUS_OK;
    if (json) {
        evaluation_json(&out, v);
    } else {
        rc = show_table(&out, evaluation_paper_about, evaluation_paper, v);
        if (!rc) rc = show_table(&out, "\n", evaluation_scores, v);
        if (!rc && v->e.runs > 1)
            rc = show_table(&out, "\nThe first minus the others:\n", evaluation_differences, v);
        if (!rc) rc = show_table(&out, "\n", evaluation_protocol, v);
    }
    if (!rc) rc = out.failed;
    if (!rc) fwrite(out.data, 1, out.length, stdout);
    buffer_free(&out);
    return rc;
}

// --- the command --------------------------------------------------------------------------------
static status evaluate(const arguments *a) {
    static evaluator v;
    status shown = STATUS_OK;
    const char *shards = argument(a, "shards"), *folder = argument(a, "out");
    if (!shards)
        return status_fail(STATUS_USAGE,
                           "--shards DIR is missing: the records whose reports were written");
    status rc = folder ? folder_make(folder) : STATUS_OK; // before hours of scoring
    if (!rc) rc = evaluator_open(&v, a, shards, argument_given(a, "constant"));
    if (!rc) shown = show(&v, argument_given(a, "json"));
    if (!rc && folder) rc = evaluation_files(&v, folder);
    if (!rc && folder) rc = evaluation_page(&v, folder);
    evaluator_close(&v);
    return rc ? rc : shown;
}

const command command_evaluate = {
    .name = "evaluate",
    .positional = "ANSWERS...",
    .summary = "scores of written reports, with intervals, and how runs differ",
    .options = options,
    .run = evaluate,
    .tables = evaluate_tables,
};
