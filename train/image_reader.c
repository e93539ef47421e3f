#include "train/image_reader.h"
#include "data/image.h"

#include <string.h>

status image_reader_open(image_reader *r, const image_models *m) {
    *r = (image_reader){.finds = m->classifier != NULL, .rules = m->rules};
    status rc = embedder_open_at(&r->aligner, m->aligner, m->where);
    r->queries = r->aligner.queries;
    r->width = r->aligner.width;
    if (!rc)
        rc = image_file_open(&r->seen, (int)config_int(r->aligner.inference.config, "data.crop"),
                             (int)config_int(r->aligner.inference.config, "data.size"));
    if (!rc && r->finds) rc = predictor_open_at(&r->classifier, m->classifier, m->where);
    if (!rc && r->finds) rc = image_file_open(&r->judged, r->classifier.crop, r->classifier.size);
    return rc ? rc : mem_new(&r->square, STORED_PIXELS, "an image");
}

void image_reader_close(image_reader *r) {
    for (int i = 0; i < PICTURES_KEPT; i++) {
        mem_free(r->kept[i].square);
        mem_free(r->kept[i].tokens);
        buffer_free(&r->kept[i].findings);
    }
    mem_free(r->square);
    image_file_close(&r->judged);
    image_file_close(&r->seen);
    predictor_close(&r->classifier);
    embedder_close(&r->aligner);
    *r = (image_reader){0};
}

// --- pictures -----------------------------------------------------------------------------------
static picture *find_kept(image_reader *r) {
    for (int i = 0; i < PICTURES_KEPT; i++)
        if (r->kept[i].looked && !memcmp(r->kept[i].square, r->square, STORED_PIXELS))
            return &r->kept[i];
    return NULL;
}

static picture *oldest(image_reader *r) {
    picture *p = &r->kept[0];
    for (int i = 1; i < PICTURES_KEPT; i++)
        if (r->kept[i].looked < p->looked) p = &r->kept[i];
    return p;
}

static status make_room(const image_reader *r, picture *p) {
    status rc = p->square ? STATUS_OK : mem_new(&p->square, STORED_PIXELS, "an image");
    return rc || p->tokens ? rc : mem_new(&p->tokens, r->queries * r->width, "image tokens");
}

static status find(image_reader *r, picture *p) {
    if (!r->finds) return STATUS_OK;
    status rc = image_file_square(&r->judged, r->square);
    if (!rc) rc = predictor_file(&r->classifier, &r->judged, p->logits);
    for (int c = 0; c < CLASS_COUNT && !rc; c++) p->found[c] = p->logits[c] > 0;
    findings_resolve(p->found);
    buffer_free(&p->findings); // also of a failure
    if (!rc) findings_text(&p->findings, p->found);
    return rc ? rc : p->findings.failed;
}

static status compute(image_reader *r, picture *p) {
    p->looked = 0; // whatever was there is gone
    status rc = make_room(r, p);
    if (!rc) rc = find(r, p);
    if (!rc) rc = image_file_square(&r->seen, r->square);
    if (!rc) rc = embedder_images(&r->aligner, &r->seen.batch);
    if (rc) return rc;
    memcpy(p->tokens, r->aligner.rows, (size_t)(r->queries * r->width) * sizeof *p->tokens);
    memcpy(p->square, r->square, STORED_PIXELS);
    return STATUS_OK;
}

static status look(image_reader *r, const image *i, const picture **out) {
    status rc = image_square(r->square, i, STORED_SIDE);
    if (rc) return rc;
    picture *p = find_kept(r);
    if (!p) rc = compute(r, p = oldest(r));
    if (rc) return rc;
    p->looked = ++r->looks;
    *out = p;
    return STATUS_OK;
}

status image_reader_file(image_reader *r, const char *path, const picture **out) {
    image i = {0};
    status rc = radiograph_read(&i, path, &r->rules);
    if (!rc) rc = look(r, &i, out);
    image_free(&i);
    return rc;
}

status image_reader_bytes(image_reader *r, const void *bytes, size_t count, const char *name,
                          const picture **out) {
    image i = {0};
    status rc = radiograph_decode(&i, bytes, count, name, &r->rules);
    if (!rc) rc = look(r, &i, out);
    image_free(&i);
    return rc;
}

const char *image_reader_findings(const image_reader *r, const picture *p) {
    return r->finds ? p->findings.data : NULL;
}
