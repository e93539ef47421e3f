#include "models/ops/ops_cuda.cuh"

enum { THREADS = 128 };

// A number outside of the table is not the kernel's to report: its text is empty, and so is one without room.
static __device__ __forceinline__ int32_t length_of(const appended_texts &a, int64_t i) {
    const int32_t number = a.index[i];
    return number >= 0 && number < a.texts ? a.text_first[number + 1] - a.text_first[number] : 0;
}

static __device__ __forceinline__ void append_row(const appended_texts &a, int64_t row, int32_t id, int32_t position,
                                                  int64_t sample, int64_t place) {
    a.ids[row] = id;
    a.positions[row] = position;
    a.rows[2 * row] = (int32_t)sample;
    a.rows[2 * row + 1] = (int32_t)place;
}

// Block i writes text i, the last block what is behind all. Where a text begins is the sum of those before it, which
// each block takes for itself: there are as many as samples in a batch.
static __global__ void __launch_bounds__(THREADS) append_kernel(appended_texts a) {
    const int64_t i = blockIdx.x;
    int64_t row = a.tail;
    for (int64_t k = 0; k < i; k++) {
        const int32_t before = length_of(a, k);
        if (row + before <= a.N) row += before;
    }
    if (i == a.count) {
        for (row += threadIdx.x; row < a.N; row += THREADS) append_row(a, row, 0, 0, -1, 0);
        return;
    }
    const int32_t length = row + length_of(a, i) <= a.N ? length_of(a, i) : 0;
    if (threadIdx.x == 0) {
        a.segments[i].q_first[1] = a.segments[i].k_first[1] = a.keys_only[i].k_first[1] = (int32_t)row;
        a.segments[i].q_count[1] = a.segments[i].k_count[1] = a.keys_only[i].k_count[1] = length;
    }
    for (int32_t j = (int32_t)threadIdx.x; j < length; j += THREADS)
        append_row(a, row + j, a.text_ids[a.text_first[a.index[i]] + j], j, a.sample + i, a.position + j);
}

void append_texts_cuda(const appended_texts *a, stream *s) {
    KERNEL_BEGIN(s);
    LAUNCH(s, "append_texts", append_kernel, dim3((unsigned)a->count + 1), dim3(THREADS), *a);
}

static __global__ void __launch_bounds__(THREADS)
    point_kernel(attention_segment *segments, const int32_t *index, int64_t count, int64_t tokens) {
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= count) return;
    segments[i].k_first[0] = (int32_t)(index[i] * tokens);
    segments[i].k_count[0] = (int32_t)tokens;
}

void point_segments_cuda(attention_segment *segments, const int32_t *index, int64_t count, int64_t tokens, stream *s) {
    KERNEL_BEGIN(s);
    LAUNCH(s, "point_segments", point_kernel, dim3((unsigned)divide_up(count, THREADS)), dim3(THREADS), segments, index,
           count, tokens);
}
