// One row of the plan made ready for a shard: the report's sections, the image's stored square and its
// checksum. Runs on many threads at once; what it makes depends on the row alone.
#include "core/checksum.h"
#include "data/dicom_pixels.h"
#include "data/image.h"
#include "data/ingest_plan.h"
#include "data/shard.h"

#include <stdio.h>
#include <string.h>

// Of an image's memory a worker keeps no more than KEPT for the next one.
enum { REPORT_LIMIT = 1 << 20, FILE_LIMIT = 1 << 30, KEPT = 64 << 20 };

struct ingest_worker {
    deflater *deflater;
    buffer bytes;  // of a file
    buffer report; // prepared for the parser
    image picture;   // its memory serves all images
    uint8_t *square; // (STORED_SIDE, STORED_SIDE)
};

status ingest_worker_open(ingest_worker **out) {
    ingest_worker *w = NULL;
    *out = NULL;
    status rc = mem_new(&w, 1, "an ingest worker");
    if (rc) return rc;
    rc = deflater_open(&w->deflater, 1);
    if (!rc) rc = mem_new(&w->square, STORED_PIXELS, "an ingest worker");
    if (rc)
        ingest_worker_close(w);
    else
        *out = w;
    return rc;
}

void ingest_worker_close(ingest_worker *w) {
    if (!w) return;
    deflater_close(w->deflater);
    buffer_free(&w->bytes);
    buffer_free(&w->report);
    image_free(&w->picture);
    mem_free(w->square);
    mem_free(w);
}

status ingest_item_open(ingest_item *item) {
    return mem_take(&item->packed, zlib_bound(STORED_PIXELS), 1, "an image");
}

void ingest_item_close(ingest_item *item) {
    mem_free(item->packed);
    for (int i = 0; i < TEXT_COUNT; i++) buffer_free(&item->text[i]);
}

static void skip(ingest_item *item, skip_reason reason, const char *detail) {
    item->skip = reason;
    snprintf(item->detail, sizeof item->detail, "%.1000s", detail);
}

// --- the report ----------------------------------------------------------------------------------

// The parser knows a header by the line break and blank before it, as MIMIC's reports have them. Other
// reports get them: a blank in front of every line.
static status layout_report(buffer *out, const char *text) {
    out->length = 0;
    buffer_text(out, "\n ");
    for (const char *c = text; *c; c++) {
        buffer_append(out, c, 1);
        if (*c == '\n' && c[1] != ' ') buffer_append(out, " ", 1);
    }
    return out->failed;
}

// Whether the report has headers at all; else it is taken as findings from end to end.
static bool has_headers(const sections *s) {
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->list[i].name, "full report") && strcmp(s->list[i].name, "preamble") &&
            strcmp(s->list[i].name, "last_paragraph"))
            return true;
    return false;
}

static void append_trimmed(buffer *out, const char *text) {
    static const char space[] = " \t\n\v\f\r";
    text += strspn(text, space);
    size_t length = strlen(text);
    while (length && strchr(space, text[length - 1])) length--;
    buffer_append(out, text, length);
}

// MIT-LCP's table of sections leaves out the studies whose conclusion was chosen by hand: that conclusion
// is all they have.
static status take_sections(ingest_item *item, const char *report, const char *study,
                            sections_variant variant, bool free_layout) {
    sections parsed;
    bool listed = sections_listed(study, variant);
    status rc = sections_parse(&parsed, report);
    if (rc) return rc;
    for (int i = 0; i < TEXT_COUNT && listed; i++)
        item->has[i] = sections_last(&item->text[i], &parsed, record_text_names[i]);
    if (!listed)
        item->has[TEXT_IMPRESSION] =
            sections_conclusion(&item->text[TEXT_IMPRESSION], &parsed, study, variant) != NULL;
    if (free_layout && !has_headers(&parsed)) {
        item->has[TEXT_FINDINGS] = true;
        append_trimmed(&item->text[TEXT_FINDINGS], report);
    }
    sections_free(&parsed);
    return STATUS_OK;
}

static void keep_report(void *context, const char *text, size_t length) {
    buffer *out = context;
    out->length = 0;
    buffer_append(out, text, length);
}

// A structured report, which no table names by a path that ends in .txt.
static status read_dicom_report(ingest_item *item, ingest_worker *w, const char *path) {
    dicom_file *file;
    char why[DICOM_TEXT];
    if (dicom_open(&file, path, why, sizeof why) ||
        dicom_read_report(file, keep_report, &w->bytes, why, sizeof why))
        skip(item, SKIP_BAD_REPORT, why);
    dicom_close(file);
    return w->bytes.failed;
}

// The text of a report file in W->bytes.
static status read_report(ingest_item *item, ingest_worker *w, const ingest_plan *p,
                          const char *name) {
    char path[2 * PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", p->report_root, name);
    if (!file_exists(path)) {
        skip(item, SKIP_NO_REPORT, p->dicom ? "" : name);
        return STATUS_OK;
    }
    if (p->dicom && !plan_is_text_file(name)) return read_dicom_report(item, w, path);
    status rc = file_read(path, REPORT_LIMIT, &w->bytes);
    if (rc == STATUS_IO && p->dicom) {
        skip(item, SKIP_BAD_REPORT, "its text file cannot be read");
        return STATUS_OK;
    }
    if (rc != STATUS_FORMAT) return rc;
    skip(item, SKIP_BAD_REPORT, "larger than 1 MiB");
    return STATUS_OK;
}

static const char *report_path(char path[PATH_SIZE], const ingest_plan *p, const plan_row *row) {
    const char *subject = plan_text(p, row, ROW_SUBJECT);
    snprintf(path, PATH_SIZE, "p%.2s/p%s/s%s.txt", subject, subject, plan_text(p, row, ROW_STUDY));
    return path;
}

static void take_columns(ingest_item *item, const ingest_plan *p, const plan_row *row) {
    const char *column[] = {plan_text(p, row, ROW_FINDINGS), plan_text(p, row, ROW_IMPRESSION)};
    const record_text kind[] = {TEXT_FINDINGS, TEXT_IMPRESSION};
    for (int i = 0; i < 2; i++) {
        if (text_is_missing(column[i])) continue;
        if (!text_is_utf8(column[i], strlen(column[i]))) skip(item, SKIP_BAD_REPORT, "not UTF-8 text");
        item->has[kind[i]] = true;
        item->text[kind[i]].length = 0;
        append_trimmed(&item->text[kind[i]], column[i]);
    }
}

static status make_report(ingest_item *item, ingest_worker *w, const ingest_plan *p,
                          const plan_row *row, sections_variant variant) {
    char path[PATH_SIZE];
    const char *report = plan_text(p, row, ROW_REPORT);
    bool columns = plan_text(p, row, ROW_FINDINGS)[0] != 0;
    status rc = STATUS_OK;
    w->bytes.length = 0;
    buffer_text(&w->bytes, "");
    if (p->free_reports && row->report_inline)
        buffer_text(&w->bytes, report);
    else
        rc = read_report(item, w, p, p->free_reports ? report : report_path(path, p, row));
    if (!rc) rc = w->bytes.failed;
    if (rc || item->skip) return rc;
    if (!text_is_utf8(w->bytes.data, w->bytes.length)) skip(item, SKIP_BAD_REPORT, "not UTF-8 text");
    if (!w->bytes.length && !columns) skip(item, SKIP_NO_REPORT, "it is empty");
    if (item->skip) return STATUS_OK;
    w->bytes.length = report_newlines(w->bytes.data);
    if (p->free_reports) rc = layout_report(&w->report, w->bytes.data);
    if (!rc && w->bytes.length)
        rc = take_sections(item, p->free_reports ? w->report.data : w->bytes.data,
                           plan_text(p, row, ROW_STUDY), variant, p->free_reports);
    if (!rc) take_columns(item, p, row);
    return rc;
}

// A section of a word that pandas reads as missing was missing for the reference too.
static void check_findings(ingest_item *item, const ingest_options *o) {
    buffer *findings = &item->text[TEXT_FINDINGS];
    if (item->has[TEXT_FINDINGS] && text_is_missing(findings->data ? findings->data : "")) {
        item->has[TEXT_FINDINGS] = false;
        findings->length = 0;
    }
    if (!item->has[TEXT_FINDINGS] && !o->keep_without_findings)
        skip(item, SKIP_NO_FINDINGS, "");
}

// --- the image -----------------------------------------------------------------------------------

static const char *image_path(char path[PATH_SIZE], const ingest_plan *p, const plan_row *row) {
    const char *subject = plan_text(p, row, ROW_SUBJECT), *given = plan_text(p, row, ROW_IMAGE);
    if (given[0])
        snprintf(path, PATH_SIZE, "%s", given);
    else
        snprintf(path, PATH_SIZE, "p%.2s/p%s/s%s/%s.jpg", subject, subject,
                 plan_text(p, row, ROW_STUDY), plan_text(p, row, ROW_ID));
    return path;
}

// W->picture of the file at PATH. A DICOM file is not named in what is said of it.
static status decode(ingest_worker *w, const char *path, const char *name, const ingest_options *o) {
    if (o->source == INGEST_DICOM)
        return dicom_image_read(&w->picture, &w->bytes, path, o->intensity);
    status rc = file_read(path, FILE_LIMIT, &w->bytes);
    if (rc == STATUS_FORMAT) return status_fail(rc, "larger than 1 GiB");
    // Named without its folder: skipped.csv holds no absolute paths.
    const char *slash = strrchr(name, '/');
    return rc ? rc
              : image_decode_again(&w->picture, (const uint8_t *)w->bytes.data, w->bytes.length,
                                   slash ? slash + 1 : name);
}

static status read_image(ingest_item *item, ingest_worker *w, const char *root, const char *name,
                         const ingest_options *o) {
    char path[2 * PATH_SIZE];
    snprintf(path, sizeof path, "%s%s%s", name[0] == '/' ? "" : root, name[0] == '/' ? "" : "/",
             name);
    if (!file_exists(path)) {
        skip(item, SKIP_NO_IMAGE, name[0] == '/' || o->source == INGEST_DICOM ? "" : name);
        return STATUS_OK;
    }
    status rc = decode(w, path, name, o);
    if (!rc) rc = image_square(w->square, &w->picture, STORED_SIDE);
    item->width = w->picture.width;
    item->height = w->picture.height;
    if (w->picture.capacity > KEPT) image_free(&w->picture);
    if (rc != STATUS_FORMAT) return rc;
    skip(item, SKIP_BAD_IMAGE, status_text());
    return STATUS_OK;
}

static void pack(ingest_item *item, ingest_worker *w, ingest_compression compression) {
    item->crc = checksum_crc32(0, w->square, STORED_PIXELS);
    if (compression == INGEST_NONE) {
        memcpy(item->packed, w->square, STORED_PIXELS);
        item->packed_size = STORED_PIXELS;
    } else
        zlib_compress(w->deflater, item->packed, &item->packed_size, w->square,
                      zlib_bound(STORED_PIXELS), STORED_PIXELS);
}

void ingest_item_make(ingest_item *item, ingest_worker *w, const ingest_plan *p,
                      const plan_row *row, const ingest_options *o) {
    char path[PATH_SIZE];
    item->skip = SKIP_NONE;
    item->detail[0] = 0;
    for (int i = 0; i < TEXT_COUNT; i++) {
        item->has[i] = false;
        item->text[i].length = 0;
    }
    // Reports first: many are without findings, and then the image need not be read.
    status rc = make_report(item, w, p, row, o->sections);
    for (int i = 0; !rc && i < TEXT_COUNT; i++) {
        buffer_text(&item->text[i], "");
        rc = item->text[i].failed;
    }
    if (!rc && !item->skip) check_findings(item, o);
    if (!rc && !item->skip) rc = read_image(item, w, p->image_root, image_path(path, p, row), o);
    if (!rc && !item->skip) pack(item, w, o->compression);
    item->failed = rc;
    if (rc) snprintf(item->detail, sizeof item->detail, "%s", status_text());
}
