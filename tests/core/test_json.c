// core/files/json.h: what is accepted, what is refused and with which words, and clean failures.
#include "core/files/json.h"
#include "tests/core/helper_check.h"

#include <stdlib.h>
#include <string.h>

typedef struct hostile {
    const char *text;
    size_t size;
    const char *place, *reason;
} hostile;

#define BAD(text, place, reason)                                                                   \
    { text, sizeof(text) - 1, place, reason }

static const hostile malformed[] = {
    BAD("", "a.json:1:", "empty"),
    BAD(" \n\n ", "a.json:3:", "empty"),
    BAD("\xef\xbb\xbf{}", "a.json:1:", "byte order mark"),
    BAD("{}\n{}", "a.json:2:", "nothing after the document"),
    BAD("1 2", "a.json:1:", "found '2'"),
    BAD("{} \0", "a.json:1:", "0x00"),
    BAD("{\"a\": 1,\n \"a\": 2}", "a.json:2:", "\"a\" is given twice"),
    BAD("{\"a\": 1,\n \"\\u0061\": 2}", "a.json:2:", "is given twice"),
    BAD("{\"x\": {\"b\": 1,\n\"c\": 2,\n\"b\": 3}}", "a.json:3:", "\"b\" is given twice"),
    BAD("[[{\"b\": 1, \"b\": 3}]]", "a.json:1:", "\"b\" is given twice"),
    BAD("{\"\": 1, \"\": 3}", "a.json:1:", "\"\" is given twice"),
    BAD("{\"a\" 1}", "a.json:1:", "':' after a key"),
    BAD("{a: 1}", "a.json:1:", "a key in quotes"),
    BAD("{'a': 1}", "a.json:1:", "a key in quotes"),
    BAD("{\"a\": 1", "a.json:1:", "the text ends"),
    BAD("{\"a\": ", "a.json:1:", "the text ends"),
    BAD("{\"a\": 1,}", "a.json:1:", "comma"),
    BAD("[1,]", "a.json:1:", "comma"),
    BAD("[1 2]", "a.json:1:", "',' or ']'"),
    BAD("[1}", "a.json:1:", "found '}'"),
    BAD("[,]", "a.json:1:", "expected a value"),
    BAD("]", "a.json:1:", "expected a value"),
    BAD("01", "a.json:1:", "starts with 0"),
    BAD("-", "a.json:1:", "a digit"),
    BAD("1.", "a.json:1:", "after the point"),
    BAD("1e", "a.json:1:", "exponent"),
    BAD("+1", "a.json:1:", "found '+'"),
    BAD(".5", "a.json:1:", "found '.'"),
    BAD("1e999", "a.json:1:", "too large"),
    BAD("0.1234567890123456789012345678901234567890123456789012345678901234567", "a.json:1:", "63"),
    BAD("NaN", "a.json:1:", "expected a value"),
    BAD("-Infinity", "a.json:1:", "a digit"),
    BAD("tru", "a.json:1:", "expected a value"),
    BAD("nul\0", "a.json:1:", "expected a value"),
    BAD("truex", "a.json:1:", "nothing after"),
    BAD("\"abc", "a.json:1:", "not closed"),
    BAD("\n\"ab\nc\"", "a.json:2:", "not closed on its line"),
    BAD("\"a\tb\"", "a.json:1:", "control character"),
    BAD("\"a\0b\"", "a.json:1:", "0x00"),
    BAD("\"\\q\"", "a.json:1:", "after \\"),
    BAD("\"\\u12g4\"", "a.json:1:", "four hexadecimal"),
    BAD("\"\\u12", "a.json:1:", "four hexadecimal"),
    BAD("\"\\u0000\"", "a.json:1:", "\\u0000"),
    BAD("\"\\ud800\"", "a.json:1:", "surrogate"),
    BAD("\"\\udc00\"", "a.json:1:", "surrogate"),
    BAD("\"\\ud800\\u0041\"", "a.json:1:", "surrogate"),
    BAD("\"\xff\"", "a.json:1:", "UTF-8"),
    BAD("\"\xc0\x80\"", "a.json:1:", "UTF-8"),
    BAD("\"\xe0\x80\x80\"", "a.json:1:", "UTF-8"),
    BAD("\"\xed\xa0\x80\"", "a.json:1:", "UTF-8"),
    BAD("\"\xf4\x90\x80\x80\"", "a.json:1:", "UTF-8"),
    BAD("\"\xe2\x82", "a.json:1:", "UTF-8"),
    BAD("// no\n{}", "a.json:1:", "expected a value"),
    BAD("{\"a\": [1, {\"b\": [true, /* */ 1]}]}", "a.json:1:", "expected a value"),
};

START_TEST(malformed_texts) {
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        const hostile *h = &malformed[i];
        json *document;
        // An exact copy on the heap, so that the sanitizer sees a byte read behind it.
        char *exact = malloc(h->size ? h->size : 1);
        memcpy(exact, h->text, h->size);
        status rc = json_parse(&document, "a.json", exact, h->size, 1);
        expect_failure(rc, STATUS_FORMAT, h->text, h->place, h->reason);
        ck_assert_ptr_null(document);
        free(exact);
    }
}
END_TEST

START_TEST(depth_is_limited) {
    for (int depth = JSON_MAX_DEPTH; depth <= 100000; depth = depth < 66 ? depth + 1 : depth * 40) {
        buffer text = {0};
        json *document;
        for (int i = 0; i < depth; i++) buffer_text(&text, "[");
        for (int i = 0; i < depth; i++) buffer_text(&text, "]");
        status rc = json_parse(&document, "deep", text.data, text.length, 1);
        if (depth == JSON_MAX_DEPTH)
            ck_assert_int_eq(rc, STATUS_OK);
        else
            expect_failure(rc, STATUS_FORMAT, "depth", "deep:1:", "nested");
        json_close(document);
        buffer_free(&text);
    }
}
END_TEST

START_TEST(number_of_values_is_limited) {
    size_t size = 2 * (size_t)JSON_MAX_VALUES + 1; // the list and as many numbers
    char *text = malloc(size);
    json *document;
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < size; i += 2) text[i] = ',', text[i + 1 < size ? i + 1 : i] = '0';
    text[0] = '[';
    text[size - 1] = ']';
    expect_failure(json_parse(&document, "many", text, size, 1), STATUS_FORMAT, "values",
                   "many:1:", "more than 4194304 values");
    free(text);
}
END_TEST

static json *parsed(const char *text) {
    json *document;
    status rc = json_parse(&document, "a.json", text, strlen(text), 1);
    ck_assert_msg(rc == STATUS_OK, "%s: %s", text, status_text());
    return document;
}

static const char several[] =
    "{\"n\": 3, \"x\": -2.5e-3,\n\"t\": \"h\\u00e9\\ud83d\\ude00\\/\\n\",\n"
    "\"yes\": true, \"no\": false,\n\n\"list\": [1,\n2, [ ], {}],\n"
    "\"nothing\": null, \"big\": 9007199254740991, \"bigger\": "
    "9007199254740993, \"half\": 0.5, \"e\": 3e0}";

START_TEST(accessors) {
    json *document = parsed(several);
    json_value root = json_root(document), v;
    int64_t n;
    double x;
    bool yes;
    const char *text;
    ck_assert_int_eq(json_member_int(&n, root, "n", 0, 3), STATUS_OK);
    ck_assert_int_eq(n, 3);
    ck_assert_int_eq(json_member_int(&n, root, "e", 0, 3), STATUS_OK);
    ck_assert_int_eq(json_member_int(&n, root, "big", 0, INT64_MAX), STATUS_OK);
    ck_assert(n == 9007199254740991);
    ck_assert_int_eq(json_member_number(&x, root, "x"), STATUS_OK);
    ck_assert(x == -2.5e-3);
    ck_assert_int_eq(json_member_text(&text, root, "t"), STATUS_OK);
    ck_assert_str_eq(text, "h\xc3\xa9\xf0\x9f\x98\x80/\n");
    ck_assert_int_eq(json_member_bool(&yes, root, "yes"), STATUS_OK);
    ck_assert(yes);
    ck_assert_int_eq(json_member_bool(&yes, root, "no"), STATUS_OK);
    ck_assert(!yes);
    ck_assert_int_eq(json_member(&v, root, "list"), STATUS_OK);
    ck_assert_uint_eq(json_count(v), 4);
    ck_assert_int_eq(json_line(v), 5);
    ck_assert_int_eq(json_line(json_next(json_first(v))), 6);
    ck_assert_int_eq(json_kind_of(json_find(root, "absent")), JSON_NONE);
    ck_assert_int_eq(json_kind_of(json_find(v, "absent")), JSON_NONE);
    json_close(document);
}
END_TEST

START_TEST(accessors_refuse) {
    json *document = parsed(several);
    json_value root = json_root(document), v;
    int64_t n;
    double x;
    bool yes;
    const char *text;
    expect_failure(json_member_int(&n, root, "bigger", 0, INT64_MAX), STATUS_FORMAT, "bigger",
                   "a.json:7:", "2^53");
    expect_failure(json_member_int(&n, root, "half", 0, 9), STATUS_FORMAT, "half", "half", "whole");
    expect_failure(json_member_int(&n, root, "n", 4, 9), STATUS_FORMAT, "n", "\"n\"", "at least 4");
    expect_failure(json_member_int(&n, root, "n", 0, 2), STATUS_FORMAT, "n", "\"n\"", "at most 2");
    expect_failure(json_member_int(&n, root, "t", 0, 2), STATUS_FORMAT, "t", "a.json:2:", "a text");
    expect_failure(json_member_text(&text, root, "n"), STATUS_FORMAT, "n", "a.json:1:", "a number");
    expect_failure(json_member_bool(&yes, root, "nothing"), STATUS_FORMAT, "null",
                   "a.json:7:", "null");
    expect_failure(json_member_number(&x, root, "list"), STATUS_FORMAT, "list", "list", "a list");
    expect_failure(json_member(&v, root, "absent"), STATUS_FORMAT, "absent", "a.json:1:", "absent");
    json_close(document);
}
END_TEST

START_TEST(a_name_of_any_length) {
    char name[3000];
    json *document;
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    expect_failure(json_parse(&document, name, "[1,]", 4, 7), STATUS_FORMAT, "long name", "nnn",
                   "comma");
    ck_assert_int_eq(json_parse(&document, name, "[1]", 3, 7), STATUS_OK);
    ck_assert_int_eq(json_list(json_root(document)), STATUS_OK);
    expect_failure(json_object(json_root(document)), STATUS_FORMAT, "long name", ":7:", "a list");
    json_close(document);
}
END_TEST

static const char *const sample =
    "{\"records\": 12, \"splits\": {\"train\": 9, \"test\": 3},\n \"labels\": [\"a\\u0041\", "
    "-1.5e3, "
    "true, null, {\"deep\": [[[\"\xc3\xa9\"]]]}],\n \"empty\": {}, \"none\": []}";

START_TEST(every_allocation_may_fail) {
    int64_t n = 1;
    for (;; n++) {
        json *document;
        mem_fail_at(n);
        status rc = json_parse(&document, "a.json", sample, strlen(sample), 1);
        mem_fail_at(0);
        json_close(document);
        if (!rc) break;
        expect_failure(rc, STATUS_MEMORY, "allocation", NULL, "memory");
        ck_assert_int_lt(n, 1000);
    }
    ck_assert_int_gt(n, 30);
}
END_TEST

START_TEST(mutated_texts) {
    uint64_t state = 20240607;
    int accepted = 0;
    for (int i = 0; i < 8000; i++) {
        buffer text = {0};
        json *document;
        buffer_text(&text, sample);
        fuzz_mutate(&text, &state);
        char *exact = malloc(text.length ? text.length : 1);
        memcpy(exact, text.data, text.length);
        status rc = json_parse(&document, "a.json", exact, text.length, 1);
        if (rc)
            expect_failure(rc, STATUS_FORMAT, text.data, "a.json:", NULL);
        else
            accepted++;
        json_close(document);
        free(exact);
        buffer_free(&text);
    }
    ck_assert_int_gt(accepted, 100); // the mutations are gentle enough to reach the tree
    ck_assert_int_lt(accepted, 6000);
}
END_TEST

START_TEST(files) {
    json *document;
    expect_failure(json_read(&document, scratch("absent.json"), 0), STATUS_IO, "absent",
                   "absent.json", "No such file");
    scratch_write(scratch("large.json"), "[1, 2, 3]", 9);
    expect_failure(json_read(&document, scratch("large.json"), 8), STATUS_FORMAT, "large",
                   "large.json", "larger than 8");
    ck_assert_int_eq(json_read(&document, scratch("large.json"), 9), STATUS_OK);
    json_close(document);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {malformed_texts,
                                  depth_is_limited,
                                  number_of_values_is_limited,
                                  accessors,
                                  accessors_refuse,
                                  a_name_of_any_length,
                                  every_allocation_may_fail,
                                  mutated_texts,
                                  files,
                                  NULL};
    return run_suite(suite_of("json", tests));
}
