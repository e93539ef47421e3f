// Schedules against transformers and LAVIS, and the values that the papers' runs must see.
#include "optim/schedule.h"
#include "tests/golden_text.h"

#include <check.h>
#include <math.h>

static void expect_rate(const schedule *s, int64_t step, double want) {
    double got = schedule_lr(s, step);
    ck_assert_msg(fabs(got - want) <= 1e-14 * fabs(want) + 1e-20,
                  "%s step %lld: %.17g, expected %.17g", schedule_name(s->kind), (long long)step,
                  got, want);
}

static void compare(const buffer *text, const char *name, schedule s) {
    golden_values rates = golden_find(text, name);
    ck_assert_int_eq(schedule_check(&s), STATUS_OK);
    for (size_t i = 0; i < rates.count; i++) expect_rate(&s, (int64_t)i, rates.value[i]);
    mem_free(rates.value);
}

START_TEST(schedules_equal_transformers) {
    static const char *const cases[] = {"linear.100", "linear.0", "linear.all",
                                        "cosine.100", "cosine.0", "cosine.all"};
    buffer text = golden_open(TEST_DATA "/schedule.txt");
    for (size_t i = 0; i < 6; i++) {
        golden_values x = golden_part(&text, cases[i], "setting");
        schedule s = {.kind = i < 3 ? SCHEDULE_LINEAR : SCHEDULE_COSINE,
                      .lr = x.value[0],
                      .warmup_steps = (int64_t)x.value[1],
                      .total_steps = (int64_t)x.value[2]};
        compare(&text, cases[i], s);
        mem_free(x.value);
    }
    buffer_free(&text);
}
END_TEST

START_TEST(schedule_equals_lavis) {
    static const char *const cases[] = {"lavis.paper", "lavis.short"};
    buffer text = golden_open(TEST_DATA "/schedule.txt");
    for (size_t i = 0; i < 2; i++) {
        golden_values x = golden_part(&text, cases[i], "setting");
        schedule s = {.kind = SCHEDULE_LAVIS,
                      .lr = x.value[0],
                      .warmup_steps = (int64_t)x.value[1],
                      .warmup_lr = x.value[2],
                      .min_lr = x.value[3],
                      .steps_per_epoch = (int64_t)x.value[4],
                      .max_epochs = (int64_t)x.value[5]};
        compare(&text, cases[i], s);
        mem_free(x.value);
    }
    buffer_free(&text);
}
END_TEST

// The LoRA stage: 3e-4 s / 100 in the warm-up, then 3e-4 (T - s) / (T - 100).
START_TEST(lora_stage) {
    const int64_t T = 11200;
    schedule s = {.kind = SCHEDULE_LINEAR, .lr = 3e-4, .warmup_steps = 100, .total_steps = T};
    ck_assert(schedule_lr(&s, 0) == 0);
    expect_rate(&s, 1, 3e-6);
    expect_rate(&s, 99, 3e-4 * 99 / 100);
    expect_rate(&s, 100, 3e-4);
    expect_rate(&s, 4800, 3e-4 * (double)(T - 4800) / (double)(T - 100));
    ck_assert(schedule_lr(&s, T - 1) > 0);
    ck_assert(schedule_lr(&s, T) == 0);
    ck_assert(schedule_lr(&s, T + 1000) == 0);
}
END_TEST

// The aligner: warm-up within the first epoch, then one value per epoch.
START_TEST(aligner_stage) {
    const double pi = 3.14159265358979323846;
    schedule s = {.kind = SCHEDULE_LAVIS,
                  .lr = 1e-4,
                  .warmup_lr = 1e-6,
                  .min_lr = 1e-5,
                  .warmup_steps = 1000,
                  .steps_per_epoch = 4700,
                  .max_epochs = 100};
    ck_assert(schedule_lr(&s, 0) == 1e-6);
    expect_rate(&s, 500, 1e-6 + (1e-4 - 1e-6) * 0.5);
    expect_rate(&s, 1000, 1e-4);
    expect_rate(&s, 4699, 1e-4);
    for (int e = 1; e < 100; e++) {
        double want = 1e-5 + 0.5 * (1e-4 - 1e-5) * (1 + cos(pi * e / 100));
        expect_rate(&s, 4700 * e, want);
        expect_rate(&s, 4700 * e + 4699, want);
    }
    ck_assert(schedule_lr(&s, 4700 * 100) == 1e-5);
    ck_assert(schedule_lr(&s, 4700 * 150) == 1e-5);
}
END_TEST

START_TEST(constant_and_least) {
    schedule s = {.kind = SCHEDULE_CONSTANT, .lr = 5e-5};
    ck_assert_int_eq(schedule_check(&s), STATUS_OK);
    ck_assert(schedule_lr(&s, 0) == 5e-5 && schedule_lr(&s, 1000000) == 5e-5);
    s.warmup_steps = 4;
    ck_assert(schedule_lr(&s, 0) == 0);
    expect_rate(&s, 3, 5e-5 * 3 / 4);
    ck_assert(schedule_lr(&s, 4) == 5e-5);

    schedule c = {.kind = SCHEDULE_COSINE, .lr = 1e-3, .min_lr = 1e-4, .total_steps = 10};
    ck_assert(schedule_lr(&c, 0) == 1e-3);
    expect_rate(&c, 5, 5.5e-4);
    ck_assert(schedule_lr(&c, 10) == 1e-4 && schedule_lr(&c, 11) == 1e-4);
}
END_TEST

START_TEST(kinds_by_name) {
    static const char *const known[] = {"constant", "linear", "cosine", "lavis"};
    schedule_kind kind;
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(schedule_parse(known[i], &kind), STATUS_OK);
        ck_assert_int_eq(kind, i);
        ck_assert_str_eq(schedule_name(kind), known[i]);
    }
    ck_assert_int_eq(schedule_parse("linaer", &kind), STATUS_USAGE);
    ck_assert_ptr_nonnull(strstr(status_text(), "linaer"));
    ck_assert_ptr_nonnull(strstr(status_text(), "constant linear cosine lavis"));
    ck_assert_int_eq(schedule_parse("", &kind), STATUS_USAGE);
}
END_TEST

START_TEST(bad_schedules_are_usage_errors) {
    const schedule bad[] = {
        {.kind = SCHEDULE_CONSTANT, .lr = -1},
        {.kind = SCHEDULE_CONSTANT, .lr = NAN},
        {.kind = SCHEDULE_CONSTANT, .lr = INFINITY},
        {.kind = SCHEDULE_CONSTANT, .lr = 1, .warmup_steps = -1},
        {.kind = SCHEDULE_LINEAR, .lr = 1},
        {.kind = SCHEDULE_COSINE, .lr = 1, .total_steps = -5},
        {.kind = SCHEDULE_COSINE, .lr = 1, .min_lr = 2, .total_steps = 5},
        {.kind = SCHEDULE_LAVIS, .lr = 1, .max_epochs = 5},
        {.kind = SCHEDULE_LAVIS, .lr = 1, .steps_per_epoch = 5},
        {.kind = SCHEDULE_LAVIS, .lr = 1, .steps_per_epoch = 5, .max_epochs = 2, .warmup_lr = 2},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(schedule_check(&bad[i]), STATUS_USAGE);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("schedule");
    TCase *tests = tcase_create("schedule");
    tcase_add_test(tests, schedules_equal_transformers);
    tcase_add_test(tests, schedule_equals_lavis);
    tcase_add_test(tests, lora_stage);
    tcase_add_test(tests, aligner_stage);
    tcase_add_test(tests, constant_and_least);
    tcase_add_test(tests, kinds_by_name);
    tcase_add_test(tests, bad_schedules_are_usage_errors);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
