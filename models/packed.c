#include "models/packed.h"

#include <string.h>

enum { ALIGNMENT = 64, ROW_STEP = 256, MOST_STEP = 32 };

static size_t room(const tensor *x) {
    return (tensor_bytes(x) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

size_t packed_bytes(tensor *const *x, int count) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += room(x[i]);
    return bytes;
}

status packed_open(packed_block *b, device *d, tensor *const *x, int count) {
    *b = (packed_block){.device = d, .bytes = packed_bytes(x, count)};
    status rc = d->take(d, b->bytes, "a batch's tables", (void **)&b->block);
    if (!rc) rc = mem_new(&b->mirror, (int64_t)b->bytes, "a batch's tables");
    size_t at = 0;
    for (int i = 0; i < count && !rc; i++) {
        x[i]->data = b->block + at;
        at += room(x[i]);
    }
    return rc;
}

void packed_close(packed_block *b) {
    mem_free(b->mirror);
    if (b->device) b->device->release(b->device, b->block);
    *b = (packed_block){0};
}

int32_t *packed_host(const packed_block *b, const tensor *x) {
    return (int32_t *)(void *)(b->mirror + ((const char *)x->data - b->block));
}

void packed_send(packed_block *b) {
    b->device->upload(b->device, b->block, b->mirror, b->bytes);
}

// --- sizes that come again ----------------------------------------------------------------------
static void round_up(int64_t *n, int64_t step, int64_t room) {
    *n = (*n + step - 1) / step * step;
    if (*n > room) *n = room;
}

int64_t packed_round(int64_t *rows, int64_t rows_room, int64_t *most, int64_t most_room) {
    round_up(rows, ROW_STEP, rows_room);
    round_up(most, MOST_STEP, most_room);
    return *rows * (most_room + 1) + *most;
}

void packed_fill(int32_t *ids, int32_t *positions, int32_t *map, int64_t first, int64_t end) {
    for (int64_t row = first; row < end; row++) {
        ids[row] = positions[row] = map[2 * row + 1] = 0;
        map[2 * row] = -1;
    }
}

// --- texts --------------------------------------------------------------------------------------
enum { TEXT_TENSORS = 7 };

static void text_tensors(packed_texts *x, tensor *all[TEXT_TENSORS]) {
    tensor *const list[] = {&x->ids,   &x->positions,  &x->rows,          &x->segments,
                            &x->first, &x->first_rows, &x->first_segments};
    memcpy(all, list, sizeof list);
}

static void text_shapes(packed_texts *x, int64_t B, int64_t N) {
    x->ids.dim[0] = x->positions.dim[0] = x->rows.dim[0] = N;
    x->segments.dim[0] = x->first.dim[0] = x->first_rows.dim[0] = x->first_segments.dim[0] = B;
}

static void text_largest(packed_texts *x, int64_t B, int64_t most) {
    *x = (packed_texts){.most = most, .rows_room = B * most, .most_room = most};
    x->ids = x->positions = x->first = (tensor){.type = DTYPE_I32, .rank = 1};
    x->rows = x->first_rows = (tensor){.type = DTYPE_I32, .rank = 2, .dim = {0, 2}};
    x->segments = x->first_segments =
        (tensor){.type = DTYPE_I32, .rank = 2, .dim = {0, SEGMENT_COLUMNS}};
    text_shapes(x, B, B * most);
}

size_t packed_texts_bytes(int64_t B, int64_t most) {
    packed_texts x;
    tensor *all[TEXT_TENSORS];
    text_largest(&x, B, most);
    text_tensors(&x, all);
    return packed_bytes(all, TEXT_TENSORS);
}

status packed_texts_open(packed_texts *x, device *d, int64_t B, int64_t most) {
    tensor *all[TEXT_TENSORS];
    text_largest(x, B, most);
    x->steps = d->graph_begin != NULL;
    text_tensors(x, all);
    return packed_open(&x->memory, d, all, TEXT_TENSORS);
}

void packed_texts_close(packed_texts *x) {
    packed_close(&x->memory);
}

void packed_texts_load(packed_texts *x, const int32_t *ids, const int32_t *first, int64_t count,
                       int64_t sample) {
    const packed_block *b = &x->memory;
    int32_t *id = packed_host(b, &x->ids), *position = packed_host(b, &x->positions),
            *row = packed_host(b, &x->rows);
    int32_t *start = packed_host(b, &x->first), *start_row = packed_host(b, &x->first_rows);
    attention_segment *s = (attention_segment *)packed_host(b, &x->segments);
    attention_segment *alone = (attention_segment *)packed_host(b, &x->first_segments);
    x->most = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t from = first[i] - first[0], length = first[i + 1] - first[i],
                key = (int32_t)(sample + i);
        if (length > x->most) x->most = length;
        for (int32_t j = 0; j < length; j++) {
            id[from + j] = ids[first[i] + j];
            position[from + j] = x->first_position + j;
            row[2 * (from + j)] = key;
            row[2 * (from + j) + 1] = j;
        }
        s[i] = (attention_segment){.q_first = {0, from},
                                   .q_count = {0, length},
                                   .k_first = {0, from, 0},
                                   .k_count = {0, length, 0},
                                   .sample = key};
        start[i] = from;
        start_row[2 * i] = key;
        start_row[2 * i + 1] = 0;
        alone[i] = s[i];
        alone[i].q_first[1] = (int32_t)i;
        alone[i].q_count[1] = 1;
    }
    int64_t end = count ? first[count] - first[0] : 0, rows = end;
    x->kind = x->steps ? packed_round(&rows, x->rows_room, &x->most, x->most_room) : 0;
    packed_fill(id, position, row, end, rows);
    text_shapes(x, count, rows);
    packed_send(&x->memory);
}
