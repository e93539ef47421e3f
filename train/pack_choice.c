#include "train/pack_choice.h"
#include "core/files/fs.h"
#include "core/files/json.h"
#include "core/launch.h"
#include "core/log.h"
#include "train/doctor_facts.h"
#include "train/ranks.h"

#include <stdio.h>

enum { ROW_STEP = 64, CPU_PERCENT = 80, GPU_PERCENT = 95, MOST_ROWS = 1 << 24 };

int64_t pack_room(int64_t free, bool cuda) {
    return free / 100 * (cuda ? GPU_PERCENT : CPU_PERCENT);
}

static status set_choice(config *c, int64_t rows, bool recompute) {
    char text[64];
    snprintf(text, sizeof text, "train.pack_tokens=%lld", (long long)rows);
    status rc = config_set(c, text);
    return rc ? rc : config_set(c, recompute ? "train.recompute=true" : "train.recompute=false");
}

// --- what fits ----------------------------------------------------------------------------------
typedef struct chooser {
    const stage *stage;
    config *config;
    device *real;
    int ranks;
    int64_t room;
    bool recompute;
} chooser;

static status try_steps(bool *fits, const chooser *p, int64_t steps) {
    memory_plan plan;
    size_t loader;
    status rc = set_choice(p->config, steps * ROW_STEP, p->recompute);
    if (!rc) rc = memory_plan_of(&plan, &loader, p->stage, p->config, p->real, p->ranks);
    *fits = !rc && memory_plan_total(&plan) <= (size_t)p->room;
    return rc;
}

// Memory grows with rows, so halving finds the largest number that fits between LOW, which does, and HIGH.
static status find_most(const chooser *p, int64_t low, int64_t high) {
    bool fits;
    status rc = try_steps(&fits, p, high);
    if (rc || fits) return rc;
    while (high - low > 1 && !rc) {
        const int64_t middle = low + (high - low) / 2;
        rc = try_steps(&fits, p, middle);
        *(fits ? &low : &high) = middle;
    }
    return rc ? rc : set_choice(p->config, low * ROW_STEP, p->recompute);
}

status pack_choose(bool *fits, const stage *s, config *c, device *real, int ranks, const pack_limits *l) {
    chooser p = {s, c, real, ranks, l->room, config_bool(c, "train.recompute")};
    const int64_t least = (l->longest + ROW_STEP - 1) / ROW_STEP, most = (l->most + ROW_STEP - 1) / ROW_STEP;
    status rc = try_steps(fits, &p, least);
    if (!rc && !*fits && !p.recompute) {
        p.recompute = true;
        rc = try_steps(fits, &p, least);
    }
    return rc || !*fits || most <= least ? rc : find_most(&p, least, most);
}

// --- a training ---------------------------------------------------------------------------------
// ROWS 0: the run has no checkpoint, or chose for itself.
static status kept_choice(const run *r, int64_t *rows, bool *recompute) {
    char path[PATH_SIZE];
    json *document = NULL;
    json_value train;
    *rows = 0;
    status rc = path_join(path, sizeof path, r->dir, "checkpoints");
    if (rc || !folder_exists(path)) return rc;
    rc = path_join(path, sizeof path, r->dir, "config.resolved.json");
    if (rc || !file_exists(path)) return rc;
    rc = json_read(&document, path, 1 << 20);
    if (!rc) rc = json_member(&train, json_root(document), "train");
    if (!rc) rc = json_member_int(rows, train, "pack_tokens", 0, 1 << 24);
    if (!rc) rc = json_member_bool(recompute, train, "recompute");
    json_close(document);
    return rc;
}

// Bytes free for each rank of this machine, beside its program; -1: not known.
static status find_free(int64_t *out, const run *r) {
    launch here;
    status rc = launch_read(&here);
    if (rc) return rc;
    if (r->device->room) {
        *out = r->device->room(r->device);
        return STATUS_OK;
    }
    const int64_t all = facts_memory("").usable, each = all / (here.local_size > 1 ? here.local_size : 1);
    *out = all < 0 ? -1 : each > PROGRAM_BYTES ? each - PROGRAM_BYTES : 0;
    return STATUS_OK;
}

static status choose_now(run *r, int64_t longest) {
    const bool cuda = r->device->room != NULL;
    int64_t free;
    bool fits;
    status rc = find_free(&free, r);
    if (rc) return rc;
    const int64_t share = comm_share(config_int(r->config, "train.batch"), 0, r->comm->size, NULL);
    if (free < 0) return set_choice(r->config, longest < PACK_UNKNOWN ? PACK_UNKNOWN : longest, false);
    const int64_t most = share < MOST_ROWS / longest ? share * longest : MOST_ROWS;
    const pack_limits l = {.longest = longest, .most = most, .room = pack_room(free, cuda)};
    rc = pack_choose(&fits, r->stage, r->config, r->device, r->comm->size, &l);
    if (!rc && !fits)
        rc = status_fail(STATUS_MEMORY, "not even the longest conversation (%lld tokens) fits, with train.recompute: "
                                        "%.2f GB are free, of which a run may take %.2f. `radialog plan` says what "
                                        "would; train.pack_tokens set to a number is tried in any case",
                         (long long)longest, 1e-9 * (double)free, 1e-9 * (double)l.room);
    return rc;
}

// The least rows of any rank; whoever must recompute decides for all.
static status agree(run *r, status rc) {
    const int64_t rows = rc ? 1 : config_int(r->config, "train.pack_tokens");
    const bool recompute = !rc && config_bool(r->config, "train.recompute");
    rc = ranks_agree(r->comm, rc);
    if (rc || r->comm->size == 1) return rc;
    const int some = r->comm->agree_max(r->comm, recompute);
    const int least = -r->comm->agree_max(r->comm, (recompute == some) ? -(int)rows : -MOST_ROWS);
    return set_choice(r->config, least, some);
}

// Rank 0 alone looks into the run's folder.
static status take_kept(run *r, bool *found) {
    int64_t rows = 0;
    bool recompute = false;
    status rc = ranks_agree(r->comm, ranks_lead(r) ? kept_choice(r, &rows, &recompute) : STATUS_OK);
    if (rc) return rc;
    if (r->comm->size > 1) {
        rows = r->comm->agree_max(r->comm, (int)rows);
        recompute = r->comm->agree_max(r->comm, recompute);
    }
    *found = rows > 0;
    return *found ? set_choice(r->config, rows, recompute) : STATUS_OK;
}

status pack_settle(run *r, int64_t longest) {
    bool kept = false;
    status rc = take_kept(r, &kept);
    if (!rc && !kept) rc = agree(r, choose_now(r, longest));
    if (!rc)
        log_info("train.pack_tokens 0: %lld rows at a time, %s%s",
                 (long long)config_int(r->config, "train.pack_tokens"),
                 config_bool(r->config, "train.recompute") ? "layers are computed again (train.recompute)"
                                                           : "nothing is computed again",
                 kept ? ", as this run began" : "");
    return rc;
}
