// Plans of language models: byte by byte what a run takes; the rows that train.pack_tokens 0 takes; cards that are
// not here; a run that goes on takes what it began with.
#include "core/files/fs.h"
#include "core/files/json.h"
#include "core/log.h"
#include "tests/train/helper_language.h"
#include "tests/train/helper_program.h"
#include "tests/train/helper_run.h"
#include "train/config_keys.h"
#include "train/language_model.h"
#include "train/pack_choice.h"
#include "train/stage_language.h"
#include "train/step.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void setup(void) {
    language_setup();
    log_quiet(1);
}

static config *settings_of(const config_key *const *tables, const char *words) {
    char text[4096], *rest = text;
    config *c = NULL;
    ck_assert_int_eq(config_open(&c, tables), STATUS_OK);
    snprintf(text, sizeof text, "%s", words);
    for (char *word; (word = strsep(&rest, " "));)
        if (strcmp(word, "--set") && *word)
            ck_assert_msg(config_set(c, word) == STATUS_OK, "%s", status_text());
    return c;
}

// The embeddings' width, which a plan without them is told.
static config *lora_settings(const char *more) {
    char words[4096];
    snprintf(words, sizeof words, "%s model.image_width=%d lora.rank=3 train.batch=8 %s", common, WIDTH, more);
    return settings_of(lora_tables, words);
}

static config *lm_settings(const char *more) {
    char words[4096];
    snprintf(words, sizeof words,
             "data.instruct=%s/records model.tokenizer=%s/tokenizer/llama.model run.threads=2 model.width=32 "
             "model.layers=2 model.heads=4 model.inner=48 model.positions=2048 train.batch=8 %s",
             work, TEST_DATA, more);
    return settings_of(lm_tables, words);
}

static memory_plan planned(const stage *s, config *c) {
    memory_plan plan;
    size_t loader;
    status rc = memory_plan_of(&plan, &loader, s, c, NULL, 1);
    ck_assert_msg(rc == STATUS_OK, "%s", status_text());
    ck_assert_uint_eq(loader, 0);
    return plan;
}

// --- what a run takes ---------------------------------------------------------------------------
static size_t taken;
static status (*real_take)(device *d, size_t bytes, const char *what, void **out);

static status counting_take(device *d, size_t bytes, const char *what, void **out) {
    taken += bytes;
    return real_take(d, bytes, what, out);
}

// The parts of the run's own dry run; then steps and a validation within what it took.
static memory_plan measured(const stage *s, config *c) {
    run r;
    memory_plan plan;
    buffer scores = {0};
    double score;
    ck_assert_int_eq(run_open(&r, s, c), STATUS_OK);
    real_take = r.device->take;
    r.device->take = counting_take;
    taken = 0;
    status rc = s->setup(&r);
    if (!rc) rc = step_open(&r);
    if (!rc) rc = memory_plan_make(&plan, &r);
    const tape_size size = {tape_used(&r.tape).activations, plan.activation_gradients};
    if (!rc) rc = tape_allocate(&r.tape, size);
    ck_assert_msg(rc == STATUS_OK, "%s", status_text());
    ck_assert_uint_eq(taken, memory_plan_total(&plan));
    for (int i = 0; i < 3 && !rc; i++) {
        rc = step_load(&r);
        if (!rc) rc = step_launch(&r, 1e-3);
    }
    const tape_size used = tape_used(&r.tape);
    if (!rc) rc = s->validate(&r, &scores, &score);
    ck_assert_msg(rc == STATUS_OK, "%s", status_text());
    ck_assert_uint_eq(taken, memory_plan_total(&plan)); // nothing was taken later
    ck_assert_uint_le(used.activations, size.activations);
    ck_assert_uint_le(used.gradients, plan.activation_gradients);
    ck_assert_uint_gt(2 * used.activations, plan.activations);
    buffer_free(&scores);
    run_close(&r);
    return plan;
}

static void expect_used(const stage *s, config *c) {
    const memory_plan before = planned(s, c), used = measured(s, c);
#define X(name, words)                                                                             \
    ck_assert_msg(before.name == used.name, #name ": %zu and %zu", before.name, used.name);
    MEMORY_PARTS(X)
#undef X
    ck_assert(before.parameters > 0 && before.activations > before.scratch && before.batch > 0);
    config_close(c);
}

START_TEST(said_is_used) {
    static const char *const more[] = {
        "train.pack_tokens=1500", "train.pack_tokens=1500 train.recompute=true",
        "train.pack_tokens=1500 model.storage=int8", "train.pack_tokens=1500 model.storage=fp8",
        "train.pack_tokens=1500 train.share_prefix=false lora.dropout=0",
        "train.pack_tokens=1500 run.precision=bf16", "train.pack_tokens=1500 run.precision=bf16 train.recompute=true"};
    for (int i = 0; i < 7; i++) expect_used(&stage_lora, lora_settings(more[i]));
    expect_used(&stage_lm, lm_settings("train.pack_tokens=1500"));
    expect_used(&stage_lm, lm_settings("train.pack_tokens=1500 train.recompute=true"));
}
END_TEST

// --- the choice ---------------------------------------------------------------------------------
static size_t total_of(int64_t rows, bool recompute) {
    char more[96];
    snprintf(more, sizeof more, "train.pack_tokens=%lld train.recompute=%s", (long long)rows,
             recompute ? "true" : "false");
    config *c = lora_settings(more);
    const memory_plan plan = planned(&stage_lora, c);
    config_close(c);
    return memory_plan_total(&plan);
}

// Of LONGEST to MOST rows in ROOM.
static void expect_choice(int64_t longest, int64_t most, size_t room, bool fits, bool recompute, const char *more) {
    const pack_limits l = {longest, most, (int64_t)room};
    bool is;
    config *c = lora_settings(more);
    ck_assert_msg(!pack_choose(&is, &stage_lora, c, NULL, 1, &l), "%s", status_text());
    const int64_t rows = config_int(c, "train.pack_tokens"), top = (most + 63) / 64 * 64;
    ck_assert(is == fits && config_bool(c, "train.recompute") == recompute);
    ck_assert_msg(rows % 64 == 0 && rows >= longest && rows <= top, "%lld rows", (long long)rows);
    ck_assert_int_eq(total_of(rows, recompute) <= room, fits);
    if (fits && rows < top) ck_assert_uint_gt(total_of(rows + 64, recompute), room);
    if (!fits) ck_assert_int_lt(rows - 64, longest);
    config_close(c);
}

START_TEST(as_many_rows_as_fit) {
    static const int64_t rows[] = {512, 1024, 1984, 2048};
    for (int i = 0; i < 4; i++) {
        const size_t exact = total_of(rows[i], false);
        expect_choice(500, 2048, exact, true, false, "");
        expect_choice(500, 2048, exact + 1, true, false, "");
        if (i) expect_choice(500, 2048, exact - 1, true, false, "");
    }
    expect_choice(500, 1000, (size_t)1 << 40, true, false, ""); // no more than a batch has
    // Where the longest conversation does not fit with everything kept, layers are computed again.
    expect_choice(500, 2048, total_of(512, false) - 1, true, true, "");
    expect_choice(500, 2048, total_of(512, true), true, true, "");
    expect_choice(500, 2048, total_of(512, true) - 1, false, true, "");
    expect_choice(500, 2048, total_of(1024, false), true, true, "train.recompute=true"); // as it was asked for
}
END_TEST

// --- a training ---------------------------------------------------------------------------------
static const char *const quick =
    "--set train.batch=4 --set lora.rank=3 --set train.validate_first=false --set optim.schedule=constant "
    "--set optim.warmup_steps=0 --set optim.lr=0.05 --set train.checkpoint_every=1 --set train.keep=9 --quiet";

static void train(const char *name, int steps, const char *more) {
    program_expect(0, "train lora %s %s --set run.dir=%s --set run.max_steps=%d %s", common, quick, in_work(name),
                   steps, more);
}

static char *text_of(const char *name, const char *file) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s/%s", work, name, file);
    char *text = read_file(path, NULL);
    ck_assert_msg(text != NULL, "%s", path);
    return text;
}

static int64_t rows_resolved(const char *name) {
    char *text = text_of(name, "config.resolved.json"), *at = strstr(text, "\"pack_tokens\": ");
    ck_assert_msg(at != NULL, "%s", text);
    const int64_t rows = atoll(at + strlen("\"pack_tokens\": "));
    free(text);
    return rows;
}

static void expect_log(const char *name, const char *format, int64_t rows) {
    char want[128], *text = text_of(name, "log.txt");
    snprintf(want, sizeof want, format, (long long)rows);
    ck_assert_msg(strstr(text, want) != NULL, "no '%s' in\n%s", want, text);
    free(text);
}

START_TEST(a_run_chooses_once) {
    char more[64], path[300];
    train("chosen", 2, "--set train.pack_tokens=0");
    const int64_t rows = rows_resolved("chosen");
    ck_assert(rows >= 64 && rows % 64 == 0);
    expect_log("chosen", "train.pack_tokens 0: %lld rows at a time, nothing is computed again", rows);
    train("chosen", 4, "--set train.pack_tokens=0"); // goes on
    expect_log("chosen", "train.pack_tokens 0: %lld rows at a time, nothing is computed again, as this run began",
               rows);
    snprintf(more, sizeof more, "--set train.pack_tokens=%lld", (long long)rows);
    train("given", 4, more);
    run_expect_steps(in_work("chosen"), 4);
    run_expect_same(in_work("given"), in_work("chosen"), 4);

    // Whatever would fit now, the run's own numbers hold.
    train("smaller", 2, "--set train.pack_tokens=832 --set train.recompute=true");
    train("smaller", 3, "--set train.pack_tokens=0");
    expect_log("smaller", "train.pack_tokens 0: %lld rows at a time, layers are computed again (train.recompute), as "
                          "this run began", 832);
    ck_assert_int_eq(rows_resolved("smaller"), 832);
    snprintf(path, sizeof path, "%s/smaller/config.resolved.json", work);
    ck_assert(!file_write(path, "{}", 2));
    outcome o = program("train lora %s %s --set run.dir=%s/smaller --set run.max_steps=4 --set train.pack_tokens=0",
                        common, quick, work);
    ck_assert_msg(o.exit == 1 && strstr(o.err, "config.resolved.json"), "%d, %s", o.exit, o.err);
    outcome_free(&o);
}
END_TEST

// --- the command --------------------------------------------------------------------------------
static json *report(int exit, const char *words) {
    json *j = NULL;
    outcome o = program("plan lora --json %s", words);
    ck_assert_msg(o.exit == exit, "plan %s: exit %d\n%s%s", words, o.exit, o.out, o.err);
    ck_assert_msg(json_parse(&j, "plan", o.out, strlen(o.out), 1) == STATUS_OK, "%s", status_text());
    outcome_free(&o);
    return j;
}

static int64_t number(json_value object, const char *key) {
    int64_t value = -1;
    ck_assert_msg(!json_member_int(&value, object, key, 0, INT64_MAX), "%s", status_text());
    return value;
}

static bool is_true(json_value object, const char *key) {
    bool value = false;
    ck_assert_msg(!json_member_bool(&value, object, key), "%s", status_text());
    return value;
}

// LLaMA-7B's sizes alone: no weights, no tokenizer, no card.
static const char seven[] = "--config " SOURCE_ROOT "/configs/paper/lora.json --set run.threads=2 --set model.base="
                            SOURCE_ROOT "/configs/models/llama-7b --device cuda";

// Rows of each storage in GIB; exit 1 where the first does not fit.
static void expect_storages(int gib, int exit, const bool fits[LANGUAGE_STORAGES],
                            const bool recompute[LANGUAGE_STORAGES]) {
    char words[1024];
    int i = 0;
    int64_t rows = 0;
    snprintf(words, sizeof words, "%s --precision bf16 --memory %d", seven, gib);
    json *j = report(exit, words);
    const json_value root = json_root(j), all = json_find(root, "storages");
    ck_assert_int_eq(number(root, "room_bytes"), (int64_t)gib << 30);
    ck_assert_int_eq(is_true(root, "fits"), !exit);
    for (json_value v = json_first(all); v.node; v = json_next(v), i++) {
        ck_assert_int_eq(is_true(v, "fits"), fits[i]);
        ck_assert_int_eq(is_true(v, "recompute"), recompute[i]);
        ck_assert(fits[i] == (number(v, "device_bytes") <= ((int64_t)gib << 30) / 100 * 95));
        // Int8 takes as many bits as FP8 before it, which rounds x in memory of its own; the others take fewer.
        if (i && fits[i] && recompute[i] == recompute[i - 1])
            ck_assert_int_gt(number(v, "pack_tokens"), i == 2 ? rows - 1 : rows);
        rows = number(v, "pack_tokens");
        if (!i) ck_assert(rows == number(root, "pack_tokens"));
    }
    ck_assert_int_eq(i, LANGUAGE_STORAGES);
    json_close(j);
}

START_TEST(cards_that_are_not_here) {
    static const bool yes[] = {true, true, true, true}, no[LANGUAGE_STORAGES], first[LANGUAGE_STORAGES] = {true},
                      few[] = {false, true, true, true}, three[] = {true, true, true, false};
    expect_storages(139, 0, yes, no);
    expect_storages(24, 0, yes, no);
    expect_storages(15, 0, yes, first); // 14.6 GB of 16.1
    expect_storages(10, 1, few, three); // 8 bits with regions, NF4 without
    expect_storages(2, 1, no, yes);
    char words[1024];
    static const char *const wrong[] = {"0", "-1", "24GB", "", "nan"};
    for (int i = 0; i < 5; i++) {
        snprintf(words, sizeof words, "plan lora %s --memory=%s", seven, wrong[i]);
        outcome o = program("%s", words);
        ck_assert_msg(o.exit == 2 && strstr(o.err, "--memory takes a number of GiB"), "%s: %d, %s", words, o.exit,
                      o.err);
        outcome_free(&o);
    }
}
END_TEST

// With memory that is named and small: what fits is what the choice itself takes, and advice holds.
START_TEST(the_command_chooses) {
    char words[3000];
    const double gib = ((double)total_of(1280, false) + 100) / 0.8 / (1 << 30);
    snprintf(words, sizeof words, "%s --set model.image_width=%d --set lora.rank=3 --set train.batch=8 --memory %.9f",
             common, WIDTH, gib + 0.25); // the program's own
    char more[3100];
    snprintf(more, sizeof more, "%s --set train.pack_tokens=0", words);
    json *j = report(0, more);
    ck_assert_int_eq(number(json_root(j), "pack_tokens"), 1280);
    ck_assert_int_eq(number(json_root(j), "device_bytes"), (int64_t)total_of(1280, false));
    json_close(j);
    snprintf(more, sizeof more, "plan lora %s --set train.pack_tokens=100000", words);
    outcome o = program("%s", more);
    ck_assert_msg(o.exit == 1 && strstr(o.out, "what would: --set train.pack_tokens=0 ("), "%s%s", o.out, o.err);
    outcome_free(&o);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("plan_language");
    TCase *tests = tcase_create("plan_language");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, setup, language_teardown);
    tcase_add_test(tests, said_is_used);
    tcase_add_test(tests, as_many_rows_as_fit);
    tcase_add_test(tests, a_run_chooses_once);
    tcase_add_test(tests, cards_that_are_not_here);
    tcase_add_test(tests, the_command_chooses);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
