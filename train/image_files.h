// Radiographs in files of their own, as the commands that use a model read them.
#pragma once
#include "data/loader.h"

// One picture as a batch of one: cut to the square that shards hold, cropped, resized.
typedef struct image_file {
    int crop, size;
    uint8_t *square, *cropped;
    char id[256]; // image_file_name of the latest
    batch batch;
    float lut[256];
    int8_t labels[CLASS_COUNT];
} image_file;

// The sides of the crop and of what the model sees, in pixels.
status image_file_open(image_file *f, int crop, int size);
void image_file_close(image_file *f);
// "abc" of "folder/abc.jpg".
void image_file_name(char *out, size_t size, const char *path);
// Reads PATH into F->batch. Errors: IO, FORMAT (names the file).
status image_file_read(image_file *f, const char *path);
// The same of a SQUARE (STORED_SIDE, STORED_SIDE) that was cut already. MEMORY.
status image_file_square(image_file *f, const uint8_t *square);
