// Small sources for ingest: folders of images and tables that a test writes and takes apart again.
#pragma once
#include "core/files/fs.h"
#include "data/ingest.h"

#include <check.h>

// Runs the suite in a scratch folder of its own; returns main's value.
int run_in_folder(Suite *suite);
// A path in that folder; holds until the eighth call after it.
const char *at(const char *format, ...) __attribute__((format(printf, 1, 2)));

void write_text(const char *path, const char *text);
// The whole file; to be freed with buffer_free.
buffer read_whole(const char *path);
// Fails unless both folders hold the same files with the same bytes.
void expect_same_folders(const char *a, const char *b);

// The pixels of picture I: (height, width), of no two equal.
void picture(uint8_t *out, int i, int width, int height);
// Sizes that differ and are small: side lengths of picture I.
int picture_width(int i);
int picture_height(int i);

// COUNT pictures as FOLDER/iN.png, and FOLDER/data.csv with a report in each row, two rows per patient.
// Every seventh report has no findings section; row I is positive for class I modulo 14.
void source_write(const char *folder, int count);

ingest_options folder_options(const char *root, const char *out);
// Fails unless ingest ends with EXPECTED.
ingest_summary expect_ingest(const ingest_options *options, status expected);
