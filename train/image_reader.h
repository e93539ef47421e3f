// Radiographs as conversations take them: image tokens by an aligner, findings by a classifier
// (REFERENCE 7.11). Both are kept open. For generate with images, chat and serve.
#pragma once
#include "train/embedder.h"
#include "train/predictor.h"

typedef struct image_models {
    const char *aligner;    // a run, a checkpoint or its weights
    const char *classifier; // the same; NULL: nothing is said of findings
    const char *where;      // run.device
    radiograph_rules rules; // of files
} image_models;

typedef struct picture {
    uint8_t *square;           // (STORED_SIDE, STORED_SIDE): what shards would hold
    float *tokens;             // (queries, width)
    float logits[CLASS_COUNT]; // of the classifier
    bool found[CLASS_COUNT];   // those above 0, resolved
    buffer findings;           // as a prompt says them
    int64_t looked;            // when it was asked for last; 0: never
} picture;

enum { PICTURES_KEPT = 16 };

typedef struct image_reader {
    embedder aligner;
    predictor classifier;
    bool finds; // there is a classifier
    int64_t queries, width;
    radiograph_rules rules;
    image_file seen, judged; // by either
    uint8_t *square;
    picture kept[PICTURES_KEPT]; // so that a picture that comes again, turn by turn, is not
                                 // computed again
    int64_t looks;
} image_reader;

// To be closed also after a failure. USAGE, IO, FORMAT, MEMORY, DEVICE.
status image_reader_open(image_reader *r, const image_models *m);
void image_reader_close(image_reader *r);

// What there is in the file at PATH, or in COUNT bytes of a file from anybody, called NAME in errors:
// JPEG, PNG or DICOM (data/radiograph.h). Borrowed
// until the next call; one that fails changes nothing. IO, FORMAT, MEMORY, DEVICE.
status image_reader_file(image_reader *r, const char *path, const picture **out);
status image_reader_bytes(image_reader *r, const void *bytes, size_t count, const char *name,
                          const picture **out);
// As a prompt says it: NULL without a classifier.
const char *image_reader_findings(const image_reader *r, const picture *p);
