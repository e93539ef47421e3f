// The command line: commands and their options are declared in tables from which parsing, --help and
// error messages come. Unknown options are errors that name the nearest valid one.
#pragma once
#include "core/buffer.h"
#include "core/config.h"
#include <stdbool.h>

typedef struct option {
    const char *name;  // "out" for --out
    const char *value; // what stands behind it ("DIR"); NULL: a flag
    const char *help;
} option;

typedef struct arguments arguments;

typedef struct command {
    const char *name;       // "synth", "train classifier"
    const char *positional; // "OUT"; "IMAGE..." for any number; "[RUN]": or none; NULL: none
    const char *summary;    // one line
    const option *options;  // ended by {0}; the common ones (json, quiet, help) are added
    status (*run)(const arguments *a);
    // The keys of its configuration, which --config and --set give; NULL: it has none.
    const config_key *const *tables;
    // Where they depend on what is asked: appends all of them to OUT.
    status (*keys)(buffer *out);
    bool refuses_output; // an output that is there already: it is whole, and is not written over
} command;

enum { MAX_GIVEN = 4096 };

// Borrowed from argv.
struct arguments {
    const command *command;
    struct {
        const option *option;
        const char *value;
    } given[MAX_GIVEN];
    int count;
    const char **positional;
    int positionals;
};

// Parses what stands behind the command's name. POSITIONAL holds ARGC pointers. USAGE on errors.
status arguments_parse(arguments *a, const command *c, const char **positional, int argc,
                       char *const *argv);
// The last value given for --NAME, or NULL (flags: "" if given).
const char *argument(const arguments *a, const char *name);
bool argument_given(const arguments *a, const char *name);
// A whole number in a range, or STANDARD where the option is not given. USAGE names option and range.
status argument_int(const arguments *a, const char *name, int64_t low, int64_t high,
                    int64_t standard, int64_t *out);

// Whether it takes --config, --set, --device and --precision.
bool command_configured(const command *c);
// Help for one command.
status command_help(const command *c, buffer *out);
