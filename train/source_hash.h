// The SHA-256 of the sources that this program was built from, in 64 hexadecimal digits (scripts/source_hash.cmake).
#pragma once

extern const char source_hash[];
