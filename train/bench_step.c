// What the benchmarks of models share: timed training steps, and the report of times.
#include "core/gpu.h"
#include "train/bench.h"
#include "train/step.h"

#include <stdio.h>
#include <string.h>

// --- training ------------------------------------------------------------------------------------
status bench_plan_training(run *r) {
    tape_begin(&r->tape, true);
    params_begin(&r->params);
    r->tape.training = true;
    tape_backward(&r->tape, r->stage->loss(r), 1);
    return tape_allocate(&r->tape, tape_used(&r->tape));
}

status bench_time_training(bench *b, run *r, double *loss) {
    step_result result = {0};
    status rc = STATUS_OK;
    for (int64_t i = -b->warmup; i < b->rounds && !rc; i++) {
        rc = bench_begin(b, i);
        if (!rc) rc = step_load(r);
        if (!rc) rc = step_launch(r, config_float(b->config, "optim.lr"));
        r->device->wait(r->device);
        if (!rc) bench_end(b, i);
    }
    if (!rc) step_read(r, r->step, &result);
    if (!rc) *loss = step_value(r, &result, 0);
    return rc;
}

double bench_trained(const run *r) {
    double count = 0;
    for (size_t i = 0; i < r->params.count; i++)
        if (r->params.item[i]->value.grad) count += (double)tensor_count(&r->params.item[i]->value);
    return count;
}

// --- the report ----------------------------------------------------------------------------------
// What is taken of the GPU's memory, by libraries and other programs as well.
static status report_device_memory(bench *b, const run *r) {
    gpu_facts facts;
    if (strcmp(r->device->name, "cuda")) return STATUS_OK;
    status rc = gpu_describe(&facts, 0);
    if (rc) return rc;
    bench_number(b, "device_memory_mb", "memory of the GPU, MB",
                 1e-6 * (double)(facts.memory - facts.free), 1);
    return STATUS_OK;
}

status bench_report_times(bench *b, const run *r, const char *unit, int64_t count, double flops,
                          double memory) {
    char each[64], per_second[64], plural[64], work[64];
    bench_spread t = bench_sort(b->seconds, b->rounds);
    double rate = 1e-9 * flops * (double)count / t.median;
    status rc = bench_peak(&b->peak, r->device);
    if (rc) return rc;
    snprintf(per_second, sizeof per_second, "%ss_per_second", unit);
    snprintf(plural, sizeof plural, "%ss a second", unit);
    snprintf(each, sizeof each, "gflop_per_%s", unit);
    snprintf(work, sizeof work, "GFLOP %s %s", *unit == 'i' ? "an" : "a", unit);
    bench_number(b, "ms_median", "ms a round, median", 1e3 * t.median, 2);
    bench_number(b, "ms_min", "  smallest", 1e3 * t.min, 2);
    bench_number(b, "ms_max", "  largest", 1e3 * t.max, 2);
    bench_number(b, per_second, plural, (double)count / t.median, 3);
    bench_number(b, each, work, 1e-9 * flops, 3);
    bench_number(b, "gflops", "GFLOP/s", rate, 1);
    bench_number(b, "peak_gflops", "GFLOP/s of a matrix product", b->peak, 1);
    bench_number(b, "share_of_peak", "share of that", rate / b->peak, 3);
    bench_number(b, "peak_memory_mb", "peak memory, MB", memory, 1);
    return report_device_memory(b, r);
}
