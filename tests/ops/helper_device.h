// Numbers in a device's memory, for tests that call kernels bare: on a GPU they are not the host's.
#pragma once
#include "core/device.h"

// A copy of FROM's BYTES on the device; to be given back by device_fetch.
void *device_hold(device *d, const void *from, size_t bytes);
// Waits, copies the block to TO (NULL: nowhere) and releases it.
void device_fetch(device *d, void *to, void *block, size_t bytes);
