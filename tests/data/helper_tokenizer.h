// What tests of language models' tokenizers share: a folder that is written anew for each test,
// and ids that a text must have.
#pragma once
#include "data/tokenizer.h"
#include <check.h>

#define MODELS TEST_DATA "/tokenizer/"

// Before and after each test.
void tokenizer_folder_make(void);
void tokenizer_folder_remove(void);
const char *tokenizer_folder(void);
// A path in it, valid for the next three calls.
const char *in_folder(const char *name);
void write_bytes(const char *name, const void *bytes, size_t size);
void copy_to(const char *name, const char *from);

tokenizer *open_good(const char *path);
void expect_ids(const tokenizer *t, const char *text, const int32_t *want, size_t count);
#define expect(t, text, ...)                                                                       \
    expect_ids((t), (text), (const int32_t[]){__VA_ARGS__},                                        \
               sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

// Runs TESTS (ended by NULL), each with a folder; the value for main to return.
int run_tokenizer_tests(const char *name, const TTest *const *tests);
