#include "core/log.h"
#include "data/ingest_plan.h"
#include "data/shard_folder.h"

#include <inttypes.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW_PER_THREAD = 16, WINDOW_MIN = 64, WINDOW_MAX = 512 };

const char *const ingest_source_names[INGEST_SOURCES] = {"mimic", "folder", "dicom"};
const char *const ingest_compression_names[INGEST_COMPRESSIONS] = {"none", "deflate"};

#define X(name, text) text,
const char *const skip_names[SKIP_COUNT] = {SKIP_LIST(X)};
#undef X

typedef struct ingest {
    ingest_options options; // with the defaults filled in
    ingest_summary *summary;
    ingest_plan plan;
    skip_list skips; // of the plan and of all shards
    manifest_shard *shards;
    size_t shard_count, shard_capacity;
    ingest_worker **worker; // (options.threads)
    ingest_item *item;      // (window)
    int window;
    int lock; // the folder's descriptor
    progress bar;
    int64_t done; // rows
} ingest;

// --- one shard -----------------------------------------------------------------------------------

static void make_window(ingest *g, int split, size_t begin, size_t count) {
    const ingest_plan *p = &g->plan;
#pragma omp parallel for schedule(dynamic) num_threads(g->options.threads)
    for (size_t i = 0; i < count; i++) {
        ingest_item *item = &g->item[i];
        if (g->options.stop && g->options.stop()) {
            item->failed = STATUS_INTERRUPTED;
            snprintf(item->detail, sizeof item->detail, "stopped; the same command goes on");
            continue;
        }
        ingest_item_make(item, g->worker[omp_get_thread_num()], p,
                         &p->row[p->order[split][begin + i]], &g->options);
    }
}

static status add_item(ingest *g, shard_writer *w, const ingest_item *item, const plan_row *row) {
    const ingest_plan *p = &g->plan;
    const char *id = plan_text(p, row, ROW_ID);
    if (item->skip != SKIP_NONE)
        return shard_skip(w, row->line, skip_names[item->skip], id, item->detail);
    shard_record r = {.packed = item->packed,
                      .packed_size = item->packed_size,
                      .crc = item->crc,
                      .width = item->width,
                      .height = item->height,
                      .id = {[ID_DICOM] = id,
                             [ID_STUDY] = plan_text(p, row, ROW_STUDY),
                             [ID_SUBJECT] = plan_text(p, row, ROW_SUBJECT),
                             [ID_VIEW] = p->views.name[row->view]}};
    memcpy(r.labels, row->labels, sizeof r.labels);
    for (int i = 0; i < TEXT_COUNT; i++) r.text[i] = item->has[i] ? item->text[i].data : NULL;
    return shard_add(w, &r);
}

static status make_shard(ingest *g, const char *path, int split, size_t begin, size_t end) {
    shard_writer *w = NULL;
    int level = g->options.compression == INGEST_DEFLATE ? 1 : 0;
    status rc = shard_create(&w, path, split, g->plan.hash, level, (int64_t)(end - begin));
    while (!rc && begin < end) {
        size_t count = end - begin < (size_t)g->window ? end - begin : (size_t)g->window;
        make_window(g, split, begin, count);
        for (size_t i = 0; !rc && i < count; i++) {
            const ingest_item *item = &g->item[i];
            rc = item->failed ? status_carry(item->failed, item->detail)
                              : add_item(g, w, item, &g->plan.row[g->plan.order[split][begin + i]]);
        }
        begin += count;
        g->done += (int64_t)count;
        progress_update(&g->bar, g->done, NULL);
    }
    if (!rc) rc = shard_finish(w);
    shard_writer_close(w);
    return rc;
}

// --- the account ---------------------------------------------------------------------------------

static status account_skips(ingest *g, const shard *s) {
    status rc = STATUS_OK;
    for (size_t i = 0; !rc && i < s->skipped_reason.count; i++) {
        int reason = 0;
        while (reason < SKIP_COUNT &&
               strcmp(skip_names[reason], text_column_at(&s->skipped_reason, i)))
            reason++;
        if (reason == SKIP_COUNT)
            return status_fail(STATUS_FORMAT, "%s: unknown reason %s", s->path,
                               text_column_at(&s->skipped_reason, i));
        rc = skip_list_add(&g->skips, s->skipped_line[i], (skip_reason)reason,
                           text_column_at(&s->skipped_id, i),
                           text_column_at(&s->skipped_detail, i));
    }
    return rc;
}

static void account_labels(ingest_summary *sum, const int8_t *labels) {
    bool blank = true;
    for (int c = 0; c < CLASS_COUNT; c++) {
        sum->positives[c] += labels[c] == LABEL_POSITIVE;
        blank &= labels[c] == LABEL_BLANK;
    }
    sum->unlabelled += blank;
}

static status account(ingest *g, const shard *s, const char *name) {
    status rc = mem_grow((void **)&g->shards, &g->shard_capacity, g->shard_count + 1,
                         sizeof *g->shards, "shards");
    if (rc) return rc;
    manifest_shard *m = &g->shards[g->shard_count++];
    *m = (manifest_shard){.split = s->split, .records = s->records, .seal = s->seal};
    snprintf(m->file, sizeof m->file, "%s", name);
    g->summary->records += s->records;
    g->summary->splits[s->split] += s->records;
    g->summary->shards++;
    for (int64_t i = 0; i < s->records; i++)
        account_labels(g->summary, s->labels + i * CLASS_COUNT);
    return account_skips(g, s);
}

// A shard that stands there already, or NULL: it is missing, or damaged and then made again.
static status find_shard(shard **out, const ingest *g, const char *path) {
    *out = NULL;
    if (!file_exists(path)) return STATUS_OK;
    status rc = shard_open(out, path);
    if (rc == STATUS_FORMAT) {
        log_warn("%s; it is made again", status_text());
        return STATUS_OK;
    }
    if (rc || !strcmp((*out)->plan, g->plan.hash)) return rc;
    shard_close(*out);
    *out = NULL;
    return shard_folder_other_plan(path);
}

static status run_shard(ingest *g, int split, size_t number) {
    char name[SHARD_NAME_SIZE], path[PATH_SIZE];
    shard *s = NULL;
    size_t step = (size_t)g->options.shard_records, begin = number * step;
    size_t end = begin + step < g->plan.count[split] ? begin + step : g->plan.count[split];
    status rc =
        path_join(path, sizeof path, g->options.out, shard_name(name, split, (int64_t)number));
    if (!rc) rc = find_shard(&s, g, path);
    if (rc) return rc;
    if (!s) {
        rc = make_shard(g, path, split, begin, end);
        // Read back as any reader will: what cannot be read now never could.
        if (!rc) rc = shard_open(&s, path);
        if (!rc) g->summary->shards_made++;
    } else {
        g->done += (int64_t)(end - begin);
        g->bar.started_at += (int64_t)(end - begin);
    }
    if (!rc) rc = account(g, s, name);
    shard_close(s);
    return rc;
}

// --- the run -------------------------------------------------------------------------------------

static status check_options(ingest_options *o) {
    if (!o->root || !o->out) return status_fail(STATUS_USAGE, "ingest: give ROOT and --out DIR");
    if ((int)o->source < 0 || o->source >= INGEST_SOURCES)
        die("ingest: source %d", (int)o->source);
    if (!folder_exists(o->root))
        return status_fail(STATUS_IO, "%s: no such folder", o->root);
    if (!o->shard_records) o->shard_records = SHARD_RECORDS_MAX;
    if (o->shard_records < 1 || o->shard_records > SHARD_RECORDS_MAX)
        return status_fail(STATUS_USAGE, "ingest: %" PRId64 " records per shard; 1 to %d",
                           o->shard_records, SHARD_RECORDS_MAX);
    if (o->validate == 0 && o->test == 0) o->validate = o->test = 0.1;
    if (!(o->validate >= 0 && o->test >= 0 && o->validate + o->test <= 1))
        return status_fail(STATUS_USAGE, "ingest: the fractions of validate and test must be 0 "
                                         "or more and at most 1 together");
    if (o->threads < 1) o->threads = omp_get_max_threads();
    return STATUS_OK;
}

// Two runs in one folder would make the same shards at once.
static status lock_folder(ingest *g) {
    status rc = folder_make(g->options.out);
    return rc ? rc : folder_lock(&g->lock, g->options.out);
}

static status open_workers(ingest *g) {
    int window = WINDOW_PER_THREAD * g->options.threads;
    window = window < WINDOW_MIN ? WINDOW_MIN : window > WINDOW_MAX ? WINDOW_MAX : window;
    status rc = mem_new(&g->worker, g->options.threads, "ingest workers");
    for (int i = 0; !rc && i < g->options.threads; i++) rc = ingest_worker_open(&g->worker[i]);
    if (!rc) rc = mem_new(&g->item, window, "ingest records");
    if (!rc) g->window = window;
    for (int i = 0; !rc && i < window; i++) rc = ingest_item_open(&g->item[i]);
    return rc;
}

static void close_all(ingest *g) {
    for (int i = 0; g->item && i < g->window; i++) ingest_item_close(&g->item[i]);
    mem_free(g->item);
    for (int i = 0; g->worker && i < g->options.threads; i++) ingest_worker_close(g->worker[i]);
    mem_free(g->worker);
    mem_free(g->shards);
    skip_list_free(&g->skips);
    plan_free(&g->plan);
    if (g->lock >= 0) close(g->lock);
}

static status make_plan(ingest *g) {
    ingest_plan *p = &g->plan;
    static status (*const plans[INGEST_SOURCES])(ingest_plan *, const ingest_options *) = {
        plan_mimic, plan_folder, plan_dicom};
    status rc = plans[g->options.source](p, &g->options);
    if (!rc && !p->rows && !p->skips.count)
        rc = status_fail(STATUS_FORMAT, "%s: the table of images has no rows below its header",
                         g->options.csv ? g->options.csv : g->options.root);
    if (!rc) rc = plan_finish(p, &g->options);
    if (rc) return rc;
    g->summary->shared_patients = p->shared_patients;
    if (p->shared_patients)
        log_warn("%" PRId64 " patients have images in more than one split", p->shared_patients);
    for (size_t i = 0; !rc && i < p->skips.count; i++) {
        const plan_skip *s = &p->skips.list[i];
        rc = skip_list_add(&g->skips, s->line, s->reason, p->skips.texts.data + s->id,
                           p->skips.texts.data + s->detail);
    }
    return rc;
}

static status run_shards(ingest *g) {
    const ingest_plan *p = &g->plan;
    status rc = STATUS_OK;
    size_t step = (size_t)g->options.shard_records;
    progress_begin(&g->bar, "ingest", "images",
                   (int64_t)(p->count[0] + p->count[1] + p->count[2]), 0);
    for (int split = 0; split < SPLIT_COUNT; split++)
        for (size_t number = 0; !rc && number * step < p->count[split]; number++)
            rc = run_shard(g, split, number);
    progress_end(&g->bar);
    return rc;
}

static status finish(ingest *g) {
    ingest_summary *s = g->summary;
    skip_list_sort(&g->skips);
    s->skipped_total = (int64_t)g->skips.count;
    for (size_t i = 0; i < g->skips.count; i++) s->skipped[g->skips.list[i].reason]++;
    status rc = manifest_write(&g->options, &g->plan, s, g->shards, g->shard_count, &g->skips);
    if (rc) return rc;
    if (!s->records)
        return status_fail(STATUS_FORMAT, "%s: no record could be kept, %" PRId64 " skipped; %s/"
                                          "skipped.csv tells why",
                           g->options.root, s->skipped_total, g->options.out);
    if (g->options.strict && s->skipped_total)
        return status_fail(STATUS_FORMAT, "%" PRId64 " records were skipped; %s/skipped.csv tells "
                                          "which and why",
                           s->skipped_total, g->options.out);
    return STATUS_OK;
}

status ingest_run(ingest_summary *summary, const ingest_options *options) {
    ingest g = {.options = *options, .summary = summary, .lock = -1};
    double start = clock_seconds();
    *summary = (ingest_summary){0};
    status rc = check_options(&g.options);
    if (!rc) rc = make_plan(&g);
    if (!rc) rc = lock_folder(&g);
    if (!rc) rc = manifest_prepare(&g.options, &g.plan, g.options.shard_records);
    if (!rc) rc = open_workers(&g);
    if (!rc) rc = run_shards(&g);
    if (!rc) rc = finish(&g);
    summary->seconds = clock_seconds() - start;
    close_all(&g);
    return rc;
}
