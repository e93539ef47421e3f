#include "tests/ranks/helper_collectives.h"
#include "tests/ranks/helper_open.h"

void open_ranks(comm **c, device **d, double watchdog_seconds) {
    launch l;
    CHECK(!launch_read(&l));
    check_rank = l.rank;
    CHECK(!device_open_cpu(d, 1));
    CHECK(!comm_open(c, &l, *d, watchdog_seconds));
}
