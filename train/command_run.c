// radialog run PIPELINE.json: all stages of a pipeline (train/pipeline.h), each as this program in a process of its
// own; what has not changed is not run again, what was stopped goes on.
#include "core/files/fs.h"
#include "core/files/json.h"
#include "core/launch.h"
#include "core/log.h"
#include "core/memory.h"
#include "eval/table.h"
#include "train/child.h"
#include "train/pipeline.h"
#include "train/signals.h"

#include <stdio.h>
#include <string.h>

static const option options[] = {
    {"dir", "DIR", "where outputs and the state are, instead of where the file says"},
    {"set", "NAME=VALUE", "a setting of the pipeline, or STAGE.SECTION.KEY=VALUE of one stage's configuration (repeatable)"},
    {"input", "NAME=PATH", "where an input is, or what a stage would make, which then does not run (repeatable)"},
    {"dry-run", NULL, "only tells what would run, why, how long it took the last time, and the memory of training"},
    {"launch", "WORDS", "what starts the training stages, such as 'mpirun -n 2' or srun: they spread over its ranks"},
    {"device", "cpu|cuda", "of all stages that compute"},
    {"precision", "f32|bf16|fp16", "of all stages that compute"},
    {0},
};

enum { LAUNCH_WORDS = 64 };

typedef struct runner {
    pipeline pipeline;
    pipeline_state *state;
    bool *wanted;                         // (stages)
    const char *before[LAUNCH_WORDS + 1]; // the words of --launch
    char launch[1024];                    // which they stand in
    bool dry, json, quiet;
} runner;

// --- what is asked -----------------------------------------------------------------------------------
// Every value of --NAME, in order. LIST has room for all options.
static int values_of(const arguments *a, const char *name, const char **list) {
    int count = 0;
    for (int i = 0; i < a->count; i++)
        if (!strcmp(a->given[i].option->name, name)) list[count++] = a->given[i].value;
    return count;
}

static status split_launch(runner *r, const char *words) {
    int count = 0;
    if (!words) return STATUS_OK;
    if (snprintf(r->launch, sizeof r->launch, "%s", words) >= (int)sizeof r->launch)
        return status_fail(STATUS_USAGE, "--launch is longer than %zu bytes", sizeof r->launch - 1);
    for (char *w = strtok(r->launch, " "); w; w = strtok(NULL, " ")) {
        if (count == LAUNCH_WORDS) return status_fail(STATUS_USAGE, "--launch has more than %d words", LAUNCH_WORDS);
        r->before[count++] = w;
    }
    return count ? STATUS_OK : status_fail(STATUS_USAGE, "--launch is empty");
}

static status check_alone(void) {
    launch l;
    status rc = launch_read(&l);
    if (rc || l.size <= 1) return rc;
    return status_fail(STATUS_USAGE, "a pipeline runs once and starts ranks itself: radialog run ... --launch 'mpirun -n %d'",
                       l.size);
}

// The stages named behind the file, and what they need; none are named: those that no other reads, and so all but
// what led to a stage that --input stands for.
static status choose(runner *r, const arguments *a) {
    const pipeline *p = &r->pipeline;
    status rc = mem_new(&r->wanted, p->stages, "stages");
    for (int i = 1; i < a->positionals && !rc; i++) {
        int stage;
        rc = pipeline_find(p, a->positional[i], &stage);
        if (!rc) r->wanted[stage] = true;
    }
    for (size_t i = p->stages; i-- > 0 && !rc;) {
        const pipeline_stage *s = &p->stage[i];
        if (a->positionals == 1 && !s->read) r->wanted[i] = true;
        for (size_t k = 0; r->wanted[i] && k < s->sources; k++)
            if (p->source[s->source[k]].stage >= 0) r->wanted[p->source[s->source[k]].stage] = true;
    }
    return rc;
}

static status open_runner(runner *r, const arguments *a) {
    const char **list = NULL;
    pipeline_options o = {argument(a, "dir"), .device = argument(a, "device"), .precision = argument(a, "precision")};
    r->dry = argument_given(a, "dry-run");
    r->json = argument_given(a, "json");
    r->quiet = argument_given(a, "quiet");
    status rc = check_alone();
    if (!rc) rc = split_launch(r, argument(a, "launch"));
    if (!rc) rc = mem_new(&list, 2 * a->count + 1, "options");
    if (rc) return rc;
    o.set = list;
    o.sets = values_of(a, "set", list);
    o.input = list + a->count;
    o.inputs = values_of(a, "input", list + a->count);
    rc = pipeline_open(&r->pipeline, a->positional[0], &o);
    mem_free(list);
    if (!rc) rc = choose(r, a);
    return rc ? rc : pipeline_state_open(&r->state, &r->pipeline, r->dry);
}

static void close_runner(runner *r) {
    pipeline_state_close(r->state);
    pipeline_close(&r->pipeline);
    mem_free(r->wanted);
}

// --- looking ahead -----------------------------------------------------------------------------------
static bool trains(const pipeline_stage *s) {
    return !strncmp(s->command->name, "train ", 6);
}

// What `radialog plan` says a training stage takes: "" where what it reads is not there yet.
static status memory_of(const pipeline_stage *s, char out[32]) {
    const char *words[4 * PIPELINE_MOST] = {"plan", s->argv[1], "--json", "--quiet"};
    const child_options o = {.quiet = true, .mute = true, .said = &(buffer){0}};
    json *said = NULL;
    double bytes;
    int count = 4;
    *out = 0;
    for (size_t i = 2; i + 1 < s->words && count < 4 * PIPELINE_MOST - 2; i++)
        if (!strcmp(s->argv[i], "--set") || !strcmp(s->argv[i], "--config") || !strcmp(s->argv[i], "--device") ||
            !strcmp(s->argv[i], "--precision")) {
            words[count++] = s->argv[i];
            words[count++] = s->argv[++i];
        }
    bool fits;
    status rc = child_run(words, &o); // a run that does not fit has a plan, too
    if (o.said->length && !json_parse(&said, "radialog plan", o.said->data, o.said->length, 1) &&
        !json_member_number(&bytes, json_root(said), "host_bytes") && !json_member_bool(&fits, json_root(said), "fits"))
        snprintf(out, 32, "%.2f GB%s", 1e-9 * bytes, fits ? "" : ": too much");
    json_close(said);
    buffer_free(o.said);
    return rc == STATUS_INTERRUPTED ? rc : STATUS_OK;
}

typedef struct ahead {
    pipeline_need need;
    buffer why;
    char memory[32], took[32];
} ahead;

static const char *const need_names[] = {"nothing to do", "runs", "runs anew", "may run"};

static status look_ahead(runner *r, ahead *all, int i) {
    const pipeline *p = &r->pipeline;
    const pipeline_stage *s = &p->stage[i];
    ahead *h = &all[i];
    const double seconds = pipeline_seconds(r->state, i);
    status rc = pipeline_look(r->state, i, true, &h->need, &h->why);
    for (size_t k = 0; k < s->sources && !rc && h->need == PIPELINE_FRESH; k++) {
        const int from = p->source[s->source[k]].stage;
        if (from < 0 || all[from].need == PIPELINE_FRESH) continue;
        h->need = PIPELINE_PERHAPS;
        buffer_print(&h->why, "%s runs before", p->stage[from].name);
    }
    if (seconds >= 0) snprintf(h->took, sizeof h->took, "%.0f s", seconds);
    if (!rc && trains(s) && h->need != PIPELINE_FRESH) rc = memory_of(s, h->memory);
    return rc ? rc : h->why.failed;
}

static void print_ahead(const runner *r, const ahead *all, buffer *out) {
    buffer_text(out, "{\"stages\": [");
    for (size_t i = 0, n = 0; i < r->pipeline.stages; i++) {
        if (!r->wanted[i]) continue;
        buffer_text(out, n++ ? ",\n {\"name\": " : "\n {\"name\": ");
        buffer_json(out, r->pipeline.stage[i].name);
        buffer_print(out, ", \"need\": \"%s\", \"why\": ", need_names[all[i].need]);
        buffer_json(out, all[i].why.length ? all[i].why.data : "");
        buffer_print(out, ", \"took\": \"%s\", \"memory\": \"%s\"}", all[i].took, all[i].memory);
    }
    buffer_text(out, "]}\n");
}

static status show_ahead(const runner *r, const ahead *all, buffer *out) {
    table t = {0};
    table_column(&t, "stage");
    table_column(&t, "");
    table_column(&t, "why");
    table_column(&t, "last took");
    table_column(&t, "memory");
    for (size_t i = 0; i < r->pipeline.stages; i++) {
        const char *const row[] = {r->pipeline.stage[i].name, need_names[all[i].need],
                                   all[i].why.length ? all[i].why.data : "", all[i].took, all[i].memory};
        for (int k = 0; r->wanted[i] && k < 5; k++) table_text(&t, row[k]);
    }
    status rc = table_write(&t, TABLE_PLAIN, out);
    table_free(&t);
    return rc;
}

static status dry_run(runner *r) {
    ahead *all = NULL;
    buffer out = {0};
    status rc = mem_new(&all, r->pipeline.stages, "stages");
    for (size_t i = 0; i < r->pipeline.stages && !rc; i++)
        if (r->wanted[i]) rc = look_ahead(r, all, (int)i);
    if (!rc && r->json) print_ahead(r, all, &out);
    if (!rc && !r->json) rc = show_ahead(r, all, &out);
    if (!rc) rc = out.failed;
    if (!rc) fwrite(out.data, 1, out.length, stdout);
    for (size_t i = 0; all && i < r->pipeline.stages; i++) buffer_free(&all[i].why);
    mem_free(all);
    buffer_free(&out);
    return rc;
}

// --- running -----------------------------------------------------------------------------------------
// What a stage has said on stdout, DIR/said/NAME.txt.
static status said_path(char path[PATH_SIZE], const pipeline *p, const pipeline_stage *s) {
    char folder[PATH_SIZE], name[80];
    snprintf(name, sizeof name, "%.64s.txt", s->name);
    status rc = path_join(folder, sizeof folder, p->dir, "said");
    if (!rc) rc = folder_make(folder);
    return rc ? rc : path_join(path, PATH_SIZE, folder, name);
}

static status show_again(const runner *r, const char *path) {
    buffer text = {0};
    if (r->json || !file_exists(path)) return STATUS_OK;
    status rc = file_read(path, 0, &text);
    if (!rc) fwrite(text.data, 1, text.length, stdout);
    buffer_free(&text);
    return rc;
}

static status run_stage(runner *r, int i, pipeline_need need, const char *said) {
    const pipeline_stage *s = &r->pipeline.stage[i];
    const child_options o = {.before = *r->before && trains(s) ? r->before : NULL, .output = said, .quiet = r->json};
    const char **words = NULL;
    char why[1024];
    status rc = pipeline_begin(r->state, i, need);
    if (!rc) rc = mem_new(&words, s->words + 2, "words");
    if (rc) return rc;
    memcpy(words, s->argv, s->words * sizeof *words);
    if (r->quiet) words[s->words] = "--quiet";
    const double start = clock_seconds();
    rc = child_run(words, &o);
    mem_free(words);
    snprintf(why, sizeof why, "stage %s (radialog %s) %.800s", s->name, s->command->name, status_text());
    const status noted = pipeline_end(r->state, i, clock_seconds() - start, !rc);
    return rc ? status_carry(rc, why) : noted;
}

static status run_all(runner *r) {
    const pipeline *p = &r->pipeline;
    int ran = 0, number = 0, wanted = 0;
    const double start = clock_seconds();
    for (size_t i = 0; i < p->stages; i++) wanted += r->wanted[i];
    for (size_t i = 0; i < p->stages; i++) {
        char said[PATH_SIZE];
        pipeline_need need;
        buffer why = {0};
        if (!r->wanted[i]) continue;
        number++;
        status rc = said_path(said, p, &p->stage[i]);
        if (!rc) rc = pipeline_look(r->state, (int)i, false, &need, &why);
        if (!rc && need == PIPELINE_FRESH)
            log_info("== %d/%d %s: nothing to do", number, wanted, p->stage[i].name);
        else if (!rc)
            log_info("== %d/%d %s: %s", number, wanted, p->stage[i].name, why.data);
        buffer_free(&why);
        if (!rc && need == PIPELINE_FRESH && p->stage[i].show) rc = show_again(r, said);
        if (!rc && need != PIPELINE_FRESH) rc = run_stage(r, (int)i, need, said), ran++;
        if (!rc && signals_pending()) rc = status_fail(STATUS_INTERRUPTED, "stopped behind stage %s", p->stage[i].name);
        if (rc) return rc;
    }
    log_info("%d stages, %d of them run, %.0f s", wanted, ran, clock_seconds() - start);
    if (r->json) printf("{\"stages\":%d,\"run\":%d,\"seconds\":%.1f}\n", wanted, ran, clock_seconds() - start);
    return STATUS_OK;
}

static status run_pipeline(const arguments *a) {
    runner r = {0};
    status rc = open_runner(&r, a);
    if (!rc) rc = r.dry ? dry_run(&r) : run_all(&r);
    close_runner(&r);
    return rc;
}

const command command_run = {
    .name = "run",
    .positional = "PIPELINE.json [STAGE...]",
    .summary = "all stages of a pipeline, or those named with what they need; what has not changed is not run again",
    .options = options,
    .run = run_pipeline,
};
