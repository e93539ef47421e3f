// Run by mpirun: gathering rows of all ranks, forward and backward, on the oracle and in f32, with batches that
// divide by the ranks and such that do not, down to ranks without a row. Whole numbers, so sums are exact.
#include "models/ops/ops.h"
#include "tests/oracle/oracle.h"
#include "tests/ranks/helper_collectives.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 5, MOST = 9 };

typedef struct fixture {
    device *real, *dry;
    comm *comm;
} fixture;

static double weight(int rank, int64_t i, int use) {
    return number_of(rank, i, 40 + use) - 11;
}

// Writes weight(rank, element, use) as the gradient of each use: another loss on every rank.
static void weigh_rule(tape *t, const tape_node *node) {
    for (int u = 0; u < node->ins; u++) {
        int acc;
        tensor *y = node->in[u];
        void *dy = tape_gradient(t, y, &acc);
        if (t->device->dry) continue;
        for (int64_t i = 0; i < tensor_count(y); i++)
            element_put(dy, i, weight(t->comm->rank, i, u) + (acc ? element_get(dy, i, y->type) : 0), y->type);
    }
}

static void check_output(const comm *c, const tensor *y, int64_t total) {
    int64_t first, at = 0;
    for (int r = 0; r < c->size; r++) {
        int64_t own = comm_share(total, r, c->size, &first) * WIDTH;
        for (int64_t i = 0; i < own; i++, at++) CHECK(element_get(y->data, at, y->type) == number_of(r, i, 8));
    }
    CHECK(at == tensor_count(y));
}

static void run_once(tape *t, tensor *x, int64_t total, int uses) {
    tensor *y[2], *loss;
    tape_begin(t, true);
    x->grad->written = false;
    x->grad->uses = 0;
    for (int u = 0; u < uses; u++) y[u] = gather_ranks(t, x, total);
    CHECK(y[0]->rank == 2 && y[0]->dim[0] == total && y[0]->dim[1] == WIDTH);
    if (!t->device->dry) check_output(t->comm, y[uses - 1], total);
    loss = tape_tensor(t, 0, NULL);
    tape_record(t, "weigh", weigh_rule, NULL, &loss, 1, y, uses);
    tape_backward(t, loss, 1);
}

static void check_case(const fixture *f, int64_t total, int uses) {
    comm *c = f->comm;
    int64_t first, rows = comm_share(total, c->rank, c->size, &first), dim[2] = {rows, WIDTH};
    double x_block[MOST * WIDTH], dx_block[MOST * WIDTH + 1];
    gradient g = {.type = f->real->type, .data = dx_block};
    tensor x = {.data = x_block, .grad = &g, .type = f->real->type, .rank = 2, .dim = {dim[0], dim[1]}};
    tape t;
    for (int64_t i = 0; i < rows * WIDTH; i++) element_put(x_block, i, number_of(c->rank, i, 8), x.type);
    for (int64_t i = 0; i <= rows * WIDTH; i++) element_put(dx_block, i, 777, x.type);
    CHECK(!tape_init(&t, f->real, f->dry, c));
    run_once(&t, &x, total, uses);
    CHECK(!tape_allocate(&t, tape_used(&t)));
    run_once(&t, &x, total, uses);
    CHECK(!tape_failed(&t) && !comm_failed(c));
    for (int64_t i = 0; i < rows * WIDTH; i++) {
        double sum = 0;
        for (int u = 0; u < uses; u++)
            for (int r = 0; r < c->size; r++) sum += weight(r, first * WIDTH + i, u);
        CHECK(element_get(dx_block, i, x.type) == sum);
    }
    CHECK(element_get(dx_block, rows * WIDTH, x.type) == 777);
    tape_free(&t);
}

int main(int argc, char **argv) {
    launch l;
    fixture f[3] = {0};
    comm *c;
    CHECK(argc == 2 && !launch_read(&l));
    check_rank = l.rank;
    CHECK(!device_open_oracle(&f[0].real) && !device_open_cpu(&f[1].real, 1));
    f[1].real->ops = &op_kernels_cpu;
    CHECK(!comm_open(&c, &l, f[0].real, 60));
    CHECK(c->size == atoi(argv[1]));
    for (int i = 0; i < 2; i++) {
        f[i].comm = c;
        CHECK(!device_open_dry(&f[i].dry, f[i].real));
        for (int64_t total = 1; total <= MOST; total++)
            for (int uses = 1; uses <= 2; uses++) check_case(&f[i], total, uses);
    }
    int rank = c->rank;
    comm_close(c);
    for (int i = 0; i < 2; i++) device_close(f[i].dry), device_close(f[i].real);
    if (!rank) printf("gathering is exact on %s ranks\n", argv[1]);
    return 0;
}
