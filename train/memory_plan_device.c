// A device that takes no memory, so that a plan needs none of what it counts.
#include "train/devices.h"
#include "train/memory_plan.h"
#include "train/step.h"

typedef struct planning_device {
    device device; // first: the table is what others hold
    struct device *own, *dry; // OWN: the real one, NULL where that is borrowed
    size_t asked; // bytes so far
} planning_device;

// --- the device ----------------------------------------------------------------------------------
// Distinct and aligned as memory would be; nothing is ever read or written there.
static status planning_take(device *d, size_t bytes, const char *what, void **out) {
    planning_device *p = (planning_device *)d;
    *out = NULL;
    if (bytes > SIZE_MAX / 4 - p->asked)
        return status_fail(STATUS_MEMORY, "%s: %zu bytes are more than can exist", what, bytes);
    *out = (void *)(uintptr_t)(SPACE_ALIGNMENT + p->asked);
    p->asked += (bytes + SPACE_ALIGNMENT - 1) / SPACE_ALIGNMENT * SPACE_ALIGNMENT;
    return STATUS_OK;
}

static void planning_close(device *d) {
    planning_device *p = (planning_device *)d;
    device_close(p->dry);
    device_close(p->own);
    mem_free(p);
}

// Owns OWN from here on, whether it succeeds or not.
static status planning_open(device **out, device *real, device *own) {
    planning_device *p;
    device *dry = NULL;
    *out = NULL;
    status rc = mem_new(&p, 1, "a plan");
    if (!rc) rc = device_open_dry(&dry, real);
    if (rc) {
        mem_free(p);
        device_close(own);
        return rc;
    }
    *p = (planning_device){.device = *dry, .own = own, .dry = dry};
    p->device.name = "plan";
    p->device.take = planning_take;
    p->device.close = planning_close;
    *out = &p->device;
    return STATUS_OK;
}

// --- a run on it ---------------------------------------------------------------------------------
status memory_plan_open(run *r, const stage *s, config *c, device *real, int ranks) {
    const launch local = {.size = ranks, .local_size = ranks}; // they share the cores
    device *own = NULL, *d = NULL;
    comm *all = NULL;
    *r = (run){0};
    status rc = real ? STATUS_OK : device_from_config(&own, c, &local);
    if (!rc) rc = planning_open(&d, real ? real : own, own);
    if (!rc) rc = comm_open_single(&all);
    if (rc) {
        device_close(d);
        return rc;
    }
    all->size = ranks; // its sums do nothing, and on such a device all others neither
    return run_open_on(r, s, c, d, all);
}

size_t memory_plan_asked(const run *r) {
    return ((const planning_device *)r->device)->asked;
}

status memory_plan_of(memory_plan *out, size_t *loader, const stage *s, config *c, device *real,
                      int ranks) {
    run r;
    status rc = memory_plan_open(&r, s, c, real, ranks);
    if (!rc) rc = s->plan(&r);
    if (!rc) rc = step_open(&r);
    if (!rc) rc = memory_plan_make(out, &r);
    if (!rc) *loader = r.loader_bytes;
    run_close(&r);
    return rc;
}
