#include "train/waiting.h"

#include <stdlib.h>
#include <unistd.h>

// Rounds of a waiting loop, about 30 microseconds: what waking a sleeping thread costs.
static const char rounds[] = "2000";

void waiting_set(char **argv) {
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    if (!setenv("GOMP_SPINCOUNT", rounds, 0)) execv("/proc/self/exe", argv);
    // Where that fails the program goes on as it is: it only waits less well.
}
