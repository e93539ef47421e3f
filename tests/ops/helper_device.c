#include "tests/ops/helper_device.h"

void *device_hold(device *d, const void *from, size_t bytes) {
    void *block;
    if (d->take(d, bytes + 1, "a test", &block)) die("%s", status_text());
    if (bytes) d->upload(d, block, from, bytes);
    return block;
}

void device_fetch(device *d, void *to, void *block, size_t bytes) {
    if (to && bytes) d->download(d, to, block, bytes);
    d->release(d, block);
}
