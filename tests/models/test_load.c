// models/nn/load.h and models/classifier_weights.h: public files under their own names, and one table of
// what does not fit.
#include "models/classifier_weights.h"
#include "core/files/fs.h"
#include "core/files/safetensors.h"
#include "core/log.h"
#include "tests/core/helper_torch.h"
#include "tests/models/helper_reference.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/radialog-load-XXXXXX";
static char path[512], log_path[512];

typedef struct fixture {
    device *device;
    params params;
    classifier model;
} fixture;

static void fixture_open(fixture *f) {
    memset(f, 0, sizeof *f);
    ck_assert_int_eq(device_open_cpu(&f->device, 1), 0);
    f->device->ops = &op_kernels_cpu;
    ck_assert_int_eq(params_open(&f->params, f->device), 0);
    classifier_make(&f->model, &f->params, &reference_tiny);
    ck_assert_int_eq(params_allocate(&f->params), 0);
    ck_assert_int_eq(params_init(&f->params, 5), 0);
    ck_assert_int_eq(classifier_fill(&f->model, &f->params), 0);
}

static void fixture_close(fixture *f) {
    params_close(&f->params);
    device_close(f->device);
}

// --- files ---------------------------------------------------------------------------------------
// The number that a written tensor holds at element I: different for every tensor and place.
static float number_of(const char *parameter, int64_t i) {
    return (float)rng_normal((rng_key){77, rng_site(parameter), 0}, 0, (uint64_t)i);
}

typedef struct plan {
    const char *prefix;     // before the file's names
    const char *drop, *cut; // leave this parameter out; give this one another shape
    const char *poison;     // this one holds NaN in its second element
    const char *extra;      // one more tensor
    bool image;             // encoder and projector only, without "biovil_encoder."
    bool harmless;          // batch counters, ResNet's fc, the loss's weights, an optimizer
} plan;

typedef struct writer {
    safetensors_writer *file;
    bool writing;
} writer;

static void tensor_out(writer *w, const char *name, int rank, const int64_t *dim, const float *values,
                       int64_t count) {
    status rc = w->writing ? safetensors_write(w->file, name, values, (size_t)count * sizeof *values)
                           : safetensors_declare(w->file, name, DTYPE_F32, rank, dim);
    ck_assert_int_eq(rc, STATUS_OK);
}

static void params_out(writer *w, const params *p, const plan *how) {
    char name[300];
    for (size_t i = 0; i < p->count; i++) {
        const param *q = p->item[i];
        const char *own = q->name;
        if (q->role == PARAM_CONSTANT) continue;
        if (how->image && strncmp(own, "biovil_encoder.", 15)) continue;
        if (how->drop && !strcmp(own, how->drop)) continue;
        int64_t count = tensor_count(&q->value), dim[5];
        memcpy(dim, q->file_dim, sizeof dim);
        if (how->cut && !strcmp(own, how->cut)) count += count / dim[0], dim[0]++;
        float *values = calloc((size_t)count, sizeof *values);
        for (int64_t e = 0; e < count; e++) values[e] = number_of(own, e);
        if (how->poison && !strcmp(own, how->poison)) values[1] = NAN;
        snprintf(name, sizeof name, "%s%s", how->prefix, how->image ? own + 15 : own);
        tensor_out(w, name, q->file_rank, dim, values, count);
        free(values);
    }
}

static void extras_out(writer *w, const plan *how) {
    static const char *const harmless[] = {"encoder.encoder.bn1.num_batches_tracked", "encoder.encoder.fc.bias"};
    char name[300];
    const float one = 1;
    const int64_t dim = 1;
    for (int i = 0; how->harmless && i < 2; i++) {
        snprintf(name, sizeof name, "%s%s%s", how->prefix, how->image ? "" : "biovil_encoder.", harmless[i]);
        tensor_out(w, name, 1, &dim, &one, 1);
    }
    if (how->harmless && !how->image) {
        tensor_out(w, "state_dict.criterion.pos_weight", 1, &dim, &one, 1);
        tensor_out(w, "optimizer_states.0.state.0.exp_avg", 1, &dim, &one, 1);
    }
    if (how->extra) tensor_out(w, how->extra, 1, &dim, &one, 1);
}

static void write_plan(const params *p, const plan *how) {
    writer w = {0};
    ck_assert_int_eq(safetensors_create(&w.file, path), STATUS_OK);
    for (int pass = 0; pass < 2; pass++) {
        w.writing = pass;
        params_out(&w, p, how);
        extras_out(&w, how);
    }
    ck_assert_int_eq(safetensors_finish(w.file), STATUS_OK);
    safetensors_writer_close(w.file);
}

// --- what is expected ----------------------------------------------------------------------------
// Every parameter has the file's numbers, or still those of its beginning if its name starts with KEPT.
static void expect_loaded(const params *p, const params *fresh, const char *const *kept) {
    for (size_t i = 0; i < p->count; i++) {
        const param *q = p->item[i];
        if (q->role == PARAM_CONSTANT) continue;
        int64_t count = tensor_count(&q->value);
        float *have = calloc((size_t)count, sizeof *have), *want = calloc((size_t)count, sizeof *want);
        bool stays = false;
        for (const char *const *k = kept; k && *k; k++) stays = stays || !strncmp(q->name, *k, strlen(*k));
        ck_assert_int_eq(param_read(p, q, param_block(p, q), have), STATUS_OK);
        ck_assert_int_eq(param_read(fresh, fresh->item[i], param_block(fresh, fresh->item[i]), want), STATUS_OK);
        for (int64_t e = 0; e < count && !stays; e++) want[e] = number_of(q->name, e);
        ck_assert_msg(!memcmp(have, want, (size_t)count * sizeof *have), "%s: %s", q->name,
                      stays ? "was changed" : "differs from the file");
        free(have);
        free(want);
    }
}

static const char *logged(void) {
    static char text[1 << 16];
    FILE *f = fopen(log_path, "r");
    size_t size = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[size] = 0;
    if (f) fclose(f);
    return text;
}

static status load(fixture *f, const plan *how, bool complete, bool projector) {
    fixture_open(f);
    write_plan(&f->params, how);
    log_open(NULL);
    unlink(log_path);
    ck_assert_int_eq(log_open(log_path), STATUS_OK);
    log_quiet(1);
    status rc = classifier_load(&f->params, path, complete, projector);
    log_open(NULL);
    return rc;
}

static void expect_good(const plan *how, bool complete, bool projector, const char *const *kept,
                        const char *says) {
    fixture f, fresh;
    fixture_open(&fresh);
    status rc = load(&f, how, complete, projector);
    ck_assert_msg(!rc, "%s", status_text());
    expect_loaded(&f.params, &fresh.params, kept);
    ck_assert_msg(strstr(logged(), says) != NULL, "no '%s' in: %s", says, logged());
    fixture_close(&f);
    fixture_close(&fresh);
}

static const char *const head[] = {"fc1.", "fc2.", NULL};
static const char *const head_and_projector[] = {"fc1.", "fc2.", "biovil_encoder.projector.", NULL};

START_TEST(files_that_fit) {
    static const plan own = {.prefix = ""}, lightning = {.prefix = "state_dict.model.", .harmless = true},
                      converted = {.prefix = "model."}, image = {.prefix = "", .image = true, .harmless = true};
    expect_good(&own, false, false, NULL, "a checkpoint of radialog");
    expect_good(&own, true, false, NULL, "0 left as they began, 0 of the file not needed");
    expect_good(&lightning, false, false, NULL, "RaDialog's classifier");
    expect_good(&lightning, true, false, NULL, "4 of the file not needed");
    expect_good(&converted, true, true, NULL, "RaDialog's classifier");
    // Quirk: the projector of the image model is dropped unless it is asked for.
    expect_good(&image, false, false, head_and_projector, "11 left as they began, 9 of the file not needed");
    expect_good(&image, false, true, head, "4 left as they began, 2 of the file not needed");
}
END_TEST

static void expect_bad(const plan *how, bool complete, const char *row, const char *line) {
    fixture f, fresh;
    fixture_open(&fresh);
    status rc = load(&f, how, complete, true);
    ck_assert_int_eq(rc, STATUS_FORMAT);
    ck_assert_msg(strstr(status_text(), line) != NULL, "no '%s' in: %s", line, status_text());
    ck_assert_msg(strstr(status_text(), path) != NULL, "%s", status_text());
    if (row) {
        char squeezed[1 << 16], *out = squeezed;
        for (const char *c = logged(); *c; c++)
            if (*c != ' ' || c[1] != ' ') *out++ = *c;
        *out = 0;
        ck_assert_msg(strstr(squeezed, row) != NULL, "no '%s' in: %s", row, squeezed);
        // Nothing was loaded.
        static const char *const all[] = {"", NULL};
        expect_loaded(&f.params, &fresh.params, all);
    }
    fixture_close(&f);
    fixture_close(&fresh);
}

START_TEST(files_that_do_not_fit) {
    static const plan
        missing = {.prefix = "", .drop = "fc2.bias"},
        cut = {.prefix = "state_dict.model.", .cut = "biovil_encoder.encoder.encoder.conv1.weight"},
        extra = {.prefix = "", .extra = "fc3.weight"},
        poison = {.prefix = "state_dict.model.", .poison = "biovil_encoder.encoder.encoder.bn1.running_var"},
        no_encoder = {.prefix = "", .image = true, .drop = "biovil_encoder.encoder.missing_previous_emb"},
        image = {.prefix = "", .image = true};
    expect_bad(&missing, false, "fc2.bias - (3) missing", "1 tensors missing, 0 of another shape, 0 not in");
    expect_bad(&cut, false, "state_dict.model.biovil_encoder.encoder.encoder.conv1.weight (5, 3, 7, 7) (4, 3, 7, 7) another shape",
               "0 tensors missing, 1 of another shape");
    expect_bad(&extra, false, "fc3.weight (1) - not in the model", "0 of another shape, 1 not in the model");
    expect_bad(&poison, false, NULL, "\"state_dict.model.biovil_encoder.encoder.encoder.bn1.running_var\" holds NaN at element 1");
    expect_bad(&no_encoder, false, "encoder.missing_previous_emb - (1, 8, 1, 1) missing", "1 tensors missing");
    // An image model alone classifies nothing.
    expect_bad(&image, true, "fc1.weight - (7, 6) missing", "4 tensors missing");
}
END_TEST

// A tensor that a public file holds and the model has not is told, not refused.
START_TEST(unknown_tensors_are_told) {
    static const plan extra = {.prefix = "state_dict.model.", .extra = "state_dict.model.fc3.weight"};
    expect_good(&extra, true, true, NULL, "state_dict.model.fc3.weight");
    expect_good(&extra, true, true, NULL, "not in the model");
}
END_TEST

// Other types are converted: an f64 bias in a file of PyTorch.
START_TEST(types_are_converted) {
    device *d = NULL;
    params p;
    buffer pickle = {0}, file = {0};
    weights *w = NULL;
    load_counts counts;
    float have[6];
    const double bias[2] = {0.5, -3};
    const uint16_t weight[6] = {0x3f80, 0x4000, 0x4040, 0xbf80, 0, 0x3f00}; // bf16
    ck_assert_int_eq(device_open_cpu(&d, 1), 0);
    ck_assert_int_eq(params_open(&p, d), 0);
    param_add(&p, PARAM_WEIGHT, "a.weight", (init){INIT_ZERO, 0}, 2, (int64_t[]){2, 3});
    param_add(&p, PARAM_WEIGHT, "a.bias", (init){INIT_ZERO, 0}, 1, (int64_t[]){2});
    ck_assert_int_eq(params_allocate(&p), 0);
    pk_open(&pickle);
    pk_entry(&pickle, "net.weight", &(pk_tensor){"0", "BFloat16Storage", 6, 0, 2, {2, 3}, {1, 2}});
    pk_entry(&pickle, "net.bias", &(pk_tensor){"1", "DoubleStorage", 2, 0, 1, {2}, {1}});
    pk_close(&pickle);
    zip_part parts[] = {{.name = "x/data.pkl", .data = pickle.data, .size = pickle.length},
                        {.name = "x/data/0", .data = weight, .size = sizeof weight},
                        {.name = "x/data/1", .data = bias, .size = sizeof bias, .deflate = true}};
    zip_write(&file, parts, 3, 0);
    ck_assert_int_eq(file_write(path, file.data, file.length), STATUS_OK);
    ck_assert_msg(!weights_open(&w, path), "%s", status_text());
    static const load_name rename[] = {{"net.", "a."}, {0}};
    static const load_recipe recipe = {.what = "a test", .names = rename, .strict = true};
    ck_assert_msg(!params_load(&p, w, &recipe, &counts), "%s", status_text());
    ck_assert_int_eq(counts.loaded, 2);
    ck_assert_int_eq(param_read(&p, p.item[0], param_block(&p, p.item[0]), have), STATUS_OK);
    const float turned[6] = {1, 3, 0, 2, -1, 0.5f};
    ck_assert_mem_eq(have, turned, sizeof turned);
    ck_assert_int_eq(param_read(&p, p.item[1], param_block(&p, p.item[1]), have), STATUS_OK);
    ck_assert(have[0] == 0.5f && have[1] == -3);
    weights_close(w);
    buffer_free(&file);
    buffer_free(&pickle);
    params_close(&p);
    device_close(d);
}
END_TEST

// --- large files ---------------------------------------------------------------------------------
enum { LARGE = 6, LARGE_ROWS = 1000, LARGE_WIDTH = 4096, LARGE_COUNT = LARGE_ROWS * LARGE_WIDTH };

// The most memory that this process has had since FORGET; -1: not known.
static int64_t most_memory(bool forget) {
    char line[256];
    long long kb = -1;
    FILE *f = fopen(forget ? "/proc/self/clear_refs" : "/proc/self/status", forget ? "w" : "r");
    if (!f) return -1;
    if (forget) fputs("5", f);
    while (!forget && fgets(line, sizeof line, f)) sscanf(line, "VmHWM: %lld kB", &kb);
    if (fclose(f)) return -1;
    return forget ? most_memory(false) : kb < 0 ? -1 : kb << 10;
}

// Numbers that are bf16's, from a hash; the last tensor's file has a row less.
static void large_numbers(uint16_t *out, int which) {
    for (int i = 0; i < LARGE_COUNT; i++)
        out[i] = (uint16_t)((0x3f00u + (unsigned)(i * 7 + which * 31) % 255) ^ ((unsigned)i % 2 << 15));
}

static void write_large(uint16_t *numbers) {
    safetensors_writer *w;
    char name[16];
    ck_assert_int_eq(safetensors_create(&w, path), STATUS_OK);
    for (int writing = 0; writing < 2; writing++)
        for (int i = 0; i < LARGE; i++) {
            const int64_t dim[2] = {LARGE_ROWS - (i == LARGE - 1), LARGE_WIDTH};
            snprintf(name, sizeof name, "w%d", i);
            if (writing) large_numbers(numbers, i);
            ck_assert_int_eq(writing ? safetensors_write(w, name, numbers,
                                                         (size_t)(dim[0] * dim[1]) * sizeof *numbers)
                                     : safetensors_declare(w, name, DTYPE_BF16, 2, dim),
                             STATUS_OK);
        }
    ck_assert_int_eq(safetensors_finish(w), STATUS_OK);
    safetensors_writer_close(w);
}

// A frozen matrix of two pieces, and others alone; what is added behind the last one's rows stays.
static void large_model(params *p, device *d) {
    const int64_t pair[2] = {2 * LARGE_ROWS, LARGE_WIDTH}, one[2] = {LARGE_ROWS, LARGE_WIDTH};
    char name[16];
    ck_assert_int_eq(params_open(p, d), 0);
    param_add(p, PARAM_WEIGHT, "pair", (init){INIT_ONE, 0}, 2, pair);
    param_pieces(p, 2, (param_piece[]){{"w0", LARGE_ROWS}, {"w1", LARGE_ROWS}});
    for (int i = 2; i < LARGE; i++) {
        snprintf(name, sizeof name, "w%d", i);
        param_add(p, PARAM_WEIGHT, name, (init){INIT_ONE, 0}, 2, one);
    }
    params_freeze(p, "");
    ck_assert_int_eq(params_allocate(p), 0);
}

// What is kept as the file has it goes straight to its place: beside that, one tensor's bytes are in memory.
START_TEST(large_files_are_there_once) {
    static const char *const grown[] = {"w5", NULL};
    static const load_recipe recipe = {.what = "a test", .grown = grown, .strict = true};
    device *d = NULL;
    params p;
    weights *w = NULL;
    load_counts counts;
    uint16_t *numbers = calloc(LARGE_COUNT, sizeof *numbers);
    write_large(numbers);
    ck_assert_int_eq(device_open_cpu(&d, 1), 0);
    d->type = DTYPE_BF16; // no number is computed with
    large_model(&p, d);
    ck_assert_msg(!weights_open(&w, path), "%s", status_text());
    const int64_t before = most_memory(true);
    ck_assert_msg(!params_load(&p, w, &recipe, &counts), "%s", status_text());
    const int64_t grew = most_memory(false) - before, each = LARGE_COUNT * 2;
    ck_assert_int_eq(counts.loaded, LARGE);
    ck_assert_msg(before < 0 || grew < each + each / 2, "%lld bytes beside the weights", (long long)grew);
    for (int i = 0; i < LARGE; i++) {
        const uint16_t *have = (const uint16_t *)p.frozen + (size_t)i * LARGE_COUNT;
        large_numbers(numbers, i);
        for (int k = 0; i == LARGE - 1 && k < LARGE_WIDTH; k++)
            numbers[LARGE_COUNT - LARGE_WIDTH + k] = 0; // as it began
        ck_assert(!memcmp(have, numbers, LARGE_COUNT * sizeof *numbers));
    }
    weights_close(w);
    params_close(&p);
    device_close(d);
    free(numbers);
}
END_TEST

static void write_bad(uint16_t number) {
    safetensors_writer *w;
    const int64_t dim[2] = {2, 3};
    const uint16_t numbers[6] = {0x3f80, 0x3f80, 0x3f80, 0x3f80, number, 0x3f80};
    ck_assert_int_eq(safetensors_create(&w, path), STATUS_OK);
    ck_assert_int_eq(safetensors_declare(w, "w", DTYPE_BF16, 2, dim), STATUS_OK);
    ck_assert_int_eq(safetensors_write(w, "w", numbers, sizeof numbers), STATUS_OK);
    ck_assert_int_eq(safetensors_finish(w), STATUS_OK);
    safetensors_writer_close(w);
}

START_TEST(numbers_that_go_straight_are_finite) {
    static const load_recipe recipe = {.what = "a test", .strict = true};
    static const uint16_t bad[] = {0x7fc0, 0x7f80, 0xff80};
    for (int i = 0; i < 3; i++) {
        device *d = NULL;
        params p;
        weights *w = NULL;
        load_counts counts;
        write_bad(bad[i]);
        ck_assert_int_eq(device_open_cpu(&d, 1), 0);
        d->type = DTYPE_BF16;
        ck_assert_int_eq(params_open(&p, d), 0);
        param_add(&p, PARAM_WEIGHT, "w", (init){INIT_ONE, 0}, 2, (int64_t[]){2, 3});
        params_freeze(&p, "");
        ck_assert_int_eq(params_allocate(&p), 0);
        ck_assert_msg(!weights_open(&w, path), "%s", status_text());
        ck_assert_int_eq(params_load(&p, w, &recipe, &counts), STATUS_FORMAT);
        ck_assert_msg(strstr(status_text(), "at element 4"), "%s", status_text());
        weights_close(w);
        params_close(&p);
        device_close(d);
    }
}
END_TEST

int main(void) {
    if (!mkdtemp(folder)) return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    snprintf(log_path, sizeof log_path, "%s/log.txt", folder);
    Suite *suite = suite_create("load");
    TCase *tests = tcase_create("load");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, files_that_fit);
    tcase_add_test(tests, files_that_do_not_fit);
    tcase_add_test(tests, unknown_tensors_are_told);
    tcase_add_test(tests, types_are_converted);
    tcase_add_test(tests, large_files_are_there_once);
    tcase_add_test(tests, numbers_that_go_straight_are_finite);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    path_remove(folder);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
