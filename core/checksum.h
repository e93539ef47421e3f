// CRC-32 (the one of zip, gzip and PNG) of tensors and shards.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Continues CRC over SIZE bytes; start with 0.
uint32_t checksum_crc32(uint32_t crc, const void *bytes, size_t size);
