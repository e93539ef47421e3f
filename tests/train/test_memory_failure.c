// Every command, with the n-th allocation failing, and with that one and all behind it failing: exit status
// 1, one line that says so, and nothing lost: the same command without a failure then ends as it should.
// The first calls are tried one by one, later ones in growing strides, until a run succeeds.
#include "tests/train/helper_program.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SINGLY = 6, STRIDE = 6, UNNOTICED = 3 }; // the last: of failing_main.c

static char work[256];

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...) {
    char command[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    ck_assert_msg(system(command) == 0, "%s", command);
}

static void setup(void) {
    setenv("OMP_WAIT_POLICY", "passive", 1); // many short runs beside each other's threads
    workspace_make(work);
    small_shards(work, 8);
    program_expect(0, "train classifier %s --quiet --set data.shards=%s/shards --set run.dir=%s/base "
                   "--set run.max_steps=2", tiny_settings, work, work);
    program_expect(0, "train classifier %s --quiet --set data.shards=%s/shards --set run.dir=%s/ended "
                   "--set run.max_steps=4", tiny_settings, work, work);
    shell("cp $(find %s/data -name '*.jpg' | sort | head -n 1) %s/one.jpg", work, work);
    shell("printf 'image,report\\none.jpg,clear\\nnone.jpg,clear\\n,x\\n' > %s/table.csv", work);
}

static void teardown(void) { workspace_remove(work); }

// Lines that are no warnings.
static int error_lines(const char *text) {
    int count = 0;
    for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        count += strncmp(line, "warning: ", 9) != 0;
    return count;
}

typedef struct drill {
    const char *words;  // printf format of three times the work folder
    const char *before; // the shell's, of the same; NULL: nothing
    const char *same;   // two folders or files that are equal once the command has ended well; NULL
    int stride;         // 0: STRIDE; smaller is faster
    bool ahead;         // reads ahead: what fails for a batch that nobody asks for is no failure
} drill;

// One run with allocation N failing; true when it took place without one.
static bool run_failing(const drill *d, long n) {
    char value[32];
    snprintf(value, sizeof value, "%ld", n % 2 ? n : -n);
    if (d->before) shell(d->before, work, work, work);
    setenv("RADIALOG_FAIL_ALLOCATION", value, 1);
    outcome o = program(d->words, work, work, work);
    unsetenv("RADIALOG_FAIL_ALLOCATION");
    bool succeeded = o.exit == 0, unasked = d->ahead && o.exit == UNNOTICED;
    if (!succeeded && !unasked) {
        ck_assert_msg(o.exit == 1, "%s, allocation %s: exit %d\n%s", d->words, value, o.exit, o.err);
        ck_assert_msg(error_lines(o.err) == 1 && strstr(o.err, "memory"),
                      "%s, allocation %s: not one line about memory:\n%s", d->words, value, o.err);
    }
    outcome_free(&o);
    if (!succeeded && d->same) {
        program_expect(0, d->words, work, work, work);
        shell(d->same, work, work, work);
    }
    return succeeded;
}

static void drill_command(const drill *d) {
    long n = 1, stride = d->stride ? d->stride : STRIDE;
    while (!run_failing(d, n)) {
        n += n < SINGLY ? 1 : 1 + n / stride;
        ck_assert_msg(n < 1000000, "%s: never succeeds", d->words);
    }
    ck_assert_msg(n > 2, "%s: allocates nothing", d->words);
}

#define TRAIN                                                                                      \
    "train classifier --set data.crop=512 --set data.size=64 --set model.stem=4 "                  \
    "--set model.widths=[4,4,8,8] --set model.blocks=[1,1,1,1] --set model.vit_width=8 "           \
    "--set model.pooler_blocks=1 --set model.pooler_heads=2 --set model.joint_width=8 "            \
    "--set model.pool=2 --set model.hidden=8 --set train.batch=8 --set optim.lr=1e-3 "             \
    "--set run.threads=2 --quiet --set data.shards=%s/shards "

static const drill drills[] = {
    {"synth %s/drawn --studies 2 --seed 1 --max-side 300 --quiet", "rm -rf %s/drawn", NULL, 0, false},
    {"ingest --source mimic %s/data --out %s/again --quiet", "rm -rf %s/again",
     "diff -r %s/shards %s/again", 2, false},
    {"ingest --source mimic %s/data --out %s/shards --quiet", NULL, NULL, 3, false},
    {"ingest --source folder %s --csv %s/table.csv --out %s/folder --quiet", "rm -rf %s/folder", NULL, 3, false},
    {"tokenizer train --type wordpiece %s/shards --out %s/vocabulary --size 150 --quiet", "rm -f %s/vocabulary",
     NULL, 2, false},
    {"tokenizer train --type sentencepiece %s/shards --out %s/model --size 320 --quiet", "rm -f %s/model", NULL, 2,
     false},
    {"instruct %s/shards --out %s/words --set instruct.cutoff=2000 "
     "--set instruct.tokenizer=" TEST_DATA "/tokenizer/llama.model "
     "--set instruct.findings_eval=none --set run.threads=2 --quiet --set instruct.prompts=" SOURCE_ROOT
     "/configs/prompts/report.json", "rm -rf %s/words", NULL, 2, false},
    {"inspect %s/shards", NULL, NULL, 0, false},
    {"inspect %s/ended", NULL, NULL, 0, false},
    {TRAIN "--set run.dir=%s/new --set run.max_steps=4", "rm -rf %s/new",
     "diff -r %s/ended/checkpoints %s/new/checkpoints", 1, true},
    {TRAIN "--set run.dir=%s/on --set run.max_steps=4", "rm -rf %s/on && cp -a %s/base %s/on",
     "diff -r %s/ended/checkpoints/step-00000004 %s/on/checkpoints/step-00000004", 1, true},
    {"report %s/ended --tensorboard", NULL, NULL, 2, false},
    {"watch %s/ended", NULL, NULL, 2, false},
    {"classify %s/one.jpg --checkpoint %s/ended", NULL, NULL, 2, false},
    {"classify %s/shards --split train --checkpoint %s/ended", NULL, NULL, 2, false},
    {"inspect %s/ended/checkpoints/step-00000004/model.safetensors", NULL, NULL, 0, false},
    {"bench loader --data %s/shards --size 488 --rounds 1 --warmup 0 --images 8 --quiet", NULL, NULL, 1, true},
    {"bench ingest --images 2 --rounds 1 --warmup 0 --max-side 300 --quiet", NULL, NULL, 1, false},
    {"bench encoder --size 128 --batch 1 --rounds 1 --warmup 0 --quiet --set model.stem=4 "
     "--set model.widths=[4,4,8,8] --set model.blocks=[1,1,1,1]", NULL, NULL, 1, false},
    {"plan classifier --set model.stem=4 --set model.widths=[4,4,8,8] --set model.blocks=[1,1,1,1] "
     "--set data.size=64 --set model.pool=2 --set train.batch=60000", NULL, NULL, 1, false},
    {"doctor --root /nowhere --set data.shards=%s/shards --set run.dir=%s", NULL, NULL, 1, false},
    {"train classifier --help", NULL, NULL, 0, false},
};
enum { DRILLS = sizeof drills / sizeof *drills };

START_TEST(each_failure_is_clean) {
    program_path = RADIALOG_PROGRAM "_failing";
    drill_command(&drills[_i]);
    program_path = RADIALOG_PROGRAM;
}
END_TEST

// A run that must fail anyway says what is wrong, or that memory is: never anything else.
START_TEST(errors_without_memory) {
    static const char *const words[] = {"inspect /nowhere", "classify /nowhere --checkpoint /nowhere",
                                        "train classifier --config /nowhere.json"};
    program_path = RADIALOG_PROGRAM "_failing";
    for (int n = 1; n <= 8; n++) {
        char value[32];
        snprintf(value, sizeof value, "%d", n);
        setenv("RADIALOG_FAIL_ALLOCATION", value, 1);
        outcome o = program("%s", words[_i]);
        unsetenv("RADIALOG_FAIL_ALLOCATION");
        ck_assert_msg(o.exit == 1 && error_lines(o.err) == 1, "%s, allocation %d: exit %d\n%s", words[_i],
                      n, o.exit, o.err);
        ck_assert_msg(strstr(o.err, "memory") || strstr(o.err, "/nowhere"), "%s", o.err);
        outcome_free(&o);
    }
    program_path = RADIALOG_PROGRAM;
}
END_TEST

int main(void) {
    TCase *c = tcase_create("memory");
    tcase_set_timeout(c, 0);
    tcase_add_unchecked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, each_failure_is_clean, 0, DRILLS);
    tcase_add_loop_test(c, errors_without_memory, 0, 3);
    Suite *s = suite_create("memory failure");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
