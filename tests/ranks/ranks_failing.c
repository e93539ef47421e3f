// Ranks that never end by themselves, for failures.py to kill, stop or hinder:
//     ranks_failing loop|device|behind|late|abort SECONDS-OF-THE-WATCHDOG
// In "device" the hosts agree on nothing; in "late" rank 1's host agrees, but its device never comes. Each says
// "rank R pid P" on stdout once all have met.
#include "tests/ranks/helper_collectives.h"
#include "tests/ranks/helper_open.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    device *d;
    comm *c;
    CHECK(argc == 3);
    open_ranks(&c, &d, atof(argv[2]));
    block x;
    block_open(&x, d, DTYPE_F32, 1000);
    c->barrier(c);
    printf("rank %d pid %d\n", c->rank, (int)getpid());
    fflush(stdout);
    c->barrier(c);
    for (int i = 0; i < 6000; i++) {
        if (i == 20 && c->rank == 1 && !strcmp(argv[1], "behind")) sleep(60);
        if (i == 20 && c->rank == 1 && !strcmp(argv[1], "late")) {
            c->agree_max(c, 0);
            sleep(60);
        }
        if (i == 20 && c->rank == 1 && !strcmp(argv[1], "abort")) comm_abort(c, "the disk is full");
        c->all_reduce_sum(c, x.data, 1000, DTYPE_F32, d);
        c->all_reduce_start(c, x.data, 1000, DTYPE_F32, d);
        c->all_reduce_finish(c, d);
        if (strcmp(argv[1], "device")) c->agree_max(c, 0);
        d->wait(d);
        if (comm_failed(c)) comm_abort(c, status_text());
        usleep(10000);
    }
    return 3; // nobody came to fail us
}
