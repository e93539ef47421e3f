// Text tables: alignment, rules, Markdown, odd cells, failing allocations.
#include "eval/table.h"

#include <check.h>
#include <math.h>
#include <string.h>

static void results(table *t) {
    table_column(t, "finding");
    table_column(t, "rows");
    table_column(t, "F1");
    table_text(t, "Edema"), table_integer(t, 892), table_number(t, 0.61249, 3);
    table_text(t, "Pleural Other"), table_integer(t, 0), table_number(t, NAN, 3);
    table_rule(t);
    table_text(t, "macro"), table_text(t, ""), table_number(t, 12.5, 3);
}

static void expect_text(const table *t, table_style style, const char *want) {
    buffer out = {0};
    ck_assert_int_eq(table_write(t, style, &out), STATUS_OK);
    ck_assert_str_eq(out.data, want);
    buffer_free(&out);
}

START_TEST(plain_and_markdown) {
    table t = {0};
    results(&t);
    expect_text(&t, TABLE_PLAIN,
                "finding        rows      F1\n"
                "---------------------------\n"
                "Edema           892   0.612\n"
                "Pleural Other     0       -\n"
                "---------------------------\n"
                "macro                12.500\n");
    expect_text(&t, TABLE_MARKDOWN,
                "| finding       | rows |     F1 |\n"
                "| ------------- | ---: | -----: |\n"
                "| Edema         |  892 |  0.612 |\n"
                "| Pleural Other |    0 |      - |\n"
                "| macro         |      | 12.500 |\n");
    table_free(&t);
}
END_TEST

START_TEST(odd_cells) {
    table t = {0};
    table_column(&t, "n"), table_column(&t, "text");
    expect_text(&t, TABLE_PLAIN, "n  text\n");
    expect_text(&t, TABLE_MARKDOWN, "| n   | text |\n| --- | ---- |\n");
    table_integer(&t, -5), table_text(&t, "a|b\nc\\");
    table_text(&t, "Lösung"), table_text(&t, "");
    table_integer(&t, 7); // an unfinished row
    expect_text(&t, TABLE_PLAIN,
                "     n  text\n"
                "--------------\n"
                "    -5  a|b c\\\n"
                "Lösung\n"
                "     7\n");
    expect_text(&t, TABLE_MARKDOWN,
                "|      n | text     |\n"
                "| -----: | -------- |\n"
                "|     -5 | a\\|b c\\\\ |\n"
                "| Lösung |          |\n"
                "|      7 |          |\n");
    table_free(&t);
}
END_TEST

START_TEST(large_numbers) {
    table t = {0};
    table_column(&t, "x");
    table_number(&t, -1e308, 17), table_number(&t, INFINITY, 2), table_integer(&t, INT64_MIN);
    buffer out = {0};
    ck_assert_int_eq(table_write(&t, TABLE_PLAIN, &out), STATUS_OK);
    ck_assert_ptr_nonnull(strstr(out.data, "-9223372036854775808\n"));
    ck_assert_ptr_nonnull(strstr(out.data, " inf\n"));
    buffer_free(&out);
    table_free(&t);
}
END_TEST

START_TEST(failed_allocations_are_kept) {
    status rc = STATUS_MEMORY;
    int failures = 0;
    for (int n = 1; rc; n++) {
        table t = {0};
        buffer out = {0};
        mem_fail_at(n);
        results(&t);
        rc = table_write(&t, TABLE_PLAIN, &out);
        mem_fail_at(0);
        failures += rc != STATUS_OK;
        if (rc) ck_assert_int_eq(rc, STATUS_MEMORY);
        buffer_free(&out);
        table_free(&t);
    }
    ck_assert_int_gt(failures, 4);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("table");
    TCase *tests = tcase_create("table");
    tcase_add_test(tests, plain_and_markdown);
    tcase_add_test(tests, odd_cells);
    tcase_add_test(tests, large_numbers);
    tcase_add_test(tests, failed_allocations_are_kept);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
