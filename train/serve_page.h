// serve_page.html as bytes, which the build makes.
#pragma once
#include <stddef.h>

extern const unsigned char serve_page[];
extern const size_t serve_page_size;
