#include "core/config_private.h"
#include "core/nearest.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const double INTEGER_MAX = 0x1p53 - 1; // beyond it a literal may have been rounded

bool config_is_list(config_type type) {
    return type == CONFIG_INTS || type == CONFIG_FLOATS || type == CONFIG_TEXTS;
}

bool config_is_text(config_type type) {
    return type == CONFIG_TEXT || type == CONFIG_PATH || type == CONFIG_CHOICE ||
           type == CONFIG_TEXTS;
}

static bool is_whole(config_type type) {
    return type == CONFIG_INT || type == CONFIG_INTS;
}

void config_value_free(config_value *value) {
    for (int i = 0; value->text && i < value->count; i++) mem_free(value->text[i]);
    mem_free(value->text);
    mem_free(value->number);
    *value = (config_value){0};
}

int config_choices(const char *names[CHOICES_MAX], char text[CHOICES_SIZE], const char *choices) {
    int count = 0;
    if (strlen(choices) >= CHOICES_SIZE) die("choices %s: too long", choices);
    strcpy(text, choices);
    for (char *at = text; at;) {
        if (count == CHOICES_MAX) die("choices %s: too many", choices);
        names[count++] = at;
        at = strchr(at, '|');
        if (at) *at++ = 0;
    }
    return count;
}

static void describe_range(char *text, size_t size, const config_key *key) {
    bool free = key->min == 0 && key->max == 0;
    double limit = is_whole(key->type) ? INTEGER_MAX : INFINITY;
    bool below = !free && key->min > -limit, above = !free && key->max < limit;
    *text = 0;
    if (below && above)
        snprintf(text, size, " from %.15g to %.15g", key->min, key->max);
    else if (below)
        snprintf(text, size, " of at least %.15g", key->min);
    else if (above)
        snprintf(text, size, " of at most %.15g", key->max);
}

char *config_allowed(char text[ALLOWED_SIZE], const config_key *key) {
    char range[80];
    describe_range(range, sizeof range, key);
    const char *list = config_is_list(key->type) ? "a list of " : "";
    const char *one = is_whole(key->type) ? "whole number" : "number";
    switch (key->type) {
    case CONFIG_BOOL:
        snprintf(text, ALLOWED_SIZE, "true or false");
        break;
    case CONFIG_INT:
    case CONFIG_FLOAT:
        snprintf(text, ALLOWED_SIZE, "a %s%s", one, range);
        break;
    case CONFIG_INTS:
    case CONFIG_FLOATS:
        snprintf(text, ALLOWED_SIZE, "%s%ss%s", list, one, range);
        break;
    case CONFIG_PATH:
        snprintf(text, ALLOWED_SIZE, "a path (a text)");
        break;
    case CONFIG_TEXT:
    case CONFIG_CHOICE:
    case CONFIG_TEXTS:
        if (key->choices)
            snprintf(text, ALLOWED_SIZE, "%s%s%s", list, *list ? "any of " : "one of ",
                     key->choices);
        else
            snprintf(text, ALLOWED_SIZE, *list ? "a list of texts" : "a text");
        break;
    case CONFIG_DEFAULT:
        die("configuration: a default has no value of its own");
    }
    return text;
}

static void describe_found(char *text, size_t size, json_value value) {
    const char *string;
    double number;
    bool truth;
    switch (json_kind_of(value)) {
    case JSON_TEXT:
        if (!json_text(&string, value)) snprintf(text, size, "\"%.60s\"", string);
        break;
    case JSON_NUMBER:
        if (!json_number(&number, value)) snprintf(text, size, "%.17g", number);
        break;
    case JSON_BOOL:
        if (!json_bool(&truth, value)) snprintf(text, size, truth ? "true" : "false");
        break;
    case JSON_NULL:
        snprintf(text, size, "null (leave the key out for its default)");
        break;
    default:
        snprintf(text, size, "%s", json_kind_text(value));
    }
}

// INDEX: of the element of a list, -1 for the value itself.
static status refuse(const config_key *key, json_value value, int index, const char *hint) {
    char place[JSON_PLACE_SIZE], allowed[ALLOWED_SIZE], found[100], element[16] = "";
    if (index >= 0) snprintf(element, sizeof element, "[%d]", index);
    describe_found(found, sizeof found, value);
    return status_fail(STATUS_USAGE, "%s%s.%s must be %.400s, but %s%s is %s%s",
                       json_place(place, value), key->section, key->name,
                       config_allowed(allowed, key), index < 0 ? "it" : "element ", element, found,
                       hint);
}

static status check_number(double *out, const config_key *key, json_value value, int index) {
    double number;
    if (json_kind_of(value) != JSON_NUMBER || json_number(&number, value))
        return refuse(key, value, index, "");
    bool free = key->min == 0 && key->max == 0;
    if (!free && !(number >= key->min && number <= key->max)) return refuse(key, value, index, "");
    if (is_whole(key->type) && number != floor(number)) return refuse(key, value, index, "");
    if (is_whole(key->type) && fabs(number) > INTEGER_MAX)
        return refuse(key, value, index, ", beyond 2^53 - 1");
    *out = number;
    return STATUS_OK;
}

static status check_text(char **out, const config_key *key, json_value value, int index) {
    const char *text, *names[CHOICES_MAX];
    char split[CHOICES_SIZE], hint[CHOICES_SIZE + 32];
    if (json_kind_of(value) != JSON_TEXT || json_text(&text, value))
        return refuse(key, value, index, "");
    if (!key->choices) return mem_string(out, text);
    int count = config_choices(names, split, key->choices);
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], text) == 0) return mem_string(out, text);
    snprintf(hint, sizeof hint, " (the nearest is \"%s\")", nearest_name(text, names, count));
    return refuse(key, value, index, hint);
}

static status check_one(config_value *out, const config_key *key, json_value value, int index) {
    int place = index < 0 ? 0 : index;
    bool truth;
    if (config_is_text(key->type)) return check_text(&out->text[place], key, value, index);
    if (key->type != CONFIG_BOOL) return check_number(&out->number[place], key, value, index);
    if (json_kind_of(value) != JSON_BOOL || json_bool(&truth, value))
        return refuse(key, value, index, "");
    out->number[place] = truth;
    return STATUS_OK;
}

status config_check(config_value *out, const config_key *key, json_value value) {
    bool list = config_is_list(key->type);
    *out = (config_value){.count = 1};
    if (list) {
        if (json_kind_of(value) != JSON_LIST) return refuse(key, value, -1, "");
        size_t count = json_count(value);
        if (count > CONFIG_LIST_MAX)
            return refuse(key, value, -1, " of more than 64 elements, the most there may be");
        out->count = (int)count;
    }
    status rc = config_is_text(key->type)
                    ? mem_new(&out->text, out->count, "a configuration value")
                    : mem_new(&out->number, out->count, "a configuration value");
    if (!list) {
        if (!rc) rc = check_one(out, key, value, -1);
    } else {
        int index = 0;
        for (json_value v = json_first(value); v.node && !rc; v = json_next(v))
            rc = check_one(out, key, v, index++);
    }
    if (rc) config_value_free(out);
    return rc;
}
