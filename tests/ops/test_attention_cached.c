// models/ops/attention_cached.c: every device against the oracle; against attention over packed
// rows; and that a row's numbers depend on its own sequence alone.
#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 40 };

// Rows N, each the next position of its slot: slots in turns, beginning at START positions.
typedef struct cached_case {
    int64_t N, HQ, HK, D, P, slots, start, prefix;
} cached_case;

// Everything of a case in host memory, in doubles that every type holds.
typedef struct numbers {
    cached_case c;
    int32_t slot[MOST_ROWS], position[MOST_ROWS];
    double *q, *k, *v, *k_cache, *v_cache, *out; // as elements of a type where a device has them
} numbers;

static double *draw(int64_t count, uint32_t seed, dtype type) {
    float *x = random_floats(count, seed, -1, 1);
    double *out = calloc((size_t)count + 1, sizeof *out);
    for (int64_t i = 0; i < count; i++)
        element_put(out, i, (double)bf16_to_float(bf16_from_float(roundf(x[i] * 64) / 64)), type);
    free(x);
    return out;
}

static int64_t rows_of(const cached_case *c) { return c->N * c->HQ * c->D; }
static int64_t keys_of(const cached_case *c) { return c->N * c->HK * c->D; }
static int64_t cache_of(const cached_case *c) { return c->slots * c->HK * c->P * c->D; }

static void open_numbers(numbers *x, const cached_case *c, dtype type) {
    *x = (numbers){.c = *c};
    for (int64_t n = 0; n < c->N; n++) {
        x->slot[n] = (int32_t)(n % c->slots);
        x->position[n] = (int32_t)(c->start + n / c->slots + (c->start ? n % c->slots : 0));
    }
    x->q = draw(rows_of(c), 1, type);
    x->k = draw(keys_of(c), 2, type);
    x->v = draw(keys_of(c), 3, type);
    x->k_cache = draw(cache_of(c), 4, type);
    x->v_cache = draw(cache_of(c), 5, type);
    x->out = draw(rows_of(c), 6, type);
}

static void close_numbers(numbers *x) {
    free(x->q), free(x->k), free(x->v), free(x->k_cache), free(x->v_cache), free(x->out);
}

// Runs the op on device WHICH through a tape; x->out and the caches become what it made. MOST 0: all.
static void run(numbers *x, int which, int64_t most) {
    device *d = test_device(which), *dry;
    const cached_case *c = &x->c;
    const size_t size = dtype_size(d->type);
    comm *single;
    tape t;
    ck_assert_int_eq(device_open_dry(&dry, d), 0);
    ck_assert_int_eq(comm_open_single(&single), 0);
    ck_assert_int_eq(tape_init(&t, d, dry, single), 0);
    ck_assert_int_eq(tape_allocate(&t, (tape_size){16 << 20, 1 << 10}), 0);
    tape_begin(&t, false);
    double *const host[] = {x->q, x->k, x->v, x->k_cache, x->v_cache};
    const int64_t q_dim[] = {c->N, c->HQ, c->D}, k_dim[] = {c->N, c->HK, c->D};
    const int64_t cache_dim[] = {c->slots, c->HK, c->P, c->D};
    tensor in[5] = {tensor_over(NULL, d->type, 3, q_dim), tensor_over(NULL, d->type, 3, k_dim),
                    tensor_over(NULL, d->type, 3, k_dim), tensor_over(NULL, d->type, 4, cache_dim),
                    tensor_over(NULL, d->type, 4, cache_dim)};
    for (int i = 0; i < 5; i++)
        in[i].data = device_hold(d, host[i], (size_t)tensor_count(&in[i]) * size);
    tensor slot = tensor_over(device_hold(d, x->slot, sizeof x->slot), DTYPE_I32, 1, &c->N);
    tensor at = tensor_over(device_hold(d, x->position, sizeof x->position), DTYPE_I32, 1, &c->N);
    tensor *y = attention_cached(&t, &in[0], &in[1], &in[2],
                                 &(attention_cache){&in[3], &in[4], &slot, &at, most ? most : c->P,
                                                    c->prefix, c->slots - 1});
    d->download(d, x->out, y->data, (size_t)rows_of(c) * size);
    for (int i = 0; i < 5; i++)
        device_fetch(d, host[i], in[i].data, (size_t)tensor_count(&in[i]) * size);
    device_fetch(d, NULL, slot.data, 0), device_fetch(d, NULL, at.data, 0);
    tape_free(&t);
    comm_close(single);
    device_close(dry);
}

static double distance(const double *a, dtype type, const double *b, int64_t count) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        const double x = element_get(a, i, type);
        difference += (x - b[i]) * (x - b[i]);
        size += b[i] * b[i];
    }
    return isfinite(difference) && size > 0 ? sqrt(difference / size) : INFINITY;
}

static const cached_case cases[] = {
    {1, 1, 1, 1, 1, 1, 0, 0},       {3, 2, 1, 6, 5, 2, 0, 0},      {7, 4, 2, 16, 9, 3, 2, 0},
    {12, 6, 6, 10, 70, 4, 60, 0},   {5, 8, 2, 64, 300, 2, 290, 0}, {4, 10, 2, 128, 600, 3, 590, 0},
    {2, 4, 4, 256, 1100, 2, 1090, 0}, {6, 3, 1, 36, 140, 3, 130, 71}, {4, 2, 2, 128, 200, 4, 190, 128},
    {40, 4, 1, 8, 64, 2, 0, 0},     {8, 4, 4, 8, 90, 3, 80, 3},    {5, 12, 2, 24, 600, 2, 513, 520},
};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(devices_agree_with_the_oracle) {
    const cached_case *c = &cases[_i % CASES];
    const int which = _i / CASES;
    if (which == ON_ORACLE) return;
    const dtype type = test_device(which)->type;
    const double most = type == DTYPE_F32 ? 2e-6 : type == DTYPE_BF16 ? 4e-3 : 5e-4;
    numbers x, y;
    open_numbers(&x, c, type);
    open_numbers(&y, c, DTYPE_F64);
    run(&x, which, 0);
    run(&y, ON_ORACLE, 0);
    ck_assert_int_eq(device_failed(test_device(which)), STATUS_OK);
    const double far = distance(x.out, type, y.out, rows_of(c));
    ck_assert_msg(far <= most, "case %d on device %d: %g", _i % CASES, which, far);
    int64_t equal = 0; // copied, and nothing beside it
    for (int64_t i = 0; i < cache_of(c); i++)
        equal += element_get(x.k_cache, i, type) == y.k_cache[i] &&
                 element_get(x.v_cache, i, type) == y.v_cache[i];
    ck_assert_int_eq(equal, cache_of(c));
    close_numbers(&x), close_numbers(&y);
}
END_TEST

// --- what it computes ----------------------------------------------------------------------------
// Two sequences written from their beginnings on are what attention over packed rows makes of them.
START_TEST(equals_attention_over_rows) {
    static const cached_case c = {24, 3, 3, 8, 16, 2, 0, 0};
    numbers x;
    tape t;
    tensor *out[2];
    open_numbers(&x, &c, DTYPE_F32);
    for (int n = 0; n < c.N; n++) x.slot[n] = n < 10, x.position[n] = n < 10 ? n : n - 10;
    int32_t table[2][SEGMENT_COLUMNS] = {{0}};
    const attention_segment s[] = {{.q_count = {10}, .k_count = {10}, .causal = 1},
                                   {.q_first = {10}, .q_count = {14}, .k_first = {10},
                                    .k_count = {14}, .causal = 1}};
    memcpy(table, s, sizeof s);
    run(&x, ON_CPU, 14);
    tape_open_large(&t, false);
    tensor q = tensor_over(x.q, DTYPE_F32, 3, (int64_t[]){c.N, c.HQ, c.D});
    tensor k = tensor_over(x.k, DTYPE_F32, 3, q.dim), v = tensor_over(x.v, DTYPE_F32, 3, q.dim);
    tensor segments = constant_i32(table[0], 2, (int64_t[]){2, SEGMENT_COLUMNS});
    attention_rows(&t, out, &(attention_rows_args){{&q}, {&k}, {&v}, &segments, SEGMENTS_CAUSAL, 14, 14, 0});
    double *expected = to_doubles(out[0]->data, rows_of(&c));
    ck_assert_double_le(distance(x.out, DTYPE_F32, expected, rows_of(&c)), 1e-6);
    free(expected);
    tape_free(&t);
    close_numbers(&x);
}
END_TEST

// A row alone has the bits that it has in a batch, whatever bound of keys the host names.
START_TEST(rows_do_not_see_their_batch) {
    if (_i == ON_ORACLE) return;
    const dtype type = test_device(_i)->type;
    for (int k = 0; k < CASES; k++) {
        cached_case one = cases[k];
        numbers x, y;
        open_numbers(&x, &one, type);
        run(&x, _i, 0);
        const int64_t n = one.N - 1, last = x.position[n] + 1;
        const size_t size = dtype_size(type), row = (size_t)(one.HQ * one.D) * size,
                     keys = (size_t)(one.HK * one.D) * size;
        open_numbers(&y, &one, type);
        memcpy(y.q, (char *)y.q + row * (size_t)n, row);
        memcpy(y.k, (char *)y.k + keys * (size_t)n, keys);
        memcpy(y.v, (char *)y.v + keys * (size_t)n, keys);
        memcpy(y.k_cache, x.k_cache, (size_t)cache_of(&one) * size);
        memcpy(y.v_cache, x.v_cache, (size_t)cache_of(&one) * size);
        y.slot[0] = y.slot[n], y.position[0] = y.position[n];
        y.c.N = 1;
        run(&y, _i, last > one.prefix ? last : one.prefix);
        ck_assert_msg(!memcmp(y.out, (char *)x.out + row * (size_t)n, row), "case %d", k);
        close_numbers(&x), close_numbers(&y);
    }
}
END_TEST

// A prefix in a slot of its own gives the bits of a prefix in each slot.
START_TEST(a_prefix_is_shared) {
    static const int64_t prefixes[] = {1, 63, 64, 70, 128, 140};
    if (_i == ON_ORACLE) return;
    const dtype type = test_device(_i)->type;
    for (int k = 0; k < 6; k++) {
        cached_case c = {6, 4, 2, 16, 160, 3, 150, 0};
        numbers own, shared;
        open_numbers(&own, &c, type);
        for (int n = 0; n < c.N; n++) own.slot[n] = n % 2; // slot 2 is the prefix's
        const size_t head = (size_t)(c.P * c.D) * dtype_size(type),
                     bytes = (size_t)(prefixes[k] * c.D) * dtype_size(type);
        for (int64_t i = 0; i < 2 * c.HK; i++) {
            const int64_t from = 2 * c.HK + i % c.HK;
            memcpy((char *)own.k_cache + head * (size_t)i,
                   (char *)own.k_cache + head * (size_t)from, bytes);
            memcpy((char *)own.v_cache + head * (size_t)i,
                   (char *)own.v_cache + head * (size_t)from, bytes);
        }
        c.prefix = prefixes[k];
        open_numbers(&shared, &c, type);
        memcpy(shared.slot, own.slot, sizeof own.slot);
        run(&own, _i, 0);
        run(&shared, _i, 0);
        ck_assert_msg(!memcmp(own.out, shared.out, (size_t)rows_of(&c) * dtype_size(type)),
                      "a prefix of %d", (int)prefixes[k]);
        close_numbers(&own), close_numbers(&shared);
    }
}
END_TEST

// --- rows of no sequence and rows outside --------------------------------------------------------
START_TEST(rows_of_no_sequence) {
    static const cached_case c = {4, 2, 1, 16, 8, 2, 2, 0};
    const dtype type = test_device(_i)->type;
    numbers x, y;
    open_numbers(&x, &c, type);
    open_numbers(&y, &c, type);
    x.slot[1] = x.slot[2] = -1;
    run(&x, _i, 0);
    run(&y, _i, 0);
    ck_assert_int_eq(device_failed(test_device(_i)), STATUS_OK);
    for (int64_t e = 0; e < rows_of(&c); e++) {
        const int64_t n = e / (c.HQ * c.D);
        const double a = element_get(x.out, e, type), b = element_get(y.out, e, type);
        if (n == 1 || n == 2)
            ck_assert(a == 0);
        else if (n == 0)
            ck_assert(a == b && b != 0);
    }
    close_numbers(&x), close_numbers(&y);
}
END_TEST

START_TEST(rows_outside) {
    static const cached_case c = {3, 2, 1, 16, 8, 2, 2, 0};
    static const int32_t wrong[][2] = {{2, 3}, {1, 8}, {1, -1}};
    device *d = test_device(_i);
    for (int k = 0; k < 3; k++) {
        numbers x;
        open_numbers(&x, &c, d->type);
        double *before = draw(cache_of(&c), 4, d->type);
        x.slot[1] = wrong[k][0], x.position[1] = wrong[k][1];
        x.slot[2] = -1;
        run(&x, _i, 0);
        if (_i == ON_CPU || _i == ON_CPU_BF16) {
            ck_assert_int_eq(device_failed(d), STATUS_FORMAT);
            ck_assert_ptr_nonnull(strstr(status_text(), "attention_cached: row 1 is at position"));
        } else {
            for (int64_t e = 0; e < rows_of(&c); e++)
                ck_assert((e / (c.HQ * c.D) == 1) == !!isnan(element_get(x.out, e, d->type)));
        }
        int64_t changed = 0; // row 0 alone was written
        for (int64_t i = 0; i < cache_of(&c); i++)
            changed += element_get(x.k_cache, i, d->type) != element_get(before, i, d->type);
        ck_assert(changed > 0 && changed <= c.D);
        free(before);
        close_numbers(&x);
    }
}
END_TEST

START_TEST(no_rows) {
    device *d = test_device(_i);
    double one = 7, back;
    void *block = device_hold(d, &one, sizeof one);
    const cached_shape z = {0, 2, 1, 4, 8, 1, 8, 0, 0, 1, block, block};
    d->ops->cache_write(block, block, block, block, &z, d->type, d->stream);
    d->ops->attention_cached_forward(block, block, block, block, &z, d->type, NULL, d->stream);
    device_fetch(d, &back, block, sizeof back);
    ck_assert(!memcmp(&one, &back, sizeof one));
    ck_assert_int_eq(device_failed(d), STATUS_OK);
}
END_TEST

// --- wrong calls ---------------------------------------------------------------------------------
static void call(tape *t, int64_t HQ, int64_t D, int64_t most, int64_t prefix, bool wants) {
    const int64_t N = 2;
    gradient g = {0};
    tensor *q = tape_tensor(t, 3, (int64_t[]){N, HQ, D});
    tensor *k = tape_tensor(t, 3, (int64_t[]){N, 2, D});
    tensor *cache = tape_tensor(t, 4, (int64_t[]){3, 2, 9, D});
    tensor *index = tape_tensor_of(t, DTYPE_I32, 1, &N);
    if (wants) tensor_want(q, &g, NULL);
    attention_cached(t, q, k, k, &(attention_cache){cache, cache, index, index, most, prefix, 2});
}
static void no_multiple(tape *t) { call(t, 3, 8, 9, 0, false); }
static void too_wide(tape *t) { call(t, 2, 257, 9, 0, false); }
static void too_many(tape *t) { call(t, 2, 8, 10, 0, false); }
static void long_prefix(tape *t) { call(t, 2, 8, 9, 10, false); }
static void wants_gradient(tape *t) { call(t, 2, 8, 9, 0, true); }

START_TEST(wrong_calls) {
    expect_death(no_multiple, "attention_cached: 3 heads of queries and 2 of keys");
    expect_death(too_wide, "attention_cached: heads of 257, expected at most 256");
    expect_death(too_many, "attention_cached: up to 10 keys, the cache has 9");
    expect_death(long_prefix, "attention_cached: a prefix of 10 in slot 2, the cache has 3 of 9");
    expect_death(wants_gradient, "attention_cached: has no backward pass");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("attention_cached");
    TCase *tests = tcase_create("attention_cached");
    tcase_set_timeout(tests, 600);
    tcase_add_loop_test(tests, devices_agree_with_the_oracle, 0, CASES * TEST_DEVICES);
    tcase_add_test(tests, equals_attention_over_rows);
    tcase_add_loop_test(tests, rows_do_not_see_their_batch, 0, TEST_DEVICES);
    tcase_add_loop_test(tests, a_prefix_is_shared, 0, TEST_DEVICES);
    tcase_add_loop_test(tests, rows_of_no_sequence, 0, TEST_DEVICES);
    tcase_add_loop_test(tests, rows_outside, 0, TEST_DEVICES);
    tcase_add_loop_test(tests, no_rows, 0, TEST_DEVICES);
    tcase_add_test(tests, wrong_calls);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
