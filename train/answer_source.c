#include "train/answer_source.h"

#include <string.h>

void answer_source_close(answer_source *s) {
    generate_prompts_close(&s->prompts);
    buffer_free(&s->before);
    buffer_free(&s->text);
}

generator_job answer_source_job(answer_source *s, int64_t first, int64_t count) {
    s->first = first;
    return (generator_job){.ids = (const int32_t *)(const void *)s->prompts.ids.data,
                           .first = s->prompts.first + first,
                           .count = count,
                           .number = first};
}

static status picture(const answer_source *s, int64_t i, int64_t rows, float *out) {
    const size_t bytes = (size_t)(s->queries * s->width) * sizeof *out;
    if (rows != s->queries)
        return status_fail(STATUS_FORMAT, "%s: its prompt has %lld image tokens, an image %lld",
                           generate_prompts_name(&s->prompts, s->first + i), (long long)rows,
                           (long long)s->queries);
    if (s->blank)
        memset(out, 0, bytes);
    else
        memcpy(out, s->pictures + (s->first + i) * s->queries * s->width, bytes);
    return STATUS_OK;
}

status answer_source_images(answer_source *s, int64_t i, int64_t rows, float *out) {
    if (s->pictures) return picture(s, i, rows, out);
    const int64_t numbers = (int64_t)s->images->queries * s->images->width;
    const int64_t record = s->record ? s->record[s->first + i] : s->first + i;
    instruct_record r;
    status rc = instruct_read(s->data, s->prompts.split, record, &r);
    if (rc) return rc;
    if (rows != (int64_t)r.images * s->images->queries)
        return status_fail(STATUS_FORMAT, "record %lld: its prompt has %lld image tokens for %d images",
                           (long long)record, (long long)rows, r.images);
    if (s->blank) memset(out, 0, (size_t)(r.images * numbers) * sizeof *out);
    for (int k = 0; k < r.images && !rc && !s->blank; k++)
        rc = language_image_read(out + k * numbers, s->images, r.image[k]);
    return rc;
}

// What the whole sequence says behind what the prompt says: pieces of a word are joined as in a text.
status answer_source_text(answer_source *s, int64_t i, const int32_t *ids, int32_t count,
                          const char **text) {
    const int64_t *first = s->prompts.first + s->first + i, asked = first[1] - first[0];
    const int32_t *prompt = (const int32_t *)(const void *)s->prompts.ids.data + first[0];
    buffer all = {0};
    s->before.length = s->text.length = 0;
    buffer_append(&all, prompt, (size_t)asked * sizeof *prompt);
    buffer_append(&all, ids, (size_t)count * sizeof *ids);
    status rc = all.failed;
    if (!rc) rc = tokenizer_decode(s->tokens, prompt, asked, true, &s->before);
    if (!rc)
        rc = tokenizer_decode(s->tokens, (const int32_t *)(const void *)all.data, asked + count,
                              true, &s->text);
    buffer_text(&s->text, ""); // a NUL, also behind nothing
    buffer_free(&all);
    if (!rc) rc = s->text.failed;
    if (rc) return rc;
    *text = s->text.data + (s->before.length < s->text.length ? s->before.length : s->text.length);
    return STATUS_OK;
}
