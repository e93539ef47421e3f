// data/embeddings.h: what is written in any pieces, with stops at any place, is one and the same
// file; what was begun from other facts is refused and stays. Wrong files:
// test_embeddings_hostile.c.
#include "core/files/fs.h"
#include "core/files/hdf5.h"
#include "data/embeddings.h"
#include "tests/core/helper_check.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OK(call)                                                                                   \
    do {                                                                                           \
        status rc_ = (call);                                                                       \
        ck_assert_msg(rc_ == STATUS_OK, "%s: %s", #call, status_text());                           \
    } while (0)

enum { COUNT = 11, QUERIES = 3, WIDTH = 5, ROW = QUERIES * WIDTH };

static const char *const ids[COUNT] = {"m",        "b-2", "b-10", "z", "a",  "ab",
                                       "02aa804e", "Z",   "y",    "b", "b-1"};

static embeddings_facts facts_of_tests(void) {
    return (embeddings_facts){.checkpoint = "0123abcd",
                              .model = "qformer",
                              .split = "train",
                              .plan = "feedbeeffeedbeef",
                              .count = COUNT,
                              .queries = QUERIES,
                              .width = WIDTH,
                              .dicom_id = ids};
}

// Row I, and all of them.
static float value_of(int64_t row, int k) {
    return (float)(row * 100 + k) * 0.25f - 3;
}

static const float *all_rows(void) {
    static float rows[COUNT * ROW];
    for (int i = 0; i < COUNT * ROW; i++) rows[i] = value_of(i / ROW, i % ROW);
    return rows;
}

static void add_from(embeddings_writer *w, int64_t begin, int64_t count) {
    ck_assert_int_eq(embeddings_written(w), begin);
    OK(embeddings_add(w, all_rows() + begin * ROW, count));
}

// Anew, handing over PIECE rows at a time.
static void write_file(const char *path, int64_t piece) {
    embeddings_facts facts = facts_of_tests();
    embeddings_writer *w;
    unlink(path);
    OK(embeddings_create(&w, path, &facts));
    for (int64_t i = 0; i < COUNT; i += piece)
        add_from(w, i, COUNT - i < piece ? COUNT - i : piece);
    OK(embeddings_finish(w));
    embeddings_writer_close(w);
}

static void expect_same(const char *path, const char *other) {
    buffer a = {0}, b = {0};
    OK(file_read(path, 0, &a));
    OK(file_read(other, 0, &b));
    ck_assert_uint_eq(a.length, b.length);
    ck_assert_mem_eq(a.data, b.data, a.length);
    buffer_free(&a);
    buffer_free(&b);
}

// --- right files --------------------------------------------------------------------------------

START_TEST(read_back) {
    embeddings *e;
    write_file(scratch("all.h5"), COUNT);
    ck_assert(!file_exists(scratch("all.h5.tmp")) && !file_exists(scratch("all.h5.tmp.new")));
    OK(embeddings_open(&e, scratch("all.h5")));
    ck_assert_int_eq(e->count, COUNT);
    ck_assert_int_eq(e->queries, QUERIES);
    ck_assert_int_eq(e->width, WIDTH);
    ck_assert_str_eq(e->checkpoint, "0123abcd");
    ck_assert_str_eq(e->model, "qformer");
    ck_assert_str_eq(e->split, "train");
    ck_assert_str_eq(e->plan, "feedbeeffeedbeef");
    for (int64_t i = 0; i < COUNT; i++) {
        float row[ROW + 1] = {[ROW] = 7};
        ck_assert_str_eq(embeddings_id(e, i), ids[i]);
        ck_assert_int_eq(embeddings_find(e, ids[i]), i);
        OK(embeddings_read(row, e, i));
        for (int k = 0; k < ROW; k++) ck_assert(row[k] == value_of(i, k));
        ck_assert(row[ROW] == 7);
    }
    static const char *const strangers[] = {"", "A", "b-", "b-11", "zz", "02aa804", "02aa804e0"};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        ck_assert_int_eq(embeddings_find(e, strangers[i]), -1);
    // The counter is written in place: within a sector, so that it changes as a whole.
    ck_assert_int_le(e->rows_place % 512, 504);
    embeddings_close(e);
}
END_TEST

// As any other reader of HDF5 sees it.
START_TEST(plain_hdf5) {
    const int64_t dim[] = {COUNT, QUERIES, WIDTH};
    float rows[COUNT * ROW];
    char text[64], padded[COUNT * 8];
    hdf5_shape shape;
    hdf5 *f;
    write_file(scratch("plain.h5"), 4);
    OK(hdf5_open(&f, scratch("plain.h5")));
    OK(hdf5_expect(&shape, f, "embeddings", DTYPE_F32, 3, dim));
    OK(hdf5_read(rows, f, "embeddings", &shape));
    ck_assert_mem_eq(rows, all_rows(), sizeof rows);
    OK(hdf5_expect_strings(&shape, f, "dicom_id"));
    ck_assert_int_eq(shape.dim[0], COUNT);
    ck_assert_int_eq(shape.dim[1], 8);
    OK(hdf5_read(padded, f, "dicom_id", &shape));
    ck_assert_mem_eq(padded, "m\0\0\0\0\0\0\0b-2\0\0\0\0\0", 16);
    OK(hdf5_read_text(text, f, "format", sizeof text));
    ck_assert_str_eq(text, "radialog-embeddings");
    hdf5_close(f);
}
END_TEST

START_TEST(pieces_make_no_difference) {
    write_file(scratch("one.h5"), COUNT);
    for (int64_t piece = 1; piece < COUNT; piece += 3) {
        write_file(scratch("pieces.h5"), piece);
        expect_same(scratch("pieces.h5"), scratch("one.h5"));
        unlink(scratch("pieces.h5"));
    }
}
END_TEST

// --- stops --------------------------------------------------------------------------------------

// In a process that ends without a word: SYNCED rows are counted, LOST more were handed over as
// garbage.
static void write_and_die(const char *path, int64_t begin, int64_t synced, int64_t lost) {
    pid_t child = fork();
    if (!child) {
        float garbage[COUNT * ROW];
        embeddings_facts facts = facts_of_tests();
        embeddings_writer *w;
        memset(garbage, 0xa5, sizeof garbage);
        if (embeddings_create(&w, path, &facts) || embeddings_written(w) != begin) _exit(1);
        if (embeddings_add(w, all_rows() + begin * ROW, synced) || embeddings_sync(w)) _exit(2);
        if (embeddings_add(w, garbage, lost)) _exit(3);
        kill(getpid(), SIGKILL);
    }
    int ended;
    ck_assert_int_eq(waitpid(child, &ended, 0), child);
    ck_assert_msg(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGKILL, "the child ended with %d",
                  ended);
}

START_TEST(goes_on_where_it_stopped) {
    embeddings_facts facts = facts_of_tests();
    embeddings_writer *w;
    embeddings *e;
    write_file(scratch("one.h5"), COUNT);
    for (int64_t stop = 0; stop <= COUNT; stop++) {
        const char *path = scratch("stopped.h5");
        write_and_die(path, 0, stop, COUNT - stop);
        write_and_die(path, stop, 0, COUNT - stop);
        ck_assert(!file_exists(path));
        OK(embeddings_open_part(&e, scratch("stopped.h5.tmp")));
        ck_assert_int_eq(e->rows, stop);
        embeddings_close(e);
        OK(embeddings_create(&w, path, &facts));
        add_from(w, stop, COUNT - stop);
        OK(embeddings_finish(w));
        embeddings_writer_close(w);
        expect_same(path, scratch("one.h5"));
        ck_assert(!file_exists(scratch("stopped.h5.tmp")));
        unlink(path);
    }
}
END_TEST

// Killed while PATH.tmp itself was being made: what is left has another name, and is written over.
START_TEST(starts_over_what_has_no_places_yet) {
    scratch_write(scratch("young.h5.tmp.new"), "half a file", 11);
    write_file(scratch("young.h5"), 4);
    write_file(scratch("one.h5"), COUNT);
    expect_same(scratch("young.h5"), scratch("one.h5"));
    ck_assert(!file_exists(scratch("young.h5.tmp.new")));
}
END_TEST

START_TEST(counts_every_64_mib) {
    embeddings_facts facts = facts_of_tests();
    embeddings_writer *w;
    embeddings *e;
    float *row;
    facts.queries = 2048, facts.width = 4096; // 32 MiB
    facts.count = 3;
    OK(mem_new(&row, 2048 * 4096, "a row"));
    OK(embeddings_create(&w, scratch("large.h5"), &facts));
    for (int64_t i = 0; i < 3; i++) {
        OK(embeddings_add(w, row, 1));
        OK(embeddings_open_part(&e, scratch("large.h5.tmp")));
        ck_assert_int_eq(e->rows, i < 1 ? 0 : 2);
        embeddings_close(e);
    }
    OK(embeddings_sync(w));
    expect_failure(embeddings_open(&e, scratch("nowhere.h5")), STATUS_IO, "absent", "nowhere.h5",
                   "open");
    OK(embeddings_open(&e, scratch("large.h5.tmp")));
    embeddings_close(e);
    embeddings_writer_close(w);
    mem_free(row);
    unlink(scratch("large.h5.tmp"));
}
END_TEST

START_TEST(a_part_is_no_file) {
    embeddings *e;
    write_and_die(scratch("part.h5"), 0, 4, 0);
    expect_failure(embeddings_open(&e, scratch("part.h5.tmp")), STATUS_FORMAT, "part",
                   "part.h5.tmp", "only 4 of 11 rows are written");
    ck_assert_ptr_null(e);
    // Renamed by hand it is still none, and not written over either.
    ck_assert_int_eq(rename(scratch("part.h5.tmp"), scratch("part.h5")), 0);
    embeddings_facts facts = facts_of_tests();
    embeddings_writer *w;
    expect_failure(embeddings_create(&w, scratch("part.h5"), &facts), STATUS_FORMAT, "renamed",
                   "part.h5", "misses rows");
    ck_assert_ptr_null(w);
}
END_TEST

START_TEST(one_writer_at_a_time) {
    embeddings_facts facts = facts_of_tests();
    embeddings_writer *first, *second;
    OK(embeddings_create(&first, scratch("held.h5"), &facts));
    add_from(first, 0, 2);
    expect_failure(embeddings_create(&second, scratch("held.h5"), &facts), STATUS_IO, "held",
                   "held.h5.tmp", "another radialog");
    embeddings_writer_close(first);
    OK(embeddings_create(&second, scratch("held.h5"), &facts));
    ck_assert_int_eq(embeddings_written(second), 0);
    embeddings_writer_close(second);
}
END_TEST

// --- other facts --------------------------------------------------------------------------------

static const char *const other_ids[COUNT] = {"m",        "b-2", "b-10", "z", "a",  "ab",
                                             "02aa804e", "Z",   "b",    "y", "b-1"};

// Features in a narrow type are the same bits again, and no file of another type.
START_TEST(narrow_rows) {
    embeddings_facts facts = facts_of_tests();
    embeddings_writer *w;
    embeddings *e;
    uint16_t rows[COUNT * ROW], row[ROW];
    for (int i = 0; i < COUNT * ROW; i++) rows[i] = (uint16_t)(i * 977 + 5);
    facts.type = DTYPE_BF16;
    OK(embeddings_create(&w, scratch("narrow.h5"), &facts));
    OK(embeddings_add(w, rows, COUNT));
    OK(embeddings_finish(w));
    embeddings_writer_close(w);
    OK(embeddings_open(&e, scratch("narrow.h5")));
    ck_assert_int_eq(e->type, DTYPE_BF16);
    ck_assert_int_eq(e->width, WIDTH);
    for (int64_t i = 0; i < COUNT; i++) {
        OK(embeddings_read(row, e, i));
        ck_assert_mem_eq(row, rows + i * ROW, sizeof row);
    }
    embeddings_close(e);
    facts.type = DTYPE_F16;
    expect_failure(embeddings_create(&w, scratch("narrow.h5"), &facts), STATUS_FORMAT, "type",
                   "narrow.h5", "the type BF16, this run has F16");
}
END_TEST

// FACTS with one thing changed, and how the error calls it; NULL: there are no more.
static const char *change_fact(embeddings_facts *facts, int which) {
    switch (which) {
    case 0:
        facts->checkpoint = "0123abce";
        return "the checkpoint 0123abcd, this run has 0123abce";
    case 1:
        facts->model = "biovil";
        return "the model qformer, this run has biovil";
    case 2:
        facts->split = "all";
        return "the split train, this run has all";
    case 3:
        facts->plan = "f00d";
        return "the data set feedbeeffeedbeef, this run has f00d";
    case 4:
        facts->count--;
        return "the shape (11, 3, 5), this run has (10, 3, 5)";
    case 5:
        facts->queries = 5;
        return "the shape (11, 3, 5), this run has (11, 5, 5)";
    case 6:
        facts->width = 6;
        return "the shape (11, 3, 5), this run has (11, 3, 6)";
    case 7:
        facts->dicom_id = other_ids;
        return "the image y, this run has b";
    default:
        return NULL;
    }
}

static void expect_refused(const char *path, const char *place) {
    embeddings_writer *w;
    for (int i = 0;; i++) {
        embeddings_facts facts = facts_of_tests();
        const char *says = change_fact(&facts, i);
        if (!says) break;
        expect_failure(embeddings_create(&w, path, &facts), STATUS_FORMAT, says, place, says);
        ck_assert_ptr_null(w);
    }
}

START_TEST(other_facts_are_refused) {
    embeddings_facts facts = facts_of_tests();
    embeddings_writer *w;
    write_and_die(scratch("begun.h5"), 0, 6, 2);
    expect_refused(scratch("begun.h5"), "begun.h5.tmp: ");
    OK(embeddings_create(&w, scratch("begun.h5"), &facts));
    add_from(w, 6, COUNT - 6);
    OK(embeddings_finish(w));
    embeddings_writer_close(w);
    expect_refused(scratch("begun.h5"), "begun.h5: ");
    write_file(scratch("one.h5"), COUNT);
    expect_same(scratch("begun.h5"), scratch("one.h5"));
}
END_TEST

START_TEST(a_complete_file_is_written) {
    embeddings_facts facts = facts_of_tests();
    embeddings_writer *w;
    write_file(scratch("done.h5"), COUNT);
    OK(embeddings_create(&w, scratch("done.h5"), &facts));
    ck_assert_int_eq(embeddings_written(w), COUNT);
    OK(embeddings_add(w, NULL, 0));
    OK(embeddings_sync(w));
    OK(embeddings_finish(w));
    embeddings_writer_close(w);
    ck_assert(!file_exists(scratch("done.h5.tmp")));
    write_file(scratch("one.h5"), COUNT);
    expect_same(scratch("done.h5"), scratch("one.h5"));
}
END_TEST

START_TEST(bad_facts) {
    static const char *const twice[] = {"a", "b", "a"}, *const nameless[] = {"a", "", "b"};
    embeddings_facts facts = facts_of_tests();
    embeddings_writer *w;
    facts.count = 0;
    expect_failure(embeddings_create(&w, scratch("bad.h5"), &facts), STATUS_FORMAT, "none",
                   "bad.h5", "no images");
    facts.count = 3;
    facts.dicom_id = twice;
    expect_failure(embeddings_create(&w, scratch("bad.h5"), &facts), STATUS_FORMAT, "twice",
                   "bad.h5", "two images have the dicom_id a");
    facts.dicom_id = nameless;
    expect_failure(embeddings_create(&w, scratch("bad.h5"), &facts), STATUS_FORMAT, "nameless",
                   "bad.h5", "without a dicom_id");
    facts = facts_of_tests();
    expect_failure(embeddings_create(&w, scratch("no/bad.h5"), &facts), STATUS_IO, "folder",
                   "no/bad.h5.tmp.new", "create");
    ck_assert(!file_exists(scratch("bad.h5.tmp")) && !file_exists(scratch("bad.h5.tmp.new")));
}
END_TEST

// --- failures -----------------------------------------------------------------------------------

START_TEST(without_memory) {
    embeddings_facts facts = facts_of_tests();
    status rc = STATUS_MEMORY;
    for (int64_t n = 1; rc; n++) {
        embeddings_writer *w;
        mem_fail_at(n);
        rc = embeddings_create(&w, scratch("poor.h5"), &facts);
        mem_fail_at(0);
        embeddings_writer_close(w);
        ck_assert_msg(rc == STATUS_OK || rc == STATUS_MEMORY, "%lld: %s", (long long)n,
                      status_text());
        ck_assert(!file_exists(scratch("poor.h5.tmp.new")));
        if (rc) unlink(scratch("poor.h5.tmp"));
    }
    write_file(scratch("poor.h5"), COUNT);
    rc = STATUS_MEMORY;
    for (int64_t n = 1; rc; n++) {
        embeddings *e;
        mem_fail_at(n);
        rc = embeddings_open(&e, scratch("poor.h5"));
        mem_fail_at(0);
        embeddings_close(e);
        ck_assert_msg(rc == STATUS_OK || rc == STATUS_MEMORY, "%lld: %s", (long long)n,
                      status_text());
    }
}
END_TEST

static void add_too_many(void) {
    embeddings_facts facts = facts_of_tests();
    embeddings_writer *w;
    if (!embeddings_create(&w, scratch("death.h5"), &facts))
        embeddings_add(w, all_rows(), COUNT + 1);
}

static void finish_too_early(void) {
    embeddings_facts facts = facts_of_tests();
    embeddings_writer *w;
    if (!embeddings_create(&w, scratch("death.h5"), &facts)) embeddings_finish(w);
}

static void read_beyond(void) {
    embeddings *e;
    float row[ROW];
    write_file(scratch("death2.h5"), COUNT);
    if (!embeddings_open(&e, scratch("death2.h5"))) embeddings_read(row, e, COUNT);
}

START_TEST(our_own_mistakes) {
    expect_death(add_too_many, "more rows than there are images");
    expect_death(finish_too_early, "rows missing");
    expect_death(read_beyond, "a row that is not there");
}
END_TEST

int main(void) {
    const TTest *const tests[] = {read_back,
                                  plain_hdf5,
                                  pieces_make_no_difference,
                                  goes_on_where_it_stopped,
                                  starts_over_what_has_no_places_yet,
                                  counts_every_64_mib,
                                  a_part_is_no_file,
                                  one_writer_at_a_time,
                                  narrow_rows,
                                  other_facts_are_refused,
                                  a_complete_file_is_written,
                                  bad_facts,
                                  without_memory,
                                  our_own_mistakes,
                                  NULL};
    return run_suite(suite_of("embeddings", tests));
}
