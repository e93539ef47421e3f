// A pipeline's file, and the state that one has left in its folder: what opens is sound, and looking ahead ends.
//
// An input: the pipeline (a part), the state.
#include "tests/fuzz/helper_fuzz.h"
#include "train/pipeline.h"

#include <string.h>

// Every word, and what it reads.
static void use(const pipeline *p) {
    for (size_t i = 0; i < p->stages; i++) {
        const pipeline_stage *s = &p->stage[i];
        int found;
        demand(s->command && s->words && !s->argv[s->words] && !s->given[s->words]);
        for (size_t k = 0; k < s->words; k++) touch_text(s->argv[k]), touch_text(s->given[k]);
        for (size_t k = 0; k < s->sources; k++) {
            const pipeline_source *from = &p->source[s->source[k]];
            demand(from->stage < (int)i && *from->path);
        }
        demand(!pipeline_find(p, s->name, &found) && found == (int)i);
    }
}

// Only what is in this process's own folder.
static bool inside(const pipeline *p, int i) {
    const char *folder = memory_folder();
    for (size_t k = 0; k < p->stage[i].sources; k++)
        if (strncmp(p->source[p->stage[i].source[k]].path, folder, strlen(folder))) return false;
    return true;
}

static void look(const pipeline *p) {
    pipeline_state *s;
    status rc = pipeline_state_open(&s, p, true);
    if (rc) demand_failure(rc);
    for (size_t i = 0; i < p->stages && !rc; i++) {
        pipeline_need need;
        buffer why = {0};
        if (!inside(p, (int)i)) continue;
        status one = pipeline_look(s, (int)i, true, &need, &why);
        if (one) demand_failure(one);
        demand(one || need == PIPELINE_FRESH || why.length);
        buffer_free(&why);
    }
    pipeline_state_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    size_t count;
    const uint8_t *text = input_part(&in, &count);
    const pipeline_options o = {.dir = memory_folder()};
    pipeline p;
    status rc = pipeline_open(&p, memory_file(0, text, count), &o);
    if (rc) demand_failure(rc);
    memory_folder_file("pipeline.state.json", in.data, in.size);
    if (!rc) use(&p);
    if (!rc) look(&p);
    pipeline_close(&p);
    return 0;
}
