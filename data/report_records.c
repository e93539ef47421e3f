// Which records, and what prompts say of findings. See report_records.h.
#include "data/report_records.h"
#include "core/rng.h"

#include <string.h>

void findings_of_labels(buffer *out, const int8_t labels[CLASS_COUNT], const char *nothing) {
    bool positive[CLASS_COUNT];
    for (int c = 0; c < CLASS_COUNT; c++) positive[c] = labels[c] == LABEL_POSITIVE;
    classes_list(out, positive, nothing);
}

// --- records ------------------------------------------------------------------------------------

enum { LONGEST_WORD = 8 }; // of those that mean a missing text

static status has_report(bool *has, buffer *text, const dataset *set, int64_t record,
                         record_text kind) {
    *has = dataset_has_text(set, record, kind);
    if (!*has || dataset_text_length(set, record, kind) > LONGEST_WORD) return STATUS_OK;
    status rc = dataset_text(text, set, record, kind);
    *has = !rc && !text_is_missing(text->data);
    return rc;
}

static status choose(report_list *l, const dataset *set, const report_choice *how) {
    const int64_t begin = dataset_split_begin(set, how->split),
                  n = dataset_split_count(set, how->split);
    buffer text = {0};
    status rc = mem_new(&l->record, n, "a list of records");
    for (int64_t i = begin; i < begin + n && !rc; i++) {
        bool has;
        if (how->limit && l->count >= how->limit) break;
        rc = has_report(&has, &text, set, i, how->section);
        if (rc) break;
        if (has)
            l->record[l->count++] = i;
        else
            l->left_out++;
    }
    buffer_free(&text);
    return rc;
}

bool report_has_finding(const int8_t labels[CLASS_COUNT]) {
    bool any = false;
    for (int c = 0; c < CLASS_COUNT; c++) any |= labels[c] == LABEL_POSITIVE;
    return any && labels[CLASS_NO_FINDING] != LABEL_POSITIVE;
}

int64_t report_others_wanted(int64_t with, int copies) {
    return (int64_t)((double)(copies * with * CLASS_COUNT) / 13 / CLASS_COUNT);
}

static status draw(report_list *l, const dataset *set, uint64_t seed) {
    const rng_key key = {seed, rng_site("stratified reports"), 0};
    int64_t *all = NULL, *other = NULL, n = 0;
    uint32_t *order = NULL;
    if (l->count > INT32_MAX) die("reports: %lld records", (long long)l->count);
    status rc = mem_new(&all, 3 * l->count, "a list of records");
    if (!rc) rc = mem_new(&other, l->count, "a list of records");
    if (!rc) rc = mem_new(&order, l->count, "a list of records");
    for (int64_t i = 0; i < l->count && !rc; i++) {
        if (report_has_finding(dataset_labels(set, l->record[i])))
            all[n++] = l->record[i];
        else
            other[l->other++] = l->record[i];
    }
    if (!rc) {
        l->with = n;
        l->wanted = report_others_wanted(n, 2);
        l->drawn = l->wanted < l->other ? l->wanted : l->other;
        memcpy(all + n, all, (size_t)n * sizeof *all);
        rng_shuffle(key, order, (uint32_t)l->other);
        for (int64_t i = 0; i < l->drawn; i++) all[2 * n + i] = other[order[i]];
        l->count = 2 * n + l->drawn;
        mem_free(l->record);
        l->record = all;
        all = NULL;
    }
    mem_free(order);
    mem_free(other);
    mem_free(all);
    return rc;
}

status report_list_open(report_list *out, const dataset *set, const report_choice *how) {
    *out = (report_list){0};
    status rc = choose(out, set, how);
    if (!rc && how->stratify) rc = draw(out, set, how->seed);
    if (rc) report_list_free(out);
    return rc;
}

void report_list_free(report_list *l) {
    mem_free(l->record);
    *l = (report_list){0};
}
