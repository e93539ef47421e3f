// Opening cuDNN, on a GPU or for one that is only described.
#include "core/cuda/cudnn_private.h"

#include <string.h>

#define SYMBOL(function) LIBRARY_SYMBOL(cudnn_functions, function)
static const library_symbol symbols[] = {CUDNN_FUNCTIONS(SYMBOL)};

static const char *const names[] = {"libcudnn.so.9", NULL};
static const library_kind kind = {"cuDNN 9", names,
                                  "install cuDNN 9 for this version of CUDA (libcudnn9-cuda-13 or "
                                  "-12, or the Python wheel nvidia-cudnn-cu13 "
                                  "or -cu12)",
                                  .nvidia = true};

#if CUDART_VERSION >= 13000
static const char *const compiler_names[] = {"libnvrtc.so.13", NULL};
#else
static const char *const compiler_names[] = {"libnvrtc.so.12", NULL};
#endif
static const library_kind compiler_kind = {"NVRTC", compiler_names,
                                           "install the CUDA toolkit's NVRTC", .nvidia = true};

// NVRTC first: cuDNN opens it by name, and finds what is open already wherever that stood. Without
// it only engines that are compiled at run time are missing, and cuDNN says so then.
static status open_libraries(cudnn *c) {
    library_open(&c->compiler, &compiler_kind);
    status rc = library_open(&c->library, &kind);
    if (!rc)
        rc = library_symbols(&c->library, &kind, symbols, sizeof symbols / sizeof *symbols, &c->f);
    return rc;
}

status cudnn_library(library_facts *out) {
    library l;
    cudnn_functions f;
    *out = (library_facts){.built = {CUDNN_MAJOR, CUDNN_MINOR, CUDNN_PATCHLEVEL}};
    status rc = library_open(&l, &kind);
    if (!rc) rc = library_symbols(&l, &kind, symbols, sizeof symbols / sizeof *symbols, &f);
    if (!rc) {
        const int version = (int)f.cudnnGetVersion(); // 91900 for 9.19.0
        memcpy(out->path, l.path, sizeof out->path);
        out->version[0] = version / 10000;
        out->version[1] = version / 100 % 100;
        out->version[2] = version % 100;
    }
    library_close(&l);
    return rc;
}

static status refused(const cudnn *c, cudnnStatus_t e, const char *what) {
    char text[192] = "";
    if (!e) return STATUS_OK;
    c->f.cudnnGetLastErrorString(text, sizeof text);
    return status_fail(STATUS_DEVICE, "cuDNN (%s): %s: %s", c->library.path, what,
                       *text ? text : c->f.cudnnGetErrorString(e));
}

static status open_with(cudnn **out, bool tf32) {
    status rc = mem_new(out, 1, "cuDNN");
    if (rc) return rc;
    (*out)->tf32 = tf32;
    return open_libraries(*out);
}

status cudnn_open(cudnn **out, stream *s) {
    cudnn *c = NULL;
    *out = NULL;
    status rc = open_with(&c, stream_cuda(s)->tf32);
    if (!rc) rc = refused(c, c->f.cudnnCreate(&c->handle), "it cannot be started");
    if (!rc) rc = refused(c, c->f.cudnnSetStream(c->handle, stream_cuda(s)->handle), "the stream");
    if (rc)
        cudnn_close(c);
    else
        *out = c;
    return rc;
}

status cudnn_open_described(cudnn **out, const char *json, bool tf32) {
    cudnn *c = NULL;
    *out = NULL;
    status rc = open_with(&c, tf32);
    if (!rc)
        rc = refused(
            c,
            c->f.cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &c->described),
            "a device's description");
    if (!rc)
        rc = refused(c,
                     c->f.cudnnBackendSetAttribute(c->described,
                                                   CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                                   CUDNN_TYPE_CHAR, (int64_t)strlen(json), json),
                     "a device's description");
    if (!rc) rc = refused(c, c->f.cudnnBackendFinalize(c->described), "a device's description");
    if (rc)
        cudnn_close(c);
    else
        *out = c;
    return rc;
}

static void plan_release(void *entry, void *context) {
    const cudnn *c = context;
    plan *p = entry;
    if (p->plan) c->f.cudnnBackendDestroyDescriptor(p->plan);
}

void cudnn_close(cudnn *c) {
    if (!c) return;
    keyed_free(&c->plans, plan_release, c);
    if (c->described) c->f.cudnnBackendDestroyDescriptor(c->described);
    if (c->handle) c->f.cudnnDestroy(c->handle);
    library_close(&c->library);
    library_close(&c->compiler);
    mem_free(c);
}
