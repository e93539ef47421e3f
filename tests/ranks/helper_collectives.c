#include "tests/ranks/helper_collectives.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GUARD = 64, PATTERN = 0xab };
static const dtype types[] = {DTYPE_F32, DTYPE_F64, DTYPE_BF16, DTYPE_F16,
                              DTYPE_I64, DTYPE_I32, DTYPE_I8,   DTYPE_U8};
static const int64_t counts[] = {0, 1, 2, 3, 7, 64, 333, 4099};
enum { TYPES = sizeof types / sizeof *types, COUNTS = sizeof counts / sizeof *counts };

int check_rank;

void check_that(bool holds, const char *what, const char *file, int line) {
    if (holds) return;
    fprintf(stderr, "%s:%d: rank %d: not so: %s (%s)\n", file, line, check_rank, what, status_text());
    fflush(stderr);
    _exit(1);
}

// --- blocks ------------------------------------------------------------------------------------------
static size_t block_bytes(const block *b) {
    return (size_t)b->count * dtype_size(b->type);
}

void block_open(block *b, device *d, dtype type, int64_t count) {
    *b = (block){.device = d, .type = type, .count = count};
    void *data;
    CHECK(!d->take(d, block_bytes(b) + 2 * GUARD, "a block", &data));
    b->host = malloc(block_bytes(b) + 2 * GUARD);
    memset(b->host, PATTERN, block_bytes(b) + 2 * GUARD);
    b->data = (char *)data + GUARD;
    block_send(b);
}

static void *inner(const block *b) {
    return b->host + GUARD;
}

// Whole numbers into and out of any type.
void block_put(block *b, int64_t i, double value) {
    char *at = (char *)inner(b) + (size_t)i * dtype_size(b->type);
    switch (b->type) {
    case DTYPE_I64: memcpy(at, &(int64_t){(int64_t)value}, 8); break;
    case DTYPE_I32: memcpy(at, &(int32_t){(int32_t)value}, 4); break;
    case DTYPE_I8:
    case DTYPE_U8: *at = (char)(int)value; break;
    default: element_put(inner(b), i, value, b->type);
    }
}

double block_get(const block *b, int64_t i) {
    const char *at = (const char *)inner(b) + (size_t)i * dtype_size(b->type);
    int64_t wide;
    int32_t narrow;
    switch (b->type) {
    case DTYPE_I64: memcpy(&wide, at, 8); return (double)wide;
    case DTYPE_I32: memcpy(&narrow, at, 4); return narrow;
    case DTYPE_I8: return *(const int8_t *)at;
    case DTYPE_U8: return *(const uint8_t *)at;
    default: return element_get(inner(b), i, b->type);
    }
}

void block_send(block *b) {
    b->device->upload(b->device, b->data - GUARD, b->host, block_bytes(b) + 2 * GUARD);
}

void block_take(block *b) {
    b->device->download(b->device, b->host, b->data - GUARD, block_bytes(b) + 2 * GUARD);
    for (int i = 0; i < GUARD; i++) {
        CHECK((unsigned char)b->host[i] == PATTERN);
        CHECK((unsigned char)b->host[GUARD + block_bytes(b) + (size_t)i] == PATTERN);
    }
}

void block_close(block *b) {
    b->device->release(b->device, b->data - GUARD);
    free(b->host);
}

double number_of(int rank, int64_t i, int salt) {
    uint64_t x = (uint64_t)i * 0x9e3779b97f4a7c15u + (uint64_t)(rank * 131 + salt * 7919 + 1);
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
    return (double)((x >> 32) % 30); // 8 ranks of 29 stay below 256
}

double sum_of_numbers(int ranks, int64_t i, int salt) {
    double sum = 0;
    for (int r = 0; r < ranks; r++) sum += number_of(r, i, salt);
    return sum;
}

// I8 holds less, and wraps on all sides alike.
static bool holds(const block *b, int64_t i, double value) {
    double got = block_get(b, i);
    return b->type == DTYPE_I8 ? (int8_t)(int)value == (int8_t)(int)got : got == value;
}

// --- the operations ------------------------------------------------------------------------------------
static void check_sum(comm *c, device *d, dtype type, int64_t count, int salt) {
    block x;
    block_open(&x, d, type, count);
    for (int64_t i = 0; i < count; i++) block_put(&x, i, number_of(c->rank, i, salt));
    block_send(&x);
    c->all_reduce_sum(c, x.data, count, type, d);
    block_take(&x);
    for (int64_t i = 0; i < count; i++) CHECK(holds(&x, i, sum_of_numbers(c->size, i, salt)));
    block_close(&x);
}

static void check_gather(comm *c, device *d, dtype type, int64_t count, bool in_place) {
    block all, own;
    block_open(&all, d, type, count * c->size);
    block_open(&own, d, type, count);
    for (int64_t i = 0; i < count; i++) block_put(&own, i, number_of(c->rank, i, 3));
    block_send(&own);
    char *place = all.data + (size_t)(c->rank * count) * dtype_size(type);
    if (in_place) d->copy(d, place, own.data, (size_t)count * dtype_size(type));
    c->all_gather(c, all.data, in_place ? place : own.data, count, type, d);
    block_take(&all);
    block_take(&own);
    for (int r = 0; r < c->size; r++)
        for (int64_t i = 0; i < count; i++) CHECK(holds(&all, r * count + i, number_of(r, i, 3)));
    for (int64_t i = 0; i < count; i++) CHECK(holds(&own, i, number_of(c->rank, i, 3)));
    block_close(&all);
    block_close(&own);
}

static void check_scatter(comm *c, device *d, dtype type, int64_t count, bool in_place) {
    block all, own;
    int64_t first = c->rank * count;
    block_open(&all, d, type, count * c->size);
    block_open(&own, d, type, count);
    for (int64_t i = 0; i < count * c->size; i++) block_put(&all, i, number_of(c->rank, i, 5));
    block_send(&all);
    char *place = all.data + (size_t)first * dtype_size(type);
    c->reduce_scatter(c, in_place ? place : own.data, all.data, count, type, d);
    if (in_place) d->copy(d, own.data, place, (size_t)count * dtype_size(type));
    block_take(&own);
    block_take(&all);
    for (int64_t i = 0; i < count; i++)
        CHECK(holds(&own, i, sum_of_numbers(c->size, first + i, 5)));
    for (int64_t i = 0; i < count * c->size && !in_place; i++)
        CHECK(holds(&all, i, number_of(c->rank, i, 5)));
    block_close(&all);
    block_close(&own);
}

static void check_broadcast(comm *c, device *d, int64_t count, int root) {
    block x;
    block_open(&x, d, DTYPE_U8, count);
    for (int64_t i = 0; i < count; i++) block_put(&x, i, number_of(c->rank, i, 9));
    block_send(&x);
    c->broadcast(c, x.data, (size_t)count, root, d);
    block_take(&x);
    for (int64_t i = 0; i < count; i++) CHECK(holds(&x, i, number_of(root, i, 9)));
    block_close(&x);
}

void check_collectives(comm *c, device *d) {
    for (int n = 0; n < COUNTS; n++) {
        for (int t = 0; t < TYPES; t++) {
            check_sum(c, d, types[t], counts[n], t);
            for (int in_place = 0; in_place < 2; in_place++) {
                check_gather(c, d, types[t], counts[n], in_place);
                check_scatter(c, d, types[t], counts[n], in_place);
            }
        }
        for (int root = 0; root < c->size; root++) check_broadcast(c, d, counts[n], root);
    }
    c->barrier(c);
    for (int most = 0; most < c->size; most++) {
        int value = c->rank == most ? 100 + most : -c->rank;
        CHECK(c->agree_max(c, value) == 100 + most);
    }
    CHECK(c->agree_max(c, -5) == -5);
    CHECK(!comm_failed(c));
}

void check_adjoint(comm *c, device *d) {
    enum { COUNT = 37 };
    block x, all, y, back;
    block_open(&x, d, DTYPE_F64, COUNT);
    block_open(&back, d, DTYPE_F64, COUNT);
    block_open(&all, d, DTYPE_F64, COUNT * c->size);
    block_open(&y, d, DTYPE_F64, COUNT * c->size);
    for (int64_t i = 0; i < COUNT; i++) block_put(&x, i, number_of(c->rank, i, 1));
    for (int64_t i = 0; i < COUNT * c->size; i++) block_put(&y, i, number_of(c->rank, i, 2));
    block_send(&x);
    block_send(&y);
    c->all_gather(c, all.data, x.data, COUNT, DTYPE_F64, d);
    c->reduce_scatter(c, back.data, y.data, COUNT, DTYPE_F64, d);
    block_take(&all);
    block_take(&back);
    double left = 0, right = 0;
    for (int64_t i = 0; i < COUNT * c->size; i++) left += block_get(&all, i) * block_get(&y, i);
    for (int64_t i = 0; i < COUNT; i++) right += block_get(&x, i) * block_get(&back, i);
    block sides;
    block_open(&sides, d, DTYPE_F64, 2);
    block_put(&sides, 0, left);
    block_put(&sides, 1, right);
    block_send(&sides);
    c->all_reduce_sum(c, sides.data, 2, DTYPE_F64, d);
    block_take(&sides);
    CHECK(block_get(&sides, 0) > 0);
    CHECK(block_get(&sides, 0) == block_get(&sides, 1));
    block_close(&sides), block_close(&x), block_close(&y), block_close(&all), block_close(&back);
}

void check_buckets(comm *c, device *d) {
    enum { BUCKETS = 12 };
    block x[BUCKETS], written, more;
    for (int round = 0; round < 4; round++) {
        for (int b = 0; b < BUCKETS; b++) {
            int64_t count = 1 + 517 * b;
            dtype type = b % 3 ? DTYPE_F32 : DTYPE_F64;
            block_open(&x[b], d, type, count);
            block_open(&written, d, type, count);
            for (int64_t i = 0; i < count; i++) block_put(&written, i, number_of(c->rank, i, b));
            block_send(&written);
            // The sum must wait for what the device has been told to write.
            d->copy(d, x[b].data, written.data, (size_t)count * dtype_size(type));
            c->all_reduce_start(c, x[b].data, count, type, d);
            if (b % 4 == round) check_sum(c, d, DTYPE_F32, 100 + b, b);
            if (b == 7) CHECK(c->agree_max(c, c->rank) == c->size - 1);
            if (b == 9) check_scatter(c, d, DTYPE_F32, 11, false);
            d->wait(d);
            block_close(&written);
        }
        c->all_reduce_finish(c, d);
        for (int b = 0; b < BUCKETS; b++) {
            block_take(&x[b]);
            for (int64_t i = 0; i < x[b].count; i++)
                CHECK(block_get(&x[b], i) == sum_of_numbers(c->size, i, b));
            block_close(&x[b]);
        }
    }
    c->all_reduce_finish(c, d); // none was started
    block_open(&more, d, DTYPE_F64, 1);
    c->all_reduce_start(c, more.data, 0, DTYPE_F64, d);
    c->all_reduce_finish(c, d);
    block_take(&more);
    block_close(&more);
    CHECK(!comm_failed(c));
}

void check_dry(comm *c, const device *real) {
    device dry = *real;
    int64_t before = c->sequence;
    void *nowhere = (void *)(uintptr_t)64;
    dry.dry = true;
    c->all_reduce_sum(c, nowhere, 1000, DTYPE_F32, &dry);
    c->all_reduce_start(c, nowhere, 1000, DTYPE_F32, &dry);
    c->all_reduce_finish(c, &dry);
    c->all_gather(c, nowhere, nowhere, 1000, DTYPE_F32, &dry);
    c->reduce_scatter(c, nowhere, nowhere, 1000, DTYPE_F32, &dry);
    c->broadcast(c, nowhere, 1000, 0, &dry);
    CHECK(c->sequence == before);
}
