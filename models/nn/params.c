#include "models/nn/params.h"
#include "core/checksum.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 4 << 20 };

const char *name_in(char text[NAME_SIZE], const char *prefix, const char *name) {
    int length = snprintf(text, NAME_SIZE, "%s%s%s", prefix, *prefix ? "." : "", name);
    if (length >= NAME_SIZE) die("name_in: %s.%s is too long", prefix, name);
    return text;
}

status params_open(params *p, device *d) {
    *p = (params){.device = d};
    return arena_open(&p->names, NAME_BYTES, "parameter names");
}

void params_close(params *p) {
    if (p->device) {
        p->device->release(p->device, p->values);
        p->device->release(p->device, p->gradients);
        p->device->release(p->device, p->narrow);
        p->device->release(p->device, p->frozen);
        p->device->release(p->device, p->buffers);
    }
    mem_free(p->item);
    arena_close(&p->names);
    *p = (params){0};
}

tensor *param_add(params *p, param_role role, const char *name, init how, int rank,
                  const int64_t *dim) {
    param *q = arena_take(&p->names, sizeof *q);
    char *copy = arena_take(&p->names, strlen(name) + 1);
    if (params_find(p, name)) die("param_add: %s is declared twice", name);
    *q = (param){.name = strcpy(copy, name), .role = role, .init = how, .file_rank = rank};
    dtype type = p->device->type;
    bool vector = rank < 2 || role == PARAM_BUFFER;
    q->value = (tensor){.type = vector ? dtype_wide(type) : type, .rank = rank};
    for (int i = 0; i < rank; i++) q->value.dim[i] = q->file_dim[i] = dim[i];
    status rc = mem_grow((void **)&p->item, &p->capacity, p->count + 1, sizeof *p->item, "parameters");
    if (rc)
        p->failed = rc;
    else
        p->item[p->count++] = q;
    return &q->value;
}

tensor *param_add_conv(params *p, const char *name, init how, int64_t O, int64_t K, int64_t C) {
    tensor *value = param_add(p, PARAM_WEIGHT, name, how, 4, (int64_t[]){O, K, K, C});
    param_file_shape(p, 4, (int64_t[]){O, C, K, K});
    if (!p->failed) p->item[p->count - 1]->conv = true;
    return value;
}

void param_file_shape(params *p, int rank, const int64_t *dim) {
    if (p->failed) return;
    param *q = p->item[p->count - 1];
    q->file_rank = rank;
    for (int i = 0; i < rank; i++) q->file_dim[i] = dim[i];
}

void param_pieces(params *p, int count, const param_piece *piece) {
    if (p->failed) return;
    param *q = p->item[p->count - 1];
    int64_t rows = 0;
    if (count > PARAM_PIECES) die("param_pieces: %d pieces of %s", count, q->name);
    for (int i = 0; i < count; i++) {
        char *name = arena_take(&p->names, strlen(piece[i].name) + 1);
        q->piece[i] = (param_piece){strcpy(name, piece[i].name), piece[i].rows};
        rows += piece[i].rows;
    }
    if (rows != q->file_dim[0]) die("param_pieces: %lld rows of %s", (long long)rows, q->name);
    q->pieces = count;
}

int param_files(const param *q) {
    return q->pieces ? q->pieces : 1;
}

param_file param_file_at(const param *q, int i) {
    param_file f = {.name = q->name, .rank = q->file_rank, .count = tensor_count(&q->value)};
    memcpy(f.dim, q->file_dim, sizeof f.dim);
    if (!q->pieces) return f;
    const int64_t row = f.count / q->file_dim[0];
    f.name = q->piece[i].name;
    f.dim[0] = q->piece[i].rows;
    f.count = f.dim[0] * row;
    for (int before = 0; before < i; before++) f.first += q->piece[before].rows * row;
    return f;
}

int params_apart(params *p, const char *prefix) {
    int apart = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (strncmp(p->item[i]->name, prefix, strlen(prefix))) continue;
        p->item[i]->apart = true;
        apart++;
    }
    return apart;
}

int params_freeze(params *p, const char *prefix) {
    int frozen = 0;
    for (size_t i = 0; i < p->count; i++) {
        param *q = p->item[i];
        if (q->role != PARAM_WEIGHT || strncmp(q->name, prefix, strlen(prefix))) continue;
        q->frozen = true;
        frozen++;
    }
    return frozen;
}

int params_quantise(params *p, const char *part, quantisation how) {
    int coded = 0;
    for (size_t i = 0; i < p->count; i++) {
        param *q = p->item[i];
        if (!q->frozen || q->value.rank != 2 || !strstr(q->name, part)) continue;
        q->coded = true;
        q->quantised.how = how;
        coded++;
    }
    return coded;
}

static bool trains(const param *q) {
    return q->role == PARAM_WEIGHT && !q->frozen;
}

// Of the copy that a block holds: p->values or an optimizer's block, else the tensor's only one.
static dtype stored_type(const params *p, const param *q) {
    return trains(q) ? dtype_wide(p->device->type) : q->value.type;
}

void *param_block(const params *p, const param *q) {
    if (q->role != PARAM_WEIGHT) return p->buffers;
    return q->frozen ? p->frozen : p->values;
}

static void *at(void *block, int64_t offset, dtype type) {
    return (char *)block + (size_t)offset * dtype_size(type);
}

// Every tensor begins on 64 bytes, narrow or wide: kernels load whole vectors.
int64_t param_extent(const param *q) {
    return (tensor_count(&q->value) + 31) / 32 * 32;
}

static void lay_out(params *p) {
    for (size_t i = 0; i < p->count; i++) {
        param *q = p->item[i];
        int64_t count = param_extent(q);
        if (trains(q)) {
            q->offset = p->trainable;
            p->trainable += count;
            continue;
        }
        size_t *bytes = q->role == PARAM_WEIGHT ? &p->frozen_bytes : &p->buffer_bytes;
        if (q->coded) {
            q->offset = (int64_t)*bytes;
            *bytes += (quantise_bytes(q->quantised.how, q->value.dim[0], q->value.dim[1]) + 63) / 64 * 64;
            continue;
        }
        size_t size = dtype_size(q->value.type);
        q->offset = (int64_t)(*bytes / size);
        *bytes += (size_t)count * size;
    }
}

// Where the tensor that ops see lies: the block's copy, or the narrow one beside it.
static void place(params *p, param *q) {
    dtype wide = dtype_wide(p->device->type);
    bool narrow = trains(q) && q->value.type != wide;
    if (q->coded) {
        q->value.quantised = &q->quantised;
        return;
    }
    q->value.data = at(narrow ? p->narrow : param_block(p, q), q->offset, q->value.type);
    if (!trains(q)) return;
    q->grad = (gradient){.data = at(p->gradients, q->offset, wide), .type = wide};
    q->value.grad = &q->grad;
}

status params_allocate(params *p) {
    if (p->failed) return p->failed;
    device *d = p->device;
    lay_out(p);
    size_t size = dtype_size(dtype_wide(d->type)), count = (size_t)p->trainable;
    status rc = d->take(d, count * size, "trainable parameters", &p->values);
    if (!rc) rc = d->take(d, count * size, "gradients", &p->gradients);
    if (!rc && d->type != dtype_wide(d->type))
        rc = d->take(d, count * dtype_size(d->type), "parameters to compute with", &p->narrow);
    if (!rc) rc = d->take(d, p->frozen_bytes, "frozen parameters", &p->frozen);
    if (!rc) rc = d->take(d, p->buffer_bytes, "buffers", &p->buffers);
    if (rc) return rc;
    for (size_t i = 0; i < p->count; i++) place(p, p->item[i]);
    return STATUS_OK;
}

static double draw(init how, rng_key key, uint64_t element) {
    switch (how.kind) {
    case INIT_ZERO: return 0;
    case INIT_ONE: return 1;
    case INIT_CONSTANT: return how.scale;
    case INIT_UNIFORM: return how.scale * (2 * (double)rng_uniform(key, 0, element) - 1);
    case INIT_NORMAL: return how.scale * (double)rng_normal(key, 0, element);
    case INIT_TRUNCATED: break;
    }
    // Another sample number is another independent stream: draw again until one lies inside.
    for (uint32_t attempt = 0;; attempt++) {
        double x = (double)rng_normal(key, attempt, element);
        if (fabs(x) <= 2) return how.scale * x;
    }
}

void param_code(params *p, param *q, const quantise *codes) {
    quantise_upload(&q->quantised, codes, p->device, (char *)p->frozen + q->offset);
}

static status code_all(params *p, param *q, const float *values) {
    quantise z = {0};
    status rc = quantise_open(&z, q->quantised.how, q->value.dim[0], q->value.dim[1]);
    if (!rc) rc = quantise_rows(&z, values, 0, z.N);
    if (!rc) quantise_end(&z);
    if (!rc) param_code(p, q, &z);
    quantise_close(&z);
    return rc;
}

static status begin(params *p, uint64_t seed, bool apart, const char *prefix) {
    float *values = NULL;
    status rc = STATUS_OK;
    for (size_t i = 0; i < p->count && !rc; i++) {
        param *q = p->item[i];
        int64_t count = tensor_count(&q->value);
        if (q->role == PARAM_CONSTANT || q->apart != apart) continue; // a constant's layer fills it
        if (strncmp(q->name, prefix, strlen(prefix))) continue;
        rc = mem_new(&values, count, q->name);
        if (rc) break;
        rng_key key = {seed, rng_site(q->name), 0};
#pragma omp parallel for schedule(static)
        for (int64_t e = 0; e < count; e++) values[e] = (float)draw(q->init, key, (uint64_t)e);
        rc = q->coded ? code_all(p, p->item[i], values) : param_write(p, q, param_block(p, q), values);
        mem_free(values);
    }
    return rc;
}

status params_init(params *p, uint64_t seed) {
    return begin(p, seed, false, "");
}

status params_init_apart(params *p, uint64_t seed, const char *prefix) {
    return begin(p, seed, true, prefix);
}

status param_fill(params *p, const char *name, const float *values) {
    const param *q = params_find(p, name);
    if (!q) die("param_fill: there is no %s", name);
    return param_write(p, q, param_block(p, q), values);
}

void params_begin(params *p) {
    for (size_t i = 0; i < p->count; i++) {
        p->item[i]->grad.written = false;
        p->item[i]->grad.uses = 0;
    }
}

param *params_find(const params *p, const char *name) {
    for (size_t i = 0; i < p->count; i++)
        if (!strcmp(p->item[i]->name, name)) return p->item[i];
    return NULL;
}

// Element e of the file's order (O,C,K,K) is which element in memory (O,K,K,C)?
static int64_t memory_index(const param *q, int64_t e) {
    if (!q->conv) return e;
    int64_t C = q->file_dim[1], K = q->file_dim[2], kk = K * K;
    int64_t place = e % kk, c = e / kk % C, o = e / kk / C;
    return (o * kk + place) * C + c;
}

// A parameter as one tensor in files.
static param_file whole(const param *q) {
    return (param_file){.name = q->name, .count = tensor_count(&q->value)};
}

// Between a block in the device's layout and HOST_TYPE (f32 or f64) in that of files.
static status values_read(const params *p, const param *q, const param_file *f, const void *block,
                          void *out, dtype host_type) {
    device *d = p->device;
    if (q->coded) die("param_read: %s is kept in few bits", q->name);
    dtype type = stored_type(p, q);
    size_t size = dtype_size(type);
    char *raw;
    status rc = mem_take((void **)&raw, (size_t)f->count, size, f->name);
    if (rc) return rc;
    d->download(d, raw, (const char *)block + (size_t)(q->offset + f->first) * size,
                (size_t)f->count * size);
    for (int64_t e = 0; e < f->count; e++)
        element_put(out, e, element_get(raw, memory_index(q, e), type), host_type);
    mem_free(raw);
    return STATUS_OK;
}

static status upload_as(const params *p, const param *q, const param_file *f, void *to,
                        const void *values, dtype host_type, dtype type) {
    device *d = p->device;
    char *raw;
    status rc = mem_take((void **)&raw, (size_t)f->count, dtype_size(type), f->name);
    if (rc) return rc;
#pragma omp parallel for schedule(static)
    for (int64_t e = 0; e < f->count; e++)
        element_put(raw, memory_index(q, e), element_get(values, e, host_type), type);
    d->upload(d, at(to, f->first, type), raw, (size_t)f->count * dtype_size(type));
    d->wait(d);
    mem_free(raw);
    return STATUS_OK;
}

static status values_write(const params *p, const param *q, const param_file *f, void *block,
                           const void *values, dtype host_type) {
    dtype type = stored_type(p, q);
    status rc = upload_as(p, q, f, at(block, q->offset, type), values, host_type, type);
    if (!rc && block == p->values && q->value.type != type)
        rc = upload_as(p, q, f, q->value.data, values, host_type, q->value.type);
    return rc;
}

void param_write_raw(const params *p, const param *q, const param_file *f, int64_t first, int64_t count,
                     const void *numbers) {
    const dtype type = q->value.type;
    if (trains(q) || q->conv || q->coded) die("param_write_raw: %s is kept otherwise", q->name);
    p->device->upload(p->device, at(param_block(p, q), q->offset + f->first + first, type), numbers,
                      (size_t)count * dtype_size(type));
    p->device->wait(p->device);
}

status param_read_file(const params *p, const param *q, const param_file *f, const void *block,
                       float *out) {
    return values_read(p, q, f, block, out, DTYPE_F32);
}

status param_write_file(const params *p, const param *q, const param_file *f, void *block,
                        const float *values) {
    return values_write(p, q, f, block, values, DTYPE_F32);
}

status param_read(const params *p, const param *q, const void *block, float *out) {
    const param_file all = whole(q);
    return values_read(p, q, &all, block, out, DTYPE_F32);
}

status param_read_f64(const params *p, const param *q, const void *block, double *out) {
    const param_file all = whole(q);
    return values_read(p, q, &all, block, out, DTYPE_F64);
}

status param_write(const params *p, const param *q, void *block, const float *values) {
    const param_file all = whole(q);
    return values_write(p, q, &all, block, values, DTYPE_F32);
}

status param_write_f64(const params *p, const param *q, void *block, const double *values) {
    const param_file all = whole(q);
    return values_write(p, q, &all, block, values, DTYPE_F64);
}

status params_checksum(uint32_t *crc, const params *p, const char *prefix) {
    float *values = NULL;
    status rc = STATUS_OK;
    *crc = 0;
    for (size_t i = 0; i < p->count && !rc; i++) {
        const param *q = p->item[i];
        const int64_t count = tensor_count(&q->value);
        if (q->role == PARAM_CONSTANT || strncmp(q->name, prefix, strlen(prefix))) continue;
        rc = mem_new(&values, count, q->name);
        if (!rc) rc = param_read(p, q, param_block(p, q), values);
        if (!rc) *crc = checksum_crc32(*crc, values, (size_t)count * sizeof *values);
        mem_free(values);
    }
    return rc;
}
