#include "tests/ranks/helper_compare.h"
#include "tests/train/helper_program.h"
#include "tests/train/helper_run.h"

#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void compare_metrics(const char *work, const char *a, const char *b, int steps, const char *key,
                     double tolerance) {
    char x[1024], y[1024];
    snprintf(x, sizeof x, "%s/%s", work, a);
    snprintf(y, sizeof y, "%s/%s", work, b);
    for (int step = 1; step <= steps; step++) {
        double one = run_metric(x, step, key), many = run_metric(y, step, key);
        ck_assert_msg(fabs(many - one) <= tolerance * fabs(one) && fabs(one) > 0,
                      "step %d: %s %.17g on one rank, %.17g in %s", step, key, one, many, b);
    }
}

typedef struct values {
    char *file;
    size_t size, at;
} values;

static values values_open(const char *work, const char *name) {
    char path[1024];
    values v = {0};
    snprintf(path, sizeof path, "%s/%s.bin", work, name);
    v.file = read_file(path, &v.size);
    ck_assert_ptr_nonnull(v.file);
    return v;
}

// The next tensor's numbers; NULL at the end.
static const double *values_next(values *v, int64_t *count) {
    if (v->at == v->size) return NULL;
    memcpy(count, v->file + v->at, sizeof *count);
    const char *numbers = v->file + v->at + sizeof *count;
    v->at += sizeof *count + (size_t)*count * sizeof(double);
    ck_assert_uint_le(v->at, v->size);
    return (const double *)(const void *)numbers;
}

void compare_values(const char *work, const char *a, const char *b, const char *start,
                    double tolerance, int tensors_least) {
    values x = values_open(work, a), y = values_open(work, b), s = {0};
    const double *p, *q, *o = NULL;
    int64_t n, m, k;
    int tensors = 0, moved = 0;
    if (start) s = values_open(work, start);
    for (; (p = values_next(&x, &n)); tensors++) {
        ck_assert_ptr_nonnull(q = values_next(&y, &m));
        ck_assert_int_eq(n, m);
        if (start) ck_assert_ptr_nonnull(o = values_next(&s, &k));
        double difference = 0, size = 0;
        for (int64_t i = 0; i < n; i++) {
            double base = o ? o[i] : 0;
            difference += (q[i] - p[i]) * (q[i] - p[i]);
            size += (p[i] - base) * (p[i] - base);
        }
        const double floor = 1e-8;
        ck_assert_msg(sqrt(difference) <= tolerance * sqrt(size) ||
                          (sqrt(size) < floor && sqrt(difference) < floor),
                      "tensor %d of %lld numbers: off by %g of %g", tensors, (long long)n,
                      sqrt(difference), sqrt(size));
        moved += sqrt(size) > floor;
    }
    ck_assert_int_ge(tensors, tensors_least);
    ck_assert_int_gt(moved,
                     tensors * 3 / 4); // not all: the temporal pooler has no prior image to look at
    free(x.file);
    free(y.file);
    free(s.file);
}
