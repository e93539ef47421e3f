// Ranks on GPUs, by NCCL. The only file that includes its header; called through core/comm.h's table.
//
// Device memory goes through NCCL alone, in the order in which the calls are made, whichever of the two streams
// they are on: the computing one, and one for sums that run beside the backward pass. What hosts agree on goes
// over the rendezvous, so that it does not wait for a GPU. The host never waits for a collective: the watchdog's
// thread asks the events behind them, and NCCL, whether all is well. Calls may be recorded into a CUDA graph.
#include "core/comm.h"
#include "core/cuda/nccl.h"
#include "core/cuda/stream.h"
#include "core/rendezvous.h"
#include "core/watchdog.h"

#include <nccl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NCCL_FUNCTIONS(X)                                                                          \
    X(ncclGetUniqueId)                                                                             \
    X(ncclCommInitRank)                                                                            \
    X(ncclCommDestroy)                                                                             \
    X(ncclCommAbort)                                                                               \
    X(ncclCommGetAsyncError)                                                                       \
    X(ncclGetErrorString)                                                                          \
    X(ncclAllReduce)                                                                               \
    X(ncclAllGather)                                                                               \
    X(ncclReduceScatter)                                                                           \
    X(ncclBroadcast)

typedef struct nccl_functions {
    NCCL_FUNCTIONS(LIBRARY_POINTER)
} nccl_functions;

#define X(function) LIBRARY_SYMBOL(nccl_functions, function)
static const library_symbol symbols[] = {NCCL_FUNCTIONS(X)};
#undef X

static const char *const file_names[] = {"libnccl.so.2", NULL};
static const library_kind nccl_kind = {"NCCL 2", file_names,
                                       "install libnccl2 or the nvidia-nccl wheel of your CUDA version",
                                       .nvidia = true};

// How long ranks may take to start, one after the other, on a busy cluster.
static const double MEETING_SECONDS = 300;

enum { FREE, PLAIN, RECORDED }; // the state of an event

typedef struct nccl_comm {
    comm base;
    library library;
    nccl_functions f;
    ncclComm_t nccl;
    int index; // of the GPU
    comm *mpi; // NULL: not started by MPI
    rendezvous *hosts;
    watchdog *watchdog;
    cudaStream_t beside;     // for sums that were started
    cudaEvent_t before;      // what the computing stream had written when a sum was started
    cudaEvent_t latest;      // the end of the latest collective, for those behind it
    cudaEvent_t seen;        // the same outside recordings, or of what was launched till hosts agreed: for the watchdog
    cudaStream_t latest_on;
    int latest_state;
    const char *latest_name; // of the latest that was not recorded
    int64_t latest_sequence;
    int64_t agreed;          // the sequence number of the hosts' latest agreement
    cudaStream_t on;         // the computing stream, once it is known
    bool started; // a sum that no all_reduce_finish has waited for
} nccl_comm;

// --- failures ----------------------------------------------------------------------------------------
static bool check(nccl_comm *m, const char *operation, ncclResult_t code) {
    if (code == ncclSuccess || code == ncclInProgress) return true;
    comm_fail(&m->base, operation, m->f.ncclGetErrorString(code));
    return false;
}

static bool check_cuda(nccl_comm *m, const char *operation, cudaError_t error) {
    if (error == cudaSuccess) return true;
    comm_fail(&m->base, operation, cudaGetErrorString(error));
    return false;
}

static bool check_hosts(nccl_comm *m, const char *operation, status rc) {
    if (rc) comm_fail(&m->base, operation, status_text());
    return !rc;
}

// Asked by the watchdog's thread while a collective is under way: whether it has ended, well or not.
static const char *look(void *context, bool *done) {
    nccl_comm *m = context;
    ncclResult_t async = ncclSuccess;
    cudaError_t error = cudaSetDevice(m->index);
    *done = false;
    if (m->f.ncclCommGetAsyncError(m->nccl, &async)) return "NCCL does not answer";
    if (async != ncclSuccess && async != ncclInProgress) return m->f.ncclGetErrorString(async);
    if (!error) error = cudaEventQuery(m->seen);
    if (error == cudaErrorNotReady) return NULL;
    *done = error == cudaSuccess;
    return error ? cudaGetErrorString(error) : NULL;
}

// --- the order of collectives ------------------------------------------------------------------------
static cudaStream_t computing(const device *d) {
    return stream_cuda(d->stream)->handle;
}

static bool begin(nccl_comm *m, const device *d) {
    if (d->dry || m->base.failed) return false;
    m->base.sequence++;
    m->on = computing(d);
    return true;
}

// What is launched on ON from here on comes after all collectives before. Events inside a recording and outside
// it do not see each other, and need not: a recording ends with all_reduce_finish, and its replay follows what
// the computing stream did before.
static void order(nccl_comm *m, const device *d, const char *operation, cudaStream_t on) {
    int state = stream_cuda(d->stream)->recording ? RECORDED : PLAIN;
    if (m->latest_state == state && m->latest_on != on)
        check_cuda(m, operation, cudaStreamWaitEvent(on, m->latest, 0));
}

static void mark(nccl_comm *m, const device *d, const char *operation, cudaStream_t on) {
    bool recording = stream_cuda(d->stream)->recording;
    check_cuda(m, operation, cudaEventRecord(m->latest, on));
    m->latest_on = on;
    m->latest_state = recording ? RECORDED : PLAIN;
    if (recording) return;
    check_cuda(m, operation, cudaEventRecord(m->seen, on));
    m->latest_name = operation;
    m->latest_sequence = m->base.sequence;
    watchdog_arm_device(m->watchdog, operation, m->base.sequence);
}

static ncclDataType_t nccl_type(dtype type) {
    switch (type) {
    case DTYPE_F32: return ncclFloat32;
    case DTYPE_F64: return ncclFloat64;
    case DTYPE_BF16: return ncclBfloat16;
    case DTYPE_F16: return ncclFloat16;
    case DTYPE_I64: return ncclInt64;
    case DTYPE_I32: return ncclInt32;
    case DTYPE_I8: return ncclInt8;
    case DTYPE_U8: return ncclUint8;
    default: die("collective of type %d", (int)type);
    }
}

// --- the table's functions ---------------------------------------------------------------------------
static void sum_on(nccl_comm *m, const device *d, const char *name, void *data, int64_t count, dtype type,
                   cudaStream_t on) {
    if (!count) return;
    order(m, d, name, on);
    check(m, name, m->f.ncclAllReduce(data, data, (size_t)count, nccl_type(type), ncclSum, m->nccl, on));
    mark(m, d, name, on);
}

static void nccl_all_reduce_sum(comm *c, void *data, int64_t count, dtype type, device *d) {
    nccl_comm *m = (nccl_comm *)c;
    if (begin(m, d)) sum_on(m, d, "all_reduce_sum", data, count, type, computing(d));
}

static void nccl_all_reduce_start(comm *c, void *data, int64_t count, dtype type, device *d) {
    nccl_comm *m = (nccl_comm *)c;
    const char *name = "all_reduce_start";
    if (!begin(m, d) || !count) return;
    check_cuda(m, name, cudaEventRecord(m->before, computing(d)));
    check_cuda(m, name, cudaStreamWaitEvent(m->beside, m->before, 0));
    sum_on(m, d, name, data, count, type, m->beside);
    m->started = true;
}

static void nccl_all_reduce_finish(comm *c, device *d) {
    nccl_comm *m = (nccl_comm *)c;
    const char *name = "all_reduce_finish";
    if (!begin(m, d) || !m->started) return;
    check_cuda(m, name, cudaEventRecord(m->before, m->beside));
    check_cuda(m, name, cudaStreamWaitEvent(computing(d), m->before, 0));
    m->started = false;
}

static void nccl_all_gather(comm *c, void *recv, const void *send, int64_t count, dtype type, device *d) {
    nccl_comm *m = (nccl_comm *)c;
    const char *name = "all_gather";
    if (!begin(m, d) || !count) return;
    order(m, d, name, computing(d));
    check(m, name, m->f.ncclAllGather(send, recv, (size_t)count, nccl_type(type), m->nccl, computing(d)));
    mark(m, d, name, computing(d));
}

static void nccl_reduce_scatter(comm *c, void *recv, const void *send, int64_t count, dtype type, device *d) {
    nccl_comm *m = (nccl_comm *)c;
    const char *name = "reduce_scatter";
    if (!begin(m, d) || !count) return;
    order(m, d, name, computing(d));
    check(m, name, m->f.ncclReduceScatter(send, recv, (size_t)count, nccl_type(type), ncclSum, m->nccl,
                                          computing(d)));
    mark(m, d, name, computing(d));
}

static void nccl_broadcast(comm *c, void *data, size_t bytes, int root, device *d) {
    nccl_comm *m = (nccl_comm *)c;
    const char *name = "broadcast";
    if (!begin(m, d) || !bytes) return;
    order(m, d, name, computing(d));
    check(m, name, m->f.ncclBroadcast(data, data, bytes, ncclUint8, root, m->nccl, computing(d)));
    mark(m, d, name, computing(d));
}

// What was launched till now may still be under way. Where no collective was launched since the hosts agreed
// before, it is a recorded step, whose collectives tell nobody that they run.
static void watch_device(nccl_comm *m, const char *name) {
    bool launched = m->latest_sequence > m->agreed;
    m->agreed = m->base.sequence;
    if (!m->on) {
        watchdog_disarm(m->watchdog);
        return;
    }
    check_cuda(m, name, cudaEventRecord(m->seen, m->on));
    if (launched)
        watchdog_arm_device(m->watchdog, m->latest_name, m->latest_sequence);
    else
        watchdog_arm_device(m->watchdog, "recorded step", m->base.sequence);
}

static int agree(nccl_comm *m, const char *name, int value) {
    int most = value;
    if (m->base.failed) return value;
    m->base.sequence++;
    watchdog_arm(m->watchdog, name, m->base.sequence);
    bool agreed = check_hosts(m, name, rendezvous_max(m->hosts, &most));
    watch_device(m, name);
    return agreed ? most : value;
}

static void nccl_barrier(comm *c) {
    agree((nccl_comm *)c, "barrier", 0);
}

static int nccl_agree_max(comm *c, int value) {
    return agree((nccl_comm *)c, "agree_max", value);
}

static void nccl_abort(comm *c) {
    nccl_comm *m = (nccl_comm *)c;
    watchdog_abort(m->watchdog);
    if (m->mpi) m->mpi->abort(m->mpi);
    _exit(1);
}

// The watchdog's thread asks NCCL and the events, so it ends first.
static void release(nccl_comm *m) {
    watchdog_close(m->watchdog);
    if (m->nccl && m->base.failed)
        m->f.ncclCommAbort(m->nccl); // does not wait for ranks that may not come
    else if (m->nccl)
        m->f.ncclCommDestroy(m->nccl);
    if (m->before) cudaEventDestroy(m->before);
    if (m->latest) cudaEventDestroy(m->latest);
    if (m->seen) cudaEventDestroy(m->seen);
    if (m->beside) cudaStreamDestroy(m->beside);
    rendezvous_close(m->hosts);
    if (m->mpi && m->base.failed) comm_fail(m->mpi, "close", m->base.text); // nor does MPI
    comm_close(m->mpi);
    library_close(&m->library);
    mem_free(m);
}

static void nccl_close(comm *c) {
    nccl_comm *m = (nccl_comm *)c;
    if (!c->failed) cudaEventSynchronize(m->seen);
    agree(m, "close", 0);
    release(m);
}

// --- opening -----------------------------------------------------------------------------------------
static const comm table = {
    .name = "nccl",
    .all_reduce_sum = nccl_all_reduce_sum,
    .all_reduce_start = nccl_all_reduce_start,
    .all_reduce_finish = nccl_all_reduce_finish,
    .all_gather = nccl_all_gather,
    .reduce_scatter = nccl_reduce_scatter,
    .broadcast = nccl_broadcast,
    .barrier = nccl_barrier,
    .agree_max = nccl_agree_max,
    .abort = nccl_abort,
    .close = nccl_close,
};

// One rank's failure must not leave the others waiting for it.
static status agree_opening(nccl_comm *m, status rc) {
    int failed = rc != STATUS_OK;
    status met = rendezvous_max(m->hosts, &failed);
    if (rc || met) return rc ? rc : met;
    return failed ? status_fail(STATUS_DEVICE, "another rank cannot use NCCL; its message says why") : STATUS_OK;
}

// By MPI where the ranks were started by it: rank 0 hands the others its card.
static status meet_by_mpi(nccl_comm *m, const launch *l, device *d, double watchdog_seconds) {
    char card[RENDEZVOUS_CARD] = "";
    status rc = comm_open_mpi(&m->mpi, l, watchdog_seconds), hosting = STATUS_OK;
    if (rc) return rc;
    m->base.rank = m->mpi->rank;
    m->base.size = m->mpi->size;
    if (!m->base.rank) hosting = rendezvous_host(&m->hosts, card, m->base.size);
    m->mpi->broadcast(m->mpi, card, sizeof card, 0, d);
    rc = comm_failed(m->mpi);
    if (rc || hosting) return rc ? rc : hosting;
    if (!m->base.rank) return rendezvous_wait(m->hosts, MEETING_SECONDS);
    return rendezvous_join(&m->hosts, card, m->base.rank, m->base.size, MEETING_SECONDS);
}

static status meet(nccl_comm *m, const launch *l, device *d, double watchdog_seconds) {
    m->base.rank = l->rank;
    m->base.size = l->size;
    if (l->tcp || l->file) return rendezvous_open(&m->hosts, l, MEETING_SECONDS);
    return meet_by_mpi(m, l, d, watchdog_seconds);
}

static status open_watchdog(nccl_comm *m, double seconds) {
    int *connection = NULL, size = m->base.size;
    watchdog_address own, *all = NULL;
    status rc = watchdog_open(&m->watchdog, m->base.rank, size, seconds);
    own = watchdog_own_address(m->watchdog);
    if (!rc) rc = mem_new(&all, size, "the ranks' addresses");
    if (!rc) rc = mem_new(&connection, size, "the ranks' connections");
    rc = agree_opening(m, rc);
    if (!rc) rc = rendezvous_gather(m->hosts, all, &own, sizeof own);
    if (!rc) rc = watchdog_meet(m->watchdog, all);
    for (int i = 0; i < size && !rc; i++) connection[i] = rendezvous_watch(m->hosts, i);
    if (!rc) rc = watchdog_follow(m->watchdog, connection, look, m);
    mem_free(all);
    mem_free(connection);
    return rc;
}

static status open_events(nccl_comm *m) {
    status rc = cuda_status(cudaStreamCreateWithFlags(&m->beside, cudaStreamNonBlocking), "a stream");
    cudaEvent_t *events[] = {&m->before, &m->latest, &m->seen};
    for (int i = 0; i < 3 && !rc; i++)
        rc = cuda_status(cudaEventCreateWithFlags(events[i], cudaEventDisableTiming), "an event");
    return rc;
}

status nccl_library(library_facts *out) {
    typedef struct asked {
        LIBRARY_POINTER(ncclGetVersion)
    } asked;
    static const library_symbol version_symbol[] = {LIBRARY_SYMBOL(asked, ncclGetVersion)};
    library l;
    asked f;
    int version = 0; // 22703 for 2.27.3
    *out = (library_facts){.built = {NCCL_MAJOR, NCCL_MINOR, NCCL_PATCH}};
    status rc = library_open(&l, &nccl_kind);
    if (!rc) rc = library_symbols(&l, &nccl_kind, version_symbol, 1, &f);
    if (!rc && f.ncclGetVersion(&version)) rc = status_fail(STATUS_DEVICE, "NCCL (%s) does not tell its version", l.path);
    if (!rc) {
        memcpy(out->path, l.path, sizeof out->path);
        out->version[0] = version / 10000;
        out->version[1] = version / 100 % 100;
        out->version[2] = version % 100;
    }
    library_close(&l);
    return rc;
}

static status open_library(nccl_comm *m) {
    status rc = library_open(&m->library, &nccl_kind);
    if (rc) return rc;
    return library_symbols(&m->library, &nccl_kind, symbols, sizeof symbols / sizeof *symbols, &m->f);
}

static status said(const nccl_comm *m, ncclResult_t code, const char *call) {
    return code ? status_fail(STATUS_DEVICE, "%s: %s", call, m->f.ncclGetErrorString(code)) : STATUS_OK;
}

// The call waits for all ranks; the watchdog ends it where one does not come.
static status join_nccl(nccl_comm *m) {
    ncclUniqueId id;
    status rc = STATUS_OK;
    memset(&id, 0, sizeof id);
    if (!m->base.rank) rc = said(m, m->f.ncclGetUniqueId(&id), "ncclGetUniqueId");
    rc = agree_opening(m, rc);
    if (!rc) rc = rendezvous_broadcast(m->hosts, &id, sizeof id);
    if (rc) return rc;
    watchdog_arm(m->watchdog, "start", 0);
    rc = said(m, m->f.ncclCommInitRank(&m->nccl, m->base.size, id, m->base.rank), "ncclCommInitRank");
    watchdog_disarm(m->watchdog);
    return agree_opening(m, rc);
}

status comm_open_nccl(comm **out, const launch *l, device *d, double watchdog_seconds) {
    nccl_comm *m;
    *out = NULL;
    status rc = mem_new(&m, 1, "a communicator");
    if (rc) return rc;
    m->base = table;
    m->index = stream_cuda(d->stream)->index;
    rc = meet(m, l, d, watchdog_seconds);
    if (!rc) {
        rc = open_library(m);
        if (!rc) rc = open_events(m);
        rc = agree_opening(m, rc);
    }
    if (!rc) rc = open_watchdog(m, watchdog_seconds);
    if (!rc) rc = join_nccl(m);
    if (!rc) {
        *out = &m->base;
        return STATUS_OK;
    }
    char text[sizeof m->base.text];
    snprintf(text, sizeof text, "%s", status_text());
    if (m->nccl) comm_fail(&m->base, "start", text);
    release(m);
    return status_carry(rc, text);
}
