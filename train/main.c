// The program: finds the command, runs it, turns its status into an exit status.
#include "core/log.h"
#include "core/nearest.h"
#include "train/commands.h"
#include "train/signals.h"
#include "train/waiting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const command *const commands[] = {
#define X(name) &name,
    COMMAND_LIST(X)
#undef X
};
enum { COMMANDS = sizeof commands / sizeof *commands, EXIT_USAGE = 2 };

static void print_help(FILE *out) {
    fputs("radialog: trains and uses a radiology vision-language model\n\n", out);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  radialog %-18s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\nradialog COMMAND --help tells more.\n", out);
}

// Matches the words of a command's name; *WORDS tells how many.
static const command *find_command(int argc, char *const *argv, int *words) {
    for (int i = 0; i < COMMANDS; i++) {
        char typed[64];
        *words = strchr(commands[i]->name, ' ') ? 2 : 1;
        if (argc < *words) continue;
        snprintf(typed, sizeof typed, *words == 2 ? "%s %s" : "%s", argv[0], argc > 1 ? argv[1] : "");
        if (!strcmp(typed, commands[i]->name)) return commands[i];
    }
    return NULL;
}

static int unknown_command(int argc, char *const *argv) {
    const char *names[COMMANDS];
    char typed[64];
    for (int i = 0; i < COMMANDS; i++) names[i] = commands[i]->name;
    bool two = !strcmp(argv[0], "train") && argc > 1;
    snprintf(typed, sizeof typed, two ? "%s %s" : "%s", argv[0], two ? argv[1] : "");
    if (!two && !strcmp(argv[0], "train")) {
        fputs("radialog: train needs a stage:", stderr);
        for (int i = 0; i < COMMANDS; i++)
            if (!strncmp(names[i], "train ", 6)) fprintf(stderr, " radialog %s", names[i]);
        fputs("\n", stderr);
        return EXIT_USAGE;
    }
    if (argv[0][0] == '-') {
        fprintf(stderr, "radialog: options stand behind the command: radialog COMMAND %s (radialog --help)\n",
                argv[0]);
        return EXIT_USAGE;
    }
    fprintf(stderr, "radialog: unknown command '%s'; did you mean 'radialog %s'? (radialog --help)\n",
            typed, nearest_name(typed, names, COMMANDS));
    return EXIT_USAGE;
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
    const command *c = find_command(argc - 1, argv + 1, &words);
    if (!c) return unknown_command(argc - 1, argv + 1);
    return exit_status(c, run_command(c, argc - 1 - words, argv + 1 + words));
}
