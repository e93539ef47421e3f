// What tests of the language model's commands work on: conversations of small shards with image tokens,
// and a base of which only the sizes are there (model.weights=random).
#pragma once

enum { QUERIES = 4, WIDTH = 6 }; // of an image

extern char work[256];
// The settings that every command takes: data, images, base and tokenizer.
extern char common[2048];
// A path in WORK; the latest four are valid.
const char *in_work(const char *name);

// A fixture's: WORK/shards, WORK/records, WORK/images.h5, WORK/base/config.json.
void language_setup(void);
void language_teardown(void);

// WORK/NAME: image tokens of every radiograph, which differ, as if CHECKPOINT had made them.
void language_embeddings(const char *name, const char *checkpoint);
// The same with every number multiplied by SCALE.
void language_embeddings_scaled(const char *name, const char *checkpoint, float scale);

// After it: a classifier, an aligner, what they say of the shards, and adapters trained on it: WORK/classifier, aligner,
// seen (conversations), seen.h5, seer.
void language_train_seer(void);
// The file of the radiograph ID ("*": the first of all); free.
char *radiograph_file(const char *id);

// WORK/NAME: the radiograph at PATH as a DICOM file of the same 8 bits, with a patient whose name, number and
// UIDs all hold DICOM_SECRET.
#define DICOM_SECRET "47110815"
const char *dicom_of(const char *name, const char *path);
