// What a training run left, read back and shown: metrics.jsonl and log.txt; the page that is made of them holds no
// markup of theirs, and TensorBoard's file is whole.
//
// An input: metrics.jsonl (a part), log.txt.
#include "core/files/fs.h"
#include "tests/fuzz/helper_fuzz.h"
#include "train/run_page.h"
#include "train/run_record.h"
#include "train/tensorboard.h"

#include <string.h>

static void use(const run_record *r) {
    for (size_t i = 0; i < r->count; i++) {
        const run_series *s = &r->series[i];
        touch_text(s->name);
        demand(s->count > 0);
        touch_bytes(s->value, (size_t)s->count * sizeof *s->value);
        for (int64_t k = 1; k < s->count; k++) demand(s->step[k] >= 0);
        demand(run_record_find(r, s->name));
    }
    for (size_t i = 0; i < r->samples; i++) touch_text(r->sample[i].id), touch_text(r->sample[i].text);
}

static void check_page(void) {
    buffer page = {0};
    if (file_read(memory_folder_path("report.html"), 0, &page)) die("%s", status_text());
    demand(text_is_utf8(page.data, page.length));
    demand(!strstr(page.data, "<script") && !strstr(page.data, "<img"));
    demand(page.length > 7 && !strcmp(page.data + page.length - 8, "</html>\n"));
    buffer_free(&page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    size_t count;
    const uint8_t *metrics = input_part(&in, &count);
    run_record r;
    tensorboard t;
    memory_folder_file("metrics.jsonl", metrics, count);
    memory_folder_file("log.txt", in.data, in.size);
    status rc = run_record_open(&r, memory_folder());
    if (rc)
        demand_failure(rc);
    else
        use(&r);
    run_record_close(&r);
    if (rc) return 0;
    if (run_page_write(memory_folder())) die("%s", status_text());
    check_page();
    if (tensorboard_open(&t, memory_folder())) die("%s", status_text());
    tensorboard_close(&t);
    return 0;
}
