// What core/config.c (values), core/config_check.c (one value against its rule) and
// core/config_print.c (help and resolved text) share. Nobody else includes it.
#pragma once
#include "core/config.h"
#include "core/files/json.h"

enum { CHOICES_MAX = 64, CHOICES_SIZE = 1024, ALLOWED_SIZE = 1400 };

// A value of any type: a scalar is a list of one. Booleans are 0 and 1; whole numbers are exact.
typedef struct config_value {
    int count;
    double *number; // (count), else NULL
    char **text;    // (count), else NULL
} config_value;

typedef struct config_entry {
    const config_key *key;
    char *path;           // "section.key"
    const char *standard; // the key's default, or another that a later table gives
    config_value value, pending;
    bool has_pending;     // PENDING waits until all of a file is found good
    char *origin;         // "configs/a.json:12: " or "--set optim.lr=1: "; NULL: the default
    char *pending_origin; // likewise
} config_entry;

struct config {
    config_entry *entry;
    int count;
    const char **section; // in order of first appearance; borrowed from the tables
    int sections;
    const char **path; // of every entry, for nearest_name
};

bool config_is_list(config_type type);
bool config_is_text(config_type type); // a text or a list of texts

// Checks VALUE against KEY and stores it in OUT (freed with config_value_free). Errors: USAGE,
// MEMORY.
status config_check(config_value *out, const config_key *key, json_value value);
void config_value_free(config_value *value);

// "a number from 0 to 1" in TEXT, which is returned.
char *config_allowed(char text[ALLOWED_SIZE], const config_key *key);
// Splits "a|b|c" into NAMES, whose strings lie in TEXT; returns how many there are.
int config_choices(const char *names[CHOICES_MAX], char text[CHOICES_SIZE], const char *choices);
