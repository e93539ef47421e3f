// Run by mpirun: what a communicator by MPI must do.
#include "core/mpi_private.h"
#include "tests/ranks/helper_collectives.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Floats whose sum hangs on its order: every rank and every repetition must get the same bytes.
static void check_same_bytes(comm *c, device *d, bool at_once) {
    enum { COUNT = 10007 };
    block x, first;
    block_open(&x, d, DTYPE_F32, COUNT);
    block_open(&first, d, DTYPE_F32, COUNT);
    for (int round = 0; round < 4; round++) {
        for (int64_t i = 0; i < COUNT; i++)
            block_put(&x, i, exp(0.7 * number_of(c->rank, i, 1)) / (1 + (double)c->rank));
        block_send(&x);
        (at_once ? c->all_reduce_sum : c->all_reduce_start)(c, x.data, COUNT, DTYPE_F32, d);
        c->all_reduce_finish(c, d);
        if (round == 0) {
            memcpy(first.data, x.data, COUNT * sizeof(float));
            c->broadcast(c, first.data, COUNT * sizeof(float), 0, d);
        }
        CHECK(!memcmp(first.data, x.data, COUNT * sizeof(float)));
    }
    block_close(&x);
    block_close(&first);
}

int main(int argc, char **argv) {
    launch l;
    device *d;
    comm *c;
    int ranks = argc > 1 ? atoi(argv[1]) : 1;
    CHECK(!launch_read(&l));
    check_rank = l.rank;
    CHECK(!device_open_cpu(&d, 1));
    CHECK(!comm_open(&c, &l, d, 60));
    CHECK(c->size == ranks);
    CHECK(!strcmp(c->name, ranks > 1 ? "mpi" : "single"));
    check_collectives(c, d);
    check_adjoint(c, d);
    check_buckets(c, d);
    if (ranks > 1) {
        check_dry(c, d);
        check_same_bytes(c, d, true);
        check_same_bytes(c, d, false);
        mpi_largest_piece = 100; // as if the arrays were larger than an int can count
        check_collectives(c, d);
        check_buckets(c, d);
    }
    int rank = c->rank;
    comm_close(c);
    device_close(d);
    if (!rank) printf("%d ranks: every collective is exact\n", ranks);
    return 0;
}
