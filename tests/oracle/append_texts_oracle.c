#include "tests/oracle/oracle.h"

void append_texts_oracle(const appended_texts *a, stream *s) {
    (void)s;
    int64_t row = a->tail;
    for (int64_t i = 0; i < a->count; i++) {
        const int32_t *from = a->text_first + a->index[i];
        attention_segment *both[] = {a->segments + i, a->keys_only + i};
        for (int k = 0; k < 2; k++) {
            both[k]->k_first[1] = (int32_t)row;
            both[k]->k_count[1] = from[1] - from[0];
        }
        a->segments[i].q_first[1] = (int32_t)row;
        a->segments[i].q_count[1] = from[1] - from[0];
        for (int32_t at = from[0]; at < from[1]; at++, row++) {
            a->ids[row] = a->text_ids[at];
            a->positions[row] = at - from[0];
            a->rows[2 * row] = (int32_t)(a->sample + i);
            a->rows[2 * row + 1] = (int32_t)(a->position + at - from[0]);
        }
    }
    for (; row < a->N; row++) {
        a->ids[row] = a->positions[row] = a->rows[2 * row + 1] = 0;
        a->rows[2 * row] = -1;
    }
}

void point_segments_oracle(attention_segment *segments, const int32_t *index, int64_t count,
                           int64_t tokens, stream *s) {
    (void)s;
    for (int64_t i = 0; i < count; i++) {
        segments[i].k_first[0] = (int32_t)(tokens * index[i]);
        segments[i].k_count[0] = (int32_t)tokens;
    }
}
