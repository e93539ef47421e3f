// Radiographs in files of their own, as the commands that use a model read them.
#pragma once
#include "data/loader.h"
#include "data/radiograph.h"
#include "train/cli.h"

// Of a command that reads such files; and what its line says of how.
#define OPTION_INTENSITY                                                                           \
    {                                                                                              \
        "intensity", "mimic-cxr-jpg|window",                                                       \
            "of DICOM files: as `ingest --source dicom` took those that were trained on (default " \
            "mimic-cxr-jpg)"                                                                       \
    }
// USAGE.
status radiograph_rules_given(radiograph_rules *out, const arguments *a);

// One picture as a batch of one: cut to the square that shards hold, cropped, resized.
typedef struct image_file {
    int crop, size;
    radiograph_rules rules; // none, unless they are set
    uint8_t *square, *cropped;
    char id[256]; // image_file_name of the latest
    batch batch;
    float lut[256];
    int8_t labels[CLASS_COUNT];
} image_file;

// The sides of the crop and of what the model sees, in pixels.
status image_file_open(image_file *f, int crop, int size);
void image_file_close(image_file *f);
// "abc" of "folder/abc.jpg"; "1.2.3" of "folder/1.2.3".
void image_file_name(char *out, size_t size, const char *path);
// Reads PATH into F->batch. Errors: IO, FORMAT (names the file).
status image_file_read(image_file *f, const char *path);
// The same of a SQUARE (STORED_SIDE, STORED_SIDE) that was cut already. MEMORY.
status image_file_square(image_file *f, const uint8_t *square);
