// What doctor asks of NVIDIA's libraries.
#include "core/cuda/cublas.h"
#include "core/cuda/cudnn.h"
#include "core/cuda/nccl.h"
#include "core/gpu.h"

status gpu_library_find(gpu_library *out, int which) {
    static const struct {
        const char *name;
        status (*find)(library_facts *out);
    } all[GPU_LIBRARIES] = {{"cuBLASLt", cublas_library}, {"cuDNN", cudnn_library}, {"NCCL", nccl_library}};
    if (which < 0 || which >= GPU_LIBRARIES) die("gpu_library_find: library %d", which);
    *out = (gpu_library){.name = all[which].name};
    return all[which].find(&out->facts);
}
