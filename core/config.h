// Configuration: JSON files of sections of keys, checked against declared tables.
//
// A table says of each key its type, range, default and help; validation, --set, the help text and
// config.resolved.json all come from it. Commands declare tables, main loads the file and the --set
// arguments, the rest asks by path ("optim.lr"). Unknown keys are errors that name the nearest one.
#pragma once
#include "core/buffer.h"
#include <stdbool.h>

typedef enum config_type {
    CONFIG_BOOL,
    CONFIG_INT,
    CONFIG_FLOAT,
    CONFIG_TEXT,
    CONFIG_PATH,   // a text; a file or folder, from the working folder
    CONFIG_CHOICE, // a text out of `choices`
    CONFIG_INTS,   // lists; range or choices hold for every element
    CONFIG_FLOATS,
    CONFIG_TEXTS,
    CONFIG_DEFAULT // another default for a key of a table before: only section, name and standard
} config_type;

enum { CONFIG_LIST_MAX = 64 }; // elements of a list, at most

typedef struct config_key {
    const char *section, *name;
    config_type type;
    double min, max;      // of numbers, both included; both 0: any (integers: below 2^53)
    const char *standard; // the default as JSON: "1e-4", "true", "\"adamw\"", "[64, 128]"
    const char *choices;  // "a|b|c" for CONFIG_CHOICE and, if wanted, CONFIG_TEXTS; else NULL
    const char *help;     // one line
} config_key;

typedef struct config config;

// TABLES is a NULL-terminated list of tables, each ended by {0}; borrowed until config_close. All
// keys take their defaults. A key declared twice or a default that breaks its own rules is our bug:
// dies. Errors: MEMORY.
status config_open(config **out, const config_key *const *tables);
void config_close(config *c); // accepts NULL

// Sets what the JSON file at PATH (at most 1 MiB) gives. On error nothing has changed.
// Errors: IO; USAGE "PATH:LINE: ..."; MEMORY.
status config_load(config *c, const char *path);

// "section.key=value", the argument of --set; wins over what was loaded if called after
// config_load. The value is JSON, except that texts may be bare. Errors: USAGE "--set ASSIGNMENT:
// ..."; MEMORY.
status config_set(config *c, const char *assignment);

// Values by "section.key". An undeclared path or another type than declared is our bug: dies.
bool config_bool(const config *c, const char *path);
int64_t config_int(const config *c, const char *path);
double config_float(const config *c, const char *path);
// TEXT, PATH and CHOICE. Borrowed until the key is set again.
const char *config_text(const config *c, const char *path);
// The place of a CHOICE in its `choices`, from 0.
int config_choice(const config *c, const char *path);
// Lists: return how many elements there are, and write at most MAX of them.
int config_ints(const config *c, const char *path, int64_t *out, int max);
int config_floats(const config *c, const char *path, double *out, int max);
int config_texts(const config *c, const char *path, const char **out, int max);

// Whether the file or --set gave it.
bool config_is_set(const config *c, const char *path);
// USAGE unless the text or list at PATH is not empty; says how to give it.
status config_require(const config *c, const char *path);
// USAGE with the place where PATH was set, for rules between keys:
//     config_fail(c, "model.widths", "has %d elements, must have 4", n)
status config_fail(const config *c, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// All keys by section with type, range, default and help, for people.
void config_help(const config *c, buffer *out);
// How many keys there are; the value of the I-th, as JSON, and its "section.key". Borrowed.
int config_count(const config *c);
const char *config_print(const config *c, int i, buffer *out);
// All keys as JSON, in the order of the tables; loads back to the same values and the same text.
void config_resolved(const config *c, buffer *out);
