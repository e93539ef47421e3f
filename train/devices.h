// The device that a configuration asks for, with the kernels of every floor.
#pragma once
#include "core/config.h"
#include "core/device.h"

// Reads run.device, run.precision, run.threads and run.tf32. LOCAL_RANK is this process's number among those of
// the run on this machine: it chooses the GPU. USAGE where this build or this machine cannot.
status device_from_config(device **out, const config *c, int local_rank);
