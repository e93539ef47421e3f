// Ranks on CPUs, by MPI. Called through core/comm.h's table.
//
// MPI is initialised by the first communicator and finalised by its closing, so a program has one at a
// time, once. All calls come from one thread; the watchdog's never calls MPI. What MPI does within one
// reduction is its own choice, but it is chosen by sizes, never by time of arrival.
#include "core/comm.h"
#include "core/comm_facts.h"
#include "core/mpi_library.h"
#include "core/mpi_private.h"
#include "core/watchdog.h"

#include <stdio.h>
#include <string.h>

// What Open MPI's header means by MPI_FLOAT is the library's variable, where that was found.
#define ompi_mpi_byte          (*mpi.ompi_mpi_byte)
#define ompi_mpi_comm_world    (*mpi.ompi_mpi_comm_world)
#define ompi_mpi_datatype_null (*mpi.ompi_mpi_datatype_null)
#define ompi_mpi_double        (*mpi.ompi_mpi_double)
#define ompi_mpi_errors_return (*mpi.ompi_mpi_errors_return)
#define ompi_mpi_float         (*mpi.ompi_mpi_float)
#define ompi_mpi_int           (*mpi.ompi_mpi_int)
#define ompi_mpi_int8_t        (*mpi.ompi_mpi_int8_t)
#define ompi_mpi_int32_t       (*mpi.ompi_mpi_int32_t)
#define ompi_mpi_int64_t       (*mpi.ompi_mpi_int64_t)
#define ompi_mpi_op_max        (*mpi.ompi_mpi_op_max)
#define ompi_mpi_op_sum        (*mpi.ompi_mpi_op_sum)
#define ompi_mpi_uint8_t       (*mpi.ompi_mpi_uint8_t)
#define ompi_mpi_uint16_t      (*mpi.ompi_mpi_uint16_t)

int mpi_largest_piece = 1 << 26;

enum { MOST_REQUESTS = 1024 };

typedef struct mpi_comm {
    comm base;
    MPI_Comm world;
    MPI_Op sum_bf16, sum_f16;
    watchdog *watchdog;
    MPI_Request request[MOST_REQUESTS]; // sums that were started
    int requests;
} mpi_comm;

static bool begin(mpi_comm *m, const char *operation, const device *d) {
    if ((d && d->dry) || m->base.failed) return false;
    m->base.sequence++;
    watchdog_arm(m->watchdog, operation, m->base.sequence);
    return true;
}

// Whether CODE is success; keeps the failure otherwise.
static bool check(mpi_comm *m, const char *operation, int code) {
    char text[MPI_MAX_ERROR_STRING];
    int length;
    if (code == MPI_SUCCESS) return true;
    if (mpi.MPI_Error_string(code, text, &length)) snprintf(text, sizeof text, "MPI error %d", code);
    comm_fail(&m->base, operation, text);
    return false;
}

static void end(mpi_comm *m) {
    watchdog_disarm(m->watchdog);
}

// --- types and sums ----------------------------------------------------------------------------------
static void add_bf16(void *in, void *inout, int *count, MPI_Datatype *type) {
    (void)type;
    const uint16_t *a = in;
    uint16_t *b = inout;
    for (int i = 0; i < *count; i++) b[i] = bf16_from_float(bf16_to_float(a[i]) + bf16_to_float(b[i]));
}

static void add_f16(void *in, void *inout, int *count, MPI_Datatype *type) {
    (void)type;
    const uint16_t *a = in;
    uint16_t *b = inout;
    for (int i = 0; i < *count; i++) b[i] = f16_from_float(f16_to_float(a[i]) + f16_to_float(b[i]));
}

static MPI_Datatype mpi_type(dtype type) {
    switch (type) {
    case DTYPE_F32: return MPI_FLOAT;
    case DTYPE_F64: return MPI_DOUBLE;
    case DTYPE_BF16:
    case DTYPE_F16: return MPI_UINT16_T;
    case DTYPE_I64: return MPI_INT64_T;
    case DTYPE_I32: return MPI_INT32_T;
    case DTYPE_I8: return MPI_INT8_T;
    case DTYPE_U8: return MPI_UINT8_T;
    default: die("collective of type %d", (int)type);
    }
}

static MPI_Op sum_of(const mpi_comm *m, dtype type) {
    return type == DTYPE_BF16 ? m->sum_bf16 : type == DTYPE_F16 ? m->sum_f16 : MPI_SUM;
}

static int piece_at(int64_t count, int64_t at) {
    return count - at < mpi_largest_piece ? (int)(count - at) : mpi_largest_piece;
}

static char *element_at(const void *data, int64_t i, dtype type) {
    return (char *)(uintptr_t)data + (size_t)i * dtype_size(type);
}

// --- the table's functions ---------------------------------------------------------------------------
static void mpi_all_reduce_sum(comm *c, void *data, int64_t count, dtype type, device *d) {
    mpi_comm *m = (mpi_comm *)c;
    const char *name = "all_reduce_sum";
    if (!begin(m, name, d)) return;
    for (int64_t i = 0; i < count && !c->failed; i += mpi_largest_piece)
        check(m, name, mpi.MPI_Allreduce(MPI_IN_PLACE, element_at(data, i, type), piece_at(count, i),
                                         mpi_type(type), sum_of(m, type), m->world));
    end(m);
}

static void wait_for_sums(mpi_comm *m, const char *name) {
    check(m, name, mpi.MPI_Waitall(m->requests, m->request, MPI_STATUSES_IGNORE));
    m->requests = 0;
}

static void mpi_all_reduce_start(comm *c, void *data, int64_t count, dtype type, device *d) {
    mpi_comm *m = (mpi_comm *)c;
    const char *name = "all_reduce_start";
    if (!begin(m, name, d)) return;
    for (int64_t i = 0; i < count && !c->failed; i += mpi_largest_piece) {
        if (m->requests == MOST_REQUESTS) wait_for_sums(m, name);
        check(m, name, mpi.MPI_Iallreduce(MPI_IN_PLACE, element_at(data, i, type), piece_at(count, i),
                                          mpi_type(type), sum_of(m, type), m->world,
                                          &m->request[m->requests]));
        m->requests += !c->failed;
    }
    end(m);
}

static void mpi_all_reduce_finish(comm *c, device *d) {
    mpi_comm *m = (mpi_comm *)c;
    if (!begin(m, "all_reduce_finish", d)) return;
    wait_for_sums(m, "all_reduce_finish");
    end(m);
}

// One element of *OUT stands for COUNT elements of TYPE, whose number may exceed an int.
static int block_type(MPI_Datatype *out, int64_t count, dtype type) {
    MPI_Datatype piece = MPI_DATATYPE_NULL;
    int whole = (int)(count / mpi_largest_piece), rest = (int)(count % mpi_largest_piece);
    int lengths[2] = {whole, rest};
    MPI_Aint starts[2] = {0, (MPI_Aint)((size_t)(count - rest) * dtype_size(type))};
    int code = mpi.MPI_Type_contiguous(mpi_largest_piece, mpi_type(type), &piece);
    MPI_Datatype types[2] = {piece, mpi_type(type)};
    if (!code) code = mpi.MPI_Type_create_struct(2, lengths, starts, types, out);
    if (!code) code = mpi.MPI_Type_commit(out);
    if (piece != MPI_DATATYPE_NULL) mpi.MPI_Type_free(&piece);
    return code;
}

static void mpi_all_gather(comm *c, void *recv, const void *send, int64_t count, dtype type,
                           device *d) {
    mpi_comm *m = (mpi_comm *)c;
    const char *name = "all_gather";
    if (!begin(m, name, d)) return;
    if (send == element_at(recv, c->rank * count, type)) send = MPI_IN_PLACE;
    if (count <= mpi_largest_piece) {
        check(m, name, mpi.MPI_Allgather(send, (int)count, mpi_type(type), recv, (int)count,
                                         mpi_type(type), m->world));
    } else {
        MPI_Datatype block;
        if (check(m, name, block_type(&block, count, type))) {
            check(m, name, mpi.MPI_Allgather(send, 1, block, recv, 1, block, m->world));
            mpi.MPI_Type_free(&block);
        }
    }
    end(m);
}

// Rank by rank: for sums in place, which MPI's own call leaves elsewhere, and for large ones.
static void reduce_parts(mpi_comm *m, const char *name, void *recv, const void *send, int64_t count,
                         dtype type) {
    for (int rank = 0; rank < m->base.size; rank++) {
        const char *part = element_at(send, rank * count, type);
        for (int64_t i = 0; i < count && !m->base.failed; i += mpi_largest_piece) {
            const void *from = element_at(part, i, type);
            void *to = element_at(recv, i, type);
            bool in_place = rank == m->base.rank && from == to;
            check(m, name, mpi.MPI_Reduce(in_place ? MPI_IN_PLACE : from, to, piece_at(count, i),
                                          mpi_type(type), sum_of(m, type), rank, m->world));
        }
    }
}

static void mpi_reduce_scatter(comm *c, void *recv, const void *send, int64_t count, dtype type,
                               device *d) {
    mpi_comm *m = (mpi_comm *)c;
    const char *name = "reduce_scatter";
    if (!begin(m, name, d)) return;
    if (recv == element_at(send, c->rank * count, type) || count > mpi_largest_piece)
        reduce_parts(m, name, recv, send, count, type);
    else
        check(m, name, mpi.MPI_Reduce_scatter_block(send, recv, (int)count, mpi_type(type),
                                                    sum_of(m, type), m->world));
    end(m);
}

static void mpi_broadcast(comm *c, void *data, size_t bytes, int root, device *d) {
    mpi_comm *m = (mpi_comm *)c;
    const char *name = "broadcast";
    if (!begin(m, name, d)) return;
    int64_t count = (int64_t)bytes;
    for (int64_t i = 0; i < count && !c->failed; i += mpi_largest_piece)
        check(m, name, mpi.MPI_Bcast((char *)data + i, piece_at(count, i), MPI_BYTE, root, m->world));
    end(m);
}

static void mpi_barrier(comm *c) {
    mpi_comm *m = (mpi_comm *)c;
    if (!begin(m, "barrier", NULL)) return;
    check(m, "barrier", mpi.MPI_Barrier(m->world));
    end(m);
}

static int mpi_agree_max(comm *c, int value) {
    mpi_comm *m = (mpi_comm *)c;
    int largest = value;
    if (!begin(m, "agree_max", NULL)) return value;
    check(m, "agree_max", mpi.MPI_Allreduce(&value, &largest, 1, MPI_INT, MPI_MAX, m->world));
    end(m);
    return c->failed ? value : largest;
}

static void mpi_abort(comm *c) {
    mpi.MPI_Abort(((mpi_comm *)c)->world, 1);
}

static void mpi_close(comm *c) {
    mpi_comm *m = (mpi_comm *)c;
    // After a failure the others may not come, and a call that waits for them would hang.
    if (!c->failed) {
        begin(m, "close", NULL);
        if (m->requests) wait_for_sums(m, "close");
        mpi.MPI_Op_free(&m->sum_bf16);
        mpi.MPI_Op_free(&m->sum_f16);
        mpi.MPI_Comm_free(&m->world);
        mpi.MPI_Finalize();
        end(m);
    }
    watchdog_close(m->watchdog);
    mem_free(m);
}

// --- opening ---------------------------------------------------------------------------------------
static const comm table = {
    .name = "mpi",
    .all_reduce_sum = mpi_all_reduce_sum,
    .all_reduce_start = mpi_all_reduce_start,
    .all_reduce_finish = mpi_all_reduce_finish,
    .all_gather = mpi_all_gather,
    .reduce_scatter = mpi_reduce_scatter,
    .broadcast = mpi_broadcast,
    .barrier = mpi_barrier,
    .agree_max = mpi_agree_max,
    .abort = mpi_abort,
    .close = mpi_close,
};

static status join_world(mpi_comm *m, const launch *l) {
    comm *c = &m->base;
    mpi.MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    bool ok = check(m, "start", mpi.MPI_Comm_dup(MPI_COMM_WORLD, &m->world));
    if (ok) ok = check(m, "start", mpi.MPI_Comm_set_errhandler(m->world, MPI_ERRORS_RETURN));
    if (ok) ok = check(m, "start", mpi.MPI_Comm_rank(m->world, &c->rank));
    if (ok) ok = check(m, "start", mpi.MPI_Comm_size(m->world, &c->size));
    if (ok) ok = check(m, "start", mpi.MPI_Op_create(add_bf16, 1, &m->sum_bf16));
    if (ok) ok = check(m, "start", mpi.MPI_Op_create(add_f16, 1, &m->sum_f16));
    if (!ok) return comm_failed(c);
    if (l->size && (l->size != c->size || l->rank != c->rank))
        return status_fail(STATUS_USAGE, "started as rank %d of %d, but MPI sees rank %d of %d: start with "
                                         "the mpirun of the MPI that the program was built with, or with "
                                         "srun --mpi=pmix", l->rank, l->size, c->rank, c->size);
    return STATUS_OK;
}

// The watchdogs learn where the others are.
static status meet(mpi_comm *m) {
    const int bytes = (int)sizeof(watchdog_address);
    watchdog_address own = watchdog_own_address(m->watchdog), *all = NULL;
    status rc = mem_new(&all, m->base.size, "the ranks' addresses");
    if (rc) return rc;
    if (!check(m, "start", mpi.MPI_Allgather(&own, bytes, MPI_BYTE, all, bytes, MPI_BYTE, m->world)))
        rc = comm_failed(&m->base);
    if (!rc) rc = watchdog_meet(m->watchdog, all);
    mem_free(all);
    return rc;
}

status comm_open_mpi(comm **out, const launch *l, double watchdog_seconds) {
    mpi_comm *m;
    int given, already = 0;
    *out = NULL;
    status rc = mpi_open_library();
    if (rc) return rc;
    mpi.MPI_Initialized(&already);
    if (already) return status_fail(STATUS_DEVICE, "MPI serves one communicator in a process's life");
    rc = mem_new(&m, 1, "a communicator");
    if (rc) return rc;
    m->base = table;
    if (mpi.MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &given))
        rc = status_fail(STATUS_DEVICE, "MPI cannot start");
    if (!rc) rc = join_world(m, l);
    if (!rc) rc = watchdog_open(&m->watchdog, m->base.rank, m->base.size, watchdog_seconds);
    if (!rc) rc = meet(m);
    if (!rc) {
        *out = &m->base;
        return STATUS_OK;
    }
    watchdog_close(m->watchdog);
    mem_free(m);
    return rc;
}

void comm_describe(comm_facts *out) {
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length;
    *out = (comm_facts){.mpi = "built"};
    if (mpi_open_library()) {
        out->broken = true;
        snprintf(out->mpi, sizeof out->mpi, "absent (%.*s)", (int)sizeof out->mpi - 16, status_text());
        return;
    }
    if (mpi.MPI_Get_library_version(text, &length)) return; // one of the few calls that need no MPI_Init
    snprintf(out->library, sizeof out->library, "%.*s", (int)strcspn(text, ",\n"), text);
}
