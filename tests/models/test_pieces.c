// models/nn/params.h and load.h: matrices whose rows are several tensors in files, weights that stand
// apart from checkpoints, and weights that are kept in few bits.
#include "core/files/safetensors.h"
#include "models/nn/load.h"
#include "models/nn/lora.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { K = 64, Q = 3, V = 2 };
static char path[] = "/tmp/radialog-pieces-XXXXXX";
static const param_piece pieces[] = {{"q_proj", Q}, {"v_proj", V}};
static const load_recipe apart = {.what = "a base", .apart = true, .strict = true};
static const load_recipe own = {.what = "a checkpoint", .strict = true};

#define OK(call) ck_assert_msg((call) == STATUS_OK, "%s", status_text())

typedef struct fixture {
    device *device;
    params params;
    lora_linear layer;
} fixture;

static void fixture_open(fixture *f, bool frozen, int storage) {
    const lora_config lora = {.rank = 2, .alpha = 4, .targets = 1, .target = {"v_proj"}};
    memset(f, 0, sizeof *f);
    OK(device_open_cpu(&f->device, 1));
    f->device->ops = &op_kernels_cpu;
    OK(params_open(&f->params, f->device));
    f->layer = lora_linear_make(&f->params, "adapter", "model.self", 2, pieces, K, true,
                                (init){INIT_NORMAL, 0.5}, &lora);
    if (frozen) {
        ck_assert_int_eq(params_freeze(&f->params, "model."), 2);
        ck_assert_int_eq(params_apart(&f->params, "model."), 2);
    }
    if (storage >= 0)
        ck_assert_int_eq(params_quantise(&f->params, "_proj.weight", (quantisation)storage), 1);
    OK(params_allocate(&f->params));
    OK(params_init(&f->params, 1));
}

static void fixture_close(fixture *f) {
    params_close(&f->params);
    device_close(f->device);
}

static float number(int64_t row, int64_t column) {
    return sinf((float)(row * 7 + column));
}

// The base as a file: q's rows begin at 0, v's at Q of what number says. WRONG: v is too short.
static void write_base(bool wrong) {
    safetensors_writer *w;
    float q[Q * K], v[V * K], bias[Q + V];
    for (int64_t i = 0; i < (Q + V) * K; i++) *(i < Q * K ? &q[i] : &v[i - Q * K]) = number(i / K, i % K);
    for (int i = 0; i < Q + V; i++) bias[i] = (float)i;
    OK(safetensors_create(&w, path));
    OK(safetensors_declare(w, "model.self.q_proj.weight", DTYPE_F32, 2, (int64_t[]){Q, K}));
    OK(safetensors_declare(w, "model.self.v_proj.weight", DTYPE_F32, 2, (int64_t[]){wrong ? 1 : V, K}));
    OK(safetensors_declare(w, "model.self.q_proj.bias", DTYPE_F32, 1, (int64_t[]){Q}));
    OK(safetensors_declare(w, "model.self.v_proj.bias", DTYPE_F32, 1, (int64_t[]){V}));
    OK(safetensors_write(w, "model.self.q_proj.weight", q, sizeof q));
    OK(safetensors_write(w, "model.self.v_proj.weight", v, wrong ? sizeof v / V : sizeof v));
    OK(safetensors_write(w, "model.self.q_proj.bias", bias, Q * sizeof *bias));
    OK(safetensors_write(w, "model.self.v_proj.bias", bias + Q, V * sizeof *bias));
    OK(safetensors_finish(w));
    safetensors_writer_close(w);
}

static status load(fixture *f, const load_recipe *recipe) {
    weights *file = NULL;
    load_counts counts;
    OK(weights_open(&file, path));
    status rc = params_load(&f->params, file, recipe, &counts);
    if (!rc) ck_assert_int_eq(counts.loaded, 4);
    weights_close(file);
    return rc;
}

START_TEST(piece_names) {
    fixture f;
    fixture_open(&f, false, -1);
    const params *p = &f.params;
    const param *w = params_find(p, "model.self.q_proj.weight");
    ck_assert(w && param_files(w) == 2);
    const param_file v = param_file_at(w, 1);
    ck_assert_str_eq(v.name, "model.self.v_proj.weight");
    ck_assert(v.first == Q * K && v.count == V * K && v.dim[0] == V && v.dim[1] == K);
    ck_assert(params_find(p, "adapter.model.self.v_proj.lora_A.weight") &&
              params_find(p, "adapter.model.self.v_proj.lora_B.weight"));
    ck_assert(!params_find(p, "adapter.model.self.q_proj.lora_A.weight"));
    ck_assert_int_eq(f.layer.lora.parts, 1);
    ck_assert_int_eq(f.layer.lora.part[0].first, Q);
    ck_assert(f.layer.lora.part[0].scale == 2);
    fixture_close(&f);
}
END_TEST

START_TEST(loading) {
    fixture f;
    for (int frozen = 0; frozen < 2; frozen++) {
        fixture_open(&f, frozen, -1);
        write_base(false);
        if (frozen) {
            OK(load(&f, &apart));
            ck_assert_int_eq(load(&f, &own), STATUS_FORMAT); // adapters are not in that file
        } else {
            params_apart(&f.params, "model.");
            OK(load(&f, &apart));
        }
        float have[(Q + V) * K];
        device_read(f.device, have, f.layer.base.weight);
        for (int64_t i = 0; i < (Q + V) * K; i++)
            ck_assert_msg(have[i] == number(i / K, i % K), "element %lld", (long long)i);
        write_base(true);
        ck_assert_int_eq(load(&f, &apart), STATUS_FORMAT);
        fixture_close(&f);
    }
}
END_TEST

// What a linear layer makes of coded weights is near what it makes of the plain ones.
START_TEST(few_bits) {
    static const double most[] = {[QUANT_INT8] = 0.01, [QUANT_NF4] = 0.12, [QUANT_FP8] = 0.05};
    for (int how = QUANT_INT8; how <= QUANT_FP8; how++) {
        fixture f;
        fixture_open(&f, true, how);
        write_base(false);
        OK(load(&f, &apart));
        const tensor *w = f.layer.base.weight;
        ck_assert(w->quantised && w->quantised->how == (quantisation)how);
        ck_assert(f.params.frozen_bytes < (Q + V) * K * 2 + 8192);
        float x[K], y[Q + V];
        double error = 0, norm = 0;
        for (int i = 0; i < K; i++) x[i] = cosf((float)i);
        tape t;
        device *dry;
        comm *alone;
        OK(device_open_dry(&dry, f.device));
        OK(comm_open_single(&alone));
        OK(tape_init(&t, f.device, dry, alone));
        for (int real = 0; real < 2; real++) {
            tensor in = {.data = x, .type = DTYPE_F32, .rank = 2, .dim = {1, K}};
            tape_begin(&t, false);
            tensor *out = linear(&t, &in, f.layer.base.weight, NULL);
            if (real)
                device_read(f.device, y, out);
            else
                OK(tape_allocate(&t, tape_used(&t)));
        }
        for (int r = 0; r < Q + V; r++) {
            double sum = 0;
            for (int i = 0; i < K; i++) sum += (double)number(r, i) * (double)x[i];
            error += pow((double)y[r] - sum, 2);
            norm += sum * sum;
        }
        ck_assert_msg(sqrt(error / norm) <= most[how], "off by %g", sqrt(error / norm));
        tape_free(&t);
        comm_close(alone);
        device_close(dry);
        fixture_close(&f);
    }
}
END_TEST

START_TEST(beginnings) {
    fixture f;
    fixture_open(&f, true, -1);
    float have[(Q + V) * K];
    device_read(f.device, have, f.layer.base.weight);
    for (int i = 0; i < (Q + V) * K; i++) ck_assert(have[i] == 0); // params_init passes it by
    OK(params_init_apart(&f.params, 1, "nothing."));
    device_read(f.device, have, f.layer.base.weight);
    ck_assert(have[0] == 0);
    OK(params_init_apart(&f.params, 1, "model."));
    device_read(f.device, have, f.layer.base.weight);
    ck_assert(have[0] != 0 && have[(Q + V) * K - 1] != 0);
    fixture_close(&f);
}
END_TEST

int main(void) {
    int fd = mkstemp(path);
    if (fd >= 0) close(fd);
    Suite *suite = suite_create("pieces");
    TCase *tests = tcase_create("pieces");
    tcase_add_test(tests, piece_names);
    tcase_add_test(tests, loading);
    tcase_add_test(tests, few_bits);
    tcase_add_test(tests, beginnings);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    unlink(path);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
