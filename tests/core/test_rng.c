// core/rng.h: published vectors, independence of the keys' parts, ranges and fairness.
#include "core/rng.h"
#include "core/checksum.h"
#include "tests/core/helper_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Random123's kat_vectors for philox4x32, 10 rounds.
START_TEST(philox_vectors) {
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t out[4];
        philox4x32(out, cases[i].counter, cases[i].key);
        for (int k = 0; k < 4; k++) ck_assert_uint_eq(out[k], cases[i].expected[k]);
    }
}
END_TEST

static const rng_key base = {.seed = 0x123456789abcdef0ull, .site = 77, .step = 3};

START_TEST(every_part_of_the_key_counts) {
    rng_key other[] = {base, base, base, base};
    other[0].seed ^= 1;
    other[1].seed ^= 1ull << 63;
    other[2].site++;
    other[3].step++;
    uint32_t here = rng_word(base, 5, 6);
    ck_assert_uint_eq(here, rng_word(base, 5, 6));
    for (int i = 0; i < 4; i++) ck_assert_uint_ne(here, rng_word(other[i], 5, 6));
    ck_assert_uint_ne(here, rng_word(base, 6, 6));
    for (uint64_t e = 0; e < 64; e++)
        if (e != 6) ck_assert_uint_ne(here, rng_word(base, 5, e));
    ck_assert_uint_ne(here, rng_word(base, 5, 6 + (1ull << 34))); // a wrapped counter would repeat
    uint32_t block[4], counter[4] = {1, 5, base.step, base.site};
    philox4x32(block, counter, (uint32_t[]){0x9abcdef0, 0x12345678});
    for (uint64_t e = 4; e < 8; e++) ck_assert_uint_eq(rng_word(base, 5, e), block[e - 4]);
    ck_assert_uint_eq(rng_site("a"), 0xe40c292c); // FNV-1a's published value
    ck_assert_uint_eq(rng_site(""), 0x811c9dc5);
    ck_assert_uint_ne(rng_site("dropout.1"), rng_site("dropout.2"));
}
END_TEST

START_TEST(uniform_and_normal) {
    enum { N = 400000 };
    double sum = 0, squares = 0, fourth = 0, product = 0, before = 0, uniform = 0;
    for (uint64_t i = 0; i < N; i++) {
        double u = (double)rng_uniform(base, 1, i), x = (double)rng_normal(base, 2, i);
        ck_assert(u >= 0 && u < 1);
        ck_assert(isfinite(x));
        uniform += u;
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
        product += x * before;
        before = x;
    }
    // Six standard errors of each estimate.
    ck_assert(fabs(uniform / N - 0.5) <= 6 * sqrt(1 / 12.0 / N));
    ck_assert(fabs(sum / N) <= 6 / sqrt(N));
    ck_assert(fabs(squares / N - 1) <= 6 * sqrt(2.0 / N));
    ck_assert(fabs(fourth / N - 3) <= 6 * sqrt(96.0 / N));
    ck_assert(fabs(product / N) <= 6 / sqrt(N));
}
END_TEST

// Radius and angle of each pair are those of its two words.
START_TEST(normal_is_box_muller) {
    for (uint64_t i = 0; i < 2000; i += 2) {
        double u = 1 - (double)rng_word(base, 9, i) * 0x1p-32;
        double turn = 2 * M_PI * (double)rng_word(base, 9, i + 1) * 0x1p-32;
        double x = (double)rng_normal(base, 9, i), y = (double)rng_normal(base, 9, i + 1);
        double radius = sqrt(-2 * log(u));
        ck_assert_double_eq_tol(x, radius * cos(turn), 1e-6);
        ck_assert_double_eq_tol(y, radius * sin(turn), 1e-6);
    }
}
END_TEST

START_TEST(below_is_in_range_and_fair) {
    static const uint32_t ranges[] = {1, 2, 3, 7, 10, 1000, 0x80000001u, 0xffffffffu};
    enum { N = 70000 };
    for (size_t k = 0; k < sizeof ranges / sizeof *ranges; k++) {
        uint32_t n = ranges[k];
        int bins[10] = {0}, wanted = n < 10 ? (int)n : 10;
        for (uint64_t i = 0; i < N; i++) {
            uint32_t x = rng_below(base, (uint32_t)k, i, n);
            ck_assert_uint_lt(x, n);
            bins[(uint64_t)x * (uint64_t)wanted / n]++;
        }
        double expected = (double)N / wanted, chi = 0;
        for (int i = 0; i < wanted; i++) chi += pow(bins[i] - expected, 2) / expected;
        ck_assert_msg(chi <= 40, "below %u: chi square %g of %d bins", n, chi, wanted);
    }
}
END_TEST

START_TEST(shuffle_is_a_fair_permutation) {
    static const uint32_t counts[] = {0, 1, 2, 17, 1000, 65537};
    uint32_t *order = malloc(65537 * sizeof *order), *again = malloc(65537 * sizeof *order);
    char *seen = malloc(65537);
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        uint32_t count = counts[k], fixed = 0;
        rng_shuffle(base, order, count);
        rng_shuffle(base, again, count);
        memset(seen, 0, 65537);
        for (uint32_t i = 0; i < count; i++) {
            ck_assert_uint_lt(order[i], count);
            ck_assert(!seen[order[i]]);
            seen[order[i]] = 1;
            fixed += order[i] == i;
            ck_assert_uint_eq(order[i], again[i]);
        }
        if (count > 10) ck_assert_uint_le(fixed, 9);
    }
    // All 24 orders of four, over 24000 steps.
    int bins[256] = {0}, orders = 0;
    for (uint32_t step = 0; step < 24000; step++) {
        rng_key key = base;
        key.step = step;
        rng_shuffle(key, order, 4);
        bins[order[0] | order[1] << 2 | order[2] << 4 | order[3] << 6]++;
    }
    double chi = 0;
    for (int i = 0; i < 256; i++) {
        if (!bins[i]) continue;
        orders++;
        chi += pow(bins[i] - 1000, 2) / 1000;
    }
    ck_assert_int_eq(orders, 24);
    ck_assert_msg(chi <= 70, "chi square %g of 23 degrees of freedom", chi);
    free(order);
    free(again);
    free(seen);
}
END_TEST

START_TEST(mt19937_vectors) {
    mt19937 g;
    mt19937_seed(&g, 5489); // the C++ standard's check, [rand.predef]
    for (int i = 0; i < 9999; i++) mt19937_next(&g);
    ck_assert_uint_eq(mt19937_next(&g), 4123659995u);
    static const float rand_42[] = {0.8823f, 0.9150f, 0.3829f, 0.9593f}; // torch.rand, seed 42
    float out[4];
    mt19937_seed(&g, 42);
    mt19937_uniform(&g, out, 4, 0, 1);
    for (int i = 0; i < 4; i++) ck_assert_float_eq_tol(out[i], rand_42[i], 5.1e-5f);
}
END_TEST

// torch.manual_seed(42); torch.empty(100000).uniform_(-1 / sqrt(1408), 1 / sqrt(1408)), bit by bit. (A
// test of models/ follows the same generator through a whole model's initialisation.)
START_TEST(torch_uniform_bits) {
    enum { COUNT = 100000 };
    float *x = malloc(COUNT * sizeof *x);
    mt19937 g;
    mt19937_seed(&g, 42);
    mt19937_uniform(&g, x, COUNT, -1 / sqrt(1408), 1 / sqrt(1408));
    ck_assert_uint_eq(checksum_crc32(0, x, COUNT * sizeof *x), 0x77af8d0d);
    free(x);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {philox_vectors,
                                  every_part_of_the_key_counts,
                                  uniform_and_normal,
                                  normal_is_box_muller,
                                  below_is_in_range_and_fair,
                                  shuffle_is_a_fair_permutation,
                                  mt19937_vectors,
                                  torch_uniform_bits,
                                  NULL};
    return run_suite(suite_of("rng", tests));
}
