// Writing answers: a small random model against its own training pass, and that an answer depends on
// its prompt alone: not on slots, on what is written beside it, on a shared prefix or on merged adapters.
#include "models/nn/lora_merge.h"
#include "tests/train/helper_small.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void expect_equal(const question *a, const question *b) {
    for (int i = 0; i < PROMPTS; i++) {
        ck_assert_msg(a->count[i] == b->count[i], "prompt %d: %d and %d tokens", i, a->count[i],
                      b->count[i]);
        ck_assert_msg(!memcmp(a->answer[i], b->answer[i], (size_t)a->count[i] * sizeof(int32_t)),
                      "prompt %d: other tokens", i);
    }
}

// --- the same as the training pass ----------------------------------------------------------------
// The most likely token behind IDS by llama_logits, which knows no cache.
static int32_t next_token(small *s, llama_batch *b, const int32_t *ids, int32_t count, int prompt) {
    int32_t longer[POSITIONS + 1];
    float image[IMAGE_ROWS * IMAGE_WIDTH], logits[VOCABULARY];
    memcpy(longer, ids, (size_t)count * sizeof *ids);
    longer[count] = 1; // whatever: it is predicted, not read
    const int32_t span[] = {count, count + 1};
    const llama_sample sample = {longer, count + 1, span, 1, 0, 1};
    tensor x = {.data = image, .type = DTYPE_F32, .rank = 2, .dim = {IMAGE_ROWS, IMAGE_WIDTH}};
    question_images(NULL, prompt, IMAGE_ROWS, image);
    llama_batch_load(b, &sample, 1, 0, IMAGE);
    tape_begin(&s->tape, false);
    s->tape.training = false;
    device_read(small_device, logits, llama_logits(&s->tape, &s->model, b, prompt % 3 ? &x : NULL));
    ck_assert_int_eq(tape_failed(&s->tape), 0);
    return sampling_choose(logits, VOCABULARY, &(sampling){0}, 0, 0);
}

START_TEST(equals_the_training_pass) {
    static small s;
    static question q;
    llama_batch b;
    const llama_room room = {1, POSITIONS + 1, IMAGE_ROWS, 4, POSITIONS + 1};
    const generator_options o = small_options(5);
    small_answer(&q, &o, NULL);
    small_open(&s);
    ck_assert_int_eq(tape_allocate(&s.tape, (tape_size){16 << 20, 1 << 10}), 0);
    ck_assert_int_eq(llama_batch_open(&b, small_device, &room), 0);
    int ended = 0;
    for (int i = 0; i < PROMPTS; i++) {
        int32_t ids[POSITIONS], count = (int32_t)(q.first[i + 1] - q.first[i]);
        memcpy(ids, q.ids + q.first[i], (size_t)count * sizeof *ids);
        for (int k = 0; k < q.count[i]; k++) {
            const int32_t expected = next_token(&s, &b, ids, count, i);
            ck_assert_msg(q.answer[i][k] == expected, "prompt %d, token %d: %d, expected %d", i, k,
                          q.answer[i][k], expected);
            ids[count++] = expected;
        }
        if (q.count[i] == MOST) continue;
        ck_assert_int_eq(next_token(&s, &b, ids, count, i), small_end);
        ended++;
    }
    ck_assert_int_gt(ended, 2); // slots were taken again at different times
    ck_assert_int_lt(ended, PROMPTS);
    llama_batch_close(&b);
    small_close(&s);
}
END_TEST

// --- an answer depends on its prompt alone ----------------------------------------------------------
START_TEST(slots_do_not_matter) {
    static question one, many;
    static const int64_t slots[] = {12, 3, PROMPTS, 100};
    generator_options o = small_options(1);
    small_answer(&one, &o, NULL);
    for (int i = 0; i < 4; i++) {
        generator_counts n;
        o = small_options(slots[i]);
        o.rows = i == 1 ? 300 : 1; // prompts beside answers, and one at a time
        small_answer(&many, &o, &n);
        expect_equal(&one, &many);
        ck_assert_int_eq(n.prompts, PROMPTS);
        ck_assert_int_eq(n.shared, 0);
    }
}
END_TEST

START_TEST(a_prefix_is_read_once) {
    static question apart, shared;
    generator_counts a, b;
    generator_options o = small_options(4);
    small_answer(&apart, &o, &a);
    o.share = true;
    small_answer(&shared, &o, &b);
    expect_equal(&apart, &shared);
    ck_assert_int_eq(b.shared, PREFIX);
    ck_assert_int_eq(a.read - b.read, PREFIX * (PROMPTS - 1));
}
END_TEST

START_TEST(draws_repeat) {
    static question a, b, c;
    generator_options o = small_options(7);
    o.choice = (sampling){.temperature = 1.3, .top_p = 0.9, .seed = 11};
    small_answer(&a, &o, NULL);
    o.slots = 2;
    small_answer(&b, &o, NULL);
    expect_equal(&a, &b);
    o.choice.seed = 12;
    small_answer(&c, &o, NULL);
    int other = 0;
    for (int i = 0; i < PROMPTS; i++)
        other += a.count[i] != c.count[i] ||
                 memcmp(a.answer[i], c.answer[i], (size_t)a.count[i] * sizeof(int32_t));
    ck_assert_int_gt(other, PROMPTS / 2);
}
END_TEST

START_TEST(adapters_may_be_merged) {
    static small s;
    static question apart, merged;
    const generator_options o = small_options(6);
    small_answer(&apart, &o, NULL);
    small_open(&s);
    question_make(&merged);
    for (int i = 0; i < s.model.config.layers; i++) {
        ck_assert_int_eq(lora_merge(&s.params, &s.model.layer[i].qkv), 0);
        ck_assert_int_eq(lora_merge(&s.params, &s.model.layer[i].down), 0);
        ck_assert_int_eq(s.model.layer[i].qkv.lora.parts, 0);
    }
    ck_assert_int_eq(small_run(&merged, &s, &o, NULL), 0);
    expect_equal(&apart, &merged);
    small_close(&s);
}
END_TEST

// --- ends ---------------------------------------------------------------------------------------
START_TEST(answers_end_with_the_positions) {
    static small s;
    static question q;
    generator_options o = small_options(2);
    small_open_sized(&s, 50); // the longest prompt has 40 tokens
    question_make(&q);
    o.end = -1;
    ck_assert_int_eq(small_run(&q, &s, &o, NULL), 0);
    for (int i = 0; i < PROMPTS; i++) {
        const int64_t asked = q.first[i + 1] - q.first[i];
        ck_assert_int_eq(q.count[i], asked + MOST < 50 ? MOST : 50 - asked);
    }
    small_close(&s);
    small_open_sized(&s, 30);
    question_make(&q);
    ck_assert_int_eq(small_run(&q, &s, &o, NULL), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "tokens; the model has room for 1 to 29"));
    small_close(&s);
}
END_TEST

START_TEST(failures_are_handed_on) {
    static small s;
    static question q;
    const generator_options o = small_options(3);
    small_open(&s);
    question_make(&q);
    q.fail_at = 4;
    ck_assert_int_eq(small_run(&q, &s, &o, NULL), STATUS_IO);
    ck_assert_int_eq(q.given, 5);
    param *w = params_find(&s.params, "model.norm.weight");
    float numbers[32];
    for (int i = 0; i < 32; i++) numbers[i] = NAN;
    ck_assert_int_eq(param_write(&s.params, w, param_block(&s.params, w), numbers), 0);
    question_make(&q);
    ck_assert_int_eq(small_run(&q, &s, &o, NULL), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "no logit of token 0 is a number"));
    small_close(&s);
}
END_TEST

// --- draws --------------------------------------------------------------------------------------
START_TEST(tokens_are_drawn_by_their_weight) {
    enum { DRAWS = 20000 };
    const float logits[] = {0, logf(4), -INFINITY, logf(2), logf(1), NAN, logf(2)};
    const double p[] = {0.1, 0.4, 0, 0.2, 0.1, 0, 0.2};
    int seen[7] = {0}, few[7] = {0};
    const sampling all = {1, 1, 3}, nucleus = {1, 0.7, 3};
    for (int i = 0; i < DRAWS; i++) {
        seen[sampling_choose(logits, 7, &all, i, 1)]++;
        few[sampling_choose(logits, 7, &nucleus, 1, i)]++;
    }
    for (int i = 0; i < 7; i++) {
        const double margin = 4 * sqrt(DRAWS * p[i] * (1 - p[i]));
        ck_assert_msg(fabs(seen[i] - DRAWS * p[i]) <= margin, "token %d: %d times", i, seen[i]);
    }
    ck_assert(few[0] == 0 && few[2] == 0 && few[4] == 0 && few[5] == 0); // 0.4 + 0.2 + 0.2
    ck_assert(fabs(few[1] - DRAWS * 0.5) < 400 && few[3] > 4000 && few[6] > 4000);
}
END_TEST

START_TEST(the_most_likely_token) {
    const float equal[] = {1, 3, NAN, 3, 2}, none[] = {NAN, NAN};
    const sampling first = {0, 1, 0}, cold = {1e-6, 1, 5}, narrow = {1, 1e-6, 5};
    ck_assert_int_eq(sampling_choose(equal, 5, &first, 0, 0), 1);
    ck_assert_int_eq(sampling_choose(none, 2, &first, 0, 0), -1);
    ck_assert_int_eq(sampling_choose(none, 2, &cold, 0, 0), -1);
    const float apart[] = {1, 3, NAN, 2.9f, 2};
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(sampling_choose(apart, 5, &cold, i, 0), 1);
        ck_assert_int_eq(sampling_choose(apart, 5, &narrow, i, 0), 1);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("generate");
    TCase *tests = tcase_create("generate");
    tcase_set_timeout(tests, 300);
    tcase_add_unchecked_fixture(tests, small_devices_open, small_devices_close);
    tcase_add_test(tests, equals_the_training_pass);
    tcase_add_test(tests, slots_do_not_matter);
    tcase_add_test(tests, a_prefix_is_read_once);
    tcase_add_test(tests, draws_repeat);
    tcase_add_test(tests, adapters_may_be_merged);
    tcase_add_test(tests, answers_end_with_the_positions);
    tcase_add_test(tests, failures_are_handed_on);
    tcase_add_test(tests, tokens_are_drawn_by_their_weight);
    tcase_add_test(tests, the_most_likely_token);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
