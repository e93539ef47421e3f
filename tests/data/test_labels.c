// Class names, label fields, missing values, the words for findings.
#include "data/labels.h"

#include <check.h>
#include <string.h>

START_TEST(names) {
    ck_assert_int_eq(CLASS_COUNT, 14);
    ck_assert_str_eq(class_names[0], "No Finding");
    ck_assert_str_eq(class_names[2], "Cardiomegaly");
    ck_assert_str_eq(class_names[8], "Atelectasis");
    ck_assert_str_eq(class_names[13], "Support Devices");
    for (int c = 0; c < CLASS_COUNT; c++) ck_assert_int_eq(class_find(class_names[c]), c);
    ck_assert_int_eq(class_find("Pleural Effusion"), CLASS_PLEURAL_EFFUSION);
    static const char *const none[] = {"", "edema", "Edema ", "Pleural", "Airspace Opacity"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_int_eq(class_find(none[i]), -1);
}
END_TEST

START_TEST(fields) {
    static const struct {
        const char *text;
        int8_t label;
    } good[] = {
        {"1.0", LABEL_POSITIVE},     {"1", LABEL_POSITIVE},     {"+1", LABEL_POSITIVE},
        {"1.", LABEL_POSITIVE},      {"0.0", LABEL_NEGATIVE},   {"0", LABEL_NEGATIVE},
        {"-0.0", LABEL_NEGATIVE},    {"-1.0", LABEL_UNCERTAIN}, {"-1", LABEL_UNCERTAIN},
        {"-1.000", LABEL_UNCERTAIN}, {"", LABEL_BLANK},         {"nan", LABEL_BLANK},
        {"NaN", LABEL_BLANK},        {"NA", LABEL_BLANK},       {"<NA>", LABEL_BLANK},
    };
    static const char *const bad[] = {"2",    "-2",  "0.5", "1.01", "1.0x", " 1",  "1 ",  "one",
                                      "Null", "--1", "+",   "-",    ".",    ".0",  "0x1", "1e0",
                                      "nAn",  "10",  "01",  "1,0",  "inf",  "1..0"};
    int8_t label;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        label = 77;
        ck_assert_msg(label_parse(&label, good[i].text) == STATUS_OK, "'%s'", good[i].text);
        ck_assert_msg(label == good[i].label, "'%s' gave %d", good[i].text, label);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(label_parse(&label, bad[i]) == STATUS_FORMAT, "'%s' passed", bad[i]);
        ck_assert_int_eq(label, LABEL_BLANK);
        ck_assert_ptr_nonnull(strstr(status_text(), bad[i]));
    }
}
END_TEST

START_TEST(missing) {
    static const char *const yes[] = {"",     "#N/A", "#N/A N/A", "#NA",     "-1.#IND", "-1.#QNAN",
                                      "-NaN", "-nan", "1.#IND",   "1.#QNAN", "<NA>",    "N/A",
                                      "NA",   "NULL", "NaN",      "n/a",     "nan",     "null"};
    static const char *const no[] = {" ", "na", "Nan", "NAN", "none", "None", "N/A ", "0", "-"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) ck_assert(text_is_missing(yes[i]));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) ck_assert(!text_is_missing(no[i]));
}
END_TEST

START_TEST(words) {
    static const struct {
        int count, classes[5];
        const char *text;
    } cases[] = {
        {0, {0}, "no common findings"},
        {1, {0}, "no finding"},
        {1, {13}, "support devices"},
        {2, {0, 13}, "no finding, support devices"},
        {2, {0, 5}, "edema"},
        {3, {13, 0, 2}, "cardiomegaly, support devices"},
        {4, {12, 10, 1, 8}, "enlarged cardiomediastinum, atelectasis, pleural effusion, fracture"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool positive[CLASS_COUNT] = {0};
        for (int k = 0; k < cases[i].count; k++) positive[cases[i].classes[k]] = true;
        buffer out = {0};
        buffer_text(&out, "> ");
        findings_text(&out, positive);
        ck_assert_int_eq(out.failed, STATUS_OK);
        ck_assert_str_eq(out.data + 2, cases[i].text);
        buffer_free(&out);
    }
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("labels");
    tcase_add_test(cases, names);
    tcase_add_test(cases, fields);
    tcase_add_test(cases, missing);
    tcase_add_test(cases, words);
    Suite *suite = suite_create("labels");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
