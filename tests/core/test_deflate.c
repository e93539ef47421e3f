// core/files/deflate.h and core/checksum.h, against zlib itself.
#include "core/checksum.h"
#include "core/files/deflate.h"
#include "tests/core/helper_check.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LARGEST = 100000 };

static unsigned char plain[LARGEST], packed[2 * LARGEST], back[LARGEST + 1];

static void fill(size_t size, int kind) {
    uint64_t state = 5;
    for (size_t i = 0; i < size; i++)
        plain[i] = kind == 0   ? (unsigned char)fuzz_next(&state)
                   : kind == 1 ? (unsigned char)(i / 500)
                               : 0;
}

static deflater *opened(int level) {
    deflater *d;
    ck_assert_int_eq(deflater_open(&d, level), STATUS_OK);
    return d;
}

START_TEST(round_trips) {
    static const size_t sizes[] = {0, 1, 3, 255, 65535, 65536, LARGEST};
    for (int level = 0; level <= 12; level += level ? 11 : 1) {
        deflater *d = opened(level);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int kind = 0; kind < 3; kind++) {
                size_t size = sizes[i], written;
                uLongf length = LARGEST;
                fill(size, kind);
                ck_assert_uint_le(zlib_bound(size), sizeof packed);
                zlib_compress(d, packed, &written, plain, zlib_bound(size), size);
                ck_assert_uint_le(written, zlib_bound(size));
                if (kind == 2 && level && size > 1000) ck_assert_uint_lt(written, size / 50);
                memset(back, 0xaa, sizeof back);
                ck_assert_int_eq(zlib_expand(d, back, packed, size, written), STATUS_OK);
                ck_assert(memcmp(back, plain, size) == 0);
                ck_assert_int_eq(back[size], 0xaa);
                // zlib reads what we write ...
                ck_assert_int_eq(uncompress(back, &length, packed, (uLong)written), Z_OK);
                ck_assert_uint_eq(length, size);
                ck_assert(memcmp(back, plain, size) == 0);
                // ... and we read what zlib writes.
                length = sizeof packed;
                ck_assert_int_eq(compress2(packed, &length, plain, (uLong)size, 1), Z_OK);
                ck_assert_int_eq(zlib_expand(d, back, packed, size, length), STATUS_OK);
                ck_assert(memcmp(back, plain, size) == 0);
            }
        deflater_close(d);
    }
}
END_TEST

START_TEST(refusals) {
    deflater *d = opened(1);
    size_t size = 5000, written;
    fill(size, 1);
    zlib_compress(d, packed, &written, plain, zlib_bound(size), size);
    expect_failure(zlib_expand(d, back, packed, size - 1, written), STATUS_FORMAT, "less", NULL,
                   "more than the 4999 bytes");
    expect_failure(zlib_expand(d, back, packed, size + 1, written), STATUS_FORMAT, "more", NULL,
                   "hold 5000 bytes, expected 5001");
    packed[written] = 0;
    expect_failure(zlib_expand(d, back, packed, size, written + 1), STATUS_FORMAT, "behind", NULL,
                   "end after");
    for (size_t cut = 0; cut < written; cut++) {
        unsigned char *exact = malloc(cut ? cut : 1);
        memcpy(exact, packed, cut);
        expect_failure(zlib_expand(d, back, exact, size, cut), STATUS_FORMAT, "cut", NULL,
                       "compressed data");
        free(exact);
    }
    packed[written - 1] ^= 1; // Adler-32
    expect_failure(zlib_expand(d, back, packed, size, written), STATUS_FORMAT, "sum", NULL,
                   "damaged");
    deflater_close(d);
    deflater_close(NULL);
}
END_TEST

START_TEST(mutated_streams) {
    deflater *d = opened(1);
    uint64_t state = 11;
    size_t size = 3000, written;
    int accepted = 0;
    fill(size, 1);
    zlib_compress(d, packed, &written, plain, zlib_bound(size), size);
    for (int i = 0; i < 5000; i++) {
        buffer text = {0};
        buffer_append(&text, packed, written);
        fuzz_mutate(&text, &state);
        char *exact = malloc(text.length ? text.length : 1);
        memcpy(exact, text.data, text.length);
        status rc = zlib_expand(d, back, exact, size, text.length);
        if (rc)
            expect_failure(rc, STATUS_FORMAT, "fuzz", NULL, "compressed data");
        else
            accepted++;
        free(exact);
        buffer_free(&text);
    }
    ck_assert_int_lt(accepted, 200);
    deflater_close(d);
}
END_TEST

START_TEST(every_allocation_may_fail) {
    for (int64_t n = 1;; n++) {
        deflater *d;
        mem_fail_at(n);
        status rc = deflater_open(&d, 1);
        mem_fail_at(0);
        deflater_close(d);
        if (!rc) {
            ck_assert_int_ge(n, 4); // ours, the compressor's, the decompressor's
            break;
        }
        expect_failure(rc, STATUS_MEMORY, "allocation", NULL, "memory");
        ck_assert_ptr_null(d);
    }
}
END_TEST

static void compress_into_too_little(void) {
    size_t written;
    fill(1000, 0);
    zlib_compress(opened(1), packed, &written, plain, 100, 1000);
}
static void open_level_13(void) {
    opened(13);
}

START_TEST(our_own_bugs_die) {
    expect_death(compress_into_too_little, "capacity");
    expect_death(open_level_13, "level");
}
END_TEST

START_TEST(crc32_vectors) {
    ck_assert_uint_eq(checksum_crc32(0, "123456789", 9), 0xcbf43926u); // the CRC catalogue's check
    ck_assert_uint_eq(checksum_crc32(0, "", 0), 0);
    ck_assert_uint_eq(checksum_crc32(0, "a", 1), 0xe8b7be43u);
    ck_assert_uint_eq(checksum_crc32(0x1234, NULL, 0), 0x1234);
    fill(LARGEST, 0);
    uint32_t whole = checksum_crc32(0, plain, LARGEST);
    ck_assert_uint_eq(whole, crc32(0, plain, LARGEST));
    for (size_t cut = 0; cut <= 70; cut++)
        ck_assert_uint_eq(checksum_crc32(checksum_crc32(0, plain, cut), plain + cut, LARGEST - cut),
                          whole);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        round_trips,   refusals, mutated_streams, every_allocation_may_fail, our_own_bugs_die,
        crc32_vectors, NULL};
    return run_suite(suite_of("deflate", tests));
}
