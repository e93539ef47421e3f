// `radialog plan`: what it says is what is used. A run is opened on a device that counts what is
// taken of it, trained for some steps, and held against the plan, byte by byte.
#include "core/files/json.h"
#include "core/log.h"
#include "data/loader.h"
#include "tests/train/helper_program.h"
#include "train/config_keys.h"
#include "train/memory_plan.h"
#include "train/stage_aligner.h"
#include "train/stage_chexbert.h"
#include "train/stage_classifier.h"
#include "train/step.h"

#include <check.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char work[256];

static void setup(void) {
    workspace_make(work);
    small_shards(work, 40);
    small_vocabulary(work);
    log_quiet(1);
}

static void teardown(void) {
    workspace_remove(work);
}

// Bytes of the heap in use; sanitizers have their own.
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static double in_use(void) {
    if (__sanitizer_get_current_allocated_bytes)
        return (double)__sanitizer_get_current_allocated_bytes();
    struct mallinfo2 m = mallinfo2();
    return (double)m.uordblks + (double)m.hblkhd;
}

// --- a configuration -----------------------------------------------------------------------------

static void set(config *c, const char *format, const char *value) {
    char text[512];
    snprintf(text, sizeof text, format, value);
    ck_assert_msg(config_set(c, text) == STATUS_OK, "%s", status_text());
}

// A tiny model's SETTINGS; MORE are assignments between blanks.
static config *tiny_of(const config_key *const *tables, const char *settings, const char *more) {
    char words[2048], *rest = words;
    config *c = NULL;
    ck_assert_int_eq(config_open(&c, tables), STATUS_OK);
    snprintf(words, sizeof words, "%s %s", settings, more);
    for (char *word; (word = strsep(&rest, " "));)
        if (strcmp(word, "--set") && *word) set(c, "%s", word);
    set(c, "data.shards=%s/shards", work);
    set(c, "run.dir=%s/run", work);
    if (tables != classifier_tables) set(c, "model.vocabulary=%s/vocab.txt", work);
    return c;
}

static config *tiny(const char *more) {
    return tiny_of(classifier_tables, tiny_settings, more);
}

static memory_plan planned_of(const stage *s, config *c, int ranks, size_t *ahead) {
    memory_plan plan;
    size_t ignored;
    status rc = memory_plan_of(&plan, ahead ? ahead : &ignored, s, c, NULL, ranks);
    ck_assert_msg(rc == STATUS_OK, "%s", status_text());
    return plan;
}

static memory_plan planned(config *c, int ranks, size_t *ahead) {
    return planned_of(&stage_classifier, c, ranks, ahead);
}

static void expect_equal(const memory_plan *a, const memory_plan *b) {
#define X(name, words) ck_assert_msg(a->name == b->name, #name ": %zu and %zu", a->name, b->name);
    MEMORY_PARTS(X)
#undef X
}

// --- what a run takes ----------------------------------------------------------------------------
static size_t taken;
static status (*real_take)(device *d, size_t bytes, const char *what, void **out);

static status counting_take(device *d, size_t bytes, const char *what, void **out) {
    taken += bytes;
    return real_take(d, bytes, what, out);
}

static void open_counted(run *r, const stage *s, config *c) {
    ck_assert_int_eq(run_open(r, s, c), STATUS_OK);
    real_take = r->device->take;
    r->device->take = counting_take;
    taken = 0;
}

// The parts of the run's own dry run; then steps and a validation within what it took. *USED is
// their most.
static memory_plan measured(const stage *s, config *c, tape_size *used) {
    run r;
    memory_plan plan;
    buffer scores = {0};
    double score;
    open_counted(&r, s, c);
    status rc = r.stage->setup(&r);
    if (!rc) rc = step_open(&r);
    if (!rc) rc = memory_plan_make(&plan, &r);
    const tape_size size = {tape_used(&r.tape).activations, plan.activation_gradients};
    if (!rc) rc = tape_allocate(&r.tape, size);
    ck_assert_msg(rc == STATUS_OK, "%s", status_text());
    ck_assert_uint_eq(taken, memory_plan_total(&plan));
    if (r.stage->ready) rc = r.stage->ready(&r);
    for (int i = 0; i < 5 && !rc; i++) {
        rc = step_load(&r);
        if (!rc) rc = step_launch(&r, 1e-3);
    }
    *used = tape_used(&r.tape);
    if (!rc) rc = r.stage->validate(&r, &scores, &score);
    ck_assert_msg(rc == STATUS_OK, "%s", status_text());
    ck_assert_uint_eq(taken, memory_plan_total(&plan)); // nothing was taken later
    ck_assert_uint_le(tape_used(&r.tape).activations, size.activations);
    buffer_free(&scores);
    run_close(&r);
    return plan;
}

static void expect_used(const char *precision, const char *recompute) {
    char words[256];
    tape_size used;
    snprintf(words, sizeof words, "run.precision=%s train.recompute=%s", precision, recompute);
    config *c = tiny(words);
    memory_plan before = planned(c, 1, NULL), used_up = measured(&stage_classifier, c, &used);
    expect_equal(&before, &used_up);
    // 30 records in batches of 8: the first steps are full, so that the peak is the plan's, not
    // below it.
    ck_assert_uint_eq(used.activations, before.activations + before.scratch);
    ck_assert_uint_eq(used.gradients, before.activation_gradients);
    ck_assert(before.parameters > 0 && before.activations > before.scratch && before.scratch > 0);
    ck_assert_int_eq(before.narrow > 0, !strcmp(precision, "bf16"));
    config_close(c);
}

START_TEST(said_is_used) {
    expect_used("f32", "false");
    expect_used("f32", "true");
    expect_used("bf16", "false");
    expect_used("bf16", "true");
}
END_TEST

START_TEST(frozen_encoder_is_used) {
    tape_size used;
    config *c = tiny("model.train_encoder=false");
    memory_plan before = planned(c, 1, NULL), used_up = measured(&stage_classifier, c, &used),
                whole;
    expect_equal(&before, &used_up);
    config *all = tiny("");
    whole = planned(all, 1, NULL);
    ck_assert(before.frozen > 0 && whole.frozen == 0 && before.moments < whole.moments);
    config_close(all);
    config_close(c);
}
END_TEST

// The planning device is asked for the same bytes, and takes none: a model of 9 GB is planned in
// little.
// Stages whose batches differ are planned with the longest texts, and take no more for any others.
static void expect_within(const stage *s, const config_key *const *tables, const char *settings,
                          const char *more) {
    tape_size used;
    config *c = tiny_of(tables, settings, more);
    memory_plan before = planned_of(s, c, 1, NULL), used_up = measured(s, c, &used);
    expect_equal(&before, &used_up);
    ck_assert_uint_le(used.activations, before.activations + before.scratch);
    ck_assert_uint_le(used.gradients, before.activation_gradients);
    ck_assert_uint_gt(2 * used.activations, before.activations);
    ck_assert(before.parameters > 0 && before.batch > 0 && before.activation_gradients > 0);
    config_close(c);
}

START_TEST(stages_of_reports_stay_within) {
    static const char *const more[] = {"", "train.recompute=true",
                                       "train.batch=7 data.max_tokens=40"};
    for (int i = 0; i < 3; i++) {
        expect_within(&stage_chexbert, chexbert_tables, tiny_chexbert, more[i]);
        expect_within(&stage_aligner, aligner_tables, tiny_aligner, more[i]);
    }
    expect_within(&stage_aligner, aligner_tables, tiny_aligner, "data.cache=off");
    expect_within(&stage_chexbert, chexbert_tables, tiny_chexbert, "run.precision=bf16");
    expect_within(&stage_aligner, aligner_tables, tiny_aligner, "run.precision=bf16");
}
END_TEST

START_TEST(plan_takes_nothing) {
    config *c = tiny("model.hidden=65536 model.widths=[4,4,8,4096] model.blocks=[1,1,1,8]");
    run r;
    memory_plan plan;
    double before = in_use();
    status rc = memory_plan_open(&r, &stage_classifier, c, NULL, 1);
    if (!rc) rc = stage_classifier.plan(&r);
    if (!rc) rc = step_open(&r);
    if (!rc) rc = memory_plan_make(&plan, &r);
    ck_assert_msg(rc == STATUS_OK, "%s", status_text());
    double grown = in_use() - before;
    size_t step = plan.activations + plan.scratch + plan.activation_gradients;
    ck_assert_uint_ge(memory_plan_asked(&r), memory_plan_total(&plan) - step);
    ck_assert_uint_le(memory_plan_asked(&r),
                      memory_plan_total(&plan) - step + 16 * SPACE_ALIGNMENT);
    ck_assert_uint_gt(plan.parameters, (size_t)1 << 30);
    ck_assert_msg(grown > 0 && grown < 200e6, "%.0f bytes", grown);
    run_close(&r);
    config_close(c);
}
END_TEST

START_TEST(more_memory_for_more) {
    config *small = tiny("train.batch=8"), *large = tiny("train.batch=16"),
           *again = tiny("train.recompute=true");
    memory_plan a = planned(small, 1, NULL), b = planned(large, 1, NULL),
                c = planned(again, 1, NULL);
    ck_assert(b.activations > a.activations && b.batch > a.batch && b.parameters == a.parameters);
    ck_assert(c.activations < a.activations);
    config_close(small), config_close(large), config_close(again);
}
END_TEST

// Ranks are planned with the largest slice: 10 over 3 ranks is 4, 3 and 3.
START_TEST(ranks_take_slices) {
    size_t of_three, of_four;
    config *ten = tiny("train.batch=10"), *four = tiny("train.batch=4");
    memory_plan sliced = planned(ten, 3, &of_three), whole = planned(four, 1, &of_four);
    expect_equal(&sliced, &whole);
    ck_assert_uint_eq(of_three, of_four);
    config_close(ten), config_close(four);
}
END_TEST

// The loaders' own allocations, to within what malloc and lists of records add.
START_TEST(loader_takes_what_is_said) {
    dataset *data;
    loader *l;
    char path[300];
    snprintf(path, sizeof path, "%s/shards", work);
    ck_assert_int_eq(dataset_open(&data, path), STATUS_OK);
    for (int ranks = 1; ranks <= 3; ranks += 2) {
        loader_options o = {.split = 0,
                            .batch = 100,
                            .rank = ranks - 1,
                            .ranks = ranks,
                            .crop = 500,
                            .size = 333,
                            .threads = 3};
        double before = in_use();
        ck_assert_int_eq(loader_open(&l, data, &o), STATUS_OK);
        double grown = in_use() - before;
        double said = (double)loader_bytes(&o);
        ck_assert_msg(grown >= said && grown <= said + 3e6, "%.0f taken, %.0f said", grown, said);
        loader_close(l);
    }
    dataset_close(data);
}
END_TEST

// --- the command ---------------------------------------------------------------------------------
// Whether it fits or not.
static json *report(const char *words) {
    json *j = NULL;
    outcome o = program("plan %s --json", words);
    ck_assert_msg(o.exit == (strstr(o.out, "\"fits\":false") != NULL), "plan %s: exit %d: %s",
                  words, o.exit, o.err);
    ck_assert_msg(json_parse(&j, "plan", o.out, strlen(o.out), 1) == STATUS_OK, "%s",
                  status_text());
    outcome_free(&o);
    return j;
}

static double number(json_value object, const char *key) {
    double value = -1;
    ck_assert_msg(json_member_number(&value, object, key) == STATUS_OK, "%s", status_text());
    return value;
}

// Without shards, and the same numbers as from inside.
START_TEST(command_says_the_plan) {
    char words[2048];
    size_t ahead;
    config *c = tiny("train.batch=7");
    memory_plan plan = planned(c, 2, &ahead);
    snprintf(words, sizeof words, "classifier %s --set train.batch=7 --ranks 2 --set data.shards=%s/none",
             tiny_settings, work);
    json *j = report(words);
    json_value root = json_root(j), parts = json_find(root, "parts");
#define X(name, text) ck_assert_double_eq(number(parts, #name), (double)plan.name);
    MEMORY_PARTS(X)
#undef X
    double each = number(root, "device_bytes");
    ck_assert_double_eq(each, (double)memory_plan_total(&plan));
    ck_assert_double_eq(number(root, "loader_bytes"), (double)ahead);
    ck_assert_double_eq(number(root, "host_bytes"), 2 * (each + (double)ahead));
    ck_assert_double_eq(number(root, "largest_slice"), 4);
    ck_assert_double_eq(number(root, "ranks"), 2);
    json_close(j);
    config_close(c);
}
END_TEST

static void expect_output(int exit, const char *out, const char *err, const char *words) {
    outcome o = program("plan %s", words);
    ck_assert_msg(o.exit == exit, "plan %s: exit %d\n%s", words, o.exit, o.err);
    ck_assert_msg(!out || strstr(o.out, out), "plan %s: no '%s' in\n%s", words, out, o.out);
    ck_assert_msg(!err || strstr(o.err, err), "plan %s: no '%s' in\n%s", words, err, o.err);
    outcome_free(&o);
}

static double bytes_of(const char *words, const char *key) {
    json *j = report(words);
    double value = number(json_root(j), key);
    json_close(j);
    return value;
}

START_TEST(command_judges) {
    char words[2048];
    snprintf(words, sizeof words, "classifier %s", tiny_settings);
    expect_output(0, "\nfits: 0.0", NULL, words);
    expect_output(0, "gradients of activations", NULL, words);
    snprintf(words, sizeof words, "classifier %s --set train.batch=65536 --set data.size=512",
             tiny_settings);
    expect_output(1, "\ndoes not fit: ", "radialog plan: this run does not fit", words);
    ck_assert_double_lt(bytes_of(words, "room_bytes"),
                        bytes_of(words, "host_bytes"));
}
END_TEST

// The paper's models at their full size, whether or not this machine has room.
START_TEST(papers_sizes) {
    char vocabulary[400];
    snprintf(vocabulary, sizeof vocabulary, "--set model.vocabulary=%s/vocab.txt", work);
    const char *const stages[][2] = {
        {"classifier", ""}, {"chexbert", vocabulary}, {"aligner", vocabulary}, {"lora", "--set model.base=" SOURCE_ROOT "/configs/models/llama-7b"}};
    for (int i = 0; i < 4; i++) {
        outcome o = program("plan %s --config " SOURCE_ROOT "/configs/paper/%s.json %s", stages[i][0], stages[i][0], stages[i][1]);
        ck_assert_msg(o.exit <= 1 && strstr(o.out, "fit"), "plan %s: exit %d\n%s", stages[i][0], o.exit, o.err);
        outcome_free(&o);
    }
    snprintf(vocabulary, sizeof vocabulary,
             "aligner --config " SOURCE_ROOT "/configs/paper/aligner.json --set train.batch=2 --set model.vocabulary=%s/vocab.txt", work);
    ck_assert_double_lt(bytes_of(vocabulary, "host_bytes"), 12e9);
}
END_TEST

// What `plan` says is what `train` writes in its log.
START_TEST(command_plans_all_stages) {
    static const char *const names[] = {"classifier", "chexbert", "aligner"};
    const char *const settings[] = {tiny_settings, tiny_chexbert, tiny_aligner};
    for (int i = 0; i < 3; i++) {
        char words[2048], said[64], path[300], more[300] = "";
        if (i) snprintf(more, sizeof more, "--set model.vocabulary=%s/vocab.txt", work);
        snprintf(words, sizeof words, "%s %s %s", names[i], settings[i], more);
        outcome o = program("plan %s --json", words);
        const char *bytes = strstr(o.out, "\"device_bytes\":");
        ck_assert_msg(o.exit == 0 && bytes, "plan %s: exit %d\n%s%s", words, o.exit, o.out, o.err);
        snprintf(said, sizeof said, "memory: %.1f MB in all",
                 1e-6 * atof(bytes + strlen("\"device_bytes\":")));
        outcome_free(&o);
        program_expect(0,
                       "train %s --set data.shards=%s/shards --set run.dir=%s/%s --set "
                       "run.max_steps=1 --quiet",
                       words, work, work, names[i]);
        snprintf(path, sizeof path, "%s/%s/log.txt", work, names[i]);
        char *log = read_file(path, NULL);
        ck_assert_msg(log && strstr(log, said), "no '%s' in\n%s", said, log);
        free(log);
    }
    expect_output(0, "model.projector_seed", NULL, "--help");
    expect_output(0, "classifier|chexbert|aligner|lm|lora", NULL, "--help");
    expect_output(2, NULL, "model.vocabulary is not set", "aligner");
    expect_output(2, NULL, "model.vocabulary is not set", "chexbert");
}
END_TEST

// A third more than there is; what is advised then fits (others use memory as well: nearly).
START_TEST(advice_holds) {
    char words[2048], largest[32] = "";
    snprintf(words, sizeof words, "classifier %s --set data.size=512 --set train.batch=1000", tiny_settings);
    double each = bytes_of(words, "host_bytes") / 1000, most = bytes_of(words, "room_bytes") / each;
    snprintf(words, sizeof words, "classifier %s --set data.size=512 --set train.batch=%.0f",
             tiny_settings, most * 1.3);
    outcome o = program("plan %s", words);
    const char *advised = strstr(o.out, "--set train.batch=");
    ck_assert_msg(advised != NULL, "%s", o.out);
    ck_assert_int_eq(sscanf(advised, "--set train.batch=%31[0-9]", largest), 1);
    ck_assert_msg(fabs(atof(largest) - most) < 0.1 * most, "%s of about %.0f", largest, most);
    ck_assert_ptr_nonnull(strstr(o.out, "--precision bf16"));
    outcome_free(&o);
    snprintf(words, sizeof words, "classifier %s --set data.size=512 --set train.batch=%.0f",
             tiny_settings, 0.9 * atof(largest));
    expect_output(0, "\nfits: ", NULL, words);
}
END_TEST

START_TEST(command_refuses) {
    expect_output(2, NULL, "missing", "");
    expect_output(2, NULL, "radialog plan: no stage 'clasifier'; did you mean 'classifier'?",
                  "clasifier");
    expect_output(2, NULL, "did you mean --ranks", "classifier --rank 2");
    expect_output(2, NULL, "--ranks takes a whole number", "classifier --ranks 0");
    expect_output(2, NULL, "--ranks takes a whole number", "classifier --ranks 2x");
    expect_output(2, NULL, "radialog plan: train.batch 8 leaves some of the 9 ranks",
                  "classifier --ranks 9 --set train.batch=8");
    expect_output(2, NULL, "data.sise", "classifier --set data.sise=64");
    expect_output(2, NULL, "data.size", "classifier --set data.size=64 --set data.crop=48");
    expect_output(2, NULL, "fp16", "classifier --precision fp16");
    expect_output(1, NULL, "/none.json", "classifier --config /none.json");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("plan");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 0);
    tcase_add_unchecked_fixture(all, setup, teardown);
    tcase_add_test(all, said_is_used);
    tcase_add_test(all, frozen_encoder_is_used);
    tcase_add_test(all, stages_of_reports_stay_within);
    tcase_add_test(all, plan_takes_nothing);
    tcase_add_test(all, more_memory_for_more);
    tcase_add_test(all, ranks_take_slices);
    tcase_add_test(all, loader_takes_what_is_said);
    tcase_add_test(all, command_says_the_plan);
    tcase_add_test(all, command_judges);
    tcase_add_test(all, papers_sizes);
    tcase_add_test(all, command_plans_all_stages);
    tcase_add_test(all, advice_holds);
    tcase_add_test(all, command_refuses);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
