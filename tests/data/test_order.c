// The order of records: permutations that (seed, epoch) alone decides, against the formula in plain
// words; slices of ranks; the last batch; lists out of a data set.
#include "core/memory.h"
#include "core/rng.h"
#include "data/order.h"
#include "tests/data/helper_source.h"

#include <string.h>

enum { RECORDS = 29, BATCH = 8 };

static int64_t list[RECORDS]; // numbers that are no places

static void make_list(void) {
    for (int64_t i = 0; i < RECORDS; i++) list[i] = 1000 + 7 * i;
}

static order_options standard(void) {
    return (order_options){.batch = BATCH, .ranks = 1, .seed = 3, .shuffle = true};
}

static batch_order *open_order(order_options options, int64_t count) {
    batch_order *o;
    ck_assert_msg(order_open(&o, list, count, &options) == STATUS_OK, "%s", status_text());
    return o;
}

// What the batch of STEP must be, made anew from the definition.
static int64_t expected(int64_t record[BATCH], const order_options *o, int64_t count,
                        int64_t step) {
    uint32_t place[RECORDS];
    int64_t steps = o->drop_last ? count / o->batch : (count + o->batch - 1) / o->batch;
    int64_t begin = step % steps * o->batch, n = 0;
    rng_shuffle((rng_key){o->seed, rng_site("order"), (uint32_t)(step / steps)}, place,
                (uint32_t)count);
    for (int64_t i = begin; i < count && i < begin + o->batch; i++)
        record[n++] = list[o->shuffle ? place[i] : i];
    return n;
}

static void expect_steps(order_options options, int64_t count, const int64_t *steps, size_t n) {
    batch_order *o = open_order(options, count);
    for (size_t k = 0; k < n; k++) {
        int64_t got[BATCH], want[BATCH], total = expected(want, &options, count, steps[k]);
        order_step s;
        order_batch(&s, got, o, steps[k]);
        ck_assert_int_eq(s.step, steps[k]);
        ck_assert_int_eq(s.epoch, steps[k] / order_steps_per_epoch(o));
        ck_assert_int_eq(s.first_sample, steps[k] % order_steps_per_epoch(o) * options.batch);
        ck_assert_int_eq(s.global_count, total);
        ck_assert_int_le(total, order_most(o));
        ck_assert_mem_eq(got, want, (size_t)total * sizeof *got);
    }
    order_close(o);
}

// Whatever step comes first, forwards and backwards over epochs.
START_TEST(steps_are_as_defined) {
    static const int64_t steps[] = {0, 1, 2, 3, 4, 5, 6, 7, 40, 3, 8, 2, 4000000000, 0};
    static const int64_t counts[] = {1, 7, 8, 9, 16, RECORDS};
    for (int k = 0; k < 6; k++)
        for (int how = 0; how < 4; how++) {
            order_options o = standard();
            o.shuffle = how & 1;
            o.drop_last = how & 2;
            if (o.drop_last && counts[k] < BATCH) continue;
            expect_steps(o, counts[k], steps, sizeof steps / sizeof *steps);
        }
}
END_TEST

static void expect_permutation(batch_order *o, int64_t epoch, int64_t want, int64_t *sequence) {
    bool seen[RECORDS] = {false};
    int64_t done = 0, steps = order_steps_per_epoch(o);
    for (int64_t i = 0; i < steps; i++) {
        order_step s;
        order_batch(&s, sequence + done, o, epoch * steps + i);
        ck_assert_int_eq(s.first_sample, done);
        for (int64_t j = 0; j < s.global_count; j++) {
            int64_t at_place = (sequence[done + j] - 1000) / 7;
            ck_assert_msg(!seen[at_place], "a record came twice");
            seen[at_place] = true;
        }
        done += s.global_count;
    }
    ck_assert_int_eq(done, want);
}

// Each record once per epoch, in an order that differs by epoch and seed; dropped: three whole
// batches.
START_TEST(epochs_are_permutations) {
    for (int drop = 0; drop < 2; drop++) {
        int64_t sequence[3][RECORDS], want = drop ? 3 * BATCH : RECORDS;
        order_options options = standard();
        options.drop_last = drop;
        batch_order *o = open_order(options, RECORDS);
        options.seed++;
        batch_order *other = open_order(options, RECORDS);
        ck_assert_int_eq(order_steps_per_epoch(o), drop ? 3 : 4);
        expect_permutation(o, 0, want, sequence[0]);
        expect_permutation(o, 1, want, sequence[1]);
        expect_permutation(other, 0, want, sequence[2]);
        ck_assert_mem_ne(sequence[0], sequence[1], (size_t)want * sizeof **sequence);
        ck_assert_mem_ne(sequence[0], sequence[2], (size_t)want * sizeof **sequence);
        order_close(o);
        order_close(other);
    }
}
END_TEST

// Every rank sees the whole batch, and the slices cover it; the first ones are larger by one.
START_TEST(ranks_take_slices) {
    for (int ranks = 1; ranks <= 11; ranks += 2) {
        order_options options = standard();
        batch_order *whole = open_order(options, RECORDS);
        for (int64_t step = 0; step < 9; step++) {
            int64_t all[BATCH], record[BATCH], next = 0;
            order_step s, w;
            order_batch(&w, all, whole, step);
            ck_assert_int_eq(w.first, 0);
            ck_assert_int_eq(w.count, w.global_count);
            options.ranks = ranks;
            for (options.rank = 0; options.rank < ranks; options.rank++) {
                batch_order *o = open_order(options, RECORDS);
                order_batch(&s, record, o, step);
                ck_assert_int_eq(s.global_count, w.global_count);
                ck_assert_int_eq(s.first, next);
                ck_assert_int_eq(s.count,
                                 w.global_count / ranks + (options.rank < w.global_count % ranks));
                ck_assert_mem_eq(record, all, (size_t)w.global_count * sizeof *all);
                next += s.count;
                order_close(o);
            }
            ck_assert_int_eq(next, w.global_count);
        }
        order_close(whole);
    }
}
END_TEST

START_TEST(too_few_records) {
    order_options options = standard();
    batch_order *o;
    ck_assert_int_eq(order_open(&o, list, 0, &options), STATUS_FORMAT);
    ck_assert_ptr_null(o);
    options.drop_last = true;
    ck_assert_int_eq(order_open(&o, list, BATCH - 1, &options), STATUS_FORMAT);
    ck_assert_ptr_null(o);
    ck_assert_msg(strstr(status_text(), "7 records") && strstr(status_text(), "train.batch"), "%s",
                  status_text());
    o = open_order(options, BATCH);
    ck_assert_int_eq(order_steps_per_epoch(o), 1);
    ck_assert_int_eq(order_most(o), BATCH);
    order_close(o);
    options.drop_last = false;
    o = open_order(options, BATCH - 1);
    ck_assert_int_eq(order_most(o), BATCH - 1);
    order_close(o);
    order_close(NULL);
}
END_TEST

START_TEST(failing_memory) {
    order_options options = standard();
    for (int64_t n = 1; n <= 3; n++) {
        batch_order *o;
        mem_fail_at(n);
        status rc = order_open(&o, list, RECORDS, &options);
        bool failed = mem_has_failed();
        mem_fail_at(0);
        ck_assert_int_eq(failed, n < 3);
        ck_assert_int_eq(rc, failed ? STATUS_MEMORY : STATUS_OK);
        ck_assert(!failed == (o != NULL));
        order_close(o);
    }
}
END_TEST

// Every seventh report has no findings section.
START_TEST(lists_of_a_data_set) {
    dataset *set;
    source_write(at("source"), 45);
    ingest_options o = folder_options(at("source"), at("shards"));
    o.keep_without_findings = true;
    expect_ingest(&o, STATUS_OK);
    ck_assert_msg(dataset_open(&set, at("shards")) == STATUS_OK, "%s", status_text());
    for (int split = 0; split < SPLIT_COUNT; split++)
        for (int need = -1; need <= TEXT_FINDINGS; need++)
            for (int64_t limit = 0; limit < 9; limit++) {
                int64_t *got, count, n = 0, begin = dataset_split_begin(set, split);
                ck_assert_int_eq(order_list(&got, &count, set, split, need, limit), STATUS_OK);
                for (int64_t i = 0; i < dataset_split_count(set, split); i++) {
                    if (need >= 0 && !dataset_has_text(set, begin + i, TEXT_FINDINGS)) continue;
                    if (limit && n == limit) break;
                    ck_assert_int_lt(n, count);
                    ck_assert_int_eq(got[n++], begin + i);
                }
                ck_assert_int_eq(n, count);
                mem_free(got);
            }
    dataset_close(set);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("order");
    tcase_set_timeout(cases, 120);
    tcase_add_checked_fixture(cases, make_list, NULL);
    tcase_add_test(cases, steps_are_as_defined);
    tcase_add_test(cases, epochs_are_permutations);
    tcase_add_test(cases, ranks_take_slices);
    tcase_add_test(cases, too_few_records);
    tcase_add_test(cases, failing_memory);
    tcase_add_test(cases, lists_of_a_data_set);
    Suite *suite = suite_create("order");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
