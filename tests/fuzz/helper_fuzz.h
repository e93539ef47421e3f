// What fuzz targets share: files and folders that live in memory, and a reader that takes an input apart.
//
// A target is a function that must neither crash nor keep memory, whatever DATA holds; what it reads
// back must be sound. It asserts with `demand`, which stops in every build type.
#pragma once
#include "core/buffer.h"
#include <stdbool.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define demand(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) die("%s", #condition);                                                   \
    } while (0)

// A regular file without a name that holds these bytes; the path (of this process) stays the same over
// calls with the same SLOT, 0 to 7.
const char *memory_file(int slot, const void *bytes, size_t size);

// The calling process's own folder in memory, empty at first and removed at exit.
const char *memory_folder(void);
// FOLDER/NAME of it, written with these bytes. The text is valid until the next call.
const char *memory_folder_file(const char *name, const void *bytes, size_t size);
const char *memory_folder_path(const char *name);

// An input, taken apart from its front. Past its end come zeros.
typedef struct input {
    const uint8_t *data;
    size_t size;
} input;
uint8_t input_byte(input *in);
uint32_t input_number(input *in, int bytes); // little-endian, 1 to 4 bytes
// At most MOST bytes; *COUNT are there.
const uint8_t *input_bytes(input *in, size_t *count, size_t most);
// A part whose length (2 bytes) stands before it.
const uint8_t *input_part(input *in, size_t *count);
// The rest as one text, with a NUL behind; mem_free.
char *input_rest_text(input *in);

// Replaces WORD, wherever it stands in TEXT, by BY of the same length.
void input_replace(void *text, size_t size, const char *word, const char *by);

// Reads them all, so that the sanitizer sees each.
void touch_bytes(const void *bytes, size_t size);
void touch_text(const char *text);

// Demands that the text of a failure is there and one line.
void demand_failure(status rc);
