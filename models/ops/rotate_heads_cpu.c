#include "core/device.h"
#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

enum { WIDTH = 1024 }; // the widest head

static void expect_arguments(const heads_shape *z, dtype type, stream *s) {
    cpu_expect("rotate_heads", type);
    if (z->D > WIDTH)
        die("rotate_heads: heads of %lld, expected at most %d", (long long)z->D, WIDTH);
    for (int64_t r = 0; r < z->N; r++) {
        if (z->positions[r] >= 0 && z->positions[r] < z->P) continue;
        stream_fail(s, status_fail(STATUS_FORMAT,
                                   "rotate_heads: row %lld is at position %d, and positions end "
                                   "at %lld (a text longer than the model's context?)",
                                   (long long)r, z->positions[r], (long long)z->P));
        return;
    }
}

typedef struct turn {
    float c[WIDTH / 2], s[WIDTH / 2];
} turn;

// The row's cosines and sines apart; SIGN -1: of the rotation back. A position that is none turns
// by nothing.
static void turn_of(turn *to, const heads_shape *z, int64_t r, float sign) {
    const int32_t position = z->positions[r];
    const float *table = z->table;
    if (position < 0 || position >= z->P) {
        for (int64_t i = 0; i < z->D / 2; i++) to->c[i] = 1, to->s[i] = 0;
        return;
    }
    table += position * z->D;
    for (int64_t i = 0; i < z->D / 2; i++) {
        to->c[i] = table[2 * i];
        to->s[i] = table[2 * i + 1] * sign;
    }
}

// y += or = the head X (D), turned. TURN NULL: copied.
static void turn_head(float *restrict y, const float *restrict x, const turn *k, int64_t D,
                      int acc) {
    const int64_t half = D / 2;
    if (!k) {
        if (acc)
#pragma omp simd
            for (int64_t i = 0; i < D; i++) y[i] += x[i];
        else
            memcpy(y, x, (size_t)D * sizeof *y);
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < half; i++) {
        const float a = x[i] * k->c[i] - x[half + i] * k->s[i];
        const float b = x[half + i] * k->c[i] + x[i] * k->s[i];
        y[i] = acc ? y[i] + a : a;
        y[half + i] = acc ? y[half + i] + b : b;
    }
}

// Where head H of a row (queries, keys, values) stands in the outputs: which, its first copy, how
// many copies.
typedef struct head_place {
    int which;
    int64_t head, copies, heads; // of HEADS in that output
} head_place;

static head_place place_of(const heads_shape *z, int64_t h) {
    const int64_t kept = z->HK * z->copies;
    if (h < z->HQ) return (head_place){0, h, 1, z->HQ};
    h -= z->HQ;
    if (h < z->HK) return (head_place){1, h * z->copies, z->copies, kept};
    return (head_place){2, (h - z->HK) * z->copies, z->copies, kept};
}

void rotate_heads_forward_cpu(void *q, void *k, void *v, const void *qkv, const heads_shape *z,
                              dtype type, stream *s) {
    void *const out[] = {q, k, v};
    const int64_t D = z->D, heads = z->HQ + 2 * z->HK;
    expect_arguments(z, type, s);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < z->N; r++) {
        turn now;
        turn_of(&now, z, r, 1);
        for (int64_t h = 0; h < heads; h++) {
            float buffer[2][WIDTH];
            const head_place p = place_of(z, h);
            const int64_t at = (r * p.heads + p.head) * D;
            const float *x = row_read(buffer[0], qkv, (r * heads + h) * D, D, type);
            float *y = row_begin(buffer[1], out[p.which], at, D, 0, type);
            turn_head(y, x, p.which < 2 ? &now : NULL, D, 0);
            row_end(out[p.which], at, y, D, type);
            for (int64_t copy = 1; copy < p.copies; copy++)
                memcpy(element(out[p.which], at + copy * D, type), element(out[p.which], at, type),
                       (size_t)D * dtype_size(type));
        }
    }
}

void rotate_heads_backward_cpu(void *dqkv, const void *dq, const void *dk, const void *dv,
                               const heads_shape *z, int acc, dtype type, stream *s) {
    const void *const dout[] = {dq, dk, dv};
    const int64_t D = z->D, heads = z->HQ + 2 * z->HK;
    expect_arguments(z, type, s);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < z->N; r++) {
        turn back;
        turn_of(&back, z, r, -1);
        for (int64_t h = 0; h < heads; h++) {
            float buffer[3][WIDTH], sum[WIDTH];
            const head_place p = place_of(z, h);
            const int64_t at = (r * p.heads + p.head) * D;
            const float *dy = row_read(buffer[0], dout[p.which], at, D, type);
            for (int64_t copy = 1; copy < p.copies; copy++) {
                const float *more = row_read(buffer[1], dout[p.which], at + copy * D, D, type);
                for (int64_t i = 0; i < D; i++) sum[i] = dy[i] + more[i];
                dy = sum;
            }
            float *dx = row_begin(buffer[2], dqkv, (r * heads + h) * D, D, acc, type);
            turn_head(dx, dy, p.which < 2 ? &back : NULL, D, acc);
            row_end(dqkv, (r * heads + h) * D, dx, D, type);
        }
    }
}
