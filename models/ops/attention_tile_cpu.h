// Attention of one tile of queries on a head's keys, on packed floats. Knows no tensor and no
// segment: what lies where is attention_cpu.c's, which runs this for every tile.
//
// Scores stand a key per row and a query per column. So a query is a lane: its largest score, its
// sum and its draws are found without moving numbers across lanes, and of all that enters the
// products only the tile itself is ever turned.
#pragma once
#include "core/rng.h"

enum {
    TILE_QUERIES = 32, // the most in a tile, and the distance of two rows of scores
    TILE_LANES = 16,   // queries and widths are padded to a multiple of it
    TILE_KEYS = 8      // keys are padded to a multiple of it
};

typedef struct attention_tile {
    int64_t D, width; // of a head, and padded
    int64_t most_keys;
    // The head's: (most_keys padded, width), zeros behind the last key. Gradients are sums.
    float *k, *v, *dk, *dv;
    int64_t keys;
    // The tile's queries, scaled, and their gradients: (TILE_QUERIES, width), zeros around.
    float *q, *dout;
    int64_t queries; // 1 to TILE_QUERIES
    int64_t reach;   // query i sees keys j <= i + reach
    // Dropout: query i's draw of key j is of element attention_element(head, first + i, j) of the
    // sample.
    uint32_t limit; // a draw drops below it; 0: no dropout
    float factor;   // 1 / (1 - rate)
    rng_key key;
    uint32_t sample;
    uint64_t element; // of query 0 and key 0
    // What comes out: out or dq / scale (TILE_QUERIES, width); lse goes into the backward pass
    // again. Where a query sees no key, all are 0.
    float *result;
    float lse[TILE_QUERIES];
    float delta[TILE_QUERIES]; // backward: out . dout
    // Between: the tile, turned (width, TILE_QUERIES); scores and the dropout's factors (most_keys
    // padded, TILE_QUERIES).
    float *q_turned, *dout_turned, *p, *dp, *kept;
} attention_tile;

// Lays T out for keys up to MOST_KEYS of width D in BASE (NULL: only counts). The number of floats.
int64_t attention_tile_layout(attention_tile *t, int64_t most_keys, int64_t D, float *base);

// Numbers N of keys, padded.
static inline int64_t attention_padded(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

void attention_tile_forward(attention_tile *t);
// Adds to dk and dv; leaves dq / scale in result.
void attention_tile_backward(attention_tile *t);
