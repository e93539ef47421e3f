// Sequences that come and go: prompts in pieces beside others, second turns that read what is new alone.
// What they say is what the same prompts get one by one (test_generate.c).
#include "tests/train/helper_small.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

typedef struct said {
    int32_t ids[MOST], count;
    decoder_state state;
} said;

static status hear(void *context, const int32_t *ids, int32_t count, decoder_state state) {
    said *s = context;
    memcpy(s->ids, ids, (size_t)count * sizeof *ids);
    s->count = count;
    s->state = state;
    return STATUS_OK;
}

static decoder_prompt ask(said *s, const int32_t *ids, int32_t count, const float *image) {
    int64_t rows = 0;
    for (int32_t i = 0; i < count; i++) rows += ids[i] == IMAGE;
    *s = (said){0};
    return (decoder_prompt){.ids = ids, .count = count, .images = image, .image_rows = rows,
                            .most = MOST, .context = s, .said = hear};
}

static decoder *open_decoder(small *s, int64_t slots, int64_t rows) {
    decoder *d;
    const decoder_options o = {.slots = slots, .rows = rows, .positions = POSITIONS,
                               .end = small_end, .image_token = IMAGE, .remember = true};
    small_tape(s);
    ck_assert_int_eq(decoder_open(&d, &s->tape, &s->model, &o), 0);
    ck_assert_int_eq(decoder_size(d), 0);
    return d;
}

static void finish(decoder *d) {
    for (int i = 0; i < 1000 && decoder_busy(d); i++) ck_assert_int_eq(decoder_step(d), 0);
    ck_assert_int_eq(decoder_busy(d), 0);
}

static void expect_said(const said *s, const question *q, int i) {
    ck_assert_int_eq(s->count, q->count[i]);
    ck_assert(!memcmp(s->ids, q->answer[i], (size_t)s->count * sizeof *s->ids));
    ck_assert_int_eq(s->state, s->count == MOST ? DECODER_FULL : DECODER_ENDED);
}

// Six tokens a step, four sequences: prompts with images are cut in their middle.
START_TEST(prompts_are_read_in_pieces) {
    static small s;
    static question q;
    said all[PROMPTS];
    float image[PROMPTS][IMAGE_ROWS * IMAGE_WIDTH];
    const generator_options o = small_options(1);
    small_answer(&q, &o, NULL);
    small_open(&s);
    decoder *d = open_decoder(&s, 4, 6);
    for (int i = 0; i < PROMPTS || decoder_busy(d);) {
        if (i < PROMPTS && decoder_free(d)) {
            question_images(NULL, i, IMAGE_ROWS, image[i]);
            const decoder_prompt p = ask(&all[i], q.ids + q.first[i],
                                         (int32_t)(q.first[i + 1] - q.first[i]), image[i]);
            ck_assert_int_eq(decoder_begin(d, &p, NULL), 0);
            i++;
        }
        ck_assert_int_eq(decoder_step(d), 0);
    }
    for (int i = 0; i < PROMPTS; i++) expect_said(&all[i], &q, i);
    decoder_close(d);
    small_close(&s);
}
END_TEST

// A second turn behind prompt I reads what is new, and says what a sequence that was never seen says; another image is
// read again.
static void follow_up(const question *q, int i) {
    static small s;
    said first, second, fresh, other;
    float image[IMAGE_ROWS * IMAGE_WIDTH], changed[IMAGE_ROWS * IMAGE_WIDTH];
    int32_t ids[POSITIONS], count = (int32_t)(q->first[i + 1] - q->first[i]);
    small_open(&s);
    question_images(NULL, i, IMAGE_ROWS, image);
    memcpy(changed, image, sizeof image);
    changed[IMAGE_ROWS * IMAGE_WIDTH - 1] += 3;
    memcpy(ids, q->ids + q->first[i], (size_t)count * sizeof *ids);
    decoder *d = open_decoder(&s, 2, 40), *anew;
    decoder_prompt p = ask(&first, ids, count, image);
    ck_assert_int_eq(decoder_begin(d, &p, NULL), 0);
    finish(d);
    expect_said(&first, q, i);
    memcpy(ids + count, first.ids, (size_t)first.count * sizeof *ids);
    count += first.count;
    const int32_t known = count - (first.state == DECODER_FULL); // its last token was said, not read
    for (int k = 0; k < 5; k++) ids[count++] = 30 + k;
    const int64_t read = decoder_counted(d).read;
    p = ask(&second, ids, count, image);
    ck_assert_int_eq(decoder_begin(d, &p, NULL), 0);
    finish(d);
    const decoder_counts n = decoder_counted(d);
    ck_assert_int_eq(n.known, known);
    ck_assert_int_eq(n.read - read, count - known + second.count - (second.state == DECODER_FULL));

    p = ask(&other, ids, count, changed);
    ck_assert_int_eq(decoder_begin(d, &p, NULL), 0);
    finish(d);
    ck_assert_int_eq(decoder_counted(d).known - n.known, PREFIX); // what stands before the image
    decoder_close(d);

    anew = open_decoder(&s, 1, 64);
    p = ask(&fresh, ids, count, image);
    ck_assert_int_eq(decoder_begin(anew, &p, NULL), 0);
    finish(anew);
    ck_assert_int_eq(fresh.count, second.count);
    ck_assert(!memcmp(fresh.ids, second.ids, (size_t)fresh.count * sizeof *ids));
    decoder_close(anew);
    anew = open_decoder(&s, 1, 64);
    p = ask(&fresh, ids, count, changed);
    ck_assert_int_eq(decoder_begin(anew, &p, NULL), 0);
    finish(anew);
    ck_assert_int_eq(fresh.count, other.count);
    ck_assert(!memcmp(fresh.ids, other.ids, (size_t)other.count * sizeof *ids));
    decoder_close(anew);
    small_close(&s);
}

// Behind answers that ended by themselves and such that were cut off.
START_TEST(what_was_said_is_remembered) {
    static question q;
    const generator_options o = small_options(1);
    int ended = 0, full = 0;
    small_answer(&q, &o, NULL);
    for (int i = 0; i < PROMPTS; i++) {
        const int64_t asked = q.first[i + 1] - q.first[i];
        int *seen = q.count[i] == MOST ? &full : &ended;
        if (i % 3 == 0 || (*seen)++ > 1 || asked + 2 * MOST + 5 > POSITIONS) continue;
        follow_up(&q, i);
    }
    ck_assert(ended && full);
}
END_TEST

// Slots are given where they agree most; what is dropped says no more.
START_TEST(slots_are_chosen_by_what_they_remember) {
    static small s;
    said a, b, c;
    const int32_t one[] = {20, 21, 22, 23, 24, 25}, two[] = {40, 41, 42, 43}, more[] = {20, 21, 22, 23, 50};
    int64_t slot[3];
    small_open(&s);
    decoder *d = open_decoder(&s, 3, 40);
    decoder_prompt p = ask(&a, one, 6, NULL);
    ck_assert_int_eq(decoder_begin(d, &p, &slot[0]), 0);
    p = ask(&b, two, 4, NULL);
    ck_assert_int_eq(decoder_begin(d, &p, &slot[1]), 0);
    ck_assert_int_eq(decoder_step(d), 0);
    ck_assert(a.count == 1 && b.count == 1);
    decoder_drop(d, slot[1]);
    finish(d);
    ck_assert_int_eq(b.count, 1);
    p = ask(&c, more, 5, NULL);
    ck_assert_int_eq(decoder_begin(d, &p, &slot[2]), 0);
    ck_assert_int_eq(slot[2], slot[0]);
    ck_assert_int_eq(decoder_counted(d).known, 4);
    p = ask(&b, (const int32_t[]){60, 61}, 2, NULL); // nobody knows it: the slot that was never used
    ck_assert_int_eq(decoder_begin(d, &p, &slot[2]), 0);
    ck_assert(slot[2] != slot[0] && slot[2] != slot[1]);
    decoder_close(d);
    small_close(&s);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("decoder");
    TCase *tests = tcase_create("decoder");
    tcase_set_timeout(tests, 300);
    tcase_add_unchecked_fixture(tests, small_devices_open, small_devices_close);
    tcase_add_test(tests, prompts_are_read_in_pieces);
    tcase_add_test(tests, what_was_said_is_remembered);
    tcase_add_test(tests, slots_are_chosen_by_what_they_remember);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
