// radialog instruct: conversations about radiographs as token ids, for the language model's
// training (data/instruct.h): reports of a shard directory, or a JSON file of conversations as
// RaDialog's. A run that was stopped goes on where it was.
#include "core/files/fs.h"
#include "core/log.h"
#include "data/report_source.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/instruct_stats.h"
#include "train/settings.h"
#include "train/signals.h"
#include "train/task_settings.h"

#include <inttypes.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

static const option options[] = {
    {"out", "DIR", "the folder of records"},
    {"split", "NAME",
     "shards: only train, validate or test (default all); a JSON file: what its "
     "conversations are (default train)"},
    {"to", "FILE", "also writes the training split (or that of --split) as RaDialog's JSON"},
    {"llava", NULL, "the file of --to in the form of LLaVA and RaDialog v2"},
    {"stats", NULL, "also counts conversations by tasks, their lengths and those cut off"},
    {0},
};

static const config_key *const tables[] = {run_keys, data_keys, instruct_keys, NULL};

typedef struct builder {
    config *config;
    tokenizer *tokenizer;
    prompts *prompts;
    predictions *predicted[2]; // of the training split; of the others, where they have their own
    dataset *data;
    instruct_json *json;
    report_source reports;
    task_rows tasks;
    instruct_options o;
    int split; // -1: all
} builder;

static void builder_close(builder *b) {
    task_rows_close(&b->tasks);
    for (int k = 0; k < SPLIT_COUNT; k++) report_list_free(&b->reports.list[k]);
    instruct_json_close(b->json);
    dataset_close(b->data);
    for (int i = 0; i < 2; i++) predictions_close(b->predicted[i]);
    prompts_close(b->prompts);
    tokenizer_close(b->tokenizer);
    config_close(b->config);
}

static bool stop_asked(void) {
    return signals_pending() != 0;
}

// --- what goes into the records -----------------------------------------------------------------

static status open_tokenizer(builder *b, const char *image_token) {
    instruct_facts *f = &b->o.facts;
    status rc = config_require(b->config, "instruct.tokenizer");
    if (!rc) rc = tokenizer_open(&b->tokenizer, config_text(b->config, "instruct.tokenizer"));
    if (!rc && tokenizer_named(b->tokenizer).end < 0)
        rc = status_fail(STATUS_FORMAT, "%s: names no end token, so that answers would have no end",
                         config_text(b->config, "instruct.tokenizer"));
    if (!rc) rc = tokenizer_add(b->tokenizer, image_token, true, &f->image_token);
    if (rc) return rc;
    f->tokenizer = tokenizer_checksum(b->tokenizer);
    f->vocabulary = tokenizer_size(b->tokenizer);
    b->o.tokenizer = b->tokenizer;
    return STATUS_OK;
}

static status open_prompts(builder *b) {
    const config *c = b->config;
    status rc = task_settings_prompts(&b->prompts, c);
    if (rc) return rc;
    const int literal = prompts_literal_tokens(b->prompts);
    if (literal && literal != b->o.facts.queries)
        return config_fail(c, "instruct.image_tokens", "is %d, the prompt holds %d image tokens",
                           b->o.facts.queries, literal);
    b->o.facts.prompts = prompts_hash(b->prompts);
    return STATUS_OK;
}

// What KEY says of splits FIRST and on.
static status open_findings(builder *b, const char *key, predictions **file, int first, int count) {
    const char *what = config_text(b->config, key);
    findings_kind kind = FINDINGS_PREDICTIONS;
    char says[INSTRUCT_SOURCE_SIZE];
    if (!strcmp(what, "labels")) kind = FINDINGS_LABELS;
    if (!strcmp(what, "none")) kind = FINDINGS_NONE;
    snprintf(says, sizeof says, "%.16s", what);
    if (kind == FINDINGS_NONE && !prompts_without_findings(b->prompts))
        return config_fail(b->config, key, "is none, but %s has no prompt without findings",
                           config_text(b->config, "instruct.prompts"));
    if (kind == FINDINGS_PREDICTIONS) {
        status rc = predictions_open(file, what);
        if (rc) return rc;
        snprintf(says, sizeof says, "predictions %08x", predictions_checksum(*file));
    }
    for (int k = first; k < first + count; k++) {
        b->reports.findings[k] = kind;
        b->reports.predicted[k] = *file;
        snprintf(b->o.facts.findings[k], INSTRUCT_SOURCE_SIZE, "%s", says);
    }
    return STATUS_OK;
}

// In which share of the training prompts nothing is said of them all the same.
static status open_unsaid(builder *b) {
    char *says = b->o.facts.findings[SPLIT_TRAIN];
    const size_t length = strlen(says);
    b->reports.unsaid = config_float(b->config, "instruct.findings_unsaid");
    b->reports.seed = b->o.facts.seed;
    if (!(b->reports.unsaid > 0)) return STATUS_OK;
    if (!prompts_without_findings(b->prompts))
        return config_fail(b->config, "instruct.findings_unsaid",
                           "%s has no prompt without findings",
                           config_text(b->config, "instruct.prompts"));
    snprintf(says + length, INSTRUCT_SOURCE_SIZE - length, ", unsaid in %g", b->reports.unsaid);
    return STATUS_OK;
}

static status open_all_findings(builder *b) {
    const bool apart = *config_text(b->config, "instruct.findings_eval") != 0;
    status rc = config_require(b->config, "instruct.findings");
    if (!rc)
        rc = open_findings(b, "instruct.findings", &b->predicted[0], SPLIT_TRAIN,
                           apart ? 1 : SPLIT_COUNT);
    if (!rc && apart)
        rc = open_findings(b, "instruct.findings_eval", &b->predicted[1], SPLIT_VALIDATE, 2);
    return rc ? rc : open_unsaid(b);
}

// --- sources ------------------------------------------------------------------------------------

static status list_split(builder *b, int split) {
    const config *c = b->config;
    const bool train = split == SPLIT_TRAIN;
    const report_choice how = {.split = split,
                               .section = b->reports.section,
                               .limit = train ? config_int(c, "data.limit") : 0,
                               .stratify = train && config_bool(c, "instruct.stratify"),
                               .seed = b->o.facts.seed};
    report_list *l = &b->reports.list[split];
    status rc = report_list_open(l, b->data, &how);
    if (rc) return rc;
    if (l->left_out)
        log_info("%s: %lld records have no %s", split_names[split], (long long)l->left_out,
                 config_text(c, "instruct.section"));
    if (how.stratify)
        log_info("%s: %lld records with findings twice, %lld of %lld without", split_names[split],
                 (long long)l->with, (long long)l->drawn, (long long)l->other);
    if (l->drawn < l->wanted)
        log_warn("%s: %lld records without findings were wanted, there are %lld",
                 split_names[split], (long long)l->wanted, (long long)l->drawn);
    if (!train && l->count && b->reports.findings[split] == FINDINGS_LABELS)
        log_warn(
            "%s: its prompts hold the true labels, which flatters the reports written to them; "
            "name predictions with instruct.findings_eval",
            split_names[split]);
    return STATUS_OK;
}

// Other tasks than reports: theirs are the rows of training then.
static status open_tasks(builder *b, instruct_source *from) {
    char *says = b->o.facts.source;
    const size_t length = strlen(says);
    bool wanted[TASK_COUNT], other = false;
    status rc = task_settings_wanted(wanted, b->config);
    for (int t = 0; t < TASK_COUNT; t++) other |= (t != TASK_RG) == wanted[t];
    if (rc || !other) return rc;
    if (b->split > SPLIT_TRAIN)
        return config_fail(b->config, "instruct.tasks",
                           "are those of the training split, and --split is %s",
                           split_names[b->split]);
    rc = task_rows_open(&b->tasks, b->config, &b->reports, wanted);
    *from = task_source_rows(&b->tasks.source);
    if (!rc)
        snprintf(says + length, INSTRUCT_SOURCE_SIZE - length, ", tasks %08x",
                 task_rows_hash(&b->tasks));
    return rc;
}

static status open_reports(builder *b, instruct_source *from, const char *path) {
    report_source *s = &b->reports;
    instruct_facts *f = &b->o.facts;
    status rc = open_prompts(b);
    if (!rc) rc = open_tokenizer(b, prompts_image_token(b->prompts));
    if (!rc) rc = open_all_findings(b);
    if (!rc) rc = dataset_open(&b->data, path);
    if (rc) return rc;
    s->set = b->data;
    s->prompts = b->prompts;
    s->section = task_settings_section(b->config);
    s->image_tokens = f->queries;
    for (int k = 0; k < SPLIT_COUNT && !rc; k++)
        if (b->split < 0 || b->split == k) rc = list_split(b, k);
    *from = report_source_rows(s);
    f->stratified = config_bool(b->config, "instruct.stratify");
    f->limit = config_int(b->config, "data.limit");
    snprintf(f->section, sizeof f->section, "%s", config_text(b->config, "instruct.section"));
    snprintf(f->source, sizeof f->source, "shards %s", dataset_plan(b->data));
    return rc ? rc : open_tasks(b, from);
}

// The conversations are given: prompts and findings are theirs, but for the words around LLaVA's.
static status open_json(builder *b, instruct_source *from, const char *path) {
    instruct_facts *f = &b->o.facts;
    status rc = instruct_json_open(&b->json, path);
    const bool llava = !rc && instruct_json_is_llava(b->json);
    if (llava) rc = open_prompts(b);
    if (!rc) rc = open_tokenizer(b, llava ? prompts_image_token(b->prompts) : PROMPTS_IMAGE_TOKEN);
    if (rc) return rc;
    if (llava) instruct_json_words(b->json, b->prompts, f->queries);
    *from = instruct_json_source(b->json, b->split < 0 ? SPLIT_TRAIN : b->split);
    for (int k = 0; k < SPLIT_COUNT; k++)
        snprintf(f->findings[k], INSTRUCT_SOURCE_SIZE, "as given");
    snprintf(f->source, sizeof f->source, "json %08x", instruct_json_checksum(b->json));
    return STATUS_OK;
}

static status builder_open(builder *b, instruct_source *from, const arguments *a) {
    const char *path = a->positional[0];
    status rc = settings_open(&b->config, tables, a);
    if (!rc) rc = settings_split(&b->split, a, SPLITS_ALL);
    if (!rc && !argument(a, "out"))
        rc = status_fail(STATUS_USAGE, "--out DIR is missing (radialog instruct --help)");
    if (!rc && argument_given(a, "llava") && !argument(a, "to"))
        rc = status_fail(STATUS_USAGE, "--llava says how --to FILE is written, which is missing");
    if (rc) return rc;
    const int64_t threads = config_int(b->config, "run.threads");
    b->o.out = argument(a, "out");
    b->o.threads = threads ? (int)threads : omp_get_max_threads();
    b->o.stop = stop_asked;
    b->o.facts.queries = (int)config_int(b->config, "instruct.image_tokens");
    b->o.facts.overwrite = config_choice(b->config, "instruct.imageless") == 1;
    b->o.facts.cutoff = (int)config_int(b->config, "instruct.cutoff");
    b->o.facts.seed = (uint64_t)config_int(b->config, "run.seed");
    return folder_exists(path) ? open_reports(b, from, path) : open_json(b, from, path);
}

// --- what came of it ----------------------------------------------------------------------------

// STATS: more members of the object, or tables; "" where they are not wanted.
static void print_json(const instruct_summary *s, const char *stats) {
    const char *before = "";
    printf("{\"records\":%" PRId64 ",\"splits\":{", s->records);
    for (int k = 0; k < SPLIT_COUNT; k++)
        printf("%s\"%s\":%" PRId64, k ? "," : "", split_names[k], s->splits[k]);
    printf("},\"tokens\":%" PRId64 ",\"supervised\":%" PRId64 ",\"longest\":%" PRId64
           ",\"full\":%" PRId64,
           s->tokens, s->supervised, s->longest, s->full);
    printf(",\"skipped\":{");
    for (int i = 1; i < INSTRUCT_SKIPS; i++) {
        if (!s->skipped[i]) continue;
        printf("%s\"%s\":%" PRId64, before, instruct_skip_names[i], s->skipped[i]);
        before = ",";
    }
    printf("},\"shards\":%" PRId64 ",\"shards_made\":%" PRId64 "%s}\n", s->shards, s->shards_made,
           stats);
}

static void print_summary(const instruct_summary *s, const instruct_options *o, const char *stats) {
    if (s->shards_made)
        printf("%" PRId64 " shards written to %s\n", s->shards_made, o->out);
    else
        printf("%s is complete: nothing to do\n", o->out);
    printf("%" PRId64 " records: %" PRId64 " train, %" PRId64 " validate, %" PRId64 " test\n",
           s->records, s->splits[SPLIT_TRAIN], s->splits[SPLIT_VALIDATE], s->splits[SPLIT_TEST]);
    printf("%" PRId64 " tokens, of which %" PRId64 " are learned; %.1f in a record, %" PRId64
           " in the longest\n",
           s->tokens, s->supervised, (double)s->tokens / (double)s->records, s->longest);
    if (s->full)
        printf("%" PRId64 " records fill the cut-off of %d tokens: most of them were cut off\n",
               s->full, o->facts.cutoff);
    for (int i = 1; i < INSTRUCT_SKIPS; i++)
        if (s->skipped[i])
            printf("skipped, %s: %" PRId64 "\n", instruct_skip_names[i], s->skipped[i]);
    if (s->skipped_total) printf("each skipped one is listed in %s/skipped.csv\n", o->out);
    if (*stats) printf("\n%s", stats);
}

// FILE is --to's.
static status write_json(builder *b, instruct_set *s, const char *file, bool llava) {
    const int split = b->split < 0 ? SPLIT_TRAIN : b->split;
    status rc = llava && !b->prompts ? task_settings_prompts(&b->prompts, b->config) : STATUS_OK;
    if (!rc)
        rc = llava ? instruct_llava_write(file, s, split, b->prompts, b->data)
                   : instruct_json_write(file, s, split);
    if (!rc)
        log_info("%s: %lld conversations of %s", file, (long long)instruct_count(s, split),
                 split_names[split]);
    return rc;
}

static status count_tasks(buffer *out, const builder *b, instruct_set *s, bool json) {
    const int32_t end = tokenizer_named(b->tokenizer).end;
    const char *before = "";
    status rc = STATUS_OK;
    buffer_text(out, json ? ",\"tasks\":{" : "");
    for (int k = 0; k < SPLIT_COUNT && !rc; k++) {
        if (!instruct_count(s, k)) continue;
        buffer_text(out, before);
        if (json) buffer_print(out, "\"%s\":", split_names[k]);
        rc = json ? instruct_stats_json(out, s, k, end) : instruct_stats_show(out, s, k, end);
        before = json ? "," : "\n";
    }
    buffer_text(out, json ? "}" : "");
    return rc ? rc : out->failed;
}

// What stands in the folder once it is made.
static status look_back(builder *b, const arguments *a, buffer *stats) {
    const char *file = argument(a, "to");
    instruct_set *s = NULL;
    buffer_text(stats, "");
    if (!file && !argument_given(a, "stats")) return stats->failed;
    status rc = instruct_open(&s, b->o.out);
    if (!rc && file) rc = write_json(b, s, file, argument_given(a, "llava"));
    if (!rc && argument_given(a, "stats")) rc = count_tasks(stats, b, s, argument_given(a, "json"));
    instruct_close(s);
    return rc;
}

static status instruct(const arguments *a) {
    builder b = {0};
    instruct_source from = {0};
    instruct_summary sum;
    buffer stats = {0};
    status rc = builder_open(&b, &from, a);
    if (!rc) rc = instruct_write(&sum, &from, &b.o);
    if (!rc) rc = look_back(&b, a, &stats);
    if (!rc && argument_given(a, "json"))
        print_json(&sum, stats.data);
    else if (!rc)
        print_summary(&sum, &b.o, stats.data);
    buffer_free(&stats);
    builder_close(&b);
    return rc;
}

const command command_instruct = {
    .name = "instruct",
    .positional = "SHARDS|FILE.json",
    .summary =
        "conversations as token ids for the language model: reports of shards, or RaDialog's JSON",
    .options = options,
    .run = instruct,
    .tables = tables,
};
