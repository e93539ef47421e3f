// radialog plan STAGE: the memory that `radialog train STAGE` with the same configuration takes,
// before it does. Reads no data: a plan works before there are shards.
#include "core/gpu.h"
#include "core/nearest.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/doctor_facts.h"
#include "train/language_model.h"
#include "train/memory_plan.h"
#include "train/pack_choice.h"
#include "train/settings.h"
#include "train/stage_aligner.h"
#include "train/stage_language.h"
#include "train/stage_chexbert.h"
#include "train/stage_classifier.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const option options[] = {
    {"ranks", "N", "for a run of N ranks on this machine (default 1)"},
    {"memory", "GIB", "of the device, in GiB, instead of what this one has free: it need not be here"},
    {0},
};

static const struct {
    const stage *stage;
    const config_key *const *tables;
} stages[] = {{&stage_classifier, classifier_tables}, {&stage_chexbert, chexbert_tables}, {&stage_aligner, aligner_tables},
              {&stage_lm, lm_tables}, {&stage_lora, lora_tables}};
enum { STAGES = sizeof stages / sizeof *stages, MOST_RANKS = 4096 };

// Tokens of the longest conversation, which a plan does not see: as radialog instruct cuts them (REFERENCE 5.7).
enum { PLANNED_LONGEST = 600 };

// What a configuration needs of each rank.
typedef struct need {
    memory_plan parts;
    size_t device, loader; // bytes
    int64_t batch;
    int64_t rows; // at a time, of language models; else 0
    int ranks;
    bool cuda, recompute;
} need;

typedef struct planner {
    const arguments *given;
    int stage, ranks;
    bool cuda;
    bool away;         // the device is not here: kernels of this machine's CPU are asked instead of its own
    need now;
    int64_t room;      // bytes that may be taken of the device, -1: unknown
    int64_t host_room; // and of host memory
    buffer advice;
    need storage[LANGUAGE_STORAGES]; // of the base of lora; device 0: the model cannot be kept so
} planner;

// --- needs ---------------------------------------------------------------------------------------
static bool is_language(const planner *p) {
    return stages[p->stage].stage == &stage_lm || stages[p->stage].stage == &stage_lora;
}

// As the training itself chooses.
static status choose_rows(config *c, const planner *p, int ranks) {
    const int64_t share = comm_share(config_int(c, "train.batch"), 0, ranks, NULL);
    pack_limits l = {PLANNED_LONGEST, share * PLANNED_LONGEST,
                     pack_room(p->cuda ? p->room : p->host_room / ranks, p->cuda)};
    bool enough;
    if (p->room < 0) l.most = PACK_UNKNOWN, l.room = INT64_MAX;
    return pack_choose(&enough, stages[p->stage].stage, c, NULL, ranks, &l);
}

static status count(need *out, config *c, const planner *p) {
    const int ranks = out->ranks;
    out->batch = config_int(c, "train.batch");
    out->cuda = p->cuda;
    if (ranks > out->batch)
        return status_fail(STATUS_USAGE, "train.batch %lld leaves some of the %d ranks without work",
                           (long long)out->batch, ranks);
    status rc = p->away ? config_set(c, "run.device=cpu") : STATUS_OK;
    if (!rc && p->away && !strcmp(config_text(c, "run.precision"), "fp16"))
        rc = config_set(c, "run.precision=bf16"); // as many bytes, but for scratch
    if (!rc && is_language(p) && !config_int(c, "train.pack_tokens")) rc = choose_rows(c, p, ranks);
    if (!rc) rc = memory_plan_of(&out->parts, &out->loader, stages[p->stage].stage, c, NULL, ranks);
    if (!rc && is_language(p)) out->rows = config_int(c, "train.pack_tokens");
    out->recompute = config_bool(c, "train.recompute");
    out->device = memory_plan_total(&out->parts);
    return rc;
}

// With up to two assignments more than the command line gives, which may be NULL.
static status need_of(need *out, const planner *p, const char *set, const char *also, int ranks) {
    config *c = NULL;
    status rc = settings_open(&c, stages[p->stage].tables, p->given);
    if (!rc && set) rc = config_set(c, set);
    if (!rc && also) rc = config_set(c, also);
    *out = (need){.ranks = ranks};
    if (!rc) rc = count(out, c, p);
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
// What the GPUs of the run have free, the least of them; ranks beyond the last GPU have none. GIVEN, unless it is
// below 0, is of a device that may not be here.
static void find_room(planner *p, int64_t given) {
    char reason[512];
    gpu_facts card;
    const int cards = p->cuda ? gpu_count(reason, sizeof reason) : 0;
    const int64_t programs = (int64_t)p->ranks * PROGRAM_BYTES;
    int64_t usable = given < 0 || p->cuda ? facts_memory("").usable : given;
    if (given >= 0 && p->cuda) usable = -1; // of the machine around it nothing is known
    p->host_room = usable < 0 ? -1 : usable > programs ? usable - programs : 0;
    p->room = p->cuda ? given : p->host_room;
    p->away = given >= 0 && p->cuda && !cards;
    for (int i = 0; i < cards && i < p->ranks && given < 0; i++)
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

// Language models: fewer rows at a time, and bases of fewer bits.
static status advise_language(planner *p) {
    char set[64], words[128];
    const bool lora = stages[p->stage].stage == &stage_lora;
    status rc = try_change(p, "train.pack_tokens=0", NULL, p->now.ranks, "--set train.pack_tokens=0");
    for (int i = 1; i < LANGUAGE_STORAGES && lora && !rc; i++) {
        snprintf(set, sizeof set, "model.storage=%s", language_storages[i]);
        snprintf(words, sizeof words, "--set %s --set train.pack_tokens=0", set);
        rc = try_change(p, set, "train.pack_tokens=0", p->now.ranks, words);
    }
    if (!rc)
        rc = try_change(p, "run.precision=bf16", "train.pack_tokens=0", p->now.ranks,
                        "--precision bf16 --set train.pack_tokens=0");
    return rc ? rc : p->advice.failed;
}

// What each way to keep the base takes with as many rows at a time as then fit.
static status find_storages(planner *p) {
    char set[64];
    status rc = STATUS_OK;
    for (int i = 0; i < LANGUAGE_STORAGES && !rc; i++) {
        snprintf(set, sizeof set, "model.storage=%s", language_storages[i]);
        rc = need_of(&p->storage[i], p, set, "train.pack_tokens=0", p->ranks);
        if (rc == STATUS_USAGE) p->storage[i] = (need){0}, rc = STATUS_OK;
    }
    return rc;
}

static status find_advice(planner *p) {
    if (is_language(p)) return advise_language(p);
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
                     : is_language(p) ? "neither fewer rows at a time nor a base in fewer bits is enough: use a "
                                        "smaller model or more memory"
                                      : "neither a smaller batch nor train.recompute=true "
                                        "is enough: use a smaller model or more memory",
                     p->advice.length ? p->advice.data : "");
}

static void table_row(table *t, const char *what, double bytes) {
    table_text(t, what);
    table_integer(t, (int64_t)bytes);
    table_number(t, 1e-6 * bytes, 1);
}

static void write_storages(buffer *out, const planner *p) {
    table t = {0};
    if (stages[p->stage].stage != &stage_lora) return;
    table_column(&t, "model.storage");
    table_column(&t, "train.pack_tokens");
    table_column(&t, "train.recompute");
    table_column(&t, "MB");
    table_column(&t, "fits");
    for (int i = 0; i < LANGUAGE_STORAGES; i++) {
        const need *n = &p->storage[i];
        if (!n->device) continue;
        table_text(&t, language_storages[i]);
        table_integer(&t, n->rows);
        table_text(&t, n->recompute ? "true" : "false");
        table_number(&t, 1e-6 * wanted(n), 1);
        table_text(&t, p->room < 0 ? "not known" : fits(n, p) ? "yes" : "no");
    }
    buffer_text(out, "\nwith as many rows at a time as fit (train.pack_tokens 0):\n\n");
    status rc = table_write(&t, TABLE_PLAIN, out);
    if (rc) out->failed = rc;
    table_free(&t);
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
    if (n->rows) buffer_print(out, ", %lld rows at a time", (long long)n->rows);
    if (n->recompute) buffer_text(out, ", layers computed again (train.recompute)");
    if (p->away) buffer_text(out, "\nthe card is not here: scratch is that of the CPU's kernels");
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
    write_storages(out, p);
}

static void json_storages(buffer *out, const planner *p) {
    const char *comma = "";
    buffer_text(out, "\"storages\":[");
    for (int i = 0; i < LANGUAGE_STORAGES; i++) {
        const need *n = &p->storage[i];
        if (!n->device) continue;
        buffer_print(out, "%s{\"storage\":\"%s\",\"pack_tokens\":%lld,\"recompute\":%s,\"device_bytes\":%zu,"
                          "\"fits\":%s}", comma, language_storages[i], (long long)n->rows,
                     n->recompute ? "true" : "false", n->device,
                     p->room < 0 ? "null" : fits(n, p) ? "true" : "false");
        comma = ",";
    }
    buffer_text(out, "],");
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
    if (n->rows) buffer_print(out, "\"pack_tokens\":%lld,", (long long)n->rows);
    buffer_print(out, "\"recompute\":%s,", n->recompute ? "true" : "false");
    if (stages[p->stage].stage == &stage_lora) json_storages(out, p);
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

// --memory in bytes, -1 where it is not given.
static status memory_given(int64_t *out, const arguments *a) {
    const char *text = argument(a, "memory");
    char *end = NULL;
    *out = -1;
    if (!text) return STATUS_OK;
    const double gib = strtod(text, &end);
    if (end == text || *end || !(gib > 0 && gib <= 1 << 20))
        return status_fail(STATUS_USAGE, "--memory takes a number of GiB above 0, not '%s'", text);
    *out = (int64_t)(gib * (1 << 30));
    return STATUS_OK;
}

static status prepare(planner *p, config *c, int64_t memory) {
    p->cuda = !strcmp(config_text(c, "run.device"), "cuda");
    find_room(p, memory);
    status rc = need_of(&p->now, p, NULL, NULL, p->ranks);
    if (!rc && p->room >= 0 && !fits(&p->now, p)) rc = find_advice(p);
    if (!rc && stages[p->stage].stage == &stage_lora) rc = find_storages(p);
    return rc;
}

static status run_plan(const arguments *a) {
    planner p = {.given = a};
    config *c = NULL;
    buffer out = {0};
    int64_t ranks, memory;
    status rc = find_stage(&p, a->positional[0]);
    if (!rc) rc = argument_int(a, "ranks", 1, MOST_RANKS, 1, &ranks);
    if (!rc) rc = memory_given(&memory, a);
    if (!rc) rc = settings_open(&c, stages[p.stage].tables, a);
    if (!rc) p.ranks = (int)ranks;
    if (!rc) rc = prepare(&p, c, memory);
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
    .positional = "classifier|chexbert|aligner|lm|lora",
    .summary = "the memory that training takes, and whether this machine has it",
    .options = options,
    .run = run_plan,
    .keys = help_keys,
};
