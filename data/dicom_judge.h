// Whether a DICOM file is one whose pixels are taken, by what it says of itself: for ingest and for
// those who read a file alone.
#pragma once
#include "data/dicom.h"
#include "data/ingest.h"

// 0, or why not, with a line in DETAIL (ROOM bytes) that quotes nothing but a transfer syntax. A
// structured report is not refused: it is no image.
skip_reason dicom_judge(char *detail, size_t room, const dicom_facts *f);
