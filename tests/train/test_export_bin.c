// Adapters as PEFT 0.3.0 and RaDialog wrote them (`radialog export --format peft --bin-names`):
// names, types, numbers, the configuration. scripts/check_export.py has PyTorch and PEFT read the
// same.
#include "core/files/gguf.h"
#include "core/files/json.h"
#include "core/files/weights.h"
#include "tests/train/helper_lora.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char work[256];

static const char *in_work(const char *name) {
    static char text[8][1024];
    static int next;
    char *out = text[next++ % 8];
    snprintf(out, sizeof text[0], "%s/%s", work, name);
    return out;
}

static void setup(void) {
    workspace_make(work);
    lora_base(in_work("base"), DTYPE_F32, WORDS);
    lora_run(in_work("run"), "false");
}

static void teardown(void) {
    workspace_remove(work);
}

// The names of RaDialog's adapters and of PEFT 0.3.0's, literally.
static void expect_old_names(const char *path, element_type type) {
    static const char *const layer[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                        "mlp.down_proj"};
    weights *w;
    char name[128];
    ck_assert_msg(weights_open(&w, path) == 0, "%s", status_text());
    ck_assert_str_eq(weights_format(w), "PyTorch zip");
    ck_assert_uint_eq(weights_count(w), 2 * 4 * LAYERS + 2);
    for (int i = 0; i < 2 * 4 * LAYERS; i++) {
        snprintf(name, sizeof name, "base_model.model.model.layers.%d.%s.lora_%c.weight", i / 8,
                 layer[i / 2 % 4], i % 2 ? 'B' : 'A');
        ck_assert_str_eq(weights_at(w, (size_t)i)->name, name);
    }
    ck_assert_str_eq(weights_at(w, 2 * 4 * LAYERS)->name,
                     "base_model.model.model.img_proj_layer.weight");
    ck_assert_str_eq(weights_at(w, 2 * 4 * LAYERS + 1)->name,
                     "base_model.model.model.img_proj_layer.bias");
    for (size_t i = 0; i < weights_count(w); i++) ck_assert(weights_at(w, i)->type == type);
    weights_close(w);
}

// All keys that PEFT 0.3.0 knows of, sorted, and no others: some of its successors refuse what they
// do not know.
static void expect_old_config(const char *path, double alpha) {
    static const char *const key[] = {"base_model_name_or_path",
                                      "bias",
                                      "fan_in_fan_out",
                                      "inference_mode",
                                      "init_lora_weights",
                                      "lora_alpha",
                                      "lora_dropout",
                                      "modules_to_save",
                                      "peft_type",
                                      "r",
                                      "target_modules",
                                      "task_type"};
    json *config;
    double number;
    size_t count = 0;
    ck_assert_int_eq(json_read(&config, path, 0), 0);
    for (json_value v = json_first(json_root(config)); v.node; v = json_next(v))
        ck_assert_str_eq(json_key(v), key[count++]);
    ck_assert_uint_eq(count, sizeof key / sizeof *key);
    ck_assert(!json_member_number(&number, json_root(config), "lora_alpha"));
    ck_assert_msg(fabs(number - alpha) <= 1e-12 * alpha, "alpha %g, expected %g", number, alpha);
    json_close(config);
}

START_TEST(as_bin) {
    program_expect(0, "export %s --format peft --bin-names --out %s --verify", in_work("run"),
                   in_work("bin"));
    expect_old_names(in_work("bin/adapter_model.bin"), ELEMENT_F32);
    lora_expect_numbers(in_work("bin/adapter_model.bin"), 2 * 4 * LAYERS + 2);
    expect_old_config(in_work("bin/adapter_config.json"), LORA_ALPHA);
    ck_assert(access(in_work("bin/adapter_model.safetensors"), F_OK) &&
              access(in_work("bin/img_proj.safetensors"), F_OK));
    // Read as RaDialog's own are, it is the same adapter.
    program_expect(0, "export %s --format peft --out %s", in_work("run"), in_work("direct"));
    program_expect(0, "export %s --format peft --out %s", in_work("bin"), in_work("by-bin"));
    ck_assert(same_files(in_work("direct/adapter_model.safetensors"),
                         in_work("by-bin/adapter_model.safetensors")));
    ck_assert(
        same_files(in_work("direct/img_proj.safetensors"), in_work("by-bin/img_proj.safetensors")));
    ck_assert(
        same_files(in_work("direct/adapter_config.json"), in_work("by-bin/adapter_config.json")));
    // A projection that stands beside the adapter comes into the file.
    program_expect(0, "export %s --format peft --bin-names --out %s --verify", in_work("direct"),
                   in_work("bin-again"));
    ck_assert(same_files(in_work("bin/adapter_model.bin"), in_work("bin-again/adapter_model.bin")));
    outcome o = program("export %s --format gguf --bin-names --base %s --out %s", in_work("run"),
                        in_work("base"), in_work("x.gguf"));
    ck_assert(o.exit == 2 && strstr(o.err, "--bin-names: goes with --format peft"));
    outcome_free(&o);
}
END_TEST

// PEFT 0.3.0 knows no rank-stabilised scale: alpha makes up for it. Halves stay halves.
START_TEST(as_bin_of_another_scale_and_type) {
    shape s[2 * 4 * LAYERS + 2];
    weights *w;
    int n = 0;
    lora_run(in_work("half"), "true");
    ck_assert_int_eq(weights_open(&w, in_work("half/model.safetensors")), 0);
    for (size_t i = 0; i < weights_count(w); i++) {
        const weight_entry *e = weights_at(w, i);
        s[n] = (shape){.rows = e->dim[0], .columns = e->rank > 1 ? e->dim[1] : 0};
        snprintf(s[n++].name, sizeof s->name, "%s", e->name);
    }
    weights_close(w);
    for (int bf16 = 0; bf16 < 2; bf16++) {
        const char *out = in_work(bf16 ? "bf16-bin" : "half-bin");
        char file[512];
        write_tensors(in_work("half/model.safetensors"), s, n, bf16 ? DTYPE_BF16 : DTYPE_F16);
        program_expect(0, "export %s --format peft --bin-names --out %s --verify", in_work("half"),
                       out);
        snprintf(file, sizeof file, "%s/adapter_model.bin", out);
        expect_old_names(file, bf16 ? ELEMENT_BF16 : ELEMENT_F16);
        snprintf(file, sizeof file, "%s/adapter_config.json", out);
        expect_old_config(file, LORA_ALPHA * sqrt(RANK));
    }
    program_expect(0, "export %s --format gguf --base %s --out %s --verify", in_work("half-bin"),
                   in_work("base"), in_work("of-bin.gguf"));
    gguf *g;
    double alpha = 0; // of the scale alpha / rank
    ck_assert_int_eq(gguf_open(&g, in_work("of-bin.gguf")), 0);
    ck_assert(gguf_number(g, "adapter.lora.alpha", &alpha));
    ck_assert(fabs(alpha - LORA_ALPHA * sqrt(RANK)) <= 1e-6 * alpha);
    gguf_close(g);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("export_bin");
    TCase *c = tcase_create("export_bin");
    tcase_set_timeout(c, 300);
    tcase_add_unchecked_fixture(c, setup, teardown);
    tcase_add_test(c, as_bin);
    tcase_add_test(c, as_bin_of_another_scale_and_type);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
