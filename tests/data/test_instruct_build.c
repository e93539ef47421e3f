// data/instruct.h, instruct_build: what a conversation's text becomes, id by id.
#include "tests/data/helper_instruct.h"

#include <string.h>

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

static built build_text(instruct_text *t, int cutoff, bool overwrite) {
    instruct_facts f = instruct_options_of_tests("none").facts;
    built b = {0};
    f.cutoff = cutoff;
    f.overwrite = overwrite;
    b.rc = instruct_build(&b.block, &b.length, &b.supervised, &b.skip, t, report_tokenizer, &f);
    instruct_text_free(t);
    return b;
}

static built build_of(const char *prompt, const char *answer, int cutoff, bool overwrite) {
    instruct_text t = text_of(prompt, answer);
    return build_text(&t, cutoff, overwrite);
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
        {"Film. A:", "<IMG><IMG><IMG><IMG>", "its answer has image tokens", INSTRUCT_SKIP_IMAGE},
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

static built build_two(const char *prompt, const char *says, int cutoff, bool overwrite) {
    static const char images[] = "b\0a"; // with their NULs
    instruct_text t = text_of(prompt, says);
    buffer_append(&t.images, images, sizeof images);
    return build_text(&t, cutoff, overwrite);
}

#define SHOWN "<IMG><IMG><IMG><IMG>"

// Apart or behind each other: every image has its tokens, and the names keep their order.
START_TEST(two_images) {
    static const char *const asked[] = {"Film: " SHOWN " and " SHOWN ". A:", "Films: " SHOWN SHOWN ". A:"};
    for (int i = 0; i < 2; i++) {
        built b = build_two(asked[i], answer, CUTOFF, i == 1);
        const ids prompt = encode(asked[i]);
        const int32_t *head = (const int32_t *)(const void *)b.block.data, *id = head + 8;
        ck_assert_msg(!b.rc, "%s", status_text());
        ck_assert_int_eq(head[2], 2); // images
        ck_assert_int_eq(head[5], 4); // bytes of their names
        ck_assert_mem_eq(id, prompt.id, (size_t)prompt.count * sizeof *id);
        ck_assert_int_eq(id[b.length], prompt.count); // the span
        ck_assert_mem_eq(id + b.length + 2, "d1\0report\0b\0a\0Film", 18);
        buffer_free(&b.block);
    }
}
END_TEST

START_TEST(two_images_left_out) {
    static const struct {
        const char *prompt, *answer, *says;
        int cutoff;
    } cases[] = {
        {"Film: " SHOWN ". A:", "x", "4 image tokens, its 2 images have 8", CUTOFF},
        {"Film: " SHOWN SHOWN " " SHOWN ". A:", "x", "12 image tokens, its 2 images have 8", CUTOFF},
        {"Film. A:", "x", "0 image tokens, its 2 images have 8", CUTOFF}, // overwriting is for one
        {"Film: " SHOWN "<IMG> and <IMG><IMG><IMG>. A:", "x", "image tokens stand apart", CUTOFF},
        {"Film: " SHOWN ". A:", SHOWN, "its answer has image tokens", CUTOFF},
        {SHOWN SHOWN " A:", "x", "cut off at 8 ids", 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int overwrite = 0; overwrite < 2; overwrite++) {
            built b = build_two(cases[i].prompt, cases[i].answer, cases[i].cutoff, overwrite);
            expect_failed(b.rc, STATUS_FORMAT, "record d1: ", cases[i].says);
            ck_assert_int_eq(b.skip, INSTRUCT_SKIP_IMAGE);
            ck_assert_uint_eq(b.block.length, 0);
            buffer_free(&b.block);
        }
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("build");
    tcase_set_timeout(cases, 300);
    tcase_add_checked_fixture(cases, instruct_fixture_open, instruct_fixture_close);
    tcase_add_loop_test(cases, cutoffs, 0, 3);
    tcase_add_test(cases, end_token_once);
    tcase_add_test(cases, records_left_out);
    tcase_add_test(cases, imageless_overwritten);
    tcase_add_test(cases, two_images);
    tcase_add_test(cases, two_images_left_out);
    Suite *suite = suite_create("instruct_build");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
