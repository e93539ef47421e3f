// A folder of shards that a run makes, or goes on making: shards by split and number, manifest.json, which
// is written last and says what they were made from, and skipped.csv. For ingest and instruct.
#pragma once
#include "data/shard.h"

typedef struct shard_plan {
    const char *hash;           // of inputs and options; manifest.json has it as hashes.plan
    int64_t rows[SPLIT_COUNT];  // of each split
    int64_t shard_rows;         // of a shard
} shard_plan;

// Removes what a killed run left unfinished in FOLDER. FORMAT where it holds shards, or a manifest, of
// another plan: nothing is removed then that was finished. IO, MEMORY.
status shard_folder_prepare(const char *folder, const shard_plan *p);
// That failure, of the file at PATH.
status shard_folder_other_plan(const char *path);
// FOLDER/NAME becomes CONTENT, untouched where it is that already.
status shard_folder_write(const char *folder, const char *name, const buffer *content);
