// NCCL beside core/comm.h's table.
#pragma once
#include "core/library.h"

// Opens the library, without a GPU, to say where it is and which version.
status nccl_library(library_facts *out);
