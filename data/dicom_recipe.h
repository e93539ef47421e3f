// How the stored samples of a DICOM radiograph become an image: data/dicom_pixels.c.
#pragma once

typedef enum dicom_recipe {
    // As MIMIC-CXR-JPG was made (Johnson et al. 2019, physionet.org/content/mimic-cxr-jpg), but for
    // its JPEG: the stored values stretched to 0..255 by their least and greatest, truncated;
    // MONOCHROME1 inverted; the histogram equalised as OpenCV's equalizeHist does it. Windows and
    // lookup tables are not looked at. Gives 8 bits.
    DICOM_MIMIC_CXR_JPG,
    // As a viewer shows it (DICOM PS3.3 C.11.1, C.11.2): the modality's table or slope, then the
    // table of interest, else the first window; MONOCHROME1 inverted. Gives 16 bits. Where nothing
    // of that is there, the stored values, in as many bits as they had.
    DICOM_WINDOW,
    DICOM_RECIPES
} dicom_recipe;
extern const char *const dicom_recipe_names[DICOM_RECIPES]; // "mimic-cxr-jpg", "window"
