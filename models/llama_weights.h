// Files of language models: Hugging Face's folders (config.json beside safetensors or PyTorch files, in
// parts or whole), adapters as PEFT writes them, and the checkpoints of `train lm` and `train lora`,
// which have the same form.
#pragma once
#include "core/buffer.h"
#include "models/llama.h"

enum { LLAMA_PATH_SIZE = 4096 };

// The sizes that FOLDER/config.json says; no adapters, no images. Errors: IO; FORMAT names the key
// where the model is of another kind, or does what llama.c does not.
status llama_config_read(llama_config *out, const char *folder);
// The same as config.json, for others to read: TYPE "float32", "bfloat16" or "float16".
void llama_config_write(buffer *out, const llama_config *c, const char *type, int32_t begin,
                        int32_t end);
// The base's weights, which stand apart in P or are all of it. FOLDER, or the path of a file. The
// embedding and the head may have fewer rows than P: those behind (added tokens) stay as they are.
status llama_load_base(params *p, const char *folder, bool apart);
// Adapters and image projection: a folder with adapter_model.safetensors, adapter_model.bin,
// pytorch_model.bin (REFERENCE 5.5) or a checkpoint's model.safetensors; or such a file. The projection
// may stand beside it as img_proj.safetensors. *PROJECTION: whether there is one; without, P's stays as
// it is.
status llama_load_adapter(params *p, const char *path, bool *projection);
// Of adapter_config.json beside an adapter: FORMAT where it is of a kind that lora.h is not. TARGET
// names (borrowed by OUT) are kept in TEXTS. *FOUND false: there is no such file.
status llama_adapter_config(lora_config *out, buffer *texts, const char *folder, bool *found);
