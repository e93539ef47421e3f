// DCMTK behind a header for C: what a DICOM file says of itself, its stored pixels, the text of its
// report. data/dicom.cpp is the only file that includes the library's headers; no exception leaves
// it, and nothing is logged: the library's own messages quote values, names of patients among them.
// What pixels mean is data/dicom_pixels.h's business. A program built without DCMTK has
// data/dicom_absent.c instead.
#pragma once
#include "core/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DICOM_TEXT = 256, DICOM_UID = 72 };

typedef enum dicom_kind {
    DICOM_OTHER,  // a list of media, an image of another modality, ...
    DICOM_IMAGE,  // modality CR or DX
    DICOM_REPORT, // a structured report that is text: basic, enhanced or comprehensive
} dicom_kind;

// Texts as they stand in the file, "" where it does not say; longer ones are cut.
typedef struct dicom_facts {
    dicom_kind kind;
    char modality[DICOM_TEXT];
    char instance[DICOM_UID], study[DICOM_UID]; // UIDs
    char accession[DICOM_TEXT], patient[DICOM_TEXT], issuer[DICOM_TEXT];
    char view[DICOM_TEXT];         // view position: PA, AP, LL, ...
    char view_meaning[DICOM_TEXT]; // of the view's code: "postero-anterior"
    char compression[DICOM_TEXT];  // where it cannot be decoded: the transfer syntax, name and UID
    bool burned_in;                // the file says that names stand in the pixels
    bool secondary_capture;
} dicom_facts;

// A table of a sequence of lookup tables. VALUE is borrowed until dicom_close; NULL: there is none.
typedef struct dicom_lut {
    const uint16_t *value; // (count)
    int count;
    int first; // the input that meets value[0]; smaller ones too
    int bits;  // of a value
} dicom_lut;

typedef enum dicom_function { DICOM_LINEAR, DICOM_LINEAR_EXACT, DICOM_SIGMOID } dicom_function;

// One frame of one sample per pixel.
typedef struct dicom_frame {
    int width, height;
    int allocated;            // bits of a sample in memory: 8 or 16
    int stored, high;         // bits that are used, the highest of them
    bool is_signed, inverted; // two's complement; MONOCHROME1: the smallest is white
    double slope, intercept;  // of the modality, 1 and 0 where it is not said
    bool windowed;            // the first window of the file
    double center, span;
    dicom_function function;
    dicom_lut modality, voi;
} dicom_frame;

typedef struct dicom_file dicom_file;

// All functions: 0, or 1 with a line in WHY (at most ROOM bytes with its NUL) that quotes nothing
// of the file. Several threads may work on files of their own.

// Reads PATH up to its pixels, which stay in the file.
int dicom_open(dicom_file **out, const char *path, char *why, size_t room);
void dicom_close(dicom_file *f); // accepts NULL

void dicom_read_facts(dicom_facts *out, const dicom_file *f);

// What dicom_read_pixels would give; fails where that cannot be a radiograph's.
int dicom_read_frame(dicom_frame *out, dicom_file *f, char *why, size_t room);
// SAMPLES (height, width) of 8 or 16 bits in the machine's byte order: SIZE is their bytes.
int dicom_read_pixels(void *samples, size_t size, dicom_file *f, char *why, size_t room);

typedef void dicom_keep(void *context, const char *text, size_t length);
// Gives the text of a report, UTF-8, to KEEP, once: the content tree from top to bottom, the names
// of the top level's containers and texts in capitals with a colon, each on a line of its own.
int dicom_read_report(dicom_file *f, dicom_keep *keep, void *context, char *why, size_t room);

// The version of the library that the program was built with; "" where it is built without.
const char *dicom_built(void);

#ifdef __cplusplus
}
#endif
