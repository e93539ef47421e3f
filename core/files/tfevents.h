// Event files of TensorBoard: numbers over steps, one record behind the other. A record is framed
// as TensorFlow's TFRecord (its length and the masked CRC-32C of length and content) and holds an
// Event message in the wire format of protocol buffers (tensorflow/core/util/event.proto,
// framework/summary.proto). Written, never read.
#pragma once
#include "core/buffer.h"

// What a file begins with. TIME: seconds since 1970.
void tfevents_begin(buffer *out, double time);
// VALUE of the curve TAG ("validation/auc") at STEP.
void tfevents_number(buffer *out, double time, int64_t step, const char *tag, double value);

// CRC-32C (Castagnoli) of SIZE bytes, as the format's other writers compute it.
uint32_t tfevents_crc32c(const void *bytes, size_t size);
