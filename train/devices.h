// The device that a configuration asks for, with the kernels of every floor.
#pragma once
#include "core/config.h"
#include "core/device.h"

// Reads run.device, run.precision and run.threads. USAGE where this build or this machine cannot.
status device_from_config(device **out, const config *c);
