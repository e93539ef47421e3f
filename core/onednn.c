#include "core/onednn.h"
#include "core/bf16.h"
#include "core/keyed.h"
#include "core/onednn_versions.h"
#include "core/stream.h"

#include <oneapi/dnnl/dnnl_debug.h>
#include <string.h>

// --- what an operation is made for and made of ---------------------------------------------------
// The numbers that an operation depends on; 64-bit throughout, so that no padding is compared.
typedef struct recipe {
    int64_t kind, bias, acc, type;
    int64_t narrow; // asked for in bf16, while TYPE is f32: see "bf16 by floats"
    onednn_conv conv;
    int64_t M, N, K, transposed, a_row, out_row;
} recipe;

static const int argument[KINDS][PARTS] = {
    [CONV_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST,
                      DNNL_ARG_SCRATCHPAD},
    [CONV_BACKWARD_INPUT] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, 0, DNNL_ARG_DIFF_DST,
                             DNNL_ARG_SCRATCHPAD},
    [CONV_BACKWARD_WEIGHT] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, 0, DNNL_ARG_DIFF_DST,
                              DNNL_ARG_SCRATCHPAD},
    [MATMUL] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD},
};

typedef struct operation {
    recipe made_for;
    dnnl_primitive_desc_t described;
    dnnl_primitive_t primitive; // NULL until the first run: a query needs only the description
    dnnl_primitive_t pack;      // plain weight to oneDNN's; NULL where they are the same
    dnnl_primitive_t unpack[2]; // oneDNN's weight gradient to ours: written, added
    dnnl_memory_t part[PARTS];  // without data; NULL where there is none
    size_t scratchpad, packed;  // bytes
} operation;

struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    keyed operations; // recipe to operation
};

static number number_of(const recipe *r) {
    return r->type == DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

// --- layouts -------------------------------------------------------------------------------------
static dnnl_status_t layout_image(layout *l, number type, int64_t B, int64_t H, int64_t W,
                                  int64_t C) {
    return layout_strided(l, type, 4, (dnnl_dims_t){B, C, H, W},
                          (dnnl_dims_t){H * W * C, 1, W * C, C});
}

static dnnl_status_t conv_layouts(layout *l, const recipe *r) {
    const onednn_conv *z = &r->conv;
    const dnnl_dims_t weight = {z->O, z->C, z->K, z->K};
    const number type = number_of(r), of_weight = r->kind == CONV_BACKWARD_WEIGHT ? dnnl_f32 : type;
    dnnl_status_t e = layout_image(&l[INPUT], type, z->B, z->H, z->W, z->C);
    if (!e) e = layout_image(&l[OUTPUT], type, z->B, z->OH, z->OW, z->O);
    if (!e) e = layout_any(&l[WEIGHT], of_weight, 4, weight);
    if (!e) e = layout_any(&l[HINT], type, 4, weight);
    if (!e)
        e = layout_strided(&l[PLAIN], of_weight, 4, weight,
                           (dnnl_dims_t){z->K * z->K * z->C, 1, z->K * z->C, z->C});
    if (!e && r->bias)
        e = layout_strided(&l[BIAS], dnnl_f32, 1, (dnnl_dims_t){z->O}, (dnnl_dims_t){1});
    return e;
}

// From this many rows on, packing the weight first costs less than what it saves (measured).
enum { PACK_ROWS = 2048 };

static dnnl_status_t matmul_layouts(layout *l, const recipe *r) {
    const int64_t M = r->M, N = r->N, K = r->K;
    const dnnl_dims_t weight = {K, N};
    const dnnl_dims_t normal = {N, 1}, turned = {1, K};
    const number type = number_of(r);
    const dnnl_dims_t a_rows = {r->narrow ? K : r->a_row, 1}, out_rows = {r->narrow ? N : r->out_row, 1};
    dnnl_status_t e = layout_strided(&l[INPUT], type, 2, (dnnl_dims_t){M, K}, a_rows);
    if (!e) e = layout_strided(&l[OUTPUT], type, 2, (dnnl_dims_t){M, N}, out_rows);
    if (!e) e = layout_strided(&l[PLAIN], type, 2, weight, r->transposed ? turned : normal);
    if (!e && M >= PACK_ROWS) e = layout_any(&l[WEIGHT], type, 2, weight);
    if (!e && M < PACK_ROWS)
        e = layout_strided(&l[WEIGHT], type, 2, weight, r->transposed ? turned : normal);
    if (!e && r->bias) e = layout_strided(&l[BIAS], dnnl_f32, 2, (dnnl_dims_t){1, N}, normal);
    return e;
}

// --- making an operation -------------------------------------------------------------------------
// The scratchpad is ours; ADD makes the result be added to what is there.
static dnnl_status_t attributes(dnnl_primitive_attr_t *out, bool add) {
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t e = dnnl_primitive_attr_create(out);
    if (!e) e = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    if (!e && add) e = dnnl_post_ops_create(&ops);
    if (!e && add) e = append_sum(ops);
    if (!e && add) e = dnnl_primitive_attr_set_post_ops(*out, ops);
    if (ops) dnnl_post_ops_destroy(ops);
    return e;
}

static dnnl_status_t describe(operation *p, const onednn *o, const layout_view *side) {
    const recipe *r = &p->made_for;
    dnnl_primitive_desc_t hint = NULL; // backward convolutions want to see the forward one
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t e = attributes(&attr, r->kind == MATMUL && r->acc);
    if (!e && (r->kind == CONV_BACKWARD_INPUT || r->kind == CONV_BACKWARD_WEIGHT)) {
        layout_view forward[LAYOUTS];
        memcpy(forward, side, sizeof forward);
        forward[WEIGHT] = side[HINT];
        e = describe_conv(&hint, o->engine, CONV_FORWARD, forward, &r->conv, NULL, attr);
    }
    if (!e && r->kind == MATMUL) e = describe_matmul(&p->described, o->engine, side, attr);
    if (!e && r->kind != MATMUL)
        e = describe_conv(&p->described, o->engine, (kind)r->kind, side, &r->conv, hint, attr);
    if (hint) dnnl_primitive_desc_destroy(hint);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return e;
}

static dnnl_status_t make_reorder(dnnl_primitive_t *out, const onednn *o, layout_view from,
                                  layout_view to, bool add) {
    dnnl_primitive_desc_t described = NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t e = attributes(&attr, add);
    // A reorder's scratchpad is empty for plain copies like these; let oneDNN see to it if not.
    if (!e) e = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_library);
    if (!e)
        e = dnnl_reorder_primitive_desc_create(&described, from, o->engine, to, o->engine, attr);
    if (!e) e = dnnl_primitive_create(out, described);
    if (described) dnnl_primitive_desc_destroy(described);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return e;
}

static dnnl_status_t make_memory(operation *p, const onednn *o, const layout_view *side) {
    dnnl_status_t e = dnnl_success;
    for (int i = 0; i < PARTS && !e; i++)
        if (side[i]) e = dnnl_memory_create(&p->part[i], side[i], o->engine, DNNL_MEMORY_NONE);
    return e;
}

static dnnl_status_t operation_make(operation *p, const onednn *o) {
    layout made[LAYOUTS];
    layout_view side[LAYOUTS];
    memset(made, 0, sizeof made);
    bool of_weight = p->made_for.kind == CONV_BACKWARD_WEIGHT;
    dnnl_status_t e = p->made_for.kind == MATMUL ? matmul_layouts(made, &p->made_for)
                                                 : conv_layouts(made, &p->made_for);
    for (int i = 0; i < LAYOUTS; i++) side[i] = layout_of(&made[i]);
    if (!e) e = describe(p, o, side);
    if (!e) {
        side[WEIGHT] = dnnl_primitive_desc_query_md(
            p->described, of_weight ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
        side[SCRATCHPAD] = dnnl_primitive_desc_query_md(p->described, dnnl_query_scratchpad_md, 0);
        p->scratchpad = side[SCRATCHPAD] ? dnnl_memory_desc_get_size(side[SCRATCHPAD]) : 0;
        p->packed = dnnl_memory_desc_get_size(side[WEIGHT]);
        bool same = dnnl_memory_desc_equal(side[WEIGHT], side[PLAIN]);
        if (!of_weight && !same) e = make_reorder(&p->pack, o, side[PLAIN], side[WEIGHT], false);
        if (!e && of_weight && !same)
            e = make_reorder(&p->unpack[0], o, side[WEIGHT], side[PLAIN], false);
        if (!e && of_weight) e = make_reorder(&p->unpack[1], o, side[WEIGHT], side[PLAIN], true);
        if (!of_weight && same) p->packed = 0;
        if (!e) e = make_memory(p, o, side);
    }
    for (int i = 0; i < LAYOUTS; i++) layout_free(&made[i]);
    return e;
}

static void operation_release(void *entry, void *context) {
    operation *p = entry;
    (void)context;
    for (int i = 0; i < PARTS; i++)
        if (p->part[i]) dnnl_memory_destroy(p->part[i]);
    dnnl_primitive_t made[] = {p->primitive, p->pack, p->unpack[0], p->unpack[1]};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (made[i]) dnnl_primitive_destroy(made[i]);
    if (p->described) dnnl_primitive_desc_destroy(p->described);
}

static void fail(stream *s, const recipe *r, dnnl_status_t e) {
    static const char *const name[KINDS] = {"convolution", "convolution's input gradient",
                                            "convolution's weight gradient", "matrix product"};
    const onednn_conv *z = &r->conv;
    if (r->kind == MATMUL)
        stream_fail(s, status_fail(STATUS_DEVICE, "oneDNN: %s (%lld, %lld) by (%lld, %lld): %s",
                                   name[r->kind], (long long)r->M, (long long)r->K, (long long)r->K,
                                   (long long)r->N, dnnl_status2str(e)));
    else
        stream_fail(s, status_fail(STATUS_DEVICE,
                                   "oneDNN: %s of (%lld, %lld, %lld, %lld) to %lld channels, "
                                   "window %lld, stride %lld, padding %lld: %s",
                                   name[r->kind], (long long)z->B, (long long)z->H, (long long)z->W,
                                   (long long)z->C, (long long)z->O, (long long)z->K,
                                   (long long)z->stride, (long long)z->pad, dnnl_status2str(e)));
}

// The operation for R, made if there is none yet; NULL after a failure.
static operation *operation_find(stream *s, const recipe *r) {
    onednn *o = s->onednn;
    operation *p = keyed_find(&o->operations, r, sizeof *r), made = {.made_for = *r};
    if (p) return p;
    status rc = STATUS_OK;
    dnnl_status_t e = operation_make(&made, o);
    if (e)
        fail(s, r, e);
    else
        rc = keyed_add(&o->operations, r, sizeof *r, sizeof *p, "a oneDNN operation", (void **)&p);
    if (rc) stream_fail(s, rc);
    if (p)
        *p = made;
    else
        operation_release(&made, NULL);
    return p;
}

// --- running one ---------------------------------------------------------------------------------
static size_t rounded(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static size_t operation_scratch(const operation *p) {
    return p ? rounded(p->scratchpad) + rounded(p->packed) : 0;
}

static dnnl_status_t set(operation *p, int part, const void *data) {
    return p->part[part] ? dnnl_memory_set_data_handle(p->part[part], (void *)(uintptr_t)data)
                         : dnnl_success;
}

static dnnl_status_t copy_weight(const onednn *o, dnnl_primitive_t reorder, dnnl_memory_t from,
                                 dnnl_memory_t to) {
    const dnnl_exec_arg_t list[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    return dnnl_primitive_execute(reorder, o->stream, 2, list);
}

// INPUT, WEIGHT, BIAS and OUTPUT are the layer's; what is const among them depends on the kind.
static void operation_run(operation *p, const void *input, const void *weight, const void *bias,
                          const void *output, int acc, void *scratch, stream *s) {
    if (!p) return;
    const onednn *o = s->onednn;
    bool of_weight = p->made_for.kind == CONV_BACKWARD_WEIGHT;
    dnnl_primitive_t unpack = of_weight ? p->unpack[acc ? 1 : 0] : NULL;
    char *packed = (char *)scratch + rounded(p->scratchpad);
    dnnl_status_t e =
        p->primitive ? dnnl_success : dnnl_primitive_create(&p->primitive, p->described);
    if (!e) e = set(p, INPUT, input);
    if (!e) e = set(p, OUTPUT, output);
    if (!e) e = set(p, BIAS, bias);
    if (!e) e = set(p, PLAIN, weight);
    if (!e) e = set(p, WEIGHT, p->pack || unpack ? packed : weight);
    if (!e) e = set(p, SCRATCHPAD, scratch);
    if (!e && p->pack) e = copy_weight(o, p->pack, p->part[PLAIN], p->part[WEIGHT]);
    dnnl_exec_arg_t list[PARTS];
    int count = 0;
    for (int i = 0; i < PLAIN; i++)
        if (p->part[i])
            list[count++] = (dnnl_exec_arg_t){argument[p->made_for.kind][i], p->part[i]};
    if (!e) e = dnnl_primitive_execute(p->primitive, o->stream, count, list);
    if (!e && unpack) e = copy_weight(o, unpack, p->part[WEIGHT], p->part[PLAIN]);
    if (!e) e = dnnl_stream_wait(o->stream);
    if (e) fail(s, &p->made_for, e);
}

// --- bf16 by floats ------------------------------------------------------------------------------
// Where products of bf16 are slower than those of floats, an operation runs on copies in f32, and what it gives is
// rounded once, as it would have been.

// Dot products of bf16 make 1.9 times as many products as floats do on AMD's Zen 4, and 0.58 times as many on Intel's
// Emerald Rapids (measured).
bool onednn_bf16_dots_are_fast(void) {
#if defined __x86_64__
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16 && !__builtin_cpu_is("intel");
#else
    return false;
#endif
}

bool onednn_bf16_is_fast(void) {
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    const bool tiles = (isa & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx;
    return tiles || onednn_bf16_dots_are_fast();
}

static dtype computed_in(int64_t type) {
    return type == DTYPE_BF16 && !onednn_bf16_is_fast() ? DTYPE_F32 : (dtype)type;
}

// The part that each kind writes.
static const int result[KINDS] = {OUTPUT, INPUT, WEIGHT, OUTPUT};

// Biases and the weight's gradient are f32 anyway.
static bool is_narrow(const recipe *r, int part) {
    return r->narrow && part != BIAS && (part != WEIGHT || r->kind != CONV_BACKWARD_WEIGHT);
}

// A part as rows of numbers: how many, how long, how far apart.
typedef struct rows {
    int64_t count, width, stride;
} rows;

static rows rows_of(const recipe *r, int part) {
    if (r->kind == MATMUL) {
        if (part == WEIGHT) return (rows){r->N, r->K, r->K};
        return part == INPUT ? (rows){r->M, r->K, r->a_row} : (rows){r->M, r->N, r->out_row};
    }
    const onednn_conv *z = &r->conv;
    const int64_t of_output = z->K * z->K * z->C;
    if (part == WEIGHT) return (rows){z->O, of_output, of_output};
    return part == INPUT ? (rows){z->B * z->H * z->W, z->C, z->C} : (rows){z->B * z->OH * z->OW, z->O, z->O};
}

static size_t wide_bytes(const recipe *r, int part) {
    const rows x = rows_of(r, part);
    return rounded((size_t)(x.count * x.width) * sizeof(float));
}

static size_t all_wide_bytes(const recipe *r) {
    size_t sum = 0;
    for (int i = INPUT; i <= OUTPUT; i++)
        if (is_narrow(r, i)) sum += wide_bytes(r, i);
    return sum;
}

static void widen(float *to, const uint16_t *from, const rows *x) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < x->count; i++) floats_from_bf16(to + i * x->width, from + i * x->stride, x->width);
}

static void round_back(uint16_t *to, const float *from, const rows *x) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < x->count; i++) bf16_from_floats(to + i * x->stride, from + i * x->width, x->width);
}

// As operation_run, for what was asked for.
static void run(operation *p, const void *input, const void *weight, const void *bias, const void *output, int acc,
                void *scratch, stream *s) {
    if (!p) return;
    const recipe *r = &p->made_for;
    const int written = result[r->kind];
    const void *given[PARTS] = {[INPUT] = input, [WEIGHT] = weight, [OUTPUT] = output};
    void *copy[PARTS] = {0};
    char *rest = scratch;
    for (int i = INPUT; i <= OUTPUT; i++) {
        if (!is_narrow(r, i)) continue;
        const rows x = rows_of(r, i);
        copy[i] = rest;
        rest += wide_bytes(r, i);
        if (i != written || r->acc) widen(copy[i], given[i], &x);
    }
    operation_run(p, copy[INPUT] ? copy[INPUT] : input, copy[WEIGHT] ? copy[WEIGHT] : weight, bias,
                  copy[OUTPUT] ? copy[OUTPUT] : output, acc, rest, s);
    const rows x = rows_of(r, written);
    if (copy[written]) round_back((void *)(uintptr_t)given[written], copy[written], &x);
}

static size_t scratch_of(const operation *p) {
    return p ? all_wide_bytes(&p->made_for) + operation_scratch(p) : 0;
}

// --- what others call ----------------------------------------------------------------------------
static operation *conv_find(stream *s, kind k, const onednn_conv *z, bool bias) {
    const dtype type = computed_in(z->type);
    return operation_find(s, &(recipe){.kind = k,
                                       .bias = bias,
                                       .type = type,
                                       .narrow = z->type != type,
                                       .conv = *z});
}

size_t onednn_conv_scratch(const onednn_conv *z, stream *s) {
    size_t most = 0,
           size[] = {
               scratch_of(conv_find(s, CONV_FORWARD, z, false)),
               scratch_of(conv_find(s, CONV_FORWARD, z, true)),
               scratch_of(conv_find(s, CONV_BACKWARD_INPUT, z, false)),
               scratch_of(conv_find(s, CONV_BACKWARD_WEIGHT, z, false)),
           };
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        if (size[i] > most) most = size[i];
    return most;
}

size_t onednn_conv_weight_scratch(const onednn_conv *z, stream *s) {
    return scratch_of(conv_find(s, CONV_BACKWARD_WEIGHT, z, false));
}

void onednn_conv_forward(void *out, const void *inp, const void *weight, const float *bias,
                         const onednn_conv *z, void *scratch, stream *s) {
    operation *p = conv_find(s, CONV_FORWARD, z, bias != NULL);
    run(p, inp, weight, bias, out, 0, scratch, s);
}

void onednn_conv_backward_input(void *dinp, const void *dout, const void *weight,
                                const onednn_conv *z, void *scratch, stream *s) {
    operation *p = conv_find(s, CONV_BACKWARD_INPUT, z, false);
    run(p, dinp, weight, NULL, dout, 0, scratch, s);
}

void onednn_conv_backward_weight(float *dweight, const void *dout, const void *inp,
                                 const onednn_conv *z, int acc, void *scratch, stream *s) {
    operation *p = conv_find(s, CONV_BACKWARD_WEIGHT, z, false);
    run(p, inp, dweight, NULL, dout, acc, scratch, s);
}

static operation *matmul_find(stream *s, const onednn_product *z, bool bias, bool acc) {
    const dtype type = computed_in(z->type);
    return operation_find(s, &(recipe){.kind = MATMUL,
                                       .bias = bias,
                                       .acc = acc,
                                       .type = type,
                                       .narrow = z->type != type,
                                       .M = z->M,
                                       .N = z->N,
                                       .K = z->K,
                                       .transposed = z->transposed,
                                       .a_row = z->a_row ? z->a_row : z->K,
                                       .out_row = z->out_row ? z->out_row : z->N});
}

size_t onednn_matmul_scratch(const onednn_product *z, stream *s) {
    size_t most = 0, size[] = {scratch_of(matmul_find(s, z, false, false)),
                               scratch_of(matmul_find(s, z, true, false)),
                               scratch_of(matmul_find(s, z, false, true))};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        if (size[i] > most) most = size[i];
    return most;
}

void onednn_matmul(void *out, const void *a, const void *b, const float *bias,
                   const onednn_product *z, int acc, void *scratch, stream *s) {
    run(matmul_find(s, z, bias != NULL, acc), a, b, bias, out, 0, scratch, s);
}

// oneDNN's own sgemm splits the long sum over M among threads, which its matmul primitive does not:
// twice as fast for the weight gradient of a 1x1 convolution.
void onednn_matmul_transposed(float *out, const float *a, const float *b, int64_t M, int64_t N,
                              int64_t K, int acc, stream *s) {
    dnnl_status_t e = dnnl_sgemm('T', 'N', N, K, M, 1, a, N, b, K, acc ? 1 : 0, out, K);
    if (e) fail(s, &(recipe){.kind = MATMUL, .M = N, .N = K, .K = M}, e);
}

// --- opening -------------------------------------------------------------------------------------
status onednn_open(onednn **out) {
    onednn *o = NULL;
    status rc = mem_new(&o, 1, "the oneDNN engine");
    if (rc) return rc;
    if (dnnl_engine_create(&o->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&o->stream, o->engine, dnnl_stream_in_order) != dnnl_success) {
        onednn_close(o);
        return status_fail(STATUS_DEVICE, "oneDNN: cannot create its CPU engine");
    }
    *out = o;
    return STATUS_OK;
}

void onednn_close(onednn *o) {
    if (!o) return;
    keyed_free(&o->operations, operation_release, NULL);
    if (o->stream) dnnl_stream_destroy(o->stream);
    if (o->engine) dnnl_engine_destroy(o->engine);
    mem_free(o);
}

library_version onednn_version(void) {
    const dnnl_version_t *v = dnnl_version();
    return version_numbers((int[]){v->major, v->minor, v->patch},
                           (int[]){DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH});
}
