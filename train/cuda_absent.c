// Builds without CUDA say so.
#include "train/cuda_device.h"

#include <stdio.h>

const char gpu_build[] = "absent (this build has none)";

static const char advice[] = "this program was built without CUDA; scripts/build.sh cuda-release builds with it";

status cuda_device_open(device **out, int index, dtype type, bool tf32) {
    (void)index, (void)type, (void)tf32;
    *out = NULL;
    return status_fail(STATUS_USAGE, "--device cuda: %s (--device cpu computes without)", advice);
}

int gpu_count(char *text, size_t size) {
    snprintf(text, size, "%s", advice);
    return 0;
}

status gpu_describe(gpu_facts *out, int index) {
    *out = (gpu_facts){0};
    return status_fail(STATUS_USAGE, "GPU %d: %s", index, advice);
}

status gpu_library_find(gpu_library *out, int which) {
    (void)which;
    *out = (gpu_library){.name = "CUDA"};
    return status_fail(STATUS_USAGE, "%s", advice);
}
