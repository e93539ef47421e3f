// radialog plan STAGE: the memory that `radialog train STAGE` with the same configuration takes,
// before it does. Reads no data: a plan works before there are shards.
#include "core/gpu.h"
#include "core/nearest.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/doctor_facts.h"
#include "train/memory_plan.h"
#include "train/settings.h"
#include "train/stage_aligner.h"
#include "train/stage_language.h"
#include "train/stage_chexbert.h"
#include "train/stage_classifier.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const option options[] = {
    {"ranks", "N", "for a run of N ranks on this machine (default 1)"},
    {0},
};


static const struct {
    const stage *stage;
    const config_key *const *tables;
} stages[] = {{&stage_classifier, classifier_tables}, {&stage_chexbert, chexbert_tables}, {&stage_aligner, aligner_tables},
              {&stage_lm, lm_tables}, {&stage_lora, lora_tables}};
enum { STAGES = sizeof stages / sizeof *stages, MOST_RANKS = 4096 };

// Host memory of a rank beside all that is counted: the program, its libraries and what they
// prepare.
static const int64_t PROGRAM = (int64_t)256 << 20;

// What a configuration needs of each rank.
typedef struct need {
    memory_plan parts;
    size_t device, loader; // bytes
    int64_t batch;
    int ranks;
    bool cuda;
} need;

typedef struct planner {
    const arguments *given;
    int stage;
    need now;
    int64_t room;      // bytes that may be taken of the device, -1: unknown
    int64_t host_room; // and of host memory
    buffer advice;
} planner;

// --- needs ---------------------------------------------------------------------------------------
// With up to two assignments more than the command line gives, which may be NULL.
static status need_of(need *out, const planner *p, const char *set, const char *also, int ranks) {
    config *c = NULL;
    status rc = settings_open(&c, stages[p->stage].tables, p->given);
    if (!rc && set) rc = config_set(c, set);
    if (!rc && also) rc = config_set(c, also);
    *out = (need){.ranks = ranks};
    if (!rc) {
        out->batch = config_int(c, "train.batch");
        out->cuda = !strcmp(config_text(c, "run.device"), "cuda");
        if (ranks > out->batch)
            rc = status_fail(STATUS_USAGE,
                             "train.batch %lld leaves some of the %d ranks without work",
                             (long long)out->batch, ranks);
    }
    if (!rc) rc = memory_plan_of(&out->parts, &out->loader, stages[p->stage].stage, c, ranks);
    out->device = memory_plan_total(&out->parts);
    config_close(c);
    return rc;
}

// Bytes of host memory of all ranks: on the CPU that is the device's as well.
static double host_bytes(const need *n) {
    return (double)n->ranks * ((double)n->loader + (n->cuda ? 0 : (double)n->device));
}

// Of what is short: a card's memory, or all of the host's.
static double wanted(const need *n) {
    return n->cuda ? (double)n->device : host_bytes(n);
}

static bool fits(const need *n, const planner *p) {
    if (n->cuda && p->room >= 0 && (double)n->device > (double)p->room) return false;
    return p->host_room < 0 || host_bytes(n) <= (double)p->host_room;
}

// --- room ----------------------------------------------------------------------------------------
// What the GPUs of the run have free, the least of them; ranks beyond the last GPU have none.
static void find_room(planner *p) {
    char reason[512];
    gpu_facts card;
    int64_t usable = facts_memory("").usable, programs = p->now.ranks * PROGRAM;
    p->host_room = usable < 0 ? -1 : usable > programs ? usable - programs : 0;
    p->room = p->now.cuda ? -1 : p->host_room;
    int cards = p->now.cuda ? gpu_count(reason, sizeof reason) : 0;
    for (int i = 0; i < cards && i < p->now.ranks; i++)
        if (!gpu_describe(&card, i) && (p->room < 0 || (int64_t)card.free < p->room))
            p->room = (int64_t)card.free;
}

// --- what would fit ------------------------------------------------------------------------------
// Adds "WORDS (1.23 GB)" to the advice if that fits.
static status try_change(planner *p, const char *set, const char *also, int ranks,
                         const char *words) {
    need n;
    status rc = need_of(&n, p, set, also, ranks);
    if (rc == STATUS_USAGE) return STATUS_OK; // this machine cannot compute so
    if (!rc && fits(&n, p))
        buffer_print(&p->advice, "%s%s (%.2f GB)", p->advice.length ? ", or " : "", words,
                     1e-9 * wanted(&n));
    return rc;
}

// About the largest batch that fits. Memory grows evenly with it, but for the steps of its scratch.
static status try_batch(planner *p, const char *also, const char *words) {
    char set[64], text[128];
    const int64_t least = p->now.ranks;
    need one, n;
    snprintf(set, sizeof set, "train.batch=%lld", (long long)least);
    status rc = need_of(&one, p, set, also, p->now.ranks);
    if (!rc) rc = need_of(&n, p, also, NULL, p->now.ranks);
    if (rc || !fits(&one, p) || n.batch <= least) return rc == STATUS_USAGE ? STATUS_OK : rc;
    double slope = (wanted(&n) - wanted(&one)) / (double)(n.batch - least);
    double room = (double)(n.cuda ? p->room : p->host_room);
    int64_t guess =
        slope > 0 ? least + (int64_t)fmin((room - wanted(&one)) / slope, (double)n.batch) : n.batch;
    for (;; guess -= 1 + guess / 64) {
        if (guess < least) guess = least; // that fits
        snprintf(set, sizeof set, "train.batch=%lld", (long long)guess);
        rc = need_of(&n, p, set, also, p->now.ranks);
        if (rc || fits(&n, p)) break;
    }
    snprintf(text, sizeof text, "--set %s%s", set, words);
    return rc ? rc : try_change(p, set, also, p->now.ranks, text);
}

static status find_advice(planner *p) {
    int ranks = p->now.ranks, more = 2 * ranks;
    char text[64];
    // Half the width is half the memory at best, and oneDNN thinks long about huge shapes: not for
    // nothing.
    double room = (double)(p->now.cuda ? p->room : p->host_room);
    bool near = wanted(&p->now) <= 2 * room;
    snprintf(text, sizeof text, "--ranks %d", more);
    status rc = try_change(p, "train.recompute=true", NULL, ranks, "--set train.recompute=true");
    if (!rc && near) rc = try_change(p, "run.precision=bf16", NULL, ranks, "--precision bf16");
    if (!rc && p->now.cuda && more <= MOST_RANKS) rc = try_change(p, NULL, NULL, more, text);
    if (!rc) rc = try_batch(p, NULL, "");
    if (!rc && !p->advice.length)
        rc = try_batch(p, "train.recompute=true", " --set train.recompute=true");
    return rc ? rc : p->advice.failed;
}

// --- the report ----------------------------------------------------------------------------------
static void verdict(buffer *out, const planner *p) {
    const need *n = &p->now;
    double wants = 1e-9 * wanted(n), has = 1e-9 * (double)p->room;
    const char *where = n->cuda ? "the card" : "this machine";
    if (p->room < 0)
        buffer_print(out, "needs %.2f GB; how much %s has is not known", wants, where);
    else if (fits(n, p))
        buffer_print(out, "fits: %.2f GB of the %.2f GB that %s has free", wants, has, where);
    else if (wants <= has)
        buffer_print(
            out,
            "does not fit: reading ahead takes %.2f GB of the %.2f GB of host memory that are "
            "free; use a smaller train.batch or data.threads",
            1e-9 * host_bytes(n), 1e-9 * (double)p->host_room);
    else
        buffer_print(out, "does not fit: %.2f GB, and %s has %.2f GB free; %s%s", wants, where, has,
                     p->advice.length ? "what would: "
                                      : "neither a smaller batch nor train.recompute=true "
                                        "is enough: use a smaller model or more memory",
                     p->advice.length ? p->advice.data : "");
}

static void table_row(table *t, const char *what, double bytes) {
    table_text(t, what);
    table_integer(t, (int64_t)bytes);
    table_number(t, 1e-6 * bytes, 1);
}

static void write_text(buffer *out, const planner *p, const config *c) {
    const need *n = &p->now;
    table t = {0};
    int64_t rows = (n->batch + n->ranks - 1) / n->ranks;
    buffer_print(out, "train %s on %s in %s, batch %lld", stages[p->stage].stage->name,
                 config_text(c, "run.device"), config_text(c, "run.precision"),
                 (long long)n->batch);
    if (n->ranks > 1)
        buffer_print(out, ", %d ranks with %s%lld of it", n->ranks,
                     n->batch % n->ranks ? "at most " : "", (long long)rows);
    buffer_text(out, "\n\n");
    table_column(&t, "memory of a rank");
    table_column(&t, "bytes");
    table_column(&t, "MB");
#define X(name, words)                                                                             \
    if (n->parts.name) table_row(&t, words, (double)n->parts.name);
    MEMORY_PARTS(X)
#undef X
    table_rule(&t);
    table_row(&t, "on the device", (double)n->device);
    table_row(&t, "in host memory: batches read ahead", (double)n->loader);
    if (n->ranks > 1)
        table_row(&t, n->cuda ? "host memory of all ranks" : "all ranks", host_bytes(n));
    status rc = table_write(&t, TABLE_PLAIN, out);
    if (rc) out->failed = rc;
    table_free(&t);
    buffer_text(out, "\n");
    verdict(out, p);
    buffer_text(out, "\n");
}

static void write_json(buffer *out, const planner *p, const config *c) {
    const need *n = &p->now;
    buffer line = {0};
    verdict(&line, p);
    buffer_print(
        out,
        "{\"stage\":\"%s\",\"device\":\"%s\",\"precision\":\"%s\",\"ranks\":%d,\"batch\":%lld,"
        "\"largest_slice\":%lld,\"parts\":{",
        stages[p->stage].stage->name, config_text(c, "run.device"), config_text(c, "run.precision"),
        n->ranks, (long long)n->batch, (long long)((n->batch + n->ranks - 1) / n->ranks));
    const char *comma = "";
#define X(name, words) buffer_print(out, "%s\"" #name "\":%zu", comma, n->parts.name), comma = ",";
    MEMORY_PARTS(X)
#undef X
    buffer_print(out, "},\"device_bytes\":%zu,\"loader_bytes\":%zu,\"host_bytes\":%.0f,", n->device,
                 n->loader, host_bytes(n));
    if (p->room < 0)
        buffer_text(out, "\"room_bytes\":null,\"fits\":null,");
    else
        buffer_print(out, "\"room_bytes\":%lld,\"fits\":%s,", (long long)p->room,
                     fits(n, p) ? "true" : "false");
    buffer_text(out, "\"verdict\":");
    buffer_json(out, line.data ? line.data : "");
    buffer_text(out, "}\n");
    if (line.failed) out->failed = line.failed;
    buffer_free(&line);
}

// --- the command ---------------------------------------------------------------------------------
static status find_stage(planner *p, const char *name) {
    const char *names[STAGES];
    for (p->stage = 0; p->stage < STAGES; p->stage++) {
        names[p->stage] = stages[p->stage].stage->name;
        if (!strcmp(names[p->stage], name)) return STATUS_OK;
    }
    return status_fail(STATUS_USAGE, "no stage '%s'; did you mean '%s'?", name,
                       nearest_name(name, names, STAGES));
}

static status run_plan(const arguments *a) {
    planner p = {.given = a};
    config *c = NULL;
    buffer out = {0};
    int64_t ranks;
    status rc = find_stage(&p, a->positional[0]);
    if (!rc) rc = argument_int(a, "ranks", 1, MOST_RANKS, 1, &ranks);
    if (!rc) rc = settings_open(&c, stages[p.stage].tables, a);
    if (!rc) rc = need_of(&p.now, &p, NULL, NULL, (int)ranks);
    if (!rc) find_room(&p);
    if (!rc && p.room >= 0 && !fits(&p.now, &p)) rc = find_advice(&p);
    if (!rc) (argument_given(a, "json") ? write_json : write_text)(&out, &p, c);
    if (!rc) rc = out.failed;
    if (!rc) fwrite(out.data, 1, out.length, stdout);
    if (!rc && p.room >= 0 && !fits(&p.now, &p))
        rc = status_fail(STATUS_MEMORY, "this run does not fit");
    buffer_free(&p.advice);
    buffer_free(&out);
    config_close(c);
    return rc;
}

static status help_keys(buffer *out) {
    status rc = STATUS_OK;
    for (int i = 0; i < STAGES && !rc; i++) {
        buffer_print(out, "%sof %s:\n", i ? "\n" : "", stages[i].stage->name);
        rc = settings_help(out, stages[i].tables);
    }
    return rc;
}

const command command_plan = {
    .name = "plan",
    .positional = "classifier|chexbert|aligner",
    .summary = "the memory that training takes, and whether this machine has it",
    .options = options,
    .configured = true,
    .run = run_plan,
    .keys = help_keys,
};
