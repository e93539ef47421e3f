#include "data/synth.h"
#include "core/files/fs.h"
#include "core/log.h"
#include "data/image_codec.h"
#include "data/synth_film.h"
#include "data/synth_report.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { JPEG_QUALITY = 92 };
static const char *const jpg_folder = "mimic-cxr-jpg/2.0.0";

void synth_image_id(char out[SYNTH_IMAGE_ID], const synth_study *s, int number) {
    uint32_t word[5];
    rng_key key = {s->seed, rng_site("synth image"), (uint32_t)number};
    for (uint64_t i = 0; i < 5; i++) word[i] = rng_word(key, (uint32_t)s->number, i);
    snprintf(out, SYNTH_IMAGE_ID, "%08x-%08x-%08x-%08x-%08x", word[0], word[1], word[2], word[3], word[4]);
}

// --- one study

// What a thread needs to draw.
typedef struct worker {
    film f;
    uint8_t *pixels; // (FILM_HEIGHT, FILM_WIDTH)
} worker;

static status worker_new(worker *w) {
    *w = (worker){0};
    status rc = film_new(&w->f);
    return rc ? rc : mem_new(&w->pixels, (size_t)FILM_WIDTH * FILM_HEIGHT, "a film's pixels");
}

static void worker_free(worker *w) {
    film_free(&w->f);
    mem_free(w->pixels);
}

// OUT/PART/files/p1X/p1XXXXXXX
static status patient_folder(char out[PATH_SIZE], const char *root, const char *part, const synth_study *s) {
    int length = snprintf(out, PATH_SIZE, "%s/%s/files/p%d/p%d", root, part, s->subject_id / 1000000, s->subject_id);
    if (length < 0 || length >= PATH_SIZE)
        return status_fail(STATUS_IO, "%s: the path is too long", root);
    return folder_make(out);
}

static status report_path(char out[PATH_SIZE], const char *root, const synth_study *s) {
    char folder[PATH_SIZE], name[32];
    status rc = patient_folder(folder, root, "mimic-cxr-reports", s);
    snprintf(name, sizeof name, "s%d.txt", s->study_id);
    return rc ? rc : path_join(out, PATH_SIZE, folder, name);
}

static status write_report(const char *path, const synth_study *s) {
    buffer text = {0};
    synth_report_write(&text, s);
    status rc = text.failed;
    if (!rc) rc = file_write(path, text.data, text.length);
    buffer_free(&text);
    return rc;
}

static status write_images(const char *root, const synth_study *s, worker *w, int max_side) {
    char patient[PATH_SIZE], folder[PATH_SIZE], path[PATH_SIZE], name[64], id[SYNTH_IMAGE_ID];
    status rc = patient_folder(patient, root, jpg_folder, s);
    snprintf(name, sizeof name, "s%d", s->study_id);
    if (!rc) rc = path_join(folder, sizeof folder, patient, name);
    if (!rc) rc = folder_make(folder);
    for (int i = 0; !rc && i < s->images; i++) {
        int width, height;
        film_size(&width, &height, s, i, max_side);
        film_render(&w->f, w->pixels, s, i, width, height);
        synth_image_id(id, s, i);
        snprintf(name, sizeof name, "%s.jpg", id);
        rc = path_join(path, sizeof path, folder, name);
        if (!rc) rc = image_write_jpeg(path, w->pixels, width, height, JPEG_QUALITY);
    }
    return rc;
}

// --- all studies

// The first error that any thread met.
typedef struct shared_error {
    atomic_int code;
    char text[1024];
} shared_error;

static void shared_set(shared_error *e, status rc) {
#pragma omp critical(synth_error)
    if (!atomic_load(&e->code)) {
        snprintf(e->text, sizeof e->text, "%s", status_text());
        atomic_store(&e->code, (int)rc);
    }
}

// A study's report comes last: where that is, all of it is.
static status write_study(const synth_options *o, int64_t number, worker *w) {
    char path[PATH_SIZE];
    synth_study s;
    synth_study_draw(o->seed, number, &s);
    status rc = report_path(path, o->out, &s);
    if (rc || file_exists(path)) return rc;
    rc = write_images(o->out, &s, w, o->max_side);
    return rc ? rc : write_report(path, &s);
}

static void write_share(const synth_options *o, shared_error *e, progress *p, atomic_llong *done) {
    worker w;
    status rc = worker_new(&w);
    if (rc) shared_set(e, rc);
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < o->studies; i++) {
        if (atomic_load(&e->code)) continue;
        rc = write_study(o, i, &w);
        if (rc) shared_set(e, rc);
        int64_t count = atomic_fetch_add(done, 1) + 1;
        if (omp_get_thread_num() == 0) progress_update(p, count, NULL);
    }
    worker_free(&w);
}

static status write_studies(const synth_options *o) {
    static shared_error none;
    shared_error error = none;
    progress p;
    atomic_llong done = 0;
    progress_begin(&p, "drawing", "studies", o->studies, 0);
#pragma omp parallel
    write_share(o, &error, &p, &done);
    progress_end(&p);
    return error.code ? status_carry((status)error.code, error.text) : STATUS_OK;
}

// --- tables

enum { SPLITS, METADATA, CHEXPERT, CHEXBERT, TABLES };

// The columns of MIMIC's own label file are in alphabetical order.
static const int8_t alphabetical[CLASS_COUNT] = {
    FIND_ATELECTASIS, FIND_HEART,    FIND_CONSOLIDATION, FIND_EDEMA,    FIND_MEDIASTINUM,
    FIND_FRACTURE,    FIND_LESION,   FIND_OPACITY,       FIND_NONE,     FIND_EFFUSION,
    FIND_PLEURA,      FIND_PNEUMONIA, FIND_PNEUMOTHORAX, FIND_DEVICES};

static void start_tables(buffer table[TABLES]) {
    buffer_text(&table[SPLITS], "dicom_id,study_id,subject_id,split\n");
    buffer_text(&table[METADATA], "dicom_id,subject_id,study_id,ViewPosition,Rows,Columns\n");
    buffer_text(&table[CHEXPERT], "subject_id,study_id");
    buffer_text(&table[CHEXBERT], "dicom_id");
    for (int i = 0; i < CLASS_COUNT; i++) {
        buffer_print(&table[CHEXPERT], ",%s", class_names[alphabetical[i]]);
        buffer_print(&table[CHEXBERT], ",%s", class_names[i]);
    }
    buffer_text(&table[CHEXPERT], "\n");
    buffer_text(&table[CHEXBERT], "\n");
}

static const char *label_field(int8_t label) {
    return label == LABEL_POSITIVE ? ",1.0" : label == LABEL_NEGATIVE ? ",0.0" : label == LABEL_UNCERTAIN ? ",-1.0" : ",";
}

static void add_rows(buffer table[TABLES], const synth_study *s, int max_side) {
    static const char *const splits[] = {"train", "validate", "test"};
    char id[SYNTH_IMAGE_ID];
    for (int k = 0; k < s->images; k++) {
        int width, height;
        film_size(&width, &height, s, k, max_side);
        synth_image_id(id, s, k);
        buffer_print(&table[SPLITS], "%s,%d,%d,%s\n", id, s->study_id, s->subject_id, splits[s->split]);
        buffer_print(&table[METADATA], "%s,%d,%d,%s,%d,%d\n", id, s->subject_id, s->study_id,
                     s->portable ? "AP" : "PA", height, width);
        buffer_text(&table[CHEXBERT], id);
        for (int i = 0; i < CLASS_COUNT; i++) buffer_text(&table[CHEXBERT], label_field(s->fact[i].label));
        buffer_text(&table[CHEXBERT], "\n");
    }
    buffer_print(&table[CHEXPERT], "%d,%d", s->subject_id, s->study_id);
    for (int i = 0; i < CLASS_COUNT; i++) buffer_text(&table[CHEXPERT], label_field(s->fact[alphabetical[i]].label));
    buffer_text(&table[CHEXPERT], "\n");
}

static status write_tables(const synth_options *o) {
    static const char *const paths[TABLES] = {
        "mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-split.csv", "mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-metadata.csv",
        "mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-chexpert.csv", "finding_chexbert_labels.csv"};
    buffer table[TABLES] = {0};
    status rc = STATUS_OK;
    start_tables(table);
    for (int64_t i = 0; i < o->studies; i++) {
        synth_study s;
        synth_study_draw(o->seed, i, &s);
        add_rows(table, &s, o->max_side);
    }
    for (int i = 0; !rc && i < TABLES; i++) {
        char path[PATH_SIZE];
        rc = path_join(path, sizeof path, o->out, paths[i]);
        if (!rc) rc = table[i].failed;
        if (!rc) rc = file_write(path, table[i].data, table[i].length);
    }
    for (int i = 0; i < TABLES; i++) buffer_free(&table[i]);
    return rc;
}

// What a data set is of stands in OUT/drawn.txt, from before its first file: a run with the same options goes on, or finds
// all of it there; others are refused.
static status begin(const synth_options *o) {
    char path[PATH_SIZE], set[PATH_SIZE], own[128];
    buffer text = {0};
    int length = snprintf(own, sizeof own, "studies %lld seed %llu side %d\n", (long long)o->studies,
                          (unsigned long long)o->seed, o->max_side);
    status rc = path_join(set, sizeof set, o->out, "mimic-cxr-jpg");
    if (!rc) rc = path_join(path, sizeof path, o->out, "drawn.txt");
    if (rc) return rc;
    if (!file_exists(path) && !folder_exists(set)) return file_write(path, own, (size_t)length);
    if (file_exists(path)) rc = file_read(path, 4096, &text);
    if (!rc && (!text.data || strcmp(text.data, own)))
        rc = status_fail(STATUS_USAGE, "%s: already holds a data set of other options; remove it or name another folder",
                         o->out);
    buffer_free(&text);
    return rc;
}

status synth_write(const synth_options *o) {
    int lock = -1;
    if (o->studies < 1 || o->studies > SYNTH_STUDIES)
        return status_fail(STATUS_USAGE, "--studies %lld: give a number from 1 to %d", (long long)o->studies, SYNTH_STUDIES);
    if (o->max_side != 0 && (o->max_side < 32 || o->max_side > FILM_HEIGHT))
        return status_fail(STATUS_USAGE, "--max-side %d: give a number of pixels from 32 to %d", o->max_side, FILM_HEIGHT);
    status rc = folder_make(o->out);
    if (!rc) rc = folder_lock(&lock, o->out);
    if (!rc) rc = begin(o);
    if (!rc) rc = write_studies(o);
    if (!rc) rc = write_tables(o);
    if (lock >= 0) close(lock);
    return rc;
}
