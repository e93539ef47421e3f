// Greedy answers of a small model with adapters and images are token by token those of transformers'
// generate with PEFT, whose batches are padded (REFERENCE 7.2). Golden answers:
// scripts/golden/generate.py, which draws the same weights, prompts and images by the same hash.
#include "tests/models/helper_reference.h"
#include "train/generator.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// As in the script.
enum {
    WORDS = 64, BEGIN = 1, WORD = 3, QUERIES = 4, PREFIX = 4, PROMPTS = 20, MOST = 20, IMAGE = WORDS,
    IMAGE_WIDTH = 24
};

typedef struct golden {
    reference_model base;
    llama model;
    int32_t ids[PROMPTS * 40];
    int64_t first[PROMPTS + 1];
    int given;
    double *answers; // (PROMPTS, MOST), -1 behind the end
} golden;

// What a file's tensor holds: draws.py's values.
static void fill_file(params *p, const param *q, const param_file *f) {
    const size_t length = strlen(f->name);
    const bool norm = f->rank == 1 && length > 6 && !strcmp(f->name + length - 6, "weight");
    float *x;
    ck_assert_int_eq(mem_new(&x, f->count, "numbers"), 0);
    for (int64_t e = 0; e < f->count; e++) {
        const double u = reference_uniform(f->name, e);
        x[e] = (float)(norm           ? u + 0.5
                       : f->rank == 1 ? u * 0.6 - 0.3
                                      : (u * 2 - 1) * sqrt(3.0 / (double)f->dim[1]));
    }
    ck_assert_int_eq(param_write_file(p, q, f, param_block(p, q), x), 0);
    mem_free(x);
}

static void open_model(golden *g) {
    device *d;
    const llama_config c = {
        .vocabulary = WORDS + 1, .width = 32, .inner = 48, .positions = 64, .layers = 3, .heads = 4,
        .key_heads = 4, .head_width = 8, .eps = 1e-6, .rope = {.base = 10000},
        .image_width = IMAGE_WIDTH,
        .lora = {.rank = 4, .alpha = 6, .targets = 2, .target = {"q_proj", "v_proj"}}};
    ck_assert_int_eq(device_open_cpu(&d, 2), 0);
    d->ops = &op_kernels_cpu;
    reference_begin(&g->base, d);
    params *p = &g->base.params;
    llama_make(&g->model, p, &c);
    params_freeze(p, "");
    ck_assert_int_eq(params_allocate(p), 0);
    ck_assert_int_eq(llama_fill(&g->model, p), 0);
    for (size_t i = 0; i < p->count; i++)
        for (int k = 0; k < param_files(p->item[i]) && p->item[i]->role != PARAM_CONSTANT; k++) {
            const param_file f = param_file_at(p->item[i], k);
            fill_file(p, p->item[i], &f);
        }
}

static int32_t *add_words(int32_t *to, const char *name, int count) {
    for (int k = 0; k < count; k++)
        *to++ = WORD + (int32_t)floor(reference_uniform(name, k) * (WORDS - WORD));
    return to;
}

static void make_prompts(golden *g) {
    int32_t *at = g->ids;
    for (int i = 0; i < PROMPTS; i++) {
        char name[32];
        *at++ = BEGIN;
        at = add_words(at, "prefix", PREFIX - 1);
        for (int k = 0; k < QUERIES && i % 3; k++) *at++ = IMAGE;
        snprintf(name, sizeof name, "prompt.%d", i);
        at = add_words(at, name, 2 + i * 7 % 23);
        g->first[i + 1] = at - g->ids;
    }
}

static status images(void *context, int64_t i, int64_t rows, float *out) {
    char name[32];
    (void)context;
    snprintf(name, sizeof name, "image.%d", (int)i);
    for (int64_t e = 0; e < rows * IMAGE_WIDTH; e++)
        out[e] = (float)(reference_uniform(name, e) * 2 - 1);
    return STATUS_OK;
}

static status done(void *context, int64_t i, const int32_t *ids, int32_t count) {
    golden *g = context;
    for (int k = 0; k < MOST; k++) {
        const double expected = g->answers[i * MOST + k];
        const int32_t id = k < count ? ids[k] : -1;
        ck_assert_msg((double)id == expected, "prompt %d, token %d: %d, transformers says %g", (int)i,
                      k, id, expected);
    }
    g->given++;
    return STATUS_OK;
}

// One at a time, as the reference's 12, and all at once; with and without the shared prefix.
START_TEST(answers_are_transformers) {
    static const int slots[] = {1, 12, 12, PROMPTS};
    static golden g;
    safetensors *file;
    generator *writer;
    int64_t count;
    memset(&g, 0, sizeof g);
    ck_assert_int_eq(safetensors_open(&file, TEST_DATA "/generate.safetensors"), 0);
    g.answers = golden_tensor(file, "answers", -1, &count);
    double *end = golden_tensor(file, "end", -1, &count);
    open_model(&g);
    make_prompts(&g);
    const generator_options o = {.slots = slots[_i], .rows = _i == 3 ? 1000 : 1, .most = MOST,
                                 .end = (int32_t)end[0], .image_token = IMAGE, .share = _i > 1};
    const generator_job job = {g.ids, g.first, PROMPTS, 0, &g, images, done};
    ck_assert_int_eq(generator_open(&writer, &g.base.tape, &g.model, &o, &job), 0);
    ck_assert_int_eq(generator_size(writer), 0);
    for (int again = 0; again < 2; again++) {
        g.given = 0;
        ck_assert_msg(!generator_run(writer), "%s", status_text());
        ck_assert_int_eq(g.given, PROMPTS);
    }
    generator_close(writer);
    mem_free(g.answers);
    mem_free(end);
    safetensors_close(file);
    reference_close(&g.base);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("generate_golden");
    TCase *tests = tcase_create("generate_golden");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, answers_are_transformers, 0, 4);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
