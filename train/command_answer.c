// radialog answer: what instruct tasks are to learn, written by a language model that sees no image
// (REFERENCE 6.9): plain words, summaries and answers to questions about real reports, corrections
// of wrong ones. It is a command of its own, not a step of instruct, because it takes days where
// instruct takes minutes, has a model where instruct has a tokenizer, and its file can be read,
// mended or come from elsewhere. A run that was stopped goes on behind its last line.
#include "train/answer_requests.h"
#include "train/answer_writer.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/settings.h"
#include "train/task_settings.h"
#include "train/written_reports.h"

#include <string.h>

static const option options[] = {
    {"shards", "DIR", "the reports"},
    {"reports", "FILE",
     "for CO: reports written on training records, JSON lines of radialog generate"},
    {"labeler", "PATH", "who reads what those say: a run of train chexbert, or its weights"},
    {"corrections", "FILE", "instead of both: RaDialog's instruct_task_correction_preds.json"},
    {"limit", "N", "only the first N requests of each task"},
    {"out", "FILE", "JSON lines; those that are there are kept (default: stdout)"},
    {0},
};

typedef struct answerer {
    language_inference language;
    dataset *data;
    prompts *words;
    task_prompts *tasks;
    report_list list;
    corrections mistakes;
    answer_requests requests;
    answer_source source;
    answer_writer lines;
} answerer;

static void answerer_close(answerer *w) {
    answer_writer_close(&w->lines);
    answer_source_close(&w->source);
    answer_requests_close(&w->requests);
    corrections_close(&w->mistakes);
    report_list_free(&w->list);
    task_prompts_close(w->tasks);
    prompts_close(w->words);
    dataset_close(w->data);
    language_inference_close(&w->language);
}

static status find_tasks(answerer *w) {
    const config *c = w->language.inference.config;
    bool *wanted = w->requests.wanted;
    status rc = task_settings_wanted(wanted, c);
    for (int t = 0; t < TASK_COUNT && !rc; t++)
        if (wanted[t] && t != TASK_EL && t != TASK_SU && t != TASK_RQA && t != TASK_CO)
            rc = config_fail(c, "instruct.tasks",
                             "names %s, whose answers nobody has to write; there are EL, SU, "
                             "RQA and CO",
                             task_names[t]);
    return rc;
}

// What is wrong with reports, for CO.
static status open_mistakes(answerer *w, const arguments *a) {
    const config *c = w->language.inference.config;
    const char *reports = argument(a, "reports"), *labeler = argument(a, "labeler"),
               *file = argument(a, "corrections");
    corrections *m = &w->mistakes;
    if (!w->requests.wanted[TASK_CO]) return STATUS_OK;
    if (!file && !(reports && labeler))
        return status_fail(
            STATUS_USAGE,
            "CO begins with wrong reports: give --reports FILE and --labeler PATH, or "
            "--corrections FILE");
    status rc = corrections_open(m, w->data, SPLIT_TRAIN);
    if (!rc && file) rc = corrections_read(m, file);
    if (!rc && !file)
        rc = written_reports_correct(m, reports, labeler, config_text(c, "run.device"));
    w->requests.mistakes = m;
    if (!rc)
        log_info("CO: %lld reports are wrong, %lld right; %lld are of no training record, or a "
                 "second one",
                 (long long)m->count, (long long)m->right, (long long)m->elsewhere);
    return rc;
}

static status open_data(answerer *w, const arguments *a) {
    const config *c = w->language.inference.config;
    const report_choice all = {.split = SPLIT_TRAIN,
                               .section = task_settings_section(c),
                               .limit = config_int(c, "data.limit")};
    if (!argument(a, "shards"))
        return status_fail(STATUS_USAGE,
                           "--shards DIR is missing: the reports that answers are about");
    status rc = find_tasks(w);
    if (!rc) rc = task_settings_prompts(&w->words, c);
    if (!rc) rc = task_prompts_open(&w->tasks, config_text(c, "instruct.task_prompts"));
    if (!rc) rc = dataset_open(&w->data, argument(a, "shards"));
    if (!rc) rc = report_list_open(&w->list, w->data, &all);
    w->requests.section = all.section;
    return rc ? rc : open_mistakes(w, a);
}

// The model is loaded: its positions say what fits.
static status open_requests(answerer *w, const arguments *a) {
    answer_requests *r = &w->requests;
    r->set = w->data;
    r->words = w->words;
    r->tasks = w->tasks;
    r->tokens = w->language.tokens;
    r->seed = (uint64_t)config_int(w->language.inference.config, "run.seed");
    r->positions = w->language.model.config.positions;
    status rc = argument_int(a, "limit", 0, INT64_MAX, 0, &r->most);
    if (!rc) rc = answer_requests_open(r, w->list.record, w->list.count);
    if (!rc && r->left_out)
        log_warn("%lld requests are left out: longer than the model's %lld positions, or with an "
                 "image in the text",
                 (long long)r->left_out, (long long)r->positions);
    if (!rc && !r->count)
        rc = status_fail(STATUS_FORMAT, "%s: there is nothing to be answered",
                         argument(a, "shards"));
    w->source.tokens = r->tokens;
    w->source.prompts = r->prompts; // which closes them
    r->prompts = (generate_prompts){0};
    return rc;
}

static status line_begin(void *context, int64_t i, buffer *line) {
    return answer_requests_line(&((const answerer *)context)->requests, i, line);
}

static status answer(const arguments *a) {
    answerer w = {0};
    const char *path = a->positionals ? a->positional[0] : NULL;
    w.lines = (answer_writer){.language = &w.language,
                              .source = &w.source,
                              .name = "answer",
                              .context = &w,
                              .begin = line_begin};
    status rc = language_inference_open(&w.language, a, path, answer_tables);
    if (!rc) rc = open_data(&w, a);
    if (!rc)
        rc = language_inference_load(&w.language, 0,
                                     config_bool(w.language.inference.config, "generate.merge"));
    if (!rc) rc = open_requests(&w, a);
    if (!rc) rc = answer_writer_open(&w.lines, argument(a, "out"));
    if (!rc) rc = answer_writer_run(&w.lines, false);
    answerer_close(&w);
    return rc;
}

const command command_answer = {
    .name = "answer",
    .positional = "[MODEL]",
    .summary = "what instruct tasks are to learn, as a language model writes it from reports",
    .options = options,
    .run = answer,
    .tables = answer_tables,
};
