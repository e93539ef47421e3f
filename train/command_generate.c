// radialog generate: reports (or other answers) to the prompts of instruct data, as JSON lines
// (REFERENCE 7.1 to 7.3). A run that was stopped goes on behind the lines that are there.
#include "core/files/fs.h"
#include "core/log.h"
#include "train/answer_source.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/image_prompts.h"
#include "train/language_inference.h"
#include "train/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const option options[] = {
    {"split", "NAME", "train, validate or test (default test)"},
    {"limit", "N", "only the first N records of the split"},
    {"out", "FILE", "JSON lines; those that are there are kept (default: stdout)"},
    {"aligner", "PATH", "of images in files: who turns them into image tokens, a run of train aligner"},
    {"classifier", "PATH", "of images in files: whose findings stand in the prompts; none are named without"},
    {0},
};

typedef struct writer {
    language_inference language;
    instruct_set *data;
    embeddings *images; // NULL: texts alone
    answer_source answers;
    image_prompts pictures; // of files
    generate_frame frame;
    FILE *out;
    int64_t written; // lines that were there
    progress bar;
} writer;

static void writer_close(writer *w) {
    if (w->out && w->out != stdout) fclose(w->out);
    generate_frame_close(&w->frame);
    answer_source_close(&w->answers);
    image_prompts_close(&w->pictures);
    embeddings_close(w->images);
    instruct_close(w->data);
    language_inference_close(&w->language);
}

// --- what is asked ------------------------------------------------------------------------------
static status open_images(writer *w) {
    const config *c = w->language.inference.config;
    status rc = language_images_open(&w->images, config_text(c, "data.embeddings"),
                                     instruct_facts_of(w->data));
    w->answers.images = w->images;
    w->answers.blank = config_bool(c, "data.blank") || config_choice(c, "generate.images") == 1;
    return rc;
}

static status find_split(int *split, const arguments *a) {
    const char *name = argument(a, "split");
    *split = SPLIT_TEST;
    if (!name) return STATUS_OK;
    for (*split = 0; *split < SPLIT_COUNT; (*split)++)
        if (!strcmp(name, split_names[*split])) return STATUS_OK;
    return status_fail(STATUS_USAGE, "--split %s; there are train, validate and test", name);
}

static status open_prompts(writer *w, const arguments *a) {
    const config *c = w->language.inference.config;
    const bool removed = config_choice(c, "generate.findings") == 1;
    int split;
    int64_t limit;
    status rc = find_split(&split, a);
    if (!rc) rc = argument_int(a, "limit", 0, INT64_MAX, 0, &limit);
    if (!rc) rc = instruct_open(&w->data, config_text(c, "data.instruct"));
    if (!rc) rc = instruct_expect(w->data, w->language.tokens);
    if (!rc && removed) rc = generate_frame_open(&w->frame, c, instruct_facts_of(w->data));
    w->answers.data = w->data;
    w->answers.tokens = w->language.tokens;
    if (!rc)
        rc = generate_prompts_open(&w->answers.prompts, w->data, split, limit, w->language.tokens,
                                   removed ? &w->frame : NULL);
    if (!rc && !w->answers.prompts.count)
        rc = status_fail(STATUS_FORMAT, "%s: has no record in the %s split",
                         config_text(c, "data.instruct"), split_names[split]);
    return rc;
}

// Images in files, behind the run.
static status open_pictures(writer *w, const arguments *a) {
    const config *c = w->language.inference.config;
    const image_models models = {argument(a, "aligner"), argument(a, "classifier"),
                                 config_text(c, "run.device")};
    if (!models.aligner)
        return status_fail(STATUS_USAGE, "--aligner PATH is missing: who turns %s into image tokens",
                           a->positional[1]);
    status rc = image_prompts_open(&w->pictures, a->positional + 1, a->positionals - 1, &models, c,
                                   w->language.tokens);
    answer_source *s = &w->answers;
    s->prompts = w->pictures.prompts; // which closes them
    w->pictures.prompts = (generate_prompts){0};
    s->tokens = w->language.tokens;
    s->pictures = w->pictures.tokens;
    s->queries = w->pictures.queries;
    s->width = w->pictures.width;
    s->blank = config_choice(c, "generate.images") == 1;
    return rc;
}

static status open_records(writer *w, const arguments *a) {
    status rc = open_prompts(w, a);
    return rc ? rc : open_images(w);
}

static int64_t image_width(const writer *w) {
    return w->images ? w->images->width : w->answers.pictures ? w->answers.width : 0;
}

// --- what is there already ----------------------------------------------------------------------
static void line_begin(buffer *line, const char *id) {
    buffer_text(line, "{\"dicom_id\":");
    buffer_json(line, id);
    buffer_text(line, ",");
}

// Whole lines of FILE, which are those of the first prompts; a last one without its end is cut off.
static status count_lines(writer *w, const char *path) {
    buffer text = {0}, begin = {0};
    int64_t whole = 0;
    status rc = file_read(path, SIZE_MAX / 2, &text);
    for (const char *at = text.data; !rc && at && *at;) {
        const char *end = strchr(at, '\n');
        if (!end) break;
        begin.length = 0;
        if (w->written < w->answers.prompts.count)
            line_begin(&begin, generate_prompts_name(&w->answers.prompts, w->written));
        if (!begin.length || strncmp(at, begin.data, begin.length))
            rc = status_fail(STATUS_FORMAT, "%s:%lld: is no answer to record %lld of this split: move "
                                            "the file away, or name another with --out", path,
                             (long long)w->written + 1, (long long)w->written);
        at = end + 1;
        w->written++;
        whole = at - text.data;
    }
    if (!rc && whole < (int64_t)text.length && truncate(path, whole))
        rc = status_fail(STATUS_IO, "%s: cannot cut off half a line: %s", path, strerror(errno));
    buffer_free(&begin);
    buffer_free(&text);
    return rc;
}

static status open_out(writer *w, const char *path) {
    w->out = stdout;
    if (!path) return STATUS_OK;
    w->out = NULL;
    status rc = file_exists(path) ? count_lines(w, path) : STATUS_OK;
    if (rc) return rc;
    if (w->written)
        log_info("%s: goes on behind %lld answers", path, (long long)w->written);
    w->out = fopen(path, "a");
    return w->out ? STATUS_OK
                  : status_fail(STATUS_IO, "%s: cannot write: %s", path, strerror(errno));
}

// --- answers ------------------------------------------------------------------------------------
static status read_images(void *context, int64_t i, int64_t rows, float *out) {
    return answer_source_images(&((writer *)context)->answers, i, rows, out);
}

static status give_answer(void *context, int64_t i, const int32_t *ids, int32_t count) {
    writer *w = context;
    const int64_t record = w->written + i;
    const generate_prompts *p = &w->answers.prompts;
    const char *text;
    buffer line = {0};
    status rc = answer_source_text(&w->answers, i, ids, count, &text);
    if (rc) return rc;
    line_begin(&line, generate_prompts_name(p, record));
    buffer_print(&line, "\"prompt_tokens\":%lld,\"tokens\":%d,\"text\":",
                 (long long)(p->first[record + 1] - p->first[record]), count);
    buffer_json(&line, text);
    if (w->pictures.findings.length) {
        buffer_text(&line, ",\"findings\":");
        buffer_json(&line, image_prompts_findings(&w->pictures, record));
    }
    buffer_text(&line, "}\n");
    rc = line.failed;
    if (!rc && (fwrite(line.data, 1, line.length, w->out) != line.length || fflush(w->out)))
        rc = status_fail(STATUS_IO, "cannot write the answers: %s", strerror(errno));
    buffer_free(&line);
    progress_update(&w->bar, record + 1, NULL);
    return rc;
}

static generator_options options_of(const writer *w) {
    const config *c = w->language.inference.config;
    return (generator_options){
        .slots = config_int(c, "generate.slots"),
        .rows = config_int(c, "generate.rows"),
        .most = config_int(c, "generate.max_new_tokens"),
        .end = tokenizer_named(w->language.tokens).end,
        .image_token = w->language.image_token,
        .share = config_bool(c, "generate.share_prefix"),
        .choice = {.temperature = config_float(c, "generate.temperature"),
                   .top_p = config_float(c, "generate.top_p"),
                   .seed = (uint64_t)config_int(c, "run.seed")},
    };
}

static status write_answers(writer *w) {
    const generate_prompts *p = &w->answers.prompts;
    const generator_options o = options_of(w);
    generator_job job = answer_source_job(&w->answers, w->written, p->count - w->written);
    job.context = w;
    job.images = image_width(w) ? read_images : NULL;
    job.done = give_answer;
    generator *g = NULL;
    const double start = clock_seconds();
    if (!job.count) {
        log_info("all %lld answers are there", (long long)p->count);
        return STATUS_OK;
    }
    status rc = generator_open(&g, &w->language.inference.tape, &w->language.model, &o, &job);
    if (!rc) rc = generator_size(g);
    progress_begin(&w->bar, "generate", "answers", p->count, w->written);
    if (!rc) rc = generator_run(g);
    progress_end(&w->bar);
    if (!rc) {
        const generator_counts n = generator_counted(g);
        log_info("%lld answers, %lld tokens in %.1f s (%.1f tokens/s), %lld steps", (long long)n.prompts,
                 (long long)n.written, clock_seconds() - start,
                 (double)n.written / (clock_seconds() - start), (long long)n.steps);
    }
    generator_close(g);
    return rc;
}

static status generate(const arguments *a) {
    writer w = {0};
    const char *path = a->positionals ? a->positional[0] : NULL;
    status rc = language_inference_open(&w.language, a, path, generate_tables);
    if (!rc) rc = a->positionals > 1 ? open_pictures(&w, a) : open_records(&w, a);
    if (!rc) rc = open_out(&w, argument(a, "out"));
    if (!rc)
        rc = language_inference_load(&w.language, image_width(&w),
                                     config_bool(w.language.inference.config, "generate.merge"));
    if (!rc) rc = write_answers(&w);
    writer_close(&w);
    return rc;
}

const command command_generate = {
    .name = "generate",
    .positional = "[RUN|ADAPTER] [IMAGE...]",
    .summary = "reports on the records of instruct data, or on images in files, as JSON lines",
    .options = options,
    .run = generate,
    .tables = generate_tables,
};
