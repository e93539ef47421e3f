// A row lies in the registers of a group of threads: MANY packs of V numbers each. Blocks of 256 threads hold
// one to eight groups. Formulas are those of layer_norm.c.
#include "models/ops/columns_cuda.cuh"

// The widest rows in whole packs and in single numbers: what fits into registers.
enum { THREADS = 256, NORM_WIDTH = 8192, NORM_WIDTH_ODD = 2048, NORM_BLOCKS = 512 };

typedef struct norm_plan {
    int64_t rows, D, blocks;
    int group; // threads to a row: 32 to 256
} norm_plan;

// Two sums over a group's threads, given to all of them. SHARED memory (2, THREADS / 32).
static __device__ __forceinline__ void group_sums(float &a, float &b, int group, shared_array<float> parts) {
    a = lanes_sum(a, 32);
    b = lanes_sum(b, 32);
    if (group == 32) return;
    const int w = (int)threadIdx.x / 32, many = group / 32, first = w / many * many;
    BLOCK_SYNC(); // what was in PARTS has been read
    if (threadIdx.x % 32 == 0) {
        parts[w] = a;
        parts[THREADS / 32 + w] = b;
    }
    BLOCK_SYNC();
    a = b = 0;
    for (int i = first; i < first + many; i++) {
        a += parts[i];
        b += parts[THREADS / 32 + i];
    }
}

// The mean is subtracted before squaring; what its rounding leaves is found in the same sweep and corrected.
template <class T, int V, int MANY>
__global__ void __launch_bounds__(THREADS)
    norm_kernel(T *out, float *mean, float *rstd, const T *inp, const float *weight, const float *bias,
                norm_plan p, float eps) {
    SHARED(float, parts, 2 * (THREADS / 32));
    const int own = (int)threadIdx.x % p.group, high = THREADS / p.group;
    for (int64_t first = (int64_t)blockIdx.x * high; first < p.rows; first += (int64_t)gridDim.x * high) {
        const int64_t r = first + threadIdx.x / p.group;
        float x[MANY][V], sum = 0, none = 0;
        UNROLL for (int m = 0; m < MANY; m++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            const bool there = r < p.rows && c < p.D;
            if (there) load(x[m], inp + r * p.D + c);
            UNROLL for (int v = 0; v < V; v++) {
                if (!there) x[m][v] = 0;
                sum += x[m][v];
            }
        }
        group_sums(sum, none, p.group, parts);
        const float shift = sum / (float)p.D;
        float rest = 0, square = 0;
        UNROLL for (int m = 0; m < MANY; m++)
            UNROLL for (int v = 0; v < V; v++) {
                const float d = ((int64_t)m * p.group + own) * V < p.D ? x[m][v] - shift : 0;
                rest += d;
                square += d * d;
            }
        group_sums(rest, square, p.group, parts);
        rest /= (float)p.D;
        const float var = square / (float)p.D - rest * rest, scale = 1 / sqrtf((var < 0 ? 0 : var) + eps);
        if (r >= p.rows) continue;
        UNROLL for (int m = 0; m < MANY; m++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            float w[V], b[V];
            if (c >= p.D) continue;
            load(w, weight + c);
            load(b, bias + c);
            UNROLL for (int v = 0; v < V; v++) x[m][v] = (x[m][v] - shift - rest) * scale * w[v] + b[v];
            store(out + r * p.D + c, x[m]);
        }
        if (own == 0) {
            mean[r] = shift + rest;
            rstd[r] = scale;
        }
    }
}

// dx of each row, and what the block's rows add to dweight and dbias: partial (blocks, 2, D), NULL if unwanted.
template <class T, int V, int MANY>
__global__ void __launch_bounds__(THREADS)
    norm_back_kernel(T *dinp, float *partial, const T *dout, const T *inp, const float *mean, const float *rstd,
                     const float *weight, norm_plan p, int acc) {
    SHARED(float, parts, 2 * (THREADS / 32));
    SHARED(float, sums, THREADS *V);
    const int own = (int)threadIdx.x % p.group, high = THREADS / p.group, level = (int)threadIdx.x / p.group;
    const int64_t start = p.rows * blockIdx.x / p.blocks, end = p.rows * (blockIdx.x + 1) / p.blocks;
    float dw[MANY][V], db[MANY][V], w[MANY][V];
    UNROLL for (int m = 0; m < MANY; m++) {
        const int64_t c = ((int64_t)m * p.group + own) * V;
        UNROLL for (int v = 0; v < V; v++) dw[m][v] = db[m][v] = w[m][v] = 0;
        if (c < p.D) load(w[m], weight + c);
    }
    for (int64_t first = start; first < end; first += high) {
        const int64_t r = first + level;
        const float shift = r < end ? mean[r] : 0, scale = r < end ? rstd[r] : 0;
        float h[MANY][V], g[MANY][V], sum = 0, dot = 0;
        UNROLL for (int m = 0; m < MANY; m++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            const bool there = r < end && c < p.D;
            if (there) load(h[m], inp + r * p.D + c);
            if (there) load(g[m], dout + r * p.D + c);
            UNROLL for (int v = 0; v < V; v++) {
                h[m][v] = there ? (h[m][v] - shift) * scale : 0;
                if (!there) g[m][v] = 0;
                dw[m][v] += g[m][v] * h[m][v];
                db[m][v] += g[m][v];
                g[m][v] *= w[m][v];
                sum += g[m][v];
                dot += g[m][v] * h[m][v];
            }
        }
        if (!dinp) continue;
        group_sums(sum, dot, p.group, parts);
        sum /= (float)p.D;
        dot /= (float)p.D;
        UNROLL for (int m = 0; m < MANY; m++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            UNROLL for (int v = 0; v < V; v++) g[m][v] = scale * (g[m][v] - sum - h[m][v] * dot);
            if (r < end && c < p.D) give(dinp + r * p.D + c, g[m], acc);
        }
    }
    if (!partial) return;
    // The groups' sums one after the other.
    UNROLL for (int m = 0; m < MANY; m++)
        UNROLL for (int which = 0; which < 2; which++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            BLOCK_SYNC();
            UNROLL for (int v = 0; v < V; v++) sums[v * THREADS + threadIdx.x] = which ? db[m][v] : dw[m][v];
            BLOCK_SYNC();
            if (level || c >= p.D) continue;
            UNROLL for (int v = 0; v < V; v++) {
                float total = 0;
                for (int l = 0; l < high; l++) total += sums[v * THREADS + l * p.group + own];
                partial[((int64_t)blockIdx.x * 2 + which) * p.D + c + v] = total;
            }
        }
}

struct norm_finish {
    float *dweight, *dbias;
    int64_t D;
    int acc_weight, acc_bias;
    __device__ void put(int64_t i, double sum) const {
        float *to = i < D ? dweight : dbias;
        const int acc = i < D ? acc_weight : acc_bias;
        const int64_t c = i < D ? i : i - D;
        if (to) to[c] = (float)(sum + (acc ? (double)to[c] : 0));
    }
};

// --- which kernel ----------------------------------------------------------------------------------------
static norm_plan plan_make(int64_t rows, int64_t D, int V) {
    norm_plan p = {rows, D, 1, 32};
    while (p.group < THREADS && (int64_t)p.group * V < D) p.group *= 2;
    p.blocks = divide_up(rows, (int64_t)(THREADS / p.group) * 4);
    p.blocks = p.blocks > NORM_BLOCKS ? (int64_t)NORM_BLOCKS : p.blocks < 1 ? 1 : p.blocks;
    return p;
}

typedef struct norm_task {
    void *out, *dinp;
    float *mean, *rstd, *partial;
    const void *inp, *dout;
    const float *weight, *bias;
    float eps;
    int acc;
} norm_task;

template <class T, int V, int MANY> static void norm_launch(const norm_task &k, const norm_plan &p, stream *s) {
    if (k.out)
        LAUNCH(s, "layer_norm_forward", (norm_kernel<T, V, MANY>),
               dim3(blocks_for(divide_up(p.rows, THREADS / p.group), 1 << 20)), dim3(THREADS), (T *)k.out, k.mean,
               k.rstd, (const T *)k.inp, k.weight, k.bias, p, k.eps);
    else
        LAUNCH(s, "layer_norm_backward", (norm_back_kernel<T, V, MANY>), dim3((unsigned)p.blocks), dim3(THREADS),
               (T *)k.dinp, k.partial, (const T *)k.dout, (const T *)k.inp, k.mean, k.rstd, k.weight, p, k.acc);
}

template <class T> static norm_plan norm_all(const norm_task &k, int64_t rows, int64_t D, stream *s) {
    constexpr int V = PACK<T>;
    const bool whole = D % V == 0 && aligned(k.out, k.dinp, k.inp, k.dout, k.weight, k.bias);
    const norm_plan p = plan_make(rows, D, whole ? V : 1);
    const int64_t width = (int64_t)p.group * (whole ? V : 1);
    const int most = whole ? NORM_WIDTH : NORM_WIDTH_ODD;
    if (D > most) die("layer_norm: rows of %lld, expected at most %d", (long long)D, most);
    if (whole && D <= width)
        norm_launch<T, V, 1>(k, p, s);
    else if (whole && D <= 2 * width)
        norm_launch<T, V, 2>(k, p, s);
    else if (whole && D <= 4 * width)
        norm_launch<T, V, 4>(k, p, s);
    else if (whole)
        norm_launch<T, V, NORM_WIDTH / THREADS / V>(k, p, s);
    else if (D <= width)
        norm_launch<T, 1, 1>(k, p, s);
    else
        norm_launch<T, 1, NORM_WIDTH_ODD / THREADS>(k, p, s);
    return p;
}

template <class T>
static void norm_forward(const norm_task &k, int64_t rows, int64_t D, stream *s) {
    norm_all<T>(k, rows, D, s);
}

void layer_norm_forward_cuda(void *out, void *mean, void *rstd, const void *inp, const void *weight,
                             const void *bias, int64_t rows, int64_t D, double eps, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    norm_task k = {};
    k.out = out;
    k.mean = (float *)mean;
    k.rstd = (float *)rstd;
    k.inp = inp;
    k.weight = (const float *)weight;
    k.bias = (const float *)bias;
    k.eps = (float)eps;
    FOR_TYPE("layer_norm", type, norm_forward, k, rows, D, s);
}

size_t layer_norm_scratch_cuda(int64_t rows, int64_t D, dtype type, stream *s) {
    (void)s, (void)rows, (void)type;
    return NORM_BLOCKS * 2 * (size_t)D * sizeof(float);
}

template <class T>
static void norm_backward(const norm_task &k, const norm_finish &finish, int64_t rows, int64_t D, stream *s) {
    const norm_plan p = norm_all<T>(k, rows, D, s);
    if (k.partial)
        LAUNCH(s, "layer_norm_backward", (column_finish_kernel<float, norm_finish>),
               dim3((unsigned)divide_up(2 * D, FINISH_ACROSS)), dim3(FINISH_ACROSS, FINISH_HIGH), k.partial, 2 * D,
               p.blocks, finish);
}

void layer_norm_backward_cuda(void *dinp, void *dweight, void *dbias, const void *dout, const void *inp,
                              const void *mean, const void *rstd, const void *weight, int64_t rows, int64_t D,
                              int acc_inp, int acc_weight, int acc_bias, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    norm_task k = {};
    k.dinp = dinp;
    k.partial = dweight || dbias ? (float *)scratch : NULL;
    k.dout = dout;
    k.inp = inp;
    k.mean = (float *)(uintptr_t)mean;
    k.rstd = (float *)(uintptr_t)rstd;
    k.weight = (const float *)weight;
    k.acc = acc_inp;
    const norm_finish finish = {(float *)dweight, (float *)dbias, D, acc_weight, acc_bias};
    FOR_TYPE("layer_norm", type, norm_backward, k, finish, rows, D, s);
}
