// Small shards for the tests of shards and data sets: record I is a function of I.
#pragma once
#include "data/shard.h"
#include "tests/data/helper_source.h"

#define OK(call)                                                                                   \
    do {                                                                                           \
        status rc_ = (call);                                                                       \
        ck_assert_msg(rc_ == STATUS_OK, "%s: %s", #call, status_text());                           \
    } while (0)

extern const char plan_of_tests[PLAN_SIZE];

// The failure is EXPECTED and its text holds PLACE and SAYS.
void expect_failed(status rc, status expected, const char *place, const char *says);

// What record I holds. Every kind of text is missing, empty, plain or beyond ASCII for some I.
void stored_picture(uint8_t *out, int i); // (STORED_SIDE, STORED_SIDE); deflates to some 8 KB
const char *record_id_of(char text[64], int i, record_id kind);
const char *record_text_of(int i, record_text kind); // NULL: missing
int8_t label_of(int i, int class);
static inline int32_t side_of(int i, int side) {
    return 1000 + 10 * i + side;
}

// Adds record I.
void shard_put(shard_writer *w, int i, int level);
// COUNT records from FIRST on as PATH, and SKIPPED rows that made none.
void shard_make(const char *path, int split, int level, int first, int count, int skipped);

// All but the pixels of the record at PLACE of S is that of record I.
void expect_record(const shard *s, int64_t place, int i);
