// DICOM files for tests, written byte by byte (PS3.5 7.1, PS3.10 7.1); and the same compressed by
// DCMTK.
#pragma once
#include "core/buffer.h"

// What a file says; NULL and 0 leave the element out, unless a default stands here.
typedef struct dicom_source {
    const char *syntax;    // of the data set: explicit little endian; IMPLICIT_SYNTAX is written as
                           // such, any other UID with the samples as its one fragment
    const char *sop_class; // digital X-ray for presentation
    const char *instance, *study, *patient, *name, *accession;
    const char *modality;                                                            // DX
    const char *view, *view_meaning, *burned_in, *conversion, *frames, *photometric; // MONOCHROME2
    const char *center, *span;
    int width, height, allocated, stored, high; // 8, as allocated, stored - 1
    int is_signed, samples_per_pixel;           // 0, 1
    const void *samples;                        // (height, width); NULL: no pixels
    const char *charset;
    const char *content[8][3]; // of a structured report: container ("" for none), concept, text
} dicom_source;

#define IMPLICIT_SYNTAX   "1.2.840.10008.1.2"
#define TEXT_REPORT       "1.2.840.10008.5.1.4.1.1.88.11"
#define SECONDARY_CAPTURE "1.2.840.10008.5.1.4.1.1.7"

void dicom_bytes(buffer *out, const dicom_source *s);
void dicom_write(const char *path, const dicom_source *s);

#ifdef __cplusplus
extern "C"
#endif
    // Rewrites the file in the transfer syntax of that name: "rle", "jpeg-lossless",
    // "jpeg-baseline", "jpeg-ls", "deflated", "big-endian". 0 if it could.
    int
    dicom_compress(const char *path, const char *syntax);
