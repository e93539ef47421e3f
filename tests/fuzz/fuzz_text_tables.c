// Tables that scores of words are taken by. The first byte chooses: Punkt's four files; METEOR's
// synonyms, as texts and as a jar; its paraphrases, plain or gzip. What opens is used on the texts
// behind.
//
// An input: the choice, the parts of its files, then a text and a reference.
#include "eval/meteor_private.h"
#include "eval/text_tokens.h"
#include "tests/fuzz/helper_fuzz.h"

#include <math.h>
#include <string.h>

static void use_punkt(input *in) {
    static const char *const names[] = {"abbrev_types.txt", "sent_starters.txt", "collocations.tab",
                                        "ortho_context.tab"};
    punkt *p;
    for (int i = 0; i < 4; i++) {
        size_t count;
        const uint8_t *part = input_part(in, &count);
        memory_folder_file(names[i], part, count);
    }
    status rc = punkt_open(&p, memory_folder());
    if (rc) {
        demand_failure(rc);
        return;
    }
    char *text = input_rest_text(in);
    buffer tokens = {0};
    demand(!text_tokens(&tokens, p, text));
    demand(text_is_utf8(tokens.data, tokens.length) && !strstr(tokens.data, "  "));
    demand(!tokens.length || (*tokens.data != ' ' && tokens.data[tokens.length - 1] != ' '));
    buffer_free(&tokens);
    mem_free(text);
    punkt_close(p);
}

// Counts must be of what there is, and scores between 0 and 1.
static void use_meteor(const char *jar, const char *paraphrases, input *in) {
    size_t count;
    const uint8_t *part = input_part(in, &count);
    buffer first = {0};
    char *rest = input_rest_text(in);
    const char *reference = rest;
    meteor_counts x;
    meteor *m;
    if (count) buffer_append(&first, part, count);
    buffer_append(&first, "", 1);
    const char *text = first.data;
    demand(!meteor_open(&m, &(meteor_options){jar, paraphrases}));
    status rc = meteor_count(&x, m, &text, &reference, 1);
    if (rc) {
        demand_failure(rc);
    } else {
        const double score = meteor_score(&x);
        demand(score >= 0 && score <= 1 + 1e-9);
        for (int side = 0; side < 2; side++) {
            int64_t matched = 0;
            for (meteor_stage s = 0; s < METEOR_STAGES; s++)
                matched += x.content_matches[s][side] + x.function_matches[s][side];
            demand(x.function_words[side] <= x.words[side] && matched <= x.words[side]);
        }
    }
    meteor_close(m);
    buffer_free(&first);
    mem_free(rest);
}

static void use_synonyms(input *in) {
    static const char *const known[] = {"mice", "glasses", "boxes", "tries", "clear", "plainly"};
    meteor_synonym_texts t = {.name = "a jar"};
    meteor_synonyms s;
    words *w;
    t.synsets = (const char *)input_part(in, &t.synsets_size);
    t.exceptions = (const char *)in->data;
    t.exceptions_size = in->size;
    demand(!words_open(&w));
    for (int32_t i = 0, id; i < 6; i++)
        demand(!words_number(&id, w, known[i], strlen(known[i])) && id == i);
    status rc = meteor_synonyms_read(&s, &t, w);
    if (rc) {
        demand_failure(rc);
    } else {
        for (int32_t i = 0; i < 6; i++)
            for (int32_t j = 0; j < 6; j++)
                demand(meteor_synonyms_share(&s, i, j) == meteor_synonyms_share(&s, j, i));
    }
    meteor_synonyms_close(&s);
    words_close(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    const int choice = input_byte(&in) % 4;
    size_t count;
    if (choice == 0) {
        use_punkt(&in);
    } else if (choice == 1) {
        use_synonyms(&in);
    } else {
        const uint8_t *part = input_part(&in, &count);
        const char *path = memory_file(0, part, count);
        use_meteor(choice == 2 ? path : NULL, choice == 3 ? path : NULL, &in);
    }
    return 0;
}
