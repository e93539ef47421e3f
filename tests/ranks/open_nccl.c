// The CPU device with two fake streams, dressed as a CUDA device: transfers wait for the computing stream, and
// for that one only.
#include "core/cuda/stream.h"
#include "tests/ranks/helper_collectives.h"
#include "tests/ranks/helper_open.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static cuda_stream computing;

static void transfer(device *d, void *to, const void *from, size_t bytes) {
    (void)d;
    cudaStreamSynchronize(computing.handle);
    memmove(to, from, bytes);
}

typedef struct copying {
    void *to;
    const void *from;
    size_t bytes;
} copying;

static void copy_late(void *data) {
    copying *c = data;
    usleep(300);
    memmove(c->to, c->from, c->bytes);
    free(c);
}

// As a GPU does it: the host goes on.
static void copy(device *d, void *to, const void *from, size_t bytes) {
    (void)d;
    copying *c = malloc(sizeof *c);
    *c = (copying){to, from, bytes};
    cudaLaunchHostFunc(computing.handle, copy_late, c);
}

static void zero(device *d, void *to, size_t bytes) {
    (void)d;
    cudaStreamSynchronize(computing.handle);
    memset(to, 0, bytes);
}

static void wait(device *d) {
    (void)d;
    cudaStreamSynchronize(computing.handle);
}

void open_ranks(comm **c, device **d, double watchdog_seconds) {
    launch l;
    CHECK(!launch_read(&l));
    check_rank = l.rank;
    CHECK(!device_open_cpu(d, 1));
    CHECK(!cudaStreamCreateWithFlags(&computing.handle, cudaStreamNonBlocking));
    computing.recording = getenv("TEST_RECORDING") != NULL; // then no call tells the watchdog
    (*d)->name = "cuda";
    (*d)->stream->cuda = &computing;
    (*d)->upload = (*d)->download = transfer;
    (*d)->copy = copy;
    (*d)->zero = zero;
    (*d)->wait = wait;
    CHECK(!comm_open(c, &l, *d, watchdog_seconds));
}
