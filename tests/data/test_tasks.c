// data/tasks.h: names, mistakes, and the draws of REFERENCE 6.9: sizes of the parts, that they are
// a partition, how often what is drawn, that only seed, task and row decide.
#include "core/memory.h"
#include "data/tasks.h"
#include "tests/core/helper_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

START_TEST(names_in_sentences) {
    static const char *const name[] = {"a", "b c", "d"};
    static const char *const want[] = {"", "a", "a and b c", "a, b c and d"};
    for (int n = 0; n < 4; n++) {
        buffer out = {0};
        task_names_join(&out, name, n);
        ck_assert_str_eq(out.data, want[n]);
        buffer_free(&out);
    }
    bool set[CLASS_COUNT] = {[2] = true, [5] = true, [13] = true};
    buffer out = {0};
    task_classes_join(&out, set);
    ck_assert_str_eq(out.data, "Cardiomegaly, Edema and Support Devices");
    buffer_free(&out);
    ck_assert_int_eq(task_find("CPbQA"), TASK_CPBQA);
    ck_assert_int_eq(task_find("cpbqa"), -1);
}
END_TEST

// Uncertain and blank are not there; No Finding is no mistake on either side.
START_TEST(mistakes) {
    const int8_t truth[CLASS_COUNT] = {1, 0, 1, -1, -2, 1, 0, 0, 0, 0, 0, 0, 0, 0};
    const int8_t said[CLASS_COUNT] = {0, 1, 1, 1, 1, -1, 0, 0, 0, 0, 0, 0, 0, -2};
    const int8_t none[CLASS_COUNT] = {1}, unsure[CLASS_COUNT] = {0, -1, -2};
    bool wrong[CLASS_COUNT], missing[CLASS_COUNT];
    ck_assert(task_mistakes(wrong, missing, said, truth));
    for (int c = 0; c < CLASS_COUNT; c++) {
        ck_assert_int_eq(wrong[c], c == 1 || c == 3 || c == 4);
        ck_assert_int_eq(missing[c], c == 5);
    }
    ck_assert(!task_mistakes(wrong, missing, truth, truth));
    ck_assert(!task_mistakes(wrong, missing, none, unsure));
}
END_TEST

// numpy's array_split: the first N % 6 of six parts have one more; the last is cut in two the same
// way.
static int64_t part_size(int64_t n, int i) {
    return n / 6 + (i < n % 6);
}

START_TEST(parts) {
    enum { MOST = 50 };
    int64_t record[MOST];
    for (int64_t i = 0; i < MOST; i++) record[i] = 1000 + 3 * i;
    for (int64_t n = 0; n <= MOST; n++) {
        task_parts p;
        int times[MOST] = {0};
        int64_t first = 0;
        ck_assert(!task_parts_draw(&p, record, n, 42));
        static const task at[TASK_PARTS] = {TASK_EL,    TASK_COUNT, TASK_SU,
                                            TASK_COUNT, TASK_RQA,   TASK_COUNT};
        for (int k = 0; k < TASK_PARTS; k++) {
            if (at[k] < TASK_COUNT) {
                ck_assert_int_eq(p.first[at[k]], first);
                ck_assert_int_eq(p.count[at[k]], part_size(n, k));
            }
            first += part_size(n, k);
        }
        ck_assert_int_eq(first, n);
        const int64_t last = part_size(n, 5);
        ck_assert_int_eq(p.count[TASK_CPBQA], (last + 1) / 2);
        ck_assert_int_eq(p.count[TASK_CPAQA], last / 2);
        ck_assert_int_eq(p.first[TASK_CPAQA], p.first[TASK_CPBQA] + p.count[TASK_CPBQA]);
        ck_assert_int_eq(p.first[TASK_CPAQA] + p.count[TASK_CPAQA], n);
        ck_assert_int_eq(p.count[TASK_RG] + p.count[TASK_CO] + p.count[TASK_RE] + p.count[TASK_IG],
                         0);
        for (int64_t i = 0; i < n; i++) times[(p.record[i] - 1000) / 3]++;
        for (int64_t i = 0; i < n; i++) ck_assert_int_eq(times[i], 1);
        task_parts_free(&p);
    }
}
END_TEST

// Over seeds every record comes into every part about as often.
START_TEST(parts_are_random) {
    enum { N = 12, SEEDS = 6000 };
    int64_t record[N];
    int easy[N] = {0};
    for (int64_t i = 0; i < N; i++) record[i] = i;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        task_parts p;
        ck_assert(!task_parts_draw(&p, record, N, seed));
        for (int64_t i = 0; i < p.count[TASK_EL]; i++) easy[p.record[p.first[TASK_EL] + i]]++;
        task_parts_free(&p);
    }
    for (int i = 0; i < N; i++)
        ck_assert_msg(abs(easy[i] - 1000) < 130, "%d: %d", i, easy[i]); // 4.5 sigma
}
END_TEST

// 0.6 about a positive one, each alike, else about one of the others of the 13 alike.
START_TEST(questions) {
    enum { ROWS = 60000 };
    const int8_t labels[CLASS_COUNT] = {1, 0, 1, -1, -2, 1, 0, 0, 0, 0, 0, 0, 0, 1};
    int times[CLASS_COUNT] = {0}, yes = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        const task_question q = task_question_draw(labels, 7, i),
                            again = task_question_draw(labels, 7, i);
        ck_assert(q.finding == again.finding && q.yes == again.yes);
        ck_assert_int_eq(q.yes, labels[q.finding] == 1);
        times[q.finding]++;
        yes += q.yes;
    }
    ck_assert_int_eq(times[CLASS_NO_FINDING], 0);
    ck_assert_msg(abs(yes - ROWS * 6 / 10) < 540, "%d", yes); // 4.5 sigma
    for (int c = 1; c < CLASS_COUNT; c++) {
        const double want = labels[c] == 1 ? ROWS * 0.2 : ROWS * 0.04;
        ck_assert_msg(fabs(times[c] - want) < 4.5 * sqrt(want), "%d: %d, want %g", c, times[c],
                      want);
    }
}
END_TEST

// Nothing positive: always about something that is not there. Everything: always about what is.
START_TEST(questions_without_a_choice) {
    int8_t labels[CLASS_COUNT] = {1};
    for (int64_t i = 0; i < 200; i++) ck_assert(!task_question_draw(labels, 1, i).yes);
    for (int c = 1; c < CLASS_COUNT; c++) labels[c] = 1;
    for (int64_t i = 0; i < 200; i++) ck_assert(task_question_draw(labels, 1, i).yes);
}
END_TEST

START_TEST(prompts_are_drawn) {
    enum { ROWS = 20000, PROMPTS = 7 };
    int times[PROMPTS] = {0}, same = 0, other = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        const int k = task_prompt_draw(TASK_EL, 3, i, PROMPTS);
        ck_assert(k >= 0 && k < PROMPTS);
        times[k]++;
        same += k == task_prompt_draw(TASK_SU, 3, i, PROMPTS);
        other += k == task_prompt_draw(TASK_EL, 4, i, PROMPTS);
    }
    for (int k = 0; k < PROMPTS; k++) ck_assert_int_lt(abs(times[k] - ROWS / PROMPTS), 240);
    ck_assert(same < ROWS / 5 && other < ROWS / 5);
}
END_TEST

START_TEST(failing_memory) {
    const int64_t record[] = {1, 2, 3};
    status rc = STATUS_MEMORY;
    for (int64_t n = 1; rc; n++) {
        task_parts p;
        mem_fail_at(n);
        rc = task_parts_draw(&p, record, 3, 1);
        mem_fail_at(0);
        ck_assert(rc == STATUS_OK || (rc == STATUS_MEMORY && !p.record));
        if (!rc) task_parts_free(&p);
    }
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("tasks");
    tcase_add_test(cases, names_in_sentences);
    tcase_add_test(cases, mistakes);
    tcase_add_test(cases, parts);
    tcase_add_test(cases, parts_are_random);
    tcase_add_test(cases, questions);
    tcase_add_test(cases, questions_without_a_choice);
    tcase_add_test(cases, prompts_are_drawn);
    tcase_add_test(cases, failing_memory);
    Suite *suite = suite_create("tasks");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
