#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_op_run.h"
#include "tests/shim/shim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COORDINATES = 160, DIRECTIONS = 6 };

static int64_t input_count(const op_input *in) {
    int64_t count = 1;
    for (int d = 0; d < in->rank; d++) count *= in->dim[d];
    return count;
}

// ||a - b|| / ||b||; infinite where b is zero or anything is not finite, so that it fails.
static double relative_error(const double *a, const double *b, int64_t count, double factor) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += (a[i] - factor * b[i]) * (a[i] - factor * b[i]);
        size += factor * b[i] * factor * b[i];
    }
    if (!isfinite(difference) || !(size > 0)) return INFINITY;
    return sqrt(difference / size);
}

static double slope(prepared *p, double **values, int input, const double *direction, double step) {
    int64_t count = input_count(&p->c->input[input]);
    double *kept = values[input], *moved = malloc((size_t)count * sizeof *moved);
    double side[2];
    values[input] = moved;
    for (int s = 0; s < 2; s++) {
        for (int64_t i = 0; i < count; i++) moved[i] = kept[i] + (s ? -step : step) * direction[i];
        side[s] = loss_at(p, values);
    }
    values[input] = kept;
    free(moved);
    return (side[0] - side[1]) / (2 * step);
}

// The error of ANALYTIC against central differences, relative to its norm.
static double difference_error(const op_case *c, double **values, int input, const double *analytic) {
    int64_t count = input_count(&c->input[input]);
    bool each = count <= MAX_COORDINATES;
    int64_t trials = each ? count : DIRECTIONS;
    double *direction = calloc((size_t)count, sizeof *direction), error = 0, size = 0;
    double step = c->input[input].gap > 0 ? fmin(1e-5, c->input[input].gap / 16) : 1e-5;
    prepared p;
    prepare(&p, c, values, ON_ORACLE, 1, false);
    for (int64_t trial = 0; trial < trials; trial++) {
        for (int64_t i = 0; i < count; i++)
            direction[i] = each ? (double)(i == trial)
                                : (double)rng_normal((rng_key){9, rng_site("direction"), 0},
                                                     (uint32_t)trial, (uint64_t)i) /
                                      8;
        double expected = slope(&p, values, input, direction, step), actual = 0;
        for (int64_t i = 0; i < count; i++) actual += analytic[i] * direction[i];
        error += (actual - expected) * (actual - expected);
        size += expected * expected;
    }
    prepared_close(&p);
    free(direction);
    if (!isfinite(error) || !(size > 0)) return INFINITY;
    return sqrt(error / size);
}

static double **draw_values(const op_case *c) {
    double **values = calloc(OP_MAX_INPUTS, sizeof *values);
    for (int i = 0; i < c->inputs; i++) {
        const op_input *in = &c->input[i];
        int64_t count = input_count(in);
        double low = in->low, high = in->high;
        if (low == 0 && high == 0) low = -1, high = 1;
        values[i] = malloc((size_t)(count + 1) * sizeof **values);
        for (int64_t e = 0; e < count; e++) {
            double u =
                (double)rng_uniform((rng_key){3, rng_site("input"), (uint32_t)i}, 0, (uint64_t)e);
            double v = low + (high - low) * u;
            if (fabs(v) < in->gap) v = v < 0 ? v - in->gap : v + in->gap;
            values[i][e] = (double)(float)v; // the same number on both devices
        }
    }
    return values;
}

// Kernels whose result depends on the order of blocks or threads have a race.
static void check_order(const op_case *c, double **values, int which, const run_result *there) {
    shim_reverse(true);
    run_result back = run_case(c, values, which, 1, true, -1);
    shim_reverse(false);
    ck_assert_msg(!memcmp(there->output, back.output, (size_t)there->count * sizeof *back.output),
                  "%s: the output depends on the order of threads", c->op);
    for (int i = 0; i < c->inputs; i++)
        if (there->gradient[i])
            ck_assert_msg(!memcmp(there->gradient[i], back.gradient[i],
                                  (size_t)input_count(&c->input[i]) * sizeof(double)),
                          "%s: gradient %d depends on the order of threads", c->op, i);
    result_free(&back);
}

// A device in one of its types against the oracle on equal inputs. What is wrong by 1.01 is beyond the narrow
// types' tolerance by its size; on the shim, which is slow, that is tried in f32.
static void check_device(const op_case *c, double **values, int which, double tolerance,
                      const run_result *exact) {
    const char *type = dtype_name(test_device(which)->type), *who = test_device(which)->name;
    run_result once = run_case(c, values, which, 1, true, -1);
    run_result twice = run_case(c, values, which, 2, true, -1);
    double error = relative_error(once.output, exact->output, exact->count, 1);
    ck_assert_msg(error <= tolerance, "%s: the %s's output in %s is off by %g, allowed %g", c->op,
                  who, type, error, tolerance);
    for (int i = 0; i < c->inputs; i++) {
        if (!c->input[i].gradient) continue;
        int64_t count = input_count(&c->input[i]);
        error = relative_error(once.gradient[i], exact->gradient[i], count, 1);
        ck_assert_msg(error <= tolerance,
                      "%s: the %s's gradient of input %d in %s is off by %g, allowed %g", c->op,
                      who, i, type, error, tolerance);
        error = relative_error(twice.gradient[i], exact->gradient[i], count, 2);
        ck_assert_msg(error <= tolerance, "%s: the %s does not add up input %d in %s (%g)", c->op,
                      who, i, type, error);
        if (which > ON_SHIM) continue;
        run_result wrong = run_case(c, values, which, 1, true, i);
        error = relative_error(wrong.gradient[i], exact->gradient[i], count, 1);
        ck_assert_msg(!(error <= tolerance), "%s: a rule scaled by 1.01 passes in %s (input %d)",
                      c->op, type, i);
        result_free(&wrong);
    }
    if (which >= ON_SHIM) check_order(c, values, which, &once);
    result_free(&once);
    result_free(&twice);
}

// The oracle against central differences and itself.
static void check_oracle(const op_case *c, double **values, const run_result *exact) {
    const double tolerance = 2e-6;
    run_result twice = run_case(c, values, ON_ORACLE, 2, true, -1);
    for (int i = 0; i < c->inputs; i++) {
        if (!c->input[i].gradient) continue;
        double error = c->steps ? 0 : difference_error(c, values, i, exact->gradient[i]);
        ck_assert_msg(error <= tolerance,
                      "%s: gradient of input %d is off by %g from central differences", c->op, i,
                      error);
        error = relative_error(twice.gradient[i], exact->gradient[i], input_count(&c->input[i]), 2);
        ck_assert_msg(error <= 1e-12, "%s: the oracle does not add up input %d (%g)", c->op, i,
                      error);
        if (c->steps) continue;
        run_result wrong = run_case(c, values, ON_ORACLE, 1, true, i);
        error = difference_error(c, values, i, wrong.gradient[i]);
        ck_assert_msg(!(error <= tolerance),
                      "%s: a rule scaled by 1.01 passes the differences (input %d)", c->op, i);
        result_free(&wrong);
    }
    result_free(&twice);
}

static void round_values(const op_case *c, double **values, dtype type) {
    for (int i = 0; i < c->inputs; i++)
        for (int64_t e = 0; e < input_count(&c->input[i]); e++) {
            uint16_t narrow;
            element_put(&narrow, 0, values[i][e], type);
            values[i][e] = element_get(&narrow, 0, type);
        }
}

// Half a unit in the last place is 2^-9 of the largest numbers in bf16 and 2^-12 in f16; a rule reads rounded
// outputs and writes rounded gradients. Scaling by 1.01 must stay outside.
static const double BF16_TOLERANCE = 6e-3, F16_TOLERANCE = 1e-3;
static const double TF32_TOLERANCE = 2e-3; // factors with 10 bits

static double tolerance_of(const op_case *c) {
    int64_t largest = 1;
    if (c->tolerance > 0) return c->tolerance;
    for (int i = 0; i < c->inputs; i++)
        if (input_count(&c->input[i]) > largest) largest = input_count(&c->input[i]);
    return fmin(2e-6 * sqrt((double)largest), 1e-4);
}

// RADIALOG_TEST_SHIM=off leaves the CUDA kernels out, in a run that is about the CPU's.
static bool shim_is_off(void) {
    const char *wanted = getenv("RADIALOG_TEST_SHIM");
    return wanted && !strcmp(wanted, "off");
}

// The devices of TYPE on inputs that it holds exactly.
static void check_narrow(const op_case *c, dtype type, int cpu, int shim, double tolerance) {
    double **values = draw_values(c);
    round_values(c, values, type);
    run_result exact = run_case(c, values, ON_ORACLE, 1, true, -1);
    if (cpu >= 0) check_device(c, values, cpu, tolerance, &exact);
    if (!shim_is_off()) check_device(c, values, shim, tolerance, &exact);
    result_free(&exact);
    for (int i = 0; i < c->inputs; i++) free(values[i]);
    free(values);
}

void op_check(const op_case *c) {
    double **values = draw_values(c), tolerance = tolerance_of(c);
    run_result exact = run_case(c, values, ON_ORACLE, 1, true, -1);
    check_oracle(c, values, &exact);
    check_device(c, values, ON_CPU, tolerance, &exact);
    if (!shim_is_off())
        check_device(c, values, ON_SHIM, shim_rounds_factors() ? TF32_TOLERANCE : tolerance, &exact);
    result_free(&exact);
    for (int i = 0; i < c->inputs; i++) free(values[i]);
    free(values);
    check_narrow(c, DTYPE_BF16, ON_CPU_BF16, ON_SHIM_BF16, BF16_TOLERANCE);
    if (!shim_is_off()) check_narrow(c, DTYPE_F16, -1, ON_SHIM_F16, F16_TOLERANCE);
}

int run_suite(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
