// radialog synth OUT
#include "data/synth.h"
#include "train/commands.h"

#include <stdio.h>

static const option options[] = {
    {"studies", "N", "studies to draw (default 600)"},
    {"seed", "S", "of everything that is drawn (default 1)"},
    {"max-side", "PIXELS", "no image is larger (default 3056)"},
    {0},
};

static status synth(const arguments *a) {
    int64_t studies, seed, side;
    status rc = argument_int(a, "studies", 1, 1000000, 600, &studies);
    if (!rc) rc = argument_int(a, "seed", 0, INT64_MAX, 1, &seed);
    if (!rc) rc = argument_int(a, "max-side", 256, 3056, 3056, &side);
    if (rc) return rc;
    synth_options o = {
        .out = a->positional[0], .studies = studies, .seed = (uint64_t)seed, .max_side = (int)side};
    rc = synth_write(&o);
    if (!rc && argument_given(a, "json"))
        printf("{\"studies\":%lld}\n", (long long)studies);
    else if (!rc)
        printf("%lld studies written to %s\n", (long long)studies, o.out);
    return rc;
}

const command command_synth = {
    .name = "synth",
    .positional = "OUT",
    .summary = "writes the embedded data set: drawn radiographs and their reports, as MIMIC-CXR-JPG",
    .options = options,
    .run = synth,
};
