// Which rows an attention's segments name; see the header.
#include "models/ops/attention_segments_cpu.h"

enum { QUERIES = 2, KEYS = 3 };
static const int key_order[KEYS] = {2, 0, 1}; // of the pieces in the sequence

attention_segment attention_segment_at(const attention_shape *z, int64_t s) {
    if (z->segments) return z->segments[s];
    return (attention_segment){.q_first = {(int32_t)(s * z->TQ)},
                               .q_count = {(int32_t)z->TQ},
                               .k_first = {(int32_t)(s * z->TK)},
                               .k_count = {(int32_t)z->TK},
                               .sample = (int32_t)(z->first_sample + (uint32_t)s)};
}

int64_t attention_queries(const attention_segment *g) {
    return (int64_t)g->q_count[0] + g->q_count[1];
}

int64_t attention_keys(const attention_segment *g) {
    return (int64_t)g->k_count[0] + g->k_count[1] + g->k_count[2];
}

int attention_query_runs(attention_run run[2], const attention_segment *g, int64_t first,
                         int64_t count) {
    int runs = 0;
    for (int64_t p = 0, start = 0; p < QUERIES; start += g->q_count[p++]) {
        int64_t from = first > start ? first - start : 0, to = first + count - start;
        if (to > g->q_count[p]) to = g->q_count[p];
        if (from < to)
            run[runs++] =
                (attention_run){(int)p, g->q_first[p] + from, to - from, start + from - first};
    }
    return runs;
}

int attention_key_runs(attention_run run[3], const attention_segment *g) {
    int runs = 0;
    int64_t start = 0;
    for (int i = 0; i < KEYS; i++) {
        const int p = key_order[i];
        if (g->k_count[p]) run[runs++] = (attention_run){p, g->k_first[p], g->k_count[p], start};
        start += g->k_count[p];
    }
    return runs;
}

// --- groups --------------------------------------------------------------------------------------
static int64_t rows_of(const attention_shape *z) {
    return z->q_rows[0] + z->q_rows[1] + z->k_rows[0] + z->k_rows[1] + z->k_rows[2];
}

size_t attention_groups_bytes(const attention_shape *z) {
    return z->segments ? (size_t)(2 * z->B + rows_of(z)) * sizeof(int32_t) : 0;
}

static void expect_inside(const int32_t *first, const int32_t *count, const int64_t *rows,
                          int pieces, int64_t most, int64_t s, const char *what) {
    int64_t sum = 0;
    for (int p = 0; p < pieces; p++) {
        if (count[p] < 0 || (count[p] && (first[p] < 0 || first[p] + (int64_t)count[p] > rows[p])))
            die("attention: segment %lld has %s from row %d on, %d of them, in %lld rows",
                (long long)s, what, first[p], count[p], (long long)rows[p]);
        sum += count[p];
    }
    if (sum > most)
        die("attention: segment %lld has %lld %s, expected at most %lld", (long long)s,
            (long long)sum, what, (long long)most);
}

static bool same_keys(const attention_segment *a, const attention_segment *b) {
    for (int p = 0; p < KEYS; p++)
        if (a->k_count[p] != b->k_count[p] || (a->k_count[p] && a->k_first[p] != b->k_first[p]))
            return false;
    return true;
}

// Names the rows of RUN as segment S's; dies if somebody has.
static void take_rows(int32_t *const *owner, const attention_run *run, int runs, int64_t s,
                      const char *what) {
    for (int r = 0; r < runs; r++)
        for (int64_t i = 0; i < run[r].count; i++) {
            int32_t *who = &owner[run[r].piece][run[r].row + i];
            if (*who >= 0)
                die("attention: segments %d and %lld both have %s row %lld", *who, (long long)s,
                    what, (long long)(run[r].row + i));
            *who = (int32_t)s;
        }
}

static void add_segment(attention_groups *g, const attention_shape *z, int64_t s) {
    const attention_segment *segment = &z->segments[s];
    attention_run run[KEYS];
    expect_inside(segment->q_first, segment->q_count, z->q_rows, QUERIES, z->TQ, s, "queries");
    expect_inside(segment->k_first, segment->k_count, z->k_rows, KEYS, z->TK, s, "keys");
    g->next[s] = -1;
    if (!attention_queries(segment) || !attention_keys(segment)) return;
    if (z->known && (segment->causal != 0) != (z->known == SEGMENTS_CAUSAL))
        die("attention: segment %lld is %s, the call says otherwise", (long long)s,
            segment->causal ? "causal" : "not causal");
    int runs = attention_query_runs(run, segment, 0, attention_queries(segment));
    take_rows(g->q_owner, run, runs, s, "query");
    runs = attention_key_runs(run, segment);
    // Whose are the first key's row: nobody's, or a group's whose keys these must be.
    int32_t last = g->k_owner[run[0].piece][run[0].row];
    if (last < 0 || !same_keys(&z->segments[last], segment)) {
        take_rows(g->k_owner, run, runs, s, "key");
        g->first[g->count++] = (int32_t)s;
        return;
    }
    if (z->known)
        die("attention: segments %d and %lld share keys, the call says that none do", last,
            (long long)s);
    while (g->next[last] >= 0) last = g->next[last];
    g->next[last] = (int32_t)s;
}

void attention_groups_find(attention_groups *g, const attention_shape *z, void *memory) {
    *g = (attention_groups){.count = z->B};
    if (!z->segments) return;
    int32_t *at = memory;
    g->first = at, at += z->B;
    g->next = at, at += z->B;
    for (int64_t i = 0; i < rows_of(z); i++) at[i] = -1;
    for (int p = 0; p < QUERIES; at += z->q_rows[p++]) g->q_owner[p] = at;
    for (int p = 0; p < KEYS; at += z->k_rows[p++]) g->k_owner[p] = at;
    g->count = 0;
    for (int64_t s = 0; s < z->B; s++) add_segment(g, z, s);
}

int64_t attention_group_first(const attention_groups *g, int64_t group) {
    return g->first ? g->first[group] : group;
}

int64_t attention_group_next(const attention_groups *g, int64_t segment) {
    return g->next ? g->next[segment] : -1;
}
