// Which rows an attention's segments name, on the CPU: runs of rows, and the segments that share
// their keys. For attention_cpu.c only.
#pragma once
#include "models/ops/kernels.h"

// Rows ROW to ROW + COUNT of piece PIECE's tensor, which stand at AT of what was asked for.
typedef struct attention_run {
    int piece;
    int64_t row, count, at;
} attention_run;

// Segment S; of a dense attention too.
attention_segment attention_segment_at(const attention_shape *z, int64_t s);
int64_t attention_queries(const attention_segment *g);
int64_t attention_keys(const attention_segment *g);
// The rows of COUNT queries from FIRST on, and of all keys. How many runs.
int attention_query_runs(attention_run run[2], const attention_segment *g, int64_t first,
                         int64_t count);
int attention_key_runs(attention_run run[3], const attention_segment *g);

// Segments in groups: those that share their keys. A group is one thread's, which adds up the keys'
// gradients in the table's order.
typedef struct attention_groups {
    int64_t count;
    int32_t *first, *next; // (B): a group's first segment; the one behind a segment, or -1
    int32_t *q_owner[2], *k_owner[3]; // (rows): the group's first segment that names a row, or -1
} attention_groups;

// Bytes that groups take; 0 where the attention is dense, whose samples are groups of one.
size_t attention_groups_bytes(const attention_shape *z);
// Reads the table. Dies where it breaks what kernels.h says of it: rows outside of the tensors,
// larger than the bounds, queries in two segments, keys shared in part.
void attention_groups_find(attention_groups *g, const attention_shape *z, void *memory);
int64_t attention_group_first(const attention_groups *g, int64_t group);
int64_t attention_group_next(const attention_groups *g, int64_t segment); // -1: none
