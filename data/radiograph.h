// A radiograph in a file of its own, whatever holds it: JPEG, PNG or DICOM, by its first bytes and
// never by its name. DICOM files give the pixels that `ingest --source dicom` takes of them. For
// the commands that look at files.
#pragma once
#include "core/status.h"
#include "data/dicom_recipe.h"

#include <stddef.h>
#include <stdint.h>

struct image; // data/image_codec.h

typedef struct radiograph_rules {
    dicom_recipe intensity; // of DICOM files
    int64_t pixels;         // there may be so many; 0: as many as a decoder takes
    const char *setting;    // what says so, for the error
} radiograph_rules;

// The file at PATH, which errors name. What is said of a DICOM file quotes nothing of it but a
// transfer syntax. To be freed by image_free. IO, FORMAT, MEMORY.
status radiograph_read(struct image *out, const char *path, const radiograph_rules *r);
// COUNT bytes of a file, from anybody, called NAME in errors. They stay in memory; a DICOM file's
// are held against data/dicom_walk.h before the library sees them. FORMAT, MEMORY.
status radiograph_decode(struct image *out, const void *bytes, size_t count, const char *name,
                         const radiograph_rules *r);
