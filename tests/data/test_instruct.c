// data/instruct.h: folders of records of a data set, for any number of threads, stopped and gone on with.
#include "core/memory.h"
#include "data/sections.h"
#include "tests/data/helper_instruct.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Whether record I of the data set makes one: it has a report that does not name the image token.
static bool makes_record(int64_t i) {
    return *report_of(i) && !strstr(report_of(i), "<IMG>");
}

// The record of the data set's record I, FINDINGS in its prompt (NULL: none).
static void expect_report(const instruct_record *r, int64_t i, const char *findings) {
    char id[16];
    buffer first = {0}, prompt = {0}, report = {0}, all = {0};
    snprintf(id, sizeof id, "r%d", (int)i);
    prompts_report(&first, report_prompts, findings, IMAGE_TOKENS);
    prompts_conversation(&prompt, report_prompts, (const char *const[]){first.data, NULL}, 2);
    findings_clean(&report, report_of(i));
    buffer_print(&all, "%s%s", prompt.data, report.data);
    ck_assert_str_eq(r->id, id);
    ck_assert_str_eq(r->task, "report");
    ck_assert_str_eq(r->prompt, prompt.data);
    ck_assert_str_eq(r->answer, report.data);
    ck_assert_int_eq(r->images, 1);
    ck_assert_str_eq(r->image[0], id);
    const ids want = encode(all.data), before = encode(prompt.data);
    ck_assert_mem_eq(r->ids, want.id, (size_t)want.count * sizeof *want.id);
    ck_assert_int_eq(r->ids[r->count - 1], tokenizer_named(report_tokenizer).end);
    ck_assert_int_eq(r->spans, 1);
    ck_assert_int_eq(r->span[0], before.count);
    ck_assert_int_eq(r->span[1], r->count);
    buffer_free(&first), buffer_free(&prompt), buffer_free(&report), buffer_free(&all);
}

static const char *labels_say(int64_t i, char out[64]) {
    buffer b = {0};
    findings_of_labels(&b, dataset_labels(report_set, i), NO_COMMON_FINDINGS);
    snprintf(out, 64, "%s", b.data);
    buffer_free(&b);
    return out;
}

START_TEST(reports) {
    report_source rows = report_rows();
    const instruct_source from = report_source_rows(&rows);
    instruct_options o = instruct_options_of_tests("made");
    instruct_summary sum = expect_instruct(&from, &o, STATUS_OK);
    instruct_set *s = open_instruct(at("made"));
    int64_t tokens = 0, supervised = 0, records = 0, longest = 0;
    for (int split = 0; split < SPLIT_COUNT; split++) {
        const int64_t begin = dataset_split_begin(report_set, split);
        int64_t n = 0;
        for (int64_t i = begin; i < begin + dataset_split_count(report_set, split); i++) {
            char findings[64];
            instruct_record r;
            if (!makes_record(i)) continue;
            OK(instruct_read(s, split, n, &r));
            expect_report(&r, i, labels_say(i, findings));
            ck_assert_int_eq(instruct_length(s, split, n), r.count);
            ck_assert_int_eq(instruct_supervised(s, split, n), r.span[1] - r.span[0]);
            ck_assert_int_le(r.count, instruct_longest(s, split));
            if (r.count > longest) longest = r.count;
            tokens += r.count, supervised += r.span[1] - r.span[0], records++, n++;
        }
        ck_assert_int_eq(instruct_count(s, split), n);
        ck_assert_int_eq(sum.splits[split], n);
    }
    ck_assert_int_eq(sum.records, records);
    ck_assert_int_eq(sum.tokens, tokens);
    ck_assert_int_eq(sum.supervised, supervised);
    ck_assert_int_eq(sum.longest, longest);
    ck_assert_int_eq(sum.full, 0);
    ck_assert_int_eq(sum.skipped[INSTRUCT_SKIP_IMAGE], 3);
    ck_assert_int_eq(sum.skipped_total, 3);
    ck_assert_int_eq(sum.shards_made, sum.shards);
    instruct_close(s);
    report_rows_free(&rows);
}
END_TEST

START_TEST(facts) {
    report_source rows = report_rows();
    const instruct_source from = report_source_rows(&rows);
    instruct_options o = instruct_options_of_tests("facts");
    o.facts.stratified = true;
    o.facts.limit = 99;
    snprintf(o.facts.findings[2], sizeof o.facts.findings[2], "predictions \"0\"");
    expect_instruct(&from, &o, STATUS_OK);
    instruct_set *s = open_instruct(at("facts"));
    const instruct_facts *f = instruct_facts_of(s);
    ck_assert_uint_eq(f->tokenizer, o.facts.tokenizer);
    ck_assert_uint_eq(f->prompts, o.facts.prompts);
    ck_assert_int_eq(f->vocabulary, o.facts.vocabulary);
    ck_assert_int_eq(f->image_token, o.facts.image_token);
    ck_assert_int_eq(f->queries, IMAGE_TOKENS);
    ck_assert_int_eq(f->cutoff, o.facts.cutoff);
    ck_assert_uint_eq(f->seed, 42);
    ck_assert(f->stratified);
    ck_assert_int_eq(f->limit, 99);
    ck_assert_str_eq(f->findings[1], "labels");
    ck_assert_str_eq(f->findings[2], "predictions \"0\"");
    ck_assert_str_eq(f->source, "shards of tests");
    ck_assert_str_eq(f->section, "findings");
    ck_assert_uint_eq(strlen(instruct_plan(s)), 16);
    OK(instruct_expect(s, report_tokenizer));
    instruct_close(s);
    o.out = kept("foreign");
    o.facts.tokenizer ^= 1;
    expect_instruct(&from, &o, STATUS_OK);
    s = open_instruct(o.out);
    expect_failed(instruct_expect(s, report_tokenizer), STATUS_FORMAT, "another tokenizer",
                  "make them again");
    instruct_close(s);
    s = open_instruct(at("facts"));
    int32_t id;
    OK(tokenizer_add(report_tokenizer, "<other>", false, &id));
    expect_failed(instruct_expect(s, report_tokenizer), STATUS_FORMAT, "another tokenizer",
                  "make them again");
    instruct_close(s);
    report_rows_free(&rows);
}
END_TEST

// Rows that make no record, in the order of rows.
START_TEST(skipped_rows) {
    report_source rows = report_rows();
    const instruct_source from = report_source_rows(&rows);
    instruct_options o = instruct_options_of_tests("skipped");
    expect_instruct(&from, &o, STATUS_OK);
    buffer b = read_whole(at("skipped/skipped.csv"));
    ck_assert_str_eq(b.data,
                     "split,row,id,reason,detail\r\n"
                     "train,4,r5,image tokens,\"record r5: 5 image tokens, an image has 4\"\r\n"
                     "train,11,r13,image tokens,\"record r13: 5 image tokens, an image has 4\"\r\n"
                     "test,2,r21,image tokens,\"record r21: 5 image tokens, an image has 4\"\r\n");
    buffer_free(&b);
    b = read_whole(at("skipped/manifest.json"));
    ck_assert_ptr_nonnull(strstr(b.data, "\"skipped\": {\"image tokens\": 3}"));
    buffer_free(&b);
    report_rows_free(&rows);
}
END_TEST

START_TEST(what_prompts_say) {
    predictions *p;
    report_source rows = report_rows();
    const instruct_source from = report_source_rows(&rows);
    instruct_options o = instruct_options_of_tests("said");
    instruct_record r;
    write_text(at("p.json"), "{\"r15\": [\"No Finding\", \"Edema\"], \"r16\": []}");
    OK(predictions_open(&p, at("p.json")));
    rows.findings[SPLIT_TRAIN] = FINDINGS_NONE;
    rows.findings[SPLIT_VALIDATE] = FINDINGS_PREDICTIONS;
    rows.predicted[SPLIT_VALIDATE] = p;
    instruct_summary sum = expect_instruct(&from, &o, STATUS_OK);
    ck_assert_int_eq(sum.skipped[INSTRUCT_SKIP_NO_FINDINGS], 1); // r17
    instruct_set *s = open_instruct(at("said"));
    OK(instruct_read(s, SPLIT_TRAIN, 0, &r));
    expect_report(&r, 0, NULL);
    OK(instruct_read(s, SPLIT_VALIDATE, 0, &r));
    expect_report(&r, 15, "edema");
    OK(instruct_read(s, SPLIT_VALIDATE, 1, &r));
    expect_report(&r, 16, "no common findings");
    ck_assert_int_eq(instruct_count(s, SPLIT_VALIDATE), 2);
    instruct_close(s);
    predictions_close(p);
    report_rows_free(&rows);
}
END_TEST

// A record may come twice, as a stratified draw has it.
START_TEST(records_twice) {
    int64_t record[] = {7, 0, 7};
    report_source rows = {
        .set = report_set, .prompts = report_prompts, .image_tokens = IMAGE_TOKENS};
    rows.list[SPLIT_TEST] = (report_list){.record = record, .count = 3};
    const instruct_source from = report_source_rows(&rows);
    instruct_options o = instruct_options_of_tests("twice");
    expect_instruct(&from, &o, STATUS_OK);
    instruct_set *s = open_instruct(at("twice"));
    ck_assert_int_eq(instruct_count(s, SPLIT_TRAIN), 0);
    ck_assert_int_eq(instruct_longest(s, SPLIT_TRAIN), 0);
    ck_assert_int_eq(instruct_count(s, SPLIT_TEST), 3);
    for (int64_t i = 0; i < 3; i++) {
        char findings[64];
        instruct_record r;
        OK(instruct_read(s, SPLIT_TEST, i, &r));
        expect_report(&r, record[i], labels_say(record[i], findings));
    }
    instruct_close(s);
}
END_TEST

START_TEST(any_number_of_threads) {
    report_source rows = report_rows();
    const instruct_source from = report_source_rows(&rows);
    instruct_options o = instruct_options_of_tests("one");
    o.shard_rows = 0;
    expect_instruct(&from, &o, STATUS_OK);
    for (int threads = 2; threads < 9; threads += 3) {
        o.out = kept(threads == 2 ? "threads2" : threads == 5 ? "threads5" : "threads8");
        o.threads = threads;
        expect_instruct(&from, &o, STATUS_OK);
        expect_same_folders(at("one"), o.out);
    }
    report_rows_free(&rows);
}
END_TEST

static int asked;
static bool stop_at_third(void) {
    return ++asked == 3;
}

START_TEST(goes_on) {
    report_source rows = report_rows();
    const instruct_source from = report_source_rows(&rows);
    instruct_options o = instruct_options_of_tests("whole");
    instruct_set *s;
    expect_instruct(&from, &o, STATUS_OK);
    o.out = kept("parts");
    o.stop = stop_at_third;
    instruct_summary sum = expect_instruct(&from, &o, STATUS_INTERRUPTED);
    ck_assert_int_eq(sum.shards_made, 2);
    expect_failed(instruct_open(&s, at("parts")), STATUS_IO, "parts", "radialog instruct");
    write_text(at("parts/train-00002.h5.tmp"), "half");
    write_text(at("parts/train-00001.h5"), "damaged");
    o.stop = NULL;
    sum = expect_instruct(&from, &o, STATUS_OK);
    ck_assert_int_eq(sum.shards_made, sum.shards - 1);
    expect_same_folders(at("whole"), at("parts"));
    sum = expect_instruct(&from, &o, STATUS_OK);
    ck_assert_int_eq(sum.shards_made, 0);
    ck_assert_int_gt(sum.tokens, 0);
    expect_same_folders(at("whole"), at("parts"));
    report_rows_free(&rows);
}
END_TEST

// What would mix two makings is refused and harms nothing.
START_TEST(other_options) {
    report_source rows = report_rows();
    instruct_source from = report_source_rows(&rows);
    instruct_options o = instruct_options_of_tests("other");
    expect_instruct(&from, &o, STATUS_OK);
    buffer before = read_whole(at("other/manifest.json"));
    for (int i = 0; i < 6; i++) {
        instruct_options changed = o;
        from = report_source_rows(&rows);
        if (i == 0) changed.facts.cutoff--;
        if (i == 1) changed.facts.prompts++;
        if (i == 2) changed.facts.seed++;
        if (i == 3) changed.shard_rows++;
        if (i == 4) from.rows[SPLIT_TEST]--;
        if (i == 5) snprintf(changed.facts.findings[0], 8, "none");
        expect_instruct(&from, &changed, STATUS_FORMAT);
        ck_assert_ptr_nonnull(strstr(status_text(), "other options"));
        unlink(at("other/manifest.json")); // the shards know it too
        expect_instruct(&from, &changed, STATUS_FORMAT);
        ck_assert_ptr_nonnull(strstr(status_text(), "other options"));
        write_text(at("other/manifest.json"), before.data);
    }
    from = report_source_rows(&rows);
    ck_assert_int_eq(expect_instruct(&from, &o, STATUS_OK).shards_made, 0);
    o.out = kept("bare"); // a manifest whose shards are gone
    o.facts.cutoff--;
    OK(folder_make(o.out));
    write_text(at("bare/manifest.json"), before.data);
    expect_instruct(&from, &o, STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "bare/manifest.json: was made"));
    buffer_free(&before);
    report_rows_free(&rows);
}
END_TEST

START_TEST(nothing_left) {
    report_source rows = report_rows();
    const instruct_source from = report_source_rows(&rows);
    instruct_options o = instruct_options_of_tests("nothing");
    o.facts.cutoff = 20;
    expect_instruct(&from, &o, STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "no record is left"));
    ck_assert_ptr_nonnull(strstr(status_text(), "record r0: "));
    ck_assert(!file_exists(at("nothing/manifest.json")));
    report_rows_free(&rows);
}
END_TEST

// --- failing memory -----------------------------------------------------------------------------

START_TEST(failing_memory) {
    int64_t record[] = {0, 3, 5, 7};
    report_source rows = {
        .set = report_set, .prompts = report_prompts, .image_tokens = IMAGE_TOKENS};
    rows.list[SPLIT_TEST] = (report_list){.record = record, .count = 4};
    const instruct_source from = report_source_rows(&rows);
    instruct_options o = instruct_options_of_tests("sound");
    status rc = STATUS_MEMORY;
    expect_instruct(&from, &o, STATUS_OK);
    o.out = kept("failing");
    for (int64_t n = 1; rc; n++) {
        instruct_summary sum;
        instruct_set *s = NULL;
        instruct_record r;
        mem_fail_at(n);
        rc = instruct_write(&sum, &from, &o);
        if (!rc) rc = instruct_open(&s, o.out);
        if (!rc) rc = instruct_read(s, SPLIT_TEST, 1, &r);
        if (!rc) rc = instruct_json_write(at("failing.json"), s, SPLIT_TEST);
        const bool failed = mem_has_failed();
        mem_fail_at(0);
        instruct_close(s);
        ck_assert_msg(rc == (failed ? STATUS_MEMORY : STATUS_OK), "%lld: %s", (long long)n,
                      status_text());
        ck_assert(!file_exists(at("failing/test-00000.h5.tmp")) &&
                  !file_exists(at("failing.json.tmp")));
    }
    expect_same_folders(at("sound"), at("failing"));
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("instruct");
    tcase_set_timeout(cases, 300);
    tcase_add_checked_fixture(cases, instruct_fixture_open, instruct_fixture_close);
    tcase_add_test(cases, reports);
    tcase_add_test(cases, facts);
    tcase_add_test(cases, skipped_rows);
    tcase_add_test(cases, what_prompts_say);
    tcase_add_test(cases, records_twice);
    tcase_add_test(cases, any_number_of_threads);
    tcase_add_test(cases, goes_on);
    tcase_add_test(cases, other_options);
    tcase_add_test(cases, nothing_left);
    tcase_add_test(cases, failing_memory);
    Suite *suite = suite_create("instruct");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
