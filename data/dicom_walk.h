// What stands where in the bytes of a DICOM file, before DCMTK reads them: for files from anybody
// (uploads to serve). The library follows sequences in sequences until its stack ends, sorts
// elements in quadratic time and inflates without a limit; a file that would bring it there is
// refused here. Stricter than the library: what is not laid out as PS3.5 and PS3.10 say is refused.
#pragma once
#include <stddef.h>
#include <stdint.h>

// 0; or 1 with a line in WHY (at most ROOM bytes with its NUL) that quotes nothing of the file but
// a UID of transfer syntaxes.
int dicom_walk(const uint8_t *bytes, size_t count, char *why, size_t room);
