// The limit that the models' benchmarks are measured against, and the work that they do.
#include "core/log.h"
#include "models/classifier.h"
#include "train/bench.h"

#include <string.h>

// --- the machine ---------------------------------------------------------------------------------------------
enum { PEAK_ROUNDS = 6 };

// Large enough to fill the device, so that neither launching nor splitting counts.
int64_t bench_peak_side(const device *d) {
    return strcmp(d->name, "cuda") ? 2048 : 8192;
}

// Numbers between 1 and 2 in bf16 as well as, two by two, in f32.
static void fill(device *d, void *block, size_t bytes) {
    uint16_t pattern[2048];
    uint32_t state = 1;
    for (size_t i = 0; i < 2048; i++) {
        state = state * 1664525 + 1013904223;
        pattern[i] = (uint16_t)(0x3f80 | state >> 25);
    }
    for (size_t done = 0; done < bytes; done += sizeof pattern) {
        size_t part = bytes - done < sizeof pattern ? bytes - done : sizeof pattern;
        d->upload(d, (char *)block + done, pattern, part);
    }
}

status bench_peak(double *gflops, device *d) {
    const int64_t n = bench_peak_side(d);
    size_t bytes = (size_t)(n * n) * dtype_size(d->type);
    void *out = NULL, *inp = NULL, *weight = NULL, *scratch = NULL;
    status rc = d->take(d, bytes, "a benchmark", &out);
    if (!rc) rc = d->take(d, bytes, "a benchmark", &inp);
    if (!rc) rc = d->take(d, bytes, "a benchmark", &weight);
    if (!rc) rc = d->take(d, d->ops->linear_scratch(n, n, n, d->type, d->stream), "a benchmark", &scratch);
    if (!rc) fill(d, inp, bytes);
    if (!rc) fill(d, weight, bytes);
    for (int i = 0; i < PEAK_ROUNDS && !rc; i++) {
        double start = clock_seconds();
        d->ops->linear_forward(out, inp, weight, NULL, n, n, n, d->type, scratch, d->stream);
        d->wait(d);
        double rate = 2e-9 * (double)n * (double)n * (double)n / (clock_seconds() - start);
        if (rate > *gflops) *gflops = rate; // the first round prepares, and never is the best
        rc = device_failed(d);
    }
    d->release(d, scratch);
    d->release(d, weight);
    d->release(d, inp);
    d->release(d, out);
    return rc;
}

// Several times any cache.
static size_t copy_bytes(const device *d) {
    return strcmp(d->name, "cuda") ? (size_t)256 << 20 : (size_t)2 << 30;
}

status bench_copy(double *gb_per_second, device *d) {
    size_t bytes = copy_bytes(d);
    void *from = NULL, *to = NULL;
    *gb_per_second = 0;
    status rc = d->take(d, bytes, "a benchmark", &from);
    if (!rc) rc = d->take(d, bytes, "a benchmark", &to);
    if (!rc) fill(d, from, (size_t)64 << 20); // pages that were never written would all be one
    for (size_t done = (size_t)64 << 20; done < bytes && !rc; done *= 2)
        d->copy(d, (char *)from + done, from, done < bytes - done ? done : bytes - done);
    for (int i = 0; i < PEAK_ROUNDS && !rc; i++) {
        d->wait(d);
        double start = clock_seconds();
        d->copy(d, to, from, bytes);
        d->wait(d);
        double rate = 2e-9 * (double)bytes / (clock_seconds() - start);
        if (rate > *gb_per_second) *gb_per_second = rate;
        rc = device_failed(d);
    }
    d->release(d, to);
    d->release(d, from);
    return rc;
}

// --- the work ------------------------------------------------------------------------------------------------
static int64_t side_after(int64_t side, int64_t K, int64_t stride, int64_t pad) {
    return (side + 2 * pad - K) / stride + 1;
}

static double conv_flops(const conv_layer *l, int64_t *side) {
    const int64_t *dim = l->weight->dim; // (O, K, K, C)
    *side = side_after(*side, dim[1], l->stride, l->pad);
    return 2 * (double)tensor_count(l->weight) * (double)(*side * *side);
}

double bench_stem_flops(const biovil_t *m) {
    int64_t side = m->config.image_size;
    return conv_flops(&m->conv1, &side) / (double)m->conv1.weight->dim[3];
}

static double block_flops(const bottleneck *b, int64_t *side) {
    int64_t beside = *side;
    double sum = conv_flops(&b->conv1, side);
    sum += conv_flops(&b->conv2, side);
    sum += conv_flops(&b->conv3, side);
    return b->has_downsample ? sum + conv_flops(&b->downsample, &beside) : sum;
}

double bench_encoder_flops(const biovil_t *m) {
    int64_t side = m->config.image_size;
    conv_flops(&m->conv1, &side);
    side = side_after(side, 3, 2, 1); // the pooling
    double sum = bench_stem_flops(m);
    for (int s = 0; s < m->config.stages; s++)
        for (int i = 0; i < m->config.blocks[s]; i++) sum += block_flops(&m->block[s][i], &side);
    if (side != m->grid) die("bench_encoder_flops: a grid of %lld, not %d", (long long)side, m->grid);
    return sum + conv_flops(&m->backbone_to_vit, &side);
}

double bench_classifier_flops(const classifier *m) {
    int64_t side = m->encoder.grid;
    double sum = bench_encoder_flops(&m->encoder);
    sum += conv_flops(&m->encoder.project1, &side) + conv_flops(&m->encoder.project2, &side);
    return sum + 2 * (double)(tensor_count(m->fc1.weight) + tensor_count(m->fc2.weight));
}
