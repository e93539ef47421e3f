// Matrices in few bits: NF4 against bitsandbytes (scripts/golden/quantise.py), int8 against its
// definition, what the host says against what the device holds; bad input.
#include "core/files/safetensors.h"
#include "models/nn/quantise.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 75, K = 256, BLOCKS = N * K / NF4_BLOCK, SCALES = (BLOCKS + NF4_SIZES - 1) / NF4_SIZES };

static void golden_read(void *to, const safetensors *file, const char *name, size_t bytes) {
    const safetensors_entry *e;
    if (safetensors_find(&e, file, name)) ck_abort_msg("%s", status_text());
    ck_assert_uint_eq(e->bytes, bytes);
    memcpy(to, e->data, bytes);
}

typedef struct golden {
    float weight[N * K], plain[N * K], table[NF4_TABLE], scale[SCALES], offset;
    uint8_t codes[N * K / 2], sizes[BLOCKS];
} golden;

static void golden_open(golden *g) {
    safetensors *file;
    if (safetensors_open(&file, TEST_DATA "/nf4.safetensors")) ck_abort_msg("%s", status_text());
    golden_read(g->weight, file, "weight", sizeof g->weight);
    golden_read(g->plain, file, "plain", sizeof g->plain);
    golden_read(g->table, file, "values", 16 * sizeof(float));
    golden_read(g->table + 16, file, "size_values", 256 * sizeof(float));
    golden_read(g->scale, file, "scale", sizeof g->scale);
    golden_read(&g->offset, file, "offset", sizeof g->offset);
    golden_read(g->codes, file, "codes", sizeof g->codes);
    golden_read(g->sizes, file, "sizes", sizeof g->sizes);
    safetensors_close(file);
}

static void make(quantise *q, quantisation how, const float *values, int64_t rows, int64_t columns,
                 int64_t step) {
    ck_assert_int_eq(quantise_open(q, how, rows, columns), STATUS_OK);
    for (int64_t r = 0; r < rows; r += step) {
        const int64_t count = rows - r < step ? rows - r : step;
        ck_assert_int_eq(quantise_rows(q, values + r * columns, r, count), STATUS_OK);
    }
    quantise_end(q);
}

// The tables and the plain numbers bit by bit, from the reference's codes; its codes from the
// numbers.
START_TEST(nf4_equals_the_reference) {
    static golden g;
    static float plain[N * K];
    quantise q;
    golden_open(&g);
    make(&q, QUANT_NF4, g.weight, N, K, _i);
    for (int i = 0; i < NF4_TABLE; i++)
        ck_assert_msg(q.table[i] == g.table[i], "value %d: %.9g, %.9g", i, q.table[i], g.table[i]);
    ck_assert(fabsf(q.offset - g.offset) <= 1e-6f * g.offset);
    ck_assert(!memcmp(q.codes, g.codes, sizeof g.codes));
    ck_assert(!memcmp(q.sizes, g.sizes, sizeof g.sizes));
    for (int i = 0; i < SCALES; i++)
        ck_assert(fabsf(q.scale[i] - g.scale[i]) <= 1e-5f * g.scale[i]);
    quantise_plain(&q, plain, 0, N);
    for (int i = 0; i < N * K; i++)
        ck_assert(fabsf(plain[i] - g.plain[i]) <= 1e-6f * (fabsf(g.plain[i]) + g.offset));
    q.offset = g.offset; // a sum in another order
    memcpy(q.scale, g.scale, sizeof g.scale);
    quantise_plain(&q, plain, 0, N);
    ck_assert(!memcmp(plain, g.plain, sizeof plain));
    quantise_close(&q);
}
END_TEST

START_TEST(int8_by_definition) {
    enum { ROWS = 9, WIDTH = 37 };
    float *x = random_floats(ROWS * WIDTH, 3, -2, 2), plain[2 * WIDTH];
    for (int k = 0; k < WIDTH; k++) x[4 * WIDTH + k] = 0;
    quantise q;
    make(&q, QUANT_INT8, x, ROWS, WIDTH, 2);
    for (int r = 0; r < ROWS; r++) {
        float most = 0;
        for (int k = 0; k < WIDTH; k++) most = fmaxf(most, fabsf(x[r * WIDTH + k]));
        ck_assert(q.scale[r] == most / 127);
        quantise_plain(&q, plain, r, 1);
        for (int k = 0; k < WIDTH; k++) {
            ck_assert(plain[k] == (float)((int8_t *)q.codes)[r * WIDTH + k] * q.scale[r]);
            ck_assert(fabsf(plain[k] - x[r * WIDTH + k]) <= 0.5001f * q.scale[r]);
        }
    }
    free(x);
    quantise_close(&q);
}
END_TEST

// Of all that E4M3 can say, the nearest to w / scale, with the smallest power of two that suits the row's largest.
START_TEST(fp8_by_definition) {
    enum { ROWS = 9, WIDTH = 37 };
    static const float sizes[ROWS] = {1, 448, 449, 1e-30f, 0, 3e30f, 0.4375f, 1e-3f, 7};
    float *x = random_floats(ROWS * WIDTH, 3, -1, 1), plain[WIDTH];
    quantise q;
    for (int i = 0; i < ROWS * WIDTH; i++) x[i] *= sizes[i / WIDTH] * (i % WIDTH % 3 ? 1 : 1e-3f);
    for (int r = 0; r < ROWS; r++) x[r * WIDTH] = -sizes[r];
    make(&q, QUANT_FP8, x, ROWS, WIDTH, 2);
    for (int r = 0; r < ROWS; r++) {
        int exponent;
        const double scale = (double)q.scale[r], size = (double)sizes[r];
        ck_assert(frexp(scale, &exponent) == 0.5);
        if (size > 0) ck_assert(size / scale <= 448 && size / scale > 224);
        quantise_plain(&q, plain, r, 1);
        for (int k = 0; k < WIDTH; k++) {
            const double want = (double)x[r * WIDTH + k], got = (double)plain[k];
            for (int code = 0; code < 256; code++) {
                const int power = code >> 3 & 15, fraction = code & 7;
                if ((code & 127) == 127) continue; // NaN
                double other = power ? ldexp(8 + fraction, power - 10) : ldexp(fraction, -9);
                other *= code & 128 ? -scale : scale;
                ck_assert(fabs(got - want) <= fabs(other - want));
                if ((uint8_t)code == ((uint8_t *)q.codes)[r * WIDTH + k]) ck_assert(other == got);
            }
        }
    }
    free(x);
    quantise_close(&q);
}
END_TEST

// What a device gets is what the host has.
START_TEST(uploaded) {
    static const quantisation how[] = {QUANT_INT8, QUANT_NF4};
    float *x = random_floats(6 * 128, 3, -2, 2);
    device *d;
    quantise q;
    quantised u;
    void *block;
    ck_assert_int_eq(device_open_cpu(&d, 1), STATUS_OK);
    make(&q, how[_i], x, 6, 128, 6);
    const size_t bytes = quantise_bytes(how[_i], 6, 128);
    ck_assert_int_eq(d->take(d, bytes, "a test", &block), STATUS_OK);
    quantise_upload(&u, &q, d, block);
    ck_assert(u.how == how[_i] && !memcmp(u.codes, q.codes, _i ? 384 : 768));
    ck_assert(!memcmp(u.scale, q.scale, _i ? 4 : 24));
    ck_assert_uint_lt((size_t)((const char *)u.scale - (char *)block), bytes);
    if (_i)
        ck_assert(u.offset == q.offset && !memcmp(u.sizes, q.sizes, 12) &&
                  !memcmp(u.table, q.table, sizeof q.table));
    if (_i) ck_assert_uint_le((size_t)((const char *)(u.table + NF4_TABLE) - (char *)block), bytes);
    d->release(d, block);
    device_close(d);
    quantise_close(&q);
    free(x);
}
END_TEST

START_TEST(bad_input) {
    quantise q;
    float x[128] = {0};
    ck_assert_int_eq(quantise_open(&q, QUANT_NF4, 3, 100), STATUS_USAGE);
    ck_assert_ptr_nonnull(strstr(status_text(), "these have 100"));
    for (int how = QUANT_INT8; how <= QUANT_FP8; how++) {
        ck_assert_int_eq(quantise_open(&q, (quantisation)how, 2, 64), STATUS_OK);
        for (int bad = 0; bad < 2; bad++) {
            x[70] = bad ? NAN : INFINITY;
            ck_assert_int_eq(quantise_rows(&q, x, 0, 2), STATUS_USAGE);
            ck_assert_ptr_nonnull(strstr(status_text(), "not finite"));
        }
        quantise_close(&q);
    }
    quantise_close(&q); // twice is allowed
}
END_TEST

int main(void) {
    Suite *suite = suite_create("quantise");
    TCase *tests = tcase_create("quantise");
    tcase_add_loop_test(tests, nf4_equals_the_reference, 1, 4);
    tcase_add_test(tests, int8_by_definition);
    tcase_add_test(tests, fp8_by_definition);
    tcase_add_loop_test(tests, uploaded, 0, 2);
    tcase_add_test(tests, bad_input);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
