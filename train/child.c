#include "train/child.h"
#include "core/files/staged_file.h"
#include "train/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_WORDS = 4096, LOOK_MS = 100, CANNOT_START = 126 };

typedef struct child {
    const child_options *o;
    pid_t pid;
    int from; // its stdout
    int told; // the signal that was handed on
    staged_file output;
} child;

// In the child. Its group is its own: a Ctrl-C on the terminal reaches it once, through us.
static void become(const char *const *argv, const child_options *o, int out, pid_t parent) {
    const char *words[MOST_WORDS];
    char self[4096];
    int count = 0;
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length > 0) self[length] = 0;
    for (const char *const *w = o->before; w && *w && count < MOST_WORDS - 2; w++) words[count++] = *w;
    words[count++] = self;
    for (; *argv && count < MOST_WORDS - 1; argv++) words[count++] = *argv;
    words[count] = NULL;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (o->mute && !freopen("/dev/null", "w", stderr)) _exit(CANNOT_START);
    if (length > 0 && getppid() == parent && dup2(out, STDOUT_FILENO) >= 0 && !*argv)
        execvp(words[0], (char *const *)words);
    fprintf(stderr, "radialog: cannot start %s: %s\n", words[0], strerror(errno));
    _exit(CANNOT_START);
}

static status start(child *c, const char *const *argv) {
    int ends[2];
    const pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC)) return status_fail(STATUS_IO, "cannot open a pipe: %s", strerror(errno));
    fflush(stdout);
    c->from = ends[0];
    c->pid = fork();
    if (!c->pid) become(argv, c->o, ends[1], parent);
    close(ends[1]);
    if (c->pid < 0) return status_fail(STATUS_IO, "cannot start another process: %s", strerror(errno));
    setpgid(c->pid, c->pid); // whoever is first
    return STATUS_OK;
}

static void hand_on_signal(child *c) {
    if (!signals_pending() || c->told) return;
    c->told = signals_pending();
    kill(-c->pid, c->told);
}

static status take(child *c, const char *bytes, size_t count) {
    if (c->o->said) buffer_append(c->o->said, bytes, count);
    if (!c->o->quiet) {
        fwrite(bytes, 1, count, stdout);
        fflush(stdout);
    }
    return c->o->output ? staged_write(&c->output, bytes, count) : STATUS_OK;
}

// Until it has closed its stdout.
static status listen(child *c) {
    char bytes[1 << 16];
    status rc = STATUS_OK;
    for (;;) {
        struct pollfd look = {.fd = c->from, .events = POLLIN};
        const int ready = poll(&look, 1, LOOK_MS);
        hand_on_signal(c);
        if (ready <= 0) continue;
        const ssize_t count = read(c->from, bytes, sizeof bytes);
        if (count == 0 || (count < 0 && errno != EINTR)) return rc;
        if (count > 0 && !rc) rc = take(c, bytes, (size_t)count);
    }
}

static status ended(child *c) {
    int how;
    while (waitpid(c->pid, &how, WNOHANG) == 0) {
        hand_on_signal(c);
        poll(NULL, 0, LOOK_MS / 10);
    }
    if (WIFSIGNALED(how))
        return status_fail(STATUS_TRAINING, "was killed by signal %d (%s)%s", WTERMSIG(how), strsignal(WTERMSIG(how)),
                           WTERMSIG(how) == SIGKILL ? "; is memory short? `radialog plan` tells what it takes" : "");
    const int code = WEXITSTATUS(how);
    if (code == 128 + SIGINT || code == 128 + SIGTERM) {
        if (!signals_pending()) signals_tell(code - 128);
        return status_fail(STATUS_INTERRUPTED, "was stopped");
    }
    if (code) return status_fail(code == 2 ? STATUS_USAGE : STATUS_TRAINING, "ended with exit status %d", code);
    return STATUS_OK;
}

status child_run(const char *const *argv, const child_options *o) {
    child c = {.o = o, .from = -1};
    status rc = o->output ? staged_open(&c.output, o->output) : STATUS_OK;
    if (!rc) rc = start(&c, argv);
    if (!rc) {
        const status heard = listen(&c);
        rc = ended(&c);
        if (!rc) rc = heard;
    }
    if (c.from >= 0) close(c.from);
    if (!rc && o->output) rc = staged_finish(&c.output);
    if (!rc && o->said) rc = o->said->failed;
    staged_close(&c.output);
    return rc;
}
