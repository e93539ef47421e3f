// Reports that compare and reports that do not; the most common text.
#include "eval/controls.h"
#include "tests/core/helper_check.h"

START_TEST(comparisons_are_found) {
    static const char *const yes[] = {
        "the heart is unchanged .",
        "lungs are clear . no new effusion .",
        "compared with the prior film , edema is less .",
        "there is again a nodule",
        "no prior film is there . effusion has improved since then .",
        "in comparison with the study of may , nothing is different .",
        "as in the previous study .",
        "heart remains enlarged ! lungs are clear .",
    };
    static const char *const no[] = {
        "",
        ".",
        "the heart is normal . lungs are clear .",
        "no prior films for comparison . lungs are clear .",
        "comparison : none . heart is normal .",
        "a renewed look at newness , unstable",
        "nodes that suggest prior granulomatous disease . ct is advised .",
        "increased opacity at the left base . decreased volumes .",
    };
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        ck_assert_msg(control_compares(yes[i]), "'%s' compares", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        ck_assert_msg(!control_compares(no[i]), "'%s' does not compare", no[i]);
}
END_TEST

START_TEST(most_common_is_found) {
    static const char *const text[] = {"b", "a", "", "c", "a", "", "c", "a c"};
    int64_t index;
    ck_assert(!control_commonest(&index, text, 8));
    ck_assert_int_eq(index, 1); // "a", "" and "c" twice: the first
    ck_assert(!control_commonest(&index, text + 2, 5));
    ck_assert_int_eq(index, 0);
    ck_assert(!control_commonest(&index, text + 3, 4));
    ck_assert_int_eq(index, 0);
    ck_assert(!control_commonest(&index, text + 7, 1));
    ck_assert_int_eq(index, 0);
    for (int n = 1; n <= 4; n++) {
        mem_fail_at(n);
        ck_assert_int_eq(control_commonest(&index, text, 8), STATUS_MEMORY);
    }
    mem_fail_at(0);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {comparisons_are_found, most_common_is_found, NULL};
    return run_suite(suite_of("controls", tests));
}
