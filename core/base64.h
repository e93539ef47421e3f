// Base64 (RFC 4648, section 4), strictly: its alphabet, padding, no blanks, no bits left over.
#pragma once
#include "core/buffer.h"

// Appends the bytes of TEXT (LENGTH) to OUT. FORMAT says where it is none; MEMORY.
status base64_decode(buffer *out, const char *text, size_t length);
