// Writing with a LLaMA, token by token: the keys and values of what sequences have said so far stand in
// a cache, so that a step computes new tokens alone. Prompts and single tokens are the same call. Who
// decides what is said next is train/generator.h.
#pragma once
#include "models/llama.h"
#include "models/packed.h"

// SLOTS sequences of up to POSITIONS tokens. A slot is begun anew by writing its position 0. What all
// sequences have in common below PREFIX may stand in PREFIX_SLOT alone.
typedef struct llama_cache {
    device *device; // borrowed
    void *block;
    tensor keys[LLAMA_MAX_LAYERS], values[LLAMA_MAX_LAYERS]; // (slots, key_heads, P, head_width)
    int64_t slots, positions, prefix, prefix_slot;
} llama_cache;

// Errors: MEMORY.
status llama_cache_open(llama_cache *c, device *d, const llama_config *m, int64_t slots,
                        int64_t positions);
void llama_cache_close(llama_cache *c);
size_t llama_cache_bytes(const device *d, const llama_config *m, int64_t slots, int64_t positions);

// The next tokens of a sequence: COUNT of them, the first at POSITION.
typedef struct llama_turn {
    const int32_t *ids;
    int32_t count, position, slot;
} llama_turn;

typedef struct llama_step_room {
    int64_t rows, images, turns; // tokens of a step, image tokens among them, sequences
} llama_step_room;

// What a step reads.
typedef struct llama_step_batch {
    packed_block memory;
    tensor ids, positions, slots; // i32 (N)
    tensor images;                // i32 (M): rows that image vectors go to
    tensor last;                  // i32 (T): the last row of each turn
    int64_t most;                 // keys of any row at most
    llama_step_room room;
} llama_step_batch;

status llama_step_open(llama_step_batch *b, device *d, const llama_step_room *room);
void llama_step_close(llama_step_batch *b);
// COUNT turns, which fit the room, of different slots. IMAGE_TOKEN ids get the next image vector each.
void llama_step_load(llama_step_batch *b, const llama_turn *turn, int64_t count,
                     int32_t image_token);

// Takes the batch's tokens into the cache; logits (T, V) of what follows each turn. IMAGES: (M,
// image_width) in the order of the batch's image rows; NULL where there are none. For a tape that does
// not record. A position outside of the model's or the cache's: a failure of the step.
tensor *llama_step(tape *t, const llama *m, const llama_cache *c, llama_step_batch *b,
                   tensor *images);
