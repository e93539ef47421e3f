// Run-length coded pixels of DICOM (PS3.5 annex G): our own, since DCMTK 3.6.7 follows offsets that
// point out of its memory. For data/dicom.cpp alone.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// One frame of one sample per pixel, COUNT pixels of WIDTH bytes (1 or 2), in the machine's byte
// order. False where CODED (size) is damaged; SAMPLES then hold anything.
bool dicom_rle_decode(void *samples, size_t count, int width, const uint8_t *coded, size_t size);

#ifdef __cplusplus
}
#endif
