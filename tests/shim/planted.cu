#include "core/cuda/intrin.cuh"
#include "tests/shim/planted.h"

enum { COUNT = 64 };

static __device__ void wait_here() {
    BLOCK_SYNC();
}

__global__ void planted_kernel(float *out, const float *inp, int fault) {
    SHARED(float, x, COUNT);
    const int t = (int)threadIdx.x;
    if (fault == PLANTED_ORDER) { // each of four blocks a quarter
        if (t == 0)
            for (int i = 0; i < 16; i++) out[0] = (i || blockIdx.x ? out[0] : 0) / 2 + inp[16 * blockIdx.x + i];
        return;
    }
    if (fault == PLANTED_RACE) x[t / 2] = inp[t];
    if (fault != PLANTED_NEVER_WRITTEN || t != 5) x[t] = inp[t + (fault == PLANTED_READ_OUTSIDE ? 1 : 0)];
    if (fault == PLANTED_OUTSIDE_SHARED && t == 7) x[COUNT] = 0.0f;
    if (fault == PLANTED_SKIPPED_BARRIER && t >= 32) return;
    if (fault == PLANTED_TWO_BARRIERS && t >= 32)
        wait_here();
    else if (fault != PLANTED_MISSING_BARRIER)
        BLOCK_SYNC();
    if (fault == PLANTED_READ_RACE && t == 40) x[3] = 0.0f;
    float sum = 0;
    if (t < 32) {
        sum = x[t] + x[t + 32];
        if (fault != PLANTED_MISSING_LANE || t != 31)
            for (int mask = 16; mask > 0; mask /= 2) sum += lane_xor(sum, mask);
    }
    if (t == 0) out[fault == PLANTED_OUTSIDE ? 1 : 0] = sum;
}

__global__ void greedy_kernel(float *out) {
    SHARED(float, x, 16384);
    x[threadIdx.x] = 1.0f;
    out[0] = x[threadIdx.x];
}

void planted_run(float *out, const float *inp, enum planted_fault fault, stream *s) {
    const dim3 grid(fault == PLANTED_ORDER ? 4 : 1), block(fault == PLANTED_LARGE_BLOCK ? 1056 : COUNT);
    if (fault == PLANTED_MUCH_SHARED)
        LAUNCH(s, "greedy", greedy_kernel, grid, dim3(32), out);
    else
        LAUNCH(s, "planted", planted_kernel, grid, block, out, inp, (int)fault);
}
