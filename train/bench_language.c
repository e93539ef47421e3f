#include "train/bench_language.h"

// Of SHARED tokens from the first on; the image stands behind them.
enum { BEGIN = 1, FIRST_WORD = 3, SHARED = 48, PROMPT = 150, PROMPT_MORE = 41, ANSWER = 20, ANSWER_MORE = 391 };

status bench_language_config(llama_config *out, const config *c) {
    status rc = language_lora_config(out, c, 0, config_int(c, "model.image_width"));
    out->vocabulary++;
    return rc;
}

// Tokens of a prompt, and of an answer: the least of three draws, as most reports are short.
static void draw_lengths(int64_t *seed, int64_t *prompt, int64_t *answer) {
    *prompt = PROMPT + bench_draw(seed, PROMPT_MORE);
    *answer = ANSWER_MORE;
    for (int i = 0; i < 3; i++) {
        const int64_t drawn = bench_draw(seed, ANSWER_MORE);
        if (drawn < *answer) *answer = drawn;
    }
    *answer += ANSWER;
}

static void write_ids(bench_conversations *x, int64_t words) {
    const rng_key key = {.seed = 1, .site = rng_site("bench")};
    for (int64_t i = 0; i < x->count; i++) {
        int32_t *ids = x->ids + x->first[i];
        for (int64_t k = 0; k < x->first[i + 1] - x->first[i]; k++) {
            const int64_t draw = k < SHARED ? k : x->first[i] + k;
            const bool image = k >= SHARED && k < SHARED + BENCH_IMAGE_TOKENS;
            ids[k] = FIRST_WORD + (int32_t)rng_below(key, 0, (uint64_t)draw, (uint32_t)words);
            if (image && x->image_token >= 0) ids[k] = x->image_token;
        }
        ids[0] = BEGIN;
    }
}

status bench_conversations_make(bench_conversations *x, const llama_config *m, int64_t count) {
    int64_t seed = 191; // with it batches of 4, 8 and 16 all have about the mean
    *x = (bench_conversations){.count = count, .image_token = -1};
    if (m->image_width) x->image_token = (int32_t)m->vocabulary - 1;
    status rc = mem_new(&x->first, count + 1, "conversations");
    if (!rc) rc = mem_new(&x->span, 2 * count, "conversations");
    for (int64_t i = 0; i < count && !rc; i++) {
        int64_t prompt, answer;
        draw_lengths(&seed, &prompt, &answer);
        x->first[i + 1] = x->first[i] + prompt + answer;
        x->span[2 * i] = (int32_t)prompt;
        x->span[2 * i + 1] = (int32_t)(prompt + answer);
        x->answers += answer;
        if (prompt + answer > x->longest) x->longest = prompt + answer;
    }
    if (!rc && x->longest > m->positions)
        rc = status_fail(STATUS_USAGE, "bench: conversations of %lld tokens; the model has %lld "
                                       "positions", (long long)x->longest, (long long)m->positions);
    if (!rc) rc = mem_new(&x->ids, x->first[count], "conversations");
    if (!rc) write_ids(x, m->vocabulary - 1 - FIRST_WORD);
    return rc;
}

void bench_conversations_free(bench_conversations *x) {
    mem_free(x->ids);
    mem_free(x->first);
    mem_free(x->span);
    *x = (bench_conversations){0};
}

void bench_images(void *to, const tensor *x) {
    const rng_key key = {.seed = 2, .site = rng_site("bench")};
    for (int64_t i = 0; i < tensor_count(x); i++)
        element_put(to, i, 1e-3 * rng_below(key, 0, (uint64_t)i, 2000) - 1, x->type);
}
