#include "tests/train/helper_program.h"

#include <check.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *program_path = RADIALOG_PROGRAM;

const char *const tiny_settings =
    "--set data.crop=512 --set data.size=64 --set model.stem=4 --set model.widths=[4,4,8,8] "
    "--set model.blocks=[1,1,1,1] --set model.vit_width=8 --set model.pooler_blocks=1 "
    "--set model.pooler_heads=2 --set model.joint_width=8 --set model.pool=2 --set model.hidden=8 "
    "--set train.batch=8 --set optim.lr=1e-3 --set run.threads=2";

#define TINY_BERT                                                                                           \
    "--set model.width=16 --set model.layers=2 --set model.heads=2 --set model.inner=32 "                   \
    "--set model.positions=64 --set data.max_tokens=48 --set train.batch=8 --set optim.lr=1e-2 "            \
    "--set run.threads=2 "

const char *const tiny_chexbert = TINY_BERT;

const char *const tiny_aligner =
    TINY_BERT
    "--set data.crop=512 --set data.size=64 --set model.stem=4 --set model.widths=[4,4,8,8] "
    "--set model.blocks=[1,1,1,1] --set model.vit_width=8 --set model.pooler_blocks=1 "
    "--set model.pooler_heads=2 --set model.joint_width=12 --set model.queries=4 "
    "--set model.projection=8 --set optim.schedule=constant --set optim.warmup_steps=0";

void workspace_make(char path[256]) {
    const char *base = getenv("TMPDIR");
    snprintf(path, 256, "%s/radialog-test-XXXXXX", base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(path));
}

void workspace_remove(const char *path) {
    char command[512];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    ck_assert_int_eq(system(command), 0);
}

static char **split(char *text) {
    char **words = calloc(256, sizeof *words);
    int count = 1;
    words[0] = (char *)(size_t)program_path;
    for (char *w = strtok(text, " "); w && count < 255; w = strtok(NULL, " ")) words[count++] = w;
    return words;
}

static pid_t start(char *text, int out, int err) {
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child) return child;
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execvp(program_path, split(text));
    _exit(127);
}

static char *read_stream(int fd) {
    size_t size = 0, room = 1 << 16;
    char *text = malloc(room);
    lseek(fd, 0, SEEK_SET);
    for (ssize_t n; (n = read(fd, text + size, room - size - 1)) > 0;) {
        size += (size_t)n;
        if (room - size < 2) text = realloc(text, room *= 2);
    }
    text[size] = 0;
    close(fd);
    return text;
}

static int temporary_file(void) {
    char path[] = "/tmp/radialog-stream-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    return fd;
}

static outcome run_words(const char *format, va_list args) {
    char text[8192];
    int status = 0, out = temporary_file(), err = temporary_file();
    vsnprintf(text, sizeof text, format, args);
    pid_t child = start(text, out, err);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    outcome o = {.exit = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status)};
    o.out = read_stream(out);
    o.err = read_stream(err);
    return o;
}

outcome program(const char *format, ...) {
    va_list args;
    va_start(args, format);
    outcome o = run_words(format, args);
    va_end(args);
    return o;
}

void outcome_free(outcome *o) {
    free(o->out);
    free(o->err);
    *o = (outcome){0};
}

void program_expect(int expected, const char *format, ...) {
    va_list args;
    va_start(args, format);
    outcome o = run_words(format, args);
    va_end(args);
    ck_assert_msg(o.exit == expected, "radialog %s: exit %d, expected %d\n%s", format, o.exit, expected,
                  o.err);
    outcome_free(&o);
}

pid_t program_start(const char *format, ...) {
    char text[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int nowhere = open("/dev/null", O_WRONLY);
    pid_t child = start(text, nowhere, nowhere);
    close(nowhere);
    return child;
}

pid_t program_start_to(const char *out, const char *format, ...) {
    char text[8192], err[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(err, sizeof err, "%s.err", out);
    const int to = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0666), errors = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ck_assert(to >= 0 && errors >= 0);
    const pid_t child = start(text, to, errors);
    close(to);
    close(errors);
    return child;
}

void small_shards(const char *dir, int studies) {
    program_expect(0, "synth %s/data --studies %d --seed 3 --max-side 600 --quiet", dir, studies);
    program_expect(0, "ingest --source mimic %s/data --out %s/shards --quiet", dir, dir);
}

void small_vocabulary(const char *dir) {
    program_expect(0, "tokenizer train --type wordpiece %s/shards --out %s/vocab.txt --size 200 --quiet", dir, dir);
}

char *read_file(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY);
    if (fd < 0) return NULL;
    char *text = read_stream(fd);
    if (size) {
        FILE *f = fopen(path, "rb");
        fseek(f, 0, SEEK_END);
        *size = (size_t)ftell(f);
        fclose(f);
    }
    return text;
}

bool same_files(const char *a, const char *b) {
    size_t size_a = 0, size_b = 1;
    char *x = read_file(a, &size_a), *y = read_file(b, &size_b);
    bool same = x && y && size_a == size_b && !memcmp(x, y, size_a);
    free(x);
    free(y);
    return same;
}

int count_text(const char *text, const char *part) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) count++;
    return count;
}
