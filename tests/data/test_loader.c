// The loader: what an epoch holds and in which order, whoever reads it and wherever it begins; the
// pixels against the functions they are made with; damaged records.
#include "core/rng.h"
#include "data/augment.h"
#include "data/image.h"
#include "data/loader.h"
#include "data/shard.h"
#include "tests/data/helper_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORDS = 45, KEPT = 39 }; // every seventh report has no findings section

static dataset *set;

static void open_set(void) {
    if (!folder_exists(at("source"))) {
        source_write(at("source"), RECORDS);
        ingest_options o = folder_options(at("source"), at("shards"));
        o.keep_without_findings = true;
        o.shard_records = 16;
        o.validate = 0.2;
        o.test = 1e-9;
        expect_ingest(&o, STATUS_OK);
    }
    ck_assert_msg(dataset_open(&set, at("shards")) == STATUS_OK, "%s", status_text());
}

static void close_set(void) {
    dataset_close(set);
}

static loader_options standard(void) {
    return (loader_options){.split = SPLIT_TRAIN,
                            .batch = 8,
                            .ranks = 1,
                            .crop = 96,
                            .size = 32,
                            .seed = 5,
                            .shuffle = true,
                            .threads = 2};
}

static loader *open_loader(loader_options o) {
    loader *l;
    ck_assert_msg(loader_open(&l, set, &o) == STATUS_OK, "%s", status_text());
    return l;
}

static batch *next(loader *l) {
    batch *b;
    ck_assert_msg(loader_next(l, &b) == STATUS_OK, "%s", status_text());
    return b;
}

static void expect_equal(const batch *a, const batch *b, int size) {
    size_t n = (size_t)a->count, pixels = n * (size_t)size * (size_t)size;
    ck_assert_int_eq(a->step, b->step);
    ck_assert_int_eq(a->epoch, b->epoch);
    ck_assert_int_eq(a->count, b->count);
    ck_assert_int_eq(a->first_sample, b->first_sample);
    ck_assert_mem_eq(a->record, b->record, n * sizeof *a->record);
    ck_assert_mem_eq(a->labels, b->labels, n * CLASS_COUNT);
    ck_assert_mem_eq(a->lut, b->lut, n * 256 * sizeof(float));
    ck_assert_mem_eq(a->pixels, b->pixels, pixels);
}

// Each record once per epoch, in an order that differs by epoch and seed.
START_TEST(epochs_are_permutations) {
    int64_t order[3][RECORDS];
    for (int run = 0; run < 2; run++) {
        loader_options o = standard();
        o.seed += (uint64_t)run;
        loader *l = open_loader(o);
        int64_t n = loader_records(l), steps = loader_steps_per_epoch(l);
        ck_assert_int_eq(n, dataset_split_count(set, SPLIT_TRAIN));
        ck_assert_int_eq(steps, (n + 7) / 8);
        for (int epoch = 0; epoch < 2 - run; epoch++) {
            bool seen[RECORDS] = {false};
            int64_t *to = order[2 * run + epoch], done = 0;
            for (int64_t s = 0; s < steps; s++) {
                const batch *b = next(l);
                ck_assert_int_eq(b->step, epoch * steps + s);
                ck_assert_int_eq(b->epoch, epoch);
                ck_assert_int_eq(b->first_sample, done);
                ck_assert_int_eq(b->count, n - done < 8 ? n - done : 8);
                for (int64_t i = 0; i < b->count; i++) {
                    ck_assert_msg(!seen[b->record[i]], "a record came twice");
                    seen[b->record[i]] = true;
                    to[done++] = b->record[i];
                }
            }
            ck_assert_int_eq(done, n);
        }
        loader_close(l);
    }
    size_t bytes = (size_t)dataset_split_count(set, SPLIT_TRAIN) * sizeof **order;
    ck_assert_mem_ne(order[0], order[1], bytes);
    ck_assert_mem_ne(order[0], order[2], bytes);
}
END_TEST

START_TEST(threads_change_nothing) {
    loader_options one = standard(), many = standard();
    one.augment = many.augment = true;
    one.threads = 1;
    many.threads = 7;
    loader *a = open_loader(one), *b = open_loader(many);
    for (int i = 0; i < 17; i++) expect_equal(next(a), next(b), one.size);
    loader_close(a);
    loader_close(b);
}
END_TEST

// Any step can be the first, forwards and backwards, whatever was read ahead.
START_TEST(seeks) {
    static const int64_t steps[] = {0, 3, 4, 11, 2, 30, 1, 0, 29, 5};
    loader_options o = standard();
    o.augment = true;
    loader *straight = open_loader(o), *jumping = open_loader(o);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        ck_assert_int_eq(loader_seek(straight, 0), STATUS_OK);
        for (int64_t s = 0; s < steps[i]; s++) next(straight);
        ck_assert_int_eq(loader_seek(jumping, steps[i]), STATUS_OK);
        expect_equal(next(straight), next(jumping), o.size);
    }
    loader_close(straight);
    loader_close(jumping);
}
END_TEST

// The ranks' slices, put together, are the batch of one rank; their sizes differ by one at most.
START_TEST(ranks_take_slices) {
    enum { RANKS = 3 };
    loader_options o = standard();
    o.augment = true;
    loader *whole = open_loader(o), *part[RANKS];
    o.ranks = RANKS;
    for (o.rank = 0; o.rank < RANKS; o.rank++) part[o.rank] = open_loader(o);
    size_t pixels = (size_t)o.size * (size_t)o.size;
    for (int64_t s = 0; s < 12; s++) {
        const batch *all = next(whole);
        int64_t done = 0;
        for (int r = 0; r < RANKS; r++) {
            const batch *b = next(part[r]);
            size_t count = (size_t)b->count, from = (size_t)done;
            ck_assert_int_eq(b->global_count, all->count);
            ck_assert_int_eq(b->first_sample, all->first_sample + done);
            ck_assert_int_ge(b->count, all->count / RANKS);
            ck_assert_int_le(b->count, all->count / RANKS + 1);
            ck_assert_mem_eq(b->record, all->record + done, count * sizeof *b->record);
            ck_assert_mem_eq(b->global, all->record, (size_t)all->count * sizeof *b->global);
            ck_assert_mem_eq(b->pixels, all->pixels + from * pixels, count * pixels);
            ck_assert_mem_eq(b->lut, all->lut + from * 256, count * 256 * sizeof(float));
            done += b->count;
        }
        ck_assert_int_eq(done, all->count);
    }
    for (int r = 0; r < RANKS; r++) loader_close(part[r]);
    loader_close(whole);
}
END_TEST

// More ranks than records in the last batch: some slices are empty.
START_TEST(slices_may_be_empty) {
    loader_options o = standard();
    o.limit = 9;
    o.ranks = 5;
    int64_t total = 0;
    for (o.rank = 0; o.rank < o.ranks; o.rank++) {
        loader *l = open_loader(o);
        ck_assert_int_eq(loader_steps_per_epoch(l), 2);
        for (int i = 0; i < 6; i++) total += next(l)->count;
        loader_close(l);
    }
    ck_assert_int_eq(total, 3 * 9);
}
END_TEST

// Dropped, the last batch of each epoch leaves whole ones alone; the order stays what it was.
START_TEST(last_batch_may_be_dropped) {
    loader_options o = standard();
    loader *whole = open_loader(o);
    o.drop_last = true;
    loader *l = open_loader(o);
    int64_t steps = loader_steps_per_epoch(l), rest = loader_records(l) % o.batch;
    ck_assert_int_gt(rest, 0);
    ck_assert_int_eq(steps, loader_records(l) / o.batch);
    for (int64_t s = 0; s < 2 * steps; s++) {
        const batch *b = next(l);
        ck_assert_int_eq(loader_seek(whole, s / steps * (steps + 1) + s % steps), STATUS_OK);
        const batch *want = next(whole);
        ck_assert_int_eq(b->count, o.batch);
        ck_assert_int_eq(b->epoch, want->epoch);
        ck_assert_mem_eq(b->record, want->record, (size_t)o.batch * sizeof *b->record);
    }
    loader_close(l);
    loader_close(whole);
    o.limit = o.batch - 1;
    ck_assert_int_eq(loader_open(&l, set, &o), STATUS_FORMAT);
}
END_TEST

// Stored order: pixels are the crop of the stored square, resized; bytes mean v / 255.
START_TEST(pixels_are_cropped_and_resized) {
    static const int sides[][2] = {{512, 512}, {448, 448}, {488, 96}, {512, 31}};
    static uint8_t square[STORED_PIXELS], crop[STORED_PIXELS], want[STORED_PIXELS];
    pixel_reader *reader;
    ck_assert_int_eq(pixel_reader_open(&reader, set), STATUS_OK);
    for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        loader_options o = standard();
        o.shuffle = false;
        o.crop = sides[k][0];
        o.size = sides[k][1];
        loader *l = open_loader(o);
        const batch *b = next(l);
        for (int64_t i = 0; i < b->count; i++) {
            size_t pixels = (size_t)o.size * (size_t)o.size;
            ck_assert_int_eq(b->record[i], loader_record(l, i));
            ck_assert_int_eq(dataset_pixels(square, reader, b->record[i]), STATUS_OK);
            image_crop(crop, square, STORED_SIDE, o.crop);
            ck_assert_int_eq(image_resize(want, o.size, o.size, crop, o.crop, o.crop), STATUS_OK);
            ck_assert_mem_eq(b->pixels + (size_t)i * pixels, want, pixels);
            ck_assert_mem_eq(b->labels + i * CLASS_COUNT, dataset_labels(set, b->record[i]),
                             CLASS_COUNT);
            ck_assert(b->lut[i * 256 + 51] == 0.2f && b->lut[i * 256 + 255] == 1.0f);
        }
        loader_close(l);
    }
    pixel_reader_close(reader);
}
END_TEST

// Drawn by (seed, epoch, record): the second epoch differs from the first, and from another seed's.
START_TEST(augments) {
    enum { SIZE = 32, PIXELS = SIZE * SIZE };
    static uint8_t plain[PIXELS], want[PIXELS];
    loader_options o = standard();
    o.shuffle = false;
    o.limit = 8;
    loader *source = open_loader(o);
    o.augment = true;
    loader *l = open_loader(o);
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        const batch *in = next(source), *b = next(l);
        for (int64_t i = 0; i < b->count; i++) {
            float lut[256];
            augmentation a = augment_draw(o.seed, epoch, (uint32_t)b->record[i]);
            memcpy(plain, in->pixels + i * PIXELS, PIXELS);
            augment_affine(want, plain, SIZE, a);
            augment_lut(lut, want, PIXELS, a);
            ck_assert_mem_eq(b->pixels + i * PIXELS, want, PIXELS);
            ck_assert_mem_eq(b->lut + i * 256, lut, sizeof lut);
            ck_assert_mem_ne(want, plain, PIXELS);
        }
    }
    loader_close(l);
    loader_close(source);
}
END_TEST

START_TEST(filters) {
    int64_t total = 0;
    loader_options o = standard();
    o.need_text = true;
    for (o.split = 0; o.split <= SPLIT_VALIDATE; o.split++) {
        loader *l = open_loader(o);
        for (int64_t i = 0; i < loader_records(l); i++)
            ck_assert(dataset_has_text(set, loader_record(l, i), TEXT_FINDINGS));
        total += loader_records(l);
        loader_close(l);
    }
    ck_assert_int_eq(total, KEPT);
    o.split = SPLIT_TRAIN;
    o.limit = 3;
    loader *l = open_loader(o);
    ck_assert_int_eq(loader_records(l), 3);
    ck_assert_int_eq(loader_steps_per_epoch(l), 1);
    loader_close(l);
}
END_TEST

START_TEST(empty_split_is_an_error) {
    loader_options o = standard();
    loader *l;
    o.split = SPLIT_TEST;
    ck_assert_int_eq(loader_open(&l, set, &o), STATUS_FORMAT);
    ck_assert_ptr_null(l);
    ck_assert_ptr_nonnull(strstr(status_text(), "test"));
}
END_TEST

// --- damage --------------------------------------------------------------------------------------

// Breaks a byte in the middle of the stored image of RECORD, which lies in the first shard; the tables' checksum is
// not concerned.
static void damage(const char *dir, int64_t record) {
    char path[PATH_SIZE];
    shard *s;
    ck_assert_int_eq(path_join(path, sizeof path, dir, dataset_shard(set, record)), STATUS_OK);
    ck_assert_int_eq(shard_open(&s, path), STATUS_OK);
    const long place = (long)(s->chunk[record].offset + s->chunk[record].bytes / 2);
    shard_close(s);
    FILE *f = fopen(path, "r+b");
    ck_assert_ptr_nonnull(f);
    fseek(f, place, SEEK_SET);
    const int byte = fgetc(f);
    fseek(f, place, SEEK_SET);
    ck_assert_int_eq(fputc(byte ^ 0x40, f), byte ^ 0x40);
    ck_assert_int_eq(fclose(f), 0);
}

START_TEST(damaged_records) {
    ingest_options make = folder_options(at("source"), at("damaged"));
    make.keep_without_findings = true;
    make.shard_records = 16;
    make.validate = 0.2;
    make.test = 1e-9;
    expect_ingest(&make, STATUS_OK);
    const int64_t record = 11;
    char id[64], dir[PATH_SIZE];
    snprintf(id, sizeof id, "%s", dataset_id(set, record, ID_DICOM));
    snprintf(dir, sizeof dir, "%s", at("damaged"));
    damage(dir, record);
    dataset *broken;
    ck_assert_int_eq(dataset_open(&broken, dir), STATUS_OK);
    loader *l;
    batch *b;
    loader_options o = standard();
    o.shuffle = false;
    ck_assert_int_eq(loader_open(&l, broken, &o), STATUS_OK);
    ck_assert_int_eq(loader_next(l, &b), STATUS_OK);
    ck_assert_int_eq(loader_next(l, &b), STATUS_FORMAT); // records 8 to 15
    ck_assert_msg(strstr(status_text(), id) && strstr(status_text(), "train-00000.h5"), "%s",
                  status_text());
    ck_assert_int_eq(loader_next(l, &b), STATUS_OK);
    loader_close(l);
    o.skip_bad = true;
    ck_assert_int_eq(loader_open(&l, broken, &o), STATUS_OK);
    ck_assert_int_eq(loader_records(l), dataset_split_count(set, SPLIT_TRAIN) - 1);
    for (int64_t i = 0; i < loader_records(l); i++) ck_assert_int_ne(loader_record(l, i), record);
    for (int i = 0; i < 10; i++) ck_assert_int_eq(loader_next(l, &b), STATUS_OK);
    loader_close(l);
    dataset_close(broken);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("loader");
    tcase_set_timeout(cases, 120);
    tcase_add_checked_fixture(cases, open_set, close_set);
    tcase_add_test(cases, epochs_are_permutations);
    tcase_add_test(cases, threads_change_nothing);
    tcase_add_test(cases, seeks);
    tcase_add_test(cases, ranks_take_slices);
    tcase_add_test(cases, slices_may_be_empty);
    tcase_add_test(cases, last_batch_may_be_dropped);
    tcase_add_test(cases, pixels_are_cropped_and_resized);
    tcase_add_test(cases, augments);
    tcase_add_test(cases, filters);
    tcase_add_test(cases, empty_split_is_an_error);
    tcase_add_test(cases, damaged_records);
    Suite *suite = suite_create("loader");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
