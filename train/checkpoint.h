// Checkpoints: RUN/checkpoints/step-00000040/ with model.safetensors (all parameters and running
// statistics under their public names), optimizer.safetensors (both moments), config.json (the model's), vocab.txt (of
// models that read text) and manifest.json (step, best score, checksums, what made it). Written beside, synced and
// renamed, so each one is whole. They hold no time, host or path: equal runs write equal bytes. checkpoints/best is the
// best one by score.
#pragma once
#include "train/run.h"

// Writes the state after r->step; removes the oldest beyond the KEEP newest (the best one stays).
// BEST: also the new checkpoints/best.
status checkpoint_save(run *r, int keep, bool best);

// Loads the newest whole checkpoint of the run, if there is one, and sets r->step and r->best. A
// damaged one is named in a warning and the one before it is taken; where none is damaged, what a kill left
// beyond the KEEP newest is removed. *FOUND tells whether any was.
status checkpoint_resume(run *r, int keep, bool *found);

// Parameters alone, from a checkpoint folder. Missing, unknown and misshapen tensors stand in one table.
status checkpoint_load_model(params *p, const char *folder);

// FORMAT unless the model in FOLDER is what its manifest says; a folder without one (Hugging Face's) has
// nothing to be held against. Whoever takes weights out of a checkpoint asks first: a bit that has turned in
// them would go unnoticed into all that comes after.
status checkpoint_check(const char *folder);

// The file of weights at PATH in OUT: a checkpoint folder's model, checked, or PATH itself.
status checkpoint_weights(char *out, size_t size, const char *path);

// A run's best checkpoint where PATH is a run's folder, else PATH itself.
status checkpoint_folder(char *out, size_t size, const char *path);
// The file of weights in it.
status checkpoint_file(char *out, size_t size, const char *path);

// The run's best checkpoint becomes its model, on all ranks.
status checkpoint_take_best(run *r);

// The folder of the best checkpoint, or the newest if there is no best, in OUT.
status checkpoint_choose(const char *run_dir, char *out, size_t size);
