#include "train/answer_writer.h"
#include "core/files/fs.h"

#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

// --- what is there already ----------------------------------------------------------------------

static status begin_line(answer_writer *w, int64_t i, buffer *line) {
    line->length = 0;
    buffer_text(line, "{");
    status rc = w->begin(w->context, i, line);
    return rc ? rc : line->failed;
}

// Whether LINE, of which LENGTH bytes are there, is an answer to the next prompt, as far as they say.
static status check_line(answer_writer *w, const char *line, size_t length, buffer *begin, const char *path) {
    const bool more = w->written < w->source->prompts.count;
    status rc = more ? begin_line(w, w->written, begin) : STATUS_OK;
    if (!rc && (!more || strncmp(line, begin->data, length < begin->length ? length : begin->length)))
        rc = status_fail(STATUS_FORMAT,
                         "%s:%lld: is no answer to record %lld of this split: move the file away, or name another "
                         "with --out",
                         path, (long long)w->written + 1, (long long)w->written);
    return rc;
}

// Whole lines of FILE, which are those of the first prompts; a last one without its end is cut off.
static status count_lines(answer_writer *w, const char *path) {
    buffer text = {0}, begin = {0};
    size_t whole = 0;
    status rc = file_read(path, SIZE_MAX / 2, &text);
    while (!rc && whole < text.length) {
        const char *line = text.data + whole, *end = memchr(line, '\n', text.length - whole);
        // A disk that lost its power may have left NULs behind half a line.
        const size_t length = end ? (size_t)(end - line) : strnlen(line, text.length - whole);
        rc = check_line(w, line, length, &begin, path);
        if (rc || !end) break;
        w->written++;
        whole += length + 1;
    }
    if (!rc && whole < text.length && truncate(path, (off_t)whole))
        rc = status_fail(STATUS_IO, "%s: cannot cut off half a line: %s", path, strerror(errno));
    buffer_free(&begin);
    buffer_free(&text);
    return rc;
}

status answer_writer_open(answer_writer *w, const char *path) {
    w->written = 0;
    w->out = stdout;
    if (!path) return STATUS_OK;
    w->out = fopen(path, "a");
    if (!w->out) return status_fail(STATUS_IO, "%s: cannot write: %s", path, strerror(errno));
    if (flock(fileno(w->out), LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return status_fail(STATUS_IO, "%s: another radialog is writing it; wait for it, or name another file", path);
    status rc = file_exists(path) ? count_lines(w, path) : STATUS_OK; // a pipe has none
    if (!rc && w->written) log_info("%s: goes on behind %lld answers", path, (long long)w->written);
    return rc;
}

void answer_writer_close(answer_writer *w) {
    if (w->out && w->out != stdout) fclose(w->out);
    w->out = NULL;
}

// --- answers ------------------------------------------------------------------------------------

static status read_images(void *context, int64_t i, int64_t rows, float *out) {
    return answer_source_images(((answer_writer *)context)->source, i, rows, out);
}

static status print_line(answer_writer *w, buffer *line, int64_t record, const char *text,
                         int32_t count) {
    const int64_t *first = w->source->prompts.first + record;
    status rc = begin_line(w, record, line);
    buffer_print(line,
                 "\"prompt_tokens\":%lld,\"tokens\":%d,\"text\":", (long long)(first[1] - first[0]),
                 count);
    buffer_json(line, text);
    if (!rc && w->end) rc = w->end(w->context, record, text, line);
    buffer_text(line, "}\n");
    return rc ? rc : line->failed;
}

static status give_answer(void *context, int64_t i, const int32_t *ids, int32_t count) {
    answer_writer *w = context;
    const int64_t record = w->written + i;
    const char *text;
    buffer line = {0};
    status rc = answer_source_text(w->source, i, ids, count, &text);
    if (!rc) rc = print_line(w, &line, record, text, count);
    if (!rc && (fwrite(line.data, 1, line.length, w->out) != line.length || fflush(w->out)))
        rc = status_fail(STATUS_IO, "cannot write the answers: %s", strerror(errno));
    buffer_free(&line);
    progress_update(&w->bar, record + 1, NULL);
    return rc;
}

static generator_options options_of(const answer_writer *w) {
    const language_inference *l = w->language;
    const config *c = l->inference.config;
    return (generator_options){
        .slots = config_int(c, "generate.slots"),
        .rows = config_int(c, "generate.rows"),
        .most = config_int(c, "generate.max_new_tokens"),
        .end = tokenizer_named(l->tokens).end,
        .image_token = l->image_token,
        .share = config_bool(c, "generate.share_prefix"),
        .remember = w->remember,
        .choice = {.temperature = config_float(c, "generate.temperature"),
                   .top_p = config_float(c, "generate.top_p"),
                   .seed = (uint64_t)config_int(c, "run.seed")},
    };
}

status answer_writer_run(answer_writer *w, bool images) {
    const int64_t count = w->source->prompts.count;
    const generator_options o = options_of(w);
    generator *g = NULL;
    const double start = clock_seconds();
    if (w->written == count) {
        log_info("all %lld answers are there", (long long)count);
        return STATUS_OK;
    }
    generator_job job = answer_source_job(w->source, w->written, count - w->written);
    job.context = w;
    job.images = images ? read_images : NULL;
    job.done = give_answer;
    status rc = generator_open(&g, &w->language->inference.tape, &w->language->model, &o, &job);
    if (!rc) rc = generator_size(g);
    progress_begin(&w->bar, w->name, "answers", count, w->written);
    if (!rc) rc = generator_run(g);
    progress_end(&w->bar);
    if (!rc) {
        const generator_counts n = generator_counted(g);
        log_info("%lld answers, %lld tokens in %.1f s (%.1f tokens/s), %lld steps",
                 (long long)n.prompts, (long long)n.written, clock_seconds() - start,
                 (double)n.written / (clock_seconds() - start), (long long)n.steps);
    }
    generator_close(g);
    return rc;
}
