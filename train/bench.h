// What the benchmarks of `radialog bench` share: their options, times, and a report that is written
// once and printed for people or as JSON. For train/command_bench.c and train/bench_*.c.
#pragma once
#include "core/config.h"
#include "core/device.h"
#include "train/cli.h"

enum { BENCH_ROUNDS_MAX = 10000 };

typedef struct bench {
    config *config;
    int64_t batch, size;   // 0: the benchmark's own
    int64_t rounds;        // timed ones
    int64_t warmup;        // rounds before them
    int64_t tokens;        // generate: of an answer
    int64_t images;        // loader: in a round, at least; ingest: studies of a drawn set. 0: its own
    int64_t max_side;      // of its images
    int threads;           // 0: not given
    bool plain;            // ingest: store without compression
    const char *data;      // NULL: not given
    const char *vocabulary; // tokenizer. NULL: not given
    bool paced;            // each timed round waits for a line on stdin
    double *seconds, *cpu; // (rounds): wall clock, and of all threads in user and system mode
    double started, cpu_started;
    double peak;           // GFLOP/s: see bench_peak
    buffer text, json;     // the report
} bench;

status bench_classifier(bench *b);
status bench_encoder(bench *b);
status bench_aligner(bench *b);
status bench_lora(bench *b);
status bench_generate(bench *b);
status bench_loader(bench *b);
status bench_ingest(bench *b);
status bench_tokenizer(bench *b);
status bench_device(bench *b);

// --- times -----------------------------------------------------------------------------------------------
// Around each round, from -warmup (these are not kept) to rounds - 1. Paced, "ready" stands on stdout
// before round 0, and both times of a round after it. INTERRUPTED after a signal, IO where the lines end.
status bench_begin(bench *b, int64_t round);
void bench_end(bench *b, int64_t round);
// The most memory that the process has held so far, in MB (VmHWM).
double bench_peak_memory(void);

typedef struct bench_spread {
    double median, min, max;
} bench_spread;
// Of the COUNT numbers in VALUES, which it sorts.
bench_spread bench_sort(double *values, int64_t count);

// Park and Miller's generator below BELOW, which a few lines of any language repeat.
int64_t bench_draw(int64_t *seed, int64_t below);

// --- the report ------------------------------------------------------------------------------------------
// KEY is the JSON member, WHAT the line for people. Numbers keep DIGITS behind the point in text.
void bench_name(bench *b, const char *name);
void bench_number(bench *b, const char *key, const char *what, double value, int digits);
void bench_word(bench *b, const char *key, const char *what, const char *value);

// --- models (train/bench_step.c) -----------------------------------------------------------------
struct run;
// Sizes the tape for a step of R's stage with what its batch has room for.
status bench_plan_training(struct run *r);
// Warm-up and timed steps. *LOSS: the last one's.
status bench_time_training(bench *b, struct run *r, double *loss);
// How many numbers train.
double bench_trained(const struct run *r);
// Times, rates, share of the limit and MEMORY (MB), where a round is COUNT samples of FLOPS each.
// UNIT: "image", in keys and lines.
status bench_report_times(bench *b, const struct run *r, const char *unit, int64_t count,
                          double flops, double memory);

// --- the limit (train/bench_peak.c) ----------------------------------------------------------------------
struct biovil_t;
struct classifier;
// The best of several square matrix products through the device's own linear kernel, in GFLOP/s, and of
// *GFLOPS before. Called before and after the rounds: where other programs run too, either may be low.
status bench_peak(double *gflops, device *d);
int64_t bench_peak_side(const device *d); // of its matrices
// The best of several copies within the device's memory, bytes read and bytes written counted.
status bench_copy(double *gb_per_second, device *d);
// Floating-point operations of one image's forward pass, matrices and convolutions alone, a multiply-add
// counting two. The stem counts the one channel that it reads.
double bench_encoder_flops(const struct biovil_t *m);
double bench_classifier_flops(const struct classifier *m);
// Of the stem alone: its input wants no gradient, so training does it twice and the rest three times.
double bench_stem_flops(const struct biovil_t *m);
