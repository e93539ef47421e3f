// A libnccl.so.2 for tests: the functions that core/cuda/nccl.c calls, with NCCL's own prototypes, over host
// memory and POSIX shared memory between the processes of one machine. Work is done in the order of the (fake)
// streams. Stricter than NCCL: it stops the program where ranks call different collectives, or where two of one
// communicator would run at once.
#include "core/tensor.h"

#include <fcntl.h>
#include <nccl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST = 8, PIECE = 4096, ALL_REDUCE = 1, ALL_GATHER, REDUCE_SCATTER, BROADCAST };

typedef struct call {
    int kind, type, root;
    size_t count;
    long sequence;
} call;

typedef struct shared {
    atomic_int arrived, turn;
    call call[MOST];
    char piece[MOST][PIECE];
} shared;

struct ncclComm {
    int rank, size;
    long sequence; // of calls made by the host
    atomic_int busy;
    shared *s;
};

typedef struct work {
    ncclComm_t c;
    call call;
    const char *send;
    char *recv;
} work;

static void stop(const char *text) {
    fprintf(stderr, "fake NCCL: %s\n", text);
    abort();
}

static void meet(ncclComm_t c) {
    int turn = atomic_load(&c->s->turn);
    if (atomic_fetch_add(&c->s->arrived, 1) == c->size - 1) {
        atomic_store(&c->s->arrived, 0);
        atomic_fetch_add(&c->s->turn, 1);
        return;
    }
    while (atomic_load(&c->s->turn) == turn) sched_yield();
}

static dtype type_of(int type) {
    switch (type) {
    case ncclFloat32: return DTYPE_F32;
    case ncclFloat64: return DTYPE_F64;
    case ncclBfloat16: return DTYPE_BF16;
    case ncclFloat16: return DTYPE_F16;
    case ncclInt64: return DTYPE_I64;
    case ncclInt32: return DTYPE_I32;
    case ncclInt8: return DTYPE_I8;
    default: return DTYPE_U8;
    }
}

static void add(char *to, const char *from, size_t n, int type) {
    for (size_t i = 0; i < n; i++) {
        switch (type_of(type)) {
        case DTYPE_I64: ((int64_t *)(void *)to)[i] += ((const int64_t *)(const void *)from)[i]; break;
        case DTYPE_I32: ((int32_t *)(void *)to)[i] += ((const int32_t *)(const void *)from)[i]; break;
        case DTYPE_I8:
        case DTYPE_U8: to[i] = (char)(to[i] + from[i]); break;
        default:
            element_put(to, (int64_t)i, element_get(to, (int64_t)i, type_of(type)) +
                                            element_get(from, (int64_t)i, type_of(type)), type_of(type));
        }
    }
}

static void sum_pieces(const work *w, char *to, size_t n) {
    const shared *s = w->c->s;
    size_t bytes = n * dtype_size(type_of(w->call.type));
    char sum[PIECE];
    memcpy(sum, s->piece[0], bytes);
    for (int r = 1; r < w->c->size; r++) add(sum, s->piece[r], n, w->call.type);
    memcpy(to, sum, bytes);
}

// One piece of N elements at element AT: in, meet, out, meet.
static void do_piece(const work *w, size_t at, size_t n, int target) {
    ncclComm_t c = w->c;
    size_t size = dtype_size(type_of(w->call.type)), bytes = n * size, count = w->call.count;
    size_t from = w->call.kind == REDUCE_SCATTER ? (size_t)target * count + at : at;
    if (w->call.kind != BROADCAST || c->rank == w->call.root)
        memcpy(c->s->piece[c->rank], w->send + from * size, bytes);
    meet(c);
    if (w->call.kind == ALL_REDUCE) sum_pieces(w, w->recv + at * size, n);
    if (w->call.kind == REDUCE_SCATTER && target == c->rank) sum_pieces(w, w->recv + at * size, n);
    if (w->call.kind == BROADCAST) memcpy(w->recv + at * size, c->s->piece[w->call.root], bytes);
    for (int r = 0; r < c->size && w->call.kind == ALL_GATHER; r++)
        memcpy(w->recv + ((size_t)r * count + at) * size, c->s->piece[r], bytes);
    meet(c);
}

static void do_work(void *data) {
    work *w = data;
    ncclComm_t c = w->c;
    size_t most = PIECE / dtype_size(type_of(w->call.type));
    if (atomic_exchange(&c->busy, 1)) stop("two collectives of one communicator at once");
    c->s->call[c->rank] = w->call;
    meet(c);
    for (int r = 0; r < c->size; r++)
        if (memcmp(&c->s->call[r], &w->call, sizeof w->call)) stop("the ranks call different collectives");
    meet(c);
    for (int target = 0; target < (w->call.kind == REDUCE_SCATTER ? c->size : 1); target++)
        for (size_t at = 0; at < w->call.count; at += most)
            do_piece(w, at, w->call.count - at < most ? w->call.count - at : most, target);
    atomic_store(&c->busy, 0);
    free(w);
}

static ncclResult_t enqueue(ncclComm_t c, int kind, const void *send, void *recv, size_t count, ncclDataType_t type,
                            int root, cudaStream_t stream) {
    work *w = malloc(sizeof *w);
    memset(w, 0, sizeof *w);
    w->c = c;
    w->send = send;
    w->recv = recv;
    w->call.kind = kind;
    w->call.type = (int)type;
    w->call.root = root;
    w->call.count = count;
    w->call.sequence = c->sequence++;
    const char *fails = getenv("FAKE_NCCL_FAILS_AT");
    if (fails && c->rank == 1 && c->sequence == atol(fails)) return ncclSystemError;
    return cudaLaunchHostFunc(stream, do_work, w) ? ncclUnhandledCudaError : ncclSuccess;
}

// --- NCCL's functions ------------------------------------------------------------------------------------
ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/radialog-test-%d", (int)getpid());
    return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t *out, int size, ncclUniqueId id, int rank) {
    int fd = shm_open(id.internal, O_RDWR | O_CREAT, 0600);
    if (size > MOST || fd < 0 || ftruncate(fd, sizeof(shared))) return ncclSystemError;
    ncclComm_t c = calloc(1, sizeof *c);
    c->rank = rank;
    c->size = size;
    c->s = mmap(NULL, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (c->s == MAP_FAILED) return ncclSystemError;
    meet(c);
    if (rank == 0) shm_unlink(id.internal);
    *out = c;
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t c) {
    munmap(c->s, sizeof(shared));
    free(c);
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t c) {
    (void)c; // its work may still be under way
    return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *error) {
    (void)c;
    *error = ncclSuccess;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t code) {
    return code ? "a failure of the fake NCCL" : "no error";
}

ncclResult_t ncclAllReduce(const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t c, cudaStream_t stream) {
    return op == ncclSum ? enqueue(c, ALL_REDUCE, send, recv, count, type, 0, stream) : ncclInvalidArgument;
}

ncclResult_t ncclAllGather(const void *send, void *recv, size_t count, ncclDataType_t type, ncclComm_t c,
                           cudaStream_t stream) {
    return enqueue(c, ALL_GATHER, send, recv, count, type, 0, stream);
}

ncclResult_t ncclReduceScatter(const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t c, cudaStream_t stream) {
    return op == ncclSum ? enqueue(c, REDUCE_SCATTER, send, recv, count, type, 0, stream) : ncclInvalidArgument;
}

ncclResult_t ncclBroadcast(const void *send, void *recv, size_t count, ncclDataType_t type, int root, ncclComm_t c,
                           cudaStream_t stream) {
    return enqueue(c, BROADCAST, send, recv, count, type, root, stream);
}
