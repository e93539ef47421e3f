// The stratified part of what is evaluated (REFERENCE 6.7). See evaluation.h.
#include "core/log.h"
#include "data/report_records.h"
#include "train/evaluation.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void move(evaluation *e, int64_t to, int64_t from) {
    e->record[to] = e->record[from];
    e->reference[to] = e->reference[from];
    memmove(e->truth + to * CLASS_COUNT, e->truth + from * CLASS_COUNT, CLASS_COUNT);
    for (int k = 0; k < e->runs; k++) e->run[k].text[to] = e->run[k].text[from];
}

status evaluation_stratify(evaluation *e) {
    int64_t *other = NULL, others = 0, kept = 0;
    status rc = mem_new(&other, e->count, "records");
    if (rc) return rc;
    for (int64_t i = 0; i < e->count; i++)
        if (!report_has_finding(e->truth + i * CLASS_COUNT)) other[others++] = e->record[i];
    qsort(other, (size_t)others, sizeof *other, compare);
    const int64_t with = e->count - others, wanted = report_others_wanted(with, 1),
                  some = wanted < others ? wanted : others;
    for (int64_t i = 0; i < e->count; i++) {
        const bool first = some && e->record[i] <= other[some - 1];
        if (report_has_finding(e->truth + i * CLASS_COUNT) || first) move(e, kept++, i);
    }
    mem_free(other);
    e->count = kept;
    if (!kept) return status_fail(STATUS_FORMAT, "evaluate.records=stratified: no record has a finding");
    log_info("stratified: %lld records with findings, the first %lld of %lld without", (long long)with, (long long)some,
             (long long)others);
    return STATUS_OK;
}
