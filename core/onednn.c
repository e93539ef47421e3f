#include "core/onednn.h"
#include "core/memory.h"

#include <oneapi/dnnl/dnnl.h>

struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

status onednn_open(onednn **out) {
    onednn *o = NULL;
    status rc = mem_new(&o, 1, "the oneDNN engine");
    if (rc) return rc;
    if (dnnl_engine_create(&o->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&o->stream, o->engine, dnnl_stream_in_order) != dnnl_success) {
        onednn_close(o);
        return status_fail(STATUS_DEVICE, "oneDNN: cannot create its CPU engine");
    }
    *out = o;
    return STATUS_OK;
}

void onednn_close(onednn *o) {
    if (!o) return;
    if (o->stream) dnnl_stream_destroy(o->stream);
    if (o->engine) dnnl_engine_destroy(o->engine);
    mem_free(o);
}
