// The host twins of core/cuda/intrin.cuh and of CUDA's keywords: kernels' own source compiled as C++17 and run
// on the CPU. For *_cuda.cu files built with RADIALOG_SHIM, and for tests/shim/.
//
// Blocks run one after the other; each thread of a block is a fiber (tests/shim/fiber.h) that runs until it
// ends or waits for others. What is found wrong is told to shim_report: races in shared memory, numbers read
// there before they were written, barriers that only some reach, shuffles without some of their lanes,
// launches that no GPU takes.
#pragma once
#include <cstdint>
#include <cstring>
#include <math.h>
#include <utility>

#include <cuda_runtime_api.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

extern "C" struct stream;

struct shim_place {
    const char *file;
    int line;
};

// The thread that runs.
struct shim_thread {
    dim3 thread, block, block_size, grid_size;
};
extern const shim_thread *shim_now;
#define threadIdx (shim_now->thread)
#define blockIdx (shim_now->block)
#define blockDim (shim_now->block_size)
#define gridDim (shim_now->grid_size)

typedef void (*shim_body)(void *context);
void shim_launch(stream *s, const char *name, dim3 grid, dim3 block, shim_body body, void *context,
                 shim_place place);
void shim_count(const char *function);
void shim_block_sync(shim_place place);
// Every lane of the warp gives VALUE and gets the lane's that it asks for; OTHERS: all values.
const uint64_t *shim_warp_exchange(uint64_t value, shim_place place);

// Shared memory of one name: the block's numbers, and for each who touched it since which barrier.
struct shim_memory;
struct shim_site { // one SHARED in the source
    const char *name;
    size_t element, count;
    shim_place place;
    shim_memory *memory;
    uint64_t block; // that used it last
};
// Where ELEMENT of the site is, for a thread that reads or writes it.
void *shim_touch(shim_site *site, int64_t element, bool write);

template <class T> struct shim_number {
    shim_site *site;
    int64_t at;
    operator T() const {
        return *static_cast<T *>(shim_touch(site, at, false));
    }
    T operator=(T value) const {
        return *static_cast<T *>(shim_touch(site, at, true)) = value;
    }
    T operator=(const shim_number &from) const {
        return *this = (T)from;
    }
    T operator+=(T value) const {
        return *this = (T)((T) * this + value);
    }
};

template <class T> struct shared_array {
    shim_site *site;
    int64_t first;
    shim_number<T> operator[](int64_t i) const {
        return {site, first + i};
    }
    shared_array operator+(int64_t i) const {
        return {site, first + i};
    }
};

#define SHARED(type, name, count)                                                                  \
    static shim_site name##_site = {#name, sizeof(type), (count), {__FILE__, __LINE__}, nullptr, 0}; \
    const shared_array<type> name = {&name##_site, 0}

// FROM is where a GPU would load COUNT numbers at once.
void shim_expect_aligned(const shim_site *site, int64_t from, int count);

static inline void shared_load4(float to[4], shared_array<float> from) {
    shim_expect_aligned(from.site, from.first, 4);
    for (int i = 0; i < 4; i++) to[i] = from[i];
}
static inline void shared_store4(shared_array<float> to, const float from[4]) {
    shim_expect_aligned(to.site, to.first, 4);
    for (int i = 0; i < 4; i++) to[i] = from[i];
}
template <int N> static inline void shared_load_some(float (&to)[N], shared_array<float> from) {
    shim_expect_aligned(from.site, from.first, N);
    for (int i = 0; i < N; i++) to[i] = from[i];
}

// Kernels are functions of their own here too: the arguments are copied as a launch copies them.
#define LAUNCH(s, name, kernel, grid, block, ...)                                                  \
    do {                                                                                           \
        auto launch_body = [=]() { kernel(__VA_ARGS__); };                                         \
        shim_launch((s), (name), (grid), (block), [](void *launch_with) {                                 \
            (*static_cast<decltype(launch_body) *>(launch_with))();                                       \
        }, &launch_body, {__FILE__, __LINE__});                                                    \
    } while (0)

#define UNROLL

#define KERNEL_BEGIN(s) ((void)(s), shim_count(__func__))

#define BLOCK_SYNC() shim_block_sync({__FILE__, __LINE__})

template <class T> static inline T shim_lane_xor(T x, int mask, shim_place place) {
    uint64_t bits = 0;
    memcpy(&bits, &x, sizeof x);
    const unsigned lane = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const uint64_t *all = shim_warp_exchange(bits, place);
    memcpy(&x, &all[(lane % 32) ^ (unsigned)mask], sizeof x);
    return x;
}
// Macros, so that a report names the kernel's line.
#define lane_xor(x, mask) shim_lane_xor((x), (mask), {__FILE__, __LINE__})

static inline uint32_t shim_lanes_where(int yes, shim_place place) {
    const uint64_t *all = shim_warp_exchange(yes != 0, place);
    uint32_t bits = 0;
    for (int lane = 0; lane < 32; lane++) bits |= (uint32_t)all[lane] << lane;
    return bits;
}
#define lanes_where(yes) shim_lanes_where((yes), {__FILE__, __LINE__})

static inline int lowest_bit(uint32_t bits) {
    return __builtin_ffs((int)bits) - 1;
}
static inline float multiply_then_add(float a, float b, float c) {
    return a * b + c; // kernels are built for the shim without contraction
}
static inline uint32_t multiply_high(uint32_t a, uint32_t b) {
    return (uint32_t)(((uint64_t)a * b) >> 32);
}
static inline float fast_exp(float x) {
    return expf(x);
}
static inline float rsqrtf(float x) {
    return 1 / sqrtf(x);
}
