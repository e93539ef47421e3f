// What the halves of the SentencePiece model share: sentencepiece_model.c reads and checks it,
// sentencepiece_text.c encodes, decodes and trains.
#pragma once
#include "data/sentencepiece.h"
#include "data/tokenizer_private.h"

typedef enum piece_type {
    PIECE_NORMAL = 1,
    PIECE_UNKNOWN,
    PIECE_CONTROL,
    PIECE_USER,
    PIECE_UNUSED,
    PIECE_BYTE
} piece_type;

typedef struct piece {
    size_t begin, length; // in the texts
    float score;
    uint32_t type;
} piece;

enum { PIECE_NAMES = 4 };

struct piece_model {
    piece_library *library;
    piece *piece; // (count)
    size_t room;
    int32_t count;
    buffer texts;             // each with a NUL
    char *named[PIECE_NAMES]; // texts of the unknown, begin, end and pad pieces
    uint64_t type;            // of the model
    bool byte_fallback, suffix;
    bool dummy_prefix, remove_blanks, escape_blanks;
    tokenizer_ids ids;
};

static inline const char *piece_text(const piece_model *m, int32_t id) {
    return m->texts.data + m->piece[id].begin;
}
// The value of a byte's piece, "<0x0A>"; -1: it is none.
int piece_byte(const piece_model *m, int32_t id);
