// radialog classify: findings of radiographs, as JSON lines.
#include "core/files/fs.h"
#include "core/files/staged_file.h"
#include "core/log.h"
#include "train/commands.h"
#include "train/predictor.h"
#include "train/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const option options[] = {
    OPTION_CHECKPOINT,
    OPTION_INTENSITY,
    {"split", "NAME", "of a shard directory: train, validate or test, or several with commas (default test)"},
    {"limit", "N", "only the first N records of each split"},
    {"out", "FILE", "write there instead of to stdout"},
    {0},
};

// Where the lines go: a file that appears when all is done, or stdout.
typedef struct lines {
    staged_file file;
    bool staged;
} lines;

static status write_line(lines *out, const buffer *line) {
    if (line->failed) return line->failed;
    if (out->staged) return staged_write(&out->file, line->data, line->length);
    return fwrite(line->data, 1, line->length, stdout) == line->length
               ? STATUS_OK
               : status_fail(STATUS_IO, "cannot write the predictions: %s", strerror(errno));
}

// One line: the logits, the classes above the threshold, and their text for prompts (REFERENCE 7.1).
static status print_prediction(lines *out, const char *id, const float *logits) {
    bool positive[CLASS_COUNT];
    buffer line = {0}, text = {0};
    buffer_text(&line, "{\"dicom_id\":");
    buffer_json(&line, id);
    buffer_text(&line, ",\"logits\":[");
    for (int c = 0; c < CLASS_COUNT; c++) {
        if (c) buffer_text(&line, ",");
        buffer_print(&line, "%.6g", (double)logits[c]);
        positive[c] = logits[c] > 0;
    }
    buffer_text(&line, "],\"findings\":[");
    for (int c = 0, n = 0; c < CLASS_COUNT; c++)
        if (positive[c]) buffer_print(&line, "%s\"%s\"", n++ ? "," : "", class_names[c]);
    findings_text(&text, positive);
    buffer_text(&line, "],\"text\":");
    buffer_json(&line, text.failed ? "" : text.data);
    buffer_text(&line, "}\n");
    status rc = text.failed ? text.failed : write_line(out, &line);
    buffer_free(&text);
    buffer_free(&line);
    return rc;
}

static status classify_split(predictor *p, const dataset *data, int split, int64_t limit, lines *out) {
    loader *l = NULL;
    float *logits = NULL;
    loader_options o = loader_from_config(p->inference.config, split, false, NULL);
    o.batch = p->batch;
    o.need_text = false;
    o.limit = limit;
    status rc = loader_open(&l, data, &o);
    int64_t rows = rc ? 0 : loader_records(l);
    if (!rc) rc = mem_new(&logits, rows * CLASS_COUNT, "logits");
    if (!rc) rc = classifier_score(&p->inference.tape, &p->model, l, &p->inputs, false, logits);
    for (int64_t i = 0; i < rows && !rc; i++)
        rc = print_prediction(out, dataset_id(data, loader_record(l, i), ID_DICOM),
                              logits + i * CLASS_COUNT);
    mem_free(logits);
    loader_close(l);
    return rc;
}

static status classify_shards(predictor *p, const arguments *a, const char *path, lines *out) {
    const char *asked = argument(a, "split");
    dataset *data = NULL;
    int64_t limit;
    status rc = argument_int(a, "limit", 0, INT64_MAX, 0, &limit);
    if (!rc) rc = dataset_open(&data, path);
    const char *s = asked ? asked : "test";
    while (!rc) {
        const size_t length = strcspn(s, ",");
        int split = 0;
        while (split < SPLIT_COUNT && (strncmp(split_names[split], s, length) || split_names[split][length])) split++;
        rc = split < SPLIT_COUNT ? classify_split(p, data, split, limit, out)
                                 : status_fail(STATUS_USAGE, "--split \"%.*s\"; there are train, validate and test",
                                               (int)length, s);
        s += length;
        if (!*s++) break;
    }
    dataset_close(data);
    return rc;
}

static status classify_file(predictor *p, const char *path, image_file *image, float *logits) {
    status rc = image_file_read(image, path);
    return rc ? rc : predictor_file(p, image, logits);
}

// Those that cannot be read are counted in *BAD; the others still get their answers.
static status classify_files(predictor *p, const arguments *a, lines *out, int *bad) {
    image_file image;
    status rc = image_file_open(&image, p->crop, p->size);
    if (!rc) rc = radiograph_rules_given(&image.rules, a);
    for (int i = 0; i < a->positionals && !rc; i++) {
        float logits[CLASS_COUNT];
        rc = classify_file(p, a->positional[i], &image, logits);
        if (!rc) {
            rc = print_prediction(out, image.id, logits);
        } else if (rc == STATUS_IO || rc == STATUS_FORMAT) {
            log_warn("%s", status_text());
            ++*bad;
            rc = STATUS_OK;
        }
    }
    image_file_close(&image);
    return rc;
}

static status classify(const arguments *a) {
    predictor p = {0};
    lines out = {.staged = argument_given(a, "out")};
    int bad = 0;
    status rc = predictor_open(&p, a);
    if (!rc && out.staged) rc = staged_open(&out.file, argument(a, "out"));
    if (!rc && folder_exists(a->positional[0]) && a->positionals == 1)
        rc = classify_shards(&p, a, a->positional[0], &out);
    else if (!rc)
        rc = classify_files(&p, a, &out, &bad);
    if (!rc && out.staged) rc = staged_finish(&out.file);
    if (!rc && bad)
        rc = status_fail(STATUS_FORMAT, "%d of %d files could not be read", bad, a->positionals);
    staged_close(&out.file);
    predictor_close(&p);
    return rc;
}

const command command_classify = {
    .name = "classify",
    .positional = "SHARDS|IMAGE...",
    .summary = "findings of a shard directory's split or of image files, as JSON lines",
    .options = options,
    .run = classify,
    .tables = predictor_tables,
};
