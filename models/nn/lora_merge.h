// Adapters merged into their matrices, in memory: W + scale B A in place of W. What is computed with
// them is the same but for rounding, and a linear layer alone is faster.
#pragma once
#include "models/nn/lora.h"

// L's adapters go into its matrix; L has none from then on. A and B stay as they are. USAGE where the
// matrix is quantised; MEMORY.
status lora_merge(params *p, lora_linear *l);
