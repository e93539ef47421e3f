// Every graph that the project asks cuDNN for has an engine on sm_90: plans are built for a
// description of such a GPU (sm_90.json, the figures that NVIDIA publishes for an H100), with a
// driver that does nothing. Nothing runs; tests/cuda/test_cuda_libraries.c compares numbers where
// there is a GPU.
//
// What cuDNN 9.19 refuses is asserted too, so that a version that takes it is noticed.
#include "core/cuda/cudnn_attention.h"
#include "core/cuda/cudnn_fused.h"
#include "core/cuda/cudnn_private.h"
#include "core/log.h"
#include "core/stream.h"

#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cuda_stream cuda = {.sm = 90, .multiprocessors = 132};
static stream on = {.cuda = &cuda};

static void open_described(bool tf32) {
    char json[8192] = "";
    FILE *file = fopen(DESCRIPTION, "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_gt(fread(json, 1, sizeof json - 1, file), 0);
    fclose(file);
    ck_assert_msg(dlopen(NO_DRIVER, RTLD_NOW | RTLD_GLOBAL) != NULL, "%s", dlerror());
    double start = clock_seconds();
    status rc = cudnn_open_described(&cuda.cudnn, json, tf32);
    ck_assert_msg(!rc, "%s", status_text());
    printf("opened in %.3f s: %s\n", clock_seconds() - start, cuda.cudnn->library.path);
}

static void close_described(void) {
    ck_assert_msg(!on.failed, "%s", on.text);
    cudnn_close(cuda.cudnn);
    cuda.cudnn = NULL;
}

// --- convolutions --------------------------------------------------------------------------------
enum { BATCH = 64, CONVOLUTIONS = 64 };

typedef struct conv_list {
    int count;
    cudnn_conv conv[CONVOLUTIONS];
} conv_list;

// Adds one (unless it is there) and tells how large its outputs are.
static int64_t list_conv(conv_list *l, int64_t H, int64_t C, int64_t O, int64_t K, int64_t stride) {
    const int64_t pad = K / 2, OH = (H + 2 * pad - K) / stride + 1;
    const cudnn_conv z = {BATCH, H, H, C, O, OH, OH, K, stride, pad, DTYPE_F32};
    for (int i = 0; i < l->count; i++)
        if (!memcmp(&l->conv[i], &z, sizeof z)) return OH;
    ck_assert_int_lt(l->count, CONVOLUTIONS);
    l->conv[l->count++] = z;
    return OH;
}

// The convolutions of models/biovil_t.c behind the stem.
static void list_blocks(conv_list *l, int64_t H, int64_t stem, const int64_t *width,
                        const int *blocks, int64_t vit, int64_t joint) {
    int64_t C = stem;
    for (int s = 0; s < 4; s++) {
        const int64_t W = width[s];
        for (int b = 0; b < blocks[s]; b++) {
            const int stride = s > 0 && b == 0 ? 2 : 1;
            list_conv(l, H, C, W, 1, 1);
            if (b == 0) list_conv(l, H, C, 4 * W, 1, stride);
            H = list_conv(l, H, W, W, 3, stride);
            list_conv(l, H, W, 4 * W, 1, 1);
            C = 4 * W;
        }
    }
    list_conv(l, H, C, vit, 1, 1);
    list_conv(l, H, 2 * vit, joint, 1, 1);
    list_conv(l, H, joint, joint, 1, 1);
}

static conv_list blocks_of(bool demo) {
    conv_list l = {0};
    if (demo) // configs/demo/classifier.json
        list_blocks(&l, 192 / 4, 16, (int64_t[]){16, 32, 64, 96}, (int[]){1, 1, 1, 1}, 64, 64);
    else // ResNet-50 at 488
        list_blocks(&l, 488 / 4, 64, (int64_t[]){64, 128, 256, 512}, (int[]){3, 4, 6, 3}, 256, 128);
    return l;
}

static cudnn_conv of_type(const cudnn_conv *z, dtype type) {
    cudnn_conv typed = *z;
    typed.type = type;
    return typed;
}

static const dtype types[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
enum { TYPES = 3 };

static void expect_passes(const conv_list *l) {
    static const char *const name[] = {"forward", "input gradient", "weight gradient"};
    for (int i = 0; i < l->count; i++)
        for (int t = 0; t < TYPES; t++)
            for (int pass = CUDNN_FORWARD; pass <= CUDNN_BACKWARD_WEIGHT; pass++) {
                const cudnn_conv z = of_type(&l->conv[i], types[t]);
                ck_assert_msg(cudnn_conv_takes((cudnn_conv_pass)pass, &z, &on),
                              "%s of %lld to %lld, window %lld, stride %lld, at %lld in %s",
                              name[pass], (long long)z.C, (long long)z.O, (long long)z.K,
                              (long long)z.stride, (long long)z.H, dtype_name(types[t]));
            }
}

static void expect_all_convolutions(void) {
    conv_list stems = {0};
    list_conv(&stems, 488, 1, 64, 7, 2); // the three equal channels as one
    list_conv(&stems, 488, 3, 64, 7, 2);
    list_conv(&stems, 192, 1, 16, 7, 2);
    const conv_list real = blocks_of(false), demo = blocks_of(true);
    printf("%d convolutions of ResNet-50, %d of the demo's model, %d stems\n", real.count,
           demo.count, stems.count);
    ck_assert_int_ge(real.count, 20);
    expect_passes(&stems);
    expect_passes(&real);
    expect_passes(&demo);
}

START_TEST(convolutions) {
    open_described(false);
    expect_all_convolutions();
    close_described();
}
END_TEST

// f32 with and without tf32 are not the same engines: what is exact wants the images in another
// order.
START_TEST(convolutions_tf32) {
    const cudnn_conv z = {64, 122, 122, 64, 256, 122, 122, 1, 1, 0, DTYPE_F32};
    open_described(false);
    const size_t exact = cudnn_conv_scratch(&z, &on);
    close_described();
    open_described(true);
    ck_assert_uint_ne(cudnn_conv_scratch(&z, &on), exact);
    expect_all_convolutions();
    close_described();
}
END_TEST

static void expect_fused(cudnn_fused what, const cudnn_conv *z, dtype type, bool taken) {
    static const char *const name[] = {
#define X(short_name, text) text,
        CUDNN_FUSED_LIST(X)
#undef X
    };
    const cudnn_conv typed = of_type(z, type);
    const bool takes = cudnn_fused_takes(what, &typed, &on);
    ck_assert_msg(takes == taken,
                  "%s of %lld to %lld, window %lld, stride %lld, at %lld in %s is %s", name[what],
                  (long long)z->C, (long long)z->O, (long long)z->K, (long long)z->stride,
                  (long long)z->H, dtype_name(type), takes ? "taken" : "refused");
}

// In f16 the whole set, compiled ahead, for every convolution that has a norm before and behind it.
START_TEST(fused_f16) {
    open_described(false);
    for (int demo = 0; demo < 2; demo++) {
        const conv_list l = blocks_of(demo);
        for (int i = 0; i < l.count; i++)
            for (int what = CUDNN_CONV_STATS; what <= CUDNN_BACKWARD_INPUT_NORM; what++)
                expect_fused((cudnn_fused)what, &l.conv[i], DTYPE_F16, true);
    }
    close_described();
}
END_TEST

// Elsewhere parts, compiled when they are asked for (a second each): a few shapes stand for all.
START_TEST(fused_elsewhere) {
    static const cudnn_conv one = {64, 122, 122, 64, 256, 122, 122, 1, 1, 0, DTYPE_F32},
                            three = {64, 61, 61, 128, 128, 31, 31, 3, 2, 1, DTYPE_F32},
                            stem = {64, 488, 488, 1, 64, 244, 244, 7, 2, 3, DTYPE_F32};
    const cudnn_conv *const some[] = {&one, &three};
    open_described(false);
    for (int i = 0; i < 2; i++) {
        expect_fused(CUDNN_CONV_STATS, some[i], DTYPE_BF16, true);
        expect_fused(CUDNN_NORM_CONV_STATS, some[i], DTYPE_BF16, true);
        expect_fused(CUDNN_NORM_BACKWARD_WEIGHT, some[i], DTYPE_BF16, false);
        expect_fused(CUDNN_BACKWARD_INPUT_NORM, some[i], DTYPE_BF16, false);
        expect_fused(CUDNN_CONV_NORM_RELU, some[i], DTYPE_BF16, true);
        expect_fused(CUDNN_CONV_NORM_RELU, some[i], DTYPE_F16, true);
        for (int what = CUDNN_CONV_STATS; what <= CUDNN_BACKWARD_INPUT_NORM; what++)
            expect_fused((cudnn_fused)what, some[i], DTYPE_F32,
                         false); // tensor cores alone have them
    }
    expect_fused(CUDNN_CONV_NORM_RELU, &stem, DTYPE_F16, true);
    expect_fused(CUDNN_CONV_STATS, &stem, DTYPE_F16, true);
    expect_fused(CUDNN_NORM_CONV_STATS, &stem, DTYPE_F16,
                 false); // one channel does not fill 16 bytes
    expect_fused(CUDNN_NORM_BACKWARD_WEIGHT, &stem, DTYPE_F16, false);
    expect_fused(CUDNN_BACKWARD_INPUT_NORM, &stem, DTYPE_F16, false);
    close_described();
}
END_TEST

// Why a weight's gradient has the images' type: cuDNN has no engine that writes f32 from images in 16 bits.
START_TEST(wide_weight_gradient) {
    const cudnn_conv z = {64, 122, 122, 64, 64, 122, 122, 3, 1, 1, DTYPE_F16};
    const shape image = shape_image(z.B, z.H, z.W, z.C), weight = shape_image(z.O, z.K, z.K, z.C);
    open_described(false);
    for (int wide = 0; wide < 2; wide++) {
        graph g;
        plan p;
        graph_begin(&g, cuda.cudnn);
        graph_conv(&g, CONV_BACKWARD_WEIGHT, &z, graph_tensor(&g, 1, CUDNN_DATA_HALF, &image, NULL),
                   graph_tensor(&g, 2, wide ? CUDNN_DATA_FLOAT : CUDNN_DATA_HALF, &weight, NULL),
                   graph_tensor(&g, 3, CUDNN_DATA_HALF, &image, NULL));
        graph_end(&g, &p, (plan_rules){0});
        ck_assert_msg((p.plan == NULL) == wide, "in %s: %s", wide ? "f32" : "f16",
                      p.plan ? "taken" : p.why);
        if (p.plan) cuda.cudnn->f.cudnnBackendDestroyDescriptor(p.plan);
    }
    close_described();
}
END_TEST

// --- attention -----------------------------------------------------------------------------------
typedef struct attention_case {
    const char *name;
    int64_t B, H, TQ, TK, D, fused; // fused: slices of one (B,T,3,H,D)
    int64_t causal, padded, packed, inference;
    bool both; // in f16 too
} attention_case;

static const attention_case attention_cases[] = {
    {"language model", 12, 32, 600, 600, 128, 1, 1, 0, 0, 0, false},
    {"language model, padded", 12, 32, 640, 640, 128, 1, 1, 1, 0, 0, false},
    {"language model, packed", 12, 32, 600, 600, 128, 1, 1, 1, 1, 0, true},
    {"language model, packed prefix", 12, 32, 600, 600, 128, 1, 0, 1, 1, 0, false},
    {"language model, behind a prefix", 12, 32, 576, 640, 128, 0, 1, 1, 1, 0, true},
    {"language model, what predicts", 64, 32, 320, 640, 128, 0, 1, 1, 1, 0, false},
    {"Q-Former, queries to image", 32, 12, 32, 196, 64, 0, 0, 0, 0, 0, true},
    {"Q-Former, itself", 32, 12, 288, 288, 64, 1, 0, 0, 0, 0, false},
    {"Q-Former, padded", 32, 12, 288, 288, 64, 1, 0, 1, 0, 0, false},
    {"Q-Former, packed", 32, 12, 288, 288, 64, 1, 0, 1, 1, 0, false},
    {"Q-Former, text", 32, 12, 256, 256, 64, 1, 1, 1, 0, 0, false},
    {"decoding", 12, 32, 1, 640, 128, 0, 0, 1, 0, 1, true},
    {"temporal pooler", 64, 8, 256, 256, 32, 0, 0, 0, 0, 0, true},
    {"the demo's pooler", 64, 4, 36, 36, 16, 0, 0, 0, 0, 0, false},
};

static cudnn_attention attention_of(const attention_case *c, dtype type) {
    const int64_t row = c->H * c->D, inner = c->fused ? 3 * row : row;
    return (cudnn_attention){c->B,  c->H, c->TQ, c->TK,     c->D,      inner,     inner,
                             inner, row,  type,  c->causal, c->padded, c->packed, c->inference};
}

START_TEST(attention) {
    open_described(false);
    for (size_t i = 0; i < sizeof attention_cases / sizeof *attention_cases; i++)
        for (int f16 = 0; f16 <= attention_cases[i].both; f16++) {
            const dtype type = f16 ? DTYPE_F16 : DTYPE_BF16;
            const cudnn_attention z = attention_of(&attention_cases[i], type);
            ck_assert_msg(cudnn_attention_takes(&z, &on), "%s in %s", attention_cases[i].name,
                          dtype_name(type));
            printf("%s, %s: %zu KiB of scratch\n", attention_cases[i].name, dtype_name(type),
                   cudnn_attention_scratch(&z, &on) >> 10);
        }
    close_described();
}
END_TEST

// No plan is tried for these.
START_TEST(attention_not_taken) {
    cudnn_attention z = attention_of(&attention_cases[4], DTYPE_F32);
    open_described(false);
    ck_assert(!cudnn_attention_takes(&z, &on));
    z = attention_of(&attention_cases[4], DTYPE_BF16);
    z.D = 136;
    ck_assert(!cudnn_attention_takes(&z, &on));
    z.D = 60;
    ck_assert(!cudnn_attention_takes(&z, &on));
    z.D = 64;
    z.k_row += 4;
    ck_assert(!cudnn_attention_takes(&z, &on));
    close_described();
}
END_TEST

// Errors that are no engine's: a description that is none, and a plan without an engine that is
// run.
START_TEST(errors) {
    cudnn *c;
    ck_assert_int_eq(cudnn_open_described(&c, "{ \"deviceVer\": ", false), STATUS_DEVICE);
    ck_assert_ptr_null(c);
    ck_assert_ptr_nonnull(strstr(status_text(), "description"));
    open_described(false);
    const cudnn_conv z = {64, 122, 122, 64, 256, 122, 122, 1, 1, 0, DTYPE_BF16};
    cudnn_norm_backward_weight(NULL, NULL, NULL, NULL, NULL, &z, NULL, &on);
    ck_assert_int_eq(on.failed, STATUS_DEVICE);
    ck_assert_msg(strstr(on.text, "(64, 122, 122, 64) to 256 channels") != NULL, "%s", on.text);
    on.failed = STATUS_OK;
    close_described();
    library_facts facts;
    ck_assert_int_eq(cudnn_library(&facts), STATUS_OK);
    printf("%s: %d.%d.%d\n", facts.path, facts.version[0], facts.version[1], facts.version[2]);
    ck_assert_int_eq(facts.version[0], 9);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        convolutions,         convolutions_tf32, fused_f16,           fused_elsewhere,
        wide_weight_gradient, attention,         attention_not_taken, errors};
    Suite *suite = suite_create("cudnn_graphs");
    TCase *cases = tcase_create("cudnn_graphs");
    tcase_set_timeout(cases, 600);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(cases, tests[i]);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
