#include "data/radiograph.h"
#include "core/files/fs.h"
#include "data/dicom_judge.h"
#include "data/dicom_pixels.h"
#include "data/dicom_walk.h"
#include "data/image_size.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MARK_AT = 128, MARK_END = MARK_AT + 4, FILE_LIMIT = 1 << 30 };

static bool is_dicom(const void *bytes, size_t count) {
    return count >= MARK_END && !memcmp((const char *)bytes + MARK_AT, "DICM", MARK_END - MARK_AT);
}

static status check_size(int64_t width, int64_t height, const char *name,
                         const radiograph_rules *r) {
    if (!r->pixels || width * height <= r->pixels) return STATUS_OK;
    return status_fail(STATUS_FORMAT, "%s has %lld x %lld pixels; there may be %lld in all (%s)",
                       name, (long long)width, (long long)height, (long long)r->pixels, r->setting);
}

// --- DICOM ---------------------------------------------------------------------------------------

static status blame(const char *name, const char *why) {
    return status_fail(STATUS_FORMAT, "%s: %s", name, why);
}

static status read_pixels(image *out, dicom_file *file, const char *name,
                          const radiograph_rules *r) {
    char why[DICOM_TEXT + 64];
    dicom_facts facts;
    dicom_frame frame;
    buffer samples = {0};
    dicom_read_facts(&facts, file);
    if (facts.kind == DICOM_REPORT) return blame(name, "a structured report, not a radiograph");
    if (dicom_judge(why, sizeof why, &facts) || dicom_read_frame(&frame, file, why, sizeof why))
        return blame(name, why);
    status rc = check_size(frame.width, frame.height, name, r);
    if (rc) return rc;
    rc = dicom_image_of(out, &samples, file, r->intensity);
    buffer_free(&samples);
    if (rc != STATUS_FORMAT) return rc;
    snprintf(why, sizeof why, "%s", status_text());
    return blame(name, why);
}

static status read_dicom(image *out, const char *path, const char *name,
                         const radiograph_rules *r) {
    char why[DICOM_TEXT];
    dicom_file *file;
    if (dicom_open(&file, path, why, sizeof why)) return blame(name, why);
    status rc = read_pixels(out, file, name, r);
    dicom_close(file);
    return rc;
}

// The library takes names of files alone: a file that has none and never leaves memory.
static status decode_dicom(image *out, const void *bytes, size_t count, const char *name,
                           const radiograph_rules *r) {
    char why[DICOM_TEXT], path[32];
    if (dicom_walk(bytes, count, why, sizeof why)) return blame(name, why);
    const int fd = memfd_create("radiograph", MFD_CLOEXEC);
    size_t done = 0;
    for (ssize_t n = 1; fd >= 0 && done < count && n > 0; done += n > 0 ? (size_t)n : 0)
        n = write(fd, (const char *)bytes + done, count - done);
    status rc = STATUS_OK;
    if (fd < 0 || done < count)
        rc = status_fail(STATUS_MEMORY, "%s: no file in memory can be made: %s", name,
                         strerror(errno));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (!rc) rc = read_dicom(out, path, name, r);
    if (fd >= 0) close(fd);
    return rc;
}

// --- any -----------------------------------------------------------------------------------------

// Bytes that are no DICOM file's.
static status decode_picture(image *out, const void *bytes, size_t count, const char *name,
                             const radiograph_rules *r) {
    int64_t width, height;
    if (!count) return blame(name, "the file is empty");
    if (!image_is_known(bytes, count)) return blame(name, "neither a JPEG, a PNG nor a DICOM file");
    if (r->pixels && !image_size(&width, &height, bytes, count))
        return blame(name, "it does not say the size of its image");
    status rc = r->pixels ? check_size(width, height, name, r) : STATUS_OK;
    return rc ? rc : image_decode(out, bytes, count, name);
}

status radiograph_decode(image *out, const void *bytes, size_t count, const char *name,
                         const radiograph_rules *r) {
    *out = (image){0};
    return is_dicom(bytes, count) ? decode_dicom(out, bytes, count, name, r)
                                  : decode_picture(out, bytes, count, name, r);
}

// Of a file that can be read twice; what comes through a pipe is read once, whole.
static bool begins_as_dicom(const char *path) {
    char head[MARK_END];
    FILE *file = file_exists(path) ? fopen(path, "rbe") : NULL;
    const size_t count = file ? fread(head, 1, sizeof head, file) : 0;
    if (file) fclose(file);
    return is_dicom(head, count);
}

status radiograph_read(image *out, const char *path, const radiograph_rules *r) {
    buffer bytes = {0};
    *out = (image){0};
    if (begins_as_dicom(path)) return read_dicom(out, path, path, r);
    status rc = file_read(path, FILE_LIMIT, &bytes);
    if (!rc) rc = decode_picture(out, bytes.data, bytes.length, path, r);
    buffer_free(&bytes);
    return rc;
}
