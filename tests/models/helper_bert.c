#include "tests/models/helper_bert.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// As in bert_reference.py.
enum { CLS = 1, SEP = 2, WORD = 3 };
// As in bert.py; 0 ends a step. 2: an empty text.
static const int lengths[BERT_STEPS][BERT_MOST] = {
    {7, 3, 12, 2}, {5, 9, 4}, {12, 2, 6, 8}, {3, 10, 5, 7}, {9, 4, 11, 6}};

const double bert_lr = 1e-3, bert_eps = 1e-2; // as in bert.py
const limits bert_f32 = {1e-5, 1e-4, 1e-4}, bert_double = {1e-9, 5e-7, 5e-7};
const double bert_free_loss = 1e-9, bert_free_update = 1e-6;

// --- texts --------------------------------------------------------------------------------------
// [CLS] words [SEP], LENGTH ids.
static void draw_text(const char *name, int length, int vocabulary, int32_t *ids) {
    ids[0] = CLS;
    for (int j = 1; j + 1 < length; j++)
        ids[j] = WORD + (int32_t)(reference_uniform(name, j - 1) * (vocabulary - WORD));
    ids[length - 1] = SEP;
}

int bert_texts(int step, int vocabulary, int32_t *ids, int32_t *first) {
    char name[64];
    int count = 0;
    first[0] = 0;
    for (; count < BERT_MOST && lengths[step][count]; count++) {
        snprintf(name, sizeof name, "step.%d.text.%d", step, count);
        draw_text(name, lengths[step][count], vocabulary, ids + first[count]);
        first[count + 1] = first[count] + lengths[step][count];
    }
    return count;
}

// --- verdicts -----------------------------------------------------------------------------------
bool verdict_red(const verdict *v) {
    return v->worst[0];
}

void verdict_show(const char *title, const verdict *v) {
    if (getenv("SHOW_ERRORS"))
        printf("%-40s loss %.1e value %.1e gradient %.1e update %.1e of %d tensors %s%s\n", title,
               v->loss, v->value, v->gradient, v->update, v->compared,
               verdict_red(v) ? "RED: " : "", v->worst);
}

void judge(verdict *v, double *worst, double error, double limit, const char *name) {
    if (!(error <= *worst)) *worst = error;
    if (!(error <= limit) && !v->worst[0])
        snprintf(v->worst, sizeof v->worst, "%s: %.2e, allowed %.0e", name, error, limit);
    v->compared++;
}

void judge_loss(verdict *v, double got, double want, double limit, const char *name) {
    judge(v, &v->loss, fabs(got - want) / fabs(want), limit, name);
}

void judge_value(verdict *v, const reference_model *m, const safetensors *file, const char *name,
                 const tensor *x, double limit) {
    int64_t n;
    double *got = reference_read(m, x), *want = golden_tensor(file, name, -1, &n);
    ck_assert_msg(n == tensor_count(x), "%s: %lld elements, not %lld", name,
                  (long long)tensor_count(x), (long long)n);
    judge(v, &v->value, reference_error(got, want, n), limit, name);
    mem_free(got);
    mem_free(want);
}

// The sum of "KIND.NAME" over KINDS; NULL if the file has none.
static double *golden_sum(const safetensors *file, const char *const *kinds, const char *name,
                          int64_t count) {
    double *sum = NULL;
    for (; *kinds; kinds++) {
        char full[256];
        int64_t n;
        snprintf(full, sizeof full, "%s.%s", *kinds, name);
        if (!safetensors_lookup(file, full)) continue;
        double *part = golden_tensor(file, full, -1, &n);
        ck_assert_msg(n == count, "%s: %lld elements, not %lld", full, (long long)count,
                      (long long)n);
        if (sum)
            for (int64_t i = 0; i < n; i++) part[i] += sum[i];
        mem_free(sum);
        sum = part;
    }
    return sum;
}

static double norm(const double *x, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

// A key's bias adds the same to all of a query's scores, so its gradient is zero but for rounding:
// what there is of it is measured by that of the bias of the same attention's queries.
static const char *key_bias(const char *name) {
    static const char end[] = "key.bias";
    size_t n = strlen(name);
    return n > strlen(end) && !strcmp(name + n - strlen(end), end) ? name + n - strlen(end) : NULL;
}

static double size_to_measure(const safetensors *file, const char *const *kinds, const char *name,
                              int64_t count) {
    char other[256];
    snprintf(other, sizeof other, "%.*squery.bias", (int)(key_bias(name) - name), name);
    double *x = golden_sum(file, kinds, other, count);
    ck_assert_msg(x != NULL, "no gradient of %s", other);
    double size = norm(x, count);
    mem_free(x);
    return size;
}

// GOT: F's part of a parameter's gradient; NULL: it has none.
static void judge_gradient(verdict *v, const double *got, const param_file *f,
                           const safetensors *file, const char *const *kinds, double limit) {
    double *want = golden_sum(file, kinds, f->name, f->count), error = 0;
    if (want && !got)
        error = INFINITY;
    else if (want && key_bias(f->name))
        error = norm(got, f->count) / size_to_measure(file, kinds, f->name, f->count);
    else if (want)
        error = reference_error(got, want, f->count);
    else if (got)
        error = norm(got, f->count);
    if (want || got) judge(v, &v->gradient, error, want ? limit : 0, f->name);
    mem_free(want);
}

void judge_gradients(verdict *v, const reference_model *m, const safetensors *file,
                     const char *const *kinds, double limit) {
    for (size_t i = 0; i < m->params.count; i++) {
        const param *q = m->params.item[i];
        double *got = NULL;
        if (q->value.grad && q->grad.written) got = reference_gradient(m, q);
        for (int k = 0; k < param_files(q); k++) {
            const param_file f = param_file_at(q, k);
            judge_gradient(v, got ? got + f.first : NULL, &f, file, kinds, limit);
        }
        mem_free(got);
    }
}

// MOVED: by how much F's part of a parameter has changed.
static void judge_update(verdict *v, const double *moved, const param_file *f,
                         const safetensors *file, double limit) {
    static const char *const kinds[] = {"update", NULL};
    double *want = golden_sum(file, kinds, f->name, f->count);
    if (!want)
        judge(v, &v->update, norm(moved, f->count), 0, f->name);
    else if (key_bias(f->name)) // rounding, far below AdamW's eps
        judge(v, &v->update, norm(moved, f->count), 1e-9, f->name);
    else
        judge(v, &v->update, reference_error(moved, want, f->count), limit, f->name);
    mem_free(want);
}

void judge_updates(verdict *v, const reference_model *m, const safetensors *file, const void *start,
                   double limit) {
    for (size_t i = 0; i < m->params.count; i++) {
        const param *q = m->params.item[i];
        int64_t n = tensor_count(&q->value);
        if (q->role != PARAM_WEIGHT || q->frozen) continue;
        double *end, *before;
        if (mem_new(&end, n, q->name) || mem_new(&before, n, q->name)) die("%s", status_text());
        if (param_read_f64(&m->params, q, m->params.values, end) ||
            param_read_f64(&m->params, q, start, before))
            die("%s", status_text());
        for (int64_t e = 0; e < n; e++) end[e] -= before[e];
        for (int k = 0; k < param_files(q); k++) {
            const param_file f = param_file_at(q, k);
            judge_update(v, end + f.first, &f, file, limit);
        }
        mem_free(end);
        mem_free(before);
    }
}

void *values_copy(const reference_model *m) {
    size_t bytes = (size_t)m->params.trainable * dtype_size(dtype_wide(m->device->type));
    char *out;
    if (mem_new(&out, (int64_t)bytes, "values before training")) die("%s", status_text());
    m->device->download(m->device, out, m->params.values, bytes);
    m->device->wait(m->device);
    return out;
}

static safetensors *file_open(const char *folder, const char *file) {
    char path[512];
    safetensors *out;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (safetensors_open(&out, path)) die("%s", status_text());
    return out;
}

safetensors *golden_open(const char *file) {
    return file_open(TEST_DATA, file);
}

// --- full size ----------------------------------------------------------------------------------
static const char folder_variable[] = "RADIALOG_BERT_FULL";

bool bert_full_wanted(void) {
    return getenv(folder_variable) != NULL;
}

int32_t *bert_full_whole(const bert_full *f, const char *name, int64_t *count) {
    const safetensors_entry *e;
    int32_t *out;
    if (safetensors_find(&e, f->inputs, name)) die("%s", status_text());
    if (e->type != DTYPE_I32) die("%s: type %s", name, e->type_name);
    *count = (int64_t)(e->bytes / sizeof *out);
    if (mem_new(&out, *count, name)) die("%s", status_text());
    memcpy(out, e->data, e->bytes);
    return out;
}

void bert_full_open(bert_full *f, const char *model) {
    char folder[400];
    int64_t count, tokens;
    *f = (bert_full){0};
    snprintf(folder, sizeof folder, "%s/%s", getenv(folder_variable), model);
    snprintf(f->weights, sizeof f->weights, "%s/weights.safetensors", folder);
    f->inputs = file_open(folder, "inputs.safetensors");
    f->expected = file_open(folder, "expected.safetensors");
    int32_t *each = bert_full_whole(f, "text.lengths", &count);
    f->ids = bert_full_whole(f, "text.ids", &tokens);
    f->count = (int)count;
    if (mem_new(&f->first, count + 1, "texts")) die("%s", status_text());
    for (int i = 0; i < count; i++) {
        f->first[i + 1] = f->first[i] + each[i];
        if (each[i] > f->most) f->most = each[i];
    }
    ck_assert_int_eq(f->first[count], tokens);
    mem_free(each);
}

void bert_full_close(bert_full *f) {
    mem_free(f->first);
    mem_free(f->ids);
    safetensors_close(f->inputs);
    safetensors_close(f->expected);
}

// --- mutations ----------------------------------------------------------------------------------
bool rules_have(const rules *r, const char *op) {
    for (int i = 0; i < r->count; i++)
        if (!strcmp(r->item[i].op, op)) return true;
    return false;
}

void rules_collect(void *context, tape *t, const tape_node *node) {
    rules *r = context;
    (void)t;
    for (int i = 0; i < node->ins; i++) {
        const gradient *g = node->in[i] ? node->in[i]->grad : NULL;
        bool known = !g || !g->data;
        for (int j = 0; j < r->count && !known; j++)
            known = !strcmp(r->item[j].op, node->op) && r->item[j].input == i;
        if (known) continue;
        ck_assert_int_lt(r->count, RULES_MOST);
        r->item[r->count++] = (rule_mutation){node->op, i};
    }
}
