// Learning rate schedules. Linear and cosine follow transformers 4.28.1 (optimization.py), lavis
// follows LAVIS (lavis/common/optims.py, LinearWarmupCosineLRScheduler).
#include "optim/schedule.h"

#include <math.h>
#include <string.h>

static const char *const kind_names[] = {
#define X(name, text) text,
    SCHEDULE_LIST(X)
#undef X
};
enum { KINDS = sizeof kind_names / sizeof *kind_names };

static const double PI = 3.14159265358979323846;

status schedule_parse(const char *name, schedule_kind *out) {
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(name, kind_names[i])) {
            *out = (schedule_kind)i;
            return STATUS_OK;
        }
#define X(kind, text) " " text
    return status_fail(STATUS_USAGE, "unknown schedule '%s'; there are:" SCHEDULE_LIST(X), name);
#undef X
}

const char *schedule_name(schedule_kind kind) {
    return kind_names[kind];
}

static bool is_rate(double x) {
    return x >= 0 && isfinite(x);
}

status schedule_check(const schedule *s) {
    const char *name = kind_names[s->kind];
    if (!is_rate(s->lr) || !is_rate(s->warmup_lr) || !is_rate(s->min_lr))
        return status_fail(
            STATUS_USAGE,
            "schedule %s: learning rates %g (peak), %g (warm-up), %g (least) must be "
            "finite and not negative",
            name, s->lr, s->warmup_lr, s->min_lr);
    if (s->min_lr > s->lr || s->warmup_lr > s->lr)
        return status_fail(
            STATUS_USAGE,
            "schedule %s: the peak %g must not be below the least %g or the warm-up's "
            "%g",
            name, s->lr, s->min_lr, s->warmup_lr);
    if (s->warmup_steps < 0)
        return status_fail(STATUS_USAGE, "schedule %s: %lld warm-up steps", name,
                           (long long)s->warmup_steps);
    bool by_step = s->kind == SCHEDULE_LINEAR || s->kind == SCHEDULE_COSINE;
    if (by_step && s->total_steps <= 0)
        return status_fail(STATUS_USAGE, "schedule %s needs the number of steps, got %lld", name,
                           (long long)s->total_steps);
    if (s->kind == SCHEDULE_LAVIS && (s->steps_per_epoch <= 0 || s->max_epochs <= 0))
        return status_fail(STATUS_USAGE,
                           "schedule %s needs steps per epoch and epochs, got %lld and %lld", name,
                           (long long)s->steps_per_epoch, (long long)s->max_epochs);
    return STATUS_OK;
}

static double ratio(int64_t a, int64_t b) {
    return (double)a / (double)(b > 1 ? b : 1);
}

// From 1 at PROGRESS 0 to 0 at 1 and after.
static double half_cosine(double progress) {
    return progress < 1 ? 0.5 * (1 + cos(PI * progress)) : 0;
}

static double lavis_lr(const schedule *s, int64_t step) {
    int64_t epoch = step / s->steps_per_epoch;
    if (epoch == 0)
        return fmin(s->lr, s->warmup_lr + (s->lr - s->warmup_lr) * ratio(step, s->warmup_steps));
    return s->min_lr + (s->lr - s->min_lr) * half_cosine(ratio(epoch, s->max_epochs));
}

double schedule_lr(const schedule *s, int64_t step) {
    if (s->kind == SCHEDULE_LAVIS) return lavis_lr(s, step);
    if (step < s->warmup_steps) return s->lr * ratio(step, s->warmup_steps);
    if (s->kind == SCHEDULE_CONSTANT) return s->lr;
    int64_t left = s->total_steps - step, span = s->total_steps - s->warmup_steps;
    if (left <= 0) return s->kind == SCHEDULE_COSINE ? s->min_lr : 0;
    if (s->kind == SCHEDULE_LINEAR) return s->lr * ratio(left, span);
    return s->min_lr + (s->lr - s->min_lr) * half_cosine(ratio(step - s->warmup_steps, span));
}
