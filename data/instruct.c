// A folder of instruct data as one set of records. See instruct.h.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "core/files/json.h"
#include "data/instruct_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MANIFEST_LIMIT = 64 << 20 };

struct instruct_set {
    instruct_facts facts;
    char plan[PLAN_SIZE];
    instruct_shard **shard;
    int64_t *begin; // (shards + 1): the first record's number
    size_t shards;
    int64_t records;
    int64_t split_begin[SPLIT_COUNT + 1];
    char *block; // the record that was asked for last
    size_t block_capacity;
    const char **image; // its images
    size_t image_capacity;
};

// --- the facts ----------------------------------------------------------------------------------

void instruct_facts_print(buffer *out, const instruct_facts *f) {
    buffer_print(out, "  \"tokenizer\": \"%08x\",\n  \"vocabulary\": %d,\n", f->tokenizer,
                 f->vocabulary);
    buffer_print(out, "  \"image_token\": %d,\n  \"queries\": %d,\n", f->image_token, f->queries);
    if (f->overwrite) buffer_text(out, "  \"overwrite\": true,\n");
    buffer_print(out, "  \"prompts\": \"%08x\",\n  \"cutoff\": %d,\n", f->prompts, f->cutoff);
    buffer_print(out, "  \"seed\": %" PRIu64 ",\n  \"stratified\": %s,\n", f->seed,
                 f->stratified ? "true" : "false");
    buffer_print(out, "  \"limit\": %" PRId64 ",\n  \"section\": ", f->limit);
    buffer_json(out, f->section);
    buffer_text(out, ",\n  \"findings\": {");
    for (int k = 0; k < SPLIT_COUNT; k++) {
        buffer_print(out, "%s\"%s\": ", k ? ", " : "", split_names[k]);
        buffer_json(out, f->findings[k]);
    }
    buffer_text(out, "},\n  \"source\": ");
    buffer_json(out, f->source);
}

static status read_hash(uint32_t *out, json_value root, const char *key) {
    const char *text;
    status rc = json_member_text(&text, root, key);
    if (rc) return rc;
    if (strlen(text) != 8 || strspn(text, "0123456789abcdef") != 8)
        return json_fail(json_find(root, key), "must be eight hexadecimal digits");
    sscanf(text, "%8" SCNx32, out);
    return STATUS_OK;
}

static status read_number(int *out, json_value root, const char *key, int low, int high) {
    int64_t value = 0;
    status rc = json_member_int(&value, root, key, low, high);
    *out = (int)value;
    return rc;
}

static status read_source(char out[INSTRUCT_SOURCE_SIZE], json_value root, const char *key) {
    const char *text;
    status rc = json_member_text(&text, root, key);
    if (!rc && strlen(text) >= INSTRUCT_SOURCE_SIZE)
        rc = json_fail(json_find(root, key), "is too long");
    if (!rc) snprintf(out, INSTRUCT_SOURCE_SIZE, "%s", text);
    return rc;
}

static status read_facts(instruct_facts *f, json_value root) {
    json_value findings;
    int64_t seed = 0;
    status rc = read_hash(&f->tokenizer, root, "tokenizer");
    if (!rc) rc = read_number(&f->vocabulary, root, "vocabulary", 1, INT32_MAX);
    if (!rc) rc = read_number(&f->image_token, root, "image_token", 0, f->vocabulary - 1);
    if (!rc) rc = read_number(&f->queries, root, "queries", 1, INT32_MAX);
    if (!rc && json_find(root, "overwrite").node) rc = json_member_bool(&f->overwrite, root, "overwrite");
    if (!rc) rc = read_hash(&f->prompts, root, "prompts");
    if (!rc) rc = read_number(&f->cutoff, root, "cutoff", 1, INT32_MAX);
    if (!rc) rc = json_member_int(&seed, root, "seed", 0, INT64_MAX);
    f->seed = (uint64_t)seed;
    if (!rc) rc = json_member_bool(&f->stratified, root, "stratified");
    if (!rc) rc = json_member_int(&f->limit, root, "limit", 0, INT64_MAX);
    if (!rc) rc = read_source(f->section, root, "section");
    if (!rc) rc = json_member(&findings, root, "findings");
    if (!rc) rc = json_object(findings);
    for (int k = 0; k < SPLIT_COUNT && !rc; k++)
        rc = read_source(f->findings[k], findings, split_names[k]);
    return rc ? rc : read_source(f->source, root, "source");
}

// --- opening ------------------------------------------------------------------------------------

static status read_manifest(json **out, const char *folder) {
    char path[PATH_SIZE];
    const char *format;
    int64_t version;
    status rc = path_join(path, sizeof path, folder, "manifest.json");
    if (rc) return rc;
    if (!file_exists(path))
        return status_fail(
            STATUS_IO,
            "%s: is no finished folder of instruct data (no manifest.json); make it with "
            "radialog instruct",
            folder);
    rc = json_read(out, path, MANIFEST_LIMIT);
    if (!rc) rc = json_member_text(&format, json_root(*out), "format");
    if (!rc && strcmp(format, "radialog-instruct"))
        rc = json_fail(json_root(*out), "is no manifest of instruct data");
    if (!rc) rc = json_member_int(&version, json_root(*out), "version", 1, INT32_MAX);
    if (!rc && version != INSTRUCT_VERSION)
        rc = json_fail(json_root(*out), "version %lld of the format, this program reads %d",
                       (long long)version, INSTRUCT_VERSION);
    return rc;
}

static status open_shard(instruct_shard **out, const instruct_set *s, const char *folder,
                         json_value entry, json_value hashes) {
    const char *file, *split, *hash;
    int64_t records;
    char path[PATH_SIZE], seal[16];
    status rc = json_member_text(&file, entry, "file");
    if (!rc) rc = json_member_text(&split, entry, "split");
    if (!rc) rc = json_member_int(&records, entry, "records", 0, INSTRUCT_ROWS);
    if (!rc && strchr(file, '/')) rc = json_fail(entry, "%s is no name of a shard", file);
    if (!rc) rc = json_member_text(&hash, hashes, file);
    if (!rc) rc = path_join(path, sizeof path, folder, file);
    if (!rc) rc = instruct_shard_open(out, path);
    if (rc) return rc;
    snprintf(seal, sizeof seal, "%08x", (*out)->seal);
    if ((*out)->records == records && !strcmp(split_names[(*out)->split], split) &&
        !strcmp(seal, hash) && !strcmp((*out)->plan, s->plan))
        return STATUS_OK;
    return status_fail(
        STATUS_FORMAT,
        "%s: is not the shard of manifest.json; run radialog instruct again, with its --out", path);
}

static status open_shards(instruct_set *s, const char *folder, json_value list, json_value hashes) {
    int split = 0;
    const size_t count = json_count(list);
    status rc = mem_new(&s->shard, count, "shards");
    if (!rc) rc = mem_new(&s->begin, count + 1, "shards");
    for (json_value v = json_first(list); !rc && v.node; v = json_next(v)) {
        instruct_shard **slot = &s->shard[s->shards];
        s->begin[s->shards] = s->records;
        rc = open_shard(slot, s, folder, v, hashes);
        if (*slot) s->shards++;
        if (rc) break;
        if ((*slot)->split < split)
            return json_fail(v, "the shards are not in the order of splits");
        while (split < (*slot)->split) s->split_begin[++split] = s->records;
        s->records += (*slot)->records;
        instruct_shard_forget_skipped(*slot);
    }
    while (!rc && split < SPLIT_COUNT) s->split_begin[++split] = s->records;
    if (!rc) s->begin[s->shards] = s->records;
    return rc;
}

static status check_counts(const instruct_set *s, json_value root) {
    json_value splits;
    int64_t count;
    status rc = json_member(&splits, root, "splits");
    for (int k = 0; k < SPLIT_COUNT && !rc; k++) {
        rc = json_member_int(&count, splits, split_names[k], 0, INT64_MAX);
        if (!rc && count != instruct_count(s, k))
            rc = json_fail(splits, "%s: %lld records, the shards hold %lld", split_names[k],
                           (long long)count, (long long)instruct_count(s, k));
    }
    return rc;
}

static status open_folder(instruct_set *s, const char *folder, json_value root) {
    json_value list, hashes;
    const char *plan;
    status rc = read_facts(&s->facts, root);
    if (!rc) rc = json_member(&list, root, "shards");
    if (!rc) rc = json_list(list);
    if (!rc) rc = json_member(&hashes, root, "hashes");
    if (!rc) rc = json_object(hashes);
    if (!rc) rc = json_member_text(&plan, hashes, "plan");
    if (!rc) snprintf(s->plan, sizeof s->plan, "%s", plan);
    if (!rc) rc = open_shards(s, folder, list, hashes);
    return rc ? rc : check_counts(s, root);
}

status instruct_open(instruct_set **out, const char *folder) {
    instruct_set *s = NULL;
    json *manifest = NULL;
    *out = NULL;
    status rc = mem_new(&s, 1, "instruct data");
    if (rc) return rc;
    rc = read_manifest(&manifest, folder);
    if (!rc) rc = open_folder(s, folder, json_root(manifest));
    json_close(manifest);
    if (rc)
        instruct_close(s);
    else
        *out = s;
    return rc;
}

void instruct_close(instruct_set *s) {
    if (!s) return;
    for (size_t i = 0; i < s->shards; i++) instruct_shard_close(s->shard[i]);
    mem_free(s->shard);
    mem_free(s->begin);
    mem_free(s->block);
    mem_free(s->image);
    mem_free(s);
}

const instruct_facts *instruct_facts_of(const instruct_set *s) {
    return &s->facts;
}

const char *instruct_plan(const instruct_set *s) {
    return s->plan;
}

status instruct_expect(const instruct_set *s, const tokenizer *t) {
    const uint32_t crc = tokenizer_checksum(t);
    if (crc == s->facts.tokenizer && tokenizer_size(t) == s->facts.vocabulary) return STATUS_OK;
    return status_fail(
        STATUS_FORMAT,
        "the instruct data were made with another tokenizer (%08x, %d ids) than this one (%08x, "
        "%d ids); make them again with radialog instruct, or name their tokenizer",
        s->facts.tokenizer, s->facts.vocabulary, crc, tokenizer_size(t));
}

// --- lengths ------------------------------------------------------------------------------------

int64_t instruct_count(const instruct_set *s, int split) {
    if (split < 0 || split >= SPLIT_COUNT) die("instruct: split %d", split);
    return s->split_begin[split + 1] - s->split_begin[split];
}

// The shard that holds record I of SPLIT, and the record's place in it.
static const instruct_shard *find_shard(int64_t *place, const instruct_set *s, int split,
                                        int64_t i) {
    if (i < 0 || i >= instruct_count(s, split))
        die("instruct: record %lld of %lld", (long long)i, (long long)instruct_count(s, split));
    const int64_t record = s->split_begin[split] + i;
    size_t low = 0, high = s->shards; // begin[low] <= record < begin[high]
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (s->begin[middle] <= record)
            low = middle;
        else
            high = middle;
    }
    *place = record - s->begin[low];
    return s->shard[low];
}

int32_t instruct_length(const instruct_set *s, int split, int64_t i) {
    int64_t place;
    const instruct_shard *from = find_shard(&place, s, split, i);
    return from->length[place];
}

int32_t instruct_supervised(const instruct_set *s, int split, int64_t i) {
    int64_t place;
    const instruct_shard *from = find_shard(&place, s, split, i);
    return from->supervised[place];
}

int32_t instruct_longest(const instruct_set *s, int split) {
    int32_t longest = 0;
    for (int64_t i = 0; i < instruct_count(s, split); i++) {
        const int32_t length = instruct_length(s, split, i);
        if (length > longest) longest = length;
    }
    return longest;
}

// --- records ------------------------------------------------------------------------------------

static status bad_record(const instruct_shard *from, int64_t place, const char *what) {
    return status_fail(
        STATUS_FORMAT,
        "%s: record %lld is damaged (%s); remove the file and run radialog instruct again",
        from->path, (long long)place, what);
}

static status read_block(instruct_set *s, const instruct_shard *from, int64_t place) {
    const int64_t begin = from->offset[place];
    const size_t size = (size_t)(from->offset[place + 1] - begin);
    status rc = mem_grow((void **)&s->block, &s->block_capacity, size, 1, "a record");
    if (!rc) rc = file_read_at(s->block, from->fd, from->path, size, from->place + begin);
    if (rc == STATUS_FORMAT)
        rc = bad_record(from, place, "the file was cut short while it was in use");
    if (!rc && checksum_crc32(0, s->block, size) != from->crc[place])
        rc = bad_record(from, place, "wrong checksum");
    return rc;
}

// Whether the parts that HEAD names fill SIZE bytes, but for the zeros at the end.
static bool head_fits(const block_head *h, int64_t size) {
    if (h->count < 1 || h->spans < 0 || h->images < 0 || h->id < 0 || h->task < 0 || h->names < 0 ||
        h->prompt < 0 || h->answer < 0 || h->images > h->names)
        return false;
    const int64_t numbers = 4 * (int64_t)h->count + 8 * (int64_t)h->spans;
    const int64_t texts = (int64_t)h->id + h->task + h->names + h->prompt + h->answer + 4;
    const int64_t all = (int64_t)sizeof *h + numbers + texts;
    return all <= size && size < all + 4;
}

// The text of LENGTH bytes at *AT, which a NUL ends; *AT moves behind it. NULL: it is none.
static const char *take_text(const char **at, int32_t length) {
    const char *text = *at;
    if (memchr(text, 0, (size_t)length + 1) != text + length) return NULL;
    *at += (size_t)length + 1;
    return text;
}

static bool take_images(instruct_set *s, const char **at, const block_head *h) {
    const char *end = *at + h->names;
    int count = 0;
    for (; *at < end; count++) {
        const char *nul = memchr(*at, 0, (size_t)(end - *at));
        if (!nul || count == h->images) return false;
        s->image[count] = *at;
        *at = nul + 1;
    }
    return count == h->images;
}

// Ids of the vocabulary, images in runs of their own, spans in order, as many as the table says.
static const char *check_ids(const instruct_record *r, const instruct_facts *f,
                             int32_t supervised) {
    int64_t learned = 0, tokens = 0, run = 0;
    for (int32_t i = 0; i < r->count; i++) {
        if (r->ids[i] < 0 || r->ids[i] >= f->vocabulary) return "an id that no token has";
        if (r->ids[i] != f->image_token && run % f->queries) return "an image of too few tokens";
        run = r->ids[i] == f->image_token ? run + 1 : 0;
        tokens += run > 0;
    }
    if (tokens != (int64_t)r->images * f->queries) return "image tokens that are not its images'";
    for (int k = 0, end = 0; k < r->spans; k++) {
        const int32_t *span = r->span + 2 * k;
        if (span[0] < end || span[1] <= span[0] || span[1] > r->count)
            return "spans that do not fit";
        end = span[1];
        learned += span[1] - span[0];
    }
    return learned == supervised ? NULL : "spans of another length than its table has";
}

static const char *unpack(instruct_record *r, instruct_set *s, const block_head *h) {
    const char *at = s->block + sizeof *h;
    *r = (instruct_record){
        .count = h->count, .spans = h->spans, .images = h->images, .image = s->image};
    r->ids = (const int32_t *)(const void *)at;
    at += 4 * (size_t)h->count;
    r->span = (const int32_t *)(const void *)at;
    at += 8 * (size_t)h->spans;
    r->id = take_text(&at, h->id);
    r->task = r->id ? take_text(&at, h->task) : NULL;
    if (!r->task || !take_images(s, &at, h)) return "its texts do not fit";
    r->prompt = take_text(&at, h->prompt);
    r->answer = r->prompt ? take_text(&at, h->answer) : NULL;
    return r->answer ? NULL : "its texts do not fit";
}

status instruct_read(instruct_set *s, int split, int64_t i, instruct_record *out) {
    int64_t place;
    block_head head;
    *out = (instruct_record){0};
    const instruct_shard *from = find_shard(&place, s, split, i);
    status rc = read_block(s, from, place);
    if (rc) return rc;
    memcpy(&head, s->block, sizeof head);
    if (!head_fits(&head, from->offset[place + 1] - from->offset[place]) ||
        head.count != from->length[place])
        return bad_record(from, place, "its parts do not fill it");
    rc = mem_grow((void **)&s->image, &s->image_capacity, (size_t)head.images, sizeof *s->image,
                  "a record");
    if (rc) return rc;
    const char *wrong = unpack(out, s, &head);
    if (!wrong) wrong = check_ids(out, &s->facts, from->supervised[place]);
    if (!wrong) return STATUS_OK;
    *out = (instruct_record){0};
    return bad_record(from, place, wrong);
}
