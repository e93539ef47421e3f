#include "core/config_private.h"

#include <string.h>

static void print_element(const config_entry *e, int i, buffer *out) {
    if (e->value.text)
        buffer_json(out, e->value.text[i]);
    else if (e->key->type == CONFIG_BOOL)
        buffer_text(out, e->value.number[i] != 0 ? "true" : "false");
    else if (e->key->type == CONFIG_INT || e->key->type == CONFIG_INTS)
        buffer_print(out, "%lld", (long long)e->value.number[i]);
    else
        buffer_json_number(out, e->value.number[i]);
}

static void print_value(const config_entry *e, buffer *out) {
    bool list = config_is_list(e->key->type);
    if (list) buffer_text(out, "[");
    for (int i = 0; i < e->value.count; i++) {
        if (i) buffer_text(out, ", ");
        print_element(e, i, out);
    }
    if (list) buffer_text(out, "]");
}

int config_count(const config *c) {
    return c->count;
}

const char *config_print(const config *c, int i, buffer *out) {
    print_value(&c->entry[i], out);
    return c->path[i];
}

void config_resolved(const config *c, buffer *out) {
    buffer_text(out, "{");
    for (int s = 0; s < c->sections; s++) {
        const char *before = "";
        buffer_text(out, s ? ",\n  " : "\n  ");
        buffer_json(out, c->section[s]);
        buffer_text(out, ": {");
        for (int i = 0; i < c->count; i++) {
            if (strcmp(c->entry[i].key->section, c->section[s]) != 0) continue;
            buffer_print(out, "%s\n    ", before);
            buffer_json(out, c->entry[i].key->name);
            buffer_text(out, ": ");
            print_value(&c->entry[i], out);
            before = ",";
        }
        buffer_text(out, "\n  }");
    }
    buffer_text(out, c->sections ? "\n}\n" : "}\n");
}

void config_help(const config *c, buffer *out) {
    char allowed[ALLOWED_SIZE];
    int width = 0;
    for (int i = 0; i < c->count; i++)
        if ((int)strlen(c->path[i]) > width) width = (int)strlen(c->path[i]);
    for (int s = 0; s < c->sections; s++) {
        if (s) buffer_text(out, "\n");
        for (int i = 0; i < c->count; i++) {
            const config_key *key = c->entry[i].key;
            if (strcmp(key->section, c->section[s]) != 0) continue;
            buffer_print(out, "  %-*s  %s\n", width, c->path[i], key->help);
            buffer_print(out, "  %-*s  %s; default %s\n", width, "", config_allowed(allowed, key),
                         c->entry[i].standard);
        }
    }
}
