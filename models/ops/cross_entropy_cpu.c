#include "models/ops/kernels.h"
#include "models/ops/math_cpu.h"
#include "models/ops/ops_cpu.h"

// A row passes through the first-level cache in pieces. Sums of a piece go over LANES numbers side
// by side, in an order that the code fixes, and on in double.
enum { LANES = 16 };

static void expect_targets(const int32_t *target, int64_t R, int64_t C, stream *s) {
    for (int64_t r = 0; r < R; r++)
        if (target[r] < -1 || target[r] >= C) {
            stream_fail(
                s, status_fail(STATUS_FORMAT,
                               "cross_entropy: the target of row %lld is %d, expected -1 or one of "
                               "%lld classes (another vocabulary?)",
                               (long long)r, target[r], (long long)C));
            return;
        }
}

static bool counts(int32_t target, int64_t C) {
    return target >= 0 && target < C;
}

static float piece_largest(float largest, const float *x, int64_t n) {
    float lane[LANES];
    int64_t i = 0;
    for (int l = 0; l < LANES; l++) lane[l] = largest;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (int l = 0; i < n; i++, l++) lane[l] = x[i] > lane[l] ? x[i] : lane[l];
    for (int l = 0; l < LANES; l++) largest = lane[l] > largest ? lane[l] : largest;
    return largest;
}

static double sum_lanes(const float lane[LANES]) {
    double sum = 0;
    for (int l = 0; l < LANES; l++) sum += (double)lane[l];
    return sum;
}

static double piece_sum(const float *x, int64_t n) {
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += x[i + l];
    for (int l = 0; i < n; i++, l++) lane[l] += x[i];
    return sum_lanes(lane);
}

static double piece_exps(const float *x, float largest, int64_t n) {
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += cpu_exp(x[i + l] - largest);
    for (int l = 0; i < n; i++, l++) lane[l] += cpu_exp(x[i] - largest);
    return sum_lanes(lane);
}

// The loss of the row of C logits at element AT, and in PEAK (2) its largest logit and its sum.
static double row_loss(float peak[2], const void *logits, int64_t at, int64_t C, int32_t target,
                       double smoothing, dtype type) {
    float buffer[ROW], largest = -INFINITY;
    double sum = 0, exps = 0;
    for (int64_t c = 0; c < C; c += ROW) {
        const float *x = row_read(buffer, logits, at + c, row_length(c, C), type);
        largest = piece_largest(largest, x, row_length(c, C));
        if (smoothing > 0) sum += piece_sum(x, row_length(c, C));
    }
    for (int64_t c = 0; c < C; c += ROW)
        exps += piece_exps(row_read(buffer, logits, at + c, row_length(c, C), type), largest,
                           row_length(c, C));
    double l = (double)largest + log(exps);
    peak[0] = largest;
    peak[1] = (float)exps;
    double loss = (1 - smoothing) * (l - (double)number_read(logits, at + target, type));
    return smoothing > 0 ? loss + smoothing * (l - sum / (double)C) : loss;
}

static double weight_of(const float *row_weight, int64_t r) {
    return row_weight ? (double)row_weight[r] : 1;
}

void cross_entropy_forward_cpu(void *loss, void *peak, const void *logits, const int32_t *target,
                               const void *row_weight, int64_t R, int64_t C, double smoothing,
                               double count, int acc, dtype type, stream *s) {
    cpu_expect("cross_entropy", type);
    expect_targets(target, R, C, s);
    double part[SUM_BLOCKS], sum = 0;
#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < SUM_BLOCKS; block++) {
        double rows = 0;
        int64_t end = block_start(R, block + 1, SUM_BLOCKS);
        for (int64_t r = block_start(R, block, SUM_BLOCKS); r < end; r++) {
            float *own = (float *)peak + 2 * r;
            own[0] = own[1] = 0;
            if (counts(target[r], C))
                rows += row_loss(own, logits, r * C, C, target[r], smoothing, type) *
                        weight_of(row_weight, r);
        }
        part[block] = rows;
    }
    for (int block = 0; block < SUM_BLOCKS; block++) sum += part[block];
    *(float *)loss = (float)(sum / count + (acc ? (double)*(float *)loss : 0));
}

// DLOGITS may be LOGITS: a piece is read before it is written.
void cross_entropy_backward_cpu(void *dlogits, const void *dloss, const void *logits,
                                const void *peak, const int32_t *target, const void *row_weight,
                                int64_t R, int64_t C, double smoothing, double count, int acc,
                                dtype type, stream *s) {
    cpu_expect("cross_entropy", type);
    (void)s;
    const double of_all = (dloss ? (double)*(const float *)dloss : 1) / count;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < R; r++) {
        if (!counts(target[r], C)) {
            if (!acc) memset(element(dlogits, r * C, type), 0, (size_t)C * dtype_size(type));
            continue;
        }
        const float *own = (const float *)peak + 2 * r;
        const float largest = own[0];
        const double upstream = of_all * weight_of(row_weight, r);
        const float share = (float)(upstream * smoothing / (double)C);
        const float factor = (float)(upstream / (double)own[1]);
        for (int64_t c = 0; c < C; c += ROW) {
            float buffer[2][ROW];
            int64_t n = row_length(c, C), y = target[r] - c;
            const float *x = row_read(buffer[0], logits, r * C + c, n, type);
            float *dx = row_begin(buffer[1], dlogits, r * C + c, n, acc, type);
            if (acc)
#pragma omp simd
                for (int64_t i = 0; i < n; i++) dx[i] += factor * cpu_exp(x[i] - largest) - share;
            else
#pragma omp simd
                for (int64_t i = 0; i < n; i++) dx[i] = factor * cpu_exp(x[i] - largest) - share;
            if (y >= 0 && y < n) dx[y] -= (float)(upstream * (1 - smoothing));
            row_end(dlogits, r * C + c, dx, n, type);
        }
    }
}
