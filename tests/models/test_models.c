// Whole models: names and sizes against the public checkpoints, gradients in double, CPU against oracle.
#include "core/stream.h"
#include "models/classifier.h"
#include "tests/models/helper_reference.h"
#include "tests/oracle/oracle.h"
#include "tests/shim/shim.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// A model on a device, its weights and statistics random (never zero or one).
typedef struct fixture {
    device *device, *dry;
    comm *comm;
    params params;
    tape tape;
    classifier model;
} fixture;

static void randomize(params *p) {
    for (size_t i = 0; i < p->count; i++) {
        param *q = p->item[i];
        if (q->role == PARAM_CONSTANT) continue;
        int64_t count = tensor_count(&q->value);
        float *values = calloc((size_t)count, sizeof *values);
        bool variance = strstr(q->name, "running_var") != NULL;
        bool matrix = q->value.rank > 1;
        for (int64_t e = 0; e < count; e++) {
            double n = (double)rng_normal((rng_key){8, rng_site(q->name), 0}, 0, (uint64_t)e);
            values[e] = (float)(variance ? 0.5 + fabs(n) : matrix ? 0.4 * n : 0.3 * n + 0.2);
        }
        ck_assert_int_eq(param_write(p, q, param_block(p, q), values), STATUS_OK);
        free(values);
    }
}

// On DEVICE, which becomes the fixture's.
static void fixture_open_on(fixture *f, device *d, const classifier_config *c) {
    memset(f, 0, sizeof *f);
    f->device = d;
    ck_assert_int_eq(device_open_dry(&f->dry, f->device), 0);
    ck_assert_int_eq(comm_open_single(&f->comm), 0);
    ck_assert_int_eq(params_open(&f->params, f->device), 0);
    ck_assert_int_eq(tape_init(&f->tape, f->device, f->dry, f->comm), 0);
    classifier_make(&f->model, &f->params, c);
    ck_assert_int_eq(params_allocate(&f->params), 0);
    ck_assert_int_eq(classifier_fill(&f->model, &f->params), 0);
    randomize(&f->params);
}

static void fixture_open(fixture *f, bool oracle, const classifier_config *c) {
    device *d = NULL;
    ck_assert_int_eq(oracle ? device_open_oracle(&d) : device_open_cpu(&d, 2), 0);
    if (!oracle) d->ops = &op_kernels_cpu;
    fixture_open_on(f, d, c);
}

static void fixture_close(fixture *f) {
    tape_free(&f->tape);
    params_close(&f->params);
    comm_close(f->comm);
    device_close(f->dry);
    device_close(f->device);
}

static tensor *image_of(tape *t, int64_t B, int side, uint32_t which) {
    tensor *x = tape_tensor(t, 4, (int64_t[]){B, side, side, 1});
    if (t->device == t->dry) return x;
    for (int64_t i = 0; i < tensor_count(x); i++) {
        double v = (double)rng_uniform((rng_key){4, rng_site("image"), which}, 0, (uint64_t)i);
        if (x->type == DTYPE_F64)
            ((double *)x->data)[i] = v;
        else
            ((float *)x->data)[i] = (float)v;
    }
    return x;
}

// A loss that feels every output: cross-entropy against a fixed pattern.
static tensor *loss_of(fixture *f, int64_t B, bool prior, bool training) {
    tape *t = &f->tape;
    const classifier_config *c = &f->model.config;
    static const float ones[3] = {1, 1, 1}, weights[3] = {1.5f, 0.5f, 2};
    static const uint8_t targets[12] = {1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 0};
    t->training = training;
    t->seed = 3;
    tensor *image = image_of(t, B, c->encoder.image_size, 0);
    tensor *logits;
    if (prior) {
        tensor *before = image_of(t, B, c->encoder.image_size, 1);
        tensor *patches = biovil_t_patches(t, &f->model.encoder, image, before);
        logits = classifier_head(t, &f->model, biovil_t_project(t, &f->model.encoder, patches));
    } else {
        logits = classifier_logits(t, &f->model, image);
    }
    tensor *target = tape_tensor_of(t, DTYPE_U8, 2, (int64_t[]){B, 3});
    tensor *weight = tape_tensor_of(t, DTYPE_F32, 1, (int64_t[]){3});
    tensor *mask = tape_tensor_of(t, DTYPE_F32, 1, (int64_t[]){3});
    t->device->upload(t->device, target->data, targets, (size_t)(B * 3));
    t->device->upload(t->device, weight->data, weights, sizeof weights);
    t->device->upload(t->device, mask->data, ones, sizeof ones);
    return sigmoid_cross_entropy(t, logits, target, weight, mask, (double)(B * 3));
}

static double value_of(const tensor *x) {
    return x->type == DTYPE_F64 ? *(double *)x->data : (double)*(float *)x->data;
}

static double run_loss(fixture *f, bool prior, bool training, bool backward) {
    for (int pass = f->tape.activation_block ? 1 : 0; pass < 2; pass++) {
        tape_begin(&f->tape, backward);
        params_begin(&f->params);
        tensor *loss = loss_of(f, 4, prior, training);
        double value = pass ? value_of(loss) : 0;
        if (backward) tape_backward(&f->tape, loss, 1);
        if (pass) {
            status rc = tape_failed(&f->tape);
            if (rc) ck_abort_msg("%s", status_text());
            return value;
        }
        ck_assert_int_eq(tape_allocate(&f->tape, tape_used(&f->tape)), STATUS_OK);
    }
    return 0;
}

static double gradient_at(const param *q, int64_t i) {
    return q->grad.type == DTYPE_F64 ? ((double *)q->grad.data)[i]
                                     : (double)((float *)q->grad.data)[i];
}

// d loss / d direction, along a random direction of one parameter, both ways.
static void check_direction(fixture *f, param *q, bool prior, bool training) {
    int64_t count = tensor_count(&q->value);
    double *x = q->value.data, *kept = malloc((size_t)count * sizeof *kept);
    double analytic = 0, step = 1e-6, side[2];
    memcpy(kept, x, (size_t)count * sizeof *kept);
    for (int s = 0; s < 2; s++) {
        for (int64_t i = 0; i < count; i++) {
            double d = (double)rng_normal((rng_key){6, rng_site(q->name), 0}, 0, (uint64_t)i);
            x[i] = kept[i] + (s ? -step : step) * d;
            if (s == 0) analytic += d * gradient_at(q, i);
        }
        side[s] = run_loss(f, prior, training, false);
    }
    memcpy(x, kept, (size_t)count * sizeof *kept);
    free(kept);
    double numeric = (side[0] - side[1]) / (2 * step);
    double error = fabs(analytic - numeric) / fmax(fabs(numeric), 1e-4);
    ck_assert_msg(error <= 1e-4, "%s: derivative %g, differences give %g", q->name, analytic, numeric);
}

static void check_gradients(bool prior, bool training) {
    fixture f;
    fixture_open(&f, true, &reference_tiny);
    // The running statistics move in training; they do not enter the loss then.
    double loss = run_loss(&f, prior, training, true);
    ck_assert(isfinite(loss));
    int checked = 0;
    // All gradients of this pass, kept aside: the differences run more passes.
    size_t bytes = (size_t)f.params.trainable * sizeof(double);
    double *kept = malloc(bytes);
    memcpy(kept, f.params.gradients, bytes);
    bool *touched = calloc(f.params.count, sizeof *touched);
    for (size_t i = 0; i < f.params.count; i++) touched[i] = f.params.item[i]->grad.written;
    for (size_t i = 0; i < f.params.count; i++) {
        param *q = f.params.item[i];
        if (q->role != PARAM_WEIGHT) continue;
        bool pooler = strstr(q->name, "vit_pooler") != NULL;
        bool missing = strstr(q->name, "missing_previous") != NULL;
        ck_assert_msg(touched[i] == (prior ? !missing : !pooler), "%s: gradient %d", q->name, touched[i]);
        if (!touched[i]) continue;
        memcpy(f.params.gradients, kept, bytes);
        check_direction(&f, q, prior, training);
        checked++;
    }
    ck_assert_int_gt(checked, 30);
    free(touched);
    free(kept);
    fixture_close(&f);
}

START_TEST(gradients_in_training) { check_gradients(false, true); }
END_TEST
START_TEST(gradients_with_running_statistics) { check_gradients(false, false); }
END_TEST
START_TEST(gradients_with_a_prior_image) { check_gradients(true, true); }
END_TEST

// Every gradient of A within 1e-3 of B's, the oracle, the loss within 1e-5.
static void expect_equal_runs(fixture *a, fixture *b, bool prior) {
    double loss = run_loss(a, prior, true, true), expected = run_loss(b, prior, true, true);
    ck_assert_msg(fabs(loss - expected) <= 1e-5 * fabs(expected), "loss %.9g, expected %.9g", loss, expected);
    for (size_t i = 0; i < a->params.count; i++) {
        const param *p = a->params.item[i], *q = b->params.item[i];
        if (!q->grad.written) continue;
        double difference = 0, size = 0;
        for (int64_t e = 0; e < tensor_count(&p->value); e++) {
            difference += pow(gradient_at(p, e) - gradient_at(q, e), 2);
            size += pow(gradient_at(q, e), 2);
        }
        // What is the same at every cell (the stand-in for a prior image; the pooler's last bias) is
        // taken out again by the projector's batch norm: its gradient is zero but for rounding.
        bool vanishes = sqrt(size) < 1e-12;
        double error = vanishes ? sqrt(difference) : sqrt(difference / size);
        ck_assert_msg(error <= (vanishes ? 1e-6 : 1e-3), "%s: off by %g", p->name, error);
    }
}

START_TEST(cpu_equals_oracle) {
    for (int prior = 0; prior < 2; prior++) {
        fixture cpu, oracle;
        fixture_open(&cpu, false, &reference_tiny);
        fixture_open(&oracle, true, &reference_tiny);
        expect_equal_runs(&cpu, &oracle, prior);
        fixture_close(&cpu);
        fixture_close(&oracle);
    }
}
END_TEST

// The CUDA kernels' own source, run by the host shim, through a whole model and back.
START_TEST(shim_equals_oracle) {
    for (int prior = 0; prior < 2; prior++) {
        fixture shim, oracle;
        device *d = NULL;
        ck_assert_int_eq(device_open_shim(&d, DTYPE_F32), STATUS_OK);
        fixture_open_on(&shim, d, &reference_tiny);
        fixture_open(&oracle, true, &reference_tiny);
        expect_equal_runs(&shim, &oracle, prior);
        fixture_close(&shim);
        fixture_close(&oracle);
    }
}
END_TEST

// A step of LEAN takes less memory than one of PLAIN and changes not one bit of the gradients; and the running
// statistics move once.
static void expect_lean(fixture *plain, fixture *lean) {
    double a = run_loss(plain, false, true, true), b = run_loss(lean, false, true, true);
    ck_assert(memcmp(&a, &b, sizeof a) == 0);
    ck_assert_uint_lt(tape_used(&lean->tape).activations, tape_used(&plain->tape).activations);
    for (size_t i = 0; i < plain->params.count; i++) {
        const param *p = plain->params.item[i], *q = lean->params.item[i];
        size_t bytes = tensor_bytes(&p->value);
        ck_assert_msg(!memcmp(p->value.data, q->value.data, bytes), "%s differs", p->name);
        ck_assert_int_eq(p->grad.written, q->grad.written);
        if (p->grad.written)
            ck_assert_msg(!memcmp(p->grad.data, q->grad.data, bytes), "d %s differs", p->name);
    }
}

// Blocks that keep only their outputs, norms inside convolutions, and both.
START_TEST(recomputation_is_exact) {
    fixture plain, lean;
    classifier_config sizes = reference_tiny;
    sizes.encoder.fused_norms = _i > 0;
    fixture_open(&plain, false, &reference_tiny);
    fixture_open(&lean, false, &sizes);
    tape_checkpointing(&lean.tape, _i != 1);
    expect_lean(&plain, &lean);
    fixture_close(&plain);
    fixture_close(&lean);
}
END_TEST

START_TEST(fused_norms_in_inference) {
    fixture plain, lean;
    classifier_config sizes = reference_tiny;
    sizes.encoder.fused_norms = true;
    fixture_open(&plain, false, &reference_tiny);
    fixture_open(&lean, false, &sizes);
    double a = run_loss(&plain, false, false, false), b = run_loss(&lean, false, false, false);
    ck_assert(memcmp(&a, &b, sizeof a) == 0);
    ck_assert_uint_le(tape_used(&lean.tape).activations, tape_used(&plain.tape).activations);
    fixture_close(&plain);
    fixture_close(&lean);
}
END_TEST

// Without a prior image the second half of each cell is the learned stand-in.
START_TEST(missing_previous_fills_half) {
    fixture f;
    fixture_open(&f, true, &reference_tiny);
    tape_begin(&f.tape, false);
    biovil_t_patches(&f.tape, &f.model.encoder, image_of(&f.tape, 2, 64, 0), NULL);
    ck_assert_int_eq(tape_allocate(&f.tape, tape_used(&f.tape)), STATUS_OK);
    tape_begin(&f.tape, false);
    tensor *y = biovil_t_patches(&f.tape, &f.model.encoder, image_of(&f.tape, 2, 64, 0), NULL);
    const double *missing = f.model.encoder.missing_previous_emb->data, *out = y->data;
    ck_assert_int_eq(y->dim[1], 2);
    ck_assert_int_eq(y->dim[3], 16);
    for (int64_t cell = 0; cell < 2 * 4; cell++)
        for (int c = 0; c < 8; c++) {
            ck_assert_msg(out[cell * 16 + 8 + c] <= missing[c] && out[cell * 16 + 8 + c] >= missing[c],
                          "cell %lld", (long long)cell);
            ck_assert(fabs(out[cell * 16 + c]) > 0);
        }
    fixture_close(&f);
}
END_TEST

static int64_t count_values(const params *p, const char *prefix) {
    int64_t values = 0;
    for (size_t i = 0; i < p->count; i++)
        if (p->item[i]->role == PARAM_WEIGHT && !strncmp(p->item[i]->name, prefix, strlen(prefix)))
            values += tensor_count(&p->item[i]->value);
    return values;
}

static void expect_shape(const params *p, const char *name, int rank, const int64_t *dim) {
    char have[SHAPE_TEXT_SIZE], want[SHAPE_TEXT_SIZE];
    const param *q = params_find(p, name);
    ck_assert_msg(q != NULL, "%s is missing", name);
    shape_text(have, q->file_rank, q->file_dim);
    ck_assert_str_eq(have, shape_text(want, rank, dim));
}

// Names, shapes and counts of the public checkpoint. Not here: ResNet's fc (2,049,000 values that no
// code reads) and the batch norms' counters.
START_TEST(full_model_has_the_public_shapes) {
    device *d;
    params p;
    classifier m;
    ck_assert_int_eq(device_open_cpu(&d, 1), 0);
    ck_assert_int_eq(params_open(&p, d), 0);
    classifier_make(&m, &p, &reference_full);
    const int64_t fc = 2049000;
    ck_assert_int_eq(count_values(&p, "biovil_encoder.encoder."), 27267624 - fc);
    ck_assert_int_eq(count_values(&p, "biovil_encoder.encoder.vit_pooler."), 1186048);
    ck_assert_int_eq(count_values(&p, "biovil_encoder.projector."), 82304);
    ck_assert_int_eq(count_values(&p, ""), 28406198 - fc);
    expect_shape(&p, "biovil_encoder.encoder.encoder.conv1.weight", 4, (int64_t[]){64, 3, 7, 7});
    expect_shape(&p, "biovil_encoder.encoder.encoder.layer2.0.downsample.0.weight", 4,
                 (int64_t[]){512, 256, 1, 1});
    expect_shape(&p, "biovil_encoder.encoder.encoder.layer4.2.conv2.weight", 4,
                 (int64_t[]){512, 512, 3, 3});
    expect_shape(&p, "biovil_encoder.encoder.encoder.layer1.0.bn3.running_var", 1, (int64_t[]){256});
    expect_shape(&p, "biovil_encoder.encoder.missing_previous_emb", 4, (int64_t[]){1, 256, 1, 1});
    expect_shape(&p, "biovil_encoder.encoder.vit_pooler.type_embed", 3, (int64_t[]){2, 1, 256});
    expect_shape(&p, "biovil_encoder.encoder.vit_pooler.blocks.2.attn.proj_v.weight", 2,
                 (int64_t[]){256, 256});
    expect_shape(&p, "biovil_encoder.projector.model.3.weight", 4, (int64_t[]){128, 128, 1, 1});
    expect_shape(&p, "fc1.weight", 2, (int64_t[]){512, 2048});
    expect_shape(&p, "fc2.bias", 1, (int64_t[]){14});
    params_close(&p);
    device_close(d);
}
END_TEST

START_TEST(frozen_parts_get_no_gradient) {
    fixture f = {0};
    ck_assert_int_eq(device_open_cpu(&f.device, 2), 0);
    f.device->ops = &op_kernels_cpu;
    ck_assert_int_eq(device_open_dry(&f.dry, f.device), 0);
    ck_assert_int_eq(comm_open_single(&f.comm), 0);
    ck_assert_int_eq(params_open(&f.params, f.device), 0);
    ck_assert_int_eq(tape_init(&f.tape, f.device, f.dry, f.comm), 0);
    classifier_make(&f.model, &f.params, &reference_tiny);
    ck_assert_int_gt(params_freeze(&f.params, classifier_encoder_prefix), 20);
    f.model.encoder.trunk_batch_stats = false;
    ck_assert_int_eq(params_allocate(&f.params), 0);
    ck_assert_int_eq(classifier_fill(&f.model, &f.params), 0);
    randomize(&f.params);
    size_t bytes = f.params.buffer_bytes;
    float *before = malloc(bytes);
    memcpy(before, f.params.buffers, bytes);
    run_loss(&f, false, true, true);
    for (size_t i = 0; i < f.params.count; i++) {
        const param *q = f.params.item[i];
        bool encoder = !strncmp(q->name, classifier_encoder_prefix, strlen(classifier_encoder_prefix));
        if (q->role == PARAM_WEIGHT) ck_assert_msg(q->grad.written == !encoder, "%s", q->name);
        if (q->role != PARAM_BUFFER) continue;
        bool moved = memcmp(before + q->offset, q->value.data, tensor_bytes(&q->value)) != 0;
        ck_assert_msg(moved == !encoder, "%s: running statistics", q->name);
    }
    free(before);
    fixture_close(&f);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("models");
    TCase *tests = tcase_create("classifier");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, full_model_has_the_public_shapes);
    tcase_add_test(tests, missing_previous_fills_half);
    tcase_add_test(tests, cpu_equals_oracle);
    tcase_add_test(tests, shim_equals_oracle);
    tcase_add_loop_test(tests, recomputation_is_exact, 0, 3);
    tcase_add_test(tests, fused_norms_in_inference);
    tcase_add_test(tests, frozen_parts_get_no_gradient);
    tcase_add_test(tests, gradients_in_training);
    tcase_add_test(tests, gradients_with_running_statistics);
    tcase_add_test(tests, gradients_with_a_prior_image);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
