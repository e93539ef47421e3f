// Sections: golden reports (or another table of them, named by RADIALOG_SECTIONS: see
// scripts/check_sections.sh), hand-made corners, the forced studies, findings text, failing
// allocations.
#include "data/csv.h"
#include "data/sections.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// "name start end;name start end"
static void list(buffer *out, const sections *s) {
    for (size_t i = 0; i < s->count; i++)
        buffer_print(out, "%s%s %zu %zu", i ? ";" : "", s->list[i].name, s->list[i].start,
                     s->list[i].end);
}

static void check_part(const csv *c, const sections *s, const char *name) {
    buffer out = {0};
    buffer_text(&out, "");
    if (!sections_last(&out, s, name)) buffer_text(&out, "-");
    ck_assert_str_eq(out.data, csv_field(c, csv_column(c, name)));
    buffer_free(&out);
}

static void check_golden(const csv *c) {
    sections s;
    buffer got = {0}, findings = {0}, clean = {0};
    ck_assert_int_eq(sections_parse(&s, csv_field(c, csv_column(c, "report"))), STATUS_OK);
    list(&got, &s);
    ck_assert_msg(!strcmp(got.data, csv_field(c, csv_column(c, "sections"))), "line %d: %s, not %s",
                  (int)csv_line(c), got.data, csv_field(c, csv_column(c, "sections")));
    static const char *const parts[] = {"impression", "findings", "last_paragraph", "comparison"};
    for (size_t i = 0; i < 4; i++) check_part(c, &s, parts[i]);
    buffer_text(&findings, "");
    buffer_text(&clean, "");
    sections_last(&findings, &s, "findings");
    findings_clean(&clean, findings.data);
    ck_assert_str_eq(clean.data, csv_field(c, csv_column(c, "clean")));
    buffer_free(&clean), buffer_free(&findings), buffer_free(&got);
    sections_free(&s);
}

START_TEST(golden_reports) {
    csv *c;
    bool more, bad;
    const char *other = getenv("RADIALOG_SECTIONS");
    ck_assert_int_eq(csv_open(&c, other ? other : TEST_DATA "/sections.csv"), STATUS_OK);
    ck_assert_int_eq(csv_columns(c), 7);
    while (csv_next(c, &more, &bad) == STATUS_OK && more) {
        ck_assert(!bad);
        check_golden(c);
    }
    ck_assert_int_ge(csv_row(c), 200);
    if (other) printf("%lld reports equal\n", (long long)csv_row(c));
    csv_close(c);
}
END_TEST

typedef struct corner {
    const char *report, *want;
} corner;

static const corner corners[] = {
    {"", "full report 0 0"},
    {"FINDINGS: a", "full report 0 11"},   // a header needs a line feed and a blank
    {"\nFINDINGS: a", "full report 0 12"}, // ... the blank too
    {"\n  FINDINGS: a", "preamble 0 2;findings 13 14"},
    {"\n FINDINGS:a", "full report 0 12"}, // white space after the colon
    {"\n FINDINGS:", "full report 0 11"},
    {"\n Findings: a", "full report 0 13"},   // capitals only
    {"\n FINDINGS 2: a", "full report 0 15"}, // no digits
    {"\n FINDINGS: a", "preamble 0 2;findings 12 13"},
    {"\n FINDINGS: \n IMPRESSION: b", "preamble 0 2;impression 26 27"}, // empty findings go
    {"\n FINDINGS:\n IMPRESSION: b", "preamble 0 2;findings 12 26"}, // the header's line is skipped
    {"\n HISTORY: x\n FINDINGS: a", "preamble 0 2;history 11 12;findings 24 25"},
    {"\n OPINION: x\n \n one\n \n two", "preamble 0 2;opinion 11 12;last_paragraph 15 26"},
    {"\n OPINION: x\n \n", "preamble 0 2;opinion 11 12;last_paragraph 15 15"},
    {"\n OPINION: x\n\n one", "preamble 0 2;opinion 11 18"},
    {"\n NDICATION: x", "preamble 0 2;impression 13 14"},
    {"\n CLINICAL INDICATION: x", "preamble 0 2;indication 23 24"},
    {"\n RIGHT RIBS: x", "preamble 0 2;findings 14 15"},
    {"\n HISTORY OF FINDINGS: x",
     "preamble 0 2;findings 23 24"}, // the table's order, not the text's
    {"\n  : x", "preamble 0 2; 5 6"},
};

START_TEST(corner_cases) {
    for (size_t i = 0; i < sizeof corners / sizeof *corners; i++) {
        sections s;
        buffer got = {0};
        ck_assert_int_eq(sections_parse(&s, corners[i].report), STATUS_OK);
        list(&got, &s);
        ck_assert_msg(!strcmp(got.data, corners[i].want), "corner %zu: %s, not %s", i, got.data,
                      corners[i].want);
        buffer_free(&got);
        sections_free(&s);
    }
}
END_TEST

START_TEST(cleaning) {
    static const char *const cases[][2] = {
        {"", ""},
        {" \n ", ""},
        {"a", "a"},
        {" a\n b\nc ", "a bc"},
        {"\n\na\n\n", "a"},
        {"a\n\n\nb", "ab"},
        {"a\r\n b", "a\r b"},
        {"\xc2\xa0 a\xe2\x80\x89", "a"},
        {"\xa0 a\x80", "\xa0 a\x80"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer out = {0};
        buffer_text(&out, "");
        findings_clean(&out, cases[i][0]);
        ck_assert_str_eq(out.data, cases[i][1]);
        buffer_free(&out);
    }
}
END_TEST

// What both rules take for white space: the characters for which Python's str.isspace is true.
static bool is_python_space(uint32_t c) {
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

static void utf8_put(char *out, uint32_t c) {
    size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint32_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[more] | c >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | ((c >> (6 * (more - i))) & 0x3f));
}

START_TEST(white_space) {
    buffer out = {0};
    int spaces = 0;
    for (uint32_t c = 1; c < 0x110000; c++) {
        char one[8] = "", text[40], inside[16];
        if (c >= 0xd800 && c <= 0xdfff) continue;
        utf8_put(one, c);
        snprintf(inside, sizeof inside, "a%sb", one);
        snprintf(text, sizeof text, "%s%s%s", one, inside, one);
        bool space = is_python_space(c);
        spaces += space;
        out.length = 0;
        report_clean(&out, text);
        if (strcmp(out.data, space ? "a b" : text)) ck_abort_msg("U+%04X in a report", c);
        out.length = 0;
        findings_clean(&out, text);
        if (strcmp(out.data, c == '\n' ? "ab" : space ? inside : text))
            ck_abort_msg("U+%04X in findings", c);
    }
    ck_assert_int_eq(spaces, 29);
    buffer_free(&out);
}
END_TEST

START_TEST(reports_for_chexbert) {
    static const char *const cases[][2] = {
        {"", ""},
        {" \n \t", ""},
        {"a", "a"},
        {" a\n b\nc ", "a b c"},
        {"\n\na\n\nb\r\n\r\nc\n", "a b c"},
        {"1. \xc2\xa0No\xe2\x80\xa8 change.\x1c"
         "2.", "1. No change. 2."},
        {"\xa0 a\xe2\x80 \x85", "\xa0 a\xe2\x80 \x85"}, // not UTF-8
        {"\xe2\x80\x8b a", "\xe2\x80\x8b a"},          // zero width, no space
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer out = {0};
        buffer_text(&out, "<");
        report_clean(&out, cases[i][0]);
        ck_assert_str_eq(out.data + 1, cases[i][1]);
        buffer_free(&out);
    }
}
END_TEST

START_TEST(line_ends) {
    char text[] = "a\r\nb\rc\n\r\r\nd\r";
    report_newlines(text);
    ck_assert_str_eq(text, "a\nb\nc\n\n\nd\n");
}
END_TEST

// ---- forced studies ----

static const char *conclude(buffer *out, const char *report, const char *study,
                            sections_variant variant) {
    sections s;
    ck_assert_int_eq(sections_parse(&s, report), STATUS_OK);
    buffer_text(out, "");
    const char *which = sections_conclusion(out, &s, study, variant);
    sections_free(&s);
    return which;
}

START_TEST(conclusions) {
    static const struct {
        const char *report, *study;
        sections_variant variant;
        const char *which, *text;
    } cases[] = {
        {"\n FINDINGS: f\n IMPRESSION: i\n IMPRESSION:  j ", "s1", SECTIONS_RADIALOG, "impression",
         "j"},
        {"\n FINDINGS: f\n COMPARISON: c", "s1", SECTIONS_MIT_LCP, "findings", "f"},
        {"\n COMPARISON: c\n \n last\n \n one ", "s1", SECTIONS_MIT_LCP, "last_paragraph",
         "last\n \n one"},
        {"\n COMPARISON: c", "s1", SECTIONS_MIT_LCP, "comparison", "c"},
        {"\n HISTORY: c", "s1", SECTIONS_MIT_LCP, NULL, ""},
        // Forced section: the recommendations stand for the conclusion in one variant only.
        {"\n IMPRESSION: i\n RECOMMENDATION(S): r ", "s50913680", SECTIONS_MIT_LCP,
         "recommendations", "r"},
        {"\n IMPRESSION: i\n RECOMMENDATION(S): r ", "50913680", SECTIONS_RADIALOG, "impression",
         "i"},
        {"\n IMPRESSION: i", "s50913680", SECTIONS_MIT_LCP, NULL, ""},
        // Forced characters: none for this study; characters, not bytes, for the other.
        {"\n IMPRESSION: i", "s58235663", SECTIONS_MIT_LCP, "range", ""},
        {"\n IMPRESSION: i", "s58235663", SECTIONS_RADIALOG, "impression", "i"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer out = {0};
        const char *which = conclude(&out, cases[i].report, cases[i].study, cases[i].variant);
        ck_assert_msg(which == cases[i].which ||
                          (which && cases[i].which && !strcmp(which, cases[i].which)),
                      "case %zu: %s", i, which ? which : "none");
        ck_assert_str_eq(out.data, cases[i].text);
        buffer_free(&out);
    }
}
END_TEST

START_TEST(forced_characters) {
    buffer report = {0}, out = {0}, want = {0};
    for (int i = 0; i < 500; i++) buffer_text(&report, i % 3 ? "a " : "\xc3\xa4\n");
    for (int i = 47; i < 320; i++) // character i: even ones are letters
        buffer_text(&want, i % 2 ? (i / 2 % 3 ? " " : "\n") : (i / 2 % 3 ? "a" : "\xc3\xa4"));
    ck_assert_str_eq(conclude(&out, report.data, "s51410602", SECTIONS_MIT_LCP), "range");
    ck_assert_str_eq(out.data, want.data);
    out.length = 0;
    report.data[60] = 0; // a report shorter than the range
    conclude(&out, report.data, "s51410602", SECTIONS_MIT_LCP);
    ck_assert_uint_lt(out.length, 14);
    buffer_free(&report), buffer_free(&out), buffer_free(&want);
}
END_TEST

START_TEST(rule_table) {
    static const char *const none[] = {"",           "s",          "50913680x",
                                       "s-50913680", "ss50913680", "s 50913680",
                                       "s509136800", "5091368",    "s99999999999999999999"};
    static const int studies[] = {
        50058765, 50196495, 50525523, 50743547, 50798377, 50808053, 50913680, 51410602, 51491012,
        51966317, 52035334, 52119491, 52648681, 52674888, 53071062, 53182247, 53202765, 53356173,
        53488209, 53514462, 53607029, 54168089, 54231141, 54365831, 54654948, 54875119, 54986978,
        55124749, 55157853, 55258338, 56412866, 56451190, 56482935, 56579911, 56724958, 56760320,
        57150433, 57564132, 57936451, 58157373, 58235663, 58375018, 59003148, 59067458, 59087630,
        59215320, 59279892, 59330497, 59363654, 59505494, 59562049, 59768032, 59889364, 59982525,
    };
    int named = 0, ranges = 0, empty = 0;
    for (size_t i = 0; i < sizeof studies / sizeof *studies; i++) {
        char text[16];
        snprintf(text, sizeof text, "s%d", studies[i]);
        const section_rule *rule = section_rule_find(text);
        ck_assert_ptr_nonnull(rule);
        ck_assert_int_eq(rule->study, studies[i]);
        ck_assert(sections_listed(text, SECTIONS_RADIALOG) &&
                  !sections_listed(text, SECTIONS_MIT_LCP));
        named += rule->name != NULL;
        ranges += !rule->name;
        empty += !rule->name && rule->end == 0;
        ck_assert(rule->start >= 0 && rule->start <= rule->end);
        snprintf(text, sizeof text, "s%d", studies[i] + 1);
        ck_assert_ptr_null(section_rule_find(text));
        ck_assert(sections_listed(text, SECTIONS_MIT_LCP));
    }
    ck_assert_int_eq(named, 23);
    ck_assert_int_eq(ranges, 31);
    ck_assert_int_eq(empty, 8);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_msg(!section_rule_find(none[i]), "%s", none[i]);
    ck_assert_ptr_nonnull(section_rule_find("50913680"));
}
END_TEST

START_TEST(without_memory) {
    buffer report = {0};
    for (int i = 0; i < 100; i++) buffer_print(&report, "\n %c FILM: text %d", 'A' + i % 26, i);
    int64_t n = 1;
    for (;; n++) {
        sections s;
        mem_fail_at(n);
        status rc = sections_parse(&s, report.data);
        mem_fail_at(0);
        if (!rc) ck_assert_uint_eq(s.count, 101);
        sections_free(&s);
        if (!rc) break;
        ck_assert_int_eq(rc, STATUS_MEMORY);
    }
    ck_assert_int_gt(n, 3);
    buffer_free(&report);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("sections");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, golden_reports);
    tcase_add_test(cases, corner_cases);
    tcase_add_test(cases, cleaning);
    tcase_add_test(cases, white_space);
    tcase_add_test(cases, reports_for_chexbert);
    tcase_add_test(cases, line_ends);
    tcase_add_test(cases, conclusions);
    tcase_add_test(cases, forced_characters);
    tcase_add_test(cases, rule_table);
    tcase_add_test(cases, without_memory);
    Suite *suite = suite_create("sections");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
