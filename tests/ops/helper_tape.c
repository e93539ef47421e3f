#include "tests/ops/helper_tape.h"
#include "tests/ops/helper_op_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void tape_open_large(tape *t, bool oracle) {
    static device *dry[2];
    static comm *single;
    if (!dry[oracle]) ck_assert_int_eq(device_open_dry(&dry[oracle], test_device(oracle)), 0);
    if (!single) ck_assert_int_eq(comm_open_single(&single), 0);
    ck_assert_int_eq(tape_init(t, test_device(oracle), dry[oracle], single), 0);
    ck_assert_int_eq(tape_allocate(t, (tape_size){16 << 20, 16 << 20}), 0);
    tape_begin(t, true);
}

float *random_floats(int64_t count, uint32_t seed, double low, double high) {
    float *x = malloc((size_t)(count + 1) * sizeof *x);
    for (int64_t i = 0; i < count; i++) {
        double u = (double)rng_uniform((rng_key){seed, 1, 2}, 3, (uint64_t)i);
        x[i] = (float)(low + (high - low) * u);
    }
    return x;
}

float *random_integers(int64_t count, uint32_t seed, int largest) {
    float *x = random_floats(count, seed, -largest - 0.49, largest + 0.49);
    for (int64_t i = 0; i < count; i++) x[i] = roundf(x[i]);
    return x;
}

double *to_doubles(const float *x, int64_t count) {
    double *out = malloc((size_t)(count + 1) * sizeof *out);
    for (int64_t i = 0; i < count; i++) out[i] = (double)x[i];
    return out;
}

tensor tensor_over(void *data, dtype type, int rank, const int64_t *dim) {
    tensor x = {.data = data, .type = type, .rank = rank};
    for (int i = 0; i < rank; i++) x.dim[i] = dim[i];
    return x;
}

void tensor_want(tensor *x, gradient *g, void *d) {
    *g = (gradient){.data = d, .type = x->type};
    x->grad = g;
}

double relative_distance(const float *a, const double *b, int64_t count) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += b[i] * b[i];
    }
    if (!isfinite(difference) || !(size > 0)) return INFINITY;
    return sqrt(difference / size);
}

void expect_death(void (*call)(tape *t), const char *text) {
    int ends[2], state;
    char said[2048];
    size_t length = 0;
    tape t;
    tape_open_large(&t, false);
    ck_assert_int_eq(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        call(&t);
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got; length + 1 < sizeof said &&
                      (got = read(ends[0], said + length, sizeof said - 1 - length)) > 0;)
        length += (size_t)got;
    said[length] = 0;
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert_msg(WIFSIGNALED(state), "the call came back, expected it to die with '%s'", text);
    ck_assert_msg(strstr(said, text), "died with '%s', expected '%s'", said, text);
    tape_free(&t);
}
