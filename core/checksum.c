#include "core/checksum.h"

#include <libdeflate.h>

uint32_t checksum_crc32(uint32_t crc, const void *bytes, size_t size) {
    // libdeflate takes a NULL buffer as "give the initial value", whatever CRC is.
    return size ? libdeflate_crc32(crc, bytes, size) : crc;
}
