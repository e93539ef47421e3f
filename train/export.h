// What the forms of `radialog export` share: the adapter that is exported, folders that appear
// whole or not at all, and the forms themselves, one file each.
#pragma once
#include "core/files/fs.h"
#include "core/files/weights.h"
#include "models/llama_weights.h"

typedef struct export_options {
    const char
        *checkpoint; // a run, a checkpoint folder, a folder of PEFT's, or a file in such a folder
    const char *out;
    const char *base;      // a Hugging Face folder; NULL: not given
    const char *base_name; // what an adapter's configuration calls its base; NULL: nothing
    const char *aligner, *classifier, *prompts, *data; // for bundles; NULL: not given
    const char *storage; // of the base in training, where the adapter does not say it; NULL: not given
    dtype type;                                        // of the numbers in GGUF files
    int64_t shard_bytes;                               // most in a file of merged weights
    bool bin_names; // of PEFT's form: the file that PEFT 0.3.0 and RaDialog have
    bool verify;
} export_options;

// --- the adapter (train/export_adapter.c) -------------------------------------------------------
enum { MODULE_SIZE = 128 };

typedef struct lora_pair {
    char module[MODULE_SIZE];  // "model.layers.0.self_attn.q_proj"
    const weight_entry *a, *b; // (r, K), (n, r)
} lora_pair;

typedef struct adapter {
    char file[PATH_SIZE], folder[PATH_SIZE]; // the weights, and where they stand
    weights *weights, *beside; // beside: of the image projection, where it has a file of its own
    lora_config lora;
    char storage[8]; // of the base in training: one of language_storages
    buffer names;    // of lora.target
    lora_pair *pair;
    size_t pairs, room;
    const weight_entry *image_weight, *image_bias; // (D, W), (D); NULL: it has no image projection
} adapter;

// FORMAT where the file holds anything else than an adapter of its configuration, or numbers that
// are not finite. To be closed also after a failure.
status adapter_open(adapter *a, const char *path);
void adapter_close(adapter *a);
// Says how the base was kept in training, by a name of language_storages. FORMAT for anything else.
status adapter_storage(adapter *a, const char *text);
// The file that E, one of A's, stands in.
weights *adapter_source(const adapter *a, const weight_entry *e);
// All numbers of E in *OUT, to be freed by mem_free.
status adapter_values(float **out, const adapter *a, const weight_entry *e);
// The pair of the tensor NAME of a base ("model.layers.0.self_attn.q_proj.weight"); NULL: none.
const lora_pair *adapter_pair(const adapter *a, const char *name);
// FORMAT unless all pairs, and the projection, have the sizes of the model C, which stands at
// PLACE.
status adapter_fits(const adapter *a, const llama_config *c, const char *place);
// The sizes of the base O->base, of which A is. USAGE where it is not given.
status export_base(llama_config *out, const export_options *o, const adapter *a);

// --- folders (train/export_folder.c) ------------------------------------------------------------
// The file PATH, as which something was written that is VERIFIED or not, goes unless it is.
status export_keep(const char *path, status verified);
// USAGE where PATH is there already.
status export_is_new(const char *path);
// An empty folder PATH.tmp, whose name is in OUT. What is left there of an earlier failure goes.
status folder_begin(char out[PATH_SIZE], int *lock, const char *path);
// TEMPORARY becomes PATH if RC is OK, else it goes; RC or the failure to do so.
status folder_end(const char *temporary, int lock, const char *path, status rc);
// FOLDER/NAME of the other. OPTIONAL: a missing one is fine. Of any size.
status export_copy(const char *to, const char *from, const char *name, bool optional);
// The same of the tokenizer's files and of generation_config.json.
status export_copy_tokenizer(const char *to, const char *from);

// --- forms --------------------------------------------------------------------------------------
// adapter_model.safetensors, adapter_config.json and img_proj.safetensors in the folder O->out; the
// second writes them in an existing one. O->bin_names: adapter_model.bin, which holds the projection too, in
// the numbers' own types, and a configuration of what PEFT 0.3.0 knows.
status export_peft(const export_options *o);
status peft_write(const adapter *a, const char *folder, const export_options *o);
status peft_verify(const adapter *a, const char *folder, const export_options *o);
status peft_write_projection(const adapter *a, const char *folder); // img_proj.safetensors alone
// A file for llama.cpp.
status export_gguf(const export_options *o);
// The base with W + scale B A in place of W: a Hugging Face folder. Numbers keep the base's type.
status export_merged(const export_options *o);
// FORMAT unless the model in the folder MERGED has the logits of the one in BASE with A beside it,
// in f32 on random tokens, within EXPORT_LOGITS of their norm. C: sizes of the base, whose linear layers
// are kept as the adapter's training kept them. Both models
// stand in memory, one after the other, in f32.
#define EXPORT_LOGITS 1e-5
status export_same_logits(const char *merged, const char *base, const llama_config *c,
                          const adapter *a);
// Everything that inference needs besides the base, with a model card.
status export_bundle(const export_options *o);
