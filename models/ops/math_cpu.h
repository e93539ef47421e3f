// exp and erf of single floats without branches or calls, so that compilers turn loops over them
// into vector code on any instruction set. Errors stay near 1e-7 of the result. For
// models/ops/*_cpu.c only.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

// exp(x) = 2^n exp(r), |r| <= ln(2) / 2; the polynomial is that of Cephes' expf (Moshier). Below
// -87.3 (the smallest normal number) it gives exp(-87.3), which is 1e-38; above 88 exp(88). NaN
// stays NaN.
static inline float cpu_exp(float x) {
    const float round = 0x1.8p23f; // adding it leaves an integer in the low bits of the mantissa
    x = x < -87.3f ? -87.3f : x;
    x = x > 88.0f ? 88.0f : x;
    float shifted = x * 1.44269504088896341f + round, n = shifted - round;
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u; // 2^n
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

// Minimax polynomials on both sides of 0.93 (N. Juffa's erff, published under BSD-2).
static inline float cpu_erf(float x) {
    float t = fabsf(x), s = x * x;
    float far = -1.72853470e-5f * t + 3.83197126e-4f;
    float odd = -3.88396438e-3f * t + 2.42546219e-2f;
    far = far * s + odd;
    far = far * t - 1.06777877e-1f;
    far = far * t - 6.34846687e-1f;
    far = far * t - 1.28717512e-1f;
    far = far * t - t;
    // Beyond 4 erf is 1 in single precision, and the polynomial no longer holds.
    float tail = 1.0f - cpu_exp(t > 4.0f ? -20.0f : far);
    tail = x < 0 ? -tail : tail;
    float near = -5.96761703e-4f;
    near = near * s + 4.99119423e-3f;
    near = near * s - 2.67681349e-2f;
    near = near * s + 1.12819925e-1f;
    near = near * s - 3.76125336e-1f;
    near = near * s + 1.28379166e-1f;
    near = near * x + x;
    return t > 0.927734375f ? tail : near;
}
