// data/instruct.h: conversations as RaDialog's JSON: in, out, in again; what is left out, by its
// line; what is refused.
#include "tests/data/helper_instruct.h"

#include <stdio.h>
#include <string.h>

static const char question[] = "Film: <IMG> <IMG><IMG> <IMG>. ASSISTANT:";

// More rows than one piece has, from JSON: the same for any number of threads.
START_TEST(many_rows) {
    buffer text = {0};
    instruct_json *j;
    buffer_text(&text, "[");
    for (int i = 0; i < 300; i++)
        buffer_print(&text,
                     "%s{\"instruction\": \"%s\", \"input\": \"\", \"output\": \"%s %d.\", "
                     "\"dicom\": \"d%d\"}",
                     i ? ",\n" : "", i % 7 == 5 ? "no film" : question, "Number", i, i);
    buffer_text(&text, "]\n");
    write_text(at("many.json"), text.data);
    buffer_free(&text);
    OK(instruct_json_open(&j, at("many.json")));
    const instruct_source from = instruct_json_source(j, SPLIT_TRAIN);
    instruct_options o = instruct_options_of_tests("many1");
    o.shard_rows = 170;
    instruct_summary sum = expect_instruct(&from, &o, STATUS_OK);
    ck_assert_int_eq(sum.skipped[INSTRUCT_SKIP_IMAGE], 43);
    ck_assert_int_eq(sum.records, 257);
    o.out = kept("many4");
    o.threads = 4;
    expect_instruct(&from, &o, STATUS_OK);
    expect_same_folders(at("many1"), at("many4"));
    instruct_set *s = open_instruct(at("many4"));
    for (int64_t i = 0, row = 0; i < 257; i++, row++) {
        instruct_record r;
        char want[32];
        row += row % 7 == 5;
        snprintf(want, sizeof want, "Number %d.", (int)row);
        OK(instruct_read(s, SPLIT_TRAIN, i, &r));
        ck_assert_str_eq(r.answer, want);
    }
    instruct_close(s);
    instruct_json_close(j);
}
END_TEST

// Out and in again: the same records.
START_TEST(json_and_back) {
    report_source rows = report_rows();
    const instruct_source from = report_source_rows(&rows);
    instruct_options o = instruct_options_of_tests("out");
    instruct_json *j;
    expect_instruct(&from, &o, STATUS_OK);
    instruct_set *a = open_instruct(at("out"));
    OK(instruct_json_write(at("out.json"), a, SPLIT_TRAIN));
    OK(instruct_json_open(&j, at("out.json")));
    const instruct_source again = instruct_json_source(j, SPLIT_VALIDATE);
    o.out = kept("in");
    expect_instruct(&again, &o, STATUS_OK);
    instruct_set *b = open_instruct(at("in"));
    ck_assert_int_eq(instruct_count(b, SPLIT_TRAIN), 0);
    ck_assert_int_eq(instruct_count(b, SPLIT_VALIDATE), instruct_count(a, SPLIT_TRAIN));
    for (int64_t i = 0; i < instruct_count(a, SPLIT_TRAIN); i++) {
        instruct_record x, y;
        OK(instruct_read(a, SPLIT_TRAIN, i, &x));
        OK(instruct_read(b, SPLIT_VALIDATE, i, &y));
        ck_assert_int_eq(x.count, y.count);
        ck_assert_mem_eq(x.ids, y.ids, (size_t)x.count * sizeof *x.ids);
        ck_assert_mem_eq(x.span, y.span, 2 * sizeof *x.span);
        ck_assert_str_eq(x.prompt, y.prompt);
        ck_assert_str_eq(x.answer, y.answer);
        ck_assert_str_eq(x.image[0], y.image[0]);
    }
    instruct_close(a), instruct_close(b);
    instruct_json_close(j);
    report_rows_free(&rows);
}
END_TEST

#define SHOWN "<IMG><IMG><IMG><IMG>"

// Two images, a list of one, and lists that name too few, too many or none: in by their order, and out again as
// json.dump has it.
START_TEST(several_images) {
    static const char kept_rows[] =
        "[\n    {\n        \"instruction\": \"" SHOWN " then " SHOWN " A:\",\n        \"input\": \"\",\n"
        "        \"output\": \"x\",\n"
        "        \"dicom\": [\n            \"d2\",\n            \"d1\"\n        ]\n    },\n"
        "    {\n        \"instruction\": \"" SHOWN "\",\n        \"input\": \"\",\n        \"output\": \"x\",\n"
        "        \"dicom\": \"d3\"\n    }\n]";
    static const char *const left_out[] = {
        "train,2,d5,image tokens,\"record d5: 4 image tokens, its 2 images have 8\"",
        "train,3,d6,image tokens,\"record d6: 8 image tokens, an image has 4\"",
        "names no image (dicom)",
        "several.json:6:",
    };
    buffer text = {0};
    instruct_json *j;
    instruct_record r;
    buffer_text(&text, "[{\"instruction\": \"" SHOWN " then " SHOWN " A:\", "
                       "\"output\": \"x\", \"dicom\": [\"d2\", \"d1\"]},\n"
                       "{\"instruction\": \"" SHOWN "\", \"output\": \"x\", \"dicom\": [\"d3\"]},\n"
                       "{\"instruction\": \"" SHOWN "\", \"output\": \"x\", \"dicom\": [\"d5\", \"d1\"]},\n"
                       "{\"instruction\": \"" SHOWN SHOWN "\", \"output\": \"x\", \"dicom\": \"d6\"},\n"
                       "{\"instruction\": \"" SHOWN "\", \"output\": \"x\", \"dicom\": []},\n"
                       "{\"instruction\": \"" SHOWN "\", \"output\": \"x\", \"dicom\": [\"d7\", \"\"]}]");
    write_text(at("several.json"), text.data);
    buffer_free(&text);
    OK(instruct_json_open(&j, at("several.json")));
    const instruct_source from = instruct_json_source(j, SPLIT_TRAIN);
    instruct_options o = instruct_options_of_tests("several");
    ck_assert_int_eq(expect_instruct(&from, &o, STATUS_OK).records, 2);
    buffer skipped = read_whole(at("several/skipped.csv"));
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        ck_assert_msg(strstr(skipped.data, left_out[i]), "%s lacks %s", skipped.data, left_out[i]);
    buffer_free(&skipped);
    instruct_set *s = open_instruct(at("several"));
    OK(instruct_read(s, SPLIT_TRAIN, 0, &r));
    ck_assert_int_eq(r.images, 2);
    ck_assert_str_eq(r.id, "d2");
    ck_assert_str_eq(r.image[0], "d2");
    ck_assert_str_eq(r.image[1], "d1");
    OK(instruct_read(s, SPLIT_TRAIN, 1, &r));
    ck_assert_int_eq(r.images, 1);
    ck_assert_str_eq(r.image[0], "d3");
    OK(instruct_json_write(at("out.json"), s, SPLIT_TRAIN));
    buffer b = read_whole(at("out.json"));
    ck_assert_str_eq(b.data, kept_rows);
    buffer_free(&b);
    instruct_close(s);
    instruct_json_close(j);
}
END_TEST

// The layout of json.dump(..., indent=4, ensure_ascii=False).
START_TEST(json_layout) {
    instruct_json *j;
    static const char text[] =
        "[\n    {\n        \"instruction\": \"<IMG><IMG><IMG><IMG>\\n\\\"q\\\" \xc3\xa9 A:\",\n"
        "        \"input\": \"\",\n        \"output\": \"o \\\\\",\n"
        "        \"dicom\": \"d1\"\n    },\n    {\n"
        "        \"instruction\": \"<IMG><IMG><IMG><IMG>\",\n        \"input\": \"\",\n"
        "        \"output\": \"x\",\n        \"dicom\": \"d1\"\n    }\n]";
    write_text(at("layout.json"), text);
    OK(instruct_json_open(&j, at("layout.json")));
    const instruct_source from = instruct_json_source(j, SPLIT_TRAIN);
    instruct_options o = instruct_options_of_tests("layout");
    expect_instruct(&from, &o, STATUS_OK);
    instruct_set *s = open_instruct(at("layout"));
    OK(instruct_json_write(at("again.json"), s, SPLIT_TRAIN));
    buffer b = read_whole(at("again.json"));
    ck_assert_str_eq(b.data, text);
    buffer_free(&b);
    OK(instruct_json_write(at("again.json"), s, SPLIT_TEST));
    b = read_whole(at("again.json"));
    ck_assert_str_eq(b.data, "[]");
    buffer_free(&b);
    expect_failed(instruct_json_write(at("no/where.json"), s, SPLIT_TRAIN), STATUS_IO,
                  "no/where.json", "");
    instruct_close(s);
    instruct_json_close(j);
}
END_TEST

// Elements that are no conversations are left out, each with its line; others stay.
START_TEST(json_rows) {
    static const char text[] = "\n[ {\"instruction\": \"<IMG><IMG><IMG><IMG> {[ A:\", \"output\": "
                               "\"a \\\" } ]\", \"dicom\": \"d1\",\n"
                               "\"task_type\": \"CPbQA\", \"input\": \"more\"}\n,\n"
                               "{\"instruction\": 3, \"output\": \"\", \"dicom\": \"d2\"},\n"
                               "{\"instruction\": \"\", \"output\": \"x\", \"dicom\": \"\"},\n"
                               "{\"instruction\": \"\", \"output\": \"x\"},\n"
                               "{\"instruction\" \"\"},\n"
                               "{\"instruction\": \"\", \"output\": \"\", \"dicom\": \"d3\"} ] \n";
    instruct_json *j;
    instruct_record r;
    write_text(at("rows.json"), text);
    OK(instruct_json_open(&j, at("rows.json")));
    const instruct_source from = instruct_json_source(j, SPLIT_TEST);
    instruct_options o = instruct_options_of_tests("rows");
    instruct_summary sum = expect_instruct(&from, &o, STATUS_OK);
    ck_assert_int_eq(sum.records, 1);
    ck_assert_int_eq(sum.skipped[INSTRUCT_SKIP_BAD_ROW], 4);
    ck_assert_int_eq(sum.skipped[INSTRUCT_SKIP_NO_ANSWER], 1);
    buffer b = read_whole(at("rows/skipped.csv"));
    for (int line = 5; line < 9; line++) {
        char place[32];
        snprintf(place, sizeof place, "rows.json:%d:", line);
        ck_assert_msg(strstr(b.data, place), "%s lacks %s", b.data, place);
    }
    ck_assert_ptr_nonnull(strstr(b.data, "test,5,d3,empty answer,"));
    buffer_free(&b);
    instruct_set *s = open_instruct(at("rows"));
    OK(instruct_read(s, SPLIT_TEST, 0, &r));
    ck_assert_str_eq(r.task, "CPbQA");
    ck_assert_str_eq(r.prompt, "<IMG><IMG><IMG><IMG> {[ A: more");
    ck_assert_str_eq(r.answer, "a \" } ]");
    instruct_close(s);
    instruct_json_close(j);
}
END_TEST

START_TEST(json_refusals) {
    static const struct {
        const char *text, *place, *says;
    } cases[] = {
        {"", "f.json:1", "must be a list"},
        {"{\"a\": []}", "f.json:1", "must be a list"},
        {"[]", "f.json", "no conversation"},
        {"\n[3]", "f.json:2", "must be an object"},
        {"[{},\n]", "f.json:2", "must be an object"},
        {"[{}\n{}]", "f.json:2", "comma"},
        {"[{},\n{\"a\": \"}\n", "f.json:2", "is not closed"},
        {"[{}\n", "f.json:2", "must go on with a comma or end"},
        {"[{}]\n3", "f.json:2", "text behind the list"},
        {"[{\"\\", "f.json:1", "is not closed"},
    };
    instruct_json *j;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(at("f.json"), cases[i].text);
        expect_failed(instruct_json_open(&j, at("f.json")), STATUS_FORMAT, cases[i].place,
                      cases[i].says);
        ck_assert_ptr_null(j);
    }
    expect_failed(instruct_json_open(&j, at("none.json")), STATUS_IO, "none.json", "");
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("instruct, JSON");
    tcase_set_timeout(cases, 300);
    tcase_add_checked_fixture(cases, instruct_fixture_open, instruct_fixture_close);
    tcase_add_test(cases, many_rows);
    tcase_add_test(cases, json_and_back);
    tcase_add_test(cases, several_images);
    tcase_add_test(cases, json_layout);
    tcase_add_test(cases, json_rows);
    tcase_add_test(cases, json_refusals);
    Suite *suite = suite_create("instruct, JSON");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
