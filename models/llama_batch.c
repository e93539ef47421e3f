#include "models/llama_batch.h"

#include <string.h>

// Rows of a step are rounded up to such steps where steps are recorded, or to all that there are.
enum { TENSORS = 12, ROW_STEP = 1024, TARGET_STEP = 256 };

static void list_tensors(llama_batch *b, tensor *all[TENSORS]) {
    tensor *const list[TENSORS] = {&b->ids,        &b->positions,  &b->rows,   &b->segments,
                                   &b->prefix,     &b->images,     &b->last,   &b->last_rows,
                                   &b->last_segments, &b->supervised, &b->target, &b->weight};
    memcpy(all, list, sizeof list);
}

static void set_sizes(llama_batch *b, int64_t N, int64_t S, int64_t P, int64_t M, int64_t L,
                      int64_t U) {
    b->ids.dim[0] = b->positions.dim[0] = b->rows.dim[0] = N;
    b->segments.dim[0] = b->last_segments.dim[0] = S;
    b->prefix.dim[0] = P;
    b->images.dim[0] = M;
    b->last.dim[0] = b->last_rows.dim[0] = L;
    b->supervised.dim[0] = b->target.dim[0] = b->weight.dim[0] = U;
}

static void largest(llama_batch *b, const device *d, const llama_room *r) {
    const tensor numbers = {.type = DTYPE_I32, .rank = 1};
    *b = (llama_batch){.room = *r, .most = r->most, .steps = d->graph_begin != NULL};
    b->ids = b->positions = b->prefix = b->images = b->last = b->supervised = b->target = numbers;
    b->weight = (tensor){.type = dtype_wide(d->type), .rank = 1};
    b->rows = b->last_rows = (tensor){.type = DTYPE_I32, .rank = 2, .dim = {0, 2}};
    b->segments = b->last_segments =
        (tensor){.type = DTYPE_I32, .rank = 2, .dim = {0, SEGMENT_COLUMNS}};
    set_sizes(b, r->rows, r->samples + 1, r->rows, r->images, r->rows, r->targets);
}

size_t llama_batch_bytes(const device *d, const llama_room *room) {
    llama_batch b;
    tensor *all[TENSORS];
    largest(&b, d, room);
    list_tensors(&b, all);
    return packed_bytes(all, TENSORS);
}

status llama_batch_open(llama_batch *b, device *d, const llama_room *room) {
    tensor *all[TENSORS];
    largest(b, d, room);
    list_tensors(b, all);
    return packed_open(&b->memory, d, all, TENSORS);
}

void llama_batch_close(llama_batch *b) {
    packed_close(&b->memory);
}

// --- sharing ------------------------------------------------------------------------------------
// The token that predicts the first supervised one: rows from there on are each sample's own.
static int32_t first_query(const llama_sample *s) {
    for (int i = 0; i < s->spans; i++)
        if (s->span[2 * i + 1] > 1 && s->span[2 * i + 1] > s->span[2 * i])
            return s->span[2 * i] > 0 ? s->span[2 * i] - 1 : 0;
    return s->count;
}

int32_t llama_shared_prefix(const llama_sample *s, int64_t count, int32_t image_token) {
    if (count < 2) return 0;
    int32_t shared = first_query(&s[0]);
    for (int64_t i = 0; i < count; i++) {
        int32_t same = 0, most = first_query(&s[i]);
        if (most > shared) most = shared;
        if (most > s[i].count - 1) most = s[i].count - 1; // something stays its own
        while (same < most && s[i].ids[same] == s[0].ids[same] && s[i].ids[same] != image_token)
            same++;
        shared = same;
    }
    return shared;
}

int64_t llama_rows(const llama_sample *s, int64_t count, int32_t shared) {
    int64_t rows = shared;
    for (int64_t i = 0; i < count; i++) rows += s[i].count - shared;
    return rows;
}

// --- filling ------------------------------------------------------------------------------------
typedef struct filler {
    llama_batch *batch;
    int32_t *ids, *positions, *rows, *prefix, *images, *last, *last_rows, *supervised, *target;
    void *weight;
    attention_segment *segments, *last_segments;
    int64_t N, S, P, M, L, U; // so far
} filler;

static filler filler_of(llama_batch *b) {
    const packed_block *m = &b->memory;
    return (filler){
        .batch = b,
        .ids = packed_host(m, &b->ids),
        .positions = packed_host(m, &b->positions),
        .rows = packed_host(m, &b->rows),
        .prefix = packed_host(m, &b->prefix),
        .images = packed_host(m, &b->images),
        .last = packed_host(m, &b->last),
        .last_rows = packed_host(m, &b->last_rows),
        .supervised = packed_host(m, &b->supervised),
        .target = packed_host(m, &b->target),
        .weight = packed_host(m, &b->weight),
        .segments = (attention_segment *)packed_host(m, &b->segments),
        .last_segments = (attention_segment *)packed_host(m, &b->last_segments),
    };
}

// Tokens FIRST to COUNT - 1 of S as rows.
static void add_tokens(filler *f, const llama_sample *s, int32_t first, int32_t count,
                       int64_t sample, int32_t image_token) {
    for (int32_t i = first; i < count; i++, f->N++) {
        const bool image = s->ids[i] == image_token;
        f->ids[f->N] = image ? 0 : s->ids[i]; // the table may have no row for it
        f->positions[f->N] = i;
        f->rows[2 * f->N] = (int32_t)sample;
        f->rows[2 * f->N + 1] = i;
        if (image && f->M == f->batch->room.images)
            die("llama_batch_load: more than %lld image rows", (long long)f->M);
        if (image) f->images[f->M++] = (int32_t)f->N;
    }
}

static bool is_supervised(const llama_sample *s, int32_t token) {
    for (int i = 0; i < s->spans; i++)
        if (token >= s->span[2 * i] && token < s->span[2 * i + 1]) return token > 0;
    return false;
}

// The tokens that all samples begin with, as a sequence of their own. Its draws are those of the
// step's sample 0, wherever it is packed: what is dropped there is dropped for all.
static void add_prefix(filler *f, const llama_sample *s, int32_t shared, int32_t image_token) {
    if (!shared) return;
    add_tokens(f, s, 0, shared, 0, image_token);
    f->segments[f->S] = (attention_segment){
        .q_count = {0, shared}, .k_count = {0, shared, 0}, .causal = 1};
    f->last_segments[f->S++] = (attention_segment){0};
}

// Rows behind the last layer: those that predict, from the first supervised token on.
static void add_last(filler *f, const llama_sample *s, int64_t row, int32_t shared,
                     attention_segment segment) {
    const int32_t from = first_query(s);
    int32_t to = from;
    const int64_t begin = f->L;
    for (int32_t i = from; i + 1 < s->count; i++)
        if (is_supervised(s, i + 1)) to = i + 1;
    for (int32_t i = from; i < to; i++, f->L++) {
        const int64_t at = row + i - shared;
        f->last[f->L] = (int32_t)at;
        f->last_rows[2 * f->L] = f->rows[2 * at];
        f->last_rows[2 * f->L + 1] = f->rows[2 * at + 1];
        if (!is_supervised(s, i + 1)) continue;
        if (f->U == f->batch->room.targets)
            die("llama_batch_load: more than %lld targets", (long long)f->U);
        f->supervised[f->U] = (int32_t)f->L;
        f->target[f->U] = s->ids[i + 1];
        element_put(f->weight, f->U++, s->weight, f->batch->weight.type);
    }
    segment.q_first[1] = (int32_t)begin;
    segment.q_count[1] = to - from;
    segment.k_count[1] = to - shared; // keys behind the last query are of no use to it
    f->last_segments[f->S] = segment;
}

static void add_sample(filler *f, const llama_sample *s, int32_t shared, int32_t image_token) {
    const int64_t row = f->N;
    const int32_t own = s->count - shared;
    attention_segment segment = {.q_first = {0, (int32_t)row},
                                 .q_count = {0, own},
                                 .k_first = {0, (int32_t)row, (int32_t)f->P},
                                 .k_count = {0, own, shared},
                                 .sample = (int32_t)s->sample,
                                 .causal = 1};
    add_tokens(f, s, shared, s->count, s->sample, image_token);
    for (int32_t i = 0; i < shared; i++) f->prefix[f->P++] = i;
    f->segments[f->S] = segment;
    add_last(f, s, row, shared, segment);
    f->S++;
}

static int64_t rounded(int64_t count, int64_t step, int64_t most) {
    count = (count + step - 1) / step * step;
    return count < most ? count : most;
}

// Where steps are recorded, shapes come again: few sizes, filled up. A large piece that filled all of its room would
// compute more filler than launching its kernels costs.
static void round_sizes(filler *f) {
    llama_batch *b = f->batch;
    const llama_room *r = &b->room;
    const int64_t N = rounded(f->N, ROW_STEP, r->rows);
    const int64_t L = rounded(f->L, TARGET_STEP, N), U = rounded(f->U, TARGET_STEP, r->targets);
    packed_fill(f->ids, f->positions, f->rows, f->N, N);
    for (; f->L < L; f->L++) f->last[f->L] = 0, f->last_rows[2 * f->L] = -1;
    for (; f->U < U; f->U++) f->supervised[f->U] = 0, f->target[f->U] = -1;
    for (; f->S < r->samples + 1; f->S++)
        f->segments[f->S] = f->last_segments[f->S] = (attention_segment){0};
    for (; f->M < r->images; f->M++) f->images[f->M] = -1;
    f->N = N;
    b->most = r->most;
    b->kind = (L * (r->targets + 1) + U) * (r->rows + 1) + b->shared;
    b->kind = b->kind * (r->rows / ROW_STEP + 2) + (N + ROW_STEP - 1) / ROW_STEP;
}

void llama_batch_load(llama_batch *b, const llama_sample *s, int64_t count, int32_t shared,
                      int32_t image_token) {
    filler f = filler_of(b);
    const llama_room *r = &b->room;
    b->shared = shared;
    b->most = shared;
    add_prefix(&f, s, shared, image_token);
    for (int64_t i = 0; i < count; i++) {
        if (f.N + s[i].count - shared > r->rows || s[i].count > r->most || i >= r->samples)
            die("llama_batch_load: sample %lld of %d tokens does not fit", (long long)i, s[i].count);
        if (s[i].count > b->most) b->most = s[i].count;
        add_sample(&f, &s[i], shared, image_token);
    }
    b->tokens = f.N;
    b->targets = f.U;
    b->kind = 0;
    if (b->steps) round_sizes(&f);
    set_sizes(b, f.N, f.S, f.P, f.M, f.L, f.U);
    packed_send(&b->memory);
}
