#include "tests/ops/helper_op_run.h"
#include "tests/oracle/oracle.h"
#include "tests/shim/shim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64 };
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
        void *dy = tape_weight_gradient(t, y, &acc);
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
    unsigned char guard[GUARD + SPACE_ALIGNMENT];
    if (size > sizeof guard) die("check_guard: %zu bytes", size);
    d->download(d, guard, at, size);
    for (size_t i = 0; i < size; i++)
        if (guard[i] != 0xab) ck_abort_msg("%s wrote outside of its %s", op, where);
}

// What the tape of a case gives out on its stack (outputs, what rules need of them, scratch) has guard bytes behind it,
// which are looked at when it is given back and when the case has run. The linker leads all calls of space_push to
// __wrap_space_push (tests/CMakeLists.txt).
enum { GUARDS = 256 };
static struct {
    tape *tape; // NULL: no case runs
    const char *op;
    int count;
    struct {
        char *from, *to;
    } at[GUARDS];
} guards;

void *__real_space_push(space *s, size_t bytes);
void *__wrap_space_push(space *s, size_t bytes);

// Of pieces that reach beyond END.
static void check_guards(const char *end) {
    for (; guards.count > 0 && guards.at[guards.count - 1].to > end; guards.count--) {
        const char *from = guards.at[guards.count - 1].from, *to = guards.at[guards.count - 1].to;
        check_guard(guards.tape->real, from, (size_t)(to - from), guards.op, "output");
    }
}

void *__wrap_space_push(space *s, size_t bytes) {
    if (!guards.tape || s != &guards.tape->activations) return __real_space_push(s, bytes);
    if (s->base) check_guards(s->base + s->used);
    char *piece = __real_space_push(s, bytes);
    __real_space_push(s, GUARD);
    if (!s->base || s->full) return piece;
    if (guards.count == GUARDS) die("more than %d pieces in a case", GUARDS);
    char *from = piece + bytes, *to = s->base + s->used;
    guards.at[guards.count].from = from;
    guards.at[guards.count++].to = to;
    poison(guards.tape->real, from, (size_t)(to - from));
    return piece;
}

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
static void run_once(const op_case *c, tape *t, leaf *leaves, int uses, bool backward, run_result *result) {
    tensor *in[OP_MAX_INPUTS], *y[2] = {0};
    for (int i = 0; i < c->inputs; i++) {
        in[i] = &leaves[i].x;
        leaves[i].g.written = false;
        leaves[i].g.uses = 0;
    }
    tape_begin(t, backward);
    guards.tape = t;
    guards.op = c->op;
    guards.count = 0;
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
        result->count = tensor_count(y[0]);
        result->output = numbers_read(t->device, y[0]->data, y[0]->type, result->count);
    }
    if (backward) tape_backward(t, loss, 1);
    check_guards(NULL);
    guards.tape = NULL;
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

void prepare(prepared *p, const op_case *c, double *const *values, int which, int uses, bool backward) {
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

void prepared_close(prepared *p) {
    status rc = tape_failed(&p->tape);
    if (rc) ck_abort_msg("%s: %s", p->c->op, status_text());
    tape_free(&p->tape);
    for (int i = 0; i < p->c->inputs; i++) leaf_close(&p->leaves[i], p->device);
}

run_result run_case(const op_case *c, double *const *values, int which, int uses, bool backward, int mutated) {
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

void result_free(run_result *r) {
    free(r->output);
    for (int i = 0; i < OP_MAX_INPUTS; i++) free(r->gradient[i]);
}

// The values are written anew: some ops change what they read.
double loss_at(prepared *p, double *const *values) {
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
