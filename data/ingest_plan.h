// The plan of an ingest: every row of the source in a compact form, before any image is opened. What the
// sources (ingest_mimic.c, ingest_folder.c, ingest_dicom.c) fill and ingest.c works off. For ingest alone.
#pragma once
#include "core/files/fs.h"
#include "data/csv.h"
#include "data/ingest.h"

// What a row says, as texts; "" where it says nothing.
typedef enum row_text {
    ROW_ID,
    ROW_STUDY,
    ROW_SUBJECT,
    ROW_IMAGE,  // path from plan->image_root; "": MIMIC's, made of the ids
    ROW_REPORT, // path from plan->report_root, or the text itself if report_inline; "": as above
    ROW_FINDINGS,
    ROW_IMPRESSION,
    ROW_TEXTS
} row_text;

enum { ROW_DROPPED = SPLIT_COUNT }; // a split of rows that were skipped while planning

typedef struct plan_row {
    uint64_t text; // where its ROW_TEXTS texts begin, each with its NUL
    int64_t line;  // of the source's table
    uint8_t split, view; // view: of plan->views
    bool report_inline;
    int8_t labels[CLASS_COUNT];
} plan_row;

typedef struct plan_skip {
    int64_t line;
    skip_reason reason;
    uint64_t id, detail; // texts
} plan_skip;

typedef struct skip_list {
    plan_skip *list;
    size_t count, capacity;
    buffer texts;
} skip_list;

status skip_list_add(skip_list *s, int64_t line, skip_reason reason, const char *id,
                     const char *detail);
void skip_list_sort(skip_list *s); // by line, then in the order of adding
void skip_list_free(skip_list *s);

typedef struct ingest_plan {
    plan_row *row;
    size_t rows, row_capacity;
    buffer texts;
    names views;
    skip_list skips;
    char image_root[PATH_SIZE], report_root[PATH_SIZE];
    bool free_reports;            // reports of any layout: see ingest_record.c
    bool dicom; // images and some reports are DICOM files; no message may name a file
    uint32_t *order[SPLIT_COUNT]; // rows of each split in the order of the table
    size_t count[SPLIT_COUNT];
    int64_t shared_patients;
    char hash[17];
} ingest_plan;

// Fill rows and skips. Errors: IO, FORMAT, MEMORY.
status plan_mimic(ingest_plan *p, const ingest_options *o);
status plan_folder(ingest_plan *p, const ingest_options *o);
status plan_dicom(ingest_plan *p, const ingest_options *o);
// Drops duplicates, orders the splits, counts shared patients and takes the hash.
status plan_finish(ingest_plan *p, const ingest_options *o);
void plan_free(ingest_plan *p);

// Adds ROW with its texts; NULL ones count as "".
status plan_add(ingest_plan *p, const plan_row *row, const char *const text[ROW_TEXTS]);
const char *plan_text(const ingest_plan *p, const plan_row *row, row_text which);
// The number of a view's name in plan->views, which it joins if it is new.
status plan_view(uint8_t *view, ingest_plan *p, const char *name);
// Takes ROW out of its split and lists it.
status plan_drop(ingest_plan *p, plan_row *row, skip_reason reason, const char *detail);

// Row numbers in the order of one of their texts (equal ones in the order of rows), and the range of
// those with that text: returns how many, *FIRST is the first's place in INDEX.
status plan_index(uint32_t **index, const ingest_plan *p, row_text which);
size_t plan_find(size_t *first, const ingest_plan *p, const uint32_t *index, row_text which,
                 const char *text);

// Of the columns OWN (count) and the 14 classes, where each is in TABLE; -1: it is not. FORMAT where one is
// there in another case, or some of the classes without the others.
status plan_columns(int *column, int label[CLASS_COUNT], const csv *table, const char *const *own,
                    int count);
const char *plan_field(const csv *table, int column); // "" of column -1
// Whether a report is the path of a text file rather than the text itself.
bool plan_is_text_file(const char *report);
// A patient's split depends on the seed and the patient alone, so that it stays when rows are added.
int plan_draw_split(const ingest_options *o, const char *patient);
// Labels out of the table at PATH for the rows whose text KEY stands in its column KEY_NAME. FORMAT where
// no row's does.
status plan_read_labels(ingest_plan *p, const char *path, row_text key, const char *key_name);

// For all sources: the columns of the 14 classes (-1: none), how many there are; and a row's labels.
int plan_label_columns(int column[CLASS_COUNT], const csv *table);
status plan_labels(int8_t labels[CLASS_COUNT], const csv *table, const int column[CLASS_COUNT]);
// The split of that name, with the usual short forms; -1: none.
int plan_split(const char *name);
// The reason of a bad row without the path of the file.
const char *plan_bad_row(const csv *table, const char *path);

// --- one record (data/ingest_record.c) -----------------------------------------------------------

// A row made ready, or the reason why not. Opened once, used for many rows.
typedef struct ingest_item {
    status failed; // of the machine (disk, memory), not of the record; DETAIL is the text
    skip_reason skip;
    char detail[1024];
    void *packed; // (zlib_bound(STORED_PIXELS))
    size_t packed_size;
    uint32_t crc;
    int32_t width, height;
    bool has[TEXT_COUNT];
    buffer text[TEXT_COUNT];
} ingest_item;

// What a thread needs.
typedef struct ingest_worker ingest_worker;
status ingest_worker_open(ingest_worker **out);
void ingest_worker_close(ingest_worker *w); // accepts NULL

status ingest_item_open(ingest_item *item);
void ingest_item_close(ingest_item *item);
// Reads report and image of ROW; the outcome is in ITEM.
void ingest_item_make(ingest_item *item, ingest_worker *w, const ingest_plan *p,
                      const plan_row *row, const ingest_options *o);

// --- what stands beside the shards (data/ingest_manifest.c) --------------------------------------

typedef struct manifest_shard {
    char file[64];
    int split;
    int64_t records;
    uint32_t seal;
} manifest_shard;

// Writes skipped.csv, then manifest.json, unless they hold these bytes already.
status manifest_write(const ingest_options *o, const ingest_plan *p, const ingest_summary *s,
                      const manifest_shard *shards, size_t count, const skip_list *skips);
// Whether OUT may be worked in: no shards or manifest of another plan. Removes what a killed run left.
status manifest_prepare(const ingest_options *o, const ingest_plan *p, int64_t shard_records);
