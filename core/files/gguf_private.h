// Codes of GGUF files that reader and writer share. Private to core/files/gguf*.c.
#pragma once
#include "core/tensor.h"

#define GGUF_MAGIC "GGUF"
enum { GGUF_VERSION = 3 };

// Kinds of notes, as files number them.
typedef enum gguf_kind {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_TEXT,
    GGUF_LIST,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_KINDS
} gguf_kind;

// Types of tensors that the toolkit knows, as files number them.
enum { GGUF_TYPE_F32 = 0, GGUF_TYPE_F16 = 1, GGUF_TYPE_BF16 = 30 };
#define GGUF_UNKNOWN UINT32_MAX

static inline uint32_t gguf_type_code(dtype type) {
    return type == DTYPE_F32    ? GGUF_TYPE_F32
           : type == DTYPE_F16  ? GGUF_TYPE_F16
           : type == DTYPE_BF16 ? GGUF_TYPE_BF16
                                : GGUF_UNKNOWN;
}
