// Pages and charts: what comes from outside is text and nothing else, tags close as they were
// opened, numbers that are none leave no trace, nothing is loaded from anywhere.
#include "data/image_codec.h"
#include "eval/chart.h"
#include "tests/core/helper_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static buffer page;

static void setup(void) {
    page = (buffer){0};
}

static void teardown(void) {
    buffer_free(&page);
}

static void text_is(const char *given, const char *expected) {
    buffer out = {0};
    html_text(&out, given);
    ck_assert_str_eq(out.data ? out.data : "", expected);
    buffer_free(&out);
}

START_TEST(escapes) {
    text_is("a < b & \"c\" > 'd'", "a &lt; b &amp; &quot;c&quot; &gt; &#39;d&#39;");
    text_is("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;");
    text_is("Größe – 5 µm\n2\t3", "Größe – 5 µm\n2\t3");
    text_is("\x01\x7f\xc2\x85", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    text_is("\xff\xc3", "\xef\xbf\xbd\xef\xbf\xbd");
    text_is("&amp;", "&amp;amp;");
    text_is("", "");
}
END_TEST

// Every tag that opens closes, in order; attributes hold no markup.
static void expect_balanced(const char *html) {
    enum { DEPTH = 32, NAME = 16 };
    char open[DEPTH][NAME];
    int depth = 0;
    for (const char *at = html; (at = strchr(at, '<')); at++) {
        char name[NAME] = "";
        const char *end = strchr(at, '>');
        ck_assert_ptr_nonnull(end);
        const bool closes = at[1] == '/';
        const char *from = at + 1 + closes;
        if (*from == '!') continue;
        const size_t length = strspn(from, "abcdefghijklmnopqrstuvwxyz123456");
        ck_assert_msg(length && length < NAME, "%.30s", at);
        memcpy(name, from, length);
        name[length] = 0;
        if (closes) {
            ck_assert_msg(depth && !strcmp(open[depth - 1], name), "</%s> inside <%s>", name,
                          depth ? open[depth - 1] : "");
            depth--;
        } else if (end[-1] != '/' && strcmp(name, "meta") && strcmp(name, "img")) {
            ck_assert_int_lt(depth, DEPTH);
            strcpy(open[depth++], name);
        }
    }
    ck_assert_int_eq(depth, 0);
}

static void expect_no(const char *text) {
    ck_assert_msg(!strstr(page.data, text), "there is %s in the page", text);
}

static void add_all(const char *hostile) {
    const char *const names[] = {hostile, "other"};
    const double x[] = {1, 2, 3, 4}, y[] = {0.5, NAN, INFINITY, 0.25},
                 none[] = {NAN, NAN, NAN, NAN};
    const chart_line line[] = {{x, y, 4, 0, false}, {x, y, 4, 7, true}},
                     empty = {x, none, 4, 0, false};
    const chart_frame frame = {hostile, hostile, true};
    table t = {0};
    html_element(&page, "p", "soft", hostile);
    table_column(&t, hostile);
    table_column(&t, "b");
    table_text(&t, hostile);
    table_text(&t, hostile);
    html_table(&page, &t);
    table_free(&t);
    chart_legend(&page, names, 2);
    chart_bars_begin(&page);
    chart_bars_row(&page, hostile, hostile, (double[]){0.5, NAN, -1, 7}, 4);
    chart_bars_end(&page);
    charts_begin(&page);
    chart_lines(&page, &frame, line, names, 2);
    chart_lines(&page, &frame, &empty, NULL, 1);
    charts_end(&page);
}

START_TEST(hostile_page) {
    static const char *const hostile[] = {"plain", "</main><script>x</script>", "\" onload=\"x",
                                          "'><img src=x>", "\xff<\x01"};
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        page.length = 0;
        html_begin(&page, hostile[i], hostile[i]);
        add_all(hostile[i]);
        html_end(&page);
        ck_assert_int_eq(page.failed, STATUS_OK);
        expect_balanced(page.data);
        expect_no("<script");
        expect_no("onload=\"");
        expect_no("<img src=x");
        expect_no("http:");
        expect_no("https:");
        expect_no("nan");
        expect_no("inf");
        ck_assert_ptr_nonnull(strstr(page.data, "no numbers yet"));
        ck_assert(text_is_utf8(page.data, page.length));
    }
}
END_TEST

START_TEST(tables) {
    table t = {0};
    table_column(&t, "run");
    table_column(&t, "score");
    table_text(&t, "a");
    table_text(&t, "0.5 (0.4 to 0.6)");
    table_rule(&t);
    table_text(&t, "b"); // the row is not finished
    html_table(&page, &t);
    table_free(&t);
    expect_balanced(page.data);
    ck_assert_ptr_nonnull(strstr(page.data, "<th>a</th><td>0.5 (0.4\xc2\xa0to\xc2\xa0"
                                            "0.6)</td>"));
    ck_assert_ptr_nonnull(strstr(page.data, "<tr class=\"rule\"><th>b</th><td></td></tr>"));
}
END_TEST

// The picture is in the page, whole.
START_TEST(pictures) {
    uint8_t grey[20 * 10], decoded[4096];
    for (int i = 0; i < 200; i++) grey[i] = (uint8_t)(i % 20 * 12);
    ck_assert(!html_picture(&page, grey, 20, 10, "a \"film\""));
    expect_balanced(page.data);
    ck_assert_ptr_nonnull(strstr(page.data, "alt=\"a &quot;film&quot;\""));
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = strstr(page.data, "base64,");
    ck_assert_ptr_nonnull(at);
    size_t bytes = 0;
    uint32_t word = 0, count = 0;
    for (at += 7; *at != '"' && *at != '='; at++) {
        ck_assert_ptr_nonnull(strchr(digits, *at));
        word = word << 6 | (uint32_t)(strchr(digits, *at) - digits);
        if (++count % 4 == 0) {
            for (int k = 2; k >= 0; k--) decoded[bytes++] = (uint8_t)(word >> 8 * k);
            word = 0;
        }
    }
    if (count % 4 == 3)
        decoded[bytes++] = (uint8_t)(word >> 10), decoded[bytes++] = (uint8_t)(word >> 2);
    if (count % 4 == 2) decoded[bytes++] = (uint8_t)(word >> 4);
    image back = {0};
    ck_assert_msg(!image_decode(&back, decoded, bytes, "page"), "%s", status_text());
    ck_assert(back.width == 20 && back.height == 10);
    ck_assert_int_le(abs(((uint8_t *)back.pixels)[10] - grey[10]), 12);
    image_free(&back);
}
END_TEST

// Coordinates of the first path of colour COLOUR: they stay inside of the frame. Returns how many
// there are.
static int count_points(const char *colour) {
    char find[32];
    int points = 0;
    snprintf(find, sizeof find, "class=\"%s\"", colour);
    const char *at = strstr(page.data, find);
    ck_assert_ptr_nonnull(at);
    at = strstr(at, " d=\"") + 4;
    for (double x, y; *at && *at != '"'; points++) {
        int used = 0;
        ck_assert_int_eq(sscanf(at + 1, "%lf %lf%n", &x, &y, &used), 2);
        ck_assert(x >= 0 && x <= 1000 && y >= 0 && y <= 400);
        at += 1 + used;
    }
    return points;
}

START_TEST(lines) {
    static double x[5000], y[5000];
    const chart_frame frame = {"loss", "steps", false};
    for (int i = 0; i < 5000; i++) x[i] = i + 1, y[i] = 3 * exp(-i / 900.0) + (i % 2 ? 0.1 : -0.1);
    const chart_line many = {x, y, 5000, 0, false}, few = {x, y, 7, 1, false},
                     one = {x, y, 1, 2, false};
    chart_lines(&page, &frame, &many, NULL, 1);
    int points = count_points("t0");
    ck_assert(points > 200 && points <= 300);
    ck_assert_ptr_nonnull(strstr(page.data, ">5000<"));
    ck_assert_ptr_nonnull(strstr(page.data, ">2<"));
    chart_lines(&page, &frame, &few, NULL, 1);
    ck_assert_int_eq(count_points("t1"), 7);
    chart_lines(&page, &frame, &one, NULL, 1);
    ck_assert_int_eq(count_points("t2"), 1);
    expect_balanced(page.data);
    // Values that hardly differ, are all equal, or as large as they come.
    const double hard[][3] = {{1e17, 1e17 + 16, 1e17}, {0, 0, 0},           {-5, -5, -5},
                              {1e300, -1e300, 0},      {1e-300, 2e-300, 0}, {1.7e308, -1.7e308, 0}};
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) {
        const chart_line l = {x, hard[i], 3, 0, true};
        page.length = 0;
        chart_lines(&page, &frame, &l, NULL, 1);
        expect_balanced(page.data);
        expect_no("nan");
        ck_assert_uint_lt(page.length, 4096);
    }
}
END_TEST

START_TEST(failing_memory) {
    table t = {0};
    table_column(&t, "a");
    table_text(&t, "(b c)");
    for (int64_t n = 1;; n++) {
        buffer out = {0};
        mem_fail_at(n);
        html_begin(&out, "a", "b");
        html_table(&out, &t);
        uint8_t grey[64] = {0};
        status rc = html_picture(&out, grey, 8, 8, "x");
        html_end(&out);
        const bool failed = mem_has_failed();
        mem_fail_at(0);
        ck_assert_msg(!failed || rc == STATUS_MEMORY || out.failed == STATUS_MEMORY,
                      "allocation %lld", (long long)n);
        buffer_free(&out);
        if (!failed) break;
    }
    table_free(&t);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("html");
    TCase *tests = tcase_create("html");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, escapes);
    tcase_add_test(tests, hostile_page);
    tcase_add_test(tests, tables);
    tcase_add_test(tests, pictures);
    tcase_add_test(tests, lines);
    tcase_add_test(tests, failing_memory);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
