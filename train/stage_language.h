// Training language models on conversations (REFERENCE section 5): all of a small one (`train lm`), or
// low-rank adapters and the image projection beside a frozen one (`train lora`).
#pragma once
#include "train/run.h"

extern const stage stage_lm, stage_lora;
