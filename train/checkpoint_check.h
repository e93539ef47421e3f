// What a checkpoint's manifest says of its files. For train/checkpoint.c.
#pragma once
#include "core/files/json.h"

#define CHECKPOINT_MODEL "model.safetensors"
#define CHECKPOINT_MANIFEST "manifest.json"
#define CHECKPOINT_FORMAT "radialog checkpoint"

// Ends the manifest M, which lacks its last brace, with the checksum of all that stands before.
void manifest_seal(buffer *m);
// Reads FOLDER's manifest. FORMAT where it is damaged; one of before there was a seal has none.
status manifest_open(json **out, const char *folder);

// FORMAT unless the file NAME in FOLDER has the size and the checksum that FILES, of the manifest, says.
status checkpoint_check_file(const char *folder, const char *name, json_value files);
