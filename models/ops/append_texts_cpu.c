#include "core/device.h"
#include "models/ops/kernels.h"

// The length of text NUMBER; 0, and a failure of the step, where there is no such text or no room
// for it.
static int32_t length_of(const appended_texts *a, int32_t number, int64_t row, stream *s) {
    const bool there = number >= 0 && number < a->texts;
    int32_t length = there ? a->text_first[number + 1] - a->text_first[number] : 0;
    if (there && row + length <= a->N) return length;
    stream_fail(s, status_fail(STATUS_FORMAT, "append_texts: text %d of %lld at row %lld of %lld",
                               number, (long long)a->texts, (long long)row, (long long)a->N));
    return 0;
}

static void append_row(const appended_texts *a, int64_t row, int32_t id, int32_t position,
                       int64_t sample, int64_t place) {
    a->ids[row] = id;
    a->positions[row] = position;
    a->rows[2 * row] = (int32_t)sample;
    a->rows[2 * row + 1] = (int32_t)place;
}

void append_texts_cpu(const appended_texts *a, stream *s) {
    int64_t row = a->tail;
    for (int64_t i = 0; i < a->count; i++) {
        const int32_t length = length_of(a, a->index[i], row, s);
        const int32_t *id = length ? a->text_ids + a->text_first[a->index[i]] : NULL;
        a->segments[i].q_first[1] = a->segments[i].k_first[1] = a->keys_only[i].k_first[1] =
            (int32_t)row;
        a->segments[i].q_count[1] = a->segments[i].k_count[1] = a->keys_only[i].k_count[1] = length;
        for (int32_t j = 0; j < length; j++, row++)
            append_row(a, row, id[j], j, a->sample + i, a->position + j);
    }
    for (; row < a->N; row++) append_row(a, row, 0, 0, -1, 0);
}

void point_segments_cpu(attention_segment *segments, const int32_t *index, int64_t count,
                        int64_t tokens, stream *s) {
    (void)s;
    for (int64_t i = 0; i < count; i++) {
        segments[i].k_first[0] = (int32_t)(index[i] * tokens);
        segments[i].k_count[0] = (int32_t)tokens;
    }
}
