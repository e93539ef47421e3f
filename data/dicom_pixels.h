// From the stored samples of a DICOM radiograph to an image, by one of two recipes. What comes out
// goes the way of every other image (data/image.h).
#pragma once
#include "data/dicom.h"
#include "data/dicom_recipe.h"
#include "data/image_codec.h"

// OUT as image_decode_again takes it: zeroed, or an earlier image whose memory is used again.
// SAMPLES (height, width) are what dicom_read_pixels gave. Errors: FORMAT (a size beyond IMAGE_SIDE
// or IMAGE_PIXELS, a window without width), MEMORY.
status dicom_image(image *out, const dicom_frame *f, const void *samples, dicom_recipe recipe);

// Reads the file at PATH so. BYTES is scratch. Errors: FORMAT for whatever the file is to blame
// for, with a text that neither names nor quotes it; MEMORY.
status dicom_image_read(image *out, buffer *bytes, const char *path, dicom_recipe recipe);
// The same of an open FILE.
status dicom_image_of(image *out, buffer *bytes, dicom_file *file, dicom_recipe recipe);
