// What the golden tests of CheXbert and the Q-Former share: texts as
// scripts/golden/bert_reference.py draws them, and the gates (a) and (b), whose verdict mutations
// must turn red. For tests only: what is missing stops the program.
#pragma once
#include "tests/models/helper_reference.h"

// As in scripts/golden/bert.py: free-running steps, the most texts of one and the longest text.
enum { BERT_STEPS = 5, BERT_MOST = 4, BERT_LONGEST = 12 };

extern const double bert_lr, bert_eps;

// The texts of a step: ids of all tokens, text after text, and where each begins; returns how many
// there are. Room for BERT_MOST texts of BERT_LONGEST.
int bert_texts(int step, int vocabulary, int32_t *ids, int32_t *first);

// --- gates --------------------------------------------------------------------------------------
// How far off a device may be. Golden losses are doubles, other golden numbers f32.
typedef struct limits {
    double loss, value, gradient;
} limits;
extern const limits bert_f32, bert_double;            // gate (a): on the CPU, on the oracle
extern const double bert_free_loss, bert_free_update; // gate (b)

typedef struct verdict {
    double loss, value, gradient, update; // worst errors
    char worst[192];                      // what was first above its limit
    int compared;                         // tensors
} verdict;

bool verdict_red(const verdict *v);
// Prints V where the environment has SHOW_ERRORS.
void verdict_show(const char *title, const verdict *v);
// One of V's errors; red if not ERROR <= LIMIT.
void judge(verdict *v, double *worst, double error, double limit, const char *name);
void judge_loss(verdict *v, double got, double want, double limit, const char *name);
// X, whose rows stand as in the file.
void judge_value(verdict *v, const reference_model *m, const safetensors *file, const char *name,
                 const tensor *x, double limit);
// Every parameter's gradient against the sum of "KIND.parameter" over KINDS (ended by NULL). A
// parameter without any has no gradient, or zeros.
void judge_gradients(verdict *v, const reference_model *m, const safetensors *file,
                     const char *const *kinds, double limit);
// What training changed since START, a copy of the values' block, against "update.parameter".
void judge_updates(verdict *v, const reference_model *m, const safetensors *file, const void *start,
                   double limit);

// The values' block as it is now; freed with mem_free.
void *values_copy(const reference_model *m);
safetensors *golden_open(const char *file);

// --- full size ----------------------------------------------------------------------------------
// What scripts/golden/bert_full.py wrote for MODEL, in the folder that the environment has as
// RADIALOG_BERT_FULL; weights are loaded from its weights.safetensors.
typedef struct bert_full {
    char weights[512]; // path
    safetensors *inputs, *expected;
    int32_t *ids, *first; // texts: all tokens, where each begins (count + 1)
    int count, most;
} bert_full;
bool bert_full_wanted(void);
void bert_full_open(bert_full *f, const char *model);
void bert_full_close(bert_full *f);
// Whole numbers of the inputs; freed with mem_free.
int32_t *bert_full_whole(const bert_full *f, const char *name, int64_t *count);

// --- mutations ----------------------------------------------------------------------------------
// Every input of every op on a tape that has a gradient: what mutations are made of.
enum { RULES_MOST = 128 };
typedef struct rules {
    rule_mutation item[RULES_MOST];
    int count;
} rules;
// For a tape's observer, with rules as its context.
void rules_collect(void *rules, tape *t, const tape_node *node);
bool rules_have(const rules *r, const char *op);
