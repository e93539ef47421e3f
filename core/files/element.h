// Numbers as weight files hold them: little-endian, of ten types, and their conversion to f32 and f64.
// More types than the toolkit computes with (core/tensor.h): files also hold i16 and bool.
#pragma once
#include <stddef.h>

//  X(name, bytes)
#define ELEMENT_LIST(X)                                                                            \
    X(F64, 8)                                                                                      \
    X(F32, 4)                                                                                      \
    X(F16, 2)                                                                                      \
    X(BF16, 2)                                                                                     \
    X(I64, 8)                                                                                      \
    X(I32, 4)                                                                                      \
    X(I16, 2)                                                                                      \
    X(I8, 1)                                                                                       \
    X(U8, 1)                                                                                       \
    X(BOOL, 1)

typedef enum element_type {
#define X(name, bytes) ELEMENT_##name,
    ELEMENT_LIST(X)
#undef X
    ELEMENT_COUNT
} element_type;

// Bytes of one; dies on ELEMENT_COUNT.
size_t element_size(element_type type);
// As in safetensors files: "F32", "BOOL".
const char *element_name(element_type type);
// ELEMENT_COUNT if there is none of that name.
element_type element_find(const char *name);

// COUNT numbers of TYPE at IN (any alignment) to OUT. Integers beyond the mantissa are rounded to
// nearest; f64 beyond f32's range becomes infinite.
void element_to_f32(float *out, element_type type, const void *in, size_t count);
void element_to_f64(double *out, element_type type, const void *in, size_t count);
// Reverses the bytes of each of COUNT numbers of SIZE bytes.
void element_swap(void *numbers, size_t size, size_t count);
