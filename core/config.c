#include "core/config_private.h"
#include "core/files/fs.h"
#include "core/nearest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 20 };

static config_entry *entry_find(const config *c, const char *path, size_t length) {
    for (int i = 0; i < c->count; i++)
        if (strncmp(c->path[i], path, length) == 0 && !c->path[i][length]) return &c->entry[i];
    return NULL;
}

static status entry_default(config_entry *e) {
    json *document = NULL;
    const char *text = e->standard;
    config_value_free(&e->value);
    status rc = json_parse(&document, e->path, text, strlen(text), 0);
    if (!rc) rc = config_check(&e->value, e->key, json_root(document));
    json_close(document);
    if (rc && rc != STATUS_MEMORY) die("default of %s: %s", e->path, status_text());
    return rc;
}

static void check_declaration(const config *c, const config_key *key) {
    if (!key->name || !key->standard || !key->help || strpbrk(key->section, ".=") ||
        strpbrk(key->name, ".=") || (key->type == CONFIG_CHOICE && !key->choices))
        die("configuration key %s.%s: incomplete declaration", key->section,
            key->name ? key->name : "?");
    for (int i = 0; i < c->count; i++)
        if (!strcmp(c->entry[i].key->section, key->section) &&
            !strcmp(c->entry[i].key->name, key->name))
            die("configuration key %s.%s: declared twice", key->section, key->name);
}

static void add_section(config *c, const char *section) {
    for (int i = 0; i < c->sections; i++)
        if (strcmp(c->section[i], section) == 0) return;
    c->section[c->sections++] = section;
}

// CONFIG_DEFAULT: E's key was declared before.
static status entry_standard(config *c, const config_key *key) {
    for (int i = 0; i < c->count; i++) {
        config_entry *e = &c->entry[i];
        if (strcmp(e->key->section, key->section) || strcmp(e->key->name, key->name)) continue;
        e->standard = key->standard;
        return entry_default(e);
    }
    die("default of %s.%s: there is no such key", key->section, key->name);
}

static status entry_add(config *c, const config_key *key) {
    buffer path = {0};
    if (key->type == CONFIG_DEFAULT) return entry_standard(c, key);
    check_declaration(c, key);
    add_section(c, key->section);
    config_entry *e = &c->entry[c->count];
    e->key = key;
    e->standard = key->standard;
    buffer_print(&path, "%s.%s", key->section, key->name);
    if (path.failed) return path.failed;
    e->path = path.data;
    c->path[c->count++] = e->path;
    return entry_default(e);
}

status config_open(config **out, const config_key *const *tables) {
    config *c = NULL;
    size_t count = 0;
    *out = NULL;
    for (const config_key *const *t = tables; *t; t++)
        for (const config_key *key = *t; key->section; key++) count++;
    status rc = mem_new(&c, 1, "the configuration");
    if (rc) return rc;
    rc = mem_new(&c->entry, count, "the configuration's keys");
    if (!rc) rc = mem_new(&c->section, count, "the configuration's sections");
    if (!rc) rc = mem_new(&c->path, count, "the configuration's paths");
    for (const config_key *const *t = tables; *t && !rc; t++)
        for (const config_key *key = *t; key->section && !rc; key++) rc = entry_add(c, key);
    if (rc)
        config_close(c);
    else
        *out = c;
    return rc;
}

static void drop_pending(config *c) {
    for (int i = 0; i < c->count; i++) {
        config_entry *e = &c->entry[i];
        config_value_free(&e->pending);
        mem_free(e->pending_origin);
        e->pending_origin = NULL;
        e->has_pending = false;
    }
}

static void commit_pending(config *c) {
    for (int i = 0; i < c->count; i++) {
        config_entry *e = &c->entry[i];
        if (!e->has_pending) continue;
        config_value_free(&e->value);
        mem_free(e->origin);
        e->value = e->pending;
        e->origin = e->pending_origin;
        e->pending = (config_value){0};
        e->pending_origin = NULL;
        e->has_pending = false;
    }
}

void config_close(config *c) {
    if (!c) return;
    drop_pending(c);
    for (int i = 0; i < c->count; i++) {
        config_value_free(&c->entry[i].value);
        mem_free(c->entry[i].origin);
        mem_free(c->entry[i].path);
    }
    mem_free(c->entry);
    mem_free(c->section);
    mem_free(c->path);
    mem_free(c);
}

static status entry_set(config_entry *e, json_value value) {
    char place[JSON_PLACE_SIZE];
    status rc = config_check(&e->pending, e->key, value);
    e->has_pending = !rc;
    return rc ? rc : mem_string(&e->pending_origin, json_place(place, value));
}

static status unknown_key(const config *c, json_value at, const char *path) {
    char place[JSON_PLACE_SIZE];
    const char *nearest = nearest_name(path, c->path, c->count);
    return status_fail(STATUS_USAGE, "%sthere is no key %.100s; the nearest is %s",
                       json_place(place, at), path, nearest ? nearest : "none");
}

static status load_key(config *c, const char *section, json_value value) {
    buffer path = {0};
    buffer_print(&path, "%s.%s", section, json_key(value));
    if (path.failed) return path.failed;
    config_entry *e = entry_find(c, path.data, path.length);
    status rc = e ? entry_set(e, value) : unknown_key(c, value, path.data);
    buffer_free(&path);
    return rc;
}

static status load_section(config *c, json_value section) {
    char place[JSON_PLACE_SIZE];
    const char *name = json_key(section);
    bool known = false;
    for (int i = 0; i < c->sections; i++) known = known || strcmp(c->section[i], name) == 0;
    if (!known) {
        const char *nearest = nearest_name(name, c->section, c->sections);
        return status_fail(STATUS_USAGE, "%sthere is no section \"%.100s\"; the nearest is \"%s\"",
                           json_place(place, section), name, nearest ? nearest : "none");
    }
    status rc = json_object(section);
    for (json_value v = json_first(section); v.node && !rc; v = json_next(v))
        rc = load_key(c, name, v);
    return rc;
}

status config_load(config *c, const char *path) {
    json *document = NULL;
    status rc = json_read(&document, path, FILE_LIMIT);
    if (!rc) rc = json_object(json_root(document));
    if (!rc)
        for (json_value v = json_first(json_root(document)); v.node && !rc; v = json_next(v))
            rc = load_section(c, v);
    if (rc)
        drop_pending(c);
    else
        commit_pending(c);
    json_close(document);
    return rc == STATUS_FORMAT ? STATUS_USAGE : rc; // a configuration is part of the command
}

// The argument's value as JSON: bare texts get their quotes.
static status parse_assigned(json **out, const config_key *key, const char *name,
                             const char *value) {
    buffer text = {0};
    char allowed[ALLOWED_SIZE];
    bool bare = config_is_text(key->type) && !config_is_list(key->type) && *value != '"';
    if (bare)
        buffer_json(&text, value);
    else
        buffer_text(&text, value);
    status rc = text.failed;
    if (!rc) rc = json_parse(out, name, text.data, text.length, 0);
    buffer_free(&text);
    if (rc == STATUS_FORMAT)
        return status_fail(STATUS_USAGE, "%s: %s.%s must be %.400s, but it is %.60s", name,
                           key->section, key->name, config_allowed(allowed, key), value);
    const char *read_back = value;
    if (!rc && bare) rc = json_text(&read_back, json_root(*out));
    if (!rc && strcmp(read_back, value) != 0)
        rc = status_fail(STATUS_USAGE, "%s: the text is not valid UTF-8", name);
    return rc;
}

status config_set(config *c, const char *assignment) {
    char name[300];
    json *document = NULL;
    snprintf(name, sizeof name, "--set %.280s", assignment);
    const char *equals = strchr(assignment, '=');
    if (!equals)
        return status_fail(STATUS_USAGE, "%s: has no '='; write --set section.key=value", name);
    config_entry *e = entry_find(c, assignment, (size_t)(equals - assignment));
    if (!e) {
        char path[128];
        snprintf(path, sizeof path, "%.*s", (int)(equals - assignment), assignment);
        const char *nearest = nearest_name(path, c->path, c->count);
        return status_fail(STATUS_USAGE, "%s: there is no key %s; the nearest is %s", name, path,
                           nearest ? nearest : "none");
    }
    status rc = parse_assigned(&document, e->key, name, equals + 1);
    if (!rc) rc = entry_set(e, json_root(document));
    if (rc)
        drop_pending(c);
    else
        commit_pending(c);
    json_close(document);
    return rc;
}

static const config_entry *declared(const config *c, const char *path) {
    const config_entry *e = entry_find(c, path, strlen(path));
    if (!e) die("configuration key %s: not declared", path);
    return e;
}

static const config_entry *typed(const config *c, const char *path, config_type type) {
    const config_entry *e = declared(c, path);
    if (e->key->type != type) die("configuration key %s: is of another type", path);
    return e;
}

bool config_bool(const config *c, const char *path) {
    return typed(c, path, CONFIG_BOOL)->value.number[0] != 0;
}

int64_t config_int(const config *c, const char *path) {
    return (int64_t)typed(c, path, CONFIG_INT)->value.number[0];
}

double config_float(const config *c, const char *path) {
    return typed(c, path, CONFIG_FLOAT)->value.number[0];
}

const char *config_text(const config *c, const char *path) {
    const config_entry *e = declared(c, path);
    if (!config_is_text(e->key->type) || config_is_list(e->key->type))
        die("configuration key %s: is no text", path);
    return e->value.text[0];
}

int config_choice(const config *c, const char *path) {
    const char *choice[CHOICES_MAX];
    char split[CHOICES_SIZE];
    const config_entry *e = typed(c, path, CONFIG_CHOICE);
    int count = config_choices(choice, split, e->key->choices), place = 0;
    while (place < count && strcmp(choice[place], e->value.text[0]) != 0) place++;
    return place;
}

int config_ints(const config *c, const char *path, int64_t *out, int max) {
    const config_value *value = &typed(c, path, CONFIG_INTS)->value;
    for (int i = 0; i < value->count && i < max; i++) out[i] = (int64_t)value->number[i];
    return value->count;
}

int config_floats(const config *c, const char *path, double *out, int max) {
    const config_value *value = &typed(c, path, CONFIG_FLOATS)->value;
    for (int i = 0; i < value->count && i < max; i++) out[i] = value->number[i];
    return value->count;
}

int config_texts(const config *c, const char *path, const char **out, int max) {
    const config_value *value = &typed(c, path, CONFIG_TEXTS)->value;
    for (int i = 0; i < value->count && i < max; i++) out[i] = value->text[i];
    return value->count;
}

bool config_is_set(const config *c, const char *path) {
    return declared(c, path)->origin != NULL;
}

status config_require(const config *c, const char *path) {
    const config_entry *e = declared(c, path);
    bool given = e->value.count > 0 && (!e->value.text || e->value.text[0][0]);
    if (given) return STATUS_OK;
    return status_fail(STATUS_USAGE,
                       "%s%s is not set (%s): give --set %s=... or set it in the configuration",
                       e->origin ? e->origin : "", path, e->key->help, path);
}

status config_fail(const config *c, const char *path, const char *format, ...) {
    const config_entry *e = declared(c, path);
    char text[500];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return status_fail(STATUS_USAGE, "%s%s%s %s", e->origin ? e->origin : "", path,
                       e->origin ? "" : " (default)", text);
}
