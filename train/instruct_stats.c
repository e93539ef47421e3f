#include "train/instruct_stats.h"
#include "eval/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 16, NAME = 16 };

typedef struct task_stats {
    char name[NAME];
    int64_t records, tokens, longest, learned, longest_answer, cut;
} task_stats;

typedef struct stats {
    task_stats task[MOST];
    int tasks;
} stats;

static task_stats *find(stats *x, const char *name) {
    for (int i = 0; i < x->tasks; i++)
        if (!strncmp(x->task[i].name, name, NAME - 1)) return &x->task[i];
    if (x->tasks == MOST) return &x->task[MOST - 1];
    task_stats *t = &x->task[x->tasks++];
    snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

// END: the token that a record ends with unless it was cut off; -1: none does.
static status count(stats *x, instruct_set *s, int split, int32_t end) {
    const int cutoff = instruct_facts_of(s)->cutoff;
    instruct_record r;
    status rc = STATUS_OK;
    for (int64_t i = 0; i < instruct_count(s, split) && !rc; i++) {
        rc = instruct_read(s, split, i, &r);
        if (rc) break;
        task_stats *t = find(x, r.task);
        const int64_t learned = instruct_supervised(s, split, i);
        t->records++;
        t->tokens += r.count;
        t->longest = larger(t->longest, r.count);
        t->learned += learned;
        t->longest_answer = larger(t->longest_answer, learned);
        t->cut += r.count == cutoff && (end < 0 || r.ids[r.count - 1] != end);
    }
    return rc;
}

static double mean(int64_t sum, int64_t of) {
    return of ? (double)sum / (double)of : 0;
}

status instruct_stats_show(buffer *out, instruct_set *s, int split, int32_t end) {
    static const char *const columns[] = {"records", "tokens",         "longest",
                                          "learned", "longest answer", "cut off"};
    stats x = {0};
    table t = {0};
    status rc = count(&x, s, split, end);
    table_column(&t, split_names[split]);
    for (int i = 0; i < 6; i++) table_column(&t, columns[i]);
    for (int i = 0; i < x.tasks; i++) {
        const task_stats *k = &x.task[i];
        table_text(&t, k->name);
        table_integer(&t, k->records);
        table_number(&t, mean(k->tokens, k->records), 1);
        table_integer(&t, k->longest);
        table_number(&t, mean(k->learned, k->records), 1);
        table_integer(&t, k->longest_answer);
        table_integer(&t, k->cut);
    }
    if (!rc) rc = table_write(&t, TABLE_PLAIN, out);
    table_free(&t);
    return rc;
}

status instruct_stats_json(buffer *out, instruct_set *s, int split, int32_t end) {
    stats x = {0};
    status rc = count(&x, s, split, end);
    buffer_text(out, "{");
    for (int i = 0; i < x.tasks; i++) {
        const task_stats *k = &x.task[i];
        buffer_text(out, i ? "," : "");
        buffer_json(out, k->name);
        buffer_print(out,
                     ":{\"records\":%" PRId64 ",\"tokens\":%" PRId64 ",\"longest\":%" PRId64
                     ",\"learned\":%" PRId64 ",\"longest_answer\":%" PRId64 ",\"cut\":%" PRId64 "}",
                     k->records, k->tokens, k->longest, k->learned, k->longest_answer, k->cut);
    }
    buffer_text(out, "}");
    return rc ? rc : out->failed;
}
