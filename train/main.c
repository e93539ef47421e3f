// The program: finds the command, runs it, turns its status into an exit status.
#include "core/log.h"
#include "train/commands.h"
#include "train/signals.h"
#include "train/waiting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

static void print_help(FILE *out) {
    fputs("radialog: trains and uses a radiology vision-language model\n\n", out);
    for (int i = 0; all_commands[i]; i++)
        fprintf(out, "  radialog %-18s %s\n", all_commands[i]->name, all_commands[i]->summary);
    fputs("\nradialog COMMAND --help tells more.\n", out);
}

static int exit_status(const command *c, status rc) {
    if ((fflush(stdout) || ferror(stdout)) && !rc)
        rc = status_fail(STATUS_IO, "cannot write to stdout; is the disk full?");
    if (!rc) return EXIT_SUCCESS;
    if (rc != STATUS_ELSEWHERE && *status_text()) fprintf(stderr, "radialog %s: %s\n", c->name, status_text());
    if (rc == STATUS_INTERRUPTED) return 128 + signals_pending();
    return rc == STATUS_USAGE ? EXIT_USAGE : EXIT_FAILURE;
}

static status run_command(const command *c, int argc, char *const *argv) {
    static arguments given;
    const char **positional = NULL;
    buffer help = {0};
    status rc = mem_new(&positional, argc + 1, "arguments");
    if (!rc) rc = arguments_parse(&given, c, positional, argc, argv);
    if (!rc && argument_given(&given, "help")) {
        rc = command_help(c, &help);
        if (!rc) fwrite(help.data, 1, help.length, stdout);
        buffer_free(&help);
    } else if (!rc) {
        log_quiet(argument_given(&given, "quiet"));
        signals_install();
        rc = c->run(&given);
    }
    mem_free(positional);
    return rc;
}

int main(int argc, char **argv) {
    int words = 0;
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
        print_help(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_SUCCESS;
    }
    if (!strcmp(argv[1], "--version")) {
        puts("radialog " RADIALOG_VERSION);
        return EXIT_SUCCESS;
    }
    waiting_set(argv); // starts the program again: not for what is done at once
    const char *const *given = (const char *const *)argv + 1;
    const command *c = command_find(argc - 1, given, &words);
    if (!c && command_unknown(argc - 1, given)) fprintf(stderr, "radialog: %s\n", status_text());
    if (!c) return EXIT_USAGE;
    return exit_status(c, run_command(c, argc - 1 - words, argv + 1 + words));
}
