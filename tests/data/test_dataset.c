// data/dataset.h: many shards as one set of records, and directories whose parts do not belong
// together.
#include "tests/data/helper_shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct part {
    int split, number, first, count;
} part;

// Two splits of several shards, one of them empty, one shard without records; SPLIT_VALIDATE has
// none.
static const part parts[] = {
    {SPLIT_TRAIN, 0, 0, 3}, {SPLIT_TRAIN, 1, 3, 0}, {SPLIT_TRAIN, 2, 3, 2},
    {SPLIT_TEST, 0, 5, 1},  {SPLIT_TEST, 1, 6, 3},
};
enum { PARTS = sizeof parts / sizeof *parts, RECORDS = 9, TRAIN = 5 };

static uint32_t seal_of(const char *path) {
    shard *s;
    OK(shard_open(&s, path));
    uint32_t seal = s->seal;
    shard_close(s);
    return seal;
}

// The manifest as ingest writes it, of the members that are read.
static void write_manifest(const char *dir, const part *list, int count) {
    char name[SHARD_NAME_SIZE];
    int sum[SPLIT_COUNT] = {0};
    buffer b = {0}, hashes = {0};
    for (int i = 0; i < count; i++) sum[list[i].split] += list[i].count;
    buffer_print(&b, "{\n  \"format\": \"radialog-shards\",\n  \"version\": %d,\n", SHARD_VERSION);
    buffer_print(&b, "  \"source\": \"folder\",\n  \"records\": %d,\n", sum[0] + sum[1] + sum[2]);
    buffer_print(&b, "  \"splits\": {\"train\": %d, \"validate\": %d, \"test\": %d},\n", sum[0],
                 sum[1], sum[2]);
    buffer_text(&b, "  \"shards\": [\n");
    for (int i = 0; i < count; i++) {
        shard_name(name, list[i].split, list[i].number);
        buffer_print(&b, "    {\"file\": \"%s\", \"split\": \"%s\", \"records\": %d}%s\n", name,
                     split_names[list[i].split], list[i].count, i + 1 < count ? "," : "");
        buffer_print(&hashes, ",\n    \"%s\": \"%08x\"", name, seal_of(at("%s/%s", dir, name)));
    }
    buffer_print(&b, "  ],\n  \"hashes\": {\n    \"plan\": \"%s\"%s\n  }\n}\n", plan_of_tests,
                 count ? hashes.data : "");
    write_text(at("%s/manifest.json", dir), b.data);
    buffer_free(&b);
    buffer_free(&hashes);
}

static void make_folder(const char *dir, const part *list, int count, int level) {
    char name[SHARD_NAME_SIZE];
    OK(path_remove(at("%s", dir)));
    OK(folder_make(at("%s", dir)));
    for (int i = 0; i < count; i++) {
        shard_name(name, list[i].split, list[i].number);
        shard_make(at("%s/%s", dir, name), list[i].split, level, list[i].first, list[i].count, 1);
    }
    write_manifest(dir, list, count);
}

static dataset *open_folder(const char *dir) {
    dataset *set;
    OK(dataset_open(&set, at("%s", dir)));
    return set;
}

static void expect_refused(const char *dir, status expected, const char *place, const char *says) {
    dataset *set;
    expect_failed(dataset_open(&set, at("%s", dir)), expected, place, says);
    ck_assert_ptr_null(set);
}

// --- whole directories --------------------------------------------------------------------------

START_TEST(numbering) {
    make_folder("set", parts, PARTS, 1);
    dataset *set = open_folder("set");
    ck_assert_int_eq(dataset_records(set), RECORDS);
    const int64_t begin[] = {0, TRAIN, TRAIN}, count[] = {TRAIN, 0, RECORDS - TRAIN};
    for (int i = 0; i < SPLIT_COUNT; i++) {
        ck_assert_int_eq(dataset_split_begin(set, i), begin[i]);
        ck_assert_int_eq(dataset_split_count(set, i), count[i]);
    }
    ck_assert_str_eq(dataset_plan(set), plan_of_tests);
    for (int k = 0; k < PARTS; k++)
        for (int i = parts[k].first; i < parts[k].first + parts[k].count; i++) {
            char name[SHARD_NAME_SIZE];
            ck_assert_int_eq(dataset_split_of(set, i), parts[k].split);
            ck_assert_str_eq(dataset_shard(set, i),
                             shard_name(name, parts[k].split, parts[k].number));
        }
    dataset_close(set);
    dataset_close(NULL);
}
END_TEST

START_TEST(records_are_their_own) {
    static uint8_t want[STORED_PIXELS], got[STORED_PIXELS];
    char id[64];
    buffer text = {0};
    for (int level = 0; level < 2; level++) {
        make_folder("set", parts, PARTS, level);
        dataset *set = open_folder("set");
        pixel_reader *reader;
        OK(pixel_reader_open(&reader, set));
        for (int i = RECORDS - 1; i >= 0; i--) {
            for (int k = 0; k < ID_COUNT; k++)
                ck_assert_str_eq(dataset_id(set, i, (record_id)k),
                                 record_id_of(id, i, (record_id)k));
            for (int k = 0; k < TEXT_COUNT; k++) {
                record_text kind = (record_text)k;
                const char *expected = record_text_of(i, kind);
                OK(dataset_text(&text, set, i, kind));
                ck_assert_str_eq(text.data, expected ? expected : "");
                ck_assert_int_eq(dataset_has_text(set, i, kind), expected != NULL);
                ck_assert_int_eq(dataset_text_length(set, i, kind), (int64_t)text.length);
            }
            for (int c = 0; c < CLASS_COUNT; c++)
                ck_assert_int_eq(dataset_labels(set, i)[c], label_of(i, c));
            for (int k = 0; k < 2; k++) ck_assert_int_eq(dataset_size(set, i)[k], side_of(i, k));
            stored_picture(want, i);
            OK(dataset_pixels(got, reader, i));
            ck_assert_mem_eq(got, want, STORED_PIXELS);
        }
        pixel_reader_close(reader);
        pixel_reader_close(NULL);
        dataset_close(set);
    }
    buffer_free(&text);
}
END_TEST

START_TEST(found_by_id) {
    char id[64];
    make_folder("set", parts, PARTS, 1);
    dataset *set = open_folder("set");
    for (int i = 0; i < RECORDS; i++) {
        record_id_of(id, i, ID_DICOM);
        ck_assert_int_eq(dataset_find(set, id), i);
        id[strlen(id) - 1] = 'x';
        ck_assert_int_eq(dataset_find(set, id), -1);
    }
    ck_assert_int_eq(dataset_find(set, ""), -1);
    ck_assert_int_eq(dataset_find(set, "zzz"), -1);
    ck_assert_int_eq(dataset_find(set, record_id_of(id, RECORDS, ID_DICOM)), -1);
    ck_assert_int_eq(dataset_find(set, record_id_of(id, 0, ID_STUDY)), -1);
    dataset_close(set);
}
END_TEST

START_TEST(nothing_in_it) {
    make_folder("none", parts, 0, 1);
    dataset *set = open_folder("none");
    ck_assert_int_eq(dataset_records(set), 0);
    for (int i = 0; i < SPLIT_COUNT; i++) {
        ck_assert_int_eq(dataset_split_begin(set, i), 0);
        ck_assert_int_eq(dataset_split_count(set, i), 0);
    }
    ck_assert_int_eq(dataset_find(set, "x"), -1);
    pixel_reader *reader;
    OK(pixel_reader_open(&reader, set));
    pixel_reader_close(reader);
    dataset_close(set);
}
END_TEST

// What ingest makes holds all that is asked for here: the manifest above is no invention.
START_TEST(as_ingest_makes_it) {
    source_write(at("source"), 12);
    ingest_options o = folder_options(at("source"), at("made"));
    o.shard_records = 4;
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    dataset *set = open_folder("made");
    ck_assert_int_eq(dataset_records(set), s.records);
    for (int i = 0; i < SPLIT_COUNT; i++)
        ck_assert_int_eq(dataset_split_count(set, i), s.splits[i]);
    dataset_close(set);
}
END_TEST

// --- directories that do not belong together ----------------------------------------------------

START_TEST(no_directory) {
    OK(folder_make(at("empty")));
    expect_refused("absent", STATUS_IO, "absent", "radialog ingest");
    expect_refused("empty", STATUS_IO, "empty", "no manifest.json");
    make_folder("half", parts, PARTS, 1);
    ck_assert_int_eq(unlink(at("half/manifest.json")), 0);
    expect_refused("half", STATUS_IO, "half", "radialog ingest");
}
END_TEST

// The first FROM in the manifest is replaced by TO.
static void edit_manifest(const char *dir, const char *from, const char *to) {
    buffer old = read_whole(at("%s/manifest.json", dir)), b = {0};
    const char *place = strstr(old.data, from);
    ck_assert_msg(place != NULL, "'%s' is not in the manifest", from);
    buffer_append(&b, old.data, (size_t)(place - old.data));
    buffer_text(&b, to);
    buffer_text(&b, place + strlen(from));
    write_text(at("%s/manifest.json", dir), b.data);
    buffer_free(&old);
    buffer_free(&b);
}

START_TEST(other_manifests) {
    static const struct {
        const char *from, *to, *says;
    } cases[] = {
        {"\"version\": 1", "\"version\": 2", "version 2 of the format, this program reads 1"},
        {"\"version\": 1", "\"version\": \"1\"", "version"},
        {"\"version\": 1,", "", "version"},
        {"radialog-shards", "radialog-shard", "no manifest of shards"},
        {"\"records\": 9", "\"records\": 8", "says 8 records, the shards hold 9"},
        {"\"records\": 9", "\"records\": -9", "records"},
        {"\"train\": 5", "\"train\": 6", "train: 6 records, the shards hold 5"},
        {"\"validate\": 0", "\"validate\": 1", "validate: 1 records, the shards hold 0"},
        {"\"test\": 4", "\"test\": 5", "test: 5 records, the shards hold 4"},
        {", \"test\": 4", "", "test"},
        {"\"shards\": [", "\"shards\": 3, \"x\": [", "shards"},
        {"\"hashes\": {", "\"other\": {", "hashes"},
        {"\"plan\": \"", "\"plan\": \"f", "train-00000.h5: is not the shard of manifest.json"},
        {"\"train-00000.h5\": \"", "\"train-00000.h5\": \"f", "train-00000.h5: is not the shard"},
        {"\"train-00000.h5\": \"", "\"train-00009.h5\": \"", "train-00000.h5"},
        {"\"file\": \"train-00000.h5\"", "\"file\": \"../set/train-00000.h5\"",
         "no name of a shard"},
        {"\"split\": \"test\"", "\"split\": \"train\"", "test-00000.h5: is not the shard"},
        {"\"records\": 3", "\"records\": 2", "train-00000.h5: is not the shard"},
        {"\"records\": 3", "\"records\": 2049", "records"},
        {"\"records\": 3}", "\"records\": 3", "manifest.json"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (i == 0) make_folder("set", parts, PARTS, 1);
        write_manifest("set", parts, PARTS);
        edit_manifest("set", cases[i].from, cases[i].to);
        expect_refused("set", STATUS_FORMAT, at("set/"), cases[i].says);
    }
    write_manifest("set", parts, PARTS);
    dataset_close(open_folder("set"));
}
END_TEST

START_TEST(order_of_splits) {
    const part swapped[] = {{SPLIT_TEST, 0, 0, 1}, {SPLIT_TRAIN, 0, 1, 1}};
    make_folder("order", swapped, 2, 1);
    expect_refused("order", STATUS_FORMAT, "manifest.json", "order of splits");
}
END_TEST

START_TEST(other_shards) {
    make_folder("set", parts, PARTS, 1);
    ck_assert_int_eq(rename(at("set/train-00002.h5"), at("set/kept")), 0);
    expect_refused("set", STATUS_IO, "train-00002.h5", "No such");
    // Another shard under this name, alone sealed well: of other records, of another split.
    shard_make(at("set/train-00002.h5"), SPLIT_TRAIN, 1, 20, 2, 1);
    expect_refused("set", STATUS_FORMAT, "train-00002.h5", "is not the shard of manifest.json");
    shard_make(at("set/train-00002.h5"), SPLIT_TEST, 1, 3, 2, 1);
    expect_refused("set", STATUS_FORMAT, "train-00002.h5", "run ingest again");
    // Two that changed places.
    ck_assert_int_eq(rename(at("set/train-00000.h5"), at("set/train-00002.h5")), 0);
    ck_assert_int_eq(rename(at("set/kept"), at("set/train-00000.h5")), 0);
    expect_refused("set", STATUS_FORMAT, "train-00000.h5", "is not the shard of manifest.json");
    ck_assert_int_eq(rename(at("set/train-00000.h5"), at("set/kept")), 0);
    ck_assert_int_eq(rename(at("set/train-00002.h5"), at("set/train-00000.h5")), 0);
    ck_assert_int_eq(rename(at("set/kept"), at("set/train-00002.h5")), 0);
    dataset_close(open_folder("set"));
    ck_assert_int_eq(truncate(at("set/test-00001.h5"), 5000), 0);
    expect_refused("set", STATUS_FORMAT, "test-00001.h5", "run ingest again");
}
END_TEST

START_TEST(one_id_twice) {
    const part apart[] = {{SPLIT_TRAIN, 0, 0, 3}, {SPLIT_TEST, 0, 2, 3}};
    make_folder("twice", apart, 2, 1);
    char id[64];
    expect_refused("twice", STATUS_FORMAT, at("twice"), record_id_of(id, 2, ID_DICOM));
    const part listed[] = {{SPLIT_TRAIN, 0, 0, 3}, {SPLIT_TRAIN, 0, 0, 3}};
    make_folder("twice", listed, 2, 1);
    expect_refused("twice", STATUS_FORMAT, "twice", "train-00000.h5"); // a key of the hashes twice
}
END_TEST

// The bytes of one image are damaged: that record alone fails, by shard and id.
START_TEST(damaged_image) {
    static uint8_t want[STORED_PIXELS], got[STORED_PIXELS];
    make_folder("set", parts, PARTS, 0);
    shard *s;
    OK(shard_open(&s, at("set/train-00002.h5")));
    int64_t place = s->chunk[1].offset + 1234;
    shard_close(s);
    buffer file = read_whole(at("set/train-00002.h5"));
    file.data[place] ^= 4;
    OK(file_write(at("set/train-00002.h5"), file.data, file.length));
    buffer_free(&file);
    dataset *set = open_folder("set");
    pixel_reader *reader;
    OK(pixel_reader_open(&reader, set));
    for (int i = 0; i < RECORDS; i++) {
        char id[64];
        stored_picture(want, i);
        status rc = dataset_pixels(got, reader, i);
        if (i == 4) {
            expect_failed(rc, STATUS_FORMAT, "train-00002.h5", record_id_of(id, i, ID_DICOM));
            continue;
        }
        ck_assert_int_eq(rc, STATUS_OK);
        ck_assert_mem_eq(got, want, STORED_PIXELS);
    }
    pixel_reader_close(reader);
    dataset_close(set);
}
END_TEST

// A record that is not there is a bug of the caller.
START_TEST(beyond_the_end_dies) {
    make_folder("set", parts, PARTS, 1);
    dataset *set = open_folder("set");
    for (int k = 0; k < 3; k++) {
        int state = 0;
        fflush(NULL);
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            if (!freopen("/dev/null", "w", stderr)) _exit(1);
            if (k < 2)
                dataset_labels(set, k ? RECORDS : -1);
            else
                dataset_split_count(set, SPLIT_COUNT);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &state, 0), child);
        ck_assert_msg(WIFSIGNALED(state) && WTERMSIG(state) == SIGABRT, "case %d did not die", k);
    }
    dataset_close(set);
}
END_TEST

START_TEST(without_memory) {
    int64_t n = 1;
    make_folder("set", parts, PARTS, 1);
    for (;; n++) {
        dataset *set = NULL;
        pixel_reader *reader = NULL;
        mem_fail_at(n);
        status rc = dataset_open(&set, at("set"));
        if (!rc) rc = pixel_reader_open(&reader, set);
        mem_fail_at(0);
        pixel_reader_close(reader);
        dataset_close(set);
        if (!rc) break;
        ck_assert_msg(rc == STATUS_MEMORY, "allocation %lld: %s", (long long)n, status_text());
    }
    ck_assert_int_gt(n, 50);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("dataset");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, numbering);
    tcase_add_test(cases, records_are_their_own);
    tcase_add_test(cases, found_by_id);
    tcase_add_test(cases, nothing_in_it);
    tcase_add_test(cases, as_ingest_makes_it);
    tcase_add_test(cases, no_directory);
    tcase_add_test(cases, other_manifests);
    tcase_add_test(cases, order_of_splits);
    tcase_add_test(cases, other_shards);
    tcase_add_test(cases, one_id_twice);
    tcase_add_test(cases, damaged_image);
    tcase_add_test(cases, beyond_the_end_dies);
    tcase_add_test(cases, without_memory);
    Suite *suite = suite_create("dataset");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
