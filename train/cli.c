#include "train/cli.h"
#include "core/nearest.h"
#include "train/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Of every command.
static const option common_options[] = {
    {"json", NULL, "results for machines: JSON on stdout"},
    {"quiet", NULL, "no progress on stderr; warnings stay"},
    {"help", NULL, "this text"},
    {0},
};

static const option configured_options[] = {
    {"config", "FILE", "the configuration, a JSON file"},
    {"set", "SECTION.KEY=VALUE", "overrides one key (repeatable)"},
    {"device", "cpu|cuda", "where to compute"},
    {"precision", "f32|bf16|fp16", "number type of matrices and activations"},
    {0},
};

bool command_configured(const command *c) { return c->tables || c->keys; }

// The tables that a command's options stand in.
static int option_tables(const command *c, const option *tables[3]) {
    int count = 0;
    if (c->options) tables[count++] = c->options;
    if (command_configured(c)) tables[count++] = configured_options;
    tables[count++] = common_options;
    return count;
}

static const option *find_option(const command *c, const char *name, size_t length) {
    const option *tables[3];
    int count = option_tables(c, tables);
    for (int i = 0; i < count; i++)
        for (const option *o = tables[i]; o->name; o++)
            if (strlen(o->name) == length && !strncmp(o->name, name, length)) return o;
    return NULL;
}

static status unknown_option(const command *c, const char *text, size_t length) {
    const option *tables[3];
    const char *names[64];
    char name[128];
    int count = option_tables(c, tables), known = 0;
    for (int i = 0; i < count; i++)
        for (const option *o = tables[i]; o->name && known < 64; o++) names[known++] = o->name;
    snprintf(name, sizeof name, "%.*s", (int)length, text);
    return status_fail(STATUS_USAGE, "unknown option --%s; did you mean --%s? (radialog %s --help)", name,
                       nearest_name(name, names, known), c->name);
}

static status take_option(arguments *a, int argc, char *const *argv, int *i) {
    const char *text = argv[*i] + 2, *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : strlen(text);
    const option *o = find_option(a->command, text, length);
    const char *value = "";
    if (!o) return unknown_option(a->command, text, length);
    if (!o->value && equals)
        return status_fail(STATUS_USAGE, "--%s takes no value", o->name);
    if (o->value && equals)
        value = equals + 1;
    else if (o->value && *i + 1 < argc)
        value = argv[++*i];
    else if (o->value)
        return status_fail(STATUS_USAGE, "--%s needs a value (%s)", o->name, o->value);
    if (a->count == MAX_GIVEN)
        return status_fail(STATUS_USAGE, "more than %d options", MAX_GIVEN);
    a->given[a->count].option = o;
    a->given[a->count++].value = value;
    return STATUS_OK;
}

status arguments_parse(arguments *a, const command *c, const char **positional, int argc,
                       char *const *argv) {
    a->command = c;
    a->count = a->positionals = 0;
    a->positional = positional;
    bool options = true;
    for (int i = 0; i < argc; i++) {
        if (options && !strcmp(argv[i], "--")) {
            options = false;
            continue;
        }
        if (options && !strncmp(argv[i], "--", 2)) {
            status rc = take_option(a, argc, argv, &i);
            if (rc) return rc;
            continue;
        }
        positional[a->positionals++] = argv[i];
    }
    if (argument_given(a, "help")) return STATUS_OK;
    bool many = c->positional && strstr(c->positional, "...");
    if (!c->positional && a->positionals)
        return status_fail(STATUS_USAGE, "unexpected argument '%s'", positional[0]);
    if (c->positional && *c->positional != '[' && !a->positionals)
        return status_fail(STATUS_USAGE, "%s is missing (radialog %s --help)", c->positional, c->name);
    if (c->positional && !many && a->positionals > 1)
        return status_fail(STATUS_USAGE, "unexpected argument '%s'", positional[1]);
    return STATUS_OK;
}

const char *argument(const arguments *a, const char *name) {
    for (int i = a->count; i-- > 0;)
        if (!strcmp(a->given[i].option->name, name)) return a->given[i].value;
    return NULL;
}

bool argument_given(const arguments *a, const char *name) { return argument(a, name) != NULL; }

status argument_int(const arguments *a, const char *name, int64_t low, int64_t high,
                    int64_t standard, int64_t *out) {
    const char *text = argument(a, name);
    *out = standard;
    if (!text) return STATUS_OK;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < low || value > high)
        return status_fail(STATUS_USAGE, "--%s takes a whole number from %lld to %lld, not '%s'", name,
                           (long long)low, (long long)high, text);
    *out = value;
    return STATUS_OK;
}

status command_help(const command *c, buffer *out) {
    const option *tables[3];
    int count = option_tables(c, tables);
    buffer_print(out, "radialog %s%s%s [options]\n  %s\n\n", c->name, c->positional ? " " : "",
                 c->positional ? c->positional : "", c->summary);
    for (int i = 0; i < count; i++)
        for (const option *o = tables[i]; o->name; o++) {
            size_t start = out->length;
            buffer_print(out, "  --%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
            while (out->length - start < 30 && !out->failed) buffer_text(out, " ");
            buffer_print(out, " %s\n", o->help);
        }
    if (!command_configured(c)) return out->failed;
    buffer_text(out, "\nConfiguration keys (--config FILE, --set SECTION.KEY=VALUE):\n");
    return c->tables ? settings_help(out, c->tables) : c->keys(out);
}
