#include "train/signals.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t pending;

static void note(int number) {
    pending = number;
    signal(number, SIG_DFL); // whoever asks twice does not want to wait for the checkpoint
}

void signals_install(void) {
    static const int numbers[] = {SIGINT, SIGTERM};
    // What is being read or written goes on: whoever works asks for the signal in between.
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &action, NULL);
}

int signals_pending(void) { return (int)pending; }

void signals_forget(void) {
    pending = 0;
    signals_install();
}

void signals_tell(int number) { pending = number; }
