// data/shard.h: what is written is read back, equal inputs give equal files, and no damaged byte
// ever passes for data.
#include "core/checksum.h"
#include "tests/data/helper_shard.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RECORDS = 4, SKIPPED = 3 };

static uint8_t want[RECORDS][STORED_PIXELS], got[STORED_PIXELS], packed[2 * STORED_PIXELS];
static deflater *inflater;

static void make_shards(void) {
    OK(deflater_open(&inflater, 1));
    for (int i = 0; i < RECORDS; i++) stored_picture(want[i], i);
    shard_make(at("plain.h5"), SPLIT_TEST, 0, 0, RECORDS, SKIPPED);
    shard_make(at("packed.h5"), SPLIT_VALIDATE, 1, 0, RECORDS, SKIPPED);
}

static void end_shards(void) {
    deflater_close(inflater);
}

static shard *open_shard(const char *path) {
    shard *s;
    OK(shard_open(&s, path));
    return s;
}

// A copy of NAME to take apart.
static const char *copy_of(const char *name) {
    buffer b = read_whole(at("%s", name));
    OK(file_write(at("copy.h5"), b.data, b.length));
    buffer_free(&b);
    return at("copy.h5");
}

// --- whole shards -------------------------------------------------------------------------------

static void expect_whole(const char *name, int split, int level) {
    shard *s = open_shard(at("%s", name));
    ck_assert_int_eq(s->records, RECORDS);
    ck_assert_int_eq(s->split, split);
    ck_assert_int_eq(s->level, level);
    ck_assert_str_eq(s->plan, plan_of_tests);
    for (int i = 0; i < RECORDS; i++) {
        expect_record(s, i, i);
        OK(shard_pixels(got, s, i, inflater, packed));
        ck_assert_mem_eq(got, want[i], STORED_PIXELS);
        ck_assert_uint_eq(s->crc[i], checksum_crc32(0, want[i], STORED_PIXELS));
    }
    ck_assert_uint_eq(s->skipped_reason.count, SKIPPED);
    for (size_t i = 0; i < SKIPPED; i++) {
        char id[64];
        snprintf(id, sizeof id, "skipped-%zu", i);
        ck_assert_int_eq(s->skipped_line[i], 100 + 7 * (int)i);
        ck_assert_str_eq(text_column_at(&s->skipped_reason, i), i % 2 ? "bad image" : "bad row");
        ck_assert_str_eq(text_column_at(&s->skipped_id, i), id);
        ck_assert_str_eq(text_column_at(&s->skipped_detail, i),
                         i % 2 ? "because \xc3\xa9" : "\xc3\xa9");
    }
    shard_forget_skipped(s);
    ck_assert_uint_eq(s->skipped_reason.count, 0);
    shard_forget_skipped(s);
    expect_record(s, RECORDS - 1, RECORDS - 1);
    shard_close(s);
}

START_TEST(read_back) {
    expect_whole("plain.h5", SPLIT_TEST, 0);
    expect_whole("packed.h5", SPLIT_VALIDATE, 1);
    shard_close(NULL);
    shard_writer_close(NULL);
}
END_TEST

// Rows may all be skipped; the images' dataset is then made for more than it holds.
START_TEST(without_records) {
    for (int level = 0; level < 2; level++) {
        shard_make(at("none.h5"), SPLIT_TRAIN, level, 0, 0, 2);
        shard *s = open_shard(at("none.h5"));
        ck_assert_int_eq(s->records, 0);
        ck_assert_uint_eq(s->skipped_reason.count, 2);
        ck_assert_int_eq(s->skipped_line[1], 107);
        shard_close(s);
        shard_make(at("none.h5"), SPLIT_TRAIN, level, 0, 0, 0);
        s = open_shard(at("none.h5"));
        ck_assert_uint_eq(s->skipped_reason.count, 0);
        shard_close(s);
    }
}
END_TEST

START_TEST(texts_of_any_length) {
    enum { LONG = 3 * 4096 + 17 };
    char *text = calloc(LONG + 1, 1);
    buffer b = {0};
    shard_writer *w;
    for (int i = 0; i < LONG; i++) text[i] = (char)('a' + i % 23);
    OK(shard_create(&w, at("long.h5"), SPLIT_TRAIN, plan_of_tests, 0, 4));
    const int lengths[] = {4096, LONG, 0, 4097};
    for (int i = 0; i < 4; i++) {
        shard_record r = {.packed = want[0], .packed_size = STORED_PIXELS};
        r.text[TEXT_FINDINGS] = text + LONG - lengths[i];
        OK(shard_add(w, &r));
    }
    OK(shard_finish(w));
    shard_writer_close(w);
    shard *s = open_shard(at("long.h5"));
    for (int i = 3; i >= 0; i--) {
        OK(shard_text(&b, s, i, TEXT_FINDINGS));
        ck_assert_str_eq(b.data, text + LONG - lengths[i]);
        ck_assert_uint_eq(b.length, (size_t)lengths[i]);
        ck_assert_str_eq(text_column_at(&s->id[ID_DICOM], (size_t)i), "");
    }
    shard_close(s);
    buffer_free(&b);
    free(text);
}
END_TEST

// Made in two different seconds, so that a time stamp anywhere would show.
START_TEST(the_same_bytes) {
    for (time_t made = time(NULL); time(NULL) == made;) usleep(5000);
    for (int level = 0; level < 2; level++) {
        shard_make(at("again.h5"), level ? SPLIT_VALIDATE : SPLIT_TEST, level, 0, RECORDS, SKIPPED);
        buffer a = read_whole(at("again.h5")), b = read_whole(at(level ? "packed.h5" : "plain.h5"));
        ck_assert_uint_eq(a.length, b.length);
        ck_assert_mem_eq(a.data, b.data, a.length);
        buffer_free(&a);
        buffer_free(&b);
    }
}
END_TEST

// Until it is finished a shard is PATH.tmp, and what stood at PATH stands there still.
START_TEST(unfinished) {
    shard_writer *w;
    write_text(at("half.h5"), "the old one");
    OK(shard_create(&w, at("half.h5"), SPLIT_TRAIN, plan_of_tests, 1, 4));
    shard_put(w, 0, 1);
    ck_assert(file_exists(at("half.h5.tmp")));
    shard_writer_close(w);
    ck_assert(!file_exists(at("half.h5.tmp")));
    buffer old = read_whole(at("half.h5"));
    ck_assert_str_eq(old.data, "the old one");
    buffer_free(&old);
    shard_make(at("half.h5"), SPLIT_TRAIN, 1, 0, 1, 0);
    ck_assert(!file_exists(at("half.h5.tmp")));
    shard_close(open_shard(at("half.h5")));
    expect_failed(shard_create(&w, at("nowhere/x.h5"), SPLIT_TRAIN, plan_of_tests, 1, 4), STATUS_IO,
                  "nowhere/x.h5", "create");
    ck_assert_ptr_null(w);
    // A name that cannot be taken: nothing stays beside it.
    OK(folder_make(at("taken.h5/inside")));
    OK(shard_create(&w, at("taken.h5"), SPLIT_TRAIN, plan_of_tests, 1, 4));
    shard_put(w, 0, 1);
    expect_failed(shard_finish(w), STATUS_IO, "taken.h5", "rename");
    shard_writer_close(w);
    ck_assert(!file_exists(at("taken.h5.tmp")));
}
END_TEST

START_TEST(names_of_shards) {
    char name[SHARD_NAME_SIZE];
    ck_assert_str_eq(shard_name(name, SPLIT_TRAIN, 12), "train-00012.h5");
    ck_assert_str_eq(shard_name(name, SPLIT_VALIDATE, 0), "validate-00000.h5");
    ck_assert_str_eq(shard_name(name, SPLIT_TEST, 123456), "test-123456.h5");
}
END_TEST

// --- damage -------------------------------------------------------------------------------------

// Reads everything of a damaged shard that opened, whose damage is in the image VICTIM. Returns
// whether it was found. In a compressed image it need not be: another distance may lead to the same
// pixels.
static bool find_damage(const shard *s, int victim) {
    bool found = false;
    for (int i = 0; i < RECORDS; i++) {
        char id[64];
        expect_record(s, i, i);
        memset(got, 0xee, sizeof got);
        status rc = shard_pixels(got, s, i, inflater, packed);
        if (rc == STATUS_OK) {
            ck_assert_mem_eq(got, want[i], STORED_PIXELS);
            continue;
        }
        ck_assert_int_eq(i, victim);
        expect_failed(rc, STATUS_FORMAT, "copy.h5", record_id_of(id, i, ID_DICOM));
        found = true;
    }
    return found;
}

// The image in which byte PLACE lies; -1: none.
static int image_at(const hdf5_chunk *chunk, int64_t place) {
    for (int i = 0; i < RECORDS; i++)
        if (place >= chunk[i].offset && place < chunk[i].offset + chunk[i].bytes) return i;
    return -1;
}

// Flips bytes all over the file, in images only every STEP-th.
static void flip_bytes(const char *name, int64_t step) {
    static const uint8_t masks[] = {0xff, 0x01, 0x80, 0x20};
    hdf5_chunk chunk[RECORDS];
    int64_t tables = 0, images = 0, harmless = 0;
    bool plain;
    shard *s = open_shard(at("%s", name));
    memcpy(chunk, s->chunk, sizeof chunk);
    plain = s->level == 0;
    shard_close(s);
    const char *path = copy_of(name);
    buffer file = read_whole(path);
    int fd = open(path, O_WRONLY);
    ck_assert_int_ge(fd, 0);
    for (int64_t i = 0; i < (int64_t)file.length; i++) {
        int victim = image_at(chunk, i);
        if (victim < 0 && i % 3 && i < (int64_t)file.length - 200) continue;
        if (victim >= 0 && (i - chunk[victim].offset) % step && i - chunk[victim].offset > 3)
            continue;
        char byte = (char)(file.data[i] ^ masks[i % 4]);
        ck_assert_int_eq(pwrite(fd, &byte, 1, i), 1);
        status rc = shard_open(&s, at("copy.h5"));
        if (victim < 0) {
            expect_failed(rc, STATUS_FORMAT, "copy.h5", "");
            ck_assert_ptr_null(s);
            tables++;
        } else {
            ck_assert_msg(rc == STATUS_OK, "byte %lld: %s", (long long)i, status_text());
            images++;
            // Eight bits at once are too many to lead to the same pixels.
            bool found = find_damage(s, victim);
            harmless += !found && (plain || masks[i % 4] == 0xff);
            shard_close(s);
        }
        ck_assert_int_eq(pwrite(fd, &file.data[i], 1, i), 1);
    }
    close(fd);
    buffer_free(&file);
    ck_assert_int_gt(tables, 1000);
    ck_assert_int_gt(images, 10 * RECORDS);
    ck_assert_int_eq(harmless, 0);
    shard_close(open_shard(at("copy.h5"))); // the original again
}

START_TEST(a_damaged_byte_packed) {
    flip_bytes("packed.h5", 61);
}
END_TEST

START_TEST(a_damaged_byte_plain) {
    flip_bytes("plain.h5", 20011);
}
END_TEST

START_TEST(cut_short) {
    shard *s;
    for (int level = 0; level < 2; level++) {
        const char *path = copy_of(level ? "packed.h5" : "plain.h5");
        buffer file = read_whole(path);
        size_t steps = level ? 11 : 4999;
        for (size_t size = file.length; size-- > 0;) {
            if (size + 200 < file.length && size > 100 && size % steps) continue;
            ck_assert_int_eq(truncate(path, (off_t)size), 0);
            expect_failed(shard_open(&s, path), STATUS_FORMAT, "copy.h5", "cut short");
            ck_assert_ptr_null(s);
        }
        OK(file_write(path, file.data, file.length));
        shard_close(open_shard(path));
        ck_assert_int_eq(truncate(path, (off_t)file.length + 1), 0);
        expect_failed(shard_open(&s, path), STATUS_FORMAT, "copy.h5", "no seal");
        buffer_free(&file);
    }
}
END_TEST

START_TEST(no_shard) {
    shard *s;
    expect_failed(shard_open(&s, at("absent.h5")), STATUS_IO, "absent.h5", "No such");
    expect_failed(shard_open(&s, at(".")), STATUS_IO, "radialog", "");
    write_text(at("no.h5"), "");
    expect_failed(shard_open(&s, at("no.h5")), STATUS_FORMAT, "no.h5", "cut short");
    write_text(at("no.h5"), "a text that is longer than any footer of a shard, but is none");
    expect_failed(shard_open(&s, at("no.h5")), STATUS_FORMAT, "no.h5", "is no shard");
    ck_assert_ptr_null(s);
}
END_TEST

// A shard that is cut while it is in use: the record that is gone fails, not the program.
START_TEST(cut_in_use) {
    for (int level = 0; level < 2; level++) {
        const char *path = copy_of(level ? "packed.h5" : "plain.h5");
        shard *s = open_shard(path);
        buffer text = {0};
        ck_assert_int_eq(truncate(path, s->chunk[RECORDS - 1].offset + 10), 0);
        OK(shard_pixels(got, s, 0, inflater, packed));
        ck_assert_mem_eq(got, want[0], STORED_PIXELS);
        expect_failed(shard_pixels(got, s, RECORDS - 1, inflater, packed), STATUS_FORMAT, "copy.h5",
                      "damaged");
        ck_assert_int_eq(truncate(path, 100), 0);
        status rc = shard_text(&text, s, 3, TEXT_FINDINGS);
        if (text_column_length(&s->text[TEXT_FINDINGS], 3))
            expect_failed(rc, STATUS_FORMAT, "copy.h5", "cut short");
        shard_close(s);
        buffer_free(&text);
    }
}
END_TEST

// --- memory and threads -------------------------------------------------------------------------

START_TEST(without_memory) {
    int64_t n = 1;
    for (;; n++) {
        shard *s = NULL;
        mem_fail_at(n);
        status rc = shard_open(&s, at("packed.h5"));
        mem_fail_at(0);
        if (rc) ck_assert_ptr_null(s);
        shard_close(s);
        if (!rc) break;
        ck_assert_msg(rc == STATUS_MEMORY, "allocation %lld: %s", (long long)n, status_text());
    }
    ck_assert_int_gt(n, 20);
    for (n = 1;; n++) {
        shard_writer *w = NULL;
        shard_record r = {.packed = want[0], .packed_size = STORED_PIXELS};
        mem_fail_at(n);
        status rc = shard_create(&w, at("memory.h5"), SPLIT_TRAIN, plan_of_tests, 0, 2);
        if (!rc) rc = shard_add(w, &r);
        if (!rc) rc = shard_skip(w, 5, "bad row", "id", "detail");
        if (!rc) rc = shard_finish(w);
        mem_fail_at(0);
        shard_writer_close(w);
        ck_assert(!file_exists(at("memory.h5.tmp")));
        ck_assert_int_eq(file_exists(at("memory.h5")), rc == STATUS_OK);
        if (!rc) break;
        ck_assert_msg(rc == STATUS_MEMORY, "allocation %lld: %s", (long long)n, status_text());
    }
    ck_assert_int_gt(n, 20);
}
END_TEST

typedef struct job {
    const shard *s;
    int first;
    bool good;
} job;

// Assertions belong to the main thread.
static void *read_often(void *argument) {
    job *j = argument;
    deflater *d = NULL;
    uint8_t *out = NULL, *room = NULL;
    bool good = !mem_new(&out, STORED_PIXELS, "pixels") &&
                !mem_new(&room, 2 * STORED_PIXELS, "pixels") && !deflater_open(&d, 1);
    for (int k = 0; good && k < 5 * RECORDS; k++) {
        int i = (j->first + k * (j->first + 1)) % RECORDS;
        buffer text = {0};
        const char *expected = record_text_of(i, TEXT_IMPRESSION);
        good = !shard_pixels(out, j->s, i, d, room) && !memcmp(out, want[i], STORED_PIXELS) &&
               !shard_text(&text, j->s, i, TEXT_IMPRESSION) &&
               !strcmp(text.data, expected ? expected : "");
        buffer_free(&text);
    }
    j->good = good;
    deflater_close(d);
    mem_free(out);
    mem_free(room);
    return NULL;
}

START_TEST(threads) {
    for (int level = 0; level < 2; level++) {
        shard *s = open_shard(at(level ? "packed.h5" : "plain.h5"));
        pthread_t thread[4];
        job jobs[4];
        for (int i = 0; i < 4; i++) {
            jobs[i] = (job){s, i, false};
            ck_assert_int_eq(pthread_create(&thread[i], NULL, read_often, &jobs[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
            ck_assert(jobs[i].good);
        }
        shard_close(s);
    }
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("shard");
    tcase_set_timeout(cases, 120);
    tcase_add_unchecked_fixture(cases, make_shards, end_shards);
    tcase_add_test(cases, read_back);
    tcase_add_test(cases, without_records);
    tcase_add_test(cases, texts_of_any_length);
    tcase_add_test(cases, the_same_bytes);
    tcase_add_test(cases, unfinished);
    tcase_add_test(cases, names_of_shards);
    tcase_add_test(cases, a_damaged_byte_packed);
    tcase_add_test(cases, a_damaged_byte_plain);
    tcase_add_test(cases, cut_short);
    tcase_add_test(cases, no_shard);
    tcase_add_test(cases, cut_in_use);
    tcase_add_test(cases, without_memory);
    tcase_add_test(cases, threads);
    Suite *suite = suite_create("shard");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
