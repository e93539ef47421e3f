// A program built without DCMTK (RADIALOG_DICOM=OFF): DICOM files are refused with a line that says
// so.
#include "data/dicom.h"

#include <stdio.h>

static int refuse(char *why, size_t room) {
    snprintf(why, room, "this program was built without DICOM (RADIALOG_DICOM=OFF)");
    return 1;
}

int dicom_open(dicom_file **out, const char *path, char *why, size_t room) {
    (void)path;
    *out = NULL;
    return refuse(why, room);
}

void dicom_close(dicom_file *f) {
    (void)f;
}

void dicom_read_facts(dicom_facts *out, const dicom_file *f) {
    (void)f;
    *out = (dicom_facts){0};
}

int dicom_read_frame(dicom_frame *out, dicom_file *f, char *why, size_t room) {
    (void)f;
    *out = (dicom_frame){0};
    return refuse(why, room);
}

int dicom_read_pixels(void *samples, size_t size, dicom_file *f, char *why, size_t room) {
    (void)samples, (void)size, (void)f;
    return refuse(why, room);
}

int dicom_read_report(dicom_file *f, dicom_keep *keep, void *context, char *why, size_t room) {
    (void)f, (void)keep, (void)context;
    return refuse(why, room);
}

const char *dicom_built(void) {
    return "";
}
