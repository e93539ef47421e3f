// What a checkpoint says of its model, out of the configuration. See config_keys.h.
#include "train/config_keys.h"

#include <stdio.h>
#include <string.h>

// One value as JSON, by its key's type.
static void print_value(buffer *out, const config *c, const config_key *key) {
    char path[128];
    int64_t list[CONFIG_LIST_MAX];
    snprintf(path, sizeof path, "%s.%s", key->section, key->name);
    switch (key->type) {
    case CONFIG_BOOL: buffer_text(out, config_bool(c, path) ? "true" : "false"); return;
    case CONFIG_INT: buffer_print(out, "%lld", (long long)config_int(c, path)); return;
    case CONFIG_FLOAT: buffer_json_number(out, config_float(c, path)); return;
    case CONFIG_TEXT:
    case CONFIG_PATH:
    case CONFIG_CHOICE: buffer_json(out, config_text(c, path)); return;
    case CONFIG_INTS: break;
    case CONFIG_FLOATS:
    case CONFIG_TEXTS:
    case CONFIG_DEFAULT: die("config_model_json: %s has a type that no model key has", path);
    }
    int count = config_ints(c, path, list, CONFIG_LIST_MAX);
    for (int i = 0; i < count; i++)
        buffer_print(out, "%s%lld", i ? ", " : "[", (long long)list[i]);
    buffer_text(out, "]");
}

// The keys of SECTION, but for paths and what only a training needs.
static void print_section(buffer *out, const config *c, const config_key *const *tables, const char *section) {
    const char *before = "";
    buffer_print(out, "  \"%s\": {", section);
    for (; *tables; tables++)
        for (const config_key *key = *tables; key->section; key++) {
            if (strcmp(key->section, section) || key->type == CONFIG_PATH || key->type == CONFIG_DEFAULT) continue;
            buffer_print(out, "%s\n    \"%s\": ", before, key->name);
            print_value(out, c, key);
            before = ",";
        }
    buffer_text(out, "\n  }");
}

void config_model_json(buffer *out, const config *c, const config_key *const *data_tables,
                       const config_key *const *model_tables) {
    buffer_text(out, "{\n");
    print_section(out, c, data_tables, "data");
    buffer_text(out, ",\n");
    print_section(out, c, model_tables, "model");
    buffer_text(out, "\n}\n");
}
