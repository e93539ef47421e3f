// The program of the tests of failing memory: train/main.c, whose main is program_main here. With
// RADIALOG_FAIL_ALLOCATION=N the N-th allocation fails, with -N that one and all behind it. If the program
// then says that all went well, the exit status is UNNOTICED.
#include "core/memory.h"

#include <stdio.h>
#include <stdlib.h>
#undef main

enum { UNNOTICED = 3 };

int program_main(int argc, char **argv);

int main(int argc, char **argv) {
    const char *text = getenv("RADIALOG_FAIL_ALLOCATION");
    long long n = text ? strtoll(text, NULL, 10) : 0;
    if (n < 0)
        mem_fail_from(-n);
    else
        mem_fail_at(n);
    int code = program_main(argc, argv);
    if (code || !mem_has_failed()) return code;
    fprintf(stderr, "an allocation failed and nobody noticed\n");
    return UNNOTICED;
}
