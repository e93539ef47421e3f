// What products of matrices reach in each precision: what a processor lists says whether it has instructions for bf16,
// not what they are worth.
#include "core/onednn.h"
#include "train/bench.h"
#include "train/devices.h"
#include "train/doctor.h"

#include <stdio.h>

static const double WORTH_IT = 1.1; // of f32's rate: what is no product gains nothing, and casts cost

void doctor_judge_products(doctor *d, double f32, double bf16) {
    char found[64];
    const bool worth = bf16 >= WORTH_IT * f32;
    doctor_fact(d, "products_f32", 1e9 * f32);
    doctor_fact(d, "products_bf16", 1e9 * bf16);
    snprintf(found, sizeof found, "%.0f GFLOP/s in f32, %.0f in bf16", f32, bf16);
    doctor_line(d, worth ? DOCTOR_FINE : DOCTOR_ADVICE, "products", found, "%s",
                worth ? "--precision bf16 is the faster one"
                      : "--precision f32 is the faster one; a frozen base takes half the memory in bf16");
}

void doctor_products(doctor *d) {
    static const dtype types[] = {DTYPE_F32, DTYPE_BF16};
    double rate[2] = {0};
    status rc = STATUS_OK;
    for (int i = 0; i < 2 && !rc; i++) {
        device *cpu = NULL;
        rc = cpu_device_open(&cpu, types[i], (int)config_int(d->config, "run.threads"));
        if (!rc) rc = bench_peak(&rate[i], cpu);
        device_close(cpu);
    }
    if (!onednn_bf16_is_fast() && rate[1] > rate[0]) rate[1] = rate[0]; // the same products: the machine was busy
    if (rc)
        doctor_line(d, DOCTOR_ADVICE, "products", "not measured", "%s", status_text());
    else
        doctor_judge_products(d, rate[0], rate[1]);
}
