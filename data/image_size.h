// What a JPEG or PNG file says of its sides, without decoding it: for those who take pictures from
// anybody and have limits of their own.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// False where COUNT bytes are neither or do not say.
bool image_size(int64_t *width, int64_t *height, const uint8_t *bytes, size_t count);
