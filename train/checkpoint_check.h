// What a checkpoint's manifest says of its files. For train/checkpoint.c.
#pragma once
#include "core/files/json.h"

#define CHECKPOINT_MODEL "model.safetensors"
#define CHECKPOINT_MANIFEST "manifest.json"
#define CHECKPOINT_FORMAT "radialog checkpoint"

// FORMAT unless the file NAME in FOLDER has the size and the checksum that FILES, of the manifest, says.
status checkpoint_check_file(const char *folder, const char *name, json_value files);
