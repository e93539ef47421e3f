// Started once for each rank (together.py): core/cuda/nccl.c over the fake library.
#include "tests/ranks/helper_collectives.h"
#include "tests/ranks/helper_open.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    device *d;
    comm *c;
    CHECK(argc == 2);
    open_ranks(&c, &d, 60);
    CHECK(!strcmp(c->name, atoi(argv[1]) > 1 ? "nccl" : "single"));
    CHECK(c->size == atoi(argv[1]));
    check_collectives(c, d);
    check_adjoint(c, d);
    for (int i = 0; i < 5; i++) check_buckets(c, d);
    if (c->size > 1) check_dry(c, d);
    int rank = c->rank;
    comm_close(c);
    device_close(d);
    if (!rank) printf("%s ranks: every collective is exact\n", argv[1]);
    return 0;
}
