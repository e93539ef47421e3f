#include "models/aligner_batch.h"

#include <string.h>

enum { TENSORS = 29 };
// Pass 2's sequences: three kinds of pairs, each of b, and then b captions.
enum { FITTING, WRONG_IMAGE, WRONG_TEXT, CAPTION, PAIRS = 3 };
// Its text rows stand in other order: that of the wrong texts, whose number is not known on the
// host, comes last. Each part before has as many rows as this rank's texts, and filler.
enum { CAPTION_PART = 2, PARTS_KNOWN = 3 };

// --- places -------------------------------------------------------------------------------------
static void list_tensors(aligner_batch *x, tensor *all[TENSORS]) {
    qformer_pass *const pass[] = {&x->contrast, &x->match};
    int n = 0;
    for (int i = 0; i < 2; i++) {
        qformer_pass *p = pass[i];
        tensor *const list[] = {&p->query_index, &p->query_rows,   &p->ids,  &p->positions,
                                &p->text_rows,   &p->segments,     &p->look, &p->last,
                                &p->last_rows,   &p->last_segments};
        memcpy(all + n, list, sizeof list);
        n += (int)(sizeof list / sizeof *list);
    }
    tensor *const rest[] = {&x->image_target,  &x->match_target, &x->caption_target,
                            &x->caption_count, &x->text_ids,     &x->text_first,
                            &x->group,         &x->wrong_image,  &x->wrong_text};
    memcpy(all + n, rest, sizeof rest);
}

static tensor numbers(int64_t count) {
    return (tensor){.type = DTYPE_I32, .rank = 1, .dim = {count}};
}

static tensor table_of(int64_t rows, int64_t columns) {
    return (tensor){.type = DTYPE_I32, .rank = 2, .dim = {rows, columns}};
}

// X's place stays.
static void resize(tensor *x, tensor now) {
    now.data = x->data;
    *x = now;
}

// LOOKING: sequences with queries, Q of them each; SEQUENCES of both kinds; text ROWS and the LAST,
// that are wanted behind the last layer.
static void resize_pass(qformer_pass *p, int64_t looking, int64_t Q, int64_t sequences,
                        int64_t rows, int64_t last) {
    resize(&p->query_index, numbers(looking * Q));
    resize(&p->query_rows, table_of(looking * Q, 2));
    resize(&p->ids, numbers(rows));
    resize(&p->positions, numbers(rows));
    resize(&p->text_rows, table_of(rows, 2));
    resize(&p->segments, table_of(sequences, SEGMENT_COLUMNS));
    resize(&p->look, table_of(looking, SEGMENT_COLUMNS));
    resize(&p->last, numbers(last));
    resize(&p->last_rows, table_of(last, 2));
    resize(&p->last_segments, table_of(sequences, SEGMENT_COLUMNS));
}

// b and B samples; ROWS of this rank's texts, TAIL more of wrong ones, TOKENS of all texts.
static void resize_all(aligner_batch *x, int64_t b, int64_t B, int64_t rows, int64_t tail,
                       int64_t tokens) {
    const int64_t Q = x->queries;
    resize_pass(&x->contrast, b, Q, 2 * b, rows, b);
    resize_pass(&x->match, PAIRS * b, Q, (PAIRS + 1) * b, PARTS_KNOWN * rows + tail, rows);
    resize(&x->image_target, numbers(b));
    resize(&x->match_target, numbers(PAIRS * b));
    resize(&x->caption_target, numbers(rows));
    resize(&x->caption_count, (tensor){.type = x->wide, .rank = 1, .dim = {1}});
    resize(&x->text_ids, numbers(tokens));
    resize(&x->text_first, numbers(B + 1));
    resize(&x->group, numbers(B));
    resize(&x->wrong_image, numbers(b));
    resize(&x->wrong_text, numbers(b));
}

static void set_most(aligner_batch *x, int64_t most) {
    qformer_pass *const pass[] = {&x->contrast, &x->match};
    x->most = most;
    for (int i = 0; i < 2; i++) {
        pass[i]->text = true;
        pass[i]->image_tokens = x->image_tokens;
        pass[i]->most_queries = pass[i]->most_keys = x->queries + most;
    }
}

static void largest(aligner_batch *x, const device *d, int64_t queries, int64_t image_tokens,
                    const aligner_batch_limits *most) {
    const int64_t rows = most->own * most->most;
    *x = (aligner_batch){.own = most->own,
                         .all = most->all,
                         .rows = rows,
                         .queries = queries,
                         .image_tokens = image_tokens,
                         .alone = most->alone,
                         .wide = dtype_wide(d->type)};
    x->steps = d->graph_begin != NULL;
    x->rows_room = rows;
    x->most_room = most->most;
    resize_all(x, most->own, most->all, rows, rows, most->all * most->most);
    set_most(x, most->most);
}

size_t aligner_batch_bytes(const device *d, int64_t queries, const aligner_batch_limits *most) {
    aligner_batch x;
    tensor *all[TENSORS];
    largest(&x, d, queries, 0, most);
    list_tensors(&x, all);
    return packed_bytes(all, TENSORS);
}

status aligner_batch_open(aligner_batch *x, device *d, int64_t queries, int64_t image_tokens,
                          const aligner_batch_limits *most) {
    tensor *all[TENSORS];
    largest(x, d, queries, image_tokens, most);
    list_tensors(x, all);
    return packed_open(&x->memory, d, all, TENSORS);
}

void aligner_batch_close(aligner_batch *x) {
    packed_close(&x->memory);
}

// --- filling ------------------------------------------------------------------------------------
static attention_segment *segments_of(const aligner_batch *x, const tensor *table) {
    return (attention_segment *)packed_host(&x->memory, table);
}

static void map_row(int32_t *map, int64_t row, int64_t sample, int64_t position) {
    map[2 * row] = (int32_t)sample;
    map[2 * row + 1] = (int32_t)position;
}

static int32_t text_length(const aligner_texts *from, int64_t i) {
    return from->text_first[from->first + i + 1] - from->text_first[from->first + i];
}

// Where this rank's text I begins among its texts.
static int32_t text_begin(const aligner_texts *from, int64_t i) {
    return from->text_first[from->first + i] - from->text_first[from->first];
}

// Query rows of COUNT sequences of this rank's samples, which are sequences of kind KIND of the
// global batch.
static void fill_queries(const aligner_batch *x, const qformer_pass *p, int64_t kind, int64_t row) {
    int32_t *index = packed_host(&x->memory, &p->query_index),
            *map = packed_host(&x->memory, &p->query_rows);
    for (int64_t i = 0; i < x->own; i++)
        for (int64_t q = 0; q < x->queries; q++, row++) {
            index[row] = (int32_t)q;
            map_row(map, row, kind * x->all + x->first + i, q);
        }
}

// This rank's texts at rows from ROW on; their first token is BEGIN if that is not negative.
static void fill_texts(const aligner_batch *x, const qformer_pass *p, const aligner_texts *from,
                       int64_t kind, int64_t row, int32_t begin) {
    const packed_block *m = &x->memory;
    int32_t *ids = packed_host(m, &p->ids), *positions = packed_host(m, &p->positions);
    int32_t *map = packed_host(m, &p->text_rows);
    const int64_t end = row + x->rows;
    for (int64_t i = 0; i < x->own; i++) {
        const int32_t *id = from->ids + from->text_first[from->first + i];
        for (int32_t j = 0; j < text_length(from, i); j++, row++) {
            ids[row] = !j && begin >= 0 ? begin : id[j];
            positions[row] = j;
            map_row(map, row, kind * x->all + x->first + i, x->queries + j);
        }
    }
    packed_fill(ids, positions, map, row, end);
}

// Query rows from ROW on look at all cells of image IMAGE; PIECE 1: of another rank's.
static attention_segment look_at(const aligner_batch *x, int64_t row, int64_t image, int piece,
                                 int64_t sample) {
    attention_segment s = {
        .q_first = {(int32_t)row}, .q_count = {(int32_t)x->queries}, .sample = (int32_t)sample};
    s.k_first[piece] = (int32_t)(image * x->image_tokens);
    s.k_count[piece] = (int32_t)x->image_tokens;
    return s;
}

static void add_piece(attention_segment *s, int piece, int64_t first, int64_t count) {
    s->q_first[piece] = s->k_first[piece] = (int32_t)first;
    s->q_count[piece] = s->k_count[piece] = (int32_t)count;
}

// Images by themselves, then texts, of which only [CLS] is wanted behind the last layer.
static void fill_contrast(aligner_batch *x, const aligner_texts *from) {
    const qformer_pass *p = &x->contrast;
    attention_segment *s = segments_of(x, &p->segments), *alone = segments_of(x, &p->last_segments);
    attention_segment *look = segments_of(x, &p->look);
    int32_t *last = packed_host(&x->memory, &p->last),
            *last_map = packed_host(&x->memory, &p->last_rows);
    fill_queries(x, p, 0, 0);
    fill_texts(x, p, from, 0, 0, -1);
    for (int64_t i = 0, b = x->own; i < b; i++) {
        const int64_t sample = x->first + i;
        s[i] = s[b + i] = (attention_segment){.sample = (int32_t)sample};
        add_piece(&s[i], 0, i * x->queries, x->queries);
        add_piece(&s[b + i], 1, text_begin(from, i), text_length(from, i));
        alone[i] = s[i];
        alone[b + i] = s[b + i];
        alone[b + i].q_first[1] = (int32_t)i;
        alone[b + i].q_count[1] = text_length(from, i) > 0;
        look[i] = look_at(x, i * x->queries, i, 0, sample);
        last[i] = text_begin(from, i);
        map_row(last_map, i, sample, x->queries);
    }
}

// Sequence KIND of sample I: its queries, its text unless that is chosen on the device, its image
// unless that is.
static void fill_pair(aligner_batch *x, const aligner_texts *from, int64_t kind, int64_t i) {
    const qformer_pass *p = &x->match;
    const int64_t n = kind * x->own + i, row = n * x->queries,
                  sample = kind * x->all + x->first + i;
    attention_segment *s = segments_of(x, &p->segments) + n,
                      *last = segments_of(x, &p->last_segments) + n;
    const bool elsewhere = kind == WRONG_IMAGE && !x->alone;
    *s = (attention_segment){.sample = (int32_t)sample};
    add_piece(s, 0, row, x->queries);
    if (kind != WRONG_TEXT)
        add_piece(s, 1, kind * x->rows + text_begin(from, i), text_length(from, i));
    *last = *s;
    last->q_first[1] = last->q_count[1] = 0; // behind the last layer only the queries count
    segments_of(x, &p->look)[n] = look_at(x, row, i, elsewhere, sample);
    packed_host(&x->memory, &x->match_target)[n] = kind == FITTING ? 1 : x->all > 1 ? 0 : -1;
}

// Captions see their image's queries, as pass 1 left them, and what stands before each word.
static void fill_caption(aligner_batch *x, const aligner_texts *from, int64_t i) {
    const qformer_pass *p = &x->match;
    const int64_t n = CAPTION * x->own + i, begin = text_begin(from, i),
                  length = text_length(from, i);
    attention_segment *s = segments_of(x, &p->segments) + n,
                      *last = segments_of(x, &p->last_segments) + n;
    int32_t *target = packed_host(&x->memory, &x->caption_target) + begin;
    *s = (attention_segment){.sample = (int32_t)(CAPTION * x->all + x->first + i), .causal = 1};
    add_piece(s, 1, CAPTION_PART * x->rows + begin, length);
    s->k_first[2] = (int32_t)(i * x->queries);
    s->k_count[2] = (int32_t)x->queries;
    *last = *s;
    last->q_first[1] = (int32_t)begin;
    for (int64_t j = 0; j < length; j++)
        target[j] = j + 1 < length ? from->ids[from->text_first[from->first + i] + j + 1] : -1;
}

static void fill_match(aligner_batch *x, const aligner_texts *from) {
    const qformer_pass *p = &x->match;
    const packed_block *m = &x->memory;
    int32_t *last = packed_host(m, &p->last), *map = packed_host(m, &p->text_rows);
    int32_t *target = packed_host(m, &x->caption_target);
    for (int64_t row = 0; row < x->rows; row++) target[row] = -1;
    for (int64_t kind = 0; kind < PAIRS; kind++) {
        fill_queries(x, p, kind, kind * x->own * x->queries);
        for (int64_t i = 0; i < x->own; i++) fill_pair(x, from, kind, i);
    }
    fill_texts(x, p, from, FITTING, 0, -1);
    fill_texts(x, p, from, WRONG_IMAGE, x->rows, -1);
    fill_texts(x, p, from, CAPTION, CAPTION_PART * x->rows, from->begin);
    for (int64_t i = 0; i < x->own; i++) fill_caption(x, from, i);
    for (int64_t row = 0; row < x->rows; row++) last[row] = (int32_t)(CAPTION_PART * x->rows + row);
    memcpy(packed_host(m, &p->last_rows), map + 2 * CAPTION_PART * x->rows,
           (size_t)x->rows * 2 * sizeof *map);
}

static void copy_numbers(const aligner_batch *x, const tensor *to, const int32_t *from,
                         int64_t count) {
    if (from) memcpy(packed_host(&x->memory, to), from, (size_t)count * sizeof *from);
}

// A sample that is alone has no negatives: its pairs, which all fit, do not count.
static void give_negatives(const aligner_batch *x, const aligner_texts *from) {
    static const int32_t itself[1];
    const bool alone = x->all == 1;
    copy_numbers(x, &x->wrong_image, alone ? itself : from->wrong_image, x->own);
    copy_numbers(x, &x->wrong_text, alone ? itself : from->wrong_text, x->own);
}

static void measure(aligner_batch *x, const aligner_texts *from) {
    const int32_t *first = from->text_first;
    int64_t most = 0, words = first[from->all] - first[0] - from->all;
    for (int64_t i = 0; i < from->all; i++)
        if (first[i + 1] - first[i] > most) most = first[i + 1] - first[i];
    x->own = from->own, x->all = from->all, x->first = from->first;
    x->rows = first[from->first + from->own] - first[from->first];
    x->kind = x->steps ? packed_round(&x->rows, x->rows_room, &most, x->most_room) : 0;
    set_most(x, most);
    element_put(packed_host(&x->memory, &x->caption_count), 0, words > 0 ? (double)words : 1,
                x->wide);
}

void aligner_batch_load(aligner_batch *x, const aligner_texts *from) {
    measure(x, from);
    const int64_t tokens = from->text_first[x->all] - from->text_first[0];
    resize_all(x, x->own, x->all, x->rows, x->own * x->most, x->steps ? x->all * x->most : tokens);
    fill_contrast(x, from);
    fill_match(x, from);
    for (int64_t i = 0; i < x->own; i++)
        packed_host(&x->memory, &x->image_target)[i] = (int32_t)(x->first + i);
    copy_numbers(x, &x->text_ids, from->ids + from->text_first[0], tokens);
    for (int64_t i = 0; i <= x->all; i++)
        packed_host(&x->memory, &x->text_first)[i] = from->text_first[i] - from->text_first[0];
    x->grouped = from->group != NULL;
    x->given = from->wrong_image || x->all == 1;
    copy_numbers(x, &x->group, from->group, x->all);
    give_negatives(x, from);
    packed_send(&x->memory);
}

// --- what was drawn -----------------------------------------------------------------------------
int64_t aligner_batch_known_rows(const aligner_batch *x) {
    return PARTS_KNOWN * x->rows;
}
int64_t aligner_batch_wrong_text(const aligner_batch *x) {
    return WRONG_TEXT * x->own;
}
int64_t aligner_batch_wrong_text_sample(const aligner_batch *x) {
    return WRONG_TEXT * x->all + x->first;
}
int64_t aligner_batch_wrong_image(const aligner_batch *x) {
    return WRONG_IMAGE * x->own;
}

void aligner_batch_set_wrong_rows(aligner_batch *x, int64_t rows) {
    qformer_pass *p = &x->match;
    p->ids.dim[0] = p->positions.dim[0] = p->text_rows.dim[0] = PARTS_KNOWN * x->rows + rows;
}
