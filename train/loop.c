// The one training loop. It knows no model: a stage gives the loss and the score.
//
// Order of a step: batch to device, forward, backward, sum over ranks, clip and update. The loss is read
// one step late, so that nothing waits for the device inside a step. Then, where due: validation, the
// step's line in metrics.jsonl, a checkpoint. Whatever is killed when, the run continues from the latest
// checkpoint and ends in the same bytes.
#include "core/files/fs.h"
#include "core/log.h"
#include "train/checkpoint.h"
#include "train/memory_plan.h"
#include "train/metrics_log.h"
#include "train/ranks.h"
#include "train/run_page.h"
#include "train/signals.h"
#include "train/step.h"
#include "train/tensorboard.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct loop {
    run *run;
    metrics_log metrics;
    tensorboard events;
    progress bar;
    double started[2];   // clock when each of the two was launched
    double ended;        // and when the latest was seen to be done
    double lr[2];
    int64_t samples[2], tokens[2];
    bool validated;      // the latest step has been scored
    buffer validation;   // its JSON object
} loop;

// --- before the first step ----------------------------------------------------------------------------
// "encoder" of "encoder.layer1.0.conv1.weight", or the two first parts for deeper models.
static size_t group_length(const char *name) {
    const char *dot = strchr(name, '.');
    const char *second = dot ? strchr(dot + 1, '.') : NULL;
    return second ? (size_t)(second - name) : dot ? (size_t)(dot - name) : strlen(name);
}

static status print_parameters(const params *p) {
    table t = {0};
    buffer text = {0};
    table_column(&t, "parameters");
    table_column(&t, "tensors");
    table_column(&t, "trained");
    table_column(&t, "frozen");
    for (size_t i = 0; i < p->count;) {
        size_t length = group_length(p->item[i]->name), start = i;
        int64_t tensors = 0, trained = 0, frozen = 0;
        for (; i < p->count && group_length(p->item[i]->name) == length &&
               !strncmp(p->item[i]->name, p->item[start]->name, length);
             i++) {
            const param *q = p->item[i];
            if (q->role != PARAM_WEIGHT) continue;
            tensors++;
            *(q->frozen ? &frozen : &trained) += tensor_count(&q->value);
        }
        char name[NAME_SIZE];
        if (!tensors) continue;
        memcpy(name, p->item[start]->name, length);
        name[length] = 0;
        table_text(&t, name);
        table_integer(&t, tensors);
        table_integer(&t, trained);
        table_integer(&t, frozen);
    }
    status rc = table_write(&t, TABLE_PLAIN, &text);
    if (!rc) log_info("%s", text.data);
    table_free(&t);
    buffer_free(&text);
    return rc;
}

// Sizes everything by a dry run and takes it.
static status plan_memory(run *r) {
    memory_plan plan;
    status rc = memory_plan_make(&plan, r);
    if (rc) return rc;
    memory_plan_log(&plan);
    return tape_allocate(&r->tape, (tape_size){tape_used(&r->tape).activations, plan.activation_gradients});
}

static status open_schedule(run *r) {
    const config *c = r->config;
    r->schedule = (schedule){
        .lr = config_float(c, "optim.lr"),
        .warmup_lr = config_float(c, "optim.warmup_lr"),
        .min_lr = config_float(c, "optim.min_lr"),
        .warmup_steps = config_int(c, "optim.warmup_steps"),
        .total_steps = r->max_steps,
        .steps_per_epoch = r->steps_per_epoch,
        .max_epochs = (r->max_steps + r->steps_per_epoch - 1) / r->steps_per_epoch,
    };
    int64_t epochs = config_int(c, "optim.schedule_epochs");
    if (epochs) r->schedule.max_epochs = epochs;
    status rc = schedule_parse(config_text(c, "optim.schedule"), &r->schedule.kind);
    return rc ? rc : schedule_check(&r->schedule);
}

// --- a step --------------------------------------------------------------------------------------------
static status launch_step(loop *l) {
    run *r = l->run;
    int slot = (int)(r->step % 2);
    l->started[slot] = clock_seconds();
    l->lr[slot] = schedule_lr(&r->schedule, r->step);
    status rc = step_launch(r, l->lr[slot]);
    l->samples[slot] = r->samples;
    l->tokens[slot] = r->tokens;
    if (rc) comm_abort(r->comm, status_text()); // the others wait in a collective
    return rc;
}

static status write_metrics(loop *l, int64_t step, double loss, const step_result *result,
                            double seconds) {
    run *r = l->run;
    int slot = (int)((step - 1) % 2);
    buffer line = {0};
    buffer_print(&line, "{\"step\":%lld,\"epoch\":%lld,\"loss\":", (long long)step,
                 (long long)((step - 1) / r->steps_per_epoch));
    buffer_json_number(&line, loss);
    for (int i = 0; r->stage->parts && r->stage->parts[i]; i++) {
        buffer_print(&line, ",\"%s\":", r->stage->parts[i]);
        buffer_json_number(&line, step_value(r, result, i + 1));
    }
    buffer_text(&line, ",\"lr\":");
    buffer_json_number(&line, l->lr[slot]);
    buffer_text(&line, ",\"grad_norm\":");
    buffer_json_number(&line, (double)(float)result->norm);
    if (r->device->type == DTYPE_F16) {
        buffer_text(&line, ",\"loss_scale\":");
        buffer_json_number(&line, result->scale);
    }
    buffer_print(&line, ",\"samples_per_second\":%.2f", (double)l->samples[slot] / seconds);
    if (r->tokens)
        buffer_print(&line, ",\"tokens_per_second\":%.1f", (double)l->tokens[slot] / seconds);
    buffer_print(&line, ",\"ms\":%.2f", 1e3 * seconds);
    if (l->validated) {
        buffer_text(&line, ",\"validation\":");
        buffer_append(&line, l->validation.data, l->validation.length);
    }
    buffer_text(&line, "}");
    status rc = line.failed ? line.failed : metrics_log_write(&l->metrics, &line);
    buffer_free(&line);
    return rc;
}

// An update that overflowed in half precision was left out on the device and the loss scale halved: that is
// how the scale finds its place. Everything else that is not finite ends the run, and so does a loss of 0.
static status check_step(const run *r, int64_t step, double loss, const step_result *result) {
    if (loss == 0)
        return status_fail(STATUS_TRAINING,
                           "step %lld: the loss is 0: nothing is learned from it, and no real batch has it. The latest "
                           "checkpoint is sound. Look at what the batch is to teach: %s",
                           (long long)step, r->batch_note[(step - 1) % 2]);
    if (isfinite(loss) && isfinite(result->norm)) return STATUS_OK;
    if (isfinite(loss) && r->device->type == DTYPE_F16 && result->scale >= 1) {
        log_info("step %lld: its gradients overflowed fp16 and were left out; the loss scale is %g now",
                 (long long)step, result->scale);
        return STATUS_OK;
    }
    return status_fail(STATUS_TRAINING,
                       "step %lld: the loss is %g and the gradient's norm %g; the update was left "
                       "out and the latest checkpoint is sound. Lower optim.lr, or look at the "
                       "batch: %s",
                       (long long)step, loss, result->norm, r->batch_note[(step - 1) % 2]);
}

// Reads what STEP (counted from 1) has left behind, checks it and writes its line.
static status finish_step(loop *l, int64_t step) {
    run *r = l->run;
    int slot = (int)((step - 1) % 2);
    step_result result;
    double end = step < r->step ? l->started[step % 2] : l->ended;
    step_read(r, step, &result);
    double loss = step_value(r, &result, 0);
    status rc = check_step(r, step, loss, &result);
    if (rc || !ranks_lead(r)) return rc;
    char note[64];
    snprintf(note, sizeof note, "loss %.4f", loss);
    progress_update(&l->bar, step, note);
    rc = write_metrics(l, step, loss, &result, end - l->started[slot]);
    return rc || l->events.fd < 0 ? rc : tensorboard_follow(&l->events, false);
}

// --- what happens between steps ---------------------------------------------------------------------
static status validate(loop *l, bool *best) {
    run *r = l->run;
    double score;
    l->validation.length = 0;
    status rc = r->stage->validate(r, &l->validation, &score);
    if (!rc) rc = l->validation.failed;
    if (rc) return rc;
    l->validated = true;
    // A score that is no number would never be passed, nor read again from a manifest.
    *best = isfinite(score) && (!r->best.known || score > r->best.score);
    r->best.stale++;
    if (*best) r->best = (best_score){.known = true, .score = score, .step = r->step};
    log_info("step %lld: validation %.4f%s", (long long)r->step, score,
             *best ? ", the best so far" : "");
    return STATUS_OK;
}

static bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

static bool stops_early(const run *r) {
    int64_t patience = config_int(r->config, "train.patience");
    return patience > 0 && r->best.stale >= patience;
}

// Ends the latest step: its line, and a checkpoint.
static status save(loop *l, bool best) {
    run *r = l->run;
    status rc = finish_step(l, r->step);
    l->validated = false;
    if (rc || !ranks_lead(r)) return rc;
    rc = metrics_log_sync(&l->metrics);
    return rc ? rc : checkpoint_save(r, (int)config_int(r->config, "train.keep"), best);
}

// After a step: validation, metrics, checkpoint where they are due. *DONE: the step's line is written.
static status after_step(loop *l, bool *done) {
    run *r = l->run;
    const config *c = r->config;
    int64_t every = config_int(c, "train.validate_every");
    bool last = r->step == r->max_steps, best = false;
    bool scores = last || due(r->step, every ? every : r->steps_per_epoch);
    *done = scores || due(r->step, config_int(c, "train.checkpoint_every"));
    if (!*done) return STATUS_OK;
    r->device->wait(r->device);
    l->ended = clock_seconds();
    status rc = scores ? validate(l, &best) : STATUS_OK;
    return rc ? rc : save(l, best);
}

// A signal, which any rank may have received.
static status stop(loop *l, int number, bool finished) {
    run *r = l->run;
    signals_tell(number);
    r->device->wait(r->device);
    l->ended = clock_seconds();
    status rc = finished ? STATUS_OK : save(l, false);
    if (rc) return rc;
    if (!ranks_lead(r)) return status_carry(STATUS_INTERRUPTED, ""); // rank 0 says it for all
    return status_fail(STATUS_INTERRUPTED, "stopped by signal %d after step %lld; the same command continues "
                                           "from there", number, (long long)r->step);
}

// Ranks agree once per step, with the batch at hand and nothing launched: a rank that failed, or was asked to
// stop, stops all at the same step.
static status run_steps(loop *l) {
    run *r = l->run;
    bool finished = true; // the latest step's line is written
    int number = 0;
    status rc = STATUS_OK;
    for (;;) {
        bool more = r->step < r->max_steps && !stops_early(r);
        if (!rc && more) rc = step_load(r);
        number = signals_pending();
        rc = ranks_agree_value(r->comm, rc, &number);
        if (rc || number || !more) break;
        rc = launch_step(l);
        if (!rc && !finished) rc = finish_step(l, r->step - 1);
        if (!rc) rc = after_step(l, &finished);
    }
    return !rc && number ? stop(l, number, finished) : rc;
}

static status write_config(const run *r) {
    char path[PATH_SIZE];
    buffer text = {0}, before = {0};
    config_resolved(r->config, &text);
    status rc = text.failed ? text.failed : path_join(path, sizeof path, r->dir, "config.resolved.json");
    if (!rc && r->resumed && file_exists(path)) {
        rc = file_read(path, 0, &before);
        if (!rc && (before.length != text.length || memcmp(before.data, text.data, text.length)))
            log_warn("%s: the configuration differs from the one this run began with", path);
    }
    if (!rc) rc = file_write(path, text.data, text.length);
    buffer_free(&before);
    buffer_free(&text);
    return rc;
}

// Where the run begins: step 0, or its latest checkpoint.
static status begin_or_resume(loop *l) {
    run *r = l->run;
    const int keep = (int)config_int(r->config, "train.keep");
    status rc = ranks_lead(r) ? checkpoint_resume(r, keep, &r->resumed) : STATUS_OK;
    rc = ranks_agree(r->comm, rc);
    if (!rc) rc = ranks_share(r);
    if (rc) return rc;
    log_info("%s step %lld of %lld", r->resumed ? "resuming from" : "starting at", (long long)r->step,
             (long long)r->max_steps);
    if (ranks_lead(r)) rc = write_config(r);
    if (!rc && ranks_lead(r)) rc = metrics_log_open(&l->metrics, r->dir, r->step);
    if (!rc && ranks_lead(r) && config_bool(r->config, "run.tensorboard")) rc = tensorboard_open(&l->events, r->dir);
    rc = ranks_agree(r->comm, rc);
    if (!rc && r->stage->ready) rc = r->stage->ready(r);
    if (rc || r->resumed || !config_bool(r->config, "train.validate_first")) return rc;
    double score;
    buffer json = {0};
    rc = r->stage->validate(r, &json, &score);
    if (!rc) log_info("untrained: validation %.4f", score);
    buffer_free(&json);
    return rc;
}

static int64_t planned_steps(const run *r) {
    int64_t limit = config_int(r->config, "run.max_steps");
    return limit > 0 ? limit : config_int(r->config, "train.epochs") * r->steps_per_epoch;
}

// The run's folder, locked, with its log: rank 0's alone.
static status open_folder(const run *r, int *lock) {
    char path[PATH_SIZE];
    if (!ranks_lead(r)) {
        log_quiet(2);
        return STATUS_OK;
    }
    status rc = folder_make(r->dir);
    if (!rc) rc = folder_lock(lock, r->dir);
    if (!rc) rc = path_join(path, sizeof path, r->dir, "log.txt");
    if (!rc) rc = log_open(path);
    if (!rc && r->comm->size > 1) log_info("%d ranks (%s)", r->comm->size, r->comm->name);
    return rc;
}

static status prepare(loop *l) {
    run *r = l->run;
    status rc = r->stage->setup(r);
    if (rc) return rc;
    r->max_steps = planned_steps(r);
    rc = print_parameters(&r->params);
    if (!rc) rc = open_schedule(r);
    if (!rc) rc = step_open(r);
    return rc ? rc : plan_memory(r);
}

status train_loop(run *r) {
    loop l = {.run = r, .metrics = {.fd = -1}, .events = {.fd = -1}};
    int lock = -1;
    status rc = ranks_agree_config(r);
    if (!rc) rc = ranks_agree(r->comm, open_folder(r, &lock));
    if (!rc) rc = ranks_agree(r->comm, prepare(&l));
    if (!rc) rc = ranks_agree_data(r);
    if (!rc) rc = begin_or_resume(&l);
    if (rc) goto done;
    progress_begin(&l.bar, r->stage->name, "steps", r->max_steps, r->step);
    rc = run_steps(&l);
    progress_end(&l.bar);
    if (!rc && l.events.fd >= 0) rc = tensorboard_follow(&l.events, true);
    if (!rc && stops_early(r))
        log_info("stopped early at step %lld: no gain in %lld validations", (long long)r->step,
                 (long long)r->best.stale);
    if (!rc && r->stage->report) rc = r->stage->report(r);
    if (!rc && ranks_lead(r)) rc = run_page_write(r->dir);
done:
    tensorboard_close(&l.events);
    metrics_log_close(&l.metrics);
    buffer_free(&l.validation);
    log_open(NULL);
    if (lock >= 0) close(lock);
    return rc;
}
