// The few functions of CUDA's runtime that core/cuda/nccl.c calls, on the host: a stream is a thread that does
// one thing after the other, an event a place in a stream. Late where a GPU would be: nothing is done at once.
#include "core/cuda/stream.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct task {
    struct task *next;
    cudaHostFn_t act;
    void *data;
} task;

struct CUstream_st {
    pthread_t thread;
    task *first, *last;
    long entered, done;
    int closing;
};

struct CUevent_st {
    cudaStream_t on; // NULL: not yet recorded
    long place;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void *run(void *context) {
    cudaStream_t s = context;
    pthread_mutex_lock(&lock);
    while (!s->closing || s->first) {
        task *t = s->first;
        if (!t) {
            pthread_cond_wait(&changed, &lock);
            continue;
        }
        s->first = t->next;
        pthread_mutex_unlock(&lock);
        usleep(s->done % 3 ? 0 : 200);
        t->act(t->data);
        free(t);
        pthread_mutex_lock(&lock);
        s->done++;
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned int flags) {
    (void)flags;
    *out = calloc(1, sizeof **out);
    return pthread_create(&(*out)->thread, NULL, run, *out) ? cudaErrorUnknown : cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s) {
    pthread_mutex_lock(&lock);
    s->closing = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(s->thread, NULL);
    free(s);
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t act, void *data) {
    task *t = malloc(sizeof *t);
    *t = (task){.act = act, .data = data};
    pthread_mutex_lock(&lock);
    if (s->first) s->last->next = t;
    else s->first = t;
    s->last = t;
    s->entered++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

static void wait_for(cudaStream_t s, long place) {
    pthread_mutex_lock(&lock);
    while (s->done < place) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

cudaError_t cudaStreamSynchronize(cudaStream_t s) {
    pthread_mutex_lock(&lock);
    long place = s->entered;
    pthread_mutex_unlock(&lock);
    wait_for(s, place);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned int flags) {
    (void)flags;
    *out = calloc(1, sizeof **out);
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t e) {
    free(e);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
    pthread_mutex_lock(&lock);
    *e = (struct CUevent_st){s, s->entered};
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t e) {
    pthread_mutex_lock(&lock);
    int ready = !e->on || e->on->done >= e->place;
    pthread_mutex_unlock(&lock);
    return ready ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e) {
    if (e->on) wait_for(e->on, e->place);
    return cudaSuccess;
}

static void wait_in_stream(void *data) {
    struct CUevent_st *place = data;
    wait_for(place->on, place->place);
    free(place);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned int flags) {
    (void)flags;
    struct CUevent_st *copy = malloc(sizeof *copy);
    pthread_mutex_lock(&lock);
    *copy = *e;
    pthread_mutex_unlock(&lock);
    if (copy->on) return cudaLaunchHostFunc(s, wait_in_stream, copy);
    free(copy);
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int index) {
    return index == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

const char *cudaGetErrorString(cudaError_t error) {
    return error ? "an error of the fake CUDA" : "no error";
}

status cuda_status(cudaError_t error, const char *what) {
    return error ? status_fail(STATUS_DEVICE, "CUDA: %s", what) : STATUS_OK;
}
