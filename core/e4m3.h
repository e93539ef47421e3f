// Numbers of 8 bits: E4M3 of the OCP 8-bit Floating Point Specification (Open Compute Project, 2023). A sign, four
// bits of exponent (bias 7), three of fraction; the largest is 448, the step near zero 2^-9; no infinities.
//
// A row of numbers shares a scale, the smallest power of two that brings the largest of them to 448 or below: scaling
// then rounds nothing, and what E4M3 keeps of a row is a number of bf16 or f32 as well.
//
// For C and for kernels of CUDA.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define E4M3_INLINE static __host__ __device__ __forceinline__
#else
#define E4M3_INLINE static inline
#endif

#define E4M3_LARGEST 448.0f
#define E4M3_NORMAL  0x1p-6f // the smallest with a full fraction

E4M3_INLINE uint32_t e4m3_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

E4M3_INLINE float e4m3_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// The nearest number of E4M3, ties to the even one; 448 for what is larger. NaN for what is not finite.
E4M3_INLINE float e4m3_round(float x) {
    const uint32_t bits = e4m3_bits(x);
    const float size = fabsf(x), fine = rintf(size * 512) / 512;
    const float coarse = e4m3_float(((bits & 0x7FFFFFFF) + 0x7FFFF + ((bits >> 20) & 1)) & 0xFFF00000);
    const float near = size < E4M3_NORMAL ? fine : coarse > E4M3_LARGEST ? E4M3_LARGEST : coarse;
    return size < INFINITY ? copysignf(near, x) : NAN;
}

// The byte of a number that e4m3_round gave.
E4M3_INLINE uint8_t e4m3_code(float x) {
    const uint32_t bits = e4m3_bits(x), sign = bits >> 24 & 0x80;
    const float size = fabsf(x);
    if (!(size <= E4M3_LARGEST)) return 0x7F;
    return (uint8_t)(sign | (size < E4M3_NORMAL ? (uint32_t)(size * 512) : (bits << 1 >> 21) - (120 << 3)));
}

// The number of a byte that is not NaN's. Its bits are those of a float whose exponent is 120 less.
E4M3_INLINE float e4m3_value(uint8_t code) {
    return e4m3_float((uint32_t)(code & 0x80) << 24 | (uint32_t)(code & 0x7F) << 20) * 0x1p120f;
}

// The scale of a row whose largest number has the size LARGEST.
E4M3_INLINE float e4m3_scale(float largest) {
    const uint32_t bits = e4m3_bits(largest), fraction = bits & 0x7FFFFF;
    const int32_t exponent = (int32_t)(bits >> 23) - 8 + (fraction > 0x600000); // 448 = 1.75 * 2^8
    return e4m3_float((uint32_t)(exponent < 1 ? 1 : exponent) << 23);
}

// 1 / SCALE, which is a power of two as well.
E4M3_INLINE float e4m3_reciprocal(float scale) {
    return e4m3_float((254u << 23) - e4m3_bits(scale));
}
