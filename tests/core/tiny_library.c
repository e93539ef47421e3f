// A library of two functions, for tests/core/test_library.c: built twice, TINY tells which.
#include "tests/core/tiny_library.h"

int tiny_number(void) {
    return TINY;
}
int tiny_twice(int x) {
    return 2 * x;
}
