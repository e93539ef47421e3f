// Formulas are those of rms_norm.c. Where rows lie and which kernel takes them: norm_cuda.cuh.
#include "models/ops/norm_cuda.cuh"

template <class T> struct rms_rows {
    T *out, *sum; // sum and y NULL: the sum is x
    float *rstd;
    const T *x, *y;
    const float *weight;
    float eps;
    // The sum as the type holds it, so that the backward pass sees the numbers that were
    // normalised.
    template <int V> __device__ void read(float (&s)[V], int64_t at) const {
        float b[V];
        load(s, x + at);
        if (!y) return;
        load(b, y + at);
        UNROLL for (int v = 0; v < V; v++) {
            T rounded;
            narrow_to(&rounded, s[v] + b[v]);
            s[v] = widen(rounded);
        }
        store(sum + at, s);
    }
};

template <class T, int V, int MANY>
__global__ void __launch_bounds__(NORM_THREADS) rms_kernel(rms_rows<T> k, norm_plan p) {
    SHARED(float, parts, 2 * (NORM_THREADS / 32));
    const int own = (int)threadIdx.x % p.group, high = NORM_THREADS / p.group;
    const int64_t step = (int64_t)gridDim.x * high;
    for (int64_t first = (int64_t)blockIdx.x * high; first < p.rows; first += step) {
        const int64_t r = first + threadIdx.x / p.group;
        float x[MANY][V], square = 0, none = 0;
        UNROLL for (int m = 0; m < MANY; m++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            const bool there = r < p.rows && c < p.D;
            if (there) k.read(x[m], r * p.D + c);
            UNROLL for (int v = 0; v < V; v++) {
                if (!there) x[m][v] = 0;
                square += x[m][v] * x[m][v];
            }
        }
        group_sums(square, none, p.group, parts);
        const float scale = 1 / sqrtf(square / (float)p.D + k.eps);
        if (r >= p.rows) continue;
        UNROLL for (int m = 0; m < MANY; m++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            float w[V];
            if (c >= p.D) continue;
            load(w, k.weight + c);
            UNROLL for (int v = 0; v < V; v++) x[m][v] *= scale * w[v];
            store(k.out + r * p.D + c, x[m]);
        }
        if (own == 0) k.rstd[r] = scale;
    }
}

template <class T> struct rms_task {
    const char *name;
    rms_rows<T> rows;
    template <int V, int MANY> void launch(const norm_plan &p, stream *s) const {
        LAUNCH(s, name, (rms_kernel<T, V, MANY>),
               dim3(blocks_for(divide_up(p.rows, NORM_THREADS / p.group), 1 << 20)),
               dim3(NORM_THREADS), rows, p);
    }
};

template <class T>
static void forward_all(void *out, void *sum, void *rstd, const void *x, const void *y,
                        const void *weight, int64_t rows, int64_t D, double eps, stream *s) {
    const rms_rows<T> all = {(T *)out,     (T *)sum,     (float *)rstd,
                             (const T *)x, (const T *)y, (const float *)weight,
                             (float)eps};
    norm_launch<T>(rms_task<T>{"rms_norm_forward", all}, rows, D, aligned(out, sum, x, y, weight),
                   s);
}

void rms_norm_forward_cuda(void *out, void *sum, void *rstd, const void *x, const void *y,
                           const void *weight, int64_t rows, int64_t D, double eps, dtype type,
                           stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("rms_norm", type, forward_all, out, sum, rstd, x, y, weight, rows, D, eps, s);
}

// --- backward ------------------------------------------------------------------------------------
size_t rms_norm_scratch_cuda(int64_t rows, int64_t D, dtype type, stream *s) {
    (void)s, (void)rows, (void)type;
    return NORM_BLOCKS * (size_t)D * sizeof(float);
}

template <class T> struct rms_back_rows {
    T *dx, *dy;
    float *partial; // (blocks, D): the blocks' sums for dweight
    const T *dout, *dsum, *sum;
    const float *rstd, *weight;
    int acc_x, acc_y;
    // ds without dsum, of the numbers from AT on. dx before dy: if x is y, the second adds to the
    // first.
    template <int V> __device__ void give_all(float (&d)[V], int64_t at) const {
        float again[V];
        if (dsum) {
            load(again, dsum + at);
            UNROLL for (int v = 0; v < V; v++) d[v] += again[v];
        }
        UNROLL for (int v = 0; v < V; v++) again[v] = d[v];
        if (dx) give(dx + at, d, acc_x);
        if (dy) give(dy + at, again, acc_y);
    }
};

// What the block's groups of threads have added up, one group after the other, into SUMS (D).
template <int V, int MANY>
static __device__ __forceinline__ void put_groups(float *sums, const float (&dw)[MANY][V],
                                                  shared_array<float> room, const norm_plan &p) {
    const int own = (int)threadIdx.x % p.group, level = (int)threadIdx.x / p.group;
    UNROLL for (int m = 0; m < MANY; m++) {
        const int64_t c = ((int64_t)m * p.group + own) * V;
        BLOCK_SYNC();
        UNROLL for (int v = 0; v < V; v++) room[v * NORM_THREADS + threadIdx.x] = dw[m][v];
        BLOCK_SYNC();
        if (level || c >= p.D) continue;
        UNROLL for (int v = 0; v < V; v++) {
            float total = 0;
            for (int l = 0; l < NORM_THREADS / p.group; l++)
                total += room[v * NORM_THREADS + l * p.group + own];
            sums[c + v] = total;
        }
    }
}

// WEIGHT: dweight is wanted; where it is frozen, nothing of it is held.
template <class T, int V, int MANY, bool WEIGHT>
__global__ void __launch_bounds__(NORM_THREADS) rms_back_kernel(rms_back_rows<T> k, norm_plan p) {
    SHARED(float, parts, 2 * (NORM_THREADS / 32));
    SHARED(float, room, WEIGHT ? NORM_THREADS *V : 4);
    const int own = (int)threadIdx.x % p.group, high = NORM_THREADS / p.group;
    const int64_t start = p.rows * blockIdx.x / p.blocks;
    const int64_t end = p.rows * (blockIdx.x + 1) / p.blocks;
    float dw[MANY][V];
    UNROLL for (int m = 0; m < MANY; m++) UNROLL for (int v = 0; v < V; v++) dw[m][v] = 0;
    for (int64_t first = start; first < end; first += high) {
        const int64_t r = first + threadIdx.x / p.group;
        const float scale = r < end ? k.rstd[r] : 0;
        float h[MANY][V], g[MANY][V], dot = 0, none = 0;
        UNROLL for (int m = 0; m < MANY; m++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            float w[V];
            UNROLL for (int v = 0; v < V; v++) h[m][v] = g[m][v] = w[v] = 0;
            if (r < end && c < p.D) {
                load(h[m], k.sum + r * p.D + c);
                load(g[m], k.dout + r * p.D + c);
                load(w, k.weight + c);
            }
            UNROLL for (int v = 0; v < V; v++) {
                h[m][v] *= scale;
                if (WEIGHT) dw[m][v] += g[m][v] * h[m][v];
                g[m][v] *= w[v];
                dot += g[m][v] * h[m][v];
            }
        }
        if (!k.dx && !k.dy) continue;
        group_sums(dot, none, p.group, parts);
        dot /= (float)p.D;
        UNROLL for (int m = 0; m < MANY; m++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            UNROLL for (int v = 0; v < V; v++) g[m][v] = scale * (g[m][v] - h[m][v] * dot);
            if (r < end && c < p.D) k.give_all(g[m], r * p.D + c);
        }
    }
    if constexpr (WEIGHT) put_groups<V, MANY>(k.partial + (int64_t)blockIdx.x * p.D, dw, room, p);
}

template <class T> struct rms_back_task {
    const char *name;
    rms_back_rows<T> rows;
    template <int V, int MANY> void launch(const norm_plan &p, stream *s) const {
        const dim3 grid((unsigned)p.blocks), block(NORM_THREADS);
        if (rows.partial)
            LAUNCH(s, name, (rms_back_kernel<T, V, MANY, true>), grid, block, rows, p);
        else
            LAUNCH(s, name, (rms_back_kernel<T, V, MANY, false>), grid, block, rows, p);
    }
};

template <class T>
static void backward_all(void *dx, void *dy, void *dweight, const void *dout, const void *dsum,
                         const void *sum, const void *rstd, const void *weight, int64_t rows,
                         int64_t D, int acc_x, int acc_y, int acc_weight, void *scratch,
                         stream *s) {
    const char *name = "rms_norm_backward";
    float *partial = dweight ? (float *)scratch : NULL;
    const rms_back_rows<T> all = {(T *)dx,
                                  (T *)dy,
                                  partial,
                                  (const T *)dout,
                                  (const T *)dsum,
                                  (const T *)sum,
                                  (const float *)rstd,
                                  (const float *)weight,
                                  acc_x,
                                  acc_y};
    const norm_plan p = norm_launch<T>(rms_back_task<T>{name, all}, rows, D,
                                       aligned(dx, dy, dout, dsum, sum, weight), s);
    const column_sum_finish finish = {(float *)dweight, D, acc_weight};
    if (dweight)
        LAUNCH(s, name, (column_finish_kernel<float, column_sum_finish>),
               dim3((unsigned)divide_up(D, FINISH_ACROSS)), dim3(FINISH_ACROSS, FINISH_HIGH),
               partial, D, p.blocks, finish);
}

void rms_norm_backward_cuda(void *dx, void *dy, void *dweight, const void *dout, const void *dsum,
                            const void *sum, const void *rstd, const void *weight, int64_t rows,
                            int64_t D, int acc_x, int acc_y, int acc_weight, dtype type,
                            void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("rms_norm", type, backward_all, dx, dy, dweight, dout, dsum, sum, rstd, weight, rows,
             D, acc_x, acc_y, acc_weight, scratch, s);
}
