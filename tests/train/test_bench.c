// `radialog bench` with tiny models and sets: every number it must report, and that they fit each other.
#include "core/files/json.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STUDIES = 24 };

static char work[256];

static void setup(void) {
    workspace_make(work);
    small_shards(work, STUDIES);
}

static void teardown(void) { workspace_remove(work); }

// The report of `radialog bench WORDS --json`, which must hold the keys of KEYS (between blanks), all numbers
// above 0 and finite.
static json *report(const char *keys, const char *words) {
    char list[512], *rest = list, path[300];
    json *j = NULL;
    outcome o = program("bench %s --json --quiet", words);
    ck_assert_msg(o.exit == 0, "bench %s: exit %d: %s", words, o.exit, o.err);
    snprintf(path, sizeof path, "%s/report.json", work);
    FILE *f = fopen(path, "w");
    fputs(o.out, f);
    fclose(f);
    ck_assert_msg(json_read(&j, path, 1 << 20) == STATUS_OK, "%s", status_text());
    snprintf(list, sizeof list, "%s", keys);
    for (char *key; (key = strsep(&rest, " "));) {
        double value = 0;
        ck_assert_msg(json_member_number(&value, json_root(j), key) == STATUS_OK, "%s", status_text());
        ck_assert_msg(value > 0 && isfinite(value), "bench %s: %s is %g", words, key, value);
    }
    outcome_free(&o);
    return j;
}

static double number(const json *j, const char *key) {
    double value = 0;
    ck_assert_int_eq(json_member_number(&value, json_root(j), key), STATUS_OK);
    return value;
}

static void expect_number(const json *j, const char *key, double want) {
    double value = number(j, key);
    ck_assert_msg(fabs(value - want) <= 1e-6 * fabs(want), "%s is %.9g, expected %.9g", key, value, want);
}

static void expect_order(const json *j, const char *low, const char *middle, const char *high) {
    ck_assert(number(j, low) <= number(j, middle) && number(j, middle) <= number(j, high));
}

static const char model_keys[] = "threads batch size rounds ms_median ms_min ms_max images_per_second "
                                 "gflop_per_image gflops peak_gflops share_of_peak peak_memory_mb";

static void expect_model(const json *j) {
    expect_order(j, "ms_min", "ms_median", "ms_max");
    expect_number(j, "images_per_second", 1e3 * number(j, "batch") / number(j, "ms_median"));
    expect_number(j, "gflops", number(j, "gflop_per_image") * number(j, "images_per_second"));
    expect_number(j, "share_of_peak", number(j, "gflops") / number(j, "peak_gflops"));
}

START_TEST(device_limits) {
    json *j = report("copy_gb_per_second product_side product_gflops", "device --threads 2");
    expect_number(j, "product_side", 2048);
    // No machine of today copies or multiplies so slowly or so fast on two threads.
    ck_assert(number(j, "copy_gb_per_second") > 0.1 && number(j, "copy_gb_per_second") < 1e3);
    ck_assert(number(j, "product_gflops") > 0.5 && number(j, "product_gflops") < 1e4);
    json_close(j);
}
END_TEST

START_TEST(classifier_step) {
    char words[1024];
    snprintf(words, sizeof words, "classifier %s --rounds 3 --batch 4 --threads 2", tiny_settings);
    json *j = report(model_keys, words);
    expect_model(j);
    expect_number(j, "rounds", 3);
    expect_number(j, "batch", 4);
    expect_number(j, "size", 64);
    expect_number(j, "threads", 2);
    ck_assert(number(j, "loss") > 0);
    json_close(j);
}
END_TEST

// Of a Q-Former of width D with two layers, of which the first looks at the image.
static double aligner_parameters(double D, double inner, double V, double positions, double Q,
                                 double P, double E) {
    const double norm = 2 * D, square = D * D + D, attention = 4 * square + norm;
    const double feed = D * inner + inner + inner * D + D + norm;
    const double cross = 2 * square + 2 * (P * D + D) + norm, caption = square + norm + V;
    const double embeddings = (V + positions + Q) * D + norm + 2 * P;
    const double heads = 2 * (D * E + E) + 2 * D + 2, temperature = 1;
    return embeddings + caption + 2 * (attention + 2 * feed) + cross + heads + temperature;
}

START_TEST(aligner_step) {
    static const char keys[] = "threads batch tokens parameters rounds ms_median ms_min ms_max "
                               "pairs_per_second gflop_per_pair gflops peak_gflops share_of_peak "
                               "peak_memory_mb loss";
    char words[2048];
    snprintf(words, sizeof words,
             "aligner %s --set data.max_tokens=256 --set model.positions=256 --rounds 3 --batch 8 "
             "--threads 2", tiny_aligner);
    json *j = report(keys, words);
    expect_order(j, "ms_min", "ms_median", "ms_max");
    expect_number(j, "pairs_per_second", 8e3 / number(j, "ms_median"));
    expect_number(j, "gflops", number(j, "gflop_per_pair") * number(j, "pairs_per_second"));
    expect_number(j, "parameters", aligner_parameters(16, 32, 30523, 256, 4, 12, 8));
    // What scripts/bench/peer_aligner.py draws: 96 67 100 167 25 161 109 155.
    expect_number(j, "tokens", 880);
    expect_number(j, "rounds", 3);
    // Nearly all of the work is the words' product: thrice 110 rows of a pair.
    double least = 2e-9 * 3 * 110 * 16 * 30523;
    ck_assert_double_eq_tol(number(j, "gflop_per_pair"), 1.1 * least, 0.1 * least);
    const double kept = number(j, "gflop_per_pair");
    json_close(j);
    strcat(words, " --set data.cache=off"); // and with the encoder in the step
    j = report(keys, words);
    ck_assert(number(j, "gflop_per_pair") > kept);
    json_close(j);
}
END_TEST

// A base of 51 words with the image's; adapters of rank 8 on q_proj and v_proj.
enum { WIDTH = 16, KEYS = 8, INNER = 24, WORDS = 50, LAYERS = 2, IMAGE = 10, RANK = 8 };

static void write_base(void) {
    char path[300];
    snprintf(path, sizeof path, "%s/config.json", work);
    FILE *f = fopen(path, "w");
    fprintf(f, "{\"model_type\": \"llama\", \"hidden_size\": %d, \"num_attention_heads\": 4, "
               "\"num_key_value_heads\": 2, \"intermediate_size\": %d, \"num_hidden_layers\": %d, "
               "\"vocab_size\": %d, \"max_position_embeddings\": 600}", WIDTH, INNER, LAYERS, WORDS);
    ck_assert_int_eq(fclose(f), 0);
}

// Of four conversations that scripts/bench/peer_llama.py draws as well: prompts of 159 184 162 181
// tokens, answers of 65 72 181 160, which alone are in the last layer's rows behind its keys.
static double lora_flops(void) {
    static const double prompt[] = {159, 184, 162, 181}, answer[] = {65, 72, 181, 160};
    const double adapters = 3 * RANK * (WIDTH + WIDTH + WIDTH + KEYS);
    const double qkv = 2 * WIDTH * (WIDTH + 2 * KEYS) + adapters;
    const double behind = 2 * (WIDTH * WIDTH + 3 * WIDTH * INNER);
    double sum = 0, pairs = 0;
    for (int i = 0; i < 4; i++) {
        const double T = prompt[i] + answer[i];
        sum += 2 * T * qkv + (T + answer[i]) * behind + 2 * answer[i] * (WORDS + 1) * WIDTH;
        for (int k = 1; k <= (int)T; k++) pairs += k;
        for (int k = (int)prompt[i]; k < (int)T; k++) pairs += k;
    }
    return 2 * (sum + 6 * WIDTH * pairs + 2 * 128 * IMAGE * WIDTH);
}

START_TEST(lora_step) {
    static const char keys[] = "threads batch tokens answers rows parameters rounds ms_median ms_min ms_max "
                               "tokens_per_second gflop_per_token gflops peak_gflops share_of_peak "
                               "peak_memory_mb loss";
    char words[1024];
    write_base();
    for (int shared = 0; shared < 2; shared++) {
        snprintf(words, sizeof words,
                 "lora --set model.base=%s --set model.image_width=%d --set train.share_prefix=%s --rounds 2 "
                 "--batch 4 --threads 2", work, IMAGE, shared ? "true" : "false");
        json *j = report(keys, words);
        expect_order(j, "ms_min", "ms_median", "ms_max");
        expect_number(j, "tokens", 1164);
        expect_number(j, "answers", 478);
        expect_number(j, "rows", shared ? 1164 - 3 * 48 : 1164);
        expect_number(j, "parameters", LAYERS * RANK * (3 * WIDTH + KEYS) + (IMAGE + 1) * WIDTH);
        expect_number(j, "tokens_per_second", 1164e3 / number(j, "ms_median"));
        expect_number(j, "gflops", number(j, "gflop_per_token") * number(j, "tokens_per_second"));
        if (!shared) expect_number(j, "gflop_per_token", 1e-9 * lora_flops() / 1164);
        json_close(j);
    }
}
END_TEST

START_TEST(generate_steps) {
    static const char keys[] = "threads batch tokens prompt_tokens rounds ms_prompts ms_median ms_min ms_max "
                               "ms_per_token tokens_per_second gb_per_second peak_memory_mb";
    char words[1024];
    write_base();
    for (int merged = 0; merged < 2; merged++) {
        snprintf(words, sizeof words,
                 "generate --set model.base=%s --set model.image_width=%d --set generate.merge=%s --rounds 2 "
                 "--batch 3 --tokens 5 --threads 2", work, IMAGE, merged ? "true" : "false");
        json *j = report(keys, words);
        expect_order(j, "ms_min", "ms_median", "ms_max");
        expect_number(j, "batch", 3);
        expect_number(j, "tokens", 5);
        expect_number(j, "prompt_tokens", 159 + 184 + 162);
        expect_number(j, "ms_per_token", number(j, "ms_median") / 5);
        expect_number(j, "tokens_per_second", 15e3 / number(j, "ms_median"));
        json_close(j);
    }
    outcome o = program("bench generate --set model.base=%s --tokens 500", work);
    ck_assert_msg(o.exit == 2 && strstr(o.err, "600 positions"), "exit %d: %s", o.exit, o.err);
    outcome_free(&o);
}
END_TEST

// The paper's sizes have a known count: torchvision's ResNet-50 takes 4.09 G multiply-adds at 224 pixels with
// three channels in its stem, of which two thirds of 0.118 G are left out here, and a last layer of 2 M.
START_TEST(encoder_work) {
    json *j = report(model_keys, "encoder --size 224 --batch 1 --rounds 1 --warmup 0");
    expect_model(j);
    double trunk = 4.089e9 - 2.0 / 3 * 0.118e9 - 2.048e6, joint = 2048.0 * 256 * 49;
    ck_assert_double_eq_tol(number(j, "gflop_per_image"), 2e-9 * (trunk + joint), 0.01);
    expect_number(j, "rounds", 1);
    json_close(j);
}
END_TEST

START_TEST(encoder_size) {
    char words[1024];
    snprintf(words, sizeof words, "encoder %s --size 96 --batch 2 --rounds 2", tiny_settings);
    json *j = report(model_keys, words);
    expect_model(j);
    expect_number(j, "size", 96);
    json_close(j);
}
END_TEST

START_TEST(loader_reads_all) {
    char words[1024];
    snprintf(words, sizeof words, "loader --data %s/shards --batch 5 --rounds 2 --threads 2 --images 60", work);
    json *j = report("threads batch crop size records rounds images images_per_second images_per_second_min "
                     "images_per_second_max cpu_ms_per_image peak_memory_mb", words);
    expect_order(j, "images_per_second_min", "images_per_second", "images_per_second_max");
    expect_number(j, "crop", 488);
    expect_number(j, "size", 488);
    // Whole epochs, and at least 60 images.
    double records = number(j, "records"), images = number(j, "images");
    ck_assert(records <= STUDIES * 2 && images >= 60 && images < 60 + records);
    ck_assert(fabs(images - records * round(images / records)) < 0.5);
    json_close(j);
    snprintf(words, sizeof words, "loader --data %s/shards --size 64 --rounds 1 --images 1", work);
    j = report("size", words);
    expect_number(j, "size", 64);
    json_close(j);
}
END_TEST

START_TEST(ingest_makes_all) {
    static const char keys[] = "threads images rounds images_per_second images_per_cpu_second cpu_ms_per_image "
                               "cpu_ms_per_image_min cpu_ms_per_image_max peak_memory_mb";
    char words[1024], count[600];
    snprintf(words, sizeof words, "ingest --data %s/data --rounds 2 --compression none", work);
    snprintf(count, sizeof count, "find '%s/data' -name '*.jpg' | wc -l", work);
    FILE *f = popen(count, "r");
    int files = 0;
    ck_assert_int_eq(fscanf(f, "%d", &files), 1);
    pclose(f);
    json *j = report(keys, words);
    expect_order(j, "cpu_ms_per_image_min", "cpu_ms_per_image", "cpu_ms_per_image_max");
    expect_number(j, "images", files);
    expect_number(j, "images_per_cpu_second", 1e3 / number(j, "cpu_ms_per_image"));
    json_close(j);
    j = report(keys, "ingest --images 2 --max-side 600 --rounds 1 --warmup 0");
    ck_assert(number(j, "images") >= 2);
    json_close(j);
}
END_TEST

START_TEST(tokenizer_counts) {
    char words[1024], path[600];
    snprintf(path, sizeof path, "%s/texts.txt", work);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs("the heart is normal\n\nno effusion", f);
    ck_assert_int_eq(fclose(f), 0);
    snprintf(words, sizeof words, "tokenizer --data %s --vocabulary %s --rounds 2", path,
             TEST_DATA "/wordpiece_vocab.txt");
    json *j = report("rounds texts tokens bytes texts_per_second tokens_per_second peak_memory_mb", words);
    expect_number(j, "texts", 3);
    expect_number(j, "tokens", 3 * 2 + 4 + 2);
    expect_number(j, "bytes", 32);
    json_close(j);
    program_expect(2, "bench tokenizer --data %s", path);
    program_expect(1, "bench tokenizer --data %s --vocabulary %s", path, path);
}
END_TEST

// Each round waits for its line; too few of them are an error.
START_TEST(paced) {
    char command[1024], line[4096], first[8] = "";
    int lines = 0;
    for (int given = 2; given >= 1; given--) {
        snprintf(command, sizeof command,
                 "yes '' | head -n %d | '%s' bench loader --data '%s/shards' --rounds 2 --images 1 --paced --json 2>/dev/null",
                 given, RADIALOG_PROGRAM, work);
        FILE *f = popen(command, "r");
        for (lines = 0; fgets(line, sizeof line, f); lines++) {
            double seconds = 0, cpu = 0;
            if (lines == 0) snprintf(first, sizeof first, "%.6s", line);
            if (lines == 1 || (lines == 2 && given == 2)) {
                ck_assert_int_eq(sscanf(line, "%lf %lf", &seconds, &cpu), 2);
                ck_assert(seconds > 0 && cpu > 0);
            }
        }
        ck_assert_int_eq(pclose(f) != 0, given == 1);
        ck_assert_str_eq(first, "ready\n");
        ck_assert_int_eq(lines, given == 2 ? 4 : 2);
    }
}
END_TEST

START_TEST(errors) {
    static const char *const cases[][2] = {
        {"bench", "classifier"},
        {"bench speed", "no benchmark 'speed'"},
        {"bench ingest --compression zip", "deflate and none"},
        {"bench loader --rounds 0", "--rounds"},
        {"bench loader --size 500", "500 pixels"},
        {"bench classifier --size 32", "model.pool"},
        {"bench classifier --batch none", "--batch"},
        {"bench aligner --set model.heads=5", "model.heads"},
        {"bench aligner --batch 1", "two samples"},
        {"bench lora", "model.base"},
        {"bench generate --tokens 0", "--tokens"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        outcome o = program("%s", cases[i][0]);
        ck_assert_msg(o.exit == 2, "%s: exit %d: %s", cases[i][0], o.exit, o.err);
        ck_assert_msg(strstr(o.err, cases[i][1]) != NULL, "%s: %s", cases[i][0], o.err);
        outcome_free(&o);
    }
    program_expect(1, "bench loader --data /nowhere");
    program_expect(1, "bench ingest --data /nowhere");
    program_expect(1, "bench ingest --data %s/shards", work); // no images
}
END_TEST

int main(void) {
    Suite *suite = suite_create("bench");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 0);
    tcase_add_unchecked_fixture(all, setup, teardown);
    tcase_add_test(all, device_limits);
    tcase_add_test(all, classifier_step);
    tcase_add_test(all, aligner_step);
    tcase_add_test(all, lora_step);
    tcase_add_test(all, generate_steps);
    tcase_add_test(all, encoder_work);
    tcase_add_test(all, encoder_size);
    tcase_add_test(all, loader_reads_all);
    tcase_add_test(all, ingest_makes_all);
    tcase_add_test(all, tokenizer_counts);
    tcase_add_test(all, paced);
    tcase_add_test(all, errors);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
