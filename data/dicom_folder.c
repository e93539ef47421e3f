#include "data/dicom_folder.h"
#include "core/log.h"
#include "data/dicom_judge.h"

#include <errno.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { BATCH = 1024, DEPTH = 64, VIEW_SIZE = 17 };

// --- the files -----------------------------------------------------------------------------------

static bool ends_in(const char *path, const char *ending) {
    size_t length = strlen(path), size = strlen(ending);
    return length > size && !strcasecmp(path + length - size, ending);
}

static status add_path(names *out, names *reports, const char *path) {
    return names_add(ends_in(path, ".txt") ? reports : out, path);
}

// PLACE: the path from ROOT, "" for ROOT itself.
static status walk(names *out, names *reports, const char *root, const char *place, int depth) {
    char folder[PATH_SIZE], path[PATH_SIZE], child[PATH_SIZE];
    struct stat info;
    names list = {0};
    status rc = path_join(folder, sizeof folder, root, place);
    if (!rc && depth > DEPTH)
        rc = status_fail(STATUS_FORMAT, "%s: folders in folders without end", root);
    if (!rc) rc = folder_list(folder, &list);
    for (size_t i = 0; !rc && i < list.count; i++) {
        rc = path_join(path, sizeof path, folder, list.name[i]);
        if (!rc && place[0]) rc = path_join(child, sizeof child, place, list.name[i]);
        if (rc || lstat(path, &info)) continue;
        const char *next = place[0] ? child : list.name[i];
        if (S_ISDIR(info.st_mode))
            rc = walk(out, reports, root, next, depth + 1);
        else if (file_exists(path))
            rc = add_path(out, reports, next);
    }
    names_free(&list);
    return rc;
}

// --- one file ------------------------------------------------------------------------------------

typedef struct header {
    bool is_dicom, named; // named: as a DICOM file is
    skip_reason skip;
    char detail[DICOM_TEXT + 64];
    dicom_facts facts;
} header;

static void refuse(header *h, skip_reason reason, const char *format, const char *text) {
    h->skip = reason;
    snprintf(h->detail, sizeof h->detail, format, text);
}

// Whether PATH begins as DICOM files do (PS3.10 7.1); what cannot be read may.
static bool has_mark(header *h, const char *path) {
    char mark[4] = "";
    FILE *file = fopen(path, "rbe");
    if (!file) {
        refuse(h, SKIP_BAD_IMAGE, "cannot be opened: %s", strerror(errno));
        return h->named;
    }
    errno = 0;
    bool read = !fseek(file, 128, SEEK_SET) && fread(mark, sizeof mark, 1, file) == 1;
    if (ferror(file)) refuse(h, SKIP_BAD_IMAGE, "cannot be read: %s", strerror(errno));
    fclose(file);
    if (h->skip) return true;
    if (read && !memcmp(mark, "DICM", sizeof mark)) return true;
    if (h->named) refuse(h, SKIP_BAD_IMAGE, "%s", "not a DICOM file");
    return h->named;
}

// A file may have anything where a code belongs: what is not known is not repeated.
static bool is_one_of(const char *text, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(text, list[i])) return true;
    return false;
}

static void judge(header *h) {
    h->skip = dicom_judge(h->detail, sizeof h->detail, &h->facts);
    if (h->skip != SKIP_NO_RADIOGRAPH && !h->facts.instance[0])
        refuse(h, SKIP_BAD_ROW, "%s", "no SOP instance UID");
}

static void read_header(header *h, const char *root, const char *name) {
    char path[2 * PATH_SIZE], why[DICOM_TEXT];
    dicom_file *file = NULL;
    snprintf(path, sizeof path, "%s/%s", root, name);
    memset(h, 0, sizeof *h);
    h->named = ends_in(name, ".dcm") || ends_in(name, ".dicom") || ends_in(name, ".ima");
    h->is_dicom = has_mark(h, path);
    if (!h->is_dicom || h->skip) return;
    if (dicom_open(&file, path, why, sizeof why))
        refuse(h, SKIP_BAD_IMAGE, "%s", why);
    else {
        dicom_read_facts(&h->facts, file);
        judge(h);
    }
    dicom_close(file);
    // A list of the files on a disk.
    const char *slash = strrchr(name, '/');
    if (!strcasecmp(slash ? slash + 1 : name, "DICOMDIR")) h->is_dicom = false;
}

// --- all of them ---------------------------------------------------------------------------------

// Of the position (its defined terms, and what MIMIC-CXR has), else of its code's meaning.
static void find_view(char out[VIEW_SIZE], const dicom_facts *f) {
    static const struct {
        const char *meaning, *view;
    } known[] = {{"postero-anterior", "PA"},
                 {"antero-posterior", "AP"},
                 {"left lateral", "LL"},
                 {"right lateral", "RL"},
                 {"lateral", "LATERAL"}};
    static const char *const terms[] = {"AP",      "PA",       "LL",       "RL",
                                        "LLD",     "RLD",      "LLO",      "RLO",
                                        "LAO",     "RAO",      "LPO",      "RPO",
                                        "LATERAL", "AP AXIAL", "AP LLD",   "AP RLD",
                                        "PA LLD",  "PA RLD",   "SWIMMERS", "XTABLE LATERAL",
                                        "LAO LPO", "OBLIQUE"};
    out[0] = 0;
    if (is_one_of(f->view, terms, sizeof terms / sizeof *terms))
        snprintf(out, VIEW_SIZE, "%.16s", f->view);
    for (size_t i = 0; !f->view[0] && i < sizeof known / sizeof *known; i++)
        if (!strcasecmp(f->view_meaning, known[i].meaning))
            snprintf(out, VIEW_SIZE, "%s", known[i].view);
}

static status add_entry(dicom_folder *f, const header *h, const char *path) {
    char view[VIEW_SIZE], patient[2 * DICOM_TEXT + 1] = "";
    find_view(view, &h->facts);
    if (h->facts.patient[0])
        snprintf(patient, sizeof patient, "%s%s%s", h->facts.issuer, h->facts.issuer[0] ? "/" : "",
                 h->facts.patient);
    const char *const text[ENTRY_TEXTS] = {[ENTRY_PATH] = path,
                                           [ENTRY_INSTANCE] = h->facts.instance,
                                           [ENTRY_STUDY] = h->facts.study[0] ? h->facts.study
                                                                             : h->facts.instance,
                                           [ENTRY_ACCESSION] = h->facts.accession,
                                           [ENTRY_PATIENT] = patient,
                                           [ENTRY_VIEW] = view,
                                           [ENTRY_DETAIL] = h->detail};
    status rc = mem_grow((void **)&f->entry, &f->capacity, f->count + 1, sizeof *f->entry, "files");
    if (rc) return rc;
    f->entry[f->count++] = (dicom_entry){.text = f->texts.length,
                                         .kind = h->facts.kind,
                                         .skip = h->skip,
                                         .burned_in = h->facts.burned_in,
                                         .secondary_capture = h->facts.secondary_capture};
    for (int i = 0; i < ENTRY_TEXTS; i++) buffer_append(&f->texts, text[i], strlen(text[i]) + 1);
    return f->texts.failed;
}

static status read_batch(dicom_folder *f, header *h, const names *files, size_t begin, size_t count,
                         const ingest_options *o) {
    status rc = STATUS_OK;
#pragma omp parallel for schedule(dynamic) num_threads(o->threads)
    for (size_t i = 0; i < count; i++) read_header(&h[i], o->root, files->name[begin + i]);
    for (size_t i = 0; !rc && i < count; i++)
        if (h[i].is_dicom) rc = add_entry(f, &h[i], files->name[begin + i]);
    return rc;
}

static status read_all(dicom_folder *f, const names *files, const ingest_options *o) {
    header *h = NULL;
    progress bar;
    status rc = mem_new(&h, BATCH, "headers of files");
    progress_begin(&bar, "headers", "files", (int64_t)files->count, 0);
    for (size_t begin = 0; !rc && begin < files->count; begin += BATCH) {
        size_t count = files->count - begin < BATCH ? files->count - begin : BATCH;
        rc = read_batch(f, h, files, begin, count, o);
        if (!rc && o->stop && o->stop())
            rc = status_fail(STATUS_INTERRUPTED, "stopped; the same command goes on");
        progress_update(&bar, (int64_t)(begin + count), NULL);
    }
    progress_end(&bar);
    mem_free(h);
    return rc;
}

status dicom_folder_read(dicom_folder *out, const ingest_options *o) {
    names files = {0};
    *out = (dicom_folder){0};
    status rc = walk(&files, &out->reports, o->root, "", 0);
    if (!rc) rc = read_all(out, &files, o);
    names_free(&files);
    if (rc) dicom_folder_free(out);
    return rc;
}

void dicom_folder_free(dicom_folder *f) {
    mem_free(f->entry);
    buffer_free(&f->texts);
    names_free(&f->reports);
    *f = (dicom_folder){0};
}

const char *dicom_entry_get(const dicom_folder *f, const dicom_entry *e, dicom_entry_text which) {
    const char *text = f->texts.data + e->text;
    for (int i = 0; i < (int)which; i++) text += strlen(text) + 1;
    return text;
}
