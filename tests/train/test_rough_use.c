// The program in the hands of people in a hurry: wrong tables, foreign labels, damaged files, two at once, a
// full disk. Each ends with one line that says what, where and what to do, and loses nothing.
#include "tests/train/helper_program.h"

#include <check.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
    workspace_make(work);
    small_shards(work, 20);
    shell("cp $(find %s/data -name '*.jpg' | sort | head -n 1) %s/one.jpg", work, work);
}

static void teardown(void) { workspace_remove(work); }

// Exit status CODE; the one line that is no warning (nor its indented table) says all of PARTS ('|' between them).
static void expect(int code, const char *parts, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void expect(int code, const char *parts, const char *format, ...) {
    char words[2048], list[512], *rest = list, *line, *errors;
    int lines = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    outcome o = program("%s", words);
    ck_assert_msg(o.exit == code, "radialog %s: exit %d, expected %d: %s", words, o.exit, code, o.err);
    snprintf(list, sizeof list, "%s", parts);
    for (char *part; (part = strsep(&rest, "|"));)
        ck_assert_msg(strstr(o.err, part) != NULL, "radialog %s: no '%s' in: %s", words, part, o.err);
    for (errors = o.err; (line = strsep(&errors, "\n"));)
        lines += *line && *line != ' ' && strncmp(line, "warning: ", 9);
    ck_assert_msg(lines == (code != 0), "radialog %s: %d lines", words, lines);
    outcome_free(&o);
}

static void table(const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/data.csv", work);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

START_TEST(tables) {
    static const struct {
        const char *text, *parts;
    } cases[] = {
        {"", "data.csv|is empty"},
        {"image;report\none.jpg;x\n", "data.csv|no column 'image'|separated by commas"},
        {"image,report,cardiomegaly\none.jpg,x,1\n", "data.csv|'cardiomegaly' must be written 'Cardiomegaly'"},
        {"Image,report\none.jpg,x\n", "data.csv|'Image' must be written 'image'"},
        {"image,report\n", "has no rows"},
        {"image,report\n\"one.jpg,x\n", "data.csv, line 2|never closed"},
        {"image,report\nnone.jpg,x\n", "no record could be kept|skipped.csv"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        table(cases[i].text);
        shell("rm -rf %s/out", work);
        expect(1, cases[i].parts, "ingest --source folder %s --out %s/out --quiet", work, work);
    }
    table("\xef\xbb\xbfimage,report,split\r\none.jpg,\"clear,\r\n\"\"really\"\"\",train\r\n"
          "one.jpg,again,train\r\nno.jpg,x,train\r\n");
    shell("rm -rf %s/out", work);
    expect(0, "", "ingest --source folder %s --out %s/out --quiet", work, work);
    shell("grep -q 'one,duplicate id' %s/out/skipped.csv && grep -q 'no,missing image' %s/out/skipped.csv",
          work, work);
}
END_TEST

START_TEST(options_of_the_other_source) {
    expect(2, "--csv goes with --source folder", "ingest --source mimic %s --out %s/x --csv y", work, work);
    expect(2, "--csv goes with --source folder", "ingest %s/data --out %s/x --csv y", work, work);
    expect(2, "options stand behind the command", "--quiet train classifier");
    expect(2, "train needs a stage|radialog train classifier", "train");
}
END_TEST

START_TEST(labels_of_other_data) {
    shell("sed '2,$s/^/x/' %s/data/finding_chexbert_labels.csv > %s/foreign.csv", work, work);
    expect(1, "foreign.csv|no dicom_id in it", "ingest %s/data --out %s/out2 --labels %s/foreign.csv", work,
           work, work);
    shell("head -n 3 %s/data/finding_chexbert_labels.csv > %s/few.csv", work, work);
    expect(0, "", "ingest %s/data --out %s/out2 --labels %s/few.csv --quiet", work, work, work);
}
END_TEST

START_TEST(damaged_directories) {
    static const char *const damage[] = {": > %s/bad/manifest.json", "rm %s/bad/manifest.json",
                                         ": > %s/bad/train-00000.h5",
                                         "head -c 100 %s/shards/manifest.json > %s/bad/manifest.json",
                                         "touch %s/bad/train-00000.h5.tmp"};
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        char command[1024];
        shell("rm -rf %s/bad && cp -r %s/shards %s/bad", work, work, work);
        // Each damage names the work folder once or twice.
        snprintf(command, sizeof command, damage[i], work, work);
        shell("%s", command);
        expect(0, "", "ingest %s/data --out %s/bad --quiet", work, work);
        shell("diff -r %s/shards %s/bad", work, work);
    }
    // A name of a shard that no plan can have.
    shell("touch %s/bad/train-9223372036854775807.h5", work);
    expect(1, "train-9223372036854775807.h5|other inputs", "ingest %s/data --out %s/bad --quiet", work, work);
}
END_TEST

#define TRAIN "train classifier %s --quiet --set data.shards=%s/shards --set run.dir=%s/%s "

START_TEST(two_at_once) {
    pid_t first = program_start(TRAIN "--set run.max_steps=100000", tiny_settings, work, work, "two");
    char path[512];
    snprintf(path, sizeof path, "%s/two/metrics.jsonl", work);
    for (int i = 0; i < 1200 && access(path, F_OK); i++) usleep(50000);
    expect(1, "/two|another radialog", TRAIN, tiny_settings, work, work, "two");
    kill(first, SIGKILL);
    waitpid(first, NULL, 0);
    // And what it left is free again.
    expect(0, "", TRAIN "--set run.max_steps=1", tiny_settings, work, work, "two");
}
END_TEST

START_TEST(another_configuration) {
    expect(0, "", TRAIN "--set run.max_steps=2", tiny_settings, work, work, "run");
    expect(1, "fc1|config.resolved.json|--fresh", TRAIN "--set run.max_steps=4 --set model.hidden=16",
           tiny_settings, work, work, "run");
    expect(0, "warning", TRAIN "--set run.max_steps=4 --set optim.lr=1e-4", tiny_settings, work, work, "run");
}
END_TEST

START_TEST(no_room) {
    char command[1024];
    expect(0, "", TRAIN "--set run.max_steps=2", tiny_settings, work, work, "full");
    snprintf(command, sizeof command, "%s inspect %s/full > /dev/full 2> %s/err", program_path, work, work);
    ck_assert_int_ne(system(command), 0);
    shell("grep -q 'stdout' %s/err && test $(wc -l < %s/err) = 1", work, work);
}
END_TEST

int main(void) {
    TCase *c = tcase_create("rough use");
    tcase_set_timeout(c, 0);
    tcase_add_unchecked_fixture(c, setup, teardown);
    tcase_add_test(c, tables);
    tcase_add_test(c, options_of_the_other_source);
    tcase_add_test(c, labels_of_other_data);
    tcase_add_test(c, damaged_directories);
    tcase_add_test(c, two_at_once);
    tcase_add_test(c, another_configuration);
    tcase_add_test(c, no_room);
    Suite *s = suite_create("rough use");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
