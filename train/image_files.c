#include "train/image_files.h"
#include "core/nearest.h"
#include "data/augment.h"
#include "data/image.h"

#include <stdio.h>
#include <string.h>

status radiograph_rules_given(radiograph_rules *out, const arguments *a) {
    const char *text = argument(a, "intensity");
    *out = (radiograph_rules){.intensity = DICOM_MIMIC_CXR_JPG};
    if (!text) return STATUS_OK;
    for (int i = 0; i < DICOM_RECIPES; i++) {
        out->intensity = (dicom_recipe)i;
        if (!strcmp(text, dicom_recipe_names[i])) return STATUS_OK;
    }
    return status_fail(STATUS_USAGE, "--intensity %s is not known; did you mean %s?", text,
                       nearest_name(text, dicom_recipe_names, DICOM_RECIPES));
}

status image_file_open(image_file *f, int crop, int size) {
    *f = (image_file){.crop = crop, .size = size};
    status rc = mem_new(&f->square, STORED_PIXELS, "an image");
    if (!rc) rc = mem_new(&f->cropped, STORED_PIXELS, "an image");
    if (!rc) rc = mem_new(&f->batch.pixels, (int64_t)size * size, "an image");
    f->batch.count = f->batch.global_count = 1;
    f->batch.lut = f->lut;
    f->batch.labels = f->labels;
    lut_plain(f->lut);
    return rc;
}

void image_file_close(image_file *f) {
    mem_free(f->batch.pixels);
    mem_free(f->cropped);
    mem_free(f->square);
    *f = (image_file){0};
}

void image_file_name(char *out, size_t size, const char *path) {
    const char *slash = strrchr(path, '/');
    snprintf(out, size, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(out, '.');
    // Files of DICOM are often called by a UID, whose end is none of a file's kind.
    if (dot && dot != out && dot[1 + strspn(dot + 1, "0123456789")]) *dot = 0;
}

status image_file_square(image_file *f, const uint8_t *square) {
    image_crop(f->cropped, square, STORED_SIDE, f->crop);
    return image_resize(f->batch.pixels, f->size, f->size, f->cropped, f->crop, f->crop);
}

status image_file_read(image_file *f, const char *path) {
    image picture = {0};
    status rc = radiograph_read(&picture, path, &f->rules);
    if (!rc) rc = image_square(f->square, &picture, STORED_SIDE);
    if (!rc) rc = image_file_square(f, f->square);
    image_free(&picture);
    image_file_name(f->id, sizeof f->id, path);
    return rc;
}
