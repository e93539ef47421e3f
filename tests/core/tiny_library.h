// What tests/core/test_library.c looks for; tiny_absent is not there.
#pragma once

int tiny_number(void);
int tiny_twice(int x);
int tiny_absent(void);
