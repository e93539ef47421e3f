// Runs the built program in tests: a work folder, commands with captured output, small data sets.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// A new folder under the system's temporary folder, removed by workspace_remove.
void workspace_make(char path[256]);
void workspace_remove(const char *path);

// What the functions below run; the built program unless a test says otherwise.
extern const char *program_path;

typedef struct outcome {
    int exit;    // exit status, or 128 + signal
    char *out;   // stdout
    char *err;   // stderr
} outcome;

// Runs `radialog WORDS...` (split at blanks; WORDS is a printf format) and waits for it.
outcome program(const char *format, ...) __attribute__((format(printf, 1, 2)));
void outcome_free(outcome *o);
// The same, failing the test with the program's stderr unless it exits with EXPECTED.
void program_expect(int expected, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Starts it in the background, output thrown away.
pid_t program_start(const char *format, ...) __attribute__((format(printf, 1, 2)));

// The same with its stdout in the file OUT, its stderr in OUT.err.
pid_t program_start_to(const char *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

// DIR/shards made from STUDIES drawn studies.
void small_shards(const char *dir, int studies);
// DIR/vocab.txt, 200 tokens learned from DIR/shards.
void small_vocabulary(const char *dir);

// The settings that make a training run of the classifier take milliseconds.
extern const char *const tiny_settings;
// The same of the stages that read reports; they lack data.shards and model.vocabulary.
extern const char *const tiny_chexbert, *const tiny_aligner;

char *read_file(const char *path, size_t *size); // NULL if it cannot be read; malloc'd, NUL-ended
bool same_files(const char *a, const char *b);
int count_text(const char *text, const char *part);
