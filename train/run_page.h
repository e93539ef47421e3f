// report.html of a training run: its losses, learning rate, gradients and speed over steps, what
// validation found, class by class, and what it wrote (train/run_record.h). Written when a run
// ends, and by `radialog report`.
#pragma once
#include "core/status.h"

// Writes FOLDER/report.html. IO, FORMAT, MEMORY.
status run_page_write(const char *folder);
