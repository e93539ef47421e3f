#include "core/tensor.h"
#include "core/bf16.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    size_t size;
    const char *name;
} types[DTYPE_COUNT] = {
#define X(name, bytes, text) {bytes, text},
    DTYPE_LIST(X)
#undef X
};

size_t dtype_size(dtype type) {
    return types[type].size;
}
const char *dtype_name(dtype type) {
    return types[type].name;
}
dtype dtype_wide(dtype type) {
    return type == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
}

int64_t tensor_count(const tensor *x) {
    int64_t count = 1;
    for (int i = 0; i < x->rank; i++) count *= x->dim[i];
    return count;
}

size_t tensor_bytes(const tensor *x) {
    return (size_t)tensor_count(x) * dtype_size(x->type);
}

char *shape_text(char text[SHAPE_TEXT_SIZE], int rank, const int64_t *dim) {
    int length = snprintf(text, SHAPE_TEXT_SIZE, "(");
    if (rank > 8) die("shape_text: rank %d", rank);
    for (int i = 0; i < rank; i++)
        length += snprintf(text + length, (size_t)(SHAPE_TEXT_SIZE - length), "%s%lld",
                           i ? ", " : "", (long long)dim[i]);
    snprintf(text + length, (size_t)(SHAPE_TEXT_SIZE - length), ")");
    return text;
}

void tensor_expect(const tensor *x, const char *who, int rank, const int64_t *dim) {
    bool fits = x && x->rank == rank;
    for (int i = 0; fits && i < rank; i++) fits = dim[i] < 0 || dim[i] == x->dim[i];
    if (fits) return;
    char have[SHAPE_TEXT_SIZE], want[SHAPE_TEXT_SIZE];
    die("%s: has shape %s, expected %s", who, x ? shape_text(have, x->rank, x->dim) : "NULL",
        shape_text(want, rank, dim));
}

static uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t bf16_from_float(float value) {
    return bf16_round(value);
}

float bf16_to_float(uint16_t bits) {
    return bf16_widen(bits);
}

uint16_t f16_from_float(float value) {
    uint32_t bits = float_bits(value), sign = (bits >> 16) & 0x8000;
    float size = fabsf(value);
    if (isnan(value)) return (uint16_t)(sign | 0x7e00);
    if (size >= 65520.0f) return (uint16_t)(sign | 0x7c00);
    // Below the smallest normal number the spacing is 2^-24: the sum rounds to it in the adder.
    if (size < 0x1p-14f) return (uint16_t)(sign | (float_bits(size + 0.5f) - float_bits(0.5f)));
    uint32_t mantissa = float_bits(size);
    mantissa += 0xfff + ((mantissa >> 13) & 1);
    return (uint16_t)(sign | ((mantissa >> 13) - (112u << 10)));
}

float f16_to_float(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = bits & 0x7fff;
    if (rest >= 0x7c00) return bits_float(sign | 0x7f800000 | (rest & 0x3ff) << 13);
    if (rest < 0x400) return (sign ? -1.0f : 1.0f) * (float)rest * 0x1p-24f;
    return bits_float(sign | ((rest << 13) + (112u << 23)));
}

double element_get(const void *data, int64_t i, dtype type) {
    switch (type) {
    case DTYPE_F64: return ((const double *)data)[i];
    case DTYPE_F32: return (double)((const float *)data)[i];
    case DTYPE_BF16: return (double)bf16_to_float(((const uint16_t *)data)[i]);
    case DTYPE_F16: return (double)f16_to_float(((const uint16_t *)data)[i]);
    default: die("element_get: type %s", dtype_name(type));
    }
}

void element_put(void *data, int64_t i, double value, dtype type) {
    switch (type) {
    case DTYPE_F64: ((double *)data)[i] = value; return;
    case DTYPE_F32: ((float *)data)[i] = (float)value; return;
    case DTYPE_BF16: ((uint16_t *)data)[i] = bf16_from_float((float)value); return;
    case DTYPE_F16: ((uint16_t *)data)[i] = f16_from_float((float)value); return;
    default: die("element_put: type %s", dtype_name(type));
    }
}
