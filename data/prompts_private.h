// Templates taken apart, for data/prompts*.c alone.
#pragma once
#include "data/prompts.h"

enum { PART_MAX = 8 }; // each slot once, texts between

typedef enum slot {
    SLOT_TEXT,
    SLOT_IMAGE,
    SLOT_FINDINGS,
    SLOT_INSTRUCTION,
    SLOT_COUNT
} slot;

typedef struct part {
    slot kind;
    size_t at, length; // of a text, in the template's texts
} part;

typedef struct template_text {
    part part[PART_MAX];
    int count;
    buffer text; // the literal texts behind each other
} template_text;

struct prompts {
    char *system, *role[2], *separator[2], *image_token;
    char *mark; // behind which an answer begins; a part of the hash
    template_text report, plain, wrapper; // plain: without findings, no part: there is none
    int literal_tokens;
};
