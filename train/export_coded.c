#include "train/export_coded.h"
#include "train/language_model.h"

#include <string.h>

status coded_base_open(coded_base *b, weights *file, const llama_config *c, const char *storage) {
    llama_config base = *c;
    *b = (coded_base){.file = file};
    base.lora = (lora_config){0};
    base.image_width = 0;
    status rc = device_open_cpu(&b->device, 1);
    if (!rc) rc = params_open(&b->params, b->device);
    if (rc) return rc;
    llama_make(&b->model, &b->params, &base);
    language_freeze_base(&b->params, storage);
    if (b->params.failed) return b->params.failed;
    return params_code_check(&b->params, file); // at once, not where a large base is half written
}

void coded_base_close(coded_base *b) {
    quantise_close(&b->codes);
    mem_free(b->row);
    params_close(&b->params);
    device_close(b->device);
    *b = (coded_base){0};
}

// Rows of a tensor are asked for one by one, so what is found is kept.
bool coded_base_has(coded_base *b, const weight_entry *e) {
    if (b->name == e->name) return b->of != NULL;
    b->name = e->name;
    b->of = NULL;
    for (size_t i = 0; i < b->params.count && !b->of; i++) {
        const param *q = b->params.item[i];
        for (int j = 0; q->coded && j < param_files(q) && !b->of; j++) {
            const param_file part = param_file_at(q, j);
            if (strcmp(part.name, e->name) != 0) continue;
            b->of = q;
            b->first_row = part.first / q->value.dim[1];
        }
    }
    return b->of != NULL;
}

// The codes of all of Q: what is said of a matrix in NF4 depends on all of its rows.
static status hold(coded_base *b, const param *q) {
    if (b->held == q) return STATUS_OK;
    quantise_close(&b->codes);
    mem_free(b->row);
    b->row = NULL;
    b->held = NULL;
    status rc = params_code(&b->codes, b->file, q);
    if (!rc) rc = mem_new(&b->row, q->value.dim[1], "a row of weights");
    if (!rc) b->held = q;
    return rc;
}

status coded_base_read(coded_base *b, const weight_entry *e, int64_t row, int64_t first, int64_t count,
                       double *out) {
    if (!coded_base_has(b, e)) die("coded_base_read: %s is not coded", e->name);
    status rc = hold(b, b->of);
    if (rc) return rc;
    quantise_plain(&b->codes, b->row, b->first_row + row, 1);
    for (int64_t i = 0; i < count; i++) out[i] = (double)b->row[first + i];
    return STATUS_OK;
}
