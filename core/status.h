// Errors that come from the world (files, configuration, memory, devices), and the way our own bugs stop.
//
// A function that can meet such an error returns a status. Whoever detects it calls status_fail once,
// with what happened, where, and what to do about it; every caller forwards the code untouched. The
// text belongs to the thread; status_carry moves it across threads. Only main exits.
#pragma once

#define STATUS_LIST(X)                                                                             \
    X(OK, "ok")                                                                                    \
    X(USAGE, "usage")              /* wrong command line or configuration: exit status 2 */        \
    X(IO, "input/output")          /* the operating system said no */                              \
    X(FORMAT, "bad input")         /* a file's content is not what it must be */                   \
    X(MEMORY, "out of memory")                                                                     \
    X(DEVICE, "device")            /* oneDNN, CUDA, cuDNN, ... */                                  \
    X(TRAINING, "training stopped") /* nothing to train, loss not finite, ... */                   \
    X(INTERRUPTED, "interrupted")  /* a signal asked the program to stop */                        \
    X(ELSEWHERE, "failed elsewhere") /* another rank failed and says why */

typedef enum status {
#define X(name, text) STATUS_##name,
    STATUS_LIST(X)
#undef X
} status;

// Stores the text (at most 1023 bytes, one line) for this thread and returns CODE.
status status_fail(status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Replaces the text of an error met in another thread or adds a place to the present one.
status status_carry(status code, const char *text);

// The text of this thread's latest failure; empty if there was none.
const char *status_text(void);

// The code's name for people, such as "bad input".
const char *status_name(status code);

// A bug of ours: wrong shape, type or call. Prints where and what, then aborts, in every build type.
#define die(...) die_at(__FILE__, __LINE__, __VA_ARGS__)
void die_at(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
