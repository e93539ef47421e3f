#include "core/files/element.h"
#include "core/tensor.h"

#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} elements[] = {
#define X(name, bytes) {#name, bytes},
    ELEMENT_LIST(X)
#undef X
};

size_t element_size(element_type type) {
    if (type >= ELEMENT_COUNT) die("element_size: no type %d", (int)type);
    return elements[type].bytes;
}

const char *element_name(element_type type) {
    if (type >= ELEMENT_COUNT) die("element_name: no type %d", (int)type);
    return elements[type].name;
}

element_type element_find(const char *name) {
    element_type type = 0;
    while (type < ELEMENT_COUNT && strcmp(elements[type].name, name) != 0) type++;
    return type;
}

#define CONVERT(type, value)                                                                       \
    for (size_t i = 0; i < count; i++) {                                                           \
        type x;                                                                                    \
        memcpy(&x, (const char *)in + i * sizeof x, sizeof x);                                     \
        out[i] = value;                                                                            \
    }                                                                                              \
    break

void element_to_f32(float *out, element_type type, const void *in, size_t count) {
    switch (type) {
    case ELEMENT_F32: memcpy(out, in, count * sizeof *out); break;
    case ELEMENT_F64: CONVERT(double, (float)x);
    case ELEMENT_F16: CONVERT(uint16_t, f16_to_float(x));
    case ELEMENT_BF16: CONVERT(uint16_t, bf16_to_float(x));
    case ELEMENT_I64: CONVERT(int64_t, (float)x);
    case ELEMENT_I32: CONVERT(int32_t, (float)x);
    case ELEMENT_I16: CONVERT(int16_t, x);
    case ELEMENT_I8: CONVERT(int8_t, x);
    case ELEMENT_U8: CONVERT(uint8_t, x);
    case ELEMENT_BOOL: CONVERT(uint8_t, x != 0);
    case ELEMENT_COUNT: die("element_to_f32: no type");
    }
}

void element_to_f64(double *out, element_type type, const void *in, size_t count) {
    switch (type) {
    case ELEMENT_F64: memcpy(out, in, count * sizeof *out); break;
    case ELEMENT_F32: CONVERT(float, (double)x);
    case ELEMENT_F16: CONVERT(uint16_t, (double)f16_to_float(x));
    case ELEMENT_BF16: CONVERT(uint16_t, (double)bf16_to_float(x));
    case ELEMENT_I64: CONVERT(int64_t, (double)x);
    case ELEMENT_I32: CONVERT(int32_t, x);
    case ELEMENT_I16: CONVERT(int16_t, x);
    case ELEMENT_I8: CONVERT(int8_t, x);
    case ELEMENT_U8: CONVERT(uint8_t, x);
    case ELEMENT_BOOL: CONVERT(uint8_t, x != 0);
    case ELEMENT_COUNT: die("element_to_f64: no type");
    }
}

void element_swap(void *numbers, size_t size, size_t count) {
    unsigned char *p = numbers;
    for (size_t i = 0; i < count; i++, p += size) {
        for (size_t k = 0; k < size / 2; k++) {
            unsigned char kept = p[k];
            p[k] = p[size - 1 - k];
            p[size - 1 - k] = kept;
        }
    }
}
