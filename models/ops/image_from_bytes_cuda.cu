#include "models/ops/ops_cuda.cuh"

enum { THREADS = 256, EACH = 16, AT_ONCE = 8 }; // a thread's packs of bytes, and the bytes of a pack

// A block copies its sample's table into shared memory and then takes THREADS * EACH packs of bytes.
template <class T, int V>
__global__ void __launch_bounds__(THREADS)
    image_kernel(T *out, const uint8_t *bytes, const float *lut, int64_t B, int64_t pixels) {
    SHARED(float, table, 256);
    for (int64_t b = blockIdx.y; b < B; b += gridDim.y) {
        BLOCK_SYNC();
        table[threadIdx.x] = lut[b * 256 + threadIdx.x];
        BLOCK_SYNC();
        const int64_t first = (int64_t)blockIdx.x * THREADS * EACH;
        for (int e = 0; e < EACH; e++) {
            const int64_t i = (first + e * THREADS + threadIdx.x) * V;
            if (i >= pixels) break;
            const pack<uint8_t, V> p = *reinterpret_cast<const pack<uint8_t, V> *>(bytes + b * pixels + i);
            float x[V];
            UNROLL for (int v = 0; v < V; v++) x[v] = table[p.x[v]];
            store(out + b * pixels + i, x);
        }
    }
}

template <class T>
static void image_all(void *out, const uint8_t *bytes, const float *lut, int64_t B, int64_t pixels, stream *s) {
    const bool whole = pixels % AT_ONCE == 0 && aligned(out, bytes);
    const int64_t chunk = THREADS * EACH * (whole ? (int64_t)AT_ONCE : 1);
    const dim3 grid((unsigned)divide_up(pixels, chunk), blocks_for(B, 65535));
    if (whole)
        LAUNCH(s, "image_from_bytes", (image_kernel<T, AT_ONCE>), grid, dim3(THREADS), (T *)out, bytes, lut, B,
               pixels);
    else
        LAUNCH(s, "image_from_bytes", (image_kernel<T, 1>), grid, dim3(THREADS), (T *)out, bytes, lut, B, pixels);
}

void image_from_bytes_cuda(void *out, const uint8_t *bytes, const float *lut, int64_t B, int64_t pixels,
                           dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("image_from_bytes", type, image_all, out, bytes, lut, B, pixels, s);
}
