// models/llama_batch.h: which rows a packed batch has, and which of them belong together.
#include "models/llama_batch.h"
#include "models/ops/ops.h"
#include "tests/core/helper_check.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGE = 9 };

typedef struct fixture {
    device *device;
    llama_batch batch;
} fixture;

static void fixture_of(fixture *f, const llama_room *room) {
    ck_assert_int_eq(device_open_cpu(&f->device, 1), 0);
    ck_assert_int_eq(llama_batch_open(&f->batch, f->device, room), 0);
}

static void fixture_open(fixture *f) {
    fixture_of(f, &(llama_room){.samples = 4, .rows = 40, .images = 8, .targets = 40, .most = 16});
}

static void fixture_close(fixture *f) {
    llama_batch_close(&f->batch);
    device_close(f->device);
}

static const int32_t *numbers(const fixture *f, const tensor *x) {
    return packed_host(&f->batch.memory, x);
}

static void expect(const fixture *f, const tensor *x, int64_t count, const int32_t *want) {
    ck_assert_int_eq(tensor_count(x), count);
    for (int64_t i = 0; i < count; i++)
        ck_assert_msg(numbers(f, x)[i] == want[i], "place %lld holds %d, expected %d", (long long)i,
                      numbers(f, x)[i], want[i]);
}

// Two conversations that begin with 1 2 3; the first has two image tokens.
static const int32_t first_ids[] = {1, 2, 3, IMAGE, IMAGE, 4, 5, 6}, first_span[] = {6, 8};
static const int32_t second_ids[] = {1, 2, 3, 7, 8}, second_span[] = {2, 3, 4, 5};
static const llama_sample pair[] = {
    {.ids = first_ids, .count = 8, .span = first_span, .spans = 1, .sample = 5, .weight = 0.5},
    {.ids = second_ids, .count = 5, .span = second_span, .spans = 2, .sample = 6, .weight = 0.25},
};

START_TEST(shared_prefixes) {
    // The second learns token 2, which token 1 predicts: 1 alone may be shared.
    ck_assert_int_eq(llama_shared_prefix(pair, 2, IMAGE), 1);
    ck_assert_int_eq(llama_shared_prefix(pair, 1, IMAGE), 0);
    llama_sample late[2] = {pair[0], pair[1]};
    late[1].span = second_span + 2;
    late[1].spans = 1;
    ck_assert_int_eq(llama_shared_prefix(late, 2, IMAGE), 3);
    late[1] = late[0]; // never past an image
    ck_assert_int_eq(llama_shared_prefix(late, 2, IMAGE), 3);
    late[0].spans = late[1].spans = 0; // nothing is learned: something stays its own
    ck_assert_int_eq(llama_shared_prefix(late, 2, -1), 7);
    ck_assert_int_eq(llama_rows(pair, 2, 1), 12);
}
END_TEST

START_TEST(plain_rows) {
    fixture f;
    fixture_open(&f);
    llama_batch_load(&f.batch, pair, 2, 0, IMAGE);
    expect(&f, &f.batch.ids, 13, (int32_t[]){1, 2, 3, 0, 0, 4, 5, 6, 1, 2, 3, 7, 8});
    expect(&f, &f.batch.positions, 13, (int32_t[]){0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4});
    expect(&f, &f.batch.images, 2, (int32_t[]){3, 4});
    expect(&f, &f.batch.last, 5, (int32_t[]){5, 6, 9, 10, 11});
    expect(&f, &f.batch.supervised, 4, (int32_t[]){0, 1, 2, 4});
    expect(&f, &f.batch.target, 4, (int32_t[]){5, 6, 3, 8});
    const float *weight = (const float *)(const void *)numbers(&f, &f.batch.weight);
    ck_assert(weight[0] == 0.5f && weight[1] == 0.5f && weight[2] == 0.25f && weight[3] == 0.25f);
    ck_assert_int_eq(f.batch.prefix.dim[0], 0);
    ck_assert_int_eq(f.batch.most, 8);
    const attention_segment *s = (const attention_segment *)numbers(&f, &f.batch.last_segments);
    ck_assert(s[0].q_first[1] == 0 && s[0].q_count[1] == 2 && s[0].k_first[1] == 0 &&
              s[0].k_count[1] == 7);
    ck_assert(s[1].q_first[1] == 2 && s[1].q_count[1] == 3 && s[1].k_first[1] == 8 &&
              s[1].k_count[1] == 4 && s[1].causal && s[1].sample == 6);
    fixture_close(&f);
}
END_TEST

START_TEST(shared_rows) {
    fixture f;
    fixture_open(&f);
    llama_sample two[2] = {pair[0], pair[1]};
    two[1].span = second_span + 2;
    two[1].spans = 1;
    llama_batch_load(&f.batch, two, 2, 3, IMAGE);
    expect(&f, &f.batch.ids, 10, (int32_t[]){1, 2, 3, 0, 0, 4, 5, 6, 7, 8});
    expect(&f, &f.batch.positions, 10, (int32_t[]){0, 1, 2, 3, 4, 5, 6, 7, 3, 4});
    expect(&f, &f.batch.prefix, 6, (int32_t[]){0, 1, 2, 0, 1, 2});
    expect(&f, &f.batch.last, 3, (int32_t[]){5, 6, 8});
    expect(&f, &f.batch.rows, 20,
           (int32_t[]){0, 0, 0, 1, 0, 2, 5, 3, 5, 4, 5, 5, 5, 6, 5, 7, 6, 3, 6, 4});
    const attention_segment *s = (const attention_segment *)numbers(&f, &f.batch.segments);
    ck_assert_int_eq(f.batch.segments.dim[0], 3);
    ck_assert(s[0].q_count[1] == 3 && s[0].k_count[1] == 3 && s[0].k_count[2] == 0);
    ck_assert(s[2].q_first[1] == 8 && s[2].q_count[1] == 2 && s[2].k_first[1] == 8 &&
              s[2].k_count[1] == 2 && s[2].k_first[2] == 3 && s[2].k_count[2] == 3);
    fixture_close(&f);
}
END_TEST

// Where steps are recorded the batch fills its room with rows of no sample.
START_TEST(filled_rows) {
    fixture f;
    fixture_open(&f);
    f.batch.steps = true;
    llama_batch_load(&f.batch, pair, 2, 0, IMAGE);
    ck_assert_int_eq(f.batch.ids.dim[0], 40);
    ck_assert_int_eq(f.batch.images.dim[0], 8);
    ck_assert_int_eq(f.batch.segments.dim[0], 5);
    ck_assert_int_eq(f.batch.supervised.dim[0], 40);
    ck_assert_int_eq(numbers(&f, &f.batch.rows)[2 * 13], -1);
    ck_assert_int_eq(numbers(&f, &f.batch.images)[2], -1);
    ck_assert_int_eq(numbers(&f, &f.batch.target)[4], -1);
    const attention_segment *s = (const attention_segment *)numbers(&f, &f.batch.segments);
    ck_assert(!s[2].q_count[1] && !s[4].k_count[1]);
    const int64_t kind = f.batch.kind;
    llama_batch_load(&f.batch, pair, 1, 0, IMAGE);
    ck_assert_int_eq(f.batch.kind, kind);
    fixture_close(&f);
}
END_TEST

// A large room is filled in steps: a batch that is far smaller computes little more than itself.
START_TEST(filled_in_steps) {
    static int32_t ids[900];
    static const struct {
        int64_t count, rows;
    } sizes[] = {{1, 1024}, {2, 2048}, {3, 2900}};
    fixture f;
    int64_t kind[3];
    const llama_sample one = {.ids = ids, .count = 900, .span = (int32_t[]){899, 900}, .spans = 1, .weight = 1};
    const llama_sample all[] = {one, one, one};
    fixture_of(&f, &(llama_room){.samples = 4, .rows = 2900, .images = 8, .targets = 40, .most = 900});
    f.batch.steps = true;
    for (int i = 0; i < 3; i++) {
        llama_batch_load(&f.batch, all, sizes[i].count, 0, IMAGE);
        ck_assert_int_eq(f.batch.ids.dim[0], sizes[i].rows);
        ck_assert_int_eq(f.batch.tokens, 900 * sizes[i].count);
        for (int64_t row = f.batch.tokens; row < sizes[i].rows; row++)
            ck_assert_int_eq(numbers(&f, &f.batch.rows)[2 * row], -1);
        kind[i] = f.batch.kind;
    }
    ck_assert(kind[0] != kind[1] && kind[1] != kind[2] && kind[0] != kind[2]);
    fixture_close(&f);
}
END_TEST

// Room for SAMPLES rows, IMAGES and TARGETS; what does not fit is our own mistake, and nothing is written
// beside its table.
static void load_into(int64_t rows, int64_t images, int64_t targets) {
    const llama_room room = {.samples = 4, .rows = rows, .images = images, .targets = targets, .most = 16};
    fixture f;
    if (device_open_cpu(&f.device, 1) || llama_batch_open(&f.batch, f.device, &room)) return;
    llama_batch_load(&f.batch, pair, 2, 0, IMAGE);
    fixture_close(&f);
}
static void enough(void) { load_into(13, 2, 4); }
static void few_rows(void) { load_into(12, 2, 4); }
static void few_images(void) { load_into(13, 1, 4); }
static void no_images(void) { load_into(13, 0, 4); }
static void few_targets(void) { load_into(13, 2, 3); }

START_TEST(more_than_the_room) {
    enough();
    expect_death(few_rows, "llama_batch_load: sample 1 of 5 tokens does not fit");
    expect_death(few_images, "llama_batch_load: more than 1 image rows");
    expect_death(no_images, "llama_batch_load: more than 0 image rows");
    expect_death(few_targets, "llama_batch_load: more than 3 targets");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("llama_batch");
    TCase *tests = tcase_create("llama_batch");
    tcase_add_test(tests, shared_prefixes);
    tcase_add_test(tests, plain_rows);
    tcase_add_test(tests, shared_rows);
    tcase_add_test(tests, filled_rows);
    tcase_add_test(tests, filled_in_steps);
    tcase_add_test(tests, more_than_the_room);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
