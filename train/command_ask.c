// radialog ask: the questions of the reference's tests, put to a trained model behind its own
// reports (REFERENCE 7.9, 7.10): corrections, each finding, all findings, the impression. A command
// of its own beside generate, because it begins with what generate wrote, and needs labels. A run
// that was stopped goes on.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "data/report_table.h"
#include "train/answer_writer.h"
#include "train/ask_results.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/settings.h"
#include "train/task_settings.h"
#include "train/written_reports.h"

#include <stdio.h>
#include <string.h>

static const option options[] = {
    {"task", "NAME",
     "CO: correct the reports; CPbQA: is each finding there; CPaQA: which are there; IG: the "
     "impression"},
    {"reports", "FILE",
     "the model's own reports, which come first: JSON lines of radialog generate (IG: the real "
     "ones)"},
    {"shards", "DIR", "the records with their labels and reports"},
    {"labeler", "PATH",
     "CO: who reads what the reports say: a run of train chexbert, or its weights"},
    {"split", "NAME", "train, validate or test (default test)"},
    {"limit", "N", "only the first N records of the split"},
    {"out", "DIR", "answers.jsonl, gone on with, and scores.json or (CO) reports.jsonl"},
    {0},
};

typedef struct asker {
    language_inference language;
    instruct_set *data;
    embeddings *images;
    dataset *set;
    prompts *words;
    task_prompts *tasks;
    report_table *reports;
    const char **report; // (records)
    corrections mistakes;
    ask_prompts ask;
    answer_source source;
    answer_writer lines;
    const char *out;
    char answers[PATH_SIZE];
} asker;

static void asker_close(asker *w) {
    answer_writer_close(&w->lines);
    answer_source_close(&w->source);
    ask_prompts_close(&w->ask);
    corrections_close(&w->mistakes);
    mem_free(w->report);
    report_table_close(w->reports);
    task_prompts_close(w->tasks);
    prompts_close(w->words);
    dataset_close(w->set);
    embeddings_close(w->images);
    instruct_close(w->data);
    language_inference_close(&w->language);
}

// --- what is asked ------------------------------------------------------------------------------
static status find_task(asker *w, const arguments *a) {
    static const struct {
        task task;
        const char *most; // tokens of an answer, unless the configuration says otherwise
    } known[] = {{TASK_CO, "256"}, {TASK_CPBQA, "10"}, {TASK_CPAQA, "30"}, {TASK_IG, "300"}};
    config *c = w->language.inference.config;
    const char *name = argument(a, "task");
    char assignment[64];
    for (size_t i = 0; name && i < sizeof known / sizeof *known; i++) {
        if (strcmp(task_names[known[i].task], name)) continue;
        w->ask.task = known[i].task;
        if (config_is_set(c, "generate.max_new_tokens")) return STATUS_OK;
        snprintf(assignment, sizeof assignment, "generate.max_new_tokens=%s", known[i].most);
        return config_set(c, assignment);
    }
    return status_fail(STATUS_USAGE, "--task %s; there are CO, CPbQA, CPaQA and IG",
                       name ? name : "NAME is missing");
}

static status check_options(const asker *w, const arguments *a) {
    const task t = w->ask.task;
    if (!argument(a, "out")) return status_fail(STATUS_USAGE, "--out DIR is missing");
    if (!argument(a, "shards"))
        return status_fail(STATUS_USAGE, "--shards DIR is missing: the labels and reports");
    if (t != TASK_IG && !argument(a, "reports"))
        return status_fail(STATUS_USAGE,
                           "--reports FILE is missing: %s is asked behind the model's own reports",
                           task_names[t]);
    if (t == TASK_CO && !argument(a, "labeler"))
        return status_fail(STATUS_USAGE,
                           "--labeler PATH is missing: who finds what is to be corrected");
    return STATUS_OK;
}

// Roles and separators must be those of the conversations.
static status open_words(asker *w) {
    const config *c = w->language.inference.config;
    const uint32_t theirs = instruct_facts_of(w->data)->prompts; // 0: given as JSON
    status rc = task_settings_prompts(&w->words, c);
    if (!rc && theirs && prompts_hash(w->words) != theirs)
        rc = status_fail(STATUS_FORMAT,
                         "instruct.prompts: %s is not what the conversations were made with",
                         config_text(c, "instruct.prompts"));
    return rc ? rc : task_prompts_open(&w->tasks, config_text(c, "instruct.task_prompts"));
}

static status open_data(asker *w, const arguments *a) {
    const config *c = w->language.inference.config;
    status rc = instruct_open(&w->data, config_text(c, "data.instruct"));
    if (!rc) rc = instruct_expect(w->data, w->language.tokens);
    if (!rc)
        rc = language_images_open(&w->images, config_text(c, "data.embeddings"),
                                  instruct_facts_of(w->data));
    if (!rc) rc = dataset_open(&w->set, argument(a, "shards"));
    return rc ? rc : open_words(w);
}

static status open_reports(asker *w, const arguments *a) {
    const ask_prompts *p = &w->ask;
    const char **id = NULL;
    if (p->task == TASK_IG) return STATUS_OK;
    status rc = mem_new(&id, p->records, "records");
    if (!rc) rc = mem_new(&w->report, p->records, "reports");
    for (int64_t i = 0; i < p->records && !rc; i++)
        id[i] = dataset_id(p->set, p->in_set[i], ID_DICOM);
    if (!rc)
        rc = written_reports_open(&w->reports, w->report, argument(a, "reports"), id, p->records);
    mem_free(id);
    if (rc || p->task != TASK_CO) return rc;
    corrections *m = &w->mistakes;
    rc = corrections_open(m, w->set, p->split);
    if (!rc)
        rc = written_reports_correct(m, argument(a, "reports"), argument(a, "labeler"),
                                     config_text(w->language.inference.config, "run.device"));
    if (!rc)
        log_info("CO: %lld reports are to be corrected, %lld stay", (long long)m->count,
                 (long long)m->right);
    return rc;
}

static status open_prompts(asker *w, const arguments *a) {
    ask_prompts *p = &w->ask;
    int64_t limit;
    status rc = settings_split(&p->split, a, SPLIT_TEST);
    if (!rc) rc = argument_int(a, "limit", 0, INT64_MAX, 0, &limit);
    if (!rc) rc = open_data(w, a);
    if (rc) return rc;
    p->data = w->data;
    p->set = w->set;
    p->words = w->words;
    p->tasks = w->tasks;
    p->tokens = w->language.tokens;
    rc = ask_prompts_find(p, limit);
    if (!rc && !p->records)
        rc = status_fail(STATUS_FORMAT, "%s: has no record in the %s split",
                         config_text(w->language.inference.config, "data.instruct"),
                         split_names[p->split]);
    if (!rc) rc = open_reports(w, a);
    p->report = w->report;
    p->mistakes = &w->mistakes;
    return rc ? rc : ask_prompts_open(p);
}

static void give_source(asker *w) {
    const config *c = w->language.inference.config;
    w->source = (answer_source){.data = w->data,
                                .images = w->images,
                                .tokens = w->language.tokens,
                                .blank = config_bool(c, "data.blank") ||
                                         config_choice(c, "generate.images") == 1,
                                .record = w->ask.record,
                                .prompts = w->ask.prompts};
    w->source.prompts.split = w->ask.split;
    w->ask.prompts.first = w->ask.prompts.name = NULL; // the source's now, as the rest
    w->ask.prompts.ids = w->ask.prompts.names = (buffer){0};
}

// --- answers ------------------------------------------------------------------------------------
// Answers to other questions are not gone on with.
static status open_folder(asker *w, const arguments *a) {
    char path[PATH_SIZE];
    buffer plan = {0}, there = {0};
    w->out = argument(a, "out");
    status rc = folder_make(w->out);
    if (!rc) rc = path_join(w->answers, sizeof w->answers, w->out, "answers.jsonl");
    if (!rc) rc = path_join(path, sizeof path, w->out, "asked.json");
    buffer_print(&plan, "{\"task\":\"%s\",\"prompts\":\"%08x\"}\n", task_names[w->ask.task],
                 checksum_crc32(0, w->ask.prompts.ids.data, w->ask.prompts.ids.length));
    if (!rc) rc = plan.failed;
    if (!rc && file_exists(path)) rc = file_read(path, 4096, &there);
    if (!rc && there.length && strcmp(there.data, plan.data))
        rc = status_fail(STATUS_FORMAT,
                         "%s: holds answers to other questions: give another folder with --out",
                         w->out);
    if (!rc) rc = file_write(path, plan.data, plan.length);
    buffer_free(&plan);
    buffer_free(&there);
    return rc;
}

static status line_begin(void *context, int64_t i, buffer *line) {
    const asker *w = context;
    const ask_prompts *p = &w->ask;
    buffer_text(line, "\"dicom_id\":");
    buffer_json(line, dataset_id(p->set, p->in_set[p->record[i]], ID_DICOM));
    if (p->task == TASK_CPBQA)
        buffer_print(line, ",\"finding\":\"%s\"", class_names[p->finding[i]]);
    buffer_text(line, ",");
    return line->failed;
}

static status line_end(void *context, int64_t i, const char *text, buffer *line) {
    (void)i;
    return ask_results_line(&((const asker *)context)->ask, text, line);
}

// --- what came of it ----------------------------------------------------------------------------
static status give_scores(asker *w, bool json) {
    const interval_options how = {
        .seed = (uint64_t)config_int(w->language.inference.config, "run.seed"),
        .resamples = 1000,
        .level = 0.95};
    char path[PATH_SIZE];
    ask_scores s;
    buffer said = {0}, shown = {0};
    status rc = ask_scores_measure(&s, &w->ask, w->answers, &how);
    if (!rc) ask_scores_json(&s, &w->ask, &said);
    if (!rc) rc = said.failed ? said.failed : path_join(path, sizeof path, w->out, "scores.json");
    if (!rc) rc = file_write(path, said.data, said.length);
    if (!rc && !json) rc = ask_scores_show(&s, &shown);
    if (!rc) rc = shown.failed;
    if (!rc) fputs(json ? said.data : shown.data, stdout);
    buffer_free(&said);
    buffer_free(&shown);
    return rc;
}

static status give_reports(asker *w, bool json) {
    char path[PATH_SIZE];
    int64_t corrected;
    status rc = path_join(path, sizeof path, w->out, "reports.jsonl");
    if (!rc) rc = ask_corrected_write(path, &w->ask, w->answers, &corrected);
    if (!rc && json)
        printf("{\"task\":\"CO\",\"records\":%lld,\"corrected\":%lld}\n", (long long)w->ask.records,
               (long long)corrected);
    else if (!rc)
        printf(
            "%lld of %lld reports are corrected; radialog evaluate compares the old ones with %s\n",
            (long long)corrected, (long long)w->ask.records, path);
    return rc;
}

static status give_impressions(const asker *w, bool json) {
    if (json)
        printf("{\"task\":\"IG\",\"records\":%lld,\"answers\":%lld}\n", (long long)w->ask.records,
               (long long)w->ask.prompts.count);
    else
        printf("%lld impressions on %lld records; radialog evaluate --set data.section=impression "
               "scores %s\n",
               (long long)w->ask.prompts.count, (long long)w->ask.records, w->answers);
    return STATUS_OK;
}

static status give_results(asker *w, bool json) {
    if (w->ask.task == TASK_CO) return give_reports(w, json);
    return w->ask.task == TASK_IG ? give_impressions(w, json) : give_scores(w, json);
}

static status write_answers(asker *w) {
    status rc = answer_writer_open(&w->lines, w->answers);
    if (!rc)
        rc = language_inference_load(&w->language, w->images ? w->images->width : 0,
                                     config_bool(w->language.inference.config, "generate.merge"));
    return rc ? rc : answer_writer_run(&w->lines, w->images != NULL);
}

static status ask(const arguments *a) {
    asker w = {0};
    const char *path = a->positionals ? a->positional[0] : NULL;
    w.lines = (answer_writer){.language = &w.language,
                              .source = &w.source,
                              .name = "ask",
                              .remember = true,
                              .context = &w,
                              .begin = line_begin,
                              .end = line_end};
    status rc = language_inference_open(&w.language, a, path, generate_tables);
    if (!rc) rc = find_task(&w, a);
    if (!rc) rc = check_options(&w, a);
    if (!rc) rc = open_prompts(&w, a);
    if (!rc) rc = open_folder(&w, a);
    if (!rc) give_source(&w);
    if (!rc) rc = write_answers(&w);
    if (!rc) rc = give_results(&w, argument_given(a, "json"));
    asker_close(&w);
    return rc;
}

const command command_ask = {
    .name = "ask",
    .positional = "[RUN|ADAPTER]",
    .summary =
        "questions to a trained model behind its own reports: corrections, findings, impressions",
    .options = options,
    .run = ask,
    .tables = generate_tables,
};
