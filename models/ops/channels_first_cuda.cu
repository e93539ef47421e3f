#include "models/ops/ops_cuda.cuh"

enum { TILE = 32, TILE_ROWS = 8 };

// A square of numbers through shared memory, so that both sides are read and written along their rows. One
// column more than is used: lanes that go down a column meet different banks.
template <class T>
__global__ void __launch_bounds__(TILE *TILE_ROWS)
    transpose_kernel(T *out, const T *inp, int64_t B, int64_t S, int64_t C, int acc) {
    SHARED(float, tile, TILE * (TILE + 1));
    const int x = (int)threadIdx.x;
    const int64_t across = (C + TILE - 1) / TILE, down = (S + TILE - 1) / TILE;
    for (int64_t k = blockIdx.x; k < B * across * down; k += gridDim.x) {
        const int64_t b = k / (across * down), c0 = k % across * TILE, s0 = k / across % down * TILE;
        const T *from = inp + b * S * C;
        T *to = out + b * S * C;
        for (int y = (int)threadIdx.y; y < TILE; y += TILE_ROWS)
            if (s0 + y < S && c0 + x < C) tile[y * (TILE + 1) + x] = widen(from[(s0 + y) * C + c0 + x]);
        BLOCK_SYNC();
        for (int y = (int)threadIdx.y; y < TILE; y += TILE_ROWS)
            if (c0 + y < C && s0 + x < S) {
                float v[1] = {tile[x * (TILE + 1) + y]};
                give(to + (c0 + y) * S + s0 + x, v, acc);
            }
        BLOCK_SYNC();
    }
}

template <class T>
static void turn(void *out, const void *inp, int64_t B, int64_t S, int64_t C, int acc, stream *s) {
    const int64_t tiles = B * divide_up(S, TILE) * divide_up(C, TILE);
    LAUNCH(s, "transpose", (transpose_kernel<T>), dim3(blocks_for(tiles, 1 << 20)), dim3(TILE, TILE_ROWS),
           (T *)out, (const T *)inp, B, S, C, acc);
}

void transpose_cuda(void *out, const void *inp, int64_t B, int64_t S, int64_t C, int acc, dtype type,
                    stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("transpose", type, turn, out, inp, B, S, C, acc, s);
}
