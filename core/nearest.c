#include "core/nearest.h"

#include <stddef.h>
#include <string.h>

enum { LONGEST = 63 };

static int smaller(int a, int b) {
    return a < b ? a : b;
}

// Optimal string alignment: Levenshtein's distance with swaps of neighbours (Damerau 1964).
static int edits(const char *a, const char *b) {
    int rows[3][LONGEST + 1];
    int n = (int)strnlen(a, LONGEST), m = (int)strnlen(b, LONGEST);
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (int j = 0; j <= m; j++) above[j] = before[j] = j;
    for (int i = 1; i <= n; i++) {
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int cost = smaller(above[j], row[j - 1]) + 1;
            cost = smaller(cost, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cost = smaller(cost, before[j - 2] + 1);
            row[j] = cost;
        }
        int *kept = before;
        before = above, above = row, row = kept;
    }
    return above[m];
}

const char *nearest_name(const char *name, const char *const *names, int count) {
    const char *best = NULL;
    int best_edits = 0;
    for (int i = 0; i < count; i++) {
        int distance = edits(name, names[i]);
        if (best && distance >= best_edits) continue;
        best = names[i];
        best_edits = distance;
    }
    return best;
}
