// Training the aligner: RaDialog's stage D, REFERENCE 4.
#pragma once
#include "train/run.h"

extern const stage stage_aligner;
