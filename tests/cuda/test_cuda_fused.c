// What cuDNN's fused convolutions and attention compute (core/cuda/cudnn_{fused,attention}.h),
// against plain loops in double, and the same bits twice. Needs a GPU; says so where there is none.
#include "core/cuda/cudnn_attention.h"
#include "core/cuda/cudnn_fused.h"
#include "core/memory.h"
#include "tests/cuda/helper_numbers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void *take_scratch(size_t bytes) {
    void *block;
    ck_assert_int_eq(gpu->take(gpu, bytes, "scratch", &block), STATUS_OK);
    return block;
}

static void free_all(numbers *const *all, int count) {
    for (int i = 0; i < count; i++) numbers_free(gpu, all[i]);
}

// --- fused convolutions
// ------------------------------------------------------------------------------ Everything that a
// convolution with norms around it has, in one piece.
typedef struct fused_case {
    cudnn_fused what;
    cudnn_conv z;
    numbers image, weight, out;
    numbers scale, bias, mean, inverse;               // per input channel (per output in inference)
    numbers sum, squares;                             // per output channel
    numbers dy, dscale, dbias, of_dy, of_x, constant; // per input channel
    void *scratch;
} fused_case;

static void fused_act(void *context) {
    const fused_case *c = context;
    const cudnn_conv *z = &c->z;
    stream *s = gpu->stream;
    const cudnn_norm_gradient to = {c->dy.data,    c->dscale.data, c->dbias.data,
                                    c->of_dy.data, c->of_x.data,   c->constant.data};
    const cudnn_norm norm = {c->mean.data, c->inverse.data, c->scale.data, c->bias.data};
    if (c->what == CUDNN_CONV_STATS)
        cudnn_conv_stats(c->out.data, c->sum.data, c->squares.data, c->image.data, c->weight.data,
                         z, c->scratch, s);
    else if (c->what == CUDNN_NORM_CONV_STATS)
        cudnn_norm_conv_stats(c->out.data, c->sum.data, c->squares.data, c->image.data,
                              c->scale.data, c->bias.data, c->weight.data, z, c->scratch, s);
    else if (c->what == CUDNN_NORM_BACKWARD_WEIGHT)
        cudnn_norm_backward_weight(c->weight.data, c->out.data, c->image.data, c->scale.data,
                                   c->bias.data, z, c->scratch, s);
    else if (c->what == CUDNN_BACKWARD_INPUT_NORM)
        cudnn_backward_input_norm(&to, c->out.data, c->weight.data, c->image.data, &norm, z,
                                  c->scratch, s);
    else
        cudnn_conv_norm_relu(c->out.data, c->image.data, c->weight.data, c->scale.data,
                             c->bias.data, z, c->scratch, s);
}

// What the convolution sees of image element I.
static double seen(const fused_case *c, int64_t i) {
    const int64_t channel = i % c->z.C;
    if (c->what == CUDNN_CONV_STATS || c->what == CUDNN_CONV_NORM_RELU) return c->image.host[i];
    return fmax(0, c->image.host[i] * c->scale.host[channel] + c->bias.host[channel]);
}

// One output pixel's part: in OUT, in the weight's gradient or in the input's.
static void fused_pixel(fused_case *c, int64_t pixel) {
    const cudnn_conv *z = &c->z;
    const int64_t b = pixel / (z->OH * z->OW), y = pixel / z->OW % z->OH, x = pixel % z->OW;
    for (int64_t tap = 0; tap < z->K * z->K; tap++) {
        const int64_t h = y * z->stride - z->pad + tap / z->K,
                      w = x * z->stride - z->pad + tap % z->K;
        if (h < 0 || h >= z->H || w < 0 || w >= z->W) continue;
        for (int64_t n = 0; n < z->O * z->C; n++) {
            const int64_t o = n / z->C, i = n % z->C, from = ((b * z->H + h) * z->W + w) * z->C + i;
            const int64_t in = (o * z->K * z->K + tap) * z->C + i, at = pixel * z->O + o;
            if (c->what == CUDNN_NORM_BACKWARD_WEIGHT)
                c->weight.host[in] += c->out.host[at] * seen(c, from);
            else if (c->what == CUDNN_BACKWARD_INPUT_NORM)
                c->dy.host[from] += c->out.host[at] * c->weight.host[in];
            else
                c->out.host[at] += seen(c, from) * c->weight.host[in];
        }
    }
}

// Batch norm's gradient: with n = B H W values to a channel and x^ = (x - mean) inverse,
//   dbias = sum dy, dscale = sum dy x^, dx = scale inverse (dy - dbias / n - x^ dscale / n).
static void norm_reference(fused_case *c) {
    const int64_t count = c->image.count, C = c->z.C;
    const double n = (double)(count / C);
    for (int64_t i = 0; i < count; i++) {
        const int64_t k = i % C;
        const double x = (c->image.host[i] - c->mean.host[k]) * c->inverse.host[k];
        if (!(x * c->scale.host[k] + c->bias.host[k] > 0)) c->dy.host[i] = 0;
        c->dbias.host[k] += c->dy.host[i];
        c->dscale.host[k] += c->dy.host[i] * x;
    }
    for (int64_t k = 0; k < C; k++) {
        const double inverse = c->inverse.host[k], by = c->scale.host[k] * inverse;
        c->of_dy.host[k] = by;
        c->of_x.host[k] = -by * inverse * c->dscale.host[k] / n;
        c->constant.host[k] = -by * c->dbias.host[k] / n - c->of_x.host[k] * c->mean.host[k];
    }
}

static void fused_reference(fused_case *c) {
    const int64_t pixels = c->z.B * c->z.OH * c->z.OW, O = c->z.O;
    for (int64_t pixel = 0; pixel < pixels; pixel++) fused_pixel(c, pixel);
    if (c->what == CUDNN_BACKWARD_INPUT_NORM) norm_reference(c);
    for (int64_t i = 0; i < pixels * O; i++) {
        if (c->what == CUDNN_CONV_NORM_RELU)
            c->out.host[i] = fmax(0, c->out.host[i] * c->scale.host[i % O] + c->bias.host[i % O]);
        c->sum.host[i % O] += c->out.host[i];
        c->squares.host[i % O] += c->out.host[i] * c->out.host[i];
    }
}

static fused_case fused_make(cudnn_fused what, const cudnn_conv *z) {
    const dtype type = (dtype)z->type;
    const dtype channel =
        what == CUDNN_NORM_CONV_STATS || what == CUDNN_NORM_BACKWARD_WEIGHT ? type : DTYPE_F32;
    const int64_t images = z->B * z->H * z->W * z->C, outs = z->B * z->OH * z->OW * z->O;
    const int64_t weights = z->O * z->K * z->K * z->C,
                  C = what == CUDNN_CONV_NORM_RELU ? z->O : z->C;
    const bool backward = what == CUDNN_NORM_BACKWARD_WEIGHT || what == CUDNN_BACKWARD_INPUT_NORM;
    fused_case c = {.what = what, .z = *z, .image = numbers_random(gpu, images, type, 1)};
    c.weight = what == CUDNN_NORM_BACKWARD_WEIGHT ? numbers_unwritten(gpu, weights, type)
                                                  : numbers_random(gpu, weights, type, 2);
    c.out = backward ? numbers_random(gpu, outs, type, 3) : numbers_unwritten(gpu, outs, type);
    c.scale = numbers_random(gpu, C, channel, 4);
    c.bias = numbers_random(gpu, C, channel, 5);
    c.mean = numbers_random(gpu, C, DTYPE_F32, 6);
    c.inverse = numbers_random(gpu, C, DTYPE_F32, 7);
    c.sum = numbers_unwritten(gpu, z->O, DTYPE_F32);
    c.squares = numbers_unwritten(gpu, z->O, DTYPE_F32);
    c.dy = numbers_unwritten(gpu, images, type);
    numbers *channels[] = {&c.dscale, &c.dbias, &c.of_dy, &c.of_x, &c.constant};
    for (int i = 0; i < 5; i++) *channels[i] = numbers_unwritten(gpu, C, DTYPE_F32);
    c.scratch = take_scratch(cudnn_fused_scratch(what, z, gpu->stream));
    return c;
}

static void fused_free(fused_case *c) {
    numbers *const all[] = {&c->image,  &c->weight,  &c->out,   &c->scale,   &c->bias,
                            &c->mean,   &c->inverse, &c->sum,   &c->squares, &c->dy,
                            &c->dscale, &c->dbias,   &c->of_dy, &c->of_x,    &c->constant};
    free_all(all, sizeof all / sizeof *all);
    gpu->release(gpu, c->scratch);
}

static void expect_fused(cudnn_fused what, const cudnn_conv *z) {
    char text[96];
    fused_case c = fused_make(what, z);
    numbers *const written[CUDNN_FUSED_COUNT][6] = {
        [CUDNN_CONV_STATS] = {&c.out, &c.sum, &c.squares},
        [CUDNN_NORM_CONV_STATS] = {&c.out, &c.sum, &c.squares},
        [CUDNN_NORM_BACKWARD_WEIGHT] = {&c.weight},
        [CUDNN_BACKWARD_INPUT_NORM] = {&c.dy, &c.dscale, &c.dbias, &c.of_dy, &c.of_x, &c.constant},
        [CUDNN_CONV_NORM_RELU] = {&c.out},
    };
    fused_reference(&c);
    for (int i = 0; i < 6 && written[what][i]; i++) {
        snprintf(text, sizeof text, "fused %d, result %d, %s", what, i, dtype_name((dtype)z->type));
        expect_same_twice(fused_act, &c, written[what][i], text);
        // A ReLU's input near zero, rounded, may fall on its other side.
        numbers_expect(gpu, written[what][i], 4 * numbers_tolerance((dtype)z->type), text);
    }
    fused_free(&c);
}

START_TEST(fused) {
    static const cudnn_conv size[] = {{4, 14, 14, 64, 128, 14, 14, 1, 1, 0, 0},
                                      {4, 14, 14, 64, 64, 7, 7, 3, 2, 1, 0}};
    open_gpu(false);
    for (int t = 1; t < TYPES; t++) {
        for (int i = 0; i < 2 * CUDNN_FUSED_COUNT && !is_missing(types[t]); i++) {
            cudnn_conv z = size[i % 2];
            z.type = types[t];
            const bool taken = cudnn_fused_takes((cudnn_fused)(i / 2), &z, gpu->stream);
            printf("fused %d in %s: %s\n", i / 2, dtype_name(types[t]),
                   taken ? "taken" : "refused");
            if (taken) expect_fused((cudnn_fused)(i / 2), &z);
        }
    }
    close_gpu();
}
END_TEST

// Statistics that overflowed have to be seen in the loss: a ReLU must let NaN through.
START_TEST(fused_nan) {
    const cudnn_conv z = {4, 14, 14, 64, 128, 14, 14, 1, 1, 0, DTYPE_F16};
    open_gpu(false);
    if (cudnn_fused_takes(CUDNN_NORM_CONV_STATS, &z, gpu->stream)) {
        fused_case c = fused_make(CUDNN_NORM_CONV_STATS, &z);
        numbers_free(gpu, &c.scale);
        c.scale = numbers_unwritten(gpu, z.C, DTYPE_F16); // NaN
        fused_act(&c);
        void *out = numbers_bytes(gpu, &c.out);
        int64_t lost = 0;
        for (int64_t i = 0; i < c.out.count; i++) lost += !isnan(element_get(out, i, DTYPE_F16));
        ck_assert_msg(!lost, "%lld of %lld outputs of a norm that is NaN are numbers", (long long)lost,
                      (long long)c.out.count);
        mem_free(out);
        fused_free(&c);
    }
    close_gpu();
}
END_TEST

// --- attention -----------------------------------------------------------------------------------
typedef struct attention_case {
    cudnn_attention z;
    numbers q, k, v, dout;        // given; each holds all its rows, gaps too
    numbers out, lse, dq, dk, dv; // computed
    int32_t length_q[4], length_k[4];
    int64_t start_q[5], start_k[5], start_out[5]; // elements
    cudnn_attention_lengths lengths;              // on the device
    void *on_device, *scratch;
    float scale;
} attention_case;

static void attention_act(void *context) {
    const attention_case *c = context;
    const bool padded = c->z.padded || c->z.packed;
    const cudnn_attention_gradient to = {c->dq.data, c->dk.data, c->dv.data};
    cudnn_attention_forward(c->out.data, c->z.inference ? NULL : c->lse.data, c->q.data, c->k.data,
                            c->v.data, c->scale, padded ? &c->lengths : NULL, &c->z, c->scratch,
                            gpu->stream);
    if (!c->z.inference)
        cudnn_attention_backward(&to, c->dout.data, c->out.data, c->lse.data, c->q.data, c->k.data,
                                 c->v.data, c->scale, padded ? &c->lengths : NULL, &c->z,
                                 c->scratch, gpu->stream);
}

// Rows of sample B, head H: where token 0's first number is.
static int64_t at_q(const attention_case *c, int64_t b, int64_t h) {
    return c->start_q[b] + h * c->z.D;
}

static int64_t at_k(const attention_case *c, int64_t b, int64_t h) {
    return c->start_k[b] + h * c->z.D;
}

static int64_t at_out(const attention_case *c, int64_t b, int64_t h) {
    return c->start_out[b] + h * c->z.D;
}

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

// One query: its output, and its part in all gradients. SHARE has room for TK.
static void attention_query(attention_case *c, int64_t b, int64_t h, int64_t i, double *share) {
    const cudnn_attention *z = &c->z;
    const int64_t D = z->D, ahead = c->length_k[b] - c->length_q[b],
                  keys = z->causal ? i + 1 + ahead : c->length_k[b];
    const double *q = c->q.host + at_q(c, b, h) + i * z->q_row, *k = c->k.host + at_k(c, b, h);
    const double *v = c->v.host + at_k(c, b, h),
                 *dout = c->dout.host + at_out(c, b, h) + i * z->out_row;
    double *out = c->out.host + at_out(c, b, h) + i * z->out_row,
           *dq = c->dq.host + at_q(c, b, h) + i * z->q_row;
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < keys; j++)
        most = fmax(most, share[j] = c->scale * dot(q, k + j * z->k_row, D));
    for (int64_t j = 0; j < keys; j++) sum += share[j] = exp(share[j] - most);
    c->lse.host[(b * z->H + h) * z->TQ + i] = most + log(sum);
    for (int64_t j = 0; j < keys; j++)
        for (int64_t d = 0; d < D; d++) out[d] += share[j] / sum * v[j * z->v_row + d];
    for (int64_t j = 0; j < keys; j++) {
        const double p = share[j] / sum,
                     ds = p * (dot(dout, v + j * z->v_row, D) - dot(dout, out, D)) * c->scale;
        double *dk = c->dk.host + at_k(c, b, h) + j * z->k_row,
               *dv = c->dv.host + at_k(c, b, h) + j * z->v_row;
        for (int64_t d = 0; d < D; d++) {
            dv[d] += p * dout[d];
            dq[d] += ds * k[j * z->k_row + d];
            dk[d] += ds * q[d];
        }
    }
}

// Compares what lengths leave defined, and what the gaps between rows hold as well: nothing may be
// written there.
static void attention_expect(const attention_case *c, const numbers *x, int64_t row,
                             const int64_t *start, const int32_t *length, double tolerance,
                             const char *what) {
    void *bytes = numbers_bytes(gpu, x);
    double error = 0, norm = 0;
    for (int64_t b = 0; b < c->z.B; b++) {
        for (int64_t i = 0; i < length[b] * c->z.H * c->z.D; i++) {
            const int64_t at = start[b] + i / (c->z.H * c->z.D) * row + i % (c->z.H * c->z.D);
            const double got = element_get(bytes, at, x->type), wanted = x->host[at];
            error += (got - wanted) * (got - wanted);
            norm += wanted * wanted;
        }
    }
    mem_free(bytes);
    ck_assert_msg(norm > 0 && sqrt(error / norm) <= tolerance, "%s: relative error %g, at most %g",
                  what, sqrt(error / norm), tolerance);
}

static void put_lengths(attention_case *c) {
    const cudnn_attention *z = &c->z;
    char bytes[512] = "";
    for (int64_t b = 0; b <= z->B; b++) {
        const bool packed = z->packed != 0, short_one = z->packed || z->padded;
        c->start_q[b] =
            b ? c->start_q[b - 1] + (packed ? c->length_q[b - 1] : z->TQ) * z->q_row : 0;
        c->start_k[b] =
            b ? c->start_k[b - 1] + (packed ? c->length_k[b - 1] : z->TK) * z->k_row : 0;
        c->start_out[b] =
            b ? c->start_out[b - 1] + (packed ? c->length_q[b - 1] : z->TQ) * z->out_row : 0;
        if (b == z->B) break;
        c->length_q[b] = (int32_t)(short_one && z->TQ > 1 ? z->TQ - 7 * b : z->TQ);
        c->length_k[b] =
            (int32_t)(short_one ? (z->TQ == z->TK ? c->length_q[b] : z->TK - 5 * b) : z->TK);
        if (b == 3) c->length_q[b] = c->length_k[b] = 0; // one that is not there
    }
    memcpy(bytes, c->length_q, sizeof c->length_q);
    memcpy(bytes + 64, c->length_k, sizeof c->length_k);
    memcpy(bytes + 128, c->start_q, sizeof c->start_q);
    memcpy(bytes + 192, c->start_k, sizeof c->start_k);
    memcpy(bytes + 256, c->start_out, sizeof c->start_out);
    c->on_device = take_scratch(sizeof bytes);
    gpu->upload(gpu, c->on_device, bytes, sizeof bytes);
    const char *base = c->on_device;
    c->lengths = (cudnn_attention_lengths){
        (const int32_t *)(const void *)base,         (const int32_t *)(const void *)(base + 64),
        (const int64_t *)(const void *)(base + 128), (const int64_t *)(const void *)(base + 192),
        (const int64_t *)(const void *)(base + 192), (const int64_t *)(const void *)(base + 256)};
}

static attention_case attention_make(const cudnn_attention *z) {
    const dtype type = (dtype)z->type;
    const int64_t q = z->B * z->TQ * z->q_row, k = z->B * z->TK * z->k_row,
                  out = z->B * z->TQ * z->out_row;
    attention_case c = {.z = *z, .scale = (float)(1 / sqrt((double)z->D))};
    put_lengths(&c);
    c.q = numbers_random(gpu, q, type, 1);
    c.k = numbers_random(gpu, k, type, 2);
    c.v = numbers_random(gpu, k, type, 3);
    c.dout = numbers_random(gpu, out, type, 4);
    c.out = numbers_unwritten(gpu, out, type);
    c.lse = numbers_unwritten(gpu, z->B * z->H * z->TQ, DTYPE_F32);
    c.dq = numbers_unwritten(gpu, q, type);
    c.dk = numbers_unwritten(gpu, k, type);
    c.dv = numbers_unwritten(gpu, k, type);
    c.scratch = take_scratch(cudnn_attention_scratch(z, gpu->stream));
    return c;
}

static void attention_reference(attention_case *c) {
    double *share;
    ck_assert_int_eq(mem_new(&share, c->z.TK, "scores"), STATUS_OK);
    for (int64_t b = 0; b < c->z.B; b++)
        for (int64_t h = 0; h < c->z.H; h++)
            for (int64_t i = 0; i < c->length_q[b]; i++) attention_query(c, b, h, i, share);
    mem_free(share);
}

static void expect_lse(const attention_case *c, const char *what) {
    const cudnn_attention *z = &c->z;
    float *lse = numbers_bytes(gpu, &c->lse);
    for (int64_t i = 0; i < z->B * z->H * z->TQ; i++)
        if (i % z->TQ < c->length_q[i / (z->H * z->TQ)])
            ck_assert_msg(fabs(lse[i] - c->lse.host[i]) <= 2e-2, "%s: lse %g, expected %g", what,
                          (double)lse[i], c->lse.host[i]);
    mem_free(lse);
}

static void expect_attention(const cudnn_attention *z, const char *name) {
    char what[96];
    snprintf(what, sizeof what, "attention, %s, %s", name, dtype_name((dtype)z->type));
    ck_assert_msg(cudnn_attention_takes(z, gpu->stream), "%s: refused", what);
    attention_case c = attention_make(z);
    const double near = 2 * numbers_tolerance((dtype)z->type);
    attention_reference(&c);
    if (!z->padded && !z->packed) expect_same_twice(attention_act, &c, &c.out, what);
    if (!z->inference) expect_same_twice(attention_act, &c, &c.dq, what);
    attention_act(&c);
    attention_expect(&c, &c.out, z->out_row, c.start_out, c.length_q, near, what);
    if (!z->inference) {
        expect_lse(&c, what);
        attention_expect(&c, &c.dq, z->q_row, c.start_q, c.length_q, 2 * near, what);
        attention_expect(&c, &c.dk, z->k_row, c.start_k, c.length_k, 2 * near, what);
        attention_expect(&c, &c.dv, z->v_row, c.start_k, c.length_k, near, what);
    }
    numbers *const all[] = {&c.q, &c.k, &c.v, &c.dout, &c.out, &c.lse, &c.dq, &c.dk, &c.dv};
    free_all(all, sizeof all / sizeof *all);
    gpu->release(gpu, c.scratch);
    gpu->release(gpu, c.on_device);
}

START_TEST(attention) {
    // Rows three times as long stand for slices of one product's output.
    static const struct {
        const char *name;
        int64_t B, H, TQ, TK, D, rows, causal, padded, packed, inference;
    } list[] = {
        {"plain", 2, 3, 64, 64, 64, 1, 0, 0, 0, 0},
        {"causal, fused", 2, 4, 96, 96, 128, 3, 1, 0, 0, 0},
        {"padded", 3, 2, 80, 80, 64, 3, 0, 1, 0, 0},
        {"padded, causal", 3, 2, 80, 80, 128, 3, 1, 1, 0, 0},
        {"packed, causal", 3, 2, 80, 80, 128, 3, 1, 1, 1, 0},
        {"packed, behind a prefix", 3, 2, 64, 96, 128, 1, 1, 1, 1, 0},
        {"packed", 3, 2, 80, 80, 64, 1, 0, 1, 1, 0},
        {"packed, more keys", 4, 2, 64, 96, 64, 1, 0, 1, 1, 0},
        {"queries to image", 2, 12, 32, 196, 64, 1, 0, 0, 0, 0},
        {"decoding", 3, 4, 1, 160, 128, 1, 0, 1, 0, 1},
        {"pooler", 2, 8, 256, 256, 32, 1, 0, 0, 0, 0},
    };
    open_gpu(false);
    for (int t = 1; t < TYPES; t++) {
        for (size_t i = 0; i < sizeof list / sizeof *list && !is_missing(types[t]); i++) {
            const int64_t row = list[i].H * list[i].D, inner = list[i].rows * row;
            const cudnn_attention z = {list[i].B,
                                       list[i].H,
                                       list[i].TQ,
                                       list[i].TK,
                                       list[i].D,
                                       inner,
                                       inner,
                                       inner,
                                       row,
                                       types[t],
                                       list[i].causal,
                                       list[i].padded,
                                       list[i].packed,
                                       list[i].inference};
            expect_attention(&z, list[i].name);
        }
    }
    close_gpu();
}
END_TEST

int main(void) {
    const TTest *const tests[] = {fused, fused_nan, attention};
    return run_on_gpu("cuda_fused", tests, sizeof tests / sizeof *tests);
}
