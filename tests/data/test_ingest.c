// Ingest of folders: what is kept, what is skipped and why, and that the bytes depend on inputs and
// options alone: not on threads, on being stopped, or on being run again.
#include "data/image.h"
#include "tests/data/helper_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RECORDS = 45, WITHOUT_FINDINGS = 6 };

static void make_source(void) {
    source_write(at("source"), RECORDS);
}

static dataset *open_shards(const char *name) {
    dataset *set;
    ck_assert_msg(dataset_open(&set, at("%s", name)) == STATUS_OK, "%s", status_text());
    return set;
}

static void expect_text(const dataset *set, int64_t record, record_text kind, const char *want) {
    buffer text = {0};
    ck_assert_int_eq(dataset_text(&text, set, record, kind), STATUS_OK);
    ck_assert_int_eq(dataset_has_text(set, record, kind), want != NULL);
    ck_assert_str_eq(text.data, want ? want : "");
    buffer_free(&text);
}

static int number_of(const char *id) {
    ck_assert(id[0] == 'i');
    return atoi(id + 1);
}

// Every row with findings is there, with its own pixels, labels, texts, ids and size.
START_TEST(keeps_what_the_table_says) {
    static uint8_t bytes[64 * 64], want[STORED_PIXELS], got[STORED_PIXELS];
    ingest_options o = folder_options(at("source"), at("kept"));
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.records, RECORDS - WITHOUT_FINDINGS);
    ck_assert_int_eq(s.skipped_total, WITHOUT_FINDINGS);
    ck_assert_int_eq(s.skipped[SKIP_NO_FINDINGS], WITHOUT_FINDINGS);
    ck_assert_int_eq(s.splits[0] + s.splits[1] + s.splits[2], s.records);
    dataset *set = open_shards("kept");
    pixel_reader *reader;
    ck_assert_int_eq(pixel_reader_open(&reader, set), STATUS_OK);
    int64_t positives[CLASS_COUNT] = {0};
    for (int64_t r = 0; r < s.records; r++) {
        char text[64];
        int i = number_of(dataset_id(set, r, ID_DICOM)), w = picture_width(i), h = picture_height(i);
        snprintf(text, sizeof text, "p%d", i / 2);
        ck_assert_str_eq(dataset_id(set, r, ID_SUBJECT), text);
        ck_assert_int_eq(dataset_size(set, r)[0], w);
        ck_assert_int_eq(dataset_size(set, r)[1], h);
        snprintf(text, sizeof text, "Text of %d.", i);
        expect_text(set, r, TEXT_FINDINGS, text);
        snprintf(text, sizeof text, "End %d.", i);
        expect_text(set, r, TEXT_IMPRESSION, text);
        expect_text(set, r, TEXT_INDICATION, "test.");
        expect_text(set, r, TEXT_COMPARISON, NULL);
        for (int c = 0; c < CLASS_COUNT; c++)
            ck_assert_int_eq(dataset_labels(set, r)[c],
                             c == i % CLASS_COUNT ? LABEL_POSITIVE : LABEL_NEGATIVE);
        positives[i % CLASS_COUNT]++;
        picture(bytes, i, w, h);
        image grey = {.width = w, .height = h, .channels = 1, .depth = 8, .pixels = bytes};
        ck_assert_int_eq(image_square(want, &grey, STORED_SIDE), STATUS_OK);
        ck_assert_int_eq(dataset_pixels(got, reader, r), STATUS_OK);
        ck_assert_mem_eq(got, want, STORED_PIXELS);
    }
    ck_assert_mem_eq(positives, s.positives, sizeof positives);
    pixel_reader_close(reader);
    dataset_close(set);
}
END_TEST

// --- the same bytes ------------------------------------------------------------------------------

// Files made in two different seconds, so that a time stamp anywhere would show.
START_TEST(threads_and_time_change_nothing) {
    ingest_options o = folder_options(at("source"), at("one"));
    o.shard_records = 8;
    o.threads = 1;
    expect_ingest(&o, STATUS_OK);
    for (time_t made = time(NULL); time(NULL) == made;) usleep(10000);
    o.threads = 5;
    o.out = at("five");
    expect_ingest(&o, STATUS_OK);
    expect_same_folders(at("one"), at("five"));
}
END_TEST

static int calls_left;
static bool stop_soon(void) {
    return __atomic_sub_fetch(&calls_left, 1, __ATOMIC_RELAXED) < 0;
}

// Stopped at any image and run again until it is done: the same bytes; finished shards stay.
START_TEST(stopped_and_continued) {
    ingest_options o = folder_options(at("source"), at("straight"));
    o.shard_records = 8;
    expect_ingest(&o, STATUS_OK);
    o.out = at("stopped");
    o.stop = stop_soon;
    int64_t made = 0;
    for (int round = 0; round < 100; round++) {
        ingest_summary s;
        calls_left = 9;
        status rc = ingest_run(&s, &o);
        made += s.shards_made;
        if (rc == STATUS_OK) {
            ck_assert_int_gt(round, 2);
            ck_assert_int_eq(made, s.shards);
            expect_same_folders(at("straight"), at("stopped"));
            return;
        }
        ck_assert_int_eq(rc, STATUS_INTERRUPTED);
        ck_assert(!file_exists(at("stopped/manifest.json")));
    }
    ck_abort_msg("never finished");
}
END_TEST

START_TEST(second_run_makes_nothing) {
    struct stat before, after;
    ingest_options o = folder_options(at("source"), at("twice"));
    expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(stat(at("twice/manifest.json"), &before), 0);
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.shards_made, 0);
    ck_assert_int_eq(s.records, RECORDS - WITHOUT_FINDINGS);
    ck_assert_int_eq(s.skipped_total, WITHOUT_FINDINGS);
    ck_assert_int_eq(stat(at("twice/manifest.json"), &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    // What a killed run leaves is cleared away.
    write_text(at("twice/train-00000.h5.tmp"), "half");
    expect_ingest(&o, STATUS_OK);
    ck_assert(!file_exists(at("twice/train-00000.h5.tmp")));
}
END_TEST

// A shard that was cut is made again; a missing one too; the folder ends as it was.
START_TEST(damaged_shards_are_made_again) {
    ingest_options o = folder_options(at("source"), at("whole"));
    o.shard_records = 8;
    expect_ingest(&o, STATUS_OK);
    o.out = at("mended");
    expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(truncate(at("mended/train-00001.h5"), 5000), 0);
    ck_assert_int_eq(unlink(at("mended/train-00002.h5")), 0);
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.shards_made, 2);
    expect_same_folders(at("whole"), at("mended"));
}
END_TEST

START_TEST(other_options_are_refused) {
    ingest_options o = folder_options(at("source"), at("plan"));
    expect_ingest(&o, STATUS_OK);
    buffer before = read_whole(at("plan/manifest.json"));
    o.keep_without_findings = true;
    expect_ingest(&o, STATUS_FORMAT);
    ck_assert_msg(strstr(status_text(), "other inputs or"), "%s", status_text());
    buffer after = read_whole(at("plan/manifest.json"));
    ck_assert_str_eq(before.data, after.data);
    buffer_free(&before);
    buffer_free(&after);
}
END_TEST

// --- splits --------------------------------------------------------------------------------------

// A patient is in one split; the seed decides which; a row that joins moves nobody.
START_TEST(splits_are_by_patient) {
    ingest_options o = folder_options(at("source"), at("split"));
    o.validate = 0.25;
    o.test = 0.25;
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.shared_patients, 0);
    for (int i = 0; i < SPLIT_COUNT; i++) ck_assert_int_gt(s.splits[i], 2);
    source_write(at("larger"), RECORDS + 10);
    o.root = at("larger");
    o.out = at("split-larger");
    expect_ingest(&o, STATUS_OK);
    o.seed = 43;
    o.out = at("split-seed");
    expect_ingest(&o, STATUS_OK);
    dataset *set = open_shards("split"), *larger = open_shards("split-larger"),
            *seed = open_shards("split-seed");
    int moved = 0;
    for (int64_t i = 0; i < dataset_records(set); i++) {
        const char *id = dataset_id(set, i, ID_DICOM);
        int64_t there = dataset_find(larger, id), other = dataset_find(seed, id);
        ck_assert_int_eq(dataset_split_of(set, i), dataset_split_of(larger, there));
        moved += dataset_split_of(set, i) != dataset_split_of(seed, other);
    }
    ck_assert_int_gt(moved, 3);
    dataset_close(set);
    dataset_close(larger);
    dataset_close(seed);
}
END_TEST

// Splits that the table gives are taken; a patient in two of them is counted.
START_TEST(given_splits) {
    write_text(at("source/given.csv"), "image,findings,patient,split\n"
                                       "i0.png,One.,a,train\ni1.png,Two.,a,val\n"
                                       "i2.png,Three.,b,test\ni3.png,Four.,b,nowhere\n");
    ingest_options o = folder_options(at("source"), at("given"));
    o.csv = at("source/given.csv");
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    for (int i = 0; i < SPLIT_COUNT; i++) ck_assert_int_eq(s.splits[i], 1);
    ck_assert_int_eq(s.shared_patients, 1);
    ck_assert_int_eq(s.skipped[SKIP_SPLIT], 1);
    ck_assert_int_eq(s.unlabelled, 3);
}
END_TEST

// A table of labels, as `radialog label` writes it.
START_TEST(labels_of_a_table) {
    dataset *d = NULL;
    char table[1024] = "dicom_id", row[] = "\ni0,1,0,-1,,,,,,,,,,,\nelsewhere,1,,,,,,,,,,,,,\n";
    for (int c = 0; c < CLASS_COUNT; c++)
        snprintf(table + strlen(table), sizeof table - strlen(table), ",%s", class_names[c]);
    snprintf(table + strlen(table), sizeof table - strlen(table), "%s", row);
    write_text(at("labels.csv"), table);
    write_text(at("source/ours.csv"), "image,findings,patient,split\n"
                                      "i0.png,One.,a,train\ni1.png,Two.,a,train\n");
    ingest_options o = folder_options(at("source"), at("labelled"));
    o.csv = at("source/ours.csv");
    o.labels = at("labels.csv");
    ck_assert_int_eq(expect_ingest(&o, STATUS_OK).splits[SPLIT_TRAIN], 2);
    ck_assert_int_eq(dataset_open(&d, at("labelled")), STATUS_OK);
    const int8_t *first = dataset_labels(d, dataset_find(d, "i0")), *second = dataset_labels(d, dataset_find(d, "i1"));
    ck_assert(first[0] == 1 && first[1] == 0 && first[2] == -1 && first[3] == LABEL_BLANK);
    ck_assert(second[0] == LABEL_BLANK);
    dataset_close(d);
}
END_TEST

// --- records that cannot be used -----------------------------------------------------------------

static void make_bad_source(void) {
    buffer whole = read_whole(at("source/i0.png"));
    ck_assert_int_eq(folder_make(at("bad")), STATUS_OK);
    ck_assert_int_eq(file_write(at("bad/good.png"), whole.data, whole.length), STATUS_OK);
    ck_assert_int_eq(file_write(at("bad/cut.png"), whole.data, whole.length / 2), STATUS_OK);
    whole.data[whole.length / 2] ^= 0x55;
    ck_assert_int_eq(file_write(at("bad/damaged.png"), whole.data, whole.length), STATUS_OK);
    buffer_free(&whole);
    write_text(at("bad/text.png"), "no image at all");
    write_text(at("bad/empty.png"), "");
    write_text(at("bad/report.txt"), "FINDINGS: From a file.\r\nOn two lines.\r\n");
    write_text(at("bad/empty.txt"), "");
    write_text(at("bad/latin.txt"), "FINDINGS: caf\xe9.\n");
    write_text(at("bad/zero.csv"), "image,report\n");
    write_text(at("bad/data.csv"), "image,report,id,split\n"
                                   "good.png,report.txt,a,train\n"        // line 2
                                   "good.png,report.txt,a,train\n"        // the id again
                                   "cut.png,FINDINGS: x.,c,train\n"       //
                                   "damaged.png,FINDINGS: x.,d,train\n"   //
                                   "text.png,FINDINGS: x.,e,train\n"      // line 6
                                   "empty.png,FINDINGS: x.,f,train\n"     //
                                   "missing.png,FINDINGS: x.,g,train\n"   //
                                   "good.png,missing.txt,h,train\n"       //
                                   "good.png,empty.txt,i,train\n"         //
                                   "good.png,latin.txt,j,train\n"         // line 11
                                   "good.png,INDICATION: x.,k,train\n"    //
                                   ",FINDINGS: x.,l,train\n"              //
                                   "good.png,FINDINGS: x.,m\n"            // a field short
                                   "good.png,\"FINDINGS:\nA, \"\"b\"\".\",n,train\n" // two lines
                                   "good.png,No headers here.,o,test\n");
}

START_TEST(bad_records_are_listed) {
    make_bad_source();
    ingest_options o = folder_options(at("bad"), at("bad-out"));
    ingest_summary s = expect_ingest(&o, STATUS_OK);
    ck_assert_int_eq(s.records, 3);
    ck_assert_int_eq(s.skipped_total, 12);
    ck_assert_int_eq(s.skipped[SKIP_DUPLICATE], 1);
    ck_assert_int_eq(s.skipped[SKIP_BAD_IMAGE], 4);
    ck_assert_int_eq(s.skipped[SKIP_NO_IMAGE], 1);
    ck_assert_int_eq(s.skipped[SKIP_NO_REPORT], 2);
    ck_assert_int_eq(s.skipped[SKIP_BAD_REPORT], 1);
    ck_assert_int_eq(s.skipped[SKIP_NO_FINDINGS], 1);
    ck_assert_int_eq(s.skipped[SKIP_BAD_ROW], 2);
    buffer list = read_whole(at("bad-out/skipped.csv"));
    static const char *const rows[] = {
        "line,id,reason,detail",         "3,a,duplicate id",  "4,c,bad image",     "5,d,bad image",
        "6,e,bad image",                 "7,f,bad image",     "8,g,missing image", "9,h,missing report",
        "10,i,missing report",           "11,j,bad report",   "12,k,no findings section",
        "13,l,bad row",                  "14,,bad row"};
    const char *place = list.data;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_msg(place && !strncmp(place, rows[i], strlen(rows[i])), "expected '%s' at '%.60s'",
                      rows[i], place);
        place = strchr(place, '\n');
        if (place) place++;
    }
    ck_assert(place && !*place);
    ck_assert_msg(!strstr(list.data, "/tmp/"), "a path: %s", list.data);
    buffer_free(&list);
    dataset *set = open_shards("bad-out");
    expect_text(set, dataset_find(set, "a"), TEXT_FINDINGS, "From a file.\n On two lines.");
    expect_text(set, dataset_find(set, "n"), TEXT_FINDINGS, "A, \"b\".");
    expect_text(set, dataset_find(set, "o"), TEXT_FINDINGS, "No headers here.");
    dataset_close(set);
}
END_TEST

// The shards are made all the same, so that a second look costs nothing.
START_TEST(strict_fails_at_the_end) {
    make_bad_source();
    ingest_options o = folder_options(at("bad"), at("strict"));
    o.strict = true;
    ingest_summary s = expect_ingest(&o, STATUS_FORMAT);
    ck_assert_msg(strstr(status_text(), "12 records") && strstr(status_text(), "skipped.csv"), "%s",
                  status_text());
    ck_assert_int_eq(s.records, 3);
    ck_assert(file_exists(at("strict/manifest.json")));
}
END_TEST

START_TEST(unusable_tables) {
    static const struct {
        const char *table, *says;
    } cases[] = {
        {"", "empty"},
        {"image\n", "report"},
        {"picture,report\na,b\n", "image"},
        {"image,report,No Finding\na,b,1\n", "Enlarged Cardiomediastinum"},
        {"image,report\nnowhere.png,FINDINGS: x.\n", "no record could be kept"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(folder_make(at("table%zu", i)), STATUS_OK);
        write_text(at("table%zu/data.csv", i), cases[i].table);
        ingest_options o = folder_options(at("table%zu", i), at("table-out%zu", i));
        expect_ingest(&o, STATUS_FORMAT);
        ck_assert_msg(strstr(status_text(), cases[i].says), "%s", status_text());
    }
    ingest_options o = folder_options(at("nowhere"), at("nowhere-out"));
    expect_ingest(&o, STATUS_IO);
    ck_assert_ptr_nonnull(strstr(status_text(), "nowhere"));
}
END_TEST

// No allocation that fails leaves anything but a clean error, and the next run is whole.
START_TEST(without_memory) {
    source_write(at("small"), 6);
    ingest_options o = folder_options(at("small"), at("no-memory"));
    o.threads = 1;
    int failed = 0;
    for (int64_t n = 1;; n += 1 + n / 20) {
        ingest_summary s;
        mem_fail_at(n);
        status rc = ingest_run(&s, &o);
        mem_fail_at(0);
        if (rc == STATUS_OK && s.shards_made == 0) break; // done before the n-th
        if (rc == STATUS_OK) continue;
        ck_assert_msg(rc == STATUS_MEMORY, "allocation %lld: %s", (long long)n, status_text());
        failed++;
    }
    ck_assert_int_gt(failed, 20);
    o.out = at("with-memory");
    expect_ingest(&o, STATUS_OK);
    expect_same_folders(at("no-memory"), at("with-memory"));
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("ingest");
    tcase_set_timeout(cases, 120);
    tcase_add_unchecked_fixture(cases, make_source, NULL);
    tcase_add_test(cases, keeps_what_the_table_says);
    tcase_add_test(cases, threads_and_time_change_nothing);
    tcase_add_test(cases, stopped_and_continued);
    tcase_add_test(cases, second_run_makes_nothing);
    tcase_add_test(cases, damaged_shards_are_made_again);
    tcase_add_test(cases, other_options_are_refused);
    tcase_add_test(cases, splits_are_by_patient);
    tcase_add_test(cases, given_splits);
    tcase_add_test(cases, labels_of_a_table);
    tcase_add_test(cases, bad_records_are_listed);
    tcase_add_test(cases, strict_fails_at_the_end);
    tcase_add_test(cases, unusable_tables);
    tcase_add_test(cases, without_memory);
    Suite *suite = suite_create("ingest");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
