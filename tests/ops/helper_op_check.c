#include "tests/ops/helper_op_check.h"
#include "tests/oracle/oracle.h"
#include "tests/shim/shim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64, MAX_COORDINATES = 160, DIRECTIONS = 6 };
static const double MUTATION = 1.01;

typedef struct device_pair {
    device *real, *dry;
    comm *comm;
} device_pair;

static status open_device(device **d, int which) {
    switch (which) {
    case ON_ORACLE: return device_open_oracle(d);
    case ON_CPU: return device_open_cpu(d, 2);
    case ON_CPU_BF16: return device_open_cpu_bf16(d, 2);
    case ON_SHIM: return device_open_shim(d, DTYPE_F32);
    case ON_SHIM_BF16: return device_open_shim(d, DTYPE_BF16);
    case ON_SHIM_F16: return device_open_shim(d, DTYPE_F16);
    default: die("test device %d", which);
    }
}

static const device_pair *devices(int which) {
    static device_pair pairs[TEST_DEVICES];
    device_pair *p = &pairs[which];
    if (!p->real) {
        status rc = open_device(&p->real, which);
        if (rc == STATUS_USAGE && which == ON_CPU_BF16) return p;
        ck_assert_int_eq(rc, STATUS_OK);
        if (!p->real->ops) p->real->ops = &op_kernels_cpu;
        ck_assert_int_eq(device_open_dry(&p->dry, p->real), 0);
        ck_assert_int_eq(comm_open_single(&p->comm), 0);
    }
    return p;
}

device *test_device(int which) {
    return devices(which)->real;
}

static tape *running; // while op_check runs a case

// Within a case constants live where the device computes, as activations of its tape.
static tensor constant(const void *data, dtype type, int rank, const int64_t *dim) {
    tensor x = {.data = (void *)(uintptr_t)data, .type = type, .rank = rank};
    memcpy(x.dim, dim, (size_t)rank * sizeof *dim);
    if (!running) return x;
    tensor *own = tape_tensor_of(running, type, rank, dim);
    running->device->upload(running->device, own->data, data, tensor_bytes(own));
    return *own;
}

tensor constant_u8(const uint8_t *data, int rank, const int64_t *dim) {
    return constant(data, DTYPE_U8, rank, dim);
}

tensor constant_i32(const int32_t *data, int rank, const int64_t *dim) {
    return constant(data, DTYPE_I32, rank, dim);
}

tensor constant_f32(const float *data, int rank, const int64_t *dim) {
    return constant(data, DTYPE_F32, rank, dim);
}

// --- numbers on a device -------------------------------------------------------------------------
// Piece by piece: large blocks, taken and given back for every run, are most of the time under sanitizers.
enum { PIECE = 4096 };

static double *numbers_read(device *d, const void *data, dtype type, int64_t count) {
    char piece[PIECE * sizeof(double)];
    double *out = malloc((size_t)(count + 1) * sizeof *out);
    size_t size = dtype_size(type);
    for (int64_t i = 0; i < count; i += PIECE) {
        int64_t here = count - i < PIECE ? count - i : PIECE;
        d->download(d, piece, (const char *)data + (size_t)i * size, (size_t)here * size);
        for (int64_t j = 0; j < here; j++) out[i + j] = element_get(piece, j, type);
    }
    return out;
}

static void numbers_write(device *d, void *data, dtype type, const double *values, int64_t count) {
    char piece[PIECE * sizeof(double)];
    size_t size = dtype_size(type);
    for (int64_t i = 0; i < count; i += PIECE) {
        int64_t here = count - i < PIECE ? count - i : PIECE;
        for (int64_t j = 0; j < here; j++) element_put(piece, j, values[i + j], type);
        d->upload(d, (char *)data + (size_t)i * size, piece, (size_t)here * size);
    }
}

static void poison(device *d, void *data, size_t size) {
    char piece[PIECE];
    memset(piece, 0xab, sizeof piece);
    for (size_t i = 0; i < size; i += sizeof piece)
        d->upload(d, (char *)data + i, piece, size - i < sizeof piece ? size - i : sizeof piece);
}

static void *take(device *d, size_t bytes) {
    void *block;
    if (d->take(d, bytes + 1, "a test", &block)) die("%s", status_text());
    return block;
}

// --- one run of a case ---------------------------------------------------------------------------
typedef struct run_result {
    double *output; // (count)
    int64_t count;
    double *gradient[OP_MAX_INPUTS]; // NULL where none is wanted
    double loss;                     // sum of weight * output over all uses
} run_result;

typedef struct mutation {
    const char *op;
    const tensor *input;
} mutation;

// Scales what the rule of one op has just written for one input.
static void mutate(void *context, tape *t, const tape_node *node) {
    const mutation *m = context;
    if (strcmp(node->op, m->op)) return;
    for (int i = 0; i < node->ins; i++) {
        if (node->in[i] != m->input) continue;
        const gradient *g = m->input->grad;
        int64_t count = tensor_count(m->input);
        double *values = numbers_read(t->device, g->data, g->type, count);
        for (int64_t e = 0; e < count; e++) values[e] *= MUTATION;
        numbers_write(t->device, g->data, g->type, values, count);
        free(values);
    }
}

// A number that bf16 holds exactly; drawn once.
static double weight_of(int64_t i) {
    static double *drawn;
    static int64_t count;
    if (i >= count) {
        int64_t more = 2 * i + PIECE;
        drawn = realloc(drawn, (size_t)more * sizeof *drawn);
        for (; count < more; count++) {
            float u = rng_uniform((rng_key){77, rng_site("weights"), 0}, 0, (uint64_t)count);
            drawn[count] = (double)bf16_to_float(bf16_from_float(2 * u - 1));
        }
    }
    return drawn[i];
}

// loss = sum of weight * (y1 + y2), an op of the tests so that rules see an arbitrary output
// gradient.
static void weigh_rule(tape *t, const tape_node *node) {
    for (int u = 0; u < node->ins; u++) {
        tensor *y = node->in[u];
        int acc;
        void *dy = tape_gradient(t, y, &acc);
        if (!dy || t->device == t->dry) continue;
        double *values = numbers_read(t->device, dy, y->grad->type, tensor_count(y));
        for (int64_t i = 0; i < tensor_count(y); i++)
            values[i] = weight_of(i) + (acc ? values[i] : 0);
        numbers_write(t->device, dy, y->grad->type, values, tensor_count(y));
        free(values);
    }
}

static tensor *weigh(tape *t, tensor **y, int uses, double *sum) {
    tensor *loss = tape_tensor(t, 0, NULL);
    *sum = 0;
    for (int u = 0; u < uses && t->device != t->dry; u++) {
        double *values = numbers_read(t->device, y[u]->data, y[u]->type, tensor_count(y[u]));
        for (int64_t i = 0; i < tensor_count(y[u]); i++) *sum += weight_of(i) * values[i];
        free(values);
    }
    tape_record(t, "weigh", weigh_rule, NULL, &loss, 1, y, uses);
    return loss;
}

static void check_guard(device *d, const void *at, size_t size, const char *op,
                        const char *where) {
    unsigned char guard[GUARD];
    if (size > GUARD) die("check_guard: %zu bytes", size);
    d->download(d, guard, at, size);
    for (size_t i = 0; i < size; i++)
        if (guard[i] != 0xab) ck_abort_msg("%s wrote outside of its %s", op, where);
}

// An input in the device's memory with a guarded gradient, of the device's type or of the wide one.
typedef struct leaf {
    tensor x;
    gradient g;
    char *block;
    size_t bytes;
} leaf;

static void leaf_open(leaf *l, const op_input *in, const double *values, device *d, bool backward) {
    memset(l, 0, sizeof *l);
    dtype type = d->type, wide = dtype_wide(type);
    l->x = (tensor){.type = in->rank < 2 || in->wide ? wide : type, .rank = in->rank};
    memcpy(l->x.dim, in->dim, sizeof in->dim);
    int64_t count = tensor_count(&l->x);
    l->x.data = take(d, tensor_bytes(&l->x));
    numbers_write(d, l->x.data, l->x.type, values, count);
    if (!in->gradient || !backward) return;
    l->g = (gradient){.type = in->weight ? wide : l->x.type};
    l->bytes = (size_t)count * dtype_size(l->g.type);
    l->block = take(d, l->bytes + 2 * GUARD);
    poison(d, l->block, l->bytes + 2 * GUARD);
    l->g.data = l->block + GUARD;
    l->x.grad = &l->g;
}

static void leaf_close(leaf *l, device *d) {
    d->release(d, l->x.data);
    d->release(d, l->block);
}

// Runs the op USES times and back once; the dry run goes the same way.
static void run_once(const op_case *c, tape *t, leaf *leaves, int uses, bool backward,
                     run_result *result) {
    tensor *in[OP_MAX_INPUTS], *y[2] = {0};
    for (int i = 0; i < c->inputs; i++) {
        in[i] = &leaves[i].x;
        leaves[i].g.written = false;
        leaves[i].g.uses = 0;
    }
    tape_begin(t, backward);
    t->training = c->training;
    t->seed = 5;
    for (int u = 0; u < uses; u++) {
        t->draws = 0; // both uses drop the same elements
        running = t;
        y[u] = c->run(t, in, c->context);
        running = NULL;
    }
    tensor *loss = weigh(t, y, uses, &result->loss);
    if (t->device != t->dry) {
        const char *end = (char *)y[0]->data + tensor_bytes(y[0]);
        const char *block = t->activations.base;
        if (end > block && end < block + t->activations.capacity) // not an input passed through
            check_guard(t->device, end, (size_t)(-(intptr_t)end) % SPACE_ALIGNMENT, c->op, "output");
        result->count = tensor_count(y[0]);
        result->output = numbers_read(t->device, y[0]->data, y[0]->type, result->count);
    }
    if (backward) tape_backward(t, loss, 1);
}

static void take_gradients(const op_case *c, leaf *leaves, run_result *result, device *d) {
    for (int i = 0; i < c->inputs; i++) {
        if (!leaves[i].block) continue;
        check_guard(d, leaves[i].block, GUARD, c->op, "gradient");
        check_guard(d, leaves[i].block + GUARD + leaves[i].bytes, GUARD, c->op, "gradient");
        ck_assert_msg(leaves[i].g.written, "%s: input %d got no gradient", c->op, i);
        result->gradient[i] =
            numbers_read(d, leaves[i].g.data, leaves[i].g.type, tensor_count(&leaves[i].x));
    }
}

// A case that is ready to run on a device: its inputs and a tape with room for it, poisoned for its first run.
typedef struct prepared {
    const op_case *c;
    device *device;
    leaf leaves[OP_MAX_INPUTS];
    tape tape;
} prepared;

static void prepare(prepared *p, const op_case *c, double *const *values, int which, int uses, bool backward) {
    const device_pair *pair = devices(which);
    run_result sizes = {0};
    *p = (prepared){.c = c, .device = pair->real};
    for (int i = 0; i < c->inputs; i++) leaf_open(&p->leaves[i], &c->input[i], values[i], p->device, backward);
    ck_assert_int_eq(tape_init(&p->tape, p->device, pair->dry, pair->comm), STATUS_OK);
    run_once(c, &p->tape, p->leaves, uses, backward, &sizes);
    ck_assert_int_eq(tape_allocate(&p->tape, tape_used(&p->tape)), STATUS_OK);
    poison(p->device, p->tape.activation_block, p->tape.activations.capacity);
    ck_assert_int_eq(p->tape.device == p->tape.real, 1);
}

static void prepared_close(prepared *p) {
    status rc = tape_failed(&p->tape);
    if (rc) ck_abort_msg("%s: %s", p->c->op, status_text());
    tape_free(&p->tape);
    for (int i = 0; i < p->c->inputs; i++) leaf_close(&p->leaves[i], p->device);
}

static run_result run_case(const op_case *c, double *const *values, int which, int uses,
                           bool backward, int mutated) {
    prepared p;
    run_result result = {0};
    prepare(&p, c, values, which, uses, backward);
    mutation m = {c->op, mutated >= 0 ? &p.leaves[mutated].x : NULL};
    if (mutated >= 0) {
        p.tape.observe = mutate;
        p.tape.observe_context = &m;
    }
    run_once(c, &p.tape, p.leaves, uses, backward, &result);
    if (backward) take_gradients(c, p.leaves, &result, p.device);
    prepared_close(&p);
    return result;
}

static void result_free(run_result *r) {
    free(r->output);
    for (int i = 0; i < OP_MAX_INPUTS; i++) free(r->gradient[i]);
}

// --- comparisons ---------------------------------------------------------------------------------
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

static int64_t input_count(const op_input *in) {
    int64_t count = 1;
    for (int d = 0; d < in->rank; d++) count *= in->dim[d];
    return count;
}

// The loss with VALUES, which are written anew: some ops change what they read.
static double loss_at(prepared *p, double *const *values) {
    run_result r = {0};
    for (int i = 0; i < p->c->inputs; i++) {
        const tensor *x = &p->leaves[i].x;
        numbers_write(p->device, x->data, x->type, values[i], tensor_count(x));
    }
    run_once(p->c, &p->tape, p->leaves, 1, false, &r);
    double loss = r.loss;
    result_free(&r);
    return loss;
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
static double difference_error(const op_case *c, double **values, int input,
                               const double *analytic) {
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
    const char *type = dtype_name(devices(which)->real->type), *who = devices(which)->real->name;
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
    if (cpu >= 0 && test_device(cpu)) check_device(c, values, cpu, tolerance, &exact);
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
