// evaluation_stratify against the reference's rule done by hand, over many mixtures and orders of records.
#include "core/memory.h"
#include "train/evaluation.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 60 };

// Record r has a finding unless r % EVERY is 0; the lines stand in an order of their own.
static void check(int count, int every) {
    evaluation e = {.count = count, .runs = 2};
    int64_t with = 0, others = 0;
    static char text[MOST][4];
    ck_assert(!mem_new(&e.record, count, "r") && !mem_new(&e.reference, count, "r"));
    ck_assert(!mem_new(&e.truth, count * CLASS_COUNT, "r"));
    for (int k = 0; k < 2; k++) ck_assert(!mem_new(&e.run[k].text, count, "r"));
    for (int i = 0; i < count; i++) {
        const int r = (i * 37 + 11) % MOST; // 37 and 60 share no factor
        text[r][0] = (char)('0' + r);
        e.record[i] = r;
        e.reference[i] = e.run[0].text[i] = e.run[1].text[i] = text[r];
        e.truth[i * CLASS_COUNT + (r % every ? 5 : r % 2 ? CLASS_NO_FINDING : 3)] =
            r % every || r % 2 ? LABEL_POSITIVE : LABEL_UNCERTAIN;
        with += r % every != 0;
    }
    const int64_t wanted = with / 13; // int(F * 14 / 13 / 14)
    int64_t last = -1;                // the wanted-th of the others by number
    for (int r = 0; r < MOST && others < wanted; r++) {
        for (int i = 0; i < count; i++)
            if (e.record[i] == r && r % every == 0) last = r, others++;
    }
    const status rc = evaluation_stratify(&e);
    ck_assert_int_eq(rc, with ? STATUS_OK : STATUS_FORMAT);
    ck_assert_int_eq(e.count, with + others);
    for (int64_t i = 0; i < e.count; i++) {
        const int64_t r = e.record[i];
        ck_assert(r % every || r <= last);
        ck_assert(e.reference[i] == text[r] && e.run[0].text[i] == text[r] && e.run[1].text[i] == text[r]);
        ck_assert_int_eq(e.truth[i * CLASS_COUNT + 5] == LABEL_POSITIVE, r % every != 0);
    }
    evaluation_close(&e);
}

START_TEST(mixtures) {
    for (int count = 1; count <= MOST; count++)
        for (int every = 1; every < 9; every++) check(count, every);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("evaluation_stratify");
    TCase *tests = tcase_create("evaluation_stratify");
    tcase_add_test(tests, mixtures);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
