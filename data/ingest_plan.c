#include "data/ingest_plan.h"
#include "core/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- rows ----------------------------------------------------------------------------------------

static status append_text(uint64_t *place, buffer *texts, const char *text) {
    if (place) *place = texts->length;
    buffer_append(texts, text, strlen(text) + 1);
    return texts->failed;
}

status plan_add(ingest_plan *p, const plan_row *row, const char *const text[ROW_TEXTS]) {
    if (p->rows >= INT32_MAX) return status_fail(STATUS_FORMAT, "the table has too many rows");
    status rc =
        mem_grow((void **)&p->row, &p->row_capacity, p->rows + 1, sizeof *p->row, "rows");
    if (rc) return rc;
    plan_row *added = &p->row[p->rows];
    *added = *row;
    for (int i = 0; !rc && i < ROW_TEXTS; i++)
        rc = append_text(i ? NULL : &added->text, &p->texts, text[i] ? text[i] : "");
    if (!rc) p->rows++;
    return rc;
}

const char *plan_text(const ingest_plan *p, const plan_row *row, row_text which) {
    const char *text = p->texts.data + row->text;
    for (int i = 0; i < (int)which; i++) text += strlen(text) + 1;
    return text;
}

status plan_view(uint8_t *view, ingest_plan *p, const char *name) {
    size_t i = 0;
    while (i < p->views.count && strcmp(p->views.name[i], name)) i++;
    *view = (uint8_t)i;
    if (i < p->views.count) return STATUS_OK;
    if (i > UINT8_MAX)
        return status_fail(STATUS_FORMAT, "the table names more than %d views", UINT8_MAX + 1);
    return names_add(&p->views, name);
}

status plan_drop(ingest_plan *p, plan_row *row, skip_reason reason, const char *detail) {
    if (row->split == ROW_DROPPED) return STATUS_OK;
    row->split = ROW_DROPPED;
    return skip_list_add(&p->skips, row->line, reason, plan_text(p, row, ROW_ID), detail);
}

void plan_free(ingest_plan *p) {
    for (int i = 0; i < SPLIT_COUNT; i++) mem_free(p->order[i]);
    mem_free(p->row);
    names_free(&p->views);
    buffer_free(&p->texts);
    skip_list_free(&p->skips);
}

// --- skipped rows --------------------------------------------------------------------------------

status skip_list_add(skip_list *s, int64_t line, skip_reason reason, const char *id,
                     const char *detail) {
    status rc = mem_grow((void **)&s->list, &s->capacity, s->count + 1, sizeof *s->list,
                         "skipped rows");
    if (rc) return rc;
    plan_skip *added = &s->list[s->count];
    *added = (plan_skip){.line = line, .reason = reason};
    rc = append_text(&added->id, &s->texts, id);
    if (!rc) rc = append_text(&added->detail, &s->texts, detail);
    if (!rc) s->count++;
    return rc;
}

// Texts are appended in the order of adding, so their places break ties.
static int compare_skips(const void *a, const void *b) {
    const plan_skip *x = a, *y = b;
    if (x->line != y->line) return x->line < y->line ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

void skip_list_sort(skip_list *s) {
    if (s->count) qsort(s->list, s->count, sizeof *s->list, compare_skips);
}

void skip_list_free(skip_list *s) {
    mem_free(s->list);
    buffer_free(&s->texts);
    *s = (skip_list){0};
}

// --- an index ------------------------------------------------------------------------------------

typedef struct index_key {
    const ingest_plan *plan;
    row_text which;
} index_key;

static const char *row_key(const index_key *key, uint32_t row) {
    return plan_text(key->plan, &key->plan->row[row], key->which);
}

static int compare_rows(const void *a, const void *b, void *key) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int order = strcmp(row_key(key, x), row_key(key, y));
    return order ? order : (x > y) - (x < y);
}

status plan_index(uint32_t **index, const ingest_plan *p, row_text which) {
    index_key key = {p, which};
    status rc = mem_new(index, p->rows, "an index of rows");
    if (rc || !p->rows) return rc;
    for (size_t i = 0; i < p->rows; i++) (*index)[i] = (uint32_t)i;
    qsort_r(*index, p->rows, sizeof **index, compare_rows, &key);
    return STATUS_OK;
}

size_t plan_find(size_t *first, const ingest_plan *p, const uint32_t *index, row_text which,
                 const char *text) {
    index_key key = {p, which};
    size_t low = 0, high = p->rows;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(row_key(&key, index[middle]), text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *first = low;
    while (high < p->rows && !strcmp(row_key(&key, index[high]), text)) high++;
    return high - low;
}

// --- fields --------------------------------------------------------------------------------------

int plan_label_columns(int column[CLASS_COUNT], const csv *table) {
    int found = 0;
    for (int i = 0; i < CLASS_COUNT; i++) {
        column[i] = csv_column(table, class_names[i]);
        found += column[i] >= 0;
    }
    return found;
}

status plan_labels(int8_t labels[CLASS_COUNT], const csv *table, const int column[CLASS_COUNT]) {
    status rc = STATUS_OK;
    for (int i = 0; !rc && i < CLASS_COUNT; i++) {
        labels[i] = LABEL_BLANK;
        if (column[i] >= 0) rc = label_parse(&labels[i], csv_field(table, column[i]));
    }
    return rc;
}

int plan_split(const char *name) {
    static const struct {
        const char *name;
        int split;
    } known[] = {{"train", SPLIT_TRAIN},      {"validate", SPLIT_VALIDATE},
                 {"val", SPLIT_VALIDATE},     {"valid", SPLIT_VALIDATE},
                 {"validation", SPLIT_VALIDATE}, {"test", SPLIT_TEST}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(name, known[i].name)) return known[i].split;
    return -1;
}

const char *plan_bad_row(const csv *table, const char *path) {
    const char *reason = csv_reason(table);
    size_t length = strlen(path);
    if (strncmp(reason, path, length)) return reason;
    const char *colon = strstr(reason + length, ": ");
    return colon ? colon + 2 : reason + length;
}

// --- finishing -----------------------------------------------------------------------------------

static status drop_duplicates(ingest_plan *p) {
    uint32_t *index = NULL;
    char detail[64];
    size_t kept = SIZE_MAX; // the row that is kept of the present id
    status rc = plan_index(&index, p, ROW_ID);
    for (size_t i = 0; !rc && i < p->rows; i++) {
        plan_row *row = &p->row[index[i]];
        if (row->split == ROW_DROPPED) continue;
        if (kept == SIZE_MAX ||
            strcmp(plan_text(p, row, ROW_ID), plan_text(p, &p->row[kept], ROW_ID))) {
            kept = index[i];
            continue;
        }
        snprintf(detail, sizeof detail, "also in line %" PRId64, p->row[kept].line);
        rc = plan_drop(p, row, SKIP_DUPLICATE, detail);
    }
    mem_free(index);
    return rc;
}

static status count_shared_patients(ingest_plan *p) {
    uint32_t *index = NULL;
    const char *patient = NULL;
    unsigned seen = 0; // a bit for each split of the present patient
    status rc = plan_index(&index, p, ROW_SUBJECT);
    for (size_t i = 0; !rc && i < p->rows; i++) {
        const plan_row *row = &p->row[index[i]];
        if (row->split == ROW_DROPPED) continue;
        const char *subject = plan_text(p, row, ROW_SUBJECT);
        if (!patient || strcmp(subject, patient)) seen = 0;
        patient = subject;
        unsigned now = seen | 1u << row->split;
        // Counted once: when the second split turns up.
        if (__builtin_popcount(seen) == 1 && __builtin_popcount(now) == 2) p->shared_patients++;
        seen = now;
    }
    mem_free(index);
    return rc;
}

static status order_splits(ingest_plan *p) {
    status rc = STATUS_OK;
    for (size_t i = 0; i < p->rows; i++)
        if (p->row[i].split < SPLIT_COUNT) p->count[p->row[i].split]++;
    for (int s = 0; !rc && s < SPLIT_COUNT; s++) {
        size_t n = 0;
        rc = mem_new(&p->order[s], p->count[s], "the order of rows");
        for (size_t i = 0; !rc && i < p->rows; i++)
            if (p->row[i].split == s) p->order[s][n++] = (uint32_t)i;
    }
    return rc;
}

static void hash_skips(uint64_t *hash, const skip_list *s) {
    for (size_t i = 0; i < s->count; i++) {
        int64_t reason = (int64_t)s->list[i].reason;
        *hash = hash_bytes(*hash, &s->list[i].line, sizeof s->list[i].line);
        *hash = hash_bytes(*hash, &reason, sizeof reason);
    }
    *hash = hash_bytes(*hash, s->texts.data, s->texts.length);
}

static void hash_plan(ingest_plan *p, const ingest_options *o) {
    char text[256];
    uint64_t hash = hash_start;
    int length = snprintf(text, sizeof text,
                          "radialog ingest 1 source %d compression %d shard %" PRId64 " keep %d "
                          "sections %d",
                          (int)o->source, (int)o->compression, o->shard_records,
                          (int)o->keep_without_findings, (int)o->sections);
    hash = hash_bytes(hash, text, (size_t)length);
    if (o->source == INGEST_DICOM) hash = hash_bytes(hash, &o->intensity, sizeof o->intensity);
    for (size_t i = 0; i < p->rows; i++) {
        const plan_row *row = &p->row[i];
        unsigned char flags[] = {row->split, row->view, row->report_inline};
        hash = hash_bytes(hash, &row->line, sizeof row->line);
        hash = hash_bytes(hash, flags, sizeof flags);
        hash = hash_bytes(hash, row->labels, sizeof row->labels);
    }
    hash = hash_bytes(hash, p->texts.data, p->texts.length);
    for (size_t i = 0; i < p->views.count; i++)
        hash = hash_bytes(hash, p->views.name[i], strlen(p->views.name[i]) + 1);
    hash_skips(&hash, &p->skips);
    snprintf(p->hash, sizeof p->hash, "%016" PRIx64, hash);
}

status plan_finish(ingest_plan *p, const ingest_options *o) {
    status rc = drop_duplicates(p);
    if (!rc) rc = count_shared_patients(p);
    if (!rc) rc = order_splits(p);
    if (!rc) hash_plan(p, o);
    return rc;
}
