#include "tests/models/helper_outcome.h"
#include "optim/kernels.h"
#include "tests/shim/shim.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void outcome_take(outcome *o, reference_model *m, reference_body body, void *context, tensor **output,
                  rule_mutation *change) {
    m->tape.training = true;
    m->tape.observe = rule_mutate;
    m->tape.observe_context = change;
    double *loss = reference_read(m, reference_run(m, body, context, true));
    o->loss = loss[0];
    mem_free(loss);
    o->output = reference_read(m, *output);
    o->outputs = tensor_count(*output);
    if (mem_new(&o->gradient, (int64_t)m->params.count, "gradients")) die("%s", status_text());
    for (size_t i = 0; i < m->params.count; i++) {
        const param *q = m->params.item[i];
        if (!q->value.grad || !q->grad.written) continue;
        o->gradient[i] = reference_gradient(m, q);
        for (int64_t e = 0; e < tensor_count(&q->value); e++) o->gradient[i][e] /= (double)m->scale;
    }
}

void outcome_free(outcome *o, const reference_model *m) {
    for (size_t i = 0; i < m->params.count; i++) mem_free(o->gradient[i]);
    mem_free(o->gradient);
    mem_free(o->output);
}

device *outcome_device(dtype type, bool on_cpu) {
    device *d = NULL;
    status rc = !on_cpu               ? device_open_shim(&d, type)
                : type == DTYPE_BF16 ? device_open_cpu_bf16(&d, 2)
                                      : device_open_cpu(&d, 2);
    if (rc) die("%s", status_text());
    if (!d->ops) d->ops = &op_kernels_cpu;
    if (!d->optim) d->optim = &optim_kernels_cpu;
    return d;
}

static double square(const double *a, const double *b, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (a[i] - (b ? b[i] : 0)) * (a[i] - (b ? b[i] : 0));
    return sum;
}

distance distance_between(const outcome *a, const outcome *b, const params *p, const char *idle) {
    distance d = {.loss = fabs(a->loss - b->loss) / fabs(b->loss),
                  .output = reference_error(a->output, b->output, b->outputs)};
    double all = 0, error = 0;
    for (size_t i = 0; i < p->count; i++) {
        ck_assert_msg(!a->gradient[i] == !b->gradient[i], "%s: a gradient on one device", p->item[i]->name);
        if (!a->gradient[i]) continue;
        int64_t count = tensor_count(&p->item[i]->value);
        all += square(b->gradient[i], NULL, count);
        error += square(a->gradient[i], b->gradient[i], count);
    }
    d.gradient = sqrt(error / all);
    for (size_t i = 0; i < p->count; i++) {
        if (!a->gradient[i]) continue;
        int64_t count = tensor_count(&p->item[i]->value);
        double own = square(b->gradient[i], NULL, count), off = square(a->gradient[i], b->gradient[i], count);
        off = sqrt(off / (idle && strstr(p->item[i]->name, idle) ? all : own));
        if (!(off <= d.tensor)) d.tensor = off, d.worst = p->item[i]->name;
    }
    return d;
}

bool distance_within(const distance *d, const distance *limit) {
    return d->loss <= limit->loss && d->output <= limit->output && d->gradient <= limit->gradient &&
           d->tensor <= limit->tensor;
}

void expect_near(const outcome *a, const outcome *b, const params *p, const char *idle, const distance *limit,
                 const char *title) {
    distance off = distance_between(a, b, p, idle);
    printf("%s: loss %.1e, output %.1e, gradient %.1e, worst %.1e (%s)\n", title, off.loss, off.output,
           off.gradient, off.tensor, off.worst ? off.worst : "none");
    ck_assert_msg(distance_within(&off, limit), "%s: allowed: %.1e, %.1e, %.1e, %.1e", title, limit->loss,
                  limit->output, limit->gradient, limit->tensor);
}

void outcome_compare(const outcome_case *c, dtype type, bool on_cpu, const distance *limit) {
    rule_mutation none = {0}, wrong = {.op = c->wrong};
    outcome w = {0}, g = {0}, m = {0};
    device *d = outcome_device(type, on_cpu);
    char title[160];
    snprintf(title, sizeof title, "%s, %s %s", c->title, d->name, dtype_name(type));
    c->open(c->want, reference_device(true));
    c->open(c->got, d);
    if (type == DTYPE_F16) c->got_base->scale = 4096; // as training scales: gradients are below what f16 holds
    c->take(&w, c->want, &none);
    c->take(&g, c->got, &none);
    expect_near(&g, &w, &c->got_base->params, c->idle, limit, title);
    if (limit->tensor < 1e-3) {
        c->take(&m, c->got, &wrong);
        const distance off = distance_between(&m, &w, &c->got_base->params, c->idle);
        ck_assert_msg(!distance_within(&off, limit), "%s: a rule that is 1 %% off passes", title);
        outcome_free(&m, c->got_base);
    }
    outcome_free(&g, c->got_base);
    outcome_free(&w, c->want_base);
    c->close(c->got);
    c->close(c->want);
}
