// train lora beside a base in fewer bits: its loss goes the way that it goes beside the plain one, and a run that is
// continued is one that was never stopped.
#include "core/files/fs.h"
#include "tests/train/helper_language.h"
#include "tests/train/helper_program.h"
#include "tests/train/helper_run.h"

#include <check.h>
#include <math.h>
#include <stdio.h>

enum { STEPS = 12 };

// Rows of whole blocks, as NF4 wants them.
static void setup(void) {
    static const char base[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 64, \"num_attention_heads\": 4, "
        "\"num_key_value_heads\": 2, \"intermediate_size\": 128, \"num_hidden_layers\": 2, "
        "\"vocab_size\": 300, \"max_position_embeddings\": 2048}";
    language_setup();
    ck_assert(!file_write(in_work("base/config.json"), base, sizeof base - 1));
}

static void train(const char *run, const char *storage, int steps) {
    program_expect(0,
                   "train lora %s --quiet --set run.dir=%s --set run.max_steps=%d --set model.storage=%s "
                   "--set train.batch=4 --set optim.lr=0.02 --set optim.warmup_steps=0 --set optim.schedule=constant "
                   "--set train.pack_tokens=2048 --set train.validate_first=false --set train.validate_every=2 --set lora.rank=4 "
                   "--set lora.targets=[\"q_proj\",\"v_proj\",\"down_proj\"]",
                   common, in_work(run), steps, storage);
}

// Rounding moves each step's loss a little; a wrong gradient would part the curves.
START_TEST(curve_follows_the_plain_one) {
    static const char *const storages[] = {"fp8", "int8", "nf4"};
    static const double most[] = {0.04, 0.01, 0.05};
    double distance = 0, way = 0;
    train("plain", "plain", STEPS);
    train(storages[_i], storages[_i], STEPS);
    const double first = run_metric(in_work("plain"), 1, "loss");
    for (int step = 1; step <= STEPS; step++) {
        const double plain = run_metric(in_work("plain"), step, "loss");
        distance += fabs(run_metric(in_work(storages[_i]), step, "loss") - plain) / STEPS;
        way += fabs(plain - first) / STEPS;
    }
    ck_assert_msg(distance > 0, "%s gives the plain one's numbers", storages[_i]);
    ck_assert_msg(distance < most[_i] * way, "%s: %g apart, where the plain one moves by %g", storages[_i], distance,
                  way);
}
END_TEST

START_TEST(fp8_resumes) {
    train("straight", "fp8", 6);
    train("parts", "fp8", 2);
    train("parts", "fp8", 6);
    run_expect_same(in_work("straight"), in_work("parts"), 6);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("storage");
    TCase *tests = tcase_create("storage");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, setup, language_teardown);
    tcase_add_loop_test(tests, curve_follows_the_plain_one, 0, 3);
    tcase_add_test(tests, fp8_resumes);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
