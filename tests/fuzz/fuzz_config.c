// Configuration files and --set: what loads is printed by config_resolved and loads again as the same.
// An input is a file, then a line feed and "--set ARGUMENT" lines behind the last NUL, if there is one.
#include "core/config.h"
#include "tests/fuzz/helper_fuzz.h"
#include "train/config_keys.h"

#include <string.h>


static void read_back(const config *c) {
    buffer first = {0}, second = {0};
    config *again;
    config_resolved(c, &first);
    demand(!first.failed);
    demand(!config_open(&again, classifier_tables));
    if (config_load(again, memory_file(1, first.data, first.length))) die("%s", status_text());
    config_resolved(again, &second);
    demand(first.length == second.length && !memcmp(first.data, second.data, first.length));
    config_close(again);
    buffer_free(&first);
    buffer_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    config *c;
    const uint8_t *nul = memrchr(data, 0, size);
    size_t file = nul ? (size_t)(nul - data) : size;
    input rest = {data + file + (nul != NULL), size - file - (nul != NULL)};
    demand(!config_open(&c, classifier_tables));
    status rc = config_load(c, memory_file(0, data, file));
    if (rc) demand_failure(rc);
    char *sets = input_rest_text(&rest), *state = NULL;
    for (char *line = strtok_r(sets, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
        rc = config_set(c, line);
        if (rc) demand_failure(rc);
    }
    read_back(c);
    mem_free(sets);
    config_close(c);
    return 0;
}
