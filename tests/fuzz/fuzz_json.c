// JSON documents: every value of what parses can be asked, whatever is asked of it.
#include "core/files/json.h"
#include "tests/fuzz/helper_fuzz.h"

#include <math.h>
#include <string.h>

static size_t walk(json_value v, int depth) {
    char place[JSON_PLACE_SIZE];
    const char *text = NULL;
    double number;
    int64_t whole;
    bool flag;
    size_t count = 1, inside = 0;
    demand(depth <= JSON_MAX_DEPTH + 1);
    demand(json_line(v) >= 1 && *json_place(place, v) && *json_kind_text(v));
    if (!json_text(&text, v)) demand(text && json_kind_of(v) == JSON_TEXT);
    if (!json_number(&number, v)) demand(isfinite(number));
    if (!json_int(&whole, v, -5, INT64_MAX)) demand(whole >= -5 && (double)whole == number);
    if (json_bool(&flag, v)) demand_failure(STATUS_FORMAT);
    for (json_value w = json_first(v); w.node; w = json_next(w), inside++) {
        const char *key = json_key(w);
        if (key) demand(json_find(v, key).node == w.node);
        count += walk(w, depth + 1);
    }
    demand(inside == json_count(v));
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json *document = NULL;
    status rc = json_parse(&document, "input", (const char *)data, size, 1);
    if (rc)
        demand_failure(rc);
    else
        demand(walk(json_root(document), 1) <= JSON_MAX_VALUES);
    json_close(document);
    return 0;
}
