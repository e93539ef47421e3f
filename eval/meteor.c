// Counts of texts and the score of their sums. See meteor.h.
#include "eval/meteor.h"
#include "eval/meteor_private.h"
#include "eval/stem_english.h"

#include <math.h>
#include <string.h>

struct meteor {
    char *jar, *paraphrase_file; // NULL: none
    meteor_synonyms synonyms;
    meteor_paraphrases paraphrases;
    words *words, *stems;
    int32_t *stem; // (words)
    size_t stem_room;
    bool *function; // (words)
    size_t function_room;
    int32_t known; // words that have their facts
};

status meteor_open(meteor **out, const meteor_options *options) {
    status rc = mem_new(out, 1, "METEOR");
    if (rc) return rc;
    if (options && options->jar) rc = mem_string(&(*out)->jar, options->jar);
    if (!rc && options && options->paraphrases)
        rc = mem_string(&(*out)->paraphrase_file, options->paraphrases);
    if (!rc) rc = words_open(&(*out)->words);
    if (!rc) rc = words_open(&(*out)->stems);
    if (rc) {
        meteor_close(*out);
        *out = NULL;
    }
    return rc;
}

void meteor_close(meteor *m) {
    if (!m) return;
    words_close(m->words);
    words_close(m->stems);
    meteor_synonyms_close(&m->synonyms);
    meteor_paraphrases_close(&m->paraphrases);
    mem_free(m->jar);
    mem_free(m->paraphrase_file);
    mem_free(m->stem);
    mem_free(m->function);
    mem_free(m);
}

const char *meteor_stages(const meteor *m) {
    if (m->jar) return m->paraphrase_file ? "exact stem synonym paraphrase" : "exact stem synonym";
    return m->paraphrase_file ? "exact stem paraphrase" : "exact stem";
}

// --- words ---------------------------------------------------------------------------------------

static status put_stem(int32_t *out, words *stems, buffer *scratch, const char *word) {
    scratch->length = 0;
    buffer_text(scratch, word);
    if (scratch->failed) return scratch->failed;
    const size_t length = stem_english(scratch->data, scratch->length);
    return words_number(out, stems, scratch->data, length);
}

// Stems of the words that are new.
static status learn_stems(meteor *m) {
    const int32_t count = words_count(m->words);
    buffer scratch = {0};
    status rc =
        mem_grow((void **)&m->stem, &m->stem_room, (size_t)count + 1, sizeof *m->stem, "stems");
    if (!rc)
        rc = mem_grow((void **)&m->function, &m->function_room, (size_t)count + 1,
                      sizeof *m->function, "words");
    for (int32_t i = m->known; i < count && !rc; i++) {
        const char *word = words_text(m->words, i);
        rc = put_stem(&m->stem[i], m->stems, &scratch, word);
        m->function[i] = meteor_is_function_word(word, strlen(word));
    }
    buffer_free(&scratch);
    return rc;
}

// What is known of all words, where new ones have come.
static status learn_words(meteor *m) {
    if (m->known == words_count(m->words) && m->known) return STATUS_OK;
    meteor_synonyms_close(&m->synonyms);
    meteor_paraphrases_close(&m->paraphrases);
    status rc = learn_stems(m);
    if (!rc && m->jar) rc = meteor_synonyms_open(&m->synonyms, m->jar, m->words);
    if (!rc && m->paraphrase_file)
        rc = meteor_paraphrases_open(&m->paraphrases, m->paraphrase_file, m->words);
    m->known = rc ? 0 : words_count(m->words);
    return rc;
}

// The words of TEXT (COUNT) as METEOR parts them.
static status read_texts(word_lists *out, meteor *m, const char *const *text, int64_t count) {
    char **parted;
    status rc = mem_new(&parted, count, "words of texts");
    if (rc) return rc;
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t i = 0; i < count; i++) {
        buffer parts = {0};
        if (meteor_normalise(&parts, text[i])) buffer_free(&parts);
        parted[i] = parts.data;
    }
    for (int64_t i = 0; i < count && !rc; i++)
        if (!parted[i]) rc = status_fail(STATUS_MEMORY, "METEOR: words of text %lld", (long long)i);
    if (!rc) rc = word_lists_open(out, m->words, (const char *const *)parted, count);
    for (int64_t i = 0; i < count; i++) mem_free(parted[i]);
    mem_free(parted);
    return rc;
}

static meteor_text text_of(const word_lists *lists, int64_t i) {
    return (meteor_text){lists->id + lists->first[i], lists->first[i + 1] - lists->first[i]};
}

static status align_all(meteor_counts *out, const meteor_facts *facts, const word_lists *texts,
                        const word_lists *references) {
    status failed = STATUS_OK;
#pragma omp parallel
    {
        meteor_aligner *aligner;
        status rc = meteor_aligner_open(&aligner);
#pragma omp for schedule(dynamic, 4)
        for (int64_t i = 0; i < texts->count; i++)
            if (!rc)
                rc = meteor_align(&out[i], aligner, facts, text_of(texts, i),
                                  text_of(references, i));
        meteor_aligner_close(aligner);
#pragma omp critical
        if (rc) failed = rc;
    }
    return failed ? status_fail(failed, "METEOR: cannot get memory for an alignment") : STATUS_OK;
}

status meteor_count(meteor_counts *out, meteor *m, const char *const *text,
                    const char *const *reference, int64_t count) {
    word_lists texts = {0}, references = {0};
    status rc = read_texts(&texts, m, text, count);
    if (!rc) rc = read_texts(&references, m, reference, count);
    if (!rc) rc = learn_words(m);
    const meteor_facts facts = {.words = words_count(m->words),
                                .stem = m->stem,
                                .function = m->function,
                                .synonyms = m->jar ? &m->synonyms : NULL,
                                .paraphrases = m->paraphrase_file ? &m->paraphrases : NULL};
    if (!rc) rc = align_all(out, &facts, &texts, &references);
    word_lists_close(&texts);
    word_lists_close(&references);
    return rc;
}

// --- scores --------------------------------------------------------------------------------------

void meteor_add(meteor_counts *sum, const meteor_counts *x) {
    for (int side = 0; side < 2; side++) {
        sum->words[side] += x->words[side];
        sum->function_words[side] += x->function_words[side];
        for (meteor_stage s = 0; s < METEOR_STAGES; s++) {
            sum->content_matches[s][side] += x->content_matches[s][side];
            sum->function_matches[s][side] += x->function_matches[s][side];
        }
    }
    sum->chunks += x->chunks;
}

// Content words count DELTA, function words 1 - DELTA, and a match as much as its stage is worth.
static double share(const meteor_counts *x, int side) {
    static const double worth[METEOR_STAGES] = {1, 0.6, 0.8, 0.6};
    const double delta = 0.75;
    const int64_t content = x->words[side] - x->function_words[side];
    double matched = 0;
    for (meteor_stage s = 0; s < METEOR_STAGES; s++)
        matched += worth[s] * (delta * (double)x->content_matches[s][side] +
                               (1 - delta) * (double)x->function_matches[s][side]);
    return matched / (delta * (double)content + (1 - delta) * (double)x->function_words[side]);
}

double meteor_score(const meteor_counts *sum) {
    const double alpha = 0.85, beta = 0.2, gamma = 0.6;
    int64_t matched = 0; // of both sides
    for (meteor_stage s = 0; s < METEOR_STAGES; s++)
        for (int side = 0; side < 2; side++)
            matched += sum->content_matches[s][side] + sum->function_matches[s][side];
    if (!matched) return 0;
    const double mean = 1 / ((1 - alpha) / share(sum, 0) + alpha / share(sum, 1));
    const double pieces = (double)sum->chunks / ((double)matched / 2);
    return mean * (1 - gamma * pow(pieces, beta));
}

void meteor_to_statistics(double out[METEOR_STATISTICS], const meteor_counts *x) {
    *out++ = (double)x->chunks;
    for (int side = 0; side < 2; side++) {
        *out++ = (double)x->words[side];
        *out++ = (double)x->function_words[side];
        for (meteor_stage s = 0; s < METEOR_STAGES; s++) {
            *out++ = (double)x->content_matches[s][side];
            *out++ = (double)x->function_matches[s][side];
        }
    }
}

meteor_counts meteor_of_statistics(const double sum[METEOR_STATISTICS]) {
    meteor_counts x = {.chunks = (int64_t)*sum++};
    for (int side = 0; side < 2; side++) {
        x.words[side] = (int64_t)*sum++;
        x.function_words[side] = (int64_t)*sum++;
        for (meteor_stage s = 0; s < METEOR_STAGES; s++) {
            x.content_matches[s][side] = (int64_t)*sum++;
            x.function_matches[s][side] = (int64_t)*sum++;
        }
    }
    return x;
}
