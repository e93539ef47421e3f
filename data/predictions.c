// What a classifier found, by image. See report_records.h.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "data/json_lines.h"
#include "data/report_records.h"

#include <stdlib.h>
#include <string.h>

typedef struct prediction {
    size_t at; // of the id in the bytes
    const char *id;
    uint16_t positive; // a bit for each class
} prediction;

_Static_assert(CLASS_COUNT <= 16, "a bit for each class");

struct predictions {
    buffer ids; // a NUL behind each
    prediction *list;
    size_t count, capacity;
    uint32_t crc;
};

static status add_image(predictions *p, const char *id, json_value classes) {
    status rc = json_list(classes);
    if (!rc)
        rc = mem_grow((void **)&p->list, &p->capacity, p->count + 1, sizeof *p->list, "findings");
    if (rc) return rc;
    prediction *x = &p->list[p->count];
    *x = (prediction){.at = p->ids.length};
    for (json_value v = json_first(classes); v.node && !rc; v = json_next(v)) {
        const char *name;
        rc = json_text(&name, v);
        const int c = rc ? 0 : class_find(name);
        if (!rc && c < 0) rc = json_fail(v, "'%.40s' is none of the 14 observations", name);
        if (!rc) x->positive |= (uint16_t)(1u << c);
    }
    if (!rc && !*id) rc = json_fail(classes, "are findings of an image without a dicom_id");
    if (rc) return rc;
    buffer_append(&p->ids, id, strlen(id) + 1);
    p->count++;
    return p->ids.failed;
}

static status add_line(predictions *p, json_value object) {
    json_value classes;
    const char *id;
    status rc = json_member_text(&id, object, "dicom_id");
    if (!rc) rc = json_member(&classes, object, "findings");
    return rc ? rc : add_image(p, id, classes);
}

static status read_lines(predictions *p, const char *path) {
    json_lines l;
    bool more = true;
    status rc = json_lines_open(&l, path);
    while (!rc) {
        rc = json_lines_next(&l, &more);
        if (rc || !more) break;
        rc = add_line(p, json_root(l.object));
    }
    json_lines_close(&l);
    return rc;
}

static status read_object(predictions *p, const char *path, const buffer *file) {
    json *all = NULL;
    status rc = json_parse(&all, path, file->data, file->length, 1);
    if (!rc) rc = json_object(json_root(all));
    for (json_value v = rc ? (json_value){0} : json_first(json_root(all)); v.node && !rc;
         v = json_next(v))
        rc = add_image(p, json_key(v), v);
    json_close(all);
    return rc;
}

// Whether the first line is an object with a dicom_id.
static status begins_with_line(bool *lines, const char *path, const buffer *file) {
    json *one = NULL;
    const char *end = memchr(file->data, '\n', file->length);
    const size_t length = end ? (size_t)(end - file->data) : file->length;
    status rc = json_parse(&one, path, file->data, length, 1);
    *lines = !rc && json_find(json_root(one), "dicom_id").node;
    json_close(one);
    return rc == STATUS_MEMORY ? rc : STATUS_OK; // of the rest the whole document tells
}

static int compare_ids(const void *a, const void *b) {
    return strcmp(((const prediction *)a)->id, ((const prediction *)b)->id);
}

static status sort_images(predictions *p, const char *path) {
    for (size_t i = 0; i < p->count; i++) p->list[i].id = p->ids.data + p->list[i].at;
    if (!p->count) return status_fail(STATUS_FORMAT, "%s: there are no findings in it", path);
    qsort(p->list, p->count, sizeof *p->list, compare_ids);
    for (size_t i = 1; i < p->count; i++)
        if (!compare_ids(&p->list[i - 1], &p->list[i]))
            return status_fail(STATUS_FORMAT, "%s: the image %.80s is there twice", path,
                               p->list[i].id);
    return STATUS_OK;
}

static status read_file(predictions *p, const char *path) {
    buffer file = {0};
    bool lines;
    status rc = file_read(path, 0, &file);
    if (!rc) p->crc = checksum_crc32(0, file.data, file.length);
    if (!rc) rc = begins_with_line(&lines, path, &file);
    if (!rc) rc = lines ? read_lines(p, path) : read_object(p, path, &file);
    buffer_free(&file);
    return rc ? rc : sort_images(p, path);
}

status predictions_open(predictions **out, const char *path) {
    predictions *p = NULL;
    *out = NULL;
    status rc = mem_new(&p, 1, "findings");
    if (rc) return rc;
    rc = read_file(p, path);
    if (rc)
        predictions_close(p);
    else
        *out = p;
    return rc;
}

void predictions_close(predictions *p) {
    if (!p) return;
    buffer_free(&p->ids);
    mem_free(p->list);
    mem_free(p);
}

uint32_t predictions_checksum(const predictions *p) {
    return p->crc;
}

bool predictions_find(bool positive[CLASS_COUNT], const predictions *p, const char *dicom_id) {
    const prediction wanted = {.id = dicom_id},
                     *found = bsearch(&wanted, p->list, p->count, sizeof wanted, compare_ids);
    for (int c = 0; c < CLASS_COUNT; c++) positive[c] = found && found->positive >> c & 1;
    return found;
}
