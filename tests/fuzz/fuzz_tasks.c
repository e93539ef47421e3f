// Files of tasks: prompts (ours, and RaDialog's tables), MIMIC-NLE's explanations, answers that
// something wrote, RaDialog's predictions for corrections, conversations in LLaVA's form; and a
// conversation taken apart, which must come together again. What opens must be readable, over a
// data set of two records.
//
// An input: 0 our file of prompts; 1 CPbQA_prompts.csv; 2 explanations; 3 answers; 4 corrections; 5
// conversations; 6 a text; then the file.
#include "core/files/fs.h"
#include "data/corrections.h"
#include "data/explanations.h"
#include "data/image_codec.h"
#include "data/ingest.h"
#include "data/instruct.h"
#include "data/task_answers.h"
#include "data/task_prompts.h"
#include "tests/fuzz/helper_fuzz.h"

#include <string.h>

static const char own_prompts[] =
    "{\"format\":\"radialog-prompts\",\"version\":1,\"system\":\"S\",\"roles\":[\"U\",\"A\"],"
    "\"separators\":[\" \",\"/\"],\"report\":\"{image} {findings}\"}";

static void must(status rc) {
    if (rc) die("%s", status_text());
}

// Records d0 and d1 of the training split, made once.
static const dataset *set_of_two(void) {
    static dataset *set;
    static const char table[] =
        "id,image,findings,report,patient,study,split\nd0,i.png,heart,x,p,s,train\n"
        "d1,i.png,lungs,x,p,s,train\n";
    static uint8_t pixels[32 * 32];
    char out[PATH_SIZE];
    if (set) return set;
    for (int i = 0; i < 32 * 32; i++) pixels[i] = (uint8_t)(i * 7);
    must(folder_make(memory_folder_path("source")));
    must(image_write_png(memory_folder_path("source/i.png"), pixels, 32, 32));
    memory_folder_file("source/data.csv", table, sizeof table - 1);
    must(path_join(out, sizeof out, memory_folder(), "shards"));
    char root[PATH_SIZE];
    must(path_join(root, sizeof root, memory_folder(), "source"));
    const ingest_options o = {.source = INGEST_FOLDER,
                              .root = root,
                              .out = out,
                              .compression = INGEST_NONE,
                              .threads = 1};
    ingest_summary sum;
    must(ingest_run(&sum, &o));
    must(dataset_open(&set, out));
    demand(dataset_records(set) == 2);
    return set;
}

static const prompts *words(void) {
    static prompts *p;
    const prompts_files files = {.prompts = memory_file(7, own_prompts, sizeof own_prompts - 1)};
    if (!p) must(prompts_open(&p, &files));
    return p;
}

static void read_prompts(const char *path) {
    static const char given[] = "{finding} <X> {prompt}";
    const task_words fill = {given, given, given, given, given};
    task_prompts *p;
    status rc = task_prompts_open(&p, path);
    if (rc) {
        demand_failure(rc);
        demand(!p);
        return;
    }
    for (int use = 0; use < TASK_USES; use++)
        for (int t = 0; t < TASK_TEXTS; t++) {
            const int count = task_prompts_count(p, (task_use)use, (task_text)t);
            demand(!task_prompts_need(p, (task_use)use, (task_text)t) == (count > 0));
            for (int i = 0; i < count; i++) {
                buffer out = {0};
                task_prompts_fill(&out, p, (task_use)use, (task_text)t, i, &fill);
                demand(!out.failed);
                touch_text(out.data);
                buffer_free(&out);
            }
        }
    demand(task_prompts_hash(p) == task_prompts_hash(p));
    task_prompts_close(p);
}

static void read_table(const input *in) {
    must(folder_make(memory_folder_path("tables")));
    memory_folder_file("tables/CPbQA_prompts.csv", in->data, in->size);
    read_prompts(memory_folder_path("tables"));
}

static void read_explanations(const char *path) {
    explanations *e;
    status rc = explanations_open(&e, path);
    if (rc) demand_failure(rc);
    for (int64_t i = 0; !rc && i < explanations_count(e); i++) {
        const explanation x = explanations_at(e, i);
        buffer said = {0};
        demand(*x.study && *x.text && x.diagnoses < 1 << DIAGNOSIS_COUNT);
        explanation_names(&said, &x);
        demand(!said.failed && (said.length > 0) == (x.diagnoses > 0));
        touch_text(x.text);
        buffer_free(&said);
    }
    explanations_close(e);
}

static void read_answers(const char *path) {
    task_answers *a;
    status rc = task_answers_open(&a, path, set_of_two(), SPLIT_TRAIN);
    if (rc) demand_failure(rc);
    for (int64_t i = 0; !rc && i < task_answers_count(a); i++) {
        const task_answer x = task_answers_at(a, i);
        buffer prompt = {0}, text = {0}, report = {0};
        demand(x.task > TASK_RG && x.task < TASK_COUNT && x.record >= 0 && x.record < 2);
        const status read = task_answers_read(a, i, &prompt, &text, &report);
        demand(!read || read == STATUS_FORMAT); // a report that is no text, of another task than CO
        if (!read) demand(prompt.length > 0);
        buffer_free(&prompt), buffer_free(&text), buffer_free(&report);
    }
    task_answers_close(a);
}

static void read_corrections(const char *path) {
    corrections c;
    must(corrections_open(&c, set_of_two(), SPLIT_TRAIN));
    const status rc = corrections_read(&c, path);
    if (rc) demand_failure(rc);
    demand(c.count + c.right <= 2);
    for (int64_t i = 0; i < c.count; i++) {
        bool any = false;
        for (int k = 0; k < CLASS_COUNT; k++) any |= c.list[i].wrong[k] || c.list[i].missing[k];
        demand(any && !c.list[i].wrong[CLASS_NO_FINDING] && !c.list[i].missing[CLASS_NO_FINDING]);
        demand(corrections_find(&c, c.list[i].record) == i);
        touch_text(corrections_report(&c, i));
    }
    corrections_close(&c);
}

static void read_conversations(const char *path) {
    instruct_json *j;
    status rc = instruct_json_open(&j, path);
    if (rc) {
        demand_failure(rc);
        return;
    }
    instruct_json_is_llava(j);
    instruct_json_words(j, words(), 3);
    const instruct_source from = instruct_json_source(j, SPLIT_TRAIN);
    for (int64_t i = 0; i < from.rows[SPLIT_TRAIN]; i++) {
        instruct_text t = {0};
        instruct_skip skip;
        rc = from.row(&t, &skip, from.context, SPLIT_TRAIN, i);
        if (rc) demand_failure(rc);
        if (!rc) demand(t.id.length > 0 && *t.task);
        instruct_text_free(&t);
    }
    instruct_json_close(j);
}

static void take_apart(const char *text) {
    const char *message[64];
    buffer parts = {0}, again = {0};
    int count;
    const status rc = prompts_split(&parts, &count, words(), text);
    if (rc) demand_failure(rc);
    if (!rc && count < 63) {
        const char *at = parts.data;
        for (int i = 0; i < count; i++, at += strlen(at) + 1) message[i] = at;
        message[count] = NULL;
        demand(count % 2 && at == parts.data + parts.length);
        prompts_conversation(&again, words(), message, count + 1);
        demand(!again.failed && !strcmp(again.data, text));
    }
    buffer_free(&parts), buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    const int kind = input_byte(&in) % 7;
    if (kind == 1) {
        read_table(&in);
    } else if (kind == 6) {
        char *text = input_rest_text(&in);
        take_apart(text);
        mem_free(text);
    } else {
        const char *path = memory_file(0, in.data, in.size);
        if (kind == 0) read_prompts(path);
        if (kind == 2) read_explanations(path);
        if (kind == 3) read_answers(path);
        if (kind == 4) read_corrections(path);
        if (kind == 5) read_conversations(path);
    }
    return 0;
}
