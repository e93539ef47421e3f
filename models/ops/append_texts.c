// What draws on the device decide about a packed batch: which texts stand at its end, which images
// are looked at. The host knows bounds alone, so that nobody waits; tables are written where the
// host has left their places.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

static void expect_numbers(const tensor *x, const char *who, int rank, const int64_t *dim) {
    tensor_expect(x, who, rank, dim);
    op_expect_type(x, who, DTYPE_I32);
}

static attention_segment *segments_from(const tensor *x, const char *who, int64_t first,
                                        int64_t count) {
    expect_numbers(x, who, 2, (int64_t[]){-1, SEGMENT_COLUMNS});
    if (first < 0 || first + count > x->dim[0])
        die("%s: segments %lld to %lld of %lld", who, (long long)first,
            (long long)(first + count - 1), (long long)x->dim[0]);
    return (attention_segment *)x->data + first;
}

void append_texts(tape *t, const append_texts_args *a) {
    expect_numbers(a->index, "append_texts index", 1, (int64_t[]){-1});
    expect_numbers(a->text_ids, "append_texts text_ids", 1, (int64_t[]){-1});
    expect_numbers(a->text_first, "append_texts text_first", 1, (int64_t[]){-1});
    expect_numbers(a->ids, "append_texts ids", 1, (int64_t[]){-1});
    const int64_t N = a->ids->dim[0], count = a->index->dim[0];
    expect_numbers(a->positions, "append_texts positions", 1, &N);
    expect_numbers(a->rows, "append_texts rows", 2, (int64_t[]){N, 2});
    if (a->tail < 0 || a->tail > N)
        die("append_texts: row %lld of %lld", (long long)a->tail, (long long)N);
    const appended_texts x = {
        .index = a->index->data,
        .text_ids = a->text_ids->data,
        .text_first = a->text_first->data,
        .ids = a->ids->data,
        .positions = a->positions->data,
        .rows = a->rows->data,
        .segments = segments_from(a->segments, "append_texts segments", a->first_segment, count),
        .keys_only = segments_from(a->keys_only, "append_texts keys_only", a->first_segment, count),
        .count = count,
        .texts = a->text_first->dim[0] - 1,
        .tail = a->tail,
        .N = N,
        .sample = a->sample,
        .position = a->position,
    };
    t->device->ops->append_texts(&x, t->device->stream);
}

void point_segments(tape *t, tensor *segments, int64_t first, tensor *index, int64_t tokens) {
    expect_numbers(index, "point_segments index", 1, (int64_t[]){-1});
    const int64_t count = index->dim[0];
    t->device->ops->point_segments(segments_from(segments, "point_segments segments", first, count),
                                   index->data, count, tokens, t->device->stream);
}
