// Adapters as `radialog export` writes them for PEFT, llama.cpp and transformers: names, numbers,
// the order of rows, what is refused. Base and run are small folders of random numbers made here.
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
#include <sys/stat.h>
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
    lora_base(in_work("base16"), DTYPE_F16, WORDS);
    lora_run(in_work("run"), "false");
    lora_run(in_work("stable"), "true");
}

static void teardown(void) {
    workspace_remove(work);
}

static void refused(int exit, const char *part, const char *words) {
    outcome o = program("export %s", words);
    ck_assert_msg(o.exit == exit && strstr(o.err, part), "%s: exit %d, expected %d and '%s'\n%s",
                  words, o.exit, exit, part, o.err);
    outcome_free(&o);
}

static const char *words_of(const char *format, const char *a, const char *b, const char *c) {
    static char text[2048];
    snprintf(text, sizeof text, format, a, b, c);
    return text;
}

// --- peft ---------------------------------------------------------------------------------------
START_TEST(as_peft) {
    json *config;
    const char *text;
    double number;
    program_expect(0, "export %s --format peft --out %s --base-name some/base --verify",
                   in_work("run"), in_work("peft"));
    lora_expect_numbers(in_work("peft/adapter_model.safetensors"), 2 * 4 * LAYERS);
    lora_expect_numbers(in_work("peft/img_proj.safetensors"), 2);
    ck_assert_int_eq(json_read(&config, in_work("peft/adapter_config.json"), 0), 0);
    json_value root = json_root(config), list;
    ck_assert(!json_member_text(&text, root, "base_model_name_or_path") &&
              !strcmp(text, "some/base"));
    ck_assert(!json_member_text(&text, root, "peft_type") && !strcmp(text, "LORA"));
    ck_assert(!json_member_number(&number, root, "lora_alpha") && number == LORA_ALPHA);
    ck_assert(!json_member_number(&number, root, "r") && number == RANK);
    ck_assert(!json_member(&list, root, "target_modules") && json_count(list) == 4);
    json_close(config);
}
END_TEST

// PEFT's folder is itself something to export, and gives the same bytes. No path of this machine in
// it.
START_TEST(peft_again) {
    program_expect(0, "export %s --format peft --out %s --verify", in_work("stable"),
                   in_work("one"));
    program_expect(0, "export %s --format peft --out %s --verify", in_work("one"), in_work("two"));
    ck_assert(same_files(in_work("one/adapter_model.safetensors"),
                         in_work("two/adapter_model.safetensors")));
    ck_assert(same_files(in_work("one/img_proj.safetensors"), in_work("two/img_proj.safetensors")));
    ck_assert(same_files(in_work("one/adapter_config.json"), in_work("two/adapter_config.json")));
    char *config = read_file(in_work("one/adapter_config.json"), NULL);
    ck_assert(strstr(config, "\"base_model_name_or_path\": null") && !strstr(config, work));
    ck_assert_ptr_nonnull(strstr(config, "\"use_rslora\": true"));
    free(config);
}
END_TEST

// --- gguf ---------------------------------------------------------------------------------------
// Where the converter of llama.cpp puts row ROW of a matrix of HEADS heads: it reads the rows as
// (heads, 2, half), swaps the last two and reads them as rows again.
static int64_t moved(int64_t row, int64_t rows, int heads) {
    const int64_t half = rows / heads / 2;
    const int64_t head = row / (2 * half), which = row / half % 2, place = row % half;
    return (head * half + place) * 2 + which;
}

static void expect_gguf(const gguf *g, const char *name, const char *of, int64_t rows,
                        int64_t columns, int heads, dtype type) {
    const gguf_entry *e = gguf_lookup(g, name);
    ck_assert_msg(e && e->type == type && e->rank == 2 && e->dim[0] == rows && e->dim[1] == columns,
                  "%s", name);
    for (int64_t i = 0; i < rows * columns; i++) {
        const int64_t row = i / columns, to = heads ? moved(row, rows, heads) : row;
        const double found = element_get(e->data, to * columns + i % columns, type);
        ck_assert_msg(found == (double)lora_value(of, i), "%s: row %d, expected in row %d", name,
                      (int)row, (int)to);
    }
}

static void expect_pair(const gguf *g, int layer, const char *name, int i, int heads, dtype type) {
    char to[96], from[96];
    snprintf(to, sizeof to, "blk.%d.%s.weight.lora_a", layer, name);
    snprintf(from, sizeof from, "base_model.model.model.layers.%d.%s.lora_A.weight", layer,
             lora_layers[i].name);
    expect_gguf(g, to, from, RANK, lora_layers[i].columns, 0, type);
    to[strlen(to) - 1] = 'b';
    from[strlen(from) - strlen("A.weight")] = 'B';
    expect_gguf(g, to, from, lora_layers[i].rows, RANK, heads, type);
}

static void expect_adapter(const char *path, dtype type, double wanted) {
    gguf *g;
    double number = 0;
    ck_assert_msg(gguf_open(&g, path) == 0, "%s", status_text());
    ck_assert_str_eq(gguf_text(g, "general.architecture"), "llama");
    ck_assert_str_eq(gguf_text(g, "general.type"), "adapter");
    ck_assert_str_eq(gguf_text(g, "adapter.type"), "lora");
    ck_assert(gguf_number(g, "adapter.lora.alpha", &number));
    ck_assert_msg(fabs(number - wanted) <= 1e-6 * wanted, "alpha %g, expected %g", number, wanted);
    ck_assert_uint_eq(gguf_count(g), 2 * 4 * LAYERS);
    for (int layer = 0; layer < LAYERS; layer++) {
        expect_pair(g, layer, "attn_q", 0, HEADS, type);
        expect_pair(g, layer, "attn_k", 1, KEYS, type);
        expect_pair(g, layer, "attn_v", 2, 0, type);
        expect_pair(g, layer, "ffn_down", 6, 0, type);
    }
    gguf_close(g);
}

START_TEST(as_gguf) {
    program_expect(0, "export %s --format gguf --base %s --out %s --verify", in_work("run"),
                   in_work("base"), in_work("wide.gguf"));
    expect_adapter(in_work("wide.gguf"), DTYPE_F32, LORA_ALPHA);
    program_expect(0, "export %s --format gguf --base %s --out %s --type f16 --verify",
                   in_work("stable"), in_work("base"), in_work("half.gguf"));
    // llama.cpp's scale is alpha / rank; this one is alpha / sqrt(rank).
    expect_adapter(in_work("half.gguf"), DTYPE_F16, LORA_ALPHA * sqrt(RANK));
}
END_TEST

// --- merged -------------------------------------------------------------------------------------
static bool is_adapted(const char *name) {
    for (int i = 0; i < LINEAR; i++)
        if (lora_layers[i].adapted && strstr(name, lora_layers[i].name)) return true;
    return false;
}

static void expect_merged(const char *path, element_type type, double scale, double unit) {
    weights *w;
    float numbers[INNER * QUERY_ROWS];
    int adapted = 0;
    ck_assert_msg(weights_open(&w, path) == 0, "%s", status_text());
    ck_assert_uint_eq(weights_count(w), 3 + 9 * LAYERS); // without the tables of rotary positions
    for (size_t k = 0; k < weights_count(w); k++) {
        const weight_entry *e = weights_at(w, k);
        const bool here = is_adapted(e->name);
        adapted += here;
        ck_assert(e->type == type && e->count <= INNER * QUERY_ROWS);
        ck_assert_int_eq(weights_read_f32(w, e, numbers), 0);
        for (int64_t i = 0; i < e->count; i++) {
            const double wanted = here ? lora_merged_value(e->name, i, e->dim[1], scale)
                                       : (double)lora_value(e->name, i),
                         most = here ? fmax(unit * fabs(wanted), 1e-7) : 0;
            ck_assert_msg(fabs((double)numbers[i] - wanted) <= most,
                          "%s: number %d: %g, expected %g", e->name, (int)i, (double)numbers[i],
                          wanted);
        }
    }
    ck_assert_int_eq(adapted, 4 * LAYERS);
    weights_close(w);
}

START_TEST(as_merged) {
    program_expect(0, "export %s --format merged --base %s --out %s --verify", in_work("run"),
                   in_work("base"), in_work("merged"));
    expect_merged(in_work("merged/model.safetensors"), ELEMENT_F32, LORA_ALPHA / RANK, 0x1.01p-24);
    ck_assert(same_files(in_work("merged/config.json"), in_work("base/config.json")));
    ck_assert(same_files(in_work("merged/tokenizer.json"), in_work("base/tokenizer.json")));
    lora_expect_numbers(in_work("merged/img_proj.safetensors"), 2);
    program_expect(0, "export %s --format merged --base %s --out %s --verify", in_work("stable"),
                   in_work("base16"), in_work("merged16"));
    expect_merged(in_work("merged16/model.safetensors"), ELEMENT_F16, LORA_ALPHA / sqrt(RANK),
                  0x1.01p-11);
}
END_TEST

// A base of 2.4 MiB in files of 1: embedding and head, which are larger, have one each.
START_TEST(in_several_files) {
    enum { MANY = 12000 };
    weights *w;
    lora_base(in_work("large"), DTYPE_F32, MANY);
    program_expect(0, "export %s --format merged --base %s --out %s --shard-mb 1 --verify",
                   in_work("run"), in_work("large"), in_work("parts"));
    ck_assert_int_eq(weights_open(&w, in_work("parts/model.safetensors.index.json")), 0);
    ck_assert_str_eq(weights_format(w), "index of 3 files");
    ck_assert_uint_eq(weights_count(w), 3 + 9 * LAYERS);
    const weight_entry *q = weights_lookup(w, "model.layers.0.self_attn.q_proj.weight");
    float numbers[QUERY_ROWS * WIDTH];
    ck_assert_int_eq(weights_read_f32(w, q, numbers), 0);
    for (int i = 0; i < QUERY_ROWS * WIDTH; i++) {
        const double wanted = lora_merged_value(q->name, i, WIDTH, LORA_ALPHA / RANK);
        ck_assert(fabs((double)numbers[i] - wanted) <= 1e-6);
    }
    weights_close(w);
    // What was merged is a base: in several files, read through their index.
    program_expect(0, "export %s --format merged --base %s --out %s --verify", in_work("stable"),
                   in_work("parts"), in_work("whole"));
    ck_assert(access(in_work("whole/model.safetensors"), R_OK) == 0);
}
END_TEST

// --- bundle -------------------------------------------------------------------------------------
static void make_aligner(const char *folder) {
    char path[1024];
    mkdir(folder, 0777);
    const shape q = {"query_tokens", 4, 8};
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    write_tensors(path, &q, 1, DTYPE_F32);
    snprintf(path, sizeof path, "%s/config.json", folder);
    write_text(path, "{\"an aligner\": 1}");
    snprintf(path, sizeof path, "%s/vocab.txt", folder);
    write_text(path, "[PAD]\n");
}

static const char *bundle_words(const char *out, const char *aligner, const char *base) {
    static char text[2048];
    snprintf(text, sizeof text, "%s/run --format bundle --out %s --aligner %s --base %s", work, out,
             aligner, base);
    return text;
}

static void expect_text(const char *file, const char *part, bool there) {
    char *text = read_file(in_work(file), NULL);
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(!strstr(text, part) == !there, "%s: '%s' in\n%s", file, part, text);
    free(text);
}

// Whatever stands in the bundle is in its account, with sizes; no path of this machine is.
// The account names the sources by what coreutils say of them.
static void expect_sources(void) {
    char said[128] = "\"sources\": \"";
    const size_t begin = strlen(said);
    FILE *f = popen("cd " SOURCE_ROOT " && (find core data models optim eval train -type f -name '*.[ch]*'; "
                    "echo CMakeLists.txt) | LC_ALL=C sort | xargs sha256sum | sha256sum", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fread(said + begin, 1, 64, f), 64);
    pclose(f);
    expect_text("bundle/bundle.json", said, true);
}

static void expect_account(void) {
    static const char *const files[] = {"adapter/adapter_model.safetensors",
                                        "adapter/adapter_config.json",
                                        "adapter/img_proj.safetensors",
                                        "aligner/model.safetensors",
                                        "aligner/config.json",
                                        "aligner/vocab.txt",
                                        "tokenizer/tokenizer.json",
                                        "prompts.json"};
    json *account;
    json_value list, entry;
    ck_assert_int_eq(json_read(&account, in_work("bundle/bundle.json"), 0), 0);
    ck_assert_int_eq(json_member(&list, json_root(account), "files"), 0);
    ck_assert_uint_eq(json_count(list), sizeof files / sizeof *files);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[256];
        struct stat info;
        int64_t bytes;
        snprintf(name, sizeof name, "bundle/%s", files[i]);
        ck_assert_int_eq(stat(in_work(name), &info), 0);
        ck_assert_msg(!json_member(&entry, list, files[i]), "%s", status_text());
        ck_assert(!json_member_int(&bytes, entry, "bytes", 0, INT64_MAX) && bytes == info.st_size);
        expect_text("bundle/README.md", files[i], true);
    }
    ck_assert_int_eq(json_member(&list, json_root(account), "made_from"), 0);
    ck_assert(json_find(list, "base/model.safetensors").node &&
              json_find(list, "base/config.json").node &&
              json_find(list, "data/manifest.json").node);
    json_close(account);
    expect_text("bundle/README.md", work, false);
    expect_text("bundle/bundle.json", work, false);
    expect_text("bundle/bundle.json", "\"base\": \"some/base\"", true);
    expect_text("bundle/bundle.json", "training/config.resolved.json", true);
    expect_sources();
}

START_TEST(as_bundle) {
    make_aligner(in_work("aligner"));
    mkdir(in_work("data"), 0777);
    write_text(in_work("data/manifest.json"), "{}");
    write_text(in_work("words.json"), "{\"words\": 1}");
    mkdir(in_work("whole"), 0777), mkdir(in_work("whole/checkpoints"), 0777);
    lora_run(in_work("whole/checkpoints/step-00000001"), "false");
    write_text(in_work("whole/config.resolved.json"), "{}");
    refused(2, "--aligner PATH is missing",
            words_of("%s --format bundle --base %s --out %s", in_work("run"), in_work("base"),
                     in_work("bundle")));
    refused(2, "is neither a run nor a checkpoint folder",
            bundle_words(in_work("bundle"), in_work("words.json"), in_work("base")));
    program_expect(
        0,
        "export %s --format bundle --base %s --out %s --base-name some/base --aligner %s "
        "--prompts %s --data %s --verify",
        in_work("whole/checkpoints/step-00000001"), in_work("base"), in_work("bundle"), in_work("aligner"),
        in_work("words.json"), in_work("data"));
    lora_expect_numbers(in_work("bundle/adapter/adapter_model.safetensors"), 2 * 4 * LAYERS);
    ck_assert(same_files(in_work("bundle/aligner/model.safetensors"),
                         in_work("aligner/model.safetensors")));
    expect_account();
}
END_TEST

// --- refusals -----------------------------------------------------------------------------------
static void make_other_base(const char *folder, const char *from, const char *to) {
    char command[2048];
    snprintf(command, sizeof command, "cp -r %s %s && sed -i 's/%s/%s/' %s/config.json",
             in_work("base"), folder, from, to, folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(wrong_bases) {
    make_other_base(in_work("fewer"), "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4");
    make_other_base(in_work("lower"), "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    make_other_base(in_work("wider"), "\"intermediate_size\": 192", "\"intermediate_size\": 196");
    refused(1, "k_proj is (64, 64), the adapter's is (32, 64)",
            words_of("%s --format gguf --base %s --out %s", in_work("run"), in_work("fewer"),
                     in_work("x.gguf")));
    refused(1, "has no layer model.layers.1.self_attn.q_proj",
            words_of("%s --format merged --base %s --out %s", in_work("run"), in_work("lower"),
                     in_work("x")));
    refused(1, "down_proj is (64, 196), the adapter's is (64, 192)",
            words_of("%s --format peft --base %s --out %s", in_work("run"), in_work("wider"),
                     in_work("x")));
    // Sizes that its weights do not have.
    make_other_base(in_work("liar"), "\"hidden_size\": 64", "\"hidden_size\": 64");
    shape q = {"model.layers.0.self_attn.q_proj.weight", QUERY_ROWS + 4, WIDTH};
    write_tensors(in_work("liar/model.safetensors"), &q, 1, DTYPE_F32);
    refused(1, "q_proj.weight has another shape",
            words_of("%s --format merged --base %s --out %s", in_work("run"), in_work("liar"),
                     in_work("x")));
    ck_assert(access(in_work("x"), F_OK) && access(in_work("x.tmp"), F_OK) &&
              access(in_work("x.gguf"), F_OK));
}
END_TEST

START_TEST(missing_and_present) {
    refused(2, "--base FOLDER is missing",
            words_of("%s --format gguf --out %s%s", in_work("run"), in_work("y"), ""));
    refused(2, "did you mean peft",
            words_of("%s --format pft --out %s%s", in_work("run"), "y", ""));
    refused(2, "--type bf16",
            words_of("%s --format gguf --out %s --type %s", in_work("run"), "y", "bf16"));
    refused(1, "nowhere", words_of("%s --format peft --out %s%s", in_work("nowhere"), "y", ""));
    mkdir(in_work("empty"), 0777);
    refused(1, "model.safetensors",
            words_of("%s --format peft --out %s%s", in_work("empty"), in_work("y"), ""));
    refused(1, "is no checkpoint of `radialog train lora`",
            words_of("%s --format peft --out %s%s", in_work("base"), in_work("y"), ""));
    refused(2, "is there already",
            words_of("%s --format peft --out %s%s", in_work("run"), in_work("base"), ""));
    refused(2, "is there already",
            words_of("%s --format gguf --base %s --out %s", in_work("run"), in_work("base"),
                     in_work("base/config.json")));
    mkdir(in_work("bare"), 0777);
    ck_assert_int_eq(symlink(in_work("base/config.json"), in_work("bare/config.json")), 0);
    refused(1, "holds no model.safetensors",
            words_of("%s --format merged --base %s --out %s", in_work("run"), in_work("bare"),
                     in_work("y")));
    ck_assert(access(in_work("y"), F_OK) && access(in_work("y.tmp"), F_OK));
}
END_TEST

static void spoil(const char *folder, const shape *s, int count, const char *part) {
    lora_run(folder, "false");
    char path[1024];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    write_tensors(path, s, count, DTYPE_F32);
    refused(1, part, words_of("%s --format peft --out %s%s", folder, in_work("z"), ""));
}

START_TEST(adapters_that_are_none) {
#define MODULE "base_model.model.model.layers.0.self_attn.q_proj"
    const shape a = {MODULE ".lora_A.weight", RANK, WIDTH},
                b = {MODULE ".lora_B.weight", WIDTH, RANK},
                wide = {MODULE ".lora_B.weight", WIDTH, RANK + 1},
                other = {"base_model.model.model.norm.weight", WIDTH, 0},
                half = {"base_model.model.model.img_proj_layer.bias", WIDTH, 0};
    spoil(in_work("s1"), (shape[]){a}, 1, "has no lora_B");
    spoil(in_work("s2"), (shape[]){b}, 1, "has no lora_A");
    spoil(in_work("s3"), (shape[]){a, wide}, 2, "has not the adapter's rank");
    spoil(in_work("s4"), (shape[]){a, b, other}, 3, "is neither an adapter");
    spoil(in_work("s5"), (shape[]){a, b, half}, 3, "half an image projection");
    spoil(in_work("s6"), (shape[]){half}, 1, "holds no adapter");
    ck_assert(access(in_work("z"), F_OK));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("export_lora");
    TCase *c = tcase_create("export_lora");
    tcase_set_timeout(c, 300);
    tcase_add_unchecked_fixture(c, setup, teardown);
    tcase_add_test(c, as_peft);
    tcase_add_test(c, peft_again);
    tcase_add_test(c, as_gguf);
    tcase_add_test(c, as_merged);
    tcase_add_test(c, in_several_files);
    tcase_add_test(c, as_bundle);
    tcase_add_test(c, wrong_bases);
    tcase_add_test(c, missing_and_present);
    tcase_add_test(c, adapters_that_are_none);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
