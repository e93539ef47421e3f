// METEOR 1.5 (Denkowski and Lavie, WMT 2014) with its English defaults, as `meteor-1.5.jar - -
// -stdio -l en -norm` scores texts with one reference each (REFERENCE 7.4). Called by the evaluate
// command.
//
// Words match in stages: equal; equal stems; synonyms; paraphrases of several words. The first two
// are built in. The others need tables that METEOR comes with and this project does not: whoever
// has them names them, and a score is called by the stages that it had, since those of different
// stages cannot be compared.
#pragma once
#include "core/memory.h"

typedef enum meteor_stage {
    METEOR_EXACT,
    METEOR_STEM,
    METEOR_SYNONYM,
    METEOR_PARAPHRASE,
    METEOR_STAGES
} meteor_stage;

// Files of who has them; NULL leaves a stage out.
typedef struct meteor_options {
    // meteor-1.5.jar, for synonym/english.synsets and english.exceptions in it, which stem from
    // WordNet
    const char *jar;
    const char *paraphrases; // paraphrase-en.gz, or what is in it
} meteor_options;

typedef struct meteor meteor;

// OPTIONS NULL: no files. The files are read when texts are there, since only what is known of
// their words is kept. Errors: MEMORY.
status meteor_open(meteor **out, const meteor_options *options);
void meteor_close(meteor *m);               // accepts NULL
const char *meteor_stages(const meteor *m); // "exact stem", ...: tables of results say so

// Counts of one text, [0] in the text and [1] in its reference; or sums over texts: the score is a
// function of the sums.
typedef struct meteor_counts {
    int64_t words[2], function_words[2];
    int64_t content_matches[METEOR_STAGES][2],
        function_matches[METEOR_STAGES][2]; // words, by stage
    int64_t chunks; // runs of matches in the same order; 0 for a text that is all one of them
} meteor_counts;

// OUT (COUNT): the counts of each of TEXT and REFERENCE (COUNT), tokens with blanks between as
// text_tokens gives them. Uses all threads; any number gives the same. Errors: MEMORY.
status meteor_count(meteor_counts *out, meteor *m, const char *const *text,
                    const char *const *reference, int64_t count);
void meteor_add(meteor_counts *sum, const meteor_counts *x);
// Of a corpus, or of one text; 0 where nothing matches.
double meteor_score(const meteor_counts *sum);

// The same as a row of statistics (eval/intervals.h) and back.
enum { METEOR_STATISTICS = 5 + 4 * METEOR_STAGES };
void meteor_to_statistics(double out[METEOR_STATISTICS], const meteor_counts *x);
meteor_counts meteor_of_statistics(const double sum[METEOR_STATISTICS]);
