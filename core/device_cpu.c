// The CPU device: host memory, OpenMP threads. oneDNN's part of it is in core/onednn.c.
#include "core/device.h"
#include "core/onednn.h"
#include "core/stream.h"

#include <omp.h>
#include <string.h>

static status cpu_take(device *d, size_t bytes, const char *what, void **out) {
    (void)d;
    return mem_take(out, bytes, 1, what);
}

static void cpu_release(device *d, void *block) {
    (void)d;
    mem_free(block);
}

static void cpu_transfer(device *d, void *to, const void *from, size_t bytes) {
    (void)d;
    memmove(to, from, bytes);
}

static void cpu_read_begin(device *d, int slot, const void *from, size_t bytes) {
    memcpy(d->stream->read[slot], from, bytes);
}

static void cpu_read_end(device *d, int slot, void *to, size_t bytes) {
    memcpy(to, d->stream->read[slot], bytes);
}

static void cpu_zero(device *d, void *block, size_t bytes) {
    (void)d;
    memset(block, 0, bytes);
}

static void cpu_wait(device *d) {
    (void)d;
}

static void cpu_close(device *d) {
    onednn_close(d->stream->onednn);
    mem_free(d->stream);
    mem_free(d);
}

status device_open_cpu(device **out, int threads) {
    device *d = NULL;
    status rc = mem_new(&d, 1, "a device");
    if (!rc) rc = mem_new(&d->stream, 1, "a device");
    if (rc) {
        mem_free(d);
        return rc;
    }
    // Work is split by this number, so it must not change between runs: no dynamic teams.
    omp_set_dynamic(0);
    if (threads > 0) omp_set_num_threads(threads);
    d->stream->threads = omp_get_max_threads();
    d->name = "cpu";
    d->type = DTYPE_F32;
    d->take = cpu_take;
    d->release = cpu_release;
    d->upload = d->copy = cpu_transfer;
    d->download = cpu_transfer;
    d->read_begin = cpu_read_begin;
    d->read_end = cpu_read_end;
    d->zero = cpu_zero;
    d->wait = cpu_wait;
    d->close = cpu_close;
    rc = onednn_open(&d->stream->onednn);
    if (rc)
        cpu_close(d);
    else
        *out = d;
    return rc;
}

status device_open_cpu_bf16(device **out, int threads) {
    status rc = device_open_cpu(out, threads);
    if (!rc) (*out)->type = DTYPE_BF16;
    return rc;
}

void device_close(device *d) {
    if (d) d->close(d);
}

void device_read(device *d, float *out, const tensor *x) {
    double piece[512];
    size_t size = dtype_size(x->type);
    int64_t count = tensor_count(x), most = (int64_t)(sizeof piece / size);
    for (int64_t at = 0; at < count; at += most) {
        int64_t n = count - at < most ? count - at : most;
        d->download(d, piece, (const char *)x->data + (size_t)at * size, (size_t)n * size);
        for (int64_t i = 0; i < n; i++) out[at + i] = (float)element_get(piece, i, x->type);
    }
}

status device_failed(device *d) {
    status rc = d->stream->failed;
    d->stream->failed = STATUS_OK;
    return rc ? status_carry(rc, d->stream->text) : STATUS_OK;
}

int stream_threads(const stream *s) {
    return s->threads;
}

void stream_fail(stream *s, status rc) {
    if (!rc || s->failed) return;
    s->failed = rc;
    memcpy(s->text, status_text(), sizeof s->text);
    s->text[sizeof s->text - 1] = 0;
}
