// Numbers of 16 bits as f32: for results that a library writes narrower than they are kept.
#pragma once
#include "core/cuda/stream.h"

// out (COUNT) = inp (COUNT) of TYPE, bf16 or f16; exact.
void numbers_widen(float *out, const void *inp, dtype type, int64_t count, stream *s);
