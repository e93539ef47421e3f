// The op alone, among ranks that all hold what this one holds: gathering repeats its rows, and the adjoint of
// repeating is the sum over the parts. tests/ranks/ranks_gather.c has real ranks.
#include "tests/ops/helper_op_check.h"

typedef struct gather_case {
    int rank, size;
    int64_t total;
} gather_case;

static void repeat(comm *c, void *recv, const void *send, int64_t count, dtype type, device *d) {
    size_t bytes = (size_t)count * dtype_size(type);
    for (int r = 0; r < c->size; r++)
        if ((char *)recv + (size_t)r * bytes != (const char *)send)
            d->copy(d, (char *)recv + (size_t)r * bytes, send, bytes);
}

// RECV may be its own place in SEND: the others are added to it.
static void add_parts(comm *c, void *recv, const void *send, int64_t count, dtype type, device *d) {
    size_t bytes = (size_t)count * dtype_size(type);
    const char *own = (const char *)send + (size_t)c->rank * bytes;
    if (recv != own) d->copy(d, recv, own, bytes);
    for (int r = 0; r < c->size; r++)
        if (r != c->rank)
            d->ops->add_backward(recv, (const char *)send + (size_t)r * bytes, count, 1, type, d->stream);
}

static comm mirror = {.name = "mirror", .all_gather = repeat, .reduce_scatter = add_parts};

static tensor *run(tape *t, tensor **in, const void *context) {
    const gather_case *c = context;
    mirror.rank = c->rank;
    mirror.size = c->size;
    t->comm = &mirror;
    return gather_ranks(t, in[0], c->total);
}

static const gather_case cases[] = {{0, 2, 6}, {1, 2, 6}, {0, 2, 7}, {1, 2, 7}, {2, 3, 7}, {0, 3, 4}, {1, 4, 2}};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(gather_ranks_shapes) {
    const gather_case *c = &cases[_i];
    op_check(&(op_case){
        .op = "gather_ranks",
        .input = {{.rank = 3, .dim = {comm_share(c->total, c->rank, c->size, NULL), 3, 5}, .gradient = true}},
        .inputs = 1,
        .run = run,
        .context = c,
    });
}
END_TEST

int main(void) {
    Suite *suite = suite_create("gather_ranks");
    TCase *tcase = tcase_create("shapes");
    tcase_add_loop_test(tcase, gather_ranks_shapes, 0, CASES);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
