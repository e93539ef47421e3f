#include "core/files/json.h"
#include "core/files/fs.h"
#include "core/files/json_scan.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

struct json {
    char *name;
    bool has_lines;
    cJSON *root;
};

// The largest integer whose neighbours are exact too: a literal beyond it may have been rounded.
static const double INTEGER_MAX = 0x1p53 - 1;

static const cJSON *node_of(json_value value) {
    return value.node;
}

static void *allocate(size_t size) {
    void *block;
    return mem_take(&block, size, 1, "a JSON document") ? NULL : block;
}

static void install_hooks(void) {
    cJSON_Hooks hooks = {allocate, mem_free};
    cJSON_InitHooks(&hooks);
}

// cJSON leaves valueint to us: it is a rounded copy of valuedouble, which we never read. Nodes in
// document order are the scanner's values in document order.
static size_t store_lines(cJSON *node, const int *lines, size_t next) {
    for (; node; node = node->next) {
        node->valueint = lines[next++];
        if (node->child) next = store_lines(node->child, lines, next);
    }
    return next;
}

static int compare_keys(const void *a, const void *b) {
    const cJSON *x = *(const cJSON *const *)a, *y = *(const cJSON *const *)b;
    int order = strcmp(x->string, y->string);
    return order ? order : (x->valueint > y->valueint) - (x->valueint < y->valueint);
}

typedef struct key_list {
    const cJSON **node;
    size_t capacity;
} key_list;

static status refuse_duplicates(const json *document, const cJSON *object, key_list *keys) {
    size_t count = 0;
    for (const cJSON *member = object->child; member; member = member->next) count++;
    status rc = mem_grow((void **)&keys->node, &keys->capacity, count, sizeof *keys->node,
                         "the keys of a JSON object");
    if (rc || count < 2) return rc;
    count = 0;
    for (const cJSON *member = object->child; member; member = member->next)
        keys->node[count++] = member;
    qsort(keys->node, count, sizeof *keys->node, compare_keys);
    for (size_t i = 1; i < count; i++)
        if (strcmp(keys->node[i - 1]->string, keys->node[i]->string) == 0)
            return json_fail((json_value){document, keys->node[i]}, "is given twice");
    return STATUS_OK;
}

static status check_keys(const json *document, const cJSON *node, key_list *keys) {
    status rc = cJSON_IsObject(node) ? refuse_duplicates(document, node, keys) : STATUS_OK;
    for (const cJSON *inside = node->child; inside && !rc; inside = inside->next)
        if (inside->child) rc = check_keys(document, inside, keys);
    return rc;
}

static status build(json *document, const char *text, size_t size, const json_scan *scan) {
    static once_flag once = ONCE_FLAG_INIT;
    call_once(&once, install_hooks);
    // The scanner has accepted the text, so only memory can be missing; its text is then stored.
    document->root = cJSON_ParseWithLength(text, size);
    if (!document->root) return STATUS_MEMORY;
    if (store_lines(document->root, scan->lines, 0) != scan->count)
        die("%s: cJSON and the scanner disagree about the number of values", document->name);
    key_list keys = {0};
    status rc = check_keys(document, document->root, &keys);
    mem_free(keys.node);
    return rc;
}

status json_parse(json **out, const char *name, const char *text, size_t size, int first_line) {
    json_scan scan = {0};
    json *document = NULL;
    *out = NULL;
    status rc = json_scan_text(&scan, name, text, size, first_line);
    if (!rc) rc = mem_new(&document, 1, "a JSON document");
    if (!rc) rc = mem_string(&document->name, name);
    if (!rc) {
        document->has_lines = first_line > 0;
        rc = build(document, text, size, &scan);
    }
    json_scan_free(&scan);
    if (rc)
        json_close(document);
    else
        *out = document;
    return rc;
}

status json_read(json **out, const char *path, size_t limit) {
    buffer text = {0};
    *out = NULL;
    status rc = file_read(path, limit, &text);
    if (!rc) rc = json_parse(out, path, text.data, text.length, 1);
    buffer_free(&text);
    return rc;
}

void json_close(json *document) {
    if (!document) return;
    cJSON_Delete(document->root);
    mem_free(document->name);
    mem_free(document);
}

json_value json_root(const json *document) {
    return (json_value){document, document->root};
}

json_kind json_kind_of(json_value value) {
    const cJSON *node = node_of(value);
    if (!node) return JSON_NONE;
    switch (node->type & 0xff) {
    case cJSON_False:
    case cJSON_True:
        return JSON_BOOL;
    case cJSON_Number:
        return JSON_NUMBER;
    case cJSON_String:
        return JSON_TEXT;
    case cJSON_Array:
        return JSON_LIST;
    case cJSON_Object:
        return JSON_OBJECT;
    default:
        return JSON_NULL;
    }
}

const char *json_kind_text(json_value value) {
    static const char *const text[] = {"nothing", "null",   "true or false", "a number",
                                       "a text",  "a list", "an object"};
    return text[json_kind_of(value)];
}

int json_line(json_value value) {
    return value.document->has_lines ? node_of(value)->valueint : 0;
}

char *json_place(char place[JSON_PLACE_SIZE], json_value value) {
    const char *name = value.document->name;
    size_t length = strlen(name);
    char line[16] = "";
    if (json_line(value)) snprintf(line, sizeof line, "%d:", json_line(value));
    if (length > 300)
        snprintf(place, JSON_PLACE_SIZE, "%.100s...%s:%s ", name, name + length - 190, line);
    else
        snprintf(place, JSON_PLACE_SIZE, "%s:%s ", name, line);
    return place;
}

status json_fail(json_value value, const char *format, ...) {
    char place[JSON_PLACE_SIZE], text[500];
    const char *key = json_key(value);
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_place(place, value);
    if (key) return status_fail(STATUS_FORMAT, "%s\"%.80s\" %s", place, key, text);
    return status_fail(STATUS_FORMAT, "%s%s", place, text);
}

json_value json_first(json_value value) {
    const cJSON *node = node_of(value);
    return (json_value){value.document, node ? node->child : NULL};
}

json_value json_next(json_value value) {
    return (json_value){value.document, node_of(value)->next};
}

size_t json_count(json_value value) {
    size_t count = 0;
    for (json_value v = json_first(value); v.node; v = json_next(v)) count++;
    return count;
}

const char *json_key(json_value value) {
    return node_of(value)->string;
}

json_value json_find(json_value object, const char *key) {
    if (json_kind_of(object) != JSON_OBJECT) return (json_value){object.document, NULL};
    for (json_value v = json_first(object); v.node; v = json_next(v))
        if (strcmp(json_key(v), key) == 0) return v;
    return (json_value){object.document, NULL};
}

static status expect(json_value value, json_kind kind, const char *wanted) {
    if (json_kind_of(value) == kind) return STATUS_OK;
    return json_fail(value, "must be %s, is %s", wanted, json_kind_text(value));
}

status json_object(json_value value) {
    return expect(value, JSON_OBJECT, "an object");
}

status json_list(json_value value) {
    return expect(value, JSON_LIST, "a list");
}

status json_bool(bool *out, json_value value) {
    status rc = expect(value, JSON_BOOL, "true or false");
    if (!rc) *out = cJSON_IsTrue(node_of(value));
    return rc;
}

status json_number(double *out, json_value value) {
    status rc = expect(value, JSON_NUMBER, "a number");
    if (!rc) *out = node_of(value)->valuedouble;
    return rc;
}

status json_int(int64_t *out, json_value value, int64_t min, int64_t max) {
    status rc = expect(value, JSON_NUMBER, "a whole number");
    if (rc) return rc;
    double number = node_of(value)->valuedouble;
    if (number != floor(number))
        return json_fail(value, "must be a whole number, is %.17g", number);
    if (fabs(number) > INTEGER_MAX)
        return json_fail(value, "is too large for a whole number (2^53 - 1 is the largest)");
    int64_t whole = (int64_t)number;
    if (whole < min)
        return json_fail(value, "must be at least %lld, is %lld", (long long)min, (long long)whole);
    if (whole > max)
        return json_fail(value, "must be at most %lld, is %lld", (long long)max, (long long)whole);
    *out = whole;
    return STATUS_OK;
}

status json_text(const char **out, json_value value) {
    status rc = expect(value, JSON_TEXT, "a text");
    if (!rc) *out = node_of(value)->valuestring;
    return rc;
}

status json_member(json_value *out, json_value object, const char *key) {
    status rc = json_object(object);
    if (rc) return rc;
    *out = json_find(object, key);
    return out->node ? STATUS_OK : json_fail(object, "lacks the key \"%s\"", key);
}

status json_member_bool(bool *out, json_value object, const char *key) {
    json_value value;
    status rc = json_member(&value, object, key);
    return rc ? rc : json_bool(out, value);
}

status json_member_int(int64_t *out, json_value object, const char *key, int64_t min, int64_t max) {
    json_value value;
    status rc = json_member(&value, object, key);
    return rc ? rc : json_int(out, value, min, max);
}

status json_member_number(double *out, json_value object, const char *key) {
    json_value value;
    status rc = json_member(&value, object, key);
    return rc ? rc : json_number(out, value);
}

status json_member_text(const char **out, json_value object, const char *key) {
    json_value value;
    status rc = json_member(&value, object, key);
    return rc ? rc : json_text(out, value);
}

library_version json_version(void) {
    char built[48];
    snprintf(built, sizeof built, "%d.%d.%d", CJSON_VERSION_MAJOR, CJSON_VERSION_MINOR, CJSON_VERSION_PATCH);
    return version_texts(cJSON_Version(), built);
}
