#include "models/nn/quantise.h"
#include "core/e4m3.h"

#include <math.h>
#include <string.h>

// The quantiles of N(0, 1), scaled to [-1, 1] with a 0 among them: the NF4 type's values as its
// paper lists them (Dettmers et al. 2023, appendix E).
static const float nf4_values[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

// The dynamic tree type of 8 bits (Dettmers 2016), as bitsandbytes fills it: for each exponent e
// from 0 to 6 the middles of 2^e equal parts of [0.1, 1], times 10^(e - 6), with both signs; 0; 1.
// Parts' borders are made as torch.linspace makes them, from both ends, each number rounded once.
static float border(int i, int parts) {
    const float step = (1.0f - 0.1f) / (float)parts;
    return i < (parts + 1) / 2 ? fmaf(step, (float)i, 0.1f) : fmaf(-step, (float)(parts - i), 1);
}

static void dynamic_values(float *out) {
    int count = 128; // 0 is value 127; positive ones follow, negative ones mirror them
    out[127] = 0;
    for (int e = 0; e < 7; e++)
        for (int i = 0; i < 1 << e; i++, count++) {
            const float middle = (border(i, 1 << e) + border(i + 1, 1 << e)) / 2;
            out[count] = (float)pow(10, e - 6) * middle;
            out[254 - count] = -out[count];
        }
    out[255] = 1;
}

static int64_t blocks_of(int64_t N, int64_t K) {
    return N * K / NF4_BLOCK;
}

static int64_t scales_of(quantisation how, int64_t N, int64_t K) {
    return how == QUANT_NF4 ? (blocks_of(N, K) + NF4_SIZES - 1) / NF4_SIZES : N;
}

static size_t code_bytes(quantisation how, int64_t N, int64_t K) {
    return (size_t)(how == QUANT_NF4 ? N * K / 2 : N * K);
}

status quantise_check(quantisation how, int64_t K) {
    if (how != QUANT_NF4 || K % NF4_BLOCK == 0) return STATUS_OK;
    return status_fail(STATUS_USAGE, "NF4 takes rows of whole blocks of %d numbers; these have %lld: take int8 or fp8",
                       NF4_BLOCK, (long long)K);
}

status quantise_open(quantise *q, quantisation how, int64_t N, int64_t K) {
    *q = (quantise){.how = how, .N = N, .K = K};
    status rc = quantise_check(how, K);
    if (rc) return rc;
    rc = mem_new((uint8_t **)&q->codes, code_bytes(how, N, K) + 1, "codes of a weight");
    if (!rc) rc = mem_new(&q->scale, scales_of(how, N, K) + 1, "scales of a weight");
    if (!rc && how == QUANT_NF4)
        rc = mem_new(&q->sizes, blocks_of(N, K) + 1, "sizes of a weight's blocks");
    if (!rc && how == QUANT_NF4)
        rc = mem_new(&q->largest, blocks_of(N, K) + 1, "sizes of a weight's blocks");
    if (rc) {
        quantise_close(q);
        return rc;
    }
    memcpy(q->table, nf4_values, sizeof nf4_values);
    dynamic_values(q->table + 16);
    return STATUS_OK;
}

void quantise_close(quantise *q) {
    mem_free(q->codes);
    mem_free(q->scale);
    mem_free(q->sizes);
    mem_free(q->largest);
    *q = (quantise){0};
}

// The largest size of N numbers; infinite where one is not finite.
static float largest_of(const float *x, int64_t n) {
    float most = 0;
    for (int64_t i = 0; i < n; i++) {
        const float size = fabsf(x[i]);
        most = size > most ? size : most;
        if (!isfinite(x[i])) return INFINITY;
    }
    return most;
}

// The nearest of VALUES, which ascend; of two as near the lower one.
static uint8_t nearest_of(float x, const float *values, int count) {
    int low = 0, high = count - 1;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (x > (values[middle] + values[middle + 1]) / 2)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint8_t)low;
}

// Numbers are scaled by the size's reciprocal, as there; blocks of zeros keep a size of 0.
static float reciprocal_of(float largest) {
    return 1 / (largest > 1e-38f ? largest : 1e-38f);
}

static void code_row_int8(quantise *q, const float *x, int64_t row, float largest) {
    int8_t *codes = (int8_t *)q->codes + row * q->K;
    const float scale = largest / 127, part = scale > 0 ? 1 / scale : 0;
    q->scale[row] = scale;
    for (int64_t k = 0; k < q->K; k++) {
        const float code = rintf(x[k] * part);
        codes[k] = (int8_t)(code > 127 ? 127 : code < -127 ? -127 : code);
    }
}

static void code_row_fp8(quantise *q, const float *x, int64_t row, float largest) {
    uint8_t *codes = (uint8_t *)q->codes + row * q->K;
    const float scale = e4m3_scale(largest), part = e4m3_reciprocal(scale);
    q->scale[row] = scale;
    for (int64_t k = 0; k < q->K; k++) codes[k] = e4m3_code(e4m3_round(x[k] * part));
}

static void code_block(quantise *q, const float *x, int64_t block, float largest) {
    uint8_t *codes = (uint8_t *)q->codes + block * (NF4_BLOCK / 2);
    const float part = reciprocal_of(largest);
    q->largest[block] = largest;
    for (int64_t i = 0; i < NF4_BLOCK / 2; i++)
        codes[i] = (uint8_t)(nearest_of(x[2 * i] * part, q->table, 16) << 4 |
                             nearest_of(x[2 * i + 1] * part, q->table, 16));
}

status quantise_rows(quantise *q, const float *values, int64_t first, int64_t count) {
    const int64_t run = q->how == QUANT_NF4 ? NF4_BLOCK : q->K,
                  runs = run ? count * q->K / run : 0;
    const int64_t from = run ? first * q->K / run : 0;
    bool finite = true;
#pragma omp parallel for schedule(static) reduction(&& : finite)
    for (int64_t i = 0; i < runs; i++) {
        const float *x = values + i * run, largest = largest_of(x, run);
        finite = finite && isfinite(largest);
        if (!isfinite(largest)) continue;
        if (q->how == QUANT_INT8) code_row_int8(q, x, from + i, largest);
        if (q->how == QUANT_FP8) code_row_fp8(q, x, from + i, largest);
        if (q->how == QUANT_NF4) code_block(q, x, from + i, largest);
    }
    if (!finite)
        return status_fail(STATUS_USAGE,
                           "a weight's rows %lld to %lld hold a number that is not finite",
                           (long long)first, (long long)(first + count - 1));
    return STATUS_OK;
}

void quantise_end(quantise *q) {
    const int64_t blocks = q->how == QUANT_NF4 ? blocks_of(q->N, q->K) : 0;
    double sum = 0;
    for (int64_t b = 0; b < blocks; b++) sum += (double)q->largest[b];
    q->offset = blocks ? (float)(sum / (double)blocks) : 0;
    for (int64_t b = 0; b < blocks; b++) q->largest[b] -= q->offset;
    for (int64_t b = 0; b < blocks; b += NF4_SIZES) {
        const int64_t count = blocks - b < NF4_SIZES ? blocks - b : NF4_SIZES;
        const float most = largest_of(q->largest + b, count), part = reciprocal_of(most);
        q->scale[b / NF4_SIZES] = most;
        for (int64_t i = b; i < b + count; i++)
            q->sizes[i] = nearest_of(q->largest[i] * part, q->table + 16, 256);
    }
    mem_free(q->largest);
    q->largest = NULL;
}

void quantise_plain(const quantise *q, float *values, int64_t first, int64_t count) {
    const int8_t *whole = q->codes;
    const uint8_t *bytes = q->codes;
    for (int64_t i = 0; i < count * q->K; i++) {
        const int64_t at = first * q->K + i, block = at / NF4_BLOCK;
        if (q->how != QUANT_NF4) {
            const float code = q->how == QUANT_INT8 ? (float)whole[at] : e4m3_value(bytes[at]);
            values[i] = code * q->scale[at / q->K];
            continue;
        }
        const int code = at % 2 ? bytes[at / 2] & 15 : bytes[at / 2] >> 4;
        const float size = q->table[16 + q->sizes[block]] * q->scale[block / NF4_SIZES] + q->offset;
        values[i] = q->table[code] * size;
    }
}

// --- on a device ---------------------------------------------------------------------------------
enum { CODES, SCALES, SIZES, TABLE, PIECES };

static size_t layout_of(size_t offset[PIECES], quantisation how, int64_t N, int64_t K) {
    const bool nf4 = how == QUANT_NF4;
    const size_t bytes[PIECES] = {
        code_bytes(how, N, K), (size_t)scales_of(how, N, K) * sizeof(float),
        nf4 ? (size_t)blocks_of(N, K) : 0, nf4 ? NF4_TABLE * sizeof(float) : 0};
    size_t used = 0;
    for (int i = 0; i < PIECES; i++) {
        offset[i] = used;
        used += (bytes[i] + 63) / 64 * 64;
    }
    return used;
}

size_t quantise_bytes(quantisation how, int64_t N, int64_t K) {
    size_t offset[PIECES];
    return layout_of(offset, how, N, K);
}

void quantise_upload(quantised *out, const quantise *q, device *d, void *block) {
    size_t offset[PIECES];
    layout_of(offset, q->how, q->N, q->K);
    char *base = block;
    *out = (quantised){.how = q->how,
                       .codes = base + offset[CODES],
                       .scale = (const float *)(void *)(base + offset[SCALES]),
                       .sizes = (const uint8_t *)base + offset[SIZES],
                       .table = (const float *)(void *)(base + offset[TABLE]),
                       .offset = q->offset};
    d->upload(d, base + offset[CODES], q->codes, code_bytes(q->how, q->N, q->K));
    d->upload(d, base + offset[SCALES], q->scale,
              (size_t)scales_of(q->how, q->N, q->K) * sizeof(float));
    if (q->how != QUANT_NF4) return;
    d->upload(d, base + offset[SIZES], q->sizes, (size_t)blocks_of(q->N, q->K));
    d->upload(d, base + offset[TABLE], q->table, sizeof q->table);
}
