// The embedded data set's files: the same bytes from the same seed, a layout that ingest reads,
// tables that say what the scenes hold, labels that agree. Films and reports: test_synth_sight.c.
#include "data/csv.h"
#include "data/image_codec.h"
#include "data/synth.h"
#include "data/synth_film.h"
#include "data/synth_report.h"
#include "tests/data/helper_source.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STUDIES = 200 };

static synth_study study_of(uint64_t seed, int64_t number) {
    synth_study s;
    synth_study_draw(seed, number, &s);
    return s;
}

static buffer report_of(const synth_study *s) {
    buffer b = {0};
    synth_report_write(&b, s);
    ck_assert_int_eq(b.failed, STATUS_OK);
    ck_assert_uint_eq(strlen(b.data), b.length);
    return b;
}

static void write_set(const char *out, int64_t studies, uint64_t seed, int max_side) {
    synth_options o = {.out = out, .studies = studies, .seed = seed, .max_side = max_side};
    ck_assert_msg(synth_write(&o) == STATUS_OK, "%s", status_text());
}

// --- the files

// The paths below ROOT of all files, one per line, and what is in them, in the order of their
// names.
static void append_tree(buffer *out, const char *root, const char *below) {
    char path[PATH_SIZE], name[PATH_SIZE];
    names list;
    ck_assert_int_eq(path_join(path, sizeof path, root, below), STATUS_OK);
    ck_assert_msg(folder_list(path, &list) == STATUS_OK, "%s", status_text());
    for (size_t i = 0; i < list.count; i++) {
        ck_assert_int_eq(path_join(name, sizeof name, below, list.name[i]), STATUS_OK);
        ck_assert_int_eq(path_join(path, sizeof path, root, name), STATUS_OK);
        if (folder_exists(path)) {
            append_tree(out, root, name);
            continue;
        }
        buffer b = read_whole(path);
        buffer_print(out, "%s %zu\n", name, b.length);
        buffer_append(out, b.data, b.length);
        buffer_free(&b);
    }
    names_free(&list);
}

static buffer tree_of(const char *root) {
    buffer b = {0};
    append_tree(&b, root, ".");
    ck_assert_int_eq(b.failed, STATUS_OK);
    ck_assert_uint_gt(b.length, 1000);
    return b;
}

static bool same_bytes(const buffer *a, const buffer *b) {
    return a->length == b->length && !memcmp(a->data, b->data, a->length);
}

START_TEST(same_seed_same_bytes) {
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    write_set(at("one"), 24, 9, 96);
    omp_set_num_threads(3);
    write_set(at("three"), 24, 9, 96);
    write_set(at("other"), 24, 10, 96);
    omp_set_num_threads(threads);
    buffer one = tree_of(at("one")), three = tree_of(at("three")), other = tree_of(at("other"));
    ck_assert(same_bytes(&one, &three));
    ck_assert(!same_bytes(&one, &other));
    buffer_free(&one), buffer_free(&three), buffer_free(&other);
}
END_TEST

START_TEST(studies_do_not_depend_on_their_number) {
    write_set(at("few"), 5, 9, 64);
    write_set(at("more"), 8, 9, 64);
    buffer few = tree_of(at("few")), more = tree_of(at("more"));
    ck_assert(!same_bytes(&few, &more));
    for (int i = 0; i < 5; i++) {
        synth_study s = study_of(9, i);
        char id[SYNTH_IMAGE_ID], path[2][512];
        synth_image_id(id, &s, 0);
        for (int k = 0; k < 2; k++)
            snprintf(path[k], sizeof path[k], "%s/mimic-cxr-jpg/2.0.0/files/p%d/p%d/s%d/%s.jpg",
                     k ? at("more") : at("few"), s.subject_id / 1000000, s.subject_id, s.study_id,
                     id);
        buffer a = read_whole(path[0]), b = read_whole(path[1]);
        ck_assert(same_bytes(&a, &b));
        buffer_free(&a), buffer_free(&b);
    }
    buffer_free(&few), buffer_free(&more);
}
END_TEST

static void expect_refusal(const synth_options *o, status expected, const char *says) {
    status rc = synth_write(o);
    ck_assert_msg(rc == expected, "%s instead of %s: %s", status_name(rc), status_name(expected),
                  status_text());
    ck_assert_msg(strstr(status_text(), says), "'%s' does not say '%s'", status_text(), says);
}

// A run that fails in the middle leaves what the same options go on from, and others do not touch; a finished one stays.
START_TEST(unfinished_sets_are_gone_on_with) {
    synth_options o = {.out = at("broken"), .studies = 6, .seed = 3, .max_side = 64}, other = o;
    write_set(at("unbroken"), 6, 3, 64);
    other.seed = 4;
    omp_set_num_threads(1);
    for (int64_t n = 20; n < 60; n += 20) {
        mem_fail_at(n);
        ck_assert_int_eq(synth_write(&o), STATUS_MEMORY);
        mem_fail_at(0);
        ck_assert_int_eq(synth_write(&other), STATUS_USAGE);
        ck_assert_ptr_nonnull(strstr(status_text(), "data set of other options"));
    }
    omp_set_num_threads(2);
    ck_assert_int_eq(synth_write(&o), STATUS_OK);
    ck_assert_int_eq(synth_write(&o), STATUS_OK);
    expect_refusal(&other, STATUS_USAGE, "data set of other options");
    buffer a = tree_of(at("broken")), b = tree_of(at("unbroken"));
    ck_assert_uint_eq(a.length, b.length);
    ck_assert_mem_eq(a.data, b.data, a.length);
    buffer_free(&a);
    buffer_free(&b);
}
END_TEST

START_TEST(what_cannot_be_written) {
    static const int64_t bad_studies[] = {0, -1, SYNTH_STUDIES + 1};
    static const int bad_sides[] = {-1, 1, 31, FILM_HEIGHT + 1};
    for (size_t i = 0; i < 3; i++) {
        synth_options o = {.out = at("refused"), .studies = bad_studies[i], .max_side = 64};
        expect_refusal(&o, STATUS_USAGE, "--studies");
    }
    for (size_t i = 0; i < 4; i++) {
        synth_options o = {.out = at("refused"), .studies = 2, .max_side = bad_sides[i]};
        expect_refusal(&o, STATUS_USAGE, "--max-side");
    }
    ck_assert(!folder_exists(at("refused")));
    // A file where a folder would have to be: not even the superuser can write below it.
    write_text(at("file"), "x");
    synth_options o = {.out = at("file/set"), .studies = 2, .max_side = 64};
    expect_refusal(&o, STATUS_IO, "file");
    // What is there already stays as it was.
    write_set(at("twice"), 2, 1, 64);
    buffer before = tree_of(at("twice"));
    o = (synth_options){.out = at("twice"), .studies = 3, .seed = 2, .max_side = 64};
    expect_refusal(&o, STATUS_USAGE, "already");
    buffer after = tree_of(at("twice"));
    ck_assert(same_bytes(&before, &after));
    buffer_free(&before), buffer_free(&after);
}
END_TEST

// --- the tables

enum { SET_SEED = 5, SET_STUDIES = 120 };

static void make(void) {
    write_set(at("set"), SET_STUDIES, SET_SEED, 64);
}

static csv *table(const char *name) {
    csv *c;
    ck_assert_msg(csv_open(&c, at("set/%s", name)) == STATUS_OK, "%s", status_text());
    return c;
}

static bool next_row(csv *c) {
    bool more, bad;
    ck_assert_msg(csv_next(c, &more, &bad) == STATUS_OK, "%s", status_text());
    ck_assert(!more || !bad);
    return more;
}

static const char *named(const csv *c, const char *column) {
    int at_column = csv_column(c, column);
    ck_assert_msg(at_column >= 0, "no column %s", column);
    return csv_field(c, at_column);
}

static void expect_labels(const csv *c, const synth_study *s) {
    for (int i = 0; i < CLASS_COUNT; i++) {
        int8_t label;
        ck_assert_int_eq(label_parse(&label, named(c, class_names[i])), STATUS_OK);
        ck_assert_msg(label == s->fact[i].label, "study %lld: %s is %d", (long long)s->number,
                      class_names[i], label);
    }
}

START_TEST(tables_say_what_the_scenes_hold) {
    static const char *const splits[] = {"train", "validate", "test"};
    csv *label = table("finding_chexbert_labels.csv");
    csv *split = table("mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-split.csv");
    csv *meta = table("mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-metadata.csv");
    csv *study = table("mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-chexpert.csv");
    for (int i = 3; i < csv_columns(study); i++) // as in MIMIC's own file
        ck_assert_msg(strcmp(csv_name(study, i - 1), csv_name(study, i)) < 0, "%s",
                      csv_name(study, i));
    for (int i = 0; i < SET_STUDIES; i++) {
        synth_study s = study_of(SET_SEED, i);
        ck_assert(next_row(study));
        ck_assert_int_eq(atoi(named(study, "study_id")), s.study_id);
        ck_assert_int_eq(atoi(named(study, "subject_id")), s.subject_id);
        expect_labels(study, &s);
        for (int k = 0; k < s.images; k++) {
            char id[SYNTH_IMAGE_ID];
            synth_image_id(id, &s, k);
            ck_assert(next_row(label) && next_row(split) && next_row(meta));
            ck_assert_str_eq(named(label, "dicom_id"), id);
            ck_assert_str_eq(named(split, "dicom_id"), id);
            ck_assert_str_eq(named(meta, "dicom_id"), id);
            expect_labels(label, &s);
            ck_assert_str_eq(named(split, "split"), splits[s.split]);
            ck_assert_str_eq(named(meta, "ViewPosition"), s.portable ? "AP" : "PA");
            image picture;
            status rc =
                image_read(&picture, at("set/mimic-cxr-jpg/2.0.0/files/p%d/p%d/s%d/%s.jpg",
                                        s.subject_id / 1000000, s.subject_id, s.study_id, id));
            ck_assert_msg(rc == STATUS_OK, "%s", status_text());
            ck_assert_int_eq(atoi(named(meta, "Rows")), picture.height);
            ck_assert_int_eq(atoi(named(meta, "Columns")), picture.width);
            image_free(&picture);
        }
    }
    ck_assert(!next_row(label) && !next_row(split) && !next_row(meta) && !next_row(study));
    csv_close(label), csv_close(split), csv_close(meta), csv_close(study);
}
END_TEST

START_TEST(ingest_keeps_what_has_findings) {
    ingest_options o = {.source = INGEST_MIMIC, .root = at("set"), .out = at("shards")};
    ingest_summary sum = expect_ingest(&o, STATUS_OK);
    int64_t kept = 0, dropped = 0, positives[CLASS_COUNT] = {0}, splits[SPLIT_COUNT] = {0};
    buffer want = {0}, got = {0};
    for (int i = 0; i < SET_STUDIES; i++) {
        synth_study s = study_of(SET_SEED, i);
        buffer text = report_of(&s);
        bool there = strstr(text.data, "\n FINDINGS:  ") || strstr(text.data, "\n FINDING:  ");
        ck_assert_int_eq(there, synth_report_kind(&s) == REPORT_SECTIONS);
        buffer_free(&text);
        for (int k = 0; k < s.images; k++) {
            char id[SYNTH_IMAGE_ID];
            synth_image_id(id, &s, k);
            if (!there) buffer_print(&want, "%s\n", id);
            if (!there)
                dropped++;
            else
                kept++, splits[s.split]++;
            for (int c = 0; there && c < CLASS_COUNT; c++) positives[c] += synth_positive(&s, c);
        }
    }
    ck_assert_int_gt(dropped, 3);
    ck_assert_int_eq(sum.records, kept);
    ck_assert_int_eq(sum.skipped_total, dropped);
    ck_assert_int_eq(sum.skipped[SKIP_NO_FINDINGS], dropped);
    ck_assert_int_eq(sum.unlabelled, 0);
    ck_assert_int_eq(sum.shared_patients, 0);
    for (int c = 0; c < CLASS_COUNT; c++) ck_assert_int_eq(sum.positives[c], positives[c]);
    for (int k = 0; k < SPLIT_COUNT; k++) ck_assert_int_eq(sum.splits[k], splits[k]);
    csv *c;
    ck_assert_int_eq(csv_open(&c, at("shards/skipped.csv")), STATUS_OK);
    while (next_row(c)) buffer_print(&got, "%s\n", named(c, "id"));
    csv_close(c);
    ck_assert_str_eq(got.data, want.data);
    buffer_free(&want), buffer_free(&got);
}
END_TEST

// --- the facts

START_TEST(labels_agree_with_each_other) {
    int positive[CLASS_COUNT] = {0}, negative[CLASS_COUNT] = {0}, unsure = 0, blank = 0;
    int splits[3] = {0}, again = 0;
    for (int i = 0; i < STUDIES; i++) {
        synth_study s = study_of(1, i);
        bool abnormal = false, doubt = false;
        for (int c = 1; c < FIND_DEVICES; c++)
            abnormal |= synth_positive(&s, c), doubt |= s.fact[c].label == LABEL_UNCERTAIN;
        ck_assert_int_eq(synth_positive(&s, FIND_NONE), !abnormal);
        ck_assert(!doubt || abnormal);
        ck_assert_int_eq(synth_positive(&s, FIND_DEVICES), s.devices != 0);
        bool patch =
            synth_positive(&s, FIND_CONSOLIDATION) || synth_positive(&s, FIND_PNEUMONIA) ||
            synth_positive(&s, FIND_ATELECTASIS) || synth_positive(&s, FIND_LESION) ||
            (synth_positive(&s, FIND_EDEMA) && s.fact[FIND_EDEMA].severity > SEVERITY_MILD);
        ck_assert(!patch || synth_positive(&s, FIND_OPACITY));
        ck_assert_int_eq(s.fact[FIND_EDEMA].side, SIDE_BOTH);
        for (int c = 0; c < CLASS_COUNT; c++) {
            positive[c] += synth_positive(&s, c), negative[c] += s.fact[c].label == LABEL_NEGATIVE;
            unsure += s.fact[c].label == LABEL_UNCERTAIN, blank += s.fact[c].label == LABEL_BLANK;
        }
        splits[s.split]++;
        if (s.patient == s.number) continue;
        synth_study first = study_of(1, s.patient);
        ck_assert_int_eq(s.subject_id, first.subject_id);
        ck_assert_int_eq(s.split, first.split);
        ck_assert_int_ne(s.study_id, first.study_id);
        again++;
    }
    for (int c = 0; c < CLASS_COUNT; c++) {
        ck_assert_msg(positive[c] >= 8, "%s: %d positive", class_names[c], positive[c]);
        ck_assert_msg(c == FIND_NONE || negative[c] >= 3, "%s: %d negative", class_names[c],
                      negative[c]);
    }
    ck_assert_int_gt(unsure, 20);
    ck_assert_int_gt(blank, 200);
    ck_assert_int_gt(again, 10);
    ck_assert_int_eq(splits[SYNTH_TRAIN], 160);
    ck_assert_int_eq(splits[SYNTH_VALIDATE], 20);
    ck_assert_int_eq(splits[SYNTH_TEST], 20);
}
END_TEST

// --- sizes

START_TEST(sizes_vary_and_are_capped) {
    int portrait = 0, landscape = 0, large = 0, kinds = 0, seen[STUDIES] = {0};
    for (int i = 0; i < STUDIES; i++) {
        synth_study s = study_of(1, i);
        int w, h, cw, ch;
        film_size(&w, &h, &s, 0, 0);
        film_size(&cw, &ch, &s, 0, 300);
        ck_assert(w >= 500 && h >= 500 && w <= FILM_WIDTH && h <= FILM_HEIGHT);
        ck_assert_int_eq(cw > ch ? cw : ch, 300);
        ck_assert_double_eq_tol((double)cw / ch, (double)w / h, 0.01);
        portrait += h > w, landscape += w > h, large += h > 1500;
        bool known = false;
        for (int k = 0; k < kinds; k++) known |= seen[k] == w * 10000 + h;
        if (!known) seen[kinds++] = w * 10000 + h;
    }
    ck_assert_int_ge(kinds, 8);
    ck_assert_int_gt(portrait, 40);
    ck_assert_int_gt(landscape, 10);
    ck_assert_int_gt(large, 0);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("synth");
    tcase_set_timeout(cases, 300);
    tcase_add_unchecked_fixture(cases, make, NULL);
    tcase_add_test(cases, same_seed_same_bytes);
    tcase_add_test(cases, studies_do_not_depend_on_their_number);
    tcase_add_test(cases, unfinished_sets_are_gone_on_with);
    tcase_add_test(cases, what_cannot_be_written);
    tcase_add_test(cases, tables_say_what_the_scenes_hold);
    tcase_add_test(cases, ingest_keeps_what_has_findings);
    tcase_add_test(cases, labels_agree_with_each_other);
    tcase_add_test(cases, sizes_vary_and_are_capped);
    Suite *suite = suite_create("synth");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
