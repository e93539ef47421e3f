// A RoBERTa's folder without its weights: config.json, and a table of what unrelated texts reach. What is read has sizes
// that a model can have.
//
// An input: the number of layers, config.json (a part), the table.
#include "eval/bert_score.h"
#include "models/ops/ops.h"
#include "models/roberta.h"
#include "tests/fuzz/helper_fuzz.h"

#include <stdlib.h>

static device *cpu, *dry;

static void open_devices(void) {
    if (device_open_cpu(&cpu, 1)) die("%s", status_text());
    cpu->ops = &op_kernels_cpu;
    if (device_open_dry(&dry, cpu)) die("%s", status_text());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    size_t count;
    const int layers = input_byte(&in) % 8;
    const uint8_t *config = input_part(&in, &count);
    roberta_config c;
    bert_score *b = NULL;
    if (!cpu) open_devices();
    memory_folder_file("config.json", config, count);
    status rc = roberta_config_read(&c, memory_folder(), layers);
    if (rc)
        demand_failure(rc);
    else
        demand(c.bert.layers >= 1 && c.bert.layers <= c.layers && c.bert.width % c.bert.heads == 0 &&
               c.bert.positions >= 3 && c.first_position >= 1);
    // The folder has no tokenizer: opening ends behind the table.
    const bert_score_options how = {.layer = layers, .baseline = memory_file(0, in.data, in.size)};
    rc = bert_score_open(&b, memory_folder(), &how, cpu, dry);
    demand(rc && !b);
    demand_failure(rc);
    return 0;
}
