#include "models/ops/ops_cuda.cuh"

// Products are summed in single precision on the ordinary units, in whole float: the tensor cores
// would take f32 factors only rounded, and the winner would not be the largest.

enum { THREADS = 256, WARPS = THREADS / 32 };
// A block takes one image and TEXTS texts, and goes over the image's rows QUERIES at a time and
// over the widths WIDTH at a time. A warp has ROWS rows of its own, a lane two texts: its own and
// the one 32 further on.
enum { QUERIES = 32, TEXTS = 64, WIDTH = 32, ROWS = QUERIES / WARPS, PADDED = WIDTH + 1 };

// tile (rows, PADDED) = columns from e on of rows from FROM on; zeros behind the last row that is
// THERE and behind the last column.
template <class T>
static __device__ __forceinline__ void fill(shared_array<float> tile, const T *from, int rows,
                                            int64_t there, int64_t e, int64_t E) {
    const int lane = (int)threadIdx.x % 32;
    for (int r = (int)threadIdx.x / 32; r < rows; r += WARPS)
        tile[r * PADDED + lane] =
            r < there && e + lane < E ? widen(from[(int64_t)r * E + e + lane]) : 0;
}

typedef struct candidate {
    float product;
    int32_t q;
} candidate;

// NaN wins, and the first of equals.
static __device__ __forceinline__ void candidate_take(candidate *best, float product, int32_t q) {
    const bool better = product > best->product || product != product;
    if (!better && !(product == best->product && q < best->q)) return;
    best->product = product;
    best->q = q;
}

template <class T>
static __device__ __forceinline__ void
tile_products(float (&sum)[ROWS][2], const T *x, const T *w, int64_t queries, int64_t texts,
              int64_t E, shared_array<float> image_tile, shared_array<float> text_tile) {
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    for (int64_t e = 0; e < E; e += WIDTH) {
        BLOCK_SYNC(); // what was in the tiles has been read
        fill(image_tile, x, QUERIES, queries, e, E);
        fill(text_tile, w, TEXTS, texts, e, E);
        BLOCK_SYNC();
        for (int k = 0; k < WIDTH; k++) {
            const float a = text_tile[lane * PADDED + k], b = text_tile[(lane + 32) * PADDED + k];
            UNROLL for (int i = 0; i < ROWS; i++) {
                const float row = image_tile[(warp * ROWS + i) * PADDED + k];
                sum[i][0] += row * a;
                sum[i][1] += row * b;
            }
        }
    }
}

template <class T>
__global__ void __launch_bounds__(THREADS)
    similarity_kernel(float *out, int32_t *winner, const T *images, const T *texts,
                      similarity_shape z) {
    SHARED(float, image_tile, QUERIES *PADDED);
    SHARED(float, text_tile, TEXTS *PADDED);
    SHARED(float, product, WARPS *TEXTS);
    SHARED(int32_t, place, WARPS * TEXTS);
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    const int64_t n = blockIdx.x, first = (int64_t)blockIdx.y * TEXTS;
    candidate best[2] = {{-INFINITY, INT32_MAX}, {-INFINITY, INT32_MAX}};
    for (int64_t q = 0; q < z.Q; q += QUERIES) {
        float sum[ROWS][2];
        UNROLL for (int i = 0; i < ROWS; i++) sum[i][0] = sum[i][1] = 0;
        tile_products(sum, images + (n * z.Q + q) * z.E, texts + first * z.E, z.Q - q, z.M - first,
                      z.E, image_tile, text_tile);
        UNROLL for (int i = 0; i < ROWS; i++) {
            const int64_t own = q + warp * ROWS + i;
            if (own >= z.Q) continue;
            UNROLL for (int j = 0; j < 2; j++) candidate_take(&best[j], sum[i][j], (int32_t)own);
        }
    }
    UNROLL for (int j = 0; j < 2; j++) {
        product[warp * TEXTS + lane + 32 * j] = best[j].product;
        place[warp * TEXTS + lane + 32 * j] = best[j].q;
    }
    BLOCK_SYNC();
    const int64_t m = first + threadIdx.x;
    if (threadIdx.x >= TEXTS || m >= z.M) return;
    candidate all = {product[threadIdx.x], place[threadIdx.x]};
    for (int w = 1; w < WARPS; w++)
        candidate_take(&all, product[w * TEXTS + threadIdx.x], place[w * TEXTS + threadIdx.x]);
    out[z.by_text ? m * z.N + n : n * z.M + m] = all.product;
    winner[n * z.M + m] = all.q;
}

template <class T>
static void similarity_all(void *out, int32_t *winner, const void *images, const void *texts,
                           const similarity_shape *z, stream *s) {
    LAUNCH(s, "max_similarity_forward", (similarity_kernel<T>),
           dim3((unsigned)z->N, (unsigned)divide_up(z->M, TEXTS)), dim3(THREADS), (float *)out,
           winner, (const T *)images, (const T *)texts, *z);
}

void max_similarity_forward_cuda(void *out, int32_t *winner, const void *images, const void *texts,
                                 const similarity_shape *z, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("max_similarity", type, similarity_all, out, winner, images, texts, z, s);
}

// --- backward ------------------------------------------------------------------------------------
// A warp adds up V columns to a lane of one row, in order.
typedef struct row_part {
    int64_t row, c;
} row_part;

static __device__ __forceinline__ row_part row_part_now(int64_t E, int V) {
    const int64_t parts = (E + 32 * V - 1) / (32 * V);
    const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    return {i / parts, (i % parts * 32 + threadIdx.x % 32) * V};
}

static __device__ __forceinline__ float upstream(const float *dout, int64_t n, int64_t m,
                                                 const similarity_shape &z) {
    return dout[z.by_text ? m * z.N + n : n * z.M + m];
}

template <int V, class T>
static __device__ __forceinline__ void add_row(float (&sum)[V], float d, const T *row) {
    float x[V];
    load(x, row);
    UNROLL for (int v = 0; v < V; v++) sum[v] += d * x[v];
}

// Lanes look at 32 texts at once for those that row q has won.
template <class T, int V>
__global__ void __launch_bounds__(THREADS)
    image_back_kernel(T *dimages, const float *dout, const T *texts, const int32_t *winner,
                      similarity_shape z, int acc) {
    const row_part p = row_part_now(z.E, V);
    const int64_t n = p.row / z.Q, q = p.row % z.Q;
    const int lane = (int)threadIdx.x % 32;
    float sum[V];
    if (n >= z.N) return;
    UNROLL for (int v = 0; v < V; v++) sum[v] = 0;
    for (int64_t from = 0; from < z.M; from += 32) {
        uint32_t bits =
            lanes_where(from + lane < z.M && winner[n * z.M + from + lane] == (int32_t)q);
        for (; bits; bits &= bits - 1) {
            const int64_t m = from + lowest_bit(bits);
            if (p.c < z.E) add_row(sum, upstream(dout, n, m, z), texts + m * z.E + p.c);
        }
    }
    if (p.c < z.E) give(dimages + p.row * z.E + p.c, sum, acc);
}

template <class T, int V>
__global__ void __launch_bounds__(THREADS)
    text_back_kernel(T *dtexts, const float *dout, const T *images, const int32_t *winner,
                     similarity_shape z, int acc) {
    const row_part p = row_part_now(z.E, V);
    float sum[V];
    if (p.row >= z.M || p.c >= z.E) return;
    UNROLL for (int v = 0; v < V; v++) sum[v] = 0;
    for (int64_t n = 0; n < z.N; n++) {
        const int64_t q = winner[n * z.M + p.row];
        add_row(sum, upstream(dout, n, p.row, z), images + (n * z.Q + q) * z.E + p.c);
    }
    give(dtexts + p.row * z.E + p.c, sum, acc);
}

template <class T, int V>
static void back_in_packs(T *dimages, T *dtexts, const float *dout, const T *images, const T *texts,
                          const int32_t *winner, const similarity_shape *z, int acc_images,
                          int acc_texts, stream *s) {
    const char *name = "max_similarity_backward";
    const int64_t parts = divide_up(z->E, 32 * V);
    if (dimages)
        LAUNCH(s, name, (image_back_kernel<T, V>),
               dim3((unsigned)divide_up(z->N * z->Q * parts, WARPS)), dim3(THREADS), dimages, dout,
               texts, winner, *z, acc_images);
    if (dtexts)
        LAUNCH(s, name, (text_back_kernel<T, V>), dim3((unsigned)divide_up(z->M * parts, WARPS)),
               dim3(THREADS), dtexts, dout, images, winner, *z, acc_texts);
}

template <class T>
static void back_all(void *dimages, void *dtexts, const void *dout, const void *images,
                     const void *texts, const int32_t *winner, const similarity_shape *z,
                     int acc_images, int acc_texts, stream *s) {
    if (z->E % PACK<T> == 0 && aligned(dimages, dtexts, images, texts))
        back_in_packs<T, PACK<T>>((T *)dimages, (T *)dtexts, (const float *)dout, (const T *)images,
                                  (const T *)texts, winner, z, acc_images, acc_texts, s);
    else
        back_in_packs<T, 1>((T *)dimages, (T *)dtexts, (const float *)dout, (const T *)images,
                            (const T *)texts, winner, z, acc_images, acc_texts, s);
}

void max_similarity_backward_cuda(void *dimages, void *dtexts, const void *dout, const void *images,
                                  const void *texts, const int32_t *winner,
                                  const similarity_shape *z, int acc_images, int acc_texts,
                                  dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("max_similarity", type, back_all, dimages, dtexts, dout, images, texts, winner, z,
             acc_images, acc_texts, s);
}
