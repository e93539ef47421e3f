// The device's ceilings: what copies and matrix products reach at best. Everything else is a share of them.
#include "train/bench.h"
#include "train/devices.h"

status bench_device(bench *b) {
    device *d = NULL;
    double copy = 0;
    status rc = device_from_config(&d, b->config, NULL);
    if (!rc) rc = bench_copy(&copy, d);
    if (!rc) rc = bench_peak(&b->peak, d);
    if (!rc) {
        bench_name(b, "device");
        bench_word(b, "device", "device", d->name);
        bench_word(b, "precision", "precision", config_text(b->config, "run.precision"));
        bench_number(b, "copy_gb_per_second", "copy, GB/s read and written", copy, 1);
        bench_number(b, "product_side", "rows of the matrices", (double)bench_peak_side(d), 0);
        bench_number(b, "product_gflops", "GFLOP/s of their product", b->peak, 1);
    }
    device_close(d);
    return rc;
}
