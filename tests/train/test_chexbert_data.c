// train/chexbert_data.h: what a label asks of a head, and what an answer says.
#include "train/chexbert_data.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(answers_and_labels) {
    static const struct {
        int8_t label;
        int32_t answer, of_no_finding;
        int8_t truth_of_no_finding;
    } cases[] = {
        {LABEL_BLANK, 0, 0, LABEL_BLANK},
        {LABEL_POSITIVE, 1, 1, LABEL_POSITIVE},
        {LABEL_NEGATIVE, 2, 0, LABEL_BLANK},
        {LABEL_UNCERTAIN, 3, 0, LABEL_BLANK},
    };
    bool seen[CLASS_COUNT] = {0};
    for (int i = 0; i < 4; i++)
        for (int h = 0; h < CHEXBERT_HEADS; h++) {
            const bool none = h == CHEXBERT_NO_FINDING;
            const int c = chexbert_class(h);
            int8_t labels[CLASS_COUNT], truth[CLASS_COUNT];
            ck_assert(c >= 0 && !strcmp(class_names[c], chexbert_heads[h]));
            ck_assert_int_eq(none, c == CLASS_NO_FINDING);
            seen[c] = true;
            memset(labels, LABEL_BLANK, sizeof labels);
            labels[c] = cases[i].label;
            ck_assert_int_eq(chexbert_answer(h, labels),
                             none ? cases[i].of_no_finding : cases[i].answer);
            chexbert_truth(truth, labels);
            for (int k = 0; k < CLASS_COUNT; k++) {
                int8_t want = k != c ? LABEL_BLANK
                              : none ? cases[i].truth_of_no_finding
                                     : cases[i].label;
                ck_assert_int_eq(truth[k], want);
            }
        }
    for (int c = 0; c < CLASS_COUNT; c++) ck_assert(seen[c]);
}
END_TEST

int main(void) {
    TCase *all = tcase_create("chexbert_data");
    tcase_add_test(all, answers_and_labels);
    Suite *suite = suite_create("chexbert_data");
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
