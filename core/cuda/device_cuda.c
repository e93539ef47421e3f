// Memory, transfers and graphs of the CUDA device. All work is ordered by one stream; the host runs ahead of
// it and waits only where it wants numbers.
//
// Host memory reaches the GPU through a ring of pinned pieces, so that a caller's buffer is free again when
// upload returns and the copy itself is asynchronous.
#include "core/cuda/device_cuda.h"
#include "core/cuda/cublas.h"
#include "core/cuda/cudnn.h"
#include "core/cuda/stream.h"
#include "core/gpu.h"

#include <stdio.h>
#include <string.h>

const char gpu_build[] = "built";

enum { PIECES = 4 };
static const size_t PIECE = (size_t)8 << 20;

typedef struct staging {
    char *piece[PIECES]; // pinned
    cudaEvent_t done[PIECES];
    int now;     // the piece being filled
    size_t used; // of it
} staging;

typedef struct cuda_device {
    device device; // first: the table is what others hold
    cuda_stream stream;
    staging up;
    char *read; // (DEVICE_READS, DEVICE_READ_BYTES), pinned
    cudaEvent_t read_done[DEVICE_READS];
} cuda_device;

struct device_graph {
    cudaGraphExec_t exec;
};

// --- errors ------------------------------------------------------------------------------------------
status cuda_status(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return STATUS_OK;
    const char *advice = error == cudaErrorMemoryAllocation ? "; radialog plan shows what is needed" : "";
    return status_fail(error == cudaErrorMemoryAllocation ? STATUS_MEMORY : STATUS_DEVICE, "CUDA: %s: %s (%s)%s",
                       what, cudaGetErrorString(error), cudaGetErrorName(error), advice);
}

void cuda_check_at(stream *s, cudaError_t error, const char *what, const char *file, int line) {
    char place[256];
    if (error == cudaSuccess) return;
    snprintf(place, sizeof place, "%s (%s:%d)", what, file, line);
    stream_fail(s, cuda_status(error, place));
}

static cuda_device *cuda_of(device *d) {
    return (cuda_device *)d;
}

static cudaStream_t handle_of(const device *d) {
    return d->stream->cuda->handle;
}

// --- memory ------------------------------------------------------------------------------------------
static status cuda_take(device *d, size_t bytes, const char *what, void **out) {
    *out = NULL;
    cudaError_t error = cudaMalloc(out, bytes ? bytes : 1);
    if (!error) error = cudaMemsetAsync(*out, 0, bytes, handle_of(d));
    if (!error) return STATUS_OK;
    char text[256];
    snprintf(text, sizeof text, "%zu bytes for %s", bytes, what);
    cudaFree(*out);
    *out = NULL;
    cudaGetLastError(); // it was told; later calls must not tell it again
    return cuda_status(error, text);
}

static void cuda_release(device *d, void *block) {
    (void)d;
    cudaFree(block); // waits for the work that uses it
}

// The next piece, once the copies from it are done.
static void staging_turn(staging *u, stream *s) {
    CUDA_CHECK(s, cudaEventRecord(u->done[u->now], s->cuda->handle));
    u->now = (u->now + 1) % PIECES;
    u->used = 0;
    CUDA_CHECK(s, cudaEventSynchronize(u->done[u->now]));
}

static void expect_no_recording(const device *d, const char *what) {
    if (d->stream->cuda->recording)
        die("CUDA device: %s while a step is recorded: it would be done once and not replayed", what);
}

static void cuda_upload(device *d, void *to_device, const void *from_host, size_t bytes) {
    staging *u = &cuda_of(d)->up;
    expect_no_recording(d, "an upload");
    for (size_t at = 0; at < bytes;) {
        if (u->used == PIECE) staging_turn(u, d->stream);
        size_t room = PIECE - u->used, n = bytes - at < room ? bytes - at : room;
        char *piece = u->piece[u->now] + u->used;
        memcpy(piece, (const char *)from_host + at, n);
        CUDA_CHECK(d->stream, cudaMemcpyAsync((char *)to_device + at, piece, n, cudaMemcpyHostToDevice,
                                              handle_of(d)));
        size_t aligned = (n + 63) / 64 * 64;
        u->used = aligned < room ? u->used + aligned : PIECE;
        at += n;
    }
}

static void cuda_download(device *d, void *to_host, const void *from_device, size_t bytes) {
    expect_no_recording(d, "a download");
    CUDA_CHECK(d->stream,
               cudaMemcpyAsync(to_host, from_device, bytes, cudaMemcpyDeviceToHost, handle_of(d)));
    CUDA_CHECK(d->stream, cudaStreamSynchronize(handle_of(d)));
}

static void cuda_read_begin(device *d, int slot, const void *from_device, size_t bytes) {
    cuda_device *c = cuda_of(d);
    expect_no_recording(d, "a read");
    CUDA_CHECK(d->stream, cudaMemcpyAsync(c->read + slot * DEVICE_READ_BYTES, from_device, bytes,
                                          cudaMemcpyDeviceToHost, handle_of(d)));
    CUDA_CHECK(d->stream, cudaEventRecord(c->read_done[slot], handle_of(d)));
}

static void cuda_read_end(device *d, int slot, void *to_host, size_t bytes) {
    cuda_device *c = cuda_of(d);
    CUDA_CHECK(d->stream, cudaEventSynchronize(c->read_done[slot]));
    memcpy(to_host, c->read + slot * DEVICE_READ_BYTES, bytes);
}

static void cuda_copy(device *d, void *to, const void *from, size_t bytes) {
    CUDA_CHECK(d->stream, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, handle_of(d)));
}

static void cuda_zero(device *d, void *block, size_t bytes) {
    if (bytes) CUDA_CHECK(d->stream, cudaMemsetAsync(block, 0, bytes, handle_of(d)));
}

static void cuda_wait(device *d) {
    expect_no_recording(d, "a wait");
    CUDA_CHECK(d->stream, cudaStreamSynchronize(handle_of(d)));
}

// --- graphs ------------------------------------------------------------------------------------------
static void cuda_graph_begin(device *d) {
    cuda_stream *c = d->stream->cuda;
    CUDA_CHECK(d->stream, cudaStreamBeginCapture(c->handle, cudaStreamCaptureModeThreadLocal));
    c->recording = true;
}

static status cuda_graph_end(device *d, device_graph **out) {
    cuda_stream *c = d->stream->cuda;
    cudaGraph_t graph = NULL;
    device_graph *g = NULL;
    *out = NULL;
    c->recording = false;
    status rc = cuda_status(cudaStreamEndCapture(c->handle, &graph), "the end of a recorded step");
    if (!rc) rc = mem_new(&g, 1, "a graph");
    if (!rc) rc = cuda_status(cudaGraphInstantiate(&g->exec, graph, 0), "a recorded step");
    if (!rc) rc = cuda_status(cudaGraphUpload(g->exec, c->handle), "a recorded step");
    if (graph) cudaGraphDestroy(graph);
    if (!rc) *out = g;
    if (rc && g) d->graph_close(d, g);
    if (rc) cudaGetLastError();
    return rc;
}

static void cuda_graph_run(device *d, device_graph *g) {
    CUDA_CHECK(d->stream, cudaGraphLaunch(g->exec, handle_of(d)));
}

static void cuda_graph_close(device *d, device_graph *g) {
    (void)d;
    if (g && g->exec) cudaGraphExecDestroy(g->exec);
    mem_free(g);
}

static void cuda_graph_step(device *d, uint32_t step, uint32_t first_sample) {
    step_numbers now = {step, first_sample};
    d->upload(d, d->stream->cuda->now, &now, sizeof now);
}

// --- opening -----------------------------------------------------------------------------------------
static void cuda_close(device *d) {
    cuda_device *c = cuda_of(d);
    cuda_stream *s = &c->stream;
    if (s->handle) cudaStreamSynchronize(s->handle);
    cudnn_close(s->cudnn);
    cublas_close(s->cublas);
    for (int i = 0; i < PIECES; i++) {
        cudaFreeHost(c->up.piece[i]);
        if (c->up.done[i]) cudaEventDestroy(c->up.done[i]);
    }
    cudaFreeHost(c->read);
    for (int i = 0; i < DEVICE_READS; i++)
        if (c->read_done[i]) cudaEventDestroy(c->read_done[i]);
    cudaFree(s->partials);
    cudaFree(s->now);
    if (s->handle) cudaStreamDestroy(s->handle);
    mem_free(d->stream);
    mem_free(c);
}

static status open_event(cudaEvent_t *event) {
    return cuda_status(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "an event");
}

static status open_reads(cuda_device *c) {
    size_t bytes = DEVICE_READS * DEVICE_READ_BYTES;
    status rc = cuda_status(cudaHostAlloc((void **)&c->read, bytes, cudaHostAllocDefault), "pinned memory");
    for (int i = 0; i < DEVICE_READS && !rc; i++) rc = open_event(&c->read_done[i]);
    return rc;
}

static status open_staging(staging *u) {
    status rc = STATUS_OK;
    for (int i = 0; i < PIECES && !rc; i++) {
        rc = cuda_status(cudaHostAlloc((void **)&u->piece[i], PIECE, cudaHostAllocDefault), "pinned memory");
        if (!rc) rc = open_event(&u->done[i]);
    }
    return rc;
}

static status read_properties(cuda_stream *s, const cuda_options *o) {
    struct cudaDeviceProp p;
    status rc = cuda_status(cudaGetDeviceProperties(&p, o->index), "the GPU's properties");
    if (rc) return rc;
    s->index = o->index;
    s->sm = p.major * 10 + p.minor;
    s->multiprocessors = p.multiProcessorCount;
    s->tf32 = o->tf32 && s->sm >= 80;
    if (s->sm < 75)
        return status_fail(STATUS_USAGE, "%s has compute capability %d.%d; this program is built for 7.5 and "
                                         "later: use --device cpu", p.name, p.major, p.minor);
    if (o->type == DTYPE_BF16 && s->sm < 80)
        return status_fail(STATUS_USAGE, "bf16 needs compute capability 8.0, %s has %d.%d: use --precision "
                                         "fp16 or f32", p.name, p.major, p.minor);
    return STATUS_OK;
}

static status open_parts(cuda_device *c, const cuda_options *o) {
    cuda_stream *s = &c->stream;
    stream *own = c->device.stream;
    status rc = cuda_status(cudaSetDevice(o->index), "the GPU");
    if (!rc) rc = read_properties(s, o);
    if (!rc) rc = cuda_status(cudaStreamCreateWithFlags(&s->handle, cudaStreamNonBlocking), "a stream");
    if (!rc) rc = cuda_status(cudaMalloc((void **)&s->now, sizeof *s->now), "a few bytes");
    if (!rc) rc = cuda_status(cudaMemset(s->now, 0, sizeof *s->now), "a few bytes");
    if (!rc)
        rc = cuda_status(cudaMalloc((void **)&s->partials, CUDA_PARTIALS * sizeof *s->partials), "sums");
    if (!rc) rc = open_staging(&c->up);
    if (!rc) rc = open_reads(c);
    if (!rc) rc = cublas_open(&s->cublas, own);
    if (!rc) rc = cudnn_open(&s->cudnn, own);
    return rc;
}

int gpu_count(char *text, size_t size) {
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (!error && count > 0) return count;
    cudaGetLastError();
    if (error == cudaErrorInsufficientDriver || error == cudaErrorStubLibrary || error == cudaErrorNoDevice)
        snprintf(text, size, "no NVIDIA driver, or no GPU behind it (%s)", cudaGetErrorString(error));
    else
        snprintf(text, size, "%s", error ? cudaGetErrorString(error) : "no GPU is visible");
    return 0;
}

static int64_t cuda_room(device *d) {
    size_t free, all;
    (void)d;
    return cudaMemGetInfo(&free, &all) == cudaSuccess ? (int64_t)free : -1;
}

static const device table = {
    .name = "cuda",
    .take = cuda_take,
    .release = cuda_release,
    .upload = cuda_upload,
    .download = cuda_download,
    .read_begin = cuda_read_begin,
    .read_end = cuda_read_end,
    .copy = cuda_copy,
    .zero = cuda_zero,
    .wait = cuda_wait,
    .room = cuda_room,
    .close = cuda_close,
    .graph_begin = cuda_graph_begin,
    .graph_end = cuda_graph_end,
    .graph_run = cuda_graph_run,
    .graph_close = cuda_graph_close,
    .graph_step = cuda_graph_step,
};

status device_open_cuda(device **out, const cuda_options *o) {
    char reason[256];
    int count = gpu_count(reason, sizeof reason);
    *out = NULL;
    if (o->type != DTYPE_F32 && o->type != DTYPE_BF16 && o->type != DTYPE_F16)
        die("device_open_cuda: %s", dtype_name(o->type));
    if (!count)
        return status_fail(STATUS_USAGE, "--device cuda: %s; radialog doctor says more, --device cpu computes "
                                         "without one", reason);
    if (o->index < 0 || o->index >= count)
        return status_fail(STATUS_USAGE, "GPU %d was asked for; there are %d (from 0; CUDA_VISIBLE_DEVICES "
                                         "chooses)", o->index, count);
    cuda_device *c = NULL;
    status rc = mem_new(&c, 1, "the CUDA device");
    if (!rc) rc = mem_new(&c->device.stream, 1, "the CUDA device");
    if (rc) {
        mem_free(c);
        return rc;
    }
    stream *own = c->device.stream;
    device *d = &c->device;
    *d = table;
    d->stream = own;
    d->type = o->type;
    own->cuda = &c->stream;
    own->threads = 1;
    rc = open_parts(c, o);
    if (rc)
        cuda_close(d);
    else
        *out = d;
    return rc;
}

status gpu_describe(gpu_facts *out, int index) {
    struct cudaDeviceProp p;
    *out = (gpu_facts){0};
    status rc = cuda_status(cudaGetDeviceProperties(&p, index), "the GPU's properties");
    if (!rc) rc = cuda_status(cudaSetDevice(index), "the GPU");
    if (!rc) rc = cuda_status(cudaMemGetInfo(&out->free, &out->memory), "the GPU's memory");
    if (!rc) rc = cuda_status(cudaDriverGetVersion(&out->driver), "the driver's version");
    if (!rc) rc = cuda_status(cudaRuntimeGetVersion(&out->runtime), "the runtime's version");
    if (rc) return rc;
    snprintf(out->name, sizeof out->name, "%s", p.name);
    out->sm = p.major * 10 + p.minor;
    out->multiprocessors = p.multiProcessorCount;
    return STATUS_OK;
}
