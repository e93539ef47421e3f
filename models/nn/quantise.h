// Frozen matrices in few bits: the host's side. Numbers go in as f32, a few rows at a time, so that
// a file's tensor need not be in memory as a whole; what comes out is put on a device for linear
// layers (struct quantised, core/tensor.h), or made plain again for export and tests.
//
// INT8 is symmetric, a scale for each row: code = round(w / scale), scale = largest |w| / 127. FP8 is
// E4M3, a power of two as scale for each row (core/e4m3.h): what tensor cores multiply. NF4
// is that of QLoRA (Dettmers et al. 2023) with double quantisation, in the rule of bitsandbytes
// (blocks of 64, sizes in its signed dynamic code in blocks of 256 after their mean is subtracted):
// plain numbers equal its own.
#pragma once
#include "core/device.h"

typedef struct quantise {
    quantisation how;
    int64_t N, K;
    void *codes;
    float *scale;
    uint8_t *sizes;         // NF4
    float *largest;         // NF4: of each block, until the end
    float table[NF4_TABLE]; // NF4
    float offset;           // NF4
} quantise;

// USAGE where K is no multiple of 64 (NF4); MEMORY.
// Whether rows of K numbers can be coded so: USAGE where they are no whole blocks.
status quantise_check(quantisation how, int64_t K);
status quantise_open(quantise *q, quantisation how, int64_t N, int64_t K);
void quantise_close(quantise *q); // also of one that is all zero
// Rows FIRST to FIRST + COUNT: values (COUNT, K), in any order of rows. USAGE where one is not
// finite.
status quantise_rows(quantise *q, const float *values, int64_t first, int64_t count);
// After the last row.
void quantise_end(quantise *q);
// values (COUNT, K), the numbers that the device computes with before it rounds them to its type.
void quantise_plain(const quantise *q, float *values, int64_t first, int64_t count);

// Bytes on a device.
size_t quantise_bytes(quantisation how, int64_t N, int64_t K);
// Lays Q out in BLOCK, quantise_bytes of device memory aligned to 64 (borrowed), for a tensor to
// point at.
void quantise_upload(quantised *out, const quantise *q, device *d, void *block);
