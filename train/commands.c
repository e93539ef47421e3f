#include "train/commands.h"
#include "core/nearest.h"

#include <stdio.h>
#include <string.h>

const command *const all_commands[] = {
#define X(name) &name,
    COMMAND_LIST(X)
#undef X
        NULL};

const command *command_find(int argc, const char *const *argv, int *words) {
    char typed[64];
    for (int i = 0; all_commands[i]; i++) {
        *words = strchr(all_commands[i]->name, ' ') ? 2 : 1;
        if (argc < *words) continue;
        snprintf(typed, sizeof typed, *words == 2 ? "%s %s" : "%s", argv[0], argc > 1 ? argv[1] : "");
        if (!strcmp(typed, all_commands[i]->name)) return all_commands[i];
    }
    return NULL;
}

status command_unknown(int argc, const char *const *argv) {
    const char *names[64];
    char typed[64], stages[512] = "";
    int count = 0;
    bool two = !strcmp(argv[0], "train") && argc > 1;
    for (int i = 0; all_commands[i]; i++) names[count++] = all_commands[i]->name;
    snprintf(typed, sizeof typed, "%s%s%s", argv[0], two ? " " : "", two ? argv[1] : "");
    for (int i = 0; i < count; i++)
        if (!strncmp(names[i], "train ", 6))
            snprintf(stages + strlen(stages), sizeof stages - strlen(stages), " radialog %s", names[i]);
    if (!strcmp(typed, "train")) return status_fail(STATUS_USAGE, "train needs a stage:%s", stages);
    if (*typed == '-')
        return status_fail(STATUS_USAGE, "options stand behind the command: radialog COMMAND %s (radialog --help)",
                           typed);
    return status_fail(STATUS_USAGE, "unknown command '%s'; did you mean 'radialog %s'? (radialog --help)", typed,
                       nearest_name(typed, names, count));
}
