// Merging beside a coded base: the training saw other numbers than the base's files hold, and those are merged, in
// layers without adapters too. q, k and v are one matrix there, with a scale for each row all the same.
#include "core/e4m3.h"
#include "core/files/weights.h"
#include "tests/core/helper_check.h"
#include "tests/train/helper_lora.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char work[256];

static void setup(void) {
    workspace_make(work);
    char folder[512];
    snprintf(folder, sizeof folder, "%s/base", work);
    lora_base(folder, DTYPE_F32, WORDS);
    snprintf(folder, sizeof folder, "%s/run", work);
    lora_run(folder, "false");
}

static void teardown(void) {
    workspace_remove(work);
}

// The merged folder, its weights opened.
static weights *merged(const char *storage) {
    weights *w;
    char path[512];
    program_expect(0, "export %s/run --format merged --base %s/base --out %s/%s --storage %s --verify", work, work,
                   work, storage, storage);
    snprintf(path, sizeof path, "%s/%s/model.safetensors", work, storage);
    ck_assert_msg(weights_open(&w, path) == 0, "%s", status_text());
    return w;
}

static void refused(int exit, const char *run, const char *base, const char *storage, const char *part) {
    outcome o = program("export %s/%s --format merged --base %s/%s --out %s/refused --storage %s", work, run, work,
                        base, work, storage);
    ck_assert_msg(o.exit == exit && strstr(o.err, part), "exit %d, expected %d and '%s'\n%s", o.exit, exit, part,
                  o.err);
    outcome_free(&o);
    char out[512];
    snprintf(out, sizeof out, "%s/refused", work);
    ck_assert(access(out, F_OK));
}

static double as_int8(const char *name, int64_t row, int64_t columns, int64_t i) {
    float largest = 0;
    for (int64_t k = 0; k < columns; k++)
        largest = fmaxf(largest, fabsf(lora_value(name, row * columns + k)));
    const float scale = largest / 127;
    return (double)(scale * rintf(lora_value(name, row * columns + i) * (1 / scale)));
}

static double as_fp8(const char *name, int64_t row, int64_t columns, int64_t i) {
    float largest = 0;
    for (int64_t k = 0; k < columns; k++)
        largest = fmaxf(largest, fabsf(lora_value(name, row * columns + k)));
    const float scale = e4m3_scale(largest);
    return (double)(scale * e4m3_round(lora_value(name, row * columns + i) / scale));
}

static void expect_beside(weights *w, const lora_layer *l,
                          double (*as)(const char *name, int64_t row, int64_t columns, int64_t i)) {
    char name[128];
    float numbers[INNER * INNER];
    snprintf(name, sizeof name, "model.layers.1.%s.weight", l->name);
    ck_assert_int_eq(weights_read_f32(w, weights_lookup(w, name), numbers), 0);
    for (int64_t i = 0; i < l->rows * l->columns; i++) {
        const double added =
            l->adapted ? lora_merged_value(name, i, l->columns, LORA_ALPHA / RANK) - (double)lora_value(name, i) : 0;
        const double wanted = as(name, i / l->columns, l->columns, i % l->columns) + added;
        ck_assert_msg(fabs((double)numbers[i] - wanted) <= 1e-6, "%s[%lld]: %g, expected %g", name,
                      (long long)i, (double)numbers[i], wanted);
    }
}

// Dettmers et al. 2023, appendix E.
static const double nf4[] = {-1,
                             -0.6961928009986877,
                             -0.5250730514526367,
                             -0.39491748809814453,
                             -0.28444138169288635,
                             -0.18477343022823334,
                             -0.09105003625154495,
                             0,
                             0.07958029955625534,
                             0.16093020141124725,
                             0.24611230194568634,
                             0.33791524171829224,
                             0.44070982933044434,
                             0.5626170039176941,
                             0.7229568362236023,
                             1};

static double as_nf4(double x) {
    double nearest = nf4[0];
    for (int c = 1; c < 16; c++)
        if (fabs(nf4[c] - x) < fabs(nearest - x)) nearest = nf4[c];
    return nearest;
}

// Blocks of 64: one scale, that of their largest number but for its own 8 bits, times the nearest of 16 numbers.
static void expect_beside_nf4(weights *w, const lora_layer *l) {
    enum { BLOCK = 64 };
    char name[128];
    float numbers[INNER * INNER];
    double base[BLOCK];
    snprintf(name, sizeof name, "model.layers.1.%s.weight", l->name);
    ck_assert_int_eq(weights_read_f32(w, weights_lookup(w, name), numbers), 0);
    for (int64_t first = 0; first < l->rows * l->columns; first += BLOCK) {
        double largest = 0, scale = 0;
        for (int64_t i = 0; i < BLOCK; i++) {
            const double value = (double)lora_value(name, first + i);
            base[i] = (double)numbers[first + i];
            if (l->adapted) base[i] -= lora_merged_value(name, first + i, l->columns, LORA_ALPHA / RANK) - value;
            largest = fmax(largest, fabs(value));
            scale = fmax(scale, fabs(base[i]));
        }
        ck_assert_msg(fabs(scale - largest) <= 0.02 * largest, "%s: %g as a scale, of %g", name, scale, largest);
        for (int64_t i = 0; i < BLOCK; i++)
            ck_assert_msg(fabs(base[i] - scale * as_nf4((double)lora_value(name, first + i) / largest)) <= 2e-6,
                          "%s[%lld]: %g of scale %g", name, (long long)(first + i), base[i], scale);
    }
}

START_TEST(rows_with_a_scale) {
    weights *w = merged("int8");
    for (int n = 0; n < LINEAR; n++) expect_beside(w, &lora_layers[n], as_int8);
    weights_close(w);
    w = merged("fp8");
    for (int n = 0; n < LINEAR; n++) expect_beside(w, &lora_layers[n], as_fp8);
    weights_close(w);
}
END_TEST

START_TEST(blocks_with_a_scale) {
    weights *w = merged("nf4");
    for (int n = 0; n < LINEAR; n++) expect_beside_nf4(w, &lora_layers[n]);
    weights_close(w);
}
END_TEST

// A run that adapts q alone, and bases whose down_proj, which it leaves alone, has rows of two blocks and a half.
static void make_others(void) {
    char path[512];
    shape pairs[2 * LAYERS];
    for (int layer = 0; layer < LAYERS; layer++) {
        shape *a = &pairs[2 * layer], *b = a + 1;
        a->rows = RANK, a->columns = WIDTH;
        b->rows = QUERY_ROWS, b->columns = RANK;
        snprintf(a->name, sizeof a->name, "base_model.model.model.layers.%d.self_attn.q_proj.lora_A.weight", layer);
        snprintf(b->name, sizeof b->name, "base_model.model.model.layers.%d.self_attn.q_proj.lora_B.weight", layer);
    }
    snprintf(path, sizeof path, "%s/one", work);
    ck_assert_int_eq(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/one/model.safetensors", work);
    write_tensors(path, pairs, 2 * LAYERS, DTYPE_F32);
    snprintf(path, sizeof path, "%s/one/config.json", work);
    write_text(path, "{\"model\": {}, \"lora\": {\"rank\": 3, \"alpha\": 7.5, \"dropout\": 0, "
                     "\"rank_stabilised\": false, \"targets\": [\"q_proj\"]}}");
    snprintf(path, sizeof path, "%s/narrow", work);
    lora_base_of(path, DTYPE_F32, WORDS, 160);
    // Files that are wider than its configuration says.
    char command[1600];
    snprintf(command, sizeof command, "cp -r %s/base %s/liar && cp %s/narrow/config.json %s/liar/", work, work, work,
             work);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(refusals) {
    refused(1, "run", "base", "int4", "there is plain, fp8, int8 and nf4");
    make_others();
    refused(1, "one", "liar", "int8", "gate_proj.weight is (192, 64), (160, 64) by the configuration");
    refused(2, "one", "narrow", "nf4",
            "NF4 takes rows of whole blocks of 64 numbers; these have 160: take int8 or fp8");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("export_beside");
    TCase *c = tcase_create("export_beside");
    tcase_add_unchecked_fixture(c, setup, teardown);
    tcase_add_test(c, rows_with_a_scale);
    tcase_add_test(c, blocks_with_a_scale);
    tcase_add_test(c, refusals);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
