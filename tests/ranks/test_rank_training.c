// The same training on 1, 2 and 3 ranks, by the gates of the design: in double whole runs agree (losses 1e-9,
// updates 1e-6), in f32 a first step does (loss 1e-5, gradients 1e-4). Batches do not divide by the ranks, and
// the last one of an epoch holds a single record. Then the program itself: resumed on another number of ranks,
// a rank killed, stopped, or asked to stop.
#include "tests/ranks/helper_compare.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <dirent.h>
#include <regex.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char work[256];

static void setup(void) {
    workspace_make(work);
    small_shards(work, 60);
}

static void teardown(void) { workspace_remove(work); }

// --- whole runs in double, a step in f32 -----------------------------------------------------------------
static void train(const char *device, int ranks, const char *name, int steps, const char *extra) {
    program_path = MPIRUN;
    program_expect(0,
                   "%d %s classifier %s %s/%s.bin %s --set data.shards=%s/shards --set run.dir=%s/%s "
                   "--set run.max_steps=%d --set data.limit=17 --set data.augment=true "
                   "--set train.validate_every=4 --set run.threads=1 %s",
                   ranks, RANK_TRAIN, device, work, name, tiny_settings, work, work, name, steps, extra);
    program_path = RADIALOG_PROGRAM;
}

// On three ranks what a region holds is computed again, also where a rank has no record.
START_TEST(whole_runs_in_double) {
    enum { STEPS = 8 };
    train("oracle", 1, "start", 1, "--set optim.lr=0");
    train("oracle", 1, "one", STEPS, "--set optim.lr=1e-3");
    for (int ranks = 2; ranks <= 3; ranks++) {
        char name[16];
        snprintf(name, sizeof name, "many%d", ranks);
        train("oracle", ranks, name, STEPS,
              ranks == 3 ? "--set optim.lr=1e-3 --set train.recompute=true" : "--set optim.lr=1e-3");
        compare_metrics(work, "one", name, STEPS, "loss", 1e-9);
        compare_metrics(work, "one", name, STEPS, "grad_norm", 1e-6);
        compare_values(work, "one", name, "start", 1e-6, 100);
    }
}
END_TEST

// On two ranks, then three, then one, each from the middle of an epoch: what one rank becomes that never stopped.
// All that may differ is that checkpoints round to f32.
START_TEST(resumed_in_double) {
    enum { STEPS = 12, PARTS = 3 };
    const int ranks[PARTS] = {2, 3, 1};
    const char *settings = "--set optim.lr=1e-3 --set optim.schedule=constant";
    train("oracle", 1, "start", 1, "--set optim.lr=0");
    train("oracle", 1, "whole", STEPS, settings);
    for (int i = 0; i < PARTS; i++) train("oracle", ranks[i], "parts", STEPS / PARTS * (i + 1), settings);
    compare_metrics(work, "whole", "parts", STEPS, "loss", 1e-7);
    compare_values(work, "whole", "parts", "start", 1e-4, 100);
}
END_TEST

START_TEST(a_step_in_single) {
    train("cpu", 1, "single", 1, "");
    for (int ranks = 2; ranks <= 3; ranks++) {
        train("cpu", ranks, "singles", 1, "");
        compare_metrics(work, "single", "singles", 1, "loss", 1e-5);
        compare_values(work, "single", "singles", NULL, 1e-4, 100);
        char command[512];
        snprintf(command, sizeof command, "rm -rf '%s/singles'", work);
        ck_assert_int_eq(system(command), 0);
    }
}
END_TEST

// --- the program -----------------------------------------------------------------------------------------
static const char *rank_command(const char *run, int steps, const char *extra) {
    static char text[4096];
    snprintf(text, sizeof text,
             "%s train classifier %s --set data.shards=%s/shards --set run.dir=%s/%s "
             "--set run.max_steps=%d --set train.checkpoint_every=5 --set train.validate_every=20 "
             "--set run.threads=1 %s",
             RADIALOG_PROGRAM, tiny_settings, work, work, run, steps, extra);
    return text;
}

static const char *command(int ranks, const char *run, int steps, const char *extra) {
    static char text[4200];
    snprintf(text, sizeof text, "%d %s", ranks, rank_command(run, steps, extra));
    return text;
}

static bool exists(const char *run, const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s/%s", work, run, name);
    return access(path, F_OK) == 0;
}

// The same bytes twice on two ranks; then on with three, and one.
START_TEST(resumed_on_another_number) {
    char a[512], b[512];
    program_path = MPIRUN;
    program_expect(0, "%s", command(2, "a", 10, "--quiet"));
    program_expect(0, "%s", command(2, "b", 10, "--quiet"));
    snprintf(a, sizeof a, "%s/a/checkpoints/step-00000010/model.safetensors", work);
    snprintf(b, sizeof b, "%s/b/checkpoints/step-00000010/model.safetensors", work);
    ck_assert(same_files(a, b));
    program_expect(0, "%s", command(3, "b", 15, "--quiet"));
    program_path = RADIALOG_PROGRAM;
    program_expect(0, "train classifier %s --set data.shards=%s/shards --set run.dir=%s/b --set run.max_steps=20 "
                      "--quiet", tiny_settings, work, work);
    ck_assert(exists("b", "checkpoints/step-00000020/model.safetensors"));
    snprintf(a, sizeof a, "%s/b/metrics.jsonl", work);
    char *text = read_file(a, NULL);
    ck_assert_int_eq(count_text(text, "\n"), 20);
    free(text);
}
END_TEST

static bool is_child(const char *process, pid_t parent) {
    char path[300], text[512] = "";
    int found = 0;
    snprintf(path, sizeof path, "/proc/%s/stat", process);
    FILE *f = fopen(path, "r");
    if (f && !fgets(text, sizeof text, f)) text[0] = 0;
    if (f) fclose(f);
    const char *name_end = strrchr(text, ')'); // a name may hold anything
    if (name_end) sscanf(name_end + 1, " %*c %d", &found);
    return found == (int)parent;
}

static bool has_variable(const char *process, const char *wanted) {
    static char text[1 << 16];
    char path[300];
    size_t size = 0;
    snprintf(path, sizeof path, "/proc/%s/environ", process);
    FILE *f = fopen(path, "rb");
    if (f) size = fread(text, 1, sizeof text - 1, f);
    if (f) fclose(f);
    text[size] = 0;
    for (char *at = text; at < text + size; at += strlen(at) + 1)
        if (!strcmp(at, wanted)) return true;
    return false;
}

// The process of RANK among the children of mpirun; 0 while it is not there.
static pid_t rank_process(pid_t parent, int rank) {
    char wanted[64];
    pid_t found = 0;
    DIR *all = opendir("/proc");
    snprintf(wanted, sizeof wanted, "OMPI_COMM_WORLD_RANK=%d", rank);
    for (struct dirent *e; all && !found && (e = readdir(all));)
        if (atoi(e->d_name) > 0 && is_child(e->d_name, parent) && has_variable(e->d_name, wanted))
            found = atoi(e->d_name);
    if (all) closedir(all);
    return found;
}

static void wait_for_checkpoint(const char *run) {
    const struct timespec pause = {0, 20000000};
    for (int i = 0; i < 3000 && !exists(run, "checkpoints/step-00000005"); i++) nanosleep(&pause, NULL);
    ck_assert(exists(run, "checkpoints/step-00000005"));
}

// Starts a long run on three ranks, sends SIGNAL to rank 1 once it trains. Its exit status and the seconds
// it took to end; what it said is in work/RUN.err.
static int interrupt(const char *run, int number, const char *extra, double *seconds) {
    struct timespec begin, end;
    char text[4600];
    int state;
    snprintf(text, sizeof text, "exec %s %s 2>%s/%s.err >&2", MPIRUN, command(3, run, 100000, extra), work, run);
    pid_t child = fork();
    if (!child) {
        execl("/bin/sh", "sh", "-c", text, (char *)NULL);
        _exit(127);
    }
    wait_for_checkpoint(run);
    pid_t victim = rank_process(child, 1);
    ck_assert_int_gt(victim, 0);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    kill(victim, number);
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    clock_gettime(CLOCK_MONOTONIC, &end);
    *seconds = (double)(end.tv_sec - begin.tv_sec);
    if (number == SIGSTOP) kill(victim, SIGKILL);
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

static char *said(const char *run) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.err", work, run);
    return read_file(path, NULL);
}

START_TEST(killed_rank_ends_all) {
    double seconds;
    ck_assert_int_ne(interrupt("killed", SIGKILL, "", &seconds), 0);
    ck_assert_double_lt(seconds, 15);
}
END_TEST

// RANK says which collective was late, its number (each of the five steps before has one at least), and for whom
// it waits.
static void expect_late(const char *text, int rank) {
    char pattern[256];
    regex_t line;
    regmatch_t part[2];
    snprintf(pattern, sizeof pattern,
             "radialog: rank %d of 3: (all_reduce_(sum|start|finish)|broadcast|barrier|agree_max) [0-9]+ "
             "has not ended within 3 seconds; it waits for rank 1([^0-9]|$)", rank);
    ck_assert_int_eq(regcomp(&line, pattern, REG_EXTENDED), 0);
    ck_assert_msg(!regexec(&line, text, 2, part, 0), "rank %d:\n%s", rank, text);
    ck_assert_int_gt(atoi(text + part[1].rm_eo), 5);
    regfree(&line);
}

START_TEST(stopped_rank_is_named) {
    double seconds;
    ck_assert_int_eq(interrupt("stuck", SIGSTOP, "--set run.watchdog=3", &seconds), 1);
    ck_assert_double_lt(seconds, 20);
    char *text = said("stuck");
    expect_late(text, 0);
    expect_late(text, 2);
    ck_assert_msg(count_text(text, "radialog: rank ") == 2, "%s", text);
    free(text);
}
END_TEST

START_TEST(asked_rank_stops_all_with_one_checkpoint) {
    double seconds;
    char newest[512];
    int exit_status = interrupt("asked", SIGTERM, "", &seconds);
    char *text = said("asked");
    ck_assert_msg(exit_status == 143, "exit %d\n%s", exit_status, text);
    const char *at = strstr(text, "after step ");
    ck_assert_msg(at != NULL, "%s", text);
    ck_assert_msg(count_text(text, "stopped by signal") == 1, "%s", text); // rank 0 says it for all
    int step = atoi(at + strlen("after step "));
    snprintf(newest, sizeof newest, "checkpoints/step-%08d/manifest.json", step);
    ck_assert(exists("asked", newest));
    free(text);
    // It goes on from there, alone.
    snprintf(newest, sizeof newest, "%s/asked/metrics.jsonl", work);
    text = read_file(newest, NULL);
    ck_assert_int_eq(count_text(text, "\n"), step);
    free(text);
}
END_TEST

START_TEST(too_few_records_for_the_ranks) {
    program_path = MPIRUN;
    outcome o = program("3 %s train classifier %s --set data.shards=%s/shards --set run.dir=%s/few "
                        "--set train.batch=2",
                        RADIALOG_PROGRAM, tiny_settings, work, work);
    program_path = RADIALOG_PROGRAM;
    ck_assert_int_ne(o.exit, 0);
    ck_assert_msg(count_text(o.err, "leaves some of the 3 ranks without work") == 1, "%s", o.err);
    outcome_free(&o);
}
END_TEST

// Rank 0 as A says, rank 1 as B says: nobody trains, and one line with WORDS tells why.
static void expect_refusal(const char *a, const char *b, const char *words) {
    char first[4096];
    snprintf(first, sizeof first, "%s", rank_command("apart", 2, a));
    program_path = MPIRUN;
    outcome o = program("2 %s %s @ %s", BY_RANK, first, rank_command("apart", 2, b));
    program_path = RADIALOG_PROGRAM;
    ck_assert_int_ne(o.exit, 0);
    ck_assert_msg(count_text(o.err, words) == 1, "%s", o.err);
    ck_assert(!exists("apart", "metrics.jsonl"));
    outcome_free(&o);
}

START_TEST(ranks_of_one_configuration) {
    char other[512], here[512];
    expect_refusal("--set optim.lr=1e-3", "--set optim.lr=2e-3", "different values of optim.lr, rank 0 with 0.001");
    expect_refusal("--set train.batch=4", "--set train.batch=5", "different values of train.batch");
    snprintf(other, sizeof other, "%s/other", work);
    ck_assert_int_eq(mkdir(other, 0755), 0);
    small_shards(other, 30);
    snprintf(here, sizeof here, "--set data.shards=%s/shards", work);
    snprintf(other, sizeof other, "--set data.shards=%s/other/shards", work);
    expect_refusal(here, other, "read different data");
    // Folders and threads are each machine's own.
    snprintf(here, sizeof here, "%s", "--set run.threads=1 --set data.threads=1 --quiet");
    char first[4096];
    snprintf(first, sizeof first, "%s", rank_command("same", 2, here));
    program_path = MPIRUN;
    program_expect(0, "2 %s %s @ %s", BY_RANK, first,
                   rank_command("elsewhere", 2, "--set run.threads=2 --quiet"));
    program_path = RADIALOG_PROGRAM;
}
END_TEST

int main(void) {
    Suite *suite = suite_create("training on ranks");
    TCase *tcase = tcase_create("ranks");
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 0);
    tcase_add_test(tcase, whole_runs_in_double);
    tcase_add_test(tcase, resumed_in_double);
    tcase_add_test(tcase, a_step_in_single);
    tcase_add_test(tcase, resumed_on_another_number);
    tcase_add_test(tcase, killed_rank_ends_all);
    tcase_add_test(tcase, stopped_rank_is_named);
    tcase_add_test(tcase, asked_rank_stops_all_with_one_checkpoint);
    tcase_add_test(tcase, too_few_records_for_the_ranks);
    tcase_add_test(tcase, ranks_of_one_configuration);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
