#include "core/cuda/cublas.h"
#include "core/cuda/stream.h"
#include "core/keyed.h"

#include <cublasLt.h>
#include <string.h>

#define FUNCTIONS(X)                                                                               \
    X(cublasLtCreate)                                                                              \
    X(cublasLtDestroy)                                                                             \
    X(cublasLtGetProperty)                                                                         \
    X(cublasLtGetStatusString)                                                                     \
    X(cublasLtMatmul)                                                                              \
    X(cublasLtMatmulAlgoGetHeuristic)                                                              \
    X(cublasLtMatmulDescCreate)                                                                    \
    X(cublasLtMatmulDescDestroy)                                                                   \
    X(cublasLtMatmulDescSetAttribute)                                                              \
    X(cublasLtMatmulPreferenceCreate)                                                              \
    X(cublasLtMatmulPreferenceDestroy)                                                             \
    X(cublasLtMatmulPreferenceSetAttribute)                                                        \
    X(cublasLtMatrixLayoutCreate)                                                                  \
    X(cublasLtMatrixLayoutDestroy)

typedef struct functions {
    FUNCTIONS(LIBRARY_POINTER)
} functions;

#define SYMBOL(function) LIBRARY_SYMBOL(functions, function)
static const library_symbol symbols[] = {FUNCTIONS(SYMBOL)};

static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", NULL};
// Built against one major version, run with it: descriptors' fields are the header's.
static const library_kind kind = {
    "cuBLASLt", names + (CUBLAS_VER_MAJOR == 12),
    "install the CUDA toolkit's cuBLAS (libcublas) or the Python wheel nvidia-cublas",
    .nvidia = true};

struct cublas {
    library library;
    functions f;
    cublasLtHandle_t handle;
    void *workspace; // on the device
    size_t workspace_bytes;
    keyed products; // recipe to product
};

// What an algorithm depends on; 64-bit throughout, so that no padding is compared.
typedef struct recipe {
    cublas_product sizes;
    int64_t alignment; // bytes: of all the pointers at least
} recipe;

typedef struct product {
    cublasLtMatmulDesc_t described;
    cublasLtMatrixLayout_t a, b, out; // as cuBLAS names them: a is our b
    cublasLtMatmulAlgo_t algorithm;
    bool takes; // an algorithm was found
} product;

enum { ALIGNMENT = 16 }; // of what kernels of 128-bit loads want; more does not help

// --- opening -------------------------------------------------------------------------------------
static status open_library(library *l, functions *f) {
    status rc = library_open(l, &kind);
    if (!rc) rc = library_symbols(l, &kind, symbols, sizeof symbols / sizeof *symbols, f);
    return rc;
}

status cublas_library(library_facts *out) {
    library l;
    functions f;
    *out = (library_facts){.built = {CUBLAS_VER_MAJOR, CUBLAS_VER_MINOR, CUBLAS_VER_PATCH}};
    status rc = open_library(&l, &f);
    if (!rc) {
        memcpy(out->path, l.path, sizeof out->path);
        f.cublasLtGetProperty(MAJOR_VERSION, &out->version[0]);
        f.cublasLtGetProperty(MINOR_VERSION, &out->version[1]);
        f.cublasLtGetProperty(PATCH_LEVEL, &out->version[2]);
    }
    library_close(&l);
    return rc;
}

status cublas_open(cublas **out, stream *s) {
    cublas *b = NULL;
    *out = NULL;
    status rc = mem_new(&b, 1, "cuBLASLt");
    if (rc) return rc;
    rc = open_library(&b->library, &b->f);
    if (!rc) {
        cublasStatus_t e = b->f.cublasLtCreate(&b->handle);
        if (e)
            rc = status_fail(STATUS_DEVICE, "cuBLASLt (%s): it cannot be started: %s",
                             b->library.path, b->f.cublasLtGetStatusString(e));
    }
    // What NVIDIA recommends: Hopper's kernels split more.
    b->workspace_bytes = (size_t)(stream_cuda(s)->sm >= 90 ? 32 : 4) << 20;
    if (!rc)
        rc = cuda_status(cudaMalloc(&b->workspace, b->workspace_bytes), "workspace of products");
    if (rc)
        cublas_close(b);
    else
        *out = b;
    return rc;
}

static void product_release(void *entry, void *context) {
    const functions *f = context;
    product *p = entry;
    cublasLtMatrixLayout_t layout[] = {p->a, p->b, p->out};
    for (int i = 0; i < 3; i++)
        if (layout[i]) f->cublasLtMatrixLayoutDestroy(layout[i]);
    if (p->described) f->cublasLtMatmulDescDestroy(p->described);
}

void cublas_close(cublas *b) {
    if (!b) return;
    keyed_free(&b->products, product_release, &b->f);
    if (b->workspace) cudaFree(b->workspace);
    if (b->handle) b->f.cublasLtDestroy(b->handle);
    library_close(&b->library);
    mem_free(b);
}

// --- describing a product ------------------------------------------------------------------------
static cudaDataType_t number_of(int64_t type) {
    if (type == DTYPE_F32) return CUDA_R_32F;
    if (type == DTYPE_BF16) return CUDA_R_16BF;
    if (type == DTYPE_F16) return CUDA_R_16F;
    if (type == DTYPE_U8) return CUDA_R_8F_E4M3;
    die("cuBLASLt: a product of %s", dtype_name((dtype)type));
}

static cublasStatus_t set(const functions *f, product *p, cublasLtMatmulDescAttributes_t what,
                          const void *value, size_t bytes) {
    return f->cublasLtMatmulDescSetAttribute(p->described, what, value, bytes);
}

// cuBLAS counts columns first: what is (M, N) by rows here is (N, M) there, and out' = op(b)'
// op(a)'. So b comes first, and nothing is copied.
static cublasStatus_t make_layouts(const functions *f, product *p, const cublas_product *z) {
    const cudaDataType_t type = number_of(z->type);
    const uint64_t M = (uint64_t)z->M, N = (uint64_t)z->N, K = (uint64_t)z->K;
    bool turned = z->b_transposed != 0;
    cublasStatus_t e = f->cublasLtMatrixLayoutCreate(&p->a, type, turned ? K : N, turned ? N : K,
                                                     turned ? z->K : z->N);
    turned = z->a_transposed != 0;
    if (!e)
        e = f->cublasLtMatrixLayoutCreate(&p->b, type, turned ? M : K, turned ? K : M,
                                          z->a_row ? z->a_row : turned ? z->M : z->K);
    if (!e)
        e = f->cublasLtMatrixLayoutCreate(&p->out, number_of(z->out_type), N, M,
                                          z->out_row ? z->out_row : z->N);
    return e;
}

static bool has_bias(const cublas_product *z) {
    return z->epilogue == CUBLAS_BIAS || z->epilogue == CUBLAS_BIAS_GELU || z->epilogue == CUBLAS_BIAS_GRADIENT;
}

// A scale for each row of either factor.
static cublasStatus_t set_scaled(const functions *f, product *p) {
#if CUBLAS_VER_MAJOR > 12 || (CUBLAS_VER_MAJOR == 12 && CUBLAS_VER_MINOR >= 9)
    const int32_t mode = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    cublasStatus_t e = set(f, p, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &mode, sizeof mode);
    return e ? e : set(f, p, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &mode, sizeof mode);
#else
    (void)f, (void)p;
    return CUBLAS_STATUS_NOT_SUPPORTED;
#endif
}

static cublasStatus_t set_epilogue(const functions *f, product *p, const cublas_product *z) {
    // Our rows are cuBLAS's columns: a bias along N is along its rows, the sums of a's rows are
    // those of its B.
    static const uint32_t epilogue[] = {
        [CUBLAS_PLAIN] = CUBLASLT_EPILOGUE_DEFAULT,
        [CUBLAS_BIAS] = CUBLASLT_EPILOGUE_BIAS,
        [CUBLAS_BIAS_GELU] = CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
        [CUBLAS_GELU_GRADIENT] = CUBLASLT_EPILOGUE_DGELU,
        [CUBLAS_BIAS_GRADIENT] = CUBLASLT_EPILOGUE_BGRADB,
        [CUBLAS_SCALED] = CUBLASLT_EPILOGUE_DEFAULT,
    };
    const int32_t side = (int32_t)number_of(z->side_type), kept = (int32_t)number_of(z->out_type);
    const int64_t columns = z->N;
    cublasStatus_t e =
        set(f, p, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue[z->epilogue], sizeof *epilogue);
    if (!e && z->epilogue == CUBLAS_SCALED) e = set_scaled(f, p);
    if (!e && has_bias(z)) e = set(f, p, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &side, sizeof side);
    if (z->epilogue != CUBLAS_BIAS_GELU && z->epilogue != CUBLAS_GELU_GRADIENT) return e;
    if (!e) e = set(f, p, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &columns, sizeof columns);
    if (!e) e = set(f, p, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, &kept, sizeof kept);
    return e;
}

static cublasStatus_t set_sides(const functions *f, product *p, const cublas_product *z, const void *side,
                                const void *side2) {
    cublasStatus_t e = CUBLAS_STATUS_SUCCESS;
    if (z->epilogue == CUBLAS_SCALED) { // its B is our a
        e = set(f, p, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &side, sizeof side);
        return e ? e : set(f, p, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &side2, sizeof side2);
    }
    if (side) e = set(f, p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &side, sizeof side);
    if (!e && side2) e = set(f, p, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &side2, sizeof side2);
    return e;
}

static cublasStatus_t describe(const functions *f, product *p, const cublas_product *z, bool tf32) {
    const int32_t turned_a = z->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const int32_t turned_b = z->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasComputeType_t compute =
        z->type == DTYPE_F32 && tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    cublasStatus_t e = make_layouts(f, p, z);
    if (!e) e = f->cublasLtMatmulDescCreate(&p->described, compute, CUDA_R_32F);
    if (!e) e = set(f, p, CUBLASLT_MATMUL_DESC_TRANSA, &turned_a, sizeof turned_a);
    if (!e) e = set(f, p, CUBLASLT_MATMUL_DESC_TRANSB, &turned_b, sizeof turned_b);
    if (!e) e = set_epilogue(f, p, z);
    return e;
}

// Splits over K are added in workspace in a fixed order, or not made at all: INPLACE would add in
// the order in which blocks finish.
static cublasStatus_t prefer(const functions *f, cublasLtMatmulPreference_t preference,
                             size_t workspace, int64_t alignment) {
    static const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const uint64_t bytes = workspace;
    const uint32_t schemes =
        CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
    const uint32_t alignments = (uint32_t)alignment;
    cublasStatus_t e = f->cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
    if (!e)
        e = f->cublasLtMatmulPreferenceSetAttribute(
            preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes);
    for (int i = 0; i < 4 && !e; i++)
        e = f->cublasLtMatmulPreferenceSetAttribute(preference, aligned[i], &alignments,
                                                    sizeof alignments);
    return e;
}

static cublasStatus_t choose(const cublas *b, product *p, int64_t alignment) {
    const functions *f = &b->f;
    cublasLtMatmulPreference_t preference = NULL;
    cublasLtMatmulHeuristicResult_t found;
    int count = 0;
    memset(&found, 0, sizeof found);
    cublasStatus_t e = f->cublasLtMatmulPreferenceCreate(&preference);
    if (!e) e = prefer(f, preference, b->workspace_bytes, alignment);
    if (!e)
        e = f->cublasLtMatmulAlgoGetHeuristic(b->handle, p->described, p->a, p->b, p->out, p->out,
                                              preference, 1, &found, &count);
    if (!e && !count) e = CUBLAS_STATUS_NOT_SUPPORTED;
    if (!e) e = found.state;
    p->algorithm = found.algo;
    if (preference) f->cublasLtMatmulPreferenceDestroy(preference);
    return e;
}

static void fail(stream *s, const cublas_product *z, const char *why) {
    static const char *const also[] = {"", " + bias", " + bias, GELU", " by GELU's gradient",
                                       " with a bias's gradient", " with scales"};
    stream_fail(s, status_fail(STATUS_DEVICE,
                               "cuBLASLt: product (%lld, %lld) by (%lld, %lld)%s of %s to %s: %s",
                               (long long)z->M, (long long)z->K, (long long)z->K, (long long)z->N,
                               also[z->epilogue], dtype_name((dtype)z->type),
                               dtype_name((dtype)z->out_type), why));
}

// The product for R, prepared if it is not yet; NULL after a failure. One that the library does not
// take is no failure yet.
static product *product_find(stream *s, const recipe *r) {
    cublas *b = stream_cuda(s)->cublas;
    product *p = keyed_find(&b->products, r, sizeof *r);
    if (p) return p;
    // Pointers are part of what heuristics look at; any that is as aligned will do.
    const void *side = (const void *)(uintptr_t)(r->alignment << 20);
    const cublas_product *z = &r->sizes;
    bool has_side = has_bias(z) || z->epilogue == CUBLAS_SCALED;
    bool has_side2 = z->epilogue == CUBLAS_BIAS_GELU || z->epilogue == CUBLAS_GELU_GRADIENT ||
                     z->epilogue == CUBLAS_SCALED;
    status rc =
        keyed_add(&b->products, r, sizeof *r, sizeof *p, "a product of cuBLASLt", (void **)&p);
    if (rc) {
        stream_fail(s, rc);
        return NULL;
    }
    cublasStatus_t e = describe(&b->f, p, z, stream_cuda(s)->tf32);
    if (!e) e = set_sides(&b->f, p, z, has_side ? side : NULL, has_side2 ? side : NULL);
    if (!e) e = choose(b, p, r->alignment);
    p->takes = !e;
    return p;
}

// --- running one ---------------------------------------------------------------------------------
static bool is_empty(const cublas_product *z) {
    return !z->M || !z->N;
}

void cublas_product_prepare(const cublas_product *z, stream *s) {
    if (!is_empty(z) && z->K && !cublas_product_takes(z, s))
        fail(s, z, "there is no algorithm for it");
}

bool cublas_product_takes(const cublas_product *z, stream *s) {
    if (is_empty(z) || !z->K) return true;
    const product *p = product_find(s, &(recipe){*z, ALIGNMENT});
    return p && p->takes;
}

static int64_t alignment_of(const void *const *pointers, int count) {
    uintptr_t bits = ALIGNMENT;
    for (int i = 0; i < count; i++) bits |= (uintptr_t)pointers[i];
    return (int64_t)(bits & (~bits + 1)); // the lowest bit that is set
}

// Nothing to sum: out is zero, or stays.
static void run_without_terms(void *out, void *side, const cublas_product *z, stream *s) {
    cudaStream_t handle = stream_cuda(s)->handle;
    if (z->epilogue != CUBLAS_PLAIN && z->epilogue != CUBLAS_BIAS_GRADIENT)
        die("cuBLASLt: epilogue %lld of a product without terms", (long long)z->epilogue);
    if (!z->acc)
        CUDA_CHECK(s, cudaMemsetAsync(
                          out, 0, (size_t)(z->M * z->N) * dtype_size((dtype)z->out_type), handle));
    if (z->epilogue == CUBLAS_BIAS_GRADIENT)
        CUDA_CHECK(
            s, cudaMemsetAsync(side, 0, (size_t)z->M * dtype_size((dtype)z->side_type), handle));
}

void cublas_product_run(void *out, const void *a, const void *b, void *side, void *side2,
                        const cublas_product *z, stream *s) {
    const cuda_stream *c = stream_cuda(s);
    const void *const pointers[] = {out, a, b, side, side2};
    const float one = 1, beta = z->acc ? 1 : 0;
    if (is_empty(z)) return;
    if (!z->K) {
        run_without_terms(out, side, z, s);
        return;
    }
    product *p = product_find(s, &(recipe){*z, alignment_of(pointers, 5)});
    if (!p) return;
    if (!p->takes) {
        fail(s, z, "there is no algorithm for it");
        return;
    }
    const functions *f = &c->cublas->f;
    cublasStatus_t e = set_sides(f, p, z, side, side2);
    if (!e)
        e = f->cublasLtMatmul(c->cublas->handle, p->described, &one, b, p->a, a, p->b, &beta, out,
                              p->out, out, p->out, &p->algorithm, c->cublas->workspace,
                              c->cublas->workspace_bytes, c->handle);
    if (e) fail(s, z, f->cublasLtGetStatusString(e));
}
