// Text to ids: every line of a file with a vocabulary, one thread.
#include "core/files/fs.h"
#include "data/wordpiece.h"
#include "train/bench.h"

#include <string.h>

enum { MOST = 256, TEXT_MAX = 1 << 30 }; // the Q-Former's ids a text (REFERENCE 4.1)

static status encode_lines(const wordpiece *w, wordpiece_ids *ids, const buffer *text,
                           int64_t *texts, int64_t *tokens) {
    *texts = *tokens = 0;
    for (size_t at = 0, length; at < text->length; at += length + 1) {
        const char *line = text->data + at, *end = memchr(line, '\n', text->length - at);
        length = end ? (size_t)(end - line) : text->length - at;
        status rc = wordpiece_encode(ids, w, line, length, MOST);
        if (rc) return rc;
        ++*texts;
        *tokens += (int64_t)ids->count;
    }
    return STATUS_OK;
}

static void report_tokenizer(bench *b, const buffer *text, int64_t texts, int64_t tokens) {
    bench_spread t = bench_sort(b->seconds, b->rounds);
    bench_name(b, "tokenizer");
    bench_number(b, "rounds", "timed rounds", (double)b->rounds, 0);
    bench_number(b, "texts", "texts in a round", (double)texts, 0);
    bench_number(b, "tokens", "tokens in a round", (double)tokens, 0);
    bench_number(b, "bytes", "bytes in a round", (double)text->length, 0);
    bench_number(b, "texts_per_second", "texts a second, median", (double)texts / t.median, 0);
    bench_number(b, "tokens_per_second", "tokens a second, median", (double)tokens / t.median, 0);
    bench_number(b, "peak_memory_mb", "peak memory, MB", bench_peak_memory(), 1);
}

status bench_tokenizer(bench *b) {
    wordpiece *w = NULL;
    wordpiece_ids ids = {0};
    buffer text = {0};
    int64_t texts = 0, tokens = 0;
    if (!b->data || !b->vocabulary)
        return status_fail(STATUS_USAGE, "bench tokenizer: --data FILE (a text a line) and "
                                         "--vocabulary vocab.txt are needed");
    status rc = wordpiece_open(&w, b->vocabulary, NULL);
    if (!rc) rc = file_read(b->data, TEXT_MAX, &text);
    for (int64_t i = -b->warmup; i < b->rounds && !rc; i++) {
        rc = bench_begin(b, i);
        if (!rc) rc = encode_lines(w, &ids, &text, &texts, &tokens);
        if (!rc) bench_end(b, i);
    }
    if (!rc && !texts) rc = status_fail(STATUS_FORMAT, "%s: no text in it", b->data);
    if (!rc) report_tokenizer(b, &text, texts, tokens);
    wordpiece_ids_free(&ids);
    wordpiece_close(w);
    buffer_free(&text);
    return rc;
}
