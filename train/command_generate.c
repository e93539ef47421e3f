// radialog generate: reports (or other answers) to the prompts of instruct data, as JSON lines
// (REFERENCE 7.1 to 7.3). A run that was stopped goes on behind the lines that are there.
#include "train/answer_writer.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/image_prompts.h"
#include "train/settings.h"

static const option options[] = {
    {"split", "NAME", "train, validate or test (default test)"},
    {"limit", "N", "only the first N records of the split"},
    {"out", "FILE", "JSON lines; those that are there are kept (default: stdout)"},
    {"aligner", "PATH", "of images in files: who turns them into image tokens, a run of train aligner"},
    {"classifier", "PATH", "of images in files: whose findings stand in the prompts; none are named without"},
    OPTION_INTENSITY,
    {0},
};

typedef struct writer {
    language_inference language;
    instruct_set *data;
    embeddings *images; // NULL: texts alone
    answer_source answers;
    image_prompts pictures; // of files
    generate_frame frame;
    answer_writer lines;
} writer;

static void writer_close(writer *w) {
    answer_writer_close(&w->lines);
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

static status open_prompts(writer *w, const arguments *a) {
    const config *c = w->language.inference.config;
    const bool removed = config_choice(c, "generate.findings") == 1;
    int split;
    int64_t limit;
    status rc = settings_split(&split, a, SPLIT_TEST);
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
    image_models models = {argument(a, "aligner"), argument(a, "classifier"),
                           config_text(c, "run.device"), {0}};
    if (!models.aligner)
        return status_fail(STATUS_USAGE, "--aligner PATH is missing: who turns %s into image tokens",
                           a->positional[1]);
    status rc = radiograph_rules_given(&models.rules, a);
    if (!rc)
        rc = image_prompts_open(&w->pictures, a->positional + 1, a->positionals - 1, &models, c,
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

// --- answers ------------------------------------------------------------------------------------
static status line_begin(void *context, int64_t i, buffer *line) {
    const writer *w = context;
    buffer_text(line, "\"dicom_id\":");
    buffer_json(line, generate_prompts_name(&w->answers.prompts, i));
    buffer_text(line, ",");
    return line->failed;
}

// A picture's line says its findings as well.
static status line_end(void *context, int64_t i, const char *text, buffer *line) {
    const writer *w = context;
    (void)text;
    if (!w->pictures.findings.length) return STATUS_OK;
    buffer_text(line, ",\"findings\":");
    buffer_json(line, image_prompts_findings(&w->pictures, i));
    return line->failed;
}

static status generate(const arguments *a) {
    writer w = {0};
    const char *path = a->positionals ? a->positional[0] : NULL;
    status rc = language_inference_open(&w.language, a, path, generate_tables);
    if (!rc) rc = a->positionals > 1 ? open_pictures(&w, a) : open_records(&w, a);
    w.lines = (answer_writer){.language = &w.language,
                              .source = &w.answers,
                              .name = "generate",
                              .context = &w,
                              .begin = line_begin,
                              .end = line_end};
    if (!rc) rc = answer_writer_open(&w.lines, argument(a, "out"));
    if (!rc)
        rc = language_inference_load(&w.language, image_width(&w),
                                     config_bool(w.language.inference.config, "generate.merge"));
    if (!rc) rc = answer_writer_run(&w.lines, image_width(&w) > 0);
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
