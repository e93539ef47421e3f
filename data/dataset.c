#include "core/files/fs.h"
#include "core/files/json.h"
#include "data/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MANIFEST_LIMIT = 64 << 20, SPARE_FILES = 64 };

struct dataset {
    char plan[PLAN_SIZE];
    shard **shard;
    int64_t *begin; // (shards + 1): the first record's number
    size_t shards;
    int64_t records;
    int64_t split_begin[SPLIT_COUNT + 1];
    uint32_t *by_dicom; // (records): numbers in the order of their dicom_id
    size_t largest;     // bytes of a stored image
};

// --- opening -------------------------------------------------------------------------------------

// Every shard stays open; the usual limit of 1,024 files is raised to what the system allows.
static void want_files(size_t count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= count + SPARE_FILES) return;
    limit.rlim_cur = limit.rlim_max < count + SPARE_FILES ? limit.rlim_max : count + SPARE_FILES;
    setrlimit(RLIMIT_NOFILE, &limit);
}

// The shard that ENTRY of the manifest describes, with the seal that HASHES says.
static status open_shard(shard **out, const dataset *s, const char *dir, json_value entry,
                         json_value hashes) {
    const char *file, *split, *hash;
    int64_t records;
    char path[PATH_SIZE], seal[16];
    status rc = json_member_text(&file, entry, "file");
    if (!rc) rc = json_member_text(&split, entry, "split");
    if (!rc) rc = json_member_int(&records, entry, "records", 0, SHARD_RECORDS_MAX);
    if (!rc && strchr(file, '/')) rc = json_fail(entry, "%s is no name of a shard", file);
    if (!rc) rc = json_member_text(&hash, hashes, file);
    if (!rc) rc = path_join(path, sizeof path, dir, file);
    if (!rc) rc = shard_open(out, path);
    if (rc) return rc;
    snprintf(seal, sizeof seal, "%08x", (*out)->seal);
    if ((*out)->records == records && !strcmp(split_names[(*out)->split], split) &&
        !strcmp(seal, hash) && !strcmp((*out)->plan, s->plan))
        return STATUS_OK;
    return status_fail(STATUS_FORMAT,
                       "%s: is not the shard of manifest.json; run ingest again, with its --out", path);
}

static status open_shards(dataset *s, const char *dir, json_value root) {
    json_value list, hashes;
    const char *plan;
    int split = 0;
    status rc = json_member(&list, root, "shards");
    if (!rc) rc = json_list(list);
    if (!rc) rc = json_member(&hashes, root, "hashes");
    if (!rc) rc = json_object(hashes);
    if (!rc) rc = json_member_text(&plan, hashes, "plan");
    if (!rc) snprintf(s->plan, sizeof s->plan, "%s", plan);
    size_t count = rc ? 0 : json_count(list);
    if (!rc) want_files(count);
    if (!rc) rc = mem_new(&s->shard, count, "shards");
    if (!rc) rc = mem_new(&s->begin, count + 1, "shards");
    for (json_value v = rc ? (json_value){0} : json_first(list); !rc && v.node; v = json_next(v)) {
        shard **slot = &s->shard[s->shards];
        s->begin[s->shards] = s->records;
        rc = open_shard(slot, s, dir, v, hashes);
        if (*slot) s->shards++;
        if (rc) break;
        if ((*slot)->split < split) return json_fail(v, "the shards are not in the order of splits");
        while (split < (*slot)->split) s->split_begin[++split] = s->records;
        s->records += (*slot)->records;
        shard_forget_skipped(*slot);
    }
    while (!rc && split < SPLIT_COUNT) s->split_begin[++split] = s->records;
    if (!rc) s->begin[s->shards] = s->records;
    return rc;
}

static status check_counts(const dataset *s, json_value root) {
    json_value splits;
    int64_t records = 0, count;
    status rc = json_member_int(&records, root, "records", 0, INT32_MAX);
    if (!rc && records != s->records)
        rc = json_fail(root, "says %lld records, the shards hold %lld", (long long)records,
                       (long long)s->records);
    if (!rc) rc = json_member(&splits, root, "splits");
    for (int i = 0; !rc && i < SPLIT_COUNT; i++) {
        rc = json_member_int(&count, splits, split_names[i], 0, INT32_MAX);
        if (!rc && count != dataset_split_count(s, i))
            rc = json_fail(splits, "%s: %lld records, the shards hold %lld", split_names[i],
                           (long long)count, (long long)dataset_split_count(s, i));
    }
    return rc;
}

static int compare_dicom(const void *a, const void *b, void *set) {
    return strcmp(dataset_id(set, *(const uint32_t *)a, ID_DICOM),
                  dataset_id(set, *(const uint32_t *)b, ID_DICOM));
}

static status index_records(dataset *s, const char *dir) {
    for (size_t k = 0; k < s->shards; k++)
        for (int64_t i = 0; i < s->shard[k]->records; i++)
            if ((size_t)s->shard[k]->chunk[i].bytes > s->largest)
                s->largest = (size_t)s->shard[k]->chunk[i].bytes;
    status rc = mem_new(&s->by_dicom, s->records, "an index of records");
    if (rc || !s->records) return rc;
    for (int64_t i = 0; i < s->records; i++) s->by_dicom[i] = (uint32_t)i;
    qsort_r(s->by_dicom, (size_t)s->records, sizeof *s->by_dicom, compare_dicom, s);
    for (int64_t i = 1; i < s->records; i++)
        if (!compare_dicom(&s->by_dicom[i - 1], &s->by_dicom[i], s))
            return status_fail(STATUS_FORMAT, "%s: two records have the dicom_id %s", dir,
                               dataset_id(s, s->by_dicom[i], ID_DICOM));
    return STATUS_OK;
}

static status read_manifest(json **out, const char *dir) {
    char path[PATH_SIZE];
    const char *format;
    int64_t version;
    status rc = path_join(path, sizeof path, dir, "manifest.json");
    if (rc) return rc;
    if (!file_exists(path))
        return status_fail(STATUS_IO,
                           "%s: is no finished shard directory (no manifest.json); make it with "
                           "radialog ingest",
                           dir);
    rc = json_read(out, path, MANIFEST_LIMIT);
    if (!rc) rc = json_member_text(&format, json_root(*out), "format");
    if (!rc && strcmp(format, "radialog-shards"))
        rc = json_fail(json_root(*out), "is no manifest of shards");
    if (!rc) rc = json_member_int(&version, json_root(*out), "version", 1, INT32_MAX);
    if (!rc && version != SHARD_VERSION)
        rc = json_fail(json_root(*out), "version %lld of the format, this program reads %d",
                       (long long)version, SHARD_VERSION);
    return rc;
}

status dataset_open(dataset **out, const char *dir) {
    dataset *s = NULL;
    json *manifest = NULL;
    *out = NULL;
    status rc = mem_new(&s, 1, "a dataset");
    if (rc) return rc;
    rc = read_manifest(&manifest, dir);
    if (!rc) rc = open_shards(s, dir, json_root(manifest));
    if (!rc) rc = check_counts(s, json_root(manifest));
    if (!rc) rc = index_records(s, dir);
    json_close(manifest);
    if (rc)
        dataset_close(s);
    else
        *out = s;
    return rc;
}

void dataset_close(dataset *s) {
    if (!s) return;
    for (size_t i = 0; i < s->shards; i++) shard_close(s->shard[i]);
    mem_free(s->shard);
    mem_free(s->begin);
    mem_free(s->by_dicom);
    mem_free(s);
}

// --- records -------------------------------------------------------------------------------------

int64_t dataset_records(const dataset *s) {
    return s->records;
}

int64_t dataset_split_begin(const dataset *s, int split) {
    if (split < 0 || split >= SPLIT_COUNT) die("dataset: split %d", split);
    return s->split_begin[split];
}

int64_t dataset_split_count(const dataset *s, int split) {
    if (split < 0 || split >= SPLIT_COUNT) die("dataset: split %d", split);
    return s->split_begin[split + 1] - s->split_begin[split];
}

const char *dataset_plan(const dataset *s) {
    return s->plan;
}

// The shard that holds RECORD, and the record's place in it.
static const shard *find_shard(size_t *place, const dataset *s, int64_t record) {
    if (record < 0 || record >= s->records)
        die("dataset: record %lld of %lld", (long long)record, (long long)s->records);
    size_t low = 0, high = s->shards; // begin[low] <= record < begin[high]
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (s->begin[middle] <= record)
            low = middle;
        else
            high = middle;
    }
    *place = (size_t)(record - s->begin[low]);
    return s->shard[low];
}

int dataset_split_of(const dataset *s, int64_t record) {
    size_t i;
    return find_shard(&i, s, record)->split;
}

const int8_t *dataset_labels(const dataset *s, int64_t record) {
    size_t i;
    const shard *from = find_shard(&i, s, record);
    return from->labels + i * CLASS_COUNT;
}

const char *dataset_id(const dataset *s, int64_t record, record_id kind) {
    size_t i;
    const shard *from = find_shard(&i, s, record);
    return text_column_at(&from->id[kind], i);
}

const int32_t *dataset_size(const dataset *s, int64_t record) {
    size_t i;
    const shard *from = find_shard(&i, s, record);
    return from->sizes + 2 * i;
}

const char *dataset_shard(const dataset *s, int64_t record) {
    size_t i;
    const char *path = find_shard(&i, s, record)->path, *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int64_t dataset_find(const dataset *s, const char *dicom_id) {
    int64_t low = 0, high = s->records;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(dicom_id, dataset_id(s, s->by_dicom[middle], ID_DICOM));
        if (order == 0) return s->by_dicom[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

bool dataset_has_text(const dataset *s, int64_t record, record_text kind) {
    size_t i;
    return find_shard(&i, s, record)->text[kind].present[i] != 0;
}

int64_t dataset_text_length(const dataset *s, int64_t record, record_text kind) {
    size_t i;
    const shard *from = find_shard(&i, s, record);
    return text_column_length(&from->text[kind], i);
}

status dataset_text(buffer *out, const dataset *s, int64_t record, record_text kind) {
    size_t i;
    const shard *from = find_shard(&i, s, record);
    return shard_text(out, from, (int64_t)i, kind);
}

// --- pixels --------------------------------------------------------------------------------------

struct pixel_reader {
    const dataset *set;
    deflater *deflater;
    void *packed; // (set->largest)
};

status pixel_reader_open(pixel_reader **out, const dataset *set) {
    pixel_reader *r = NULL;
    *out = NULL;
    status rc = mem_new(&r, 1, "a reader of pixels");
    if (rc) return rc;
    r->set = set;
    rc = deflater_open(&r->deflater, 1);
    if (!rc) rc = mem_take(&r->packed, set->largest, 1, "a reader of pixels");
    if (rc)
        pixel_reader_close(r);
    else
        *out = r;
    return rc;
}

void pixel_reader_close(pixel_reader *r) {
    if (!r) return;
    deflater_close(r->deflater);
    mem_free(r->packed);
    mem_free(r);
}

status dataset_pixels(uint8_t *out, pixel_reader *r, int64_t record) {
    size_t i;
    const shard *from = find_shard(&i, r->set, record);
    return shard_pixels(out, from, (int64_t)i, r->deflater, r->packed);
}
