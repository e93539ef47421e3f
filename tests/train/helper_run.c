#include "tests/train/helper_run.h"
#include "core/files/fs.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

static char *metrics(const char *run) {
    char path[1024];
    snprintf(path, sizeof path, "%s/metrics.jsonl", run);
    return read_file(path, NULL);
}

int run_last_step(const char *run) {
    char *text = metrics(run);
    int last = 0;
    for (char *at = text; at && (at = strstr(at, "{\"step\":")); at++) {
        if (!strchr(at, '\n')) break;
        last = atoi(at + 8);
    }
    free(text);
    return last;
}

void run_expect_steps(const char *run, int steps) {
    char line[32], *text = metrics(run);
    ck_assert_msg(text != NULL, "%s has no metrics", run);
    ck_assert_int_eq(count_text(text, "\n"), steps);
    for (int step = 1; step <= steps; step++) {
        snprintf(line, sizeof line, "{\"step\":%d,", step);
        ck_assert_msg(count_text(text, line) == 1, "step %d stands %d times", step,
                      count_text(text, line));
    }
    free(text);
}

double run_metric(const char *run, int step, const char *key) {
    char head[32], name[64], *text = metrics(run);
    snprintf(head, sizeof head, "{\"step\":%d,", step);
    snprintf(name, sizeof name, "\"%s\":", key);
    char *line = text ? strstr(text, head) : NULL, *end = line ? strchr(line, '\n') : NULL;
    if (end) *end = 0;
    const char *at = line ? strstr(line, name) : NULL;
    ck_assert_msg(at != NULL, "%s: no %s of step %d", run, key, step);
    double value = strtod(at + strlen(name), NULL);
    free(text);
    return value;
}

void run_kill_at(const char *run, int step, const char *command) {
    const struct timespec pause = {0, 2000000};
    pid_t child = program_start("%s --quiet", command);
    for (int i = 0; i < 60000 && run_last_step(run) < step; i++) {
        int state;
        if (waitpid(child, &state, WNOHANG) == child)
            ck_abort_msg("the run ended (%d) before step %d", state, step);
        nanosleep(&pause, NULL);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

void run_expect_same(const char *a, const char *b, int step) {
    char folder[2][1024], x[2048], y[2048];
    names list[2] = {{0}};
    for (int i = 0; i < 2; i++) {
        snprintf(folder[i], sizeof folder[i], "%s/checkpoints/step-%08d", i ? b : a, step);
        ck_assert_msg(!folder_list(folder[i], &list[i]), "%s", status_text());
    }
    ck_assert_uint_gt(list[0].count, 3);
    ck_assert_uint_eq(list[0].count, list[1].count);
    for (size_t i = 0; i < list[0].count; i++) {
        snprintf(x, sizeof x, "%s/%s", folder[0], list[0].name[i]);
        snprintf(y, sizeof y, "%s/%s", folder[1], list[0].name[i]);
        ck_assert_msg(same_files(x, y), "%s and %s differ", x, y);
    }
    for (int i = 0; i < 2; i++) names_free(&list[i]);
}
