// data/instruct.h: what a conversation's text becomes, id by id; folders of records of a data set,
// for any number of threads, stopped and gone on with.
#include "core/memory.h"
#include "data/sections.h"
#include "tests/data/helper_instruct.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

// --- a record -----------------------------------------------------------------------------------

typedef struct ids {
    int32_t id[4096];
    int64_t count;
} ids;

// With the begin token, if there is one, and nothing behind.
static ids encode(const char *text) {
    const int32_t begin = tokenizer_named(report_tokenizer).begin;
    ids out = {.id = {begin}, .count = begin >= 0};
    buffer b = {0};
    OK(tokenizer_encode(report_tokenizer, text, strlen(text), &b));
    ck_assert_uint_lt(b.length, sizeof out.id - sizeof *out.id);
    if (b.length) memcpy(out.id + out.count, b.data, b.length);
    out.count += (int64_t)(b.length / sizeof(int32_t));
    buffer_free(&b);
    return out;
}

static instruct_text text_of(const char *prompt, const char *answer) {
    instruct_text t = {.task = "report"};
    buffer_text(&t.id, "d1");
    buffer_text(&t.prompt, prompt);
    buffer_text(&t.answer, answer);
    return t;
}

typedef struct built {
    buffer block;
    int32_t length, supervised;
    instruct_skip skip;
    status rc;
} built;

static built build_of(const char *prompt, const char *answer, int cutoff, bool overwrite) {
    instruct_facts f = instruct_options_of_tests("none").facts;
    instruct_text t = text_of(prompt, answer);
    built b = {0};
    f.cutoff = cutoff;
    f.overwrite = overwrite;
    b.rc = instruct_build(&b.block, &b.length, &b.supervised, &b.skip, &t, report_tokenizer, &f);
    instruct_text_free(&t);
    return b;
}

static built build(const char *prompt, const char *answer, int cutoff) {
    return build_of(prompt, answer, cutoff, false);
}

static const char question[] = "Film: <IMG> <IMG><IMG> <IMG>. ASSISTANT:";
static const char answer[] = "The heart is large.";

static const char *const tokenizers[] = {TEST_DATA "/tokenizer/llama.model",
                                         TEST_DATA "/tokenizer/roberta",
                                         TEST_DATA "/tokenizer/llama3.json"};

// All cut-offs from too small to large enough: the ids, where learning begins, the end token.
START_TEST(cutoffs) {
    tokenizer_close(report_tokenizer);
    OK(tokenizer_open(&report_tokenizer, tokenizers[_i]));
    OK(tokenizer_add(report_tokenizer, PROMPTS_IMAGE_TOKEN, true, &report_image_token));
    const tokenizer_ids named = tokenizer_named(report_tokenizer);
    const ids prompt = encode(question),
              whole = encode("Film: <IMG> <IMG><IMG> <IMG>. ASSISTANT:The heart is large.");
    int64_t image = 0;
    while (prompt.id[image] != report_image_token) image++;
    for (int cutoff = 1; cutoff < whole.count + 4; cutoff++) {
        built b = build(question, answer, cutoff);
        const bool room = cutoff > prompt.count, shows = cutoff >= image + IMAGE_TOKENS;
        ck_assert_int_eq(b.rc, room ? STATUS_OK : STATUS_FORMAT);
        ck_assert_int_eq(b.skip, room    ? INSTRUCT_KEPT
                                 : shows ? INSTRUCT_SKIP_NO_ROOM
                                         : INSTRUCT_SKIP_IMAGE);
        if (room) {
            const int64_t kept = whole.count < cutoff ? whole.count : cutoff,
                          ends = whole.count < cutoff && named.end >= 0;
            const int32_t *id = (const int32_t *)(const void *)(b.block.data + 32);
            ck_assert_int_eq(b.length, kept + ends);
            ck_assert_int_eq(b.supervised, kept + ends - prompt.count);
            ck_assert_mem_eq(id, whole.id, (size_t)kept * sizeof *id);
            if (ends) ck_assert_int_eq(id[kept], named.end);
            ck_assert_int_eq(id[b.length], prompt.count); // the span
            ck_assert_int_eq(id[b.length + 1], b.length);
        } else {
            ck_assert_ptr_nonnull(strstr(status_text(), "record d1: "));
            ck_assert_uint_eq(b.block.length, 0);
        }
        buffer_free(&b.block);
    }
}
END_TEST

// No second end token behind one that the text has.
START_TEST(end_token_once) {
    built b = build(question, "It ends in </s>", CUTOFF);
    const int32_t *id = (const int32_t *)(const void *)(b.block.data + 32);
    const int32_t end = tokenizer_named(report_tokenizer).end;
    ck_assert_int_eq(b.rc, STATUS_OK);
    ck_assert_int_eq(id[b.length - 1], end);
    ck_assert_int_ne(id[b.length - 2], end);
    buffer_free(&b.block);
}
END_TEST

START_TEST(records_left_out) {
    static const struct {
        const char *prompt, *answer, *says;
        instruct_skip skip;
    } cases[] = {
        {question, "", "its answer is empty", INSTRUCT_SKIP_NO_ANSWER},
        {"Film. A:", "x", "0 image tokens, an image has 4", INSTRUCT_SKIP_IMAGE},
        {"Film: <IMG><IMG><IMG>. A:", "x", "3 image tokens", INSTRUCT_SKIP_IMAGE},
        {question, "a <IMG> too many", "5 image tokens", INSTRUCT_SKIP_IMAGE},
        {"Film: <IMG><IMG> and <IMG><IMG>. A:", "x", "image tokens stand apart",
         INSTRUCT_SKIP_IMAGE},
        {"Film: <IMG><IMG><IMG>. A:", "<IMG>", "image tokens stand apart", INSTRUCT_SKIP_IMAGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        built b = build(cases[i].prompt, cases[i].answer, CUTOFF);
        expect_failed(b.rc, STATUS_FORMAT, "record d1: ", cases[i].says);
        ck_assert_int_eq(b.skip, cases[i].skip);
        buffer_free(&b.block);
    }
}
END_TEST

// As RaDialog's model has it: the begin token and what follows make way for the image, what is learned stays. A
// conversation with image tokens, right or wrong, is what it was.
START_TEST(imageless_overwritten) {
    built kept = build_of("Long ago a film was made. ASSISTANT:", answer, CUTOFF, true);
    const int32_t *id = (const int32_t *)(const void *)(kept.block.data + 32);
    const ids whole = encode("Long ago a film was made. ASSISTANT:The heart is large."),
              prompt = encode("Long ago a film was made. ASSISTANT:");
    ck_assert_int_eq(kept.rc, STATUS_OK);
    ck_assert_int_eq(kept.length, whole.count + 1); // the end token
    for (int i = 0; i < whole.count; i++)
        ck_assert_int_eq(id[i], i < IMAGE_TOKENS ? report_image_token : whole.id[i]);
    ck_assert_int_eq(id[kept.length], prompt.count); // the span
    buffer_free(&kept.block);
    built few = build_of("", answer, CUTOFF, true);
    expect_failed(few.rc, STATUS_FORMAT, "record d1: ", "which 4 cannot overwrite");
    ck_assert_int_eq(few.skip, INSTRUCT_SKIP_IMAGE);
    buffer_free(&few.block);
    built wrong = build_of("Film: <IMG><IMG><IMG>. A:", "x", CUTOFF, true);
    expect_failed(wrong.rc, STATUS_FORMAT, "record d1: ", "3 image tokens");
    buffer_free(&wrong.block);
    built plain = build(question, answer, CUTOFF), same = build_of(question, answer, CUTOFF, true);
    ck_assert_uint_eq(plain.block.length, same.block.length);
    ck_assert_mem_eq(plain.block.data, same.block.data, same.block.length);
    buffer_free(&plain.block), buffer_free(&same.block);
}
END_TEST

// --- folders ------------------------------------------------------------------------------------

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
    tcase_add_loop_test(cases, cutoffs, 0, 3);
    tcase_add_test(cases, end_token_once);
    tcase_add_test(cases, records_left_out);
    tcase_add_test(cases, imageless_overwritten);
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
