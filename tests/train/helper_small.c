#include "tests/train/helper_small.h"
#include "core/comm.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

device *small_device;
int32_t small_end = -1;
static device *dry;
static comm *single;

// --- a model ------------------------------------------------------------------------------------
// Numbers large enough that the tokens differ.
static void fill(small *s) {
    for (size_t i = 0; i < s->params.count; i++) {
        param *q = s->params.item[i];
        const int64_t n = tensor_count(&q->value);
        const bool matrix = q->value.rank == 2;
        float *x;
        if (q->role == PARAM_CONSTANT) continue;
        ck_assert_int_eq(mem_new(&x, n, "numbers"), 0);
        const double scale = matrix ? 1.5 / sqrt((double)q->value.dim[1]) : 0.2;
        for (int64_t e = 0; e < n; e++)
            x[e] = (float)(scale * (double)rng_normal((rng_key){7, rng_site(q->name), 0}, 0,
                                                      (uint64_t)e) + (matrix ? 0 : 1));
        ck_assert_int_eq(param_write(&s->params, q, param_block(&s->params, q), x), 0);
        mem_free(x);
    }
}

void small_open_sized(small *s, int64_t positions) {
    const llama_config c = {
        .vocabulary = VOCABULARY, .width = 32, .inner = 48, .positions = positions, .layers = 3,
        .heads = 4, .key_heads = 2, .head_width = 8, .eps = 1e-6, .rope = {.base = 10000},
        .image_width = IMAGE_WIDTH,
        .lora = {.rank = 2, .alpha = 4, .targets = 3, .target = {"q_proj", "v_proj", "down_proj"}}};
    ck_assert_int_eq(params_open(&s->params, small_device), 0);
    llama_make(&s->model, &s->params, &c);
    params_freeze(&s->params, "");
    ck_assert_int_eq(params_allocate(&s->params), 0);
    ck_assert_int_eq(params_init(&s->params, 1), 0);
    ck_assert_int_eq(llama_fill(&s->model, &s->params), 0);
    fill(s);
    ck_assert_int_eq(tape_init(&s->tape, small_device, dry, single), 0);
}

void small_open(small *s) {
    small_open_sized(s, POSITIONS);
}

void small_close(small *s) {
    tape_free(&s->tape);
    params_close(&s->params);
}

void small_tape(small *s) {
    tape_free(&s->tape);
    ck_assert_int_eq(tape_init(&s->tape, small_device, dry, single), 0);
}

// --- prompts ------------------------------------------------------------------------------------
void question_make(question *q) {
    *q = (question){.fail_at = -1};
    for (int i = 0; i < PROMPTS; i++) {
        int64_t n = q->first[i];
        for (int k = 0; k < PREFIX; k++) q->ids[n++] = 10 + k;
        if (i % 3)
            for (int k = 0; k < IMAGE_ROWS; k++) q->ids[n++] = IMAGE;
        for (int k = 0; k < 1 + i * 7 % 31; k++)
            q->ids[n++] = 20 + (int32_t)rng_below((rng_key){3, 4, 5}, (uint32_t)i, (uint64_t)k, 70);
        q->first[i + 1] = n;
    }
}

status question_images(void *context, int64_t i, int64_t rows, float *out) {
    (void)context;
    ck_assert_int_eq(rows, IMAGE_ROWS);
    for (int64_t e = 0; e < rows * IMAGE_WIDTH; e++)
        out[e] = rng_normal((rng_key){9, 9, 9}, (uint32_t)i, (uint64_t)e);
    return STATUS_OK;
}

static status done(void *context, int64_t i, const int32_t *ids, int32_t count) {
    question *q = context;
    ck_assert_int_eq(i, q->given++); // in order
    ck_assert_int_le(count, MOST);
    memcpy(q->answer[i], ids, (size_t)count * sizeof *ids);
    q->count[i] = count;
    return i == q->fail_at ? status_fail(STATUS_IO, "no room") : STATUS_OK;
}

generator_options small_options(int64_t slots) {
    return (generator_options){.slots = slots, .rows = 1, .most = MOST, .end = small_end,
                               .image_token = IMAGE};
}

static generator_job job_of(question *q) {
    return (generator_job){q->ids, q->first, PROMPTS, 0, q, question_images, done};
}

status small_run(question *q, small *s, const generator_options *o, generator_counts *counts) {
    generator *g;
    const generator_job job = job_of(q);
    small_tape(s);
    status rc = generator_open(&g, &s->tape, &s->model, o, &job);
    if (!rc) rc = generator_size(g);
    if (!rc) rc = generator_run(g);
    if (!rc && counts) *counts = generator_counted(g);
    generator_close(g);
    return rc;
}

void small_answer(question *q, const generator_options *o, generator_counts *counts) {
    static small s;
    small_open(&s);
    question_make(q);
    const status rc = small_run(q, &s, o, counts);
    ck_assert_msg(!rc, "%s", status_text());
    ck_assert_int_eq(q->given, PROMPTS);
    small_close(&s);
}

// What a random model says is not known before: a token that about half of the answers hold.
static void choose_end(void) {
    static question q;
    const generator_options o = small_options(8);
    int best = PROMPTS;
    int32_t found = -1;
    small_answer(&q, &o, NULL);
    for (int32_t id = 0; id < VOCABULARY; id++) {
        int holds = 0;
        for (int i = 0; i < PROMPTS; i++)
            for (int k = 1; k < q.count[i]; k++)
                if (q.answer[i][k] == id) {
                    holds++;
                    break;
                }
        if (abs(2 * holds - PROMPTS) < best) best = abs(2 * holds - PROMPTS), found = id;
    }
    small_end = found;
}

void small_devices_open(void) {
    ck_assert_int_eq(device_open_cpu(&small_device, 2), 0);
    small_device->ops = &op_kernels_cpu;
    ck_assert_int_eq(device_open_dry(&dry, small_device), 0);
    ck_assert_int_eq(comm_open_single(&single), 0);
    choose_end();
}

void small_devices_close(void) {
    comm_close(single);
    device_close(dry);
    device_close(small_device);
}
