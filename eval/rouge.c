// F of the longest common subsequence. See rouge.h.
#include "eval/rouge.h"

#include <string.h>

// ROW (m + 1) holds the lengths for X up to the word before and Y up to each word.
static int64_t common_length(int32_t *row, const int32_t *x, int64_t n, const int32_t *y,
                             int64_t m) {
    memset(row, 0, (size_t)(m + 1) * sizeof *row);
    for (int64_t i = 0; i < n; i++) {
        int32_t diagonal = 0; // of the row before
        for (int64_t j = 0; j < m; j++) {
            const int32_t above = row[j + 1];
            const int32_t longer = above > row[j] ? above : row[j];
            row[j + 1] = x[i] == y[j] ? diagonal + 1 : longer;
            diagonal = above;
        }
    }
    return row[m];
}

static double f_of(int64_t common, int64_t n, int64_t m) {
    const double beta = 1.2, precision = (double)common / (double)n,
                 recall = (double)common / (double)m;
    if (!common) return 0;
    return (1 + beta * beta) * precision * recall / (recall + beta * beta * precision);
}

status rouge_score(double *score, const word_lists *texts, const word_lists *references) {
    int64_t most = 0;
    int32_t *row;
    if (texts->count != references->count)
        die("rouge_score: %lld texts, %lld references", (long long)texts->count,
            (long long)references->count);
    for (int64_t i = 0; i < references->count; i++) {
        const int64_t m = references->first[i + 1] - references->first[i];
        most = m > most ? m : most;
    }
    status rc = mem_new(&row, most + 1, "common words");
    if (rc) return rc;
    for (int64_t i = 0; i < texts->count; i++) {
        const int64_t n = texts->first[i + 1] - texts->first[i];
        const int64_t m = references->first[i + 1] - references->first[i];
        if (n && m)
            score[i] = f_of(common_length(row, texts->id + texts->first[i], n,
                                          references->id + references->first[i], m),
                            n, m);
        else
            score[i] = f_of(!n && !m, 1, 1);
    }
    mem_free(row);
    return STATUS_OK;
}
