// Answers of a language model as JSON lines in the order of their prompts: each is a whole line on
// disk once it is there, and a run that was stopped goes on behind the lines of the one before. For
// commands that write (generate, answer, ask).
#pragma once
#include "core/log.h"
#include "train/answer_source.h"
#include "train/language_inference.h"

#include <stdio.h>

typedef struct answer_writer {
    language_inference *language; // borrowed, as all; the model may be loaded after opening
    answer_source *source;
    const char *name; // of the work, for the progress bar
    bool remember;    // prompts begin alike beyond what all have in common (train/generator.h)
    void *context;
    // Appends what line I begins with, by which it is known again: members of an object, a comma
    // behind each.
    status (*begin)(void *context, int64_t i, buffer *line);
    // Appends what the line ends with behind TEXT, a comma before each member; NULL: nothing.
    status (*end)(void *context, int64_t i, const char *text, buffer *line);
    // The writer's own.
    FILE *out;
    int64_t written; // lines that were there
    progress bar;
} answer_writer;

// Opens the file PATH, or stdout where it is NULL, and counts the lines that are there; half a line
// is cut off. FORMAT (lines, or half a one, of something else), IO, MEMORY. To be closed also after a failure.
status answer_writer_open(answer_writer *w, const char *path);
void answer_writer_close(answer_writer *w);
// Writes the rest by the section "generate". IMAGES: the model takes some. Errors: the generator's,
// IO.
status answer_writer_run(answer_writer *w, bool images);
