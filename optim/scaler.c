// The dynamic loss scale; torch.cuda.amp.GradScaler's rule (_amp_update_scale_).
#include "optim/scaler.h"

#include <float.h>

scaler scaler_new(void) {
    return (scaler){.scale = 65536, .growth = 2, .backoff = 0.5, .interval = 2000};
}

scaler scaler_none(void) {
    return (scaler){.scale = 1};
}

void scaler_update(scaler *s, bool finite) {
    if (!s->interval) return;
    if (!finite) {
        double lower = s->scale * s->backoff;
        // torch lets it fall to 0, after which every gradient is 0 in silence.
        if (lower >= (double)FLT_MIN) s->scale = lower;
        s->good_steps = 0;
    } else if (++s->good_steps >= s->interval) {
        double higher = s->scale * s->growth;
        if (higher <= (double)FLT_MAX) s->scale = higher;
        s->good_steps = 0;
    }
}
