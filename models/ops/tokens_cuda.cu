#include "models/ops/ops_cuda.cuh"

// For each b, N elements of INP, FROM_ROW apart, to OUT, TO_ROW apart; both begin at the first one moved.
template <class T> struct rows_body {
    T *out;
    const T *inp;
    int64_t n, to_row, from_row;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        const int64_t b = i / n, e = i % n;
        float x[V];
        load(x, inp + b * from_row + e);
        give(out + b * to_row + e, x, acc);
    }
};

template <class T>
static void copy_rows(const char *name, void *out, int64_t to, int64_t to_row, const void *inp, int64_t from,
                      int64_t from_row, int64_t B, int64_t n, int acc, stream *s) {
    const rows_body<T> body = {(T *)out + to, (const T *)inp + from, n, to_row, from_row, acc};
    const bool whole = n % PACK<T> == 0 && to_row % PACK<T> == 0 && from_row % PACK<T> == 0;
    each<PACK<T>>(name, B * n, body, whole && aligned(body.out, body.inp), s);
}

void take_tokens_cuda(void *part, const void *whole, int64_t B, int64_t n, int64_t total, int64_t offset,
                      int acc, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("take_tokens", type, copy_rows, "take_tokens", part, 0, n, whole, offset, total, B, n, acc, s);
}

void put_tokens_cuda(void *whole, const void *part, int64_t B, int64_t n, int64_t total, int64_t offset,
                     int acc, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("put_tokens", type, copy_rows, "put_tokens", whole, offset, total, part, 0, n, B, n, acc, s);
}
