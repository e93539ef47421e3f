// Facts of this machine, read from /proc and /sys: for `radialog doctor` and `radialog plan`.
//
// ROOT stands before each path ("" for the machine itself), so that tests can show other machines.
// What the files hold is not trusted: a missing or senseless one leaves its fact unknown.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The start of ROOT/PATH, at most SIZE - 1 bytes and NUL-ended; false and "" where it cannot be
// read.
bool facts_read(char *text, size_t size, const char *root, const char *path);

// Bytes; -1: unknown, or no limit.
typedef struct memory_facts {
    int64_t total, available; // of the machine
    int64_t limit;            // of the control groups this process is in, the smallest
    int64_t left;             // what that group has not used, page cache counted as free
    int64_t usable;           // the lesser of available and left
} memory_facts;

memory_facts facts_memory(const char *root);

typedef struct cpu_facts {
    char model[128]; // "" where unknown
    int cpus;        // logical ones of the machine; 0: unknown
    int cores;       // physical ones; 0: unknown
    double quota;    // cores' worth of time that the control group allows; 0: no limit
    bool avx2, avx512, avx512_bf16, amx_bf16; // avx512: F, BW, DQ and VL
} cpu_facts;

// One caller at a time.
void facts_cpu(cpu_facts *out, const char *root);
