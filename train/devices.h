// The device that a configuration asks for, with the kernels of every floor.
#pragma once
#include "core/config.h"
#include "core/device.h"
#include "core/launch.h"

// Reads run.device, run.precision, run.threads and run.tf32. The ranks of a machine (STARTED tells this one's
// place; NULL: alone) take a GPU each and share its cores. USAGE where this build or this machine cannot.
status device_from_config(device **out, const config *c, const launch *started);

// The CPU in f32 or bf16 with THREADS (0: the usual number). USAGE where TYPE is another.
status cpu_device_open(device **out, dtype type, int threads);
