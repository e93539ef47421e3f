#include "tests/models/helper_reference.h"
#include "tests/oracle/oracle.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 8 }; // images are drawn in squares of so many pixels

const classifier_config reference_full = {
    .encoder = {.image_size = 488,
                .stem = 64,
                .stages = 4,
                .width = {64, 128, 256, 512},
                .blocks = {3, 4, 6, 3},
                .vit_width = 256,
                .pooler_blocks = 3,
                .pooler_heads = 8,
                .joint_width = 128},
    .pool = 4,
    .hidden = 512,
    .classes = 14,
};

const classifier_config reference_small = {
    .encoder = {.image_size = 128,
                .stem = 8,
                .stages = 4,
                .width = {4, 6, 8, 10},
                .blocks = {1, 2, 1, 1},
                .vit_width = 16,
                .pooler_blocks = 2,
                .pooler_heads = 2,
                .joint_width = 12},
    .pool = 2,
    .hidden = 16,
    .classes = 14,
};

const classifier_config reference_tiny = {
    .encoder = {.image_size = 64,
                .stem = 4,
                .stages = 4,
                .width = {2, 3, 4, 5},
                .blocks = {1, 2, 1, 1},
                .vit_width = 8,
                .pooler_blocks = 2,
                .pooler_heads = 2,
                .joint_width = 6},
    .pool = 2,
    .hidden = 7,
    .classes = 3,
};

// --- draws -----------------------------------------------------------------------------
// The finaliser of splitmix64 (Steele et al. 2014).
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t key_of(const char *name) {
    uint64_t key = 0xCBF29CE484222325u; // FNV-1a
    for (; *name; name++) key = (key ^ (uint8_t)*name) * 0x100000001B3u;
    return mix(key);
}

static double uniform_at(uint64_t key, int64_t index) {
    return (double)(mix(key + ((uint64_t)index + 1) * 0x9E3779B97F4A7C15u) >> 40) * 0x1p-24;
}

double reference_uniform(const char *name, int64_t index) {
    return uniform_at(key_of(name), index);
}

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

// As values() in draws.py: a tensor of a file; the one scalar is a temperature.
static void draw_values(float *out, const param_file *f) {
    uint64_t key = key_of(f->name);
    if (!f->rank) {
        out[0] = 0.07f;
        return;
    }
    bool vector = f->rank == 1,
         embedding = ends_with(f->name, "_emb") || ends_with(f->name, "_embed");
    bool positive = ends_with(f->name, "running_var") || (vector && ends_with(f->name, "weight"));
    double bound = sqrt(3.0 / ((double)f->count / (double)f->dim[0]));
    for (int64_t i = 0; i < f->count; i++) {
        double u = uniform_at(key, i);
        if (positive)
            u += 0.5;
        else if (vector)
            u = u * 0.6 - 0.3;
        else
            u = embedding ? u * 2 - 1 : (u * 2 - 1) * bound;
        out[i] = (float)u;
    }
}

void reference_fill(reference_model *m) {
    for (size_t i = 0; i < m->params.count; i++) {
        const param *q = m->params.item[i];
        if (q->role == PARAM_CONSTANT) continue;
        float *values;
        if (mem_new(&values, tensor_count(&q->value), q->name)) die("%s", status_text());
        for (int k = 0; k < param_files(q); k++) {
            const param_file f = param_file_at(q, k);
            draw_values(values + f.first, &f);
        }
        if (param_write(&m->params, q, param_block(&m->params, q), values))
            die("%s", status_text());
        mem_free(values);
    }
}

tensor *reference_image(reference_model *m, const char *name, int64_t B) {
    int64_t S = m->model.config.encoder.image_size, cells = S / BLOCK;
    tensor *x = tape_tensor(&m->tape, 4, (int64_t[]){B, S, S, 1});
    if (m->tape.device == m->tape.dry) return x;
    uint64_t key = key_of(name);
    char *values;
    if (mem_take((void **)&values, tensor_bytes(x), 1, name)) die("%s", status_text());
    for (int64_t i = 0; i < B * S * S; i++) {
        int64_t b = i / (S * S), row = i / S % S / BLOCK, column = i % S / BLOCK;
        double u = uniform_at(key, (b * cells + row) * cells + column);
        element_put(values, i, u, x->type);
    }
    m->device->upload(m->device, x->data, values, tensor_bytes(x));
    m->device->wait(m->device);
    mem_free(values);
    return x;
}

tensor *reference_loss(reference_model *m, tensor *logits, const char *name) {
    enum { CLASSES = 14, MOST = 8 };
    tape *t = &m->tape;
    int64_t B = logits->dim[0], C = logits->dim[1], n = B * C;
    uint8_t drawn[CLASSES * MOST];
    float weights[CLASSES], ones[CLASSES];
    if (C != CLASSES || B > MOST) die("reference_loss: %lld x %lld", (long long)B, (long long)C);
    for (int64_t i = 0; i < n; i++) drawn[i] = reference_uniform(name, i) < 0.4;
    for (int64_t c = 0; c < C; c++) {
        weights[c] = (float)log(1000 / (40 + floor(reference_uniform("counts", c) * 800)));
        ones[c] = 1;
    }
    tensor *target = tape_tensor_of(t, DTYPE_U8, 2, (int64_t[]){B, C});
    tensor *weight = tape_tensor_of(t, DTYPE_F32, 1, &C),
           *mask = tape_tensor_of(t, DTYPE_F32, 1, &C);
    t->device->upload(t->device, target->data, drawn, (size_t)n);
    t->device->upload(t->device, weight->data, weights, sizeof weights);
    t->device->upload(t->device, mask->data, ones, sizeof ones);
    return sigmoid_cross_entropy(t, logits, target, weight, mask, (double)n);
}

// --- models ----------------------------------------------------------------------------
device *reference_device(bool oracle) {
    device *d = NULL;
    if (oracle ? device_open_oracle(&d) : device_open_cpu(&d, 2)) die("%s", status_text());
    if (!oracle) d->ops = &op_kernels_cpu;
    if (!oracle) d->optim = &optim_kernels_cpu;
    return d;
}

void reference_open(reference_model *m, bool oracle, const classifier_config *c) {
    reference_open_on(m, reference_device(oracle), c);
}

void reference_begin(reference_model *m, device *d) {
    memset(m, 0, sizeof *m);
    m->device = d;
    m->scale = 1;
    status rc = device_open_dry(&m->dry, d);
    if (!rc) rc = comm_open_single(&m->comm);
    if (!rc) rc = params_open(&m->params, m->device);
    if (!rc) rc = tape_init(&m->tape, m->device, m->dry, m->comm);
    if (rc) die("%s", status_text());
}

void reference_open_on(reference_model *m, device *d, const classifier_config *c) {
    reference_begin(m, d);
    classifier_make(&m->model, &m->params, c);
    status rc = params_allocate(&m->params);
    if (!rc) rc = classifier_fill(&m->model, &m->params);
    if (rc) die("%s", status_text());
    reference_fill(m);
}

void reference_close(reference_model *m) {
    tape_free(&m->tape);
    params_close(&m->params);
    comm_close(m->comm);
    device_close(m->dry);
    device_close(m->device);
}

tensor *reference_run(reference_model *m, reference_body body, void *context, bool backward) {
    tape *t = &m->tape;
    tensor *out = NULL;
    bool training = t->training, checkpointing = t->checkpointing;
    void (*observe)(void *, tape *, const tape_node *) = t->observe;
    void *observer = t->observe_context;
    // Sized anew each time: batches differ.
    tape_free(t);
    if (tape_init(t, m->device, m->dry, m->comm)) die("%s", status_text());
    t->training = training;
    tape_checkpointing(t, checkpointing);
    for (int pass = 0; pass < 2; pass++) {
        t->observe = pass ? observe : NULL;
        t->observe_context = observer;
        tape_begin(t, backward);
        params_begin(&m->params);
        out = body(m, context);
        if (backward) tape_backward(t, out, m->scale);
        // The gradients' heap is first-fit: a run that takes less than the dry one can need a
        // little more room.
        tape_size room = tape_used(t);
        room.gradients += room.gradients / 2;
        if (pass ? tape_failed(t) : tape_allocate(t, room)) die("%s", status_text());
    }
    return out;
}

void rule_mutate(void *mutation, tape *t, const tape_node *node) {
    const rule_mutation *m = mutation;
    if (!m->op || strcmp(node->op, m->op) || m->input >= node->ins || !node->in[m->input]) return;
    const gradient *g = node->in[m->input]->grad;
    if (!g || !g->data) return;
    device *d = t->device;
    size_t count = (size_t)tensor_count(node->in[m->input]), size = dtype_size(g->type);
    char *raw;
    if (mem_take((void **)&raw, count, size, "a test's gradient")) die("%s", status_text());
    d->download(d, raw, g->data, count * size);
    for (size_t e = 0; e < count; e++)
        element_put(raw, (int64_t)e, 1.01 * element_get(raw, (int64_t)e, g->type), g->type);
    d->upload(d, g->data, raw, count * size);
    d->wait(d);
    mem_free(raw);
}

// --- numbers ---------------------------------------------------------------------------
static double *doubles_new(int64_t count) {
    double *out;
    if (mem_new(&out, count, "values of a test")) die("%s", status_text());
    return out;
}

double *reference_values(const tensor *x) {
    int64_t n = tensor_count(x);
    double *out = doubles_new(n);
    for (int64_t i = 0; i < n; i++) out[i] = element_get(x->data, i, x->type);
    return out;
}

double *reference_read(const reference_model *m, const tensor *x) {
    int64_t n = tensor_count(x);
    double *out = doubles_new(n);
    char *raw;
    if (mem_take((void **)&raw, tensor_bytes(x), 1, "values of a test")) die("%s", status_text());
    m->device->download(m->device, raw, x->data, tensor_bytes(x));
    for (int64_t i = 0; i < n; i++) out[i] = element_get(raw, i, x->type);
    mem_free(raw);
    return out;
}

double *reference_gradient(const reference_model *m, const param *q) {
    double *out = doubles_new(tensor_count(&q->value));
    if (param_read_f64(&m->params, q, m->params.gradients, out)) die("%s", status_text());
    return out;
}

double *golden_tensor(const safetensors *file, const char *name, int64_t row, int64_t *count) {
    const safetensors_entry *e;
    if (safetensors_find(&e, file, name)) die("%s", status_text());
    bool wide = e->type == DTYPE_F64;
    if (!wide && e->type != DTYPE_F32) die("%s: type %s", name, e->type_name);
    int64_t n = (int64_t)(e->bytes / dtype_size(e->type)), first = 0;
    if (row >= 0) {
        if (row >= e->dim[0]) die("%s has no row %lld", name, (long long)row);
        n /= e->dim[0], first = row * n;
    }
    double *out = doubles_new(n);
    for (int64_t i = 0; i < n; i++) {
        float narrow;
        if (wide) {
            memcpy(&out[i], (const char *)e->data + (first + i) * 8, 8);
        } else {
            memcpy(&narrow, (const char *)e->data + (first + i) * 4, 4);
            out[i] = narrow;
        }
    }
    *count = n;
    return out;
}

double reference_error(const double *a, const double *b, int64_t count) {
    double error = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        error += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    return size > 0 ? sqrt(error / size) : INFINITY;
}
