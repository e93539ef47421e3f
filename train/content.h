// What a file or folder holds, as a short text that changes when it does: how pipelines know whether a stage
// has to run again.
#pragma once
#include "core/status.h"

enum { CONTENT_SIZE = 40 };

// "BYTES-CRC" of PATH: of a folder, of all names below it and of the files' bytes. What tells of a run and not of
// its outcome does not count: logs, metrics, reports, resolved configurations, TensorBoard's events, and names that
// begin with a dot or end in .tmp. Files are read by several threads at a time. IO, MEMORY.
status content_read(char out[CONTENT_SIZE], const char *path);

// The same of names, sizes and times of last change, without reading: where it has not changed, what PATH holds
// has not. IO, MEMORY.
status content_look(char out[CONTENT_SIZE], const char *path);
