// Windows of one pixel at stride 1 are matrix products over all pixels; wide channels are cuDNN's, which neither
// adds a bias here nor to what is there. Channels that fill no 16 bytes in any type (the stem's single one) are
// taken by a product of our own that gathers its factors from the images.
#include "models/ops/conv2d_cuda.cuh"

// --- a product that gathers ------------------------------------------------------------------------------
// out (I, J) = sum over k of a(i, k) b(j, k): 64 x 64 of them to a block, 4 x 4 to a thread, 16 k's at a time in
// shared memory. BODY.open_a(i) and open_b(j) give what its rows have in common; a(row, k) and b(row, k) the
// factors; put(i, j, sum) takes the result. The k's are split over the grid's third side.
enum { SIDE = 64, DEEP = 16, THREADS = 256, LINE = SIDE + 4 };

template <class Body>
__global__ void __launch_bounds__(THREADS) gather_kernel(int64_t I, int64_t J, int64_t many, Body body) {
    SHARED(float, a, DEEP *LINE);
    SHARED(float, b, DEEP *LINE);
    const int own = (int)threadIdx.x, side = own % SIDE, x = own % 16, y = own / 16;
    const int64_t i0 = (int64_t)blockIdx.x * SIDE, j0 = (int64_t)blockIdx.y * SIDE;
    const int64_t from = many * blockIdx.z / gridDim.z, to = many * (blockIdx.z + 1) / gridDim.z;
    const auto row_a = body.open_a(i0 + side < I ? i0 + side : I - 1);
    const auto row_b = body.open_b(j0 + side < J ? j0 + side : J - 1);
    float sum[4][4] = {};
    for (int64_t k0 = from; k0 < to; k0 += DEEP) {
        for (int k = own / SIDE; k < DEEP; k += THREADS / SIDE) {
            a[k * LINE + side] = k0 + k < to ? body.a(row_a, (uint32_t)(k0 + k)) : 0.0f;
            b[k * LINE + side] = k0 + k < to ? body.b(row_b, (uint32_t)(k0 + k)) : 0.0f;
        }
        BLOCK_SYNC();
        UNROLL for (int k = 0; k < DEEP; k++) {
            float p[4], q[4];
            shared_load4(p, a + (k * LINE + 4 * y));
            shared_load4(q, b + (k * LINE + 4 * x));
            UNROLL for (int r = 0; r < 4; r++)
                UNROLL for (int c = 0; c < 4; c++) sum[r][c] += p[r] * q[c];
        }
        BLOCK_SYNC();
    }
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 4; c++)
            if (i0 + 4 * y + r < I && j0 + 4 * x + c < J) body.put(i0 + 4 * y + r, j0 + 4 * x + c, sum[r][c]);
}

template <class Body>
static void gather(const char *name, int64_t I, int64_t J, int64_t many, int64_t parts, const Body &body,
                   stream *s) {
    LAUNCH(s, name, (gather_kernel<Body>),
           dim3((unsigned)divide_up(I, SIDE), (unsigned)divide_up(J, SIDE), (unsigned)parts), dim3(THREADS), I, J,
           many, body);
}

// Sizes as 32 bits: divisions by them are the gathering's cost.
typedef struct sizes {
    uint32_t B, H, W, C, O, OH, OW, K, stride, pad;
} sizes;

static int64_t pixels(const window_shape *z) {
    return z->B * z->OH * z->OW;
}

static int64_t taps(const window_shape *z) {
    return z->K * z->K * z->C;
}

static sizes sizes_of(const window_shape *z) {
    if (pixels(z) > INT32_MAX || z->B * z->H * z->W > INT32_MAX || z->O * z->K * z->K > INT32_MAX)
        die("conv2d: the CUDA kernel takes up to 2^31 pixels");
    return {(uint32_t)z->B, (uint32_t)z->H,  (uint32_t)z->W, (uint32_t)z->C,      (uint32_t)z->O,
            (uint32_t)z->OH, (uint32_t)z->OW, (uint32_t)z->K, (uint32_t)z->stride, (uint32_t)z->pad};
}

// The first pixel of an output's window: outside where negative.
typedef struct corner {
    uint32_t b;
    int y, x;
} corner;

static __device__ __forceinline__ corner corner_of(uint32_t pixel, const sizes &z) {
    const uint32_t line = pixel / z.OW;
    return {line / z.OH, (int)(line % z.OH * z.stride) - (int)z.pad, (int)(pixel % z.OW * z.stride) - (int)z.pad};
}

// What tap K (ky, kx, c) of the window sees.
template <class T>
static __device__ __forceinline__ float tap_of(const T *inp, const corner &at, uint32_t k, const sizes &z) {
    const uint32_t place = k / z.C;
    const int y = at.y + (int)(place / z.K), x = at.x + (int)(place % z.K);
    if (y < 0 || y >= (int)z.H || x < 0 || x >= (int)z.W) return 0;
    return widen(inp[(((int64_t)at.b * z.H + y) * z.W + x) * z.C + k % z.C]);
}

template <class T> struct forward_body {
    T *out;
    const T *inp, *weight;
    const float *bias;
    sizes z;
    __device__ corner open_a(int64_t pixel) const {
        return corner_of((uint32_t)pixel, z);
    }
    __device__ const T *open_b(int64_t o) const {
        return weight + o * z.K * z.K * z.C;
    }
    __device__ float a(const corner &at, uint32_t k) const {
        return tap_of(inp, at, k, z);
    }
    __device__ float b(const T *row, uint32_t k) const {
        return widen(row[k]);
    }
    __device__ void put(int64_t pixel, int64_t o, float sum) const {
        narrow_to(out + pixel * z.O + o, sum + (bias ? bias[o] : 0));
    }
};

// Of input pixels; k is (ky, kx, o), and the output pixel it comes from may not exist.
template <class T> struct input_body {
    T *dinp;
    const T *dout, *weight;
    sizes z;
    int acc;
    __device__ corner open_a(int64_t pixel) const {
        const uint32_t line = (uint32_t)pixel / z.W;
        return {line / z.H, (int)(line % z.H + z.pad), (int)((uint32_t)pixel % z.W + z.pad)};
    }
    __device__ int64_t open_b(int64_t c) const {
        return c;
    }
    __device__ float a(const corner &at, uint32_t k) const {
        const uint32_t place = k / z.O;
        const int y = at.y - (int)(place / z.K), x = at.x - (int)(place % z.K), step = (int)z.stride;
        if (y < 0 || x < 0 || y % step || x % step || y / step >= (int)z.OH || x / step >= (int)z.OW) return 0;
        return widen(dout[(((int64_t)at.b * z.OH + y / step) * z.OW + x / step) * z.O + k % z.O]);
    }
    __device__ float b(int64_t c, uint32_t k) const {
        return widen(weight[((int64_t)(k % z.O) * z.K * z.K + k / z.O) * z.C + c]);
    }
    __device__ void put(int64_t pixel, int64_t c, float sum) const {
        float d[1] = {sum};
        give(dinp + pixel * z.C + c, d, acc);
    }
};

// Of weights; k is an output pixel. Each part of the pixels has its own sums: partial (parts, O, taps).
template <class T> struct weight_body {
    float *partial;
    const T *dout, *inp;
    sizes z;
    int64_t taps;
    __device__ int64_t open_a(int64_t o) const {
        return o;
    }
    __device__ uint32_t open_b(int64_t tap) const {
        return (uint32_t)tap;
    }
    __device__ float a(int64_t o, uint32_t pixel) const {
        return widen(dout[(int64_t)pixel * z.O + o]);
    }
    __device__ float b(uint32_t tap, uint32_t pixel) const {
        return tap_of(inp, corner_of(pixel, z), tap, z);
    }
    __device__ void put(int64_t o, int64_t tap, float sum) const {
        partial[((int64_t)blockIdx.z * z.O + o) * taps + tap] = sum;
    }
};

struct weight_finish {
    float *dweight;
    int acc;
    __device__ void put(int64_t i, double sum) const {
        dweight[i] = (float)(sum + (acc ? (double)dweight[i] : 0));
    }
};

// Parts that the pixels are split into: 2048 of them or more to a part, and at most 16 MB of sums.
static int64_t parts_of(const window_shape *z) {
    const int64_t room = ((int64_t)4 << 20) / (z->O * taps(z)), wanted = divide_up(pixels(z), 2048);
    const int64_t parts = wanted < room ? wanted : room;
    return parts < 1 ? 1 : parts > 512 ? 512 : parts;
}

template <class T>
static void gather_forward(void *out, const void *inp, const void *weight, const float *bias,
                           const window_shape *z, stream *s) {
    const forward_body<T> body = {(T *)out, (const T *)inp, (const T *)weight, bias, sizes_of(z)};
    gather("conv2d_forward", pixels(z), z->O, taps(z), 1, body, s);
}

template <class T>
static void gather_input(void *dinp, const void *dout, const void *weight, const window_shape *z, int acc,
                         stream *s) {
    const input_body<T> body = {(T *)dinp, (const T *)dout, (const T *)weight, sizes_of(z), acc};
    gather("conv2d_backward_input", z->B * z->H * z->W, z->C, z->K * z->K * z->O, 1, body, s);
}

template <class T>
static void gather_weight(float *dweight, const void *dout, const void *inp, const window_shape *z, int acc,
                          void *scratch, stream *s) {
    const int64_t parts = parts_of(z), count = z->O * taps(z);
    const weight_body<T> body = {(float *)scratch, (const T *)dout, (const T *)inp, sizes_of(z), taps(z)};
    gather("conv2d_backward_weight", z->O, taps(z), pixels(z), parts, body, s);
    LAUNCH(s, "conv2d_backward_weight", (column_finish_kernel<float, weight_finish>),
           dim3((unsigned)divide_up(count, FINISH_ACROSS)), dim3(FINISH_ACROSS, FINISH_HIGH),
           (const float *)scratch, count, parts, weight_finish{dweight, acc});
}

// --- which way -------------------------------------------------------------------------------------------
static bool is_product(const window_shape *z) {
    return z->K == 1 && z->stride == 1 && z->pad == 0;
}

static bool is_gathered(const window_shape *z) {
    return z->C % 8 != 0 || z->O % 8 != 0;
}

// A gradient that cuDNN makes and that is to be added or widened comes first in the scratch.
static size_t fresh_bytes(const window_shape *z, dtype type) {
    const int64_t image = z->B * z->H * z->W * z->C, weight = z->O * taps(z);
    return ((size_t)(image > weight ? image : weight) * dtype_size(type) + 255) / 256 * 256;
}

size_t conv2d_scratch_cuda(const window_shape *z, dtype type, stream *s) {
    if (is_product(z)) return linear_scratch_cuda(pixels(z), z->O, z->C, type, s);
    if (is_gathered(z)) return (size_t)(parts_of(z) * z->O * taps(z)) * sizeof(float);
    const cudnn_conv conv = conv_of(z, type);
    return fresh_bytes(z, type) + cudnn_conv_scratch(&conv, s);
}

void conv2d_forward_cuda(void *out, const void *inp, const void *weight, const void *bias, const window_shape *z,
                         dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    if (is_product(z)) {
        linear_forward_cuda(out, inp, weight, bias, pixels(z), z->O, z->C, type, scratch, s);
    } else if (is_gathered(z)) {
        FOR_TYPE("conv2d", type, gather_forward, out, inp, weight, (const float *)bias, z, s);
    } else {
        const cudnn_conv conv = conv_of(z, type);
        cudnn_conv_forward(out, inp, weight, &conv, (char *)scratch + fresh_bytes(z, type), s);
        if (bias) FOR_TYPE("conv2d", type, add_bias, "conv2d_forward", out, bias, pixels(z), z->O, s);
    }
}

void conv2d_backward_input_cuda(void *dinp, const void *dout, const void *weight, const window_shape *z, int acc,
                                dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    if (is_product(z)) {
        linear_backward_input_cuda(dinp, dout, weight, pixels(z), z->O, z->C, acc, type, scratch, s);
    } else if (is_gathered(z)) {
        FOR_TYPE("conv2d", type, gather_input, dinp, dout, weight, z, acc, s);
    } else {
        const cudnn_conv conv = conv_of(z, type);
        void *to = acc ? scratch : dinp;
        cudnn_conv_backward_input(to, dout, weight, &conv, (char *)scratch + fresh_bytes(z, type), s);
        if (acc) add_backward_cuda(dinp, scratch, z->B * z->H * z->W * z->C, 1, type, s);
    }
}

template <class T>
static void bias_gradient(float *dbias, const void *dout, const window_shape *z, int acc, stream *s) {
    sum_columns("conv2d_backward_weight", dbias, (const T *)dout, pixels(z), z->O, z->O, acc, s);
}

void conv2d_backward_weight_cuda(void *dweight, void *dbias, const void *dout, const void *inp,
                                 const window_shape *z, int acc_weight, int acc_bias, dtype type, void *scratch,
                                 stream *s) {
    KERNEL_BEGIN(s);
    if (is_product(z)) {
        linear_backward_weight_cuda(dweight, dbias, dout, inp, pixels(z), z->O, z->C, acc_weight, acc_bias, type,
                                    scratch, s);
        return;
    }
    if (dweight && is_gathered(z)) {
        FOR_TYPE("conv2d", type, gather_weight, (float *)dweight, dout, inp, z, acc_weight, scratch, s);
    } else if (dweight) {
        const cudnn_conv conv = conv_of(z, type);
        void *to = acc_weight || type != DTYPE_F32 ? scratch : dweight;
        cudnn_conv_backward_weight(to, dout, inp, &conv, (char *)scratch + fresh_bytes(z, type), s);
        if (to == scratch)
            FOR_TYPE("conv2d", type, give_weight, "conv2d_backward_weight", dweight, to, z, acc_weight, s);
    }
    if (dbias) FOR_TYPE("conv2d", type, bias_gradient, (float *)dbias, dout, z, acc_bias, s);
}
