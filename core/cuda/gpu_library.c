// What doctor asks of NVIDIA's libraries.
#include "core/cuda/cublas.h"
#include "core/cuda/cudnn.h"
#include "core/cuda/nccl.h"
#include "core/gpu.h"

#include <string.h>

status gpu_library_find(gpu_library *out, int which) {
    static const struct {
        const char *name;
        status (*find)(library_facts *out);
    } all[GPU_LIBRARIES] = {{"cuBLASLt", cublas_library}, {"cuDNN", cudnn_library}, {"NCCL", nccl_library}};
    library_facts facts;
    if (which < 0 || which >= GPU_LIBRARIES) die("gpu_library_find: library %d", which);
    *out = (gpu_library){.name = all[which].name};
    status rc = all[which].find(&facts);
    if (rc) return rc;
    memcpy(out->path, facts.path, sizeof out->path);
    out->major = facts.major;
    out->minor = facts.minor;
    out->patch = facts.patch;
    return STATUS_OK;
}
